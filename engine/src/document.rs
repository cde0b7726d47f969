//! One document of many parts: the library writes each block of a streamed result as a document of its own, header
//! included, and a client expects one.

use bytes::Bytes;

/// How a result can be sent while it is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joining {
    /// Blocks follow each other: rows and nothing else. No row is empty, for the library ends with an empty block.
    Plain,
    /// Each block begins with so many lists of texts: names, then types. Only the first block's stay.
    Headed(u8),
    /// Blocks cannot be joined: the result must be written as a whole.
    Whole,
}

/// How blocks in `format` become one document.
pub fn joining(format: &str) -> Joining {
    match format {
        "RowBinaryWithNamesAndTypes" => Joining::Headed(2),
        "RowBinaryWithNames" => Joining::Headed(1),
        "RowBinary" | "Native" | "TabSeparated" | "TSV" | "TabSeparatedRaw" | "TSVRaw" | "CSV"
        | "JSONEachRow" | "JSONLines" | "NDJSON" | "JSONCompactEachRow" | "LineAsString" => Joining::Plain,
        _ => Joining::Whole,
    }
}

/// A block of a result in `format` as the document's next part: of its header only the first is kept.
///
/// # Errors
/// A message in ClickHouse's form: the library has cut a header.
pub fn continued(block: Bytes, format: &str, first: bool) -> Result<Bytes, String> {
    match joining(format) {
        Joining::Headed(lists) if !first => match header(&block, lists) {
            Some(length) => Ok(block.slice(length..)),
            None => {
                Err(format!("Code: 49. DB::Exception: a block in {format} has no header (LOGICAL_ERROR)"))
            }
        },
        _ => Ok(block),
    }
}

/// Length of a block's header of `lists` lists (a number of columns, then that many texts per list); `None` where the
/// block ends within it.
fn header(block: &[u8], lists: u8) -> Option<usize> {
    let mut rest = block;
    let columns = varint(&mut rest)?;
    for _ in 0..columns.checked_mul(lists.into())? {
        let length = usize::try_from(varint(&mut rest)?).ok()?;
        rest = rest.get(length..)?;
    }
    Some(block.len() - rest.len())
}

/// A number in LEB128, taken off `from`.
fn varint(from: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..63).step_by(7) {
        let (octet, rest) = from.split_first()?;
        *from = rest;
        number |= u64::from(octet & 0x7f) << shift;
        if octet & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_ends_where_the_first_row_begins() {
        let block = b"\x02\x01a\x02bc\x06UInt64\x06Stringrows";
        assert_eq!(header(block, 2), Some(block.len() - 4));
        assert_eq!(header(&block[..10], 2), None);
        assert_eq!(header(b"\x00", 2), Some(1));
    }

    #[test]
    fn long_names_have_long_lengths() {
        let name = vec![b'x'; 300];
        let block = [&[1, 0xac, 0x02][..], &name, b"rows"].concat();
        assert_eq!(header(&block, 1), Some(303));
    }
}
