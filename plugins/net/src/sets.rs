//! Where net's systems stand in the turn.

use dunlin_engine::bevy_ecs;
use dunlin_engine::bevy_ecs::prelude::*;

/// The sets of this crate, to order against.
#[derive(SystemSet, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NetSystems {
    /// In `Turn::Ingest`: what came in from the network is there from here on.
    Receive,
    /// In `Turn::Decode`: datagrams are opened, and become frames.
    Open,
    /// In `Turn::Maintain`: links are made, kept and given up.
    Keep,
    /// In `Turn::Transmit`: frames are packed and sealed into datagrams.
    Seal,
    /// In `Turn::Transmit`, after [`Seal`](NetSystems::Seal): datagrams leave.
    Send,
}

/// Places the sets in the turn. Both plugins call it, since either may stand alone; twice is as good as once.
pub(crate) fn place(app: &mut dunlin_engine::App) {
    use dunlin_engine::Turn;
    app.configure_sets(NetSystems::Receive.in_set(Turn::Ingest));
    app.configure_sets(NetSystems::Open.in_set(Turn::Decode));
    app.configure_sets(NetSystems::Keep.in_set(Turn::Maintain));
    app.configure_sets(
        (NetSystems::Seal, NetSystems::Send)
            .chain()
            .in_set(Turn::Transmit),
    );
}
