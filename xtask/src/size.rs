//! `cargo xtask size`: how big the relay is, how much memory it takes with eight links, and how often it wakes while nothing happens.
//! Looked at from outside, in /proc, of the program that the Debian package would carry.

use crate::setup;
use crate::stages::{cargo, check, target};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// Links that the relay has while it is looked at.
const LINKS: usize = 8;
/// So long it is left alone.
const IDLE: Duration = Duration::from_mins(1);
/// For all links to come up.
const UP_MAX: Duration = Duration::from_secs(30);

/// One figure and what it may be. ARCHITECTURE, "Budgets".
struct Figure {
    /// Its key in JSON.
    key: &'static str,
    name: &'static str,
    found: u64,
    most: u64,
}

pub(crate) fn size(root: &Path, arguments: &[String]) -> ExitCode {
    let json = match arguments {
        [] => false,
        [flag] if flag == "--json" => true,
        _ => {
            eprintln!("cargo xtask size takes --json and nothing else");
            return ExitCode::from(2);
        }
    };
    match measure(root) {
        Ok(figures) => {
            print!(
                "{}",
                if json {
                    as_json(&figures)
                } else {
                    table(&figures)
                }
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(root: &Path) -> Result<Vec<Figure>, String> {
    setup::ensure(setup::BUILD)?;
    let binary = build(root)?;
    let bytes = fs::metadata(&binary)
        .map_err(|error| format!("{}: {error}", binary.display()))?
        .len();
    let folder = Folder::new()?;
    let (relay, neighbours) = with_links(&binary, &folder.0)?;
    let (before, memory) = (wake_ups(&relay.0)?, resident(&relay.0)?);
    std::thread::sleep(IDLE); // It is the time itself that is measured.
    let woken = wake_ups(&relay.0)?.saturating_sub(before);
    drop(neighbours);
    Ok(vec![
        Figure {
            key: "bytes",
            name: "bytes, stripped",
            found: bytes,
            most: 1_500_000,
        },
        Figure {
            key: "resident_bytes",
            name: "bytes resident with 8 links, nothing kept",
            found: memory,
            most: 4_000_000,
        },
        Figure {
            key: "wake_ups",
            name: "wake-ups in 60 s with 8 idle links, all threads",
            found: woken,
            most: LINKS as u64 * 2 * 3 + 5, // Two for each PING and its PONG, ⌈60/25⌉ times.
        },
    ])
}

/// The program as it is packed, with nothing else beside it in the build.
pub(crate) fn build(root: &Path) -> Result<PathBuf, String> {
    let profile = ["build", "--profile", "small", "--locked"];
    check(&mut cargo(
        root,
        &[&profile[..], &["-p", "dunlin-relayd"]].concat(),
    ))?;
    Ok(target(root).join("small/dunlin-relayd"))
}

/// Killed when it is dropped, whatever went wrong before.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill(); // It may have ended.
        let _ = self.0.wait();
    }
}

/// Gone when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Folder, String> {
        let name = format!("dunlin-size-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        Ok(Folder(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0); // What is left lies in the folder for such things.
    }
}

/// The relay that is looked at, and others that begin with it, once all their links are up.
fn with_links(binary: &Path, folder: &Path) -> Result<(Running, Vec<Running>), String> {
    let metrics = free_port()?;
    let page = ["--metrics".to_owned(), metrics.to_string()];
    let (relay, card) = start(binary, folder, "relay", &page)?;
    let mut neighbours = Vec::new();
    for n in 0..LINKS {
        let peer = ["--peer".to_owned(), card.clone()];
        neighbours.push(start(binary, folder, &format!("neighbour{n}"), &peer)?.0);
    }
    let begun = Instant::now();
    loop {
        let links = links(metrics)?;
        if links == LINKS {
            return Ok((relay, neighbours));
        }
        if begun.elapsed() > UP_MAX {
            return Err(format!(
                "{links} of {LINKS} links are up after {} s",
                UP_MAX.as_secs()
            ));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn free_port() -> Result<SocketAddr, String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    listener
        .and_then(|listener| listener.local_addr())
        .map_err(|error| format!("no port on loopback: {error}"))
}

/// Starts a relay; gives what others take as `--peer`.
fn start(
    binary: &Path,
    folder: &Path,
    name: &str,
    more: &[String],
) -> Result<(Running, String), String> {
    let key = folder.join(name).with_extension("key");
    let failed = |error| format!("{} does not start: {error}", binary.display());
    let child = Command::new(binary)
        .args(["--listen", "127.0.0.1:0", "--log", "error", "--identity"])
        .arg(key)
        .args(more)
        .stdout(Stdio::piped())
        .spawn();
    let mut running = Running(child.map_err(failed)?);
    let stdout = running.0.stdout.take();
    let mut lines = stdout
        .into_iter()
        .flat_map(|out| BufReader::new(out).lines());
    let card = lines.find_map(|line| Some(line.ok()?.split_once("--peer ")?.1.to_owned()));
    let card = card.ok_or_else(|| format!("{name} ended before it listened"))?;
    Ok((running, card))
}

/// How many links its metrics page tells of.
fn links(page: SocketAddr) -> Result<usize, String> {
    let failed = |error: std::io::Error| format!("http://{page}/metrics: {error}");
    let mut connection = TcpStream::connect(page).map_err(failed)?;
    connection
        .write_all(b"GET /metrics HTTP/1.0\r\n\r\n")
        .map_err(failed)?;
    let mut text = String::new();
    connection.read_to_string(&mut text).map_err(failed)?;
    number_after(&text, "dunlin_links ")
        .map(|links| links as usize)
        .ok_or_else(|| format!("http://{page}/metrics has no line dunlin_links"))
}

/// The number that follows `name` at the beginning of a line.
fn number_after(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

fn read(path: &str) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))
}

/// Bytes of memory that it has now.
fn resident(process: &Child) -> Result<u64, String> {
    let path = format!("/proc/{}/status", process.id());
    let kibibytes = number_after(&read(&path)?, "VmRSS:");
    kibibytes
        .map(|kibibytes| kibibytes * 1024)
        .ok_or_else(|| format!("{path} has no line VmRSS"))
}

/// How often its threads have gone to sleep so far, each by its own will.
fn wake_ups(process: &Child) -> Result<u64, String> {
    let threads = format!("/proc/{}/task", process.id());
    let failed = |error| format!("{threads}: {error}");
    let mut count = 0;
    for thread in fs::read_dir(&threads).map_err(failed)? {
        let path = thread.map_err(failed)?.path().join("status");
        let text = read(&path.to_string_lossy())?;
        count += number_after(&text, "voluntary_ctxt_switches:").unwrap_or_default();
    }
    Ok(count)
}

fn table(figures: &[Figure]) -> String {
    let mut text = String::from("\n     found     at most\n");
    for figure in figures {
        let Figure {
            name, found, most, ..
        } = figure;
        let word = if found <= most { "" } else { ": missed" };
        text += &format!("{found:>10}  {most:>10}  {name}{word}\n");
    }
    text
}

fn as_json(figures: &[Figure]) -> String {
    let fields = figures.iter().map(|figure| {
        let Figure {
            key, found, most, ..
        } = figure;
        format!("\"{key}\":{{\"found\":{found},\"at_most\":{most}}}")
    });
    format!("{{{}}}\n", fields.collect::<Vec<String>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_over_its_budget_is_said_to_be_missed() {
        let figure = |found| Figure {
            key: "bytes",
            name: "bytes",
            found,
            most: 10,
        };
        assert!(!table(&[figure(10)]).contains("missed"));
        assert!(table(&[figure(11)]).contains("missed"));
        assert_eq!(
            as_json(&[figure(11), figure(3)]),
            "{\"bytes\":{\"found\":11,\"at_most\":10},\"bytes\":{\"found\":3,\"at_most\":10}}\n"
        );
    }

    #[test]
    fn a_number_is_read_from_its_own_line() {
        let status =
            "nonvoluntary_ctxt_switches:\t7\nvoluntary_ctxt_switches:\t12\nVmRSS:\t  6900 kB\n";
        assert_eq!(number_after(status, "voluntary_ctxt_switches:"), Some(12));
        assert_eq!(number_after(status, "VmRSS:"), Some(6_900));
        assert_eq!(number_after(status, "VmHWM:"), None);
    }
}
