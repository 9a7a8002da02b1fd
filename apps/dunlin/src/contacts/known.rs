//! Who is meant by an id: a contact, or a room.

use super::book::{Contact, Contacts};
use crate::room::Rooms;
use crate::{Error, Global};
use std::collections::BTreeMap;
use std::path::Path;

/// Names of contacts and rooms by id.
pub(crate) struct Known(BTreeMap<String, String>);

impl Known {
    /// Those of this device. A file that cannot be read is warned of, and names nobody: messages come without it too.
    pub(crate) fn of(global: &Global) -> Known {
        let mut names = BTreeMap::new();
        for read in [contacts, rooms] {
            match global.home().and_then(|home| read(&home)) {
                Ok(known) => names.extend(known),
                Err(error) => tracing::warn!(%error, "some are shown by their ids"),
            }
        }
        Known(names)
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

fn contacts(home: &Path) -> Result<Vec<(String, String)>, Error> {
    let name = |one: &Contact| (one.card.id().to_string(), one.name.clone());
    Ok(Contacts::read(home)?.all().map(name).collect())
}

fn rooms(home: &Path) -> Result<Vec<(String, String)>, Error> {
    let rooms = Rooms::open(home)?;
    let all = rooms.all().iter();
    let names = all.map(|room| (room.id().to_string(), room.name().to_owned()));
    Ok(names.collect())
}
