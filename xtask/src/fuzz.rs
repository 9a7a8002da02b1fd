//! `cargo xtask fuzz TARGET`: libFuzzer on one of the plain functions in `tests/fuzz`, with what it finds kept apart from
//! the corpus that `cargo xtask test` replays.

use crate::setup;
use crate::stages::{cargo, check};
use std::path::Path;
use std::process::{ExitCode, Stdio};

const FOLDER: &str = "tests/fuzz";
const SECONDS_DEFAULT: u32 = 60;

pub(crate) fn fuzz(root: &Path, arguments: &[String]) -> ExitCode {
    let targets = targets(root);
    let asked = match parse(arguments, &targets) {
        Ok(asked) => asked,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    let Some((target, seconds)) = asked else {
        println!("{}", targets.join("\n"));
        return ExitCode::SUCCESS;
    };
    if let Err(message) = run(root, &target, seconds) {
        eprintln!(
            "{message}\nWhat crashed it is named above. Mend the code, then move that file to {FOLDER}/corpus/{target}: \
             `cargo xtask test` replays it from then on."
        );
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn run(root: &Path, target: &str, seconds: u32) -> Result<(), String> {
    setup::ensure(setup::BUILD)?;
    setup::ensure(setup::FUZZ)?;
    let mut version = cargo(root, &["fuzz", "--version"]);
    let version = version.stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !version.is_ok_and(|status| status.success()) {
        println!("cargo-fuzz is missing: installing it.");
        check(&mut cargo(root, &["install", "cargo-fuzz", "--locked"]))?;
    }
    // libFuzzer adds what it finds to the first folder, and only reads the second.
    let found = format!("target/fuzz/corpus/{target}");
    let ours = format!("{FOLDER}/corpus/{target}");
    for folder in [&found, &ours] {
        std::fs::create_dir_all(root.join(folder)).map_err(|error| format!("{folder}: {error}"))?;
    }
    let mut command = cargo(root, &["fuzz", "run", "--fuzz-dir", FOLDER]);
    command
        .args(["--target-dir", "target/fuzz", target, &found, &ours, "--"])
        .arg(format!("-max_total_time={seconds}"))
        // The sanitizers are unstable; this lets the stable compiler have them, so that no second one is needed.
        .env("RUSTC_BOOTSTRAP", "1");
    check(&mut command)
}

/// The names of the targets, sorted.
fn targets(root: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(root.join(FOLDER).join("fuzz_targets"));
    let mut names: Vec<String> = entries
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some(entry.path().file_stem()?.to_string_lossy().into_owned()))
        .collect();
    names.sort();
    names
}

/// The target and the seconds; none if nothing is asked for.
fn parse(arguments: &[String], targets: &[String]) -> Result<Option<(String, u32)>, String> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (target, seconds) = match arguments[..] {
        [] => return Ok(None),
        [target] => (target, Some(SECONDS_DEFAULT)),
        [target, "--seconds", seconds] => (target, seconds.parse().ok()),
        _ => return Err("cargo xtask fuzz [TARGET [--seconds N]]".into()),
    };
    let seconds = seconds.ok_or("--seconds takes a whole number")?;
    if !targets.iter().any(|name| name == target) {
        return Err(format!(
            "no target named `{target}`; there are: {}",
            targets.join(", ")
        ));
    }
    Ok(Some((target.to_owned(), seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(arguments: &str) -> Result<Option<(String, u32)>, String> {
        let arguments: Vec<String> = arguments.split_whitespace().map(str::to_owned).collect();
        parse(&arguments, &["card".into(), "packet".into()])
    }

    #[test]
    fn a_target_is_run_for_a_minute_or_as_long_as_asked() {
        assert_eq!(asked(""), Ok(None));
        assert_eq!(asked("card"), Ok(Some(("card".into(), 60))));
        assert_eq!(asked("packet --seconds 5"), Ok(Some(("packet".into(), 5))));
    }

    #[test]
    fn what_is_no_target_is_answered_with_those_there_are() {
        assert_eq!(
            asked("cart"),
            Err("no target named `cart`; there are: card, packet".into())
        );
        assert!(asked("card --seconds soon").is_err());
        assert!(asked("card 5").is_err());
    }
}
