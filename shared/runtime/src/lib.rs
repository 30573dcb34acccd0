//! Shared code of the functions: API Gateway requests and responses, authentication, secrets, configuration, AWS clients,
//! logs and metrics.

pub mod aws;
pub mod clock;
pub mod config;
pub mod gateway;
pub mod keyring;
pub mod parked;
pub mod reader;
pub mod reply;
pub mod secret;
pub mod signature;
pub mod telemetry;
