//! A scenario as real processes on loopback: carriers are `dunlin relay`, people `dunlin receive`, which are told over their control
//! sockets what to send. Each has an address of its own, 127.N.0.1, which counts as a prefix of its own.

use super::unfit::takes_mail;
use super::{Side, with_all};
use crate::Error;
use crate::process::{Process, make_keys};
use dunlin_io::ControlClient;
use dunlin_relay::{Card, Mailbox};
use dunlin_sim::{Letter, Progress, Scenario, SentBy, wait_ms};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How often what the processes print is looked at, and so how exactly a wait is known.
const LOOK: Duration = Duration::from_millis(2);
/// For a process to open its control socket, and for each answer.
const STEP: Duration = Duration::from_secs(20);

struct Node {
    process: Process,
    home: PathBuf,
    id: String,
    address: String,
    card: String,
}

impl Node {
    /// A call over its control socket, which one that has just started does not have yet.
    fn call(&mut self, call: &str, params: &Value) -> Result<Value, Error> {
        let until = Instant::now() + STEP;
        loop {
            match ControlClient::connect(&self.home.join("control"), STEP) {
                Ok(mut control) => return Ok(control.call(call, params, b"")?.value),
                Err(error) if Instant::now() > until => {
                    let what = format!("opened no control socket in time: {error}");
                    return Err(self.process.error(&what));
                }
                // One that has failed opens none; its log says why.
                Err(_) if self.process.ended()? => {
                    return Err(self.process.error("ended too early"));
                }
                Err(_) => std::thread::sleep(LOOK),
            }
        }
    }
}

struct Run<'a> {
    scenario: &'a Scenario,
    folder: PathBuf,
    random: ChaCha8Rng,
    nodes: Vec<Node>,
    begun: Instant,
    /// When each letter was taken by its sender's outbox; letters by what they say.
    sent: BTreeMap<String, (Letter, Instant)>,
    waits_ms: Vec<u64>,
    /// How far behind the schedule anything was done, at most.
    late: Duration,
}

pub(super) fn run(
    scenario: &Scenario,
    seed: u64,
    progress: &mut dyn FnMut(&Progress),
) -> Result<Side, Error> {
    let folder = folder()?;
    let mut run = Run {
        scenario,
        folder: folder.path().to_owned(),
        random: ChaCha8Rng::seed_from_u64(seed),
        nodes: Vec::new(),
        begun: Instant::now(),
        sent: BTreeMap::new(),
        waits_ms: Vec::new(),
        late: Duration::ZERO,
    };
    let mut letters = scenario.letters(seed);
    letters.sort_by_key(|letter| std::cmp::Reverse(letter.at));
    let all = scenario.node_count() as usize;
    loop {
        let now = run.begun.elapsed();
        let join = join_at(run.nodes.len(), scenario);
        if run.nodes.len() < all && now >= join {
            run.late = run.late.max(now - join);
            run.join()?;
            continue;
        }
        if let Some(letter) = letters.pop_if(|next| next.at <= now) {
            run.late = run.late.max(now - letter.at);
            run.send(letter)?;
            continue;
        }
        run.hear()?;
        if now >= scenario.duration {
            break;
        }
        progress(&Progress {
            virtual_time: now,
            virtual_end: scenario.duration,
            events: 0,
            real: now,
            phase: "as real processes",
        });
        std::thread::sleep(LOOK);
    }
    run.side()
}

/// As in the simulation: so many a second from the first moment on, or all at once.
fn join_at(number: usize, scenario: &Scenario) -> Duration {
    match scenario.joins_per_second {
        0 => Duration::ZERO,
        rate => Duration::from_secs(number as u64 / u64::from(rate)),
    }
}

