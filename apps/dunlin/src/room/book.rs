//! The rooms of this device: HOME/rooms, an invitation a line, readable by its owner alone.

use crate::{Error, private};
use dunlin_relay::Room;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Rooms of one device. // guess
const ROOMS_MAX: usize = 1_000;
/// Of a file that should hold an invitation no more is read: one has 422 letters at most.
const FILE_BYTES_MAX: u64 = 4_096;

pub(crate) struct Rooms {
    path: PathBuf,
    rooms: Vec<Room>,
    /// For who changes them: nobody else does until this is dropped.
    _lock: Option<File>,
}

impl Rooms {
    /// Reads the rooms of this device; none if there is no file.
    pub(crate) fn open(home: &Path) -> Result<Rooms, Error> {
        let path = home.join("rooms");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == ErrorKind::NotFound => Zeroizing::default(),
            Err(error) => {
                let text = format!("cannot read {}: {error}", path.display());
                return Err(Error::failed(text));
            }
        };
        let mut rooms = Vec::new();
        for (line, invitation) in (1..).zip(text.lines()) {
            let room = invitation.parse().map_err(|error| {
                let path = path.display();
                Error::failed(format!(
                    "{path}, line {line}: {error}: take the line out, and join the room again"
                ))
            })?;
            rooms.push(room);
        }
        Ok(Rooms {
            path,
            rooms,
            _lock: None,
        })
    }

    /// The same, to change them: of two who do so at once, the second waits.
    pub(super) fn edit(home: &Path) -> Result<Rooms, Error> {
        let path = home.join("rooms.lock");
        let lock = private::lock(&path)
            .map_err(|error| Error::failed(format!("cannot lock {}: {error}", path.display())))?;
        Ok(Rooms {
            _lock: Some(lock),
            ..Rooms::open(home)?
        })
    }

    pub(crate) fn all(&self) -> &[Room] {
        &self.rooms
    }

    /// The room of this name, in either case of letters.
    pub(super) fn find(&self, name: &str) -> Result<&Room, Error> {
        let place = self.place(name)?;
        Ok(&self.rooms[place])
    }

    fn place(&self, name: &str) -> Result<usize, Error> {
        let mut rooms = self.rooms.iter();
        let found = rooms.position(|room| same(room.name(), name));
        found.ok_or_else(|| {
            let near = self.rooms.iter().map(Room::name);
            let near = near.max_by(|a, b| {
                let alike = |known: &str| strsim::jaro_winkler(known, name);
                alike(a).total_cmp(&alike(b))
            });
            let hint = match near {
                Some(near) => format!("did you mean \"{near}\"? `dunlin room list` names all"),
                None => "`dunlin room new` makes one, `dunlin room join` joins one".to_owned(),
            };
            Error::failed(format!("no room is called \"{name}\": {hint}"))
        })
    }

    pub(super) fn add(&mut self, room: &Room) -> Result<(), Error> {
        if self.rooms.iter().any(|known| known.id() == room.id()) {
            let text = "this device is a member of that room already";
            return Err(Error::failed(text));
        }
        if self
            .rooms
            .iter()
            .any(|known| same(known.name(), room.name()))
        {
            return Err(Error::failed(format!(
                "a room is called \"{}\" already: join this one with --as OTHER-NAME, or leave the other",
                room.name()
            )));
        }
        if self.rooms.len() >= ROOMS_MAX {
            return Err(Error::failed(format!(
                "{ROOMS_MAX} rooms are the most: leave one first"
            )));
        }
        let invitation = room.invitation();
        let again = invitation.parse::<Room>();
        self.rooms
            .push(again.map_err(|error| Error::failed(error.to_string()))?);
        self.save()
    }

    pub(super) fn remove(&mut self, name: &str) -> Result<Room, Error> {
        let place = self.place(name)?;
        let room = self.rooms.remove(place);
        self.save()?;
        Ok(room)
    }

    fn save(&self) -> Result<(), Error> {
        let mut text = Zeroizing::new(String::new());
        for room in &self.rooms {
            text.push_str(&room.invitation());
            text.push('\n');
        }
        private::replace(&self.path, text.as_bytes()).map_err(|error| {
            Error::failed(format!("cannot write {}: {error}", self.path.display()))
        })
    }
}

fn same(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

/// The room of an invitation, or of a file that holds one.
pub(super) fn read(what: &str) -> Result<Room, Error> {
    let path = Path::new(what);
    if !path.is_file() {
        return what.trim().parse().map_err(|error| refused(&error));
    }
    let mut text = Zeroizing::new(String::new());
    let file = File::open(path);
    let read = file.and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text));
    read.map_err(|error| Error::failed(format!("cannot read {}: {error}", path.display())))?;
    text.trim().parse().map_err(|error| refused(&error))
}

fn refused(error: &dunlin_relay::RoomError) -> Error {
    Error::failed(format!("not an invitation: {error}"))
}
