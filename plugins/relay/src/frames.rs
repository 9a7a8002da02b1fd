//! The relay's frames, and nothing about what they lead to. PROTOCOL 2.3

use crate::answers::{Known, Outcome, Reason};
use crate::mailbox::Claim;
use crate::packet::{DeleteSecret, Packet, PacketId};
use crate::rows::ListedRow;
use dunlin_net::PeerRow;

/// REFUSED, which links carry for every layer above them.
pub(crate) const REFUSED: u8 = 0x08;
pub(crate) const DEPOSIT: u8 = 0x20;
pub(crate) const DEPOSITED: u8 = 0x21;
pub(crate) const FETCH: u8 = 0x22;
pub(crate) const FETCHED: u8 = 0x23;
pub(crate) const SUBSCRIBE: u8 = 0x24;
pub(crate) const SUBSCRIBED: u8 = 0x25;
pub(crate) const PUSHED: u8 = 0x26;
pub(crate) const RECEIPT: u8 = 0x27;
pub(crate) const ENDED: u8 = 0x28;
pub(crate) const ASK: u8 = 0x29;
pub(crate) const ANSWER: u8 = 0x2a;
pub(crate) const FIND: u8 = 0x2b;
pub(crate) const FOUND: u8 = 0x2c;
pub(crate) const LIST: u8 = 0x36;
pub(crate) const LISTED: u8 = 0x37;
pub(crate) const PULL: u8 = 0x38;
pub(crate) const PULLED: u8 = 0x39;
/// The last of the numbers that are the relay's, now or later.
pub(crate) const LAST_RESERVED: u8 = 0x3b;

/// Whether a frame of this type answers another: what is wrong with it is counted, and never answered, or two peers could
/// refuse each other's refusals for ever.
pub(crate) fn is_answer(kind: u8) -> bool {
    matches!(
        kind,
        REFUSED
            | DEPOSITED
            | FETCHED
            | SUBSCRIBED
            | PUSHED
            | ENDED
            | ANSWER
            | FOUND
            | LISTED
            | PULLED
    )
}

/// One frame. `request` is the number by which whoever asks knows the answer.
#[derive(Debug, Clone)]
pub enum Frame {
    /// Please keep this packet.
    Deposit { request: u32, packet: Packet },
    /// What became of it, and the work in bits that the next one would need.
    Deposited {
        request: u32,
        outcome: Outcome,
        price: u8,
        id: PacketId,
    },
    /// What is there for this claim, after this id?
    Fetch {
        request: u32,
        claim: Claim,
        after: PacketId,
    },
    /// The next packet, if there is one, and how many more there are.
    Fetched {
        request: u32,
        left: u16,
        packet: Option<Packet>,
    },
    /// Send what is there and what comes, for as long as this link lives.
    Subscribe { request: u32, claim: Claim },
    /// It will be done.
    Subscribed { request: u32 },
    /// A packet for a subscriber.
    Pushed { packet: Packet },
    /// The recipient has it: end it.
    Receipt {
        request: u32,
        id: PacketId,
        secret: DeleteSecret,
    },
    /// It is ended, or was never here.
    Ended { request: u32, id: PacketId },
    /// What do you know of this packet?
    Ask { request: u32, id: PacketId },
    /// This.
    Answer {
        request: u32,
        id: PacketId,
        known: Known,
    },
    /// Who carries near the tags that begin so? At most `count` of them.
    Find {
        request: u32,
        target: [u8; 4],
        count: u8,
    },
    /// These, as far as the sender heard them itself.
    Found { request: u32, rows: Vec<PeerRow> },
    /// Which packets do you keep that belong with me, of ids after `after` up to `until`, round the end to the beginning?
    List {
        request: u32,
        after: PacketId,
        until: PacketId,
    },
    /// These, up to `next`.
    Listed {
        request: u32,
        next: PacketId,
        rows: Vec<ListedRow>,
    },
    /// Give me a copy of this packet.
    Pull { request: u32, id: PacketId },
    /// Here, or it is not here any more.
    Pulled {
        request: u32,
        packet: Option<Packet>,
    },
    /// No.
    Refused {
        kind: u8,
        reason: Reason,
        price: u8,
        request: u32,
    },
}

impl Frame {
    /// What was fetched, and how much more there is.
    pub(crate) fn fetched(&self) -> Option<(&Packet, u16)> {
        match self {
            Frame::Fetched { packet, left, .. } => Some((packet.as_ref()?, *left)),
            _ => None,
        }
    }

