//! Runs a test again in namespaces of its own, where it may lay cables.

use crate::support::LIMIT;
use std::process::Command;
use std::time::Instant;

const MARK: &str = "DUNLIN_TEST_NAMESPACE";

/// What the test may do there.
#[derive(Clone, Copy, Debug)]
pub enum Powers {
    /// Nothing: nobody, on this machine's network.
    None,
    /// Everything, on a network of its own, with a loopback interface and nothing else.
    Network,
}

/// Whether this process is the one inside. If not, it has run the test `name` inside, which went well: return.
///
/// # Panics
/// With what the test said, if it failed there; or with what this machine lacks.
pub fn inside(powers: Powers, name: &str) -> bool {
    if std::env::var_os(MARK).is_some() {
        if matches!(powers, Powers::Network) {
            run("ip link set lo up");
        }
        return true;
    }
    let unshare = match powers {
        Powers::None => &["--user"][..],
        // Root may need no user namespace, and everybody else does.
        Powers::Network if works(&["--net"]) => &["--net"][..],
        Powers::Network => &["--user", "--map-root-user", "--net"][..],
    };
    assert!(
        works(unshare),
        "this test needs namespaces of its own: `unshare {}` does not work here; run as root, or allow user namespaces \
         (sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0), with util-linux and \
         iproute2 installed",
        unshare.join(" ")
    );
    let this = std::env::current_exe().expect("this test's own binary");
    let output = Command::new("unshare")
        .args(unshare)
        .arg("--")
        .arg(this)
        .args(["--exact", name, "--nocapture", "--test-threads", "1"])
        .env(MARK, "1")
        .output()
        .expect("unshare runs");
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "inside:\n{said}");
    assert!(
        said.contains("1 passed"),
        "no test is called {name}:\n{said}"
    );
    false
}

fn works(unshare: &[&str]) -> bool {
    let tried = Command::new("unshare")
        .args(unshare)
        .args(["--", "true"])
        .output();
    tried.is_ok_and(|tried| tried.status.success())
}

/// Runs a command that must succeed. Answers what it printed.
pub fn run(command: &str) -> String {
    let mut words = command.split_whitespace();
    let program = words.next().expect("a program");
    let output = Command::new(program)
        .args(words)
        .output()
        .unwrap_or_else(|error| panic!("{command}: {error}; is iproute2 installed?"));
    assert!(
        output.status.success(),
        "{command}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Lays a cable from this network to itself: `left` (10.77.0.1 and .3, fd77::1) and `right` (10.78.0.2, fd78::2). What leaves by one
/// comes in by the other, though it is from this machine.
pub fn lay_cable() {
    run("ip link add left type veth peer name right");
    for (end, addresses) in [
        (
            "left",
            &["10.77.0.1/24 brd 10.77.0.255", "10.77.0.3/24", "fd77::1/64"][..],
        ),
        ("right", &["10.78.0.2/24 brd 10.78.0.255", "fd78::2/64"]),
    ] {
        for setting in [
            format!("ipv4/conf/{end}/accept_local"),
            format!("ipv6/conf/{end}/accept_dad"),
            format!("ipv4/conf/{end}/rp_filter"),
        ] {
            let value = if setting.ends_with("accept_local") {
                "1"
            } else {
                "0"
            };
            let path = format!("/proc/sys/net/{setting}");
            std::fs::write(&path, value).unwrap_or_else(|error| panic!("{path}: {error}"));
        }
        for address in addresses {
            run(&format!(
                "ip address add {address} dev {end}{}",
                if address.contains(':') { " nodad" } else { "" }
            ));
        }
    }
    std::fs::write("/proc/sys/net/ipv4/conf/all/rp_filter", "0").expect("rp_filter");
    run("ip link set left up");
    run("ip link set right up");
    // The kernel connects the ends in its own time, and until then drops what is sent without a word.
    let end = Instant::now() + LIMIT;
    for link in ["left", "right"] {
        loop {
            let state = run(&format!("ip link show {link}"));
            if state.contains("state UP") && !state.contains("qdisc noop ") {
                break;
            }
            assert!(Instant::now() < end, "{state}");
        }
    }
}
