//! Files that are their owner's alone, and whole or not there at all, even if the power fails.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use tempfile::NamedTempFile;

/// Puts a file in place of what is there under its name.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    draft(path, content)?.persist(path)?;
    sync_folder(path)
}

/// The same, and an error if something is there already.
pub(crate) fn create(path: &Path, content: &[u8]) -> io::Result<()> {
    draft(path, content)?.persist_noclobber(path)?;
    sync_folder(path)
}

/// Of two who change what the file at `path` guards, the second waits until the first has dropped this.
pub(crate) fn lock(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    file.lock()?;
    Ok(file)
}

/// On disk, in the same folder, with mode 0600.
fn draft(path: &Path, content: &[u8]) -> io::Result<NamedTempFile> {
    let mut draft = NamedTempFile::new_in(folder(path))?;
    draft.write_all(content)?;
    draft.as_file().sync_all()?;
    Ok(draft)
}

/// A new name is on disk once its folder is.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder(path))?.sync_all()
}

fn folder(path: &Path) -> &Path {
    let folder = path.parent();
    let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_file_is_its_owners_alone_and_only_replace_writes_over_one() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        create(&path, b"one").expect("nothing is there");
        let mode = std::fs::metadata(&path).expect("made").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let refused = create(&path, b"two").expect_err("it is there");
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).expect("there"), b"one");
        replace(&path, b"two").expect("our own folder");
        assert_eq!(std::fs::read(&path).expect("there"), b"two");
        assert_eq!(
            std::fs::read_dir(folder.path()).expect("a folder").count(),
            1
        );
    }
}
