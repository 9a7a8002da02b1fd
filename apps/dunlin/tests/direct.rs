//! Two programs whose users write to each other, on real sockets, go on when every carrier is killed.

mod rig;

use dunlin_io::ControlClient;
use rig::{Carrier, carriers, entries, person, until};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Somebody whose program receives until it is dropped.
struct Online {
    child: Child,
    home: PathBuf,
    card: String,
}

impl Online {
    fn start(folder: &Path, name: &str, address: &str, peers: &[Carrier]) -> Online {
        let (home, card) = person(folder, name);
        let said = std::fs::File::create(home.join("said")).expect("a file");
        let child = Command::new(env!("CARGO_BIN_EXE_dunlin"))
            .arg("--home")
            .arg(&home)
            .args(["receive", "--listen", address, "--out"])
            .arg(folder.join(format!("{name}-files")))
            .args(entries(peers))
            .stdin(Stdio::null())
            .stdout(said)
            .spawn()
            .expect("dunlin runs");
        until("it serves its control socket", || {
            home.join("control").exists()
        });
        Online { child, home, card }
    }

    fn call(&self, name: &str, params: &Value, body: &[u8]) -> Value {
        let mut control =
            ControlClient::connect(&self.home.join("control"), rig::LIMIT).expect("its socket");
        control.call(name, params, body).expect("an answer").value
    }

    fn write(&self, to: &Online, text: &str) {
        self.call("relay.send", &json!({ "to": to.card, "text": text }), b"");
        until("the other reads it", || {
            let said = std::fs::read_to_string(to.home.join("said")).expect("what it said");
            said.contains(text)
        });
    }
}

impl Drop for Online {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn both_have_proofs(alice: &Online, bob: &Online) {
    until("both have all proofs", || {
        [alice, bob].iter().all(|one| {
            let rows = one.call("relay.outbox", &json!({}), b"");
            let mut rows = rows.as_array().expect("rows").iter();
            rows.all(|row| row["state"] == "delivered")
        })
    });
}

// PROTOCOL 4.8
#[test]
fn two_who_write_to_each_other_go_on_when_every_carrier_is_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let carriers = carriers(folder.path(), 5);
    let alice = Online::start(folder.path(), "alice", "127.201.0.1:0", &carriers);
    let bob = Online::start(folder.path(), "bob", "127.202.0.1:0", &carriers);
    alice.write(&bob, "Tea?");
    bob.write(&alice, "With milk.");
    both_have_proofs(&alice, &bob);
    until("each has a link with the other", || {
        [&alice, &bob]
            .iter()
            .all(|one| one.call("relay.status", &json!({}), b"")["direct_links"] == 1)
    });
    drop(carriers);
    alice.write(&bob, "Are you still there?");
    bob.write(&alice, "A recipe, ".repeat(3_000).trim_end());
    let film: Vec<u8> = (0..1_000_000_u32).map(|n| (n / 7) as u8).collect();
    let params = json!({ "to": bob.card, "name": "film" });
    alice.call("relay.send", &params, &film);
    let path = folder.path().join("bob-files/film");
    until("the film is there", || path.exists());
    assert!(std::fs::read(path).expect("the film") == film);
    both_have_proofs(&alice, &bob);
}
