//! `cargo xtask versions [REVISION]`: an older Dunlin, built from the repository's history, and today's in one network.

use crate::setup;
use crate::stages::{cargo, check};
use std::path::Path;
use std::process::{Command, ExitCode};

/// The first revision that did the main job over version 1 of the protocol.
const FIRST: &str = "6f9b5e688322a4994cb0df597e0ca732b698c83c";

pub(crate) fn versions(root: &Path, arguments: &[String]) -> ExitCode {
    let revision = match arguments {
        [] => FIRST,
        [revision] => revision,
        _ => {
            eprintln!("cargo xtask versions takes one revision at most.");
            return ExitCode::from(2);
        }
    };
    match run(root, revision) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn run(root: &Path, revision: &str) -> Result<(), String> {
    setup::ensure(setup::BUILD)?;
    let folder = root.join("target/versions");
    let (source, files) = (folder.join("source"), folder.join("files"));
    for old in [&source, &files] {
        if old.exists() {
            std::fs::remove_dir_all(old).map_err(|error| format!("{}: {error}", old.display()))?;
        }
    }
    std::fs::create_dir_all(&files).map_err(|error| format!("{}: {error}", files.display()))?;
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.args(arguments).current_dir(root);
        check(&mut command)
    };
    git(&["worktree", "prune"])?;
    let place = source.to_string_lossy().into_owned();
    git(&["worktree", "add", "--detach", &place, revision])?;
    let built = build(&source, &folder.join("old"))
        .and_then(|old| Ok((old, build(root, &root.join("target"))?)))
        .and_then(|(old, new)| {
            let script = root.join("tests/old_and_new.sh");
            check(Command::new("sh").args([&script, &old, &new, &files]))
        });
    git(&["worktree", "remove", "--force", &place])?;
    built
}

fn build(source: &Path, target: &Path) -> Result<std::path::PathBuf, String> {
    let mut command = cargo(source, &["build", "--package", "dunlin", "--target-dir"]);
    check(command.arg(target))?;
    Ok(target.join("debug/dunlin"))
}
