//! Links between two nodes: up, kept, renewed, moved, lost.

use super::*;
use crate::{CloseReason, Traffic, frame};
use dunlin_engine::ClockError;

fn pair(net: &mut Net) -> (Entity, Entity) {
    (net.node("203.0.113.1:4000"), net.node("198.51.100.1:4000"))
}

/// Both sides agree on everything that a link is.
fn assert_linked(net: &mut Net, alice: Entity, bob: Entity) -> (Entity, Entity) {
    let (at_alice, with_bob) = net.peer(alice);
    let (at_bob, with_alice) = net.peer(bob);
    assert_eq!(with_bob.handshake_hash, with_alice.handshake_hash);
    assert_eq!(with_bob.address, net.address(bob));
    assert_eq!(with_alice.address, net.address(alice));
    for (node, link) in [(alice, at_alice), (bob, at_bob)] {
        let own = net.address(node);
        assert_eq!(net.links(node).observed(link), Some(own));
    }
    assert_eq!(with_bob.id, net.id(bob));
    (at_alice, at_bob)
}

// PROTOCOL 2.2
#[test]
fn a_link_comes_up_by_id() {
    let mut net = Net::new(seed());
    let (alice, bob) = pair(&mut net);
    let link = net.link(alice, bob);
    net.run_for(seconds(1));
    let (at_alice, at_bob) = assert_linked(&mut net, alice, bob);
    assert_eq!(at_alice, link);
    let (there, here) = (
        net.get::<Peer>(at_bob).clone(),
        net.get::<Peer>(at_alice).clone(),
    );
    assert_eq!(there.id, net.id(alice));
    assert!(here.outbound && !there.outbound);
    assert!(here.about.carries() && there.about.carries());
    assert!(!here.anonymous && !there.anonymous && !here.hidden && !there.hidden);
    assert_eq!(net.log().ups.len(), 2);
    net.frame(link, 0x20, b"tea?");
    net.frame(at_bob, 0x21, b"yes");
    net.run_for(seconds(1));
    let frames = std::mem::take(&mut net.log().frames);
    let expected = [
        (alice, at_alice, 0x21, Bytes::from_static(b"yes")),
        (bob, at_bob, 0x20, Bytes::from_static(b"tea?")),
    ];
    assert!(frames.len() == 2 && expected.iter().all(|frame| frames.contains(frame)));
}

#[test]
fn both_ends_count_what_a_link_carries_lost_datagrams_only_where_they_were_sent() {
    let mut net = Net::new(seed());
    let (alice, bob) = pair(&mut net);
    let link = net.link(alice, bob);
    net.run_for(seconds(1));
    net.frame(link, 0x20, b"tea?");
    net.run_for(seconds(1));
    let (here, there) = (*net.get::<Traffic>(alice), *net.get::<Traffic>(bob));
    let address = net.address(bob);
    let sent = net.wire().sent[&address];
    assert_eq!((here.bytes_out, here.datagrams_out), sent);
    assert_eq!((there.bytes_in, there.datagrams_in), sent);
    assert_eq!(
        (here.bytes_in, here.datagrams_in),
        (there.bytes_out, there.datagrams_out)
    );

    net.wire().loss_percent = 100;
    net.frame(link, 0x20, b"tea?");
    net.run_for(seconds(1));
    assert_eq!(net.get::<Traffic>(alice).datagrams_out, sent.1 + 1);
    assert_eq!(*net.get::<Traffic>(bob), there);
}

// PROTOCOL 2.2
#[test]
fn a_link_comes_up_with_whoever_is_there() {
    let mut net = Net::new(seed());
    let (alice, bob) = pair(&mut net);
    let address = net.address(bob);
    net.dial(alice, address, None, false);
    net.run_for(seconds(1));
    let (_, at_bob) = assert_linked(&mut net, alice, bob);
    assert_eq!(net.get::<Peer>(at_bob).id, net.id(alice));
}

