//! What tracked text never says: where our packages come from, whose machine this was written on, and who or what
//! wrote it. A reader elsewhere has none of these.

use super::Finding;
use super::tree::{Tree, has_word};

/// Written by tools or by other projects; their words are not ours.
const NOT_OURS: &[&str] = &[
    "Cargo.lock",
    "tests/fuzz/Cargo.lock",
    "engine/examples/own-relay/Cargo.lock",
    "tests/vectors/",
    "tests/fuzz/corpus/",
];

// Each word is put together here, so that this file does not hold it.
const HOSTS: &[&str] = &[
    concat!("crates", ".io"),
    concat!("npmjs", ".org"),
    concat!("npmjs", ".com"),
    concat!("pypi", ".org"),
    concat!("pythonhosted", ".org"),
    concat!("debian", ".org"),
    concat!("archive.ubuntu", ".com"),
];
const MACHINE_PATHS: &[&str] = &[
    concat!("/ro", "ot/"),
    concat!("/wo", "rk/"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
];
const AUTHORS: &[&str] = &[
    concat!("A", "I"),
    concat!("L", "LM"),
    concat!("Cla", "ude"),
    concat!("Anth", "ropic"),
    concat!("Ope", "nAI"),
    concat!("Chat", "GPT"),
    concat!("Cop", "ilot"),
    concat!("language ", "model"),
    concat!("coding ", "agent"),
    concat!("sub", "agent"),
    concat!("Co-Authored", "-By"),
];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &tree.files {
        if NOT_OURS.iter().any(|prefix| file.path.starts_with(prefix)) {
            continue;
        }
        for (i, line) in file.text.lines().enumerate() {
            if let Some(what) = fault(line) {
                findings.push(Finding::new(&file.path, i + 1, what));
            }
        }
    }
    findings
}

fn fault(line: &str) -> Option<String> {
    let found = |words: &[&'static str]| words.iter().copied().find(|word| line.contains(word));
    if let Some(host) = found(HOSTS) {
        return Some(format!(
            "names the registry host `{host}`; say \"the registry\""
        ));
    }
    if let Some(path) = found(MACHINE_PATHS) {
        return Some(format!(
            "holds the machine path `{path}`; write it relative, or ask the environment"
        ));
    }
    let author = AUTHORS.iter().find(|word| has_word(line, word))?;
    Some(format!(
        "says `{author}`; text here is about the software, not about how it was written"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_word_is_found_once_a_line() {
        for words in [HOSTS, MACHINE_PATHS, AUTHORS] {
            for word in words {
                let text = format!("first\nsee {word} there\n");
                let findings = check(&Tree::of([("a.md", text.as_str())]));
                assert_eq!(findings.len(), 1, "{word}");
                assert_eq!(findings[0].line, 2);
            }
        }
    }

    #[test]
    fn a_word_that_only_begins_like_one_is_fine() {
        let text = "AIR, the root/ folder, work/ and a session of 660 s\n";
        assert_eq!(check(&Tree::of([("a.md", text)])), []);
    }

    #[test]
    fn locks_vectors_and_corpora_are_not_ours() {
        let text = HOSTS[0];
        for path in [
            "Cargo.lock",
            "tests/vectors/a.json",
            "tests/fuzz/corpus/card/a",
        ] {
            assert_eq!(check(&Tree::of([(path, text)])), [], "{path}");
        }
    }
}
