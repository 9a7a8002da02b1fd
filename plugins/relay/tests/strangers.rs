//! What strangers can do to a carrier: send frames as they please over a link of their own. Whatever is dropped is counted
//! under its own reason, and nothing outgrows its bound.

mod scene;

use bytes::Bytes;
use dunlin_engine::bevy_ecs::{self, prelude::*};
use dunlin_engine::{App, Turn};
use dunlin_net::{CloseReason, Dial, FrameIn, FrameOut, HangUp, Peer};
use dunlin_relay::{
    Cache, Claim, DeleteSecret, DropReason, HeldBy, Mailbox, Mirror, Packet, PacketArrived,
    PacketId, Reason, Token, Tombstones, Withheld, day_of,
};
use scene::{Kind, NOON, Scene, Who, carrier, minutes, seconds};

const SECRET: [u8; 16] = [5; 16];
/// A link's own frame.
const CLOSE: u8 = 0x04;

/// What came in over the stranger's links.
#[derive(Resource, Default)]
struct Heard(Vec<(u8, Bytes)>);

fn listen(mut frames: MessageReader<FrameIn>, mut heard: ResMut<Heard>) {
    heard
        .0
        .extend(frames.read().map(|frame| (frame.kind, frame.body.clone())));
}

struct Stranger {
    scene: Scene,
    victim: Who,
    link: Entity,
}

impl Stranger {
    fn before(victim: Kind) -> Stranger {
        Stranger::with(victim, |_| {})
    }

    fn with(victim: Kind, add: impl FnOnce(&mut App)) -> Stranger {
        let mut scene = Scene::with(7, 0, |app| {
            app.world_mut().init_resource::<Heard>();
            app.add_systems(Turn::Route, listen);
            add(app);
        });
        let victim = scene.spawn(1, victim);
        let stranger = scene.spawn(2, Kind::default());
        let world = scene.world();
        let link = world.spawn_empty().id();
        let (node, address, id) = (stranger.node, victim.address, Some(victim.id));
        world.write_message(Dial {
            node,
            link,
            address,
            id,
            anonymous: true,
        });
        let up = move |app: &mut App| app.world().get::<Peer>(link).is_some();
        assert!(scene.run.run_until(seconds(30), up));
        scene.run.run_for(seconds(1));
        Stranger {
            scene,
            victim,
            link,
        }
    }

    /// Sends a frame, and gives back what was answered to it.
    fn say(&mut self, kind: u8, body: &[u8]) -> Vec<(u8, Bytes)> {
        let (peer, body) = (self.link, Bytes::copy_from_slice(body));
        self.scene.world().resource_mut::<Heard>().0.clear();
        self.scene
            .world()
            .write_message(FrameOut { peer, kind, body });
        self.scene.run.run_for(seconds(1));
        // The victim's own hearing is what the stranger said.
        let heard = std::mem::take(&mut self.scene.world().resource_mut::<Heard>().0);
        heard.into_iter().skip(1).collect()
    }

    fn deposit(&mut self, packet: &Packet) -> (u8, Bytes) {
        let body = [&[1, 0, 0, 0, 0][..], packet.bytes()].concat();
        self.say(0x20, &body).remove(0)
    }

    fn drops(&self, reason: DropReason) -> u64 {
        self.scene.drops(self.victim, reason)
    }

    fn claim(&mut self, day: u16, hash: Option<[u8; 32]>) -> Claim {
        let link = self.scene.world().get::<Peer>(self.link).unwrap();
        let hash = hash.unwrap_or(link.handshake_hash);
        Mailbox::from_seed(&[3; 32]).day_key(day).claim(&hash)
    }
}

fn today() -> u16 {
    day_of(NOON)
}

/// A packet whose body is not sealed: no carrier can tell.
fn packet(tag: u8, filling: u8, day: u16, expiry_hours: u16) -> Packet {
    let mut bytes = vec![1, 0, 0, 0];
    bytes.extend(day.to_le_bytes());
    bytes.extend(expiry_hours.to_le_bytes());
    bytes.extend([0; 8]);
    bytes.extend(Token([tag; 16]).tag().0);
    bytes.extend(DeleteSecret::new(SECRET).hash());
    bytes.resize(320, filling);
    Packet::parse(bytes.into()).unwrap()
}