// PROTOCOL 2.2
#[test]
fn who_hides_is_seen_as_another_each_time() {
    let mut net = Net::new(seed());
    let (alice, bob) = pair(&mut net);
    let (address, id) = (net.address(bob), net.id(bob));
    let links = [
        net.dial(alice, address, Some(id), true),
        net.dial(alice, address, Some(id), true),
    ];
    net.run_for(seconds(1));
    for link in links {
        assert!(net.get::<Peer>(link).hidden && !net.get::<Peer>(link).anonymous);
    }
    let seen = net.peers(bob);
    assert_eq!(seen.len(), 2);
    assert_ne!(seen[0].1.id, seen[1].1.id);
    for (_, peer) in &seen {
        assert!(peer.anonymous && peer.id != net.id(alice));
        assert_eq!(peer.about, About::default());
    }
    // Neither side notes or tells what was hidden.
    assert!(net.get::<crate::AddressBook>(bob).is_empty());
    assert_eq!(net.get::<crate::AddressBook>(alice).len(), 1);
}

// PROTOCOL 2.2
#[test]
fn who_hides_has_an_answer_after_three_round_trips_and_hears_if_there_is_none() {
    let mut net = Net::new(seed());
    let (alice, bob) = pair(&mut net);
    net.wire().delay_ms = 100;
    let (address, id) = (net.address(bob), net.id(bob));
    let link = net.dial(alice, address, Some(id), true);
    let began = net.run.now().time;
    let up = net
        .run
        .run_until(seconds(2), |app| app.world().get::<Peer>(link).is_some());
    assert!(up);
    // Cookie and handshake; each way takes up to 200 ms.
    assert!(net.run.now().time - began <= Duration::from_millis(820));
    net.frame(link, 0x20, b"tea?");
    net.run_for(Duration::from_millis(220));
    assert!(
        net.log()
            .frames
            .iter()
            .any(|frame| frame.0 == bob && frame.2 == 0x20)
    );
    // The responder is gone right after its answer.
    let other = net.dial(alice, address, Some(id), true);
    net.run
        .run_until(seconds(2), |app| app.world().get::<Peer>(other).is_some());
    net.wire().loss_percent = 100;
    net.wire().forget();
    net.run_for(seconds(6));
    let end = net.log().downs.iter().copied().find(|down| down.1 == other);
    assert_eq!(end.map(|down| down.2), Some(DownReason::Lost));
}

#[test]
fn a_dial_that_cannot_succeed_says_why() {
    let mut net = Net::new(seed());
    let (alice, bob) = pair(&mut net);
    let (address, other) = (net.address(bob), net.id(alice));
    let dials = [
        (
            net.dial(alice, at("192.0.2.9:9"), Some(net.id(bob)), false),
            DownReason::Unreachable,
        ),
        (
            net.dial(alice, at("0.0.0.0:9"), None, false),
            DownReason::Impossible,
        ),
        (net.dial(alice, address, None, true), DownReason::Impossible),
        (
            net.dial(alice, address, Some(other), false),
            DownReason::Oneself,
        ),
    ];
    net.run_for(seconds(30));
    let downs = std::mem::take(&mut net.log().downs);
    for (link, reason) in dials {
        let down = downs.iter().find(|(_, peer, ..)| *peer == link).unwrap();
        assert_eq!(down.2, reason);
        assert!(net.run.app.world().get_entity(link).is_err(), "{reason:?}");
    }
    assert_eq!(net.links(alice).size(), 0);
    let own = net.address(alice);
    net.dial(alice, own, None, false);
    net.run_for(seconds(2));
    assert_eq!(net.log().downs[0].2, DownReason::Oneself);
}

// PROTOCOL 2.2
#[test]
fn another_peer_at_the_address_is_not_taken_for_the_one_dialled() {
    let mut net = Net::new(seed());
    let (alice, bob) = pair(&mut net);
    let carol = net.node("192.0.2.7:1");
    let (address, id) = (net.address(bob), net.id(carol));
    net.dial(alice, address, Some(id), false);
    net.run_for(seconds(30));
    assert_eq!(net.log().downs[0].2, DownReason::Unreachable);
    assert!(net.peers(bob).is_empty());
    assert!(net.drops(bob, DropReason::HandshakeForged) > 0);
}

