//! What every request has to show, and what every answer says to the browser.
//!
//! A page of another site may have the browser ask this server too, also by a name that leads to this machine. So a request is answered
//! only if it names this server as its host, and comes from this server's own page or from nobody's.

use std::net::SocketAddr;

use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse as _, Response};

/// Nothing but what this server serves: no other origin, no inline script or style, no frame, no form; and no text becomes markup.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

const SAID: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// The refusal of a request, if it is to be refused.
pub(super) fn refusal<T>(request: &Request<T>, served: SocketAddr) -> Option<Response> {
    match check(request.headers(), served) {
        Ok(()) => None,
        Err(why) => Some((StatusCode::FORBIDDEN, format!("{why}\n")).into_response()),
    }
}

/// Puts what every answer says into this one.
pub(super) fn guarded(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in SAID {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn check(headers: &HeaderMap, served: SocketAddr) -> Result<(), &'static str> {
    let ours = [served.to_string(), format!("localhost:{}", served.port())];
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let Some(host) = host.filter(|host| ours.iter().any(|ours| ours == host)) else {
        return Err("this server is not of that name; open the URL that `meshproof web` printed");
    };
    match headers.get(header::ORIGIN) {
        None => Ok(()),
        Some(origin) if *origin == format!("http://{host}") => Ok(()),
        Some(_) => Err("a page of another site asks; open the URL that `meshproof web` printed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_by_another_name_or_from_another_page_is_refused() {
        let served = "127.0.0.1:4000".parse().expect("an address");
        let asked = |host: Option<&str>, origin: Option<&str>| {
            let mut headers = HeaderMap::new();
            for (name, value) in [(header::HOST, host), (header::ORIGIN, origin)] {
                value.map(|value| headers.insert(name, value.parse().expect("a value")));
            }
            check(&headers, served).is_ok()
        };
        assert!(asked(Some("127.0.0.1:4000"), None) && asked(Some("localhost:4000"), Some("http://localhost:4000")));
        for (host, origin) in [
            (None, None),
            (Some("127.0.0.1"), None),
            (Some("127.0.0.1:4001"), None),
            (Some("evil.example:4000"), None),
            (Some("127.0.0.1:4000"), Some("http://evil.example")),
            (Some("127.0.0.1:4000"), Some("null")),
            (Some("127.0.0.1:4000"), Some("https://127.0.0.1:4000")),
            // the same machine, but not the page that was opened
            (Some("127.0.0.1:4000"), Some("http://localhost:4000")),
        ] {
            assert!(!asked(host, origin), "{host:?} {origin:?}");
        }
    }
}
