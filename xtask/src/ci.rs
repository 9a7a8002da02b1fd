//! `cargo xtask ci` and `cargo xtask test`: their stages, cheapest first, so that a slip is known in seconds.

use crate::stages::{self, Stage, cargo, check, line_of};
use crate::{gates, setup};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// How long an example may run before it counts as hung. Guess: they take under a second.
const EXAMPLE_TIME_MAX: Duration = Duration::from_secs(60);

const OWN_RELAY: &str = "engine/examples/own-relay/Cargo.toml";

pub(crate) const GATES: Stage = Stage {
    name: "gates",
    run: gates::run,
};

const CHECKS: &[Stage] = &[
    Stage {
        name: "fmt",
        run: |root| {
            check(&mut cargo(root, &["fmt", "--all", "--check"]))
                .map_err(|error| format!("{error}; `cargo fmt --all` mends it"))
        },
    },
    GATES,
    Stage {
        name: "clippy",
        // `--locked` here stands for all: a Cargo.lock that does not fit its manifests stops the run.
        run: |root| {
            check(&mut cargo(
                root,
                &[
                    "clippy",
                    "--locked",
                    "--workspace",
                    "--all-targets",
                    "--",
                    "--deny",
                    "warnings",
                ],
            ))
        },
    },
    Stage {
        name: "docs",
        run: |root| {
            check(
                cargo(
                    root,
                    &[
                        "doc",
                        "--workspace",
                        "--no-deps",
                        "--document-private-items",
                    ],
                )
                .env("RUSTDOCFLAGS", "--deny warnings"),
            )
        },
    },
];

/// The tests come last, so that what a run ends on is their result.
const TESTS: &[Stage] = &[
    Stage {
        name: "build",
        run: |root| {
            check(&mut cargo(
                root,
                &["build", "--workspace", "--bins", "--examples"],
            ))
        },
    },
    Stage {
        name: "examples",
        run: examples,
    },
    Stage {
        name: "own-relay",
        run: own_relay,
    },
    Stage {
        name: "tests",
        run: tests,
    },
];

const SETUP: Stage = Stage {
    name: "set-up",
    run: |_| setup::ensure(setup::BUILD).and_then(|()| setup::ensure(setup::TEST)),
};

pub(crate) fn ci(root: &Path) -> ExitCode {
    stages::run(root, [&SETUP].into_iter().chain(CHECKS).chain(TESTS))
}

pub(crate) fn test(root: &Path) -> ExitCode {
    stages::run(root, [&SETUP].into_iter().chain(TESTS))
}

/// Runs what the build stage made of every `examples/NAME.rs` and `examples/NAME/main.rs`.
fn examples(root: &Path) -> Result<(), String> {
    let manifest = read(&root.join("Cargo.toml"))?;
    for member in gates::manifest::members(&manifest) {
        for name in example_names(&root.join(member).join("examples")) {
            let program = target_dir(root).join("debug/examples").join(&name);
            run_limited(Command::new(program).current_dir(root))?;
        }
    }
    Ok(())
}

fn example_names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new(); // Most crates have none.
    };
    let mut names: Vec<String> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension().is_some_and(|e| e == "rs") || path.join("main.rs").is_file()
        })
        .filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned()))
        .collect();
    names.sort();
    names
}

/// Builds and runs the crate that stands outside the workspace, as somebody else's would.
fn own_relay(root: &Path) -> Result<(), String> {
    if !root.join(OWN_RELAY).is_file() {
        return Err(format!("{OWN_RELAY} is missing; the workspace excludes it"));
    }
    // In our target folder its dependencies are those already built; anywhere else they would be built again.
    let target = target_dir(root);
    let build = ["build", "--manifest-path", OWN_RELAY, "--target-dir"];
    check(cargo(root, &build).arg(&target))?;
    // It would carry packets until Ctrl-C; this ends it once it is up.
    let mut relay = Command::new(target.join("debug/own-relay"));
    run_limited(relay.arg("--check").current_dir(root))
}

/// `cargo test`, passed through line by line, and at its end one line that adds up all its results.
fn tests(root: &Path) -> Result<(), String> {
    let mut command = cargo(root, &["test", "--workspace", "--no-fail-fast"]);
    let line = line_of(&command);
    println!("$ {line}");
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("`{line}` did not start: {error}"))?;
    let (mut passed, mut failed) = (0, 0);
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).split(b'\n') {
            let line = line.map_err(|error| format!("reading the tests' output: {error}"))?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            if let Some(result) = result_of(&line) {
                passed += result.0;
                failed += result.1;
            }
        }
    }
    let status = child
        .wait()
        .map_err(|error| format!("waiting for `{line}`: {error}"))?;
    println!("tests: {passed} passed, {failed} failed");
    if !status.success() {
        return Err(format!("`{line}` ended with {status}"));
    }
    if passed == 0 {
        return Err("no test ran".into());
    }
    Ok(())
}

/// Passed and failed, from `test result: ok. 3 passed; 0 failed; …`.
fn result_of(line: &str) -> Option<(u64, u64)> {
    let counts = line.strip_prefix("test result: ")?;
    let count = |what: &str| {
        let before = counts.split(what).next()?.trim_end();
        before.rsplit(' ').next()?.parse().ok()
    };
    Some((count("passed;")?, count("failed;")?))
}

/// Runs a program that must end by itself, and soon.
fn run_limited(command: &mut Command) -> Result<(), String> {
    let line = line_of(command);
    println!("$ {line}");
    let mut child = command
        .stdin(Stdio::null())
        .spawn()
        .map_err(|error| format!("`{line}` did not start: {error}"))?;
    // This thread waits for the child, so another watches the limit; std's `kill` would need the handle that `wait` holds.
    let (done, over) = mpsc::channel::<()>();
    let pid = child.id();
    let watch = std::thread::spawn(move || {
        let hung = over.recv_timeout(EXAMPLE_TIME_MAX) == Err(mpsc::RecvTimeoutError::Timeout);
        if hung {
            let _ = Command::new("kill").arg(pid.to_string()).status();
        }
        hung
    });
    let status = child.wait();
    drop(done);
    if watch.join().unwrap_or(false) {
        let seconds = EXAMPLE_TIME_MAX.as_secs();
        return Err(format!("`{line}` did not end within {seconds} s"));
    }
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{line}` ended with {status}")),
        Err(error) => Err(format!("waiting for `{line}`: {error}")),
    }
}

/// Where cargo, which runs in the workspace's folder, puts what it builds.
fn target_dir(root: &Path) -> PathBuf {
    root.join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_line_gives_its_two_counts_and_other_lines_none() {
        let line =
            "test result: FAILED. 41 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(result_of(line), Some((41, 2)));
        assert_eq!(result_of("test parses ... ok"), None);
    }

    #[test]
    fn a_program_that_fails_is_named_with_its_status() {
        let error = run_limited(&mut Command::new("false")).expect_err("`false` fails");
        assert_eq!(error, "`false` ended with exit status: 1");
        assert_eq!(run_limited(&mut Command::new("true")), Ok(()));
    }
}
