//! Each axis of RFC 4787 by itself.

use super::*;
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;
use std::time::Duration;

pub(super) const HOST: &str = "192.168.1.2:5000";
pub(super) const ALICE: &str = "203.0.113.1:7000";
pub(super) const ALICES_OTHER_PORT: &str = "203.0.113.1:7001";
pub(super) const BOB: &str = "198.51.100.1:7000";

pub(super) fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// A NAT with its clock and generator.
pub(super) struct Rig {
    pub(super) nat: Nat,
    pub(super) now: Time,
    random: ChaCha8Rng,
}

impl Rig {
    pub(super) fn of(kind: NatKind) -> Rig {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let nat = Nat::new(kind, at("192.0.2.1:0").ip(), &mut random);
        let now = Time(77);
        Rig { nat, now, random }
    }

    fn named(name: &str) -> Rig {
        Rig::of(NatKind::named(name).expect("a kind"))
    }

    fn out(&mut self, inside: &str, to: &str) -> u16 {
        self.try_out(at(inside), at(to)).expect("room")
    }

    pub(super) fn try_out(&mut self, inside: SocketAddr, to: SocketAddr) -> Option<u16> {
        let source = self.nat.out(inside, to, self.now, &mut self.random)?;
        assert_eq!(source.ip(), self.nat.public());
        Some(source.port())
    }

    fn back(&self, port: u16, from: &str) -> Result<SocketAddr, Loss> {
        self.nat.back(port, at(from), self.now)
    }

    pub(super) fn wait(&mut self, wait: Duration) {
        self.now = self.now + wait;
    }
}

#[test]
fn an_endpoint_independent_mapping_has_one_port_for_the_whole_world() {
    for name in ["full_cone", "restricted", "port_restricted"] {
        let mut rig = Rig::named(name);
        let ports = [ALICE, ALICES_OTHER_PORT, BOB].map(|to| rig.out(HOST, to));
        assert_eq!(ports, [5_000; 3], "{name}");
    }
}

#[test]
fn a_mapping_that_depends_on_the_address_has_a_port_for_each_address() {
    let mut rig = Rig::of(NatKind {
        mapping: Depends::Address,
        ..NatKind::default()
    });
    let [alice, other, bob] = [ALICE, ALICES_OTHER_PORT, BOB].map(|to| rig.out(HOST, to));
    assert_eq!(alice, other);
    assert_ne!(alice, bob);
}

#[test]
fn a_symmetric_mapping_has_a_port_for_each_address_and_port_and_keeps_it() {
    for name in ["symmetric_sequential", "symmetric_random"] {
        let mut rig = Rig::named(name);
        let first = [ALICE, ALICES_OTHER_PORT, BOB].map(|to| rig.out(HOST, to));
        let mut ports = first.to_vec();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 3, "{name}");
        let again = [ALICE, ALICES_OTHER_PORT, BOB].map(|to| rig.out(HOST, to));
        assert_eq!(again, first, "{name}");
    }
}

#[test]
fn a_filter_lets_in_as_much_of_the_world_as_it_does_not_look_at() {
    let lets_in = |name| {
        let mut rig = Rig::named(name);
        let port = rig.out(HOST, ALICE);
        [ALICE, ALICES_OTHER_PORT, BOB].map(|from| rig.back(port, from))
    };
    let (yes, no) = (Ok(at(HOST)), Err(Loss::Filtered));
    assert_eq!(lets_in("full_cone"), [yes, yes, yes]);
    assert_eq!(lets_in("restricted"), [yes, yes, no]);
    assert_eq!(lets_in("port_restricted"), [yes, no, no]);
    assert_eq!(lets_in("symmetric_sequential"), [yes, no, no]);
    assert_eq!(lets_in("symmetric_random"), [yes, no, no]);
}