impl Run<'_> {
    /// The next node starts. The one after it may be told of this one, so it has to be there first, as in the simulation: who begins
    /// with an address where nobody listens yet asks others for peers before that one is known, and not again for half a minute.
    fn join(&mut self) -> Result<(), Error> {
        let number = self.nodes.len();
        let population = self.scenario.nodes.iter().find(|population| {
            let numbers = self.scenario.numbers(&population.name);
            numbers.contains(&(number as u32))
        });
        let population = population.ok_or_else(|| Error::failed("a node of no population"))?;
        let home = self.folder.join(number.to_string());
        let keys = make_keys(&home)?;
        let identity = keys.identity()?;
        let mailbox = Mailbox::from_seed(&keys.mailbox_seed);
        let card = Card::new(&identity, mailbox.public(), &[], None)?;
        let address = free_address(number)?;
        let mut arguments = match takes_mail(population, self.scenario) {
            true => vec!["receive".to_owned()],
            false => vec![
                "relay".to_owned(),
                "--cache".to_owned(),
                population.cache.to_string(),
            ],
        };
        let listen = ["--end-with-stdin", "--listen", &address].map(str::to_owned);
        arguments.extend(listen);
        arguments.extend(self.entries());
        let name = format!("{} {number}", population.name);
        let mut node = Node {
            process: Process::start(&name, &home, &arguments)?,
            home,
            id: identity.id().to_string(),
            address,
            card: card.to_string(),
        };
        // Its first answer comes after it has bound its socket.
        node.call("relay.status", &json!({}))?;
        self.nodes.push(node);
        Ok(())
    }

    /// Some of those who are there already, drawn as the simulation draws them: the same one may come up twice, and counts once.
    fn entries(&mut self) -> Vec<String> {
        let there = self.nodes.len();
        let mut drawn: Vec<usize> = (0..self.scenario.knows.min(there))
            .map(|_| self.random.next_u64() as usize % there)
            .collect();
        drawn.sort_unstable();
        drawn.dedup();
        let entry = |place: usize| {
            let Node { id, address, .. } = &self.nodes[place];
            ["--peer".to_owned(), format!("{id}@{address}")]
        };
        drawn.into_iter().flat_map(entry).collect()
    }

    fn send(&mut self, letter: Letter) -> Result<(), Error> {
        let card = &self.nodes[letter.to as usize].card;
        let params = json!({ "to": card, "text": letter.text });
        self.nodes[letter.from as usize].call("relay.send", &params)?;
        self.sent
            .insert(letter.text.clone(), (letter, Instant::now()));
        Ok(())
    }

    /// What people got since the last look.
    fn hear(&mut self) -> Result<(), Error> {
        for (number, node) in self.nodes.iter_mut().enumerate() {
            while let Some(event) = node.process.poll(Duration::ZERO) {
                let Some(text) = event["text"].as_str() else {
                    continue; // A relay that says where it listens.
                };
                let wrong =
                    |what: &str| Err(Error::failed(format!("node {number} got {what}: {text}")));
                match self.sent.remove(text) {
                    None => return wrong("what nobody wrote, or the same again"),
                    Some((letter, _)) if letter.to as usize != number => {
                        return wrong("somebody else's message");
                    }
                    Some((_, sent)) => self.waits_ms.push(sent.elapsed().as_millis() as u64),
                }
            }
            if node.process.ended()? {
                return Err(node.process.error("ended too early"));
            }
        }
        Ok(())
    }

    /// What it came to, as each process tells it.
    fn side(mut self) -> Result<Side, Error> {
        let mut side = Side {
            sent: (self.sent.len() + self.waits_ms.len()) as u64,
            delivered: self.waits_ms.len() as u64,
            late_ms: self.late.as_millis() as u64,
            seconds: self.begun.elapsed().as_secs_f64(),
            ..Side::default()
        };
        for population in &self.scenario.nodes {
            let mut row = SentBy {
                population: population.name.clone(),
                ..SentBy::default()
            };
            for number in self.scenario.numbers(&population.name) {
                let node = &mut self.nodes[number as usize];
                let status = node.call("relay.status", &json!({}))?;
                let traffic = &status["traffic"];
                row.nodes += 1;
                row.datagrams += number_in(traffic, "datagrams_out")?;
                row.bytes += number_in(traffic, "bytes_out")?;
                let outbox = node.call("relay.outbox", &json!({}))?;
                let all = outbox.as_array().map_or(&[][..], Vec::as_slice);
                let proved = all.iter().filter(|own| own["state"] == "delivered");
                side.proved += proved.count() as u64;
            }
            side.sent_by.push(row);
        }
        side.sent_by = with_all(side.sent_by);
        side.median_wait_ms = wait_ms(&self.waits_ms, 50);
        Ok(side)
    }
}

fn number_in(object: &Value, name: &str) -> Result<u64, Error> {
    let number = object[name].as_u64();
    number.ok_or_else(|| Error::failed(format!("relay.status tells no {name}")))
}

/// In memory where the system has such a folder, as the simulation's: outboxes sync what they write, and waits would tell how busy the
/// disk is.
fn folder() -> std::io::Result<TempDir> {
    let mut named = tempfile::Builder::new();
    named.prefix("dunlin-twin-");
    named.tempdir_in("/dev/shm").or_else(|_| named.tempdir())
}

/// An address of its own for each node, known before its process starts, since others are told of it.
fn free_address(number: usize) -> Result<String, Error> {
    let ip = format!("127.{}.0.1", number + 1);
    let free = UdpSocket::bind((ip.as_str(), 0)).and_then(|socket| socket.local_addr());
    let address = free.map_err(|error| Error::failed(format!("no free port at {ip}: {error}")))?;
    Ok(address.to_string())
}
