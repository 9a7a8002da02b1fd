//! All limits of links together, and how they follow from each other. PROTOCOL 2 and 5.

use std::time::Duration;

/// Bytes of UDP payload, at most: IPv6's least MTU (RFC 8200, 5) less its headers and room for a tunnel.
// PROTOCOL 2.1
pub const DATAGRAM_BYTES_MAX: usize = 1_200;
/// Bytes before what a datagram carries.
// PROTOCOL 2.1
pub const HEADER_BYTES: usize = 16;
/// Bytes of an authentication tag (RFC 8439).
pub const TAG_BYTES: usize = 16;
/// Bytes of a cookie.
pub const COOKIE_BYTES: usize = 16;
/// Bytes of frames that fit one datagram.
pub const PLAIN_BYTES_MAX: usize = DATAGRAM_BYTES_MAX - HEADER_BYTES - TAG_BYTES;
/// Bytes before a frame's body.
pub const FRAME_HEADER_BYTES: usize = 3;
/// Bytes of a frame's body, at most.
pub const FRAME_BODY_BYTES_MAX: usize = PLAIN_BYTES_MAX - FRAME_HEADER_BYTES;

/// Links of a node, both ways.
// PROTOCOL 5
pub const LINKS_MAX: usize = 64;
/// Of those, how many a node makes by itself.
// PROTOCOL 5
pub const LINKS_OUTBOUND: usize = 8;
/// Links that others made: the rest, or strangers could take the places that a node needs for links of its own choice.
pub(crate) const LINKS_INBOUND_MAX: usize = LINKS_MAX - LINKS_OUTBOUND;
/// Of those, how many may come from one prefix; guess. One host with many identities could otherwise take them all.
pub(crate) const LINKS_INBOUND_PREFIX_MAX: usize = 16;
/// Of the links a node makes by itself, how many may lie in one /16: two, so eight lie in four.
pub(crate) const LINKS_WIDE_PREFIX_MAX: usize = 2;

/// Sessions whose initiator has not proved itself yet; more would be a stranger's memory to fill.
// PROTOCOL 2.2
pub const HALF_OPEN_MAX: usize = 256;
/// Of those, how many from one prefix (3.6).
// PROTOCOL 2.2
pub(crate) const HALF_OPEN_PREFIX_MAX: usize = 8;
/// And how many through one neighbour's circuits; guess.
// PROTOCOL 2.5
pub(crate) const HALF_OPEN_CIRCUITS_MAX: usize = 32;
/// How long such a session waits for its proof: as long as an initiator goes on.
pub(crate) const HALF_OPEN_AGE_MAX: Duration = HANDSHAKE_AGE_MAX;
/// Handshakes under way that this node began.
// PROTOCOL 5
pub(crate) const DIALS_MAX: usize = 256;
/// Links and dials of a node together.
pub const LINK_ROWS_MAX: usize = LINKS_MAX + 2 * NESTED_MAX + DIALS_MAX;
/// Ends of circuits at a node: of each that it passes on two, and one of each that it has itself.
pub const CIRCUIT_ENDS_MAX: usize = 2 * CIRCUITS_MAX + NESTED_MAX;

/// Circuits that others have through a node, or to it. A node nests no more than half as many links of its own.
// PROTOCOL 5
pub const CIRCUITS_MAX: usize = 256;
/// Of those, how many one link may have asked for; guess.
// PROTOCOL 5
pub(crate) const CIRCUITS_LINK_MAX: usize = 64;
/// Links nested in circuits, of our own and of others, each; they do not count among `LINKS_MAX`.
// PROTOCOL 5
pub(crate) const NESTED_MAX: usize = CIRCUITS_MAX / 2;
/// How often a link may ask for a circuit: a burst, then so many a second; guess. A message of 64 KiB takes some sixty of each of eight neighbours.
// PROTOCOL 5
pub(crate) const CIRCUITS_ASKED_BURST: u32 = 128;
pub(crate) const CIRCUITS_ASKED_SECOND: u32 = 8;
/// A circuit of others through which nothing came for so long makes room: PINGs come every 25 s.
pub(crate) const CIRCUIT_IDLE: Duration = Duration::from_secs(120);
/// Neighbours last chosen that are remembered, so that links to one peer go through different ones.
pub(crate) const CIRCUITS_REMEMBERED: usize = 512;
/// How long a neighbour has to open a circuit, its own dial included, until another is asked; guess.
pub(crate) const CIRCUIT_WAIT: Duration = Duration::from_millis(2_500);
/// Neighbours that are asked for one link.
pub(crate) const CIRCUIT_TRIES: usize = 3;
/// A dial for somebody else is given up after so long without a cookie: three datagrams to an address that may not want any.
// PROTOCOL 2.5
pub(crate) const CIRCUIT_DIAL_MAX: Duration = Duration::from_millis(1_500);
/// Then nobody is dialled there for others for so long,
// PROTOCOL 2.5
pub(crate) const CIRCUIT_VAIN: Duration = Duration::from_secs(120);
/// and so many such addresses are remembered.
pub(crate) const CIRCUITS_VAIN_MAX: usize = 256;
/// A link that was made for circuits ends when it has had none for about so long.
pub(crate) const CIRCUIT_LINK_IDLE: Duration = Duration::from_secs(30);
/// Bytes of a frame around a nested datagram: header and handle.
pub(crate) const CIRCUIT_FRAME_BYTES: usize = FRAME_HEADER_BYTES + 4;
/// Bytes of a nested datagram, at most.
// PROTOCOL 2.5
pub(crate) const NESTED_BYTES_MAX: usize = PLAIN_BYTES_MAX - CIRCUIT_FRAME_BYTES;
/// Bytes of a frame's body on a nested link, at most: a large packet and what stands around it.
pub const NESTED_BODY_BYTES_MAX: usize =
    NESTED_BYTES_MAX - HEADER_BYTES - TAG_BYTES - FRAME_HEADER_BYTES;

