//! The key file: a device's secrets, made once, readable by its owner alone, never overwritten.

use crate::{IdError, Identity};
use rand_core::CryptoRng;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

const MAGIC: &[u8; 16] = b"dunlin keys v1\n\0";
const LENGTH: usize = 16 + 32 + 32 + 4;

/// What the key file holds: 16 bytes of magic, the identity's seed, the mailbox's seed, 4 bytes of BLAKE3 over all that.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct KeyFile {
    /// Ed25519 seed of the identity.
    pub identity_seed: [u8; 32],
    /// Ed25519 seed of the mailbox.
    pub mailbox_seed: [u8; 32],
}

/// What is wrong with a key file, where, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// There is one already.
    #[error("{0} exists already and is never overwritten: move it away first if you want new keys")]
    Exists(PathBuf),
    /// There is none.
    #[error("{0} does not exist: make it with `dunlin keys new`")]
    Missing(PathBuf),
    /// Others could read it.
    #[error(
        "{path} can be read by others (mode {mode:03o}): if nobody has, run `chmod 600 {path}`; else make new keys"
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not a key file, or damaged.
    #[error(
        "{0} is not a whole key file: restore it from a copy, or move it away and make new keys"
    )]
    Damaged(PathBuf),
    /// The system refused.
    #[error("cannot {what} {path}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl KeyFile {
    /// Draws new keys. Nothing is written.
    #[must_use]
    pub fn generate(random: &mut impl CryptoRng) -> KeyFile {
        let mut keys = KeyFile {
            identity_seed: [0; 32],
            mailbox_seed: [0; 32],
        };
        random.fill_bytes(&mut keys.mailbox_seed);
        loop {
            random.fill_bytes(&mut keys.identity_seed);
            if Identity::from_seed(&keys.identity_seed).is_ok() {
                return keys;
            }
        }
    }

    /// The identity in this file.
    ///
    /// # Errors
    /// None for a file from [`read`](KeyFile::read) or [`generate`](KeyFile::generate), which checked it.
    pub fn identity(&self) -> Result<Identity, IdError> {
        Identity::from_seed(&self.identity_seed)
    }

    /// Writes the keys to a file that must not exist yet, with mode 0600. Whole or not at all, even if the power fails: a file
    /// beside it is written and synced first, then linked to the name, which never replaces one.
    ///
    /// # Errors
    /// [`KeyFileError::Exists`], or what the system refused.
    pub fn create(&self, path: &Path) -> Result<(), KeyFileError> {
        if fs::symlink_metadata(path).is_ok() {
            return Err(KeyFileError::Exists(path.into()));
        }
        self.place(path, |beside, path| fs::hard_link(beside, path))
    }

    /// Writes the keys in place of those in the file, which are lost. Whole or not at all, as by [`create`](KeyFile::create).
    ///
    /// # Errors
    /// What the system refused.
    pub fn replace(&self, path: &Path) -> Result<(), KeyFileError> {
        self.place(path, |beside, path| fs::rename(beside, path))
    }

    fn place(
        &self,
        path: &Path,
        give_name: impl Fn(&Path, &Path) -> io::Result<()>,
    ) -> Result<(), KeyFileError> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(format!(".{}.new", std::process::id()));
        let beside = PathBuf::from(beside);
        let failed = |what, path: &Path| {
            let path = path.to_path_buf();
            move |source| KeyFileError::Io { what, path, source }
        };
        // A crash may have left one of an earlier process with this number; it was never linked, so nobody uses it.
        let _ = fs::remove_file(&beside);
        let written = private(&beside).and_then(|mut file| {
            file.write_all(&self.encode())?;
            file.sync_all()
        });
        let placed = written.map_err(failed("write", &beside)).and_then(|()| {
            give_name(&beside, path).map_err(|source| match source.kind() {
                io::ErrorKind::AlreadyExists => KeyFileError::Exists(path.into()),
                _ => failed("create", path)(source),
            })
        });
        let _ = fs::remove_file(&beside);
        placed?;
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))
            .and_then(|folder| folder.sync_all())
            .map_err(failed("sync the folder of", path))
    }

    /// Reads the keys.
    ///
    /// # Errors
    /// [`KeyFileError`] says what is wrong: missing, damaged, or readable by others.
    pub fn read(path: &Path) -> Result<KeyFile, KeyFileError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => KeyFileError::Missing(path.into()),
            _ => KeyFileError::Io {
                what: "read",
                path: path.into(),
                source,
            },
        };
        let file = File::open(path).map_err(failed)?;
        refuse_if_open(&file, path)?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(LENGTH + 1)); // No reallocation leaves a copy behind.
        file.take(LENGTH as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        KeyFile::decode(&bytes).ok_or_else(|| KeyFileError::Damaged(path.into()))
    }

    fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(LENGTH));
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&self.identity_seed);
        bytes.extend_from_slice(&self.mailbox_seed);
        let sum = blake3::hash(&bytes);
        bytes.extend_from_slice(&sum.as_bytes()[..4]);
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<KeyFile> {
        let bytes: &[u8; LENGTH] = bytes.try_into().ok()?;
        let keys = KeyFile {
            identity_seed: bytes[16..48].try_into().ok()?,
            mailbox_seed: bytes[48..80].try_into().ok()?,
        };
        let sound = bytes[..16] == MAGIC[..]
            && blake3::hash(&bytes[..80]).as_bytes()[..4] == bytes[80..]
            && Identity::from_seed(&keys.identity_seed).is_ok();
        sound.then_some(keys)
    }
}

