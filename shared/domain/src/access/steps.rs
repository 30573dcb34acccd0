//! The rows of the decision table, and what a decision met on its way through them.

use std::fmt;

/// A row of the table by which access is decided, in the order of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Row {
    /// 1: there is no such customer.
    Unknown,
    /// 2: the customer was deleted.
    Archived,
    /// 3: a resource is asked for that has no list.
    NoResource,
    /// 3a: there is no list, or it is empty.
    NoList,
    /// 4: the list does not hold the feature.
    NotInList,
    /// 5: the credits are used up.
    CreditsUsedUp,
    /// 5a: the credits are the limit.
    CreditsLeft,
    /// 6: BOOLEAN.
    Boolean,
    /// 7: ENUM.
    Enum,
    /// 7a: a type that this replica does not know.
    UnknownType,
    /// 8: NUMBER without a meter.
    Unmetered,
    /// 9: no limit, or one that may be passed.
    Unlimited,
    /// 10: within the limit.
    WithinLimit,
    /// 11: beyond it.
    BeyondLimit,
}

impl Row {
    /// The row's number in the table.
    pub fn number(self) -> &'static str {
        match self {
            Self::Unknown => "1",
            Self::Archived => "2",
            Self::NoResource => "3",
            Self::NoList => "3a",
            Self::NotInList => "4",
            Self::CreditsUsedUp => "5",
            Self::CreditsLeft => "5a",
            Self::Boolean => "6",
            Self::Enum => "7",
            Self::UnknownType => "7a",
            Self::Unmetered => "8",
            Self::Unlimited => "9",
            Self::WithinLimit => "10",
            Self::BeyondLimit => "11",
        }
    }

    /// When the row decides.
    pub fn condition(self) -> &'static str {
        match self {
            Self::Unknown => "no such customer",
            Self::Archived => "the customer is deleted",
            Self::NoResource => "a resource without a list",
            Self::NoList => "no list, or an empty one",
            Self::NotInList => "the feature is not in the list",
            Self::CreditsUsedUp => "credits used up, no soft limit",
            Self::CreditsLeft => "credits left, no other limit",
            Self::Boolean => "BOOLEAN",
            Self::Enum => "ENUM",
            Self::UnknownType => "a type not known here",
            Self::Unmetered => "NUMBER without a meter",
            Self::Unlimited => "unlimited, or a soft limit",
            Self::WithinLimit => "used + requested ≤ limit",
            Self::BeyondLimit => "otherwise",
        }
    }
}

/// A row that a decision came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The row.
    pub row: Row,
    /// What it was held against.
    pub found: String,
    /// Whether it decides; the last step does, and no other.
    pub decides: bool,
}

/// The steps of one decision, kept or not: a check keeps none and pays nothing for them.
pub(super) struct Steps(Option<Vec<Step>>);

impl Steps {
    pub(super) fn dropped() -> Self {
        Self(None)
    }

    pub(super) fn kept() -> Self {
        Self(Some(Vec::new()))
    }

    /// Comes to a row, which decides or does not. What it was held against is only put into words if
    /// the steps are kept.
    pub(super) fn decides(&mut self, row: Row, decides: bool, found: fmt::Arguments<'_>) -> bool {
        if let Some(steps) = &mut self.0 {
            steps.push(Step { row, found: found.to_string(), decides });
        }
        decides
    }

    pub(super) fn into_steps(self) -> Vec<Step> {
        self.0.unwrap_or_default()
    }
}
