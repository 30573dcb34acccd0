//! A list of entitlements as one register's value.
//!
//! The stored form is an index of sorted feature ids followed by the entitlements' JSON, compressed with LZ4. A check
//! decompresses it, finds the feature by binary search and parses only that entitlement.

use lz4_flex::block::{compress_prepend_size, decompress_size_prepended};

use crate::id::Id;

/// Maximum size of a decompressed list in bytes: more than an event can carry.
const MAX_DECOMPRESSED_BYTES: usize = 16 * 1024 * 1024;

/// The complete list of one scope: each feature once, with its entitlement as Stigg's JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntitlementList {
    /// `<feature id> U+0000 <JSON length in bytes> U+0000` for each entry in the order of ids, then U+0000, then each
    /// entry's JSON. Neither ids nor JSON contain U+0000.
    text: String,
    entries: Vec<Entry>,
}

/// Byte ranges of an entry's id and JSON in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    id: (usize, usize),
    json: (usize, usize),
}

impl EntitlementList {
    /// The entries may be in any order, but each feature only once.
    pub fn new(entries: &[(Id, String)]) -> Self {
        let mut entries: Vec<_> = entries.iter().collect();
        entries.sort_by_key(|(id, _)| id);
        let mut text = String::with_capacity(entries.iter().map(|(id, json)| id.as_str().len() + json.len() + 8).sum());
        for (id, json) in &entries {
            text.push_str(id.as_str());
            text.push_str(&format!("\0{}\0", json.len()));
        }
        text.push('\0');
        for (_, json) in &entries {
            text.push_str(json);
        }
        let entries = parse_index(&text).unwrap_or_default();
        Self { text, entries }
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        compress_prepend_size(self.text.as_bytes())
    }

    /// None if the bytes are not a stored list.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (length, _) = bytes.split_first_chunk()?;
        if usize::try_from(u32::from_le_bytes(*length)).ok()? > MAX_DECOMPRESSED_BYTES {
            return None;
        }
        let text = String::from_utf8(decompress_size_prepended(bytes).ok()?).ok()?;
        let entries = parse_index(&text)?;
        Some(Self { text, entries })
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The JSON of a feature's entitlement.
    pub fn get(&self, feature_id: &str) -> Option<&str> {
        let found = self.entries.binary_search_by(|entry| self.slice(entry.id).cmp(feature_id)).ok()?;
        self.entries.get(found).map(|entry| self.slice(entry.json))
    }

    /// Feature ids and entitlements' JSON, in the order of ids.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|entry| (self.slice(entry.id), self.slice(entry.json)))
    }

    /// Total length of the entitlements' JSON in bytes.
    pub fn json_length(&self) -> usize {
        self.entries.iter().map(|entry| entry.json.1 - entry.json.0).sum()
    }

    fn slice(&self, (start, end): (usize, usize)) -> &str {
        self.text.get(start..end).unwrap_or_default()
    }
}

/// Parses the index. None if it does not match the JSON that follows.
fn parse_index(text: &str) -> Option<Vec<Entry>> {
    let (mut entries, mut at, mut json_length) = (Vec::new(), 0, 0_usize);
    loop {
        let id = text.get(at..)?.find('\0')?;
        if id == 0 {
            break;
        }
        let digits = at + id + 1;
        let end = digits + text.get(digits..)?.find('\0')?;
        let json = text.get(digits..end)?.parse::<usize>().ok()?;
        entries.push(Entry { id: (at, at + id), json: (json_length, json_length.checked_add(json)?) });
        (at, json_length) = (end + 1, json_length.checked_add(json)?);
    }
    let json_start = at + 1;
    for entry in &mut entries {
        entry.json = (entry.json.0 + json_start, entry.json.1 + json_start);
        text.get(entry.json.0..entry.json.1)?;
    }
    (json_start + json_length == text.len()
        && entries.is_sorted_by(|one, other| text.get(one.id.0..one.id.1) < text.get(other.id.0..other.id.1)))
    .then_some(entries)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list(entries: &[(&str, &str)]) -> EntitlementList {
        let entries: Vec<_> = entries.iter().map(|(id, json)| (Id::try_from(*id).unwrap(), (*json).to_owned())).collect();
        EntitlementList::new(&entries)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn lists_round_trip(
            entries in proptest::collection::btree_map("[^\0]{1,12}", "[^\0]{0,40}", 0..20),
        ) {
            let entries: Vec<(&str, &str)> = entries.iter().map(|(id, json)| (id.as_str(), json.as_str())).collect();
            let read = EntitlementList::from_bytes(&list(&entries).to_bytes()).unwrap();
            prop_assert_eq!(read.iter().collect::<Vec<_>>(), entries.clone());
            for (id, json) in &entries {
                prop_assert_eq!(read.get(id), Some(*json));
            }
            prop_assert_eq!(read.get("\u{10ffff}absent"), None);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Some(read) = EntitlementList::from_bytes(&bytes) {
                let _ = read.iter().count();
            }
        }
    }

    #[test]
    fn corrupt_lists_are_rejected() {
        for plain in ["", "f", "f_", "f_1_", "f_1__", "f_x__{", "f_2__{", "f_1__{}", "g_1_f_1__{}"] {
            let plain = plain.replace('_', "\0");
            assert_eq!(EntitlementList::from_bytes(&compress_prepend_size(plain.as_bytes())), None, "{plain:?}");
        }
        assert!(EntitlementList::from_bytes(&[0xff; 8]).is_none());
        assert!(EntitlementList::from_bytes(&compress_prepend_size(b"\0")).unwrap().is_empty());
    }
}
