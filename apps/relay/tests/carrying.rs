//! What the daemon carries: seen from a sender, in its counters, and on its disk.

mod rig;

use dunlin_engine::{Client, Config, Grants, Threaded};
use dunlin_net::{CircuitUse, Identity, KeyFile};
use dunlin_relay::{Card, Mailbox, RelayPlugin};
use dunlin_relayd::{Device, Entry, LinkArgs, read_or_make};
use rig::{Daemon, ask, until};
use rustix::process::Signal;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// Somebody who writes to Bob, and knows one relay.
struct Sender {
    client: Client,
    _running: Threaded,
    bob: String,
}

impl Sender {
    fn start(folder: &Path, relay: &Daemon) -> Sender {
        let keys = read_or_make(&folder.join("alice")).expect("keys");
        let links = LinkArgs {
            listen: "127.0.0.1:0".parse().expect("an address"),
            peers: vec![Entry::read(&relay.entry).expect("an entry")],
            circuits: CircuitUse::Prefer,
        };
        let device = Device {
            config: Config::default(),
            keys: &keys,
            mailbox: true,
            links: &links,
            relay: RelayPlugin {
                carry: false,
                ..RelayPlugin::default()
            },
            book: folder.join("alice.peers"),
            control: None,
        };
        let mut app = device.app().expect("an app");
        let client = app.client(Grants::everything());
        let bob: KeyFile = read_or_make(&folder.join("bob")).expect("keys");
        let identity = Identity::from_seed(&bob.identity_seed).expect("an identity");
        let mailbox = Mailbox::from_seed(&bob.mailbox_seed);
        let card = Card::new(&identity, mailbox.public(), &[], None).expect("a card");
        Sender {
            client,
            _running: Threaded::start(app).expect("it starts"),
            bob: card.to_string(),
        }
    }

    fn send(&self, text: &str) {
        let params = json!({ "to": self.bob, "text": text });
        let sent = self
            .client
            .ask("relay.send", params, Duration::from_secs(30));
        sent.expect("it is queued");
    }
}

/// Reads OpenMetrics text strictly enough for what it promises: each sample belongs to the family above it, and the end is marked.
fn parse(page: &str) -> BTreeMap<String, u64> {
    let mut samples = BTreeMap::new();
    let (mut family, mut kind) = (String::new(), String::new());
    let body = page.strip_suffix("# EOF\n").expect("the end is marked");
    for line in body.lines() {
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            let (name, of) = declared.split_once(' ').expect("a name and a type");
            assert!(matches!(of, "gauge" | "counter" | "info"), "{line}");
            (family, kind) = (name.to_owned(), of.to_owned());
        } else if let Some(unit) = line.strip_prefix("# UNIT ") {
            let (name, unit) = unit.split_once(' ').expect("a name and a unit");
            assert!(
                name == family && family.ends_with(&format!("_{unit}")),
                "{line}"
            );
        } else if let Some(help) = line.strip_prefix("# HELP ") {
            assert!(help.starts_with(&format!("{family} ")), "{line}");
        } else {
            let (sample, value) = line.rsplit_once(' ').expect("a sample and a value");
            let name = sample.split('{').next().expect("a name");
            let suffix = match kind.as_str() {
                "counter" => "_total",
                "info" => "_info",
                _ => "",
            };
            assert_eq!(name, format!("{family}{suffix}"), "{line}");
            let labels = &sample[name.len()..];
            let sound = labels.is_empty() || labels.starts_with('{') && labels.ends_with("\"}");
            assert!(sound, "{line}");
            let value = value.parse().expect("a whole number");
            assert!(
                samples.insert(sample.to_owned(), value).is_none(),
                "twice: {line}"
            );
        }
    }
    samples
}

fn counters(relay: &Daemon) -> BTreeMap<String, u64> {
    let answer = ask(&relay.page(), "GET /metrics HTTP/1.0\r\n\r\n");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.0 200 OK\r\n"), "{head}");
    assert!(head.contains("\r\nContent-Type: application/openmetrics-text; version=1.0.0;"));
    assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())));
    parse(body)
}

