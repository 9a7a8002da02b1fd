//! The relay's keys: read, or made at the first start.

use crate::{Error, entropy};
use dunlin_engine::Random;
use dunlin_net::{KeyFile, KeyFileError};
use std::path::Path;

/// Reads a key file, or makes it if it is not there.
///
/// # Errors
/// What is wrong with the file and what to do about it, or that there is no entropy.
pub fn read_or_make(path: &Path) -> Result<KeyFile, Error> {
    match KeyFile::read(path) {
        Err(KeyFileError::Missing(_)) => {}
        read => return read.map_err(|error| explain(&error)),
    }
    let keys = KeyFile::generate(&mut Random::from_entropy(entropy()?).0);
    keys.create(path).map_err(|error| explain(&error))?;
    tracing::info!(path = %path.display(), "made new keys");
    Ok(keys)
}

fn explain(error: &KeyFileError) -> Error {
    // The other faults say themselves what to do.
    let advice = match error {
        KeyFileError::Io { .. } => {
            "; let this user read and write it and its folder, or name another file with --identity"
        }
        _ => "",
    };
    Error::failed(format!("{error}{advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("relay.key");
        let made = read_or_make(&path).unwrap();
        let read = read_or_make(&path).unwrap();
        assert_eq!(made.identity_seed, read.identity_seed);
    }

    #[test]
    fn what_cannot_be_used_is_named_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let nowhere = folder.path().join("nowhere").join("relay.key");
        let torn = folder.path().join("torn");
        std::fs::write(&torn, "x").unwrap();
        #[cfg(unix)]
        std::fs::set_permissions(&torn, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .unwrap();
        for (path, what, advice) in [
            (&nowhere, "cannot write", "--identity"),
            (&folder.path().to_path_buf(), "", "chmod 600"),
            (&torn, "not a whole key file", "restore"),
        ] {
            let error = read_or_make(path).err().unwrap().to_string();
            assert!(error.contains(&path.display().to_string()), "{error}");
            assert!(error.contains(what) && error.contains(advice), "{error}");
        }
    }
}
