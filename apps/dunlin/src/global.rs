//! Options that every command takes: where this device's files are, and how to answer.

use crate::Error;
use std::fmt::Display;
use std::io::Write;
use std::path::{Path, PathBuf};
use tracing_subscriber::filter::LevelFilter;

/// Options that every command takes.
#[derive(clap::Args)]
pub(crate) struct Global {
    /// Folder of this device's keys and address book [default: $DUNLIN_HOME, else ~/.local/share/dunlin]
    #[arg(long, global = true, value_name = "DIR")]
    home: Option<PathBuf>,
    /// Answer with one JSON object, as the last line of stdout
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Log to stderr: off, error, warn, info, debug or trace
    #[arg(long, global = true, value_name = "LEVEL", default_value = "warn")]
    log: LevelFilter,
}

impl Global {
    /// The folder of this device's files. It need not exist.
    pub(crate) fn home(&self) -> Result<PathBuf, Error> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        home(
            self.home.as_deref(),
            variable("DUNLIN_HOME").map(PathBuf::from),
            variable("HOME").map(PathBuf::from),
        )
    }

    /// The same, made if it is not there, readable by its owner alone.
    pub(crate) fn make_home(&self) -> Result<PathBuf, Error> {
        let home = self.home()?;
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&home).map_err(|error| {
            let home = home.display();
            Error::failed(format!(
                "cannot make the folder {home}: {error}; choose another with --home"
            ))
        })?;
        Ok(home)
    }

    /// The key file.
    pub(crate) fn key_file(&self) -> Result<PathBuf, Error> {
        Ok(self.home()?.join("keys"))
    }

    /// Sends what the libraries log to stderr; stdout is for answers.
    pub(crate) fn log(&self) {
        tracing_subscriber::fmt()
            .with_max_level(self.log)
            .with_writer(std::io::stderr)
            .init();
    }

    /// The command's answer: the text for a person, or the object with `--json`.
    pub(crate) fn result(
        &self,
        text: impl Display,
        object: &serde_json::Value,
    ) -> Result<(), Error> {
        let text = if self.json {
            object.to_string()
        } else {
            text.to_string()
        };
        if text.is_empty() {
            return Ok(());
        }
        // Not `println!`, which panics when the reader of a pipe has gone.
        writeln!(std::io::stdout(), "{}", text.trim_end())
            .map_err(|error| Error::failed(format!("cannot write the answer: {error}")))
    }
}

fn home(
    asked: Option<&Path>,
    dunlin_home: Option<PathBuf>,
    user_home: Option<PathBuf>,
) -> Result<PathBuf, Error> {
    asked
        .map(Path::to_path_buf)
        .or(dunlin_home)
        .or_else(|| Some(user_home?.join(".local/share/dunlin")))
        .ok_or_else(|| {
            Error::usage(
                "neither --home nor $DUNLIN_HOME nor $HOME says where this device's files are",
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_goes_before_the_variable_and_the_variable_before_the_users_home() {
        let path = |text: &str| Some(PathBuf::from(text));
        let found = |asked: Option<&str>, dunlin, user| {
            home(asked.map(Path::new), dunlin, user).map_err(|error| error.to_string())
        };
        assert_eq!(found(Some("a"), path("b"), path("c")), Ok("a".into()));
        assert_eq!(found(None, path("b"), path("c")), Ok("b".into()));
        assert_eq!(
            found(None, None, path("c")),
            Ok("c/.local/share/dunlin".into())
        );
        assert!(found(None, None, None).is_err());
    }
}
