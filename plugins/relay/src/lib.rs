//! Sealed packets, mailboxes, and the cache that keeps packets for those who are away.
//!
//! Somebody who is away gets a message by way of strangers' devices: it is sealed, placed on the 8 carriers nearest to the tag of
//! the recipient's mailbox, fetched from there when the recipient comes back, and then ended everywhere. The wire is in
//! `PROTOCOL.md`, which the code cites by clause.
//!
//! | story | file |
//! |---|---|
//! | a carrier keeps a packet | `deposit`, with `cache`, `life` |
//! | hands it out | `fetch`, with `claims`, `mailbox` |
//! | and ends it | `erase`, `ask`, with `tombstones` |
//! | or leaves, and hands it over | `hand_over` |
//! | a message is sent | `send`, `watch`, with `seal`, `head`, `outbox`, `placement` |
//! | and received | `receive`, `arrive`, `confirm`, with `fetcher`, `inbox`, `day_keys`, `receipts`, `seen` |
//! | in fragments, if it is long | `fragment`, `gatherer`, with `sought` |
//! | sealed to a key that is erased in days | `prekeys`, `publish`, `prekey_record`, `prekey_search`, `unsealed` |
//! | in parts, if it is longer | `manifest`, `pack`, `outbox_contents`, `collector` |
//! | or to a room, and received there | `room`, `room_seal`, `room_send`, `room_listen`, with `rooms`, `room_inbox`, `room_lanes`, `room_links` |
//! | over links made for that alone | `carriers`, with `errands`, `topic`, `frames` |
//! | or straight, between two who write to each other | `direct` |
//! | carriers nearer to a tag are found | `looking`, with `look_up`, `known_carriers`; and told of, `find` |
//! | carriers make up for each other | `repair`, with `repair_round`, `neighbours`, `repair_answers` |
//! | within what the owner gives | `allowance`, with `cache` |
//! | other plugins see packets | `mirror`, `messages` |
//!
//! The relay reads no clock, opens no socket, and writes no packet of others to any disk.

mod allowance;
mod answers;
mod arrive;
mod ask;
mod cache;
mod cancel;
mod card;
mod carriers;
mod claims;
mod collector;
mod confirm;
mod day_keys;
mod decode;
mod deposit;
mod depositor;
mod direct;
mod disk;
mod drops;
mod erase;
mod errand_links;
mod errand_table;
mod errands;
mod fetch;
mod fetcher;
mod fields;
mod find;
mod fragment;
mod frames;
#[doc(hidden)]
pub mod fuzz;
mod gatherer;
mod hand_over;
mod head;
mod inbox;
mod kept;
mod known_carriers;
mod life;
pub mod limits;
mod listeners;
mod look_up;
mod looking;
mod mailbox;
mod manifest;
mod messages;
mod mirror;
mod neighbours;
mod nodes;
mod outbox;
mod outbox_answers;
mod outbox_contents;
mod outbox_disk;
mod own_message;
mod own_packet;
mod pack;
mod packet;
mod placement;
mod plugin;
mod prekey_record;
mod prekey_search;
mod prekeys;
mod publish;
mod receipts;
mod receive;
mod repair;
mod repair_answers;
mod repair_round;
mod room;
mod room_inbox;
mod room_lanes;
mod room_links;
mod room_listen;
mod room_seal;
mod room_send;
mod rooms;
mod rows;
mod seal;
mod seen;
mod seldom;
mod send;
mod settings;
mod sought;
mod status;
mod task;
mod tombstones;
mod topic;
mod unsealed;
mod watch;
mod wire;

pub use allowance::Allowance;
pub use answers::{Known, Outcome, Reason};
pub use cache::{Cache, Insert};
pub use card::{Card, CardError};
pub use claims::Claims;
pub use collector::Collector;
pub use day_keys::DayKeys;
pub use depositor::Depositor;
pub use direct::Direct;
pub use drops::{DropReason, Drops};
pub use errands::Errands;
pub use fetch::Subscribers;
pub use fetcher::Fetcher;
pub use fragment::FragmentKey;
pub use gatherer::Gatherer;
pub use hand_over::GoesAway;
pub use head::{BadHead, Content, Head, Kind, Outline};
pub use inbox::{Inbox, Received};
pub use known_carriers::Carriers;
pub use life::{Untimely, day_of, expiry_ms, life_left};
pub use mailbox::{Claim, DayKey, Mailbox, MailboxPublic, NotProved};
pub use manifest::{Manifest, content_digest, content_hasher};
pub use messages::{PacketArrived, PacketBrought, PacketGone, PacketKept};
pub use mirror::{HeldBy, Holds, Mirror, Withheld};
pub use outbox::{Outbox, OutboxFull};
pub use own_message::{OwnMessage, State};
pub use packet::{
    Class, DeleteSecret, Malformed, MessageId, NotSixteenBytes, Packet, PacketId, Tag, Token,
};
pub use placement::{Candidate, nearest, place};
pub use plugin::{RelayPlugin, RelaySystems};
pub use prekey_record::{PrekeyRecord, prekey_token, prekey_tokens};
pub use prekey_search::PrekeyBook;
pub use prekeys::Prekeys;
pub use receipts::Receipts;
pub use repair::Repair;
pub use room::{Room, RoomError, RoomId};
pub use room_seal::{OpenedInRoom, SealedForRoom, open_in_room, seal_for_room};
pub use rooms::Rooms;
pub use seal::{
    Envelope, OpenError, Opened, Recipient, SealError, Sealed, open, open_own, seal, seal_manifest,
};
pub use seen::Seen;
pub use settings::RelaySettings;
pub use tombstones::Tombstones;
