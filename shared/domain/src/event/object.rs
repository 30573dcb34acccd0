//! JSON objects rewritten member by member, with the values' text unparsed.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::{
    Deserializer as _,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::member::MemberName;
use crate::opaque::OpaqueJson;

/// An object's members in the order of their names, without those that are null. Of duplicates the last one counts.
pub(super) fn members_of(json: &RawValue) -> serde_json::Result<BTreeMap<Cow<'_, str>, &RawValue>> {
    struct Members;

    impl<'e> Visitor<'e> for Members {
        type Value = BTreeMap<Cow<'e, str>, &'e RawValue>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'e>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = BTreeMap::new();
            while let Some((MemberName(name), value)) = map.next_entry::<_, &RawValue>()? {
                members.insert(name, value);
            }
            members.retain(|_, value| value.get() != "null");
            Ok(members)
        }
    }

    serde_json::Deserializer::from_str(json.get()).deserialize_map(Members)
}

pub(super) fn without_nulls(json: &RawValue) -> OpaqueJson {
    let mut text = String::new();
    write_without_nulls(json, &mut text);
    RawValue::from_string(text).unwrap_or_else(|_| json.to_owned()).into()
}

/// Omits null members, in nested objects too. Arrays stay as they are.
pub(super) fn write_without_nulls(json: &RawValue, text: &mut String) {
    let Ok(members) = members_of(json) else { return text.push_str(json.get()) };
    let mut object = ObjectWriter::begin(text);
    for (name, value) in members {
        write_without_nulls(value, object.member(name));
    }
    object.end();
}

/// Writes an object as text.
pub(super) struct ObjectWriter<'a> {
    text: &'a mut String,
    separator: char,
}

impl<'a> ObjectWriter<'a> {
    pub(super) fn begin(text: &'a mut String) -> Self {
        Self { text, separator: '{' }
    }

    /// Begins a member. The caller appends its value.
    pub(super) fn member(&mut self, name: Cow<'_, str>) -> &mut String {
        self.text.push(std::mem::replace(&mut self.separator, ','));
        match name {
            // Borrowed from JSON, so it needs no escapes.
            Cow::Borrowed(name) => self.text.extend(["\"", name, "\""]),
            Cow::Owned(name) => self.text.push_str(&serde_json::to_string(&name).unwrap_or_default()),
        }
        self.text.push(':');
        self.text
    }

    pub(super) fn end(self) {
        self.text.push_str(if self.separator == '{' { "{}" } else { "}" });
    }
}
