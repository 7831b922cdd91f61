//! Descriptions are made beside the link's task, because gathering candidates takes a while.

use meshproof_proto::id::{Digest, Generation};
use meshproof_proto::limits;
use meshproof_proto::signal::ConnectionKind;
use tokio::sync::mpsc;

use crate::carrier::channels;
use crate::context::Context;
use crate::rtc::{Connection, RtcConfig, RtcError};

/// A description that was made, or why not.
#[derive(Debug)]
pub(super) struct Made {
    pub kind: ConnectionKind,
    pub generation: Generation,
    pub what: Result<Description, RtcError>,
}

#[derive(Debug)]
pub(super) enum Description {
    Offer { connection: Connection, sdp: String },
    Answer { connection: Connection, offer: Digest, sdp: String },
}

/// Makes an offer, or the answer to one.
pub(super) fn make(
    context: &std::sync::Arc<Context>,
    (kind, generation): (ConnectionKind, Generation),
    offer: Option<String>,
    made: mpsc::Sender<Made>,
) {
    let shared = std::sync::Arc::clone(context);
    context.tasks.spawn(async move {
        let channels = channels(kind);
        let rtc = settings(&shared.rtc, kind);
        let what = match offer {
            None => {
                Connection::offer(&rtc, &channels).await.map(|(connection, sdp)| Description::Offer { connection, sdp })
            }
            Some(offer) => Connection::answer(&rtc, &channels, &offer)
                .await
                .map(|(connection, sdp)| Description::Answer { connection, offer: Digest::of(offer.as_bytes()), sdp }),
        };
        if let Err(unwanted) = made.send(Made { kind, generation, what }).await {
            close(unwanted.0).await;
        }
    });
}

/// Stripes are made for long paths, where more has to be on its way.
fn settings(usual: &RtcConfig, kind: ConnectionKind) -> RtcConfig {
    match kind {
        ConnectionKind::Control | ConnectionKind::Bulk(0) => usual.clone(),
        ConnectionKind::Bulk(_) => {
            let send_buffer = usual.send_buffer.or(Some(limits::STRIPE_SEND_BYTES));
            RtcConfig { send_buffer, ..usual.clone() }
        }
    }
}

/// Closes a connection that came too late to be wanted.
pub(super) async fn close(made: Made) {
    if let Ok(Description::Offer { connection, .. } | Description::Answer { connection, .. }) = made.what {
        connection.close().await;
    }
}
