//! A carrier and four strangers with links to it: the input is what they ask, well-formed or not. The carrier stays within
//! its memory, answers what it must, hands a packet out only under a tag that was proved on that link and only as it was
//! deposited, and never again once it was ended.

use dunlin_engine::bevy_ecs::{self, prelude::*};
use dunlin_engine::prelude::*;
use dunlin_net::{About, FrameIn, FrameOut, Identity, LinkPlugin, LinkSettings, Peer, PeerDown};
use dunlin_net::{DownReason, NetSystems, PeerId};
use dunlin_relay::{Cache, Claim, DeleteSecret, Mailbox, Packet, RelayPlugin, Token, Tombstones};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const STEPS_MAX: usize = 256;
const STRANGERS: u8 = 4;
/// Small, so that a script of some hundred steps fills it.
const CACHE_BYTES: u64 = 100_000;
const START_UNIX_MS: u64 = 1_790_000_000_000;
const TODAY: u16 = (START_UNIX_MS / 86_400_000) as u16;
/// PROTOCOL 4.3, less the hours that a single step may take.
const SURELY_ENDED: Duration = Duration::from_hours(40);

const DEPOSIT: u8 = 0x20;
const FETCH: u8 = 0x22;
const FETCHED: u8 = 0x23;
const SUBSCRIBE: u8 = 0x24;
const PUSHED: u8 = 0x26;
const RECEIPT: u8 = 0x27;
const ASK: u8 = 0x29;
const REFUSED: u8 = 0x08;

#[derive(Resource, Default)]
struct Said(Vec<FrameOut>);

fn listen(mut said: ResMut<Said>, mut out: MessageReader<FrameOut>) {
    said.0.extend(out.read().cloned());
}

fn strangers(app: &mut App) -> Result<(), BoxError> {
    app.world_mut().init_resource::<Said>();
    app.add_systems(NetSystems::Send, listen);
    Ok(())
}

/// One run.
pub fn carrier(bytes: &[u8]) {
    let mut run = Run::new();
    let mut script = bytes.iter().copied();
    for _ in 0..STEPS_MAX {
        let Some(what) = script.next() else { break };
        run.step(what, &mut script);
    }
}

struct Stranger {
    peer: Entity,
    hash: [u8; 32],
    /// Tags shown with a claim that holds.
    proved: BTreeSet<[u8; 16]>,
}

struct Run {
    run: Virtual,
    node: Entity,
    ids: Vec<PeerId>,
    strangers: Vec<Stranger>,
    mailboxes: [Mailbox; 2],
    /// What was deposited, whether or not it was kept: bytes with the nonce zeroed.
    deposited: BTreeMap<[u8; 16], Vec<u8>>,
    ended: BTreeMap<[u8; 16], Time>,
    last: [u8; 16],
    request: u32,
    links: u8,
}

impl Run {
    fn new() -> Run {
        let mut app = App::new();
        let relay = RelayPlugin {
            cache_bytes: CACHE_BYTES,
            ..RelayPlugin::default()
        };
        app.add_plugins((
            LinkPlugin,
            relay,
            strangers as fn(&mut App) -> Result<(), BoxError>,
        ));
        let mut run = Virtual::start(app, START_UNIX_MS).expect("nothing is missing");
        let mut random = Random::from_seed(1, 0);
        let identity = Identity::generate(&mut random.0);
        let ids = (0..STRANGERS).map(|_| Identity::generate(&mut random.0).id());
        let ids = ids.collect();
        let settings = LinkSettings {
            outbound: 0,
            ..LinkSettings::default()
        };
        let node = run
            .app
            .world_mut()
            .spawn((Node, random, identity, settings))
            .id();
        run.turn();
        let mut run = Run {
            run,
            node,
            ids,
            strangers: Vec::new(),
            mailboxes: [Mailbox::from_seed(&[1; 32]), Mailbox::from_seed(&[2; 32])],
            deposited: BTreeMap::new(),
            ended: BTreeMap::new(),
            last: [0; 16],
            request: 0,
            links: 0,
        };
        for number in 0..STRANGERS {
            let stranger = run.link(number);
            run.strangers.push(stranger);
        }
        run
    }

