//! The files that git knows or would add, read once for all gates.

use super::rust::Rust;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// A text file; `path` is relative to the workspace, with `/`.
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// Everything that the gates look at.
#[derive(Default)]
pub(crate) struct Tree {
    pub(crate) files: Vec<File>,
    pub(crate) rust: Vec<Rust>,
}

impl Tree {
    /// Reads the work tree as it stands, uncommitted changes included.
    pub(crate) fn read(root: &Path) -> Result<Tree, String> {
        let output = Command::new("git")
            .args([
                "ls-files",
                "-z",
                "--cached",
                "--others",
                "--exclude-standard",
            ])
            .current_dir(root)
            .output()
            .map_err(|error| {
                format!("git did not start: {error}; the gates ask it for the list of files")
            })?;
        if !output.status.success() {
            let error = String::from_utf8_lossy(&output.stderr);
            return Err(format!("git ls-files: {}", error.trim()));
        }
        let list = String::from_utf8_lossy(&output.stdout);
        let files = list.split('\0').filter_map(|path| {
            // A path that git lists but that is gone was just deleted; bytes that are no text are corpora and vectors.
            let text = String::from_utf8(std::fs::read(root.join(path)).ok()?).ok()?;
            Some((path, text))
        });
        Ok(Tree::of(files))
    }

    /// A tree of these paths and texts.
    pub(crate) fn of<P: Into<String>, T: Into<String>>(
        files: impl IntoIterator<Item = (P, T)>,
    ) -> Tree {
        let mut tree = Tree::default();
        for (path, text) in files {
            let (path, text) = (path.into(), text.into());
            if path.ends_with(".rs") {
                tree.rust.push(Rust::new(path.clone(), &text));
            }
            tree.files.push(File { path, text });
        }
        // `#[cfg(test)] mod name;` makes a test of a file that does not say so itself.
        let test_files: BTreeSet<String> = tree
            .rust
            .iter()
            .flat_map(|file| file.test_modules.iter().cloned())
            .collect();
        for file in &mut tree.rust {
            if test_files.contains(&file.path) {
                file.is_test.fill(true);
            }
        }
        tree
    }

    /// The text of the file at this path.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        let file = self.files.iter().find(|file| file.path == path)?;
        Some(&file.text)
    }
}

/// Whether `line` has `word` with no letter, digit or `_` directly before or behind it.
pub(crate) fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back().is_some_and(is_part);
        let behind = line[at + word.len()..].chars().next().is_some_and(is_part);
        // A pattern that itself begins or ends with punctuation has no word edge there.
        !(before && word.starts_with(is_part) || behind && word.ends_with(is_part))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_found_alone_and_not_inside_another() {
        assert!(has_word("let x = rand::thread_rng();", "thread_rng"));
        assert!(has_word("todo!()", "todo!"));
        assert!(!has_word("deny(unsafe_code)", "unsafe"));
        assert!(!has_word("MyInstant::now()", "Instant::now"));
    }

    #[test]
    fn a_module_declared_for_tests_only_is_a_test_to_its_last_line() {
        let tree = Tree::of([
            ("a/src/lib.rs", "#[cfg(test)]\nmod twin;\nmod other;\n"),
            ("a/src/twin.rs", "fn slow() {}\n"),
            ("a/src/other.rs", "fn fast() {}\n"),
        ]);
        let tests: Vec<bool> = tree.rust.iter().map(|file| file.is_test[0]).collect();
        assert_eq!(tests, [true, true, false]);
    }
}
