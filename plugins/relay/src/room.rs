//! Rooms: a secret that a group shares, what follows from it, and the invitation that passes it on. PROTOCOL 4.6

use crate::limits::{INVITATION_BYTES_MAX, ROOM_LANES, ROOM_NAME_BYTES_MAX, ROOMS_MAX};
use crate::packet::{NotSixteenBytes, Tag, Token, hash16};
use data_encoding::{BASE32_NOPAD_NOCASE, HEXLOWER};
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, Serializable};
use rand_core::CryptoRng;
use std::fmt;
use std::str::FromStr;
use zeroize::Zeroizing;

const SCHEME: &str = "dunlin-room:";
const SECRET_BYTES: usize = 32;
const FIXED_BYTES: usize = 2 + SECRET_BYTES;
const CHECK_BYTES: usize = 4;

const NAME: u8 = 3;

/// A room, for who has its secret: members read all of it, write to it, and invite others. Cleared when dropped, never printed.
#[derive(Clone)]
pub struct Room {
    secret: Zeroizing<[u8; SECRET_BYTES]>,
    key: Zeroizing<[u8; 32]>,
    public: [u8; 32],
    name: String,
}

/// By which a device tells its rooms apart: the same for every member, and never on any wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomId(pub [u8; 16]);

/// What is wrong with an invitation, or with a room's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RoomError {
    /// It does not begin as an invitation does.
    #[error("an invitation to a room begins with \"dunlin-room:\"")]
    Scheme,
    /// Letters that base32 does not have, or a part is missing.
    #[error("the invitation is damaged or cut short: copy it again, whole")]
    Damaged,
    /// Another version.
    #[error("the invitation is of a later version: update this program")]
    Later,
    /// A name that cannot be shown.
    #[error("a room's name has 1 to {ROOM_NAME_BYTES_MAX} bytes and no control characters")]
    Name,
    /// A field that is not what its type says.
    #[error("a field of the invitation is malformed")]
    Field,
    /// More than 256 bytes.
    #[error("an invitation is at most {INVITATION_BYTES_MAX} bytes")]
    TooLong,
}

/// Said when one room too many is listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{ROOMS_MAX} rooms are listened to already, and that is the most: end listening to one first"
)]
pub(crate) struct TooManyRooms;

impl Room {
    /// A new room. The name is a label, for those who are invited; nothing follows from it.
    pub fn generate(name: &str, random: &mut impl CryptoRng) -> Result<Room, RoomError> {
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        random.fill_bytes(&mut *secret);
        Room::new(secret, checked(name)?)
    }

    // PROTOCOL 4.6
    fn new(secret: Zeroizing<[u8; SECRET_BYTES]>, name: &str) -> Result<Room, RoomError> {
        let key = Zeroizing::new(blake3::derive_key("dunlin 1 room key", &*secret));
        // Every 32 bytes are a private key.
        let private = <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(&*key);
        let private = private.map_err(|_| RoomError::Field)?;
        let public = X25519HkdfSha256::sk_to_pk(&private).to_bytes().into();
        let name = name.to_owned();
        Ok(Room {
            secret,
            key,
            public,
            name,
        })
    }

