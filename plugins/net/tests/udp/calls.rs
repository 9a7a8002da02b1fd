//! The `udp` calls on loopback.

use crate::support::*;
use serde_json::json;
use std::net::UdpSocket;

#[test]
fn a_socket_is_bound_where_asked_and_its_port_is_free_again_once_close_has_answered() {
    let rig = Rig::start();
    for at in ["127.0.0.1", "::1"] {
        let bound = rig.client.bind(json!({ "address": at }));
        assert_eq!(bound.at.ip().to_string(), at);
        assert_ne!(bound.at.port(), 0);
        let socket = json!({ "socket": bound.socket });
        assert_eq!(
            address(&rig.client.done("udp.address", socket.clone())),
            bound.at
        );

        let again = json!({ "address": at, "port": bound.at.port() });
        assert_eq!(rig.client.fails("udp.bind", again.clone()), "EADDRINUSE");
        for _ in 0..20 {
            let socket = rig.client.bind(json!({ "address": at })).socket;
            rig.client.done("udp.close", json!({ "socket": socket }));
        }
        rig.client.done("udp.close", socket.clone());
        // Other tests of this process start programs, and between fork and exec a child has a copy of every socket.
        let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while let Err(error) = UdpSocket::bind(bound.at) {
            assert!(
                std::time::Instant::now() < end,
                "the port is not free: {error}"
            );
            std::thread::yield_now();
        }
        assert_eq!(rig.client.fails("udp.address", socket.clone()), "EBADF");
        assert_eq!(rig.client.fails("udp.close", socket), "EBADF");
        rig.client.bind(again);
    }
}

#[test]
fn a_type_alone_binds_all_interfaces_and_types_and_addresses_must_agree() {
    let rig = Rig::start();
    let any4 = rig.client.bind(json!({}));
    assert_eq!(any4.at.ip().to_string(), "0.0.0.0");
    let any6 = rig.client.bind(json!({ "type": "udp6" }));
    assert_eq!(any6.at.ip().to_string(), "::");
    let mixed = json!({ "type": "udp4", "address": "::1" });
    assert_eq!(rig.client.fails("udp.bind", mixed), "EINVAL");
    let named = json!({ "address": "example.org" });
    assert_eq!(rig.client.fails("udp.bind", named), "EINVAL");
    let local = rig.client.bind(json!({ "address": "localhost" }));
    assert_eq!(local.at.ip().to_string(), "127.0.0.1");
    let elsewhere = json!({ "address": "192.0.2.1" });
    assert_eq!(rig.client.fails("udp.bind", elsewhere), "EADDRNOTAVAIL");
    let unknown = json!({ "adress": "127.0.0.1" });
    assert_eq!(rig.client.fails("udp.bind", unknown), "params");
}

#[test]
fn an_address_may_be_shared_by_those_who_all_say_so() {
    let rig = Rig::start();
    for sharing in ["reuseAddr", "reusePort"] {
        let first = rig
            .client
            .bind(json!({ "address": "127.0.0.1", sharing: true }));
        let port = first.at.port();
        let alone = json!({ "address": "127.0.0.1", "port": port });
        assert_eq!(
            rig.client.fails("udp.bind", alone),
            "EADDRINUSE",
            "{sharing}"
        );
        rig.client
            .bind(json!({ "address": "127.0.0.1", "port": port, sharing: true }));
    }
    let only6 = rig.client.bind(json!({ "type": "udp6", "ipv6Only": true }));
    rig.client
        .bind(json!({ "type": "udp4", "port": only6.at.port() }));
    let both = rig.client.bind(json!({ "type": "udp6" }));
    let taken = json!({ "type": "udp4", "port": both.at.port() });
    assert_eq!(rig.client.fails("udp.bind", taken), "EADDRINUSE");
}

#[test]
fn a_datagram_arrives_whole_with_who_sent_it_over_ipv4_and_ipv6() {
    let rig = Rig::start();
    for (at, longest) in [("127.0.0.1", 65_507), ("::1", 65_527)] {
        let [alice, bob] = [(); 2].map(|()| rig.client.bind(json!({ "address": at })));
        let inbox = rig.client.receive(bob.socket);
        let to_bob = json!({ "socket": alice.socket, "address": at, "port": bob.at.port() });
        // Longest first: it is cut into fragments on its way, and put together again.
        for size in [longest, 1_200, 1, 0] {
            let body: Vec<u8> = (0..size).map(|n| n as u8).collect();
            assert_eq!(rig.client.send(to_bob.clone(), body.clone()), size as u64);
            assert_eq!(next(&inbox), (alice.at, body.into()), "{at}, {size} bytes");
        }
        let too_long = vec![0; longest + 1];
        assert_eq!(rig.client.send_fails(to_bob, too_long), "EMSGSIZE");
    }
}

