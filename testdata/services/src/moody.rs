//! A service that does on request what services should not: it answers well, and later complains, ends, is ill, or has not finished.
//!
//! `GET /healthz` is 200, or 503 while it is ill. `POST /later` answers 202 and then, `after_ms` later, writes the line `say` to
//! stderr and ends with the code `exit`, as far as they are given. `POST /ill` makes it ill for `for_ms`, `POST /work` has it write a
//! line to stdout every 100 ms for `for_ms`, and `POST /count` answers how often it was asked. `GET /feed` breaks half-way.

use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::facts::say;
use crate::http_server::{self, Request, Response};
use crate::{net, settings};

/// Between two lines of work.
const STROKE: Duration = Duration::from_millis(100);

/// Serves for ever; gives the reason why not.
pub fn run() -> Box<dyn Display> {
    let listener = match settings::port("PORT") {
        Ok(port) => net::listen(port),
        Err(error) => return Box::new(error),
    };
    let mood = Arc::new(Mood::default());
    match listener {
        Ok(listener) => Box::new(http_server::serve(&listener, move |request| mood.answer(request))),
        Err(error) => Box::new(error),
    }
}

#[derive(Default)]
struct Mood {
    ill_until: Mutex<Option<Instant>>,
    asked: AtomicU64,
}

impl Mood {
    fn answer(&self, request: &Request) -> Response {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let ms = |key: &str| Duration::from_millis(body[key].as_u64().unwrap_or_default());
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/healthz") if self.is_ill() => Response::error(503, "ill"),
            ("GET", "/healthz") => Response::new(200, json!({ "well": true })),
            ("POST", "/later") => {
                let (line, exit) = (body["say"].as_str().map(str::to_owned), body["exit"].as_i64());
                later(ms("after_ms"), line, exit);
                Response::new(202, json!({ "state": "accepted" }))
            }
            ("POST", "/ill") => {
                let until = Instant::now() + ms("for_ms");
                *self.ill_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
                Response::new(202, json!({ "state": "ill" }))
            }
            ("POST", "/work") => {
                work(ms("for_ms"));
                Response::new(202, json!({ "state": "working" }))
            }
            ("GET", "/feed") => {
                eprintln!("the feed broke half-way");
                let body = Value::from("x".repeat(10_000));
                Response { cut: Some(5_000), ..Response::new(200, body) }
            }
            ("POST", "/count") => {
                Response::new(200, json!({ "count": self.asked.fetch_add(1, Ordering::Relaxed) + 1 }))
            }
            _ => Response::error(404, "not found"),
        }
    }

    fn is_ill(&self) -> bool {
        let until = *self.ill_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }
}

fn later(after: Duration, line: Option<String>, exit: Option<i64>) {
    thread::spawn(move || {
        net::pause(after);
        if let Some(line) = line {
            eprintln!("{line}");
        }
        if let Some(code) = exit {
            std::process::exit(i32::try_from(code).unwrap_or(1));
        }
    });
}

fn work(during: Duration) {
    let end = Instant::now() + during;
    thread::spawn(move || {
        for stroke in 1.. {
            if Instant::now() >= end {
                return;
            }
            say(format_args!("worked stroke={stroke}"));
            net::pause(STROKE);
        }
    });
}
