//! Real `dunlin-relayd` processes on loopback, for tests.
#![allow(dead_code, reason = "each test file uses its part of the rig")]

use dunlin_io::ControlClient;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(60);

/// Runs it to its end, which must be an error at the start.
pub fn fails(arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = Command::new(env!("CARGO_BIN_EXE_dunlin-relayd"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("dunlin-relayd runs");
    (status.code(), String::from_utf8_lossy(&stderr).into_owned())
}

/// A running daemon; killed when dropped.
pub struct Daemon {
    child: Child,
    pub folder: PathBuf,
    pub entry: String,
}

impl Daemon {
    /// Starts one whose files are in `FOLDER/NAME`, with `--json`, and waits until it says where it listens.
    pub fn start(folder: &Path, name: &str, more: &[&str]) -> Daemon {
        Daemon::start_with(folder, name, more, &[])
    }

    pub fn start_with(
        folder: &Path,
        name: &str,
        more: &[&str],
        environment: &[(&str, &str)],
    ) -> Daemon {
        let folder = folder.join(name);
        std::fs::create_dir_all(&folder).expect("our own folder");
        let mut child = Command::new(env!("CARGO_BIN_EXE_dunlin-relayd"))
            .current_dir(&folder)
            .args(["--json", "--identity", "key", "--listen", "127.0.0.1:0"])
            .args(more)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(folder.join("log")).expect("a log"))
            .spawn()
            .expect("dunlin-relayd starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe"))
            .read_line(&mut line)
            .expect("it says where it listens");
        let log = || std::fs::read_to_string(folder.join("log")).unwrap_or_default();
        let ready: Value = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("{error}: {line}\n{}", log()));
        let text = |name: &str| ready[name].as_str().expect("text").to_owned();
        let entry = format!("{}@{}", text("id"), text("address"));
        Daemon {
            child,
            folder,
            entry,
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    /// Waits for its end, which must come within 5 s.
    pub fn end(&mut self) -> ExitStatus {
        let begun = Instant::now();
        let mut status = None;
        until("it has ended", || {
            status = self.child.try_wait().expect("our own child");
            status.is_some()
        });
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(5), "it took {took:?}");
        status.expect("it has ended")
    }

    /// Makes a call over its control socket.
    pub fn call(&self, name: &str, params: &Value) -> Value {
        let path = self.folder.join("key.control");
        let mut control = ControlClient::connect(&path, LIMIT).expect("its control socket");
        control.call(name, params, b"").expect("an answer").value
    }

    pub fn status(&self) -> Value {
        self.call("relay.status", &json!({}))
    }

    /// The events of its log, each an object.
    pub fn log(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.join("log")).expect("its log");
        // The last line may be half written.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let parse = |line: &str| serde_json::from_str(line).expect("each line is an object");
        whole.lines().map(parse).collect()
    }

    /// Waits for an event whose message begins like this.
    pub fn logs(&self, message: &str) -> Value {
        let mut found = None;
        until(message, || {
            let begins = |event: &Value| {
                event["message"]
                    .as_str()
                    .is_some_and(|text| text.starts_with(message))
            };
            found = self.log().into_iter().rev().find(begins);
            found.is_some()
        });
        found.expect("found")
    }

    /// Where its metrics page is: address and path.
    pub fn page(&self) -> String {
        let event = self.logs("counters are shown");
        let page = event["page"].as_str().expect("an address");
        let address = page
            .strip_prefix("http://")
            .and_then(|rest| rest.strip_suffix("/metrics"));
        address.expect("http://ADDR:PORT/metrics").to_owned()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks an HTTP server for something, and gives back all that it answers.
pub fn ask(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(LIMIT)).expect("a limit");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("text");
    answer
}

/// Looks until `done`, for a minute at most.
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !done() {
        assert!(Instant::now() < end, "in vain waited until {what}");
        // The pace of looking, not the time that something takes.
        std::thread::sleep(Duration::from_millis(20));
    }
}
