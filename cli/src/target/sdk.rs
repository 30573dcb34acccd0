//! AWS's services, by the ordinary chain of regions and credentials.

use std::sync::Arc;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use runtime::aws::{http_client, sdk_config};
use tokio::sync::OnceCell;

use super::{PATIENT, TargetError};
use runtime::aws::any_credentials;

/// AWS's services. The chain is loaded when the first of them is needed, since a command on the local
/// stack needs none. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sdk {
    region: Option<String>,
    profile: Option<String>,
    sqs_endpoint: Option<String>,
    secrets_manager_endpoint: Option<String>,
    chain: Arc<OnceCell<SdkConfig>>,
}

impl Sdk {
    pub(super) fn new(
        region: Option<String>,
        profile: Option<String>,
        sqs_endpoint: Option<String>,
        secrets_manager_endpoint: Option<String>,
    ) -> Self {
        Self { region, profile, sqs_endpoint, secrets_manager_endpoint, chain: Arc::default() }
    }

    /// What the chain comes to.
    ///
    /// # Errors
    /// If no region is known.
    pub async fn chain(&self) -> Result<&SdkConfig, TargetError> {
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
        let chain = self.chain.get_or_init(|| load).await;
        if chain.region().is_none() { Err(TargetError::Region) } else { Ok(chain) }
    }

    /// CloudFormation.
    ///
    /// # Errors
    /// If no region is known.
    pub async fn cloudformation(&self) -> Result<aws_sdk_cloudformation::Client, TargetError> {
        Ok(aws_sdk_cloudformation::Client::new(self.chain().await?))
    }

    /// SQS, or what stands in for it.
    ///
    /// # Errors
    /// If no region is known.
    pub async fn sqs(&self) -> Result<aws_sdk_sqs::Client, TargetError> {
        Ok(aws_sdk_sqs::Client::new(&self.service(self.sqs_endpoint.as_deref()).await?))
    }

    /// Secrets Manager, or what stands in for it.
    ///
    /// # Errors
    /// If no region is known.
    pub async fn secrets_manager(&self) -> Result<aws_sdk_secretsmanager::Client, TargetError> {
        Ok(aws_sdk_secretsmanager::Client::new(&self.service(self.secrets_manager_endpoint.as_deref()).await?))
    }

    /// What a service's client is made from, at another endpoint than AWS's if one is given.
    async fn service(&self, endpoint: Option<&str>) -> Result<SdkConfig, TargetError> {
        match endpoint {
            Some(endpoint) if template::local::is_local(endpoint) => Ok(on_this_machine(endpoint)),
            Some(endpoint) => Ok(self.chain().await?.to_builder().endpoint_url(endpoint).build()),
            None => Ok(self.chain().await?.clone()),
        }
    }
}

/// For what stands in for a service on this machine and takes any credentials.
fn on_this_machine(endpoint: &str) -> SdkConfig {
    sdk_config(Some("us-east-1".to_owned()), any_credentials(), http_client(), Some(endpoint.to_owned()), PATIENT)
}
