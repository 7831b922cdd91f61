//! Descriptions are made beside the link's task, because gathering candidates takes a while.

use std::sync::Arc;

use meshproof_proto::id::{Digest, Generation};
use meshproof_proto::limits;
use meshproof_proto::signal::{ConnectionKind, Route};
use tokio::sync::mpsc;

use crate::carrier::channels;
use crate::context::Context;
use crate::rtc::{Carriage, Connection, RtcConfig, RtcError};

/// A description that was made, or why not.
#[derive(Debug)]
pub(super) struct Made {
    pub kind: ConnectionKind,
    pub generation: Generation,
    pub route: Route,
    pub what: Result<Description, RtcError>,
}

#[derive(Debug)]
pub(super) enum Description {
    Offer { connection: Connection, sdp: String },
    Answer { connection: Connection, offer: Digest, sdp: String },
}

/// What is to be made.
#[derive(Debug)]
pub(super) struct Order {
    pub kind: ConnectionKind,
    pub generation: Generation,
    pub route: Route,
    pub carriage: Carriage,
    /// The offer that is answered; none to make one.
    pub offer: Option<String>,
}

/// Makes an offer, or the answer to one.
pub(super) fn make(context: &Arc<Context>, order: Order, made: mpsc::Sender<Made>) {
    let Order { kind, generation, route, carriage, offer } = order;
    let (channels, rtc) = (channels(kind), settings(context.rtc(), kind));
    context.tasks.spawn(async move {
        let what = match offer {
            None => Connection::offer_over(carriage, &rtc, &channels)
                .await
                .map(|(connection, sdp)| Description::Offer { connection, sdp }),
            Some(offer) => Connection::answer_over(carriage, &rtc, &channels, &offer)
                .await
                .map(|(connection, sdp)| Description::Answer { connection, offer: Digest::of(offer.as_bytes()), sdp }),
        };
        if let Err(unwanted) = made.send(Made { kind, generation, route, what }).await {
            close(unwanted.0).await;
        }
    });
}

/// Stripes are made for long paths, where more has to be on its way.
fn settings(usual: RtcConfig, kind: ConnectionKind) -> RtcConfig {
    match kind {
        ConnectionKind::Control | ConnectionKind::Bulk(0) => usual,
        ConnectionKind::Bulk(_) => {
            let send_buffer = usual.send_buffer.or(Some(limits::STRIPE_SEND_BYTES));
            RtcConfig { send_buffer, ..usual }
        }
    }
}

/// Closes a connection that came too late to be wanted.
pub(super) async fn close(made: Made) {
    if let Ok(Description::Offer { connection, .. } | Description::Answer { connection, .. }) = made.what {
        connection.close().await;
    }
}