// PROTOCOL 2.2
#[test]
fn dials_come_up_with_half_of_all_datagrams_lost_each_way() {
    let first = seed();
    let mut up = 0;
    for run in 0..60 {
        let mut net = Net::new(first * 1_000 + run);
        let (alice, bob) = pair(&mut net);
        net.wire().loss_percent = 50;
        let id = (run % 2 == 0).then(|| net.id(bob));
        let address = net.address(bob);
        net.dial(alice, address, id, false);
        net.run_for(seconds(50));
        up += usize::from(net.log().ups.iter().any(|(node, ..)| *node == alice));
    }
    assert!(up >= 58, "{up} of 60");
}

// PROTOCOL 2.2
#[test]
fn a_link_lives_for_an_hour_with_loss_repetition_and_reordering() {
    let mut net = Net::new(seed());
    let (alice, bob) = pair(&mut net);
    (
        net.wire().loss_percent,
        net.wire().twice_percent,
        net.wire().delay_ms,
    ) = (10, 10, 80);
    let link = net.link(alice, bob);
    net.run_for(seconds(10));
    let (_, at_bob) = (net.peer(alice), net.peer(bob).0);
    let mut sent = 0_u64;
    for _ in 0..360 {
        for _ in 0..5 {
            net.frame(link, 0x20, &sent.to_le_bytes());
            net.frame(at_bob, 0x21, &sent.to_le_bytes());
            sent += 1;
        }
        net.run_for(seconds(10));
    }
    assert_eq!(net.log().downs, []);
    let frames = std::mem::take(&mut net.log().frames);
    let mut seen = std::collections::BTreeSet::new();
    for (node, _, kind, body) in &frames {
        assert!(
            seen.insert((*node, *kind, body.clone())),
            "a frame came twice"
        );
    }
    let expected = sent * 2 * 90 / 100;
    assert!(
        seen.len() as u64 > expected * 95 / 100,
        "{} of about {expected}",
        seen.len()
    );
    assert!(net.drops(bob, DropReason::Replayed) > 0);
}

// PROTOCOL 2.2
#[test]
fn a_link_survives_30_percent_loss_for_five_minutes() {
    let first = seed();
    let mut kept = 0;
    for run in 0..100 {
        let mut net = Net::new(first * 1_000 + run);
        let (alice, bob) = pair(&mut net);
        net.wire().loss_percent = 30;
        net.link(alice, bob);
        net.run_for(seconds(300));
        kept += usize::from(net.log().downs.is_empty() && net.log().ups.len() == 2);
    }
    eprintln!("{kept} of 100 links kept");
    assert!(kept >= 95, "{kept} of 100");
}

// PROTOCOL 2.2
#[test]
fn keys_are_renewed_every_ten_minutes_and_nothing_is_lost_by_it() {
    let mut net = Net::new(seed());
    let (alice, bob) = pair(&mut net);
    let link = net.link(alice, bob);
    net.run_for(seconds(1));
    let at_bob = net.peer(bob).0;
    let mut hashes = std::collections::BTreeSet::new();
    let mut count = 0_u32;
    for _ in 0..7_200 {
        hashes.insert(net.peer(alice).1.handshake_hash);
        net.frame(link, 0x20, &count.to_le_bytes());
        net.frame(at_bob, 0x20, &count.to_le_bytes());
        count += 1;
        net.run_for(Duration::from_millis(500));
    }
    assert_linked(&mut net, alice, bob);
    assert_eq!(hashes.len(), 6, "an hour has five renewals");
    assert_eq!(net.log().frames.len(), 2 * count as usize);
    assert_eq!((net.log().ups.len(), net.log().downs.len()), (2, 0));
    // Three sessions at most: now, before, coming.
    assert!(net.links(alice).size() <= 5 && net.links(bob).size() <= 6);
}

// PROTOCOL 2.2
#[test]
fn a_link_of_somebody_who_hides_stays_the_same_when_its_keys_are_renewed() {
    let mut net = Net::new(seed());
    let (alice, bob) = pair(&mut net);
    let (address, id) = (net.address(bob), net.id(bob));
    let link = net.dial(alice, address, Some(id), true);
    net.run_for(seconds(1));
    let [(at_bob, before)] = &net.peers(bob)[..] else {
        panic!("one link");
    };
    let (at_bob, before) = (*at_bob, before.clone());
    net.run_for(seconds(3_600));
    let now = net.get::<Peer>(at_bob);
    assert_eq!((now.id, now.since), (before.id, before.since));
    assert_ne!(now.handshake_hash, before.handshake_hash);
    assert_eq!(now.handshake_hash, net.get::<Peer>(link).handshake_hash);
    assert_eq!((net.log().ups.len(), net.log().downs.len()), (2, 0));
    // What is said there arrives on the link that was there all the time.
    net.frame(at_bob, 0x20, b"still here");
    net.run_for(seconds(1));
    assert_eq!(net.log().frames.len(), 1);
}

