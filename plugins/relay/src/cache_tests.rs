//! The cache against a twin that is slow and obviously right, and its promises one by one.

use super::*;
use crate::packet::Class;
use crate::packet::tests::packet;
use dunlin_net::Prefix;
use proptest::prelude::*;

fn network(n: u8) -> Prefix {
    Prefix::of((std::net::Ipv4Addr::new(203, 0, n, 1), 9_000).into())
}

fn numbered(n: u16, class: Class, work: u8) -> Packet {
    let mut tag = [0; 16];
    tag[..2].copy_from_slice(&n.to_le_bytes());
    packet(class, Tag(tag), 20_000, 1).worked(work)
}

/// A sorted vector of (prefix, rank, charge), and the rule in plain words.
#[derive(Default)]
struct Twin {
    capacity: u64,
    kept: Vec<(Prefix, Rank, u64)>,
}

impl Twin {
    fn weight(kept: &[(Prefix, Rank, u64)], prefix: Prefix) -> u64 {
        let of = kept.iter().filter(|(theirs, ..)| *theirs == prefix);
        of.map(|(.., charge)| charge).sum()
    }

    fn insert(&mut self, packet: &Packet, from: Prefix, expires: Time) -> Insert {
        let rank = (packet.work(), expires, packet.id());
        if let Some((_, theirs, _)) = self.kept.iter_mut().find(|kept| kept.1.2 == packet.id()) {
            theirs.0 = theirs.0.max(rank.0);
            return Insert::WasThere;
        }
        let mut kept = self.kept.clone();
        kept.push((from, rank, packet.bytes().len() as u64 + 80));
        let mut gone = Vec::new();
        loop {
            let over_share = Self::weight(&kept, from) > self.capacity / 16;
            let full = kept.iter().map(|(.., charge)| charge).sum::<u64>() > self.capacity;
            if !over_share && !full {
                kept.sort_unstable();
                self.kept = kept;
                return Insert::Stored(gone);
            }
            // Over its share the newcomer's prefix pays; else the heaviest, and among equals the newcomer's own.
            let weigh = |prefix: Prefix| (Self::weight(&kept, prefix), prefix == from, prefix);
            let heaviest = kept.iter().map(|(prefix, ..)| weigh(*prefix)).max();
            let payer = if over_share {
                from
            } else {
                heaviest.unwrap().2
            };
            let of_payer = kept.iter().filter(|(prefix, ..)| *prefix == payer);
            let others = of_payer.filter(|(_, theirs, _)| *theirs != rank);
            let first = others.map(|(_, theirs, _)| *theirs).min();
            // Of its own prefix nothing goes for a newcomer but what has less work.
            let Some(first) = first.filter(|first| payer != from || first.0 < rank.0) else {
                let price = first.map_or(u8::MAX, |first| first.0 + 1);
                return if over_share {
                    Insert::OverShare { price }
                } else {
                    Insert::Full { price }
                };
            };
            gone.push(first.2);
            kept.retain(|(_, theirs, _)| *theirs != first);
        }
    }
}

proptest! {
    #[test]
    fn the_cache_agrees_with_a_sorted_vector(
        capacity in 20_000_u64..60_000,
        steps in proptest::collection::vec((0_u16..400, any::<bool>(), 0_u8..3, 0_u8..40, 0_u64..50), 1..400),
    ) {
        let mut cache = Cache::new(capacity);
        let mut twin = Twin { capacity, ..Twin::default() };
        for (n, large, work, prefix, expires) in steps {
            let class = if large { Class::Large } else { Class::Small };
            let packet = numbered(n, class, work);
            let from = network(prefix);
            let answer = cache.insert(&packet, from, Time(expires));
            prop_assert_eq!(answer, twin.insert(&packet, from, Time(expires)));
            let charged: u64 = twin.kept.iter().map(|(.., charge)| charge).sum();
            prop_assert_eq!(cache.bytes(), charged);
            prop_assert!(cache.bytes() <= capacity);
            prop_assert_eq!(cache.len(), twin.kept.len());
            prop_assert!(cache.bytes_of(from) <= capacity / 16);
            prop_assert_eq!(cache.bytes_of(from), Twin::weight(&twin.kept, from));
        }
        for (_, rank, _) in twin.kept {
            prop_assert!(cache.remove(rank.2));
        }
        prop_assert!(cache.is_empty() && cache.bytes() == 0 && cache.kept.heaviest.is_empty() && cache.kept.tags.is_empty());
    }
}

