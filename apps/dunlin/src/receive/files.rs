//! Where files go: under their own names, whole or not at all, and nothing is overwritten. Larger content grows in a hidden file beside them.

use super::journal::Journal;
use crate::Error;
use data_encoding::HEXLOWER;
use dunlin_relay::content_hasher;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Files of one name in a folder.
const NAMES_MAX: usize = 10_000;

fn failed<'a>(what: &'a str, out: &'a Path) -> impl Fn(std::io::Error) -> Error + 'a {
    move |error| Error::failed(format!("cannot {what} in {}: {error}", out.display()))
}

/// Writes a file under a name that is free, unless that was done for this message before.
pub(crate) fn store(
    out: &Path,
    (message, name): (&str, &str),
    body: &[u8],
    journal: &mut Journal,
) -> Result<PathBuf, Error> {
    if let Some(path) = journal.file(message)
        && std::fs::read(&path).is_ok_and(|there| there == body)
    {
        return Ok(path);
    }
    let mut draft = tempfile::NamedTempFile::new_in(out).map_err(failed("write", out))?;
    draft
        .write_all(body)
        .and_then(|()| draft.as_file().sync_all())
        .map_err(failed("write", out))?;
    keep(out, (message, name), draft.into_temp_path(), journal)
}

/// Gives a file that is whole its name, or, if that is taken, one with a number.
fn keep(
    out: &Path,
    (message, name): (&str, &str),
    mut draft: tempfile::TempPath,
    journal: &mut Journal,
) -> Result<PathBuf, Error> {
    for number in 0..NAMES_MAX {
        let path = out.join(numbered(name, number));
        if path.symlink_metadata().is_ok() {
            continue;
        }
        let absolute = std::path::absolute(&path).map_err(failed("write", out))?;
        journal.note(message, &absolute)?;
        match draft.persist_noclobber(&path) {
            Ok(()) => {
                sync(out)?;
                return Ok(path);
            }
            Err(taken) if taken.error.kind() == ErrorKind::AlreadyExists => draft = taken.path,
            Err(refused) => {
                let error = failed("make a file", out)(refused.error);
                let _ = refused.path.keep(); // What is there stays there.
                return Err(error);
            }
        }
    }
    let _ = draft.keep();
    Err(Error::failed(format!(
        "10,000 files in {} are called like {name}: move them away",
        out.display()
    )))
}

/// A new name is on disk once its folder is.
fn sync(out: &Path) -> Result<(), Error> {
    File::open(out)
        .and_then(|folder| folder.sync_all())
        .map_err(failed("write", out))
}

/// `photo.png`, `photo-1.png`, `photo-2.png` …
fn numbered(name: &str, number: usize) -> String {
    let path = Path::new(name);
    match (number, path.file_stem(), path.extension()) {
        (0, ..) => name.to_owned(),
        (_, Some(stem), Some(extension)) => format!(
            "{}-{number}.{}",
            stem.to_string_lossy(),
            extension.to_string_lossy()
        ),
        _ => format!("{name}-{number}"),
    }
}

/// Larger content, as `relay.receive` tells of it.
struct Content<'a> {
    out: &'a Path,
    id: &'a str,
    name: String,
}

impl<'a> Content<'a> {
    fn of(told: &'a Value, out: &'a Path) -> Content<'a> {
        let id = told["content"].as_str().unwrap_or_default();
        let short: String = id.chars().take(8).collect();
        let name = match told["name"].as_str() {
            Some(name) => name.to_owned(),
            None => format!("message-{short}.txt"), // A text too long for a screen.
        };
        Content { out, id, name }
    }

    /// Where its parts are put together.
    fn draft(&self) -> PathBuf {
        self.out.join(format!(".dunlin-{}.part", self.id))
    }

    fn lost(&self) -> Error {
        Error::failed(format!(
            "{}: parts of it were received before, and {} is not there: run again with the --out of that time, or have it sent anew",
            self.name,
            self.draft().display()
        ))
    }
}

/// Puts a part where it belongs. It is on disk when this returns.
pub(super) fn store_part(told: &Value, body: &[u8], out: &Path) -> Result<(), Error> {
    let content = Content::of(told, out);
    let draft = content.draft();
    let is_first = told["parts_had"] == 0;
    let mut options = OpenOptions::new();
    options.write(true).create(is_first).mode(0o600);
    let file = match options.open(&draft) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(content.lost()),
        opened => opened.map_err(failed("write", out))?,
    };
    file.write_all_at(body, told["offset"].as_u64().unwrap_or_default())
        .and_then(|()| file.sync_data())
        .map_err(failed("write", out))?;
    if is_first { sync(out) } else { Ok(()) }
}

/// All parts are there: checks that they make what was sent, and gives the file its name. Answers where it is, its length and its SHA-256.
pub(super) fn store_content(
    told: &Value,
    out: &Path,
    journal: &mut Journal,
) -> Result<(PathBuf, Value), Error> {
    let content = Content::of(told, out);
    let (draft, digest) = (content.draft(), told["digest"].as_str());
    let is_it = |path: &Path| sums(path).is_ok_and(|(found, ..)| Some(found.as_str()) == digest);
    let path = if is_it(&draft) {
        let draft = tempfile::TempPath::try_from_path(&draft).map_err(failed("write", out))?;
        keep(out, (content.id, &content.name), draft, journal)?
    } else if draft.exists() {
        return Err(Error::failed(format!(
            "{}: what is in {} is not what was sent: was it changed? Remove it, and have the file sent anew",
            content.name,
            draft.display()
        )));
    } else {
        // Killed after it had its name, and before the carriers heard of it.
        let named = journal.file(content.id).filter(|path| is_it(path));
        named.ok_or_else(|| content.lost())?
    };
    let (_, sha256, bytes) = sums(&path).map_err(failed("read", out))?;
    Ok((path, json!({ "bytes": bytes, "sha256": sha256 })))
}

