//! Neighbours that lie, and strangers that would be neighbours. Whatever they list, nothing comes in that does not belong, what was ended stays
//! ended, and who may not ask is told so.

mod scene;

use bytes::Bytes;
use dunlin_engine::bevy_ecs::{self, prelude::*};
use dunlin_engine::{App, Turn};
use dunlin_net::{About, Dial, FrameIn, FrameOut, LinkSettings, NetSystems, Peer};
use dunlin_relay::{
    Cache, DeleteSecret, DropReason, Packet, PacketArrived, RelaySystems, Tombstones, day_of,
};
use scene::{Kind, NOON, Scene, Who, carrier, minutes, seconds};

const SECRET: [u8; 16] = [5; 16];
const LIST: u8 = 0x36;
const LISTED: u8 = 0x37;
const PULL: u8 = 0x38;
const PULLED: u8 = 0x39;
const REFUSED: u8 = 0x08;
/// A type that no relay reads.
const UNHEARD: u8 = 0xff;

/// A packet whose body is not sealed: no carrier can tell.
fn packet(n: u16) -> Packet {
    let mut bytes = vec![1, 0, 0, 0];
    bytes.extend(day_of(NOON).to_le_bytes());
    bytes.extend(300_u16.to_le_bytes());
    bytes.extend([0; 8]);
    bytes.extend(&blake3::hash(&n.to_le_bytes()).as_bytes()[..16]);
    bytes.extend(DeleteSecret::new(SECRET).hash());
    bytes.resize(320, 0);
    bytes[318..].copy_from_slice(&n.to_le_bytes());
    Packet::parse(bytes.into()).unwrap()
}

/// What a liar says, and what it heard.
#[derive(Resource, Default)]
struct Script {
    liar: Option<Entity>,
    lists: Vec<Packet>,
    /// To whatever is asked for; silence if none.
    gives: Option<Packet>,
    heard: Vec<(u8, Bytes)>,
}

fn lie(
    mut frames: MessageMutator<FrameIn>,
    mut script: ResMut<Script>,
    mut out: MessageWriter<FrameOut>,
) {
    for frame in frames.read() {
        if Some(frame.node) != script.liar || frame.body.len() < 4 {
            continue;
        }
        script.heard.push((frame.kind, frame.body.clone()));
        let (peer, request) = (frame.peer, &frame.body[..4]);
        let (kind, body) = match (frame.kind, &script.gives) {
            (LIST, _) => {
                let mut body = [request, &frame.body[20..36]].concat();
                body.push(script.lists.len() as u8);
                for packet in &script.lists {
                    body.extend(packet.id().0);
                    body.extend(&packet.tag().0[..4]);
                }
                (LISTED, body)
            }
            (PULL, Some(packet)) => (PULLED, [request, packet.bytes()].concat()),
            (PULL, None) => {
                frame.kind = UNHEARD;
                continue;
            }
            _ => continue,
        };
        let body = body.into();
        out.write(FrameOut { peer, kind, body });
        frame.kind = UNHEARD;
    }
}

/// Between links and relay.
#[derive(SystemSet, Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Between;

fn place_between(app: &mut App) {
    app.configure_sets(Between.in_set(Turn::Decode).after(NetSystems::Open));
    app.configure_sets(RelaySystems::Decode.after(Between));
}

fn scene() -> Scene {
    Scene::with(31, 0, |app| {
        app.world_mut().init_resource::<Script>();
        place_between(app);
        app.add_systems(Between, lie);
    })
}

/// Honest carriers that know each other and are no longer young, the last of them the liar.
fn with_liar(count: u64) -> (Scene, Vec<Who>) {
    let mut scene = scene();
    let all: Vec<Who> = (0..count)
        .map(|n| scene.spawn(100 + n, carrier()))
        .collect();
    for who in &all {
        scene.knows(*who, count as usize - 1);
    }
    scene.run.run_for(minutes(25));
    let liar = all.last().map(|who| who.node);
    scene.world().resource_mut::<Script>().liar = liar;
    (scene, all)
}

/// A link between two, begun by the first.
fn link(scene: &mut Scene, from: Who, to: Who, anonymous: bool) -> Entity {
    let world = scene.world();
    let link = world.spawn_empty().id();
    world.write_message(Dial {
        node: from.node,
        link,
        address: to.address,
        id: Some(to.id),
        anonymous,
    });
    let up = scene
        .run
        .run_until(seconds(30), |app| app.world().get::<Peer>(link).is_some());
    assert!(up);
    link
}

fn say(scene: &mut Scene, peer: Entity, kind: u8, body: Vec<u8>) {
    let body = body.into();
    scene.world().write_message(FrameOut { peer, kind, body });
    scene.run.run_for(seconds(1));
}

