//! What is off by default, with its settings.

use runtime::{aws::FunctionEnvironment, config::ConfigError};

use crate::{
    authorizer::Authorizer,
    browser::BrowserOrigins,
    customer_key::{self, CustomerKeys, SigningSecret},
};

/// What is off by default.
#[derive(Debug, Default)]
pub struct Options {
    pub(crate) customer_keys: Option<CustomerKeys>,
    pub(crate) browser_origins: Option<BrowserOrigins>,
    pub(crate) authorizer: Option<Authorizer>,
}

impl Options {
    /// Pages of these origins may ask for the customer that they present a signature of.
    pub fn for_browsers(origins: BrowserOrigins, secret: SigningSecret) -> Self {
        Self { browser_origins: Some(origins), customer_keys: Some(secret.into()), authorizer: None }
    }

    /// The same with an authorizer.
    #[must_use]
    pub fn with_authorizer(self, authorizer: Option<Authorizer>) -> Self {
        Self { authorizer, ..self }
    }

    /// As the environment says.
    ///
    /// # Errors
    /// If a variable has a value that it can't have, or the signing secret is missing where it is needed: better no
    /// start than an open door.
    pub async fn of_function(environment: &FunctionEnvironment) -> Result<Self, ConfigError> {
        let (browser_origins, authorizer) = (BrowserOrigins::of_function()?, Authorizer::of_function()?);
        let customer_keys = CustomerKeys::of_function(environment).await?;
        let needs_keys = browser_origins.is_some() || authorizer.as_ref().is_some_and(Authorizer::needs_customer_keys);
        if needs_keys && customer_keys.is_none() {
            return Err(ConfigError::Missing(customer_key::SECRET_ARN));
        }
        Ok(Self { customer_keys, browser_origins, authorizer })
    }

    /// What verifies a browser's requests. None while they are off.
    pub(crate) fn browser(&self) -> Option<&CustomerKeys> {
        self.browser_origins.as_ref().and(self.customer_keys.as_ref())
    }
}
