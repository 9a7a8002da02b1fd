//! System programs: look, say what is missing, install it on Debian and Ubuntu.

use std::ffi::OsStr;
use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// A program that a command needs, and the Debian packages that bring it.
pub(crate) struct Need {
    program: &'static str,
    packages: &'static [&'static str],
    why: &'static str,
}

/// For building anything. Whoever reads this ran through a linker already, yet perhaps not through `cc` (a linker set in
/// a cargo config, an xtask built elsewhere), and BLAKE3's assembly is built by `cc`. On a machine with no linker
/// at all `cargo xtask` cannot even be built, so `.ci/run` looks for it first.
pub(crate) const BUILD: &[Need] = &[Need {
    program: "cc",
    packages: &["gcc", "libc6-dev"],
    why: "links Rust programs",
}];

/// For the tests: machines of their own, in network namespaces.
pub(crate) const TEST: &[Need] = &[
    Need {
        program: "ip",
        packages: &["iproute2"],
        why: "joins the network namespaces of tests",
    },
    Need {
        program: "unshare",
        packages: &["util-linux"],
        why: "makes the network namespaces of tests",
    },
];

/// For `cargo xtask fuzz`: libFuzzer is C++.
pub(crate) const FUZZ: &[Need] = &[Need {
    program: "c++",
    packages: &["g++"],
    why: "builds libFuzzer",
}];

/// For `cargo xtask deb`.
pub(crate) const DEB: &[Need] = &[Need {
    program: "dpkg-deb",
    packages: &["dpkg"],
    why: "packs the package",
}];

/// Makes sure that every program is there. The error says what to install by hand.
pub(crate) fn ensure(needs: &[Need]) -> Result<(), String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let missing: Vec<&Need> = needs
        .iter()
        .filter(|need| !is_in_path(need.program, &path))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    for need in &missing {
        eprintln!("`{}` is missing ({}).", need.program, need.why);
    }
    let packages: Vec<&str> = missing
        .iter()
        .flat_map(|need| need.packages)
        .copied()
        .filter(|package| !dpkg_has(package))
        .collect();
    let by_hand = format!("Install it yourself: {}.", packages.join(" "));
    if packages.is_empty() {
        // The packages are there, so the program was taken away or is not in PATH: nothing apt-get would mend.
        return Err("Its package is installed; see that it is in PATH.".into());
    }
    if !is_in_path("apt-get", &path) {
        return Err(by_hand);
    }
    let root = effective_user_is_root();
    if !may_install(&packages, root) {
        return Err(by_hand);
    }
    let apt = |arguments: &[&str]| -> Result<(), String> {
        let mut command = Command::new(if root { "apt-get" } else { "sudo" });
        if !root {
            command.args(["--", "apt-get"]);
        }
        command
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive");
        crate::stages::check(&mut command).map_err(|error| format!("{error}. {by_hand}"))
    };
    apt(&["update", "--quiet"])?;
    let mut install = vec!["install", "--yes", "--quiet", "--no-install-recommends"];
    install.extend(&packages);
    apt(&install)
}

fn is_in_path(program: &str, path: &OsStr) -> bool {
    std::env::split_paths(path).any(|folder| folder.join(program).is_file())
}

fn dpkg_has(package: &str) -> bool {
    Command::new("dpkg-query")
        .args(["--show", "--showformat=${db:Status-Status}", package])
        .stderr(Stdio::null())
        .output()
        .is_ok_and(|output| output.status.success() && output.stdout == b"installed")
}

fn effective_user_is_root() -> bool {
    // The folder of our own process belongs to whom we run as; std has no `geteuid`.
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(Path::new("/proc/self")).is_ok_and(|metadata| metadata.uid() == 0)
}

/// Says what will be installed, and asks where there is somebody to ask.
fn may_install(packages: &[&str], root: bool) -> bool {
    let list = packages.join(" ");
    let ci = std::env::var("CI").is_ok_and(|value| value == "true");
    if root || ci || !std::io::stdin().is_terminal() {
        eprintln!("Installing {list} with apt-get.");
        return true;
    }
    eprint!("Install {list} with `sudo apt-get`? [y/N] ");
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).is_ok()
        && answer.trim().eq_ignore_ascii_case("y")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_in_the_path_it_is_in_and_in_no_other() {
        let folder = std::env::current_exe().expect("a test has a file");
        let name = folder.file_name().expect("with a name").to_string_lossy();
        let path = folder.parent().expect("in a folder").as_os_str();
        assert!(is_in_path(&name, path));
        assert!(!is_in_path(&name, OsStr::new("/nowhere:")));
    }

    #[test]
    fn nothing_is_asked_or_installed_when_nothing_is_missing() {
        assert_eq!(ensure(&[]), Ok(()));
    }
}
