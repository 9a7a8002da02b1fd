//! The daemon, as its operator meets it.

mod rig;

use rig::{Daemon, fails, until};
use rustix::process::Signal;
use serde_json::json;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

#[test]
fn it_makes_its_key_says_where_it_listens_and_has_the_same_name_next_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut first = Daemon::start(folder.path(), "relay", &[]);
    let key = first.folder.join("key");
    let mode = std::fs::metadata(&key)
        .expect("a key file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let listening = first.logs("listening");
    assert_eq!(listening["level"], "info");
    let entry = first.entry.clone();
    let (id, address) = entry.split_once('@').expect("an entry");
    assert_eq!(first.status()["id"], id);
    assert!(address.starts_with("127.0.0.1:"), "{address}");
    first.signal(Signal::INT);
    assert_eq!(first.end().code(), Some(0));
    let again = Daemon::start(folder.path(), "relay", &[]);
    assert_eq!(again.entry.split_once('@').expect("an entry").0, id);
}

#[test]
fn it_needs_one_thread() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Daemon::start(folder.path(), "relay", &["--metrics", "127.0.0.1:0"]);
    relay.status();
    let status = std::fs::read_to_string(format!("/proc/{}/status", relay.pid())).expect("it runs");
    assert!(status.lines().any(|line| line == "Threads:\t1"), "{status}");
}

#[test]
fn two_link_up_and_one_that_is_terminated_tells_the_other_and_ends_well() {
    let folder = tempfile::tempdir().expect("a folder");
    let stays = Daemon::start(folder.path(), "stays", &[]);
    let mut goes = Daemon::start(folder.path(), "goes", &["--peer", &stays.entry]);
    for relay in [&stays, &goes] {
        until("they are linked", || relay.status()["links"] == 1);
    }
    goes.signal(Signal::TERM);
    assert_eq!(goes.end().code(), Some(0));
    assert_eq!(goes.logs("ended")["why"], "terminated");
    // Silence alone would be noticed after two minutes and more.
    until("the other was told", || stays.status()["links"] == 0);
}

#[test]
fn sighup_applies_cache_and_bandwidth_and_a_broken_file_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("dunlin.toml");
    let write = |text: &str| std::fs::write(&config, text).expect("our own folder");
    write("[relay]\ncache_bytes = 1000000\n");
    let options = [
        "--config",
        config.to_str().expect("a name"),
        "--bandwidth",
        "5000",
    ];
    let relay = Daemon::start(folder.path(), "relay", &options);
    let limits = || relay.call("relay.limits", &json!({}));
    assert_eq!(
        limits(),
        json!({ "cache_bytes": 1_000_000, "bandwidth": 5_000 })
    );

    write("[relay]\ncache_bytes = 500000\nbandwidth = 70\n");
    relay.signal(Signal::HUP);
    let event = relay.logs("SIGHUP: the limits were read again");
    assert_eq!(
        (&event["cache_bytes"], &event["bandwidth"]),
        (&"500000".into(), &"70".into())
    );
    assert_eq!(limits(), json!({ "cache_bytes": 500_000, "bandwidth": 70 }));
    assert_eq!(relay.status()["cache_capacity"], 500_000);

    write("[relay]\ncash_bytes = 1\n");
    relay.signal(Signal::HUP);
    let event = relay.logs("SIGHUP: nothing was changed");
    assert_eq!(event["level"], "error");
    let error = event["error"].as_str().expect("an error");
    assert!(error.contains("dunlin.toml") && error.contains("did you mean \"cache_bytes\"?"));
    assert_eq!(limits(), json!({ "cache_bytes": 500_000, "bandwidth": 70 }));

    // What the file does not say any more the options say.
    write("");
    relay.signal(Signal::HUP);
    until("it is as it was started", || {
        limits() == json!({ "cache_bytes": 16_000_000, "bandwidth": 5_000 })
    });
}

#[test]
fn limits_set_by_hand_apply_until_the_next_change() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Daemon::start(folder.path(), "relay", &[]);
    let set = |params| relay.call("relay.limits", &params);
    assert_eq!(
        set(json!({ "bandwidth": 9 })),
        json!({ "cache_bytes": 16_000_000, "bandwidth": 9 })
    );
    assert_eq!(
        set(json!({ "cache_bytes": 5 })),
        json!({ "cache_bytes": 5, "bandwidth": 9 })
    );
    assert_eq!(
        set(json!({ "bandwidth": null })),
        json!({ "cache_bytes": 5, "bandwidth": null })
    );
    // Without --config there is nothing to read.
    relay.signal(Signal::HUP);
    assert_eq!(
        relay.logs("SIGHUP: started without --config")["level"],
        "warn"
    );
    assert_eq!(set(json!({}))["cache_bytes"], 5);
}

