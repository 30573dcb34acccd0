//! The HTTP client of the commands.

use reqwest::{Client, ClientBuilder, Error, redirect::Policy};

/// Uses TLS from ring and the system's certificates. Follows no redirects, since a secret must not be sent to another
/// address.
pub fn builder() -> ClientBuilder {
    // Fails only if a provider is already installed, which can only be ring.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().user_agent(concat!("byos/", env!("CARGO_PKG_VERSION"))).redirect(Policy::none())
}

/// # Errors
/// If the system's certificates can't be read.
pub fn client() -> Result<Client, Error> {
    builder().build()
}
