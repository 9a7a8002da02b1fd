//! `dunlin doctor`: what on this machine would stop Dunlin, each with what to do.

mod machine;
mod network;

use crate::{Error, Global};
use serde::Serialize;
use std::net::SocketAddr;
use std::process::ExitCode;

/// Say what on this machine would stop Dunlin, and what to do about it.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  dunlin doctor
  dunlin doctor --listen 0.0.0.0:4242      is that port free?
  dunlin doctor --json | tail -n 1

Exit codes: 0 nothing would stop it, 1 something would, 2 not understood.")]
pub(crate) struct Args {
    /// The address that links would listen on
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:0")]
    listen: SocketAddr,
}

pub(crate) fn run(args: Args, global: &Global) -> Result<ExitCode, Error> {
    let home = global.home()?;
    let checks = [
        machine::folder(&home),
        machine::space(&home),
        machine::keys(&global.key_file()?),
        machine::clock(&home),
        network::udp(args.listen),
        network::ipv6(),
        network::multicast(),
        network::buffers(),
    ];
    let stops = checks.iter().any(|check| check.state == State::Fail);
    let lines: String = checks.iter().map(Check::line).collect();
    let object = serde_json::json!({ "ok": !stops, "checks": checks });
    global.result(lines, &object)?;
    Ok(if stops {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    /// Works, with something missing.
    Warn,
    /// Would stop Dunlin.
    Fail,
}

#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    state: State,
    says: String,
    #[serde(rename = "do", skip_serializing_if = "String::is_empty")]
    advice: String,
}

impl Check {
    fn ok(name: &'static str, says: impl Into<String>) -> Check {
        Check {
            name,
            state: State::Ok,
            says: says.into(),
            advice: String::new(),
        }
    }

    fn warn(name: &'static str, says: impl Into<String>, advice: impl Into<String>) -> Check {
        Check {
            state: State::Warn,
            advice: advice.into(),
            ..Check::ok(name, says)
        }
    }

    fn fail(name: &'static str, says: impl Into<String>, advice: impl Into<String>) -> Check {
        Check {
            state: State::Fail,
            ..Check::warn(name, says, advice)
        }
    }

    fn line(&self) -> String {
        let state = match self.state {
            State::Ok => "ok  ",
            State::Warn => "warn",
            State::Fail => "FAIL",
        };
        let separator = if self.advice.is_empty() { "" } else { ": " };
        let Check {
            name, says, advice, ..
        } = self;
        format!("{state}  {name:<9}  {says}{separator}{advice}\n")
    }
}
