//! The log on stderr, a line for each event: for a person, or as a JSON object.

use serde_json::{Map, Value};
use std::fmt::{Debug, Write as _};
use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Writes each event as one line. Spans, of which nothing here makes any, are not shown.
pub struct Log {
    level: LevelFilter,
    json: bool,
}

impl Log {
    /// Events of this level and graver ones.
    #[must_use]
    pub fn new(level: LevelFilter, json: bool) -> Log {
        Log { level, json }
    }

    /// Makes it the program's log. A second one in a process is ignored.
    pub fn install(self) {
        let _ = tracing::subscriber::set_global_default(self);
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.level
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let time = SystemTime::now().duration_since(UNIX_EPOCH);
        let time = utc(time.unwrap_or_default());
        let mut line = match self.json {
            true => fields.object(&time, event.metadata()).to_string(),
            false => fields.text(&time, event.metadata()),
        };
        line.push('\n');
        // In one piece, so that lines never mix. If nobody reads the log, the relay goes on.
        let _ = std::io::stderr().write_all(line.as_bytes());
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Fields(Vec<(&'static str, Value)>);

impl Fields {
    fn object(self, time: &str, metadata: &Metadata) -> Value {
        let level = metadata.level().as_str().to_lowercase();
        let mut object = Map::new();
        for (name, value) in self.0 {
            object.insert(name.to_owned(), value);
        }
        for (name, value) in [
            ("time", time),
            ("level", &level),
            ("target", metadata.target()),
        ] {
            object.insert(name.to_owned(), value.into());
        }
        Value::Object(object)
    }

    fn text(self, time: &str, metadata: &Metadata) -> String {
        let mut line = format!("{time} {:5} {}:", metadata.level(), metadata.target());
        let message = self.0.iter().filter(|(name, _)| *name == "message");
        let others = self.0.iter().filter(|(name, _)| *name != "message");
        for (name, value) in message.chain(others) {
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            // Whatever strangers get into a field, it stays one line without control characters.
            let text: String = text
                .chars()
                .map(|c| if c.is_control() { ' ' } else { c })
                .collect();
            let _ = match *name {
                "message" => write!(line, " {text}"),
                name => write!(line, " {name}={text}"),
            };
        }
        line
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.push((field.name(), format!("{value:?}").into()));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push((field.name(), value.into()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.push((field.name(), value.into()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.push((field.name(), value.into()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.push((field.name(), value.into()));
    }
}

/// A time since 1970 as RFC 3339 writes it, in UTC.
fn utc(since: Duration) -> String {
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (mut year, mut day) = (1970, days);
    while day >= year_days(year) {
        day -= year_days(year);
        year += 1;
    }
    let february = year_days(year) - 337;
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    let millis = since.subsec_millis();
    let day = day + 1;
    format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

fn year_days(year: u64) -> u64 {
    let leap = year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    365 + u64::from(leap)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_of_leap_years_and_ends_of_months_are_named_right() {
        // `date -u -d @SECONDS +%FT%TZ`
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, "2000-02-28T23:59:59.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_709_251_200, "2024-03-01T00:00:00.000Z"),
            (1_767_225_599, "2025-12-31T23:59:59.000Z"),
            (1_767_268_800, "2026-01-01T12:00:00.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(utc(Duration::from_secs(seconds)), text);
        }
    }
}
