//! Who works on the outbox. Each process that sends holds its messages in memory too, so one is taken back only while none does.

use crate::Error;
use dunlin_engine::bevy_ecs;
use dunlin_engine::prelude::*;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

/// Held until it is dropped; the system lets go of it too if the process is killed.
#[derive(Resource)]
pub(crate) struct OutboxLock(#[expect(dead_code, reason = "it is held, not used")] File);

impl OutboxLock {
    /// For who sends: as many as like, but not while somebody takes a message back.
    pub(crate) fn shared(home: &Path) -> Result<OutboxLock, Error> {
        let file = open(home)?;
        if let Err(error) = file.lock_shared() {
            // Some network file systems know no locks. That keeps nobody from sending; taking back is refused there.
            tracing::warn!(%error, "the outbox is not locked");
        }
        Ok(OutboxLock(file))
    }

    /// For who takes a message back.
    pub(crate) fn alone(home: &Path) -> Result<OutboxLock, Error> {
        let file = open(home)?;
        match file.try_lock() {
            Ok(()) => Ok(OutboxLock(file)),
            Err(TryLockError::WouldBlock) => Err(Error::failed(format!(
                "a `dunlin send` or `dunlin outbox` is sending what is in {} right now: end it (Ctrl-C), then cancel again",
                home.display()
            ))),
            Err(TryLockError::Error(error)) => Err(refused(home, &error)),
        }
    }
}

fn open(home: &Path) -> Result<File, Error> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
        .open(home.join("outbox.lock"))
        .map_err(|error| refused(home, &error))
}

fn refused(home: &Path, error: &std::io::Error) -> Error {
    let path = home.join("outbox.lock");
    Error::failed(format!("cannot lock {}: {error}", path.display()))
}
