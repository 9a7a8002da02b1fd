//! Nodes in one World, joined by a wire that delays and loses datagrams, in virtual time.

#![allow(dead_code, reason = "each scenario uses a part of it")]

use bytes::Bytes;
use dunlin_engine::bevy_ecs::{self, prelude::*};
use dunlin_engine::{
    App, CallError, Client, ClockError, Due, Grants, Items, Node, Now, Random, Reply, Time, Timers,
    Virtual,
};
use dunlin_net::{
    Bound, DatagramIn, DatagramOut, Identity, LinkPlugin, LinkSettings, NetSystems, PeerId,
};
use dunlin_relay::{
    Cache, Carriers, DropReason, Drops, Mailbox, MailboxPublic, RelayPlugin, RelaySettings, Tag,
    prekey_tokens,
};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// 2026-01-01, noon, UTC.
pub const NOON: u64 = 1_767_268_800_000;
const DELAY: Duration = Duration::from_millis(20);

pub fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub fn minutes(n: u64) -> Duration {
    Duration::from_mins(n)
}

struct Arrive;

#[derive(Resource)]
struct Wire {
    loss_percent: u32,
    random: ChaCha20Rng,
    places: BTreeMap<SocketAddr, Entity>,
    cut: BTreeSet<SocketAddr>,
    under_way: BTreeMap<(Time, u64), DatagramIn>,
    sent: u64,
    clock: Entity,
    /// What a stranger on the path sees.
    seen: Vec<u8>,
}

fn carry(
    mut leaving: MessageReader<DatagramOut>,
    nodes: Query<&Bound>,
    mut wire: ResMut<Wire>,
    now: Res<Now>,
    mut timers: ResMut<Timers>,
) {
    for DatagramOut { node, to, bytes } in leaving.read() {
        let Ok(Bound(from)) = nodes.get(*node) else {
            continue;
        };
        wire.sent += 1;
        wire.seen.extend_from_slice(bytes);
        let lost = wire.random.next_u32() % 100 < wire.loss_percent;
        let cut = wire.cut.contains(from) || wire.cut.contains(to);
        if let Some(node) = wire.places.get(to).copied()
            && !lost
            && !cut
        {
            let (at, sent) = (now.time + DELAY, wire.sent);
            let (from, bytes) = (*from, bytes.clone());
            wire.under_way
                .insert((at, sent), DatagramIn { node, from, bytes });
        }
    }
    if let Some(((at, _), _)) = wire.under_way.first_key_value() {
        timers.set::<Arrive>(wire.clock, *at);
    }
}

fn arrive(
    mut due: MessageReader<Due<Arrive>>,
    mut wire: ResMut<Wire>,
    now: Res<Now>,
    mut incoming: MessageWriter<DatagramIn>,
) {
    if due.read().count() == 0 {
        return;
    }
    while let Some(first) = wire.under_way.first_entry()
        && first.key().0 <= now.time
    {
        incoming.write(first.remove());
    }
}

/// Somebody in the scene.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Who {
    number: u64,
    pub address: SocketAddr,
    pub id: PeerId,
    pub node: Entity,
}

pub struct Scene {
    pub run: Virtual,
    pub client: Client,
    entry: Vec<(Option<PeerId>, SocketAddr)>,
    next_address: u16,
    mailboxes: Vec<MailboxPublic>,
}

/// What differs between nodes.
#[derive(Default)]
pub struct Kind {
    pub carry: bool,
    pub mailbox: bool,
    pub outbox: Option<PathBuf>,
    pub seen: Option<PathBuf>,
    pub prekeys: Option<PathBuf>,
    pub clock_ms: i64,
    pub cache_bytes: Option<u64>,
    pub hand_over: bool,
}

pub fn carrier() -> Kind {
    Kind {
        carry: true,
        ..Kind::default()
    }
}

pub fn person() -> Kind {
    Kind {
        mailbox: true,
        ..Kind::default()
    }
}

impl Scene {
    pub fn new(seed: u64, loss_percent: u32) -> Scene {
        Scene::with(seed, loss_percent, |_| {})
    }

