//! Runners own threads and clocks, and give an app its turns. `Inline`, inside tokio's thread, is in `dunlin-io`.

mod threaded;
mod virtual_time;

pub use threaded::{Clock, Threaded};
pub use virtual_time::Virtual;
