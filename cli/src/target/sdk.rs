//! Clients of AWS services, with the SDK's default chain of regions and credentials.

use std::sync::Arc;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use runtime::aws::{http_client, sdk_config};
use tokio::sync::OnceCell;

use super::{COMMAND_BUDGET, TargetError};
use runtime::aws::any_credentials;

/// Creates clients of AWS services. Region and credentials are resolved for the first client, since a command on the local
/// stack needs none. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sdk {
    region: Option<String>,
    profile: Option<String>,
    sqs_endpoint: Option<String>,
    secrets_manager_endpoint: Option<String>,
    config: Arc<OnceCell<SdkConfig>>,
}

impl Sdk {
    pub(super) fn new(
        region: Option<String>,
        profile: Option<String>,
        sqs_endpoint: Option<String>,
        secrets_manager_endpoint: Option<String>,
    ) -> Self {
        Self { region, profile, sqs_endpoint, secrets_manager_endpoint, config: Arc::default() }
    }

    /// # Errors
    /// If the region is unknown.
    pub async fn config(&self) -> Result<&SdkConfig, TargetError> {
        let load = async {
            let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(http_client());
            if let Some(region) = &self.region {
                loader = loader.region(Region::new(region.clone()));
            }
            if let Some(profile) = &self.profile {
                loader = loader.profile_name(profile);
            }
            loader.load().await
        };
        let config = self.config.get_or_init(|| load).await;
        if config.region().is_none() { Err(TargetError::Region) } else { Ok(config) }
    }

    pub async fn cloudformation(&self) -> Result<aws_sdk_cloudformation::Client, TargetError> {
        Ok(aws_sdk_cloudformation::Client::new(self.config().await?))
    }

    pub async fn sqs(&self) -> Result<aws_sdk_sqs::Client, TargetError> {
        Ok(aws_sdk_sqs::Client::new(&self.config_at(self.sqs_endpoint.as_deref()).await?))
    }

    pub async fn secrets_manager(&self) -> Result<aws_sdk_secretsmanager::Client, TargetError> {
        Ok(aws_sdk_secretsmanager::Client::new(&self.config_at(self.secrets_manager_endpoint.as_deref()).await?))
    }

    /// The configuration of a client, with another endpoint than that of AWS if one is given.
    async fn config_at(&self, endpoint: Option<&str>) -> Result<SdkConfig, TargetError> {
        match endpoint {
            Some(endpoint) if template::local::is_local(endpoint) => Ok(local_config(endpoint)),
            Some(endpoint) => Ok(self.config().await?.to_builder().endpoint_url(endpoint).build()),
            None => Ok(self.config().await?.clone()),
        }
    }
}

/// For a fake of a service on this machine, which accepts any credentials.
fn local_config(endpoint: &str) -> SdkConfig {
    sdk_config(Some("us-east-1".to_owned()), any_credentials(), http_client(), Some(endpoint.to_owned()), COMMAND_BUDGET)
}
