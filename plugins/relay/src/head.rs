//! The content of a sealed packet: what kind of message it is, and the message. PROTOCOL 3.4

use crate::limits::{
    CONTENT_BYTES_MAX, FRAGMENT_BYTES, FRAGMENTS_MAX, HEAD_FIELDS_BYTES, MESSAGE_BYTES_MAX,
    NAME_BYTES_MAX, SEAL_BYTES,
};
use crate::manifest::{self, Manifest};
use crate::packet::Class;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A whole message.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Head {
    /// Text, or a file with its name.
    #[zeroize(skip)]
    // The kind is no secret; a file's name is cleared with the buffer it came from.
    pub kind: Kind,
    /// When the sender sent it by its own clock, in Unix milliseconds.
    pub sent_at_ms: u64,
    /// The message.
    pub message: Vec<u8>,
}

/// The kinds of messages of this version.
#[derive(Clone, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8.
    Text,
    /// Any bytes, with a name: one path component of at most 64 bytes.
    File(String),
    /// Part of larger content, which its manifest names. PROTOCOL 3.9
    Part,
}

impl std::fmt::Debug for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Head({} bytes)", self.message.len()) // What people write stays out of logs.
    }
}

/// Why a message cannot be sent, or what was opened is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadHead {
    /// A kind, code or fragment count of a later version.
    #[error("a message of a later version")]
    Later,
    /// More than a message holds.
    #[error("{bytes} bytes do not fit one message, which holds {MESSAGE_BYTES_MAX}")]
    TooLongForOne {
        /// The message, in bytes.
        bytes: usize,
    },
    /// More than larger content holds.
    #[error("{bytes} bytes are more than can be sent at once, {CONTENT_BYTES_MAX}")]
    TooLong {
        /// All of it, in bytes.
        bytes: usize,
    },
    /// A length or name length beyond the content.
    #[error("lengths beyond the content")]
    Overrun,
    /// Text that is not UTF-8.
    #[error("text that is not UTF-8")]
    NotText,
    /// A name that is not one plain path component of 1 to 64 bytes, or text with a name.
    #[error("the file name is not one plain path component of 1 to 64 bytes")]
    Name,
    /// A nonzero byte after the message, or in a reserved field.
    #[error("a byte that should be zero is not")]
    NotZero,
    /// A number of fragments that is not that of the length.
    #[error("the number of fragments is not that of the length")]
    Fragments,
    /// The fragments make another message than the head says.
    #[error("the fragments are not those of the head")]
    Digest,
}

/// What a head says of a message whose bytes are in fragments.
#[derive(Clone, PartialEq, Eq)]
pub struct Outline {
    kind: Kind,
    sent_at_ms: u64,
    length: usize,
    digest: [u8; DIGEST_BYTES],
}

const DIGEST_BYTES: usize = 32;
/// The first byte of a head: what it is.
const TEXT: u8 = 0;
const FILE: u8 = 1;
const PART: u8 = 4;

/// What is in a head: the message, or what its fragments make.
#[derive(Clone, PartialEq, Eq)]
pub enum Content {
    /// All of it.
    Whole(Head),
    /// Its fragments are to be gathered.
    Outline(Outline),
    /// Its parts are to be collected.
    Manifest(Manifest),
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Content::Whole(head) => head.fmt(f),
            Content::Outline(outline) => outline.fmt(f),
            Content::Manifest(manifest) => manifest.fmt(f),
        }
    }
}

impl std::fmt::Debug for Outline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Outline({} bytes)", self.length)
    }
}

fn digest(message: &[u8]) -> [u8; DIGEST_BYTES] {
    let mut hasher = blake3::Hasher::new_derive_key("dunlin 1 message");
    *hasher.update(message).finalize().as_bytes()
}

impl Outline {
    /// Whether it is part of larger content.
    #[must_use]
    pub fn is_part(&self) -> bool {
        self.kind == Kind::Part
    }

    /// The message, in bytes.
    #[must_use]
    pub fn length(&self) -> usize {
        self.length
    }

