//! Contact cards: what one needs to write to somebody, as text to pass on. PROTOCOL 4.4

use crate::mailbox::MailboxPublic;
use data_encoding::BASE32_NOPAD_NOCASE;
use dunlin_net::{ADDRESS_BYTES, Identity, PeerId, decode_address, encode_address};
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

const SCHEME: &str = "dunlin:";
/// Before it is written as base32.
const CARD_BYTES_MAX: usize = 512;
const NAME_BYTES_MAX: usize = 32;
const FIXED_BYTES: usize = 2 + 32 + 32;
const SIGNATURE_BYTES: usize = 64;
const CHECK_BYTES: usize = 4;

const ADDRESS: u8 = 1;
const NAME: u8 = 3;

/// A contact card whose signature holds. `Display` gives the text, `FromStr` reads it, in either case of letters.
#[derive(Clone, PartialEq, Eq)]
pub struct Card {
    id: PeerId,
    mailbox: MailboxPublic,
    addresses: Vec<SocketAddr>,
    name: Option<String>,
    text: String,
}

/// What is wrong with a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CardError {
    /// It does not begin as a card does.
    #[error("a contact card begins with \"dunlin:\"")]
    Scheme,
    /// Letters that base32 does not have, or a part is missing.
    #[error("the contact card is damaged or cut short: copy it again, whole")]
    Damaged,
    /// Another version.
    #[error("the contact card is of a later version: update this program")]
    Later,
    /// An id or mailbox key that is none.
    #[error("the contact card holds an invalid key")]
    Key,
    /// Not signed by whom it names.
    #[error("the contact card is not signed by its owner")]
    Signature,
    /// A field that is not what its type says.
    #[error("a field of the contact card is malformed")]
    Field,
    /// More than 512 bytes.
    #[error("a contact card is at most 512 bytes")]
    TooLong,
}

impl Card {
    /// A signed card. Addresses are hints where the owner, or a carrier, may be found; the name has at most 32 bytes.
    // PROTOCOL 4.4
    pub fn new(
        owner: &Identity,
        mailbox: &MailboxPublic,
        addresses: &[SocketAddr],
        name: Option<&str>,
    ) -> Result<Self, CardError> {
        let mut fields = Vec::new();
        for address in addresses {
            fields.extend([ADDRESS, ADDRESS_BYTES as u8]);
            fields.extend(encode_address(*address));
        }
        if let Some(name) = name {
            if name.len() > NAME_BYTES_MAX {
                return Err(CardError::Field);
            }
            fields.extend([NAME, name.len() as u8]);
            fields.extend(name.as_bytes());
        }
        Self::signed(owner, mailbox, &fields)
    }

    /// A card with these fields, signed. They are checked as a stranger's are, so no card is made that nobody can read.
    // PROTOCOL 4.4
    pub(crate) fn signed(
        owner: &Identity,
        mailbox: &MailboxPublic,
        fields: &[u8],
    ) -> Result<Self, CardError> {
        let mut bytes = vec![1, 0];
        bytes.extend(owner.id().as_bytes());
        bytes.extend(mailbox.to_bytes());
        bytes.extend(fields);
        bytes.extend(owner.sign(&signed(&bytes)));
        let check = blake3::hash(&bytes);
        bytes.extend(&check.as_bytes()[..CHECK_BYTES]);
        Self::decode(&bytes)
    }

    /// The owner.
    #[must_use]
    pub fn id(&self) -> PeerId {
        self.id
    }

    /// The owner's mailbox.
    #[must_use]
    pub fn mailbox(&self) -> &MailboxPublic {
        &self.mailbox
    }

