//! Strangers: what they can make a node send, do and keep.

use super::*;
use crate::datagram::{Header, Kind};
use crate::handshake::{Established, Initiation};
use crate::limits::{COOKIE_BYTES, HEADER_BYTES};
use crate::session::Session;
use crate::{CloseReason, frame};
use bytes::BufMut;
use std::net::Ipv4Addr;

fn source(n: u32) -> SocketAddr {
    // From 11.0.0.0 up, each /24 holding one.
    SocketAddr::new(Ipv4Addr::from(0x0b00_0001 + (n << 8)).into(), 5_000)
}

/// A stranger with a socket and a key, who does by hand what a node would do.
struct Stranger {
    from: SocketAddr,
    identity: Identity,
    random: ChaCha20Rng,
    dial: Option<Initiation>,
}

impl Stranger {
    fn new(from: SocketAddr, number: u64) -> Stranger {
        let mut random = ChaCha20Rng::seed_from_u64(number);
        let identity = Identity::generate(&mut random);
        Stranger {
            from,
            identity,
            random,
            dial: None,
        }
    }

    /// Sends a first message, with the cookie for it if one was asked for; all the way to IK-2 or XX-2 if `finish`.
    fn first(&mut self, net: &mut Net, node: Entity, to: Option<&PeerId>) -> Bytes {
        let index = self.random.next_u32();
        let now = net.run.now().time;
        let secret = self.identity.agreement_secret();
        let dial = Initiation::begin(
            &crate::Curve25519,
            secret,
            to,
            false,
            index,
            now,
            &mut self.random,
        )
        .unwrap();
        let bytes = dial.datagram();
        self.dial = Some(dial);
        net.inject(self.from, node, &bytes);
        net.run.turn();
        bytes
    }

    fn answers(&self, net: &mut Net) -> Vec<Bytes> {
        let ours = self.from;
        let outside = std::mem::take(&mut net.wire().outside);
        let answers = outside.into_iter().filter(|(to, _)| *to == ours);
        answers.map(|(_, bytes)| bytes).collect()
    }

    /// Takes the cookie and sends the message again with it.
    fn with_cookie(&mut self, net: &mut Net, node: Entity) -> Bytes {
        let cookie = self.answers(net).pop().unwrap();
        let (header, body) = Header::decode(&cookie).unwrap();
        let dial = self.dial.as_mut().unwrap();
        assert!(dial.take_cookie(&header, body));
        let bytes = dial.datagram();
        net.inject(self.from, node, &bytes);
        net.run.turn();
        bytes
    }

    fn finish(&mut self, net: &mut Net) -> Established {
        let answer = self.answers(net).pop().unwrap();
        let (header, body) = Header::decode(&answer).unwrap();
        let now = net.run.now().time;
        self.dial
            .as_mut()
            .unwrap()
            .finish(&header, body, now)
            .unwrap()
    }

    /// Comes up as a peer of the node.
    fn link(&mut self, net: &mut Net, node: Entity) -> Session {
        let id = net.id(node);
        self.first(net, node, Some(&id));
        self.with_cookie(net, node);
        let mut session = self.finish(net).session;
        self.say(net, node, &mut session, &[(frame::kind::PING, &[0; 4])]);
        session
    }

    fn say(&self, net: &mut Net, node: Entity, session: &mut Session, frames: &[(u8, &[u8])]) {
        let mut datagram = Session::blank();
        for (kind, body) in frames {
            frame::put(&mut datagram, *kind, body);
        }
        let sealed = session.seal(datagram, net.run.now().time).unwrap();
        net.inject(self.from, node, &sealed);
        net.run.turn();
    }
}

fn node(net: &mut Net) -> Entity {
    net.node("203.0.113.1:4000")
}

