//! The demo's carriers: started, watched over their control sockets, and some of them killed.

use super::screen::Row;
use super::{Demo, LOOK, PLACES, STEP};
use crate::Error;
use crate::process::{Process, make_keys};
use dunlin_io::ControlClient;
use rand_chacha::ChaCha8Rng;
use rand_core::Rng;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(super) struct Carrier {
    process: Process,
    pub(super) id: String,
    address: String,
    home: PathBuf,
}

impl Demo {
    /// A few carriers to begin with, drawn anew for each process; one more than will be killed, so that somebody is there.
    fn entries(&mut self) -> Vec<String> {
        let count = usize::from(self.args.kill + 1).min(self.carriers.len());
        let drawn = draw(&mut self.random, self.carriers.len(), count);
        drawn
            .into_iter()
            .flat_map(|place| {
                let carrier = &self.carriers[place];
                [
                    "--peer".to_owned(),
                    format!("{}@{}", carrier.id, carrier.address),
                ]
            })
            .collect()
    }

    pub(super) fn network(&mut self, listen: String) -> Vec<String> {
        let mut arguments = vec![
            "--listen".to_owned(),
            listen,
            "--drop".to_owned(),
            self.args.loss.to_string(),
            "--drop-seed".to_owned(),
            self.random.next_u32().to_string(),
        ];
        arguments.extend(self.entries());
        arguments
    }

    pub(super) fn start_carriers(&mut self) -> Result<(), Error> {
        for number in 0..usize::from(self.args.carriers) {
            let home = self.folder.join(format!("carrier-{number}"));
            make_keys(&home)?;
            let mut arguments = vec!["relay".to_owned(), "--end-with-stdin".to_owned()];
            arguments.extend(self.network(format!("127.{}.0.1:0", number + 1)));
            let process = Process::start(&format!("carrier {number}"), &home, &arguments)?;
            let ready = process.next(Instant::now() + STEP)?;
            let text = |name: &str| ready[name].as_str().unwrap_or_default().to_owned();
            self.screen.rows.push(Row {
                process: process.pid(),
                address: text("address"),
                ..Row::default()
            });
            self.carriers.push(Carrier {
                process,
                id: text("id"),
                address: text("address"),
                home,
            });
            self.screen.draw();
        }
        let until = Instant::now() + STEP;
        // Each could place a packet before anybody relies on it, as in a network that has been up for a while.
        let enough = PLACES.min(self.carriers.len() - 1);
        loop {
            let known = self.least_known();
            self.screen.retell(format!(
                "Carriers get to know each other: the loneliest knows {known}."
            ));
            if known >= enough as u64 {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(Error::failed("the carriers did not find each other"));
            }
            std::thread::sleep(LOOK);
        }
    }

    fn least_known(&mut self) -> u64 {
        let statuses = self.carriers.iter().map(status);
        let known = statuses.map(|status| status.map_or(0, |status| status.known));
        known.min().unwrap_or_default()
    }

    pub(super) fn kill_some(&mut self) -> Result<(), Error> {
        let holders: Vec<usize> = (0..self.carriers.len())
            .filter(|place| {
                let id = &self.carriers[*place].id;
                self.sent.iter().any(|sent| sent.carriers.contains(id))
            })
            .collect();
        for drawn in draw(&mut self.random, holders.len(), usize::from(self.args.kill)) {
            let place = holders[drawn];
            self.carriers[place].process.kill()?;
            self.screen.rows[place].is_killed = true;
            self.screen.rows[place].note = "killed (SIGKILL)";
            self.killed.push(place);
        }
        self.killed.sort_unstable();
        self.screen.tell(format!(
            "{} of the {} carriers who keep something are killed.",
            self.killed.len(),
            holders.len()
        ));
        Ok(())
    }

    pub(super) fn look_at_carriers(&mut self) {
        for (place, carrier) in self.carriers.iter().enumerate() {
            let row = &mut self.screen.rows[place];
            if row.is_killed {
                continue;
            }
            if let Some(status) = status(carrier) {
                row.packets = status.packets;
                row.bytes = status.bytes;
                row.note = if status.packets > 0 {
                    "keeps sealed packets"
                } else {
                    ""
                };
            }
        }
        self.screen.draw();
    }
}

struct Status {
    known: u64,
    packets: u64,
    bytes: u64,
}

fn status(carrier: &Carrier) -> Option<Status> {
    let mut control =
        ControlClient::connect(&control(&carrier.home), Duration::from_secs(5)).ok()?;
    let status = control.call("relay.status", &json!({}), b"").ok()?.value;
    Some(Status {
        known: status["carriers_known"].as_u64()?,
        packets: status["packets"].as_u64()?,
        bytes: status["cache_bytes"].as_u64()?,
    })
}

fn control(home: &Path) -> PathBuf {
    home.join("control")
}

/// `count` different places out of `places`, in the order drawn.
fn draw(random: &mut ChaCha8Rng, places: usize, count: usize) -> Vec<usize> {
    let mut left: Vec<usize> = (0..places).collect();
    let mut drawn = Vec::new();
    while drawn.len() < count && !left.is_empty() {
        drawn.push(left.swap_remove(random.next_u32() as usize % left.len()));
    }
    drawn
}
