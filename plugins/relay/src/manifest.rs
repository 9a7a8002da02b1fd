//! Content that no message holds: a manifest says what it is, and its parts are messages under tags of their own. PROTOCOL 3.9

use crate::head::{BadHead, check_name};
use crate::limits::{
    CONTENT_BYTES_MAX, HEAD_FIELDS_BYTES, MESSAGE_BYTES_MAX, PARTS_MAX, TEXT_BYTES_MAX,
};
use crate::packet::Class;

/// The first byte of its content.
pub(crate) const KIND: u8 = 3;
const DIGEST_BYTES: usize = 32;
const _: () = assert!(DIGEST_BYTES < TEXT_BYTES_MAX);

/// What the head of larger content says of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Manifest {
    /// A file's name; text has none.
    pub name: Option<String>,
    /// When the sender sent it by its own clock, in Unix milliseconds.
    pub sent_at_ms: u64,
    /// All of it, in bytes: more than one message holds, at most 16 MiB.
    pub length: usize,
    /// [`content_digest`] of all of it.
    pub digest: [u8; DIGEST_BYTES],
}

impl std::fmt::Debug for Manifest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Manifest({} bytes)", self.length)
    }
}

/// By which a recipient knows that the parts make what was sent.
// PROTOCOL 3.9
#[must_use]
pub fn content_digest(content: &[u8]) -> [u8; DIGEST_BYTES] {
    let mut hasher = content_hasher();
    *hasher.update(content).finalize().as_bytes()
}

/// The same for what does not lie in memory as a whole.
#[must_use]
pub fn content_hasher() -> blake3::Hasher {
    blake3::Hasher::new_derive_key("dunlin 1 content")
}

impl Manifest {
    /// Of this content: text unless it has a name.
    pub fn of(name: Option<String>, sent_at_ms: u64, content: &[u8]) -> Result<Self, BadHead> {
        match &name {
            Some(name) => check_name(name)?,
            None => {
                std::str::from_utf8(content).map_err(|_| BadHead::NotText)?;
            }
        }
        let length = content.len();
        if length > CONTENT_BYTES_MAX {
            return Err(BadHead::TooLong { bytes: length });
        }
        Ok(Self {
            name,
            sent_at_ms,
            length,
            digest: content_digest(content),
        })
    }

    /// How many parts there are, 2 to 256.
    #[must_use]
    pub fn parts(&self) -> usize {
        self.length.div_ceil(MESSAGE_BYTES_MAX)
    }

    /// How long a part is, in bytes: all but the last are as long as a message may be.
    #[must_use]
    pub fn part_bytes(&self, number: usize) -> usize {
        let before = number.saturating_mul(MESSAGE_BYTES_MAX);
        self.length.saturating_sub(before).min(MESSAGE_BYTES_MAX)
    }

    /// The content to seal.
    // PROTOCOL 3.9
    pub(crate) fn encode(&self) -> (Class, Vec<u8>) {
        let name = self.name.as_deref().unwrap_or_default().as_bytes();
        let mut content = vec![KIND, 0, 0, 0];
        content.extend((self.length as u32).to_le_bytes()); // At most 16 MiB.
        content.extend(self.sent_at_ms.to_le_bytes());
        content.extend([0, 0, name.len() as u8, 0]); // At most 64.
        content.extend(name);
        content.extend(self.digest);
        let class = match content.len() <= Class::Small.content_bytes() {
            true => Class::Small,
            false => Class::Large,
        };
        content.resize(class.content_bytes(), 0);
        (class, content)
    }

