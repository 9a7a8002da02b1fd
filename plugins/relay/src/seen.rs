//! Which packets the application has had, on the recipient's own disk for 17 days: a carrier that was away
//! may still bring one.

use crate::limits::{SEEN_DAYS, SEEN_MAX};
use crate::packet::PacketId;
use crate::seldom::{Empty, Seldom};
use dunlin_engine::bevy_ecs::{self, prelude::Component};
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Day (2), id (16), and the first 4 bytes of BLAKE3 over both: a record cut short by a power failure is told from a whole one.
const RECORD_BYTES: usize = 22;
/// The file is written anew once so many of its records are out of date.
const STALE_MAX: usize = 4_096;

/// The ids of confirmed packets, each for 17 days, at most 100,000, the oldest going first.
#[derive(Component, Default)]
pub struct Seen(Seldom<Ids>);

#[derive(Default)]
struct Ids {
    ids: BTreeSet<PacketId>,
    oldest_first: BTreeSet<(u16, PacketId)>,
    stale: usize,
    disk: Option<Disk>,
}

impl Empty for Ids {
    const EMPTY: &'static Ids = &Ids {
        ids: BTreeSet::new(),
        oldest_first: BTreeSet::new(),
        stale: 0,
        disk: None,
    };
}

struct Disk {
    path: PathBuf,
    log: File,
}

impl Seen {
    /// Remembers for as long as the program runs.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::default()
    }

    /// Remembers in a file, which it makes if there is none. Records that are not whole are left out.
    pub fn open(path: &Path, today: u16) -> io::Result<Self> {
        let mut seen = Self::default();
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        for record in bytes.chunks_exact(RECORD_BYTES) {
            if let Some((day, id)) = read(record) {
                seen.remember(id, day);
            }
        }
        seen.forget_old(today);
        let log = seen.rewritten(path)?;
        seen.0.stale = 0;
        seen.0.disk = Some(Disk {
            path: path.to_owned(),
            log,
        });
        Ok(seen)
    }

    /// One whose every write fails as on a full disk, for tests of what then happens.
    #[doc(hidden)]
    #[must_use]
    pub fn on_full_disk() -> Self {
        let path = PathBuf::from("/dev/full");
        let disk = OpenOptions::new().write(true).open(&path).ok();
        let mut seen = Self::default();
        seen.0.disk = disk.map(|log| Disk { path, log });
        seen
    }

    /// Whether the application has had this packet.
    #[must_use]
    pub fn contains(&self, id: PacketId) -> bool {
        self.0.ids.contains(&id)
    }

    /// How many are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.ids.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.ids.is_empty()
    }

    /// Remembers a packet, on disk before it returns. An error leaves it unremembered, so that no receipt goes out for
    /// what would be shown twice.
    pub fn insert(&mut self, id: PacketId, today: u16) -> io::Result<()> {
        if self.contains(id) {
            return Ok(());
        }
        self.forget_old(today);
        if let Some(disk) = &mut self.0.disk {
            disk.log.write_all(&record(today, id))?;
            disk.log.sync_data()?;
        }
        self.remember(id, today);
        if self.0.stale > STALE_MAX
            && let Some(path) = self.0.disk.as_ref().map(|disk| disk.path.clone())
        {
            let log = self.rewritten(&path)?;
            self.0.stale = 0;
            self.0.disk = Some(Disk { path, log });
        }
        Ok(())
    }

    fn remember(&mut self, id: PacketId, day: u16) {
        if self.0.ids.insert(id) {
            self.0.oldest_first.insert((day, id));
        }
        if self.0.ids.len() > SEEN_MAX {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, id)) = self.0.oldest_first.pop_first() {
            self.0.ids.remove(&id);
            self.0.stale += 1;
        }
    }

    fn forget_old(&mut self, today: u16) {
        while let Some((day, _)) = self.0.oldest_first.first()
            && day.saturating_add(SEEN_DAYS) < today
        {
            self.forget_oldest();
        }
    }

    /// Writes all records to a file beside it and puts that in its place, so that a power failure leaves one or the other.
    fn rewritten(&self, path: &Path) -> io::Result<File> {
        let records = self
            .0
            .oldest_first
            .iter()
            .flat_map(|(day, id)| record(*day, *id));
        crate::disk::replace(path, &records.collect::<Vec<u8>>())?;
        OpenOptions::new().append(true).open(path)
    }
}

fn record(day: u16, id: PacketId) -> [u8; RECORD_BYTES] {
    let mut record = [0; RECORD_BYTES];
    record[..2].copy_from_slice(&day.to_le_bytes());
    record[2..18].copy_from_slice(&id.0);
    let check = blake3::hash(&record[..18]);
    record[18..].copy_from_slice(&check.as_bytes()[..4]);
    record
}

fn read(bytes: &[u8]) -> Option<(u16, PacketId)> {
    let day = u16::from_le_bytes(bytes[..2].try_into().ok()?);
    let id = PacketId(bytes[2..18].try_into().ok()?);
    (record(day, id) == bytes).then_some((day, id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u32) -> PacketId {
        PacketId(u128::from(n).to_be_bytes())
    }

    #[test]
    fn what_was_confirmed_is_known_after_a_restart_and_for_seventeen_days() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("seen");
        let mut seen = Seen::open(&path, 100).unwrap();
        seen.insert(id(1), 100).unwrap();
        seen.insert(id(2), 105).unwrap();
        drop(seen);
        let mut seen = Seen::open(&path, 117).unwrap();
        assert!(seen.contains(id(1)) && seen.contains(id(2)));
        seen.insert(id(3), 118).unwrap();
        assert!(!seen.contains(id(1)) && seen.contains(id(2)));
        assert_eq!(Seen::open(&path, 118).unwrap().len(), 2);
    }

    #[test]
    fn a_record_cut_short_by_a_power_failure_is_left_out_and_the_others_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("seen");
        let mut seen = Seen::open(&path, 100).unwrap();
        seen.insert(id(1), 100).unwrap();
        seen.insert(id(2), 100).unwrap();
        drop(seen);
        let whole = fs::read(&path).unwrap();
        for cut in RECORD_BYTES..2 * RECORD_BYTES {
            fs::write(&path, &whole[..cut]).unwrap();
            let mut seen = Seen::open(&path, 100).unwrap();
            assert!(seen.contains(id(1)) && !seen.contains(id(2)));
            seen.insert(id(3), 100).unwrap();
            assert_eq!(Seen::open(&path, 100).unwrap().len(), 2, "cut at {cut}");
        }
    }

    #[test]
    fn neither_memory_nor_disk_grow_without_bound() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("seen");
        let mut seen = Seen::in_memory();
        for n in 0..SEEN_MAX as u32 + 10 {
            seen.insert(id(n), 100).unwrap();
        }
        assert_eq!(seen.len(), SEEN_MAX);
        assert!(!seen.contains(id(9)) && seen.contains(id(10)));
        let records = seen
            .0
            .oldest_first
            .iter()
            .flat_map(|(day, id)| record(*day, *id));
        fs::write(&path, records.collect::<Vec<u8>>()).unwrap();
        // A year later all of it is out of date.
        assert!(Seen::open(&path, 500).unwrap().is_empty());
        assert_eq!(fs::metadata(&path).unwrap().len(), 0);
    }

    #[test]
    fn a_disk_that_cannot_be_written_is_an_error_and_nothing_is_remembered() {
        let mut seen = Seen::on_full_disk();
        let error = seen.insert(id(1), 100).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(!seen.contains(id(1)));
    }
}
