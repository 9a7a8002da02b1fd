//! Every bound of the relay, in one place. PROTOCOL 5 and the clauses named.

use std::time::Duration;

/// A small packet, in bytes. PROTOCOL 3.1
pub const SMALL_PACKET_BYTES: usize = 320;
/// A large packet, in bytes. PROTOCOL 3.1
pub const LARGE_PACKET_BYTES: usize = 1_088;
/// A packet's header, in bytes. PROTOCOL 3.1
pub const HEADER_BYTES: usize = 48;
/// What the two seals cost: two encapsulated keys, the sender's id, two tags. PROTOCOL 3.3
pub const SEAL_BYTES: usize = 128;
/// The head's fields before the name, in bytes. PROTOCOL 3.4
pub const HEAD_FIELDS_BYTES: usize = 20;
/// The longest text that one packet holds, in bytes of UTF-8. PROTOCOL 3.4
pub const TEXT_BYTES_MAX: usize =
    LARGE_PACKET_BYTES - HEADER_BYTES - SEAL_BYTES - HEAD_FIELDS_BYTES;
const _: () = assert!(TEXT_BYTES_MAX == 892);
const _: () = assert!(SMALL_PACKET_BYTES - HEADER_BYTES - SEAL_BYTES - HEAD_FIELDS_BYTES == 124);
/// The longest message, in bytes. PROTOCOL 3.4
pub const MESSAGE_BYTES_MAX: usize = 65_536;
/// The largest content that is sent at once, in bytes: a manifest and its parts. PROTOCOL 3.9
pub const CONTENT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The most parts of larger content, each of them a message. PROTOCOL 3.9
pub const PARTS_MAX: usize = CONTENT_BYTES_MAX / MESSAGE_BYTES_MAX;
/// A fragment of a part belongs on so many carriers: its sender looks after it until it has arrived, and a small network has to keep many
/// of them.
pub const PART_PLACES: usize = 4;
/// Parts that are with carriers at once, for each carrier that is known: of 16 MB each, they take 3 % from one sender. // guess
pub const PARTS_PER_CARRIER: usize = 2;
/// Parts of one content that a recipient looks for at once. // guess
pub const PARTS_ASKED: usize = 8;
/// Larger contents that a node collects at once. PROTOCOL 5 // guess
pub const COLLECTIONS_MAX: usize = 8;
/// What each fragment of a message holds, in bytes; the last is filled up with zeros. PROTOCOL 3.5
pub const FRAGMENT_BYTES: usize = LARGE_PACKET_BYTES - HEADER_BYTES - 16;
const _: () = assert!(FRAGMENT_BYTES == 1_024);
/// The most fragments of a message. PROTOCOL 3.4
pub const FRAGMENTS_MAX: usize = MESSAGE_BYTES_MAX / FRAGMENT_BYTES;
/// Messages of which fragments are missing. One more takes the place of that which waited longest in vain.
pub const GATHERINGS_MAX: usize = 64;
/// The longest file name, in bytes of UTF-8. PROTOCOL 3.4
pub const NAME_BYTES_MAX: usize = 64;

/// Prekeys of one record, one a day. PROTOCOL 4.5
pub const PREKEYS: usize = 28;
/// Contacts whose prekeys a node remembers. // guess
pub const PREKEY_OWNERS_MAX: usize = 256;
/// Messages that wait until it is known whether there are prekeys for their recipients. // guess
pub const UNSEALED_MAX: usize = 64;

/// The longest life that a sender may ask for, in hours. PROTOCOL 3.1
pub const EXPIRY_HOURS_MAX: u16 = 336;

