//! `dunlin demo`: Bob is away, Alice writes and leaves, carriers die, Bob comes back and has it all.

mod carriers;
mod people;
mod screen;

use crate::process::Process;
use crate::{Error, Global, loss};
use carriers::Carrier;
use people::{People, Received, Sent};
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;
use screen::Screen;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Carriers that a packet belongs on (PROTOCOL 3.6).
const PLACES: usize = dunlin_relay::limits::PLACES;
/// How often the demo looks around.
const LOOK: Duration = Duration::from_millis(100);
/// How long any step may take without a word before the demo calls it failed.
const STEP: Duration = Duration::from_secs(180);
/// Of a large file so much is with carriers before some of them are killed.
const PARTS_FIRST: u64 = 4;

/// Bob is away and Alice has left: he still gets her message.
///
/// Real processes on loopback: carriers, each at its own 127.x.0.1; Alice, who writes a line and a file and leaves; SIGKILL for some of those
/// who keep them; Bob, who only then starts. All drop datagrams, both ways. A file of more than 64 KiB goes in parts through what these few
/// carriers bear at once, so Alice stays until Bob has taken it, though never linked with him.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  dunlin demo
  dunlin demo --loss 30% --kill 5
  dunlin demo --file photo.png --out received --json
  dunlin demo --file film.mkv --kill-bob         his program is killed half-way, and started again

Exit codes: 0 all was delivered, whole and proved; 1 it was not; 2 not understood.")]
pub(crate) struct Args {
    /// The file that Alice sends, at most 16 MiB [default: 700 random bytes]
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// Where Bob puts what he gets [default: a temporary folder]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// How many carriers
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u8).range(1..=100))]
    carriers: u8,
    /// Share of datagrams that each process loses, each way
    #[arg(long, value_name = "SHARE", default_value = "10%", value_parser = loss::share)]
    loss: f64,
    /// How many of those who stored something are killed
    #[arg(long, value_name = "N", default_value_t = 3)]
    kill: u8,
    /// Kill Bob's program (SIGKILL) when half of a file of more than 64 KiB has come, and start it again
    #[arg(long)]
    kill_bob: bool,
    /// Seed of who is killed and what is lost; drawn and printed if absent
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

pub(crate) fn run(args: Args, global: &Global) -> Result<ExitCode, Error> {
    if args.kill >= args.carriers {
        return Err(Error::usage(format!(
            "--kill {} leaves none of {} carriers: kill fewer",
            args.kill, args.carriers
        )));
    }
    let seed = match args.seed {
        Some(seed) => seed,
        None => getrandom::u32()
            .map_err(|error| Error::failed(format!("the system gives no random bytes: {error}")))?
            .into(),
    };
    let folder = tempfile::Builder::new().prefix("dunlin-demo-").tempdir()?;
    let mut demo = Demo {
        began: Instant::now(),
        random: ChaCha8Rng::seed_from_u64(seed),
        folder: folder.path().to_owned(),
        carriers: Vec::new(),
        killed: Vec::new(),
        sent: Vec::new(),
        received: Received::default(),
        screen: Screen::new(global.json),
        args,
        seed,
    };
    demo.play(global)
}

/// Whose program it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Person {
    Alice,
    Bob,
}

struct Demo {
    began: Instant,
    random: ChaCha8Rng,
    folder: PathBuf,
    carriers: Vec<Carrier>,
    killed: Vec<usize>,
    sent: Vec<Sent>,
    received: Received,
    screen: Screen,
    args: Args,
    seed: u64,
}

impl Demo {
    fn play(&mut self, global: &Global) -> Result<ExitCode, Error> {
        let people = People::prepare(&self.folder, &self.args, self.seed)?;
        self.screen.tell(format!(
            "{} carriers, each loses {:.0}% of all datagrams, both ways (seed {})",
            self.args.carriers,
            self.args.loss * 100.0,
            self.seed
        ));
        self.start_carriers()?;
        self.screen.tell("Bob is away: his program has never run.");
        let alice = self.start_alice(&people)?;
        if people.is_large {
            self.both_stay(&people, alice)?;
        } else {
            self.alice_leaves(alice)?;
            self.kill_some()?;
            let bob = self.start_bob(&people, "Bob starts, for the first time …")?;
            self.attend(vec![bob], |_| false)?;
        }
        self.screen.tell("Bob has left.");
        let proved = self.alice_returns(&people)?;
        self.look_at_carriers();
        self.tell_the_end(global, &people, proved)
    }

