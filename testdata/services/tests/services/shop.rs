use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use serde_json::{Value, json};

use crate::support::{LEDGER, SHOP, Scratch, Service, http, stamp_ms, value};

const ORDER: &str = r#"{"sku": "A1", "quantity": 2, "card": "4242"}"#;

/// A payment provider that answers with the given statuses in turn and hands on the charges it saw.
fn payments(statuses: &'static [u16]) -> (String, Receiver<Value>) {
    let (charges, seen) = mpsc::channel();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let url = format!("http://{}/base/", listener.local_addr().expect("bound"));
    thread::spawn(move || {
        for (stream, status) in listener.incoming().map_while(Result::ok).zip(statuses) {
            charge(stream, *status, &charges);
        }
    });
    (url, seen)
}

fn charge(mut stream: TcpStream, status: u16, charges: &Sender<Value>) {
    let mut input = BufReader::new(stream.try_clone().expect("a handle is left"));
    let mut length = 0;
    for line in input.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()) {
        if let Some(text) = line.strip_prefix("content-length: ") {
            length = text.parse().expect("a number");
        }
        assert!(!line.starts_with("POST") || line == "POST /base/v1/charges HTTP/1.1", "{line}");
    }
    let mut body = vec![0; length];
    input.read_exact(&mut body).expect("the body follows");
    let _ = charges.send(serde_json::from_slice(&body).expect("JSON"));
    let _ = write!(stream, "HTTP/1.1 {status} x\r\ncontent-length: 2\r\n\r\n{{}}");
}

fn start(payments: &str, ledger: &str) -> Service {
    Service::start(SHOP, &[("PAYMENTS_URL", payments), ("LEDGER", ledger)])
}

#[test]
fn an_order_is_taken_at_once_charged_despite_two_503_and_posted_to_the_ledger() {
    let (url, charges) = payments(&[503, 503, 201]);
    let audit = Scratch::new("shop-audit");
    let ledger = Service::start(LEDGER, &[("AUDIT", audit.path())]);
    let shop = start(&url, &ledger.address);

    let (status, answer) = http(&shop.address, "POST", ("/orders", ORDER));
    assert_eq!((status, &answer), (202, &json!({ "id": "o-1", "state": "pending" })));

    for (attempt, status) in [(1, 503), (2, 503), (3, 201)] {
        let fact = shop.fact("charge order=o-1");
        assert_eq!(value(&fact, "attempt"), attempt.to_string());
        assert_eq!(value(&fact, "status"), status.to_string());
        let charge = charges.recv().expect("one a fact");
        assert_eq!(charge, json!({ "order": "o-1", "card": "4242", "amount": 2500 }));
    }
    let connect = shop.fact("ledger connect");
    let posted = shop.fact("ledger posted order=o-1");
    let took_ms: u128 = value(&posted, "took_ms").parse().expect("a number");
    assert!(stamp_ms(&posted) - stamp_ms(&connect) <= took_ms + 1, "{connect} {posted}");
    ledger.fact("first-post order=o-1");
}

#[test]
fn a_ledger_that_swallows_a_line_is_asked_again_and_takes_the_order_once() {
    let (url, _charges) = payments(&[201]);
    let black_hole = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let shop = start(&url, &black_hole.local_addr().expect("bound").to_string());
    http(&shop.address, "POST", ("/orders", ORDER));

    let (silent, _) = black_hole.accept().expect("the shop connects");
    let silence = shop.fact("ledger silent order=o-1 attempt=1");
    assert!(value(&silence, "took_ms").parse::<u128>().expect("a number") >= 1900, "{silence}");
    let (mut stream, _) = black_hole.accept().expect("the shop tries again");
    for attempt in [&silent, &stream] {
        let mut line = String::new();
        BufReader::new(attempt).read_line(&mut line).expect("a line");
        assert_eq!(line, "POST o-1\n");
    }
    stream.write_all(b"OK posted o-1\n").expect("the shop waits");
    assert_eq!(value(&shop.fact("ledger posted order=o-1"), "attempts"), "2");
}

#[test]
fn the_state_of_an_order_can_be_read() {
    let (url, _charges) = payments(&[402]);
    let shop = start(&url, "127.0.0.1:1");
    http(&shop.address, "POST", ("/orders", ORDER));
    shop.fact("order failed order=o-1");
    let (status, _) = http(&shop.address, "GET", ("/orders/o-2", ""));
    assert_eq!(status, 404);
    let (status, order) = http(&shop.address, "GET", ("/orders/o-1?verbose", ""));
    assert_eq!((status, order), (200, json!({ "id": "o-1", "state": "failed" })));
}

#[test]
fn a_request_that_is_wrong_is_refused_with_the_reason_as_json() {
    let shop = start("http://127.0.0.1:1", "127.0.0.1:1");
    let post = |body| http(&shop.address, "POST", ("/orders", body));
    let error = |text: &str| (400, json!({ "error": text }));
    assert_eq!(post("{"), error("the body is not JSON"));
    assert_eq!(post("{}"), error("sku must be a word of at most 64 letters"));
    assert_eq!(
        post(r#"{"sku": "A1", "quantity": 0, "card": "4242"}"#),
        error("quantity must be a whole number from 1 to 1000")
    );
    assert_eq!(
        post(r#"{"sku": "A1", "quantity": 1, "card": 4242}"#),
        error("card must be a word of at most 64 letters")
    );
    assert_eq!(http(&shop.address, "DELETE", ("/orders", "")).0, 405);
    assert_eq!(http(&shop.address, "GET", ("/", "")).0, 404);
    assert_eq!(http(&shop.address, "GET", ("/healthz", "")), (200, json!({ "status": "ok" })));
}

#[test]
fn a_connection_serves_several_requests() {
    let shop = start("http://127.0.0.1:1", "127.0.0.1:1");
    let mut stream = TcpStream::connect(&shop.address).expect("the shop listens");
    let request = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    stream.write_all(request.repeat(2).as_bytes()).expect("the shop reads");
    stream.write_all(request.replace("host: x", "connection: close").as_bytes()).expect("the shop reads");
    let mut answers = String::new();
    stream.read_to_string(&mut answers).expect("the shop closes after the third");
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 3);
}
