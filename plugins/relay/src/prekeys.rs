//! The private halves of a node's own prekeys, one a day, in a file of their own; each is erased 17 days after its day. PROTOCOL 4.5

use crate::disk;
use crate::life::day_of;
use crate::limits::{DAYS_BACK, EXPIRY_HOURS_MAX, PREKEYS};
use crate::mailbox::Mailbox;
use crate::packet::{DeleteSecret, Packet};
use crate::prekey_record::PrekeyRecord;
use crate::seldom::{Empty, Seldom};
use bytes::Bytes;
use dunlin_engine::bevy_ecs::{self, prelude::*};
use dunlin_net::Identity;
use rand_core::CryptoRng;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

const MAGIC: &[u8; 16] = b"dunlin prekeys 1";
const CHECK_BYTES: usize = 16;
/// The half of day d is there until d + 17 is over: a message lives 14 days, and clocks are a day wrong either way.
const KEPT_DAYS: u16 = DAYS_BACK + 1;

/// Of a new record, before the one that it replaces ends.
const ENOUGH_COPIES: usize = 4;

/// A node's own prekeys.
#[derive(Component, Default)]
pub struct Prekeys(Seldom<Halves>);

#[derive(Default)]
struct Halves {
    keys: BTreeMap<u16, Zeroizing<[u8; 32]>>,
    published: Option<Published>,
    /// The record that it replaces, which stays until this one lies with carriers.
    replaced: Option<Published>,
    /// When this node last saw to it that there is a record.
    tried: Option<u16>,
    path: Option<PathBuf>,
}

impl Empty for Halves {
    const EMPTY: &'static Halves = &Halves {
        keys: BTreeMap::new(),
        published: None,
        replaced: None,
        tried: None,
        path: None,
    };
}

/// The record of today, or of the last day on which there was one.
#[derive(Clone)]
pub(crate) struct Published {
    pub(crate) packet: Packet,
    pub(crate) secret: DeleteSecret,
}

impl Prekeys {
    /// Reads what a file holds, and erases in it what is to be erased. A file that is not whole is an error: it is not overwritten.
    pub fn open(path: &Path, today: u16) -> io::Result<Self> {
        let mut halves = read(path)?.unwrap_or_default();
        halves.path = Some(path.to_owned());
        let before = halves.keys.len();
        halves.erase(today);
        if halves.keys.len() < before {
            halves.save()?;
        }
        let mut prekeys = Self::default();
        *prekeys.0 = halves;
        Ok(prekeys)
    }

    /// The private half of a day.
    pub(crate) fn key(&self, day: u16) -> Option<&Zeroizing<[u8; 32]>> {
        self.0.keys.get(&day)
    }

    /// Whether there is one of a day.
    #[must_use]
    pub fn has(&self, day: u16) -> bool {
        self.key(day).is_some()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.keys.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.keys.is_empty()
    }

    /// Whether this node has seen to today's record since it began.
    pub(crate) fn tried(&self, today: u16) -> bool {
        self.0.tried == Some(today)
    }

    pub(crate) fn note_tried(&mut self, today: u16) {
        self.0.tried = Some(today);
    }

    /// What was published last, if that was today.
    pub(crate) fn published(&self, today: u16) -> Option<&Published> {
        let published = self.0.published.as_ref()?;
        (published.packet.day() == today).then_some(published)
    }

    /// The record that today's has replaced, once: `copies` of today's say whether it may go.
    pub(crate) fn take_replaced(&mut self, copies: usize, carriers: usize) -> Option<Published> {
        if self.0.replaced.is_none() || copies < ENOUGH_COPIES.min(carriers) {
            return None;
        }
        self.0.replaced.take()
    }

