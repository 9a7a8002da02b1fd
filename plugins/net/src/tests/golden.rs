//! Links byte by byte, for other implementers: `tests/vectors/link.json`.

use crate::cookie::cookie;
use crate::datagram::Header;
use crate::handshake::{Initiation, Pending, cookie_datagram, respond};
use crate::limits::COOKIE_BYTES;
use crate::session::Session;
use crate::{Identity, encode_address, frame};
use data_encoding::HEXLOWER;
use dunlin_engine::Time;
use rand_core::{Infallible, TryCryptoRng, TryRng};
use serde_json::{Value, json};
use std::path::Path;

/// A generator that gives the bytes it was given.
struct Drawn(Vec<u8>);

impl TryRng for Drawn {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        out.copy_from_slice(&self.0.drain(..out.len()).collect::<Vec<u8>>());
        Ok(())
    }
}

impl TryCryptoRng for Drawn {}

fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

/// The first seed of equal bytes from `byte` on that gives a valid id.
fn identity(byte: u8) -> ([u8; 32], Identity) {
    let seeds = (byte..).map(|byte| [byte; 32]);
    let mut found = seeds.filter_map(|seed| Some((seed, Identity::from_seed(&seed).ok()?)));
    found.next().unwrap()
}

const COUNTER: u64 = 0x1122_3344_5566_7788;

fn handshake(ik: bool) -> Value {
    let ((_, alice), (_, bob)) = (identity(0x10), identity(0x60));
    let mut draws = COUNTER.to_le_bytes().to_vec();
    draws.extend([0xa1; 32]);
    let (mut draws, mut bobs) = (Drawn(draws), Drawn(vec![0xb2; 32]));
    let to = ik.then(|| bob.id());
    let secret = alice.agreement_secret();
    let mut dial = Initiation::begin(
        &crate::Curve25519,
        secret,
        to.as_ref(),
        false,
        0x0000_00aa,
        Time::ZERO,
        &mut draws,
    )
    .unwrap();
    let (header, _) = Header::decode(&dial.datagram()).unwrap();
    let cookie_answer = cookie_datagram(&header, &[0xcc; COOKIE_BYTES]);
    let (cookie_header, cookie) = Header::decode(&cookie_answer).unwrap();
    assert!(dial.take_cookie(&cookie_header, cookie));
    let first = dial.datagram();
    let (header, rest) = Header::decode(&first).unwrap();
    let (second, pending) = respond(
        &crate::Curve25519,
        bob.agreement_secret(),
        &header,
        &rest[COOKIE_BYTES..],
        0x0000_00bb,
        Time::ZERO,
        &mut bobs,
    )
    .unwrap();
    let (header, rest) = Header::decode(&second).unwrap();
    let established = dial.finish(&header, rest, Time::ZERO).unwrap();
    let mut messages = vec![hex(&first), hex(&second)];
    let mut theirs = match pending {
        Pending::Data { session, .. } => *session,
        Pending::Third(mut third) => {
            let bytes = established.third.clone().unwrap();
            messages.push(hex(&bytes));
            let (header, rest) = Header::decode(&bytes).unwrap();
            third
                .conclude(bob.agreement_secret(), &header, rest, Time::ZERO)
                .unwrap()
                .0
        }
    };
    let mut ours = established.session;
    let hash = hex(&ours.hash);
    let say = |session: &mut Session, kind: u8, body: &[u8]| {
        let mut datagram = Session::blank();
        frame::put(&mut datagram, kind, body);
        hex(&session.seal(datagram, Time::ZERO).unwrap())
    };
    let ping = say(&mut ours, frame::kind::PING, &[1, 2, 3, 4]);
    let pong = say(&mut theirs, frame::kind::PONG, &[1, 2, 3, 4]);
    json!({
        "messages": messages,
        "cookie_datagram": hex(&cookie_answer),
        "handshake_hash": hash,
        "data": [ping, pong],
    })
}

fn vectors() -> Value {
    let ((alice_seed, alice), (bob_seed, bob)) = (identity(0x10), identity(0x60));
    let about = |seed: &[u8; 32], identity: &Identity| {
        json!({
            "seed": hex(seed),
            "id": hex(identity.id().as_bytes()),
            "text": identity.id().to_string(),
            "agreement_key": hex(&identity.id().agreement_key()),
            "position": hex(&identity.id().position()),
        })
    };
    let addresses = ["192.0.2.7:4000", "[2001:db8::7]:4000"].map(|text| {
        let address = text.parse().unwrap();
        json!({
            "address": text,
            "encoded": hex(&encode_address(address)),
            "cookie": hex(&cookie(&[0x5e; 32], address)),
        })
    });
    json!({
        "source": "Dunlin's own: PROTOCOL 1 and 2. The initiator's index is 0xaa, the responder's 0xbb; the data messages are PING and PONG with id 1, 2, 3, 4",
        "initiator": about(&alice_seed, &alice),
        "responder": about(&bob_seed, &bob),
        "initiation_counter": COUNTER.to_string(),
        "initiator_ephemeral": hex(&[0xa1; 32]),
        "responder_ephemeral": hex(&[0xb2; 32]),
        "cookie_shown": hex(&[0xcc; COOKIE_BYTES]),
        "ik": handshake(true),
        "xx": handshake(false),
        "cookie_secret": hex(&[0x5e; 32]),
        "addresses": addresses,
    })
}

// PROTOCOL 1.1, 1.2, 1.3, 2.1, 2.2, 2.3, 2.4
#[test]
fn links_speak_the_bytes_that_were_published() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/link.json");
    let made = vectors();
    if std::env::var_os("DUNLIN_WRITE_VECTORS").is_some() {
        let text = serde_json::to_string_pretty(&made).unwrap();
        std::fs::write(&path, text + "\n").unwrap();
    }
    let published: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(made, published);
}
