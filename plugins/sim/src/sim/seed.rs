//! The seed of a simulation: from where it comes, and that whoever sees a test fail learns it.

/// Prints itself when a test that has it fails.
pub(crate) struct Seed(pub u64);

impl Seed {
    /// `DUNLIN_SEED`, or 1.
    ///
    /// # Panics
    /// If it is no number.
    pub(super) fn from_env() -> u64 {
        match std::env::var("DUNLIN_SEED") {
            Err(_) => 1,
            Ok(text) => text.parse().unwrap_or_else(|_| {
                let most = u64::MAX;
                panic!("DUNLIN_SEED is {text:?}: it has to be a number from 0 to {most}")
            }),
        }
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Not `tracing`: a test harness shows what is printed, and tests seldom subscribe.
            eprintln!("seed {0}: to see it again, set DUNLIN_SEED={0}", self.0);
        }
    }
}
