//! The plugin in a relay, with a real packet deposited by a neighbour.

use dunlin_engine::prelude::*;
use dunlin_net::{About, Identity, KeyFile, LinkPlugin, LinkSettings, Peer};
use dunlin_relay::{Envelope, day_of, seal};
use dunlin_relay::{Head, HeldBy, Kind, Mailbox, Packet, PacketArrived, PacketId, RelayPlugin};
use example_third_party::{Came, SmallOnly};

const NOON: u64 = 1_790_000_000_000;

fn packet(random: &mut Random, text: &str) -> Packet {
    let keys = KeyFile::generate(&mut random.0);
    let identity: Identity = keys.identity().expect("keys");
    let mailbox = Mailbox::from_seed(&keys.mailbox_seed);
    let day = day_of(NOON);
    let head = Head {
        kind: Kind::Text,
        sent_at_ms: NOON,
        message: text.into(),
    };
    let envelope = Envelope {
        tag: mailbox.public().tag(day),
        day,
        expiry_hours: 24,
    };
    seal(&identity, &identity.id(), envelope, &head, &mut random.0)
        .expect("it fits")
        .packet
}

#[test]
fn a_relay_with_it_keeps_small_packets_notes_when_they_came_and_refuses_large_ones() {
    let mut app = App::new();
    app.add_plugins((SmallOnly, LinkPlugin, RelayPlugin::default()));
    let mut random = Random::from_seed(1, 1);
    let mut other = Random::from_seed(1, 2);
    let small = packet(&mut random, "short");
    let large = packet(&mut random, &"long ".repeat(100));
    let identity = KeyFile::generate(&mut random.0).identity().expect("keys");
    let node = app
        .world_mut()
        .spawn((Node, identity, random, LinkSettings::default()))
        .id();
    let mut run = Virtual::start(app, NOON).expect("it fits in");
    let link = Peer {
        node,
        id: KeyFile::generate(&mut other.0)
            .identity()
            .expect("keys")
            .id(),
        address: ([192, 0, 2, 7], 4444).into(),
        anonymous: true,
        hidden: false,
        outbound: false,
        handshake_hash: [0; 32],
        about: About::default(),
        since: Time::ZERO,
    };
    let peer = run.app.world_mut().spawn(link).id();
    for packet in [&small, &large] {
        run.app.push(Input::message(PacketArrived {
            node,
            peer,
            request: 1,
            packet: packet.clone(),
            pulled: false,
            refused: None,
        }));
    }
    run.turn();
    run.turn();
    let world = run.app.world_mut();
    let kept: Vec<PacketId> = world
        .query_filtered::<&PacketId, (With<HeldBy>, With<Came>)>()
        .iter(world)
        .copied()
        .collect();
    assert_eq!(kept, [small.id()]);
}
