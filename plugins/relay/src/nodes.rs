//! Which node a call means. An app has one; a test or a simulation names it.

use crate::settings::RelaySettings;
use dunlin_engine::bevy_ecs::system::SystemParam;
use dunlin_engine::bevy_ecs::{self, prelude::*};
use dunlin_engine::{CallError, Params};
use dunlin_net::{Identity, PeerId};
use serde::Deserialize;
use std::collections::BTreeMap;

/// A peer id as text; none means the only node.
pub(crate) type NodeName = Option<String>;

/// What calls about a whole node take.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodeParams {
    #[serde(default)]
    pub(crate) node: NodeName,
}

impl Params for NodeParams {}

/// Which entity is whose: a call names one node of perhaps a million.
#[derive(Resource, Default)]
pub(crate) struct NodeIndex(BTreeMap<PeerId, Entity>);

/// A node that came.
pub(crate) fn note(added: On<Add<Identity>>, ids: Query<&Identity>, mut index: ResMut<NodeIndex>) {
    let node = added.event_target();
    if let Ok(identity) = ids.get(node) {
        index.0.insert(identity.id(), node);
    }
}

/// A node that went. Of two with one identity the other stays.
pub(crate) fn forget(
    removed: On<Remove<Identity>>,
    ids: Query<&Identity>,
    mut index: ResMut<NodeIndex>,
) {
    let node = removed.event_target();
    if let Ok(identity) = ids.get(node)
        && index.0.get(&identity.id()) == Some(&node)
    {
        index.0.remove(&identity.id());
    }
}

/// Those that were there before the plugin.
pub(crate) fn note_at_start(ids: Query<(Entity, &Identity)>, mut index: ResMut<NodeIndex>) {
    index
        .0
        .extend(ids.iter().map(|(node, identity)| (identity.id(), node)));
}

/// The nodes that take part.
#[derive(SystemParam)]
pub(crate) struct Nodes<'w, 's> {
    index: Res<'w, NodeIndex>,
    ids: Query<'w, 's, (), With<RelaySettings>>,
}

impl Nodes<'_, '_> {
    pub(crate) fn find(&self, name: &NodeName) -> Result<Entity, CallError> {
        let takes_part = |node: &&Entity| self.ids.contains(**node);
        let Some(name) = name else {
            let mut nodes = self.index.0.values().filter(takes_part);
            return match (nodes.next(), nodes.count()) {
                (Some(node), 0) => Ok(*node),
                (first, more) => {
                    let count = more + usize::from(first.is_some());
                    let text =
                        format!("{count} nodes run here: name one by its peer id, as \"node\"");
                    Err(CallError::new("node", text))
                }
            };
        };
        let id: PeerId = name.parse().map_err(|error| refused("node", &error))?;
        let found = self.index.0.get(&id).filter(takes_part);
        found
            .copied()
            .ok_or_else(|| CallError::new("node", format!("no node here is {id}")))
    }
}

/// What the caller can mend.
pub(crate) fn refused(code: &str, error: &dyn std::error::Error) -> CallError {
    CallError::new(code, error.to_string())
}

/// What it cannot.
pub(crate) fn failed(error: &dyn std::error::Error) -> CallError {
    CallError::new("failed", error.to_string())
}