#[test]
fn a_packet_is_carried_in_memory_alone_counted_and_refused_beyond_the_limit() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("dunlin.toml");
    std::fs::write(&config, "").expect("our own folder");
    let options = [
        "--metrics",
        "127.0.0.1:0",
        "--config",
        config.to_str().expect("a name"),
    ];
    let mut relay = Daemon::start(folder.path(), "relay", &options);
    let before = counters(&relay);
    assert_eq!(before["dunlin_cache_packets"], 0);
    assert!(!before.contains_key("dunlin_bandwidth_limit_bytes_per_second"));

    let sender = Sender::start(folder.path(), &relay);
    sender.send("Tea at four?");
    until("the packet is there", || relay.status()["packets"] == 1);
    let carried = counters(&relay);
    assert_eq!(carried["dunlin_cache_packets"], 1);
    assert_eq!(carried["dunlin_cache_bytes"], 320 + 80);
    for direction in ["in", "out"] {
        let bytes = format!("dunlin_traffic_bytes_total{{direction=\"{direction}\"}}");
        assert!(
            carried[&bytes] > before[&bytes] + 320 * u64::from(direction == "in"),
            "{direction}"
        );
    }

    std::fs::write(&config, "[relay]\nbandwidth = 0\n").expect("our own folder");
    relay.signal(Signal::HUP);
    relay.logs("SIGHUP: the limits were read again");
    sender.send("Or at five?");
    until("it was refused", || {
        counters(&relay)["dunlin_drops_total{reason=\"bandwidth\"}"] > 0
    });
    assert_eq!(
        counters(&relay)["dunlin_bandwidth_limit_bytes_per_second"],
        0
    );
    assert_eq!(relay.status()["packets"], 1);

    // A cache of nothing keeps nothing.
    std::fs::write(&config, "[relay]\ncache_bytes = 0\n").expect("our own folder");
    relay.signal(Signal::HUP);
    until("the packet went", || relay.status()["packets"] == 0);
    assert_eq!(
        counters(&relay)["dunlin_drops_total{reason=\"evicted\"}"],
        1
    );

    // No file of its own could hold a packet, neither while it runs nor when it has ended.
    on_disk(&relay, &["key", "key.control", "log"]);
    relay.signal(Signal::TERM);
    assert_eq!(relay.end().code(), Some(0));
    on_disk(&relay, &["key", "log"]);
}

/// Its folder holds these, and perhaps the address book; and no file that it has open is another.
fn on_disk(relay: &Daemon, expected: &[&str]) {
    let mut names: Vec<String> = std::fs::read_dir(&relay.folder)
        .expect("its folder")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("a name")
        })
        .filter(|name| name != "key.peers")
        .collect();
    names.sort();
    assert_eq!(names, expected);
    let size = |name: &str| std::fs::metadata(relay.folder.join(name)).map_or(0, |file| file.len());
    // A row or two of peers; a packet has 320 bytes.
    assert!(size("key") < 320 && size("key.peers") < 320);
    let Ok(open) = std::fs::read_dir(format!("/proc/{}/fd", relay.pid())) else {
        return; // It has ended.
    };
    for file in open {
        let Ok(target) = std::fs::read_link(file.expect("an entry").path()) else {
            continue; // Closed meanwhile.
        };
        let regular = std::fs::metadata(&target).is_ok_and(|there| there.is_file());
        assert!(!regular || target.ends_with("log"), "{}", target.display());
    }
}

#[test]
fn the_metrics_page_answers_nothing_else_and_outlives_those_who_only_connect() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Daemon::start(folder.path(), "relay", &["--metrics", "127.0.0.1:0"]);
    let address = relay.page();
    let line = |request: &str| {
        ask(&address, request)
            .lines()
            .next()
            .expect("a line")
            .to_owned()
    };
    assert_eq!(line("GET / HTTP/1.0\r\n\r\n"), "HTTP/1.0 404 Not Found");
    assert_eq!(
        line("POST /metrics HTTP/1.1\r\n\r\n"),
        "HTTP/1.0 405 Method Not Allowed"
    );
    assert_eq!(line("nonsense\r\n\r\n"), "HTTP/1.0 400 Bad Request");
    let endless = format!("GET /metrics HTTP/1.1\r\nX: {}", "x".repeat(9_000));
    assert_eq!(line(&endless[..8 * 1024]), "HTTP/1.0 400 Bad Request");
    // All places taken by connections that say nothing: they end after 5 s, and who waits is answered.
    let silent: Vec<_> = (0..8)
        .map(|_| std::net::TcpStream::connect(&address).expect("it listens"))
        .collect();
    assert!(counters(&relay).contains_key("dunlin_links"));
    drop(silent);
}

#[test]
fn a_packet_outlives_the_daemon_that_is_terminated_and_its_sender_has_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut first = Daemon::start(folder.path(), "first", &[]);
    let sender = Sender::start(folder.path(), &first);
    sender.send("Tea at four?");
    until("the packet is there", || first.status()["packets"] == 1);
    drop(sender); // Or it would place the packet at the second by itself.
    let second = Daemon::start(folder.path(), "second", &["--peer", &first.entry]);
    until("they know each other", || {
        first.status()["carriers_known"] == 1
    });
    assert_eq!(second.status()["packets"], 0);
    first.signal(Signal::TERM);
    assert_eq!(first.end().code(), Some(0));
    assert_eq!(first.logs("handed over")["copies"], 1);
    until("it was handed over", || second.status()["packets"] == 1);
}
