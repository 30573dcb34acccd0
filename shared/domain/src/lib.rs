//! The replica's domain, pure and synchronous: what Stigg sends, versions and registers, what is visible, and who
//! may use what. The caller brings the time and the stored items.
//!
//! The way of an event: [`event`] → [`event::dating`] → registers ([`customer`], [`entitlement`], [`subscription`]).
//! The way of a check: registers → [`entitlement`] → [`period`] → [`access`].

pub mod access;
pub mod customer;
pub mod entitlement;
pub mod event;
pub mod id;
pub mod json_error;
pub mod opaque;
pub mod period;
pub mod subscription;
pub mod time;
pub mod version;
