//! HTTP/1.1 requests in a stream of bytes, found by their frames. Pure.
//!
//! It may begin to look in the middle of a connection: what does not begin like a request passes as it is, and the next bytes are
//! looked at again. So the rest of an upload passes, and so does whatever is no HTTP.

use crate::limits;

const METHODS: &[&[u8]] =
    &[b"GET ", b"HEAD ", b"POST ", b"PUT ", b"PATCH ", b"DELETE ", b"OPTIONS ", b"TRACE ", b"CONNECT "];

/// Where in a stream of requests we are.
#[derive(Debug, Default)]
pub(super) struct Requests {
    head: Vec<u8>,
    /// What is left of the body of the last request. One in chunks, or another protocol, counts as none: where it ends shows in what
    /// begins like a request.
    body: u64,
}

/// What the bytes are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Bytes(Vec<u8>),
    /// The head of a request, to go on or to be answered.
    Head(Vec<u8>),
}

impl Requests {
    /// Bytes came. What is not given back yet is the beginning of a head.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Vec<Found> {
        let mut found = Vec::new();
        let mut left = bytes;
        while !left.is_empty() {
            left = self.step(left, &mut found);
        }
        found
    }

    pub(super) fn is_empty(&self) -> bool {
        self.head.is_empty()
    }

    /// What waits for the rest of a head, as it is. The next bytes are looked at as the first ones are.
    pub(super) fn give_up(&mut self) -> Vec<u8> {
        std::mem::take(self).head
    }

    fn step<'b>(&mut self, bytes: &'b [u8], found: &mut Vec<Found>) -> &'b [u8] {
        if self.body > 0 {
            let (body, rest) = bytes.split_at(usize::try_from(self.body).unwrap_or(usize::MAX).min(bytes.len()));
            self.body -= body.len() as u64;
            found.push(Found::Bytes(body.to_vec()));
            return rest;
        }
        if self.head.is_empty() && !begins_request(bytes) {
            found.push(Found::Bytes(bytes.to_vec()));
            return &[];
        }
        let before = self.head.len();
        self.head.extend_from_slice(bytes);
        let Some(end) = end_of_head(&self.head) else {
            if self.head.len() > limits::REQUEST_HEAD_BYTES || !begins_request(&self.head) {
                found.push(Found::Bytes(self.give_up()));
            }
            return &[];
        };
        self.head.truncate(end);
        let head = std::mem::take(&mut self.head);
        self.body = body_of(&head);
        found.push(Found::Head(head));
        &bytes[end - before..]
    }
}

/// Whether it is the beginning of a request, or may become one.
fn begins_request(bytes: &[u8]) -> bool {
    METHODS.iter().any(|method| {
        let length = method.len().min(bytes.len());
        bytes[..length] == method[..length]
    })
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

fn body_of(head: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(head);
    let fields = text.lines().skip(1).filter_map(|line| line.split_once(':'));
    let mut body = 0;
    for (name, value) in fields {
        match name.to_ascii_lowercase().as_str() {
            "content-length" => body = value.trim().parse().unwrap_or_default(),
            "transfer-encoding" | "upgrade" => return 0,
            _ => {}
        }
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Found {
        Found::Head(text.as_bytes().to_vec())
    }

    fn bytes(text: &str) -> Found {
        Found::Bytes(text.as_bytes().to_vec())
    }

    const POST: &str = "POST /orders HTTP/1.1\r\nHost: shop\r\nContent-Length: 5\r\n\r\n";
    const GET: &str = "GET / HTTP/1.1\r\nHost: shop\r\n\r\n";

    #[test]
    fn requests_are_told_from_their_bodies_wherever_the_bytes_are_cut() {
        let all = format!("{POST}GET /{GET}");
        for cut in 0..all.len() {
            let mut requests = Requests::default();
            let mut found = requests.take(&all.as_bytes()[..cut]);
            found.extend(requests.take(&all.as_bytes()[cut..]));
            let heads: Vec<&Found> = found.iter().filter(|found| matches!(found, Found::Head(_))).collect();
            assert_eq!(heads, [&head(POST), &head(GET)], "cut at {cut}");
            let flat: Vec<u8> =
                found.into_iter().flat_map(|(Found::Bytes(bytes) | Found::Head(bytes))| bytes).collect();
            assert_eq!(flat, all.as_bytes(), "cut at {cut}");
        }
    }

    #[test]
    fn what_is_no_request_passes_at_once_and_a_request_after_it_is_found() {
        let mut requests = Requests::default();
        assert_eq!(requests.take(b"rest of an upload"), [bytes("rest of an upload")]);
        assert_eq!(requests.take(b"*1\r\n$4\r\nPING\r\n"), [bytes("*1\r\n$4\r\nPING\r\n")]);
        assert_eq!(requests.take(b"PO"), []);
        assert_eq!(requests.take(b"NG"), [bytes("PONG")]);
        assert_eq!(requests.take(GET.as_bytes()), [head(GET)]);
        assert_eq!(requests.take(b"GE"), []);
        assert_eq!(requests.give_up(), b"GE");
    }

    #[test]
    fn what_was_given_up_takes_no_later_request_for_its_body() {
        let mut requests = Requests::default();
        assert_eq!(requests.take(POST.as_bytes()), [head(POST)]);
        assert_eq!(requests.take(b"ab"), [bytes("ab")]);
        assert_eq!(requests.give_up(), b"");
        assert_eq!(requests.take(GET.as_bytes()), [head(GET)]);
    }

    #[test]
    fn a_head_without_end_passes_when_it_is_too_long() {
        let mut requests = Requests::default();
        let long = format!("GET /{}", "x".repeat(limits::REQUEST_HEAD_BYTES));
        assert_eq!(requests.take(long.as_bytes()), [bytes(&long)]);
    }
}
