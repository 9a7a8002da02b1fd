//! Asking for a passphrase: from a terminal, without echo, or from a file.

use crate::Error;
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, isatty, tcgetattr, tcsetattr,
};
use std::fs::File;
use std::io::{Read, Stdin, Write};
use std::path::Path;
use zeroize::Zeroizing;

/// Longer than anybody types; a terminal's line has 4,096.
const BYTES_MAX: usize = 1_024;
/// For new ones. NIST SP 800-63B-3, 5.1.1.2: at least 8 characters.
const LETTERS_MIN: usize = 8;
/// Ctrl-C, as a terminal gives it where it makes no signal of it.
const INTERRUPT: u8 = 3;

/// Never shown, and wiped when it is dropped.
pub(crate) type Passphrase = Zeroizing<Vec<u8>>;

/// The passphrase of a file that is to be opened.
pub(crate) fn old(file: Option<&Path>) -> Result<Passphrase, Error> {
    match file {
        Some(file) => from_file(file),
        None => ask("passphrase: "),
    }
}

/// A passphrase for a new file: long enough and, if somebody types it, twice the same.
pub(crate) fn new(file: Option<&Path>) -> Result<Passphrase, Error> {
    let passphrase = old(file)?;
    let letters = String::from_utf8_lossy(&passphrase).chars().count();
    if letters < LETTERS_MIN {
        return Err(Error::failed(format!(
            "the passphrase is too short: take at least {LETTERS_MIN} letters, better five or six words"
        )));
    }
    if file.is_none() && *ask("the same again: ")? != *passphrase {
        return Err(Error::failed(
            "these were two different passphrases: try again",
        ));
    }
    Ok(passphrase)
}

fn from_file(path: &Path) -> Result<Passphrase, Error> {
    let mut line = Zeroizing::new(Vec::with_capacity(BYTES_MAX + 3)); // No reallocation leaves a copy behind.
    File::open(path)
        .and_then(|file| file.take(BYTES_MAX as u64 + 3).read_to_end(&mut line))
        .map_err(|error| {
            let path = path.display();
            Error::failed(format!("cannot read the passphrase from {path}: {error}"))
        })?;
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    }
    let name = path.display().to_string();
    checked(line, &name)
}

fn ask(prompt: &str) -> Result<Passphrase, Error> {
    let stdin = std::io::stdin();
    if !isatty(&stdin) {
        return Err(Error::failed(
            "nobody can be asked for the passphrase, since stdin is not a terminal: give it with --passphrase-file FILE",
        ));
    }
    let quiet = Quiet::begin(stdin)
        .map_err(|error| Error::failed(format!("cannot turn off the terminal's echo: {error}")))?;
    // To stderr: stdout is for answers.
    let _ = write!(std::io::stderr(), "{prompt}");
    let line = quiet.line();
    drop(quiet);
    // The user's own Enter was not echoed either.
    let _ = writeln!(std::io::stderr());
    checked(line?, "the passphrase")
}

fn checked(line: Passphrase, what: &str) -> Result<Passphrase, Error> {
    let fault = if line.is_empty() {
        "is empty"
    } else if line.len() > BYTES_MAX {
        "is too long"
    } else if line.iter().any(u8::is_ascii_control) {
        "has more than one line, or control characters"
    } else {
        return Ok(line);
    };
    Err(Error::failed(format!(
        "{what} {fault}: a passphrase is one line of 1 to {BYTES_MAX} bytes"
    )))
}

/// A terminal that shows nothing of what is typed, until this is dropped. Ctrl-C ends the line instead of the process, which would
/// leave the terminal mute.
struct Quiet {
    stdin: Stdin,
    before: Termios,
}

impl Quiet {
    fn begin(stdin: Stdin) -> std::io::Result<Quiet> {
        let before = tcgetattr(&stdin)?;
        let mut quiet = before.clone();
        quiet
            .local_modes
            .remove(LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ISIG);
        quiet.local_modes.insert(LocalModes::ICANON);
        quiet.special_codes[SpecialCodeIndex::VEOL] = INTERRUPT;
        // What was typed ahead was shown, so it is no secret: it is thrown away.
        tcsetattr(&stdin, OptionalActions::Flush, &quiet)?;
        Ok(Quiet { stdin, before })
    }

    /// Reads byte by byte past the buffer of std's stdin, which nobody would wipe.
    fn line(&self) -> Result<Passphrase, Error> {
        let mut line = Zeroizing::new(Vec::with_capacity(BYTES_MAX + 1));
        loop {
            let mut byte = Zeroizing::new([0]);
            let read = rustix::io::retry_on_intr(|| rustix::io::read(&self.stdin, &mut *byte))
                .map_err(|error| Error::failed(format!("cannot read the passphrase: {error}")))?;
            match (read, byte[0]) {
                (0, _) | (_, b'\n') => return Ok(line),
                (_, INTERRUPT) => return Err(Error::failed("interrupted: nothing was done")),
                // What is beyond the limit is read and not kept.
                (_, byte) if line.len() <= BYTES_MAX => line.push(byte),
                _ => {}
            }
        }
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // If even that fails, `stty sane` helps; there is nobody to tell.
        let _ = tcsetattr(&self.stdin, OptionalActions::Flush, &self.before);
    }
}
