//! The content of a sealed packet: what kind of message it is, and the message. PROTOCOL 3.4

use crate::limits::{HEAD_FIELDS_BYTES, NAME_BYTES_MAX};
use crate::packet::Class;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A whole message that fits one packet.
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
    /// More than one packet holds.
    #[error("{bytes} bytes do not fit one packet, which holds {limit}")]
    TooLong {
        /// The message, in bytes.
        bytes: usize,
        /// What a large packet holds beside this name.
        limit: usize,
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
}

impl Head {
    /// The smallest packet that holds it.
    pub fn class(&self) -> Result<Class, BadHead> {
        let taken = HEAD_FIELDS_BYTES + self.name().len();
        let bytes = self.message.len();
        let limit = Class::Large.content_bytes() - taken;
        match bytes {
            _ if taken + bytes <= Class::Small.content_bytes() => Ok(Class::Small),
            _ if bytes <= limit => Ok(Class::Large),
            _ => Err(BadHead::TooLong { bytes, limit }),
        }
    }

    fn name(&self) -> &str {
        match &self.kind {
            Kind::Text => "",
            Kind::File(name) => name,
        }
    }

    /// The content to seal, exactly as long as the class says.
    // PROTOCOL 3.4
    pub fn encode(&self) -> Result<(Class, Vec<u8>), BadHead> {
        if let Kind::File(name) = &self.kind {
            check_name(name)?;
        } else {
            std::str::from_utf8(&self.message).map_err(|_| BadHead::NotText)?;
        }
        let class = self.class()?;
        let name = self.name().as_bytes();
        let mut content = Vec::with_capacity(class.content_bytes());
        content.extend([u8::from(matches!(self.kind, Kind::File(_))), 0, 0, 0]);
        content.extend((self.message.len() as u32).to_le_bytes()); // At most 892: checked above.
        content.extend(self.sent_at_ms.to_le_bytes());
        content.extend([0, 0, name.len() as u8, 0]); // At most 64: checked above.
        content.extend(name);
        content.extend(&self.message);
        content.resize(class.content_bytes(), 0);
        Ok((class, content))
    }

    /// Reads the content of an opened packet.
    // PROTOCOL 3.4
    pub fn decode(content: &[u8]) -> Result<Self, BadHead> {
        let fields: &[u8; HEAD_FIELDS_BYTES] = content.first_chunk().ok_or(BadHead::Overrun)?;
        let [kind, k, n, code, ..] = *fields;
        if kind > 1 || k != 0 || n != 0 || code != 0 {
            return Err(BadHead::Later);
        }
        if fields[16] != 0 || fields[17] != 0 || fields[19] != 0 {
            return Err(BadHead::NotZero);
        }
        let length = u32::from_le_bytes([fields[4], fields[5], fields[6], fields[7]]);
        let length = usize::try_from(length).map_err(|_| BadHead::Overrun)?;
        let mut sent_at = [0; 8];
        sent_at.copy_from_slice(&fields[8..16]);
        let rest = &content[HEAD_FIELDS_BYTES..];
        let (name, rest) = rest
            .split_at_checked(usize::from(fields[18]))
            .ok_or(BadHead::Overrun)?;
        let (message, zeros) = rest.split_at_checked(length).ok_or(BadHead::Overrun)?;
        if zeros.iter().any(|byte| *byte != 0) {
            return Err(BadHead::NotZero);
        }
        let kind = if kind == 1 {
            let name = std::str::from_utf8(name).map_err(|_| BadHead::Name)?;
            check_name(name)?;
            Kind::File(name.to_owned())
        } else if !name.is_empty() {
            return Err(BadHead::Name);
        } else {
            std::str::from_utf8(message).map_err(|_| BadHead::NotText)?;
            Kind::Text
        };
        Ok(Self {
            kind,
            sent_at_ms: u64::from_le_bytes(sent_at),
            message: message.to_vec(),
        })
    }
}

// A name that a stranger chose: what is not one plain component could leave the folder it is saved in.
fn check_name(name: &str) -> Result<(), BadHead> {
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
    fn one_packet_holds_124_or_892_bytes_of_text_and_says_so() {
        assert_eq!(text(124).class(), Ok(Class::Small));
        assert_eq!(text(125).class(), Ok(Class::Large));
        assert_eq!(text(892).class(), Ok(Class::Large));
        let refused = text(893).class().unwrap_err();
        assert_eq!(
            refused.to_string(),
            "893 bytes do not fit one packet, which holds 892"
        );
        let mut file = text(884);
        file.kind = Kind::File("notes.txt".into());
        assert_eq!(
            file.class(),
            Err(BadHead::TooLong {
                bytes: 884,
                limit: 883
            })
        );
    }

    #[test]
    fn a_name_that_could_leave_its_folder_is_refused() {
        let mut names = vec![String::new(), ".".into(), "..".into(), "é".repeat(33)];
        names.extend(["a/b", "a\\b", "a\0", "a\n", "/", "\u{85}"].map(String::from));
        for name in names {
            let mut head = text(3);
            head.kind = Kind::File(name);
            assert_eq!(head.encode(), Err(BadHead::Name));
        }
        assert!(check_name("...").is_ok() && check_name("tea at four.txt").is_ok());
    }

    // PROTOCOL 3.4
    #[test]
    fn what_a_later_version_may_mean_or_what_is_not_zero_is_refused() {
        let (_, content) = text(5).encode().unwrap();
        let changed = |at: usize, value: u8| {
            let mut content = content.clone();
            content[at] = value;
            Head::decode(&content)
        };
        for (at, value) in [(0, 2), (0, 3), (1, 1), (2, 1), (3, 1)] {
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
            message in "[ -~]{0,800}",
            sent_at_ms: u64,
        ) {
            let kind = name.map_or(Kind::Text, Kind::File);
            let head = Head { kind, sent_at_ms, message: message.into_bytes() };
            let (class, content) = head.encode().unwrap();
            prop_assert_eq!(content.len(), class.content_bytes());
            prop_assert!(Head::decode(&content).as_ref() == Ok(&head));
        }

        #[test]
        fn no_bytes_make_it_panic(content in proptest::collection::vec(any::<u8>(), 0..1_000)) {
            let _ = Head::decode(&content);
        }
    }
}