    /// Makes the record of today: erases old halves, draws those that are missing, on disk before anybody can seal to them. The one that it
    /// replaces is to end only later.
    // PROTOCOL 4.5
    pub(crate) fn publish(
        &mut self,
        owner: &Identity,
        mailbox: &Mailbox,
        unix_ms: u64,
        random: &mut impl CryptoRng,
    ) -> io::Result<()> {
        let today = day_of(unix_ms);
        let this = &mut *self.0;
        // Another process of this device may have made some meanwhile.
        if let Some(path) = &this.path
            && let Some(there) = read(path)?
        {
            this.keys.extend(there.keys);
        }
        this.erase(today);
        let first_day = today.saturating_sub(1);
        let mut keys = Vec::with_capacity(PREKEYS);
        for day in (0..PREKEYS as u16).map(|place| first_day.saturating_add(place)) {
            let half = this.keys.entry(day).or_insert_with(|| {
                let mut half = Zeroizing::new([0; 32]);
                random.fill_bytes(&mut *half);
                half
            });
            keys.push(curve25519_dalek::MontgomeryPoint::mul_base_clamped(**half).0);
        }
        let mut secret = [0; 16];
        random.fill_bytes(&mut secret);
        let secret = DeleteSecret::new(secret);
        let record = PrekeyRecord {
            first_day,
            made_ms: unix_ms,
            keys,
        };
        let packet = record.seal(owner, mailbox.public(), (today, EXPIRY_HOURS_MAX), &secret);
        let packet = packet.ok_or_else(|| io::Error::other("the record cannot be sealed"))?;
        // What cannot be kept is not published: nobody could open what is sealed to it.
        let old = this.published.replace(Published { packet, secret });
        if let Err(error) = this.save() {
            this.published = old;
            return Err(error);
        }
        this.replaced = old.or(this.replaced.take());
        Ok(())
    }

    /// Erases the halves whose time is over, also where nothing is published any more.
    // PROTOCOL 4.5
    pub(crate) fn erase(&mut self, today: u16) -> io::Result<()> {
        let first = today.saturating_sub(KEPT_DAYS);
        if self
            .0
            .keys
            .first_key_value()
            .is_none_or(|(day, _)| *day >= first)
        {
            return Ok(());
        }
        self.0.erase(today);
        self.0.save()
    }
}

impl Halves {
    fn erase(&mut self, today: u16) {
        let first = today.saturating_sub(KEPT_DAYS);
        self.keys.retain(|day, _| *day >= first);
    }

    fn save(&self) -> io::Result<()> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        let mut bytes = Zeroizing::new(MAGIC.to_vec());
        bytes.extend((self.keys.len() as u16).to_le_bytes()); // 45 at most.
        for (day, half) in &self.keys {
            bytes.extend(day.to_le_bytes());
            bytes.extend(**half);
        }
        if let Some(published) = &self.published {
            bytes.extend(published.secret.as_bytes());
            bytes.extend(published.packet.bytes());
        }
        let check = blake3::hash(&bytes);
        bytes.extend(&check.as_bytes()[..CHECK_BYTES]);
        disk::replace(path, &bytes)
    }
}

fn read(path: &Path) -> io::Result<Option<Halves>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let whole = decode(&bytes).map(Some);
    whole.ok_or_else(|| {
        let text = "not a whole file of prekeys: move it away; what was sealed to them meanwhile cannot be opened";
        io::Error::new(io::ErrorKind::InvalidData, text)
    })
}

