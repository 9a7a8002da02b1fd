//! The `udp` calls: Node's dgram, in the names that web developers know.
//!
//! A socket belongs to the caller that bound it, and closes when that goes. Addresses are numbers, not names: a name would have to be
//! looked up, and a permission for it would say nothing about where the datagrams go.

mod address;
mod bind;
mod buffers;
mod connect;
mod interface;
mod multicast;
mod options;
mod own;
mod receive;
mod send;

use dunlin_engine::{App, Turn};

pub(super) fn add(app: &mut App) {
    app.call("udp.bind", bind::bind)
        .call("udp.close", bind::close)
        .call("udp.address", bind::address)
        .call("udp.connect", connect::connect)
        .call("udp.disconnect", connect::disconnect)
        .call("udp.remoteAddress", connect::remote_address)
        .call("udp.send", send::send)
        .stream("udp.receive", receive::receive)
        .call("udp.getBufferSizes", buffers::get_buffer_sizes)
        .call("udp.setBufferSizes", buffers::set_buffer_sizes)
        .call("udp.setBroadcast", options::set_broadcast)
        .call("udp.setTTL", options::set_ttl)
        .call("udp.setMulticastTTL", options::set_multicast_ttl)
        .call("udp.setMulticastLoopback", options::set_multicast_loopback)
        .call(
            "udp.setMulticastInterface",
            multicast::set_multicast_interface,
        )
        .call("udp.addMembership", multicast::add_membership)
        .call("udp.dropMembership", multicast::drop_membership)
        .call(
            "udp.addSourceSpecificMembership",
            multicast::add_source_specific_membership,
        )
        .call(
            "udp.dropSourceSpecificMembership",
            multicast::drop_source_specific_membership,
        );
    app.add_systems(Turn::Deliver, receive::deliver);
    let world = app.world_mut();
    world.add_observer(receive::start_reading);
    world.add_observer(receive::stop_reading);
}
