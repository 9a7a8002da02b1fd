//! `dunlin relay status`: asked of a relay that runs, and of none.

mod rig;

use rig::{Carrier, dunlin, last_object, person, stderr};

#[test]
fn a_running_relay_tells_its_links_cache_traffic_and_drops() {
    let folder = tempfile::tempdir().expect("a folder");
    let carrier = Carrier::start(folder.path(), 1, &[], &[]);
    let (alice, _) = person(folder.path(), "alice");
    let (_, bob) = person(folder.path(), "bob");
    let arguments = [
        "send",
        "--to",
        &bob,
        "--copies",
        "1",
        "--listen",
        "127.0.0.1:0",
        "--peer",
        &carrier.entry,
        "Tea?",
    ];
    let sent = dunlin(&alice, &arguments);
    assert!(sent.status.success(), "{}", stderr(&sent));

    // A stranger's datagram: too short for anything, dropped and counted.
    let stranger = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let (_, address) = carrier.entry.split_once('@').expect("id@address");
    stranger.send_to(&[1], address).expect("sent");
    rig::until("it is counted", || {
        carrier.status()["link_drops"]["length"] == 1
    });

    let status = last_object(&dunlin(&carrier.home, &["relay", "status", "--json"]));
    assert_eq!(status["id"], *carrier.id);
    assert_eq!(
        (&status["packets"], &status["carry"]),
        (&1.into(), &true.into())
    );
    assert!(
        status["traffic"]["bytes_in"].as_u64() > Some(1_000),
        "{status}"
    );
    assert_eq!(status["link_drops"]["length"], 1);

    let text = dunlin(&carrier.home, &["relay", "status"]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    for part in [
        &carrier.id[..],
        "links  ",
        "cache     1 packets",
        "of 16000000 bytes",
        "in  ",
        "out  ",
        "1 × length",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // The same by the path of its socket, from anywhere.
    let socket = carrier.home.join("control").display().to_string();
    let elsewhere = dunlin(&alice, &["--json", "relay", "status", "--control", &socket]);
    assert_eq!(last_object(&elsewhere)["id"], *carrier.id);
}

#[test]
fn where_no_relay_runs_the_error_says_so_and_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut carrier = Carrier::start(folder.path(), 1, &[], &[]);
    let home = carrier.home.clone();
    carrier.child.kill().expect("ours");
    carrier.child.wait().expect("ours");
    assert!(
        home.join("control").exists(),
        "a killed one leaves its socket behind"
    );
    for home in [&home, &folder.path().join("nowhere")] {
        let output = dunlin(home, &["--json", "relay", "status"]);
        assert_eq!(output.status.code(), Some(1));
        let error = last_object(&output)["error"].to_string();
        assert!(error.contains("no relay runs here"), "{error}");
        assert!(error.contains("`dunlin relay`"), "{error}");
    }
}
