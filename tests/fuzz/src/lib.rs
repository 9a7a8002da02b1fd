//! What is fuzzed: one plain function for each decoder of bytes that somebody else wrote. `cargo xtask fuzz` runs them
//! under libFuzzer; `cargo xtask test` replays `tests/fuzz/corpus` through the same functions.

mod carrier;
mod link;

use dunlin_engine::Config;
use std::collections::BTreeMap;

/// A name, and the function that takes what a stranger may have written.
pub type Target = (&'static str, fn(&[u8]));

/// Every target by its name, which is also the name of its corpus and of its file in `fuzz_targets`.
pub const TARGETS: &[Target] = &[
    ("book", dunlin_net::fuzz::book),
    ("card_fields", dunlin_relay::fuzz::card_fields),
    ("card_text", dunlin_relay::fuzz::card_text),
    ("carrier", carrier::carrier),
    ("config", config),
    ("datagram", dunlin_net::fuzz::datagram),
    ("frames", dunlin_net::fuzz::frames),
    ("head", dunlin_relay::fuzz::head),
    ("invitation", dunlin_relay::fuzz::invitation),
    ("link", link::link),
    ("outbox_file", dunlin_relay::fuzz::outbox_file),
    ("packet", dunlin_relay::fuzz::packet),
    ("relay_frame", dunlin_relay::fuzz::frame),
    ("room_packet", dunlin_relay::fuzz::room_packet),
];

/// Looks a target up; the names above are all there are.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.0 == name);
    target.unwrap_or_else(|| panic!("no target named {name}")).1(bytes);
}

/// A `dunlin.toml`, with one section of known keys.
pub fn config(bytes: &[u8]) {
    #[derive(serde::Deserialize, Default)]
    #[serde(default, deny_unknown_fields)]
    struct Section {
        name: String,
        bytes: u64,
        carry: bool,
        list: Vec<u16>,
        table: BTreeMap<String, i64>,
    }
    let text = String::from_utf8_lossy(bytes);
    let Ok(mut config) = Config::parse(&text, "dunlin.toml") else {
        return;
    };
    match config.section::<Section>("relay") {
        Ok(Section {
            name,
            bytes,
            carry,
            list,
            table,
        }) => {
            std::hint::black_box((name, bytes, carry, list, table));
        }
        Err(error) => assert!(error.to_string().starts_with("dunlin.toml: ")),
    }
}
