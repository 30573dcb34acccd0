//! The defaults of the local stack, by which the commands find it and are let in.

use url::Url;

/// What events present in the header `Stigg-Webhooks-Secret`.
pub const WEBHOOK_SECRET: &str = "local-secret";

/// The token of all readers.
pub const API_TOKEN: &str = "local-token";

/// What the tables' names begin with; events/env.json has the same.
pub const TABLE_PREFIX: &str = "byos-";

/// The response header that tells the commands where the local stack's DynamoDB is.
pub const DYNAMODB_HEADER: &str = "byos-dynamodb";

/// Whether an address is one of this machine's.
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
    fn only_this_machine_is_local() {
        for local in ["http://127.0.0.1:8000", "http://localhost", "http://[::1]:1", "http://127.9.9.9/x"] {
            assert!(is_local(local), "{local}");
        }
        for other in ["http://127.0.0.1.example.com", "https://localhost.example.com", "http://10.0.0.1", "127.0.0.1", ""] {
            assert!(!is_local(other), "{other}");
        }
    }
}
