//! The relay.

mod cache;
mod card;
mod disk;
mod drops;
mod frames;
#[doc(hidden)]
pub mod fuzz;
mod head;
mod life;
mod limits;
mod mailbox;
mod packet;
mod placement;
mod seal;
mod seen;
mod tombstones;
