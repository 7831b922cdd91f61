//! The shop's HTTP side: `GET /healthz`, `POST /orders`, `GET /orders/{id}`.

use std::error::Error;
use std::sync::Arc;

use serde_json::json;

use super::fulfil::{Fulfilment, Partners};
use super::orders::{Orders, Wanted};
use super::payments::Payments;
use crate::http_server::{self, Request, Response};
use crate::{net, settings};

/// Serves until it cannot, as `PORT`, `PAYMENTS_URL` and `LEDGER` say; returns why.
pub fn run() -> Box<dyn Error> {
    serve().unwrap_or_else(|error| error)
}

fn serve() -> Result<Box<dyn Error>, Box<dyn Error>> {
    let port = settings::port("PORT")?;
    let payments = Payments::new(settings::http_url("PAYMENTS_URL")?);
    let ledger = settings::address("LEDGER")?;
    let orders = Arc::new(Orders::default());
    let fulfilment = Fulfilment::new(Arc::clone(&orders), Partners { payments, ledger });
    let listener = net::listen(port)?;
    Ok(http_server::serve(&listener, move |request| answer(request, &orders, &fulfilment)).into())
}

fn answer(request: &Request, orders: &Orders, fulfilment: &Fulfilment) -> Response {
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/healthz") => Response::new(200, json!({ "status": "ok" })),
        ("POST", "/orders") => take(request, fulfilment),
        ("GET", path) => match path.strip_prefix("/orders/") {
            Some(id) => show(id, orders),
            None => Response::error(404, "no such page"),
        },
        (_, "/healthz" | "/orders") => Response::error(405, "no such method here"),
        _ => Response::error(404, "no such page"),
    }
}

fn take(request: &Request, fulfilment: &Fulfilment) -> Response {
    let wanted = match Wanted::from_json(&request.body) {
        Ok(wanted) => wanted,
        Err(error) => return Response::error(400, error),
    };
    match fulfilment.begin(wanted) {
        Some(id) => Response::new(202, json!({ "id": id, "state": "pending" })),
        None => Response::error(503, "too many orders at once"),
    }
}

fn show(id: &str, orders: &Orders) -> Response {
    match orders.get(id) {
        Some(state) => Response::new(200, json!({ "id": id, "state": state.name() })),
        None => Response::error(404, "no such order"),
    }
}
