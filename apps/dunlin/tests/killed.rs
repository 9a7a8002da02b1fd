//! SIGKILL at random instants: what was stored, or on the outbox's disk, arrives once and whole.
//!
//! `DUNLIN_KILLS=200 cargo test -p dunlin --test killed -- --nocapture` is the long run; `DUNLIN_SEED` repeats one.

mod rig;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use rig::{Carrier, carriers, dunlin, entries, last_object, person, stderr, until};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Carriers that are up but for the moment between the death of one and the start of the next.
const CARRIERS: usize = 10;
/// One packet, fragments, more of them, and parts.
const SIZES: [usize; 4] = [300, 5_000, 40_000, 150_000];

fn number(variable: &str, otherwise: u64) -> u64 {
    let text = std::env::var(variable).ok();
    text.map_or(otherwise, |text| text.parse().expect("a number"))
}

struct Killed {
    random: ChaCha8Rng,
    folder: PathBuf,
    carriers: Vec<Carrier>,
    next_carrier: usize,
    alice: PathBuf,
    bob: PathBuf,
    card: String,
    /// What must arrive, by the name of its file.
    promised: BTreeMap<String, Vec<u8>>,
    sent: BTreeMap<String, Vec<u8>>,
}

impl Killed {
    fn draw(&mut self, below: u64) -> u64 {
        self.random.next_u64() % below
    }

    /// A `dunlin` with a network; what it prints is on its stdout.
    fn start(&mut self, home: &Path, listen: &str, arguments: &[&str]) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dunlin"));
        command.args(["--json", "--home"]).arg(home);
        command.args(arguments).args(["--listen", listen]);
        command.args(entries(&self.carriers[..3]));
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(Stdio::null());
        command.spawn().expect("dunlin runs")
    }

    fn send(&mut self, name: &str) -> Child {
        let size = SIZES[self.draw(SIZES.len() as u64) as usize];
        let mut bytes = vec![0; size];
        self.random.fill_bytes(&mut bytes);
        let path = self.folder.join(name);
        std::fs::write(&path, &bytes).expect("our own folder");
        self.sent.insert(name.to_owned(), bytes);
        let (alice, card) = (self.alice.clone(), self.card.clone());
        let file = path.to_str().expect("a path");
        let arguments = ["send", "--to", &card, "--within", "30", file];
        self.start(&alice, "127.201.0.1:0", &arguments)
    }

    fn receive(&mut self, more: &[&str]) -> Child {
        let (bob, out) = (self.bob.clone(), self.folder.join("out"));
        let out = out.to_str().expect("a path");
        let arguments = [&["receive", "--out", out], more].concat();
        self.start(&bob, "127.202.0.1:0", &arguments)
    }

    /// How many messages Alice's outbox has on disk.
    fn on_disk(&self) -> usize {
        let listed = dunlin(&self.alice, &["--json", "outbox", "list"]);
        assert!(listed.status.success(), "{}", stderr(&listed));
        let listed = last_object(&listed);
        listed["messages"].as_array().map_or(0, Vec::len)
    }

    /// One message, and one of those who have to do with it is killed.
    fn round(&mut self, number: u64) {
        let name = format!("{number}.bin");
        let before = self.on_disk();
        let mut alice = self.send(&name);
        let mut bob = (self.draw(2) == 0).then(|| self.receive(&[]));
        let after = Duration::from_millis(self.draw(2_000));
        // The instant is what is drawn here, nothing is waited for.
        std::thread::sleep(after);
        let victim = match self.draw(3) {
            0 => {
                kill(&mut alice);
                "the sender"
            }
            1 => {
                let place = self.draw(CARRIERS as u64) as usize;
                drop(self.carriers.remove(place));
                "a carrier"
            }
            _ => {
                let mut bob = match bob.take() {
                    Some(bob) => bob,
                    None => {
                        let bob = self.receive(&[]);
                        let after = Duration::from_millis(self.draw(2_000));
                        std::thread::sleep(after);
                        bob
                    }
                };
                kill(&mut bob);
                "the recipient"
            }
        };
        let words = lines(&mut alice);
        let ended = alice.wait().expect("it ended");
        if let Some(mut bob) = bob {
            kill(&mut bob);
        }
        let stored = ended.success();
        let on_disk = self.on_disk() > before;
        let queued = words.iter().any(|word| word["state"] == "queued");
        assert!(
            on_disk || !queued,
            "{name}: it was queued, and is not on disk"
        );
        if on_disk {
            self.promised.insert(name.clone(), self.sent[&name].clone());
        }
        eprintln!(
            "{name}: {} bytes; {victim} killed after {after:?}; on disk {on_disk}, stored {stored}",
            self.sent[&name].len()
        );
        if self.carriers.len() < CARRIERS {
            let known: Vec<String> = self
                .carriers
                .iter()
                .take(2)
                .map(|c| c.entry.clone())
                .collect();
            self.next_carrier += 1;
            let next = Carrier::start(&self.folder, self.next_carrier, &known, &[]);
            self.carriers.push(next);
            let carriers = &self.carriers;
            until("the new carrier knows the others", || {
                let known = carriers
                    .last()
                    .map(|carrier| carrier.status()["carriers_known"].as_u64());
                known.flatten() >= Some(8)
            });
        }
    }

    /// Both go on undisturbed until Alice has heard of everything.
    fn finish(&mut self) {
        let mut bob = self.receive(&[]);
        let alice = self.alice.clone();
        let arguments = ["outbox", "--wait", "--within", "300"];
        let mut waiting = self.start(&alice, "127.201.0.1:0", &arguments);
        let words = lines(&mut waiting);
        let ended = waiting.wait().expect("it ended");
        kill(&mut bob);
        assert!(ended.success(), "not all was delivered: {:?}", words.last());
    }
}