// PROTOCOL 2.2
#[test]
fn a_link_follows_a_peer_whose_address_changes() {
    let mut net = Net::new(seed());
    let (alice, bob) = pair(&mut net);
    let link = net.link(alice, bob);
    net.run_for(seconds(1));
    net.wire().addresses.insert(alice, at("192.0.2.200:77"));
    net.frame(link, 0x20, b"I moved to another network");
    net.run_for(seconds(1));
    let (at_bob, _) = net.peer(bob);
    assert_linked(&mut net, alice, bob);
    net.frame(at_bob, 0x20, b"welcome there");
    net.run_for(seconds(1));
    assert_eq!(net.log().frames.len(), 2);
    // And when it is idle: the next PING is enough.
    net.wire().addresses.insert(alice, at("192.0.2.201:78"));
    net.run_for(seconds(60));
    assert_linked(&mut net, alice, bob);
    assert_eq!(net.log().downs, []);
}

// PROTOCOL 2.2
#[test]
fn the_side_that_answered_may_move_too() {
    let mut net = Net::new(seed());
    let (alice, bob) = pair(&mut net);
    net.link(alice, bob);
    net.run_for(seconds(1));
    let (at_bob, _) = net.peer(bob);
    net.wire().addresses.insert(bob, at("192.0.2.202:79"));
    net.frame(at_bob, 0x20, b"I am over here now, you see");
    net.run_for(seconds(1));
    assert_linked(&mut net, alice, bob);
}

// PROTOCOL 2.2
#[test]
fn a_dead_peer_is_noticed_in_time_by_both_sides() {
    let mut net = Net::new(seed());
    let (alice, bob) = pair(&mut net);
    let link = net.link(alice, bob);
    net.run_for(seconds(10));
    net.wire().loss_percent = 100;
    let gone = net.run.now().time;
    net.run_for(seconds(120));
    let downs = std::mem::take(&mut net.log().downs);
    let after = |node| {
        let down = downs.iter().find(|(of, ..)| *of == node).unwrap();
        assert_eq!(down.2, DownReason::Lost);
        (down.3 - gone).as_secs()
    };
    assert!(after(alice) <= 41, "the initiator: {} s", after(alice));
    assert!(after(bob) <= 60, "the responder: {} s", after(bob));
    assert_eq!(
        net.links(alice).size() - net.links(alice).admission.len(),
        0
    );

    // Who waits for an answer learns of it sooner.
    net.wire().loss_percent = 0;
    let link2 = net.link(alice, bob);
    assert_ne!(link, link2);
    net.run_for(seconds(5));
    net.wire().loss_percent = 100;
    let gone = net.run.now().time;
    net.frame(link2, 0x20, b"are you there?");
    net.run_for(seconds(60));
    let down = net.log().downs[0];
    assert_eq!((down.1, down.2), (link2, DownReason::Lost));
    assert!(down.3 - gone <= seconds(26), "{:?}", down.3 - gone);
}

// PROTOCOL 2.3
#[test]
fn a_clean_end_is_told_to_the_other_side() {
    let mut net = Net::new(seed());
    let (alice, bob) = pair(&mut net);
    let link = net.link(alice, bob);
    net.run_for(seconds(1));
    let at_bob = net.peer(bob).0;
    net.frame(link, 0x20, b"one last word");
    net.hang_up(link);
    net.run_for(seconds(1));
    assert_eq!(net.log().frames.len(), 1);
    let downs: Vec<_> = net
        .log()
        .downs
        .iter()
        .map(|down| (down.1, down.2))
        .collect();
    assert_eq!(
        downs,
        [
            (link, DownReason::HungUp(CloseReason::Idle)),
            (at_bob, DownReason::Closed(CloseReason::Idle)),
        ]
    );
    assert_eq!(net.links(alice).size(), 0);
}

