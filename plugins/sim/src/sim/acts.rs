//! What a scenario does to people and carriers: they come, go, are cut off, and write to each other.

use super::safety::Safety;
use super::{Kind, Message, Sim, Who};
use crate::split::Split;

impl Sim {
    /// People, online from now on.
    pub fn people<const N: usize>(&mut self, names: [&str; N]) -> [Who; N] {
        names.map(|name| self.add(name, &Kind::person()))
    }

    /// So many carriers, online from now on.
    pub fn carriers(&mut self, count: usize) -> Vec<Who> {
        (1..=count)
            .map(|n| self.add(&format!("carrier {n}"), &Kind::carrier()))
            .collect()
    }

    /// Somebody of any kind, online from now on.
    pub fn add(&mut self, name: &str, kind: &Kind) -> Who {
        let who = Who(self.members.add(kind, 0));
        self.names.insert(who, name.to_owned());
        self.begin(who.0);
        who
    }

    /// Somebody's clock is wrong by so much from now on; less than 0: it is behind.
    pub fn clock(&mut self, who: Who, error_ms: i64) {
        self.members.list[who.0 as usize].clock_ms = error_ms;
        if let Some(node) = self.node(who) {
            let mut node = self.run.app.world_mut().entity_mut(node);
            node.insert(dunlin_engine::ClockError(error_ms));
        }
    }

    /// Gives each the other's card.
    pub fn introduce(&mut self, one: Who, other: Who) {
        self.introduced.extend([(one, other), (other, one)]);
    }

    /// Goes without a word, as when the power fails. What it had on disk it has again when it starts.
    pub fn stop(&mut self, who: Who) {
        self.end(who.0);
    }

    /// Comes back, with the same keys and at the same address.
    pub fn start(&mut self, who: Who) {
        self.begin(who.0);
    }

    /// Gets another address, in another prefix, or another NAT before it: as a phone that leaves the house. It tells nobody.
    pub fn roam(&mut self, who: Who) {
        self.move_on(who.0);
    }

    /// From now on nothing passes between these and all others, until [`Sim::heal`].
    pub fn cut_off(&mut self, some: &[Who]) {
        self.split(Split::Numbers(some.iter().map(|who| who.0).collect()));
    }

    /// The network is one again.
    pub fn heal(&mut self) {
        self.split(Split::None);
    }

    /// Writes a message; it leaves in the next turn. Recipients' apps read and confirm by themselves.
    ///
    /// # Panics
    /// If the sender is not online, or has not been introduced to the recipient.
    pub fn send(&mut self, from: Who, to: Who, text: &str) -> Message {
        let (sender, recipient) = (self.name(from), self.name(to));
        assert!(
            self.introduced.contains(&(from, to)),
            "{sender} has no card of {recipient}: introduce them"
        );
        assert!(self.node(from).is_some(), "{sender} is not online");
        let message = self.mail.write(from.0, to.0, text.into());
        let world = self.run.app.world_mut();
        world.resource_mut::<Safety>().mark(text);
        self.send_letter(message);
        self.settle();
        Message(message)
    }
}