    /// The same room under another name.
    pub fn named(&self, name: &str) -> Result<Room, RoomError> {
        let name = checked(name)?.to_owned();
        Ok(Room {
            name,
            ..self.clone()
        })
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// By which this device tells it from its other rooms.
    #[must_use]
    pub fn id(&self) -> RoomId {
        RoomId(hash16("dunlin 1 room id", &*self.secret))
    }

    /// By what one of a day's lanes is fetched.
    // PROTOCOL 4.6
    #[must_use]
    pub fn token(&self, day: u16, lane: u8) -> Token {
        let mut data = Zeroizing::new([0; SECRET_BYTES + 3]);
        data[..SECRET_BYTES].copy_from_slice(&*self.secret);
        data[SECRET_BYTES..SECRET_BYTES + 2].copy_from_slice(&day.to_le_bytes());
        data[SECRET_BYTES + 2] = lane;
        Token(hash16("dunlin 1 room lane", &*data))
    }

    /// Its tag.
    #[must_use]
    pub fn tag(&self, day: u16, lane: u8) -> Tag {
        self.token(day, lane).tag()
    }

    /// Those of all lanes of a day.
    pub fn tokens(&self, day: u16) -> impl Iterator<Item = Token> {
        (0..ROOM_LANES).map(move |lane| self.token(day, lane))
    }

    /// The private half of the key that messages are sealed to.
    pub(crate) fn key(&self) -> &[u8; 32] {
        &self.key
    }

    /// Its public half.
    pub(crate) fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// The text to pass on. Whoever has it is a member.
    // PROTOCOL 4.6
    #[must_use]
    pub fn invitation(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(INVITATION_BYTES_MAX));
        bytes.extend([1, 0]);
        bytes.extend_from_slice(&*self.secret);
        bytes.extend([NAME, self.name.len() as u8]); // At most 64: checked.
        bytes.extend(self.name.as_bytes());
        let check = blake3::hash(&bytes);
        bytes.extend(&check.as_bytes()[..CHECK_BYTES]);
        let letters = Zeroizing::new(BASE32_NOPAD_NOCASE.encode(&bytes));
        let mut text = Zeroizing::new(String::with_capacity(SCHEME.len() + letters.len()));
        text.push_str(SCHEME);
        text.extend(letters.chars().map(|letter| letter.to_ascii_lowercase()));
        text
    }

    /// These bytes with their sum, for fuzzers: it keeps nobody from anything.
    pub(crate) fn summed(body: &[u8]) -> Result<Room, RoomError> {
        let check = blake3::hash(body);
        Room::decode(&[body, &check.as_bytes()[..CHECK_BYTES]].concat())
    }

    // PROTOCOL 4.6
    fn decode(bytes: &[u8]) -> Result<Room, RoomError> {
        if bytes.len() > INVITATION_BYTES_MAX {
            return Err(RoomError::TooLong);
        }
        let (body, check) = bytes
            .split_last_chunk::<CHECK_BYTES>()
            .ok_or(RoomError::Damaged)?;
        if blake3::hash(body).as_bytes()[..CHECK_BYTES] != *check {
            return Err(RoomError::Damaged);
        }
        let (fixed, mut fields) = body
            .split_first_chunk::<FIXED_BYTES>()
            .ok_or(RoomError::Damaged)?;
        if fixed[..2] != [1, 0] {
            return Err(RoomError::Later);
        }
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        secret.copy_from_slice(&fixed[2..]);
        let mut name = None;
        while let [kind, length, rest @ ..] = fields {
            let (value, rest) = rest
                .split_at_checked(usize::from(*length))
                .ok_or(RoomError::Field)?;
            if *kind == NAME {
                name = Some(std::str::from_utf8(value).map_err(|_| RoomError::Name)?);
            }
            fields = rest;
        }
        if !fields.is_empty() {
            return Err(RoomError::Field);
        }
        let name = name.ok_or(RoomError::Name)?;
        if checked(name)? != name {
            return Err(RoomError::Name);
        }
        Room::new(secret, name)
    }
}

/// It is shown to people, perhaps on a terminal.
fn checked(name: &str) -> Result<&str, RoomError> {
    let name = name.trim();
    let good =
        (1..=ROOM_NAME_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control);
    good.then_some(name).ok_or(RoomError::Name)
}

impl FromStr for Room {
    type Err = RoomError;

    fn from_str(text: &str) -> Result<Room, RoomError> {
        let text = text.trim();
        let (scheme, rest) = text
            .split_at_checked(SCHEME.len())
            .ok_or(RoomError::Scheme)?;
        if !scheme.eq_ignore_ascii_case(SCHEME) {
            return Err(RoomError::Scheme);
        }
        // A text far too long is refused before anything of its length is made.
        if rest.len() > INVITATION_BYTES_MAX * 2 {
            return Err(RoomError::TooLong);
        }
        let bytes = BASE32_NOPAD_NOCASE.decode(rest.as_bytes());
        Room::decode(&Zeroizing::new(bytes.map_err(|_| RoomError::Damaged)?))
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Room")
    }
}

impl fmt::Display for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for RoomId {
    type Err = NotSixteenBytes;