#[test]
fn an_item_says_from_whom_it_is_and_how_many_were_dropped_before_it() {
    let rig = Rig::start();
    let bob = rig.client.bind(json!({ "address": "127.0.0.1" }));
    let inbox = rig.client.receive(bob.socket);
    let alice = plain("127.0.0.1:0");
    alice.send_to(b"hello", bob.at).expect("sent");
    let item = inbox.wait(LIMIT).expect("a datagram");
    let port = alice.local_addr().expect("an address").port();
    assert_eq!(
        item.value,
        json!({ "address": "127.0.0.1", "family": "IPv4", "port": port, "dropped": 0 })
    );
    assert_eq!(&item.body[..], b"hello");
}

#[test]
fn a_port_alone_is_one_on_this_machine_and_names_are_not_looked_up() {
    let rig = Rig::start();
    for (at, wrong_family) in [("127.0.0.1", "::1"), ("::1", "127.0.0.1")] {
        let alice = rig.client.bind(json!({ "address": at }));
        let bob = rig.client.bind(json!({ "address": at }));
        let inbox = rig.client.receive(bob.socket);
        let port = bob.at.port();
        rig.client
            .send(json!({ "socket": alice.socket, "port": port }), "a");
        assert_eq!(next(&inbox), (alice.at, "a".into()));
        let to = |address| json!({ "socket": alice.socket, "address": address, "port": port });
        rig.client.send(to("localhost"), "b");
        assert_eq!(next(&inbox), (alice.at, "b".into()));
        assert_eq!(rig.client.send_fails(to("example.org"), "c"), "EINVAL");
        assert_eq!(rig.client.send_fails(to(wrong_family), "c"), "EINVAL");
        let nobody = json!({ "socket": alice.socket, "address": at, "port": 0 });
        assert_eq!(rig.client.send_fails(nobody, "c"), "EINVAL");
    }
}

#[test]
fn a_connected_socket_sends_to_and_takes_from_its_peer_alone() {
    let rig = Rig::start();
    let alice = rig.client.bind(json!({ "address": "127.0.0.1" }));
    let [bob, mallory] = [(); 2].map(|()| plain("127.0.0.1:0"));
    let bob_at = bob.local_addr().expect("an address");
    let socket = json!({ "socket": alice.socket });
    assert_eq!(rig.client.send_fails(socket.clone(), "x"), "EDESTADDRREQ");
    assert_eq!(
        rig.client.fails("udp.remoteAddress", socket.clone()),
        "ENOTCONN"
    );
    assert_eq!(
        rig.client.fails("udp.disconnect", socket.clone()),
        "ENOTCONN"
    );

    let to_bob = json!({ "socket": alice.socket, "address": "127.0.0.1", "port": bob_at.port() });
    rig.client.done("udp.connect", to_bob.clone());
    assert_eq!(
        address(&rig.client.done("udp.remoteAddress", socket.clone())),
        bob_at
    );
    assert_eq!(rig.client.fails("udp.connect", to_bob.clone()), "EISCONN");
    assert_eq!(rig.client.send_fails(to_bob.clone(), "x"), "EISCONN");
    assert_eq!(rig.client.send(socket.clone(), "hello"), 5);
    assert_eq!(next_plain(&bob), (alice.at, b"hello".to_vec()));
    let inbox = rig.client.receive(alice.socket);
    mallory.send_to(b"let me in", alice.at).expect("sent");
    bob.send_to(b"it is me", alice.at).expect("sent");
    assert_eq!(next(&inbox), (bob_at, "it is me".into()));

    rig.client.done("udp.disconnect", socket.clone());
    assert_eq!(rig.client.fails("udp.remoteAddress", socket), "ENOTCONN");
    let still = rig
        .client
        .done("udp.address", json!({ "socket": alice.socket }));
    assert_eq!(address(&still), alice.at, "it kept its address");
    mallory.send_to(b"and now", alice.at).expect("sent");
    assert_eq!(next(&inbox).1, "and now");
    assert_eq!(rig.client.send(to_bob, "still here"), 10);
    assert_eq!(next_plain(&bob).1, b"still here");
}

