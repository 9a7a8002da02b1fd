//! Larger content on its way: which of its parts are with carriers, and which still wait. PROTOCOL 3.9

use crate::limits::{PARTS_MAX, PARTS_PER_CARRIER};
use crate::packet::MessageId;
use std::collections::BTreeMap;

/// So many parts leave even if hardly a carrier is known.
const PARTS_MIN: usize = 4;

/// The parts that have not arrived yet, of each content by its manifest, in their order.
#[derive(Default)]
pub(crate) struct Contents(BTreeMap<MessageId, BTreeMap<u16, MessageId>>);

impl Contents {
    pub(crate) const EMPTY: Contents = Contents(BTreeMap::new());

    pub(crate) fn note(&mut self, of: MessageId, number: u16, part: MessageId) {
        self.0.entry(of).or_default().insert(number, part);
    }

    /// A part has arrived.
    pub(crate) fn arrived(&mut self, of: MessageId, number: u16) {
        if let Some(parts) = self.0.get_mut(&of) {
            parts.remove(&number);
        }
    }

    /// A content has ended: so have these parts.
    pub(crate) fn end(&mut self, of: MessageId) -> impl Iterator<Item = MessageId> + use<> {
        self.0.remove(&of).unwrap_or_default().into_values()
    }

    /// The same of all contents that are not alive.
    pub(crate) fn end_without(&mut self, alive: impl Fn(&MessageId) -> bool) -> Vec<MessageId> {
        let dead: Vec<MessageId> = self.0.keys().filter(|of| !alive(of)).copied().collect();
        dead.into_iter().flat_map(|of| self.end(of)).collect()
    }

    /// The parts of a content that have not arrived.
    pub(crate) fn open(&self, of: MessageId) -> impl Iterator<Item = MessageId> {
        let parts = self.0.get(&of).into_iter();
        parts.flat_map(BTreeMap::values).copied()
    }

    /// The parts whose turn it is: the first of each content, as many as so many carriers can be asked to keep.
    pub(crate) fn turn(&self, carriers: usize) -> Vec<MessageId> {
        let at_once = (PARTS_PER_CARRIER * carriers).clamp(PARTS_MIN, PARTS_MAX);
        let parts = self.0.values();
        parts
            .flat_map(|parts| parts.values().take(at_once))
            .copied()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> MessageId {
        MessageId([n; 16])
    }

    // PROTOCOL 3.9
    #[test]
    fn parts_leave_in_order_as_many_as_the_carriers_bear_and_each_that_arrives_lets_one_go() {
        let mut contents = Contents::default();
        for number in (0..50).rev() {
            contents.note(id(200), number, id(number as u8));
        }
        let turn = |contents: &Contents, carriers| contents.turn(carriers);
        assert_eq!(turn(&contents, 0), [0, 1, 2, 3].map(id));
        assert_eq!(turn(&contents, 12).len(), 24);
        assert_eq!(turn(&contents, 1_000).len(), 50);
        contents.arrived(id(200), 1);
        assert_eq!(turn(&contents, 2), [0, 2, 3, 4].map(id));
        contents.note(id(201), 0, id(100));
        let left = contents.end_without(|of| *of == id(201));
        assert_eq!((left.len(), turn(&contents, 2)), (49, vec![id(100)]));
    }
}
