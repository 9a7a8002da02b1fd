//! The demo's processes: each a real `dunlin` of its own, killed with the demo whatever happens to it.

use crate::Error;
use crossbeam_channel::{Receiver, RecvTimeoutError, unbounded};
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// One running process. Dropped, it is killed.
pub(super) struct Process {
    name: String,
    child: Child,
    lines: Receiver<Value>,
    log: PathBuf,
}

impl Process {
    /// Starts `dunlin --home HOME --json ARGUMENTS`; its log goes to `HOME/log`.
    pub(super) fn start(name: &str, home: &Path, arguments: &[String]) -> Result<Process, Error> {
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

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next object that it prints.
    pub(super) fn next(&self, until: Instant) -> Result<Value, Error> {
        match self.lines.recv_deadline(until) {
            Ok(value) => Ok(value),
            Err(RecvTimeoutError::Timeout) => Err(self.error("said nothing in time")),
            Err(RecvTimeoutError::Disconnected) => Err(self.error("ended too early")),
        }
    }

    /// The next object, if there is one within `wait`; `None` also at its end, which [`ended`](Process::ended) tells.
    pub(super) fn poll(&self, wait: Duration) -> Option<Value> {
        self.lines.recv_timeout(wait).ok()
    }

    /// Whether it has ended, and well.
    pub(super) fn ended(&mut self) -> Result<bool, Error> {
        match self.child.try_wait() {
            Ok(None) => Ok(false),
            Ok(Some(status)) if status.success() => Ok(true),
            Ok(Some(status)) => Err(self.error(&format!("failed ({status})"))),
            Err(error) => Err(self.error(&format!("cannot be waited for: {error}"))),
        }
    }

    /// SIGKILL: no hand-over, no farewell.
    pub(super) fn kill(&mut self) -> Result<(), Error> {
        self.child
            .kill()
            .and_then(|()| self.child.wait().map(drop))
            .map_err(|error| self.error(&format!("cannot be killed: {error}")))
    }

    /// An error of this process, with the end of its log.
    pub(super) fn error(&self, what: &str) -> Error {
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
