//! The sending end of a stream.

use crate::{Outlet, Reply};
use std::sync::Arc;

/// Sends items to whoever opened a stream. Clones go wherever items come from.
#[derive(Clone)]
pub struct Sink {
    id: u64,
    outlet: Arc<dyn Outlet>,
}

impl Sink {
    pub(crate) fn new(id: u64, outlet: Arc<dyn Outlet>) -> Sink {
        Sink { id, outlet }
    }

    /// Sends one item.
    ///
    /// # Errors
    /// Hands the item back if the caller has not kept up: drop and count it, or keep it for later.
    pub fn send(&self, item: Reply) -> Result<(), Reply> {
        self.outlet.item(self.id, item)
    }
}