#[cfg(unix)]
fn private(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

#[cfg(not(unix))]
fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

#[cfg(unix)]
fn refuse_if_open(file: &File, path: &Path) -> Result<(), KeyFileError> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = file.metadata().map_err(|source| KeyFileError::Io {
        what: "look at",
        path: path.into(),
        source,
    })?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Open {
            path: path.into(),
            mode,
        });
    }
    Ok(())
}

#[cfg(not(unix))]
fn refuse_if_open(_: &File, _: &Path) -> Result<(), KeyFileError> {
    Ok(()) // A profile's folder is private to its user there.
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    fn keys(seed: u64) -> KeyFile {
        KeyFile::generate(&mut ChaCha20Rng::seed_from_u64(seed))
    }

    #[test]
    fn keys_survive_the_file_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        keys(1).create(&path).unwrap();
        let read = KeyFile::read(&path).unwrap();
        assert_eq!(read.identity_seed, keys(1).identity_seed);
        assert_eq!(read.mailbox_seed, keys(1).mailbox_seed);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_key_file_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        keys(1).create(&path).unwrap();
        let refused = keys(2).create(&path).unwrap_err();
        assert!(matches!(refused, KeyFileError::Exists(_)), "{refused}");
        assert_eq!(
            KeyFile::read(&path).unwrap().identity_seed,
            keys(1).identity_seed
        );
    }

    #[test]
    fn only_replace_puts_other_keys_in_the_place_of_those_that_are_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        for seed in [1, 2] {
            keys(seed).replace(&path).unwrap();
            let read = KeyFile::read(&path).unwrap();
            assert_eq!(read.identity_seed, keys(seed).identity_seed);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_key_file_that_others_can_read_is_refused_and_made_ones_are_private() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        keys(1).create(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        for mode in [0o640, 0o604, 0o620] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let refused = KeyFile::read(&path).err().unwrap().to_string();
            assert!(refused.contains(&format!("(mode {mode:03o})")), "{refused}");
            assert!(refused.contains("chmod 600"), "{refused}");
        }
    }

    #[test]
    fn a_missing_torn_or_altered_key_file_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        let missing = KeyFile::read(&path).err().unwrap();
        assert!(matches!(missing, KeyFileError::Missing(_)), "{missing}");
        let whole = keys(1).encode();
        for length in [0, 1, 16, 83, 85] {
            let mut torn = whole.to_vec();
            torn.resize(length, 0);
            assert!(KeyFile::decode(&torn).is_none(), "{length} bytes");
        }
        for bit in 0..LENGTH * 8 {
            let mut altered = whole.to_vec();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(KeyFile::decode(&altered).is_none(), "bit {bit}");
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_named_in_the_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nowhere").join("keys");
        let refused = keys(1).create(&path).unwrap_err().to_string();
        assert!(refused.starts_with("cannot write"), "{refused}");
        assert!(refused.contains("nowhere"), "{refused}");
    }
}
