//! Groups, broadcast and full cables, on a network that the tests lay for themselves.

use crate::namespace::{Powers, inside, lay_cable, run};
use crate::support::*;
use dunlin_net::UdpDrop;
use serde_json::{Value, json};
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::BTreeSet;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

/// One family's cable: its ends' interfaces and addresses, and groups.
struct Cable {
    kind: &'static str,
    left: &'static str,
    right: &'static str,
    left_at: &'static str,
    group: &'static str,
    other_group: &'static str,
}

const CABLES: [Cable; 2] = [
    Cable {
        kind: "udp4",
        left: "10.77.0.1",
        right: "10.78.0.2",
        left_at: "10.77.0.1",
        group: "239.1.2.3",
        other_group: "239.1.2.4",
    },
    Cable {
        kind: "udp6",
        left: "::%left",
        right: "::%right",
        left_at: "fd77::1",
        group: "ff15::77",
        other_group: "ff15::78",
    },
];

impl Cable {
    fn member(&self, rig: &Rig, group: &str, interface: &str) -> AppSocket {
        let member = rig.client.bind(json!({ "type": self.kind }));
        rig.client
            .done("udp.addMembership", membership(member, group, interface));
        member
    }

    /// A socket whose multicast leaves by `left`.
    fn speaker(&self, rig: &Rig) -> AppSocket {
        let speaker = rig.client.bind(json!({ "address": self.left_at }));
        let by_left = json!({ "socket": speaker.socket, "multicastInterface": self.left });
        rig.client.done("udp.setMulticastInterface", by_left);
        speaker
    }
}

fn membership(of: AppSocket, group: &str, interface: &str) -> Value {
    json!({ "socket": of.socket, "multicastAddress": group, "multicastInterface": interface })
}

fn speak(rig: &Rig, from: AppSocket, group: &str, to: AppSocket, what: &'static str) {
    let to = json!({ "socket": from.socket, "address": group, "port": to.at.port() });
    rig.client.send(to, what);
}

#[test]
fn a_member_hears_its_group_on_its_interface_from_joining_to_leaving() {
    const NAME: &str =
        "on_a_network::a_member_hears_its_group_on_its_interface_from_joining_to_leaving";
    if !inside(Powers::Network, NAME) {
        return;
    }
    lay_cable();
    let rig = Rig::start();
    for cable in CABLES {
        let speaker = cable.speaker(&rig);
        let member = cable.member(&rig, cable.group, cable.right);
        let inbox = rig.client.receive(member.socket);
        speak(&rig, speaker, cable.other_group, member, "not for you");
        speak(&rig, speaker, cable.group, member, "one");
        // What it must not hear would have come first.
        assert_eq!(next(&inbox), (speaker.at, "one".into()), "{}", cable.kind);

        // The program has a member on the other interface, which this socket is not.
        let elsewhere = cable.member(&rig, cable.other_group, cable.right);
        let elsewhere_inbox = rig.client.receive(elsewhere.socket);
        speak(
            &rig,
            speaker,
            cable.other_group,
            member,
            "not for you either",
        );
        speak(&rig, speaker, cable.group, member, "two");
        assert_eq!(next(&inbox).1, "two");

        rig.client.done(
            "udp.dropMembership",
            membership(member, cable.group, cable.right),
        );
        let again = membership(member, cable.group, cable.right);
        assert_eq!(
            rig.client.fails("udp.dropMembership", again.clone()),
            "EADDRNOTAVAIL"
        );
        speak(&rig, speaker, cable.group, member, "too late");
        rig.client.done("udp.addMembership", again.clone());
        assert_eq!(rig.client.fails("udp.addMembership", again), "EADDRINUSE");
        speak(&rig, speaker, cable.group, member, "three");
        assert_eq!(next(&inbox).1, "three");
        drop(elsewhere_inbox);
    }
}

