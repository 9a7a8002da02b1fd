//! No code: the tests that belong to no single crate, and what they read.
//!
//! | folder | |
//! |---|---|
//! | `scenarios` | promises to users, each kept in a simulated network |
//! | `sim` | scenarios as files, for `dunlin sim` and `plugins/sim/tests`, and what they found |
//! | `vectors` | standards' own and golden ones |
//! | `fuzz` | targets for cargo-fuzz, and the corpus that is replayed here |