fn refusal(answer: &(u8, Bytes)) -> (u8, u8) {
    assert_eq!(answer.0, 0x08, "{answer:?}");
    (answer.1[0], answer.1[1])
}

fn fetch(claim: &Claim) -> Vec<u8> {
    let mut body = shown(claim);
    body.extend([0; 16]);
    body
}

fn shown(claim: &Claim) -> Vec<u8> {
    let mut body = vec![9, 0, 0, 0];
    match claim {
        Claim::Mailbox { day_key, signature } => {
            body.push(0);
            body.extend(day_key);
            body.extend(signature);
        }
        Claim::Once(tag) => {
            body.push(1);
            body.extend(tag.0);
        }
    }
    body
}

// PROTOCOL 2.3
#[test]
fn malformed_frames_are_refused_and_counted_and_later_ones_are_unsupported() {
    let mut stranger = Stranger::before(carrier());
    assert_eq!(
        refusal(&stranger.say(0x20, &[1, 0, 0, 0, 0, 9])[0]),
        (0x20, 2)
    );
    assert_eq!(stranger.drops(DropReason::Malformed), 1);
    let later = &stranger.say(0x2d, &[6, 0, 0, 0])[0];
    assert_eq!((refusal(later), later.1[4]), ((0x2d, 1), 6));
    assert_eq!(stranger.drops(DropReason::Unsupported), 1);
    // An answer is never answered, however malformed.
    assert_eq!(stranger.say(0x21, &[1]), []);
    assert_eq!(stranger.drops(DropReason::Malformed), 2);
}

#[test]
fn answers_that_nobody_asked_for_are_counted() {
    let mut stranger = Stranger::before(carrier());
    assert_eq!(stranger.say(0x25, &[1, 0, 0, 0]), []);
    assert_eq!(stranger.say(0x26, packet(1, 1, today(), 300).bytes()), []);
    assert_eq!(stranger.drops(DropReason::AnswerUnasked), 2);
}

// PROTOCOL 3.7
#[test]
fn packets_from_another_time_are_refused() {
    let mut stranger = Stranger::before(carrier());
    for packet in [
        packet(1, 1, today() - 15, 300),
        packet(1, 1, today() + 3, 300),
    ] {
        assert_eq!(
            refusal(&stranger.deposit(&packet)),
            (0x20, Reason::Untimely as u8)
        );
    }
    assert_eq!(stranger.drops(DropReason::Untimely), 2);
}

#[test]
fn a_peer_that_carries_nothing_says_so() {
    let mut stranger = Stranger::before(Kind::default());
    let answer = stranger.deposit(&packet(1, 1, today(), 300));
    assert_eq!(refusal(&answer), (0x20, Reason::DoesNotCarry as u8));
    assert_eq!(stranger.drops(DropReason::DoesNotCarry), 1);
}

#[test]
fn one_prefix_fills_a_sixteenth_of_a_cache_and_is_told_that_it_has_its_share() {
    // Room for 80 small packets, so 5 of one prefix.
    let small = Kind {
        cache_bytes: Some(80 * 400),
        ..carrier()
    };
    let mut stranger = Stranger::before(small);
    let mut refused = 0;
    for n in 0..40 {
        let answer = stranger.deposit(&packet(1, n, today(), 300));
        refused += u64::from(answer.0 == 0x08);
        let cache = stranger
            .scene
            .run
            .app
            .world()
            .get::<Cache>(stranger.victim.node)
            .unwrap();
        assert!(cache.bytes() <= cache.capacity() / 16);
    }
    assert_eq!(stranger.drops(DropReason::OverShare), refused);
    assert_eq!(stranger.drops(DropReason::Evicted), 40 - 5 - refused);
    assert!(refused > 0 && stranger.scene.packets(stranger.victim) == 5);
}