    /// The number of the request that it asks or answers; none for PUSHED.
    pub(crate) fn request(&self) -> Option<u32> {
        match self {
            Frame::Deposit { request, .. }
            | Frame::Deposited { request, .. }
            | Frame::Fetch { request, .. }
            | Frame::Fetched { request, .. }
            | Frame::Subscribe { request, .. }
            | Frame::Subscribed { request }
            | Frame::Receipt { request, .. }
            | Frame::Ended { request, .. }
            | Frame::Ask { request, .. }
            | Frame::Answer { request, .. }
            | Frame::Find { request, .. }
            | Frame::Found { request, .. }
            | Frame::List { request, .. }
            | Frame::Listed { request, .. }
            | Frame::Pull { request, .. }
            | Frame::Pulled { request, .. }
            | Frame::Refused { request, .. } => Some(*request),
            Frame::Pushed { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::BadFrame;
    use crate::mailbox::Mailbox;
    use crate::packet::Token;
    use crate::packet::tests::packet;
    use crate::packet::{Class, Tag};
    use bytes::Bytes;
    use proptest::prelude::*;

    fn row() -> PeerRow {
        PeerRow {
            id: [9; 32],
            address: "203.0.113.7:9000".parse().unwrap(),
            about: dunlin_net::About::CARRIES,
            minutes_silent: 2,
            minutes_up: 600,
        }
    }

    fn one_of_each() -> Vec<Frame> {
        let packet = || packet(Class::Small, Tag([1; 16]), 20_000, 3);
        let large = crate::packet::tests::packet(Class::Large, Tag([1; 16]), 20_000, 3);
        let (request, id) = (0x0403_0201, PacketId([5; 16]));
        let secret = || DeleteSecret::new([6; 16]);
        let claim = Mailbox::from_seed(&[1; 32]).day_key(3).claim(&[2; 32]);
        let reason = Reason::Full;
        vec![
            Frame::Deposit {
                request,
                packet: packet(),
            },
            Frame::Deposit {
                request,
                packet: large,
            },
            Frame::Deposited {
                request,
                outcome: Outcome::Stored,
                price: 3,
                id,
            },
            Frame::Deposited {
                request,
                outcome: Outcome::WasThere,
                price: 0,
                id,
            },
            Frame::Deposited {
                request,
                outcome: Outcome::WasEnded,
                price: 0,
                id,
            },
            Frame::Fetch {
                request,
                claim: claim.clone(),
                after: id,
            },
            Frame::Fetch {
                request,
                claim: Claim::Once(Token([8; 16])),
                after: id,
            },
            Frame::Fetched {
                request,
                left: 515,
                packet: Some(packet()),
            },
            Frame::Fetched {
                request,
                left: 0,
                packet: None,
            },
            Frame::Subscribe { request, claim },
            Frame::Subscribed { request },
            Frame::Pushed { packet: packet() },
            Frame::Receipt {
                request,
                id,
                secret: secret(),
            },
            Frame::Ended { request, id },
            Frame::Ask { request, id },
            Frame::Answer {
                request,
                id,
                known: Known::Unknown,
            },
            Frame::Answer {
                request,
                id,
                known: Known::Kept,
            },
            Frame::Answer {
                request,
                id,
                known: Known::Ended(secret()),
            },
            Frame::Refused {
                kind: DEPOSIT,
                reason,
                price: 12,
                request,
            },
        ]
    }

    fn one_of_look_up() -> Vec<Frame> {
        let request = 0x0403_0201;
        vec![
            Frame::Find {
                request,
                target: [1, 2, 3, 4],
                count: 20,
            },
            Frame::Found {
                request,
                rows: vec![row(), row()],
            },
        ]
    }

    fn one_of_all() -> impl Iterator<Item = Frame> {
        let all = [one_of_each(), one_of_repair(), one_of_look_up()];
        all.into_iter().flatten()
    }

    fn one_of_repair() -> Vec<Frame> {
        let (request, id) = (0x0403_0201, PacketId([5; 16]));
        let row = |n| ListedRow {
            id: PacketId([n; 16]),
            tag: [n, 2, 3, 4],
        };
        let listed = |count| Frame::Listed {
            request,
            next: id,
            rows: (0..count).map(row).collect(),
        };
        let pulled = |packet| Frame::Pulled { request, packet };
        vec![
            Frame::List {
                request,
                after: PacketId([1; 16]),
                until: PacketId([2; 16]),
            },
            listed(0),
            listed(crate::rows::ROWS_MAX as u8),
            Frame::Pull { request, id },
            pulled(None),
            pulled(Some(packet(Class::Small, Tag([1; 16]), 20_000, 3))),
        ]
    }

    // PROTOCOL 2.3
    #[test]
    fn every_frame_comes_back_from_its_bytes_and_from_no_fewer() {
        for frame in one_of_all() {
            let (kind, body) = frame.encode();
            let again = Frame::decode(kind, &body).unwrap().encode();
            assert_eq!(again, (kind, body.clone()), "{frame:?}");
            for cut in 0..body.len() {
                // FETCHED without its packet says that nothing is left, PULLED that it is gone.
                if (kind, cut) != (FETCHED, 6) && (kind, cut) != (PULLED, 4) {
                    assert!(
                        Frame::decode(kind, &body.slice(..cut)).is_err(),
                        "{frame:?} {cut}"
                    );
                }
            }
        }
    }

    fn are_these_bytes(frames: &[Frame], what: &str, name: &str) {
        let row = |frame: &Frame| {
            let (kind, body) = frame.encode();
            let name = format!("{frame:?}");
            let name = name.split([' ', '{']).next().unwrap_or_default().to_owned();
            serde_json::json!({
                "name": name.to_uppercase(),
                "type": kind,
                "body": data_encoding::HEXLOWER.encode(&body),
            })
        };
        let frames: Vec<serde_json::Value> = frames.iter().map(row).collect();
        let built = serde_json::json!({ "what": what, "frames": frames });
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/packet/");
        let path = format!("{folder}{name}");
        if std::env::var_os("DUNLIN_WRITE_VECTORS").is_some() {
            std::fs::write(&path, format!("{built:#}\n")).unwrap();
        }
        let kept: serde_json::Value =
            serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        assert_eq!(kept, built);
    }

    // PROTOCOL 2.3
    #[test]
    fn every_frame_is_these_bytes() {
        let what = "PROTOCOL 2.3: the bodies of the relay's frames";
        are_these_bytes(&one_of_each(), what, "frames.json");
    }

    // PROTOCOL 2.3, 3.12
    #[test]
    fn every_frame_of_repair_is_these_bytes() {
        let what = "PROTOCOL 2.3 and 3.12: the bodies of the frames of repair";
        are_these_bytes(&one_of_repair(), what, "repair.json");
    }

    // PROTOCOL 2.3, 3.13
    #[test]
    fn every_frame_of_look_up_is_these_bytes() {
        let what = "PROTOCOL 2.3 and 3.13: the bodies of the frames of look-up";
        are_these_bytes(&one_of_look_up(), what, "look_up.json");
    }

    // PROTOCOL 2.3
    #[test]
    fn fields_that_a_later_version_adds_at_the_end_are_ignored() {
        for frame in one_of_all() {
            let (kind, body) = frame.encode();
            if matches!(kind, DEPOSIT | FETCHED | PUSHED | PULLED) {
                continue; // They end in a packet, which has no end of its own to add to.
            }
            let longer: Bytes = [&body[..], &[0xee; 9]].concat().into();
            assert_eq!(Frame::decode(kind, &longer).unwrap().encode().1, body);
        }
    }

    // PROTOCOL 2.3
    #[test]
    fn numbers_of_later_versions_are_unsupported_and_keep_their_request() {
        for kind in (FOUND + 1..LIST).chain(PULLED + 1..=0x3f) {
            let bad = Frame::decode(kind, &Bytes::from_static(&[1, 2, 3, 4, 5])).unwrap_err();
            let reason = Reason::Unsupported;
            assert_eq!(
                bad,
                BadFrame {
                    reason,
                    request: 0x0403_0201
                }
            );
        }
    }

    #[test]
    fn a_packet_of_a_later_suite_is_unsupported_and_other_faults_are_malformed() {
        let (kind, body) = one_of_each()[0].encode();
        let refused = |at: usize, value: u8| {
            let mut body = body.to_vec();
            body[at] = value;
            Frame::decode(kind, &body.into()).unwrap_err().reason
        };
        assert_eq!(refused(4, 1), Reason::Unsupported); // Hints.
        assert_eq!(refused(5, 2), Reason::Unsupported); // Version.
        assert_eq!(refused(6, 0x10), Reason::Unsupported); // Suite.
        assert_eq!(refused(6, 0x05), Reason::Malformed); // Class.
        assert_eq!(refused(7, 1), Reason::Malformed); // Flags.
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(kind: u8, body in proptest::collection::vec(any::<u8>(), 0..1_200)) {
            let _ = Frame::decode(kind, &body.into());
        }
    }
}
