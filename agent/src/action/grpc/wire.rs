//! gRPC over HTTP/2: one exchange on a connection that stands.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, Request, Response};
use meshproof_proto::order::Target;

use super::super::answer::{CallError, ErrorKind};
use super::super::connect::named;
use super::super::http::broken;
use super::status;
use crate::limits;

/// Where the words of an ending stand.
pub(crate) const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// The flag and the length before each message.
const PREFIX: usize = 5;

/// What came back.
#[derive(Debug, Default)]
pub(super) struct Replied {
    pub code: &'static str,
    pub message: String,
    pub messages: Vec<Bytes>,
}

/// A connection to a server, and whose it is.
#[derive(Debug)]
pub(super) struct Server<'t> {
    pub target: &'t Target,
    pub sender: SendRequest<Full<Bytes>>,
}

/// Messages as they go over the wire.
pub(crate) fn framed(messages: &[Vec<u8>]) -> Bytes {
    let mut framed = BytesMut::new();
    for message in messages {
        framed.put_u8(0);
        framed.put_u32(u32::try_from(message.len()).expect("a plan's messages are far below 4 GiB"));
        framed.extend_from_slice(message);
    }
    framed.freeze()
}

impl Server<'_> {
    /// Sends all of it and takes everything that is answered.
    pub(super) async fn call(
        &mut self,
        path: &str,
        metadata: Vec<(HeaderName, HeaderValue)>,
        body: Bytes,
    ) -> Result<Replied, CallError> {
        let scheme = if self.target.tls.is_some() { "https" } else { "http" };
        let request = Request::post(format!("{scheme}://{}{path}", self.target.address))
            .header("te", "trailers")
            .header("content-type", "application/grpc")
            .header("user-agent", concat!("meshproof/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(body));
        let mut request = request.map_err(|error| CallError::new(ErrorKind::Order, format!("{path}: {error}")))?;
        request.headers_mut().extend(metadata);
        let ready = self.sender.ready().await;
        ready.map_err(|error| broken(self.target, &error))?;
        let response = self.sender.send_request(request).await.map_err(|error| broken(self.target, &error))?;
        self.take(response).await
    }

    async fn take(&self, response: Response<Incoming>) -> Result<Replied, CallError> {
        let status = response.status();
        let mut ending = response.headers().clone();
        let mut body = response.into_body();
        let mut bytes = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| broken(self.target, &error))?;
            match frame.into_data() {
                Ok(data) if bytes.len() + data.len() > limits::BODY_BYTES => {
                    let most = limits::BODY_BYTES / (1024 * 1024);
                    let message = format!("the answer of {} is longer than {most} MiB", self.target.label);
                    return Err(CallError::new(ErrorKind::TooLarge, message));
                }
                Ok(data) => bytes.extend_from_slice(&data),
                Err(frame) => ending.extend(frame.into_trailers().unwrap_or_default()),
            }
        }
        let Some(code) = text(&ending, "grpc-status") else {
            let message = format!("{} answered with status {status} and no grpc-status", named(self.target));
            return Err(CallError::new(ErrorKind::Protocol, message));
        };
        let message = text(&ending, "grpc-message").map(status::message).unwrap_or_default();
        let messages = messages(bytes.freeze())
            .map_err(|why| CallError::new(ErrorKind::Protocol, format!("{}: {why}", named(self.target))))?;
        Ok(Replied { code: status::word(code), message, messages })
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// The messages in a body.
pub(crate) fn messages(mut body: Bytes) -> Result<Vec<Bytes>, String> {
    let mut messages = Vec::new();
    while !body.is_empty() {
        if body.len() < PREFIX {
            return Err("a message ends before its length is said".to_owned());
        }
        let compressed = body.get_u8() != 0;
        let length = body.get_u32() as usize;
        if compressed {
            return Err("a message is compressed, which was not agreed to".to_owned());
        }
        if length > body.len() {
            return Err(format!("a message of {length} bytes ends after {}", body.len()));
        }
        messages.push(body.split_to(length));
    }
    Ok(messages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_as_they_went_in_and_what_is_cut_or_compressed_is_refused() {
        let sent = [b"one".to_vec(), Vec::new(), b"three".to_vec()];
        let whole = framed(&sent);
        assert_eq!(messages(whole.clone()), Ok(sent.iter().map(|sent| Bytes::from(sent.clone())).collect()));
        for cut in [whole.len() - 1, PREFIX + 1, 3] {
            assert!(messages(whole.slice(..cut)).is_err(), "{cut}");
        }
        assert!(messages(Bytes::from_static(&[1, 0, 0, 0, 0])).is_err());
    }
}
