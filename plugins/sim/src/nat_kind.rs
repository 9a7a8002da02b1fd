//! Kinds of NAT, by the axes of RFC 4787: whom a mapping is for, whom its filter lets in, which port it gets, how long it lives.

use serde::Deserialize;
use serde::de::{self, Deserializer, Error as _, MapAccess, Visitor, value::MapAccessDeserializer};
use std::num::NonZeroU32;
use std::time::Duration;

/// Which part of the remote end something depends on (RFC 4787, 4.1 and 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Depends {
    /// On none of it: endpoint-independent.
    Endpoint,
    /// On its address.
    Address,
    /// On its address and port.
    AddressAndPort,
}

/// How the public port of a new mapping is chosen, from 1,024 to 65,535 (RFC 4787, 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Allocation {
    /// The port inside, if it is in that range and free; else as `Sequential`.
    Preserving,
    /// The next free one after the last given.
    Sequential,
    /// The first free one from a random one on.
    Random,
}

/// How a NAT behaves. In a scenario's file a name ([`NatKind::NAMES`]), or a table of these fields; those left out are as
/// `port_restricted` has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatKind {
    /// What a mapping depends on: with anything but `Endpoint`, one socket inside has several public ports.
    pub mapping: Depends,
    /// What letting in depends on: `Address` lets in whoever has an address that the mapping was used towards.
    pub filtering: Depends,
    /// Which ports it gives.
    pub allocation: Allocation,
    /// How long a mapping lives after the last datagram out, and what its filter lets in after the last one towards it. In a
    /// file: `lifetime_s`, whole seconds, not 0.
    pub lifetime: Duration,
    /// Whether hosts inside reach each other by their public addresses (RFC 4787 REQ-9).
    pub hairpin: bool,
}

impl Default for NatKind {
    fn default() -> NatKind {
        NatKind {
            mapping: Depends::Endpoint,
            filtering: Depends::AddressAndPort,
            allocation: Allocation::Preserving,
            lifetime: Duration::from_secs(120), // RFC 4787 REQ-5: the least; Linux, once both ends have spoken
            hairpin: false, // REQ-9 asks for it, but Linux does without, and it is the harder case.
        }
    }
}

impl NatKind {
    /// The names that [`NatKind::named`] knows, from the easiest to the hardest to pass.
    pub const NAMES: [&str; 5] = [
        "full_cone",
        "restricted",
        "port_restricted",
        "symmetric_sequential",
        "symmetric_random",
    ];

    /// The kind that goes by one of [`NatKind::NAMES`].
    #[must_use]
    pub fn named(name: &str) -> Option<NatKind> {
        use Allocation::{Preserving, Random, Sequential};
        use Depends::{Address, AddressAndPort, Endpoint};
        let (mapping, filtering, allocation) = match name {
            "full_cone" => (Endpoint, Endpoint, Preserving),
            "restricted" => (Endpoint, Address, Preserving),
            "port_restricted" => (Endpoint, AddressAndPort, Preserving),
            "symmetric_sequential" => (AddressAndPort, AddressAndPort, Sequential),
            "symmetric_random" => (AddressAndPort, AddressAndPort, Random),
            _ => return None,
        };
        Some(NatKind {
            mapping,
            filtering,
            allocation,
            ..NatKind::default()
        })
    }
}

impl<'de> Deserialize<'de> for NatKind {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<NatKind, D::Error> {
        from.deserialize_any(NameOrTable)
    }
}

struct NameOrTable;

impl<'de> Visitor<'de> for NameOrTable {
    type Value = NatKind;

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "a table, or one of: {}", NatKind::NAMES.join(", "))
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<NatKind, E> {
        NatKind::named(name).ok_or_else(|| E::invalid_value(de::Unexpected::Str(name), &self))
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<NatKind, M::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            mapping: Option<Depends>,
            filtering: Option<Depends>,
            allocation: Option<Allocation>,
            lifetime_s: Option<u32>,
            hairpin: Option<bool>,
        }
        let table = Table::deserialize(MapAccessDeserializer::new(map))?;
        let other = NatKind::default();
        let lifetime = match table.lifetime_s.map(NonZeroU32::new) {
            Some(None) => return Err(M::Error::custom("lifetime_s is 0: nothing could come back")),
            Some(Some(seconds)) => Duration::from_secs(seconds.get().into()),
            None => other.lifetime,
        };
        Ok(NatKind {
            mapping: table.mapping.unwrap_or(other.mapping),
            filtering: table.filtering.unwrap_or(other.filtering),
            allocation: table.allocation.unwrap_or(other.allocation),
            lifetime,
            hairpin: table.hairpin.unwrap_or(other.hairpin),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct File {
        nat: NatKind,
    }

    fn read(text: &str) -> Result<NatKind, String> {
        let file = toml::from_str(text).map_err(|error| error.to_string());
        file.map(|file: File| file.nat)
    }

    #[test]
    fn every_name_is_a_kind_of_its_own_in_code_and_in_files() {
        let mut kinds = Vec::new();
        for name in NatKind::NAMES {
            let kind = NatKind::named(name).expect(name);
            assert_eq!(read(&format!("nat = '{name}'")), Ok(kind.clone()));
            assert!(!kinds.contains(&kind), "{name}");
            kinds.push(kind);
        }
        assert_eq!(NatKind::named("cone"), None);
        assert_eq!(NatKind::named("port_restricted"), Some(NatKind::default()));
    }

    #[test]
    fn a_table_in_a_file_names_the_axes_that_differ() {
        let text = "nat = { mapping = 'address', filtering = 'endpoint', allocation = 'random', lifetime_s = 30, hairpin = true }";
        let kind = NatKind {
            mapping: Depends::Address,
            filtering: Depends::Endpoint,
            allocation: Allocation::Random,
            lifetime: Duration::from_secs(30),
            hairpin: true,
        };
        assert_eq!(read(text), Ok(kind));
        let short = NatKind {
            lifetime: Duration::from_secs(30),
            ..NatKind::default()
        };
        assert_eq!(read("[nat]\nlifetime_s = 30"), Ok(short));
    }

    #[test]
    fn what_is_no_kind_is_refused_and_told_what_would_be_one() {
        let said = |text| read(text).expect_err(text);
        assert!(
            said("nat = 'cone'")
                .contains("full_cone, restricted, port_restricted, symmetric_sequential")
        );
        assert!(said("nat = 4").contains("a table, or one of: full_cone"));
        assert!(said("nat = { lifetime_s = 0 }").contains("lifetime_s is 0"));
        assert!(said("nat = { mapping = 'port' }").contains("`endpoint`, `address`"));
        assert!(said("nat = { lifetime = 9 }").contains("unknown field `lifetime`"));
    }
}
