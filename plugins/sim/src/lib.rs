//! A virtual network in place of `UdpPlugin`: the systems of links and relay that ship, over many nodes in one World, in virtual
//! time. A run depends on its scenario and seed alone, so a failure can be seen again.

mod attack;
mod forged;
mod loss;
mod nat;
mod nat_kind;
mod path;
mod places;
mod plot;
mod plugin;
mod report;
mod run;
mod scenario;
mod sessions;
mod sim;
mod split;
mod stand_in;
mod trace;
pub mod units;
mod wheel;
mod wire;

pub use dunlin_relay::{DropReason, State};
pub use loss::{Loss, Losses};
pub use nat_kind::{Allocation, Depends, NatKind};
pub use path::{Path, PathError};
pub use plot::{MADE_BY, plots};
pub use report::{Check, Report, Sample, SentBy, wait_ms};
pub use run::{Progress, RunError, run};
pub use scenario::{
    Attackers, Crypto, Fault, KeepAlive, Letter, Must, Partition, Population, Scenario,
    ScenarioError, Traffic,
};
pub use sessions::{Sessions, Wave};
pub use sim::{Kind, Message, Sim, SimError, Who, days, hours, minutes, seconds};
