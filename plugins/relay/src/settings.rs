//! How a node takes part, and what it is equipped with.

use crate::cache::Cache;
use crate::carriers::OwnTimer;
use crate::collector::Collector;
use crate::day_keys::DayKeys;
use crate::direct::Direct;
use crate::drops::Drops;
use crate::errands::Errands;
use crate::fetch::Subscribers;
use crate::fetcher::Fetcher;
use crate::gatherer::Gatherer;
use crate::inbox::Inbox;
use crate::known_carriers::Carriers;
use crate::life::day_of;
use crate::limits::CACHE_BYTES;
use crate::mirror::Mirror;
use crate::outbox::Outbox;
use crate::outbox_disk;
use crate::prekey_search::PrekeyBook;
use crate::prekeys::Prekeys;
use crate::publish::{EraseTimer, tomorrow};
use crate::receipts::Receipts;
use crate::repair::Repair;
use crate::rooms::Rooms;
use crate::seen::Seen;
use crate::tombstones::Tombstones;
use dunlin_engine::bevy_ecs::{self, prelude::*};
use dunlin_engine::{ClockError, Now, Timers};
use dunlin_net::{About, Bandwidth, CircuitUse, Identity, LinkSettings};
use serde::Deserialize;
use std::path::PathBuf;

/// On a node: how it takes part. Nodes that are spawned without it get that of the plugin.
#[derive(Component, Debug, Clone, PartialEq, Eq)]
pub struct RelaySettings {
    /// Keep packets for others.
    pub carry: bool,
    /// What is kept for others, in bytes, index included. In memory and nowhere else.
    pub cache_bytes: u64,
    /// When the app is told to end, give what is kept for others to other carriers first, for at most 3.5 s.
    pub hand_over: bool,
    /// Packets taken in and given out for others, in bytes a second; 0 carries nothing, none is no limit.
    pub bandwidth: Option<u64>,
    /// Whether carriers are asked through neighbours, so that they do not see where the node is.
    pub circuits: CircuitUse,
    /// Whether who writes to us, and to whom we write, gets a link of its own by which each sees where the other is.
    pub direct: bool,
    /// A folder for own messages that are under way; without it they are gone when the program ends.
    pub outbox: Option<PathBuf>,
    /// A file for the ids of messages that the application has had; without it one may be shown twice after a restart.
    pub seen: Option<PathBuf>,
    /// A file for the private halves of own prekeys; without it what was sealed to them cannot be opened after a restart.
    pub prekeys: Option<PathBuf>,
}

impl Default for RelaySettings {
    fn default() -> Self {
        Self {
            carry: true,
            cache_bytes: CACHE_BYTES,
            hand_over: false,
            bandwidth: None,
            circuits: CircuitUse::default(),
            direct: true,
            outbox: None,
            seen: None,
            prekeys: None,
        }
    }
}

/// The section `[relay]` of dunlin.toml. What it says goes before what the program says.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Section {
    cache_bytes: Option<u64>,
    bandwidth: Option<u64>,
    carry: Option<bool>,
    circuits: Option<CircuitUse>,
    direct: Option<bool>,
    hand_over: Option<bool>,
    outbox: Option<PathBuf>,
    seen: Option<PathBuf>,
    prekeys: Option<PathBuf>,
}

impl Section {
    pub(crate) fn over(self, program: RelaySettings) -> RelaySettings {
        RelaySettings {
            carry: self.carry.unwrap_or(program.carry),
            cache_bytes: self.cache_bytes.unwrap_or(program.cache_bytes),
            hand_over: self.hand_over.unwrap_or(program.hand_over),
            bandwidth: self.bandwidth.or(program.bandwidth),
            circuits: self.circuits.unwrap_or(program.circuits),
            direct: self.direct.unwrap_or(program.direct),
            outbox: self.outbox.or(program.outbox),
            seen: self.seen.or(program.seen),
            prekeys: self.prekeys.or(program.prekeys),
        }
    }
}

/// What nodes without settings of their own get. A resource: it says how the app is put together.
#[derive(Resource, Debug, Clone)]
pub(crate) struct DefaultSettings(pub(crate) RelaySettings);

type Bare<'a> = (
    Option<&'a RelaySettings>,
    &'a mut LinkSettings,
    Option<&'a ClockError>,
);

/// A node that gets an identity becomes a relay's node.
pub(crate) fn equip(
    added: On<Add<Identity>>,
    nodes: Query<Bare>,
    settings: Res<DefaultSettings>,
    now: Res<Now>,
    timers: ResMut<Timers>,
    commands: Commands,
) -> Result {
    let node = [added.event_target()];
    equip_all(&node, nodes, &settings, *now, timers, commands)
}

/// The same for those that were there before this plugin.
pub(crate) fn equip_at_start(
    there: Query<Entity, (With<Identity>, Without<Cache>)>,
    nodes: Query<Bare>,
    settings: Res<DefaultSettings>,
    now: Res<Now>,
    timers: ResMut<Timers>,
    commands: Commands,
) -> Result {
    let there: Vec<Entity> = there.iter().collect();
    equip_all(&there, nodes, &settings, *now, timers, commands)
}