// PROTOCOL 2.2
#[test]
fn an_unproved_address_never_draws_more_bytes_than_came_from_it() {
    let mut net = Net::new(seed());
    let (alice, bob) = (node(&mut net), net.node("198.51.100.1:4000"));
    net.wire().tape = Some(Vec::new());
    let address = net.address(bob);
    net.link(alice, bob);
    net.run_for(seconds(2));
    net.dial(alice, address, None, false);
    net.run_for(seconds(2));
    let tape = net.wire().tape.take().unwrap();
    let kinds: std::collections::BTreeSet<u8> = tape.iter().map(|(_, _, bytes)| bytes[0]).collect();
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7]);
    net.wire().outside.clear();
    let mut random = ChaCha20Rng::seed_from_u64(net.seed);
    let mut came: BTreeMap<SocketAddr, u64> = BTreeMap::new();
    for step in 0..10_000_u32 {
        let from = source(random.next_u32() % 500);
        let mut bytes = match step % 4 {
            // Random bytes behind a header that may pass.
            0 => {
                let mut bytes = vec![0; random.next_u32() as usize % 1_300];
                random.fill_bytes(&mut bytes);
                for (place, byte) in [(random.next_u32() % 9) as u8, 1, 0, 0]
                    .into_iter()
                    .enumerate()
                {
                    if let Some(at) = bytes.get_mut(place) {
                        *at = byte;
                    }
                }
                bytes
            }
            // What was said in earnest, from elsewhere.
            _ => tape[random.next_u32() as usize % tape.len()].2.to_vec(),
        };
        if step % 4 == 2 && !bytes.is_empty() {
            let bit = random.next_u32() as usize % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        if step % 4 == 3 {
            bytes.truncate(random.next_u32() as usize % (bytes.len() + 1));
        }
        *came.entry(from).or_default() += bytes.len() as u64;
        let to = if random.next_u32() & 1 == 0 {
            alice
        } else {
            bob
        };
        net.inject(from, to, &bytes);
        if step % 50 == 0 {
            net.run_for(Duration::from_millis(20));
        }
    }
    net.run_for(seconds(5));
    let outside = std::mem::take(&mut net.wire().outside);
    assert!(outside.len() > 100, "cookies went out");
    let mut went: BTreeMap<SocketAddr, u64> = BTreeMap::new();
    for (to, bytes) in &outside {
        // A cookie; or a PING to where a fresh message came from that had been overtaken and refused before.
        assert!([Kind::Cookie as u8, Kind::Data as u8].contains(&bytes[0]));
        *went.entry(*to).or_default() += bytes.len() as u64;
        assert!(went[to] <= came[to], "{to}: {} for {}", went[to], came[to]);
    }
    for reason in [
        DropReason::Length,
        DropReason::Unknown,
        DropReason::CookieWanted,
        DropReason::NoSession,
        DropReason::Replayed,
        DropReason::Unasked,
    ] {
        assert!(net.drops(bob, reason) > 0, "{reason:?}");
    }
    assert_eq!(net.peers(bob).len(), 1);
    assert_eq!(net.log().frames, []);
    net.check_bounds();
}

// PROTOCOL 2.2
#[test]
fn a_million_forged_sources_grow_no_table() {
    let mut net = Net::new(seed());
    let alice = node(&mut net);
    let mut stranger = Stranger::new(source(0), 1);
    let id = net.id(alice);
    let ik = stranger.first(&mut net, alice, Some(&id));
    let xx = stranger.first(&mut net, alice, None);
    let before = net.links(alice).size();
    for batch in 0..1_000_u32 {
        let mut came = 0;
        for n in 0..1_000_u32 {
            let number = batch * 1_000 + n;
            let bytes = if n % 2 == 0 { &ik } else { &xx };
            came += bytes.len();
            let from = SocketAddr::new(Ipv4Addr::from(0x1400_0000 + number * 37).into(), 9);
            net.inject(from, alice, bytes);
        }
        net.run.turn();
        let outside = std::mem::take(&mut net.wire().outside);
        let went: usize = outside.iter().map(|(_, bytes)| bytes.len()).sum();
        assert!(0 < went && went < came);
    }
    assert_eq!(net.drops(alice, DropReason::CookieWanted), 1_000_002);
    assert_eq!(net.links(alice).size(), before);
    assert_eq!(before, 0);
    assert!(net.get::<crate::AddressBook>(alice).is_empty());
}