#[test]
fn a_cache_that_is_full_of_others_refuses_what_is_worth_less() {
    let small = Kind {
        cache_bytes: Some(16 * 400),
        ..carrier()
    };
    let mut stranger = Stranger::before(small);
    // Sixteen other prefixes fill it, with work in each packet.
    let victim = stranger.victim.node;
    let mut cache = stranger.scene.world().get_mut::<Cache>(victim).unwrap();
    for n in 0..16 {
        let from = dunlin_net::Prefix::of(([203, 0, n, 1], 1).into());
        let worked = packet(1, n, today(), 300).worked(6);
        cache.insert(&worked, from, dunlin_engine::Time(u64::MAX));
    }
    let weak = (100..)
        .map(|n| packet(1, n, today(), 300))
        .find(|packet| packet.work() < 6);
    let answer = stranger.deposit(&weak.unwrap());
    assert_eq!(refusal(&answer), (0x20, Reason::Full as u8));
    assert!(answer.1[2] > 0, "without a price");
    assert_eq!(stranger.drops(DropReason::Full), 1);
    assert_eq!(stranger.drops(DropReason::Evicted), 0);
}

// PROTOCOL 4.3
#[test]
fn only_the_secret_ends_a_packet_and_it_stays_ended() {
    let mut stranger = Stranger::before(carrier());
    let kept = packet(1, 1, today(), 300);
    assert_eq!(stranger.deposit(&kept).0, 0x21);
    let receipt = |secret: [u8; 16]| [&[3, 0, 0, 0][..], &kept.id().0, &secret].concat();
    let ask = [&[4, 0, 0, 0][..], &kept.id().0].concat();
    // A forger is told the same as everybody.
    assert_eq!(stranger.say(0x27, &receipt([6; 16]))[0].0, 0x28);
    assert_eq!(stranger.drops(DropReason::ReceiptForged), 1);
    assert_eq!(stranger.say(0x29, &ask)[0].1[20], 1);
    assert_eq!(stranger.say(0x27, &receipt(SECRET))[0].0, 0x28);
    assert_eq!(stranger.scene.packets(stranger.victim), 0);
    let answer = &stranger.say(0x29, &ask)[0].1;
    assert_eq!((answer[20], &answer[21..]), (3, &SECRET[..]));
    // Again: honest, and of no effect. So is one for a packet that never was.
    assert_eq!(stranger.say(0x27, &receipt(SECRET))[0].0, 0x28);
    assert_eq!(stranger.drops(DropReason::ReceiptUnknown), 1);
    let (_, deposited) = stranger.deposit(&kept);
    assert_eq!(deposited[4], 3);
    assert_eq!(stranger.drops(DropReason::WasEnded), 1);
    let world = stranger.scene.run.app.world();
    assert_eq!(
        world.get::<Tombstones>(stranger.victim.node).unwrap().len(),
        1
    );
}

// PROTOCOL 4.2
#[test]
fn a_mailbox_opens_to_its_key_on_this_link_and_to_nobody_else() {
    let mut stranger = Stranger::before(carrier());
    let forged = stranger.claim(today(), Some([1; 32]));
    for n in 1..=16 {
        let answer = &stranger.say(0x22, &fetch(&forged))[0];
        assert_eq!(refusal(answer), (0x22, Reason::NotProved as u8));
        assert_eq!(stranger.drops(DropReason::NotProved), n);
    }
    // After so many the link is not listened to any more, even if it were right.
    let honest = stranger.claim(today(), None);
    assert_eq!(refusal(&stranger.say(0x22, &fetch(&honest))[0]), (0x22, 7));
    assert_eq!(stranger.drops(DropReason::TooManyClaims), 1);
    // A new link is a new beginning.
    let mut stranger = Stranger::before(carrier());
    let honest = stranger.claim(today(), None);
    assert_eq!(stranger.say(0x22, &fetch(&honest))[0].0, 0x23);
}

