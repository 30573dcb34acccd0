//! The replica's domain, pure and synchronous: Stigg's events, versions, last-writer-wins registers, the visible state
//! and access decisions. The caller passes the current time and the stored items.
//!
//! - An event: [`event::parse`] → [`event::dating`] → registers ([`customer`], [`entitlement`], [`subscription`]).
//! - A check: registers → [`entitlement`] (merge) → [`period`] → [`access`] (decision).
#![allow(missing_docs, reason = "most members are named as in Stigg's JSON")]

pub mod access;
pub mod customer;
pub mod entitlement;
pub mod event;
pub mod id;
pub mod json_error;
pub mod opaque;
pub mod period;
pub mod register;
pub mod subscription;
pub mod time;
pub mod version;
