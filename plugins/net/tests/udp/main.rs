//! `UdpPlugin` over real sockets.

mod bounds;
mod calls;
mod links;
mod namespace;
mod on_a_network;
mod permissions;
mod runners;
mod start;
mod support;
