//! The metrics page: a very small HTTP/1.0 server, for whoever on this machine asks.

use crate::door::Door;
use crate::{CONTENT_TYPE, Loopback, page};
use dunlin_engine::{App, BoxError, Plugin};
use dunlin_io::{Io, IoPlugin};
use serde_json::json;
use std::any::type_name;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Connections at once; the rest wait to be accepted. // guess: a scraper or two, and somebody who looks
const CONNECTIONS_MAX: usize = 8;
/// A connection, from beginning to end, so that those who only connect keep nobody out for long. // guess
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(5);
/// A request's head; nothing in it is of use but the first line. // guess
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// Shows the relay's counters as OpenMetrics at `/metrics`.
pub struct MetricsPlugin {
    /// Where; port 0 takes any free one, which the log then tells.
    pub address: Loopback,
}

impl Plugin for MetricsPlugin {
    fn requires(&self) -> Vec<&'static str> {
        vec![type_name::<IoPlugin>()]
    }

    fn build(&self, app: &mut App) -> Result<(), BoxError> {
        let address = self.address.address();
        let listener = std::net::TcpListener::bind(address).map_err(|error| {
            format!(
                "--metrics {address}: {error}; stop whoever listens there, or choose another port"
            )
        })?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let door = Door::open(app);
        let io = app.world().resource::<Io>().clone();
        let inside = io.handle().enter();
        let listener = TcpListener::from_std(listener)?;
        drop(inside);
        tracing::info!(page = %format_args!("http://{address}/metrics"), "counters are shown");
        io.handle().spawn(accept(listener, door));
        Ok(())
    }
}

async fn accept(listener: TcpListener, door: Door) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let door = door.clone();
                tokio::spawn(async move {
                    // Late or broken off: the other side knows.
                    let _ = timeout(CONNECTION_TIME_MAX, serve(stream, &door)).await;
                    drop(place);
                });
            }
            Err(error) => {
                // Out of file descriptors, say: others will be closed.
                tracing::warn!(%error, "the metrics page could not accept");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

async fn serve(mut stream: TcpStream, door: &Door) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !has_ended(&head) && head.len() < HEAD_BYTES_MAX {
        let mut part = [0; 1024];
        let count = stream.read(&mut part).await?;
        if count == 0 {
            return Ok(());
        }
        head.extend_from_slice(&part[..count]);
    }
    let (status, kind, body) = match wanted(&head) {
        Ok(()) => match door.call("relay.status", json!({})).await {
            Ok(status) => ("200 OK", CONTENT_TYPE, page(&status)),
            Err(error) => (
                "503 Service Unavailable",
                "text/plain",
                format!("{error}\n"),
            ),
        },
        Err(refusal) => (
            refusal,
            "text/plain",
            "GET /metrics is all there is.\n".to_owned(),
        ),
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.0 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

fn has_ended(head: &[u8]) -> bool {
    head.windows(4).any(|end| end == b"\r\n\r\n") || head.windows(2).any(|end| end == b"\n\n")
}

/// Whether a request's head asks for the page; else what to answer.
fn wanted(head: &[u8]) -> Result<(), &'static str> {
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let mut words = line.trim_ascii_end().split(|byte| *byte == b' ');
    let (method, path, version) = (words.next(), words.next(), words.next());
    if !has_ended(head) || !version.is_some_and(|version| version.starts_with(b"HTTP/1.")) {
        return Err("400 Bad Request");
    }
    match (
        method,
        path.and_then(|path| path.split(|byte| *byte == b'?').next()),
    ) {
        (Some(b"GET"), Some(b"/metrics")) => Ok(()),
        (Some(b"GET"), _) => Err("404 Not Found"),
        _ => Err("405 Method Not Allowed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_and_nothing_else_is_to_be_had() {
        for (head, answer) in [
            (&b"GET /metrics HTTP/1.0\r\n\r\n"[..], Ok(())),
            (
                b"GET /metrics?a=b HTTP/1.1\r\nHost: localhost\r\n\r\n",
                Ok(()),
            ),
            (b"GET / HTTP/1.1\r\n\r\n", Err("404 Not Found")),
            (
                b"POST /metrics HTTP/1.1\r\n\r\n",
                Err("405 Method Not Allowed"),
            ),
            (b"GET /metrics\r\n\r\n", Err("400 Bad Request")),
            (
                b"GET /metrics HTTP/1.1\r\nnever ends",
                Err("400 Bad Request"),
            ),
            (b"\xff\r\n\r\n", Err("400 Bad Request")),
            (b"", Err("400 Bad Request")),
        ] {
            assert_eq!(wanted(head), answer, "{head:?}");
        }
    }
}