// PROTOCOL 5
#[test]
fn a_link_subscribes_to_32_tags_hears_of_them_and_leaves_nothing_behind() {
    let mut stranger = Stranger::before(carrier());
    for n in 0..32 {
        let claim = Claim::Once(Token([n; 16]));
        assert_eq!(stranger.say(0x24, &shown(&claim))[0].0, 0x25);
    }
    let claim = Claim::Once(Token([99; 16]));
    let answer = &stranger.say(0x24, &shown(&claim))[0];
    assert_eq!(refusal(answer), (0x24, Reason::OverShare as u8));
    assert_eq!(stranger.drops(DropReason::TooManyTags), 1);
    let kept = packet(7, 1, today(), 300);
    let body = [&[1, 0, 0, 0, 0][..], kept.bytes()].concat();
    let mut heard: Vec<u8> = stranger
        .say(0x20, &body)
        .iter()
        .map(|(kind, _)| *kind)
        .collect();
    heard.sort_unstable();
    assert_eq!(heard, [0x21, 0x26]);
    let (peer, reason) = (stranger.link, CloseReason::Idle);
    stranger
        .scene
        .world()
        .write_message(HangUp { peer, reason });
    stranger.scene.run.run_for(seconds(5));
    let world = stranger.scene.run.app.world();
    let subscribers = world
        .get::<dunlin_relay::Subscribers>(stranger.victim.node)
        .unwrap();
    assert!(subscribers.is_empty());
}

// PROTOCOL 5
#[test]
fn who_subscribes_and_closes_in_one_breath_leaves_nothing_behind() {
    let mut stranger = Stranger::before(carrier());
    let claim = Claim::Once(Token([1; 16]));
    let (peer, world) = (stranger.link, stranger.scene.world());
    for (kind, body) in [(0x24, shown(&claim)), (CLOSE, vec![3])] {
        let body = Bytes::from(body);
        world.write_message(FrameOut { peer, kind, body });
    }
    stranger.scene.run.run_for(seconds(1));
    let world = stranger.scene.run.app.world();
    let subscribers = world
        .get::<dunlin_relay::Subscribers>(stranger.victim.node)
        .unwrap();
    assert!(subscribers.is_empty());
}

// PROTOCOL 3.7
#[test]
fn a_packet_leaves_when_its_time_is_over() {
    let mut stranger = Stranger::before(carrier());
    stranger.deposit(&packet(1, 1, today(), 13)); // Noon and an hour, and a day for wrong clocks.
    stranger.scene.run.run_for(minutes(24 * 60));
    assert_eq!(stranger.scene.packets(stranger.victim), 1);
    stranger.scene.run.run_for(minutes(121));
    assert_eq!(stranger.scene.packets(stranger.victim), 0);
    assert_eq!(stranger.drops(DropReason::Expired), 1);
}

fn refuse_sevens(mut arrived: MessageMutator<PacketArrived>) {
    for arrival in arrived.read() {
        if arrival.packet.tag() == Token([7; 16]).tag() {
            arrival.refused = Some(Reason::DoesNotCarry);
        }
    }
}

#[test]
fn a_plugin_between_decode_and_route_can_refuse_a_packet() {
    let mut stranger = Stranger::with(carrier(), |app| {
        app.add_systems(Turn::Maintain, refuse_sevens);
    });
    assert_eq!(stranger.deposit(&packet(6, 1, today(), 300)).0, 0x21);
    let answer = stranger.deposit(&packet(7, 1, today(), 300));
    assert_eq!(refusal(&answer), (0x20, Reason::DoesNotCarry as u8));
    assert_eq!(stranger.drops(DropReason::RefusedByPlugin), 1);
}

#[test]
fn a_component_on_a_packet_withholds_it_and_its_entity_goes_with_it() {
    let mut stranger = Stranger::before(carrier());
    let kept = packet(6, 1, today(), 300);
    stranger.deposit(&kept);
    let node = stranger.victim.node;
    let world = stranger.scene.world();
    let entity = world.get::<Mirror>(node).unwrap().get(kept.id()).unwrap();
    assert_eq!(world.get::<PacketId>(entity), Some(&kept.id()));
    assert_eq!(world.get::<HeldBy>(entity).unwrap().0, node);
    let claim = Claim::Once(Token([6; 16]));
    assert_eq!(stranger.say(0x22, &fetch(&claim))[0].1.len(), 6 + 320);
    stranger.scene.world().entity_mut(entity).insert(Withheld);
    assert_eq!(stranger.say(0x22, &fetch(&claim))[0].1.len(), 6);
    stranger
        .scene
        .world()
        .entity_mut(entity)
        .remove::<Withheld>();
    assert_eq!(stranger.say(0x22, &fetch(&claim))[0].1.len(), 6 + 320);
    let receipt = [&[3, 0, 0, 0][..], &kept.id().0, &SECRET].concat();
    stranger.say(0x27, &receipt);
    assert!(stranger.scene.world().get_entity(entity).is_err());
}

