//! The local stack's defaults, shared with the commands that connect to it.

use url::Url;

/// The value of the header `Stigg-Webhooks-Secret`.
pub const WEBHOOK_SECRET: &str = "local-secret";

/// The bearer token of all readers.
pub const API_TOKEN: &str = "local-token";

/// Prefix of the tables' names. events/env.json has the same.
pub const TABLE_PREFIX: &str = "byos-";

/// The response header with the endpoint of the local stack's DynamoDB.
pub const DYNAMODB_HEADER: &str = "byos-dynamodb";

/// Whether a URL's host is this machine.
pub fn is_local(address: &str) -> bool {
    Url::parse(address).ok().and_then(|url| url.host_str().map(is_local_host)).unwrap_or(false)
}

fn is_local_host(host: &str) -> bool {
    let address: Result<std::net::IpAddr, _> = host.trim_matches(['[', ']']).parse();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_hosts_are_local() {
        for local in ["http://127.0.0.1:8000", "http://localhost", "http://[::1]:1", "http://127.9.9.9/x"] {
            assert!(is_local(local), "{local}");
        }
        for other in ["http://127.0.0.1.example.com", "https://localhost.example.com", "http://10.0.0.1", "127.0.0.1", ""] {
            assert!(!is_local(other), "{other}");
        }
    }
}
