//! Where nodes are: IPv4 addresses in prefixes, directly on the network or behind a NAT.

use crate::loss::Loss;
use crate::nat::Nat;
use crate::nat_kind::NatKind;
use dunlin_engine::Time;
use dunlin_engine::bevy_ecs::entity::Entity;
use rand_core::Rng;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

/// An IPv4 address and port in eight bytes: millions are kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Place(u64);

impl Place {
    /// `None` for IPv6, which this network does not have.
    pub(crate) fn of(address: SocketAddr) -> Option<Place> {
        let IpAddr::V4(ip) = address.ip().to_canonical() else {
            return None;
        };
        Some(Place(
            u64::from(ip.to_bits()) << 16 | u64::from(address.port()),
        ))
    }

    pub(crate) fn address(self) -> SocketAddr {
        SocketAddrV4::new(self.ip(), self.port()).into()
    }

    pub(crate) fn ip(self) -> Ipv4Addr {
        Ipv4Addr::from_bits((self.0 >> 16) as u32)
    }

    fn port(self) -> u16 {
        self.0 as u16
    }
}

/// One multiplication a key: keys are our own, so nobody can aim at a bucket; and the same in every run.
#[derive(Default)]
pub(crate) struct Multiply(u64);

impl Hasher for Multiply {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes
            .iter()
            .for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(word.into());
    }

    fn write_u64(&mut self, word: u64) {
        let mixed = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ mixed >> 32;
    }
}

type FixedMap<K, V> = HashMap<K, V, BuildHasherDefault<Multiply>>;

/// Who is reached at which address.
#[derive(Default)]
pub(crate) struct Places {
    hosts: FixedMap<Place, Entity>,
    nats: Vec<Nat>,
    by_ip: FixedMap<u32, u32>,
    /// Who is behind each NAT.
    hosts_inside: Vec<SocketAddr>,
}

/// The address of host number `number` of `prefixes` /16s, all public; numbers spread evenly over the prefixes.
pub(crate) fn address(number: u32, prefixes: u32) -> SocketAddr {
    let (prefix, host) = (number % prefixes, number / prefixes);
    // From 20.0.0.0 up to 99.255.0.0 all is public unicast.
    let ip = (20 << 24) + (prefix << 16) + host + 1;
    SocketAddrV4::new(Ipv4Addr::from_bits(ip), 9_000).into()
}

/// Prefixes that [`address`] has.
pub(crate) const PREFIXES_MAX: u32 = 80 * 256;
/// Hosts of one prefix.
pub(crate) const PREFIX_HOSTS_MAX: u32 = 65_000;

/// The address inside its own network of a host behind a NAT.
pub(crate) fn inside(number: u32) -> SocketAddr {
    let ip = (10 << 24) + number + 1;
    SocketAddrV4::new(Ipv4Addr::from_bits(ip), 9_000).into()
}

impl Places {
    pub(crate) fn enter(&mut self, address: SocketAddr, node: Entity) {
        if let Some(place) = Place::of(address) {
            self.hosts.insert(place, node);
        }
    }

    pub(crate) fn leave(&mut self, address: SocketAddr) {
        Place::of(address).map(|place| self.hosts.remove(&place));
    }

    /// The number of the NAT with this public address, which outlives restarts of who is behind it.
    pub(crate) fn nat_at(
        &mut self,
        kind: NatKind,
        public: Ipv4Addr,
        inside: SocketAddr,
        random: &mut impl Rng,
    ) -> u32 {
        let fresh = self.nats.len() as u32;
        let (nats, hosts) = (&mut self.nats, &mut self.hosts_inside);
        *self.by_ip.entry(public.to_bits()).or_insert_with(|| {
            nats.push(Nat::new(kind, public.into(), random));
            hosts.push(inside);
            fresh
        })
    }

    /// The source that a datagram bears on the network.
    pub(crate) fn source(
        &mut self,
        from: SocketAddr,
        nat: Option<u32>,
        to: SocketAddr,
        now: Time,
        random: &mut impl Rng,
    ) -> Result<Place, Loss> {
        let source = match nat {
            Some(nat) => {
                let nat = &mut self.nats[nat as usize];
                if to.ip() == nat.public() {
                    nat.hairpin(from, to.port(), now, random)?.0
                } else {
                    let mapped = nat.out(from, to, now, random);
                    mapped.ok_or(Loss::MappingsFull)?
                }
            }
            None => from,
        };
        Place::of(source).ok_or(Loss::NoRoute)
    }

    /// The host that has this address, or the one behind the NAT that has it: here each NAT has one.
    pub(crate) fn behind(&self, address: SocketAddr) -> Option<Entity> {
        let place = Place::of(address)?;
        let inside = match self.by_ip.get(&place.ip().to_bits()) {
            Some(nat) => Place::of(*self.hosts_inside.get(*nat as usize)?)?,
            None => place,
        };
        self.hosts.get(&inside).copied()
    }

    /// Whom a datagram reaches.
    pub(crate) fn target(&self, from: Place, to: Place, now: Time) -> Result<Entity, Loss> {
        let to = match self.by_ip.get(&to.ip().to_bits()) {
            Some(nat) => {
                let inside = self.nats[*nat as usize].back(to.port(), from.address(), now)?;
                Place::of(inside).ok_or(Loss::NoRoute)?
            }
            // Nobody's private addresses are reached from outside; each NAT here has one host behind it.
            None if to.ip().is_private() => return Err(Loss::NoRoute),
            None => to,
        };
        self.hosts.get(&to).copied().ok_or(Loss::NoRoute)
    }
}