fn deposit(scene: &mut Scene, at: Who, packet: &Packet) {
    let stranger = scene.spawn(900, Kind::default());
    let link = link(scene, stranger, at, true);
    let body = [&[1, 0, 0, 0, 0][..], packet.bytes()].concat();
    say(scene, link, 0x20, body);
    assert!(keeps(scene, at, packet));
    scene.end(stranger);
}

fn keeps(scene: &Scene, who: Who, packet: &Packet) -> bool {
    let cache = scene.run.app.world().get::<Cache>(who.node).unwrap();
    cache.contains(packet.id())
}

fn heard(scene: &mut Scene, kind: u8) -> Vec<Bytes> {
    let heard = &scene.world().resource::<Script>().heard;
    let of_kind = heard.iter().filter(|(theirs, _)| *theirs == kind);
    of_kind.map(|(_, body)| body.clone()).collect()
}

fn list(request: u8) -> Vec<u8> {
    let mut body = vec![request, 0, 0, 0];
    body.extend([0; 32]);
    body
}

/// Who asks, over a link of this kind, and is refused: the reasons it is given for LIST and for PULL.
fn refused(
    scene: &mut Scene,
    asker: Who,
    carrier: Who,
    packet: &Packet,
    anonymous: bool,
) -> [u8; 2] {
    let link = link(scene, asker, carrier, anonymous);
    scene.world().insert_resource(Script {
        liar: Some(asker.node),
        ..Script::default()
    });
    say(scene, link, LIST, list(1));
    say(
        scene,
        link,
        PULL,
        [&[2, 0, 0, 0][..], &packet.id().0].concat(),
    );
    let answers = heard(scene, REFUSED);
    assert_eq!(answers.len(), 2, "nothing else is said");
    assert_eq!([answers[0][0], answers[1][0]], [LIST, PULL]);
    [answers[0][1], answers[1][1]]
}

// PROTOCOL 3.12
#[test]
fn a_stranger_and_one_that_hides_are_shown_nothing_and_told_why() {
    let mut scene = scene();
    let carrier_ = scene.spawn(100, carrier());
    let stranger = scene.spawn(101, Kind::default());
    let other = scene.spawn(102, carrier());
    let kept = packet(1);
    deposit(&mut scene, carrier_, &kept);
    // Carries nothing; then a carrier that hides.
    let reasons = refused(&mut scene, stranger, carrier_, &kept, false);
    assert_eq!(reasons, [7, 7]);
    let reasons = refused(&mut scene, other, carrier_, &kept, true);
    assert_eq!(reasons, [7, 7]);
    assert_eq!(scene.drops(carrier_, DropReason::NotNeighbour), 4);
    // And who carries nothing has nothing to show.
    let reasons = refused(&mut scene, other, stranger, &kept, false);
    assert_eq!(reasons, [8, 8]);
}

// PROTOCOL 3.12
#[test]
fn who_pays_for_its_bytes_neither_asks_nor_is_asked() {
    let mut scene = scene();
    let metered = scene.spawn(100, carrier());
    let about = About::TAKES_LINKS.and(About::CARRIES).and(About::METERED);
    let world = scene.world();
    world.get_mut::<LinkSettings>(metered.node).unwrap().about = about;
    let other = scene.spawn(101, carrier());
    let kept = packet(1);
    deposit(&mut scene, metered, &kept);
    let reasons = refused(&mut scene, other, metered, &kept, false);
    assert_eq!(reasons, [8, 8]);
    scene.run.run_for(minutes(60));
    assert_eq!(heard(&mut scene, LIST), Vec::<Bytes>::new());
    assert!(!keeps(&scene, other, &kept));
}

// PROTOCOL 3.12
#[test]
fn a_neighbour_that_asks_without_end_is_refused() {
    let (mut scene, all) = with_liar(2);
    let link = link(&mut scene, all[1], all[0], false);
    let most = u64::from(dunlin_relay::limits::LINK_LISTS_MAX);
    for _ in 0..most + 3 {
        let (peer, kind, body) = (link, LIST, list(1).into());
        scene.world().write_message(FrameOut { peer, kind, body });
    }
    scene.run.run_for(seconds(5));
    let over = scene.drops(all[0], DropReason::TooManyLists);
    assert_eq!(over, 3);
    assert_eq!(heard(&mut scene, REFUSED).len() as u64, over);
    assert_eq!(heard(&mut scene, LISTED).len() as u64, most);
}

// PROTOCOL 3.12
#[test]
fn a_neighbour_that_gives_something_else_than_it_listed_is_left_alone() {
    let (mut scene, all) = with_liar(3);
    let (own, listed, other) = (packet(1), packet(2), packet(3));
    deposit(&mut scene, all[0], &own);
    {
        let mut script = scene.world().resource_mut::<Script>();
        script.lists = vec![listed.clone()];
        script.gives = Some(other.clone());
    }
    scene.run.run_for(minutes(45));
    let pulls = heard(&mut scene, PULL).len();
    assert!(pulls >= 1);
    assert!(!keeps(&scene, all[0], &other) && !keeps(&scene, all[1], &other));
    let unfit: u64 = all[..2]
        .iter()
        .map(|who| scene.drops(*who, DropReason::PulledUnfit))
        .sum();
    assert_eq!(unfit, pulls as u64);
    assert!(
        pulls <= 2 * 2,
        "each of two, and not in each round: {pulls}"
    );
    assert!(keeps(&scene, all[1], &own), "the honest go on");
}

