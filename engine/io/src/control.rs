//! The control socket: a Unix socket, mode 0600, that speaks the runtime's calls.
//!
//! Each side sends heads, a line of JSON each, followed by as many bytes as the head's `body` says (none if it is absent).
//!
//! - request: `{"id": 1, "call": "calls.list", "params": {}, "body": 0}`
//! - answer: `{"id": 1, "value": …, "body": 0}` or `{"id": 1, "error": {"code": "…", "message": "…"}}`
//! - item of a stream: `{"id": 1, "item": …, "body": 0}`; its end: `{"id": 1, "end": true}`

use crate::Io;
use bevy_ecs::prelude::*;
use bytes::Bytes;
use dunlin_engine::{
    App, BoxError, CallError, Grants, Inbox, Input, Outlet, Plugin, Reply, Request, Source,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{AcqRel, Acquire};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Interest};
use tokio::net::unix::OwnedReadHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};

/// Connections at once; each is a process of the owner's. // guess
const CONNECTIONS_MAX: usize = 32;
/// A head line. // guess
const HEAD_BYTES_MAX: usize = 256 * 1024;
/// A body. // guess: above a message's largest part
const BODY_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Lines that wait for a slow reader before items are refused, and no more requests read. // guess
const LINES_MAX: usize = 1_024;
/// Calls of one connection without an answer before no more requests are read: a quarter of the inbox's room for calls. // guess
const UNANSWERED_MAX: usize = 1_024;
/// How often it is looked whether somebody who sends nothing more, and has answers to come, is still there. // guess
const GONE_LOOK: Duration = Duration::from_millis(100);

/// Opens the control socket at a path; who may open that path may make every call.
pub struct ControlPlugin {
    /// Where. Its folder is made, mode 0700, if it is not there. A socket that nobody serves any more is replaced.
    pub path: PathBuf,
}

/// The control socket could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// Another process serves it.
    #[error(
        "{0}: another process serves this control socket: stop it, or choose another place for this one"
    )]
    Taken(String),
    /// Something that is not a socket stands there.
    #[error("{0}: not a socket: move it away, or choose another place for the control socket")]
    NotASocket(String),
    /// The system refused.
    #[error("{0}: the control socket cannot be opened: {1}")]
    System(String, std::io::Error),
}

/// Removes the socket's file when the app goes.
#[derive(Resource)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // It may be gone already, with its folder.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Plugin for ControlPlugin {
    fn requires(&self) -> Vec<&'static str> {
        vec![std::any::type_name::<crate::IoPlugin>()]
    }

    fn build(&self, app: &mut App) -> Result<(), BoxError> {
        let listener = listen(&self.path)?;
        app.world_mut()
            .insert_resource(SocketFile(self.path.clone()));
        let io = app.world().resource::<Io>().clone();
        let inbox = app.inbox();
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let _inside = io.handle().enter();
        let listener = UnixListener::from_std(listener)?;
        io.handle().spawn(async move {
            loop {
                let Ok(place) = places.clone().acquire_owned().await else {
                    return;
                };
                match listener.accept().await {
                    Ok((stream, _)) => {
                        let inbox = inbox.clone();
                        tokio::spawn(async move {
                            serve(stream, inbox).await;
                            drop(place);
                        });
                    }
                    Err(error) => {
                        // Out of file descriptors, say: others will be closed.
                        tracing::warn!(%error, "the control socket could not accept");
                        tokio::time::sleep(Duration::from_millis(200)).await;
                    }
                }
            }
        });
        Ok(())
    }
}

fn listen(path: &Path) -> Result<std::os::unix::net::UnixListener, ControlError> {
    let name = path.display().to_string();
    let system = |error| ControlError::System(name.clone(), error);
    if let Some(folder) = path.parent() {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(system)?;
    }
    match std::fs::symlink_metadata(path) {
        Ok(there) if !there.file_type().is_socket() => return Err(ControlError::NotASocket(name)),
        Ok(_) => {
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(ControlError::Taken(name));
            }
            std::fs::remove_file(path).map_err(system)?;
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(system(error)),
    }
    // Bound under another name, closed to others, then moved: it is never open to anyone else.
    let draft = path.with_extension(format!("new{}", std::process::id()));
    let _ = std::fs::remove_file(&draft);
    let listener = std::os::unix::net::UnixListener::bind(&draft).map_err(system)?;
    std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o600)).map_err(system)?;
    std::fs::rename(&draft, path).map_err(system)?;
    listener.set_nonblocking(true).map_err(system)?;
    Ok(listener)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    id: u64,
    call: String,
    #[serde(default)]
    params: Value,
    #[serde(default)]
    body: usize,
}

/// What goes back over the socket.
#[derive(Serialize, Deserialize, Default)]
pub(crate) struct Line {
    pub(crate) id: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) value: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) item: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) error: Option<CallError>,
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub(crate) end: bool,
    #[serde(skip_serializing_if = "is_zero", default)]
    pub(crate) body: usize,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for this shape"
)]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// How far the other side is behind with reading, and we with answering.
#[derive(Default)]
struct Backlog {
    lines: AtomicUsize,
    unanswered: AtomicUsize,
    less: Notify,
}

impl Backlog {
    fn is_long(&self) -> bool {
        self.lines.load(Acquire) >= LINES_MAX
    }

    /// Waits for the answers to all that was asked, unless nobody is there to hear them: whoever has only closed its sending side is.
    async fn answered(&self, read: &OwnedReadHalf) {
        while self.unanswered.load(Acquire) > 0 {
            // A socket that cannot be looked at is as good as closed.
            let state = read.ready(Interest::WRITABLE).await;
            if state.is_ok_and(|state| !state.is_write_closed()) {
                tokio::select! {
                    () = self.less.notified() => {}
                    () = tokio::time::sleep(GONE_LOOK) => {}
                }
            } else {
                return;
            }
        }
    }

