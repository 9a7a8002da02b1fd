//! What can be asked of a simulation: who has read what, where a message stands and who holds it, what was dropped.

use super::{Message, Sim, Who};
use crate::loss::Loss;
use crate::wire::Network;
use dunlin_engine::bevy_ecs::prelude::*;
use dunlin_net::PeerId;
use dunlin_relay::{Cache, DropReason, State};

impl Sim {
    /// What somebody's app has read, in order of arrival.
    #[must_use]
    pub fn inbox(&self, who: Who) -> Vec<&str> {
        self.mail.read_by(who.0)
    }

    /// Where a message stands, for its sender: whoever is away knows no more than when it went.
    #[must_use]
    pub fn status(&self, message: Message) -> State {
        self.mail
            .state(message.0, self.run.app.world(), &self.members)
    }

    /// Carriers online that hold a copy of a message.
    #[must_use]
    pub fn copies(&self, message: Message) -> usize {
        self.holders(message).len()
    }

    /// Who they are.
    #[must_use]
    pub fn holders(&self, message: Message) -> Vec<Who> {
        let Some(packet) = self.mail.packet(message.0) else {
            return Vec::new();
        };
        let holds = |number: &u32| {
            let node = self.members.list[*number as usize].node?;
            let cache = self.run.app.world().get::<Cache>(node)?;
            cache.contains(packet).then_some(())
        };
        let all = 0..self.members.list.len() as u32;
        all.filter(|number| holds(number).is_some())
            .map(Who)
            .collect()
    }

    /// What relays dropped for this reason, over all nodes online.
    #[must_use]
    pub fn drops(&self, reason: DropReason) -> u64 {
        let nodes = self.members.list.iter().filter_map(|member| member.node);
        nodes
            .filter_map(|node| self.run.app.world().get::<dunlin_relay::Drops>(node))
            .map(|drops| drops.get(reason))
            .sum()
    }

    /// What the network did not deliver for this reason.
    #[must_use]
    pub fn losses(&self, loss: Loss) -> u64 {
        self.run.app.world().resource::<Network>().losses.of(loss)
    }

    /// A node's entity, while it is online.
    #[must_use]
    pub fn node(&self, who: Who) -> Option<Entity> {
        self.members.list[who.0 as usize].node
    }

    /// Whose keys it has.
    ///
    /// # Panics
    /// If it never was online.
    #[must_use]
    pub fn id(&self, who: Who) -> PeerId {
        let id = self.members.list[who.0 as usize].id;
        id.unwrap_or_else(|| panic!("{} never was online", self.name(who)))
    }

    /// As it was added.
    #[must_use]
    pub fn name(&self, who: Who) -> String {
        let name = self.names.get(&who).cloned();
        name.unwrap_or_else(|| format!("node {}", who.0))
    }
}
