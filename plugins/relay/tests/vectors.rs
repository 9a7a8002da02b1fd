//! Golden vectors: what another implementation must make of the same keys. `DUNLIN_WRITE_VECTORS=1` writes them anew, which
//! only a change of the protocol may need.

use data_encoding::HEXLOWER;
use dunlin_net::{Identity, PeerId};
use dunlin_relay::{
    Card, Claim, Content, DeleteSecret, Envelope, Head, Kind, Mailbox, Manifest, Packet, Room,
    open, open_in_room, seal, seal_for_room, seal_manifest,
};
use dunlin_relay::{PrekeyRecord, prekey_tokens};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use serde_json::{Value, json};
use std::path::PathBuf;

fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

fn unhex(value: &Value) -> Vec<u8> {
    HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

fn check(name: &str, built: &Value) -> Value {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/packet");
    let path = PathBuf::from(folder).join(name);
    if std::env::var_os("DUNLIN_WRITE_VECTORS").is_some() {
        std::fs::write(&path, format!("{built:#}\n")).unwrap();
    }
    let kept: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(
        &kept,
        built,
        "{} is not what is built today",
        path.display()
    );
    kept
}

/// The first seed from a number on that makes a valid id.
fn identity(first: u8) -> (Identity, [u8; 32]) {
    let seeds = (first..=255).map(|n| [n; 32]);
    let mut valid = seeds.filter_map(|seed| Some((Identity::from_seed(&seed).ok()?, seed)));
    valid.next().unwrap()
}

const DAY: u16 = 20_454; // 2026-01-01
const HASH: [u8; 32] = [0x77; 32];

fn mailbox() -> Mailbox {
    Mailbox::from_seed(&[9; 32])
}

// PROTOCOL 3.1, 3.2, 3.3, 3.4
#[test]
fn packets_are_these_bytes() {
    let ((alice, alice_seed), (bob, bob_seed)) = (identity(1), identity(40));
    let messages = [
        (Kind::Text, b"Tea at four?".to_vec()),
        (
            Kind::File("tea.txt".into()),
            (0..=255).cycle().take(800).collect(),
        ),
    ];
    let mut vectors = Vec::new();
    for (n, (kind, message)) in messages.into_iter().enumerate() {
        let name = match &kind {
            Kind::Text | Kind::Part => None,
            Kind::File(name) => Some(name.clone()),
        };
        let sent_at_ms = 1_767_268_800_000;
        let head = Head {
            kind,
            sent_at_ms,
            message: message.clone(),
        };
        let envelope = Envelope {
            tag: mailbox().public().tag(DAY),
            day: DAY,
            expiry_hours: 336 - n as u16,
        };
        let mut random = ChaCha20Rng::from_seed([n as u8; 32]);
        let sealed = seal(&alice, &bob.id(), envelope, &head, &mut random).unwrap();
        let opened = open(&bob, &sealed.packet).unwrap();
        let worked = sealed.packet.worked(8);
        vectors.push(json!({
            "name": name,
            "message": hex(&message),
            "sent_at_ms": sent_at_ms,
            "random": format!("rand_chacha's ChaCha20Rng of 32 bytes of {n}; ikmE of the outer seal, then of the inner"),
            "head": hex(&head.encode().unwrap().1),
            "day": DAY,
            "expiry_hours": envelope.expiry_hours,
            "packet": hex(sealed.packet.bytes()),
            "id": sealed.packet.id().to_string(),
            "tag": sealed.packet.tag().to_string(),
            "message_id": sealed.message.to_string(),
            "delete_secret": hex(opened.secret.as_bytes()),
            "delete_hash": hex(&sealed.packet.delete_hash()),
            "nonce_of_8_bits": hex(&worked.nonce()),
            "its_work": worked.work(),
        }));
    }
    let built = json!({
        "what": "PROTOCOL 3: packets from one seed to another, to a mailbox",
        "sender_seed": hex(&alice_seed),
        "sender_id": hex(alice.id().as_bytes()),
        "recipient_seed": hex(&bob_seed),
        "recipient_id": hex(bob.id().as_bytes()),
        "mailbox_seed": hex(&[9; 32]),
        "mailbox_public": hex(&mailbox().public().to_bytes()),
        "packets": vectors,
    });
    let kept = check("packets.json", &built);
    // And the other way: from the file alone, by the recipient's seed.
    let seed = unhex(&kept["recipient_seed"]).try_into().unwrap();
    let bob = Identity::from_seed(&seed).unwrap();
    for vector in kept["packets"].as_array().unwrap() {
        let packet = Packet::parse(unhex(&vector["packet"]).into()).unwrap();
        assert_eq!(packet.id().to_string(), vector["id"]);
        let opened = open(&bob, &packet).unwrap();
        assert_eq!(hex(opened.from.as_bytes()), kept["sender_id"]);
        let Content::Whole(head) = opened.content else {
            panic!("a message in one packet");
        };
        assert_eq!(hex(&head.message), vector["message"]);
        assert_eq!(opened.message.to_string(), vector["message_id"]);
        let nonce = unhex(&vector["nonce_of_8_bits"]).try_into().unwrap();
        let worked = packet.with_nonce(nonce);
        assert_eq!(
            (worked.id(), json!(worked.work())),
            (packet.id(), vector["its_work"].clone())
        );
    }
}

// PROTOCOL 3.3, 3.4, 3.5
#[test]
fn fragments_are_these_bytes() {
    let ((alice, alice_seed), (bob, bob_seed)) = (identity(1), identity(40));
    let message: Vec<u8> = (0..=255).cycle().take(2_500).collect();
    let head = Head {
        kind: Kind::File("tea.bin".into()),
        sent_at_ms: 1_767_268_800_000,
        message: message.clone(),
    };
    let envelope = Envelope {
        tag: mailbox().public().tag(DAY),
        day: DAY,
        expiry_hours: 336,
    };
    let mut random = ChaCha20Rng::from_seed([5; 32]);
    let sealed = seal(&alice, &bob.id(), envelope, &head, &mut random).unwrap();
    let opened = open(&bob, &sealed.packet).unwrap();
    let fragments = sealed.fragments.iter().zip(&opened.fragments);
    let fragments: Vec<Value> = fragments
        .map(|((packet, _), key)| {
            json!({
                "packet": hex(packet.bytes()),
                "id": packet.id().to_string(),
                "token": hex(&key.token().0),
                "tag": key.tag().to_string(),
                "delete_secret": hex(key.secret().as_bytes()),
            })
        })
        .collect();
    let built = json!({
        "what": "PROTOCOL 3.5: a message of 2,500 bytes, its head and three fragments",
        "sender_seed": hex(&alice_seed),
        "recipient_seed": hex(&bob_seed),
        "mailbox_seed": hex(&[9; 32]),
        "random": "rand_chacha's ChaCha20Rng of 32 bytes of 5; ikmE of the outer seal, then of the inner",
        "message": hex(&message),
        "content": hex(&head.encode().unwrap().1),
        "head": hex(sealed.packet.bytes()),
        "fragments": fragments,
    });
    let kept = check("fragments.json", &built);
    // And the other way: from the file alone, by the recipient's seed.
    let bob = Identity::from_seed(&unhex(&kept["recipient_seed"]).try_into().unwrap()).unwrap();
    let packet = |value: &Value| Packet::parse(unhex(value).into()).unwrap();
    let opened = open(&bob, &packet(&kept["head"])).unwrap();
    let mut whole = Vec::new();
    for (key, fragment) in opened
        .fragments
        .iter()
        .zip(kept["fragments"].as_array().unwrap())
    {
        whole.extend_from_slice(&key.open(&packet(&fragment["packet"])).unwrap());
    }
    let Content::Outline(outline) = opened.content else {
        panic!("a message in fragments");
    };
    assert_eq!(hex(&outline.fill(&whole).unwrap().message), kept["message"]);
}

// PROTOCOL 3.9
#[test]
fn a_manifest_and_where_its_parts_lie_are_these_bytes() {
    let ((alice, alice_seed), (bob, bob_seed)) = (identity(1), identity(40));
    let content: Vec<u8> = (0..=255).cycle().take(150_000).collect();
    let name = Some("film.mkv".to_owned());
    let manifest = Manifest::of(name, 1_767_268_800_000, &content).unwrap();
    let envelope = Envelope {
        tag: mailbox().public().tag(DAY),
        day: DAY,
        expiry_hours: 336,
    };
    let mut random = ChaCha20Rng::from_seed([6; 32]);
    let sealed = seal_manifest(&alice, &bob.id(), envelope, &manifest, &mut random).unwrap();
    let tags: Vec<String> = sealed
        .parts
        .iter()
        .map(|token| token.tag().to_string())
        .collect();
    // Its last part, 18,928 bytes in 19 fragments.
    let last = Head {
        kind: Kind::Part,
        sent_at_ms: 1_767_268_800_000,
        message: content[131_072..].to_vec(),
    };
    let under = Envelope {
        tag: sealed.parts[2].tag(),
        ..envelope
    };
    let part = seal(&alice, &bob.id(), under, &last, &mut random).unwrap();
    let built = json!({
        "what": "PROTOCOL 3.9: 150,000 bytes (0 to 255 again and again), their manifest, and the head of the last part",
        "sender_seed": hex(&alice_seed),
        "recipient_seed": hex(&bob_seed),
        "mailbox_seed": hex(&[9; 32]),
        "random": "rand_chacha's ChaCha20Rng of 32 bytes of 6; ikmE of the manifest's outer seal, of its inner, then of the part's",
        "digest": hex(&manifest.digest),
        "manifest": hex(sealed.packet.bytes()),
        "tags": tags,
        "part_content": hex(&last.encode().unwrap().1),
        "part_head": hex(part.packet.bytes()),
    });
    let kept = check("content.json", &built);
    // And the other way: from the file alone, by the recipient's seed.
    let bob = Identity::from_seed(&unhex(&kept["recipient_seed"]).try_into().unwrap()).unwrap();
    let packet = |value: &Value| Packet::parse(unhex(value).into()).unwrap();
    let opened = open(&bob, &packet(&kept["manifest"])).unwrap();
    assert_eq!(opened.content, Content::Manifest(manifest));
    let tags: Vec<String> = opened
        .parts
        .iter()
        .map(|token| token.tag().to_string())
        .collect();
    assert_eq!(json!(tags), kept["tags"]);
    let part = open(&bob, &packet(&kept["part_head"])).unwrap();
    assert_eq!((part.from, part.fragments.len()), (opened.from, 19));
}

// PROTOCOL 4.5
#[test]
fn a_record_of_prekeys_is_these_bytes() {
    let (bob, bob_seed) = identity(40);
    let record = PrekeyRecord {
        first_day: DAY - 1,
        made_ms: 1_767_268_800_000,
        keys: (0..28).map(|n| [n; 32]).collect(),
    };
    let secret = DeleteSecret::new([7; 16]);
    let packet = record.seal(&bob, mailbox().public(), (DAY, 336), &secret);
    let packet = packet.unwrap();
    let tokens = prekey_tokens(mailbox().public(), DAY);
    let tokens: Vec<String> = tokens.iter().map(|token| hex(&token.0)).collect();
    let built = json!({
        "what": "PROTOCOL 4.5: a record of 28 prekeys (key n is 32 bytes of n), and the tokens by which a sender looks for it on that day",
        "owner_seed": hex(&bob_seed),
        "mailbox_seed": hex(&[9; 32]),
        "delete_secret": hex(&[7; 16]),
        "day": DAY,
        "made_ms": 1_767_268_800_000_u64,
        "tokens": tokens,
        "packet": hex(packet.bytes()),
    });
    let kept = check("prekeys.json", &built);
    let packet = Packet::parse(unhex(&kept["packet"]).into()).unwrap();
    let opened = PrekeyRecord::open(&packet, &bob.id(), mailbox().public());
    assert_eq!(opened, Some(record));
}

// PROTOCOL 4.1, 4.2
#[test]
fn tags_and_claims_are_these_bytes() {
    let days: Vec<Value> = [0, DAY, DAY + 1, u16::MAX]
        .into_iter()
        .map(|day| {
            let key = mailbox().day_key(day);
            let Claim::Mailbox { day_key, signature } = key.claim(&HASH) else {
                panic!("a mailbox is claimed by its key");
            };
            json!({
                "day": day,
                "day_key": hex(&day_key),
                "tag": key.tag().to_string(),
                "claim_signature": hex(&signature),
            })
        })
        .collect();
    let built = json!({
        "what": "PROTOCOL 4.1 and 4.2: day keys, tags, and claims over a handshake hash",
        "mailbox_seed": hex(&[9; 32]),
        "mailbox_public": hex(&mailbox().public().to_bytes()),
        "handshake_hash": hex(&HASH),
        "days": days,
    });
    let kept = check("mailboxes.json", &built);
    for day in kept["days"].as_array().unwrap() {
        let claim = Claim::Mailbox {
            day_key: unhex(&day["day_key"]).try_into().unwrap(),
            signature: unhex(&day["claim_signature"]).try_into().unwrap(),
        };
        assert_eq!(claim.prove(&HASH).unwrap().to_string(), day["tag"]);
    }
}

// PROTOCOL 4.4, 1.3
#[test]
fn cards_are_this_text() {
    let (bob, seed) = identity(40);
    let addresses = ["203.0.113.7:4444", "[2001:db8::7]:4444"].map(|a| a.parse().unwrap());
    let card = Card::new(&bob, mailbox().public(), &addresses, Some("Bob")).unwrap();
    let built = json!({
        "what": "PROTOCOL 4.4: a contact card with two addresses and a name",
        "seed": hex(&seed),
        "position": hex(&bob.id().position()),
        "mailbox_seed": hex(&[9; 32]),
        "addresses": addresses.map(|address: std::net::SocketAddr| address.to_string()),
        "name": "Bob",
        "card": card.to_string(),
    });
    let kept = check("cards.json", &built);
    let card: Card = kept["card"].as_str().unwrap().parse().unwrap();
    let id = PeerId::from_bytes(*bob.id().as_bytes()).unwrap();
    assert_eq!(
        (card.id(), card.name(), card.addresses()),
        (id, Some("Bob"), &addresses[..])
    );
}

// PROTOCOL 3.8, 4.6
#[test]
fn rooms_are_these_bytes() {
    let (alice, seed) = identity(1);
    let room = Room::generate("Tea room", &mut ChaCha20Rng::from_seed([8; 32])).unwrap();
    let long: Vec<u8> = (0..=255).cycle().take(1_500).collect();
    let messages = [
        (Kind::Text, b"Tea at four?".to_vec()),
        (Kind::File("tea.bin".into()), long),
    ];
    let mut vectors = Vec::new();
    for (n, (kind, message)) in (0_u8..).zip(messages) {
        let head = Head {
            kind,
            sent_at_ms: 1_767_268_800_000,
            message: message.clone(),
        };
        let envelope = Envelope {
            tag: room.tag(DAY, n + 3),
            day: DAY,
            expiry_hours: 336,
        };
        let mut random = ChaCha20Rng::from_seed([n; 32]);
        let made = seal_for_room(&alice, &room, envelope, &head, &mut random).unwrap();
        let opened = open_in_room(&room, &made.sealed.packet).unwrap();
        let fragments = made.sealed.fragments.iter().zip(&opened.fragments);
        let fragments: Vec<Value> = fragments
            .map(|((packet, secret), key)| {
                json!({
                    "packet": hex(packet.bytes()),
                    "tag": key.tag().to_string(),
                    "delete_secret": hex(secret.as_bytes()),
                })
            })
            .collect();
        vectors.push(json!({
            "random": format!("rand_chacha's ChaCha20Rng of 32 bytes of {n}; ikmE"),
            "lane": n + 3,
            "message": hex(&message),
            "packet": hex(made.sealed.packet.bytes()),
            "id": made.sealed.message.to_string(),
            "delete_secret": hex(made.secret.as_bytes()),
            "fragments": fragments,
        }));
    }
    let tags = |day| {
        room.tokens(day)
            .map(|token| token.tag())
            .map(|tag| tag.to_string())
            .collect::<Vec<_>>()
    };
    let built = json!({
        "what": "PROTOCOL 3.8 and 4.6: a room, its invitation, its lanes, and two messages",
        "invitation": *room.invitation(),
        "author_seed": hex(&seed),
        "author_id": hex(alice.id().as_bytes()),
        "day": DAY,
        "tags": tags(DAY),
        "tags_of_the_next_day": tags(DAY + 1),
        "packets": vectors,
    });
    let kept = check("room.json", &built);
    // And the other way: from the file alone, by the invitation.
    let room: Room = kept["invitation"].as_str().unwrap().parse().unwrap();
    assert_eq!(room.name(), "Tea room");
    for vector in kept["packets"].as_array().unwrap() {
        let packet = |value: &Value| Packet::parse(unhex(value).into()).unwrap();
        let head = packet(&vector["packet"]);
        let lane = vector["lane"].as_u64().unwrap() as usize;
        assert_eq!(head.tag().to_string(), kept["tags"][lane]);
        let opened = open_in_room(&room, &head).unwrap();
        assert_eq!(hex(opened.from.as_bytes()), kept["author_id"]);
        let message = match opened.content {
            Content::Whole(head) => head.message.clone(),
            Content::Manifest(_) => panic!("rooms have none"),
            Content::Outline(outline) => {
                let fragments = vector["fragments"].as_array().unwrap().iter();
                let keys = opened.fragments.iter().zip(fragments);
                let parts = keys.flat_map(|(key, fragment)| {
                    key.open(&packet(&fragment["packet"])).unwrap().to_vec()
                });
                outline
                    .fill(&parts.collect::<Vec<_>>())
                    .unwrap()
                    .message
                    .clone()
            }
        };
        assert_eq!(hex(&message), vector["message"]);
    }
}
