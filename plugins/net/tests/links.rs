//! Two nodes of one World, linked over real sockets on loopback.

use bytes::Bytes;
use dunlin_engine::bevy_ecs;
use dunlin_engine::prelude::*;
use dunlin_io::IoPlugin;
use dunlin_net::{
    Bound, Dial, FrameIn, FrameKinds, FrameOut, Identity, LinkPlugin, LinkSettings, Listen, Peer,
    PeerDown, PeerUp, UdpPlugin,
};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

const ASK: u8 = 0x20;
const ANSWER: u8 = 0x21;

/// What the test is told.
#[derive(Resource)]
struct Told(SyncSender<String>);

#[derive(Component)]
struct Caller;

fn set_out(mut commands: Commands) {
    for number in 0..2 {
        let mut random = Random::from_seed(1, number);
        let identity = Identity::generate(&mut random.0);
        let settings = LinkSettings {
            outbound: 0,
            ..LinkSettings::default()
        };
        let listen = Listen("127.0.0.1:0".parse().expect("an address"));
        let mut node = commands.spawn((Node, random, identity, settings, listen));
        if number == 0 {
            node.insert(Caller);
        }
    }
}

fn call(
    bound: Query<(Entity, &Bound, &Identity, Has<Caller>), Added<Bound>>,
    mut dials: MessageWriter<Dial>,
    mut commands: Commands,
) {
    let nodes: Vec<_> = bound.iter().collect();
    let caller = nodes.iter().find(|(_, _, _, caller)| *caller);
    let called = nodes.iter().find(|(_, _, _, caller)| !*caller);
    if let (Some((node, ..)), Some((_, address, identity, _))) = (caller, called) {
        dials.write(Dial {
            node: *node,
            link: commands.spawn_empty().id(),
            address: address.0,
            id: Some(identity.id()),
            anonymous: false,
        });
    }
}

fn talk(
    mut ups: MessageReader<PeerUp>,
    mut downs: MessageReader<PeerDown>,
    mut frames: MessageReader<FrameIn>,
    peers: Query<&Peer>,
    mut out: MessageWriter<FrameOut>,
    told: Res<Told>,
) {
    let mut say = |peer, kind, text: &str| {
        let body = Bytes::copy_from_slice(text.as_bytes());
        out.write(FrameOut { peer, kind, body });
    };
    for up in ups.read() {
        if peers.get(up.peer).is_ok_and(|peer| peer.outbound) {
            say(up.peer, ASK, "tea at four?");
        }
    }
    for frame in frames.read() {
        let text = String::from_utf8_lossy(&frame.body).into_owned();
        if frame.kind == ASK {
            say(frame.peer, ANSWER, "yes");
        }
        // A full channel means that the test has stopped listening.
        let _ = told.0.try_send(text);
    }
    for down in downs.read() {
        let _ = told.0.try_send(format!("{:?}", down.reason));
    }
}

#[test]
fn two_nodes_of_one_world_talk_over_real_sockets() {
    let (teller, told) = sync_channel(10);
    let mut app = App::new();
    app.add_plugins((IoPlugin, UdpPlugin::default(), LinkPlugin));
    app.add_plugins(move |app: &mut App| -> Result<(), BoxError> {
        app.world_mut().insert_resource(Told(teller.clone()));
        app.world_mut()
            .get_resource_or_init::<FrameKinds>()
            .claim([ASK, ANSWER], "test")?;
        app.add_startup(set_out);
        app.add_systems(Turn::Route, (call, talk));
        Ok(())
    });
    let running = Threaded::start(app).expect("the app starts");
    let next = || {
        told.recv_timeout(Duration::from_secs(20))
            .expect("they talk in time")
    };
    assert_eq!([next(), next()], ["tea at four?", "yes"]);
    drop(running.stop());
}
