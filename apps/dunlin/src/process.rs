//! Processes of the demo and of simulations' twins: each a real `dunlin` of its own, killed with its parent whatever happens to that.

use crate::Error;
use crossbeam_channel::{Receiver, RecvTimeoutError, unbounded};
use dunlin_net::KeyFile;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// One running process. Dropped, it is killed.
pub(crate) struct Process {
    name: String,
    child: Child,
    lines: Receiver<Value>,
    log: PathBuf,
}

impl Process {
    /// Starts `dunlin --home HOME --json ARGUMENTS`; its log goes to `HOME/log`.
    pub(crate) fn start(name: &str, home: &Path, arguments: &[String]) -> Result<Process, Error> {
        let log = home.join("log");
        let program = std::env::current_exe().map_err(|error| {
            Error::failed(format!("cannot find this program's own file: {error}"))
        })?;
        let failed = |error: std::io::Error| Error::failed(format!("cannot start {name}: {error}"));
        let mut child = Command::new(program)
            .arg("--home")
            .arg(home)
            .arg("--json")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).map_err(failed)?)
            .spawn()
            .map_err(failed)?;
        let (sender, lines) = unbounded();
        if let Some(stdout) = child.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).lines() {
                    let Ok(line) = line else { return };
                    let Ok(value) = serde_json::from_str(&line) else {
                        continue;
                    };
                    if sender.send(value).is_err() {
                        return;
                    }
                }
            });
        }
        Ok(Process {
            name: name.to_owned(),
            child,
            lines,
            log,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next object that it prints.
    pub(crate) fn next(&self, until: Instant) -> Result<Value, Error> {
        match self.lines.recv_deadline(until) {
            Ok(value) => Ok(value),
            Err(RecvTimeoutError::Timeout) => Err(self.error("said nothing in time")),
            Err(RecvTimeoutError::Disconnected) => Err(self.error("ended too early")),
        }
    }

    /// The next object, if there is one within `wait`; `None` also at its end, which [`ended`](Process::ended) tells.
    pub(crate) fn poll(&self, wait: Duration) -> Option<Value> {
        self.lines.recv_timeout(wait).ok()
    }

    /// Whether it has ended, and well.
    pub(crate) fn ended(&mut self) -> Result<bool, Error> {
        match self.child.try_wait() {
            Ok(None) => Ok(false),
            Ok(Some(status)) if status.success() => Ok(true),
            Ok(Some(status)) => Err(self.error(&format!("failed ({status})"))),
            Err(error) => Err(self.error(&format!("cannot be waited for: {error}"))),
        }
    }

    /// SIGKILL: no hand-over, no farewell.
    pub(crate) fn kill(&mut self) -> Result<(), Error> {
        self.child
            .kill()
            .and_then(|()| self.child.wait().map(drop))
            .map_err(|error| self.error(&format!("cannot be killed: {error}")))
    }

    /// An error of this process, with the end of its log.
    pub(crate) fn error(&self, what: &str) -> Error {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(5).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        Error::failed(format!("{} {what}\n{}", self.name, tail.join("\n")))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes a home with new keys.
pub(crate) fn make_keys(home: &Path) -> Result<KeyFile, Error> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|error| Error::failed(format!("the system gives no random bytes: {error}")))?;
    std::fs::create_dir_all(home)
        .map_err(|error| Error::failed(format!("cannot make {}: {error}", home.display())))?;
    let keys = KeyFile::generate(&mut ChaCha20Rng::from_seed(seed));
    keys.create(&home.join("keys"))?;
    Ok(keys)
}
