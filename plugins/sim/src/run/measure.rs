//! Rows of figures over the run.

use super::{Action, Plan};
use crate::report::Sample;
use crate::scenario::Scenario;
use crate::sim::Sim;
use crate::wire::Network;
use dunlin_engine::bevy_ecs::prelude::*;
use dunlin_net::Peer;
use dunlin_relay::HeldBy;
use std::time::Duration;

/// Rows of a run, about.
const ROWS: u32 = 120;

pub(super) struct Samples(pub Vec<Sample>);

impl Samples {
    pub(super) fn new(scenario: &Scenario, plan: &mut Plan) -> Samples {
        let step = (scenario.duration / ROWS).max(Duration::from_secs(1));
        let step = Duration::from_secs(step.as_secs());
        let mut at = Duration::ZERO;
        while at < scenario.duration {
            plan.add(at, Action::Sample);
            at += step;
        }
        Samples(Vec::new())
    }

    pub(super) fn take(&mut self, sim: &mut Sim) {
        let (second, online) = (sim.now().as_secs(), sim.online());
        let world = sim.run.app.world_mut();
        let link_ends = world.query_filtered::<(), With<Peer>>().iter(world).count() as u64;
        let copies = world
            .query_filtered::<(), With<HeldBy>>()
            .iter(world)
            .count() as u64;
        let network = world.resource::<Network>();
        self.0.push(Sample {
            second,
            online,
            link_ends,
            copies,
            sent: sim.mail.sent,
            delivered: sim.mail.delivered,
            datagrams: network.datagrams,
            bytes: network.bytes,
            lost: network.losses.total(),
        });
    }
}
