//! What the three functions have in common: the pure domain (what Stigg sends, versions, registers,
//! what is visible, who may use what) and the one store on DynamoDB.
//!
//! The way of an event: [`event`] → [`event::dating`] → [`apply`] → [`store`]. The way of a check: [`store`] →
//! [`entitlement`] → [`access`]. Everything else is free of I/O and of the clock.

pub mod access;
pub mod apply;
pub mod aws;
pub mod config;
pub mod customer;
pub mod entitlement;
pub mod event;
pub mod gateway;
pub mod id;
pub mod keyring;
pub mod opaque;
pub mod parked;
pub mod period;
pub mod reader;
pub mod reply;
pub mod secret;
pub mod signature;
pub mod store;
pub mod subscription;
pub mod telemetry;
pub mod time;
pub mod version;
