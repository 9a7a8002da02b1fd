//! A row of stages, each timed: the first that fails ends the run, and the table is printed either way.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

/// One step of a command, with the name that stands in the table.
pub(crate) struct Stage {
    pub(crate) name: &'static str,
    /// Gets the workspace's folder; the error says what failed and what to do.
    pub(crate) run: fn(&Path) -> Result<(), String>,
}

/// Runs the stages in order until one fails.
pub(crate) fn run<'a>(root: &Path, stages: impl IntoIterator<Item = &'a Stage>) -> ExitCode {
    let mut seconds = Vec::new();
    let mut failure = None;
    for stage in stages {
        println!("\n== {}", stage.name);
        let start = Instant::now();
        let result = (stage.run)(root);
        seconds.push((stage.name, start.elapsed().as_secs_f64()));
        if let Err(message) = result {
            failure = Some((stage.name, message));
            break;
        }
        println!("== {}: {:.1} s", stage.name, start.elapsed().as_secs_f64());
    }
    print!("\n{}", table(&seconds));
    match failure {
        None => ExitCode::SUCCESS,
        Some((name, message)) => {
            eprintln!("\nfailed at {name}: {message}");
            ExitCode::FAILURE
        }
    }
}

fn table(rows: &[(&str, f64)]) -> String {
    let total: f64 = rows.iter().map(|row| row.1).sum();
    let mut text = String::from("stage        seconds\n");
    for (name, seconds) in rows.iter().chain([&("all", total)]) {
        text += &format!("{name:<12} {seconds:>7.1}\n");
    }
    text
}

/// The cargo that started us, in the workspace's folder.
pub(crate) fn cargo(root: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root);
    command
}

/// Where cargo puts what it builds.
pub(crate) fn target(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from)
}

/// Prints the command, runs it, and turns a failure into a message that names it.
pub(crate) fn check(command: &mut Command) -> Result<(), String> {
    let line = line_of(command);
    println!("$ {line}");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{line}` ended with {status}")),
        Err(error) => Err(format!("`{line}` did not start: {error}")),
    }
}

/// The command as a person would type it.
pub(crate) fn line_of(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    let mut line = name.to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line += &argument.to_string_lossy();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_ends_with_the_sum() {
        let text = table(&[("fmt", 0.5), ("clippy", 12.25)]);
        assert_eq!(
            text,
            "stage        seconds\nfmt              0.5\nclippy          12.2\nall             12.8\n"
        );
    }

    #[test]
    fn a_failing_stage_keeps_the_next_from_running() {
        fn fails(_: &Path) -> Result<(), String> {
            Err("as meant".into())
        }
        fn never(_: &Path) -> Result<(), String> {
            panic!("ran after a failure")
        }
        let stages = [
            Stage {
                name: "first",
                run: fails,
            },
            Stage {
                name: "second",
                run: never,
            },
        ];
        assert_eq!(run(Path::new("."), &stages), ExitCode::FAILURE);
    }

    #[test]
    fn a_command_is_named_without_its_folder() {
        let mut command = Command::new("/usr/bin/cargo");
        command.args(["fmt", "--check"]);
        assert_eq!(line_of(&command), "cargo fmt --check");
    }
}