    /// Where the owner, or a carrier, may be found.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What the owner calls itself.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    // PROTOCOL 4.4
    fn decode(bytes: &[u8]) -> Result<Self, CardError> {
        if bytes.len() > CARD_BYTES_MAX {
            return Err(CardError::TooLong);
        }
        let (rest, check) = bytes
            .split_last_chunk::<CHECK_BYTES>()
            .ok_or(CardError::Damaged)?;
        if blake3::hash(rest).as_bytes()[..CHECK_BYTES] != *check {
            return Err(CardError::Damaged);
        }
        let (body, signature) = rest
            .split_last_chunk::<SIGNATURE_BYTES>()
            .ok_or(CardError::Damaged)?;
        let (fixed, mut fields) = body
            .split_first_chunk::<FIXED_BYTES>()
            .ok_or(CardError::Damaged)?;
        if fixed[..2] != [1, 0] {
            return Err(CardError::Later);
        }
        let mut keys = [[0; 32]; 2];
        keys[0].copy_from_slice(&fixed[2..34]);
        keys[1].copy_from_slice(&fixed[34..]);
        let id = PeerId::from_bytes(keys[0]).map_err(|_| CardError::Key)?;
        let mailbox = MailboxPublic::from_bytes(keys[1]).ok_or(CardError::Key)?;
        if !id.verify(&signed(body), signature) {
            return Err(CardError::Signature);
        }
        let mut addresses = Vec::new();
        let mut name = None;
        while let [kind, length, rest @ ..] = fields {
            let (value, rest) = rest
                .split_at_checked(usize::from(*length))
                .ok_or(CardError::Field)?;
            match *kind {
                ADDRESS => {
                    let value = value.try_into().map_err(|_| CardError::Field)?;
                    addresses.push(decode_address(value).ok_or(CardError::Field)?);
                }
                NAME => {
                    let text = std::str::from_utf8(value).map_err(|_| CardError::Field)?;
                    // It is shown to people, perhaps on a terminal.
                    if value.len() > NAME_BYTES_MAX || text.chars().any(char::is_control) {
                        return Err(CardError::Field);
                    }
                    name = Some(text.to_owned());
                }
                _ => {}
            }
            fields = rest;
        }
        if !fields.is_empty() {
            return Err(CardError::Field);
        }
        let mut text = SCHEME.to_owned();
        text.push_str(&BASE32_NOPAD_NOCASE.encode(bytes).to_ascii_lowercase());
        Ok(Self {
            id,
            mailbox,
            addresses,
            name,
            text,
        })
    }
}

fn signed(body: &[u8]) -> Vec<u8> {
    [b"dunlin 1 card", body].concat()
}

impl FromStr for Card {
    type Err = CardError;

    fn from_str(text: &str) -> Result<Self, CardError> {
        let text = text.trim();
        let (scheme, rest) = text
            .split_at_checked(SCHEME.len())
            .ok_or(CardError::Scheme)?;
        if !scheme.eq_ignore_ascii_case(SCHEME) {
            return Err(CardError::Scheme);
        }
        // A text far too long is refused before anything of its length is made.
        if rest.len() > CARD_BYTES_MAX * 2 {
            return Err(CardError::TooLong);
        }
        let bytes = BASE32_NOPAD_NOCASE.decode(rest.as_bytes());
        Self::decode(&bytes.map_err(|_| CardError::Damaged)?)
    }
}