#[test]
fn nobody_is_let_in_where_nothing_went_out() {
    let mut rig = Rig::named("full_cone");
    assert_eq!(rig.back(5_000, ALICE), Err(Loss::Unmapped));
    rig.out(HOST, ALICE);
    assert_eq!(rig.back(5_001, ALICE), Err(Loss::Unmapped));
}

#[test]
fn two_port_restricted_hosts_meet_once_both_have_sent_and_a_symmetric_one_is_missed() {
    let meet = |kind| {
        let (mut mine, mut theirs) = (Rig::named("port_restricted"), Rig::named(kind));
        theirs.nat.public = at("192.0.2.2:0").ip();
        // Each knows the port that an observer saw.
        let seen = theirs.out("10.0.0.9:6000", ALICE);
        mine.out(HOST, &format!("192.0.2.2:{seen}"));
        let from = theirs.out("10.0.0.9:6000", "192.0.2.1:5000");
        mine.back(5_000, &format!("192.0.2.2:{from}"))
    };
    assert_eq!(meet("port_restricted"), Ok(at(HOST)));
    assert_eq!(meet("symmetric_sequential"), Err(Loss::Filtered));
    assert_eq!(meet("symmetric_random"), Err(Loss::Filtered));
}

#[test]
fn a_mapping_ends_its_lifetime_after_the_last_datagram_out_whatever_came_in() {
    let mut rig = Rig::named("full_cone");
    let lifetime = rig.nat.kind.lifetime;
    let port = rig.out(HOST, ALICE);
    rig.wait(lifetime - Duration::from_micros(1));
    assert_eq!(rig.back(port, BOB), Ok(at(HOST)));
    rig.out(HOST, BOB); // Any destination will do.
    rig.wait(lifetime - Duration::from_micros(1));
    assert_eq!(rig.back(port, ALICE), Ok(at(HOST))); // This prolongs nothing.
    rig.wait(Duration::from_micros(1));
    assert_eq!(rig.back(port, ALICE), Err(Loss::Unmapped));
}

#[test]
fn a_filter_forgets_each_remote_end_by_itself_while_the_mapping_lives_on() {
    let mut rig = Rig::named("port_restricted");
    let half = rig.nat.kind.lifetime / 2;
    let port = rig.out(HOST, ALICE);
    rig.wait(half);
    assert_eq!(rig.out(HOST, BOB), port);
    rig.wait(half);
    assert_eq!(rig.back(port, ALICE), Err(Loss::Filtered));
    assert_eq!(rig.back(port, BOB), Ok(at(HOST)));
}

#[test]
fn a_symmetric_mapping_that_ended_comes_back_with_another_port() {
    for name in ["symmetric_sequential", "symmetric_random"] {
        let mut rig = Rig::named(name);
        let port = rig.out(HOST, ALICE);
        rig.wait(rig.nat.kind.lifetime);
        assert_ne!(rig.out(HOST, ALICE), port, "{name}");
    }
}

#[test]
fn a_port_is_preserved_unless_it_is_low_or_another_hosts() {
    let mut rig = Rig::named("port_restricted");
    assert_eq!(rig.out(HOST, ALICE), 5_000);
    let next = rig.nat.next_port;
    assert_eq!(rig.out("192.168.1.3:5000", ALICE), next);
    assert_eq!(rig.out("192.168.1.3:53", ALICE), after(next));
    assert_eq!(rig.out("192.168.1.4:1024", ALICE), 1_024);
    rig.wait(rig.nat.kind.lifetime); // The first is gone, and its port free.
    assert_eq!(rig.out("192.168.1.3:5000", ALICE), 5_000);
    assert_eq!(rig.back(5_000, ALICE), Ok(at("192.168.1.3:5000")));
}