    fn link(&mut self, number: u8) -> Stranger {
        self.links = self.links.wrapping_add(1);
        let hash = [self.links; 32];
        let peer = Peer {
            node: self.node,
            id: self.ids[usize::from(number)],
            // Two of them share a prefix.
            address: ([203, 0, 113 + number / 2, 1 + number], 4242).into(),
            anonymous: true,
            hidden: false,
            outbound: false,
            handshake_hash: hash,
            about: About::TAKES_LINKS,
            since: self.run.now().time,
        };
        Stranger {
            peer: self.run.app.world_mut().spawn(peer).id(),
            hash,
            proved: BTreeSet::new(),
        }
    }

    fn step(&mut self, what: u8, script: &mut impl Iterator<Item = u8>) {
        let mut byte = || script.next().unwrap_or(0);
        let number = what >> 4 & 3;
        match what & 0x0f {
            0 => {
                let kind = DEPOSIT + byte() % 0x16;
                let body: Vec<u8> = (0..byte()).map(|_| byte()).collect();
                self.says(number, kind, body);
            }
            1..6 => self.deposit(number, byte(), byte(), byte()),
            6 => {
                for filling in 0..byte() {
                    self.deposit(number, what >> 6, 0, filling);
                }
            }
            7 | 8 => self.claim(number, FETCH, byte(), byte()),
            9 => self.claim(number, SUBSCRIBE, byte(), byte()),
            10 | 11 => self.receipt(number, byte(), byte()),
            12 => {
                let id = self.some_id(byte());
                self.asks(number, ASK, &id);
            }
            13 => self.run.run_for(Duration::from_secs(1 << (byte() % 17))), // Up to 18 hours.
            14 => {
                let down = PeerDown {
                    node: self.node,
                    peer: self.strangers[usize::from(number)].peer,
                    reason: DownReason::Lost,
                };
                let world = self.run.app.world_mut();
                world.write_message(down);
                self.run.turn();
                self.run.app.world_mut().despawn(down.peer);
                self.strangers[usize::from(number)] = self.link(number);
            }
            _ => {
                let request = self.run.now().time.0 as u32;
                let body = [&request.to_le_bytes()[..], &[byte(), byte()]].concat();
                self.says(number, REFUSED, body);
            }
        }
    }

    /// A packet whose header is sound; its body only tells it from others.
    fn deposit(&mut self, number: u8, tag: u8, life: u8, filling: u8) {
        let large = filling & 1 == 1;
        let mut packet = vec![filling; if large { 1_088 } else { 320 }];
        let day = TODAY.wrapping_sub(2).wrapping_add(u16::from(life >> 4 & 3));
        let expiry = 1 + u16::from(life & 0x0f) * 22;
        let secret = DeleteSecret::new([filling; 16]);
        packet[..4].copy_from_slice(&[1, u8::from(large), 0, 0]);
        packet[4..6].copy_from_slice(&day.to_le_bytes());
        packet[6..8].copy_from_slice(&expiry.to_le_bytes());
        packet[8..16].copy_from_slice(&[tag; 8]);
        packet[16..32].copy_from_slice(&self.tag(tag));
        packet[32..48].copy_from_slice(&secret.hash());
        let parsed = Packet::parse(packet.clone().into()).expect("a sound header");
        self.last = parsed.id().0;
        self.deposited.insert(self.last, without_nonce(&packet));
        self.asks(number, DEPOSIT, &[&[0], &packet[..]].concat());
    }

    /// One of four: a day of either mailbox, or a tag of a token that all know.
    fn tag(&self, which: u8) -> [u8; 16] {
        match which & 3 {
            0 => self.mailboxes[0].public().tag(TODAY).0,
            1 => self.mailboxes[1].public().tag(TODAY).0,
            other => Token([other; 16]).tag().0,
        }
    }