#[test]
fn what_keeps_it_from_starting_is_said_with_where_and_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let write = |name: &str, text: &str, mode| {
        std::fs::write(path(name), text).expect("our own folder");
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(path(name), mode).expect("our own file");
    };
    let busy = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let busy_tcp = std::net::TcpListener::bind("127.0.0.1:0").expect("a socket");
    let udp = busy.local_addr().expect("its address").to_string();
    let tcp = busy_tcp.local_addr().expect("its address").to_string();
    write("broken.toml", "[relay\n", 0o600);
    write("typo.toml", "[relay]\nbandwith = 1\n", 0o600);
    write("shape.toml", "[relay]\ncache_bytes = \"much\"\n", 0o600);
    write("open", "x", 0o644);
    write("torn", "x", 0o600);
    let (key, listen) = (path("key"), "127.0.0.1:0");
    let (nowhere, missing) = (path("nowhere/key"), path("missing.toml"));
    let (broken, typo, shape) = (path("broken.toml"), path("typo.toml"), path("shape.toml"));
    let (open, torn) = (path("open"), path("torn"));
    let cases: &[(&[&str], i32, &[&str])] = &[
        (&[], 2, &["--identity <FILE>", "Usage:"]),
        (
            &["--identity", &key, "--cache", "much"],
            2,
            &["--cache", "much"],
        ),
        (&["--identity", &key, "--bandwith", "1"], 2, &["--bandwith"]),
        (
            &["--identity", &key, "--peer", "127.0.0.1"],
            2,
            &["--peer", "such as 192.0.2.7:4444"],
        ),
        (
            &["--identity", &key, "--metrics", "0.0.0.0:1"],
            2,
            &["0.0.0.0:1", "use a loopback address"],
        ),
        (
            &["--identity", &key, "--listen", &udp],
            1,
            &[&udp, "choose another"],
        ),
        (
            &["--identity", &key, "--listen", listen, "--metrics", &tcp],
            1,
            &[&tcp, "choose another port"],
        ),
        (
            &["--identity", &key, "--config", &broken],
            1,
            &["broken.toml", "line 1"],
        ),
        (
            &["--identity", &key, "--config", &typo, "--listen", listen],
            1,
            &["typo.toml", "did you mean \"bandwidth\"?"],
        ),
        (
            &["--identity", &key, "--config", &shape, "--listen", listen],
            1,
            &["shape.toml", "[relay]", "u64"],
        ),
        (
            &["--identity", &key, "--config", &missing],
            1,
            &["missing.toml", "cannot be read"],
        ),
        (&["--identity", &open], 1, &[&open, "chmod 600"]),
        (
            &["--identity", &torn],
            1,
            &[&torn, "restore it from a copy"],
        ),
        (
            &["--identity", &nowhere],
            1,
            &["nowhere", "name another file with --identity"],
        ),
    ];
    for (arguments, code, texts) in cases {
        let (ended, stderr) = fails(arguments);
        assert_eq!(ended, Some(*code), "{arguments:?}: {stderr}");
        for text in *texts {
            assert!(
                stderr.contains(text),
                "{arguments:?} lacks {text:?}: {stderr}"
            );
        }
        let as_json = [&["--json"], *arguments].concat();
        let (ended, stderr) = fails(&as_json);
        assert_eq!(ended, Some(*code), "{stderr}");
        let last = stderr.lines().last().expect("an error");
        let event: serde_json::Value = serde_json::from_str(last).expect("an object");
        assert_eq!(event["level"], "error", "{event}");
    }
}

#[test]
fn it_offers_nobody_sockets_of_their_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Daemon::start(folder.path(), "relay", &[]);
    let calls = relay.call("calls.list", &json!({})).to_string();
    assert!(calls.contains("\"relay.limits\""), "{calls}");
    assert!(!calls.contains("\"udp."), "{calls}");
}

#[test]
fn two_with_one_key_do_not_run_together() {
    let folder = tempfile::tempdir().expect("a folder");
    let relay = Daemon::start(folder.path(), "relay", &[]);
    let key = relay.folder.join("key").display().to_string();
    let (code, stderr) = fails(&["--identity", &key, "--listen", "127.0.0.1:0"]);
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains("another process serves this control socket"),
        "{stderr}"
    );
    relay.status();
}

#[test]
fn a_service_manager_hears_of_start_reload_life_and_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("manager");
    let manager = UnixDatagram::bind(&path).expect("a socket");
    manager
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("a limit");
    let hear = |wanted: &str| {
        loop {
            let mut buffer = [0; 512];
            let count = match manager.recv(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                count => count.expect(wanted),
            };
            let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
            // Signs of life come in between.
            if text != "WATCHDOG=1" || wanted == text {
                return text;
            }
        }
    };
    let environment = [
        ("NOTIFY_SOCKET", path.to_str().expect("a name")),
        ("WATCHDOG_USEC", "200000"),
    ];
    let mut relay = Daemon::start_with(folder.path(), "relay", &[], &environment);
    assert_eq!(hear("READY=1"), "READY=1");
    for _ in 0..3 {
        assert_eq!(hear("WATCHDOG=1"), "WATCHDOG=1");
    }
    relay.signal(Signal::HUP);
    assert!(hear("RELOADING").starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(hear("READY=1"), "READY=1");
    relay.signal(Signal::TERM);
    assert_eq!(hear("STOPPING=1"), "STOPPING=1");
    assert_eq!(relay.end().code(), Some(0));
}
