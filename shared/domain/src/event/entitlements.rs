//! Lists of entitlements: which members are checked, and the JSON that is stored.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashSet},
    fmt,
};

use serde::{
    Deserialize, Deserializer as _,
    de::{IgnoredAny, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    EventError, List, MAX_FEATURES, MAX_REGISTER_BYTES,
    member::{Date, MemberReader, Object},
    object::{ObjectWriter, members_of, write_without_nulls},
};
use crate::{
    entitlement::{ENTITLEMENT_FIELDS, FEATURE_FIELDS, OLDER_PERIOD_END},
    id::Id,
    json_error, time,
};

/// The lists in an event, one for each scope. `scope` is the event's resource (None inside is the customer level), or
/// None in the older form, where each entry names its own.
pub(super) fn lists(reader: &mut MemberReader, entries: &RawValue, scope: Option<Option<Id>>) -> Result<Vec<List>, EventError> {
    let is_older_form = scope.is_none();
    let mut lists: Vec<List> = scope.map(|resource_id| List { resource_id, grants: Vec::new() }).into_iter().collect();
    for (index, entry) in array(reader, entries, "entitlements")?.into_iter().enumerate() {
        let Some((resource_id, feature_id, json)) = entitlement(reader, entry, format!("entitlements[{index}]"), is_older_form)?
        else {
            continue;
        };
        let grant = (feature_id, json);
        match lists.iter_mut().find(|list| !is_older_form || list.resource_id == resource_id) {
            Some(list) => list.grants.push(grant),
            None => lists.push(List { resource_id, grants: vec![grant] }),
        }
    }
    if lists.is_empty() {
        lists.push(List { resource_id: None, grants: Vec::new() });
    }
    for list in &mut lists {
        keep_last_of_each_feature(&mut list.grants);
    }
    Ok(lists)
}

/// The elements of an array, unparsed.
fn array<'e>(reader: &MemberReader, json: &'e RawValue, name: &str) -> Result<Vec<&'e RawValue>, EventError> {
    struct Elements;

    impl<'e> Visitor<'e> for Elements {
        /// None if there are too many.
        type Value = Option<Vec<&'e RawValue>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'e>>(self, mut array: A) -> Result<Self::Value, A::Error> {
            let mut elements = Vec::new();
            while let Some(element) = array.next_element()? {
                if elements.len() == MAX_FEATURES {
                    while array.next_element::<IgnoredAny>()?.is_some() {}
                    return Ok(None);
                }
                elements.push(element);
            }
            Ok(Some(elements))
        }
    }

    let elements = serde_json::Deserializer::from_str(json.get()).deserialize_seq(Elements);
    let elements = elements.map_err(|error| reader.error(name.to_owned(), json_error::problem(&error)))?;
    elements.ok_or_else(|| reader.error(name.to_owned(), format!("has more than {MAX_FEATURES} entries")))
}

/// If a list names a feature twice, the last entry counts, on every replica.
fn keep_last_of_each_feature(grants: &mut Vec<(Id, String)>) {
    let mut seen = HashSet::new();
    let is_last: Vec<bool> = grants.iter().rev().map(|(feature, _)| seen.insert(feature)).collect();
    drop(seen);
    let mut is_last = is_last.into_iter().rev();
    grants.retain(|_| is_last.next().unwrap_or(true));
}

/// The type that a member must have. Code that reads the stored list relies on it.
#[derive(Clone, Copy)]
enum MemberType {
    Number,
    Boolean,
    String,
    Id,
    Date,
    Strings,
    /// An object with an `id`.
    WithId,
    Object(&'static ObjectType),
    /// Not checked.
    Any,
}

struct ObjectType {
    /// Members that are checked. Others are stored as they are.
    members: &'static [(&'static str, MemberType)],
    /// Members that are stored as null if the event lacks them.
    nullable: &'static [&'static str],
}

const FEATURE: ObjectType = ObjectType {
    members: &[("id", MemberType::Id), ("featureType", MemberType::String), ("meterType", MemberType::String)],
    nullable: &FEATURE_FIELDS,
};

const CREDIT_BALANCE: ObjectType = ObjectType {
    members: &[
        ("creditCurrency", MemberType::WithId),
        ("totalGranted", MemberType::Number),
        ("remainingBalance", MemberType::Number),
    ],
    nullable: &[],
};

const ENTITLEMENT: ObjectType = ObjectType {
    members: &[
        ("feature", MemberType::Object(&FEATURE)),
        ("resourceId", MemberType::Id),
        ("usageLimit", MemberType::Number),
        ("hasUnlimitedUsage", MemberType::Boolean),
        ("hasSoftLimit", MemberType::Boolean),
        ("currentUsage", MemberType::Number),
        ("usagePeriodAnchor", MemberType::Date),
        ("usagePeriodStart", MemberType::Date),
        ("usagePeriodEnd", MemberType::Date),
        (OLDER_PERIOD_END, MemberType::Date),
        ("resetPeriod", MemberType::String),
        ("enumValues", MemberType::Strings),
        ("creditBalance", MemberType::Object(&CREDIT_BALANCE)),
    ],
    nullable: &ENTITLEMENT_FIELDS,
};

/// Which members of an entitlement decide about access: see the table in the module `parse`.
struct Deciding {
    is_number: bool,
    is_metered: bool,
    is_enum: bool,
    has_credits: bool,
}