// PROTOCOL 2.2, 5
#[test]
fn many_proved_sources_keep_within_the_tables_and_the_work_that_we_do_for_strangers() {
    let mut net = Net::new(seed());
    let alice = node(&mut net);
    for n in 0..1_200 {
        let mut stranger = Stranger::new(source(n), u64::from(n));
        stranger.first(&mut net, alice, None);
        stranger.with_cookie(&mut net, alice);
        net.wire().outside.clear();
        net.check_bounds();
    }
    assert_eq!(net.links(alice).half_open.len(), 256);
    assert_eq!(net.drops(alice, DropReason::HalfOpenFull), 1_024 - 256);
    assert_eq!(net.drops(alice, DropReason::HandshakeRate), 1_200 - 1_024);
    // With time it is all forgotten, and an honest peer comes up at once.
    net.run_for(seconds(30));
    let bob = net.node("198.51.100.1:4000");
    net.link(bob, alice);
    net.run_for(seconds(1));
    assert_eq!(net.peers(alice).len(), 1);
}

// PROTOCOL 2.2
#[test]
fn one_source_holds_eight_unproved_sessions_and_gets_so_many_handshakes() {
    let mut net = Net::new(seed());
    let alice = node(&mut net);
    let mut stranger = Stranger::new(source(1), 1);
    for _ in 0..40 {
        stranger.first(&mut net, alice, None);
        stranger.with_cookie(&mut net, alice);
        net.wire().outside.clear();
    }
    assert_eq!(net.links(alice).half_open.len(), 8);
    assert_eq!(net.drops(alice, DropReason::HalfOpenFull), 32 - 8);
    assert_eq!(net.drops(alice, DropReason::HandshakeRate), 8);
}

// PROTOCOL 2.2
#[test]
fn a_cookie_expires_and_a_repeated_message_is_answered_with_the_same_bytes() {
    let mut net = Net::new(seed());
    let alice = node(&mut net);
    let mut stranger = Stranger::new(source(1), 1);
    stranger.first(&mut net, alice, None);
    let shown = stranger.with_cookie(&mut net, alice);
    let answer = stranger.answers(&mut net);
    net.inject(stranger.from, alice, &shown);
    net.run.turn();
    assert_eq!(stranger.answers(&mut net), answer);
    assert_eq!(net.links(alice).half_open.len(), 1);
    let wanted = net.drops(alice, DropReason::CookieWanted);
    net.run_for(seconds(121));
    net.inject(stranger.from, alice, &shown);
    net.run.turn();
    assert_eq!(net.drops(alice, DropReason::CookieWanted), wanted + 1);
    assert_eq!(
        stranger.answers(&mut net)[0].len(),
        HEADER_BYTES + COOKIE_BYTES
    );
    // Another's cookie is of no use.
    net.inject(source(2), alice, &shown);
    net.run.turn();
    assert_eq!(net.drops(alice, DropReason::CookieWanted), wanted + 2);
}

// PROTOCOL 2.2
#[test]
fn what_was_recorded_does_nothing_when_it_is_played_again() {
    let mut net = Net::new(seed());
    let (alice, bob) = (node(&mut net), net.node("198.51.100.1:4000"));
    net.wire().tape = Some(Vec::new());
    let link = net.link(alice, bob);
    net.run_for(seconds(1));
    for count in 0..20_u8 {
        net.frame(link, 0x20, &[count; 9]);
        net.run_for(Duration::from_millis(50));
    }
    let tape = net.wire().tape.take().unwrap();
    let hash = net.peer(bob).1.handshake_hash;
    assert_eq!(net.log().frames.len(), 20);
    for (from, to, bytes) in &tape {
        let node = if *to == net.address(bob) { bob } else { alice };
        net.inject(*from, node, bytes);
        net.run_for(Duration::from_millis(10));
    }
    net.run_for(seconds(40));
    assert_eq!(net.log().frames.len(), 20);
    assert_eq!(
        (net.peer(bob).1.handshake_hash, net.log().downs.len()),
        (hash, 0)
    );
    assert!(net.drops(bob, DropReason::Replayed) >= 20);
    assert!(
        net.drops(alice, DropReason::Unasked) >= 2,
        "cookie and IK-2"
    );
}

