//! Typed access to the members of a JSON object.
//!
//! Only the text of the requested members is kept; unknown members are skipped. Null counts as absent. Of duplicates the
//! last one counts, as in JavaScript, which Stigg uses.

use std::{borrow::Cow, fmt};

use jiff::Timestamp;
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{EventError, EventType};
use crate::{id::Id, json_error, time};

/// Reads members of one event. Errors name the event's type; unexpected members are counted.
#[derive(Debug)]
pub(super) struct MemberReader {
    pub(super) kind: EventType,
    pub(super) unexpected: UnexpectedMembers,
}

/// Members that count as absent because their value has the wrong type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnexpectedMembers {
    pub count: usize,
    /// The paths of the first few: names of documented members and indexes of arrays, no values.
    pub paths: Vec<String>,
}

impl UnexpectedMembers {
    const MAX_PATHS: usize = 5;

    pub(super) fn add(&mut self, path: String) {
        self.count += 1;
        if self.paths.len() < Self::MAX_PATHS {
            self.paths.push(path);
        }
    }
}

/// An object within an event.
#[derive(Debug)]
pub(super) struct Object<'e> {
    /// With a dot at its end; empty for the event itself.
    path: String,
    members: Vec<(&'static str, &'e RawValue)>,
}

impl<'e> Object<'e> {
    /// Keeps the members with these names. None if the JSON is not an object.
    pub(super) fn of(json: &'e RawValue, path: String, names: &[&'static str]) -> Option<Self> {
        let mut members = Vec::new();
        let mut input = serde_json::Deserializer::from_str(json.get());
        input.deserialize_map(MemberCollector { names, members: &mut members }).ok()?;
        Some(Self { path, members })
    }

    pub(super) fn new(path: String, members: Vec<(&'static str, &'e RawValue)>) -> Self {
        Self { path, members }
    }

    pub(super) fn path_of(&self, name: &str) -> String {
        format!("{}{name}", self.path)
    }

    /// A member's JSON, which may be null.
    pub(super) fn text(&self, name: &str) -> Option<&'e RawValue> {
        self.members.iter().find(|(known, _)| *known == name).map(|(_, json)| *json)
    }

    /// A member's JSON, unless it is null.
    pub(super) fn get(&self, name: &str) -> Option<&'e RawValue> {
        self.text(name).filter(|json| json.get() != "null")
    }

    /// The total size of these members' JSON in bytes, and the largest member.
    pub(super) fn size(&self, names: &[&'static str]) -> (usize, &'static str) {
        let sizes = names.iter().map(|name| (self.get(name).map_or(0, |json| json.get().len()), *name));
        (sizes.clone().map(|(size, _)| size).sum(), sizes.max().map_or("", |(_, name)| name))
    }
}

impl MemberReader {
    /// A deciding member: a wrong type is an error.
    pub(super) fn deciding<'e, T: Deserialize<'e>>(&self, object: &Object<'e>, name: &str) -> Result<Option<T>, EventError> {
        object.get(name).map(|json| self.value(json, || object.path_of(name))).transpose()
    }

    /// A deciding member that must be present.
    pub(super) fn required<'e, T: Deserialize<'e>>(&self, object: &Object<'e>, name: &str) -> Result<T, EventError> {
        self.deciding(object, name)?.ok_or_else(|| self.error(object.path_of(name), "is missing"))
    }

    /// A member that does not decide: a wrong type counts as absent and is reported.
    pub(super) fn lenient<'e, T: Deserialize<'e>>(&mut self, object: &Object<'e>, name: &str) -> Option<T> {
        let value = serde_json::from_str(object.get(name)?.get()).ok();
        if value.is_none() {
            self.unexpected.add(object.path_of(name));
        }
        value
    }

    /// A deciding member that is an object.
    pub(super) fn object<'e>(
        &self,
        object: &Object<'e>,
        name: &str,
        names: &[&'static str],
    ) -> Result<Option<Object<'e>>, EventError> {
        let path = || format!("{}{name}.", object.path);
        let not_an_object = || self.error(object.path_of(name), "must be an object");
        object.get(name).map(|json| Object::of(json, path(), names).ok_or_else(not_an_object)).transpose()
    }

    /// A deciding member that is an object and must be present.
    pub(super) fn required_object<'e>(
        &self,
        object: &Object<'e>,
        name: &str,
        names: &[&'static str],
    ) -> Result<Object<'e>, EventError> {
        self.object(object, name, names)?.ok_or_else(|| self.error(object.path_of(name), "is missing"))
    }

    fn value<'e, T: Deserialize<'e>>(&self, json: &'e RawValue, path: impl FnOnce() -> String) -> Result<T, EventError> {
        serde_json::from_str(json.get()).map_err(|error| self.error(path(), json_error::problem(&error)))
    }

    pub(super) fn error(&self, field: String, problem: impl Into<String>) -> EventError {
        EventError::Field { kind: self.kind.as_str(), field, problem: problem.into() }
    }
}

/// See [`time::parse_tolerant`].
pub(super) struct Date(pub(super) Timestamp);

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(input)?;
        time::parse_tolerant(&text).map(Self).map_err(D::Error::custom)
    }
}

/// A string of at most [`Id::MAX_BYTES`] bytes.
pub(super) struct ShortText(pub(super) String);

impl<'de> Deserialize<'de> for ShortText {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        if text.len() <= Id::MAX_BYTES {
            return Ok(Self(text));
        }
        Err(D::Error::custom(format_args!("must be at most {} bytes long", Id::MAX_BYTES)))
    }
}

/// Collects the members with these names.
pub(super) struct MemberCollector<'a, 'e> {
    pub(super) names: &'a [&'static str],
    pub(super) members: &'a mut Vec<(&'static str, &'e RawValue)>,
}

impl<'e> Visitor<'e> for MemberCollector<'_, 'e> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'e>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(MemberName(name)) = map.next_key()? {
            let Some(known) = self.names.iter().find(|known| **known == name) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let json = map.next_value()?;
            match self.members.iter_mut().find(|(name, _)| name == known) {
                Some(member) => member.1 = json,
                None => self.members.push((known, json)),
            }
        }
        Ok(())
    }
}

/// A member's name: borrowed, unless it has escapes.
pub(super) struct MemberName<'e>(pub(super) Cow<'e, str>);

impl<'de> Deserialize<'de> for MemberName<'de> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Borrowing;

        impl<'de> Visitor<'de> for Borrowing {
            type Value = MemberName<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<MemberName<'de>, E> {
                Ok(MemberName(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<MemberName<'de>, E> {
                Ok(MemberName(Cow::Owned(name.to_owned())))
            }
        }

        input.deserialize_str(Borrowing)
    }
}