    /// Waits until there is room, or nobody who would make some.
    async fn room(&self, wire: &Wire) {
        while (self.is_long() || self.unanswered.load(Acquire) >= UNANSWERED_MAX)
            && !wire.lines.is_closed()
        {
            self.less.notified().await;
        }
    }
}

struct Wire {
    lines: mpsc::UnboundedSender<(Line, Bytes)>,
    backlog: Arc<Backlog>,
}

impl Wire {
    fn put(&self, line: Line, body: Bytes) {
        self.backlog.lines.fetch_add(1, AcqRel);
        // The reader has gone: its caller is about to be despawned.
        let _ = self.lines.send((line, body));
    }
}

impl Outlet for Wire {
    // Bounded by `Backlog::room`: who does not read its answers is not read from, so it gets no more of them than it asked for before.
    fn answer(&self, id: u64, answer: Result<Reply, CallError>) {
        let (line, body) = match answer {
            Ok(reply) => (
                Line {
                    id,
                    value: Some(reply.value),
                    body: reply.body.len(),
                    ..Line::default()
                },
                reply.body,
            ),
            Err(error) => (
                Line {
                    id,
                    error: Some(error),
                    ..Line::default()
                },
                Bytes::new(),
            ),
        };
        self.put(line, body);
        self.backlog.unanswered.fetch_sub(1, AcqRel);
        self.backlog.less.notify_one();
    }

    fn item(&self, id: u64, item: Reply) -> Result<(), Reply> {
        if self.backlog.is_long() || self.lines.is_closed() {
            return Err(item);
        }
        let line = Line {
            id,
            item: Some(item.value),
            body: item.body.len(),
            ..Line::default()
        };
        self.put(line, item.body);
        Ok(())
    }

    fn end(&self, id: u64) {
        let line = Line {
            id,
            end: true,
            ..Line::default()
        };
        self.put(line, Bytes::new());
    }
}

async fn serve(stream: UnixStream, inbox: Inbox) {
    let (born, caller) = oneshot::channel();
    let spawn = Input::new(move |world: &mut World| {
        let caller = world.spawn(Grants::everything()).id();
        // The connection may have ended meanwhile; then the caller goes too.
        if born.send(caller).is_err() {
            world.despawn(caller);
        }
    });
    if inbox.offer(Source::Call, spawn).is_err() {
        return;
    }
    let Ok(caller) = caller.await else { return };
    let (mut read, mut write) = stream.into_split();
    let (sender, mut lines) = mpsc::unbounded_channel::<(Line, Bytes)>();
    let backlog = Arc::new(Backlog::default());
    let wire = Arc::new(Wire {
        lines: sender,
        backlog: backlog.clone(),
    });
    let writer = tokio::spawn(async move {
        while let Some((line, body)) = lines.recv().await {
            backlog.lines.fetch_sub(1, AcqRel);
            backlog.less.notify_one();
            let Ok(mut head) = serde_json::to_vec(&line) else {
                break;
            };
            head.push(b'\n');
            head.extend_from_slice(&body);
            if write.write_all(&head).await.is_err() {
                break;
            }
        }
        drop(lines);
        backlog.less.notify_one();
    });
    if let Err(error) = read_requests(&mut read, &inbox, caller, &wire).await {
        wire.backlog.unanswered.fetch_add(1, AcqRel);
        wire.answer(0, Err(CallError::new("request", error)));
    }
    wire.backlog.answered(&read).await;
    let end = Input::new(move |world: &mut World| {
        if let Ok(caller) = world.get_entity_mut(caller) {
            caller.despawn();
        }
    });
    drop(wire);
    crate::io::offer(&inbox, end).await;
    // It ends once the World has dropped the last outlet and all is written.
    let _ = writer.await;
}

/// Reads requests until the other side closes; an error says what was wrong with the last.
async fn read_requests(
    read: &mut OwnedReadHalf,
    inbox: &Inbox,
    caller: Entity,
    wire: &Arc<Wire>,
) -> Result<(), String> {
    let mut read = BufReader::new(read);
    let mut line = Vec::new();
    loop {
        wire.backlog.room(wire).await;
        line.clear();
        let most = HEAD_BYTES_MAX as u64 + 1;
        let count = (&mut read).take(most).read_until(b'\n', &mut line).await;
        match count {
            Ok(0) | Err(_) => return Ok(()),
            Ok(_) if line.len() > HEAD_BYTES_MAX => {
                return Err(format!(
                    "a request's line has more than {HEAD_BYTES_MAX} bytes"
                ));
            }
            Ok(_) => {}
        }
        let head: Head = serde_json::from_slice(&line).map_err(|error| {
            format!("not a request: {error}; expected {{\"id\": 1, \"call\": \"calls.list\"}}")
        })?;
        if head.body > BODY_BYTES_MAX {
            return Err(format!(
                "a body of {} bytes is more than {BODY_BYTES_MAX}",
                head.body
            ));
        }
        let mut body = vec![0; head.body];
        if read.read_exact(&mut body).await.is_err() {
            return Ok(());
        }
        // A `close` has no answer of its own.
        if head.call != "close" {
            wire.backlog.unanswered.fetch_add(1, AcqRel);
        }
        let request = Request {
            id: head.id,
            name: head.call,
            params: head.params,
            body: body.into(),
            caller,
            outlet: wire.clone(),
        };
        // Others may have filled the inbox: who comes over a socket waits its turn, instead of being told to come again.
        crate::io::offer(inbox, request.into_input()).await;
    }
}
