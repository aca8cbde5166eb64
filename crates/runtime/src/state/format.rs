//! Names, tables and the envelope of values of the state file.

use redb::TableDefinition;

/// The file's name in the state directory.
pub const FILE: &str = "state.redb";
/// The file that takes the place of the state when that is rewritten.
pub(super) const FRESH: &str = "state.redb.new";
/// The lock's name; it holds the owner's process id.
pub const LOCK: &str = "lock";

pub(super) const VALUES: TableDefinition<'_, (&str, &str), &[u8]> =
    TableDefinition::new("majordomo-values");
pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("majordomo-meta");
pub(super) const FORMAT_KEY: &str = "format";
/// The format of the file. A file of another one is set aside.
pub(super) const FORMAT: u64 = 1;

/// Version of a value's envelope.
const ENVELOPE: u8 = 1;

/// The length of a value in its envelope.
pub(super) fn sealed_len(value: &[u8]) -> usize {
    value.len() + 5
}

/// Writes the envelope into `out`, which is [`sealed_len`] long: version byte, CRC-32 of the value (little endian), the
/// value. A value may be megabytes, so it is not copied on the way.
pub(super) fn seal_into(value: &[u8], out: &mut [u8]) {
    out[0] = ENVELOPE;
    out[1..5].copy_from_slice(&crc32fast::hash(value).to_le_bytes());
    out[5..].copy_from_slice(value);
}

pub(super) fn unseal(bytes: &[u8]) -> Option<&[u8]> {
    let (version, rest) = bytes.split_first()?;
    let (sum, value) = rest.split_first_chunk::<4>()?;
    (*version == ENVELOPE && crc32fast::hash(value).to_le_bytes() == *sum).then_some(value)
}

pub(super) fn checked(namespace: &str, key: &str, bytes: &[u8]) -> Result<Vec<u8>, redb::Error> {
    let corrupt =
        || redb::Error::Corrupted(format!("value {namespace}/{key} does not match its checksum"));
    unseal(bytes).map(<[u8]>::to_vec).ok_or_else(corrupt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envelopes() {
        for value in [&b""[..], b"x", &[7; 1000]] {
            let mut sealed = vec![0; sealed_len(value)];
            seal_into(value, &mut sealed);
            assert_eq!(unseal(&sealed), Some(value));
            for i in 0..sealed.len() {
                let mut bad = sealed.clone();
                bad[i] ^= 0x10;
                assert_eq!(unseal(&bad), None);
                assert_ne!(unseal(&sealed[..i]), Some(value));
            }
        }
        assert_eq!(unseal(&[]), None);
    }
}
