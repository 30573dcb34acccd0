//! Links between the pages. Ids are escaped query parameters, so an id can't change the path.

use domain::id::Id;
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
pub(crate) fn decision(page: &str, customer: &Id, feature: &Id, resource: Option<&Id>) -> String {
    let resource = resource.map(Id::as_str).unwrap_or_default();
    link(page, &[("customer", customer.as_str()), ("feature", feature.as_str()), ("resource", resource)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_escaped() {
        let id = |text: &str| Id::try_from(text).unwrap();
        assert_eq!(customer(&id("../health?a=b&c#d")), "/console/customer?id=%2E%2E%2Fhealth%3Fa%3Db%26c%23d");
        assert_eq!(
            decision("check", &id("é"), &id("<f>"), Some(&id("r s"))),
            "/console/check?customer=%C3%A9&feature=%3Cf%3E&resource=r%20s"
        );
        assert_eq!(decision("check", &id("c"), &id("f"), None), "/console/check?customer=c&feature=f");
        assert_eq!(link("", &[("after", "")]), "/console");
    }
}
