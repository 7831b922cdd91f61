//! The HTTP client of a collector, which remembers why it was not answered: the exporter around it says "network error" of everything.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};

/// Why the last request came to nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Why(Arc<Mutex<Option<String>>>);

impl Why {
    /// What was said last, of a request after the one that was asked about before.
    pub(super) fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn set(&self, error: &(dyn Error + 'static)) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(innermost(error));
    }
}

/// What lies below all that was wrapped around it: `Connection refused (os error 111)`.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// A client that says why.
#[derive(Debug)]
pub(super) struct Heard<C> {
    pub(super) client: C,
    pub(super) why: Why,
}

#[async_trait]
impl<C: HttpClient> HttpClient for Heard<C> {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answered = self.client.send_bytes(request).await;
        if let Err(error) = &answered {
            self.why.set(error.as_ref());
        }
        answered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_was_wrapped_the_innermost_is_told() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let wrapped = std::io::Error::other(std::io::Error::other(refused));
        assert_eq!(innermost(&wrapped), "connection refused");
    }
}
