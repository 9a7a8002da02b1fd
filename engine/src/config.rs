//! Settings: `dunlin.toml`, read once, checked to the last key.

use crate::Grants;
use bevy_ecs::prelude::*;
use serde::de::{self, DeserializeOwned, Visitor};
use std::collections::BTreeSet;
use std::path::Path;

/// What `dunlin.toml` says. Each plugin takes its own section; a section that nobody takes is an error at start.
#[derive(Resource, Default, Debug, Clone)]
pub struct Config {
    table: toml::Table,
    origin: String,
    taken: BTreeSet<String>,
}

/// A setting that cannot be used: where it stands, what is wrong, what would be right.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: cannot be read: {error}")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{origin}: not valid TOML: {error}")]
    Syntax {
        /// The file.
        origin: String,
        /// Where and what.
        error: String,
    },
    /// A key or section that nothing reads.
    #[error("{origin}: unknown {what}{}", nearest.as_ref().map_or(String::new(), |name| format!("; did you mean \"{name}\"?")))]
    Unknown {
        /// The file.
        origin: String,
        /// The key or section, as written.
        what: String,
        /// The known one most like it.
        nearest: Option<String>,
    },
    /// A value of the wrong shape.
    #[error("{origin}: [{section}]: {error}")]
    Value {
        /// The file.
        origin: String,
        /// The section.
        section: String,
        /// What serde said.
        error: String,
    },
}

/// Sections that are not a plugin's: what the app is called.
const APP_KEYS: [&str; 3] = ["name", "id", "version"];

impl Config {
    /// Settings from text; `origin` is the name that errors give it.
    ///
    /// # Errors
    /// [`ConfigError::Syntax`].
    pub fn parse(text: &str, origin: &str) -> Result<Config, ConfigError> {
        let table = text
            .parse::<toml::Table>()
            .map_err(|error| ConfigError::Syntax {
                origin: origin.to_owned(),
                error: error.to_string(),
            })?;
        Ok(Config {
            table,
            origin: origin.to_owned(),
            taken: BTreeSet::new(),
        })
    }

    /// Settings from a file.
    ///
    /// # Errors
    /// [`ConfigError::Read`], [`ConfigError::Syntax`].
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError::Read {
            path: path.display().to_string(),
            error,
        })?;
        Config::parse(&text, &path.display().to_string())
    }

    /// Reads a file anew, for an app that took its sections from these settings. A section that none of its plugins reads is an error, as
    /// it is at the start.
    ///
    /// # Errors
    /// As [`load`](Config::load), and [`ConfigError::Unknown`].
    pub fn again(&self, path: &Path) -> Result<Config, ConfigError> {
        let config = Config {
            taken: self.taken.clone(),
            ..Config::load(path)?
        };
        config.check_sections()?;
        Ok(config)
    }

    /// Takes one section; its defaults where the file has none.
    ///
    /// # Errors
    /// [`ConfigError::Unknown`] names the nearest key that the section knows; [`ConfigError::Value`].
    pub fn section<T: DeserializeOwned + Default>(&mut self, name: &str) -> Result<T, ConfigError> {
        self.taken.insert(name.to_owned());
        let Some(value) = self.table.get(name) else {
            return Ok(T::default());
        };
        if let (Some(table), Some(known)) = (value.as_table(), known_keys::<T>())
            && let Some(key) = table.keys().find(|key| !known.contains(&key.as_str()))
        {
            let what = format!("key \"{key}\" in [{name}]");
            return Err(self.unknown(what, key, known.iter().copied()));
        }
        value
            .clone()
            .try_into()
            .map_err(|error| ConfigError::Value {
                origin: self.origin.clone(),
                section: name.to_owned(),
                error: error.to_string().trim().to_owned(),
            })
    }

    /// Complains of a section that no plugin took.
    pub(crate) fn check_sections(&self) -> Result<(), ConfigError> {
        let known = || self.taken.iter().map(String::as_str).chain(APP_KEYS);
        match self
            .table
            .keys()
            .find(|key| !known().any(|name| name == *key))
        {
            None => Ok(()),
            Some(key) => Err(self.unknown(format!("section [{key}]"), key, known())),
        }
    }

    /// Complains of a permission that no call asks for: a slip of the pen would else grant nothing, or, where it was to
    /// deny, leave something granted.
    pub(crate) fn check_permissions(
        &self,
        grants: &Grants,
        calls: &[&'static str],
    ) -> Result<(), ConfigError> {
        // A permission is a call's name, or that up to a dot.
        let groups = calls
            .iter()
            .flat_map(|name| name.match_indices('.').map(|(dot, _)| &name[..dot]));
        let known: BTreeSet<&str> = calls.iter().copied().chain(groups).collect();
        let permissions = grants.permissions().filter(|name| *name != "*");
        match permissions.into_iter().find(|name| !known.contains(name)) {
            None => Ok(()),
            Some(name) => {
                let what = format!("permission \"{name}\" in [permissions]");
                Err(self.unknown(what, name, known.iter().copied()))
            }
        }
    }

    fn unknown<'a>(
        &self,
        what: String,
        key: &str,
        known: impl Iterator<Item = &'a str>,
    ) -> ConfigError {
        ConfigError::Unknown {
            origin: self.origin.clone(),
            what,
            nearest: nearest(key, known),
        }
    }
}

