//! Seals: what opens, what does not, and the standard's own vectors for our suite.

use super::*;
use crate::head::{Content, Kind};
use crate::packet::PacketId;
use data_encoding::HEXLOWER;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

fn identity(n: u64) -> Identity {
    Identity::generate(&mut ChaCha20Rng::seed_from_u64(n))
}

fn head(text: &str) -> Head {
    Head {
        kind: Kind::Text,
        sent_at_ms: 1_800_000_000_000,
        message: text.into(),
    }
}

const ENVELOPE: Envelope = Envelope {
    tag: Tag([4; 16]),
    day: 20_833,
    expiry_hours: 336,
};

fn sealed(text: &str) -> Sealed {
    let random = &mut ChaCha20Rng::seed_from_u64(9);
    seal(
        &identity(1),
        &identity(2).id(),
        ENVELOPE,
        &head(text),
        random,
    )
    .unwrap()
}

// PROTOCOL 3.3
#[test]
fn the_recipient_and_nobody_else_opens_it_and_knows_the_sender() {
    for text in ["Tea at four?", &"x".repeat(892)] {
        let sealed = sealed(text);
        let opened = open(&identity(2), &sealed.packet).unwrap();
        assert_eq!(opened.from, identity(1).id());
        assert_eq!(opened.message, sealed.message);
        assert!(opened.content == Content::Whole(head(text)));
        assert!(opened.secret.ends(&sealed.packet.delete_hash()));
        assert_eq!(
            open(&identity(3), &sealed.packet).unwrap_err(),
            OpenError::Outer
        );
        assert_eq!(
            open(&identity(1), &sealed.packet).unwrap_err(),
            OpenError::Outer
        );
    }
}

// PROTOCOL 3.3, 3.5
#[test]
fn fragments_lie_under_tags_and_keys_that_only_the_seal_tells() {
    let text = "tea ".repeat(500);
    let sealed = sealed(&text);
    let opened = open(&identity(2), &sealed.packet).unwrap();
    let Content::Outline(outline) = opened.content else {
        panic!("2,000 bytes are in fragments");
    };
    assert_eq!((sealed.fragments.len(), opened.fragments.len()), (2, 2));
    let mut whole = Vec::new();
    for (key, (packet, secret)) in opened.fragments.iter().zip(&sealed.fragments) {
        assert_eq!((key.tag(), packet.day()), (packet.tag(), ENVELOPE.day));
        assert_ne!(packet.tag(), ENVELOPE.tag);
        assert_eq!(
            (packet.bytes().len(), key.secret().as_bytes()),
            (1_088, secret.as_bytes())
        );
        whole.extend_from_slice(&key.open(packet).unwrap());
    }
    assert!(outline.fill(&whole) == Ok(head(&text)));
    assert!(opened.fragments[0].open(&sealed.fragments[1].0).is_none());
    // To somebody else a fragment is a packet that does not open.
    let error = open(&identity(2), &sealed.fragments[0].0).unwrap_err();
    assert_eq!(error, OpenError::Outer);
}

// PROTOCOL 3.2, 3.3
#[test]
fn a_packet_altered_in_any_bit_but_the_nonce_has_another_id_and_opens_for_nobody() {
    let packet = sealed("Tea at four?").packet;
    for bit in 0..packet.bytes().len() * 8 {
        let mut bytes = packet.bytes().to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let Ok(altered) = Packet::parse(bytes.into()) else {
            continue; // A header that no packet has.
        };
        let nonce = (64..128).contains(&bit);
        assert_eq!(altered.id() == packet.id(), nonce, "bit {bit}");
        assert_eq!(open(&identity(2), &altered).is_ok(), nonce, "bit {bit}");
    }
}

// PROTOCOL 3.3
#[test]
fn who_claims_to_be_another_sender_is_not_believed() {
    // Mallory seals with her own key, and writes Alice's id into the outer seal.
    let (alice, bob, mallory) = (identity(1), identity(2), identity(3));
    let random = &mut ChaCha20Rng::seed_from_u64(9);
    let money = head("Send money");
    let (class, content, _) = money.encode().unwrap();
    let recipient = public_key(&bob.id()).unwrap();
    let outer_info = info(b"dunlin 1 seal", &bob.id());
    let base = OpModeS::Base;
    let (enc, mut outer): (_, Sender) =
        setup_sender_with_rng(&base, &recipient, &outer_info, random).unwrap();
    let mut secret = [0; 16];
    outer.export(b"delete", &mut secret).unwrap();
    let forge = |delete_hash, outer: &mut Sender, random: &mut ChaCha20Rng, from: &Identity| {
        let Envelope {
            tag,
            day,
            expiry_hours,
        } = ENVELOPE;
        let header = Header {
            class,
            day,
            expiry_hours,
            tag,
            delete_hash,
        }
        .encode();
        let keys = (private_key(from).unwrap(), public_key(&from.id()).unwrap());
        let auth = OpModeS::Auth(keys);
        let inner_info = info(b"dunlin 1 auth", &bob.id());
        let (inner_enc, mut inner): (_, Sender) =
            setup_sender_with_rng(&auth, &recipient, &inner_info, random).unwrap();
        let mut inside = alice.id().as_bytes().to_vec();
        inside.extend_from_slice(&inner_enc.to_bytes());
        inside.extend(inner.seal(&content, &header).unwrap());
        let mut bytes = header.to_vec();
        bytes.extend_from_slice(&enc.to_bytes());
        bytes.extend(outer.seal(&inside, &header).unwrap());
        Packet::parse(bytes.into()).unwrap()
    };
    let delete_hash = DeleteSecret::new(secret).hash();
    let packet = forge(delete_hash, &mut outer, random, &mallory);
    assert_eq!(open(&bob, &packet).unwrap_err(), OpenError::Inner);
}

