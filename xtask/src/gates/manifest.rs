//! As much of a Cargo.toml as the gates and the stages need: tables, keys, and what stands behind them on the same line.

/// One dependency, as a manifest writes it.
#[derive(Debug, PartialEq)]
pub(crate) struct Dependency<'a> {
    pub(crate) name: &'a str,
    /// From 1.
    pub(crate) line: usize,
    /// Only for tests and examples.
    pub(crate) dev: bool,
    /// Its version comes from the root.
    pub(crate) inherited: bool,
}

/// Every dependency of all tables: plain, dev, build, and those of a target.
pub(crate) fn dependencies(manifest: &str) -> Vec<Dependency<'_>> {
    let mut found: Vec<Dependency> = Vec::new();
    for (table, line, key, value) in entries(manifest) {
        let Some((kind, own)) = dependency_table(table) else {
            continue;
        };
        let dev = kind == "dev-dependencies";
        let (name, inherited) = match own {
            // `[dependencies.name]`: each line is one of its properties.
            Some(name) => (name, key == "workspace"),
            None => (
                key.split('.').next().unwrap_or(key).trim_matches('"'),
                key.ends_with(".workspace") || value.contains("workspace = true"),
            ),
        };
        match found
            .last_mut()
            .filter(|last| own.is_some() && last.name == name)
        {
            Some(last) => last.inherited |= inherited,
            None => found.push(Dependency {
                name,
                line,
                dev,
                inherited,
            }),
        }
    }
    found
}

/// `("dependencies", None)` of `dependencies`, `("dev-dependencies", Some("a"))` of `target.'cfg(unix)'.dev-dependencies.a`.
fn dependency_table(table: &str) -> Option<(&str, Option<&str>)> {
    let kinds = ["dependencies", "dev-dependencies", "build-dependencies"];
    let (before, last) = table.rsplit_once('.').unwrap_or(("", table));
    if kinds.contains(&last) {
        return (before.is_empty() || before.starts_with("target.")).then_some((last, None));
    }
    let kind = before.rsplit('.').next()?;
    (kinds.contains(&kind) && !before.starts_with("workspace")).then_some((kind, Some(last)))
}

/// The value of `key` in `[table]`, as it is written.
pub(crate) fn value<'a>(manifest: &'a str, table: &str, key: &str) -> Option<&'a str> {
    let mut entries = entries(manifest);
    entries.find_map(|(t, _, k, value)| (t == table && k == key).then_some(value))
}

/// `[package] name`.
pub(crate) fn package_name(manifest: &str) -> Option<&str> {
    Some(value(manifest, "package", "name")?.trim_matches('"'))
}

/// The folders that `[workspace] members` lists, on one line or several.
pub(crate) fn members(manifest: &str) -> Vec<&str> {
    let Some((_, list)) = manifest.split_once("\nmembers = [") else {
        return Vec::new();
    };
    let list = list.split(']').next().unwrap_or_default();
    list.split('"').skip(1).step_by(2).collect()
}

/// `(table, line, key, value)` of each `key = value`; lines that go on with an array have no key of their own.
fn entries(manifest: &str) -> impl Iterator<Item = (&str, usize, &str, &str)> {
    let mut table = "";
    manifest.lines().enumerate().filter_map(move |(i, line)| {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[') {
            if let Some((name, _)) = header.rsplit_once(']').filter(|_| !line.contains('=')) {
                table = name.trim_matches(['[', ']']);
            } else if let Some((name, _)) = header.split_once("]") {
                table = name;
            }
            return None;
        }
        let (key, value) = line.split_once('=')?;
        let key = key.trim();
        let is_key = |c: char| c.is_alphanumeric() || "-_.\"".contains(c);
        key.chars()
            .all(is_key)
            .then(|| (table, i + 1, key, value.trim()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"[package]
name = "a"
version.workspace = true

[dependencies]
b.workspace = true
c = { workspace = true, features = [
    "d",
] }
e = "1"

[target.'cfg(unix)'.dev-dependencies]
f = { version = "2" }

[dependencies.g]
version = "3"
features = ["h"]

[build-dependencies.i]
features = []
workspace = true

[features]
j = []
"#;

    #[test]
    fn dependencies_are_found_in_every_form_that_cargo_knows() {
        let found: Vec<_> = dependencies(MANIFEST)
            .into_iter()
            .map(|d| (d.name, d.line, d.dev, d.inherited))
            .collect();
        assert_eq!(
            found,
            [
                ("b", 6, false, true),
                ("c", 7, false, true),
                ("e", 10, false, false),
                ("f", 13, true, false),
                ("g", 16, false, false),
                ("i", 20, false, true),
            ]
        );
        assert_eq!(package_name(MANIFEST), Some("a"));
    }

    #[test]
    fn the_roots_table_of_versions_is_no_dependency_of_its_own() {
        let root =
            "[workspace]\nmembers = [\"a\", \"b/c\"]\n\n[workspace.dependencies]\nd = \"1\"\n";
        assert_eq!(dependencies(root), []);
        assert_eq!(members(root), ["a", "b/c"]);
    }
}