// PROTOCOL 3.12
#[test]
fn a_neighbour_that_never_gives_what_it_lists_keeps_nobody_from_having_it() {
    let (mut scene, all) = with_liar(3);
    let wanted = packet(1);
    deposit(&mut scene, all[0], &wanted);
    // All that it lists is there elsewhere, or nowhere.
    let rubbish = (2..40).map(packet);
    let lists = std::iter::once(wanted.clone()).chain(rubbish).collect();
    scene.world().resource_mut::<Script>().lists = lists;
    scene.run.run_for(minutes(45));
    assert!(!heard(&mut scene, PULL).is_empty());
    assert!(keeps(&scene, all[1], &wanted));
    assert_eq!(scene.packets(all[0]), 1);
    assert_eq!(scene.packets(all[1]), 1);
}

// PROTOCOL 3.12, 4.3
#[test]
fn a_packet_that_was_ended_does_not_come_back_and_ends_where_it_is_listed() {
    let (mut scene, all) = with_liar(3);
    let (own, ended) = (packet(1), packet(2));
    deposit(&mut scene, all[0], &own);
    deposit(&mut scene, all[0], &ended);
    let stranger = scene.spawn(901, Kind::default());
    let to = link(&mut scene, stranger, all[0], true);
    let receipt = [&[1, 0, 0, 0][..], &ended.id().0, &SECRET].concat();
    say(&mut scene, to, 0x27, receipt.clone());
    assert!(!keeps(&scene, all[0], &ended));
    {
        let mut script = scene.world().resource_mut::<Script>();
        script.lists = vec![ended.clone()];
        script.gives = Some(ended.clone());
    }
    scene.run.run_for(minutes(25));
    assert!(!keeps(&scene, all[0], &ended));
    let told = heard(&mut scene, 0x27);
    assert!(!told.is_empty());
    assert!(told.iter().all(|body| body[4..] == receipt[4..]));
}

// PROTOCOL 3.12, 4.3
#[test]
fn a_receipt_that_one_carrier_had_ends_the_copies_of_its_neighbours() {
    let mut scene = scene();
    let all: Vec<Who> = (0..4).map(|n| scene.spawn(100 + n, carrier())).collect();
    for who in &all {
        scene.knows(*who, 3);
    }
    scene.run.run_for(minutes(25));
    let kept = packet(1);
    deposit(&mut scene, all[0], &kept);
    scene.run.run_for(minutes(25));
    assert!(all.iter().all(|who| keeps(&scene, *who, &kept)));
    let stranger = scene.spawn(901, Kind::default());
    let to = link(&mut scene, stranger, all[2], true);
    let receipt = [&[1, 0, 0, 0][..], &kept.id().0, &SECRET].concat();
    say(&mut scene, to, 0x27, receipt);
    // Each of the others asks within 19 minutes. Who has only the tombstone asks nobody, and is asked.
    scene.run.run_for(minutes(45));
    assert!(all.iter().all(|who| !keeps(&scene, *who, &kept)));
    let world = scene.run.app.world();
    let stones = all.iter().filter(|who| {
        let tombstones = world.get::<Tombstones>(who.node).unwrap();
        !tombstones.is_empty()
    });
    assert_eq!(stones.count(), 4);
}

/// What a plugin keeps out of deposits it keeps out of copies as well.
#[test]
fn a_plugin_sees_copies_as_it_sees_deposits() {
    #[derive(Resource, Default)]
    struct Pulled(usize);
    fn refuse(mut arrived: MessageMutator<PacketArrived>, mut pulled: ResMut<Pulled>) {
        for packet in arrived.read().filter(|packet| packet.pulled) {
            packet.refused = Some(dunlin_relay::Reason::OverShare);
            pulled.0 += 1;
        }
    }
    let mut scene = Scene::with(32, 0, |app| {
        app.world_mut().init_resource::<Pulled>();
        app.configure_sets(Between.in_set(Turn::Route).before(RelaySystems::Erase));
        app.add_systems(Between, refuse);
    });
    let all: Vec<Who> = (0..2).map(|n| scene.spawn(100 + n, carrier())).collect();
    scene.knows(all[0], 1);
    scene.run.run_for(minutes(25));
    deposit(&mut scene, all[0], &packet(1));
    scene.run.run_for(minutes(25));
    assert!(scene.world().resource::<Pulled>().0 > 0);
    assert_eq!(scene.packets(all[1]), 0);
    assert!(scene.drops(all[1], DropReason::RefusedByPlugin) > 0);
}