// PROTOCOL 2.2
#[test]
fn every_altered_bit_of_a_data_datagram_is_refused_by_the_node() {
    let mut net = Net::new(seed());
    let alice = node(&mut net);
    let mut stranger = Stranger::new(source(1), 1);
    let mut session = stranger.link(&mut net, alice);
    let mut datagram = Session::blank();
    frame::put(&mut datagram, 0x20, b"four o'clock");
    let sealed = session.seal(datagram, net.run.now().time).unwrap();
    for bit in 0..sealed.len() * 8 {
        let mut altered = sealed.to_vec();
        altered[bit / 8] ^= 1 << (bit % 8);
        net.inject(stranger.from, alice, &altered);
    }
    net.run.turn();
    assert_eq!(net.log().frames.len(), 0);
    assert!(net.drops(alice, DropReason::Forged) as usize >= (sealed.len() - 16) * 8);
    net.inject(stranger.from, alice, &sealed);
    net.run.turn();
    assert_eq!(net.log().frames.len(), 1);
    assert_eq!(
        net.drops(alice, DropReason::NoSession),
        32,
        "an altered index is nobody's"
    );
}

// PROTOCOL 2.2
#[test]
fn a_stranger_who_sends_our_peers_message_from_elsewhere_gets_no_more_than_he_sent() {
    let mut net = Net::new(seed());
    let alice = node(&mut net);
    let mut stranger = Stranger::new(source(1), 1);
    let mut session = stranger.link(&mut net, alice);
    let link = net.peer(alice).0;
    net.wire().outside.clear();
    // Held back on its way and sent on from a victim's address; the answers to it go there not at all.
    let victim = source(99);
    let mut came = 0;
    for _ in 0..50 {
        let mut datagram = Session::blank();
        frame::put(&mut datagram, frame::kind::PING, &[7; 4]);
        let sealed = session.seal(datagram, net.run.now().time).unwrap();
        came += sealed.len();
        net.inject(victim, alice, &sealed);
        net.frame(link, 0x20, &[0; 1_000]);
        net.run_for(Duration::from_millis(300));
    }
    let outside = std::mem::take(&mut net.wire().outside);
    let went = outside.iter().filter(|(to, _)| *to == victim);
    let went: usize = went.map(|(_, bytes)| bytes.len()).sum();
    assert!(went > 0 && went <= came, "{went} for {came}");
    assert_eq!(net.peer(alice).1.address, stranger.from);
}

// PROTOCOL 2.2
#[test]
fn a_forged_third_message_does_not_keep_the_true_one_out() {
    let mut net = Net::new(seed());
    let alice = node(&mut net);
    let mut stranger = Stranger::new(source(1), 1);
    stranger.first(&mut net, alice, None);
    stranger.with_cookie(&mut net, alice);
    let established = stranger.finish(&mut net);
    let (third, mut session) = (established.third.unwrap(), established.session);
    for place in [
        HEADER_BYTES,
        HEADER_BYTES + 47,
        third.len() - 1,
        third.len() - 17,
    ] {
        let mut forged = third.to_vec();
        forged[place] ^= 1;
        net.inject(stranger.from, alice, &forged);
        net.run.turn();
    }
    assert_eq!(net.drops(alice, DropReason::HandshakeForged), 4);
    net.inject(stranger.from, alice, &third);
    net.inject(stranger.from, alice, &third);
    net.run.turn();
    assert_eq!(
        net.drops(alice, DropReason::Unasked),
        1,
        "the second of them"
    );
    stranger.say(&mut net, alice, &mut session, &[(0x20, b"hello")]);
    assert_eq!(net.log().frames.len(), 1);
    assert_eq!(net.peer(alice).1.id, stranger.identity.id());
}

// PROTOCOL 1.1
#[test]
fn nobody_is_linked_to_who_claims_to_be_ourselves() {
    let mut net = Net::new(seed());
    let alice = node(&mut net);
    let id = net.id(alice);
    let mut seed_bytes = Random::from_seed(net.seed, 0);
    let mut stranger = Stranger::new(source(1), 1);
    stranger.identity = Identity::generate(&mut seed_bytes.0);
    assert_eq!(stranger.identity.id(), id);
    stranger.first(&mut net, alice, Some(&id));
    stranger.with_cookie(&mut net, alice);
    assert_eq!(net.drops(alice, DropReason::HandshakeId), 1);
    assert!(stranger.answers(&mut net).is_empty());
}