    /// Passes on what processes print until all have ended, or it is enough; gives back who has not. Keeps an eye on the carriers meanwhile.
    fn attend(
        &mut self,
        mut there: Vec<(Person, Process)>,
        enough: impl Fn(&Demo) -> bool,
    ) -> Result<Vec<(Person, Process)>, Error> {
        let mut until = Instant::now() + STEP;
        while !there.is_empty() && !enough(self) {
            let mut left = Vec::new();
            for (person, mut process) in there {
                // What it printed before it ended is still there to be read.
                let over = process.ended()?;
                while let Some(event) = process.poll(if over { Duration::ZERO } else { LOOK }) {
                    until = Instant::now() + STEP;
                    self.hear(person, &event);
                    if enough(self) {
                        break;
                    }
                }
                if !over {
                    left.push((person, process));
                }
            }
            there = left;
            self.look_at_carriers();
            if Instant::now() > until
                && let Some((_, process)) = there.first()
            {
                return Err(process.error("did not get on in time"));
            }
        }
        Ok(there)
    }

    fn hear(&mut self, person: Person, event: &Value) {
        match person {
            Person::Alice => {
                let Some(news) = Sent::read(event) else {
                    return;
                };
                let same = |known: &&mut Sent| known.message == news.message;
                match self.sent.iter_mut().find(same) {
                    Some(known) => *known = news,
                    None => self.sent.push(news),
                }
                let states: Vec<String> = self.sent.iter().map(Sent::text).collect();
                self.screen.retell(format!("Alice: {}", states.join(", ")));
            }
            Person::Bob => {
                if let Some(line) = self.received.read(event) {
                    self.screen.tell(format!("Bob: {line}"));
                }
            }
        }
    }

    fn start_alice(&mut self, people: &People) -> Result<(Person, Process), Error> {
        let mut arguments = vec![
            "send".to_owned(),
            "--to".to_owned(),
            people.bob_card.clone(),
        ];
        arguments.extend(self.network("127.201.0.1:0".to_owned()));
        arguments.extend([people.line.clone(), people.file.display().to_string()]);
        self.screen.tell("Alice writes a line and a file to Bob …");
        let process = Process::start("Alice", &people.alice, &arguments)?;
        Ok((Person::Alice, process))
    }

    fn start_bob(&mut self, people: &People, how: &str) -> Result<(Person, Process), Error> {
        // What came before he was killed does not come again.
        let had = usize::from(self.received.line.is_some());
        let mut arguments = vec!["receive".to_owned()];
        arguments.extend(["--count".to_owned(), (2 - had).to_string()]);
        arguments.extend(["--out".to_owned(), people.out.display().to_string()]);
        arguments.extend(self.network("127.202.0.1:0".to_owned()));
        self.screen.tell(how);
        let process = Process::start("Bob", &people.bob, &arguments)?;
        Ok((Person::Bob, process))
    }

    fn alice_leaves(&mut self, alice: (Person, Process)) -> Result<(), Error> {
        self.attend(vec![alice], |_| false)?;
        let wanted = PLACES.min(self.carriers.len());
        if let Some(short) = self.sent.iter().find(|sent| sent.carriers.len() < wanted) {
            let short = short.text();
            return Err(Error::failed(format!("Alice left with {short} only")));
        }
        self.screen.tell("Alice has left.");
        Ok(())
    }

