//! Why a program ended early, for the person who started it.

use std::fmt;
use std::process::ExitCode;

/// A message and an exit code. Any error becomes one, with its sources, and then means "failed".
#[derive(Debug)]
pub struct Error {
    message: String,
    code: u8,
}

impl Error {
    /// The command was understood and failed: exit code 1. Say what to do about it.
    #[must_use]
    pub fn failed(message: impl Into<String>) -> Error {
        Error {
            message: message.into(),
            code: 1,
        }
    }

    /// The command line asks for something that makes no sense: exit code 2.
    #[must_use]
    pub fn usage(message: impl Into<String>) -> Error {
        Error {
            message: message.into(),
            code: 2,
        }
    }

    /// What the program ends with.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Error {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_message = cause.to_string();
            // Some errors print their cause themselves.
            if !message.ends_with(&cause_message) {
                message += &format!(": {cause_message}");
            }
            source = cause.source();
        }
        Error::failed(message)
    }
}
