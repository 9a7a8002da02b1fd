//! `cargo xtask run`: the demo, from nothing but a clone.

use crate::{setup, stages};
use std::path::Path;
use std::process::ExitCode;

pub(crate) fn run(root: &Path, arguments: &[String]) -> ExitCode {
    if let Err(message) = setup::ensure(setup::BUILD) {
        eprintln!("{message}");
        return ExitCode::FAILURE;
    }
    let mut command = stages::cargo(root, &["run", "--package", "dunlin", "--manifest-path"]);
    command.arg(root.join("Cargo.toml")).args(["--", "demo"]);
    command.args(arguments);
    // Paths among the arguments are the caller's, so the demo runs where the caller stands.
    if let Ok(here) = std::env::current_dir() {
        command.current_dir(here);
    }
    match command.status() {
        Ok(status) => ExitCode::from(
            status
                .code()
                .and_then(|c| u8::try_from(c).ok())
                .unwrap_or(1),
        ),
        Err(error) => {
            eprintln!("cargo did not start: {error}");
            ExitCode::FAILURE
        }
    }
}