    fn claim(&mut self, number: u8, kind: u8, which: u8, how: u8) {
        let stranger = &mut self.strangers[usize::from(number)];
        // Now and then on another link's handshake, which proves nothing.
        let holds = how & 0x0f != 0x0f;
        let hash = if holds { stranger.hash } else { [0xee; 32] };
        let claim = match which & 3 {
            mailbox @ (0 | 1) => self.mailboxes[usize::from(mailbox)]
                .day_key(TODAY)
                .claim(&hash),
            other => Claim::Once(Token([other; 16])),
        };
        let mut body = Vec::new();
        match claim {
            Claim::Mailbox { day_key, signature } => {
                body.push(0);
                body.extend(day_key);
                body.extend(signature);
            }
            Claim::Once(token) => {
                body.push(1);
                body.extend(token.0);
            }
        }
        let tag = self.tag(which);
        if holds || which & 3 > 1 {
            self.strangers[usize::from(number)].proved.insert(tag);
        }
        if kind == FETCH {
            body.extend(if how & 0x10 == 0 { [0; 16] } else { self.last });
        }
        self.asks(number, kind, &body);
    }

    fn receipt(&mut self, number: u8, which: u8, how: u8) {
        let id = self.some_id(which);
        let Some(packet) = self.deposited.get(&id) else {
            return;
        };
        let right = how & 3 != 3;
        let secret = [if right { packet[48] } else { !packet[48] }; 16];
        let world = self.run.app.world();
        let now = self.run.now().time;
        let held = world
            .get::<Cache>(self.node)
            .is_some_and(|cache| cache.holds(dunlin_relay::PacketId(id), now));
        self.asks(number, RECEIPT, &[id, secret].concat());
        if right && held {
            self.ended.insert(id, now);
        }
    }

    fn some_id(&self, which: u8) -> [u8; 16] {
        let place = usize::from(which) % self.deposited.len().max(1);
        self.deposited
            .keys()
            .nth(place)
            .copied()
            .unwrap_or(self.last)
    }

    /// Asks with a number of its own, which must be answered exactly once in the same turn.
    fn asks(&mut self, number: u8, kind: u8, body: &[u8]) {
        self.request += 1;
        let request = self.request.to_le_bytes();
        let said = self.says(number, kind, [&request, body].concat());
        let answers = said.iter().filter(|frame| match frame.kind {
            PUSHED => false,
            REFUSED => frame.body[4..8] == request,
            _ => frame.body[..4] == request,
        });
        assert_eq!(answers.count(), 1, "{said:?}");
    }

    /// Lets a stranger say something, and gives what the carrier answered.
    fn says(&mut self, number: u8, kind: u8, body: Vec<u8>) -> Vec<FrameOut> {
        let frame = FrameIn {
            node: self.node,
            peer: self.strangers[usize::from(number)].peer,
            kind,
            body: body.into(),
        };
        self.run.app.world_mut().write_message(frame);
        self.run.turn();
        let said = std::mem::take(&mut self.run.app.world_mut().resource_mut::<Said>().0);
        for frame in &said {
            let packet = match frame.kind {
                FETCHED => &frame.body[6..],
                PUSHED => &frame.body[..],
                _ => continue,
            };
            if !packet.is_empty() {
                self.may_have(frame.peer, packet);
            }
        }
        self.check_bounds();
        said
    }

    fn may_have(&self, peer: Entity, packet: &[u8]) {
        let id = Packet::parse(packet.to_vec().into())
            .expect("carriers hand out packets")
            .id()
            .0;
        let stranger = self.strangers.iter().find(|stranger| stranger.peer == peer);
        let stranger = stranger.expect("carriers talk to who is there");
        assert!(
            stranger.proved.contains(&packet[16..32]),
            "handed out under a tag that was not proved"
        );
        assert_eq!(
            self.deposited[&id],
            without_nonce(packet),
            "handed out altered"
        );
        if let Some(at) = self.ended.get(&id) {
            assert!(
                self.run.now().time - *at > SURELY_ENDED,
                "handed out after it was ended"
            );
        }
    }

    fn check_bounds(&mut self) {
        let world = self.run.app.world();
        let cache = world.get::<Cache>(self.node).expect("a carrier has one");
        assert!(cache.bytes() <= CACHE_BYTES);
        let tombstones = world
            .get::<Tombstones>(self.node)
            .expect("a carrier has them");
        assert!(tombstones.bytes() <= 2_000_000);
    }
}

fn without_nonce(packet: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    packet[8..16].fill(0);
    packet
}