/// What a carrier keeps for others unless its owner says otherwise, in bytes, index included. PROTOCOL 5
pub const CACHE_BYTES: u64 = 16_000_000;
/// What the index is charged for each packet, in bytes. PROTOCOL 5
///
/// Measured, a process takes about 245 for each packet beside its bytes, and its entity (`mirror`) another 170: a cache of
/// 16 MB takes 29 MB if it is full of small packets; by the same figures 21 MB if of large ones.
pub const INDEX_BYTES: u64 = 80;
/// A depositing prefix holds at most one part in this many of a cache, so that one network that
/// floods cannot push out everybody else's packets.
pub const PREFIX_SHARE: u64 = 16;
/// The part of a cache that is the owner's and its contacts'. Nothing is walled off yet: depositors
/// come over anonymous links, so nobody is recognised.
pub const OWNER_RESERVE_BYTES: u64 = CACHE_BYTES / 4;
const _: () = assert!(CACHE_BYTES / PREFIX_SHARE * PREFIX_SHARE <= CACHE_BYTES);
const _: () = assert!(OWNER_RESERVE_BYTES < CACHE_BYTES);
/// Below this fullness, in percent, a carrier asks for no work.
pub const FREE_PERCENT: u64 = 70;
/// The work that a carrier with a full cache asks for, in bits; a guess: 4,096 hashes take a millisecond.
pub const FULL_PRICE_BITS: u64 = 12;
/// The work that a sender is ready to do for one packet, in bits: at most about 10 ms of one core.
pub const WORK_BITS_MAX: u8 = 16;

/// How long a carrier remembers that a packet was ended. PROTOCOL 4.3
pub const TOMBSTONE_LIFE: Duration = Duration::from_hours(48);
/// All tombstones together, in bytes. PROTOCOL 4.3
pub const TOMBSTONES_BYTES: usize = 2_000_000;
/// What one tombstone is charged: id, secret, time, and its place in two indexes.
pub const TOMBSTONE_BYTES: usize = 96;

/// Subscriptions of one link, so that a link cannot make a carrier match every deposit against a long list. PROTOCOL 5
pub const LINK_TAGS_MAX: usize = 32;
/// Claims with a wrong signature that are checked on one link: each costs a public-key operation, so the
/// rest are refused unread.
pub const LINK_BAD_CLAIMS_MAX: u8 = 16;
/// `left` of FETCHED counts up to here, so that a fetch of a crowded tag costs bounded work. PROTOCOL 2.3
pub const LEFT_MAX: usize = 256;

/// Where a packet belongs: this many carriers. PROTOCOL 3.6
pub const PLACES: usize = 8;
/// The recipient asks this many carriers for each day's tag: twice where a packet belongs, as its
/// neighbourhood may have changed since it was placed.
pub const ASKED: usize = 16;
/// How long a carrier must have been seen up. PROTOCOL 3.6
pub const SEEN_UP: Duration = Duration::from_mins(20);
/// Tags of this many days back may still hold mail: 14 days of life and 2 of wrong clocks. PROTOCOL 4.1
pub const DAYS_BACK: u16 = 16;
/// How long the recipient remembers what it has already had: one day longer than any tag is asked for.
pub const SEEN_DAYS: u16 = DAYS_BACK + 1;
/// Ids remembered at most, so that a flooded mailbox cannot fill the disk: 2.2 MB of it.
pub const SEEN_MAX: usize = 100_000;

/// Anonymous links to carriers at once. The rest of the errands wait for a free one.
pub const ERRAND_LINKS_MAX: usize = 16;
/// The same where errands go over different links by their topics: those are nested, and have places of their own (`dunlin_net::limits`).
pub const ERRAND_LINKS_APART_MAX: usize = 96;
/// Dials for errands at once, while most of them fail: a network that has too much to do, and refuses, is asked for less. // guess
pub const ERRAND_DIALS_MIN: usize = 4;
/// Of those, links kept for subscriptions.
pub const KEPT_LINKS_MAX: usize = 8;
/// Links of our own with those who write to us and to whom we write, at once. PROTOCOL 4.8
pub const DIRECT_LINKS_MAX: usize = 8;
/// So long after their last message.
pub const DIRECT_IDLE: Duration = Duration::from_mins(10);
/// What a sender is asked for over such a link, carriers are asked for after this.
pub const SENDER_FIRST: Duration = Duration::from_secs(2);
/// Those who wrote, of whom that is remembered.
pub const CORRESPONDENTS_MAX: usize = 64;
/// Requests under way on one link at once, so that a long outbox leaves in a stream and not in a burst.
pub const LINK_REQUESTS_MAX: usize = 32;
/// The first repetition of a request without an answer: somewhat above a slow round trip.
pub const RETRY_FIRST: Duration = Duration::from_millis(300);
/// Repetitions double up to this.
pub const RETRY_MAX: Duration = Duration::from_secs(2);
/// After a dial that failed the carrier is left alone this long; doubling, up to `REDIAL_MAX`.
pub const REDIAL_FIRST: Duration = Duration::from_secs(2);
/// See [`REDIAL_FIRST`].
pub const REDIAL_MAX: Duration = Duration::from_mins(1);
/// A link without errands is hung up after this.
pub const LINK_IDLE: Duration = Duration::from_secs(5);

