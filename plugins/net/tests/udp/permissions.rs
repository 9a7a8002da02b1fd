//! Who may do what: scopes, and whose socket it is.

use crate::support::*;
use dunlin_engine::prelude::*;
use dunlin_io::IoPlugin;
use dunlin_net::UdpPlugin;
use serde_json::json;
use std::net::UdpSocket;
use std::time::Instant;

#[test]
fn a_socket_of_another_caller_is_as_good_as_none_to_every_call() {
    let rig = Rig::start();
    let socket = rig.client.bind(json!({ "address": "127.0.0.1" })).socket;
    let group = json!({ "socket": socket, "multicastAddress": "239.1.2.3" });
    let from =
        json!({ "socket": socket, "sourceAddress": "127.0.0.1", "groupAddress": "232.1.2.3" });
    let calls = [
        ("udp.close", json!({ "socket": socket })),
        ("udp.address", json!({ "socket": socket })),
        (
            "udp.connect",
            json!({ "socket": socket, "address": "127.0.0.1", "port": 9 }),
        ),
        ("udp.disconnect", json!({ "socket": socket })),
        ("udp.remoteAddress", json!({ "socket": socket })),
        ("udp.send", json!({ "socket": socket, "port": 9 })),
        ("udp.getBufferSizes", json!({ "socket": socket })),
        ("udp.setBufferSizes", json!({ "socket": socket })),
        ("udp.setBroadcast", json!({ "socket": socket, "on": true })),
        ("udp.setTTL", json!({ "socket": socket, "ttl": 1 })),
        ("udp.setMulticastTTL", json!({ "socket": socket, "ttl": 1 })),
        (
            "udp.setMulticastLoopback",
            json!({ "socket": socket, "on": true }),
        ),
        (
            "udp.setMulticastInterface",
            json!({ "socket": socket, "multicastInterface": "127.0.0.1" }),
        ),
        ("udp.addMembership", group.clone()),
        ("udp.dropMembership", group),
        ("udp.addSourceSpecificMembership", from.clone()),
        ("udp.dropSourceSpecificMembership", from),
    ];
    for (name, params) in calls {
        assert_eq!(rig.other.fails(name, params), "EBADF", "{name}");
    }
    let items = rig.other.open("udp.receive", json!({ "socket": socket }));
    assert_eq!(
        items.wait_open(LIMIT).expect_err("not theirs").code,
        "EBADF"
    );
    rig.client.done("udp.address", json!({ "socket": socket }));
}

#[test]
fn a_caller_that_goes_away_closes_its_sockets() {
    let Rig {
        client: gone,
        other,
        running,
        ..
    } = Rig::start();
    let sockets: Vec<_> = (0..5)
        .map(|_| gone.bind(json!({ "address": "127.0.0.1" })))
        .collect();
    let streams: Vec<_> = sockets
        .iter()
        .map(|bound| gone.receive(bound.socket))
        .collect();
    let kept = other.bind(json!({ "address": "127.0.0.1" }));
    drop(gone);
    let end = Instant::now() + LIMIT;
    for bound in sockets {
        // Each look takes a turn of the app, so this waits for it and not for a clock.
        while UdpSocket::bind(bound.at).is_err() {
            other.done("udp.address", json!({ "socket": kept.socket }));
            assert!(Instant::now() < end, "{} is still taken", bound.at);
        }
    }
    for stream in streams {
        assert!(stream.receiver().recv().is_err(), "its streams have ended");
    }
    drop(running);
}

#[test]
fn a_scope_bounds_where_a_socket_is_bound_and_where_datagrams_go_however_it_is_written() {
    let scopes = |of: &[&str]| Grant::Scopes(of.iter().map(|scope| (*scope).to_owned()).collect());
    let grants = Grants::default()
        .with("udp", Grant::All(true))
        .with("udp.bind", scopes(&["127.0.0.1:0", "[::1]:*"]))
        .with("udp.connect", scopes(&["127.0.0.1:*"]))
        .with("udp.send", scopes(&["127.0.0.1:*", "[::1]:7"]))
        .with("udp.addMembership", scopes(&["239.1.*"]));
    let mut app = App::new();
    app.add_plugins((IoPlugin, UdpPlugin::default()));
    let client = app.client(grants);
    let running = Threaded::start(app).expect("the app starts");

    let socket = client.bind(json!({ "address": "127.0.0.1" })).socket;
    let six = client.bind(json!({ "address": "0:0:0:0:0:0:0:1" })).socket;
    for elsewhere in [
        json!({}),
        json!({ "port": 4077 }),
        json!({ "address": "127.0.0.1", "port": 4077 }),
    ] {
        assert_eq!(client.fails("udp.bind", elsewhere), "denied");
    }
    let to = |address: &str| json!({ "socket": socket, "address": address, "port": 9 });
    client.send(to("127.0.0.1"), "x");
    for elsewhere in [
        "10.0.0.1",
        "::ffff:10.0.0.1",
        "127.0.0.1:9",
        "127.0.0.1.example.org",
    ] {
        assert_eq!(
            client.send_fails(to(elsewhere), "x"),
            "denied",
            "{elsewhere}"
        );
        assert_eq!(
            client.fails("udp.connect", to(elsewhere)),
            "denied",
            "{elsewhere}"
        );
    }
    // A mapped address is the address that it maps, in permissions; the socket then says that it is no address of its family.
    assert_eq!(client.send_fails(to("::ffff:127.0.0.1"), "x"), "EINVAL");
    let six_to = |port: u16| json!({ "socket": six, "address": "0::1", "port": port });
    client.send(six_to(7), "x");
    assert_eq!(client.send_fails(six_to(8), "x"), "denied");
    let group = |address: &str| json!({ "socket": socket, "multicastAddress": address, "multicastInterface": "127.0.0.1" });
    client.done("udp.addMembership", group("239.1.2.3"));
    assert_eq!(
        client.fails("udp.addMembership", group("239.2.2.3")),
        "denied"
    );
    drop(running.stop());
}

#[test]
fn nobody_has_more_sockets_than_the_limits_say() {
    let rig = Rig::with(UdpPlugin {
        sockets_per_caller_max: 3,
        sockets_max: 5,
    });
    let here = json!({ "address": "127.0.0.1" });
    let own: Vec<_> = (0..3).map(|_| rig.client.bind(here.clone())).collect();
    assert_eq!(rig.client.fails("udp.bind", here.clone()), "EMFILE");
    rig.other.bind(here.clone());
    rig.other.bind(here.clone());
    assert_eq!(
        rig.other.fails("udp.bind", here.clone()),
        "EMFILE",
        "five in all"
    );
    rig.client
        .done("udp.close", json!({ "socket": own[0].socket }));
    rig.other.bind(here.clone());
    assert_eq!(rig.client.fails("udp.bind", here), "EMFILE");

    let shipped = UdpPlugin::default();
    assert_eq!(
        (shipped.sockets_per_caller_max, shipped.sockets_max),
        (64, 1_024)
    );
}