/// The name most like `key`, however unlike.
pub(crate) fn nearest<'a>(key: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    known
        .map(|name| (strsim::damerau_levenshtein(key, name), name))
        .min()
        .map(|(_, name)| name.to_owned())
}

/// The field names of a struct, as its `Deserialize` asks for them; none for a map.
fn known_keys<T: DeserializeOwned>() -> Option<&'static [&'static str]> {
    let mut fields = None;
    // It fails by design, once it has seen the names.
    let _ = T::deserialize(FieldNames(&mut fields));
    fields
}

struct FieldNames<'a>(&'a mut Option<&'static [&'static str]>);

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

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize, Default, Debug, PartialEq)]
    #[serde(default)]
    struct Relay {
        cache_bytes: u64,
        carry: bool,
    }

    #[test]
    fn an_unknown_key_is_an_error_that_names_the_nearest_known_one() {
        let mut config = Config::parse("[relay]\ncash_bytes = 5\n", "dunlin.toml").expect("TOML");
        let error = config.section::<Relay>("relay").expect_err("a typo");
        assert_eq!(
            error.to_string(),
            "dunlin.toml: unknown key \"cash_bytes\" in [relay]; did you mean \"cache_bytes\"?"
        );
    }

    #[test]
    fn a_section_that_no_plugin_reads_is_an_error_that_names_the_nearest_one() {
        let mut config = Config::parse("[rely]\ncarry = true\n", "dunlin.toml").expect("TOML");
        assert_eq!(
            config.section::<Relay>("relay").expect("defaults"),
            Relay::default()
        );
        assert_eq!(
            config
                .check_sections()
                .expect_err("nobody took it")
                .to_string(),
            "dunlin.toml: unknown section [rely]; did you mean \"relay\"?"
        );
    }

    #[test]
    fn a_file_read_again_is_checked_as_it_was_at_the_start() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("dunlin.toml");
        let mut config = Config::parse("[relay]\ncarry = true\n", "first").expect("TOML");
        config.section::<Relay>("relay").expect("a section");
        std::fs::write(&path, "[relay]\ncache_bytes = 5\n").expect("written");
        let mut again = config.again(&path).expect("as good as the first");
        let relay: Relay = again.section("relay").expect("a section");
        assert_eq!((relay.cache_bytes, relay.carry), (5, false));
        std::fs::write(&path, "[rely]\n").expect("written");
        let error = config.again(&path).expect_err("nobody reads it");
        assert!(error.to_string().ends_with("did you mean \"relay\"?"));
        std::fs::write(&path, "[relay").expect("written");
        assert!(config.again(&path).is_err());
    }

    #[test]
    fn a_permission_that_no_call_asks_for_is_an_error_that_names_the_nearest_one() {
        let check = |text: &str| {
            let mut config = Config::parse(text, "dunlin.toml").expect("TOML");
            let grants = config.section::<Grants>("permissions").expect("grants");
            let checked = config.check_permissions(&grants, &["udp.bind", "udp.send"]);
            checked.map_err(|error| error.to_string())
        };
        let good = "[permissions]\nudp = true\n\"udp.send\" = [\"127.0.0.1:*\"]\n\"*\" = false\n";
        assert_eq!(check(good), Ok(()));
        assert_eq!(
            check("[permissions]\n\"udp.sned\" = false\n"),
            Err(
                "dunlin.toml: unknown permission \"udp.sned\" in [permissions]; did you mean \"udp.send\"?"
                    .to_owned()
            )
        );
        assert!(check("[permissions]\nud = true\n").is_err());
    }

    #[test]
    fn a_value_of_the_wrong_shape_says_where_and_what() {
        let mut config = Config::parse("[relay]\ncarry = 3\n", "dunlin.toml").expect("TOML");
        let error = config.section::<Relay>("relay").expect_err("a number");
        let text = error.to_string();
        assert!(text.starts_with("dunlin.toml: [relay]: "), "{text}");
        assert!(text.contains("boolean"), "{text}");
    }
}
