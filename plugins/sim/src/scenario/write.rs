//! A scenario as the text of a file.

use super::Scenario;
use crate::nat_kind::{Allocation, Depends, NatKind};
use crate::path::Path;
use serde::{Serialize, Serializer, ser::SerializeStruct};
use std::fmt;

impl fmt::Display for Scenario {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&toml::to_string(self).map_err(|_| fmt::Error)?)
    }
}

/// What is as usual is left out.
impl Serialize for Path {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let usual = Path::default();
        let mut table = to.serialize_struct("Path", 8)?;
        macro_rules! write {
            ($($field:ident)*) => {
                let Path { $($field),* } = self; // So that a field added there is missed here.
                $(if *$field != usual.$field {
                    table.serialize_field(stringify!($field), $field)?;
                })*
            };
        }
        write!(delay_ms jitter_ms loss_percent duplicate_percent reorder_percent reorder_ms up_kbit queue_ms);
        table.end()
    }
}

/// A name where it has one.
impl Serialize for NatKind {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut names = NatKind::NAMES.into_iter();
        if let Some(name) = names.find(|name| NatKind::named(name).as_ref() == Some(self)) {
            return to.serialize_str(name);
        }
        let depends = |on| match on {
            Depends::Endpoint => "endpoint",
            Depends::Address => "address",
            Depends::AddressAndPort => "address_and_port",
        };
        let mut table = to.serialize_struct("NatKind", 5)?;
        table.serialize_field("mapping", depends(self.mapping))?;
        table.serialize_field("filtering", depends(self.filtering))?;
        let allocation = match self.allocation {
            Allocation::Preserving => "preserving",
            Allocation::Sequential => "sequential",
            Allocation::Random => "random",
        };
        table.serialize_field("allocation", allocation)?;
        table.serialize_field("lifetime_s", &self.lifetime.as_secs())?;
        table.serialize_field("hairpin", &self.hairpin)?;
        table.end()
    }
}