/// How often a stranger's prefix may ask for public-key work: a burst, then so many a second; guess. One handshake costs
/// about 0.3 ms, so a prefix takes at most 0.6 % of a core.
pub(crate) const HANDSHAKES_PREFIX_BURST: u32 = 32;
pub(crate) const HANDSHAKES_PREFIX_SECOND: u32 = 2;
/// The same for those whom one neighbour's circuits bring; guess.
pub(crate) const HANDSHAKES_CIRCUITS_BURST: u32 = 128;
pub(crate) const HANDSHAKES_CIRCUITS_SECOND: u32 = 8;
/// Prefixes of which that is remembered; when full, who asked longest ago is forgotten.
pub(crate) const HANDSHAKES_PREFIXES_MAX: usize = 1_024;
/// The same over all prefixes: a quarter of a core.
pub(crate) const HANDSHAKES_BURST: u32 = 1_024;
pub(crate) const HANDSHAKES_SECOND: u32 = 800;

/// First wait for an answer to a handshake message; each next is twice as long.
pub(crate) const HANDSHAKE_RETRY_FIRST: Duration = Duration::from_millis(250);
/// No wait is longer: 26 messages in all, so that with half of them lost each way about
/// 995 dials of 1,000 come up.
pub(crate) const HANDSHAKE_RETRY_MAX: Duration = Duration::from_secs(1);
/// After this a dial has failed.
pub(crate) const HANDSHAKE_AGE_MAX: Duration = Duration::from_secs(24);
/// After so long without a word on a session that we began, the responder has forgotten it: with half of all datagrams lost, three
/// times in four it has not, and then nothing is lost but a handshake.
pub(crate) const UNHEARD_MAX: Duration = Duration::from_secs(4);
/// Of two peers that dial each other at once the one with the greater id gives way, for so long.
pub(crate) const SIMULTANEOUS_AGE_MAX: Duration = Duration::from_secs(3);

/// The cookie secret changes this often; the one before is accepted too.
// PROTOCOL 2.2
pub(crate) const COOKIE_AGE: Duration = Duration::from_secs(60);

/// Messages of a session, at most.
// PROTOCOL 2.2
pub(crate) const SESSION_MESSAGES_MAX: u64 = 1 << 48;
/// Age at which its initiator makes a new one.
// PROTOCOL 2.2
pub(crate) const SESSION_REKEY_AGE: Duration = Duration::from_secs(600);
/// Age at which it ends.
// PROTOCOL 2.2
pub(crate) const SESSION_AGE_MAX: Duration = Duration::from_secs(660);

/// The session before the present one goes when the other side has not used it for so long: what was under way has come, or is lost.
pub(crate) const PREVIOUS_SILENCE_MAX: Duration = Duration::from_secs(60);

/// The initiator sends PING when it has sent nothing for so long: half a NAT mapping's least lifetime in practice.
// PROTOCOL 2.2
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(25);
/// Either side sends PING when what it sent has had no answer for so long: who talks to a dead peer learns of it.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Waits after each PING: 15.5 s in all. Ten in that time and not six, since with 30 % lost each way six in a row are lost so often
/// that 22 of 100 idle links fell within five minutes (measured in `tests/links.rs`; with ten, 4).
// PROTOCOL 2.2
pub(crate) const PROBE_WAITS: [Duration; 10] = [
    Duration::from_millis(500),
    Duration::from_millis(500),
    Duration::from_millis(1_000),
    Duration::from_millis(1_000),
    Duration::from_millis(1_500),
    Duration::from_millis(2_000),
    Duration::from_millis(2_000),
    Duration::from_millis(2_000),
    Duration::from_millis(2_500),
    Duration::from_millis(2_500),
];
/// The responder calls a link lost after so long without a word.
// PROTOCOL 2.2
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(60);
/// A timer is moved only if its new time is at least this much later: a busy link does not touch it with each datagram.
pub(crate) const TIMER_SLACK: Duration = Duration::from_secs(5);

