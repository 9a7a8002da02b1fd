//! Real `dunlin` processes on loopback, for tests.
#![allow(dead_code, reason = "each test file uses its part of the rig")]

use dunlin_io::ControlClient;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

pub const LIMIT: Duration = Duration::from_secs(120);

/// Runs `dunlin --home HOME ARGUMENTS` to its end.
pub fn dunlin(home: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dunlin"))
        .arg("--home")
        .arg(home)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("dunlin runs")
}

/// The last line of what it printed, as JSON.
pub fn last_object(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().last().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|error| {
        panic!(
            "the last line is not JSON ({error}): {last}\nstderr: {}",
            String::from_utf8_lossy(&output.stderr)
        )
    })
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A home with keys; answers its folder and contact card.
pub fn person(folder: &Path, name: &str) -> (PathBuf, String) {
    let home = folder.join(name);
    let made = dunlin(&home, &["keys", "new"]);
    assert!(made.status.success(), "{}", stderr(&made));
    let card = dunlin(&home, &["--json", "keys", "card"]);
    let card = last_object(&card)["card"]
        .as_str()
        .expect("a card")
        .to_owned();
    (home, card)
}

/// A running carrier; killed when dropped.
pub struct Carrier {
    pub child: Child,
    pub home: PathBuf,
    pub entry: String,
    pub id: String,
}

impl Carrier {
    /// Starts carrier `number` at 127.NUMBER.0.1, logging everything to `HOME/log`.
    pub fn start(folder: &Path, number: usize, entries: &[String], more: &[&str]) -> Carrier {
        let (home, _) = person(folder, &format!("carrier-{number}"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_dunlin"));
        command
            .args(["--json", "--log", "trace", "--home"])
            .arg(&home)
            .args(["relay", "--end-with-stdin", "--listen"])
            .arg(format!("127.{number}.0.1:0"))
            .args(entries.iter().flat_map(|entry| ["--peer", entry]))
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(home.join("log")).expect("a log"));
        let mut child = command.spawn().expect("a carrier starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe"))
            .read_line(&mut line)
            .expect("it says where it listens");
        let ready: Value = serde_json::from_str(&line).unwrap_or_else(|error| {
            let log = std::fs::read_to_string(home.join("log")).unwrap_or_default();
            panic!("{error}: {line}\n{log}")
        });
        let text = |name: &str| ready[name].as_str().expect("text").to_owned();
        let id = text("id");
        Carrier {
            child,
            home,
            entry: format!("{id}@{}", text("address")),
            id,
        }
    }

    /// Asks it over its control socket.
    pub fn call(&self, name: &str) -> Value {
        let mut control =
            ControlClient::connect(&self.home.join("control"), LIMIT).expect("its control socket");
        control
            .call(name, &json!({}), b"")
            .expect("an answer")
            .value
    }

    pub fn status(&self) -> Value {
        self.call("relay.status")
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.home.join("log")).expect("its log")
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts `count` carriers and waits until each knows all the others.
pub fn carriers(folder: &Path, count: usize) -> Vec<Carrier> {
    let mut carriers: Vec<Carrier> = Vec::new();
    for number in 1..=count {
        let entries: Vec<String> = carriers
            .iter()
            .take(2)
            .map(|carrier| carrier.entry.clone())
            .collect();
        carriers.push(Carrier::start(folder, number, &entries, &[]));
    }
    until("all carriers know each other", || {
        carriers
            .iter()
            .all(|carrier| carrier.status()["carriers_known"].as_u64() >= Some(count as u64 - 1))
    });
    carriers
}

/// Looks until `done`, for two minutes at most.
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !done() {
        assert!(Instant::now() < end, "in vain waited until {what}");
        // The pace of looking, not the time that something takes.
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Arguments that name these carriers as entries.
pub fn entries(carriers: &[Carrier]) -> Vec<&str> {
    carriers
        .iter()
        .flat_map(|carrier| ["--peer", carrier.entry.as_str()])
        .collect()
}

/// Every command, found by asking each for its help.
pub fn commands() -> Vec<Vec<String>> {
    let mut all = vec![Vec::new()];
    let mut at = 0;
    while at < all.len() {
        let command = all[at].clone();
        let help = Command::new(env!("CARGO_BIN_EXE_dunlin"))
            .args(&command)
            .arg("--help")
            .output()
            .expect("dunlin runs");
        let help = String::from_utf8_lossy(&help.stdout).into_owned();
        let listed = help
            .lines()
            .skip_while(|line| *line != "Commands:")
            .skip(1)
            .take_while(|line| !line.is_empty())
            .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
            .filter_map(|line| line.split_whitespace().next());
        for name in listed.filter(|name| *name != "help") {
            all.push([&command[..], &[name.to_owned()]].concat());
        }
        at += 1;
    }
    all
}

/// A terminal's two ends: what the person sees and types, and what the program does. It controls nobody.
pub fn terminal() -> (File, File) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&master).expect("ours");
    unlockpt(&master).expect("ours");
    let name = ptsname(&master, Vec::new()).expect("a name");
    let slave = File::options()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOCTTY)
        .open(name.to_str().expect("a path"))
        .expect("its other end");
    (File::from(master), slave)
}