    /// How many fragments there are, 1 to 64.
    #[must_use]
    pub fn fragments(&self) -> usize {
        self.length.div_ceil(FRAGMENT_BYTES)
    }

    /// The message, from what is in its fragments, one after the other.
    // PROTOCOL 3.5
    pub fn fill(&self, fragments: &[u8]) -> Result<Head, BadHead> {
        let (message, zeros) = fragments
            .split_at_checked(self.length)
            .ok_or(BadHead::Fragments)?;
        if zeros.iter().any(|byte| *byte != 0) {
            return Err(BadHead::NotZero);
        }
        if digest(message) != self.digest {
            return Err(BadHead::Digest);
        }
        if self.kind == Kind::Text {
            std::str::from_utf8(message).map_err(|_| BadHead::NotText)?;
        }
        Ok(Head {
            kind: self.kind.clone(),
            sent_at_ms: self.sent_at_ms,
            message: message.to_vec(),
        })
    }
}

impl Head {
    /// The smallest packet that holds its head, and how many fragments there are beside it.
    pub fn shape(&self) -> Result<(Class, usize), BadHead> {
        self.shape_in(SEAL_BYTES)
    }

    /// The same beside a seal of so many bytes.
    fn shape_in(&self, seal_bytes: usize) -> Result<(Class, usize), BadHead> {
        let taken = HEAD_FIELDS_BYTES + self.name().len();
        let bytes = self.message.len();
        let fits = |class: Class, bytes: usize| taken + bytes <= class.bytes_beside(seal_bytes);
        let class = |bytes| match fits(Class::Small, bytes) {
            true => Class::Small,
            false => Class::Large,
        };
        match bytes {
            _ if fits(Class::Large, bytes) => Ok((class(bytes), 0)),
            _ if bytes <= MESSAGE_BYTES_MAX => {
                Ok((class(DIGEST_BYTES), bytes.div_ceil(FRAGMENT_BYTES)))
            }
            _ => Err(BadHead::TooLongForOne { bytes }),
        }
    }

    fn name(&self) -> &str {
        match &self.kind {
            Kind::Text | Kind::Part => "",
            Kind::File(name) => name,
        }
    }

    /// The content to seal, exactly as long as the class says, and what goes into each fragment.
    // PROTOCOL 3.4
    pub fn encode(&self) -> Result<(Class, Vec<u8>, impl Iterator<Item = &[u8]>), BadHead> {
        self.encode_in(SEAL_BYTES)
    }

    /// The same beside a seal of so many bytes.
    // PROTOCOL 3.4
    pub(crate) fn encode_in(
        &self,
        seal_bytes: usize,
    ) -> Result<(Class, Vec<u8>, impl Iterator<Item = &[u8]>), BadHead> {
        let kind = match &self.kind {
            Kind::Text => {
                std::str::from_utf8(&self.message).map_err(|_| BadHead::NotText)?;
                TEXT
            }
            Kind::File(name) => {
                check_name(name)?;
                FILE
            }
            Kind::Part => PART,
        };
        let (class, fragments) = self.shape_in(seal_bytes)?;
        let name = self.name().as_bytes();
        let mut content = Vec::with_capacity(class.bytes_beside(seal_bytes));
        content.extend([kind, fragments as u8, 0, 0]); // At most 64.
        content.extend((self.message.len() as u32).to_le_bytes()); // At most 65,536: checked above.
        content.extend(self.sent_at_ms.to_le_bytes());
        content.extend([0, 0, name.len() as u8, 0]); // At most 64: checked above.
        content.extend(name);
        if fragments == 0 {
            content.extend(&self.message);
        } else {
            content.extend(digest(&self.message));
        }
        content.resize(class.bytes_beside(seal_bytes), 0);
        let parts = self.message.chunks(FRAGMENT_BYTES).take(fragments);
        Ok((class, content, parts))
    }