impl Deciding {
    fn of(feature_type: Option<&str>, meter_type: Option<&str>, has_credits: bool) -> Self {
        let is_type = |name| feature_type.is_some_and(|feature_type| feature_type.eq_ignore_ascii_case(name));
        let has_meter = meter_type.is_some_and(|meter| !meter.eq_ignore_ascii_case("none"));
        let is_number = is_type("NUMBER");
        Self { is_number, is_metered: is_number && has_meter, is_enum: is_type("ENUM"), has_credits }
    }

    fn includes(&self, member: &str) -> bool {
        match member {
            "feature.id" | "feature.featureType" => true,
            "feature.meterType" => self.is_number,
            "usageLimit" | "hasSoftLimit" => self.is_metered || self.has_credits,
            "hasUnlimitedUsage" | "currentUsage" | "usagePeriodEnd" | OLDER_PERIOD_END => self.is_metered,
            "enumValues" => self.is_enum,
            "creditBalance" | "creditBalance.remainingBalance" => true,
            _ => false,
        }
    }
}

/// Parses an entry of a list: its resource in the older form, its feature, and the JSON to store. None if it has no
/// feature (a credit wallet).
fn entitlement(
    reader: &mut MemberReader,
    json: &RawValue,
    path: String,
    is_older_form: bool,
) -> Result<Option<(Option<Id>, Id, String)>, EventError> {
    if json.get().len() > MAX_REGISTER_BYTES {
        return Err(EventError::TooLarge { kind: reader.kind.as_str(), field: path, limit: MAX_REGISTER_BYTES });
    }
    let Some(entry) = Object::of(json, format!("{path}."), &["feature", "resourceId", "creditBalance"]) else {
        reader.unexpected.add(path);
        return Ok(None);
    };
    let Ok(Some(feature)) = reader.object(&entry, "feature", &["id", "featureType", "meterType"]) else {
        reader.unexpected.add(entry.path_of("feature"));
        return Ok(None);
    };
    let feature_id = reader.required(&feature, "id")?;
    let resource_id = if is_older_form { reader.deciding(&entry, "resourceId")? } else { None };
    let feature_type: Option<String> = reader.deciding(&feature, "featureType")?;
    let meter_type = feature.get("meterType").and_then(|json| serde_json::from_str::<String>(json.get()).ok());
    let has_credits = entry.get("creditBalance").is_some();
    let deciding = Deciding::of(feature_type.as_deref(), meter_type.as_deref(), has_credits);
    let mut text = String::with_capacity(json.get().len());
    write_object(reader, json, &ENTITLEMENT, (&path, ""), &deciding, &mut text)?;
    Ok(Some((resource_id, feature_id, text)))
}

/// Writes an entitlement or an object inside it as it is stored: without members of a wrong type, and with null for
/// documented members that are missing, since GraphQL returns the stored text. `path` is the entitlement's path in the
/// event, and the object's path in the entitlement.
fn write_object(
    reader: &mut MemberReader,
    json: &RawValue,
    object_type: &ObjectType,
    path: (&str, &str),
    deciding: &Deciding,
    text: &mut String,
) -> Result<(), EventError> {
    let mut missing: Vec<&str> = object_type.nullable.to_vec();
    let mut has_older_end = false;
    let mut object = ObjectWriter::begin(text);
    for (name, value) in members_of(json).unwrap_or_default() {
        let member_type = object_type.members.iter().find(|(known, _)| *known == name).map_or(MemberType::Any, |known| known.1);
        let member = format!("{}{name}", path.1);
        let problem = match member_type {
            MemberType::Any => None,
            MemberType::Number => type_error::<f64>(value),
            MemberType::Boolean => type_error::<bool>(value),
            MemberType::String => type_error::<Cow<'_, str>>(value),
            MemberType::Strings => type_error::<Vec<String>>(value),
            MemberType::Id => type_error::<Id>(value),
            MemberType::WithId => type_error::<WithId>(value),
            MemberType::Date => type_error::<Date>(value),
            MemberType::Object(_) => type_error::<BTreeMap<String, IgnoredAny>>(value),
        };
        if let Some(problem) = problem {
            let field = format!("{}.{member}", path.0);
            if deciding.includes(&member) {
                return Err(reader.error(field, problem));
            }
            reader.unexpected.add(field);
            continue;
        }
        missing.retain(|missing| *missing != name);
        has_older_end |= name == OLDER_PERIOD_END;
        let text = object.member(name);
        match member_type {
            MemberType::Object(object_type) => {
                write_object(reader, value, object_type, (path.0, &format!("{member}.")), deciding, text)?;
            }
            MemberType::Date => write_date(value, text),
            _ => write_without_nulls(value, text),
        }
    }
    if has_older_end && missing.contains(&"usagePeriodEnd") {
        // The older form has none of the newer names.
        missing.retain(|name| !name.starts_with("usagePeriod"));
    }
    for name in missing {
        object.member(name.into()).push_str("null");
    }
    object.end();
    Ok(())
}

/// The error if a value is not a T.
fn type_error<'e, T: Deserialize<'e>>(json: &'e RawValue) -> Option<String> {
    serde_json::from_str::<T>(json.get()).err().map(|error| json_error::problem(&error))
}

#[derive(Deserialize)]
struct WithId {
    #[serde(rename = "id")]
    _id: Id,
}

/// Keeps a date-time as it is, and completes one without a time or an offset.
fn write_date(json: &RawValue, text: &mut String) {
    let date = serde_json::from_str::<Cow<'_, str>>(json.get()).unwrap_or_default();
    match (time::parse(&date), time::parse_tolerant(&date)) {
        (Err(_), Ok(time)) => text.extend(["\"", &time::to_fixed_width(time), "\""]),
        _ => text.push_str(json.get()),
    }
}