impl fmt::Display for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Card({:?})", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::Mailbox;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    fn owner() -> Identity {
        Identity::generate(&mut ChaCha20Rng::seed_from_u64(1))
    }

    fn card() -> Card {
        let mailbox = Mailbox::from_seed(&[7; 32]);
        let addresses = ["127.0.0.1:9000", "[2001:db8::1]:9000"].map(|a| a.parse().unwrap());
        Card::new(&owner(), mailbox.public(), &addresses, Some("Bob")).unwrap()
    }

    fn bytes_of(card: &Card) -> Vec<u8> {
        BASE32_NOPAD_NOCASE
            .decode(&card.text.as_bytes()[7..])
            .unwrap()
    }

    /// Signs and checks anew what was changed.
    fn resigned(mut body: Vec<u8>) -> Result<Card, CardError> {
        let signature = owner().sign(&signed(&body));
        body.extend(signature);
        let check = blake3::hash(&body);
        body.extend(&check.as_bytes()[..4]);
        Card::decode(&body)
    }

    fn body() -> Vec<u8> {
        let mut bytes = bytes_of(&card());
        bytes.truncate(bytes.len() - 68);
        bytes
    }

    // PROTOCOL 4.4
    #[test]
    fn a_card_comes_back_from_its_text_in_either_case() {
        let card = card();
        assert_eq!(card.name(), Some("Bob"));
        assert_eq!(card.addresses().len(), 2);
        assert_eq!(card.to_string().parse(), Ok(card.clone()));
        let upper = format!(" {}\n", card.to_string().to_uppercase());
        assert_eq!(upper.parse(), Ok(card.clone()));
        assert_eq!(card.to_string(), card.to_string().to_lowercase());
    }

    // PROTOCOL 4.4
    #[test]
    fn a_letter_copied_wrong_is_told_from_a_forgery() {
        let text = card().to_string();
        for at in 7..text.len() {
            let mut letters = text.clone().into_bytes();
            letters[at] = if letters[at] == b'a' { b'b' } else { b'a' };
            let parsed = String::from_utf8(letters).unwrap().parse::<Card>();
            assert_eq!(parsed, Err(CardError::Damaged), "letter {at}");
        }
        let mut forged = bytes_of(&card());
        forged.truncate(forged.len() - 4);
        forged[70] ^= 1;
        let check = blake3::hash(&forged);
        forged.extend(&check.as_bytes()[..4]);
        assert_eq!(Card::decode(&forged), Err(CardError::Signature));
    }

    #[test]
    fn what_is_no_card_says_so() {
        let parse = |text: &str| text.parse::<Card>().unwrap_err();
        assert_eq!(parse(""), CardError::Scheme);
        assert_eq!(parse("https://example.org"), CardError::Scheme);
        assert_eq!(parse("dunlin:"), CardError::Damaged);
        assert_eq!(
            parse(&format!("dunlin:{}", "a".repeat(5_000))),
            CardError::TooLong
        );
    }

    // PROTOCOL 4.4
    #[test]
    fn later_versions_and_bad_fields_are_refused_and_unknown_fields_skipped() {
        let mut later = body();
        later[0] = 2;
        assert_eq!(resigned(later), Err(CardError::Later));
        let mut reserved = body();
        reserved[1] = 1;
        assert_eq!(resigned(reserved), Err(CardError::Later));
        let with = |field: &[u8]| resigned([&body()[..], field].concat());
        assert!(with(&[9, 3, 1, 2, 3]).is_ok());
        assert!(with(&[2, 1, 0]).is_ok());
        for bad in [
            &[1, 1, 0][..],
            &[3, 2, 0xff, 0xff],
            &[3, 1, b'\n'],
            &[9, 200],
            &[9],
        ] {
            assert_eq!(with(bad), Err(CardError::Field), "{bad:?}");
        }
        assert_eq!(
            with(&[[9, 200].as_slice(), &[0; 200], &[9, 150], &[0; 150]].concat()),
            Err(CardError::TooLong)
        );
        let mut key = body();
        key[34..66].fill(0);
        key[34] = 1;
        assert_eq!(resigned(key), Err(CardError::Key));
    }

    #[test]
    fn a_card_that_nobody_could_read_is_not_made() {
        let mailbox = Mailbox::from_seed(&[7; 32]);
        let new = |addresses: &[SocketAddr], name| {
            Card::new(&owner(), mailbox.public(), addresses, name).unwrap_err()
        };
        let address: SocketAddr = "203.0.113.1:9000".parse().unwrap();
        assert_eq!(new(&[address; 20], None), CardError::TooLong);
        assert_eq!(new(&["0.0.0.0:1".parse().unwrap()], None), CardError::Field);
        assert_eq!(new(&[], Some(&"x".repeat(33))), CardError::Field);
    }
}
