//! What one carrier sees does not tell which packets belong together, who sent them, or for whom they are. PROTOCOL 2.5, 4.7
//!
//! Forty people write to forty others in the same moment, each a message of nine packets, among 48 carriers. A plugin writes down all that a carrier
//! can see: of each request over which link it came, with which key, from where and when; and of each circuit that it passes on, whose it is. Then
//! each carrier guesses, in the ways that are known to work, and its guesses are held against what chance would give. The same guesses succeed where
//! nothing goes through neighbours, or the test would prove nothing.

use crate::network;
use dunlin_engine::bevy_ecs::{self, prelude::*};
use dunlin_engine::{App, BoxError, Now, Time, Turn};
use dunlin_net::{CircuitUse, FrameIn, FrameOut, Peer, PeerId};
use dunlin_relay::{PacketArrived, Tag, Token};
use dunlin_sim::{Crypto, Kind, Sim, Who, minutes};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

const CIRCUIT_OPEN: u8 = 0x09;
const DEPOSIT: u8 = 0x20;
const FETCH: u8 = 0x22;

/// One request, as the carrier sees it.
#[derive(Debug, Clone, Copy)]
struct Sight {
    tag: Tag,
    key: PeerId,
    address: SocketAddr,
    at: Time,
}

/// What was seen, by whom; and how it truly was.
#[derive(Resource, Default)]
struct Seen {
    deposits: BTreeMap<Entity, Vec<Sight>>,
    fetches: BTreeMap<Entity, Vec<Sight>>,
    /// Who opened circuits through a node, and when.
    opened: BTreeMap<PeerId, Vec<(Time, Entity)>>,
    senders: BTreeMap<Tag, Entity>,
    recipients: BTreeMap<Tag, Entity>,
}

/// Of a FETCH that shows a token: the tag.
fn fetched(body: &[u8]) -> Option<Tag> {
    let (kind, rest) = body.get(4..)?.split_first()?;
    let token = rest.first_chunk::<16>()?;
    (*kind == 1).then(|| Token(*token).tag())
}

fn see(
    mut arrived: MessageReader<PacketArrived>,
    mut frames: MessageReader<FrameIn>,
    peers: Query<&Peer>,
    now: Res<Now>,
    mut seen: ResMut<Seen>,
) {
    let sight = |link: Entity, tag| {
        let peer = peers.get(link).ok()?;
        Some(Sight {
            tag,
            key: peer.id,
            address: peer.address,
            at: now.time,
        })
    };
    for came in arrived.read().filter(|came| !came.pulled) {
        let sight = sight(came.peer, came.packet.tag());
        seen.deposits.entry(came.node).or_default().extend(sight);
    }
    for frame in frames.read().filter(|frame| frame.kind == FETCH) {
        let sight = fetched(&frame.body).and_then(|tag| sight(frame.peer, tag));
        seen.fetches.entry(frame.node).or_default().extend(sight);
    }
}

fn know(
    mut frames: MessageReader<FrameOut>,
    peers: Query<&Peer>,
    now: Res<Now>,
    mut seen: ResMut<Seen>,
) {
    for frame in frames.read() {
        let Ok(peer) = peers.get(frame.peer) else {
            continue;
        };
        let deposited = || Some(Tag(*frame.body.get(21..37)?.first_chunk()?));
        match frame.kind {
            DEPOSIT if peer.hidden => {
                let tag = deposited().expect("a packet");
                seen.senders.insert(tag, peer.node);
            }
            FETCH if peer.hidden => {
                let tags = fetched(&frame.body).map(|tag| (tag, peer.node));
                seen.recipients.extend(tags);
            }
            CIRCUIT_OPEN => {
                let opened = seen.opened.entry(peer.id).or_default();
                opened.push((now.time, peer.node));
            }
            _ => {}
        }
    }
}

fn watch(app: &mut App) -> Result<(), BoxError> {
    app.world_mut().init_resource::<Seen>();
    app.add_systems(Turn::Deliver, see);
    app.add_systems(Turn::Settle, know);
    Ok(())
}

/// Guesses of one kind: how many were right, and how many chance would have got right.
#[derive(Debug, Default, Clone, Copy)]
struct Score {
    right: f64,
    chance: f64,
    variance: f64,
    guesses: u32,
}

