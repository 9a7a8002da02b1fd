//! A network of more carriers than one would start as processes, on real sockets: who carries nearest to a tag is asked for. PROTOCOL 3.13

use dunlin_engine::prelude::*;
use dunlin_engine::{Client, bevy_ecs};
use dunlin_io::IoPlugin;
use dunlin_net::{FrameIn, Identity, LinkPlugin, LinkSettings, Listen, NodeSocketsPlugin};
use dunlin_relay::{Card, Mailbox, RelayPlugin, RelaySettings};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use serde_json::{Value, json};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const CARRIERS: u64 = 160;
const ENTRIES: u64 = 8;
const ALICE: u64 = 201;
const BOB: u64 = 202;
/// That a node makes by itself.
const LINKS: u64 = dunlin_net::limits::LINKS_OUTBOUND as u64;
const LIMIT: Duration = Duration::from_secs(120);
/// PROTOCOL 2.3
const FOUND: u8 = 0x2c;

fn identity(n: u64) -> Identity {
    Identity::generate(&mut ChaCha20Rng::seed_from_u64(n))
}

/// Each in a prefix of its own.
fn address(n: u64, port: u16) -> SocketAddr {
    format!("127.{n}.0.1:{port}").parse().expect("an address")
}

/// How often somebody was told of carriers.
#[derive(Resource, Clone, Default)]
struct Told(Arc<AtomicU64>);

fn count_told(mut frames: MessageReader<FrameIn>, told: Res<Told>) {
    let found = frames.read().filter(|frame| frame.kind == FOUND);
    told.0.fetch_add(found.count() as u64, Ordering::Relaxed);
}

fn add(app: &mut App, n: u64, listen: SocketAddr, entry: [SocketAddr; 2], carry: bool) {
    let settings = RelaySettings {
        carry,
        ..RelaySettings::default()
    };
    let links = LinkSettings {
        entry: entry.map(|entry| (None, entry)).to_vec(),
        ..LinkSettings::default()
    };
    let mut node = app.world_mut().spawn((
        Node,
        Random::from_seed(n, n),
        Listen(listen),
        links,
        settings,
        identity(n),
    ));
    if !carry {
        node.insert(Mailbox::from_seed(&[n as u8; 32]));
    }
}

fn ask(client: &Client, who: u64, call: &str, mut params: Value) -> Value {
    params["node"] = identity(who).id().to_string().into();
    let answer = client.ask(call, params, LIMIT);
    answer.expect("a good answer").value
}

// PROTOCOL 3.13
#[test]
fn carriers_beyond_those_it_asks_at_first_are_found_and_a_long_message_comes_whole() {
    // Where others begin; one has no room for all.
    let free = (1..=ENTRIES).map(|n| UdpSocket::bind(address(n, 0)).expect("a socket"));
    let entries: Vec<SocketAddr> = free
        .map(|socket| socket.local_addr().expect("bound"))
        .collect();
    let mut app = App::new();
    app.add_plugins((
        IoPlugin,
        NodeSocketsPlugin,
        LinkPlugin,
        RelayPlugin::default(),
    ));
    let told = Told::default();
    app.world_mut().insert_resource(told.clone());
    app.add_systems(Turn::Route, count_told);
    for n in (1..=CARRIERS).chain([ALICE, BOB]) {
        let own = entries.get(n as usize - 1).copied();
        let listen = own.unwrap_or(address(n, 0));
        // One may be full.
        let entry = [n, n + 3].map(|n| entries[n as usize % entries.len()]);
        add(&mut app, n, listen, entry, n <= CARRIERS);
    }
    let client = app.client(dunlin_engine::Grants::everything());
    let running = Threaded::start(app).expect("it starts");
    let end = Instant::now() + LIMIT;
    for who in [ALICE, BOB] {
        while ask(&client, who, "relay.status", json!({}))["links"].as_u64() < Some(LINKS) {
            assert!(Instant::now() < end, "it has not the links it wants");
            // The pace of looking, not the time that something takes.
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    let params = json!({ "node": identity(BOB).id().to_string() });
    let inbox = client.open("relay.receive", params);
    inbox.wait_open(LIMIT).expect("his inbox");
    let card = Card::new(
        &identity(BOB),
        Mailbox::from_seed(&[BOB as u8; 32]).public(),
        &[],
        None,
    );
    let text = "Wherever you look for it, it is there. ".repeat(400);
    let params = json!({ "to": card.expect("a card").to_string(), "text": text });
    let sent = ask(&client, ALICE, "relay.send", params);
    let item = inbox.wait(LIMIT).expect("it came in time");
    assert_eq!(
        (&item.value["id"], &item.body[..]),
        (&sent["id"], text.as_bytes())
    );
    ask(&client, BOB, "relay.confirm", json!({ "id": sent["id"] }));
    assert!(
        told.0.load(Ordering::Relaxed) > 16,
        "hardly anybody asked for carriers"
    );
    drop(running.stop());
}