    /// A large file: she stays until he has taken enough of it for the rest to find room.
    fn both_stay(&mut self, people: &People, alice: (Person, Process)) -> Result<(), Error> {
        let places = PLACES.min(self.carriers.len());
        let some_stored = |demo: &Demo| {
            demo.sent.len() == 2
                && demo.sent.iter().all(|sent| match sent.parts {
                    Some([parts, stored, _]) => stored >= PARTS_FIRST.min(parts),
                    None => sent.carriers.len() >= places,
                })
        };
        let mut there = self.attend(vec![alice], some_stored)?;
        self.kill_some()?;
        there.push(self.start_bob(people, "Bob starts, for the first time …")?);
        if self.args.kill_bob {
            there = self.attend(there, |demo| demo.received.share >= 0.5)?;
            for (_, bob) in there.iter_mut().filter(|(who, _)| *who == Person::Bob) {
                bob.kill()?;
            }
            there.retain(|(who, _)| *who == Person::Alice);
            self.screen.tell("Bob's program is killed (SIGKILL).");
            there.push(self.start_bob(people, "Bob starts again …")?);
        }
        self.attend(there, |_| false)?;
        Ok(())
    }

    fn alice_returns(&mut self, people: &People) -> Result<bool, Error> {
        let mut arguments = vec!["outbox".to_owned(), "--wait".to_owned()];
        arguments.extend(self.network("127.201.0.1:0".to_owned()));
        self.screen
            .tell("Alice starts again and asks what became of her messages …");
        let names: BTreeMap<String, String> = self
            .sent
            .drain(..)
            .map(|sent| (sent.message, sent.what))
            .collect();
        let alice = Process::start("Alice", &people.alice, &arguments)?;
        self.attend(vec![(Person::Alice, alice)], |_| false)?;
        for sent in &self.sent {
            if let Some(proof) = &sent.proof {
                let short: String = proof.chars().take(16).collect();
                let what = names.get(&sent.message);
                let what = what.map_or("a message", String::as_str);
                self.screen
                    .tell(format!("Alice: {what} delivered, proof {short}…"));
            }
        }
        let proved = |id: &String| {
            let mut sent = self.sent.iter();
            sent.any(|sent| sent.message == *id && sent.proof.is_some())
        };
        Ok(!names.is_empty() && names.keys().all(proved))
    }

    fn tell_the_end(
        &mut self,
        global: &Global,
        people: &People,
        proved: bool,
    ) -> Result<ExitCode, Error> {
        let received = std::mem::take(&mut self.received);
        let identical = received.line.as_deref() == Some(people.line.as_str())
            && received.file_sha256.as_deref() == Some(people.file_sha256.as_str());
        let delivered = received.line.is_some() && received.file_sha256.is_some();
        let seconds = self.began.elapsed().as_secs_f64();
        let good = delivered && identical && proved;
        let alive = self.carriers.len() - self.killed.len();
        let mut summary = String::new();
        if good && people.is_large {
            summary += "Bob has Alice's line and file, whole, although they never spoke to each other, no server took part,\n\
                        and nobody between them could read a byte.\n";
        } else if good {
            summary += "Bob has Alice's line and file, whole, although they were never online together, no server took\n\
                        part, and nobody between them could read a byte.\n";
        } else {
            summary += "It did not work: see below.\n";
        }
        summary += &format!(
            "  line       {}\n  file       sent     {}\n             received {}\n  delivered  {}, identical {}, proved to Alice {}\n",
            received.line.as_deref().unwrap_or("(not received)"),
            people.file_sha256,
            received.file_sha256.as_deref().unwrap_or("(not received)"),
            yes(delivered),
            yes(identical),
            yes(proved),
        );
        summary += &format!(
            "  network    {:.0}% lost each way; {} of {} carriers killed, {alive} alive; {seconds:.1} s\n",
            self.args.loss * 100.0,
            self.killed.len(),
            self.carriers.len(),
        );
        if self.args.out.is_some() {
            summary += &format!("  Bob's copy {}\n", people.out.display());
        }
        self.screen.finish(&summary);
        if global.json {
            let object = json!({
                "delivered": delivered,
                "identical": identical,
                "proof": proved,
                "carriers": self.carriers.len(),
                "killed": self.killed.len(),
                "loss": self.args.loss,
                "seconds": (seconds * 10.0).round() / 10.0,
                "seed": self.seed,
                "sha256_sent": people.file_sha256,
                "sha256_received": received.file_sha256,
                "line_sent": people.line,
                "line_received": received.line,
            });
            global.result("", &object)?;
        }
        Ok(if good {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(1)
        })
    }
}

fn yes(is: bool) -> &'static str {
    if is { "yes" } else { "NO" }
}
