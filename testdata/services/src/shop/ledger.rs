//! Telling the ledger: `POST <order>` until it says `OK`.
//!
//! A line whose answer stays away may have arrived or not, so it is sent again; the ledger takes an order once.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::time::Instant;

use crate::facts::{say, took_ms};
use crate::{limits, net};

/// Why an order is not in the ledger.
#[derive(Debug)]
pub enum NotPosted {
    /// The ledger's own words.
    Refused(String),
    /// It could not be reached for as long as an order waits.
    Unreachable,
}

impl fmt::Display for NotPosted {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(answer) => write!(out, "the ledger answered {answer}"),
            Self::Unreachable => write!(out, "the ledger is out of reach"),
        }
    }
}

/// Posts the order to the ledger at `address`; connections, failures and the end are logged.
pub fn post(address: &str, order: &str) -> Result<(), NotPosted> {
    let start = Instant::now();
    let mut attempt = 1;
    while start.elapsed() < limits::LEDGER_PATIENCE {
        say(format_args!("ledger connect order={order} attempt={attempt}"));
        match exchange(address, &format!("POST {order}\n")) {
            Ok(answer) if answer.starts_with("OK ") => {
                say(format_args!("ledger posted order={order} took_ms={} attempts={attempt}", took_ms(start)));
                return Ok(());
            }
            Ok(answer) => return Err(NotPosted::Refused(answer)),
            Err(error) => say(format_args!(
                "ledger silent order={order} attempt={attempt} error={:?} took_ms={}",
                error.to_string(),
                took_ms(start)
            )),
        }
        net::pause(limits::LEDGER_PAUSE);
        attempt += 1;
    }
    Err(NotPosted::Unreachable)
}

fn exchange(address: &str, line: &str) -> io::Result<String> {
    let mut stream = net::connect(address, limits::LEDGER_ANSWER)?;
    stream.write_all(line.as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream.take(limits::LINE_BYTES)).read_line(&mut answer)?;
    if !answer.ends_with('\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(answer.trim_end().to_owned())
}