    pub fn with(seed: u64, loss_percent: u32, add: impl FnOnce(&mut App)) -> Scene {
        let mut app = App::new();
        app.add_plugins((LinkPlugin, RelayPlugin::default()));
        app.add_timer::<Arrive>();
        app.add_message::<DatagramIn>().add_message::<DatagramOut>();
        let clock = app.world_mut().spawn_empty().id();
        app.world_mut().insert_resource(Wire {
            loss_percent,
            random: ChaCha20Rng::seed_from_u64(seed),
            places: BTreeMap::new(),
            cut: BTreeSet::new(),
            under_way: BTreeMap::new(),
            sent: 0,
            clock,
            seen: Vec::new(),
        });
        app.add_systems(NetSystems::Receive, arrive);
        app.add_systems(NetSystems::Send, carry);
        add(&mut app);
        let client = app.client(Grants::everything());
        let run = Virtual::start(app, NOON).unwrap();
        Scene {
            run,
            client,
            entry: Vec::new(),
            next_address: 1,
            mailboxes: Vec::new(),
        }
    }

    pub fn world(&mut self) -> &mut World {
        self.run.app.world_mut()
    }

    /// Somebody new, or, with the number of somebody who was here, that one again at another address.
    pub fn spawn(&mut self, number: u64, kind: Kind) -> Who {
        let [high, low] = self.next_address.to_be_bytes();
        self.next_address += 1;
        let address = SocketAddr::from(([127, high, low, 1], 9_000));
        self.spawn_at(number, kind, address)
    }

    pub fn spawn_at(&mut self, number: u64, kind: Kind, address: SocketAddr) -> Who {
        let identity = Identity::generate(&mut ChaCha20Rng::seed_from_u64(number));
        let id = identity.id();
        let entry = self.entry.clone();
        let settings = RelaySettings {
            carry: kind.carry,
            cache_bytes: kind.cache_bytes.unwrap_or(16_000_000),
            hand_over: kind.hand_over,
            outbox: kind.outbox,
            seen: kind.seen,
            prekeys: kind.prekeys,
            ..RelaySettings::default()
        };
        let again = self.next_address.into();
        let mut spawned = self.run.app.world_mut().spawn((
            Node,
            Random::from_seed(number, again),
            Bound(address),
            LinkSettings {
                entry,
                ..LinkSettings::default()
            },
            ClockError(kind.clock_ms),
            settings,
            identity,
        ));
        if kind.mailbox {
            let mailbox = Mailbox::from_seed(&mailbox_seed(number));
            self.mailboxes.push(*mailbox.public());
            spawned.insert(mailbox);
        }
        let node = spawned.id();
        if self.entry.len() < 3 && kind.carry {
            self.entry.push((Some(id), address));
        }
        self.world()
            .resource_mut::<Wire>()
            .places
            .insert(address, node);
        Who {
            number,
            address,
            id,
            node,
        }
    }

    /// So many carriers that have found each other.
    pub fn carriers(&mut self, count: u64) -> Vec<Who> {
        let all: Vec<Who> = (0..count)
            .map(|n| self.spawn(1_000 + n, carrier()))
            .collect();
        self.run.run_for(minutes(15));
        all
    }

    /// Waits until somebody knows at least so many carriers.
    pub fn knows(&mut self, who: Who, count: usize) {
        let known = |app: &mut App| {
            let book = app
                .world()
                .get::<dunlin_net::AddressBook>(who.node)
                .unwrap();
            book.entries()
                .filter(|peer| peer.about.carries() && peer.id != who.id)
                .count()
        };
        let done = self.run.run_until(minutes(30), |app| known(app) >= count);
        assert!(done, "{who:?} knows {} carriers", known(&mut self.run.app));
    }

    /// From now on nothing reaches them, and nothing comes from them.
    pub fn cut(&mut self, who: Who) {
        self.world().resource_mut::<Wire>().cut.insert(who.address);
    }

    /// They can be reached again.
    pub fn join(&mut self, who: Who) {
        self.world().resource_mut::<Wire>().cut.remove(&who.address);
    }

