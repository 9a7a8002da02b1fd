//! `dunlin man`: a manual page for each command, made of the same words as --help.

use crate::{Cli, Error, Global};
use clap::{Command, CommandFactory};
use clap_mangen::Man;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Write a manual page for each command into a folder.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  dunlin man ~/.local/share/man/man1      then: man dunlin, man dunlin-send
  dunlin man . && man ./dunlin-keys-export.1

Pages that are there already are overwritten.
Exit codes: 0 done, 1 failed, 2 not understood.")]
pub(crate) struct Args {
    /// The folder; it is made if it is not there
    dir: PathBuf,
}

pub(crate) fn run(args: &Args, global: &Global) -> Result<ExitCode, Error> {
    std::fs::create_dir_all(&args.dir)
        .map_err(|error| Error::failed(format!("cannot make {}: {error}", args.dir.display())))?;
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    write(&command, &args.dir, &mut pages)?;
    pages.sort();
    let dir = args.dir.display().to_string();
    global.result(
        format_args!("{} pages in {dir}", pages.len()),
        &json!({ "dir": dir, "pages": pages }),
    )?;
    Ok(ExitCode::SUCCESS)
}

fn write(command: &Command, dir: &Path, pages: &mut Vec<String>) -> Result<(), Error> {
    for below in command.get_subcommands() {
        write(below, dir, pages)?;
    }
    let page = Man::new(command.clone()).source(concat!("dunlin ", env!("CARGO_PKG_VERSION")));
    let name = page.get_filename();
    page.generate_to(dir).map_err(|error| {
        let path = dir.join(&name);
        Error::failed(format!("cannot write {}: {error}", path.display()))
    })?;
    pages.push(name);
    Ok(())
}