#[test]
fn what_is_sent_to_a_group_leaves_by_the_interface_set_and_comes_back_only_if_asked() {
    const NAME: &str = "on_a_network::what_is_sent_to_a_group_leaves_by_the_interface_set_and_comes_back_only_if_asked";
    if !inside(Powers::Network, NAME) {
        return;
    }
    lay_cable();
    let rig = Rig::start();
    for cable in CABLES {
        let speaker = cable.speaker(&rig);
        // A member on the speaker's own interface hears it by loopback, one on the other end by the cable. Two groups, since for IPv6
        // Linux hands a group's datagrams to a member on whatever interface they come in.
        let near = cable.member(&rig, cable.group, cable.left);
        let far = cable.member(&rig, cable.other_group, cable.right);
        let [near_inbox, far_inbox] = [near, far].map(|member| rig.client.receive(member.socket));
        let speak_to_both = |what| {
            speak(&rig, speaker, cable.group, near, what);
            speak(&rig, speaker, cable.other_group, far, what);
        };
        let switch = |on: bool| json!({ "socket": speaker.socket, "on": on });

        speak_to_both("both");
        assert_eq!(next(&near_inbox).1, "both", "{}", cable.kind);
        assert_eq!(next(&far_inbox).1, "both", "{}", cable.kind);

        rig.client.done("udp.setMulticastLoopback", switch(false));
        speak_to_both("far alone");
        rig.client.done("udp.setMulticastLoopback", switch(true));
        assert_eq!(next(&far_inbox).1, "far alone", "{}", cable.kind);

        speak_to_both("both again");
        assert_eq!(next(&near_inbox).1, "both again");
        assert_eq!(next(&far_inbox).1, "both again");

        // By the other interface, the cable leads to near.
        let by_right = json!({ "socket": speaker.socket, "multicastInterface": cable.right });
        rig.client.done("udp.setMulticastInterface", by_right);
        rig.client.done("udp.setMulticastLoopback", switch(false));
        speak_to_both("the other way");
        assert_eq!(next(&near_inbox).1, "the other way", "{}", cable.kind);
        rig.client.done("udp.setMulticastLoopback", switch(true));
        speak_to_both("all ways");
        assert_eq!(next(&near_inbox).1, "all ways", "{}", cable.kind);
        assert_eq!(next(&far_inbox).1, "all ways", "{}", cable.kind);
    }
}

#[test]
fn a_source_specific_member_hears_that_source_alone() {
    const NAME: &str = "on_a_network::a_source_specific_member_hears_that_source_alone";
    if !inside(Powers::Network, NAME) {
        return;
    }
    lay_cable();
    run("ip address add fd77::3/64 dev left nodad");
    let rig = Rig::start();
    for (sources, group, left, right) in [
        (
            ["10.77.0.1", "10.77.0.3"],
            "232.1.2.3",
            "10.77.0.1",
            "10.78.0.2",
        ),
        (
            ["fd77::1", "fd77::3"],
            "ff35::8000:77",
            "::%left",
            "::%right",
        ),
    ] {
        let [wanted, unwanted] = sources.map(|address| {
            let speaker = rig.client.bind(json!({ "address": address }));
            let by_left = json!({ "socket": speaker.socket, "multicastInterface": left });
            rig.client.done("udp.setMulticastInterface", by_left);
            speaker
        });
        let kind = if group.contains(':') { "udp6" } else { "udp4" };
        let member = rig.client.bind(json!({ "type": kind }));
        let from = |source: &str| {
            json!({
                "socket": member.socket,
                "sourceAddress": source,
                "groupAddress": group,
                "multicastInterface": right,
            })
        };
        rig.client
            .done("udp.addSourceSpecificMembership", from(sources[0]));
        let inbox = rig.client.receive(member.socket);
        speak(&rig, unwanted, group, member, "not asked for");
        speak(&rig, wanted, group, member, "one");
        assert_eq!(next(&inbox), (wanted.at, "one".into()), "{group}");

        rig.client
            .done("udp.addSourceSpecificMembership", from(sources[1]));
        speak(&rig, unwanted, group, member, "now asked for");
        assert_eq!(
            next(&inbox),
            (unwanted.at, "now asked for".into()),
            "{group}"
        );

        rig.client
            .done("udp.dropSourceSpecificMembership", from(sources[0]));
        speak(&rig, wanted, group, member, "no more");
        speak(&rig, unwanted, group, member, "still");
        assert_eq!(next(&inbox).1, "still", "{group}");
        assert_eq!(
            rig.client
                .fails("udp.dropSourceSpecificMembership", from(sources[0])),
            "EADDRNOTAVAIL",
            "{group}"
        );
    }
}

