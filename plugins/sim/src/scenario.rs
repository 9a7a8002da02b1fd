//! Scenarios: what a run is made of, in a file that a person reads and writes.

mod check;
mod keys;
pub(crate) mod letters;
mod swarm;
pub(crate) mod values;
mod write;

use crate::nat_kind::NatKind;
use crate::path::Path;
use crate::sessions::{Sessions, Wave};
use dunlin_net::CircuitUse;
use keys::Tree;
pub use letters::Letter;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;
use values::{bytes, optional_span, span};

/// What a run is made of. In a file it is TOML, times are like `"90 s"`, and `to_string` writes such a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its file's name without folder and ending.
    #[serde(skip)]
    pub name: String,
    /// What it is for, in a sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// Virtual time from beginning to end; more than none.
    #[serde(with = "span")]
    pub duration: Duration,
    /// Of that, the time before traffic begins.
    #[serde(default, with = "span", skip_serializing_if = "Duration::is_zero")]
    pub warm_up: Duration,
    /// Real unless said otherwise.
    #[serde(default, skip_serializing_if = "is_default")]
    pub crypto: Crypto,
    /// Simulated unless said otherwise.
    #[serde(default, skip_serializing_if = "is_default")]
    pub keep_alive: KeepAlive,
    /// Whether who hides goes through a neighbour: `"prefer"`, as nodes do unless told otherwise, `"require"` or `"off"`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub circuits: CircuitUse,
    /// The /16s of IPv4 that the nodes are spread over, 1 to 20,480.
    #[serde(default = "some_prefixes", skip_serializing_if = "is_some_prefixes")]
    pub prefixes: u32,
    /// How many of those who are there already a newcomer knows, at most: 1 to 64, 8 unless said otherwise.
    #[serde(default = "some_known", skip_serializing_if = "is_some_known")]
    pub knows: usize,
    /// How fast nodes appear at the beginning; 0: all at once.
    #[serde(default, skip_serializing_if = "is_default")]
    pub joins_per_second: u32,
    /// What happens to a datagram on its way, between any two nodes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub network: Path,
    /// Who takes part.
    pub nodes: Vec<Population>,
    /// What they send each other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<Traffic>,
    /// When the network is in two; one after another.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partitions: Vec<Partition>,
    /// When many restart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waves: Vec<Wave>,
    /// Who wishes them ill.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attackers: Vec<Attackers>,
    /// What has to hold at the end, beside what has to hold all the time.
    #[serde(default, skip_serializing_if = "is_default")]
    pub must: Must,
}

/// Whether handshakes, seals and signatures are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Crypto {
    /// As everywhere else.
    #[default]
    Real,
    /// Something of the same size, and worthless.
    StandIn,
}

/// Who notices that a link is dead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeepAlive {
    /// The nodes, by asking.
    #[default]
    Simulated,
    /// The simulator, which tells them; they do not ask.
    Folded,
}

/// Nodes of one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Population {
    /// What messages call them.
    pub name: String,
    /// How many there are.
    pub count: u64,
    /// They keep packets for others.
    #[serde(default, skip_serializing_if = "is_default")]
    pub carry: bool,
    /// When they are online; always unless said otherwise.
    #[serde(default, skip_serializing_if = "is_default")]
    pub sessions: Sessions,
    /// Links that each makes by itself, 0 to 8; 8 unless said otherwise.
    #[serde(default = "most_links", skip_serializing_if = "is_most_links")]
    pub links: usize,
    /// What each keeps for others, in bytes (in a file like `"16 MB"`, which is also what is not said).
    #[serde(
        default = "usual_cache",
        with = "bytes",
        skip_serializing_if = "is_usual_cache"
    )]
    pub cache: u64,
    /// Each is behind a NAT of its own, of this kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nat: Option<NatKind>,
    /// Of a hundred that go, so many take the time to hand over what they keep; the others go without a word. None unless said otherwise.
    #[serde(default, skip_serializing_if = "is_default")]
    pub clean_percent: u8,
    /// Each one's clock is wrong by up to this, either way.
    #[serde(default, with = "span", skip_serializing_if = "Duration::is_zero")]
    pub clock_error: Duration,
}

/// Messages from nodes of one population to nodes of another, or of the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traffic {
    /// The senders' population.
    pub from: String,
    /// The recipients' population.
    pub to: String,
    /// How many, at random times between `warm_up` and `until`, from and to random nodes, never to oneself.
    pub count: u64,
    /// The latest time at which one is sent; the end unless said otherwise.
    #[serde(
        default,
        with = "optional_span",
        skip_serializing_if = "Option::is_none"
    )]
    pub until: Option<Duration>,
    /// How long each is, 1 to 65,536.
    pub bytes: usize,
    /// Each is sent by somebody else, who goes for good as soon as it is stored. They need a population of their own,
    /// without any other part in messages.
    #[serde(default, skip_serializing_if = "is_default")]
    pub sender_leaves: bool,
    /// The recipient is away from before the message is sent until so long after.
    #[serde(
        default,
        with = "optional_span",
        skip_serializing_if = "Option::is_none"
    )]
    pub to_away: Option<Duration>,
}

