//! Every clause of the protocol is cited by the code that does it and by a test, and no citation names a clause that is
//! not there.

use super::Finding;
use super::tree::Tree;
use std::collections::{BTreeMap, BTreeSet};

const PROTOCOL: &str = "plugins/relay/PROTOCOL.md";

#[derive(Default)]
struct Cited {
    by_code: bool,
    by_test: bool,
}

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(protocol) = tree.text(PROTOCOL) else {
        return vec![Finding::new(
            PROTOCOL,
            0,
            "is missing; the clauses stand there",
        )];
    };
    let clauses = clauses(protocol);
    let sections = sections(protocol);
    let mut cited: BTreeMap<String, Cited> = BTreeMap::new();
    let mut findings = Vec::new();
    for file in &tree.rust {
        // This crate's own tests cite clauses that are made up.
        if file.path.starts_with("xtask/") {
            continue;
        }
        for (line, comment) in file.comments.iter().enumerate() {
            for number in citations(comment) {
                if !sections.contains(&number) {
                    findings.push(Finding::new(
                        &file.path,
                        line + 1,
                        format!("cites PROTOCOL {number}, which is not in {PROTOCOL}"),
                    ));
                }
                let cited = cited.entry(number).or_default();
                if file.is_test[line] {
                    cited.by_test = true;
                } else {
                    cited.by_code = true;
                }
            }
        }
    }
    for clause in clauses.iter().filter(|clause| !clause.later) {
        let Cited { by_code, by_test } = cited.remove(&clause.number).unwrap_or_default();
        let missing = match (by_code, by_test) {
            (true, true) => continue,
            (true, false) => "no test cites",
            (false, true) => "no code cites",
            (false, false) => "neither code nor a test cites",
        };
        let number = &clause.number;
        findings.push(Finding::new(
            PROTOCOL,
            clause.line,
            format!("{missing} this clause; write `// PROTOCOL {number}` above what does it and above what shows it"),
        ));
    }
    findings
}

struct Clause {
    number: String,
    line: usize,
    /// Reserved for a later version: nothing does it yet.
    later: bool,
}

/// Each `### N.M Title`.
fn clauses(protocol: &str) -> Vec<Clause> {
    let lines: Vec<&str> = protocol.lines().collect();
    let mut clauses = Vec::new();
    for (i, line) in lines.iter().enumerate() {
        let Some(number) = line
            .strip_prefix("### ")
            .and_then(|title| title.split(' ').next())
        else {
            continue;
        };
        let text = lines[i + 1..].iter().find(|line| !line.trim().is_empty());
        clauses.push(Clause {
            number: number.to_owned(),
            line: i + 1,
            later: text.is_some_and(|text| text.starts_with("Later:")),
        });
    }
    clauses
}

/// Every number that may be cited: `N` of `## N. Title` and `N.M` of a clause.
fn sections(protocol: &str) -> BTreeSet<String> {
    let sections = protocol.lines().filter_map(|line| {
        let number = line.strip_prefix("## ")?.split(' ').next()?;
        Some(number.trim_end_matches('.').to_owned())
    });
    let clauses = clauses(protocol).into_iter().map(|clause| clause.number);
    sections.chain(clauses).collect()
}

/// The numbers of `PROTOCOL 2.2`, `PROTOCOL 2.2, 2.3` and `PROTOCOL 2.2 and 2.3`.
fn citations(comment: &str) -> Vec<String> {
    let mut numbers = Vec::new();
    for (at, word) in comment.match_indices("PROTOCOL ") {
        let mut rest = &comment[at + word.len()..];
        while let Some((number, behind)) = number(rest) {
            numbers.push(number.to_owned());
            let Some(next) = behind
                .strip_prefix(", ")
                .or_else(|| behind.strip_prefix(" and "))
            else {
                break;
            };
            rest = next;
        }
    }
    numbers
}

/// `N` or `N.M` at the beginning, and what stands behind it.
fn number(text: &str) -> Option<(&str, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let number = text[..end].trim_end_matches('.');
    (!number.is_empty()).then(|| (number, &text[number.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "## 1. Identity\n\n### 1.1 Peer id\nText.\n\n### 1.2 Rooms\nLater: rooms.\n\n## 2. Limits\n";

    fn findings(source: &str) -> Vec<String> {
        let tree = Tree::of([(PROTOCOL, TEXT), ("plugins/net/src/id.rs", source)]);
        check(&tree)
            .into_iter()
            .map(|finding| finding.what)
            .collect()
    }

    #[test]
    fn a_clause_cited_by_code_and_test_is_fine_and_a_later_one_needs_neither() {
        let source = "// PROTOCOL 1.1\nfn a() {}\n// PROTOCOL 1.1 and 2\n#[test]\nfn b() {}\n";
        assert_eq!(findings(source), [""; 0]);
    }

    #[test]
    fn a_clause_says_which_citation_it_lacks() {
        assert!(findings("")[0].starts_with("neither code nor a test cites"));
        assert!(findings("// PROTOCOL 1.1\nfn a() {}\n")[0].starts_with("no test cites"));
        assert!(findings("// PROTOCOL 1.1\n#[test]\nfn a() {}\n")[0].starts_with("no code cites"));
    }

    #[test]
    fn a_citation_in_a_string_is_none() {
        assert_eq!(findings("const A: &str = \"// PROTOCOL 1.1\";\n").len(), 1);
    }

    #[test]
    fn a_citation_of_a_clause_that_is_not_there_is_named() {
        let found =
            findings("// PROTOCOL 1.1, 7.7.\nfn a() {}\n#[test] // PROTOCOL 1.1\nfn b() {}\n");
        assert_eq!(
            found,
            ["cites PROTOCOL 7.7, which is not in plugins/relay/PROTOCOL.md"]
        );
    }
}
