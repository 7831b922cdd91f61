//! The signed hello: nothing else is accepted before both sides proved their keys over this very DTLS session.

use meshproof_proto::frame::{BulkFrame, ControlFrame, MAIN_CHANNEL};
use meshproof_proto::hello::{Hello, Party, Transcript};
use meshproof_proto::identity::TrustError;
use meshproof_proto::signal::ConnectionKind;
use meshproof_proto::version::{Incompatible, Version};
use thiserror::Error;

use super::{Outgoing, Purpose};
use crate::rtc::{Connection, RtcEvent};

/// Why the hello failed.
#[derive(Debug, Error)]
pub(super) enum HelloError {
    #[error("the connection ended during the hello: {0}")]
    Ended(String),
    #[error("the peer refused: {0}")]
    Refused(String),
    #[error("something other than a hello came first")]
    Unexpected,
    #[error("the peer showed no certificate")]
    NoCertificate,
    #[error("another peer answered than the one that was meant")]
    OtherPeer,
    #[error(transparent)]
    Trust(#[from] TrustError),
    #[error(transparent)]
    Incompatible(#[from] Incompatible),
}

impl HelloError {
    /// The peer is refused by us and does not know yet.
    pub(super) fn is_ours(&self) -> bool {
        match self {
            Self::Ended(_) | Self::Refused(_) => false,
            Self::Unexpected | Self::NoCertificate | Self::OtherPeer | Self::Trust(_) | Self::Incompatible(_) => true,
        }
    }
}

/// Runs the hello to its end; gives the version that both speak.
pub(super) async fn shake(connection: &mut Connection, purpose: &Purpose) -> Result<Version, HelloError> {
    opened(connection).await?;
    let context = &purpose.context;
    let nonce = context.random();
    let protocol = context.protocol;
    send(connection, purpose, Word::Hello(Hello { protocol, chain: context.chain.clone(), nonce })).await?;
    let Word::Hello(hello) = receive(connection, purpose).await? else { return Err(HelloError::Unexpected) };
    protocol.check(hello.protocol)?;
    let identity = context.check(&hello.chain)?;
    if identity.peer != purpose.peer.peer {
        return Err(HelloError::OtherPeer);
    }
    let presented = connection.remote_fingerprint().await.ok_or(HelloError::NoCertificate)?;
    let ours = Transcript {
        signer: Party { peer: context.me, nonce, certificate: connection.local_fingerprint() },
        other: Party { peer: identity.peer, nonce: hello.nonce, certificate: presented },
        kind: purpose.kind,
        generation: purpose.generation,
    };
    send(connection, purpose, Word::Proof(ours.prove(&context.key))).await?;
    let Word::Proof(proof) = receive(connection, purpose).await? else { return Err(HelloError::Unexpected) };
    ours.mirrored().verify(&proof)?;
    Ok(protocol.min(hello.protocol))
}

/// The words of the hello, the same on both kinds of connection.
enum Word {
    Hello(Hello),
    Proof(Vec<u8>),
}

async fn opened(connection: &mut Connection) -> Result<(), HelloError> {
    match connection.next_event().await {
        Some(RtcEvent::Open) => Ok(()),
        Some(RtcEvent::Failed(reason)) => Err(HelloError::Ended(reason)),
        Some(RtcEvent::Message(_)) => Err(HelloError::Unexpected),
        Some(RtcEvent::Closed) | None => Err(HelloError::Ended("closed".to_owned())),
    }
}

async fn send(connection: &Connection, purpose: &Purpose, word: Word) -> Result<(), HelloError> {
    let out = match (purpose.kind, word) {
        (ConnectionKind::Control, Word::Hello(hello)) => {
            Outgoing::new(purpose.codec, MAIN_CHANNEL, &ControlFrame::Hello(Box::new(hello)))
        }
        (ConnectionKind::Control, Word::Proof(proof)) => {
            Outgoing::new(purpose.codec, MAIN_CHANNEL, &ControlFrame::Proof(proof))
        }
        (ConnectionKind::Bulk(_), Word::Hello(hello)) => {
            Outgoing::new(purpose.codec, MAIN_CHANNEL, &BulkFrame::Hello(Box::new(hello)))
        }
        (ConnectionKind::Bulk(_), Word::Proof(proof)) => {
            Outgoing::new(purpose.codec, MAIN_CHANNEL, &BulkFrame::Proof(proof))
        }
    };
    let out = out.ok_or(HelloError::Unexpected)?;
    connection.sender().send(out.channel, out.bytes).await.map_err(|error| HelloError::Ended(error.to_string()))
}

async fn receive(connection: &mut Connection, purpose: &Purpose) -> Result<Word, HelloError> {
    let message = match connection.next_event().await {
        Some(RtcEvent::Message(message)) if message.channel == MAIN_CHANNEL => message,
        Some(RtcEvent::Message(_) | RtcEvent::Open) => return Err(HelloError::Unexpected),
        Some(RtcEvent::Failed(reason)) => return Err(HelloError::Ended(reason)),
        Some(RtcEvent::Closed) | None => return Err(HelloError::Ended("closed".to_owned())),
    };
    match purpose.kind {
        ConnectionKind::Control => match purpose.codec.decode(&message.bytes) {
            Ok(ControlFrame::Hello(hello)) => Ok(Word::Hello(*hello)),
            Ok(ControlFrame::Proof(proof)) => Ok(Word::Proof(proof)),
            Ok(ControlFrame::Refuse(reason)) => Err(HelloError::Refused(reason)),
            Ok(_) | Err(_) => Err(HelloError::Unexpected),
        },
        ConnectionKind::Bulk(_) => match purpose.codec.decode(&message.bytes) {
            Ok(BulkFrame::Hello(hello)) => Ok(Word::Hello(*hello)),
            Ok(BulkFrame::Proof(proof)) => Ok(Word::Proof(proof)),
            Ok(BulkFrame::Refuse(reason)) => Err(HelloError::Refused(reason)),
            Ok(_) | Err(_) => Err(HelloError::Unexpected),
        },
    }
}
