//! The command line as two new users have it, on two machines: `two_users.sh` in network namespaces of its own.

use std::process::Command;

#[test]
fn two_users_on_two_machines_use_every_command() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/two_users.sh");
    let ran = Command::new("unshare")
        .args(["--map-root-user", "--net", "--", "sh", script])
        .arg(env!("CARGO_BIN_EXE_dunlin"))
        .arg(folder.path())
        .env_remove("DUNLIN_HOME")
        .output()
        .expect("unshare, of util-linux, runs");
    let (out, err) = (
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr),
    );
    assert!(ran.status.success(), "{out}\n{err}");
    assert!(
        out.ends_with("all as two new users would have it\n"),
        "{out}\n{err}"
    );
}
