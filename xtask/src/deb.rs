//! `cargo xtask deb`: the relay as a Debian package. It is built for size, packed by dpkg-deb, and what came of it is looked at.

use crate::stages::{self, Stage, check, line_of, target};
use crate::{setup, size};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const STAGES: &[Stage] = &[
    Stage {
        name: "build",
        run: |root| size::build(root).map(|_| ()),
    },
    Stage {
        name: "pack",
        run: |root| {
            let target = target(root);
            let binary = target.join("small/dunlin-relayd");
            let package = pack(root, &binary, &target)?;
            println!("{}", package.display());
            Ok(())
        },
    },
];

/// Where a file of the workspace goes, relative to `/`.
const FILES: &[(&str, &str)] = &[
    (
        "apps/relay/systemd/dunlin-relayd.service",
        "usr/lib/systemd/system/dunlin-relayd.service",
    ),
    ("apps/relay/systemd/relayd.toml", CONFIG),
    (
        "docs/operator.md",
        "usr/share/doc/dunlin-relayd/operator.md",
    ),
];
const CONFIG: &str = "etc/dunlin/relayd.toml";
const BINARY: &str = "usr/bin/dunlin-relayd";
const COPYRIGHT: &str = "usr/share/doc/dunlin-relayd/copyright";

/// It is not started by being installed: whoever runs a relay first says how much it may use.
const POSTINST: &str = "\
#!/bin/sh
set -e
if [ \"$1\" = configure ] && [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    systemctl try-restart dunlin-relayd.service
fi
";
const PRERM: &str = "\
#!/bin/sh
set -e
if [ \"$1\" = remove ] && [ -d /run/systemd/system ]; then
    systemctl disable --now dunlin-relayd.service
fi
";
/// Purged, its key goes too: then no relay has this id any more.
const POSTRM: &str = "\
#!/bin/sh
set -e
if [ \"$1\" = purge ]; then
    rm -rf /var/lib/private/dunlin-relayd /var/lib/dunlin-relayd
fi
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
fi
";

pub(crate) fn deb(root: &Path) -> ExitCode {
    if let Err(error) = setup::ensure(setup::BUILD).and_then(|()| setup::ensure(setup::DEB)) {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    stages::run(root, STAGES)
}

/// Packs `binary` into a package in the folder `target`, and makes sure that it unpacks to the right paths.
fn pack(root: &Path, binary: &Path, target: &Path) -> Result<PathBuf, String> {
    let architecture = answer(Command::new("dpkg").arg("--print-architecture"))?;
    let version = env!("CARGO_PKG_VERSION");
    let name = format!("dunlin-relayd_{version}_{architecture}");
    let tree = target.join(format!("{name}.tree"));
    let package = target.join(format!("{name}.deb"));
    // What an earlier run left must not get into this package.
    let _ = fs::remove_dir_all(&tree);
    let read = |path: &Path| {
        fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
    };
    put(&tree, BINARY, &read(binary)?, 0o755)?;
    for (from, to) in FILES {
        put(&tree, to, &read(&root.join(from))?, 0o644)?;
    }
    let license = String::from_utf8_lossy(&read(&root.join("LICENSE-MIT"))?).into_owned();
    put(&tree, COPYRIGHT, copyright(&license).as_bytes(), 0o644)?;
    let kibibytes = bytes_in(&tree)?.div_ceil(1024);
    let control = control(version, &architecture, &libc_version()?, kibibytes);
    put(&tree, "DEBIAN/control", control.as_bytes(), 0o644)?;
    let conffiles = format!("/{CONFIG}\n");
    put(&tree, "DEBIAN/conffiles", conffiles.as_bytes(), 0o644)?;
    for (script, text) in [("postinst", POSTINST), ("prerm", PRERM), ("postrm", POSTRM)] {
        put(&tree, &format!("DEBIAN/{script}"), text.as_bytes(), 0o755)?;
    }
    check(
        Command::new("dpkg-deb")
            .args(["--root-owner-group", "--build"])
            .args([&tree, &package]),
    )?;
    look(&package)?;
    fs::remove_dir_all(&tree).map_err(|error| format!("{}: {error}", tree.display()))?;
    Ok(package)
}

fn put(tree: &Path, path: &str, bytes: &[u8], mode: u32) -> Result<(), String> {
    let path = tree.join(path);
    let failed = |error: std::io::Error| format!("{} cannot be made: {error}", path.display());
    let mut folder = path.parent().unwrap_or(tree).to_path_buf();
    fs::create_dir_all(&folder).map_err(failed)?;
    fs::write(&path, bytes).map_err(failed)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).map_err(failed)?;
    // Whatever the umask of who packs: folders of a package are open to all.
    while folder.starts_with(tree) {
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).map_err(failed)?;
        if !folder.pop() {
            break;
        }
    }
    Ok(())
}

fn bytes_in(folder: &Path) -> Result<u64, String> {
    let failed = |error: std::io::Error| format!("{} cannot be read: {error}", folder.display());
    let mut bytes = 0;
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let metadata = entry.metadata().map_err(failed)?;
        bytes += match metadata.is_dir() {
            true => bytes_in(&entry.path())?,
            false => metadata.len(),
        };
    }
    Ok(bytes)
}

fn control(version: &str, architecture: &str, libc: &str, kibibytes: u64) -> String {
    format!(
        "Package: dunlin-relayd\n\
         Version: {version}\n\
         Architecture: {architecture}\n\
         Maintainer: The Dunlin developers\n\
         Installed-Size: {kibibytes}\n\
         Depends: libc6 (>= {libc}), libgcc-s1\n\
         Section: net\n\
         Priority: optional\n\
         Description: headless relay of Dunlin\n \
         Carries other people's sealed packets, in memory and within limits that its\n \
         owner sets, until those they are for come back.\n"
    )
}

/// The C library that the binary was linked with: it runs with this or a later one.
fn libc_version() -> Result<String, String> {
    let query = ["--show", "--showformat=${Version}\\n", "libc6"];
    let versions = answer(Command::new("dpkg-query").args(query))?;
    let first = versions.lines().next().unwrap_or_default();
    let upstream = first.split('-').next().unwrap_or_default();
    match upstream.is_empty() {
        true => Err("dpkg knows no version of libc6, which this package depends on".to_owned()),
        false => Ok(upstream.to_owned()),
    }
}

fn copyright(mit: &str) -> String {
    format!(
        "Dunlin is licensed as MIT or Apache-2.0, at your choice. The Apache licence is in\n\
         /usr/share/common-licenses/Apache-2.0; the MIT licence follows.\n\n{mit}"
    )
}

/// What a package installs: mode, owner and path of each file, as dpkg-deb lists them.
fn listed(package: &Path) -> Result<Vec<String>, String> {
    let list = answer(Command::new("dpkg-deb").arg("--contents").arg(package))?;
    let row = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [mode, owner, .., path] if !mode.starts_with('d') => {
                Some(format!("{mode} {owner} {path}"))
            }
            _ => None,
        }
    };
    let mut rows: Vec<String> = list.lines().filter_map(row).collect();
    rows.sort();
    Ok(rows)
}

