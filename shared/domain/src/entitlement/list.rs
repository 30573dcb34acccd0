//! A list of entitlements as the value of one register.
//!
//! The stored form is LZ4 over an index of feature ids, sorted, and the entitlements' JSON behind it. A check
//! decompresses the list, looks the feature up and parses only that entitlement.

use lz4_flex::block::{compress_prepend_size, decompress_size_prepended};

use crate::id::Id;

/// Most bytes that a decompressed list may have: more than an event can carry.
const MAX_PLAIN_BYTES: usize = 16 * 1024 * 1024;

/// The complete list of one scope: each feature once, with Stigg's JSON of its entitlement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntitlementList {
    /// `<feature id> U+0000 <length of the JSON in bytes> U+0000` for each entry in the order of ids, U+0000, and
    /// the JSON of each entry. Neither an id nor JSON holds a U+0000.
    plain: String,
    entries: Vec<Entry>,
}

/// Where an entry's id and JSON are in the plain form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    id: (usize, usize),
    json: (usize, usize),
}

impl EntitlementList {
    /// A list of these entries, which it sorts. Each feature stands once.
    pub fn new(entries: &mut [(Id, String)]) -> Self {
        entries.sort_by(|one, other| one.0.cmp(&other.0));
        let mut plain = String::with_capacity(entries.iter().map(|(id, json)| id.as_str().len() + json.len() + 8).sum());
        for (id, json) in entries.iter() {
            plain.push_str(id.as_str());
            plain.push_str(&format!("\0{}\0", json.len()));
        }
        plain.push('\0');
        for (_, json) in entries.iter() {
            plain.push_str(json);
        }
        let entries = index(&plain).unwrap_or_default();
        Self { plain, entries }
    }

    /// The stored form.
    pub fn to_bytes(&self) -> Vec<u8> {
        compress_prepend_size(self.plain.as_bytes())
    }

    /// Reads the stored form. None if the bytes are not one.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (length, _) = bytes.split_first_chunk()?;
        if usize::try_from(u32::from_le_bytes(*length)).ok()? > MAX_PLAIN_BYTES {
            return None;
        }
        let plain = String::from_utf8(decompress_size_prepended(bytes).ok()?).ok()?;
        let entries = index(&plain)?;
        Some(Self { plain, entries })
    }

    /// Number of features.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it grants nothing.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The JSON of a feature's entitlement, if the list holds it.
    pub fn get(&self, feature_id: &str) -> Option<&str> {
        let found = self.entries.binary_search_by(|entry| self.part(entry.id).cmp(feature_id)).ok()?;
        self.entries.get(found).map(|entry| self.part(entry.json))
    }

    /// The features' ids with their entitlements' JSON, in the order of ids.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|entry| (self.part(entry.id), self.part(entry.json)))
    }

    /// Length of the JSON of all entitlements, in bytes.
    pub fn json_length(&self) -> usize {
        self.entries.iter().map(|entry| entry.json.1 - entry.json.0).sum()
    }

    fn part(&self, (start, end): (usize, usize)) -> &str {
        self.plain.get(start..end).unwrap_or_default()
    }
}

/// The entries of a plain form. None if the index does not fit the text behind it.
fn index(plain: &str) -> Option<Vec<Entry>> {
    let (mut entries, mut at, mut length) = (Vec::new(), 0, 0_usize);
    loop {
        let id = plain.get(at..)?.find('\0')?;
        if id == 0 {
            break;
        }
        let digits = at + id + 1;
        let end = digits + plain.get(digits..)?.find('\0')?;
        let json = plain.get(digits..end)?.parse::<usize>().ok()?;
        entries.push(Entry { id: (at, at + id), json: (length, length.checked_add(json)?) });
        (at, length) = (end + 1, length.checked_add(json)?);
    }
    let texts = at + 1;
    for entry in &mut entries {
        entry.json = (entry.json.0 + texts, entry.json.1 + texts);
        plain.get(entry.json.0..entry.json.1)?;
    }
    (texts + length == plain.len()
        && entries.is_sorted_by(|one, other| plain.get(one.id.0..one.id.1) < plain.get(other.id.0..other.id.1)))
    .then_some(entries)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list(entries: &[(&str, &str)]) -> EntitlementList {
        let mut entries: Vec<_> = entries.iter().map(|(id, json)| (Id::try_from(*id).unwrap(), (*json).to_owned())).collect();
        EntitlementList::new(&mut entries)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn a_list_is_read_as_it_was_stored(
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
        fn other_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Some(read) = EntitlementList::from_bytes(&bytes) {
                let _ = read.iter().count();
            }
        }
    }

    #[test]
    fn damaged_lists_are_refused() {
        for plain in ["", "f", "f_", "f_1_", "f_1__", "f_x__{", "f_2__{", "f_1__{}", "g_1_f_1__{}"] {
            let plain = plain.replace('_', "\0");
            assert_eq!(EntitlementList::from_bytes(&compress_prepend_size(plain.as_bytes())), None, "{plain:?}");
        }
        assert!(EntitlementList::from_bytes(&[0xff; 8]).is_none());
        assert!(EntitlementList::from_bytes(&compress_prepend_size(b"\0")).unwrap().is_empty());
    }
}
