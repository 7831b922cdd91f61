//! What the shop knows: its orders and how far each has come.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::limits;

/// Cents for one piece of anything; the shop has one price.
const PRICE: u64 = 1250;
/// Pieces in one order.
const MOST_PIECES: u64 = 1000;

/// What a customer asks for.
#[derive(Debug)]
pub struct Wanted {
    pub sku: String,
    pub quantity: u64,
    pub card: String,
}

/// How far an order has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Pending,
    Charged,
    Posted,
    Failed,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Charged => "charged",
            Self::Posted => "posted",
            Self::Failed => "failed",
        }
    }
}

impl Wanted {
    /// Reads `{sku, quantity, card}`; the error is for the customer.
    pub fn from_json(body: &[u8]) -> Result<Self, &'static str> {
        let body: Value = serde_json::from_slice(body).map_err(|_| "the body is not JSON")?;
        let word = |key: &str| {
            let text = body.get(key)?.as_str()?;
            let usable = !text.is_empty() && text.len() <= 64 && text.chars().all(|c| c.is_ascii_graphic());
            usable.then(|| text.to_owned())
        };
        let quantity = body.get("quantity").and_then(Value::as_u64);
        Ok(Self {
            sku: word("sku").ok_or("sku must be a word of at most 64 letters")?,
            quantity: quantity
                .filter(|count| (1..=MOST_PIECES).contains(count))
                .ok_or("quantity must be a whole number from 1 to 1000")?,
            card: word("card").ok_or("card must be a word of at most 64 letters")?,
        })
    }

    /// In cents.
    pub fn amount(&self) -> u64 {
        self.quantity * PRICE
    }
}

/// All orders of this life of the shop, by id.
#[derive(Debug, Default)]
pub struct Orders {
    states: Mutex<HashMap<String, State>>,
}

impl Orders {
    /// Gives a new order its id, or `None` when the shop is full.
    pub fn open(&self) -> Option<String> {
        let mut states = self.lock();
        if states.len() >= limits::ORDERS {
            return None;
        }
        let id = format!("o-{}", states.len() + 1);
        states.insert(id.clone(), State::Pending);
        Some(id)
    }

    pub fn set(&self, id: &str, state: State) {
        self.lock().insert(id.to_owned(), state);
    }

    pub fn get(&self, id: &str) -> Option<State> {
        self.lock().get(id).copied()
    }

    /// A thread that died while it held the lock left a whole map behind: each change is one call.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, State>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
