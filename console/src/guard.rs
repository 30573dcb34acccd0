//! Admits requests only from a browser on this machine that was opened with the token.
//!
//! - **Token.** The printed address has a random token. The first request with it sets a cookie (`HttpOnly`,
//!   `SameSite=Strict`) with another random value, and redirects to the address without the token.
//! - **Host.** Only this machine's host names are accepted. This prevents DNS rebinding.
//! - **Origin.** `Origin` and `Sec-Fetch-Site` reject other origins, including other ports of this machine. A form on a
//!   page with `Referrer-Policy: no-referrer` is sent with the origin `null`. That is accepted only if the browser
//!   states that the request is same-origin. Source: Fetch Standard, "append a request `Origin` header".
//!
//! Cookies ignore ports. The cookie's name includes the port, so two consoles don't sign each other out.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Redirect, Response},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use subtle::ConstantTimeEq as _;

use crate::{
    Console, PATH,
    layout::notice,
    url::{ICON_PATH, STYLE_PATH},
};

/// Headers of every response. They block scripts and external resources, whatever names in the store contain.
const HEADERS: [(HeaderName, &str); 8] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
];

/// The secrets and the accepted `Host` values of one console.
pub(crate) struct Guard {
    token: String,
    session: String,
    cookie: String,
    hosts: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rejection {
    Host,
    Origin,
    Token,
}

impl Guard {
    pub(crate) fn new(port: u16) -> Result<Self, getrandom::Error> {
        let hosts = ["127.0.0.1", "localhost", "[::1]"].map(|host| format!("{host}:{port}"));
        // Browsers omit HTTP's default port.
        let without_port = ["127.0.0.1", "localhost", "[::1]"].into_iter().filter(|_| port == 80).map(str::to_owned);
        Ok(Self {
            token: random()?,
            session: random()?,
            cookie: format!("byos-console-{port}"),
            hosts: hosts.into_iter().chain(without_port).collect(),
        })
    }

    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// Accepts a request that is addressed to this console and comes from one of its pages, or from no page.
    fn check_origin(&self, request: &Request) -> Result<(), Rejection> {
        let headers = request.headers();
        let authority = request.uri().authority().map(|authority| authority.as_str());
        let host = single(headers, &header::HOST).ok_or(Rejection::Host)?;
        if !self.hosts.iter().any(|expected| expected == host) || authority.is_some_and(|authority| authority != host) {
            return Err(Rejection::Host);
        }
        let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
        if site.is_some_and(|site| site != b"same-origin" && site != b"none") {
            return Err(Rejection::Origin);
        }
        match headers.get(header::ORIGIN).map(HeaderValue::as_bytes) {
            None if is_safe(request.method()) || site == Some(b"same-origin") => Ok(()),
            None => Err(Rejection::Origin),
            Some(b"null") if site == Some(b"same-origin") => Ok(()),
            Some(origin) if origin.strip_prefix(b"http://") == Some(host.as_bytes()) => Ok(()),
            Some(_) => Err(Rejection::Origin),
        }
    }

