//! What every request has to show, and what every answer says to the browser.
//!
//! A page of another site may have the browser ask this server too, also by a name that leads to this machine. So a request is answered
//! only if it names this machine as its host as nobody but this machine is named (`localhost`, a loopback address), and comes from the page
//! of that very host and port, or from nobody's. The port may be another one than that which is served: `ssh -L` brings one here by any.

use std::net::{IpAddr, Ipv6Addr};

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
pub(super) fn refusal<T>(request: &Request<T>) -> Option<Response> {
    match check(request.headers()) {
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

fn check(headers: &HeaderMap) -> Result<(), &'static str> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let Some(host) = host.filter(|host| is_this_machine(host)) else {
        return Err(
            "this server is not of that name; open the URL that `meshproof web` printed, of 127.0.0.1 or localhost and any port that leads here",
        );
    };
    match headers.get(header::ORIGIN) {
        None => Ok(()),
        Some(origin) if *origin == format!("http://{host}") => Ok(()),
        Some(_) => Err("a page of another site asks; open the URL that `meshproof web` printed"),
    }
}

/// Whether this host, with or without a port, is a name that leads to this machine wherever it is looked up.
fn is_this_machine(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() => name,
        Some(_) | None => host,
    };
    let in_brackets = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    match in_brackets {
        Some(address) => address.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback()),
        None => {
            name == "localhost"
                || name.parse::<IpAddr>().is_ok_and(|address| address.is_ipv4() && address.is_loopback())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_by_another_name_or_from_another_page_is_refused() {
        let asked = |host: Option<&str>, origin: Option<&str>| {
            let mut headers = HeaderMap::new();
            for (name, value) in [(header::HOST, host), (header::ORIGIN, origin)] {
                value.map(|value| headers.insert(name, value.parse().expect("a value")));
            }
            check(&headers).is_ok()
        };
        // also by the port at the near end of an `ssh -L`
        for host in ["127.0.0.1:4000", "localhost:4000", "localhost:9000", "[::1]:9000", "127.0.0.1", "localhost"] {
            assert!(asked(Some(host), None) && asked(Some(host), Some(&format!("http://{host}"))), "{host}");
        }
        for (host, origin) in [
            (None, None),
            (Some(""), None),
            (Some(":4000"), None),
            (Some("evil.example:4000"), None),
            (Some("evil.example"), None),
            (Some("localhost.evil.example:4000"), None),
            (Some("127.0.0.1.evil.example:4000"), None),
            (Some("127.0.0.1@evil.example:4000"), None),
            (Some("10.0.0.7:4000"), None),
            (Some("0.0.0.0:4000"), None),
            (Some("[::]:4000"), None),
            (Some("127.0.0.1:4000"), Some("http://evil.example")),
            (Some("127.0.0.1:4000"), Some("null")),
            (Some("127.0.0.1:4000"), Some("https://127.0.0.1:4000")),
            // the same machine, but not the page that was opened
            (Some("127.0.0.1:4000"), Some("http://localhost:4000")),
            (Some("127.0.0.1:4000"), Some("http://127.0.0.1:4001")),
        ] {
            assert!(!asked(host, origin), "{host:?} {origin:?}");
        }
    }
}
