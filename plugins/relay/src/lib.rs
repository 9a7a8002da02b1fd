//! The relay.

mod cache;
mod card;
mod disk;
mod drops;
mod errands;
mod fetcher;
mod frames;
#[doc(hidden)]
pub mod fuzz;
mod head;
mod inbox;
mod life;
mod limits;
mod mailbox;
mod outbox;
mod outbox_disk;
mod packet;
mod placement;
mod receipts;
mod seal;
mod seen;
mod tombstones;