#[test]
fn when_an_app_ends_its_peers_are_told_in_its_last_turn() {
    let mut net = Net::new(seed());
    let (alice, bob) = pair(&mut net);
    net.link(alice, bob);
    net.run_for(seconds(1));
    net.wire().tape = Some(Vec::new());
    let now = net.run.now();
    net.run.app.shut_down(now);
    let to: Vec<_> = net
        .wire()
        .tape
        .take()
        .unwrap()
        .iter()
        .map(|(_, to, _)| *to)
        .collect();
    assert_eq!(to.len(), 2);
}

// PROTOCOL 2.2
#[test]
fn two_that_dial_each_other_at_once_have_one_link() {
    let first = seed();
    for run in 0..200 {
        let mut net = Net::new(first * 1_000 + run);
        let (alice, bob) = pair(&mut net);
        (net.wire().loss_percent, net.wire().delay_ms) = (run % 4 * 10, 5 + run * 3);
        let (there, back) = (net.link(alice, bob), net.link(bob, alice));
        net.run_for(seconds(40));
        assert_eq!(
            (net.peer(alice).0, net.peer(bob).0),
            (there, back),
            "run {run}"
        );
        net.wire().loss_percent = 0;
        net.log().frames.clear();
        net.frame(there, 0x20, b"forth");
        net.frame(back, 0x21, b"back");
        net.run_for(seconds(4));
        assert_eq!(net.log().frames.len(), 2, "run {run}");
        assert_eq!(net.log().downs, [], "run {run}");
        net.frame(there, 0x20, b"forth");
        net.run_for(seconds(4));
        let hashes = [alice, bob].map(|node| net.peer(node).1.handshake_hash);
        assert_eq!(hashes[0], hashes[1], "run {run}");
        let refused = [alice, bob].map(|node| net.drops(node, DropReason::Simultaneous));
        let smaller = usize::from(net.id(alice) > net.id(bob));
        assert_eq!(refused[1 - smaller], 0, "the smaller id's handshake stands");
        net.run_for(seconds(200));
        assert_eq!(net.log().downs, [], "run {run}");
    }
}

// PROTOCOL 2.2
#[test]
fn a_second_link_to_the_same_peer_replaces_the_first() {
    let mut net = Net::new(seed());
    let (alice, bob) = pair(&mut net);
    let first = net.link(alice, bob);
    net.run_for(seconds(1));
    let at_bob = net.peer(bob).0;
    let second = net.link(alice, bob);
    net.run_for(seconds(1));
    assert_eq!(net.peer(alice).0, second);
    assert_eq!(
        net.peer(bob).0,
        at_bob,
        "for bob it is the same link, with new keys"
    );
    let downs: Vec<_> = net
        .log()
        .downs
        .iter()
        .map(|down| (down.1, down.2))
        .collect();
    assert_eq!(downs, [(first, DownReason::Replaced)]);
    assert_linked(&mut net, alice, bob);

    // A restart that nobody was told of is the same.
    let third = net.link(bob, alice);
    net.run_for(seconds(1));
    assert_eq!((net.peer(bob).0, net.peer(alice).0), (third, second));
    net.frame(third, 0x20, b"back again");
    net.run_for(seconds(1));
    assert_eq!(net.log().frames.len(), 1);
}

#[test]
fn a_wall_clock_that_is_a_day_wrong_does_not_matter_to_links() {
    for error_ms in [-86_400_000, 86_400_000] {
        let mut net = Net::new(seed());
        let (alice, bob) = pair(&mut net);
        net.run
            .app
            .world_mut()
            .entity_mut(alice)
            .insert(ClockError(error_ms));
        net.link(alice, bob);
        net.run_for(seconds(1_500));
        assert_linked(&mut net, alice, bob);
        assert_eq!(net.log().downs, []);
        let book = net.get::<crate::AddressBook>(alice);
        let known = book.get(&net.id(bob)).unwrap();
        assert!(known.seen_up_ms() >= 20 * 60_000, "{known:?}");
    }
}

