//! The file of contacts, `HOME/contacts`: a first line that names its format, then a line for each, its card and its name.

use crate::{Error, private};
use dunlin_net::PeerId;
use dunlin_relay::Card;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

const FIRST_LINE: &str = "dunlin contacts 1";
/// Each card is checked whenever the file is read. // guess
const CONTACTS_MAX: usize = 1_000;
/// A contact's name, which is the user's own choice; what a card says of itself has 32. // guess
const NAME_BYTES_MAX: usize = 64;
/// The text of a card of 512 bytes. PROTOCOL 4.4
const CARD_LETTERS_MAX: usize = 7 + 820;
/// What is longer is not one of ours, and is not read.
const FILE_BYTES_MAX: usize = 1 << 20;
const _: () = assert!(
    FIRST_LINE.len() + 1 + CONTACTS_MAX * (CARD_LETTERS_MAX + NAME_BYTES_MAX + 2) <= FILE_BYTES_MAX
);

/// Somebody, under the name that the user of this device gave them.
pub(crate) struct Contact {
    pub(crate) name: String,
    pub(crate) card: Card,
}

/// What adding somebody came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Added {
    New,
    /// They were there under this name; now with this card.
    Renewed,
}

/// All contacts, by name, regardless of case.
pub(crate) struct Contacts {
    path: PathBuf,
    all: BTreeMap<String, Contact>,
    /// For who changes them: nobody else does until this is dropped.
    _lock: Option<File>,
}

impl Contacts {
    /// Reads the contacts of this device; none if there is no file.
    pub(crate) fn read(home: &Path) -> Result<Contacts, Error> {
        let path = home.join("contacts");
        let all = match File::open(&path) {
            Ok(file) => parse(&path, file)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(cannot("read", &path, &error)),
        };
        Ok(Contacts {
            path,
            all,
            _lock: None,
        })
    }

    /// The same, to change them: of two who do so at once, the second waits.
    pub(crate) fn edit(home: &Path) -> Result<Contacts, Error> {
        let path = home.join("contacts.lock");
        let lock = private::lock(&path).map_err(|error| cannot("lock", &path, &error))?;
        Ok(Contacts {
            _lock: Some(lock),
            ..Contacts::read(home)?
        })
    }

    /// Writes them down, whole or not at all.
    pub(crate) fn save(&self) -> Result<(), Error> {
        let mut text = format!("{FIRST_LINE}\n");
        for Contact { name, card } in self.all() {
            text += &format!("{card} {name}\n");
        }
        private::replace(&self.path, text.as_bytes())
            .map_err(|error| cannot("write", &self.path, &error))
    }

    /// All of them, by name.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Contact> {
        self.all.values()
    }

    /// The contact of this name.
    pub(crate) fn find(&self, name: &str) -> Option<&Contact> {
        self.all.get(&folded(name))
    }

    fn of_id(&self, id: PeerId) -> Option<&Contact> {
        self.all().find(|contact| contact.card.id() == id)
    }

    /// The contact of this name, or an error that names the nearest.
    pub(crate) fn get(&self, name: &str) -> Result<&Contact, Error> {
        self.find(name).ok_or_else(|| self.nobody(name))
    }

    fn nobody(&self, name: &str) -> Error {
        let advice = match self.nearest(name) {
            Some(nearest) => format!("; did you mean \"{nearest}\"?"),
            None if self.all.is_empty() => {
                ": there are none; make one with `dunlin contacts add NAME CARD`".to_owned()
            }
            None => ": `dunlin contacts list` shows those that there are".to_owned(),
        };
        Error::failed(format!("no contact is called \"{name}\"{advice}"))
    }

    /// The contact's name that is most like `name`, if they have anything in common.
    pub(crate) fn nearest(&self, name: &str) -> Option<&str> {
        let name = folded(name);
        let near = self.all.iter().filter_map(|(other, contact)| {
            let distance = strsim::damerau_levenshtein(&name, other);
            let longer = name.chars().count().max(other.chars().count());
            (distance < longer).then_some((distance, contact.name.as_str()))
        });
        near.min().map(|(_, name)| name)
    }

    /// Adds somebody, or renews the card of somebody who is there under this name.
    pub(crate) fn add(&mut self, name: &str, card: Card) -> Result<Added, Error> {
        let name = checked(name)?;
        if let Some(there) = self.all.get_mut(&folded(name)) {
            if there.card.id() != card.id() {
                return Err(Error::failed(format!(
                    "{} is somebody else already (id {}): a card of another id is another person's, or of new keys. Ask them; \
                     then `dunlin contacts remove` the old one, or choose another name",
                    there.name,
                    there.card.id()
                )));
            }
            there.card = card;
            return Ok(Added::Renewed);
        }
        if let Some(there) = self.of_id(card.id()) {
            return Err(Error::failed(format!(
                "this is the card of {0}, who is a contact already: `dunlin contacts rename` gives {0} another name",
                there.name
            )));
        }
        if self.all.len() >= CONTACTS_MAX {
            return Err(Error::failed(format!(
                "there are {CONTACTS_MAX} contacts, and that is the most: remove one first"
            )));
        }
        self.put(name, card);
        Ok(Added::New)
    }

    /// Takes somebody out.
    pub(crate) fn remove(&mut self, name: &str) -> Result<Contact, Error> {
        let removed = self.all.remove(&folded(name));
        removed.ok_or_else(|| self.nobody(name))
    }

    /// Gives somebody another name.
    pub(crate) fn rename(&mut self, old: &str, new: &str) -> Result<(), Error> {
        let new = checked(new)?;
        let id = self.get(old)?.card.id();
        if let Some(there) = self.find(new).filter(|there| there.card.id() != id) {
            return Err(Error::failed(format!(
                "{} is the name of another contact: choose another, or remove that one first",
                there.name
            )));
        }
        let Contact { card, .. } = self.remove(old)?;
        self.put(new, card);
        Ok(())
    }

    fn put(&mut self, name: &str, card: Card) {
        let contact = Contact {
            name: name.to_owned(),
            card,
        };
        self.all.insert(folded(name), contact);
    }
}

