//! `dunlin completions`: a script by which a shell completes commands and options.

use crate::{Cli, Error, Global};
use clap::{CommandFactory, ValueEnum};
use clap_complete::Shell as Script;
use std::process::ExitCode;

/// Print the script by which a shell completes commands and options.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  dunlin completions bash > ~/.local/share/bash-completion/completions/dunlin
  dunlin completions zsh > ~/.zfunc/_dunlin              a folder of $fpath
  dunlin completions fish > ~/.config/fish/completions/dunlin.fish

Exit codes: 0 done, 1 failed, 2 not understood.")]
pub(crate) struct Args {
    /// For which shell
    shell: Shell,
}

/// Shells of Unix.
#[derive(Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

pub(crate) fn run(args: &Args, global: &Global) -> Result<ExitCode, Error> {
    let (name, shell) = match args.shell {
        Shell::Bash => ("bash", Script::Bash),
        Shell::Zsh => ("zsh", Script::Zsh),
        Shell::Fish => ("fish", Script::Fish),
    };
    // Into memory first: the generator panics where it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "dunlin", &mut script);
    let script = String::from_utf8(script)?;
    let object = serde_json::json!({ "shell": name, "script": script });
    global.result(&script, &object)?;
    Ok(ExitCode::SUCCESS)
}