    /// Reads the content of an opened packet of this kind.
    // PROTOCOL 3.9
    pub(crate) fn decode(content: &[u8]) -> Result<Self, BadHead> {
        let fields: &[u8; HEAD_FIELDS_BYTES] = content.first_chunk().ok_or(BadHead::Overrun)?;
        if fields[1..4] != [0; 3] {
            return Err(BadHead::Later);
        }
        if fields[16] != 0 || fields[17] != 0 || fields[19] != 0 {
            return Err(BadHead::NotZero);
        }
        let length = u32::from_le_bytes([fields[4], fields[5], fields[6], fields[7]]);
        let length = usize::try_from(length).map_err(|_| BadHead::Overrun)?;
        if length <= MESSAGE_BYTES_MAX || length.div_ceil(MESSAGE_BYTES_MAX) > PARTS_MAX {
            return Err(BadHead::Overrun);
        }
        let mut sent_at = [0; 8];
        sent_at.copy_from_slice(&fields[8..16]);
        let rest = &content[HEAD_FIELDS_BYTES..];
        let (name, rest) = rest
            .split_at_checked(usize::from(fields[18]))
            .ok_or(BadHead::Overrun)?;
        let (digest, zeros) = rest.split_first_chunk().ok_or(BadHead::Overrun)?;
        if zeros.iter().any(|byte| *byte != 0) {
            return Err(BadHead::NotZero);
        }
        let name = std::str::from_utf8(name).map_err(|_| BadHead::Name)?;
        if !name.is_empty() {
            check_name(name)?;
        }
        Ok(Self {
            name: Some(name.to_owned()).filter(|name| !name.is_empty()),
            sent_at_ms: u64::from_le_bytes(sent_at),
            length,
            digest: *digest,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::{Content, Head};
    use proptest::prelude::*;

    fn manifest() -> Manifest {
        Manifest::of(Some("film.mkv".into()), 1_700_000_000_000, &[7; 150_000]).unwrap()
    }

    // PROTOCOL 3.9
    #[test]
    fn what_is_longer_than_a_message_is_cut_into_parts_of_64_kib() {
        let manifest = manifest();
        assert_eq!(manifest.parts(), 3);
        let parts = [0, 1, 2, 3].map(|number| manifest.part_bytes(number));
        assert_eq!(parts, [65_536, 65_536, 18_928, 0]);
        let most = Manifest::of(Some("a".into()), 0, &vec![0; CONTENT_BYTES_MAX]).unwrap();
        assert_eq!(most.parts(), PARTS_MAX);
        let refused = Manifest::of(Some("a".into()), 0, &vec![0; CONTENT_BYTES_MAX + 1]);
        assert_eq!(
            refused.unwrap_err().to_string(),
            "16777217 bytes are more than can be sent at once, 16777216"
        );
        assert_eq!(
            Manifest::of(None, 0, &[0xff; 70_000]),
            Err(BadHead::NotText)
        );
        assert_eq!(
            Manifest::of(Some("../a".into()), 0, &[7; 70_000]),
            Err(BadHead::Name)
        );
    }

    // PROTOCOL 3.9
    #[test]
    fn a_manifest_of_what_is_no_larger_content_is_refused() {
        let (_, content) = manifest().encode();
        let changed = |at: usize, value: u8| {
            let mut content = content.clone();
            content[at] = value;
            Head::decode(&content)
        };
        assert!(Head::decode(&content) == Ok(Content::Manifest(manifest())));
        for at in [1, 2, 3] {
            assert_eq!(changed(at, 1), Err(BadHead::Later), "byte {at}");
        }
        for at in [16, 17, 19, 60, 143] {
            assert_eq!(changed(at, 1), Err(BadHead::NotZero), "byte {at}");
        }
        assert_eq!(changed(7, 1), Err(BadHead::Overrun)); // More than 16 MiB.
        assert_eq!(changed(6, 0), Err(BadHead::Overrun)); // It would fit a message.
        assert_eq!(changed(18, 200), Err(BadHead::Overrun));
        assert_eq!(changed(20, b'/'), Err(BadHead::Name));
    }

    proptest! {
        #[test]
        fn what_is_encoded_comes_back(
            name in proptest::option::of("[a-zA-Z0-9 _-]{1,64}"),
            length in MESSAGE_BYTES_MAX + 1..=CONTENT_BYTES_MAX,
            sent_at_ms: u64,
            digest: [u8; 32],
        ) {
            let manifest = Manifest { name, sent_at_ms, length, digest };
            let (class, content) = manifest.encode();
            prop_assert_eq!(content.len(), class.content_bytes());
            prop_assert_eq!(Manifest::decode(&content), Ok(manifest));
        }
    }
}
