//! The plugin: what the relay adds to an app.

use crate::carriers::{self, OwnTimer};
use crate::deposit::{self, Sweep};
use crate::hand_over::{self, HandOverEnd};
use crate::messages::{
    AnswerCame, CarriersAsked, ClaimShown, ErrandDone, KnowledgeAsked, NeighbourAsked,
    PacketArrived, PacketBrought, PacketGone, PacketKept, ReceiptShown, Work,
};
use crate::pack::PackTimer;
use crate::repair::{self, RepairTimer, RepairWork};
use crate::settings::{self, DefaultSettings, RelaySettings, Section};
use crate::{
    allowance, arrive, ask, cancel, confirm, decode, direct, erase, fetch, find, frames, looking,
    mirror, nodes, pack, publish, receive, repair_answers, room_listen, room_send, send, status,
    unsealed, watch,
};
use dunlin_engine::bevy_ecs::{self, prelude::*};
use dunlin_engine::{App, BoxError, Plugin, Turn};
use dunlin_net::{CircuitUse, FrameKinds, LinkPlugin, NetSystems};
use std::any::type_name;
use std::path::PathBuf;

/// Sealed packets for those who are away: for each node with an [`Identity`](dunlin_net::Identity), and, if it has a
/// [`Mailbox`](crate::Mailbox), for itself.
///
/// The section `[relay]` of dunlin.toml has the same keys, and goes before what the program says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayPlugin {
    /// Keep packets for others.
    pub carry: bool,
    /// What is kept for others, in bytes, index included; 16,000,000 unless said otherwise.
    pub cache_bytes: u64,
    /// When the app is told to end, give what is kept for others to other carriers first, for at most 3.5 s.
    pub hand_over: bool,
    /// Packets taken in and given out for others, in bytes a second; 0 carries nothing, none is no limit.
    pub bandwidth: Option<u64>,
    /// Whether carriers are asked through neighbours, so that they do not see where the node is.
    pub circuits: CircuitUse,
    /// Whether who writes to us, and to whom we write, gets a link of its own by which each sees where the other is.
    pub direct: bool,
    /// A folder for own messages that are under way.
    pub outbox: Option<PathBuf>,
    /// A file for the ids of messages that the application has had.
    pub seen: Option<PathBuf>,
    /// A file for the private halves of own prekeys.
    pub prekeys: Option<PathBuf>,
}

impl Default for RelayPlugin {
    fn default() -> Self {
        let RelaySettings {
            carry,
            cache_bytes,
            hand_over,
            bandwidth,
            circuits,
            direct,
            outbox,
            seen,
            prekeys,
        } = RelaySettings::default();
        Self {
            carry,
            cache_bytes,
            hand_over,
            bandwidth,
            circuits,
            direct,
            outbox,
            seen,
            prekeys,
        }
    }
}

/// The relay's sets, to order against.
#[derive(SystemSet, Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RelaySystems {
    /// In `Decode`: frames become messages, [`PacketArrived`] among them.
    Decode,
    /// In `Route`, first: receipts end packets.
    Erase,
    /// In `Route`, then: packets are kept or refused.
    Deposit,
    /// In `Route`, then: claims are answered, subscribers hear of new packets.
    Fetch,
    /// In `Route`, last: questions of senders and neighbours are answered.
    Ask,
    /// In `Deliver`: carriers repair; the node's own side hears its carriers, plans and speaks.
    Own,
    /// In `Settle`: kept packets become entities.
    Mirror,
}

