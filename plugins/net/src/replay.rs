//! Each counter of a link once.

/// Accepts each counter of a session once, and none more than 63 behind the newest (RFC 4303, 3.4.3).
// PROTOCOL 2.2
#[derive(Clone, Default)]
pub(crate) struct ReplayWindow {
    newest: u64,
    seen: u64, // Bit n stands for `newest - n`.
}

impl ReplayWindow {
    /// Call once the tag is verified, or a forger moves the window.
    #[must_use]
    pub(crate) fn accept(&mut self, counter: u64) -> bool {
        if counter > self.newest {
            let ahead = counter - self.newest;
            self.seen = if ahead < 64 { self.seen << ahead } else { 0 } | 1;
            self.newest = counter;
            return true;
        }
        let behind = self.newest - counter;
        let fresh = behind < 64 && self.seen >> behind & 1 == 0;
        self.seen |= u64::from(fresh) << (behind % 64);
        fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    // PROTOCOL 2.2
    #[test]
    fn the_window_agrees_with_a_set_that_forgets_nothing() {
        let (mut window, mut seen) = (ReplayWindow::default(), BTreeSet::new());
        for step in 0..100_000_u64 {
            let newest = seen.last().copied().unwrap_or(0); // Steps go from 70 behind it to 70 ahead.
            let counter = (newest + step * step % 99_991 % 141).saturating_sub(70);
            let expected = counter + 64 > newest && seen.insert(counter);
            assert_eq!(window.accept(counter), expected, "step {step}");
        }
        assert!(window.accept(u64::MAX) && !window.accept(u64::MAX));
    }
}