    fn has_session(&self, headers: &HeaderMap) -> bool {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut cookies = cookies.flat_map(|line| line.split(';')).filter_map(|cookie| cookie.trim().split_once('='));
        cookies.any(|(name, value)| name == self.cookie && is_equal(value, &self.session))
    }
}

/// The middleware in front of all pages.
pub(crate) async fn check(State(console): State<Console>, request: Request, next: Next) -> Response {
    let guard = &console.0.guard;
    let mut response = match guard.check_origin(&request) {
        Err(rejection) => reject(&console, rejection),
        Ok(()) => match token_of(&request) {
            Some(token) if is_equal(token, &guard.token) => sign_in(guard),
            Some(_) => reject(&console, Rejection::Token),
            None if guard.has_session(request.headers()) || [STYLE_PATH, ICON_PATH].contains(&request.uri().path()) => {
                next.run(request).await
            }
            None => reject(&console, Rejection::Token),
        },
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The token in the URL of the first page.
fn token_of(request: &Request) -> Option<&str> {
    let query = request.uri().query().filter(|_| request.method() == Method::GET && request.uri().path() == PATH)?;
    query.split('&').find_map(|parameter| parameter.strip_prefix("token="))
}

/// Sets the session cookie, and redirects to the URL without the token.
fn sign_in(guard: &Guard) -> Response {
    let cookie = format!("{}={}; Path={PATH}; HttpOnly; SameSite=Strict", guard.cookie, guard.session);
    let mut response = Redirect::to(PATH).into_response();
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

fn reject(console: &Console, rejection: Rejection) -> Response {
    let (status, title, what, advice) = match rejection {
        Rejection::Host => (
            StatusCode::FORBIDDEN,
            "Wrong host",
            "The console accepts only this machine's host names.",
            "Open the address that was printed when the console started.",
        ),
        Rejection::Origin => (
            StatusCode::FORBIDDEN,
            "Opened from another page",
            "Requests from other sites or other ports are rejected.",
            "Copy the printed address into the browser's address bar.",
        ),
        Rejection::Token => (
            StatusCode::UNAUTHORIZED,
            "Open the printed address",
            "This page shows personal data. It requires the token in the address that was printed when the console started.",
            "Copy that address from the terminal. Each start of the console prints a new token.",
        ),
    };
    console.respond(status, None, title, &notice(title, what, Some(advice)))
}

fn is_safe(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS].contains(method)
}

/// The value of a header. None if the header is missing or repeated.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// Compares in constant time.
fn is_equal(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

/// 256 random bits, encoded for URLs and cookies.
fn random() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn request(method: &str, headers: &[(&str, &str)]) -> Request {
        let mut request = Request::builder().method(method).uri(PATH);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Body::empty()).unwrap()
    }

    #[test]
    fn only_loopback_host_names_with_this_port_are_accepted() {
        let guard = Guard::new(8080).unwrap();
        for host in ["127.0.0.1:8080", "localhost:8080", "[::1]:8080"] {
            assert_eq!(guard.check_origin(&request("GET", &[("host", host)])), Ok(()), "{host}");
        }
        for host in
            ["attacker.example:8080", "127.0.0.1", "127.0.0.1:80", "127.0.0.1:8080.attacker.example", "localhost:8081", ""]
        {
            assert_eq!(guard.check_origin(&request("GET", &[("host", host)])), Err(Rejection::Host), "{host}");
        }
        let repeated = [("host", "127.0.0.1:8080"), ("host", "attacker.example")];
        assert_eq!(guard.check_origin(&request("GET", &repeated)), Err(Rejection::Host));
        assert_eq!(guard.check_origin(&request("GET", &[])), Err(Rejection::Host));
        let mut absolute = request("GET", &[("host", "127.0.0.1:8080")]);
        *absolute.uri_mut() = "http://attacker.example:8080/console".parse().unwrap();
        assert_eq!(guard.check_origin(&absolute), Err(Rejection::Host));
        let default_port = Guard::new(80).unwrap();
        assert_eq!(default_port.check_origin(&request("GET", &[("host", "127.0.0.1")])), Ok(()));
    }

    #[test]
    fn requests_from_other_origins_are_rejected() {
        let guard = Guard::new(8080).unwrap();
        let is_rejected = |method: &str, headers: &[(&str, &str)]| {
            let headers: Vec<_> = headers.iter().copied().chain([("host", "127.0.0.1:8080")]).collect();
            guard.check_origin(&request(method, &headers)).is_err()
        };
        for (method, headers) in [
            ("GET", &[] as &[(&str, &str)]),
            ("GET", &[("sec-fetch-site", "none")]),
            ("GET", &[("sec-fetch-site", "same-origin")]),
            ("POST", &[("origin", "http://127.0.0.1:8080")]),
            ("POST", &[("origin", "null"), ("sec-fetch-site", "same-origin")]),
            ("POST", &[("sec-fetch-site", "same-origin")]),
        ] {
            assert!(!is_rejected(method, headers), "{method} {headers:?}");
        }
        for (method, headers) in [
            ("GET", &[("sec-fetch-site", "cross-site")] as &[(&str, &str)]),
            ("GET", &[("sec-fetch-site", "same-site")]),
            ("GET", &[("origin", "http://127.0.0.1:3000")]),
            ("GET", &[("origin", "null")]),
            ("POST", &[]),
            ("POST", &[("origin", "null")]),
            ("POST", &[("origin", "null"), ("sec-fetch-site", "cross-site")]),
            ("POST", &[("origin", "https://127.0.0.1:8080")]),
            ("POST", &[("origin", "http://localhost:8080")]),
            ("POST", &[("origin", "http://attacker.example")]),
        ] {
            assert!(is_rejected(method, headers), "{method} {headers:?}");
        }
    }

    #[test]
    fn tokens_and_sessions_are_random_and_distinct() {
        let (one, other) = (Guard::new(1).unwrap(), Guard::new(1).unwrap());
        let secrets = [&one.token, &one.session, &other.token, &other.session];
        assert!(secrets.iter().all(|secret| secret.len() == 43));
        let mut distinct = secrets.to_vec();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), 4);
    }
}
