//! What a service manager is told: sd_notify(3), datagrams of text to the socket that $NOTIFY_SOCKET names.

use crate::door::Door;
use dunlin_engine::bevy_ecs::{self, prelude::*};
use dunlin_engine::{App, BoxError, Plugin};
use dunlin_io::{Io, IoPlugin};
use rustix::time::{ClockId, clock_gettime};
use std::any::type_name;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

/// Tells a service manager, or, if there is none, nobody. Clones share the socket.
#[derive(Resource, Clone, Default)]
pub struct Notifier(Option<Arc<Manager>>);

struct Manager {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl Notifier {
    /// The manager that $NOTIFY_SOCKET names. One that cannot be told is noted in the log: the relay runs all the same.
    #[must_use]
    pub fn from_env() -> Notifier {
        let Some(name) = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Notifier::default();
        };
        Notifier::to(&name).unwrap_or_else(|error| {
            tracing::warn!(socket = ?name, %error, "the service manager cannot be told anything");
            Notifier::default()
        })
    }

    /// A manager by the name of its socket: a path, or `@` and an abstract name.
    ///
    /// # Errors
    /// That the name is neither, or what the system says.
    pub fn to(name: &OsStr) -> io::Result<Notifier> {
        let address = match name.as_bytes() {
            [b'/', ..] => SocketAddr::from_pathname(name)?,
            #[cfg(target_os = "linux")]
            [b'@', rest @ ..] => {
                use std::os::linux::net::SocketAddrExt;
                SocketAddr::from_abstract_name(rest)?
            }
            _ => {
                let text = "expected a path, or @ and an abstract name";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?; // A manager that does not read must not hold the relay up.
        Ok(Notifier(Some(Arc::new(Manager { socket, address }))))
    }

    /// It has started, or has read its settings again.
    pub fn ready(&self) {
        self.tell("READY=1");
    }

    /// It reads its settings again; [`ready`](Notifier::ready) follows.
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let micros = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    /// It is about to end.
    pub fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// It is alive.
    pub fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    fn tell(&self, text: &str) {
        let Some(manager) = &self.0 else { return };
        let sent = manager
            .socket
            .send_to_addr(text.as_bytes(), &manager.address);
        if let Err(error) = sent {
            tracing::warn!(%error, text, "the service manager was not told");
        }
    }
}

/// Tells the manager of the end, and, if it asked for that, twice in each of its periods that turns still run.
pub struct NotifyPlugin {
    /// Whom.
    pub notifier: Notifier,
    /// How long the manager waits for a sign of life before it takes the relay for hung.
    pub watchdog: Option<Duration>,
}

impl NotifyPlugin {
    /// What $NOTIFY_SOCKET, $WATCHDOG_USEC and $WATCHDOG_PID ask.
    #[must_use]
    pub fn from_env() -> NotifyPlugin {
        let variable = |name| std::env::var(name).ok();
        NotifyPlugin {
            notifier: Notifier::from_env(),
            watchdog: period(
                variable("WATCHDOG_USEC").as_deref(),
                variable("WATCHDOG_PID").as_deref(),
                std::process::id(),
            ),
        }
    }
}

/// The watchdog's period, if it is meant for this process.
fn period(micros: Option<&str>, pid: Option<&str>, own: u32) -> Option<Duration> {
    let for_us = pid.is_none_or(|pid| pid.parse() == Ok(own));
    let micros = micros?.parse().ok().filter(|micros| *micros > 0)?;
    for_us.then(|| Duration::from_micros(micros))
}

impl Plugin for NotifyPlugin {
    fn requires(&self) -> Vec<&'static str> {
        vec![type_name::<IoPlugin>()]
    }

    fn build(&self, app: &mut App) -> Result<(), BoxError> {
        app.world_mut().insert_resource(self.notifier.clone());
        app.add_shutdown(say_stopping);
        if let Some(period) = self.watchdog {
            let (door, notifier) = (Door::open(app), self.notifier.clone());
            app.world().resource::<Io>().handle().spawn(async move {
                // Through the World: a runtime whose turns hang must not look alive.
                loop {
                    if door.look(|_| ()).await.is_ok() {
                        notifier.alive();
                    }
                    tokio::time::sleep(period / 2).await;
                }
            });
        }
        Ok(())
    }
}

fn say_stopping(notifier: Res<Notifier>) {
    notifier.stopping();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 256];
        socket
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let count = socket.recv(&mut buffer).expect("told");
        String::from_utf8(buffer[..count].to_vec()).unwrap()
    }

    fn tells(notifier: &Notifier, manager: &UnixDatagram) {
        notifier.ready();
        assert_eq!(heard(manager), "READY=1");
        notifier.reloading();
        let text = heard(manager);
        let micros = text.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
        let now = clock_gettime(ClockId::Monotonic);
        let ago = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000 - micros.parse::<i64>().unwrap();
        assert!((0..60_000_000).contains(&ago), "{ago} µs ago");
        notifier.stopping();
        assert_eq!(heard(manager), "STOPPING=1");
        notifier.alive();
        assert_eq!(heard(manager), "WATCHDOG=1");
    }

    #[test]
    fn a_manager_at_a_path_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        tells(&Notifier::to(path.as_os_str()).unwrap(), &manager);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_manager_at_an_abstract_name_is_told() {
        use std::os::linux::net::SocketAddrExt;
        let name = format!("dunlin-relayd-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        let notifier = Notifier::to(OsStr::new(&format!("@{name}"))).unwrap();
        tells(&notifier, &manager);
    }

    #[test]
    fn other_names_are_refused_and_a_manager_that_has_gone_does_no_harm() {
        assert!(Notifier::to(OsStr::new("vsock:2:1")).is_err());
        let folder = tempfile::tempdir().unwrap();
        let gone = folder.path().join("gone");
        Notifier::to(gone.as_os_str()).unwrap().ready();
        Notifier::default().ready();
    }

    #[test]
    fn a_watchdog_for_another_process_is_not_ours() {
        let of = |micros, pid| period(micros, pid, 7);
        assert_eq!(of(Some("2000"), None), Some(Duration::from_millis(2)));
        assert_eq!(of(Some("2000"), Some("7")), Some(Duration::from_millis(2)));
        assert_eq!(of(Some("2000"), Some("8")), None);
        assert_eq!((of(Some("0"), None), of(Some("x"), None)), (None, None));
        assert_eq!(of(None, Some("7")), None);
    }
}