fn equip_all(
    there: &[Entity],
    mut nodes: Query<Bare>,
    default: &DefaultSettings,
    now: Now,
    mut timers: ResMut<Timers>,
    mut commands: Commands,
) -> Result {
    for node in there {
        let (settings, mut link, clock) = nodes.get_mut(*node)?;
        let settings = settings.unwrap_or(&default.0).clone();
        let unix_ms = now.unix_ms_of(clock);
        if settings.carry {
            link.about = link.about.and(About::CARRIES);
        }
        link.circuits = settings.circuits;
        let apart = settings.circuits != CircuitUse::Off;
        let mut outbox = Outbox::default();
        if let Some(dir) = &settings.outbox {
            let damaged = outbox_disk::load(dir, &mut outbox, now.time, unix_ms)
                .map_err(|error| format!("the outbox {} cannot be read: {error}", dir.display()))?;
            for path in damaged {
                tracing::error!(path = %path.display(), "not a whole message: left where it is");
            }
            // It is on disk as it is here: nothing to write again, over what another process may have written meanwhile.
            outbox.take_changed();
        }
        let seen = match &settings.seen {
            None => Seen::in_memory(),
            Some(path) => Seen::open(path, day_of(unix_ms))
                .map_err(|error| format!("{} cannot be used: {error}", path.display()))?,
        };
        let prekeys = match &settings.prekeys {
            None => Prekeys::default(),
            Some(path) => Prekeys::open(path, day_of(unix_ms))
                .map_err(|error| format!("{} cannot be used: {error}", path.display()))?,
        };
        let capacity = if settings.carry {
            settings.cache_bytes
        } else {
            0
        };
        // Who only carries is never woken for itself.
        if outbox.is_under_way() {
            timers.set::<OwnTimer>(*node, now.time);
        }
        if !prekeys.is_empty() {
            timers.set::<EraseTimer>(*node, tomorrow(now, clock));
        }
        commands.entity(*node).insert((
            (
                Cache::new(capacity),
                Bandwidth::new(settings.bandwidth, now.time),
                Tombstones::default(),
                Drops::default(),
                Repair::default(),
            ),
            (
                (Subscribers::default(), Direct::default()),
                Mirror::default(),
                Carriers::default(),
            ),
            (Errands::new(apart), outbox, Receipts::default()),
            (
                Fetcher::default(),
                (DayKeys::default(), prekeys, PrekeyBook::default()),
                Inbox::default(),
                Gatherer::default(),
                Collector::default(),
                Rooms::default(),
                seen,
            ),
            settings,
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunlin_engine::{App, Config, Node, Random, Virtual};
    use dunlin_net::LinkPlugin;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    fn section(text: &str) -> Result<Section, String> {
        let mut config = Config::parse(text, "dunlin.toml").map_err(|error| error.to_string())?;
        config.section("relay").map_err(|error| error.to_string())
    }

    #[test]
    fn what_the_file_says_goes_before_what_the_program_says() {
        let program = RelaySettings {
            carry: false,
            outbox: Some("program".into()),
            ..RelaySettings::default()
        };
        let text = "[relay]\ncarry = true\ncache_bytes = 1000\n";
        let settings = section(text).unwrap().over(program.clone());
        assert!(settings.carry && settings.cache_bytes == 1_000);
        assert_eq!(settings.outbox, program.outbox);
        assert_eq!(section("").unwrap().over(program.clone()), program);
    }

    /// One World holds a million nodes, of which nearly all only carry. None of these has memory elsewhere until it is used.
    #[test]
    fn what_a_node_is_equipped_with_takes_half_a_kilobyte_at_most() {
        let sizes = [
            size_of::<RelaySettings>(),
            size_of::<Cache>(),
            size_of::<Bandwidth>(),
            size_of::<Tombstones>(),
            size_of::<Drops>(),
            size_of::<Repair>(),
            size_of::<Subscribers>(),
            size_of::<Direct>(),
            size_of::<Mirror>(),
            size_of::<Carriers>(),
            size_of::<Errands>(),
            size_of::<Outbox>(),
            size_of::<Receipts>(),
            size_of::<Fetcher>(),
            size_of::<DayKeys>(),
            size_of::<Prekeys>(),
            size_of::<PrekeyBook>(),
            size_of::<Inbox>(),
            size_of::<Gatherer>(),
            size_of::<Collector>(),
            size_of::<Rooms>(),
            size_of::<Seen>(),
        ];
        // Beside each stand two ticks of bevy's change detection.
        let bytes: usize = sizes.iter().map(|size| size + 8).sum();
        assert!(bytes <= 512, "{bytes}: {sizes:?}");
    }

    #[test]
    fn a_node_that_only_carries_is_never_woken_for_itself() {
        let mut app = App::new();
        app.add_plugins((LinkPlugin, crate::RelayPlugin::default()));
        app.add_message::<dunlin_net::DatagramIn>()
            .add_message::<dunlin_net::DatagramOut>();
        let mut random = ChaCha20Rng::seed_from_u64(1);
        let identity = Identity::generate(&mut random);
        let settings = LinkSettings::default();
        let parts = (Node, Random::from_seed(1, 1), settings, identity);
        let node = app.world_mut().spawn(parts).id();
        let mut run = Virtual::start(app, 1_767_268_800_000).unwrap();
        run.run_for(std::time::Duration::from_secs(1));
        let world = run.app.world();
        assert!(world.get::<Cache>(node).is_some());
        let timers = world.resource::<Timers>();
        assert_eq!(timers.get::<OwnTimer>(node), None);
        assert!(world.get::<Carriers>(node).unwrap().list().is_empty());
    }

    #[test]
    fn a_key_that_is_none_is_an_error_that_names_the_nearest() {
        let error = section("[relay]\ncash_bytes = 1\n").unwrap_err();
        assert!(error.ends_with("did you mean \"cache_bytes\"?"), "{error}");
    }
}
