//! A network in two: between the one side and the other nothing passes.

use std::collections::BTreeSet;

/// Which nodes are on the one side; the others are on the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Split {
    /// It is whole.
    #[default]
    None,
    /// So many of a hundred, spread evenly over all numbers.
    Percent(u8),
    /// Those with these numbers.
    Numbers(BTreeSet<u32>),
}

impl Split {
    /// Whether nothing passes between two nodes.
    pub(crate) fn parts(&self, one: u32, other: u32) -> bool {
        match self {
            Split::None => false,
            Split::Percent(edge) => {
                let side = |number: u32| number % 100 < u32::from(*edge);
                side(one) != side(other)
            }
            Split::Numbers(some) => some.contains(&one) != some.contains(&other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_keeps_sides_apart_and_each_together() {
        assert!(!Split::None.parts(1, 2));
        let third = Split::Percent(33);
        assert!(third.parts(32, 33) && third.parts(133, 5));
        assert!(!third.parts(0, 132) && !third.parts(33, 99));
        let some = Split::Numbers([4, 5].into());
        assert!(some.parts(4, 6) && some.parts(1, 5));
        assert!(!some.parts(4, 5) && !some.parts(1, 2));
    }
}
