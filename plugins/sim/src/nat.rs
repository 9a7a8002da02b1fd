//! One NAT: the mappings it has, what they let in, and when they end.

use crate::loss::Loss;
use crate::nat_kind::{Allocation, Depends, NatKind};
use dunlin_engine::Time;
use rand_core::Rng;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Living mappings of one NAT; where its filter tells remote addresses (and ports) apart, each of those that a mapping was used
/// towards counts as one. Without a bound, a host inside that sprays ports would fill our memory in place of its router's; that
/// router refuses as well. guess: Linux keeps 65,536 and more, carriers grant a subscriber some hundreds to some thousands.
pub(crate) const MAPPINGS_MAX: usize = 4_096;

/// The lowest port of a mapping. RFC 4787 REQ-3a would map well-known ports to such; no node here uses one.
const PORT_MIN: u16 = 1_024;
const PORTS: u32 = u16::MAX as u32 - PORT_MIN as u32 + 1;
const _: () = assert!(MAPPINGS_MAX < PORTS as usize); // So there is always a free port.

/// One NAT with one public address. It is told the time and draws from the generator it is given; 48 bytes a mapping, since a
/// simulation has one of these for every other node.
#[derive(Debug)]
pub(crate) struct Nat {
    kind: NatKind,
    public: IpAddr,
    next_port: u16,
    /// Sorted by port and remote end. Those past their time may still stand here, and count for nothing.
    rows: Vec<Row>,
}

/// A port that stands for a host inside, towards somebody outside. The rows of one port are one mapping: it lives as long as any of
/// them, and each keeps the filter open for its remote end alone.
#[derive(Clone, Copy, Debug)]
struct Row {
    port: u16,
    remote: End,
    inside: End,
    until: Time,
}

/// An address and port in 18 bytes instead of 32; zeros for what nothing depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct End {
    ip: Ipv6Addr,
    port: u16,
}

impl End {
    fn of(address: SocketAddr) -> End {
        let ip = match address.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        let port = address.port();
        End { ip, port }
    }

    fn address(self) -> SocketAddr {
        SocketAddr::new(self.ip.to_canonical(), self.port)
    }

    /// What of it matters.
    fn seen_by(self, depends: Depends) -> End {
        match depends {
            Depends::AddressAndPort => self,
            Depends::Address => End { port: 0, ..self },
            Depends::Endpoint => End {
                ip: Ipv6Addr::UNSPECIFIED,
                port: 0,
            },
        }
    }
}

impl Nat {
    /// An empty one. `random` says where sequential ports begin: not all routers in the world begin at the same.
    pub(crate) fn new(kind: NatKind, public: IpAddr, random: &mut impl Rng) -> Nat {
        Nat {
            kind,
            public,
            next_port: port_from(random),
            rows: Vec::new(),
        }
    }

    /// Its address outside.
    pub(crate) fn public(&self) -> IpAddr {
        self.public
    }

    /// A datagram from inside leaves: the public source it gets, or none if the table is full.
    pub(crate) fn out(
        &mut self,
        inside: SocketAddr,
        to: SocketAddr,
        now: Time,
        random: &mut impl Rng,
    ) -> Option<SocketAddr> {
        let (from, to) = (End::of(inside), End::of(to));
        let mapping = self.kind.mapping;
        let toward = to.seen_by(mapping);
        let of_mapping = |row: &&Row| {
            row.inside == from && row.remote.seen_by(mapping) == toward && row.until > now
        };
        let mapped = self.rows.iter().find(of_mapping).map(|row| row.port);

        let remote = to.seen_by(mapping.max(self.kind.filtering));
        if mapped.is_none_or(|port| self.place(port, remote).is_err()) && !self.make_room(now) {
            return None;
        }
        let port = mapped.unwrap_or_else(|| self.free_port(inside.port(), now, random));
        let row = Row {
            port,
            remote,
            inside: from,
            until: now + self.kind.lifetime,
        };
        match self.place(port, remote) {
            Ok(place) => self.rows[place] = row, // It lived, or was another's whose port came free.
            Err(place) => self.rows.insert(place, row),
        }
        Some(SocketAddr::new(self.public, port))
    }

    /// A datagram from outside for one of its ports: whom inside it is for, or why nobody gets it.
    ///
    /// It prolongs nothing. RFC 4787 REQ-6 leaves that to the NAT; this is the stricter choice, under which a keep-alive has to come from
    /// inside, and a stranger cannot hold a mapping open.
    pub(crate) fn back(&self, port: u16, from: SocketAddr, now: Time) -> Result<SocketAddr, Loss> {
        let filtering = self.kind.filtering;
        let from = End::of(from).seen_by(filtering);
        let let_in = |row: &&Row| row.port == port && row.remote.seen_by(filtering) == from;
        // What is not looked at is zero, so this is where those that are let in begin.
        let first = self
            .rows
            .partition_point(|row| (row.port, row.remote) < (port, from));
        let mut let_in = self.rows[first..].iter().take_while(let_in);
        match let_in.find(|row| row.until > now) {
            Some(row) => Ok(row.inside.address()),
            None if self.is_free(port, now) => Err(Loss::Unmapped),
            None => Err(Loss::Filtered),
        }
    }

    /// A datagram from inside to a port of this NAT's own public address: the source that the recipient sees, the public one
    /// (RFC 4787 REQ-9a), and the recipient inside.
    pub(crate) fn hairpin(
        &mut self,
        inside: SocketAddr,
        port: u16,
        now: Time,
        random: &mut impl Rng,
    ) -> Result<(SocketAddr, SocketAddr), Loss> {
        if !self.kind.hairpin {
            return Err(Loss::NoHairpin);
        }
        let to = SocketAddr::new(self.public, port);
        let source = self.out(inside, to, now, random);
        let source = source.ok_or(Loss::MappingsFull)?;
        Ok((source, self.back(port, source, now)?))
    }

    fn place(&self, port: u16, remote: End) -> Result<usize, usize> {
        self.rows
            .binary_search_by_key(&(port, remote), |row| (row.port, row.remote))
    }

    /// Whether one more row has room. Those past their time go before the table grows, so that its memory stays within twice what
    /// lived at once.
    fn make_room(&mut self, now: Time) -> bool {
        if self.rows.len() == self.rows.capacity().min(MAPPINGS_MAX) {
            self.rows.retain(|row| row.until > now);
        }
        self.rows.len() < MAPPINGS_MAX
    }

    fn free_port(&mut self, inside: u16, now: Time, random: &mut impl Rng) -> u16 {
        let mut port = match self.kind.allocation {
            Allocation::Preserving if inside >= PORT_MIN && self.is_free(inside, now) => {
                return inside;
            }
            Allocation::Preserving | Allocation::Sequential => self.next_port,
            Allocation::Random => port_from(random),
        };
        while !self.is_free(port, now) {
            port = after(port);
        }
        self.next_port = after(port);
        port
    }

    fn is_free(&self, port: u16, now: Time) -> bool {
        let first = self.rows.partition_point(|row| row.port < port);
        let mut of_port = self.rows[first..].iter().take_while(|row| row.port == port);
        of_port.all(|row| row.until <= now)
    }
}

fn after(port: u16) -> u16 {
    port.checked_add(1).unwrap_or(PORT_MIN)
}

fn port_from(random: &mut impl Rng) -> u16 {
    let above = (u64::from(random.next_u32()) * u64::from(PORTS)) >> 32;
    PORT_MIN + above as u16 // Below PORTS.
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod twin;