// PROTOCOL 2.3
#[test]
fn frames_that_are_wrong_are_counted_and_the_link_goes_on() {
    let mut net = Net::new(seed());
    let alice = node(&mut net);
    let mut stranger = Stranger::new(source(1), 1);
    let mut session = stranger.link(&mut net, alice);
    let malformed: [(u8, &[u8]); 9] = [
        (frame::kind::PING, &[0; 3]),
        (frame::kind::PONG, &[0; 3]),
        (frame::kind::OBSERVED, &[4; 18]),
        (frame::kind::OBSERVED, &[0; 19]),
        (frame::kind::CLOSE, &[]),
        (frame::kind::PEERS_ASK, &[0, 0, 0, 0, 21]),
        (frame::kind::ABOUT, &[8, 0]),
        (frame::kind::ABOUT, &[1, 1]),
        (frame::kind::REFUSED, &[0x20, 1, 0, 1, 0, 0, 0, 0]),
    ];
    stranger.say(&mut net, alice, &mut session, &malformed);
    assert_eq!(
        net.drops(alice, DropReason::FrameMalformed),
        malformed.len() as u64
    );
    let mut overrun = Session::blank();
    frame::put(&mut overrun, 0x20, b"whole");
    overrun.put_slice(&[0x20, 5, 0, 1, 2]);
    let sealed = session.seal(overrun, net.run.now().time).unwrap();
    net.inject(stranger.from, alice, &sealed);
    net.run.turn();
    assert_eq!(net.drops(alice, DropReason::FrameOverrun), 1);
    assert_eq!(net.log().frames.len(), 1);
    // A longer body than a type has is a later version's.
    net.wire().outside.clear();
    stranger.say(
        &mut net,
        alice,
        &mut session,
        &[(frame::kind::PING, &[7; 30])],
    );
    assert_eq!(stranger.answers(&mut net)[0].len(), 16 + 3 + 4 + 16);
    // Peers that nobody asked for, and asking twice.
    stranger.say(
        &mut net,
        alice,
        &mut session,
        &[(frame::kind::PEERS, &[0; 60])],
    );
    assert_eq!(net.drops(alice, DropReason::Unasked), 1);
    let ask: (u8, &[u8]) = (frame::kind::PEERS_ASK, &[9, 0, 0, 0, 20]);
    stranger.say(&mut net, alice, &mut session, &[ask, ask]);
    assert_eq!(net.drops(alice, DropReason::Share), 1);
    // Many empty unknown frames draw few refusals.
    net.wire().outside.clear();
    stranger.say(&mut net, alice, &mut session, &[(0x50, &[][..]); 380]);
    let answer = &stranger.answers(&mut net)[0];
    assert_eq!(answer.len(), 32 + 8 * 11);
    assert_eq!(net.drops(alice, DropReason::FrameUnknown), 380);
    assert_eq!(net.peers(alice).len(), 1);
}

// PROTOCOL 5
#[test]
fn one_prefix_gets_sixteen_links_and_all_together_fifty_six() {
    let mut net = Net::new(seed());
    let hub = node(&mut net);
    for n in 1..=20 {
        let other = net.node(&format!("198.51.100.{n}:4000"));
        net.link(other, hub);
    }
    net.run_for(seconds(40));
    assert_eq!(net.peers(hub).len(), 16);
    for n in 0..50 {
        let other = net.node(&format!("192.0.{n}.1:4000"));
        net.link(other, hub);
        net.run_for(Duration::from_millis(100));
    }
    net.run_for(seconds(2));
    assert_eq!(net.peers(hub).len(), 56);
    assert_eq!(net.drops(hub, DropReason::LinksFull), 4 + 10);
    let closed = DownReason::Closed(CloseReason::TooMany);
    let refused = net
        .log()
        .downs
        .iter()
        .filter(|down| down.2 == closed)
        .count();
    assert_eq!(refused, 14);
    // The places for links of its own choice are still there.
    for n in 0..9 {
        let other = net.node(&format!("203.0.{n}.77:4000"));
        net.link(hub, other);
    }
    net.run_for(seconds(2));
    assert_eq!(net.peers(hub).len(), 64);
    net.check_bounds();
}
