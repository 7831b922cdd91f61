//! An order's way after the customer has been answered: charge, then post, in a thread of its own.

use std::fmt::Display;
use std::sync::Arc;
use std::thread;

use super::ledger;
use super::orders::{Orders, State, Wanted};
use super::payments::Payments;
use crate::facts::say;
use crate::limits;
use crate::slots::Slots;

/// Takes orders from pending to posted or failed.
#[derive(Debug)]
pub struct Fulfilment {
    orders: Arc<Orders>,
    partners: Arc<Partners>,
    slots: Slots,
}

/// Whom the shop depends on.
#[derive(Debug)]
pub struct Partners {
    pub payments: Payments,
    /// `host:port` of the ledger.
    pub ledger: String,
}

impl Fulfilment {
    pub fn new(orders: Arc<Orders>, partners: Partners) -> Self {
        Self { orders, partners: Arc::new(partners), slots: Slots::new(limits::ORDERS_IN_FLIGHT) }
    }

    /// Opens the order and returns its id at once; `None` when the shop has too much to do.
    pub fn begin(&self, wanted: Wanted) -> Option<String> {
        let slot = self.slots.take()?;
        let order = self.orders.open()?;
        say(format_args!("order accepted order={order} sku={} quantity={}", wanted.sku, wanted.quantity));
        let (orders, partners, id) = (Arc::clone(&self.orders), Arc::clone(&self.partners), order.clone());
        thread::spawn(move || {
            fulfil(&orders, &partners, (&id, &wanted));
            drop(slot);
        });
        Some(order)
    }
}

fn fulfil(orders: &Orders, partners: &Partners, (order, wanted): (&str, &Wanted)) {
    let fail = |reason: &dyn Display| {
        let reason = reason.to_string();
        orders.set(order, State::Failed);
        say(format_args!("order failed order={order} reason={reason:?}"));
    };
    if let Err(reason) = partners.payments.charge(order, wanted) {
        return fail(&reason);
    }
    orders.set(order, State::Charged);
    match ledger::post(&partners.ledger, order) {
        Ok(()) => orders.set(order, State::Posted),
        Err(reason) => fail(&reason),
    }
}
