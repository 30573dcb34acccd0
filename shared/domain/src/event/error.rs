use super::EventType;

/// Why an event can't be applied. The message names the event's type and the field but no value, so it can be shown to
/// the sender.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    #[error("the body is not JSON: line {line}, column {column}")]
    NotJson { line: usize, column: usize },
    /// The body is JSON, but not an object with a string `type`.
    #[error("`type` is missing or not a string: an event is a JSON object with a string `type`")]
    NoType,
    /// A supported event is nested deeper than 127, or has a number outside the range of a double or half of a surrogate
    /// pair.
    #[error("{kind}: the body can't be decoded: {problem}")]
    Undecodable { kind: &'static str, problem: String },
    /// A supported event lacks a required member, or a deciding member has another type than documented.
    #[error("{kind}: `{field}` {problem}")]
    Field { kind: &'static str, field: String, problem: String },
    /// A part of the event exceeds the size of a DynamoDB item.
    #[error("{kind}: `{field}` is too large: at most {limit} bytes of JSON can be stored")]
    TooLarge { kind: &'static str, field: String, limit: usize },
    /// The event is from another Stigg environment than the replica's.
    #[error("{kind}: `environmentId` is not the environment of this replica")]
    OtherEnvironment { kind: &'static str },
    /// All parts together exceed the size of a DynamoDB item.
    #[error("{kind}: the event is too large: DynamoDB stores at most 400 KB in an item")]
    TooLargeToStore { kind: &'static str },
}

impl EventError {
    pub fn too_large_to_store(kind: EventType) -> Self {
        Self::TooLargeToStore { kind: kind.as_str() }
    }

    /// Such an event must not be lost.
    pub fn has_supported_type(&self) -> bool {
        match self {
            Self::Undecodable { .. }
            | Self::Field { .. }
            | Self::TooLarge { .. }
            | Self::TooLargeToStore { .. }
            | Self::OtherEnvironment { .. } => true,
            Self::NotJson { .. } | Self::NoType => false,
        }
    }
}
