//! The workspace's own commands. Std only, so that nothing is downloaded to build them.

mod ci;
mod deb;
mod fuzz;
mod gates;
mod run;
mod setup;
mod size;
mod stages;
mod versions;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const HELP: &str = "\
cargo xtask run [ARGS]     build dunlin and run `dunlin demo ARGS`
cargo xtask test           examples, the outside crate, then every test and doc test
cargo xtask gates          the rules that no compiler checks: clauses, drop reasons, layers, absences, words, versions
cargo xtask ci             fmt, gates, clippy, docs, then all of `test`
cargo xtask fuzz           list the fuzz targets
cargo xtask fuzz TARGET [--seconds N]
                           feed one decoder what libFuzzer makes up, for 60 seconds unless said
cargo xtask versions [REVISION]
                           an older dunlin, built from the history, and today's in one network
cargo xtask deb            target/dunlin-relayd_VERSION_ARCH.deb: the relay, built for size, as a Debian package
cargo xtask size [--json]  how big the relay is, its memory with eight links, and how often it wakes while idle
cargo xtask help           this page

Each command looks for the system programs that it needs and, on Debian and Ubuntu, installs the missing ones with
apt-get. It asks first, unless it runs as root, under CI=true or without a terminal.
";

fn main() -> ExitCode {
    let root = root();
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let arguments: Vec<String> = arguments.collect();
    // `run` passes its arguments on, `fuzz`, `versions` and `size` read them; on the others an argument is a mistake.
    if !arguments.is_empty() && matches!(command.as_str(), "test" | "gates" | "ci" | "deb") {
        eprintln!("cargo xtask {command} takes no arguments.\n\n{HELP}");
        return ExitCode::from(2);
    }
    match command.as_str() {
        "run" => run::run(&root, &arguments),
        "test" => ci::test(&root),
        "gates" => stages::run(&root, &[ci::GATES]),
        "ci" => ci::ci(&root),
        "deb" => deb::deb(&root),
        "fuzz" => fuzz::fuzz(&root, &arguments),
        "size" => size::size(&root, &arguments),
        "versions" => versions::versions(&root, &arguments),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        other => {
            eprintln!("no command named `{other}`.\n\n{HELP}");
            ExitCode::from(2)
        }
    }
}

/// The workspace's folder: this crate's parent.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}
