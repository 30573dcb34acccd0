//! The HTTP client of the tests.

use reqwest::{Client, redirect::Policy};

/// A client that follows no redirects.
pub fn client() -> Client {
    // With TLS in its features, reqwest asks for a provider even where it speaks plain HTTP. Fails if there is one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().redirect(Policy::none()).build().unwrap()
}
