//! Attackers. Each kind is a plugin, as anybody could write one: links and relay know nothing of it.
//!
//! A node of theirs is a node like all others, with a component by which its plugin's systems know it; what it does beside or instead
//! stands in one file. `[[attackers]]` in a scenario names the kind.

mod babbler;
mod ender;
mod flooder;
mod forger;
mod liar;
mod mailbox_flooder;
mod replayer;

use crate::sim::Kind;
use crate::sim::safety::Unchecked;
use dunlin_engine::bevy_ecs::{self, prelude::*};
use dunlin_engine::{App, BoxError, Time, Timers, Turn};
use dunlin_relay::RelaySystems;
use std::collections::BTreeMap;
use std::time::Duration;

/// One kind of attacker.
pub(crate) struct Attack {
    /// As scenarios call it.
    pub name: &'static str,
    /// What a scenario may say of it beside `kind` and `count`.
    pub numbers: &'static [Number],
    /// It says that it keeps packets for others.
    carries: bool,
    /// Puts its component on a node.
    enlist: fn(&mut EntityWorldMut, &Numbers),
}

/// A number that a scenario may say of an attacker.
pub(crate) struct Number {
    pub name: &'static str,
    /// Unless said otherwise.
    pub usual: f64,
    pub most: f64,
}

/// All kinds.
pub(crate) static ATTACKS: [&Attack; 7] = [
    &forger::ATTACK,
    &replayer::ATTACK,
    &flooder::ATTACK,
    &mailbox_flooder::ATTACK,
    &liar::ATTACK,
    &ender::ATTACK,
    &babbler::ATTACK,
];

/// What a scenario says of attackers of one kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Numbers(pub BTreeMap<String, f64>);

impl Attack {
    pub(crate) fn named(name: &str) -> Option<&'static Attack> {
        ATTACKS.into_iter().find(|attack| attack.name == name)
    }

    /// How its nodes are made.
    pub(crate) fn kind(&self) -> Kind {
        Kind {
            carry: self.carries,
            ..Kind::default()
        }
    }

    /// Makes an attacker of a node that is online since this turn.
    pub(crate) fn enlist(&self, node: Entity, numbers: &Numbers, world: &mut World, now: Time) {
        let mut node = world.entity_mut(node);
        node.insert(Unchecked);
        let said = |number: &Number| {
            let said = numbers.0.get(number.name).copied();
            (number.name.to_owned(), said.unwrap_or(number.usual))
        };
        let numbers = Numbers(self.numbers.iter().map(said).collect());
        (self.enlist)(&mut node, &numbers);
        let node = node.id();
        world.resource_mut::<Timers>().set::<Strike>(node, now);
    }
}

impl Numbers {
    /// All that an attack names are there.
    fn get(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or(0.0)
    }

    /// How long to wait for the next, where so many are done in `span`.
    fn wait(&self, name: &str, span: Duration) -> Duration {
        span.div_f64(self.get(name).max(1e-3))
    }
}

/// Timer of an attacker's node: time for the next blow.
pub(crate) struct Strike;

/// In `Maintain`'s wake and before `Route`: attackers act.
#[derive(SystemSet, Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Attacks;

/// In `Decode`, between links and relay: a liar hears what is said to it before its relay does.
#[derive(SystemSet, Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Lies;

/// In `Transmit`, between links and network: who is on the path sees what leaves.
#[derive(SystemSet, Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct OnThePath;

/// All kinds of attackers; without nodes of theirs they do nothing.
pub(crate) fn attackers(app: &mut App) -> Result<(), BoxError> {
    use dunlin_net::NetSystems::{Open, Seal, Send};
    app.add_timer::<Strike>();
    app.configure_sets(Attacks.after(Turn::Maintain).before(Turn::Route));
    app.configure_sets(Lies.in_set(Turn::Decode).after(Open));
    app.configure_sets(RelaySystems::Decode.after(Lies));
    app.configure_sets(OnThePath.in_set(Turn::Transmit).after(Seal).before(Send));
    let strikes = (
        forger::forge,
        flooder::flood,
        mailbox_flooder::flood_mailbox,
        ender::end_falsely,
        babbler::babble,
    );
    app.add_systems(Attacks, strikes);
    app.add_systems(Lies, liar::lie);
    app.add_systems(OnThePath, replayer::replay);
    Ok(())
}