#[test]
fn sequential_ports_follow_each_other_past_those_in_use_and_around_the_end() {
    let mut rig = Rig::named("symmetric_sequential");
    rig.nat.next_port = 65_534;
    let ports = [ALICE, ALICES_OTHER_PORT, BOB].map(|to| rig.out(HOST, to));
    assert_eq!(ports, [65_534, 65_535, 1_024]);
    rig.nat.next_port = 65_535;
    assert_eq!(rig.out(HOST, "198.51.100.1:9"), 1_025);
}

#[test]
fn random_ports_follow_nothing_and_reach_from_end_to_end() {
    let mut rig = Rig::named("symmetric_random");
    let mut ports: Vec<_> = (1..=4_000)
        .map(|to| rig.out(HOST, &format!("{}:{to}", at(ALICE).ip())))
        .collect();
    let steps = ports.windows(2).filter(|pair| pair[1] == after(pair[0]));
    assert_eq!(steps.count(), 0); // On average 0.06.
    ports.sort_unstable();
    assert_eq!((ports[0], ports[3_999]), (1_026, 65_532));
    ports.dedup();
    assert_eq!(ports.len(), 4_000);
}

#[test]
fn a_full_table_refuses_new_ends_until_old_ones_have_ended() {
    for name in ["port_restricted", "symmetric_random"] {
        let mut rig = Rig::named(name);
        let end = |n: usize| SocketAddr::new(at(ALICE).ip(), n as u16 + 1);
        for n in 0..MAPPINGS_MAX {
            assert!(rig.try_out(at(HOST), end(n)).is_some());
            rig.wait(Duration::from_micros(1));
        }
        assert_eq!(rig.try_out(at(HOST), end(MAPPINGS_MAX)), None, "{name}");
        let kept = rig.try_out(at(HOST), end(7)).expect("what is there");
        // The first has ended: there is room for one, and no more.
        rig.now = Time(77) + rig.nat.kind.lifetime;
        assert!(rig.try_out(at(HOST), end(MAPPINGS_MAX)).is_some());
        assert_eq!(rig.try_out(at(HOST), end(MAPPINGS_MAX + 1)), None);
        assert_eq!(rig.nat.rows.len(), MAPPINGS_MAX);
        let back = rig.nat.back(kept, end(7), rig.now);
        assert_eq!(back, Ok(at(HOST)));
    }
}

#[test]
fn what_ended_makes_room_before_the_table_grows() {
    let mut rig = Rig::named("symmetric_random");
    for n in 1..10_000_u16 {
        rig.out(HOST, &format!("{}:{n}", at(ALICE).ip()));
        rig.wait(rig.nat.kind.lifetime / 4);
    }
    assert_eq!(rig.nat.rows.capacity(), 4);
    assert_eq!(size_of::<Row>(), 48);
}

#[test]
fn hosts_behind_one_nat_reach_each_other_by_public_addresses_only_with_hairpin() {
    let other = "192.168.1.3:6000";
    for hairpin in [true, false] {
        let mut rig = Rig::of(NatKind {
            hairpin,
            ..NatKind::default()
        });
        rig.out(other, ALICE);
        let turn = |rig: &mut Rig, from, port| {
            let Rig { nat, now, random } = rig;
            nat.hairpin(at(from), port, *now, random)
        };
        if !hairpin {
            assert_eq!(turn(&mut rig, HOST, 6_000), Err(Loss::NoHairpin));
            continue;
        }
        // It filters these as all others: the second to send gets through, and is seen by its public address.
        assert_eq!(turn(&mut rig, HOST, 6_000), Err(Loss::Filtered));
        let through = (at("192.0.2.1:6000"), at(HOST));
        assert_eq!(turn(&mut rig, other, 5_000), Ok(through));
    }
}

#[test]
fn both_families_come_back_as_they_left() {
    let mut rig = Rig::named("port_restricted");
    for (inside, to) in [(HOST, BOB), ("[fd00::2]:5001", "[2001:db8::1]:9")] {
        let port = rig.out(inside, to);
        assert_eq!(rig.back(port, to), Ok(at(inside)));
    }
}