#[test]
fn a_group_or_interface_that_is_none_is_refused() {
    const NAME: &str = "on_a_network::a_group_or_interface_that_is_none_is_refused";
    if !inside(Powers::Network, NAME) {
        return;
    }
    lay_cable();
    let rig = Rig::start();
    let four = rig.client.bind(json!({ "type": "udp4" }));
    let six = rig.client.bind(json!({ "type": "udp6" }));
    for (socket, group, interface, code) in [
        (four, "10.77.0.9", "left", "EINVAL"),
        (four, "ff15::77", "left", "EINVAL"),
        (four, "nonsense", "left", "EINVAL"),
        (four, "239.1.2.3", "none", "ENODEV"),
        (four, "239.1.2.3", "10.99.0.1", "ENODEV"),
        // No default route, so the system cannot choose.
        (four, "239.1.2.3", "", "ENODEV"),
        (six, "fd77::9", "::%left", "EINVAL"),
        (six, "239.1.2.3", "::%left", "EINVAL"),
        (six, "ff15::77", "10.77.0.1", "EINVAL"),
        (six, "ff15::77", "fd77::1", "EINVAL"),
        (six, "ff15::77", "::%none", "ENODEV"),
    ] {
        let refused = rig
            .client
            .fails("udp.addMembership", membership(socket, group, interface));
        assert_eq!(refused, code, "{group} on {interface}");
    }
    // By name and by index too.
    rig.client
        .done("udp.addMembership", membership(four, "239.1.2.3", "left"));
    rig.client
        .done("udp.addMembership", membership(six, "ff15::77", "left"));
    let from = |socket: AppSocket, source: &str, group: &str, interface: &str| {
        let params = json!({
            "socket": socket.socket,
            "sourceAddress": source,
            "groupAddress": group,
            "multicastInterface": interface,
        });
        rig.client.fails("udp.addSourceSpecificMembership", params)
    };
    assert_eq!(from(four, "fd77::1", "232.1.2.3", "10.77.0.1"), "EINVAL");
    assert_eq!(
        from(four, "10.77.0.1", "232.1.2.3", "left"),
        "EINVAL",
        "by its address"
    );
    assert_eq!(from(six, "10.77.0.1", "ff35::1", "::%left"), "EINVAL");
    assert_eq!(
        from(six, "fd77::1", "ff15::1", "::%left"),
        "EINVAL",
        "not of ff3x::/32"
    );
    for (socket, interface, code) in [
        (four, "10.99.0.1", "EADDRNOTAVAIL"),
        (four, "none", "ENODEV"),
        (six, "::%none", "ENODEV"),
    ] {
        let params = json!({ "socket": socket.socket, "multicastInterface": interface });
        assert_eq!(
            rig.client.fails("udp.setMulticastInterface", params),
            code,
            "{interface}"
        );
    }
    let by_name = json!({ "socket": four.socket, "multicastInterface": "right" });
    rig.client.done("udp.setMulticastInterface", by_name);
    let by_choice = json!({ "socket": four.socket, "multicastInterface": "0.0.0.0" });
    rig.client.done("udp.setMulticastInterface", by_choice);
}

#[test]
fn broadcast_goes_out_once_it_is_enabled() {
    const NAME: &str = "on_a_network::broadcast_goes_out_once_it_is_enabled";
    if !inside(Powers::Network, NAME) {
        return;
    }
    lay_cable();
    let rig = Rig::start();
    let speaker = rig.client.bind(json!({ "address": "10.77.0.1" }));
    let listener = rig.client.bind(json!({}));
    let inbox = rig.client.receive(listener.socket);
    for everybody in ["10.77.0.255", "127.255.255.255"] {
        let to =
            json!({ "socket": speaker.socket, "address": everybody, "port": listener.at.port() });
        let switch = |on: bool| json!({ "socket": speaker.socket, "on": on });
        rig.client.done("udp.setBroadcast", switch(false));
        assert_eq!(
            rig.client.send_fails(to.clone(), "x"),
            "EACCES",
            "{everybody}"
        );
        rig.client.done("udp.setBroadcast", switch(true));
        rig.client.send(to, "everybody");
        assert_eq!(
            next(&inbox),
            (speaker.at, "everybody".into()),
            "{everybody}"
        );
    }
}