#[test]
fn a_connected_socket_is_told_that_nobody_is_there_and_goes_on() {
    let rig = Rig::start();
    let alice = rig.client.bind(json!({ "address": "127.0.0.1" }));
    let bob = plain("127.0.0.1:0");
    let bob_at = bob.local_addr().expect("an address");
    drop(bob);
    let inbox = rig.client.receive(alice.socket);
    let to_bob = json!({ "socket": alice.socket, "address": "127.0.0.1", "port": bob_at.port() });
    rig.client.done("udp.connect", to_bob);
    let socket = json!({ "socket": alice.socket });
    rig.client.send(socket.clone(), "are you there");
    let item = inbox.wait(LIMIT).expect("an item");
    assert_eq!(item.value["error"]["code"], "ECONNREFUSED");
    assert!(item.body.is_empty());

    let bob = plain(&bob_at.to_string());
    rig.client.send(socket, "now?");
    assert_eq!(next_plain(&bob).1, b"now?");
    bob.send_to(b"yes", alice.at).expect("sent");
    assert_eq!(next(&inbox), (bob_at, "yes".into()));
}

#[test]
fn buffer_sizes_can_be_asked_for_at_bind_and_later() {
    let rig = Rig::start();
    // Linux answers twice what was set: it counts its own bookkeeping.
    let counted = if cfg!(target_os = "linux") { 2 } else { 1 };
    let bound = rig
        .client
        .bind(json!({ "recvBufferSize": 50_000, "sendBufferSize": 40_000 }));
    let socket = json!({ "socket": bound.socket });
    let sizes = rig.client.done("udp.getBufferSizes", socket.clone());
    assert_eq!(
        sizes,
        json!({ "recv": 50_000 * counted, "send": 40_000 * counted })
    );
    rig.client.done(
        "udp.setBufferSizes",
        json!({ "socket": bound.socket, "recv": 60_000 }),
    );
    let sizes = rig.client.done("udp.getBufferSizes", socket.clone());
    assert_eq!(
        sizes,
        json!({ "recv": 60_000 * counted, "send": 40_000 * counted })
    );
    rig.client.done(
        "udp.setBufferSizes",
        json!({ "socket": bound.socket, "send": 70_000 }),
    );
    let sizes = rig.client.done("udp.getBufferSizes", socket);
    assert_eq!(
        sizes,
        json!({ "recv": 60_000 * counted, "send": 70_000 * counted })
    );
}

#[test]
fn a_time_to_live_is_from_1_to_255_and_may_be_0_for_groups() {
    let rig = Rig::start();
    for kind in ["udp4", "udp6"] {
        let socket = rig.client.bind(json!({ "type": kind })).socket;
        let ttl = |ttl: u32| json!({ "socket": socket, "ttl": ttl });
        for (name, least) in [("udp.setTTL", 1), ("udp.setMulticastTTL", 0)] {
            rig.client.done(name, ttl(least));
            rig.client.done(name, ttl(255));
            assert_eq!(rig.client.fails(name, ttl(256)), "EINVAL", "{kind} {name}");
        }
        assert_eq!(rig.client.fails("udp.setTTL", ttl(0)), "EINVAL", "{kind}");
    }
}

#[test]
fn what_comes_before_somebody_reads_waits_and_closing_the_stream_stops_the_reading() {
    let rig = Rig::start();
    let bob = rig.client.bind(json!({ "address": "127.0.0.1" }));
    let alice = plain("127.0.0.1:0");
    alice.send_to(b"early", bob.at).expect("sent");
    let inbox = rig.client.receive(bob.socket);
    assert_eq!(next(&inbox).1, "early");
    drop(inbox);
    // The order of calls is kept, so the stream is closed by the time this is answered.
    rig.client
        .done("udp.address", json!({ "socket": bob.socket }));
    alice.send_to(b"between", bob.at).expect("sent");
    let one = rig.client.receive(bob.socket);
    assert_eq!(next(&one).1, "between");
    let two = rig.client.receive(bob.socket);
    alice.send_to(b"after", bob.at).expect("sent");
    assert_eq!(next(&one).1, "after");
    assert_eq!(
        next(&two).1,
        "after",
        "each stream has all from its opening on"
    );
}

#[test]
fn closing_a_socket_while_it_receives_ends_its_streams() {
    let rig = Rig::start();
    let bob = rig.client.bind(json!({ "address": "127.0.0.1" }));
    let inbox = rig.client.receive(bob.socket);
    let alice = plain("127.0.0.1:0");
    let flood = std::thread::spawn(move || {
        for _ in 0..5_000 {
            let _ = alice.send_to(b"more", bob.at);
        }
    });
    next(&inbox);
    rig.client
        .done("udp.close", json!({ "socket": bob.socket }));
    UdpSocket::bind(bob.at).expect("the port is free though somebody still sends to it");
    let left = inbox.receiver().iter().count(); // It ends, or this would wait for ever.
    assert!(left < 5_000);
    flood.join().expect("sent");
    let closed = rig
        .client
        .open("udp.receive", json!({ "socket": bob.socket }));
    assert_eq!(closed.wait_open(LIMIT).expect_err("closed").code, "EBADF");
}