    /// They end, without a word.
    pub fn end(&mut self, who: Who) {
        self.cut(who);
        self.world().despawn(who.node);
    }

    pub fn call(&mut self, name: &str, params: Value, body: &[u8]) -> Result<Reply, CallError> {
        let ticket = self.client.call(name, params, Bytes::copy_from_slice(body));
        let mut answer = None;
        self.run.run_until(seconds(10), |_| {
            answer = ticket.take();
            answer.is_some()
        });
        answer.expect("an answer")
    }

    pub fn card(&mut self, who: Who) -> String {
        let params = json!({ "node": who.id.to_string(), "addresses": [] });
        let card = self.call("relay.card", params, b"").unwrap();
        card.value.as_str().unwrap().to_owned()
    }

    /// Sends a text, and gives back its id.
    pub fn send(&mut self, from: Who, card: &str, text: &str) -> String {
        let params = json!({ "node": from.id.to_string(), "to": card, "text": text });
        let sent = self.call("relay.send", params, b"").unwrap();
        sent.value["id"].as_str().unwrap().to_owned()
    }

    pub fn own(&mut self, who: Who, message: &str) -> Value {
        let params = json!({ "node": who.id.to_string() });
        let outbox = self.call("relay.outbox", params, b"").unwrap();
        let all = outbox.value.as_array().unwrap();
        all.iter()
            .find(|told| told["id"] == message)
            .unwrap()
            .clone()
    }

    /// Waits until a message of somebody's is in this state; `stored` means at 8 carriers or all there are.
    pub fn until_state(&mut self, who: Who, message: &str, state: &str, limit: Duration) -> Value {
        let end = self.run.now().time + limit;
        loop {
            let told = self.own(who, message);
            if told["state"] == state && (state != "stored" || told["stored"].as_u64() >= Some(8)) {
                return told;
            }
            assert!(self.run.now().time < end, "still {told}");
            self.run.run_for(seconds(1));
        }
    }

    pub fn receive(&mut self, who: Who) -> Items {
        let items = self
            .client
            .open("relay.receive", json!({ "node": who.id.to_string() }));
        self.run.turn();
        items.opened().expect("at once").expect("a mailbox");
        items
    }

    pub fn next(&mut self, items: &Items, limit: Duration) -> Option<Reply> {
        let mut item = None;
        self.run.run_until(limit, |_| {
            item = items.take();
            item.is_some()
        });
        item
    }

    pub fn confirm(&mut self, who: Who, item: &Reply) {
        let params = json!({ "node": who.id.to_string(), "id": item.value["id"] });
        self.call("relay.confirm", params, b"").unwrap();
    }

    pub fn drops(&self, who: Who, reason: DropReason) -> u64 {
        self.run
            .app
            .world()
            .get::<Drops>(who.node)
            .unwrap()
            .get(reason)
    }

    /// What somebody keeps for others, but for records of prekeys.
    pub fn packets(&self, who: Who) -> usize {
        let now = self.run.now();
        let day = dunlin_relay::day_of(now.unix_ms);
        let cache = self.run.app.world().get::<Cache>(who.node).unwrap();
        let all = cache.longest_lived(cache.len(), now.time);
        let is_record = |tag: Tag| {
            let mut mailboxes = self.mailboxes.iter();
            mailboxes.any(|mailbox| {
                let mut tokens = prekey_tokens(mailbox, day).into_iter();
                tokens.any(|token| token.tag() == tag)
            })
        };
        let mail = all.iter().filter(|packet| !is_record(packet.tag()));
        mail.count()
    }

    pub fn known(&self, who: Who) -> usize {
        self.run
            .app
            .world()
            .get::<Carriers>(who.node)
            .unwrap()
            .list()
            .len()
    }

    pub fn wire_has_shown(&mut self, text: &[u8]) -> bool {
        let seen = &self.world().resource::<Wire>().seen;
        seen.windows(text.len()).any(|window| window == text)
    }
}

pub fn mailbox_seed(number: u64) -> [u8; 32] {
    *blake3::hash(&number.to_le_bytes()).as_bytes()
}
