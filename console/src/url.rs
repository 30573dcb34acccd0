//! Links between the pages. Ids stand in the query, escaped, so that none of them can name another path.

use domain::id::Id;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::PATH;

/// Served to anybody, so that the page that asks for the token is readable.
pub(crate) const STYLE_PATH: &str = "/console/style.css";
pub(crate) const ICON_PATH: &str = "/console/icon.svg";

/// A page with its parameters; an empty one is left out.
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

/// A customer's page.
pub(crate) fn customer(id: &Id) -> String {
    link("customer", &[("id", id.as_str())])
}

/// A page on one decision: `ask` or `history`.
pub(crate) fn decision(page: &str, customer: &Id, feature: &Id, resource: Option<&Id>) -> String {
    let resource = resource.map(Id::as_str).unwrap_or_default();
    link(page, &[("customer", customer.as_str()), ("feature", feature.as_str()), ("resource", resource)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_id_names_another_page_or_parameter() {
        let id = |text: &str| Id::try_from(text).unwrap();
        assert_eq!(customer(&id("../health?a=b&c#d")), "/console/customer?id=%2E%2E%2Fhealth%3Fa%3Db%26c%23d");
        assert_eq!(
            decision("ask", &id("é"), &id("<f>"), Some(&id("r s"))),
            "/console/ask?customer=%C3%A9&feature=%3Cf%3E&resource=r%20s"
        );
        assert_eq!(decision("ask", &id("c"), &id("f"), None), "/console/ask?customer=c&feature=f");
        assert_eq!(link("", &[("after", "")]), "/console");
    }
}
