//! What must not stand in the sources. These are ARCHITECTURE's invariants, so far as a search can hold them.

use super::Finding;
use super::tree::{Tree, has_word};

struct Absence {
    words: &'static [&'static str],
    /// Path prefixes that the rule holds for; empty: everywhere.
    within: &'static [&'static str],
    /// Path prefixes that it does not hold for.
    except: &'static [&'static str],
    /// A line that also has this is fine.
    unless: Option<&'static str>,
    place: Place,
    instead: &'static str,
}

#[derive(PartialEq)]
enum Place {
    /// Code that is neither test nor example.
    Product,
    /// Code, tests included.
    Code,
    /// Code and comments, tests included.
    Anywhere,
}

/// Where time and chance are arguments.
const PURE: &[&str] = &["engine/src/", "plugins/net/src/", "plugins/relay/src/"];

const ABSENCES: &[Absence] = &[
    Absence {
        words: &["Instant::now", "SystemTime::now", "UNIX_EPOCH.elapsed"],
        within: PURE,
        except: &["engine/src/runner", "plugins/net/src/udp"],
        unless: None,
        place: Place::Product,
        instead: "time is an argument: take `now` from the runner",
    },
    Absence {
        words: &["thread_rng", "getrandom", "OsRng", "SysRng"],
        within: PURE,
        except: &["engine/src/runner", "plugins/net/src/udp"],
        unless: None,
        place: Place::Product,
        instead: "chance is an argument: take the node's `Random`",
    },
    Absence {
        words: &["HashMap", "HashSet", "RandomState"],
        within: PURE,
        except: &[],
        unless: Some("BuildHasherDefault"),
        place: Place::Product,
        instead: "its order differs by run: use a BTreeMap, or a type with BuildHasherDefault whose order reaches no output",
    },
    Absence {
        words: &["println!", "eprintln!", "print!", "eprint!", "dbg!"],
        within: &["engine/src/", "engine/io/src/", "plugins/"],
        // A failing test's seed is for whoever runs it, and a test harness shows only what is printed.
        except: &["plugins/sim/src/sim/seed.rs"],
        unless: None,
        place: Place::Product,
        instead: "a library does not print: use tracing",
    },
    Absence {
        words: &["unsafe"],
        within: &[],
        except: &["engine/abi/", "engine/sdk/", "plugins/dynamic/"],
        unless: None,
        place: Place::Code,
        instead: "only the boundary of dynamic plugins may use it",
    },
    Absence {
        words: &["#[ignore", "```ignore"],
        within: &[],
        except: &[],
        unless: None,
        place: Place::Anywhere,
        instead: "make the test run, or take it away",
    },
    Absence {
        words: &["TODO", "FIXME", "XXX", "todo!", "unimplemented!"],
        within: &[],
        except: &[],
        unless: None,
        place: Place::Anywhere,
        instead: "write it now, or an issue",
    },
];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &tree.rust {
        let begins =
            |prefixes: &[&str]| prefixes.iter().any(|prefix| file.path.starts_with(prefix));
        for absence in ABSENCES {
            if (!absence.within.is_empty() && !begins(absence.within)) || begins(absence.except) {
                continue;
            }
            for (i, code) in file.code.iter().enumerate() {
                let aside = file.is_test[i] || file.path.contains("/examples/");
                if absence.place == Place::Product && aside {
                    continue;
                }
                if absence.unless.is_some_and(|excuse| has_word(code, excuse)) {
                    continue;
                }
                let in_comment = absence.place == Place::Anywhere;
                let found = absence.words.iter().find(|word| {
                    has_word(code, word) || (in_comment && has_word(&file.comments[i], word))
                });
                if let Some(word) = found {
                    let what = format!("`{word}` may not stand here: {}", absence.instead);
                    findings.push(Finding::new(&file.path, i + 1, what));
                }
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        let findings = check(&Tree::of([(path, text)]));
        findings.into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn the_protocol_reads_no_clock_but_its_tests_and_the_edges_may() {
        let text = "fn a() { std::time::Instant::now(); }\n#[test]\nfn b() { Instant::now(); }\n";
        assert_eq!(lines("plugins/relay/src/cache.rs", text), [1]);
        assert_eq!(lines("plugins/net/src/udp/socket.rs", text), [0; 0]);
        assert_eq!(lines("apps/dunlin/src/main.rs", text), [0; 0]);
    }

    #[test]
    fn an_example_may_print_and_a_library_not() {
        let text = "fn a() { println!(); }\n";
        assert_eq!(lines("plugins/net/examples/a.rs", text), [0; 0]);
        assert_eq!(lines("plugins/net/src/a.rs", text), [1]);
    }

    #[test]
    fn the_comment_that_names_a_clock_is_no_clock() {
        assert_eq!(
            lines("engine/src/time.rs", "// No Instant::now here.\n"),
            [0; 0]
        );
    }

    #[test]
    fn a_hash_map_has_a_fixed_hasher() {
        let text = "type A = HashMap<u8, u8, BuildHasherDefault<B>>;\ntype C = HashMap<u8, u8>;\n";
        assert_eq!(lines("plugins/net/src/a.rs", text), [2]);
    }

    #[test]
    fn marks_of_unfinished_work_are_found_in_code_and_comments_but_not_in_text() {
        let text = "// TODO later\nfn a() { todo!() }\n#[ignore]\n/// ```ignore\nconst A: &str = \"TODO\";\n";
        assert_eq!(lines("a/src/lib.rs", text), [3, 4, 1, 2]);
    }

    #[test]
    fn unsafe_is_found_in_tests_too_and_its_lint_is_not_it() {
        assert_eq!(
            lines("tests/a.rs", "unsafe {}\n#![deny(unsafe_code)]\n"),
            [1]
        );
    }
}