impl Score {
    /// One guess, right with probability `right` as it was made, `chance` if made blindly.
    fn add(&mut self, right: f64, chance: f64) {
        self.right += right;
        self.chance += chance;
        self.variance += chance * (1.0 - chance);
        self.guesses += 1;
    }

    /// How many standard deviations better than chance.
    fn better(&self) -> f64 {
        (self.right - self.chance) / self.variance.sqrt().max(1e-9)
    }
}

/// For each packet at each carrier: which other is of the same message?
fn match_fragments(seen: &Seen, pick: impl Fn(&Sight, &[&Sight]) -> Vec<usize>) -> Score {
    let mut score = Score::default();
    for sights in seen.deposits.values() {
        let mut first: BTreeMap<Tag, Sight> = BTreeMap::new();
        for sight in sights
            .iter()
            .filter(|sight| seen.senders.contains_key(&sight.tag))
        {
            first.entry(sight.tag).or_insert(*sight);
        }
        for sight in first.values() {
            let others: Vec<&Sight> = first
                .values()
                .filter(|other| other.tag != sight.tag)
                .collect();
            let is_sibling = |other: &Sight| seen.senders[&other.tag] == seen.senders[&sight.tag];
            let siblings = others.iter().filter(|other| is_sibling(other)).count();
            if siblings == 0 || others.len() < 5 {
                continue;
            }
            let chance = siblings as f64 / others.len() as f64;
            let picked = pick(sight, &others);
            let right = match picked.len() {
                0 => chance, // Nothing to go by.
                all => {
                    picked.iter().filter(|at| is_sibling(others[**at])).count() as f64 / all as f64
                }
            };
            score.add(right, chance);
        }
    }
    score
}

fn same<T: PartialEq>(of: impl Fn(&Sight) -> T) -> impl Fn(&Sight, &[&Sight]) -> Vec<usize> {
    move |sight, others| {
        let alike = others
            .iter()
            .enumerate()
            .filter(|(_, other)| of(other) == of(sight));
        alike.map(|(at, _)| at).collect()
    }
}

/// Those that came nearest in time.
fn nearest(sight: &Sight, others: &[&Sight]) -> Vec<usize> {
    let apart = |other: &Sight| other.at.0.abs_diff(sight.at.0);
    let least = others.iter().map(|other| apart(other)).min();
    let near = others
        .iter()
        .enumerate()
        .filter(|(_, other)| Some(apart(other)) == least);
    near.map(|(at, _)| at).collect()
}

/// For each request at each carrier: which of the forty made it? By where it came from, or by who opened a circuit through this carrier at about
/// that time.
fn match_people(
    sights: &BTreeMap<Entity, Vec<Sight>>,
    truth: &BTreeMap<Tag, Entity>,
    people: &BTreeMap<Entity, Option<SocketAddr>>,
    opened: impl Fn(Entity) -> Vec<(Time, Entity)>,
) -> [Score; 2] {
    let mut scores = [Score::default(); 2];
    let chance = 1.0 / people.len() as f64;
    for (carrier, sights) in sights {
        let opened: Vec<(Time, Entity)> = opened(*carrier)
            .into_iter()
            .filter(|(_, who)| people.contains_key(who))
            .collect();
        let mut told = BTreeSet::new();
        for sight in sights.iter().filter(|sight| told.insert(sight.tag)) {
            let Some(who) = truth.get(&sight.tag).filter(|who| people.contains_key(who)) else {
                continue;
            };
            let there = people.iter().find(|(_, at)| **at == Some(sight.address));
            let by_address = there.map_or(chance, |(there, _)| f64::from(there == who));
            let then = opened
                .iter()
                .min_by_key(|(at, _)| at.0.abs_diff(sight.at.0));
            let by_time = then.map_or(chance, |(_, then)| f64::from(then == who));
            scores[0].add(by_address, chance);
            scores[1].add(by_time, chance);
        }
    }
    scores
}

