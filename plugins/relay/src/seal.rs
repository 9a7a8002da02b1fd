//! Sealing to a person: only the recipient opens it, and knows who sent it; a carrier learns neither. PROTOCOL 3.3

use crate::fragment::FragmentKey;
use crate::head::{BadHead, Content, Head};
use crate::limits::{HEADER_BYTES, SEAL_BYTES};
use crate::manifest::Manifest;
use crate::packet::{Class, DeleteSecret, Header, MessageId, Packet, Tag, Token};
use crate::prekeys::Prekeys;
use dunlin_net::{Identity, PeerId};
use hpke::aead::{AeadCtxR, AeadCtxS, ChaCha20Poly1305};
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};
use hpke::{setup_receiver, setup_sender_with_rng};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

type Suite = X25519HkdfSha256;
type Sender = AeadCtxS<ChaCha20Poly1305, HkdfSha256, Suite>;
type Receiver = AeadCtxR<ChaCha20Poly1305, HkdfSha256, Suite>;
type PublicKey = <Suite as Kem>::PublicKey;
type PrivateKey = <Suite as Kem>::PrivateKey;
type EncappedKey = <Suite as Kem>::EncappedKey;

/// Where and for how long a message is to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope {
    /// The tag of the recipient's mailbox on `day`.
    pub tag: Tag,
    /// The sender's day, in days since 1970-01-01.
    pub day: u16,
    /// Hours after that day's start, 1 to 336.
    pub expiry_hours: u16,
}

/// A sealed message. The sender keeps no delete secret of the head: whoever shows that one must have opened the packet.
#[derive(Debug, Clone)]
pub struct Sealed {
    /// What goes to the carriers.
    pub packet: Packet,
    /// And these, if the message does not fit one packet, with what ends each at its carriers.
    pub fragments: Vec<(Packet, DeleteSecret)>,
    /// By which sender and recipient name the message.
    pub message: MessageId,
    /// Of a manifest, what each part's tag is made of. PROTOCOL 3.9
    pub parts: Vec<Token>,
}

/// What the recipient finds.
#[derive(Debug)]
pub struct Opened {
    /// Who sealed it: authenticated, though not provably to others.
    pub from: PeerId,
    /// By which sender and recipient name the message.
    pub message: MessageId,
    /// What ends the packet at its carriers.
    pub secret: DeleteSecret,
    /// The message, or what its fragments make.
    pub content: Content,
    /// What its fragments are opened with.
    pub fragments: Vec<FragmentKey>,
    /// By what its parts are fetched, if it is a manifest. PROTOCOL 3.9
    pub parts: Vec<Token>,
}

/// Why a message was not sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The message.
    #[error(transparent)]
    Head(#[from] BadHead),
    /// An expiry that no packet may have.
    #[error("a message is kept for 1 to 336 hours after the start of its day, not {0}")]
    Expiry(u16),
    /// The recipient's key agrees on nothing.
    #[error("the recipient's key cannot be used")]
    Key,
}

/// Why a packet does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Sealed to another, or altered.
    #[error("not sealed to us, or altered")]
    Outer,
    /// The sender's id is none.
    #[error("the sender's id is not valid")]
    SenderId,
    /// Not sealed by whom it names.
    #[error("not sealed by the sender that it names")]
    Inner,
    /// Its delete-hash is another's, so that it could not be ended.
    #[error("the delete-hash is not that of the seal")]
    DeleteHash,
    /// Its content is no message.
    #[error(transparent)]
    Head(#[from] BadHead),
}

fn info(label: &[u8; 13], recipient: &PeerId) -> [u8; 45] {
    let mut info = [0; 45];
    info[..13].copy_from_slice(label);
    info[13..].copy_from_slice(recipient.as_bytes());
    info
}

fn public_key(id: &PeerId) -> Result<PublicKey, hpke::HpkeError> {
    PublicKey::from_bytes(&id.agreement_key())
}

fn private_key(identity: &Identity) -> Result<PrivateKey, hpke::HpkeError> {
    PrivateKey::from_bytes(identity.agreement_secret().as_slice())
}

/// To whom a message is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recipient {
    /// Who.
    pub id: PeerId,
    /// The prekey of the message's day, if there is one; else the key of the identity is taken, and whoever has that in years to come opens the
    /// message. PROTOCOL 4.5
    pub prekey: Option<[u8; 32]>,
}