#[test]
fn a_time_to_live_is_what_datagrams_carry() {
    const NAME: &str = "on_a_network::a_time_to_live_is_what_datagrams_carry";
    if !inside(Powers::Network, NAME) {
        return;
    }
    lay_cable();
    let mut tap = tap();
    let rig = Rig::start();
    for cable in CABLES {
        let speaker = cable.speaker(&rig);
        for ttl in [1_u8, 17, 255] {
            let with = json!({ "socket": speaker.socket, "ttl": ttl });
            rig.client.done("udp.setTTL", with.clone());
            rig.client.done(
                "udp.setMulticastTTL",
                json!({ "socket": speaker.socket, "ttl": ttl - 1 }),
            );
            let to =
                |address: &str| json!({ "socket": speaker.socket, "address": address, "port": 9 });
            let marker = format!("to one, {ttl}");
            rig.client.send(to(cable.left_at), marker.clone());
            assert_eq!(carried(&mut tap, &[&marker]).1, ttl, "{}", cable.kind);
            if ttl > 1 {
                let marker = format!("to all, {ttl}");
                rig.client.send(to(cable.group), marker.clone());
                assert_eq!(carried(&mut tap, &[&marker]).1, ttl - 1, "{}", cable.kind);
            }
        }
    }
}

#[test]
fn a_group_is_told_no_further_than_this_machine_with_a_time_to_live_of_0() {
    const NAME: &str =
        "on_a_network::a_group_is_told_no_further_than_this_machine_with_a_time_to_live_of_0";
    if !inside(Powers::Network, NAME) {
        return;
    }
    lay_cable();
    let rig = Rig::start();
    for cable in CABLES {
        let speaker = cable.speaker(&rig);
        let near = cable.member(&rig, cable.group, cable.left);
        let inbox = rig.client.receive(near.socket);
        let mut tap = tap();
        let ttl = |ttl: u8| json!({ "socket": speaker.socket, "ttl": ttl });
        rig.client.done("udp.setMulticastTTL", ttl(0));
        speak(&rig, speaker, cable.group, near, "near alone");
        assert_eq!(next(&inbox).1, "near alone", "{}", cable.kind);
        rig.client.done("udp.setMulticastTTL", ttl(3));
        speak(&rig, speaker, cable.group, near, "far too");
        // The tap sees what leaves, and the first to leave is the second.
        let (seen, _) = carried(&mut tap, &["near alone", "far too"]);
        assert_eq!(seen, "far too", "{}", cable.kind);
    }
}

/// Sees all that goes over any interface.
fn tap() -> Socket {
    const ALL_PROTOCOLS: i32 = 0x0003_u16.to_be() as i32; // ETH_P_ALL
    let tap = Socket::new(
        Domain::PACKET,
        Type::RAW,
        Some(Protocol::from(ALL_PROTOCOLS)),
    );
    let tap = tap.expect("a packet socket");
    tap.set_read_timeout(Some(LIMIT)).expect("a limit");
    tap
}

/// The first packet that ends with one of `markers`: with which, and its time to live.
fn carried<'a>(tap: &mut Socket, markers: &[&'a str]) -> (&'a str, u8) {
    let mut frame = [0; 2_048];
    loop {
        let length = tap.read(&mut frame).expect("a frame");
        let Some(packet) = frame.get(14..length) else {
            continue; // An Ethernet header is 14 bytes.
        };
        let mut markers = markers.iter();
        if let Some(marker) = markers.find(|marker| packet.ends_with(marker.as_bytes())) {
            let ttl = match packet[0] >> 4 {
                4 => packet[8], // RFC 791, 3.1
                6 => packet[7], // RFC 8200, 3
                version => panic!("IP version {version}"),
            };
            return (marker, ttl);
        }
    }
}

