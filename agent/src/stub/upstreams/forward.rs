//! A call that goes on to somebody else. Its answer comes back as it is, while it comes.

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderName};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use meshproof_proto::order::Target;

use crate::action::connect::connect;
use crate::action::{CallError, ErrorKind, Phases};
use crate::permits::Permits;
use crate::stub::server::Calls;

pub(in crate::stub) type Answer = Response<Incoming>;

/// What is about one connection and not about the call.
const OF_THE_CONNECTION: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Asks the target. The connection lives as long as the answer is taken, and no longer than the stub.
pub(in crate::stub) async fn forward(
    target: &Target,
    mut request: Request<Full<Bytes>>,
    (permits, calls): (&Permits, &Calls),
) -> Result<Answer, CallError> {
    if request.headers().contains_key(header::UPGRADE) {
        let message = "unsupported: another protocol (`Upgrade`) in a call that goes on to somebody else";
        return Err(CallError::new(ErrorKind::Protocol, message));
    }
    strip(request.headers_mut());
    let stream = connect(target, &[b"http/1.1"], permits, &mut Phases::default()).await?;
    let broken = |error: hyper::Error| crate::action::http::broken(target, &error);
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(broken)?;
    calls.spawn(async move {
        let _ = connection.await;
    });
    let mut answer = sender.send_request(request).await.map_err(broken)?;
    strip(answer.headers_mut());
    Ok(answer)
}

fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&OF_THE_CONNECTION) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_about_the_connection_stays_there() {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("connection", "close, x-hop"), ("x-hop", "1"), ("proxy-connection", "keep-alive"), ("x-call", "2")]
        {
            headers.append(name, value.parse().expect("a value"));
        }
        strip(&mut headers);
        assert_eq!(headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["x-call"]);
    }
}