impl Stranger {
    fn limits(&mut self, change: serde_json::Value) -> serde_json::Value {
        let mut params = change;
        params["node"] = self.victim.id.to_string().into();
        let reply = self.scene.call("relay.limits", params, b"").unwrap();
        reply.value
    }
}

#[test]
fn what_does_not_fit_the_owners_bytes_a_second_is_refused_counted_and_welcome_later() {
    let mut stranger = Stranger::before(carrier());
    let told = stranger.limits(serde_json::json!({ "bandwidth": 100 }));
    assert_eq!(
        told,
        serde_json::json!({ "cache_bytes": 16_000_000, "bandwidth": 100 })
    );
    let small = |n| packet(1, n, today(), 300);
    // A bucket of one datagram: three small ones, while a second a deposit brings 100 bytes more.
    for n in 0..5 {
        assert_eq!(stranger.deposit(&small(n)).0, 0x21, "packet {n}");
    }
    let answer = stranger.deposit(&small(6));
    assert_eq!(refusal(&answer), (0x20, Reason::Full as u8));
    assert_eq!(answer.1[2], 0, "work would not help");
    assert_eq!(stranger.drops(DropReason::Bandwidth), 1);
    // Who repeats a request because the answer was lost is answered again.
    assert_eq!(stranger.deposit(&small(0)).0, 0x21);
    let claim = Claim::Once(Token([1; 16]));
    stranger.scene.run.run_for(seconds(20));
    assert_eq!(stranger.say(0x22, &fetch(&claim))[0].0, 0x23);
    assert_eq!(stranger.deposit(&small(6)).0, 0x21);
    stranger.limits(serde_json::json!({ "bandwidth": null }));
    for n in 10..30 {
        assert_eq!(stranger.deposit(&small(n)).0, 0x21, "no limit any more");
    }
}

#[test]
fn a_limit_of_nothing_carries_nothing_either_way_and_says_so() {
    let mut stranger = Stranger::before(carrier());
    let kept = packet(1, 1, today(), 300);
    assert_eq!(stranger.deposit(&kept).0, 0x21);
    let claim = Claim::Once(Token([1; 16]));
    assert_eq!(stranger.say(0x24, &shown(&claim))[0].0, 0x25);
    stranger.limits(serde_json::json!({ "bandwidth": 0 }));
    let answer = stranger.deposit(&packet(1, 2, today(), 300));
    assert_eq!(refusal(&answer), (0x20, Reason::DoesNotCarry as u8));
    let answer = &stranger.say(0x22, &fetch(&claim))[0];
    assert_eq!(refusal(answer), (0x22, Reason::DoesNotCarry as u8));
    assert_eq!(stranger.drops(DropReason::Bandwidth), 2);
    // An empty page is no packet.
    let nobody = Claim::Once(Token([9; 16]));
    assert_eq!(stranger.say(0x22, &fetch(&nobody))[0].0, 0x23);
}

#[test]
fn a_push_beyond_the_limit_is_counted_and_waits_for_the_next_fetch() {
    let mut stranger = Stranger::before(carrier());
    let claim = Claim::Once(Token([1; 16]));
    assert_eq!(stranger.say(0x24, &shown(&claim))[0].0, 0x25);
    stranger.limits(serde_json::json!({ "bandwidth": 1 }));
    let mut pushed = 0;
    for n in 1..=3 {
        let body = [&[1, 0, 0, 0, 0][..], packet(1, n, today(), 300).bytes()].concat();
        let heard = stranger.say(0x20, &body);
        pushed += heard.iter().filter(|(kind, _)| *kind == 0x26).count();
    }
    // 1,088 bytes are three small packets: the first in and out, the second in.
    assert_eq!((pushed, stranger.drops(DropReason::Bandwidth)), (1, 2));
    assert_eq!(stranger.scene.packets(stranger.victim), 2);
    stranger.scene.run.run_for(minutes(10));
    assert_eq!(stranger.say(0x22, &fetch(&claim))[0].0, 0x23);
}

