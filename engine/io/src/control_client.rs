//! The other end of the control socket, for the command line: plain blocking calls.

use crate::control::Line;
use dunlin_engine::{CallError, Reply};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// A body longer than this is a fault of the other side.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A connection to a running Dunlin process of the same user.
pub struct ControlClient {
    stream: BufReader<UnixStream>,
    next: u64,
}

impl ControlClient {
    /// Connects. Each answer may take `limit`.
    ///
    /// # Errors
    /// What the system says; nobody serves that path, most likely.
    pub fn connect(path: &Path, limit: Duration) -> std::io::Result<ControlClient> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(limit))?;
        stream.set_write_timeout(Some(limit))?;
        Ok(ControlClient {
            stream: BufReader::new(stream),
            next: 1,
        })
    }

    /// Makes one call and waits for its answer.
    ///
    /// # Errors
    /// The call's own; `failed` if the connection breaks or answers nonsense.
    pub fn call(&mut self, name: &str, params: &Value, body: &[u8]) -> Result<Reply, CallError> {
        let id = self.next;
        self.next += 1;
        let head = json!({ "id": id, "call": name, "params": params, "body": body.len() });
        let broken = |error: std::io::Error| {
            CallError::new(
                "failed",
                format!("{name}: the control socket broke off: {error}"),
            )
        };
        let mut request = head.to_string().into_bytes();
        request.push(b'\n');
        request.extend_from_slice(body);
        self.stream.get_mut().write_all(&request).map_err(broken)?;
        loop {
            let mut text = String::new();
            if self.stream.read_line(&mut text).map_err(broken)? == 0 {
                return Err(broken(std::io::ErrorKind::UnexpectedEof.into()));
            }
            let line: Line = serde_json::from_str(&text).map_err(|error| {
                CallError::new("failed", format!("{name}: not an answer: {error}"))
            })?;
            if line.body > BODY_BYTES_MAX {
                return Err(CallError::new(
                    "failed",
                    format!("{name}: a body of {} bytes", line.body),
                ));
            }
            let mut body = vec![0; line.body];
            self.stream.read_exact(&mut body).map_err(broken)?;
            match line.error {
                Some(error) if line.id == id || line.id == 0 => return Err(error),
                None if line.id == id => {
                    return Ok(Reply {
                        value: line.value.unwrap_or_default(),
                        body: body.into(),
                    });
                }
                _ => {}
            }
        }
    }
}
