//! Every reason for which something is dropped is named by a test, so that no test passes because something else
//! refused first.

use super::Finding;
use super::rust::Rust;
use super::tree::{Tree, has_word};

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree
        .rust
        .iter()
        .filter(|file| !file.path.starts_with("xtask/"))
    {
        let Some((start, enumeration)) = reasons(file) else {
            continue;
        };
        for (line, variant) in variants(file, start) {
            let name = format!("{enumeration}::{variant}");
            let folder = crate_folder(&file.path);
            // Two crates may each have such an enum, so a test of another crate does not count.
            let is_near = |path: &str| path.starts_with("tests/") || crate_folder(path) == folder;
            let mut near = tree.rust.iter().filter(|other| is_near(&other.path));
            if !near.any(|other| a_test_names(other, &name)) {
                findings.push(Finding::new(
                    &file.path,
                    line,
                    format!("no test names {name}; write one that makes it happen and asserts its counter"),
                ));
            }
        }
    }
    findings
}

/// Where this file declares its `enum DropReason` (or `enum UdpDrop`, and the like), and what it is called.
fn reasons(file: &Rust) -> Option<(usize, &str)> {
    file.code.iter().enumerate().find_map(|(i, line)| {
        let name = line
            .trim_start()
            .trim_start_matches("pub ")
            .strip_prefix("enum ")?;
        let name = name.split(|c: char| !c.is_alphanumeric()).next()?;
        (name == "DropReason" || name.ends_with("Drop")).then_some((i, name))
    })
}

/// The variants of the enum declared at `start`, with their lines; if it stands in a macro that also makes a list of them,
/// those of the macro's use.
fn variants(file: &Rust, start: usize) -> Vec<(usize, String)> {
    let (variants, from_macro) = block(file, start);
    if !from_macro {
        return variants;
    }
    let is_use = |line: &String| line.ends_with("! {") && !line.starts_with("macro_rules!");
    let used = file.code.iter().position(is_use);
    used.map_or(Vec::new(), |line| block(file, line).0)
}

/// The capitalised names that begin a line directly within the braces which open at line `start`, and whether a macro
/// fills them in.
fn block(file: &Rust, start: usize) -> (Vec<(usize, String)>, bool) {
    let mut names = Vec::new();
    let (mut depth, mut from_macro) = (0, false);
    for (i, line) in file.code.iter().enumerate().skip(start) {
        let word = line.trim_start();
        if depth == 1 && word.starts_with(|c: char| c.is_ascii_uppercase()) {
            let end = word.find(|c: char| !c.is_alphanumeric());
            names.push((i + 1, word[..end.unwrap_or(word.len())].to_owned()));
        }
        from_macro |= word.starts_with('$');
        for c in line.chars() {
            match c {
                '{' | '(' => depth += 1,
                '}' | ')' => depth -= 1,
                _ => {}
            }
        }
        if depth == 0 && line.contains('}') {
            break;
        }
    }
    (names, from_macro)
}

fn a_test_names(file: &Rust, name: &str) -> bool {
    let lines = file.code.iter().zip(&file.is_test);
    lines
        .into_iter()
        .any(|(line, &is_test)| is_test && has_word(line, name))
}

/// The folder that holds `src`, `tests` and `examples`.
fn crate_folder(path: &str) -> &str {
    let folders = ["/src/", "/tests/", "/examples/"];
    let end = folders.iter().filter_map(|folder| path.find(folder)).min();
    &path[..end.unwrap_or(path.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENUM: &str = "pub enum DropReason {\n    /// Why.\n    Forged,\n    Full { table: u8 },\n    #[doc(hidden)]\n    Late(u8),\n}\nenum Other { Not }\n";

    const MACRO: &str = "macro_rules! reasons {\n    ($($name:ident),*) => {\n        pub enum DropReason {\n            $($name),*\n        }\n    };\n}\n\nreasons! {\n    /// Why.\n    Forged,\n    Late = \"late\",\n}\n";

    fn lines(tests: &str, path: &str) -> Vec<usize> {
        lines_of(ENUM, tests, path)
    }

    fn lines_of(reasons: &str, tests: &str, path: &str) -> Vec<usize> {
        let tree = Tree::of([("plugins/net/src/drops.rs", reasons), (path, tests)]);
        check(&tree)
            .into_iter()
            .map(|finding| finding.line)
            .collect()
    }

    #[test]
    fn each_variant_that_no_test_names_is_reported_at_its_line() {
        assert_eq!(lines("", "plugins/net/src/a.rs"), [3, 4, 6]);
        let tests = "fn a() { DropReason::Forged }\n#[test]\nfn b() { (DropReason::Full, DropReason::Late); }\n";
        assert_eq!(lines(tests, "plugins/net/src/a.rs"), [3]);
    }

    #[test]
    fn variants_that_a_macro_fills_in_are_read_where_it_is_used() {
        assert_eq!(lines_of(MACRO, "", "plugins/net/src/a.rs"), [11, 12]);
        let tests = "fn a() { DropReason::Late; }\n";
        assert_eq!(lines_of(MACRO, tests, "tests/a.rs"), [11]);
    }

    #[test]
    fn the_test_may_stand_in_the_crates_tests_or_in_the_workspaces_but_not_in_another_crate() {
        let tests = "fn b() { (DropReason::Full, DropReason::Late, DropReason::Forged); }\n";
        assert_eq!(lines(tests, "plugins/net/tests/a.rs"), [0; 0]);
        assert_eq!(lines(tests, "plugins/net/src/tests/a.rs"), [0; 0]);
        assert_eq!(lines(tests, "tests/scenarios/a.rs"), [0; 0]);
        assert_eq!(lines(tests, "plugins/relay/tests/a.rs").len(), 3);
    }
}