/// Rows of a PEERS frame.
// PROTOCOL 2.3
pub const PEERS_ROWS_MAX: usize = 20;
/// Bytes of a row.
// PROTOCOL 2.3
pub const PEERS_ROW_BYTES: usize = 56;
/// One answer to PEERS_ASK a link in so long; more would let a stranger read the book out.
pub(crate) const PEERS_ANSWER_WAIT: Duration = Duration::from_secs(10);
/// How often a node asks a peer for more, while it has too few links: as soon as that may answer again. The waits between its rounds
/// double, so who has learnt of nobody new for a while asks seldom. (With 60 s here one start in ten of twelve nodes that all began at
/// once, with 10 % lost each way, took 100 to 171 s until each knew eight others.)
pub(crate) const PEERS_ASK_WAIT_FEW: Duration = Duration::from_secs(11);
/// And when it has enough; guess.
pub(crate) const PEERS_ASK_WAIT: Duration = Duration::from_secs(600);
/// A REFUSED is longer than an empty frame: so many a datagram, or one of 400 frames would draw four times its bytes.
pub(crate) const REFUSED_A_DATAGRAM_MAX: usize = 8;

/// The address book's rows heard of, in buckets by who told us.
pub(crate) const BOOK_NEW_BUCKETS: usize = 64;
/// Buckets that one telling prefix can reach: so it fills at most an eighth.
pub(crate) const BOOK_NEW_BUCKETS_A_SOURCE: usize = 8;
/// Rows a bucket.
pub(crate) const BOOK_BUCKET_ROWS: usize = 16;
/// The address book's rows that were linked to, in buckets by their own prefix.
pub(crate) const BOOK_TRIED_BUCKETS: usize = 32;
/// Buckets that one prefix (/16) can reach.
pub(crate) const BOOK_TRIED_BUCKETS_A_PREFIX: usize = 4;
/// Rows of the book in all.
pub const BOOK_ROWS_MAX: usize = (BOOK_NEW_BUCKETS + BOOK_TRIED_BUCKETS) * BOOK_BUCKET_ROWS;
/// Failed dials after which a row heard of makes room.
pub(crate) const BOOK_FAILURES_MAX: u8 = 3;
/// Links noted to come back to first after a restart, so that an attacker cannot choose our neighbours by ending us.
pub(crate) const BOOK_ANCHORS: usize = 2;
/// A gap in hearing a peer after which it counts as newly seen.
pub(crate) const BOOK_GAP_MS_MAX: u64 = 3_600_000;
/// While a peer is heard, the book is told of it this often: seldom enough to cost nothing, often against the 20 minutes that
/// a carrier must have been seen.
pub(crate) const HEARD_WAIT: Duration = Duration::from_secs(60);
/// The book is saved so long after a change.
pub(crate) const BOOK_SAVE_WAIT: Duration = Duration::from_secs(60);
/// How long until a row is dialled again after a failure; doubled by each further one, 64-fold at most.
pub(crate) const REDIAL_WAIT_MS: u64 = 30_000;
/// The addresses to begin with are dialled this often at most.
pub(crate) const ENTRIES_WAIT: Duration = Duration::from_secs(30);
/// How seldom a node with too few links looks for more, once it has found nobody for a while: an idle node with few peers to know stays
/// asleep.
pub(crate) const FILL_WAIT_MAX: Duration = Duration::from_secs(300);

const _: () = assert!(PEERS_ASK_WAIT_FEW.as_secs() > PEERS_ANSWER_WAIT.as_secs());
const _: () = assert!(FRAME_HEADER_BYTES + 5 + PEERS_ROWS_MAX * PEERS_ROW_BYTES <= PLAIN_BYTES_MAX);
const _: () = assert!(NESTED_BODY_BYTES_MAX >= 5 + PEERS_ROWS_MAX * PEERS_ROW_BYTES);
const _: () = assert!(NESTED_BODY_BYTES_MAX >= 1_088 + 22); // The longest frame with a packet.
const _: () = assert!(LINKS_OUTBOUND / LINKS_WIDE_PREFIX_MAX >= 4);
const _: () = assert!(LINKS_INBOUND_PREFIX_MAX * 2 <= LINKS_INBOUND_MAX);
const _: () = assert!(HALF_OPEN_PREFIX_MAX * 16 <= HALF_OPEN_MAX);
const _: () = assert!(BOOK_NEW_BUCKETS_A_SOURCE * 8 <= BOOK_NEW_BUCKETS);
const _: () = assert!(
    SESSION_REKEY_AGE.as_secs() + 2 * HANDSHAKE_AGE_MAX.as_secs() <= SESSION_AGE_MAX.as_secs()
);
const _: () = assert!(KEEP_ALIVE.as_secs() * 2 < SILENCE_MAX.as_secs());
const _: () = assert!(HANDSHAKE_AGE_MAX.as_secs() < COOKIE_AGE.as_secs());
