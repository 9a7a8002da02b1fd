//! `--drop`: a bad network, for demonstrations and tests. A plugin between sockets and links that drops its share of all datagrams, both
//! ways, handshakes included; links and relay do not know of it.

use dunlin_engine::bevy_ecs;
use dunlin_engine::prelude::*;
use dunlin_net::{DatagramIn, DatagramOut, NetSystems};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// Drops datagrams at random.
pub(crate) struct LossPlugin {
    /// Which share of them, 0 to 1.
    pub(crate) share: f64,
    /// Same seed, same draws.
    pub(crate) seed: u64,
}

#[derive(SystemSet, Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum LossSystems {
    In,
    Out,
}

#[derive(Resource)]
struct Dice {
    generator: ChaCha8Rng,
    /// A draw below this is a loss.
    below: u64,
}

impl Plugin for LossPlugin {
    fn build(&self, app: &mut App) -> Result<(), BoxError> {
        app.world_mut().insert_resource(Dice {
            generator: ChaCha8Rng::seed_from_u64(self.seed),
            below: (self.share * 2_f64.powi(32)) as u64,
        });
        app.configure_sets((
            LossSystems::In
                .in_set(Turn::Ingest)
                .after(NetSystems::Receive),
            LossSystems::Out
                .in_set(Turn::Transmit)
                .after(NetSystems::Seal)
                .before(NetSystems::Send),
        ));
        app.add_systems(LossSystems::In, lose::<DatagramIn>);
        app.add_systems(LossSystems::Out, lose::<DatagramOut>);
        Ok(())
    }
}

fn lose<M: Message>(mut datagrams: ResMut<Messages<M>>, mut dice: ResMut<Dice>) {
    if datagrams.is_empty() {
        return;
    }
    let kept: Vec<M> = datagrams
        .drain()
        .filter(|_| u64::from(dice.generator.next_u32()) >= dice.below)
        .collect();
    datagrams.write_batch(kept);
}

/// Reads `10%` or `0.1`.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    let (number, scale) = match text.strip_suffix('%') {
        Some(percent) => (percent, 100.0),
        None => (text, 1.0),
    };
    match number.trim().parse::<f64>() {
        Ok(value) if (0.0..=0.9).contains(&(value / scale)) => Ok(value / scale),
        _ => Err("expected a share from 0% to 90%, such as 10% or 0.1".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_reads_as_percent_or_fraction_and_nothing_else() {
        assert_eq!(share("10%"), Ok(0.1));
        assert_eq!(share("0.3"), Ok(0.3));
        assert_eq!(share("0"), Ok(0.0));
        for wrong in ["", "ten", "95%", "-1%", "1.5", "%"] {
            assert!(share(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_share_asked_for_is_lost_on_the_way_in_and_on_the_way_out() {
        #[derive(Resource, Default)]
        struct Through(usize, usize);
        let mut app = App::new();
        app.add_message::<DatagramIn>();
        app.add_message::<DatagramOut>();
        app.world_mut().init_resource::<Through>();
        app.add_plugins(LossPlugin {
            share: 0.3,
            seed: 1,
        });
        app.add_systems(
            Turn::Decode,
            |mut ins: MessageReader<DatagramIn>, mut through: ResMut<Through>| {
                through.0 += ins.read().count();
            },
        );
        app.add_systems(
            Turn::Settle,
            |mut outs: MessageReader<DatagramOut>, mut through: ResMut<Through>| {
                through.1 += outs.read().count();
            },
        );
        app.start().expect("it starts");
        let node = app.world_mut().spawn_empty().id();
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], 9));
        for _ in 0..10_000 {
            let bytes = Default::default();
            app.world_mut().write_message(DatagramIn {
                node,
                from: address,
                bytes,
            });
            let bytes = Default::default();
            app.world_mut().write_message(DatagramOut {
                node,
                to: address,
                bytes,
            });
        }
        app.turn(Now::default());
        let Through(ins, outs) = app.world().resource::<Through>();
        assert_eq!(
            (*ins, *outs),
            (6_942, 7_094),
            "seed 1 has one answer, near 7,000"
        );
    }
}
