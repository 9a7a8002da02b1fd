//! The links over which a node asks: what each is for, and which stay up with nothing to ask.

use crate::errand_table::State;
use crate::errands::Errands;
use crate::topic::Topic;
use dunlin_engine::bevy_ecs::prelude::*;
use dunlin_net::PeerId;
use std::collections::BTreeSet;

impl Errands {
    /// Links to these carriers stay up without errands.
    pub(crate) fn keep(&mut self, carriers: BTreeSet<PeerId>) {
        if self.table.kept.for_mail != carriers {
            self.table.kept.for_mail = carriers;
        }
    }

    /// And those of our own with these.
    pub(crate) fn keep_for_direct(&mut self, correspondents: BTreeSet<PeerId>) {
        if self.table.kept.direct != correspondents {
            self.table.kept.direct = correspondents;
        }
    }

    /// And those to these.
    pub(crate) fn keep_for_rooms(&mut self, carriers: BTreeSet<PeerId>) {
        if self.table.kept.for_rooms != carriers {
            self.table.kept.for_rooms = carriers;
        }
    }

    /// Whether a link of our own with somebody is up.
    pub(crate) fn is_direct(&self, id: &PeerId) -> bool {
        let lane = self.table.lanes.get(&(*id, Topic::Direct));
        lane.is_some_and(|at| matches!(at.state, State::Up { .. }))
    }

    /// What a link of ours is for.
    pub(crate) fn topic_of(&self, link: Entity) -> Option<Topic> {
        self.table.links.get(&link).map(|(_, topic)| *topic)
    }

    /// With how many there is a link of our own.
    #[must_use]
    pub fn direct_links(&self) -> usize {
        let lanes = self.table.lanes.iter();
        let direct = lanes.filter(|((_, topic), _)| *topic == Topic::Direct);
        direct
            .filter(|(_, at)| matches!(at.state, State::Up { .. }))
            .count()
    }

    /// The carrier at the other end of a link of ours.
    pub(crate) fn carrier_of(&self, link: Entity) -> Option<PeerId> {
        self.table.links.get(&link).map(|(carrier, _)| *carrier)
    }

    /// How many links there are, dials included.
    #[must_use]
    pub fn links(&self) -> usize {
        self.table.links.len()
    }
}