/// For a time nothing passes between a share of the nodes and the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    /// When it begins.
    #[serde(with = "span")]
    pub at: Duration,
    /// How long it lasts; in a file `for`.
    #[serde(rename = "for", with = "span")]
    pub lasts: Duration,
    /// How many of a hundred nodes are on the one side, 1 to 99.
    pub percent: u8,
}

/// Nodes of an attacker's plugin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attackers {
    /// The plugin's name.
    pub kind: String,
    /// How many there are.
    pub count: u64,
    /// All of them are in one /24, at most 250.
    #[serde(default, skip_serializing_if = "is_default")]
    pub one_prefix: bool,
    /// What else the file says of them, for the plugin to read.
    #[serde(flatten)]
    pub numbers: BTreeMap<String, f64>,
}

/// What has to hold at the end; nothing is asked for what is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Must {
    /// Of a hundred messages sent, so many arrived, at least.
    pub delivered_percent: Option<f64>,
    /// The same of all messages that might have been sent so, with 95 % confidence (Wilson's lower bound).
    pub delivered_bound_percent: Option<f64>,
    /// Of a hundred messages sent, so many were proved to their senders, at least.
    pub proved_percent: Option<f64>,
    /// Half of the delivered messages took at most so long.
    #[serde(with = "optional_span", skip_serializing_if = "Option::is_none")]
    pub median_wait: Option<Duration>,
    /// Links that were called lost, over all nodes, at most. Each end counts.
    pub links_lost: Option<u64>,
    /// Memory, at most; checked in release builds only.
    pub bytes_per_node: Option<u64>,
    /// Datagrams a node hands to the network in an hour, on average, at most.
    pub datagrams_per_node_hour: Option<u64>,
}

fn some_prefixes() -> u32 {
    crate::wire::PREFIXES
}

fn is_some_prefixes(prefixes: &u32) -> bool {
    *prefixes == some_prefixes()
}

fn some_known() -> usize {
    crate::sim::KNOWN
}

fn is_some_known(knows: &usize) -> bool {
    *knows == some_known()
}

fn most_links() -> usize {
    dunlin_net::limits::LINKS_OUTBOUND
}

fn is_most_links(links: &usize) -> bool {
    *links == most_links()
}

fn usual_cache() -> u64 {
    dunlin_relay::limits::CACHE_BYTES
}

fn is_usual_cache(cache: &u64) -> bool {
    *cache == usual_cache()
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A scenario that cannot be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScenarioError {
    /// The file cannot be read.
    #[error("{path}: cannot be read: {error}")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// All that is wrong with it, in order of lines; one a line.
    #[error("{}", .0.iter().map(Fault::to_string).collect::<Vec<_>>().join("\n"))]
    Faults(Vec<Fault>),
}

/// One thing that is wrong with a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong, and what would be right.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {}", self.file, self.line, self.what)
    }
}

impl Scenario {
    /// A scenario from a file's text; `name` is the file's.
    ///
    /// # Errors
    /// [`ScenarioError::Faults`]: what cannot be read as TOML; else all keys that nothing reads; else the first value of a wrong
    /// shape; else all that does not fit together.
    pub fn parse(name: &str, text: &str) -> Result<Scenario, ScenarioError> {
        let one = |fault| ScenarioError::Faults(vec![fault]);
        let tree = Tree::parse(name, text).map_err(one)?;
        let mut faults = tree.unknown();
        if faults.is_empty() {
            let mut scenario = tree.read().map_err(one)?;
            name.rsplit(['/', '\\'])
                .next()
                .unwrap_or(name)
                .trim_end_matches(".toml")
                .clone_into(&mut scenario.name);
            faults = tree.place(scenario.faults());
            if faults.is_empty() {
                return Ok(scenario);
            }
        }
        faults.sort_by_key(|fault| fault.line);
        Err(ScenarioError::Faults(faults))
    }

    /// A scenario from a file.
    ///
    /// # Errors
    /// [`ScenarioError::Read`], and as [`Scenario::parse`].
    pub fn load(path: &std::path::Path) -> Result<Scenario, ScenarioError> {
        let name = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Scenario::parse(&name, &text),
            Err(error) => Err(ScenarioError::Read { path: name, error }),
        }
    }

    /// Nodes of all populations, attackers not counted.
    #[must_use]
    pub fn node_count(&self) -> u64 {
        let counts = self.nodes.iter().map(|population| population.count);
        counts.fold(0, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests;