impl From<&PeerId> for Recipient {
    fn from(id: &PeerId) -> Self {
        let (id, prekey) = (*id, None);
        Self { id, prekey }
    }
}

impl Recipient {
    fn public_key(&self) -> Result<PublicKey, hpke::HpkeError> {
        match &self.prekey {
            Some(prekey) => PublicKey::from_bytes(prekey),
            None => public_key(&self.id),
        }
    }
}

/// Seals a message from `from` to `to`. Takes three scalar multiplications of the curve and two of its base.
// PROTOCOL 3.3
pub fn seal(
    from: &Identity,
    to: impl Into<Recipient>,
    envelope: Envelope,
    head: &Head,
    random: &mut impl CryptoRng,
) -> Result<Sealed, SealError> {
    let (class, content, parts) = head.encode()?;
    let (mut sealed, exporter) = seal_content(from, to.into(), envelope, class, content, random)?;
    for (number, part) in (0..).zip(parts) {
        let key = FragmentKey::export(number, |what, out| exporter.export(what, out));
        let key = key.map_err(|_| SealError::Key)?;
        let fragment = key.seal(envelope.day, envelope.expiry_hours, part);
        let fragment = fragment.ok_or(SealError::Key)?;
        sealed.fragments.push((fragment, key.secret().clone()));
    }
    Ok(sealed)
}

/// Seals a manifest. Its parts are sealed one by one, as messages of kind [`Part`](crate::Kind::Part), each to the tag that this one gives it.
// PROTOCOL 3.9
pub fn seal_manifest(
    from: &Identity,
    to: impl Into<Recipient>,
    envelope: Envelope,
    manifest: &Manifest,
    random: &mut impl CryptoRng,
) -> Result<Sealed, SealError> {
    let (class, content) = manifest.encode();
    let (mut sealed, exporter) = seal_content(from, to.into(), envelope, class, content, random)?;
    let tags = part_tokens(manifest, |what, out| exporter.export(what, out));
    sealed.parts = tags.map_err(|_| SealError::Key)?;
    Ok(sealed)
}

/// By what the parts of a manifest are fetched, by the exporter of its outer seal.
// PROTOCOL 3.9
fn part_tokens<E>(
    manifest: &Manifest,
    export: impl Fn(&[u8], &mut [u8]) -> Result<(), E>,
) -> Result<Vec<Token>, E> {
    let token = |number: u16| {
        let mut token = Token([0; 16]);
        export(
            &[&b"part"[..], &number.to_le_bytes()].concat(),
            &mut token.0,
        )?;
        Ok(token)
    };
    (0..manifest.parts() as u16).map(token).collect() // At most 256.
}

fn seal_content(
    from: &Identity,
    to: Recipient,
    envelope: Envelope,
    class: Class,
    content: Vec<u8>,
    random: &mut impl CryptoRng,
) -> Result<(Sealed, Sender), SealError> {
    let content = Zeroizing::new(content);
    let Envelope {
        tag,
        day,
        expiry_hours,
    } = envelope;
    if !(1..=crate::limits::EXPIRY_HOURS_MAX).contains(&expiry_hours) {
        return Err(SealError::Expiry(expiry_hours));
    }
    let sealed = seal_bytes(from, &to, random, &content, |delete_hash| Header {
        class,
        day,
        expiry_hours,
        tag,
        delete_hash,
    });
    sealed.map_err(|_| SealError::Key)
}

fn seal_bytes(
    from: &Identity,
    to: &Recipient,
    random: &mut impl CryptoRng,
    content: &[u8],
    header: impl FnOnce([u8; 16]) -> Header,
) -> Result<(Sealed, Sender), hpke::HpkeError> {
    let recipient = to.public_key()?;
    let outer_info = info(b"dunlin 1 seal", &to.id);
    let base = OpModeS::Base;
    let (enc, mut outer): (_, Sender) =
        setup_sender_with_rng(&base, &recipient, &outer_info, random)?;
    let mut secret = Zeroizing::new([0; 16]);
    outer.export(b"delete", &mut *secret)?;
    let mut message = MessageId([0; 16]);
    outer.export(b"message", &mut message.0)?;
    let header = header(DeleteSecret::new(*secret).hash()).encode();

    let keys = (private_key(from)?, public_key(&from.id())?);
    let inner_info = info(b"dunlin 1 auth", &to.id);
    let auth = OpModeS::Auth(keys);
    let (inner_enc, mut inner): (_, Sender) =
        setup_sender_with_rng(&auth, &recipient, &inner_info, random)?;
    let mut inside = Zeroizing::new(from.id().as_bytes().to_vec());
    inside.extend_from_slice(&inner_enc.to_bytes());
    inside.extend(inner.seal(content, &header)?);

    let mut bytes = Vec::with_capacity(HEADER_BYTES + SEAL_BYTES + content.len());
    bytes.extend(header);
    bytes.extend_from_slice(&enc.to_bytes());
    bytes.extend(outer.seal(&inside, &header)?);
    match Packet::parse(bytes.into()) {
        Ok(packet) => {
            let (fragments, parts) = (Vec::new(), Vec::new());
            let sealed = Sealed {
                packet,
                fragments,
                message,
                parts,
            };
            Ok((sealed, outer))
        }
        Err(_) => Err(hpke::HpkeError::SealError), // A content of the wrong length: `Head::encode` makes none.
    }
}