/// The rule in plain words: who holds most gives what is worth least, until shares and the whole fit.
fn shrink(kept: &mut Vec<(Prefix, Rank, u64)>, capacity: u64) -> Vec<PacketId> {
    let mut gone = Vec::new();
    loop {
        let heaviest = kept.iter().map(|(prefix, ..)| *prefix);
        let Some(payer) = heaviest.max_by_key(|prefix| (Twin::weight(kept, *prefix), *prefix))
        else {
            return gone;
        };
        let all = kept.iter().map(|(.., charge)| charge).sum::<u64>();
        if Twin::weight(kept, payer) <= capacity / 16 && all <= capacity {
            return gone;
        }
        let of_payer = kept.iter().filter(|(prefix, ..)| *prefix == payer);
        let least = of_payer.map(|(_, rank, _)| *rank).min().unwrap();
        kept.retain(|(_, rank, _)| *rank != least);
        gone.push(least.2);
    }
}

proptest! {
    #[test]
    fn a_cache_whose_capacity_changes_agrees_with_a_sorted_vector(
        capacities in proptest::collection::vec(0_u64..60_000, 1..6),
        steps in proptest::collection::vec((0_u16..400, 0_u8..3, 0_u8..40, 0_u64..50), 1..60),
    ) {
        let mut cache = Cache::new(60_000);
        let mut twin = Twin { capacity: 60_000, ..Twin::default() };
        for capacity in capacities {
            for (n, work, prefix, expires) in &steps {
                let (packet, from) = (numbered(*n, Class::Small, *work), network(*prefix));
                let answer = cache.insert(&packet, from, Time(*expires));
                prop_assert_eq!(answer, twin.insert(&packet, from, Time(*expires)));
            }
            twin.capacity = capacity;
            prop_assert_eq!(cache.set_capacity(capacity), shrink(&mut twin.kept, capacity));
            let charged: u64 = twin.kept.iter().map(|(.., charge)| charge).sum();
            prop_assert_eq!((cache.bytes(), cache.len()), (charged, twin.kept.len()));
            prop_assert!(cache.bytes() <= capacity && cache.capacity() == capacity);
        }
    }
}

#[test]
fn a_larger_capacity_drops_nothing_and_one_of_nothing_drops_all() {
    let mut cache = Cache::new(16 * 400);
    let packet = numbered(1, Class::Small, 0);
    cache.insert(&packet, network(1), Time(5));
    assert_eq!(cache.set_capacity(1_000_000), []);
    assert_eq!(cache.set_capacity(0), [packet.id()]);
    assert!(cache.is_empty() && cache.bytes() == 0);
    assert_eq!(Cache::new(5).set_capacity(0), [], "never filled");
}

#[test]
fn a_flood_from_one_prefix_takes_a_sixteenth_and_pushes_nobody_out() {
    let mut cache = Cache::new(320_000);
    for n in 0..20 {
        let answer = cache.insert(&numbered(n, Class::Small, 0), network(n as u8), Time(100));
        assert_eq!(answer, Insert::Stored(vec![]));
    }
    let flooder = network(200);
    let mut refused = 0;
    for n in 1_000..3_000 {
        // However much work it does and however long its packets live.
        let answer = cache.insert(&numbered(n, Class::Small, 3), flooder, Time(1_000));
        refused += u32::from(matches!(answer, Insert::OverShare { .. }));
    }
    assert!(refused > 0);
    assert_eq!(cache.bytes_of(flooder), 320_000 / 16);
    for n in 0..20 {
        assert!(
            cache
                .get(numbered(n, Class::Small, 0).id(), Time(0))
                .is_some()
        );
    }
}

#[test]
fn in_a_full_cache_whoever_holds_most_gives_way_to_whoever_holds_least() {
    let mut cache = Cache::new(400 * 160);
    // Sixteen prefixes fill it, ten small packets each.
    for n in 0..160 {
        let from = network((n / 10) as u8);
        let answer = cache.insert(&numbered(n, Class::Small, 0), from, Time(100));
        assert_eq!(answer, Insert::Stored(vec![]));
    }
    assert_eq!(cache.bytes(), cache.capacity());
    let newcomer = network(99);
    let answer = cache.insert(&numbered(500, Class::Small, 0), newcomer, Time(1));
    assert!(matches!(answer, Insert::Stored(gone) if gone.len() == 1));
    // Those who hold as much as everybody else gain nothing from others.
    let answer = cache.insert(&numbered(501, Class::Small, 0), network(3), Time(1));
    assert!(matches!(
        answer,
        Insert::OverShare { .. } | Insert::Full { .. }
    ));
}

