//! Somebody to begin with, as `--peer` names them.

use dunlin_net::PeerId;
use std::net::{SocketAddr, ToSocketAddrs};

/// An address to begin with, and who is there if that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Who is there.
    pub id: Option<PeerId>,
    /// Where.
    pub address: SocketAddr,
}

impl Entry {
    /// Reads `ADDR:PORT` or `ID@ADDR:PORT`; a name is looked up.
    ///
    /// # Errors
    /// What is wrong with the text, and what would be right.
    pub fn read(text: &str) -> Result<Entry, String> {
        let (id, address) = match text.split_once('@') {
            Some((id, address)) => {
                let id = id
                    .parse()
                    .map_err(|error| format!("the id before the @: {error}"))?;
                (Some(id), address)
            }
            None => (None, text),
        };
        let found = address
            .to_socket_addrs()
            .map_err(|error| {
                format!("{address}: {error}; expected ADDR:PORT, such as 192.0.2.7:4444")
            })?
            .next();
        match found {
            Some(address) => Ok(Entry { id, address }),
            None => Err(format!("{address}: no such host")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_an_address_with_or_without_an_id() {
        let plain = Entry::read("127.0.0.1:4444").expect("an address");
        assert_eq!((plain.id, plain.address.port()), (None, 4444));
        let error = Entry::read("nobody@127.0.0.1:4444").expect_err("not an id");
        assert!(error.starts_with("the id before the @"), "{error}");
        let error = Entry::read("127.0.0.1").expect_err("no port");
        assert!(error.contains("ADDR:PORT"), "{error}");
    }
}
