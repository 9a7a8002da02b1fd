//! Which node a call means. An app has one; a test or a simulation names it.

use crate::settings::RelaySettings;
use dunlin_engine::CallError;
use dunlin_engine::bevy_ecs::system::SystemParam;
use dunlin_engine::bevy_ecs::{self, prelude::*};
use dunlin_net::{Identity, PeerId};

/// A peer id as text; none means the only node.
pub(crate) type NodeName = Option<String>;

/// The nodes that take part.
#[derive(SystemParam)]
pub(crate) struct Nodes<'w, 's> {
    ids: Query<'w, 's, (Entity, &'static Identity), With<RelaySettings>>,
}

impl Nodes<'_, '_> {
    pub(crate) fn find(&self, name: &NodeName) -> Result<Entity, CallError> {
        let Some(name) = name else {
            return self.ids.single().map(|(node, _)| node).map_err(|_| {
                let count = self.ids.iter().count();
                let text = format!("{count} nodes run here: name one by its peer id, as \"node\"");
                CallError::new("node", text)
            });
        };
        let id: PeerId = name.parse().map_err(|error| refused("node", &error))?;
        let found = self.ids.iter().find(|(_, identity)| identity.id() == id);
        found
            .map(|(node, _)| node)
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
