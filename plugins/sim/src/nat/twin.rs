//! A slow twin, obviously right.

use super::tests::{ALICE, ALICES_OTHER_PORT, BOB, HOST, Rig, at};
use super::*;
use proptest::prelude::*;
use std::time::Duration;

/// Everything that ever left, and nothing else: the twin looks at all of it, each time.
struct Twin {
    kind: NatKind,
    left: Vec<(Time, SocketAddr, SocketAddr, u16)>,
}

impl Twin {
    fn living(&self, now: Time) -> impl Iterator<Item = &(Time, SocketAddr, SocketAddr, u16)> {
        let lifetime = self.kind.lifetime;
        self.left
            .iter()
            .filter(move |(then, ..)| now - *then < lifetime)
    }

    fn port(&self, inside: SocketAddr, to: SocketAddr, now: Time) -> Option<u16> {
        let of_mapping = |(_, from, towards, _): &&(_, SocketAddr, SocketAddr, _)| {
            *from == inside && alike(*towards, to, self.kind.mapping)
        };
        self.living(now).find(of_mapping).map(|(.., port)| *port)
    }

    fn back(&self, port: u16, from: SocketAddr, now: Time) -> Result<SocketAddr, Loss> {
        let of_port = || self.living(now).filter(|(.., its)| *its == port);
        let let_in = |(_, _, to, _): &&(_, _, SocketAddr, _)| alike(*to, from, self.kind.filtering);
        match (of_port().find(let_in), of_port().next()) {
            (Some((_, inside, ..)), _) => Ok(*inside),
            (None, Some(_)) => Err(Loss::Filtered),
            (None, None) => Err(Loss::Unmapped),
        }
    }
}

fn alike(one: SocketAddr, other: SocketAddr, depends: Depends) -> bool {
    match depends {
        Depends::Endpoint => true,
        Depends::Address => one.ip() == other.ip(),
        Depends::AddressAndPort => one == other,
    }
}

fn any_kind() -> impl Strategy<Value = NatKind> {
    use Depends::{Address, AddressAndPort, Endpoint};
    let depends = || proptest::sample::select(vec![Endpoint, Address, AddressAndPort]);
    let allocation = [
        Allocation::Preserving,
        Allocation::Sequential,
        Allocation::Random,
    ];
    let all = (
        depends(),
        depends(),
        proptest::sample::select(allocation.to_vec()),
    );
    all.prop_map(|(mapping, filtering, allocation)| NatKind {
        mapping,
        filtering,
        allocation,
        lifetime: Duration::from_secs(10),
        hairpin: false,
    })
}

proptest! {
    #[test]
    fn a_nat_agrees_with_a_log_of_all_that_ever_left(
        kind in any_kind(),
        first in PORT_MIN..,
        steps in proptest::collection::vec((0..4_000_u64, 0..4_usize, 0..5_usize), 1..150),
    ) {
        let insides = [HOST, "192.168.1.3:5000", "192.168.1.3:5001", "192.168.1.4:53"].map(at);
        let ends = [ALICE, ALICES_OTHER_PORT, BOB, "198.51.100.1:7001", "[2001:db8::1]:9"].map(at);
        let mut rig = Rig::of(kind.clone());
        rig.nat.next_port = first;
        let (mut twin, mut last) = (Twin { kind, left: Vec::new() }, first);
        for (wait_ms, inside, to) in steps {
            rig.wait(Duration::from_millis(wait_ms));
            let (now, inside, to) = (rig.now, insides[inside], ends[to]);
            let port = rig.try_out(inside, to).expect("room");
            if let Some(expected) = twin.port(inside, to, now) {
                prop_assert_eq!(port, expected);
            } else {
                let taken = |port: u16| twin.living(now).any(|(.., its)| *its == port);
                prop_assert!(port >= PORT_MIN && !taken(port));
                let mut next = std::iter::successors(Some(last), |port| Some(after(*port)));
                let next = next.find(|port| !taken(*port));
                match rig.nat.kind.allocation {
                    Allocation::Preserving if inside.port() >= PORT_MIN && !taken(inside.port()) => {
                        prop_assert_eq!(port, inside.port());
                    }
                    Allocation::Preserving | Allocation::Sequential => {
                        prop_assert_eq!(Some(port), next);
                        last = after(port);
                    }
                    Allocation::Random => {}
                }
            }
            twin.left.push((now, inside, to, port));
            for (.., port) in &twin.left {
                for from in ends {
                    prop_assert_eq!(rig.nat.back(*port, from, now), twin.back(*port, from, now));
                }
            }
        }
    }
}
