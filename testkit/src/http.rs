//! The tests' HTTP client.

use reqwest::{Client, redirect::Policy};

/// A client that follows no redirects.
pub fn client() -> Client {
    // reqwest was built with TLS, so it needs a provider even for plain HTTP. Fails if a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().redirect(Policy::none()).build().unwrap()
}