/// What names are told apart by.
fn folded(name: &str) -> String {
    name.trim().to_lowercase()
}

/// A name that can stand in a line, and is not taken for a card.
fn checked(name: &str) -> Result<&str, Error> {
    let name = name.trim();
    let fault = if name.is_empty() {
        "is empty"
    } else if name.len() > NAME_BYTES_MAX {
        "is too long"
    } else if name.chars().any(char::is_control) {
        "has control characters"
    } else if name.to_lowercase().starts_with("dunlin:") {
        "would be taken for a card"
    } else {
        return Ok(name);
    };
    Err(Error::usage(format!(
        "the name {name:?} {fault}: a contact's name has 1 to {NAME_BYTES_MAX} bytes, no control characters, and does not begin \
         with \"dunlin:\""
    )))
}

fn parse(path: &Path, file: File) -> Result<BTreeMap<String, Contact>, Error> {
    let fault = |line: usize, what: &str| {
        let path = path.display();
        Error::failed(format!(
            "{path}, line {line}: {what}: mend or delete that line, or move the file away and add the contacts anew"
        ))
    };
    let mut text = String::new();
    file.take(FILE_BYTES_MAX as u64 + 1)
        .read_to_string(&mut text)
        .map_err(|error| cannot("read", path, &error))?;
    if text.len() > FILE_BYTES_MAX {
        return Err(fault(1, "the file is too long to be one of contacts"));
    }
    let mut lines = text.lines().zip(1..);
    match lines.next() {
        None => return Ok(BTreeMap::new()),
        Some((FIRST_LINE, _)) => {}
        Some((other, line)) if other.starts_with("dunlin contacts ") => {
            return Err(fault(
                line,
                "written by a later version: update this program",
            ));
        }
        Some((_, line)) => return Err(fault(line, &format!("expected \"{FIRST_LINE}\""))),
    }
    let mut contacts = Contacts {
        path: path.to_owned(),
        all: BTreeMap::new(),
        _lock: None,
    };
    for (text, line) in lines {
        let (card, name) = text
            .split_once(' ')
            .ok_or_else(|| fault(line, "expected a card, a space and a name"))?;
        let card: Card = card
            .parse()
            .map_err(|error: dunlin_relay::CardError| fault(line, &error.to_string()))?;
        match contacts.add(name, card) {
            Ok(Added::New) => {}
            Ok(Added::Renewed) => return Err(fault(line, "this contact is there twice")),
            Err(error) => return Err(fault(line, &error.to_string())),
        }
    }
    Ok(contacts.all)
}

fn cannot(what: &str, path: &Path, error: &std::io::Error) -> Error {
    Error::failed(format!("cannot {what} {}: {error}", path.display()))
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
