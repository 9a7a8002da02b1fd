//! Names in a scenario's file: where they stand, and which of them nobody reads.

use super::{Fault, Must, Partition, Population, Scenario, Traffic};
use crate::path::Path;
use crate::sessions::Wave;
use serde::de::{self, DeserializeOwned, Visitor};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Where something stands: a table (or the top: ""), which of those of that name, and a key in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub table: &'static str,
    pub index: usize,
    pub key: &'static str,
}

/// A file's text with all places in it.
pub(super) struct Tree<'a> {
    name: &'a str,
    text: &'a str,
    top: Spanned<DeTable<'a>>,
}

type Keys = Option<&'static [&'static str]>;

impl<'a> Tree<'a> {
    pub(super) fn parse(name: &'a str, text: &'a str) -> Result<Tree<'a>, Fault> {
        match DeTable::parse(text) {
            Ok(top) => Ok(Tree { name, text, top }),
            Err(error) => Err(fault(name, text, &error)),
        }
    }

    pub(super) fn read(&self) -> Result<Scenario, Fault> {
        serde::Deserialize::deserialize(toml::Deserializer::from(self.top.clone()))
            .map_err(|error| fault(self.name, self.text, &error))
    }

    /// Says where faults are.
    pub(super) fn place(&self, faults: Vec<(Place, String)>) -> Vec<Fault> {
        let place = |(place, what)| Fault {
            file: self.name.to_owned(),
            line: line(self.text, self.offset(place)),
            what,
        };
        faults.into_iter().map(place).collect()
    }

    /// Keys that nothing reads.
    pub(super) fn unknown(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        self.check(
            self.top.get_ref(),
            "the scenario",
            known::<Scenario>(),
            &mut faults,
        );
        for (key, value) in self.top.get_ref().iter() {
            let (keys, what): (Keys, _) = match &**key.get_ref() {
                "network" => (known::<Path>(), "[network]"),
                "nodes" => (known::<Population>(), "[[nodes]]"),
                "messages" => (known::<Traffic>(), "[[messages]]"),
                "partitions" => (known::<Partition>(), "[[partitions]]"),
                "waves" => (known::<Wave>(), "[[waves]]"),
                "must" => (known::<Must>(), "[must]"),
                _ => continue, // Attackers have keys of their own.
            };
            for table in tables(value) {
                self.check(table.get_ref(), what, keys, &mut faults);
            }
        }
        faults
    }

    fn check(&self, table: &DeTable, what: &str, known: Keys, faults: &mut Vec<Fault>) {
        let Some(known) = known else { return };
        for key in table
            .keys()
            .filter(|key| !known.contains(&&**key.get_ref()))
        {
            let name = key.get_ref();
            let nearest = did_you_mean(name, known.iter().copied());
            faults.push(Fault {
                file: self.name.to_owned(),
                line: line(self.text, key.span().start),
                what: format!("unknown key \"{name}\" in {what}{nearest}"),
            });
        }
    }

    /// The key's, else its table's, else the beginning.
    fn offset(&self, place: Place) -> usize {
        let top = self.top.get_ref();
        if place.table.is_empty() {
            return key_offset(top, place.key).unwrap_or(0);
        }
        let Some((_, value)) = top.iter().find(|(key, _)| key.get_ref() == place.table) else {
            return 0;
        };
        match tables(value).nth(place.index) {
            Some(table) => key_offset(table.get_ref(), place.key).unwrap_or(table.span().start),
            None => value.span().start,
        }
    }
}

/// The table that a value is, or the tables in the array that it is.
fn tables<'t, 'a>(
    value: &'t Spanned<DeValue<'a>>,
) -> impl Iterator<Item = Spanned<&'t DeTable<'a>>> {
    let span = value.span();
    let (one, many) = match value.get_ref() {
        DeValue::Table(table) => (Some(Spanned::new(span, table)), None),
        DeValue::Array(array) => (None, Some(array.iter())),
        _ => (None, None),
    };
    let many = many.into_iter().flatten().filter_map(|row| {
        let table = row.get_ref().as_table()?;
        Some(Spanned::new(row.span(), table))
    });
    one.into_iter().chain(many)
}

fn key_offset(table: &DeTable, name: &str) -> Option<usize> {
    let mut keys = table.keys();
    Some(keys.find(|key| key.get_ref() == name)?.span().start)
}

fn fault(name: &str, text: &str, error: &toml::de::Error) -> Fault {
    Fault {
        file: name.to_owned(),
        line: line(text, error.span().map_or(0, |span| span.start)),
        what: error.message().replace('\n', "; "),
    }
}

/// Lines count from 1.
fn line(text: &str, offset: usize) -> usize {
    let before = &text.as_bytes()[..offset.min(text.len())];
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

/// Asks whether the name most like `key` was meant, however unlike it is.
pub(super) fn did_you_mean<'a>(key: &str, known: impl Iterator<Item = &'a str>) -> String {
    known
        .map(|name| (strsim::damerau_levenshtein(key, name), name))
        .min()
        .map_or(String::new(), |(_, near)| {
            format!("; did you mean \"{near}\"?")
        })
}

/// The field names of a struct, as its `Deserialize` asks for them; none for a map.
fn known<T: DeserializeOwned>() -> Keys {
    let mut fields = None;
    // It fails by design, once it has seen the names.
    let _ = T::deserialize(FieldNames(&mut fields));
    fields
}

struct FieldNames<'a>(&'a mut Keys);

impl<'de> de::Deserializer<'de> for FieldNames<'_> {
    type Error = de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(de::Error::custom("not a struct"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = Some(fields);
        Err(de::Error::custom("seen"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
