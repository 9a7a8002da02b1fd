//! A version is said once, in the root Cargo.toml: of a dependency, and of the workspace's own crates.

use super::Finding;
use super::manifest::{dependencies, members, value};
use super::tree::Tree;

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let root = tree.text("Cargo.toml").unwrap_or_default();
    let mut findings = Vec::new();
    // Crates outside the workspace (the fuzz crate, the outsider's relay) are no members and say their own.
    for folder in members(root) {
        let path = format!("{folder}/Cargo.toml");
        let Some(manifest) = tree.text(&path) else {
            findings.push(Finding::new(
                &path,
                0,
                "is missing, and the workspace lists it",
            ));
            continue;
        };
        for dependency in dependencies(manifest).iter().filter(|d| !d.inherited) {
            let name = dependency.name;
            findings.push(Finding::new(
                &path,
                dependency.line,
                format!("write `{name}.workspace = true`; its version belongs into [workspace.dependencies] of the root"),
            ));
        }
        if value(manifest, "package", "version.workspace") != Some("true") {
            findings.push(Finding::new(
                &path,
                0,
                "write `version.workspace = true` under [package]",
            ));
        }
        if value(manifest, "lints", "workspace") != Some("true") {
            findings.push(Finding::new(
                &path,
                0,
                "write `[lints]` with `workspace = true`",
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(manifest: &str) -> Vec<usize> {
        let root = "[workspace]\nmembers = [\"a\"]\n\n[workspace.dependencies]\nb = \"1\"\n";
        let tree = Tree::of([("Cargo.toml", root), ("a/Cargo.toml", manifest)]);
        check(&tree)
            .into_iter()
            .map(|finding| finding.line)
            .collect()
    }

    #[test]
    fn a_member_inherits_its_versions_and_lints() {
        let fine = "[package]\nversion.workspace = true\n\n[lints]\nworkspace = true\n\n[dependencies]\nb.workspace = true\n";
        assert_eq!(lines(fine), [0; 0]);
        assert_eq!(lines(&format!("{fine}c = \"1\"\n")), [9]);
        assert_eq!(lines("[package]\nversion = \"1.0.0\"\n"), [0, 0]);
    }
}
