//! Rules that no compiler checks, each a small file: what it looks for, where, and what to do about it.

mod absences;
mod clauses;
mod drops;
mod layers;
mod length;
pub(crate) mod manifest;
mod rust;
mod tree;
mod versions;
mod words;

use std::path::Path;
use tree::Tree;

/// A place that breaks a rule.
#[derive(Debug, PartialEq)]
struct Finding {
    path: String,
    /// From 1; 0 for a whole file.
    line: usize,
    /// What is wrong and what to do.
    what: String,
}

impl Finding {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Finding {
        Finding {
            path: path.into(),
            line,
            what: what.into(),
        }
    }
}

type Gate = (&'static str, fn(&Tree) -> Vec<Finding>);

const GATES: &[Gate] = &[
    ("clauses", clauses::check),
    ("drops", drops::check),
    ("layers", layers::check),
    ("absences", absences::check),
    ("length", length::check),
    ("words", words::check),
    ("versions", versions::check),
];

/// Runs every gate, so that one run names everything.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let tree = Tree::read(root)?;
    let mut broken = Vec::new();
    for (name, check) in GATES {
        let mut findings = check(&tree);
        println!(
            "{name}: {}",
            if findings.is_empty() { "ok" } else { "broken" }
        );
        findings.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
        for Finding { path, line, what } in &findings {
            match line {
                0 => println!("  {path}: {what}"),
                _ => println!("  {path}:{line}: {what}"),
            }
        }
        if !findings.is_empty() {
            broken.push(format!("{name} ({})", findings.len()));
        }
    }
    if broken.is_empty() {
        return Ok(());
    }
    Err(format!("{}; each place is named above", broken.join(", ")))
}
