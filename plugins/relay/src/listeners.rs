//! Who listens to which node: relationships, so that a node finds its own listeners among those of a million.

use dunlin_engine::bevy_ecs::{self, prelude::*};

/// On a subscription to `relay.receive`: whose messages it gets.
#[derive(Component)]
#[relationship(relationship_target = Receivers)]
pub(crate) struct ReceivesFor(pub(crate) Entity);

/// On a node: who receives its messages, in the order in which they came. Only while there is one the node fetches.
#[derive(Component)]
#[relationship_target(relationship = ReceivesFor)]
pub(crate) struct Receivers(Vec<Entity>);

/// On a subscription to `room.listen`: to which node it listens.
#[derive(Component)]
#[relationship(relationship_target = RoomListeners)]
pub(crate) struct ListensAt(pub(crate) Entity);

/// On a node: who hears what is said in rooms, in the order in which they came. Only while there is one the node asks for it.
#[derive(Component)]
#[relationship_target(relationship = ListensAt)]
pub(crate) struct RoomListeners(Vec<Entity>);

/// On a subscription to `relay.watch`: whose messages it hears of.
#[derive(Component)]
#[relationship(relationship_target = Watchers)]
pub(crate) struct Watches(pub(crate) Entity);

/// On a node: who hears of its messages, in the order in which they came.
#[derive(Component)]
#[relationship_target(relationship = Watches)]
pub(crate) struct Watchers(Vec<Entity>);
