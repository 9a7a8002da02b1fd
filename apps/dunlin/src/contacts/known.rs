//! The names by which people are shown.

use super::{Contact, Contacts};
use crate::Global;
use std::collections::BTreeMap;

/// Contacts' names by id.
pub(crate) struct Known(BTreeMap<String, String>);

impl Known {
    /// Those of this device. A file that cannot be read is warned of, and names nobody: messages come without it too.
    pub(crate) fn of(global: &Global) -> Known {
        let contacts = global.home().and_then(|home| Contacts::read(&home));
        let named = |contacts: &Contacts| {
            let name = |one: &Contact| (one.card.id().to_string(), one.name.clone());
            contacts.all().map(name).collect()
        };
        Known(match &contacts {
            Ok(contacts) => named(contacts),
            Err(error) => {
                tracing::warn!(%error, "people are shown by their ids");
                BTreeMap::new()
            }
        })
    }

    /// The name of whom this id belongs to.
    pub(crate) fn name(&self, id: &str) -> Option<&str> {
        self.0.get(id).map(String::as_str)
    }

    /// That name, or the beginning of the id.
    pub(crate) fn name_or_id(&self, id: &str) -> String {
        self.name(id).map_or_else(
            || format!("{}…", id.chars().take(12).collect::<String>()),
            str::to_owned,
        )
    }
}
