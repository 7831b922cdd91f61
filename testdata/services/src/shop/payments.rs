//! Charging a card: the provider is slow and flaky, so an answer from 500 up is worth another attempt.

use std::fmt;
use std::io;
use std::time::Instant;

use serde_json::json;

use super::orders::Wanted;
use crate::facts::{say, took_ms};
use crate::http_client::{self, Target};
use crate::{limits, net};

/// The payment provider, as `PAYMENTS_URL` names it.
#[derive(Debug)]
pub struct Payments {
    /// `host:port`.
    address: String,
    /// The path of the charges there.
    path: String,
}

/// Why a card was not charged.
#[derive(Debug)]
pub enum NotCharged {
    /// The provider said no, with this status.
    Declined(u16),
    /// No attempt brought an answer that counts.
    Unavailable,
}

impl fmt::Display for NotCharged {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Declined(status) => write!(out, "the charge was declined with {status}"),
            Self::Unavailable => write!(out, "the payment provider is unavailable"),
        }
    }
}

enum Answer {
    Paid,
    Declined(u16),
    TryAgain,
}

impl Payments {
    pub fn new((address, base): (String, String)) -> Self {
        Self { address, path: format!("{base}/v1/charges") }
    }

    /// Charges the order; every attempt is logged.
    pub fn charge(&self, order: &str, wanted: &Wanted) -> Result<(), NotCharged> {
        for attempt in 1..=limits::CHARGE_ATTEMPTS {
            if attempt > 1 {
                net::pause(limits::CHARGE_PAUSE * (attempt - 1));
            }
            let start = Instant::now();
            let status = self.attempt(order, wanted);
            match &status {
                Ok(status) => say(format_args!(
                    "charge order={order} attempt={attempt} status={status} took_ms={}",
                    took_ms(start)
                )),
                Err(error) => say(format_args!(
                    "charge order={order} attempt={attempt} error={:?} took_ms={}",
                    error.to_string(),
                    took_ms(start)
                )),
            }
            match judge(&status) {
                Answer::Paid => return Ok(()),
                Answer::Declined(status) => return Err(NotCharged::Declined(status)),
                Answer::TryAgain => {}
            }
        }
        Err(NotCharged::Unavailable)
    }

    fn attempt(&self, order: &str, wanted: &Wanted) -> io::Result<u16> {
        let charge = json!({ "order": order, "card": wanted.card, "amount": wanted.amount() });
        let target = Target { address: &self.address, path: &self.path };
        http_client::post(&target, &charge, limits::CHARGE_ANSWER)
    }
}

fn judge(status: &io::Result<u16>) -> Answer {
    match *status {
        Ok(200..=299) => Answer::Paid,
        Ok(status @ ..=499) => Answer::Declined(status),
        Ok(500..) | Err(_) => Answer::TryAgain,
    }
}
