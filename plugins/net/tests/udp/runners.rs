//! The same code under the Inline runner, on one thread.

use crate::support::*;
use dunlin_engine::prelude::*;
use dunlin_io::{Inline, IoPlugin};
use dunlin_net::{Bound, DatagramIn, DatagramOut, Listen, UdpPlugin};
use std::net::SocketAddr;
use std::sync::mpsc::sync_channel;

fn echo(
    mut came: MessageReader<DatagramIn>,
    mut out: MessageWriter<DatagramOut>,
    mut exit: ResMut<dunlin_engine::Exit>,
) {
    for datagram in came.read() {
        if datagram.bytes == "the end" {
            exit.0 = Some("told to".to_owned());
        }
        out.write(DatagramOut {
            node: datagram.node,
            to: datagram.from,
            bytes: datagram.bytes.clone(),
        });
    }
}

#[test]
fn a_node_answers_under_the_inline_runner_even_while_it_is_flooded() {
    let (tell, told) = sync_channel::<SocketAddr>(1);
    let server = std::thread::spawn(move || {
        let mut app = App::new();
        app.add_plugins((IoPlugin, UdpPlugin::default()));
        app.add_systems(Turn::Route, echo);
        let at: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        let node = app.world_mut().spawn((Node, Listen(at))).id();
        Inline::run(app, move |app| {
            let bound = app.world().get::<Bound>(node).expect("bound at start");
            tell.send(bound.0).expect("the test waits");
        })
    });
    let at = told.recv_timeout(LIMIT).expect("it starts");
    let client = plain("127.0.0.1:0");
    for size in [0, 1, 1_200] {
        client.send_to(&vec![5; size], at).expect("sent");
        assert_eq!(next_plain(&client), (at, vec![5; size]));
    }
    // The reader must let turns run between its reads, or nothing would come back before the flood ends.
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = stop.clone();
    let flood = std::thread::spawn(move || {
        let stranger = plain("127.0.0.1:0");
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            stranger.send_to(&[0; 1_200], at).expect("sent");
        }
    });
    client
        .set_read_timeout(Some(std::time::Duration::from_millis(500)))
        .expect("a limit");
    let answered = (0..40).any(|_| {
        client.send_to(b"the end", at).expect("sent");
        let mut bytes = [0; 16];
        client.recv_from(&mut bytes).is_ok()
    });
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    flood.join().expect("flooded");
    assert!(answered);
    assert_eq!(server.join().expect("it ends").expect("it ran"), "told to");
}
