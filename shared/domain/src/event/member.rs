//! Members of an event's JSON, read by name from its text.
//!
//! Nothing is held but the text of the members that are asked for: unknown ones are passed over, whatever
//! they hold. A member that is null counts as absent; of members that come twice the last one counts, as in
//! JavaScript, which Stigg sends with.

use std::{borrow::Cow, fmt};

use jiff::Timestamp;
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{EventError, Kind};
use crate::json_error;
use crate::{id::Id, time};

/// What a reader of one event keeps.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) kind: Kind,
    pub(super) odd: Odd,
}

/// Members that count as absent because of their values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Odd {
    /// How many there are.
    pub count: usize,
    /// The paths of the first ones: names of documented members, and places in lists.
    pub paths: Vec<String>,
}

impl Odd {
    /// How many paths are kept.
    const KEPT: usize = 5;

    pub(super) fn add(&mut self, path: String) {
        self.count += 1;
        if self.paths.len() < Self::KEPT {
            self.paths.push(path);
        }
    }
}

/// An object of an event's.
#[derive(Debug)]
pub(super) struct Object<'e> {
    /// Its path, with a dot at its end; empty for the event itself.
    path: String,
    members: Vec<(&'static str, &'e RawValue)>,
}

impl<'e> Object<'e> {
    /// The members of these names. None if the JSON is not an object.
    pub(super) fn of(json: &'e RawValue, path: String, names: &[&'static str]) -> Option<Self> {
        let mut members = Vec::new();
        let mut input = serde_json::Deserializer::from_str(json.get());
        input.deserialize_map(Named { names, members: &mut members }).ok()?;
        Some(Self { path, members })
    }

    pub(super) fn new(path: String, members: Vec<(&'static str, &'e RawValue)>) -> Self {
        Self { path, members }
    }

    /// The path of a member.
    pub(super) fn path_of(&self, name: &str) -> String {
        format!("{}{name}", self.path)
    }

    /// A member's text, null included.
    pub(super) fn text(&self, name: &str) -> Option<&'e RawValue> {
        self.members.iter().find(|(known, _)| *known == name).map(|(_, json)| *json)
    }

    /// A member's text, unless it is null.
    pub(super) fn get(&self, name: &str) -> Option<&'e RawValue> {
        self.text(name).filter(|json| json.get() != "null")
    }

    /// How many bytes of JSON these members have, and which has the most.
    pub(super) fn size(&self, names: &[&'static str]) -> (usize, &'static str) {
        let sizes = names.iter().map(|name| (self.get(name).map_or(0, |json| json.get().len()), *name));
        (sizes.clone().map(|(size, _)| size).sum(), sizes.max().map_or("", |(_, name)| name))
    }
}

impl Reader {
    /// A member that decides: None if it is absent.
    pub(super) fn decisive<'e, T: Deserialize<'e>>(&self, object: &Object<'e>, name: &str) -> Result<Option<T>, EventError> {
        object.get(name).map(|json| self.value(json, || object.path_of(name))).transpose()
    }

    /// A member that decides and has to be there.
    pub(super) fn required<'e, T: Deserialize<'e>>(&self, object: &Object<'e>, name: &str) -> Result<T, EventError> {
        self.decisive(object, name)?.ok_or_else(|| self.error(object.path_of(name), "is missing"))
    }

    /// A member that decides nothing: absent, and counted, if its value is not a T.
    pub(super) fn tolerant<'e, T: Deserialize<'e>>(&mut self, object: &Object<'e>, name: &str) -> Option<T> {
        let value = serde_json::from_str(object.get(name)?.get()).ok();
        if value.is_none() {
            self.odd.add(object.path_of(name));
        }
        value
    }

    /// A member that is an object and decides.
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

    /// The same, which has to be there.
    pub(super) fn required_object<'e>(
        &self,
        object: &Object<'e>,
        name: &str,
        names: &[&'static str],
    ) -> Result<Object<'e>, EventError> {
        self.object(object, name, names)?.ok_or_else(|| self.error(object.path_of(name), "is missing"))
    }

    /// A value that decides.
    pub(super) fn value<'e, T: Deserialize<'e>>(
        &self,
        json: &'e RawValue,
        path: impl FnOnce() -> String,
    ) -> Result<T, EventError> {
        serde_json::from_str(json.get()).map_err(|error| self.error(path(), json_error::problem(&error)))
    }

    pub(super) fn error(&self, field: String, problem: impl Into<String>) -> EventError {
        EventError::Field { kind: self.kind.as_str(), field, problem: problem.into() }
    }
}

/// A date-time, or a date: see [`time::parse_tolerant`].
pub(super) struct Date(pub(super) Timestamp);

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(input)?;
        time::parse_tolerant(&text).map(Self).map_err(D::Error::custom)
    }
}

/// A text that is no longer than an id may be.
pub(super) struct Word(pub(super) String);

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        if text.len() <= Id::MAX_BYTES {
            return Ok(Self(text));
        }
        Err(D::Error::custom(format_args!("must be at most {} bytes long", Id::MAX_BYTES)))
    }
}

/// Gathers the members of these names.
pub(super) struct Named<'a, 'e> {
    pub(super) names: &'a [&'static str],
    pub(super) members: &'a mut Vec<(&'static str, &'e RawValue)>,
}

impl<'e> Visitor<'e> for Named<'_, 'e> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'e>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Name(name)) = map.next_key()? {
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

/// A member's name: borrowed, unless it is written with escapes.
pub(super) struct Name<'e>(pub(super) Cow<'e, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Borrowing;

        impl<'de> Visitor<'de> for Borrowing {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }

        input.deserialize_str(Borrowing)
    }
}