fn decode(bytes: &[u8]) -> Option<Halves> {
    let (body, check) = bytes.split_last_chunk::<CHECK_BYTES>()?;
    if blake3::hash(body).as_bytes()[..CHECK_BYTES] != *check {
        return None;
    }
    let (count, mut rest) = body.strip_prefix(MAGIC)?.split_first_chunk()?;
    let mut halves = Halves::default();
    for _ in 0..u16::from_le_bytes(*count) {
        let (day, after) = rest.split_first_chunk()?;
        let (half, after) = after.split_first_chunk()?;
        halves
            .keys
            .insert(u16::from_le_bytes(*day), Zeroizing::new(*half));
        rest = after;
    }
    if !rest.is_empty() {
        let (secret, packet) = rest.split_first_chunk()?;
        halves.published = Some(Published {
            packet: Packet::parse(Bytes::copy_from_slice(packet)).ok()?,
            secret: DeleteSecret::new(*secret),
        });
    }
    Some(halves)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    const DAY: u16 = 20_000;
    const NOON: u64 = 20_000 * 86_400_000 + 43_200_000;

    fn publish(prekeys: &mut Prekeys, days_later: u64) -> Option<Published> {
        let random = &mut ChaCha20Rng::seed_from_u64(days_later);
        let bob = Identity::generate(&mut ChaCha20Rng::seed_from_u64(1));
        let mailbox = Mailbox::from_seed(&[7; 32]);
        let now = NOON + days_later * 86_400_000;
        prekeys.publish(&bob, &mailbox, now, random).unwrap();
        assert!(prekeys.take_replaced(3, 9).is_none(), "too few copies");
        prekeys.take_replaced(4, 9)
    }

    // PROTOCOL 4.5
    #[test]
    fn a_half_stays_until_its_day_and_17_more_are_over_and_then_is_on_no_disk() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("prekeys");
        let mut prekeys = Prekeys::open(&path, DAY).unwrap();
        assert!(publish(&mut prekeys, 0).is_none());
        assert_eq!(prekeys.len(), PREKEYS);
        let half = **prekeys.key(DAY).unwrap();
        let on_disk = |half: &[u8; 32]| {
            let bytes = std::fs::read(&path).unwrap();
            bytes.windows(32).any(|window| window == half)
        };
        assert!(on_disk(&half));
        let there = Prekeys::open(&path, DAY + 17).unwrap();
        assert_eq!(**there.key(DAY).unwrap(), half);
        // Whatever this device holds from then on does not have it.
        let gone = Prekeys::open(&path, DAY + 18).unwrap();
        assert!(gone.key(DAY).is_none() && !on_disk(&half));
    }

    #[test]
    fn each_day_has_one_half_whoever_publishes_and_the_old_record_is_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("prekeys");
        let mut one = Prekeys::open(&path, DAY).unwrap();
        let mut other = Prekeys::open(&path, DAY).unwrap();
        publish(&mut one, 0);
        let first = one.published(DAY).unwrap().packet.clone();
        publish(&mut other, 1);
        for day in DAY..DAY + 27 {
            assert_eq!(one.key(day), other.key(day));
        }
        let old = publish(&mut one, 1).unwrap();
        assert_eq!(old.packet, first);
        assert!(one.published(DAY).is_none() && one.published(DAY + 1).is_some());
        let again = Prekeys::open(&path, DAY + 1).unwrap();
        assert_eq!(again.len(), PREKEYS + 1);
        assert!(again.published(DAY + 1).is_some());
    }

    #[test]
    fn a_record_whose_halves_cannot_be_kept_is_not_published() {
        let folder = tempfile::tempdir().unwrap();
        let profile = folder.path().join("profile");
        std::fs::create_dir(&profile).unwrap();
        let mut prekeys = Prekeys::open(&profile.join("prekeys"), DAY).unwrap();
        std::fs::remove_dir(&profile).unwrap();
        let random = &mut ChaCha20Rng::seed_from_u64(0);
        let bob = Identity::generate(&mut ChaCha20Rng::seed_from_u64(1));
        let mailbox = Mailbox::from_seed(&[7; 32]);
        assert!(prekeys.publish(&bob, &mailbox, NOON, random).is_err());
        assert!(prekeys.published(DAY).is_none());
    }

    #[test]
    fn a_file_that_is_not_whole_is_an_error_and_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("prekeys");
        publish(&mut Prekeys::open(&path, DAY).unwrap(), 0);
        let whole = std::fs::read(&path).unwrap();
        for cut in [0, 17, 100, whole.len() - 1] {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let error = Prekeys::open(&path, DAY).err().unwrap();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert_eq!(std::fs::read(&path).unwrap().len(), cut);
        }
    }
}
