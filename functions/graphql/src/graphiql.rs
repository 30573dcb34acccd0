//! The GraphiQL page. It is public and has no data; its queries need the token.
//!
//! It loads GraphiQL 4, the last version that is published as a single file. Version 5 is hundreds of modules that a
//! service bundles on request, so their hashes can't be pinned. Each file has its exact version and hash, and the content
//! security policy allows no other file, script or destination.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use lambda_http::{
    Body, Request, Response,
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
};
use runtime::reply;
use sha2::{Digest as _, Sha256};

const PAGE: &str = include_str!("graphiql.html");

pub(crate) fn is_page_request(request: &Request) -> bool {
    request.uri().path().ends_with("/graphiql")
}

pub(crate) fn answer(request: &Request, is_enabled: bool) -> Response<Body> {
    if !is_enabled {
        return reply::json(StatusCode::NOT_FOUND, &serde_json::json!({"error": "GraphiQL is disabled"}));
    }
    if request.method() != Method::GET {
        return reply::method_not_allowed("GET", &serde_json::json!({"error": "method not allowed: use GET"}));
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

/// Allows the files that the page names, its inline script and style, and requests to its own origin. The editor needs
/// inline style attributes.
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

/// The URLs that follow `opening`.
fn sources<'a>(page: &'a str, opening: &str) -> Vec<&'a str> {
    page.split(opening).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_pinned_and_the_policy_allows_no_other() {
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
        // content_security_policy() finds the inline script and style by their tags without attributes.
        assert_eq!((PAGE.matches("<script>").count(), PAGE.matches("<style>").count()), (1, 1));
    }

    #[test]
    fn the_page_does_not_store_the_token() {
        assert!(PAGE.contains("Authorization: \"Bearer \"") && !PAGE.contains("localStorage"));
    }
}
