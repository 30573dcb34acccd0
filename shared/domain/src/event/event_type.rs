/// Declares the types with Stigg's names for them.
macro_rules! event_types {
    ($($name:ident $text:literal)*) => {
        /// The event types that are supported.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum EventType {
            $(#[doc = concat!("`", $text, "`")] $name,)*
        }

        impl EventType {
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Stigg's `type`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

event_types! {
    CustomerCreated "customer.created"
    CustomerUpdated "customer.updated"
    CustomerDeleted "customer.deleted"
    EntitlementsUpdated "entitlements.updated"
    MeasurementReported "measurement.reported"
    EntitlementUsageExceeded "entitlement.usage_exceeded"
    CreditBalanceLow "credit_balance.low"
    CreditBalanceDepleted "credit_balance.depleted"
    // The older forms of the two above.
    CreditsBalanceUsageLow "credits.balance.usage_low"
    CreditsBalanceDepleted "credits.balance.depleted"
    SubscriptionCreated "subscription.created"
    SubscriptionUpdated "subscription.updated"
    SubscriptionCanceled "subscription.canceled"
    SubscriptionExpired "subscription.expired"
    SubscriptionTrialExpired "subscription.trial_expired"
}

impl EventType {
    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == text)
    }
}
