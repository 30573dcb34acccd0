//! What a function needs to be one: requests of API Gateway and replies, authentication, secrets, configuration,
//! clients of AWS, logs and metrics.

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
