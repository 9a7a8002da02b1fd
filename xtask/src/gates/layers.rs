//! Arrows never point up: `abi ← sdk`, `engine ← engine/io ← plugins ← apps`. ARCHITECTURE, "Layout".

use super::Finding;
use super::manifest::{Dependency, dependencies, members, package_name};
use super::tree::Tree;

/// Which plugin may stand on which other; each row is a decision.
const PLUGIN_ON_PLUGIN: &[(&str, &str)] = &[
    ("dunlin-relay", "dunlin-net"), // Packets travel on links.
    ("dunlin-sim", "dunlin-net"),   // It stands where `UdpPlugin` stands.
    ("dunlin-sim", "dunlin-relay"), // Its people write to each other.
];

/// An app whose library another uses; each row is a decision.
const APP_ON_APP: &[(&str, &str)] = &[
    ("dunlin", "dunlin-relayd"), // `dunlin relay` is the same relay.
];

/// What a layer must never meet, whoever would bring it.
const NEVER: &[(&str, &str)] = &[
    ("engine", "tokio"), // The engine knows no runtime; engine/io does.
    ("engine/abi", "*"), // The boundary of dynamic plugins stands on nothing.
];

#[derive(Clone, Copy, PartialEq)]
enum Layer {
    Abi,
    Sdk,
    Engine,
    Io,
    Plugin,
    App,
    /// The tests and the tools: nothing stands on them, they may use everything.
    Outside,
}

impl Layer {
    fn of(folder: &str) -> Layer {
        match folder {
            "engine/abi" => Layer::Abi,
            "engine/sdk" => Layer::Sdk,
            "engine" => Layer::Engine,
            "engine/io" => Layer::Io,
            _ if folder.starts_with("plugins/") => Layer::Plugin,
            _ if folder.starts_with("apps/") => Layer::App,
            _ => Layer::Outside,
        }
    }

    fn may_stand_on(self, other: Layer) -> bool {
        match self {
            Layer::Abi | Layer::Engine => false,
            Layer::Sdk => other == Layer::Abi,
            Layer::Io => other == Layer::Engine,
            Layer::Plugin => matches!(other, Layer::Engine | Layer::Io | Layer::Abi),
            Layer::App => !matches!(other, Layer::App | Layer::Outside),
            Layer::Outside => !matches!(other, Layer::App | Layer::Outside),
        }
    }
}

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let root = tree.text("Cargo.toml").unwrap_or_default();
    let crates: Vec<Crate> = members(root)
        .into_iter()
        .filter_map(|folder| Crate::read(tree, folder))
        .collect();
    let mut findings = Vec::new();
    for user in &crates {
        for dependency in &user.dependencies {
            let mut report =
                |what: String| findings.push(Finding::new(&user.path, dependency.line, what));
            if let Some(what) = user.breaks(dependency, &crates) {
                report(what);
            }
            for (folder, name) in NEVER {
                if user.folder == *folder && (*name == "*" || *name == dependency.name) {
                    report(format!("{folder} never depends on {}", dependency.name));
                }
            }
        }
    }
    findings
}

struct Crate<'a> {
    folder: &'a str,
    path: String,
    name: &'a str,
    layer: Layer,
    dependencies: Vec<Dependency<'a>>,
}

impl<'a> Crate<'a> {
    fn read(tree: &'a Tree, folder: &'a str) -> Option<Crate<'a>> {
        let path = format!("{folder}/Cargo.toml");
        let manifest = tree.text(&path)?;
        Some(Crate {
            folder,
            name: package_name(manifest)?,
            layer: Layer::of(folder),
            dependencies: dependencies(manifest),
            path,
        })
    }

    /// Why this dependency points up, if it does.
    fn breaks(&self, dependency: &Dependency, crates: &[Crate]) -> Option<String> {
        let other = crates.iter().find(|other| other.name == dependency.name)?;
        // An example or a test of a lower crate may show it together with a higher one; cargo builds that apart.
        if dependency.dev && other.layer != Layer::App {
            return None;
        }
        let allowed = self.layer.may_stand_on(other.layer)
            || PLUGIN_ON_PLUGIN.contains(&(self.name, other.name))
            || APP_ON_APP.contains(&(self.name, other.name));
        (!allowed).then(|| {
            format!(
                "{} may not depend on {}: arrows never point up; move what both need into the lower one",
                self.folder, other.folder
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A workspace of the crates that matter; `user` gets `lines`.
    fn findings(user: &str, lines: &str) -> Vec<String> {
        let folders = [
            "engine/abi",
            "engine/sdk",
            "engine",
            "engine/io",
            "plugins/net",
            "plugins/relay",
            "apps/dunlin",
            "tests",
        ];
        let list: Vec<String> = folders.iter().map(|folder| format!("{folder:?}")).collect();
        let root = format!("[workspace]\nmembers = [{}]\n", list.join(", "));
        let members = folders.iter().map(|folder| {
            let tail = folder.rsplit('/').next().unwrap_or(folder);
            let mut text = format!("[package]\nname = \"dunlin-{tail}\"\n");
            if *folder == user {
                text += lines;
            }
            (format!("{folder}/Cargo.toml"), text)
        });
        let tree = Tree::of(members.chain([("Cargo.toml".to_owned(), root)]));
        check(&tree)
            .into_iter()
            .map(|finding| finding.what)
            .collect()
    }

    #[test]
    fn what_the_layout_allows_is_fine() {
        for (user, other) in [
            ("engine/sdk", "abi"),
            ("engine/io", "engine"),
            ("plugins/net", "io"),
            ("plugins/relay", "net"),
            ("apps/dunlin", "relay"),
            ("tests", "relay"),
        ] {
            let lines = format!("[dependencies]\ndunlin-{other}.workspace = true\n");
            assert_eq!(findings(user, &lines), [""; 0], "{user} on {other}");
        }
    }

    #[test]
    fn an_arrow_that_points_up_or_sideways_is_named() {
        for (user, other) in [
            ("engine", "io"),
            ("engine", "net"),
            ("engine/io", "net"),
            ("plugins/net", "relay"),
            ("plugins/relay", "dunlin"),
            ("tests", "dunlin"),
        ] {
            let lines = format!("[dependencies]\ndunlin-{other}.workspace = true\n");
            assert_eq!(findings(user, &lines).len(), 1, "{user} on {other}");
        }
    }

    #[test]
    fn an_example_of_the_engine_may_use_a_plugin_but_the_engine_never_tokio() {
        let example = "[dev-dependencies]\ndunlin-relay.workspace = true\n";
        assert_eq!(findings("engine", example), [""; 0]);
        let tokio = "[dependencies]\ntokio.workspace = true\n";
        assert_eq!(findings("engine", tokio), ["engine never depends on tokio"]);
        assert_eq!(findings("engine/io", tokio), [""; 0]);
        assert_eq!(findings("engine/abi", tokio).len(), 1);
    }
}
