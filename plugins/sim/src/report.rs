//! What a run comes to: figures for people, for other programs, and for plots.

use serde::Serialize;

/// The outcome of one run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The scenario's name: its file's, without the ending.
    pub scenario: String,
    /// The seed: with the scenario it decides everything but the three figures of speed and memory.
    pub seed: u64,
    /// BLAKE3 of all that happened on the network, in order; hexadecimal.
    pub trace: String,
    /// Nodes in all, online or not.
    pub nodes: u64,
    /// Messages that were to be sent by now, and were taken by the sender's outbox.
    pub sent: u64,
    /// Messages that their recipient's application got.
    pub delivered: u64,
    /// Messages whose sender has the proof of delivery.
    pub proved: u64,
    /// Datagrams that one message took from its sender to its recipient, on average over those delivered: one to a carrier, one
    /// from there, is 2.
    pub hops: f64,
    /// Milliseconds from sending to delivery, of each delivered message in order of delivery.
    pub waits_ms: Vec<u64>,
    /// Datagrams that nodes handed to the network.
    pub datagrams: u64,
    /// Bytes of UDP payload of those.
    pub bytes: u64,
    /// The same by population, of the nodes that are online at the end.
    pub sent_by: Vec<SentBy>,
    /// What the network did not deliver, by reason.
    pub lost: Vec<(String, u64)>,
    /// What nodes dropped, by reason, over all nodes, as the counters of links and relay name it.
    pub drops: Vec<(String, u64)>,
    /// Datagrams delivered and timers fired.
    pub events: u64,
    /// The same for each second of real time, set-up excluded.
    pub events_per_second: f64,
    /// Growth of the process's resident memory at its peak, divided by `nodes`.
    pub bytes_per_node: u64,
    /// Real seconds, set-up included.
    pub seconds: f64,
    /// Virtual seconds.
    pub virtual_seconds: u64,
    /// One row for each sampling interval, at least 50 and at most a few hundred.
    pub samples: Vec<Sample>,
    /// What had to hold, and whether it did.
    pub checks: Vec<Check>,
}

/// What the links of a population's nodes sent, since each began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SentBy {
    /// The population's name.
    pub population: String,
    /// Nodes that were counted.
    pub nodes: u64,
    /// Datagrams that they sent.
    pub datagrams: u64,
    /// Bytes of UDP payload of those.
    pub bytes: u64,
}

/// The state of the whole network at one moment; what is counted is counted since the start.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Sample {
    /// Virtual second.
    pub second: u64,
    /// Nodes online.
    pub online: u64,
    /// Links that are up, each end counted.
    pub link_ends: u64,
    /// Packets kept by carriers, copies counted.
    pub copies: u64,
    /// Messages sent.
    pub sent: u64,
    /// Messages delivered.
    pub delivered: u64,
    /// Datagrams handed to the network.
    pub datagrams: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Datagrams the network lost.
    pub lost: u64,
}

/// One thing that had to hold.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// What was claimed: `delivered ≥ 99.9 %`.
    pub claim: String,
    /// What was found: `99.97 %`.
    pub found: String,
    /// Whether it held.
    pub held: bool,
}

impl Report {
    /// Whether all held.
    #[must_use]
    pub fn held(&self) -> bool {
        self.checks.iter().all(|check| check.held)
    }

    /// [`wait_ms`] of what this run's messages took.
    #[must_use]
    pub fn wait_ms(&self, percent: u32) -> Option<u64> {
        wait_ms(&self.waits_ms, percent)
    }
}

/// Milliseconds within which so many percent of the delivered messages arrived: 50 is the median, 100 the slowest. `None` if none
/// was delivered.
#[must_use]
pub fn wait_ms(waits_ms: &[u64], percent: u32) -> Option<u64> {
    let count = waits_ms.len() as u64;
    let rank = (count * u64::from(percent.min(100))).div_ceil(100);
    let rank = rank.checked_sub(1).or((count > 0).then_some(0))?;
    let mut waits = waits_ms.to_vec();
    Some(*waits.select_nth_unstable(rank as usize).1)
}