impl Plugin for RelayPlugin {
    fn requires(&self) -> Vec<&'static str> {
        vec![type_name::<LinkPlugin>()]
    }

    fn build(&self, app: &mut App) -> Result<(), BoxError> {
        let section: Section = app.config("relay")?;
        let RelayPlugin {
            carry,
            cache_bytes,
            hand_over,
            bandwidth,
            circuits,
            direct,
            outbox,
            seen,
            prekeys,
        } = self.clone();
        let settings = section.over(RelaySettings {
            carry,
            cache_bytes,
            hand_over,
            bandwidth,
            circuits,
            direct,
            outbox,
            seen,
            prekeys,
        });
        let world = app.world_mut();
        world.insert_resource(DefaultSettings(settings));
        world.init_resource::<nodes::NodeIndex>();
        world.add_observer(settings::equip);
        world.add_observer(nodes::note);
        world.add_observer(nodes::forget);
        world
            .resource_mut::<FrameKinds>()
            .claim(frames::DEPOSIT..=frames::LAST_RESERVED, "relay")?;
        app.add_message::<PacketArrived>()
            .add_message::<PacketKept>()
            .add_message::<PacketGone>()
            .add_message::<ClaimShown>()
            .add_message::<ReceiptShown>()
            .add_message::<KnowledgeAsked>()
            .add_message::<NeighbourAsked>()
            .add_message::<CarriersAsked>()
            .add_message::<RepairWork>()
            .add_message::<AnswerCame>()
            .add_message::<Work>()
            .add_message::<ErrandDone>()
            .add_message::<PacketBrought>()
            .add_timer::<OwnTimer>()
            .add_timer::<HandOverEnd>()
            .add_timer::<PackTimer>()
            .add_timer::<publish::EraseTimer>()
            .add_timer::<RepairTimer>()
            .add_timer::<Sweep>();
        add_systems(app);
        app.call("relay.send", send::call_send)
            .call("relay.outbox", watch::call_outbox)
            .call("relay.cancel", cancel::call_cancel)
            .stream("relay.watch", watch::open_watch)
            .stream("relay.receive", receive::open_receive)
            .call("relay.confirm", confirm::call_confirm)
            .call("room.new", room_send::call_new)
            .call("room.send", room_send::call_send)
            .stream("room.listen", room_listen::open_listen)
            .call("room.confirm", room_listen::call_confirm)
            .call("room.status", room_listen::call_status)
            .call("relay.limits", allowance::call_limits)
            .call("relay.status", status::call_status)
            .call("relay.card", status::call_card);
        Ok(())
    }
}

fn add_systems(app: &mut App) {
    use RelaySystems::{Ask, Decode, Deposit, Erase, Fetch, Mirror, Own};
    app.configure_sets(Decode.in_set(Turn::Decode).after(NetSystems::Open));
    app.configure_sets((Erase, Deposit, Fetch, Ask).chain().in_set(Turn::Route));
    app.configure_sets(Own.in_set(Turn::Deliver));
    app.configure_sets(Mirror.in_set(Turn::Settle));
    app.add_startup((nodes::note_at_start, settings::equip_at_start));
    app.add_systems(Decode, (decode::decode_frames, repair::hear_neighbours));
    app.add_systems(Erase, (deposit::sweep_expired, erase::erase_delivered));
    app.add_systems(Deposit, deposit::keep_deposits);
    app.add_systems(
        Fetch,
        (
            fetch::end_subscriptions,
            fetch::answer_claims,
            fetch::push_to_subscribers,
        ),
    );
    app.add_systems(
        Ask,
        (
            ask::answer_asked,
            find::tell_carriers,
            repair_answers::answer_neighbours,
        ),
    );
    let hear = (
        hand_over::keep_at_work,
        carriers::gather_work,
        carriers::follow_links,
        carriers::take_answers,
        carriers::end_errands,
        carriers::look_for_carriers,
        publish::erase_prekeys,
    );
    let settle = (
        send::settle_sent,
        receive::settle_received,
        looking::settle_found,
        arrive::bring_own,
        arrive::open_brought,
        arrive::put_together,
    );
    let hear_rooms = (
        room_listen::settle_listened,
        room_listen::bring_own,
        room_listen::hear_brought,
    );
    let plan = (
        publish::publish_prekeys,
        unsealed::seal_waiting,
        pack::pack_parts,
        looking::look_up_carriers,
        send::place_sent,
        receive::plan_rounds,
        room_listen::plan_rooms,
        receive::show_receipts,
    );
    let mend = (repair::follow_repair, repair::run_repair);
    let leave = (
        hand_over::begin_hand_over,
        hand_over::hand_over,
        hand_over::end_hand_over,
    );
    let speak = (
        carriers::run_errands,
        watch::tell_watchers,
        receive::tell_receivers,
        room_listen::tell_listeners,
    );
    let link = (direct::keep_links, direct::push_own);
    app.add_systems(
        Own,
        (hear, settle, hear_rooms, plan, link, mend, leave, speak),
    );
    app.add_systems(Mirror, mirror::mirror_packets);
}