fn expected() -> Vec<String> {
    let documents = FILES.iter().map(|(_, path)| *path).chain([COPYRIGHT]);
    let mut rows: Vec<String> = documents
        .map(|path| format!("-rw-r--r-- root/root ./{path}"))
        .collect();
    rows.push(format!("-rwxr-xr-x root/root ./{BINARY}"));
    rows.sort();
    rows
}

fn look(package: &Path) -> Result<(), String> {
    let (listed, expected) = (listed(package)?, expected());
    if listed == expected {
        return Ok(());
    }
    let (listed, expected) = (listed.join("\n  "), expected.join("\n  "));
    Err(format!(
        "the package would install\n  {listed}\nwhere this was meant:\n  {expected}"
    ))
}

/// What a program prints, without the end of its last line.
fn answer(command: &mut Command) -> Result<String, String> {
    let line = line_of(command);
    let output = command
        .output()
        .map_err(|error| format!("`{line}` did not start: {error}"))?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        return Err(format!(
            "`{line}` ended with {}: {}",
            output.status,
            error.trim()
        ));
    }
    Ok(String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_unpacks_to_the_right_paths_with_what_went_in() {
        // Elsewhere there is neither dpkg-deb nor anybody to install what it packs.
        if Command::new("dpkg-deb").arg("--version").output().is_err() {
            return;
        }
        let name = format!("dunlin-deb-test-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).expect("a folder");
        let binary = folder.join("built");
        fs::write(&binary, "a program").expect("our own folder");
        let root = crate::root();
        let package = pack(&root, &binary, &folder).expect("a package");
        let there = folder.join("unpacked");
        let extract = [
            "--raw-extract".as_ref(),
            package.as_os_str(),
            there.as_os_str(),
        ];
        answer(Command::new("dpkg-deb").args(extract)).expect("it unpacks");
        let read = |path: &str| fs::read_to_string(there.join(path)).expect("it is there");
        assert_eq!(read(BINARY), "a program");
        for (from, to) in FILES {
            let written = fs::read_to_string(root.join(from)).expect("it is there");
            assert_eq!(read(to), written, "{to}");
        }
        assert_eq!(read("DEBIAN/conffiles"), "/etc/dunlin/relayd.toml\n");
        assert!(read("DEBIAN/control").starts_with("Package: dunlin-relayd\nVersion: "));
        // The unit starts what is installed, and reads what is.
        let unit = read("usr/lib/systemd/system/dunlin-relayd.service");
        assert!(unit.contains(&format!("ExecStart=/{BINARY} ")));
        assert!(unit.contains(&format!("--config /{CONFIG} ")));
        fs::remove_dir_all(&folder).expect("our own folder");
    }
}