#[test]
fn a_newcomer_that_would_be_the_next_to_go_is_refused_and_told_the_price() {
    let mut cache = Cache::new(16 * 400);
    let strong = numbered(1, Class::Small, 4);
    assert_eq!(
        cache.insert(&strong, network(1), Time(5)),
        Insert::Stored(vec![])
    );
    let weak = (2..)
        .map(|n| numbered(n, Class::Small, 0))
        .find(|packet| packet.work() < 4);
    let weak = weak.unwrap();
    let price = strong.work() + 1;
    assert_eq!(
        cache.insert(&weak, network(1), Time(9)),
        Insert::OverShare { price }
    );
    let answer = cache.insert(&weak.worked(price), network(1), Time(9));
    assert_eq!(answer, Insert::Stored(vec![strong.id()]));
}

// PROTOCOL 3.2
#[test]
fn of_two_nonces_the_one_with_more_work_is_kept() {
    let mut cache = Cache::default();
    let plain = numbered(1, Class::Small, 0);
    let worked = plain.worked(plain.work() + 4);
    cache.insert(&plain, network(1), Time(5));
    assert_eq!(cache.insert(&worked, network(2), Time(9)), Insert::WasThere);
    assert_eq!(cache.get(plain.id(), Time(0)), Some(worked.clone()));
    assert_eq!(cache.insert(&plain, network(2), Time(9)), Insert::WasThere);
    assert_eq!(cache.get(plain.id(), Time(0)), Some(worked));
    assert_eq!((cache.len(), cache.bytes()), (1, 400));
}

#[test]
fn a_tag_is_read_page_by_page_in_the_order_of_ids() {
    let mut cache = Cache::default();
    let tag = Tag([7; 16]);
    let mut ids = Vec::new();
    for n in 0..20 {
        let packet = packet(Class::Small, tag, 20_000, n);
        ids.push(packet.id());
        cache.insert(&packet, network(1), Time(5));
    }
    cache.insert(
        &packet(Class::Small, Tag([8; 16]), 20_000, 1),
        network(1),
        Time(5),
    );
    ids.sort_unstable();
    let hidden = ids.remove(4);
    let mut after = PacketId([0; 16]);
    for (n, id) in ids.iter().enumerate() {
        let (packet, left) = cache.page(tag, after, Time(0), |id| id != hidden);
        assert_eq!(packet.unwrap().id(), *id);
        assert_eq!(usize::from(left), ids.len() - n - 1);
        after = *id;
    }
    assert_eq!(cache.page(tag, after, Time(0), |_| true), (None, 0));
    assert_eq!(
        cache.page(tag, PacketId([0xff; 16]), Time(0), |_| true),
        (None, 0)
    );
}

// PROTOCOL 3.7
#[test]
fn what_has_expired_is_never_shown_and_leaves_at_the_next_sweep() {
    let mut cache = Cache::default();
    let packet = numbered(1, Class::Small, 0);
    cache.insert(&packet, network(1), Time(5));
    assert!(cache.get(packet.id(), Time(4)).is_some());
    assert!(cache.get(packet.id(), Time(5)).is_none());
    let (page, left) = cache.page(packet.tag(), PacketId([0; 16]), Time(5), |_| true);
    assert_eq!((page, left), (None, 0));
    assert_eq!(cache.expire(Time(4)), []);
    assert_eq!(cache.expire(Time(5)), [packet.id()]);
    assert_eq!(cache.bytes(), 0);
}

#[test]
fn work_is_free_up_to_seventy_percent_and_then_rises() {
    let mut cache = Cache::new(400 * 1_000);
    let mut prices = Vec::new();
    for n in 0..1_000 {
        let from = network((n / 20) as u8);
        cache.insert(&numbered(n, Class::Small, 0), from, Time(5));
        prices.push(cache.price());
    }
    assert_eq!(prices[699], 0);
    assert!(prices.is_sorted());
    assert_eq!(prices[999], 12);
    assert_eq!(Cache::new(0).price(), 12);
}

#[test]
fn what_lasts_longer_takes_nothing_from_what_was_promised_to_its_own_prefix() {
    // Room for 16 large packets, and so for one of each prefix.
    let mut cache = Cache::new(16 * 1_168);
    let first = numbered(1, Class::Large, 0);
    let stored = cache.insert(&first, network(1), Time(1_000));
    assert_eq!(stored, Insert::Stored(vec![]));
    let second = numbered(2, Class::Large, 0);
    let refused = cache.insert(&second, network(1), Time(2_000));
    assert!(matches!(refused, Insert::OverShare { .. }), "{refused:?}");
    assert!(cache.contains(first.id()));
    // Who pays is worth more, whenever it expires.
    let Insert::OverShare { price } = refused else {
        return;
    };
    let paid = second.worked(price);
    let stored = cache.insert(&paid, network(1), Time(500));
    assert_eq!(stored, Insert::Stored(vec![first.id()]));
}
