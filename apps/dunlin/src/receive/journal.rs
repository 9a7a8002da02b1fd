//! Which file is being given its name, on disk before it has it: killed before its carriers heard of it, the next run knows that the message
//! was had, and makes no second file.

use crate::{Error, private};
use serde_json::{Value, json};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The last file that was given a name.
pub(crate) struct Journal {
    path: PathBuf,
    last: Value,
}

impl Journal {
    /// Reads it from a device's folder.
    pub(crate) fn open(home: &Path) -> Result<Journal, Error> {
        let path = home.join("receiving");
        let last = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::NotFound => Value::Null,
            Err(error) => {
                let text = format!("cannot read {}: {error}", path.display());
                return Err(Error::failed(text));
            }
        };
        Ok(Journal { path, last })
    }

    /// Writes down that this message is about to become that file.
    pub(super) fn note(&mut self, message: &str, file: &Path) -> Result<(), Error> {
        self.last = json!({ "message": message, "file": file });
        let bytes = self.last.to_string();
        private::replace(&self.path, bytes.as_bytes()).map_err(|error| {
            Error::failed(format!("cannot write {}: {error}", self.path.display()))
        })
    }

    /// The file that this message was to become, if it was the last.
    pub(super) fn file(&self, message: &str) -> Option<PathBuf> {
        let same = self.last["message"] == message;
        self.last["file"]
            .as_str()
            .filter(|_| same)
            .map(PathBuf::from)
    }
}
