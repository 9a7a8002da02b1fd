//! What happens to a datagram on its way: it waits for its sender's uplink, and then it is lost, late, overtaken or there twice.

use crate::loss::Loss;
use dunlin_engine::Time;
use rand_core::Rng;
use serde::Deserialize;
use std::num::NonZeroU32;

/// The conditions between any two places, as a scenario's file tells them. The default changes nothing: all arrives at once.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Path {
    /// Milliseconds from the sender's uplink to the recipient, one way.
    pub delay_ms: u32,
    /// At most so many milliseconds more, uniformly drawn for each datagram by itself: those sent within this time of each other
    /// may overtake, as on a real network.
    pub jitter_ms: u32,
    /// Of 100 datagrams that left the uplink, so many never arrive.
    pub loss_percent: f64,
    /// Of 100 that arrive, so many arrive twice, each time with a jitter of its own.
    pub duplicate_percent: f64,
    /// Of 100 that arrive, so many are held back by `reorder_ms`, so that later ones overtake them.
    pub reorder_percent: f64,
    /// Milliseconds; not 0 where `reorder_percent` is not.
    pub reorder_ms: u32,
    /// What a node can send, in 1,000 bits a second of UDP payload; not 0. None: without bound.
    pub up_kbit: Option<u32>,
    /// What would have to wait longer for the uplink than so many milliseconds is lost.
    pub queue_ms: u32,
}

impl Default for Path {
    fn default() -> Path {
        Path {
            delay_ms: 0,
            jitter_ms: 0,
            loss_percent: 0.0,
            duplicate_percent: 0.0,
            reorder_percent: 0.0,
            reorder_ms: 20, // guess; matters only once `reorder_percent` is set
            up_kbit: None,
            queue_ms: 200, // guess: a home router's buffer; matters only once `up_kbit` is set
        }
    }
}

/// What is wrong with a [`Path`].
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PathError {
    /// A percentage below 0, above 100 or not a number.
    #[error("{field} is {found}: a percentage goes from 0 to 100")]
    Percent {
        /// The field's name.
        field: &'static str,
        /// What stands there.
        found: f64,
    },
    /// Datagrams would be reordered by holding them back for no time.
    #[error("reorder_ms is 0: nothing would be overtaken; give it, or leave out reorder_percent")]
    Reorder,
    /// An uplink that lets nothing pass.
    #[error("up_kbit is 0: nothing could be sent; leave it out for no bound")]
    Uplink,
}

impl Path {
    /// Whether a network can be like this.
    ///
    /// # Errors
    ///
    /// The first field that is out of range.
    pub fn validate(&self) -> Result<(), PathError> {
        self.way().map(drop)
    }

    /// The same in integers, for the one place that runs for every datagram.
    pub(crate) fn way(&self) -> Result<Way, PathError> {
        let reorder = chance("reorder_percent", self.reorder_percent)?;
        if reorder > 0 && self.reorder_ms == 0 {
            return Err(PathError::Reorder);
        }
        Ok(Way {
            delay: micros(self.delay_ms),
            jitter: micros(self.jitter_ms),
            loss: chance("loss_percent", self.loss_percent)?,
            duplicate: chance("duplicate_percent", self.duplicate_percent)?,
            reorder,
            held_back: micros(self.reorder_ms),
            up_kbit: match self.up_kbit.map(NonZeroU32::new) {
                Some(None) => return Err(PathError::Uplink),
                Some(kbit) => kbit,
                None => None,
            },
            queue: micros(self.queue_ms),
        })
    }
}

fn micros(ms: u32) -> u64 {
    u64::from(ms) * 1_000
}

/// A chance in parts of 2^32, so that all of them is more than any 32 random bits. Below 1.2e-8 percent it is none.
fn chance(field: &'static str, percent: f64) -> Result<u64, PathError> {
    if !(0.0..=100.0).contains(&percent) {
        let found = percent;
        return Err(PathError::Percent { field, found });
    }
    // Multiplication and division are exact by IEEE 754, and the cast cuts: the same parts on every machine.
    Ok((percent / 100.0 * (1_u64 << 32) as f64 + 0.5) as u64)
}

/// A [`Path`] that was checked. Times in microseconds, chances in parts of 2^32.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Way {
    delay: u64,
    jitter: u64,
    loss: u64,
    duplicate: u64,
    reorder: u64,
    held_back: u64,
    up_kbit: Option<NonZeroU32>,
    queue: u64,
}

/// A node's uplink. It needs no more state than this, because the queue before it is first in, first out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Uplink {
    free_at: Time,
}

/// What becomes of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It does not arrive.
    Lost(Loss),
    /// It arrives.
    Arrives {
        /// When.
        at: Time,
        /// When a second time, which may be the earlier one.
        again: Option<Time>,
    },
}

impl Way {
    /// The fate of a datagram of `bytes` that is handed to `uplink` now.
    pub(crate) fn fate(
        &self,
        uplink: &mut Uplink,
        bytes: usize,
        now: Time,
        random: &mut impl Rng,
    ) -> Fate {
        // The settings alone say how much is drawn, never a fate: with one seed, a run of more loss loses what the run of less
        // loss lost, and more.
        let (lost, late) = draw(self.loss > 0 || self.jitter > 0, random);
        let (doubled, held) = draw(self.duplicate > 0 || self.reorder > 0, random);
        let (later, _) = draw(self.duplicate > 0 && self.jitter > 0, random);

        let Some(sent) = self.send(uplink, bytes, now) else {
            return Fate::Lost(Loss::Queue);
        };
        if lost < self.loss {
            return Fate::Lost(Loss::Random);
        }
        let arrival = |jitter, held_back| {
            let wait = self.delay + self.jittered(jitter) + held_back;
            Time(sent.0.saturating_add(wait))
        };
        let held_back = if held < self.reorder {
            self.held_back
        } else {
            0
        };
        Fate::Arrives {
            at: arrival(late, held_back),
            again: (doubled < self.duplicate).then(|| arrival(later, 0)),
        }
    }

    /// When the last bit has left, if the queue lets it in. The times are rounded up: never more than the rate.
    fn send(&self, uplink: &mut Uplink, bytes: usize, now: Time) -> Option<Time> {
        let Some(kbit) = self.up_kbit else {
            return Some(now);
        };
        if uplink.free_at.0.saturating_sub(now.0) > self.queue {
            return None;
        }
        let takes = (bytes as u64 * 8_000).div_ceil(u64::from(kbit.get()));
        let start = uplink.free_at.max(now);
        uplink.free_at = Time(start.0.saturating_add(takes));
        Some(uplink.free_at)
    }

    /// From 0 to `jitter` by 32 random bits. It takes the upper half of a product, which is even enough at this size and divides
    /// nothing.
    fn jittered(&self, bits: u64) -> u64 {
        ((u128::from(bits) * u128::from(self.jitter + 1)) >> 32) as u64
    }
}

/// Twice 32 random bits, if they are asked for.
fn draw(asked: bool, random: &mut impl Rng) -> (u64, u64) {
    if !asked {
        return (0, 0);
    }
    let bits = random.next_u64();
    (bits & u64::from(u32::MAX), bits >> 32)
}

#[cfg(test)]
mod tests;
