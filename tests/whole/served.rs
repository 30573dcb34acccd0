//! An empty local stack, served over HTTP.

use local::{embedded::Embedded, serve::Stack};
use reqwest::Client;
use runtime::clock::Clock;

/// The webhook's secret is `secret`, the readers' token `token`.
pub(crate) struct Served {
    pub(crate) url: String,
    pub(crate) client: Client,
    _embedded: Embedded,
}

impl Served {
    pub(crate) async fn start() -> Self {
        let embedded = Embedded::in_memory().await.unwrap();
        let stack = Stack::on(embedded.store.clone(), "secret", "token", Clock::system()).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, stack.router()).await });
        Self { url, client: testkit::http::client(), _embedded: embedded }
    }
}
