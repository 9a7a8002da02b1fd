//! A file is one idea: at most 400 lines without its tests, or a reason in the table below.

use super::Finding;
use super::rust::Rust;
use super::tree::Tree;

const LINES_MAX: usize = 400; // ARCHITECTURE, "House style".

/// Longer files, each with the reason why two files would read worse than one.
const REASONS: &[(&str, &str)] = &[];

/// Files that somebody was promised to be shorter, comments and all, and where.
const PROMISED: &[(&str, usize, &str)] = &[(
    "engine/examples/third-party/src/lib.rs",
    39,
    "README, \"Plugin author\"",
)];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = check_with(tree, REASONS);
    findings.extend(check_promised(tree));
    findings
}

fn check_promised(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, most, promise) in PROMISED {
        let file = tree.rust.iter().find(|file| file.path == *path);
        if let Some(lines) = file.map(|file| file.is_test.len())
            && lines > *most
        {
            let what = format!("has {lines} lines; {promise} promises at most {most}");
            findings.push(Finding::new(path, 0, what));
        }
    }
    findings
}

fn check_with(tree: &Tree, reasons: &[(&str, &str)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &tree.rust {
        let lines = product_lines(file);
        let has_reason = reasons.iter().any(|(path, _)| *path == file.path);
        if lines > LINES_MAX && !has_reason {
            let what = format!(
                "has {lines} lines without its tests; split it by idea, or give the reason in xtask/src/gates/length.rs"
            );
            findings.push(Finding::new(&file.path, 0, what));
        }
        if lines <= LINES_MAX && has_reason {
            let what = "is short enough; take its reason out of xtask/src/gates/length.rs";
            findings.push(Finding::new(&file.path, 0, what));
        }
    }
    findings
}

fn product_lines(file: &Rust) -> usize {
    file.is_test.iter().filter(|&&is_test| !is_test).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tests_of_a_file_do_not_count() {
        let text = "fn a() {}\n".repeat(400) + "#[cfg(test)]\nmod tests {\n    // More.\n}\n";
        assert_eq!(check(&Tree::of([("a.rs", text.as_str())])), []);
        let longer = format!("fn b() {{}}\n{text}");
        assert_eq!(check(&Tree::of([("a.rs", longer.as_str())])).len(), 1);
    }

    #[test]
    fn the_example_plugin_is_as_short_as_was_promised() {
        let path = PROMISED[0].0;
        let lines = |count| "fn a() {}\n".repeat(count);
        assert_eq!(check(&Tree::of([(path, lines(39).as_str())])), []);
        let found = check(&Tree::of([(path, lines(40).as_str())]));
        assert!(found[0].what.starts_with("has 40 lines"), "{found:?}");
    }

    #[test]
    fn a_reason_excuses_a_long_file_and_goes_when_it_got_shorter() {
        let reasons = [("a.rs", "a table")];
        let long = "fn a() {}\n".repeat(401);
        assert_eq!(
            check_with(&Tree::of([("a.rs", long.as_str())]), &reasons),
            []
        );
        assert_eq!(check_with(&Tree::of([("a.rs", "")]), &reasons).len(), 1);
    }
}
