//! Apps with UDP, and what tests ask of them.

use bytes::Bytes;
use dunlin_engine::bevy_ecs;
use dunlin_engine::prelude::*;
use dunlin_engine::{Clock, Items};
use dunlin_io::IoPlugin;
use dunlin_net::{Bound, DatagramIn, DatagramOut, Listen, UdpDrops, UdpPlugin};
use serde_json::{Value, json};
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

/// Longer than anything here takes; a wait that reaches it has failed.
pub const LIMIT: Duration = Duration::from_secs(20);

/// An app on its own thread, with two callers who may do everything.
pub struct Rig {
    pub client: Client,
    pub other: Client,
    pub drops: UdpDrops,
    /// Stops the app when it is dropped.
    pub running: Running,
}

/// An app on its own thread.
pub struct Running(Option<Threaded>);

impl Rig {
    pub fn start() -> Rig {
        Rig::with(UdpPlugin::default())
    }

    pub fn with(plugin: UdpPlugin) -> Rig {
        let mut app = App::new();
        app.add_plugins((IoPlugin, plugin));
        // The plugin keeps what it finds, so the test can look at the counters from outside.
        let drops = UdpDrops::default();
        app.world_mut().insert_resource(drops.clone());
        Rig {
            client: app.client(Grants::everything()),
            other: app.client(Grants::everything()),
            drops,
            running: Running(Some(Threaded::start(app).expect("the app starts"))),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(running) = self.0.take() {
            drop(running.stop());
        }
    }
}

/// What tests say to a caller.
pub trait Dgram {
    /// A call that succeeds.
    fn done(&self, name: &str, params: Value) -> Value;
    /// A call that fails: its code.
    fn fails(&self, name: &str, params: Value) -> String;
    /// A bound socket: handle and address.
    fn bind(&self, params: Value) -> AppSocket;
    /// Sends a body that succeeds: bytes sent.
    fn send(&self, params: Value, body: impl Into<Bytes>) -> u64;
    /// Sends a body that fails: its code.
    fn send_fails(&self, params: Value, body: impl Into<Bytes>) -> String;
    /// An open `udp.receive`.
    fn receive(&self, socket: u64) -> Items;
}

/// A socket as a caller knows it.
#[derive(Clone, Copy, Debug)]
pub struct AppSocket {
    pub socket: u64,
    pub at: SocketAddr,
}

impl Dgram for Client {
    fn done(&self, name: &str, params: Value) -> Value {
        let outcome = self.ask(name, params.clone(), LIMIT);
        outcome
            .unwrap_or_else(|error| panic!("{name} {params}: {} {error}", error.code))
            .value
    }

    fn fails(&self, name: &str, params: Value) -> String {
        match self.ask(name, params.clone(), LIMIT) {
            Ok(reply) => panic!("{name} {params} should fail, and answered {reply:?}"),
            Err(error) => error.code,
        }
    }

    fn bind(&self, params: Value) -> AppSocket {
        let bound = self.done("udp.bind", params);
        AppSocket {
            socket: bound["socket"].as_u64().expect("a handle"),
            at: address(&bound),
        }
    }

    fn send(&self, params: Value, body: impl Into<Bytes>) -> u64 {
        let sent = self.call("udp.send", params, body.into()).wait(LIMIT);
        sent.expect("sent").value["bytes"]
            .as_u64()
            .expect("a number of bytes")
    }

    fn send_fails(&self, params: Value, body: impl Into<Bytes>) -> String {
        let sent = self.call("udp.send", params, body.into()).wait(LIMIT);
        sent.expect_err("refused").code
    }

