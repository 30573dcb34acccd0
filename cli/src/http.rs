//! The HTTP client of the commands.

use reqwest::{Client, ClientBuilder, Error, redirect::Policy};

/// What a client is made from: TLS from ring and the system's certificates. It follows no redirects: a
/// secret is for the address that was named.
pub fn builder() -> ClientBuilder {
    // An error says that there is a provider already, and the process knows no other than ring.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().user_agent(concat!("byos/", env!("CARGO_PKG_VERSION"))).redirect(Policy::none())
}

/// A client as [`builder`] makes it.
///
/// # Errors
/// If the system's certificates can't be read.
pub fn client() -> Result<Client, Error> {
    builder().build()
}
