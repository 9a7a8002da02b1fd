//! One copy of each packet's bytes for all who keep it: eight carriers of a message would otherwise have eight.
//!
//! In between `Decode` and `Route`, as any plugin may.

use dunlin_engine::bevy_ecs::{self, prelude::*};
use dunlin_engine::{App, Turn};
use dunlin_relay::{Packet, PacketArrived, PacketId};
use std::collections::BTreeMap;

/// Packets that were seen, one copy each.
#[derive(Resource, Default)]
struct Interned {
    packets: BTreeMap<PacketId, Packet>,
    /// How many there were when those were last looked for that nobody else has.
    swept: usize,
}

/// Before fewer there is nothing to look for.
const SWEEP: usize = 1_024;

#[derive(SystemSet, Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Intern;

pub(super) fn add(app: &mut App) {
    app.world_mut().init_resource::<Interned>();
    app.configure_sets(Intern.after(Turn::Decode).before(Turn::Serve));
    app.add_systems(Intern, share);
}

fn share(mut arrived: MessageMutator<PacketArrived>, mut interned: ResMut<Interned>) {
    for arrived in arrived.read() {
        let packet = &mut arrived.packet;
        let known = interned
            .packets
            .entry(packet.id())
            .or_insert_with(|| packet.clone());
        // Another nonce makes other bytes of the same id. PROTOCOL 3.2
        if known.bytes() == packet.bytes() {
            *packet = known.clone();
        }
    }
    if interned.packets.len() >= 2 * interned.swept.max(SWEEP) {
        interned
            .packets
            .retain(|_, packet| !packet.bytes().is_unique());
        interned.swept = interned.packets.len();
    }
}

#[cfg(test)]
mod tests {
    use crate::{Sim, minutes};
    use dunlin_engine::bevy_ecs::prelude::*;
    use dunlin_relay::Cache;

    #[test]
    fn eight_carriers_of_a_packet_share_its_bytes() {
        let mut sim = Sim::from_env_seed();
        let carriers = sim.carriers(8);
        let [alice, bob] = sim.people(["alice", "bob"]);
        sim.introduce(alice, bob);
        sim.run_for(minutes(3));
        sim.stop(bob);
        let message = sim.send(alice, bob, "Tea at four?");
        sim.run_until(minutes(1), |sim| sim.copies(message) == 8);
        let nodes: Vec<Entity> = carriers.iter().filter_map(|who| sim.node(*who)).collect();
        let now = dunlin_engine::Time::ZERO + sim.now();
        let packet = sim.mail.packet(0).expect("sent");
        let world = sim.app().world();
        let places: Vec<*const u8> = nodes
            .iter()
            .filter_map(|node| world.get::<Cache>(*node)?.get(packet, now))
            .map(|packet| packet.bytes().as_ptr())
            .collect();
        assert_eq!(places.len(), 8);
        assert!(places.iter().all(|place| *place == places[0]));
    }
}
