//! The daemon's options, and those that `dunlin relay` has as well.

use crate::Entry;
use dunlin_net::CircuitUse;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use tracing::level_filters::LevelFilter;

/// Where a node's links begin.
#[derive(clap::Args, Clone, Debug)]
pub struct LinkArgs {
    /// Where to listen; port 0 takes any free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "0.0.0.0:0")]
    pub listen: SocketAddr,
    /// Somebody to begin with, as ADDR:PORT or ID@ADDR:PORT; may be repeated
    #[arg(long = "peer", value_name = "[ID@]ADDR:PORT", value_parser = Entry::read)]
    pub peers: Vec<Entry>,
    /// Ask carriers through neighbours, so that they do not see this device's address: off, prefer, or require (then nothing leaves while no
    /// neighbour leads there); `circuits` in dunlin.toml goes before it
    #[arg(long, value_name = "USE", default_value = "prefer")]
    pub circuits: CircuitUse,
}

/// What a relay may use for others.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct CarryArgs {
    /// Bytes of memory for packets, their index included; `cache_bytes` in dunlin.toml goes before it
    #[arg(long, value_name = "BYTES", default_value_t = dunlin_relay::limits::CACHE_BYTES)]
    pub cache: u64,
    /// Bytes of packets a second, taken in and given out; 0 carries nothing, absent is no limit; `bandwidth` in dunlin.toml goes before it
    #[arg(long, value_name = "BYTES_PER_SECOND")]
    pub bandwidth: Option<u64>,
}

/// An address that nobody but this machine can reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loopback(SocketAddr);

impl Loopback {
    /// The address.
    #[must_use]
    pub fn address(self) -> SocketAddr {
        self.0
    }
}

impl FromStr for Loopback {
    type Err = String;

    fn from_str(text: &str) -> Result<Loopback, String> {
        let address: SocketAddr = text
            .parse()
            .map_err(|error| format!("{error}; expected ADDR:PORT, such as 127.0.0.1:9464"))?;
        if !address.ip().is_loopback() {
            return Err(format!(
                "{address} can be reached from other machines, and anyone there could read the counters; \
                 use a loopback address, such as 127.0.0.1:{}",
                address.port()
            ));
        }
        Ok(Loopback(address))
    }
}

/// Carry other people's packets, sealed, in memory, and nothing else.
#[derive(clap::Parser, Clone, Debug)]
#[command(
    name = "dunlin-relayd",
    version,
    max_term_width = 100,
    after_help = "\
Examples:
  dunlin-relayd --identity relay.key --listen 0.0.0.0:4444
  dunlin-relayd --identity relay.key --listen 0.0.0.0:4444 --cache 64000000 --bandwidth 1000000
  dunlin-relayd --identity relay.key --config dunlin.toml --metrics 127.0.0.1:9464

SIGHUP reads --config again; SIGTERM and SIGINT end it.
Exit codes: 0 done, 1 failed, 2 not understood."
)]
pub struct Args {
    #[command(flatten)]
    #[expect(
        missing_docs,
        reason = "a doc comment here would be the program's own in its help"
    )]
    pub links: LinkArgs,
    /// Key file of this relay; made if it is not there. Its address book is FILE.peers
    #[arg(long, value_name = "FILE")]
    pub identity: PathBuf,
    #[command(flatten)]
    #[expect(
        missing_docs,
        reason = "a doc comment here would be the program's own in its help"
    )]
    pub carry: CarryArgs,
    /// Settings (dunlin.toml), which go before the options; SIGHUP reads cache and bandwidth from it again
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Control socket, open to this user alone [default: IDENTITY.control]
    #[arg(long, value_name = "FILE")]
    pub control: Option<PathBuf>,
    /// Show counters as OpenMetrics at http://ADDR:PORT/metrics; loopback only
    #[arg(long, value_name = "ADDR:PORT")]
    pub metrics: Option<Loopback>,
    /// Write the log as one JSON object a line, and where it listens as another
    #[arg(long)]
    pub json: bool,
    /// Log to stderr: off, error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub log: LevelFilter,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_options_are_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn only_loopback_shows_counters() {
        for good in ["127.0.0.1:0", "127.9.9.9:9464", "[::1]:9464"] {
            assert_eq!(good.parse::<Loopback>().unwrap().0.to_string(), good);
        }
        for bad in [
            "0.0.0.0:9464",
            "[::]:9464",
            "192.0.2.1:1",
            "[::ffff:127.0.0.1]:1",
        ] {
            let error = bad.parse::<Loopback>().unwrap_err();
            assert!(error.contains("loopback address"), "{error}");
        }
        assert!(
            "9464"
                .parse::<Loopback>()
                .unwrap_err()
                .contains("ADDR:PORT")
        );
    }
}
