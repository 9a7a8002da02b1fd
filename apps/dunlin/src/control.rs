//! The process that runs with this device's folder, if one does: asked over its control socket.

use crate::Error;
use crate::send::CALL_LIMIT;
use dunlin_io::ControlClient;
use std::io::ErrorKind;
use std::path::Path;

/// A connection to whoever serves the socket; none if nobody does, even if one that was killed left the socket behind.
pub(crate) fn running(socket: &Path) -> Result<Option<ControlClient>, Error> {
    match ControlClient::connect(socket, CALL_LIMIT) {
        Ok(control) => Ok(Some(control)),
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::ConnectionRefused
            ) =>
        {
            Ok(None)
        }
        Err(error) => {
            let socket = socket.display();
            Err(Error::failed(match error.kind() {
                ErrorKind::PermissionDenied => {
                    format!("{socket}: {error}: ask as the user whom that process belongs to")
                }
                _ => format!("cannot ask the process behind {socket}: {error}"),
            }))
        }
    }
}