#[test]
fn a_cache_made_smaller_while_it_runs_evicts_and_the_entities_go_with_the_packets() {
    let mut stranger = Stranger::before(carrier());
    let packets: Vec<Packet> = (0..10).map(|n| packet(1, n, today(), 300)).collect();
    for packet in &packets {
        assert_eq!(stranger.deposit(packet).0, 0x21);
    }
    // A sixteenth of it is room for three packets of one prefix.
    let told = stranger.limits(serde_json::json!({ "cache_bytes": 16 * 1_200 }));
    assert_eq!(told["cache_bytes"], 16 * 1_200);
    let node = stranger.victim.node;
    assert_eq!(stranger.drops(DropReason::Evicted), 7);
    let world = stranger.scene.run.app.world();
    let (cache, mirror) = (
        world.get::<Cache>(node).unwrap(),
        world.get::<Mirror>(node).unwrap(),
    );
    assert_eq!((cache.len(), cache.capacity()), (3, 16 * 1_200));
    for packet in &packets {
        let (kept, entity) = (cache.contains(packet.id()), mirror.get(packet.id()));
        assert_eq!(kept, entity.is_some(), "the mirror shows what is kept");
        assert!(entity.is_none_or(|entity| world.get::<PacketId>(entity).is_some()));
    }
    let params = serde_json::json!({ "node": stranger.victim.id.to_string() });
    let status = stranger.scene.call("relay.status", params, b"").unwrap();
    assert_eq!(status.value["cache_capacity"], 16 * 1_200);
    assert_eq!(status.value["drops"]["evicted"], 7);
    assert_eq!(status.value["bandwidth"], serde_json::Value::Null);
}

#[test]
fn limits_of_a_node_that_carries_nothing_are_not_to_be_set() {
    let mut stranger = Stranger::before(Kind::default());
    let params =
        serde_json::json!({ "node": stranger.victim.id.to_string(), "cache_bytes": 1_000 });
    let error = stranger
        .scene
        .call("relay.limits", params, b"")
        .unwrap_err();
    assert!(error.message.contains("carry = true"), "{error}");
}

// PROTOCOL 3.13
#[test]
fn carriers_near_a_tag_are_told_thirty_times_a_minute_and_never_to_who_asks_for_too_many() {
    let mut stranger = Stranger::before(carrier());
    let find = |n: u32, count: u8| {
        let mut body = n.to_le_bytes().to_vec();
        body.extend([1, 2, 3, 4, count]);
        body
    };
    for count in [0, 21, 255] {
        let answer = &stranger.say(0x2b, &find(7, count))[0];
        assert_eq!(refusal(answer), (0x2b, Reason::Malformed as u8));
    }
    let answers: Vec<u8> = (1..=100)
        .map(|n| stranger.say(0x2b, &find(n, 20))[0].0)
        .collect();
    let told = answers.iter().filter(|kind| **kind == 0x2c).count();
    let refused = stranger.drops(DropReason::TooManyFinds);
    assert!(refused > 0 && told as u64 + refused == 100, "{told} of 100");
    stranger.scene.run.run_for(minutes(1));
    assert_eq!(stranger.say(0x2b, &find(200, 20))[0].0, 0x2c);
    // What nobody asked for is counted, and tells nothing.
    let before = stranger.drops(DropReason::AnswerUnasked);
    stranger.say(0x2c, &[1, 0, 0, 0, 0]);
    assert_eq!(stranger.drops(DropReason::AnswerUnasked), before + 1);
}

/// Each answer is a hundred times the question, and takes a look at the whole address book.
// PROTOCOL 3.13
#[test]
fn questions_for_carriers_that_come_at_once_are_no_more_than_others() {
    let mut stranger = Stranger::before(carrier());
    for n in 1..=200_u32 {
        let (peer, kind) = (stranger.link, 0x2b);
        let body = [&n.to_le_bytes()[..], &[1, 2, 3, 4, 20]].concat().into();
        let world = stranger.scene.world();
        world.write_message(FrameOut { peer, kind, body });
    }
    stranger.scene.run.run_for(seconds(1));
    let most = u64::from(dunlin_relay::limits::LINK_FINDS_MAX);
    assert_eq!(stranger.drops(DropReason::TooManyFinds), 200 - most);
}