/// The digest by which content is known (PROTOCOL 3.9), the SHA-256, and the length of a file.
fn sums(path: &Path) -> std::io::Result<(String, String, u64)> {
    let mut file = File::open(path)?;
    let (mut digest, mut sha256, mut bytes) = (content_hasher(), Sha256::new(), 0);
    let mut piece = vec![0; 1 << 16];
    loop {
        let count = file.read(&mut piece)?;
        if count == 0 {
            let digest = HEXLOWER.encode(digest.finalize().as_bytes());
            return Ok((digest, HEXLOWER.encode(&sha256.finalize()), bytes));
        }
        digest.update(&piece[..count]);
        sha256.update(&piece[..count]);
        bytes += count as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunlin_relay::content_digest;

    fn journal(home: &Path) -> Journal {
        Journal::open(home).expect("none yet, or whole")
    }

    fn names(out: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(out)
            .expect("a folder")
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .into_string()
                    .expect("text")
            })
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_whose_name_is_taken_gets_a_number_and_nothing_is_overwritten() {
        let home = tempfile::tempdir().expect("a folder");
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path();
        let mut journal = journal(home.path());
        store(out, ("1", "photo.png"), b"one", &mut journal).expect("stored");
        let second = store(out, ("2", "photo.png"), b"two", &mut journal).expect("stored");
        assert_eq!(names(out), ["photo-1.png", "photo.png"]);
        assert_eq!(std::fs::read(out.join("photo.png")).expect("there"), b"one");
        assert_eq!(std::fs::read(&second).expect("there"), b"two");
    }

    #[test]
    fn a_message_that_comes_again_after_a_kill_makes_no_second_file() {
        let home = tempfile::tempdir().expect("a folder");
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path();
        for _ in 0..2 {
            let mut journal = journal(home.path());
            let path = store(out, ("1", "photo.png"), b"one", &mut journal).expect("stored");
            assert_eq!(path.file_name().expect("a name"), "photo.png");
        }
        // Killed between the note and the name: it gets its name now.
        std::fs::remove_file(out.join("photo.png")).expect("there");
        let mut again = journal(home.path());
        store(out, ("1", "photo.png"), b"one", &mut again).expect("stored");
        // Another message with the same bytes is another file.
        store(out, ("2", "photo.png"), b"one", &mut again).expect("stored");
        assert_eq!(names(out), ["photo-1.png", "photo.png"]);
    }

    /// What `relay.receive` tells of "film" in three parts, of which so many were had before.
    fn told(had: u64, offset: u64) -> Value {
        let digest = HEXLOWER.encode(&content_digest(b"part one, part two, end"));
        json!({
            "content": "00ff", "name": "film.mkv", "digest": digest, "parts": 3, "parts_had": had, "offset": offset,
        })
    }

    #[test]
    fn parts_make_the_file_whoever_is_killed_between_them() {
        let (home, folder) = (tempfile::tempdir(), tempfile::tempdir());
        let (home, folder) = (home.expect("a folder"), folder.expect("a folder"));
        let out = folder.path();
        std::fs::write(out.join("film.mkv"), "another").expect("our own folder");
        store_part(&told(0, 0), b"part one, ", out).expect("stored");
        store_part(&told(1, 20), b"end", out).expect("stored");
        // The second comes twice: after the first time he was killed before he could confirm it.
        store_part(&told(2, 10), b"part two, ", out).expect("stored");
        store_part(&told(2, 10), b"part two, ", out).expect("stored");
        let mut first = journal(home.path());
        let (path, facts) = store_content(&told(3, 0), out, &mut first).expect("whole");
        assert_eq!(path, out.join("film-1.mkv"));
        assert_eq!(
            std::fs::read(&path).expect("there"),
            b"part one, part two, end"
        );
        assert_eq!(facts["bytes"], 23);
        // Killed before it was confirmed: it is told again, and nothing is made twice.
        let mut second = journal(home.path());
        let (again, _) = store_content(&told(3, 0), out, &mut second).expect("there");
        assert_eq!(again, path);
        assert_eq!(names(out), ["film-1.mkv", "film.mkv"]);
    }

    #[test]
    fn parts_that_are_elsewhere_or_were_changed_are_an_error_that_says_what_to_do() {
        let (home, folder) = (tempfile::tempdir(), tempfile::tempdir());
        let (home, folder) = (home.expect("a folder"), folder.expect("a folder"));
        let out = folder.path();
        let mut journal = journal(home.path());
        let lost = store_part(&told(1, 20), b"end", out)
            .unwrap_err()
            .to_string();
        assert!(
            lost.starts_with("film.mkv: parts of it were received before"),
            "{lost}"
        );
        assert!(lost.contains(".dunlin-00ff.part is not there") && lost.contains("--out"));
        assert!(store_content(&told(3, 0), out, &mut journal).is_err());
        store_part(&told(0, 0), b"part one, part 2, end", out).expect("stored");
        let changed = store_content(&told(3, 0), out, &mut journal)
            .unwrap_err()
            .to_string();
        assert!(changed.contains("is not what was sent"), "{changed}");
        assert!(out.join(".dunlin-00ff.part").exists());
    }
}