    /// Reads the content of an opened packet.
    // PROTOCOL 3.4
    pub fn decode(content: &[u8]) -> Result<Content, BadHead> {
        let fields: &[u8; HEAD_FIELDS_BYTES] = content.first_chunk().ok_or(BadHead::Overrun)?;
        let [kind, fragments, n, code, ..] = *fields;
        if kind == manifest::KIND {
            return Manifest::decode(content).map(Content::Manifest);
        }
        let known = matches!(kind, TEXT | FILE | PART);
        if !known || usize::from(fragments) > FRAGMENTS_MAX || n != 0 || code != 0 {
            return Err(BadHead::Later);
        }
        if fields[16] != 0 || fields[17] != 0 || fields[19] != 0 {
            return Err(BadHead::NotZero);
        }
        let length = u32::from_le_bytes([fields[4], fields[5], fields[6], fields[7]]);
        let length = usize::try_from(length).map_err(|_| BadHead::Overrun)?;
        let mut sent_at = [0; 8];
        sent_at.copy_from_slice(&fields[8..16]);
        let sent_at_ms = u64::from_le_bytes(sent_at);
        let rest = &content[HEAD_FIELDS_BYTES..];
        let (name, rest) = rest
            .split_at_checked(usize::from(fields[18]))
            .ok_or(BadHead::Overrun)?;
        let here = if fragments == 0 { length } else { DIGEST_BYTES };
        let (body, zeros) = rest.split_at_checked(here).ok_or(BadHead::Overrun)?;
        if zeros.iter().any(|byte| *byte != 0) {
            return Err(BadHead::NotZero);
        }
        let kind = if kind == FILE {
            let name = std::str::from_utf8(name).map_err(|_| BadHead::Name)?;
            check_name(name)?;
            Kind::File(name.to_owned())
        } else if !name.is_empty() {
            return Err(BadHead::Name);
        } else if kind == PART {
            Kind::Part
        } else {
            Kind::Text
        };
        if fragments > 0 {
            let outline = Outline {
                kind,
                sent_at_ms,
                length,
                digest: body.try_into().map_err(|_| BadHead::Overrun)?,
            };
            let right = outline.fragments() == usize::from(fragments);
            return right
                .then_some(Content::Outline(outline))
                .ok_or(BadHead::Fragments);
        }
        if kind == Kind::Text {
            std::str::from_utf8(body).map_err(|_| BadHead::NotText)?;
        }
        Ok(Content::Whole(Self {
            kind,
            sent_at_ms,
            message: body.to_vec(),
        }))
    }
}

