//! `UdpPlugin`: UDP sockets, for the links of nodes and for apps.
//!
//! | file | |
//! |---|---|
//! | `socket`, `options`, `train` | a socket that moves many datagrams a system call; no World, no tokio |
//! | `wire`, `task` | the socket between the World's thread and tokio's |
//! | `sockets` | sockets as entities |
//! | `listen`, `transmit` | the links' side: [`Listen`](crate::Listen), [`DatagramIn`](crate::DatagramIn), [`DatagramOut`](crate::DatagramOut) |
//! | `calls` | the apps' side: `udp.bind` … |
//! | `code`, `drops` | what went wrong, by Node's names; what was dropped, and why |

mod calls;
mod code;
mod drops;
mod listen;
mod options;
mod plugin;
mod socket;
mod sockets;
mod task;
mod train;
mod transmit;
mod wire;

pub use drops::{UdpDrop, UdpDrops};
pub use options::Options as SocketOptions;
pub use plugin::{NodeSocketsPlugin, UdpPlugin};
pub use socket::{BatchSocket, Buffers, Outgoing};
pub use sockets::Socket;
