//! What is heard of own messages, told to a person or to a script.

use crate::{Error, Global};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Where each message stands.
pub(crate) struct News<'a> {
    global: &'a Global,
    messages: BTreeMap<String, Message>,
}

struct Message {
    what: String,
    state: String,
    carriers: Vec<Value>,
    proof: Option<String>,
}

impl Message {
    fn text(&self) -> String {
        match (self.state.as_str(), &self.proof) {
            ("stored", _) => format!("{}  stored ({})", self.what, self.carriers.len()),
            (state, Some(proof)) => format!("{}  {state}, proof {proof}", self.what),
            (state, None) => format!("{}  {state}", self.what),
        }
    }

    fn object(&self, id: &str) -> Value {
        json!({
            "message": id,
            "what": self.what,
            "state": self.state,
            "carriers": self.carriers,
            "proof": self.proof,
        })
    }
}

impl<'a> News<'a> {
    pub(crate) fn new(global: &'a Global) -> News<'a> {
        News {
            global,
            messages: BTreeMap::new(),
        }
    }

    /// Follows message `id`, called `what`. A message that nobody expects is not told of.
    pub(crate) fn expect(&mut self, id: &str, what: &str) -> Result<(), Error> {
        let message = Message {
            what: what.to_owned(),
            state: "queued".to_owned(),
            carriers: Vec::new(),
            proof: None,
        };
        self.global.result(message.text(), &message.object(id))?;
        self.messages.insert(id.to_owned(), message);
        Ok(())
    }

    /// Takes one item of `relay.watch`, or one row of `relay.outbox`.
    pub(crate) fn hear(&mut self, item: &Value) -> Result<(), Error> {
        let id = item["id"].as_str().unwrap_or_default();
        let Some(message) = self.messages.get_mut(id) else {
            return Ok(());
        };
        let state = item["state"].as_str().unwrap_or_default();
        let carriers = item["carriers"].as_array().cloned().unwrap_or_default();
        let proof = item["proof"].as_str().map(str::to_owned);
        if (message.state.as_str(), &message.carriers, &message.proof) == (state, &carriers, &proof)
        {
            return Ok(());
        }
        message.state = state.to_owned();
        message.carriers = carriers;
        message.proof = proof;
        self.global.result(message.text(), &message.object(id))
    }

    /// Whether each message is stored on so many carriers, or has gone further.
    pub(crate) fn all_stored(&self, wanted: usize) -> bool {
        self.messages.values().all(|message| {
            message.state == "delivered"
                || (message.state == "stored" && message.carriers.len() >= wanted)
        })
    }

    /// Whether no message is under way any more.
    pub(crate) fn all_ended(&self) -> bool {
        self.messages
            .values()
            .all(|message| matches!(message.state.as_str(), "delivered" | "expired"))
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