    fn receive(&self, socket: u64) -> Items {
        let items = self.open("udp.receive", json!({ "socket": socket }));
        items.wait_open(LIMIT).expect("the stream opens");
        items
    }
}

/// The address in an answer or item.
pub fn address(value: &Value) -> SocketAddr {
    let port = value["port"].as_u64().expect("a port");
    let host = value["address"].as_str().expect("an address");
    let text = match value["family"].as_str() {
        Some("IPv6") => format!("[{host}]:{port}"),
        Some("IPv4") => format!("{host}:{port}"),
        other => panic!("family {other:?}"),
    };
    text.parse().unwrap_or_else(|_| panic!("{text}"))
}

/// The next datagram of a stream: from whom, and what.
pub fn next(items: &Items) -> (SocketAddr, Bytes) {
    let item = items.wait(LIMIT).expect("a datagram");
    (address(&item.value), item.body)
}

/// The other side, without any of ours.
pub fn plain(at: &str) -> UdpSocket {
    let socket = UdpSocket::bind(at).expect("a plain socket");
    socket.set_read_timeout(Some(LIMIT)).expect("a limit");
    // Room for all that a test sends before it looks.
    let room = socket2::SockRef::from(&socket).set_recv_buffer_size(4 << 20);
    room.expect("a large buffer");
    socket
}

/// The next datagram of a plain socket.
pub fn next_plain(socket: &UdpSocket) -> (SocketAddr, Vec<u8>) {
    let mut bytes = vec![0; 65_536];
    let (length, from) = socket.recv_from(&mut bytes).expect("a datagram");
    bytes.truncate(length);
    (from, bytes)
}

/// An app whose turns the test runs itself.
pub struct ByHand {
    pub app: App,
    pub drops: UdpDrops,
    clock: Clock,
    rung: Receiver<()>,
}

/// What came in for nodes, all of it.
#[derive(Resource, Default)]
pub struct Came(pub Vec<DatagramIn>);

fn collect(mut came: ResMut<Came>, mut datagrams: MessageReader<DatagramIn>) {
    came.0.extend(datagrams.read().cloned());
}

impl ByHand {
    pub fn start() -> ByHand {
        ByHand::from(App::new())
    }

    pub fn from(mut app: App) -> ByHand {
        app.add_plugins((IoPlugin, UdpPlugin::default()));
        app.world_mut().init_resource::<Came>();
        app.add_systems(Turn::Decode, collect);
        app.start().expect("the app starts");
        let (ring, rung) = sync_channel(1);
        app.inbox().on_ring(move || {
            // Full means rung already.
            let _ = ring.try_send(());
        });
        ByHand {
            drops: app.world().resource::<UdpDrops>().clone(),
            app,
            clock: Clock::begin(),
            rung,
        }
    }

    pub fn node(&mut self, at: &str) -> Entity {
        let at: SocketAddr = at.parse().expect("an address");
        let node = self.app.world_mut().spawn((Node, Listen(at))).id();
        self.app.world_mut().flush();
        node
    }

    pub fn bound(&self, node: Entity) -> SocketAddr {
        self.app.world().get::<Bound>(node).expect("a bound node").0
    }

    pub fn send(&mut self, node: Entity, to: SocketAddr, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        self.app
            .push(Input::message(DatagramOut { node, to, bytes }));
    }

    pub fn turn(&mut self) {
        self.app.turn(self.clock.now());
    }

    /// Forgets what has been put into the inbox so far.
    pub fn drain_bell(&self) {
        while self.rung.try_recv().is_ok() {}
    }

    /// Waits until something has been put into the inbox, without a turn.
    pub fn wait_rung(&self) {
        self.rung.recv_timeout(LIMIT).expect("something comes in");
    }

    /// Runs turns until `done`.
    pub fn until(&mut self, mut done: impl FnMut(&mut App) -> bool) {
        let end = Instant::now() + LIMIT;
        loop {
            let next = self.app.turn(self.clock.now());
            if done(&mut self.app) {
                return;
            }
            assert!(Instant::now() < end, "it never came to pass");
            if next.is_none() {
                // Some outcomes ring no bell (a counter): so look again, every now and then.
                let _ = self.rung.recv_timeout(Duration::from_millis(20));
            }
        }
    }

    /// Runs turns until `count` datagrams have come in, and takes them.
    pub fn take(&mut self, count: usize) -> Vec<DatagramIn> {
        self.until(|app| app.world().resource::<Came>().0.len() >= count);
        std::mem::take(&mut self.app.world_mut().resource_mut::<Came>().0)
    }
}