/// Packets that a carrier hands over when it ends, those that live longest first: as many as twelve carriers can be asked about in the 3.5 s that it has.
pub const HAND_OVER_MAX: usize = 1_000;
/// Own messages under way. More are refused: the application knows better which of them matter.
pub const OUTBOX_MAX: usize = 1_000;
/// Contents that are being sealed, a part a turn: their bytes are held twice meanwhile. // guess
pub const PACKINGS_MAX: usize = 2;
/// The packets of all of them together, in bytes: two contents of 16 MiB. // guess
pub const OUTBOX_BYTES_MAX: usize = 40_000_000;
/// Messages that wait for the application to confirm them; then fetching stops, and carriers keep the rest.
pub const INBOX_MAX: usize = 1_000;
/// All of them together, in bytes.
pub const INBOX_BYTES_MAX: usize = 16_000_000;
/// Packets on our own tags that do not open: remembered so that they are opened once.
pub const BROKEN_MAX: usize = 1_024;
/// Packets of which carriers are yet to hear that they arrived. // guess
pub const RECEIPTS_MAX: usize = 4_000;

/// How often a carrier that keeps anything looks what its neighbours have; a quarter more or less by chance, or who began together would stay
/// together. Loses 0 of 40,000 packets in 14 days with desktop sessions and 8 copies (research, "Survival for 14 days"). PROTOCOL 3.12
pub const REPAIR_EVERY: Duration = Duration::from_mins(15);
/// Carriers near in the key space that one round asks. Measured in networks of 14 to 300: who knows 16 finds 94 to 100 % of what belongs to it, with
/// 12 it is 86 to 96 %, with 8 it is 63 to 78 %. PROTOCOL 3.12
pub const NEIGHBOURS: usize = 16;
/// Neighbours remembered, the nearest; who is farther may not ask.
pub const NEIGHBOURS_MAX: usize = 32;
/// A neighbour of which nothing was heard for so long is none: two rounds and a half, as one may fail. // guess
pub const NEIGHBOUR_SILENT_MAX: Duration = Duration::from_mins(38);
/// Carriers that one round dials at most to find those that are there. // guess
pub const REPAIR_DIALS_MAX: usize = 40;
/// Who has not answered a dial after this is not there: some seven datagrams instead of the 26 that a link would send. // guess
pub const REPAIR_DIAL_MAX: Duration = Duration::from_secs(5);
/// Carriers that were not there: remembered so that each round does not dial all of them again.
pub const ABSENT_MAX: usize = 256;
/// How long who was not there is not dialled again; doubled by each time it is not there, 16-fold at most. // guess
pub const ABSENT_FIRST: Duration = Duration::from_mins(30);
/// Pages of lists that one round asks for after the first of each neighbour: 65 kB, or 6 MB a day. What is left comes in the next round. // guess
pub const REPAIR_PAGES_MAX: usize = 64;
/// Packets listed that one round remembers. // guess
pub const LISTED_MAX: usize = 2_048;
/// Of those, so many are pulled: 1.2 MB at most. // guess
pub const PULLS_MAX: usize = 1_024;
/// And so many are ended at those who list them although we know that they were received. // guess
pub const REPAIR_RECEIPTS_MAX: usize = 256;
/// A round's lists end after this, whoever has not answered.
pub const LISTING_MAX: Duration = Duration::from_secs(90);
/// Who was asked by a neighbour asks back after this, and up to as much later by chance: by then the neighbour knows who is gone. // guess
pub const ASK_BACK_AFTER: Duration = Duration::from_secs(100);
/// Packets that a carrier looks at for one LIST: each takes some microseconds.
pub const LIST_SCAN_MAX: usize = 1_024;
/// Lists, and copies, that one link may ask for within `REPAIR_EVERY`; twice what an honest round does. // guess
pub const LINK_LISTS_MAX: u16 = 2 * (REPAIR_PAGES_MAX + NEIGHBOURS) as u16;
/// See [`LINK_LISTS_MAX`].
pub const LINK_PULLS_MAX: u16 = 2 * PULLS_MAX as u16;
/// What the seal to a room costs: an encapsulated key, the author's id and signature, a tag. PROTOCOL 3.8
pub const ROOM_SEAL_BYTES: usize = 144;
/// Tags of a room on one day. PROTOCOL 4.6
pub const ROOM_LANES: u8 = 16;
/// A room's invitation before base32, in bytes. PROTOCOL 4.6
pub const INVITATION_BYTES_MAX: usize = 256;
/// A room's name, in bytes of UTF-8. PROTOCOL 4.6
pub const ROOM_NAME_BYTES_MAX: usize = 64;
/// Rooms that a node listens to at once: each costs 288 tags. // guess
pub const ROOMS_MAX: usize = 16;
/// Messages of rooms that wait for the application to confirm them; carriers keep the rest. // guess
pub const ROOM_INBOX_MAX: usize = 1_000;
/// All of them together, in bytes. // guess
pub const ROOM_INBOX_BYTES_MAX: usize = 16_000_000;
/// One author fills at most one part in this many of a node's room messages, so that one member who floods leaves room for
/// the others. // guess
pub const ROOM_AUTHOR_SHARE: usize = 8;
const _: () = assert!(ROOM_INBOX_BYTES_MAX / ROOM_AUTHOR_SHARE >= MESSAGE_BYTES_MAX);
/// Own messages to rooms that are placed again where copies are missing. One more takes the place of the oldest that lies
/// with carriers: none is ever delivered, and mail needs the outbox too. // guess
pub const ROOM_OUTBOX_MAX: usize = 256;
const _: () = assert!(ROOM_OUTBOX_MAX < OUTBOX_MAX);
/// Carriers that are asked for what lies on a lane: half of where its packets belong.
pub const ROOM_ASKED: usize = 4;
/// Links kept for subscriptions to lanes, beside those for mail: together they leave four for errands.
pub const ROOM_LINKS_MAX: usize = 4;
const _: () = assert!(KEPT_LINKS_MAX + ROOM_LINKS_MAX < ERRAND_LINKS_MAX);
/// Lanes subscribed to on one link: what its limit leaves beside a mailbox's 18 days.
pub const ROOM_LINK_TAGS_MAX: usize = LINK_TAGS_MAX - DAYS_BACK as usize - 2;
/// Carriers of a FOUND, at most. PROTOCOL 3.13
pub const FOUND_MAX: usize = dunlin_net::limits::PEERS_ROWS_MAX;
/// Who knows fewer carriers than this looks now and then whether there are others: such a network may fit its books. // guess
pub const LOOK_UP_KNOWN_MIN: usize = 64;
/// Look-ups of a node at once.
pub const LOOK_UPS_MAX: usize = 64;
/// Carriers asked at a time in one look-up, not counting those that take long. PROTOCOL 3.13
pub const LOOK_UP_AT_ONCE: usize = 3;
/// And in all.
pub const LOOK_UP_ASKED_MAX: usize = 32;
/// Carriers that one look-up remembers, the nearest.
pub const LOOK_UP_ROWS_MAX: usize = 64;
/// Who told of so many that were not there is not believed any more.
pub const LOOK_UP_FAILURES_MAX: usize = 3;
/// How long what was looked up holds. // guess
pub const LOOK_UP_LIFE: Duration = Duration::from_mins(10);
/// The same for the mailbox tag of a day that is past, whose carriers are asked seldom. // guess
pub const LOOK_UP_PAST_LIFE: Duration = Duration::from_hours(2);
/// Carriers that were found and are not in the address book: the latest.
pub const FOUND_KEPT_MAX: usize = 512;
/// And how long they are counted on. // guess
pub const FOUND_LIFE: Duration = Duration::from_mins(30);
/// A carrier tells of those that it heard within this. // guess
pub const FOUND_SILENT_MAX: Duration = Duration::from_hours(1);
/// Questions for carriers that one link may ask in a minute. PROTOCOL 5
pub const LINK_FINDS_MAX: u16 = 30;
