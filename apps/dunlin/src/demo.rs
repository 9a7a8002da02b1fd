//! `dunlin demo`: Bob is away, Alice writes and leaves, carriers die, Bob comes back and has it all.

mod carriers;
mod people;
mod screen;

use crate::process::Process;
use crate::{Error, Global, loss};
use carriers::Carrier;
use people::{People, Sent};
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;
use screen::Screen;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Carriers that a packet belongs on (PROTOCOL 3.6).
const PLACES: usize = dunlin_relay::limits::PLACES;
/// How often the demo looks around.
const LOOK: Duration = Duration::from_millis(100);
/// How long any step may take before the demo calls it failed.
const STEP: Duration = Duration::from_secs(180);

/// Bob is away and Alice has left: he still gets her message.
///
/// Real processes on loopback: carriers, each at its own 127.x.0.1; Alice, who writes a line and a file and leaves; SIGKILL for some of those
/// who keep them; Bob, who only then starts. All drop datagrams, both ways.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  dunlin demo
  dunlin demo --loss 30% --kill 5
  dunlin demo --file photo.png --out received --json

Exit codes: 0 all was delivered, whole and proved; 1 it was not; 2 not understood.")]
pub(crate) struct Args {
    /// The file that Alice sends, at most 64 KiB [default: 700 random bytes]
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
        screen: Screen::new(global.json),
        args,
        seed,
    };
    demo.play(global)
}

struct Demo {
    began: Instant,
    random: ChaCha8Rng,
    folder: PathBuf,
    carriers: Vec<Carrier>,
    killed: Vec<usize>,
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
        let sent = self.alice_sends(&people)?;
        self.kill_some(&sent)?;
        let received = self.bob_returns(&people)?;
        let proved = self.alice_returns(&people, &sent)?;
        self.look_at_carriers();
        self.tell_the_end(global, &people, &received, proved)
    }

    /// Passes on what a process prints until it has ended, and keeps an eye on the carriers meanwhile.
    fn attend(
        &mut self,
        mut process: Process,
        mut hear: impl FnMut(&mut Screen, &Value),
    ) -> Result<(), Error> {
        let until = Instant::now() + STEP;
        let mut over = false;
        loop {
            while let Some(event) = process.poll(LOOK) {
                hear(&mut self.screen, &event);
            }
            if over {
                return Ok(());
            }
            over = process.ended()?;
            self.look_at_carriers();
            if Instant::now() > until {
                return Err(process.error("did not get done in time"));
            }
        }
    }

    fn alice_sends(&mut self, people: &People) -> Result<Vec<Sent>, Error> {
        let mut arguments = vec![
            "send".to_owned(),
            "--to".to_owned(),
            people.bob_card.clone(),
        ];
        arguments.extend(self.network("127.201.0.1:0".to_owned()));
        arguments.extend([people.line.clone(), people.file.display().to_string()]);
        self.screen.tell("Alice writes a line and a file to Bob …");
        let alice = Process::start("Alice", &people.alice, &arguments)?;
        let mut sent: Vec<Sent> = Vec::new();
        self.attend(alice, |screen, event| {
            let Some(news) = Sent::read(event) else {
                return;
            };
            match sent.iter_mut().find(|known| known.message == news.message) {
                Some(known) => *known = news,
                None => sent.push(news),
            }
            let states: Vec<String> = sent.iter().map(Sent::text).collect();
            screen.retell(format!("Alice: {}", states.join(", ")));
        })?;
        let wanted = PLACES.min(self.carriers.len());
        if let Some(short) = sent.iter().find(|sent| sent.carriers.len() < wanted) {
            let short = short.text();
            return Err(Error::failed(format!("Alice left with {short} only")));
        }
        self.screen.tell("Alice has left.");
        Ok(sent)
    }

    fn bob_returns(&mut self, people: &People) -> Result<people::Received, Error> {
        let mut arguments = vec!["receive".to_owned(), "--count".to_owned(), "2".to_owned()];
        arguments.extend(["--out".to_owned(), people.out.display().to_string()]);
        arguments.extend(self.network("127.202.0.1:0".to_owned()));
        self.screen.tell("Bob starts, for the first time …");
        let bob = Process::start("Bob", &people.bob, &arguments)?;
        let mut received = people::Received::default();
        self.attend(bob, |screen, event| {
            if let Some(line) = received.read(event) {
                screen.tell(format!("Bob: {line}"));
            }
        })?;
        self.screen.tell("Bob has left.");
        Ok(received)
    }

    fn alice_returns(&mut self, people: &People, sent: &[Sent]) -> Result<bool, Error> {
        let mut arguments = vec!["outbox".to_owned(), "--wait".to_owned()];
        arguments.extend(self.network("127.201.0.1:0".to_owned()));
        self.screen
            .tell("Alice starts again and asks what became of her messages …");
        let alice = Process::start("Alice", &people.alice, &arguments)?;
        let mut proofs = BTreeSet::new();
        self.attend(alice, |screen, event| {
            if let Some(news) = Sent::read(event)
                && let Some(proof) = &news.proof
                && proofs.insert(news.message.clone())
            {
                let short: String = proof.chars().take(16).collect();
                let what = sent.iter().find(|sent| sent.message == news.message);
                let what = what.map_or("a message", |sent| &sent.what);
                screen.tell(format!("Alice: {what} delivered, proof {short}…"));
            }
        })?;
        Ok(sent.iter().all(|sent| proofs.contains(&sent.message)))
    }

    fn tell_the_end(
        &mut self,
        global: &Global,
        people: &People,
        received: &people::Received,
        proved: bool,
    ) -> Result<ExitCode, Error> {
        let identical = received.line.as_deref() == Some(people.line.as_str())
            && received.file_sha256.as_deref() == Some(people.file_sha256.as_str());
        let delivered = received.line.is_some() && received.file_sha256.is_some();
        let seconds = self.began.elapsed().as_secs_f64();
        let good = delivered && identical && proved;
        let alive = self.carriers.len() - self.killed.len();
        let mut summary = String::new();
        if good {
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