#[test]
fn a_full_cable_keeps_a_bounded_backlog_and_sends_it_when_there_is_room() {
    const NAME: &str =
        "on_a_network::a_full_cable_keeps_a_bounded_backlog_and_sends_it_when_there_is_room";
    if !inside(Powers::Network, NAME) {
        return;
    }
    lay_cable();
    // 40 Mbit/s, and a queue that takes whatever the socket's own buffer lets out.
    run("tc qdisc add dev left root tbf rate 40mbit burst 20kb limit 100mb");
    let group = Ipv4Addr::new(239, 1, 2, 3);
    let far = plain("0.0.0.0:0");
    far.join_multicast_v4(&group, &Ipv4Addr::new(10, 78, 0, 2))
        .expect("joined");
    let to = SocketAddr::from((group, far.local_addr().expect("an address").port()));
    let mut hand = ByHand::start();
    let node = hand.node("10.77.0.1:0");
    let mut sent: u64 = 0;
    while hand.drops.of(UdpDrop::BacklogFull) == 0 {
        for _ in 0..200 {
            let mut bytes = [0; 1_200];
            bytes[..8].copy_from_slice(&sent.to_le_bytes());
            hand.send(node, to, bytes.to_vec());
            sent += 1;
        }
        hand.turn();
        assert!(sent < 100_000, "the cable is never full");
    }
    let dropped = hand.drops.of(UdpDrop::BacklogFull);
    assert!(dropped < 200, "{dropped} of {sent}");
    let came = numbers(&far, sent - dropped);
    assert_eq!(came.len() as u64, sent - dropped, "each came once");
    assert!(came.last() < Some(&sent));
    // The kernel takes datagrams again, at once.
    hand.send(node, to, vec![1; 1_200]);
    hand.turn();
    assert_eq!(next_plain(&far).1, vec![1; 1_200]);
}

#[test]
fn an_app_that_sends_more_than_its_cable_takes_is_told_so() {
    const NAME: &str = "on_a_network::an_app_that_sends_more_than_its_cable_takes_is_told_so";
    if !inside(Powers::Network, NAME) {
        return;
    }
    lay_cable();
    run("tc qdisc add dev left root tbf rate 10mbit burst 20kb limit 100mb");
    let group = Ipv4Addr::new(239, 1, 2, 3);
    let far = plain("0.0.0.0:0");
    far.join_multicast_v4(&group, &Ipv4Addr::new(10, 78, 0, 2))
        .expect("joined");
    let port = far.local_addr().expect("an address").port();
    let rig = Rig::start();
    let near = rig.client.bind(json!({ "address": "10.77.0.1" }));
    let to = json!({ "socket": near.socket, "address": group, "port": port });
    let mut taken: u64 = 0;
    let code = loop {
        let mut body = vec![0; 1_200];
        body[..8].copy_from_slice(&taken.to_le_bytes());
        let answer = rig.client.call("udp.send", to.clone(), body.into());
        match answer.wait(LIMIT) {
            Ok(_) => taken += 1,
            Err(error) => break error.code,
        }
        assert!(taken < 100_000, "the cable is never full");
    };
    assert_eq!(code, "ENOBUFS");
    assert_eq!(rig.drops.of(UdpDrop::BacklogFull), 1);
    assert!(
        numbers(&far, taken).into_iter().eq(0..taken),
        "what was taken was sent"
    );
}

/// The numbers that begin the next `count` datagrams. In whatever order: the kernel moves them over the cable on either core.
fn numbers(far: &UdpSocket, count: u64) -> BTreeSet<u64> {
    (0..count)
        .map(|_| {
            let (_, bytes) = next_plain(far);
            u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"))
        })
        .collect()
}

#[test]
fn what_the_cable_cannot_take_or_no_cable_leads_to_is_dropped_and_counted() {
    const NAME: &str =
        "on_a_network::what_the_cable_cannot_take_or_no_cable_leads_to_is_dropped_and_counted";
    if !inside(Powers::Network, NAME) {
        return;
    }
    lay_cable();
    let far = plain("0.0.0.0:0");
    let group = Ipv4Addr::new(239, 1, 2, 3);
    far.join_multicast_v4(&group, &Ipv4Addr::new(10, 78, 0, 2))
        .expect("joined");
    let to = SocketAddr::from((group, far.local_addr().expect("an address").port()));
    let mut hand = ByHand::start();
    let node = hand.node("10.77.0.1:0");
    hand.send(
        node,
        "203.0.113.1:9".parse().expect("an address"),
        "no route",
    );
    hand.send(node, to, vec![0; 1_473]);
    hand.send(node, to, vec![0; 1_472]);
    hand.turn();
    assert_eq!(
        next_plain(&far).1.len(),
        1_472,
        "1,500 less the headers of IPv4 and UDP"
    );
    assert_eq!(hand.drops.of(UdpDrop::Unreachable), 1);
    assert_eq!(
        hand.drops.of(UdpDrop::TooLong),
        1,
        "it was not cut into fragments"
    );
}
