//! What is heard of own messages, told to a person or to a script.

use crate::progress::Progress;
use crate::{Error, Global};
use dunlin_relay::limits::PART_PLACES;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Where each message stands.
pub(crate) struct News<'a> {
    global: &'a Global,
    messages: BTreeMap<String, Message>,
    bars: Progress,
}

#[derive(PartialEq)]
struct Message {
    what: String,
    state: String,
    /// On how many carriers each packet of it is, at least.
    stored: u64,
    /// How many packets it is, and how many of them are with somebody.
    packets: [u64; 2],
    /// Of larger content: how many parts it has, how many of them are with somebody or have arrived, and how many have arrived.
    parts: Option<[u64; 3]>,
    carriers: Vec<Value>,
    proof: Option<String>,
    /// Sealed to a key that its recipient erases; known of what was sent just now.
    forward_secret: Option<bool>,
}

impl Message {
    fn of(item: &Value, what: String) -> Message {
        Message {
            what,
            state: item["state"].as_str().unwrap_or_default().to_owned(),
            stored: item["stored"].as_u64().unwrap_or(0),
            packets: ["packets", "packets_stored"].map(|key| item[key].as_u64().unwrap_or(0)),
            parts: item["parts"].is_u64().then(|| {
                ["parts", "parts_stored", "parts_delivered"]
                    .map(|key| item[key].as_u64().unwrap_or(0))
            }),
            carriers: item["carriers"].as_array().cloned().unwrap_or_default(),
            proof: item["proof"].as_str().map(str::to_owned),
            forward_secret: item["forward_secret"].as_bool(),
        }
    }

    fn text(&self) -> String {
        let [packets, lie] = self.packets;
        if let (Some([parts, lie, arrived]), "sent" | "queued") = (self.parts, self.state.as_str())
        {
            return format!(
                "{}  {} ({parts} parts: {arrived} arrived, {} more stored)",
                self.what,
                self.state,
                lie.saturating_sub(arrived)
            );
        }
        match (self.state.as_str(), &self.proof) {
            ("stored", _) => format!("{}  stored ({})", self.what, self.stored),
            ("sent", _) if packets > 1 => {
                format!("{}  sent ({lie} of {packets} packets)", self.what)
            }
            (state, Some(proof)) => format!("{}  {state}, proof {proof}", self.what),
            (state, None) => format!("{}  {state}", self.what),
        }
    }

    fn object(&self, id: &str) -> Value {
        let mut object = json!({
            "message": id,
            "what": self.what,
            "state": self.state,
            "stored": self.stored,
            "packets": self.packets[0],
            "packets_stored": self.packets[1],
            "carriers": self.carriers,
            "proof": self.proof,
        });
        if let Some(forward_secret) = self.forward_secret {
            object["forward_secret"] = json!(forward_secret);
        }
        if let Some([parts, stored, delivered]) = self.parts {
            object["parts"] = json!(parts);
            object["parts_stored"] = json!(stored);
            object["parts_delivered"] = json!(delivered);
        }
        object
    }

    /// Whether it is stored on so many carriers. Parts of larger content are on fewer.
    fn is_stored(&self, wanted: u64) -> bool {
        let wanted = match self.parts {
            Some(_) => wanted.min(PART_PLACES as u64),
            None => wanted,
        };
        self.state == "delivered" || (self.state == "stored" && self.stored >= wanted)
    }
}

impl<'a> News<'a> {
    pub(crate) fn new(global: &'a Global) -> News<'a> {
        News {
            global,
            messages: BTreeMap::new(),
            bars: Progress::new(global),
        }
    }

    /// Follows the message that `item`, a row of `relay.outbox`, tells of, and calls it `what`. Others are not told of.
    pub(crate) fn follow(&mut self, item: &Value, what: String) -> Result<(), Error> {
        let id = item["id"].as_str().unwrap_or_default().to_owned();
        let message = Message::of(item, what);
        self.global.result(message.text(), &message.object(&id))?;
        self.messages.insert(id, message);
        Ok(())
    }

    /// Takes one item of `relay.watch`; says whether it was news.
    pub(crate) fn hear(&mut self, item: &Value) -> Result<bool, Error> {
        let id = item["id"].as_str().unwrap_or_default();
        let Some(message) = self.messages.get_mut(id) else {
            return Ok(false);
        };
        let mut now = Message::of(item, message.what.clone());
        now.forward_secret = message.forward_secret;
        if *message == now {
            return Ok(false);
        }
        if let Some([parts, stored, delivered]) = now.parts {
            let note = format!("{delivered} of {parts} parts arrived");
            self.bars
                .show(id, &now.what, stored + delivered, 2 * parts, &note);
        }
        // For a person the bar tells of the parts.
        let is_told = self.global.json || now.parts.is_none() || now.state != message.state;
        *message = now;
        if !is_told {
            return Ok(true);
        }
        let (global, text) = (self.global, message.text());
        let object = message.object(id);
        self.bars.above(|| global.result(text, &object))?;
        Ok(true)
    }

    /// Takes the bars away, before other words.
    pub(crate) fn end_bars(&mut self) {
        self.bars = Progress::new(self.global);
    }

    /// Whether each message is stored on so many carriers, or has gone further.
    pub(crate) fn all_stored(&self, wanted: usize) -> bool {
        let mut messages = self.messages.values();
        messages.all(|message| message.is_stored(wanted as u64))
    }

    /// Whether no message is under way any more.
    pub(crate) fn all_ended(&self) -> bool {
        self.messages
            .values()
            .all(|message| matches!(message.state.as_str(), "delivered" | "expired" | "gone"))
    }

    /// The last word: a sentence, or the object of all messages.
    pub(crate) fn finish(&self, sentence: &str) -> Result<(), Error> {
        let messages: Vec<Value> = self
            .messages
            .iter()
            .map(|(id, message)| message.object(id))
            .collect();
        self.global
            .result(sentence, &json!({ "messages": messages }))
    }
}