/// Opens a packet that was sealed to `me`. Takes four scalar multiplications if it was, one if not.
// PROTOCOL 3.3
pub fn open(me: &Identity, packet: &Packet) -> Result<Opened, OpenError> {
    let secret_key = private_key(me).map_err(|_| OpenError::Outer)?;
    open_with(me, &secret_key, packet)
}

/// The same of one that may have been sealed to the prekey of its day, which is tried first.
// PROTOCOL 4.5
pub fn open_own(me: &Identity, prekeys: &Prekeys, packet: &Packet) -> Result<Opened, OpenError> {
    if let Some(half) = prekeys.key(packet.day()) {
        let half = PrivateKey::from_bytes(&half[..]).map_err(|_| OpenError::Outer)?;
        let opened = open_with(me, &half, packet);
        if !matches!(opened, Err(OpenError::Outer)) {
            return opened;
        }
    }
    open(me, packet)
}

fn open_with(me: &Identity, secret_key: &PrivateKey, packet: &Packet) -> Result<Opened, OpenError> {
    let outer = |_| OpenError::Outer;
    let inner = |_| OpenError::Inner;
    let header = packet.sealed_header();
    let (enc, sealed) = packet.body().split_at(32);
    let enc = EncappedKey::from_bytes(enc).map_err(outer)?;
    let outer_info = info(b"dunlin 1 seal", &me.id());
    let mut context: Receiver =
        setup_receiver(&OpModeR::Base, secret_key, &enc, &outer_info).map_err(outer)?;
    let inside = Zeroizing::new(context.open(sealed, &header).map_err(outer)?);

    let (sender, rest) = inside.split_first_chunk().ok_or(OpenError::SenderId)?;
    let from = PeerId::from_bytes(*sender).map_err(|_| OpenError::SenderId)?;
    let (inner_enc, sealed) = rest.split_first_chunk::<32>().ok_or(OpenError::Inner)?;
    let inner_enc = EncappedKey::from_bytes(inner_enc).map_err(inner)?;
    let mode = OpModeR::Auth(public_key(&from).map_err(inner)?);
    let inner_info = info(b"dunlin 1 auth", &me.id());
    let mut auth: Receiver =
        setup_receiver(&mode, secret_key, &inner_enc, &inner_info).map_err(inner)?;
    let content = Zeroizing::new(auth.open(sealed, &header).map_err(inner)?);

    let mut secret = Zeroizing::new([0; 16]);
    context.export(b"delete", &mut *secret).map_err(outer)?;
    let mut message = MessageId([0; 16]);
    context.export(b"message", &mut message.0).map_err(outer)?;
    let secret = DeleteSecret::new(*secret);
    if !secret.ends(&packet.delete_hash()) {
        return Err(OpenError::DeleteHash);
    }
    let content = Head::decode(&content)?;
    let count = match &content {
        Content::Whole(_) | Content::Manifest(_) => 0,
        Content::Outline(outline) => outline.fragments(),
    };
    let parts = match &content {
        Content::Manifest(manifest) => {
            let tags = part_tokens(manifest, |what, out| context.export(what, out));
            tags.map_err(outer)?
        }
        _ => Vec::new(),
    };
    let key = |number| FragmentKey::export(number, |what, out| context.export(what, out));
    let fragments = (0..count as u16).map(key).collect::<Result<_, _>>();
    Ok(Opened {
        from,
        message,
        secret,
        content,
        fragments: fragments.map_err(outer)?,
        parts,
    })
}

#[cfg(test)]
#[path = "seal_tests.rs"]
mod tests;
