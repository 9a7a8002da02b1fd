//! The rows of LISTED: which packets a carrier keeps that belong with its neighbour. PROTOCOL 3.12

use crate::packet::{PacketId, Tag};

/// Rows that fit a datagram with room to spare.
pub(crate) const ROWS_MAX: usize = 50;
const ROW_BYTES: usize = 20;
const _: () =
    assert!(4 + 16 + 1 + ROWS_MAX * ROW_BYTES <= dunlin_net::limits::FRAME_BODY_BYTES_MAX);

/// One packet: its id, and as much of its tag as says where it belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedRow {
    pub(crate) id: PacketId,
    /// The first four bytes.
    pub(crate) tag: [u8; 4],
}

impl ListedRow {
    pub(crate) fn new(id: PacketId, tag: Tag) -> ListedRow {
        let [a, b, c, d, ..] = tag.0;
        let tag = [a, b, c, d];
        ListedRow { id, tag }
    }

    /// The first tag that begins so: what is not shown decides nothing among fewer than some thousand million carriers.
    pub(crate) fn nearly(&self) -> Tag {
        let mut tag = [0; 16];
        tag[..4].copy_from_slice(&self.tag);
        Tag(tag)
    }
}

/// Whether `id` is one of those after `after` up to `until`, in the circle of ids; all are if the two are one.
pub(crate) fn is_within(id: PacketId, after: PacketId, until: PacketId) -> bool {
    let number = |id: PacketId| u128::from_be_bytes(id.0);
    let from = |id: PacketId| number(id).wrapping_sub(number(after)).wrapping_sub(1);
    from(id) <= from(until)
}

/// Their number, then the rows.
pub(crate) fn encode(rows: &[ListedRow], body: &mut Vec<u8>) {
    let rows = &rows[..rows.len().min(ROWS_MAX)];
    body.push(rows.len() as u8);
    for row in rows {
        body.extend(row.id.0);
        body.extend(row.tag);
    }
}

/// `None` if there are more than fit, or fewer than their number says.
pub(crate) fn decode(body: &[u8]) -> Option<Vec<ListedRow>> {
    let (count, rows) = body.split_first()?;
    let count = usize::from(*count);
    if count > ROWS_MAX {
        return None;
    }
    let row = |row: &[u8]| {
        let (id, tag) = row.split_first_chunk()?;
        let (id, tag) = (PacketId(*id), *tag.first_chunk()?);
        Some(ListedRow { id, tag })
    };
    rows.get(..count * ROW_BYTES)?
        .chunks_exact(ROW_BYTES)
        .map(row)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // PROTOCOL 3.12
    #[test]
    fn more_rows_than_fit_are_none_and_what_follows_the_rows_is_ignored() {
        let row = ListedRow::new(PacketId([7; 16]), Tag([9; 16]));
        let mut body = Vec::new();
        encode(&[row; ROWS_MAX + 1], &mut body);
        assert_eq!(body.len(), 1 + ROWS_MAX * ROW_BYTES);
        body.push(1);
        assert_eq!(decode(&body), Some(vec![row; ROWS_MAX]));
        body[0] += 1;
        body.resize(1 + 51 * ROW_BYTES, 0);
        assert_eq!(decode(&body), None);
        assert_eq!(decode(&[]), None);
    }

    proptest! {
    #[test]
    fn the_circle_of_ids_agrees_with_walking_it(after: u8, until: u8, id: u8) {
        let at = |n: u8| {
            let mut id = [0; 16];
            id[15] = n;
            PacketId(id)
        };
        // Of 256 ids, by steps; the rest of the circle lies between the last and the first.
        let mut walked = after;
        let mut within = false;
        loop {
            walked = walked.wrapping_add(1);
            within |= walked == id;
            if walked == until {
                break;
            }
        }
        prop_assert_eq!(is_within(at(id), at(after), at(until)), within);
    }
    }
}