// PROTOCOL 2.3
#[test]
fn an_unknown_frame_is_refused_by_name_and_a_later_one_skipped() {
    let mut net = Net::new(seed());
    let (alice, bob) = pair(&mut net);
    let link = net.link(alice, bob);
    net.run_for(seconds(1));
    net.wire().tape = Some(Vec::new());
    net.frame(link, 0x30, b"?");
    net.frame(link, 0xc0, b"from the future");
    net.frame(link, 0x20, b"known");
    net.run_for(seconds(1));
    assert_eq!(net.drops(bob, DropReason::FrameUnknown), 1);
    assert_eq!(net.log().frames.len(), 1);
    // header, REFUSED with its eight bytes, tag
    let tape = net.wire().tape.take().unwrap();
    let lengths: Vec<usize> = tape.iter().map(|(_, _, bytes)| bytes.len()).collect();
    assert_eq!(lengths[1], 16 + 3 + 8 + 16);

    // A refusal of a plugin's own frame goes to the plugin.
    let refused = frame::Refused {
        frame: 0x20,
        reason: frame::refusal::FULL,
        price_bits: 0,
        request: 7,
    };
    net.frame(link, frame::kind::REFUSED, &refused.encode());
    net.run_for(seconds(1));
    let (node, _, kind, body) = net.log().frames[1].clone();
    assert_eq!(
        (node, kind, frame::Refused::decode(&body)),
        (bob, 8, Some(refused))
    );
}

#[test]
fn frames_of_a_turn_share_datagrams_and_one_too_long_is_dropped() {
    let mut net = Net::new(seed());
    let (alice, bob) = pair(&mut net);
    let link = net.link(alice, bob);
    net.run_for(seconds(1));
    net.wire().tape = Some(Vec::new());
    for count in 0..100_u8 {
        net.frame(link, 0x20, &[count; 50]);
    }
    net.frame(link, 0x21, &[0; 1_165]);
    net.frame(link, 0x21, &[0; 1_166]);
    net.run_for(Duration::from_millis(100));
    let frames: Vec<u8> = net
        .log()
        .frames
        .iter()
        .map(|(_, _, _, body)| body[0])
        .collect();
    assert_eq!(frames.len(), 101);
    assert_eq!(
        net.wire().tape.take().unwrap().len(),
        6,
        "22 frames of 53 bytes fit 1,168, and one fills it"
    );
    assert_eq!(net.drops(alice, DropReason::NotSent), 1);
    assert_eq!(bob, net.log().frames[0].0);
}

#[test]
fn a_link_whose_entity_or_node_is_despawned_leaves_nothing_behind() {
    let mut net = Net::new(seed());
    let (alice, bob) = pair(&mut net);
    let link = net.link(alice, bob);
    net.run_for(seconds(1));
    net.run.app.world_mut().despawn(link);
    assert_eq!(net.links(alice).size(), 0);
    net.run_for(seconds(1));
    net.link(alice, bob);
    net.run_for(seconds(1));
    let at_bob = net.peer(bob).0;
    net.run.app.world_mut().despawn(bob);
    net.run_for(seconds(60));
    assert!(net.run.app.world().get_entity(at_bob).is_err());
    assert!(net.peers(alice).is_empty());
}

#[test]
fn eight_idle_links_wake_their_node_at_most_twice_each_in_25_seconds() {
    let mut net = Net::new(seed());
    let hub = net.node("203.0.113.1:4000");
    for n in 0..8 {
        let other = net.node(&format!("198.51.{n}.1:4000"));
        net.link(hub, other);
    }
    net.run_for(seconds(30));
    assert_eq!(net.peers(hub).len(), 8);
    net.wire().tape = Some(Vec::new());
    net.run_for(seconds(100));
    let hub_at = net.address(hub);
    let tape = net.wire().tape.take().unwrap();
    let out = tape.iter().filter(|(from, ..)| *from == hub_at).count();
    let back = tape.iter().filter(|(_, to, _)| *to == hub_at).count();
    // A PING is one wake-up (its timer), a PONG the other; no timer fires for nothing.
    assert_eq!((out, back), (32, 32));
    let timers = net.run.app.world().resource::<Timers>();
    assert!(timers.len() <= 8 + 8 + 9 + 1, "{} timers", timers.len());
}