// A name that a stranger chose: what is not one plain component could leave the folder it is saved in.
pub(crate) fn check_name(name: &str) -> Result<(), BadHead> {
    let plain = !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && name != "."
        && name != ".."
        && !name
            .chars()
            .any(|c| matches!(c, '/' | '\\') || c.is_control());
    if plain { Ok(()) } else { Err(BadHead::Name) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(length: usize) -> Head {
        Head {
            kind: Kind::Text,
            sent_at_ms: 1_700_000_000_000,
            message: vec![b'a'; length],
        }
    }

    // PROTOCOL 3.4
    #[test]
    fn one_packet_holds_124_or_892_bytes_of_text_and_64_fragments_hold_65_536() {
        for (bytes, class, fragments) in [
            (124, Class::Small, 0),
            (125, Class::Large, 0),
            (892, Class::Large, 0),
            (893, Class::Small, 1),
            (1_024, Class::Small, 1),
            (1_025, Class::Small, 2),
            (65_536, Class::Small, 64),
        ] {
            assert_eq!(text(bytes).shape(), Ok((class, fragments)), "{bytes}");
        }
        let refused = text(65_537).shape().unwrap_err();
        assert_eq!(
            refused.to_string(),
            "65537 bytes do not fit one message, which holds 65536"
        );
        let mut file = text(883);
        file.kind = Kind::File("notes.txt".into());
        assert_eq!(file.shape(), Ok((Class::Large, 0)));
        file.message.push(b'a');
        assert_eq!(file.shape(), Ok((Class::Small, 1)));
    }

    // PROTOCOL 3.5
    #[test]
    fn fragments_that_make_another_message_are_refused() {
        let head = text(3_000);
        let (_, content, parts) = head.encode().unwrap();
        let mut whole = parts.collect::<Vec<_>>().concat();
        whole.resize(3 * FRAGMENT_BYTES, 0);
        let Ok(Content::Outline(outline)) = Head::decode(&content) else {
            panic!("a head with fragments");
        };
        assert_eq!(outline.fragments(), 3);
        assert!(outline.fill(&whole) == Ok(head));
        assert_eq!(outline.fill(&whole[..2_999]), Err(BadHead::Fragments));
        whole[3_000] = 1;
        assert_eq!(outline.fill(&whole), Err(BadHead::NotZero));
        (whole[3_000], whole[7]) = (0, b'b');
        assert_eq!(outline.fill(&whole), Err(BadHead::Digest));
        let mut other = content;
        for (at, value, error) in [
            (1, 2, BadHead::Fragments),
            (1, 4, BadHead::Fragments),
            (1, 65, BadHead::Later),
            (60, 1, BadHead::NotZero),
        ] {
            let before = std::mem::replace(&mut other[at], value);
            assert_eq!(Head::decode(&other), Err(error), "byte {at}");
            other[at] = before;
        }
    }

    #[test]
    fn a_name_that_could_leave_its_folder_is_refused() {
        let mut names = vec![String::new(), ".".into(), "..".into(), "é".repeat(33)];
        names.extend(["a/b", "a\\b", "a\0", "a\n", "/", "\u{85}"].map(String::from));
        for name in names {
            let mut head = text(3);
            head.kind = Kind::File(name);
            assert!(matches!(head.encode(), Err(BadHead::Name)));
        }
        assert!(check_name("...").is_ok() && check_name("tea at four.txt").is_ok());
    }

    // PROTOCOL 3.4
    #[test]
    fn what_a_later_version_may_mean_or_what_is_not_zero_is_refused() {
        let head = text(5);
        let (_, content, _) = head.encode().unwrap();
        let changed = |at: usize, value: u8| {
            let mut content = content.clone();
            content[at] = value;
            Head::decode(&content)
        };
        for (at, value) in [(0, 2), (0, 5), (1, 65), (2, 1), (3, 1)] {
            assert_eq!(changed(at, value), Err(BadHead::Later));
        }
        for at in [16, 17, 19, 25, 143] {
            assert_eq!(changed(at, 1), Err(BadHead::NotZero), "byte {at}");
        }
        assert_eq!(changed(7, 1), Err(BadHead::Overrun));
        assert_eq!(changed(18, 200), Err(BadHead::Overrun));
        assert_eq!(changed(18, 3), Err(BadHead::Name));
        assert_eq!(changed(20, 0xff), Err(BadHead::NotText));
        assert_eq!(Head::decode(&[0; 19]), Err(BadHead::Overrun));
    }

    proptest! {
        #[test]
        fn what_is_encoded_comes_back(
            name in proptest::option::of("[a-zA-Z0-9 _-]{1,64}"),
            message in "[ -~]{0,8000}",
            sent_at_ms: u64,
            part: bool,
        ) {
            let kind = if part { Kind::Part } else { name.map_or(Kind::Text, Kind::File) };
            let head = Head { kind, sent_at_ms, message: message.into_bytes() };
            let (class, content, parts) = head.encode().unwrap();
            prop_assert_eq!(content.len(), class.content_bytes());
            let mut whole = parts.collect::<Vec<_>>().concat();
            whole.resize(whole.len().next_multiple_of(FRAGMENT_BYTES), 0);
            let again = match Head::decode(&content).unwrap() {
                Content::Whole(head) => head,
                Content::Outline(outline) => outline.fill(&whole).unwrap(),
                Content::Manifest(_) => unreachable!("no message is one"),
            };
            prop_assert!(again == head);
        }

        #[test]
        fn no_bytes_make_it_panic(content in proptest::collection::vec(any::<u8>(), 0..1_000)) {
            let _ = Head::decode(&content);
        }
    }
}