struct Guesses {
    fragments: Vec<(&'static str, Score)>,
    senders: [Score; 2],
    recipients: [Score; 2],
}

fn guess(circuits: CircuitUse) -> Guesses {
    let plugin = watch as fn(&mut App) -> Result<(), BoxError>;
    let seed = std::env::var("DUNLIN_SEED").map_or(1, |seed| seed.parse().expect("a number"));
    eprintln!("DUNLIN_SEED={seed}");
    let mut sim = Sim::new(seed, plugin).expect("a simulation");
    sim.network(network(1.0));
    sim.crypto(Crypto::StandIn);
    sim.circuits(circuits);
    sim.carriers(48);
    let mut add = |name: &str| -> Vec<Who> {
        let all = (0..40).map(|n| sim.add(&format!("{name} {n}"), &Kind::person()));
        all.collect()
    };
    let (senders, recipients) = (add("sender"), add("recipient"));
    for (sender, recipient) in senders.iter().zip(&recipients) {
        sim.introduce(*sender, *recipient);
    }
    sim.run_for(minutes(12)); // By then all know each other.
    *sim.app().world_mut().resource_mut::<Seen>() = Seen::default();
    let text = "Meet me where the river bends. ".repeat(8 * 1_024 / 31);
    for (sender, recipient) in senders.iter().zip(&recipients) {
        sim.send(*sender, *recipient, &text);
    }
    sim.run_for(minutes(3));
    for recipient in &recipients {
        assert_eq!(sim.inbox(*recipient).len(), 1);
    }
    let place = |sim: &mut Sim, all: &[Who]| -> BTreeMap<Entity, Option<SocketAddr>> {
        let nodes: Vec<Entity> = all.iter().filter_map(|who| sim.node(*who)).collect();
        let world = sim.app().world();
        let at = |node| world.get::<dunlin_net::Bound>(node).map(|bound| bound.0);
        nodes.into_iter().map(|node| (node, at(node))).collect()
    };
    let (senders, recipients) = (place(&mut sim, &senders), place(&mut sim, &recipients));
    let world = sim.app().world();
    let seen = world.resource::<Seen>();
    let through = |carrier: Entity| {
        let id = world
            .get::<dunlin_net::Identity>(carrier)
            .map(dunlin_net::Identity::id);
        id.and_then(|id| seen.opened.get(&id))
            .cloned()
            .unwrap_or_default()
    };
    Guesses {
        fragments: vec![
            ("the link", match_fragments(seen, same(|sight| sight.key))),
            (
                "the neighbour",
                match_fragments(seen, same(|sight| sight.address)),
            ),
            ("the time", match_fragments(seen, nearest)),
        ],
        senders: match_people(&seen.deposits, &seen.senders, &senders, through),
        recipients: match_people(&seen.fetches, &seen.recipients, &recipients, through),
    }
}

/// Of a thousand guesses without anything to go by, one is so good.
const BY_CHANCE: f64 = 3.1;

// PROTOCOL 2.5, 4.7
#[test]
fn fragments_senders_and_recipients_are_matched_no_better_than_chance() {
    let guesses = guess(CircuitUse::Require);
    for (by, score) in &guesses.fragments {
        println!("fragments by {by}: {score:?}, {:.1} better", score.better());
    }
    for (who, scores) in [
        ("senders", guesses.senders),
        ("recipients", guesses.recipients),
    ] {
        for (by, score) in ["address", "time"].into_iter().zip(scores) {
            println!("{who} by {by}: {score:?}, {:.1} better", score.better());
        }
    }
    for (by, score) in guesses.fragments {
        assert!(
            score.guesses > 1_000 && score.better() < BY_CHANCE,
            "by {by}: {score:?}"
        );
    }
    for score in guesses.senders.into_iter().chain(guesses.recipients) {
        assert!(
            score.guesses > 1_000 && score.better() < BY_CHANCE,
            "{score:?}"
        );
    }
}

#[test]
fn the_same_guesses_succeed_where_nothing_goes_through_neighbours() {
    let guesses = guess(CircuitUse::Off);
    let (_, by_link) = guesses.fragments[0];
    // Some links were hung up in between.
    assert!(by_link.right > 10.0 * by_link.chance, "{by_link:?}");
    for [by_address, _] in [guesses.senders, guesses.recipients] {
        assert!(
            by_address.right > 0.9 * f64::from(by_address.guesses),
            "{by_address:?}"
        );
    }
}
