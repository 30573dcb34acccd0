//! Links between the pages. Ids are escaped query parameters, so an id can't change the path.

use domain::{access::AccessRequest, id::Id};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::PATH;

/// Served without a token, since the page that rejects a request uses it.
pub(crate) const STYLE_PATH: &str = "/console/style.css";
pub(crate) const ICON_PATH: &str = "/console/icon.svg";

/// The URL of a page. Empty parameters are omitted.
pub(crate) fn link(page: &str, parameters: &[(&str, &str)]) -> String {
    let mut url = if page.is_empty() { PATH.to_owned() } else { format!("{PATH}/{page}") };
    let mut separator = '?';
    for (name, value) in parameters.iter().filter(|(_, value)| !value.is_empty()) {
        url.push(separator);
        url.push_str(name);
        url.push('=');
        url.extend(utf8_percent_encode(value, NON_ALPHANUMERIC));
        separator = '&';
    }
    url
}

pub(crate) fn customer(id: &Id) -> String {
    link("customer", &[("id", id.as_str())])
}

/// The page `check` or `history` for one decision.
pub(crate) fn decision(page: &str, request: &AccessRequest) -> String {
    let AccessRequest { customer_id, feature_id, resource_id, requested_usage, requested_values } = request;
    let usage = if *requested_usage > 0.0 { requested_usage.to_string() } else { String::new() };
    let parameters = [
        ("customer", customer_id.as_str()),
        ("feature", feature_id.as_str()),
        ("resource", resource_id.as_ref().map(Id::as_str).unwrap_or_default()),
        ("usage", &usage),
        ("values", &requested_values.join("\n")),
    ];
    link(page, &parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_escaped() {
        let id = |text: &str| Id::try_from(text).unwrap();
        assert_eq!(customer(&id("../health?a=b&c#d")), "/console/customer?id=%2E%2E%2Fhealth%3Fa%3Db%26c%23d");
        let mut request = AccessRequest {
            customer_id: id("é"),
            feature_id: id("<f>"),
            resource_id: Some(id("r s")),
            requested_usage: 1.5,
            requested_values: vec!["a&b".to_owned(), "c".to_owned()],
        };
        assert_eq!(
            decision("check", &request),
            "/console/check?customer=%C3%A9&feature=%3Cf%3E&resource=r%20s&usage=1%2E5&values=a%26b%0Ac"
        );
        (request.resource_id, request.requested_usage) = (None, 0.0);
        request.requested_values.clear();
        assert_eq!(decision("history", &request), "/console/history?customer=%C3%A9&feature=%3Cf%3E");
        assert_eq!(link("", &[("after", "")]), "/console");
    }
}
