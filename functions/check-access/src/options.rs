//! Optional features: requests from browsers, and the Lambda authorizer.

use runtime::{aws::FunctionEnvironment, config::ConfigError};

use crate::{
    authorizer::Authorizer,
    browser::BrowserOrigins,
    customer_key::{self, CustomerKeys, SigningSecret},
};

/// The optional features. All are off by default.
#[derive(Debug, Default)]
pub struct Options {
    pub(crate) customer_keys: Option<CustomerKeys>,
    pub(crate) browser_origins: Option<BrowserOrigins>,
    pub(crate) authorizer: Option<Authorizer>,
}

impl Options {
    /// Accepts browser requests. A page of one of these origins may read the customer that it has a signature for.
    pub fn for_browsers(origins: BrowserOrigins, secret: SigningSecret) -> Self {
        Self { browser_origins: Some(origins), customer_keys: Some(secret.into()), authorizer: None }
    }

    /// Replaces the authorizer.
    #[must_use]
    pub fn with_authorizer(self, authorizer: Option<Authorizer>) -> Self {
        Self { authorizer, ..self }
    }

    /// Reads the environment variables.
    ///
    /// # Errors
    /// If a value is invalid, or a feature needs the signing secret and it is missing. The function must then not start.
    pub async fn of_function(environment: &FunctionEnvironment) -> Result<Self, ConfigError> {
        let (browser_origins, authorizer) = (BrowserOrigins::of_function()?, Authorizer::of_function()?);
        let customer_keys = CustomerKeys::of_function(environment).await?;
        let needs_keys = browser_origins.is_some() || authorizer.as_ref().is_some_and(Authorizer::needs_customer_keys);
        if needs_keys && customer_keys.is_none() {
            return Err(ConfigError::Missing(customer_key::SECRET_ARN));
        }
        Ok(Self { customer_keys, browser_origins, authorizer })
    }

    /// Verify browser requests. None if these are off.
    pub(crate) fn browser_keys(&self) -> Option<&CustomerKeys> {
        self.browser_origins.as_ref().and(self.customer_keys.as_ref())
    }
}
