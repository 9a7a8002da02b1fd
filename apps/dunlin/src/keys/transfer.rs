//! `dunlin keys export` and `import`: keys as a file that may lie in a drawer or go to another device.

use super::passphrase;
use super::sealed::{self, Refusal, SEALED_BYTES, VERSION_1};
use crate::control::running;
use crate::{Error, Global, private};
use dunlin_net::{KeyFile, KeyFileError};
use serde_json::json;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// Write the keys of this device's id and mailbox into a new file, sealed under a passphrase.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  dunlin keys export alice.keys                             asks for a passphrase, twice
  dunlin keys export alice.keys --passphrase-file secret    takes it from a file of one line

Whoever has the file can try passphrases; each try costs 64 MiB and a fraction of a second (Argon2id, RFC 9106).
Prekeys are not in it: in a drawer they would undo that they are erased. So read what waits before you move to another device: what was sealed
to this one's prekeys opens nowhere else.
Exit codes: 0 done, 1 failed, 2 not understood.")]
pub(crate) struct ExportArgs {
    /// Where to; the file must not exist yet
    file: PathBuf,
    /// Take the passphrase from this file instead of asking: one line
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

/// Take the keys out of such a file, for this device.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  dunlin keys import alice.keys
  dunlin --home copy keys import alice.keys --passphrase-file secret

Keys that are here already are never overwritten without --replace. Use them on one device at a time.
Exit codes: 0 done, 1 failed, 2 not understood.")]
pub(crate) struct ImportArgs {
    /// A file that `dunlin keys export` wrote
    file: PathBuf,
    /// Take the passphrase from this file instead of asking: one line
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Put them in place of the keys that are here, which are lost unless they were exported
    #[arg(long)]
    replace: bool,
}

pub(crate) fn export(args: &ExportArgs, global: &Global) -> Result<(), Error> {
    let keys = KeyFile::read(&global.key_file()?)?;
    let path = &args.file;
    // Before anybody types a passphrase twice in vain.
    if path.symlink_metadata().is_ok() {
        return Err(there(path));
    }
    let passphrase = passphrase::new(args.passphrase_file.as_deref())?;
    let mut salt = [0; 16];
    getrandom::fill(&mut salt)
        .map_err(|error| Error::failed(format!("the system gives no random bytes: {error}")))?;
    let file = sealed::seal(&keys, &passphrase, salt, VERSION_1)
        .map_err(|refusal| refused(path, refusal))?;
    private::create(path, &file).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => there(path),
        _ => Error::failed(format!("cannot write {}: {error}", path.display())),
    })?;
    let (id, path) = (
        keys.identity()?.id().to_string(),
        path.display().to_string(),
    );
    global.result(
        format_args!("id    {id}\nfile  {path}\nWithout the passphrase it is of no use: keep both, in two places."),
        &json!({ "id": id, "file": path }),
    )
}

pub(crate) fn import(args: &ImportArgs, global: &Global) -> Result<(), Error> {
    let file = read(&args.file)?;
    let home = global.make_home()?;
    let path = global.key_file()?;
    let there = match KeyFile::read(&path) {
        Err(KeyFileError::Missing(_)) => None,
        there => Some(there),
    };
    let passphrase = passphrase::old(args.passphrase_file.as_deref())?;
    let keys = sealed::open(&file, &passphrase, VERSION_1)
        .map_err(|refusal| refused(&args.file, refusal))?;
    let id = keys.identity()?.id().to_string();
    let what = match there {
        None => {
            keys.create(&path)?;
            "imported"
        }
        Some(Ok(old))
            if old.identity_seed == keys.identity_seed && old.mailbox_seed == keys.mailbox_seed =>
        {
            "there already"
        }
        Some(old) if !args.replace => return Err(others(&path, old, &id)),
        Some(_) => {
            if running(&home.join("control"))?.is_some() {
                return Err(Error::failed(format!(
                    "a process runs with the keys in {}: end it before they are replaced",
                    home.display()
                )));
            }
            keys.replace(&path)?;
            "imported, in place of others"
        }
    };
    let path = path.display().to_string();
    global.result(
        format_args!("id    {id}\nkeys  {path}  ({what})"),
        &json!({ "id": id, "keys": path, "outcome": what }),
    )
}

/// Reads the file, and refuses what no passphrase can open.
fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let mut file = Vec::new();
    File::open(path)
        .and_then(|source| source.take(SEALED_BYTES as u64 + 1).read_to_end(&mut file))
        .map_err(|error| Error::failed(format!("cannot read {}: {error}", path.display())))?;
    sealed::look(&file).map_err(|refusal| refused(path, refusal))?;
    Ok(file)
}

fn there(path: &Path) -> Error {
    let path = path.display();
    Error::failed(format!(
        "{path} exists already and is not overwritten: choose another name, or move it away"
    ))
}

fn others(path: &Path, old: Result<KeyFile, KeyFileError>, new: &str) -> Error {
    let old = old.ok().and_then(|keys| keys.identity().ok());
    let old = old.map_or("that cannot be read".to_owned(), |old| {
        format!("of id {}", old.id())
    });
    let path = path.display();
    Error::failed(format!(
        "{path} holds keys {old}, not those of {new}, and nothing was changed: import into another --home, or with --replace, \
         which destroys the old ones (`dunlin keys export` saves them first)"
    ))
}

fn refused(path: &Path, refusal: Refusal) -> Error {
    let path = path.display();
    Error::failed(match refusal {
        Refusal::NotOne => {
            format!("{path} is not a file that `dunlin keys export` wrote: look for the right one")
        }
        Refusal::Version(version) => {
            format!("{path} is of version {version}, and this program knows version 1: update it")
        }
        Refusal::Torn => {
            format!("{path} is damaged or cut short: copy it again from where it is whole")
        }
        Refusal::Passphrase => format!(
            "{path} does not open with this passphrase: try again; if you are sure of it, somebody has altered the file"
        ),
        Refusal::Memory => {
            format!(
                "{path}: sealing and opening take 64 MiB of memory, which this system does not give"
            )
        }
    })
}