fn kill(child: &mut Child) {
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}

/// All that it prints until it ends.
fn lines(child: &mut Child) -> Vec<Value> {
    let stdout = child.stdout.take().expect("a pipe");
    let lines = BufReader::new(stdout).lines();
    let read = |line: std::io::Result<String>| serde_json::from_str(&line.ok()?).ok();
    lines.filter_map(read).collect()
}

#[test]
fn what_was_promised_arrives_once_and_whole_whoever_is_killed_and_when() {
    let kills = number("DUNLIN_KILLS", 6);
    let seed = number("DUNLIN_SEED", 1);
    eprintln!("{kills} kills, DUNLIN_SEED={seed}");
    let folder = tempfile::tempdir().expect("a folder");
    let (alice, _) = person(folder.path(), "alice");
    let (bob, card) = person(folder.path(), "bob");
    let mut killed = Killed {
        random: ChaCha8Rng::seed_from_u64(seed),
        folder: folder.path().to_owned(),
        carriers: carriers(folder.path(), CARRIERS),
        next_carrier: CARRIERS,
        alice,
        bob,
        card,
        promised: BTreeMap::new(),
        sent: BTreeMap::new(),
    };
    let began = Instant::now();
    for number in 0..kills {
        killed.round(number);
    }
    killed.finish();
    let out = folder.path().join("out");
    let mut arrived = BTreeMap::new();
    for entry in std::fs::read_dir(&out).expect("his folder") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        if name.starts_with('.') {
            continue; // A draft, which no application takes for a file.
        }
        arrived.insert(name, std::fs::read(path).expect("there"));
    }
    for (name, bytes) in &killed.promised {
        let came = arrived.get(name);
        assert!(came.is_some(), "{name} was promised, and has not come");
        assert!(came == Some(bytes), "{name} is not what was sent");
    }
    // A second copy would have got a number behind its name; what was not promised may have come too, whole.
    for (name, bytes) in &arrived {
        assert_eq!(
            Some(bytes),
            killed.sent.get(name),
            "{name} came, and was not sent"
        );
    }
    eprintln!(
        "{kills} kills: {} promised, {} arrived, each once and whole; {:.0} s",
        killed.promised.len(),
        arrived.len(),
        began.elapsed().as_secs_f64()
    );
}