    fn from_str(text: &str) -> Result<Self, NotSixteenBytes> {
        text.parse::<Tag>().map(|bytes| RoomId(bytes.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;
    use std::collections::BTreeSet;

    fn room() -> Room {
        Room::generate("Tea", &mut ChaCha20Rng::seed_from_u64(1)).unwrap()
    }

    fn body() -> Vec<u8> {
        let invitation = room().invitation();
        let mut bytes = BASE32_NOPAD_NOCASE
            .decode(&invitation.as_bytes()[SCHEME.len()..])
            .unwrap();
        bytes.truncate(bytes.len() - CHECK_BYTES);
        bytes
    }

    // PROTOCOL 4.6
    #[test]
    fn who_has_the_invitation_has_the_room_whatever_it_is_called() {
        let room = room();
        let joined: Room = format!(" {}\n", room.invitation().to_uppercase())
            .parse()
            .unwrap();
        assert_eq!((joined.id(), joined.name()), (room.id(), "Tea"));
        assert_eq!(joined.tag(20_000, 3), room.tag(20_000, 3));
        let renamed = joined.named("Cake").unwrap();
        assert_eq!((renamed.id(), renamed.public()), (room.id(), room.public()));
        assert_eq!(*room.invitation(), room.invitation().to_lowercase());
        // The same name typed by somebody else is another room.
        let other = Room::generate("Tea", &mut ChaCha20Rng::seed_from_u64(2)).unwrap();
        assert_ne!(other.id(), room.id());
    }

    // PROTOCOL 4.6
    #[test]
    fn every_lane_of_every_day_has_a_tag_of_its_own() {
        let room = room();
        let tags: BTreeSet<Tag> = (0..20)
            .flat_map(|day| room.tokens(day))
            .map(|token| token.tag())
            .collect();
        assert_eq!(tags.len(), 20 * 16);
    }

    // PROTOCOL 4.6
    #[test]
    fn a_tampered_invitation_is_refused() {
        let text = room().invitation();
        for at in SCHEME.len()..text.len() {
            let mut letters = text.as_bytes().to_vec();
            letters[at] = if letters[at] == b'a' { b'b' } else { b'a' };
            let parsed = String::from_utf8(letters).unwrap().parse::<Room>();
            assert_eq!(parsed.err(), Some(RoomError::Damaged), "letter {at}");
        }
        for cut in SCHEME.len()..text.len() {
            assert!(text[..cut].parse::<Room>().is_err());
        }
        let parse = |text: &str| text.parse::<Room>().unwrap_err();
        assert_eq!(parse("dunlin:aeabc"), RoomError::Scheme);
        assert_eq!(parse("tea"), RoomError::Scheme);
        let long = format!("{SCHEME}{}", "a".repeat(5_000));
        assert_eq!(parse(&long), RoomError::TooLong);
    }

    // PROTOCOL 4.6
    #[test]
    fn later_versions_and_bad_fields_are_refused_and_unknown_fields_skipped() {
        let with = |field: &[u8]| Room::summed(&[&body()[..], field].concat()).err();
        assert_eq!(with(&[9, 3, 1, 2, 3]), None);
        assert_eq!(with(&[9, 200]), Some(RoomError::Field));
        assert_eq!(with(&[9]), Some(RoomError::Field));
        assert_eq!(with(&[3, 1, 7]), Some(RoomError::Name));
        assert_eq!(with(&[3, 0]), Some(RoomError::Name));
        assert_eq!(with(&[3, 2, b' ', b'a']), Some(RoomError::Name));
        let long = [[9, 255].as_slice(), &[0; 255]].concat();
        assert_eq!(with(&long), Some(RoomError::TooLong));
        for at in [0, 1] {
            let mut later = body();
            later[at] += 1;
            assert_eq!(Room::summed(&later).err(), Some(RoomError::Later));
        }
        assert_eq!(
            Room::summed(&body()[..FIXED_BYTES]).err(),
            Some(RoomError::Name)
        );
    }

    #[test]
    fn no_secret_is_printed() {
        assert_eq!(format!("{:?}", room()), "Room");
        for bad in ["", " ", "a\nb", &"x".repeat(65)] {
            let made = Room::generate(bad, &mut ChaCha20Rng::seed_from_u64(1));
            assert_eq!(made.err(), Some(RoomError::Name), "{bad:?}");
        }
    }
}