// PROTOCOL 3.3
#[test]
fn a_packet_that_could_not_be_ended_is_refused() {
    let (alice, bob) = (identity(1), identity(2));
    let random = &mut ChaCha20Rng::seed_from_u64(9);
    let tea = head("Tea at four?");
    let (class, content, _) = tea.encode().unwrap();
    let Envelope {
        tag,
        day,
        expiry_hours,
    } = ENVELOPE;
    let sealed = seal_bytes(
        &alice,
        &Recipient::from(&bob.id()),
        random,
        &content,
        |_| Header {
            class,
            day,
            expiry_hours,
            tag,
            delete_hash: [7; 16],
        },
    );
    let packet = sealed.map(|(sealed, _)| sealed.packet).ok().unwrap();
    assert_eq!(open(&bob, &packet).unwrap_err(), OpenError::DeleteHash);
}

#[test]
fn an_expiry_beyond_fourteen_days_is_refused_before_anything_is_sealed() {
    for expiry_hours in [0, 337] {
        let envelope = Envelope {
            expiry_hours,
            ..ENVELOPE
        };
        let random = &mut ChaCha20Rng::seed_from_u64(9);
        let refused = seal(
            &identity(1),
            &identity(2).id(),
            envelope,
            &head("x"),
            random,
        );
        assert_eq!(refused.unwrap_err(), SealError::Expiry(expiry_hours));
    }
}

#[test]
fn two_seals_of_one_text_have_nothing_in_common() {
    let random = &mut ChaCha20Rng::seed_from_u64(9);
    let mut again = || {
        let to = identity(2).id();
        seal(&identity(1), &to, ENVELOPE, &head("Tea at four?"), random).unwrap()
    };
    let (a, b) = (again(), again());
    assert_ne!(a.packet.id(), b.packet.id());
    assert_ne!(a.message, b.message);
    assert_ne!(a.packet.delete_hash(), b.packet.delete_hash());
    assert_ne!(a.packet.id(), PacketId([0; 16]));
}

/// Gives out the bytes it was made of, as the vectors' key material.
struct Fixed(std::collections::VecDeque<u8>);

impl rand_core::TryRng for Fixed {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        rand_core::utils::next_word_via_fill(self)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        rand_core::utils::next_word_via_fill(self)
    }

    fn try_fill_bytes(&mut self, to: &mut [u8]) -> Result<(), Self::Error> {
        to.fill_with(|| {
            self.0
                .pop_front()
                .expect("a vector draws its key material only")
        });
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Fixed {}

#[test]
fn hpke_is_that_of_rfc_9180_in_the_modes_base_and_auth() {
    let vectors = include_str!("../../../tests/vectors/hpke/rfc9180.json");
    let vectors: serde_json::Value = serde_json::from_str(vectors).unwrap();
    let hex =
        |value: &serde_json::Value| HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap();
    let info = hex(&vectors["info"]);
    let plaintext = hex(&vectors["plaintext"]);
    for mode in ["base", "auth"] {
        let vector = &vectors[mode];
        let public = PublicKey::from_bytes(&hex(&vector["public_r"])).unwrap();
        let secret = PrivateKey::from_bytes(&hex(&vector["secret_r"])).unwrap();
        let (sending, receiving) = if mode == "base" {
            (OpModeS::Base, OpModeR::Base)
        } else {
            let public_s = PublicKey::from_bytes(&hex(&vector["public_s"])).unwrap();
            let secret_s = PrivateKey::from_bytes(&hex(&vector["secret_s"])).unwrap();
            let keys = (secret_s, public_s.clone());
            (OpModeS::Auth(keys), OpModeR::Auth(public_s))
        };
        let mut random = Fixed(hex(&vector["ikm_e"]).into());
        let (enc, mut sender): (_, Sender) =
            setup_sender_with_rng(&sending, &public, &info, &mut random).unwrap();
        assert_eq!(enc.to_bytes().to_vec(), hex(&vector["enc"]));
        let mut receiver: Receiver = setup_receiver(&receiving, &secret, &enc, &info).unwrap();
        for n in 0..3 {
            let aad = hex(&vectors["aad_of_sequence"][n]);
            let ciphertext = hex(&vector["ciphertexts"][n]);
            assert_eq!(sender.seal(&plaintext, &aad).unwrap(), ciphertext);
            assert_eq!(receiver.open(&ciphertext, &aad).unwrap(), plaintext);
            let mut exported = [0; 32];
            let context = hex(&vectors["export_contexts"][n]);
            sender.export(&context, &mut exported).unwrap();
            assert_eq!(exported.to_vec(), hex(&vector["exports"][n]));
            receiver.export(&context, &mut exported).unwrap();
            assert_eq!(exported.to_vec(), hex(&vector["exports"][n]));
        }
    }
}
