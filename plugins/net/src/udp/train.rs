//! Trains: runs of datagrams that one system call can carry, because they differ in nothing but their bytes.

use super::socket::Outgoing;

/// Longest segment of a train. The kernel refuses a train whose segments would not fit the path unfragmented, and 1,500 less the
/// headers of IPv6 and UDP fits wherever Ethernet does; a longer datagram goes by itself, where it costs nothing to be refused.
const SEGMENT_BYTES_MAX: usize = 1_452;

/// Most bytes in a train: what one IPv6 packet without jumbograms holds (65,535 less 48), rounded down.
const TRAIN_BYTES_MAX: usize = 65_000;

/// How many datagrams at the head of `batch` can leave as one train of at most `segments_max`: to one destination, all of the first's
/// size but the last, which may be shorter. Zero only if `batch` is empty.
pub(crate) fn train_length(batch: &[Outgoing], segments_max: usize) -> usize {
    let Some(first) = batch.first() else {
        return 0;
    };
    let size = first.bytes.len();
    if size == 0 || size > SEGMENT_BYTES_MAX {
        return 1;
    }
    let segments_max = segments_max.min(TRAIN_BYTES_MAX / size).max(1);
    let mut length = 1;
    for next in &batch[1..batch.len().min(segments_max)] {
        let bytes = next.bytes.len();
        if next.to != first.to || bytes == 0 || bytes > size {
            break;
        }
        length += 1;
        if bytes < size {
            break; // The kernel cuts every `size` bytes, so only the last may be shorter.
        }
    }
    length
}

/// Brings datagrams to one destination together, in the order they had: between destinations UDP promises none.
pub(crate) fn gather(batch: &mut [Outgoing]) {
    batch.sort_by_key(|datagram| datagram.to); // Stable.
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, SocketAddr};

    fn datagram(port: u16, size: usize) -> Outgoing {
        Outgoing {
            to: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            bytes: Bytes::from(vec![0; size]),
        }
    }

    /// The slow twin: a length is good if cutting the joined bytes every `size` gives the datagrams back.
    fn is_train(batch: &[Outgoing], segments_max: usize) -> bool {
        let size = batch[0].bytes.len();
        if size == 0 {
            return false; // Cutting by nothing comes to no end.
        }
        let joined: usize = batch.iter().map(|datagram| datagram.bytes.len()).sum();
        let mut cut = Vec::new();
        let mut left = joined;
        while left > 0 {
            cut.push(left.min(size));
            left -= left.min(size);
        }
        batch.len() <= segments_max
            && size <= SEGMENT_BYTES_MAX
            && joined <= TRAIN_BYTES_MAX
            && batch.iter().all(|datagram| datagram.to == batch[0].to)
            && batch.iter().map(|datagram| datagram.bytes.len()).eq(cut)
    }

    proptest! {
        #[test]
        fn a_train_is_the_longest_run_that_the_kernel_cuts_back_into_its_datagrams(
            shape in proptest::collection::vec((1..3_u16, prop_oneof![Just(0), Just(7), Just(1_200), Just(1_452), Just(1_453)]), 1..90),
            segments_max in 1..65_usize,
        ) {
            let batch: Vec<_> = shape.iter().map(|(port, size)| datagram(*port, *size)).collect();
            let slow = (2..=batch.len()).rev().find(|n| is_train(&batch[..*n], segments_max)).unwrap_or(1);
            prop_assert_eq!(train_length(&batch, segments_max), slow);
        }
    }

    #[test]
    fn gathering_keeps_the_order_within_a_destination() {
        let mut batch: Vec<_> = [(2, 1), (1, 2), (2, 3), (1, 4)]
            .map(|(port, size)| datagram(port, size))
            .into();
        gather(&mut batch);
        let sizes: Vec<_> = batch.iter().map(|datagram| datagram.bytes.len()).collect();
        assert_eq!(sizes, [2, 4, 1, 3]);
    }
}
