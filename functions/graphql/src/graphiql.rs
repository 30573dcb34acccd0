//! The page to write queries on: public, without data. What it asks for needs the token.
//!
//! It loads GraphiQL 4, the last one that is published as a single file: from version 5 on it is
//! hundreds of modules that a service bundles on request, of which no hash can be pinned. Every file
//! is named with its exact version and its hash, and nothing else may be loaded, run or sent to.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use lambda_http::{
    Body, Request, Response,
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
};
use runtime::reply;
use sha2::{Digest as _, Sha256};

/// The page. It is the same for everybody.
const PAGE: &str = include_str!("graphiql.html");

/// Whether a request is for the page and not for an answer.
pub(crate) fn is_asked(request: &Request) -> bool {
    request.uri().path().ends_with("/graphiql")
}

/// The page, or what is wrong with asking for it.
pub(crate) fn answer(request: &Request, is_on: bool) -> Response<Body> {
    if !is_on {
        return reply::json(StatusCode::NOT_FOUND, &serde_json::json!({"error": "GraphiQL is switched off"}));
    }
    if request.method() != Method::GET {
        return reply::method_not_allowed("GET", &serde_json::json!({"error": "the page is got by GET"}));
    }
    let mut response = Response::new(Body::from(PAGE));
    let headers = response.headers_mut();
    let policy = content_security_policy(PAGE);
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, &policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
    response
}

/// Lets the page load the very files that it names, run its own script, and ask its own origin.
///
/// Style attributes are allowed whatever they say: the editor draws with them.
fn content_security_policy(page: &str) -> String {
    let scripts = sources(page, "<script src=\"").join(" ");
    let styles = sources(page, "<link rel=\"stylesheet\" href=\"").join(" ");
    let hash = |tag: &str| {
        let inline = page.split_once(&format!("<{tag}>")).and_then(|(_, rest)| rest.split_once(&format!("</{tag}>")));
        let digest = Sha256::digest(inline.map(|(inline, _)| inline).unwrap_or_default());
        format!("'sha256-{}'", STANDARD.encode(digest))
    };
    let (script, style) = (hash("script"), hash("style"));
    format!(
        "default-src 'none'; script-src {scripts} {script}; style-src-elem {styles} {style}; style-src-attr 'unsafe-inline'; \
         font-src data:; img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

/// The addresses that stand behind this opening.
fn sources<'a>(page: &'a str, opening: &str) -> Vec<&'a str> {
    page.split(opening).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_pinned_by_version_and_hash_and_the_policy_names_no_other() {
        let scripts = sources(PAGE, "<script src=\"");
        let styles = sources(PAGE, "<link rel=\"stylesheet\" href=\"");
        assert_eq!((scripts.len(), styles.len()), (3, 1));
        let policy = content_security_policy(PAGE);
        for file in scripts.iter().chain(&styles) {
            let (_, version) = file.split_once('@').unwrap();
            assert!(version.starts_with(|digit: char| digit.is_ascii_digit()) && version.matches('.').count() >= 3, "{file}");
            assert!(PAGE.contains(&format!("\"{file}\" integrity=\"sha384-")), "{file}");
            assert!(policy.contains(file), "{file}");
        }
        assert_eq!(PAGE.matches("crossorigin=\"anonymous\"").count(), 4);
        assert_eq!(PAGE.matches("https://").count(), 4);
        assert_eq!(policy.matches("https://").count(), 4);
        assert!(policy.starts_with("default-src 'none'; script-src "));
        assert!(!policy.contains("script-src 'unsafe") && !policy.contains("unsafe-eval"));
        assert_eq!(policy.matches("'sha256-").count(), 2);
        // The inline script and style are found by their bare tags: there is one of each.
        assert_eq!((PAGE.matches("<script>").count(), PAGE.matches("<style>").count()), (1, 1));
    }

    #[test]
    fn the_page_has_a_place_for_the_token_and_keeps_none() {
        assert!(PAGE.contains("Authorization: \"Bearer \"") && !PAGE.contains("localStorage"));
    }
}
