//! Alice and Bob: their keys, what she sends, what their programs print.

use crate::Error;
use crate::process::make_keys;
use crate::send::Outgoing;
use dunlin_relay::limits::MESSAGE_BYTES_MAX;
use dunlin_relay::{Card, Mailbox};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

pub(super) struct People {
    pub(super) alice: PathBuf,
    pub(super) bob: PathBuf,
    pub(super) bob_card: String,
    pub(super) line: String,
    pub(super) file: PathBuf,
    pub(super) file_sha256: String,
    /// The file goes in parts.
    pub(super) is_large: bool,
    pub(super) out: PathBuf,
}

impl People {
    pub(super) fn prepare(folder: &Path, args: &super::Args, seed: u64) -> Result<People, Error> {
        let (alice, bob) = (folder.join("alice"), folder.join("bob"));
        make_keys(&alice)?;
        let keys = make_keys(&bob)?;
        let mailbox = Mailbox::from_seed(&keys.mailbox_seed);
        let card = Card::new(&keys.identity()?, mailbox.public(), &[], Some("Bob"))?;
        let file = match &args.file {
            Some(file) => file.clone(),
            None => {
                let file = folder.join("picture.bin");
                let mut bytes = [0; 700];
                ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut bytes);
                write(&file, &bytes)?;
                file
            }
        };
        // What Alice could not send is refused before anything is started.
        let bytes = Outgoing::file(&file)?.body;
        let out = args.out.clone().unwrap_or_else(|| folder.join("received"));
        Ok(People {
            alice,
            bob,
            bob_card: card.to_string(),
            line: "Tea at four? The key is under the third stone.".to_owned(),
            file,
            file_sha256: sha256(&bytes),
            is_large: bytes.len() > MESSAGE_BYTES_MAX,
            out,
        })
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    std::fs::write(path, bytes)
        .map_err(|error| Error::failed(format!("cannot write {}: {error}", path.display())))
}

fn sha256(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(bytes))
}

/// What Alice's program said of one message.
#[derive(Clone)]
pub(super) struct Sent {
    pub(super) message: String,
    pub(super) what: String,
    pub(super) state: String,
    /// Ids of the carriers that acknowledged storing it.
    pub(super) carriers: Vec<String>,
    pub(super) proof: Option<String>,
    /// Of a large file: its parts, those that lie with somebody or have arrived, and those that have arrived.
    pub(super) parts: Option<[u64; 3]>,
}

impl Sent {
    /// Reads a line that `send --json` or `outbox --json` printed; its last object is another kind.
    pub(super) fn read(event: &Value) -> Option<Sent> {
        let text = |name: &str| event[name].as_str().map(str::to_owned);
        let carriers = event["carriers"].as_array()?;
        Some(Sent {
            message: text("message")?,
            what: text("what")?,
            state: text("state")?,
            carriers: carriers
                .iter()
                .filter_map(|carrier| carrier["id"].as_str().map(str::to_owned))
                .collect(),
            proof: text("proof"),
            parts: event["parts"].is_u64().then(|| {
                ["parts", "parts_stored", "parts_delivered"]
                    .map(|key| event[key].as_u64().unwrap_or_default())
            }),
        })
    }

    pub(super) fn text(&self) -> String {
        if let Some([parts, stored, arrived]) = self.parts
            && arrived < parts
        {
            let name = &self.what;
            return format!("{name}: of {parts} parts {stored} have left, {arrived} arrived");
        }
        match self.state.as_str() {
            "stored" => format!("{} stored ({})", self.what, self.carriers.len()),
            state => format!("{} {state}", self.what),
        }
    }
}

/// What Bob's program got.
#[derive(Default)]
pub(super) struct Received {
    pub(super) line: Option<String>,
    pub(super) file_sha256: Option<String>,
    /// How much of a large file has come, of one.
    pub(super) share: f64,
}

impl Received {
    /// Reads a line that `receive --json` printed; answers what to tell of it.
    pub(super) fn read(&mut self, event: &Value) -> Option<String> {
        match event["kind"].as_str()? {
            "text" => {
                let text = event["text"].as_str()?.to_owned();
                let told = format!("\"{text}\"");
                self.line = Some(text);
                Some(told)
            }
            "part" => {
                let number = |key: &str| event[key].as_f64().unwrap_or_default();
                let before = self.share;
                self.share = (number("parts_had") + 1.0) / number("parts").max(1.0);
                let quarter = (self.share * 4.0).floor();
                (quarter > (before * 4.0).floor())
                    .then(|| format!("{:.0}% of the file", quarter * 25.0))
            }
            "file" | "content" => {
                let path = PathBuf::from(event["path"].as_str()?);
                // The demo believes the disk, not Bob's program.
                let bytes = std::fs::read(&path).ok()?;
                let told = format!("a file, {} bytes", bytes.len());
                self.file_sha256 = Some(sha256(&bytes));
                Some(told)
            }
            _ => None,
        }
    }
}
