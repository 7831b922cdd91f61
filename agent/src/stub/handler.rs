//! A call that a function in the test's own process answers: asked over loopback, one connection a call.
//!
//! The end of what we send is the end of the call, so nothing has to say how long it is.

use meshproof_proto::codec::Codec;
use meshproof_proto::limits::RPC_FRAME_BYTES;
use meshproof_proto::order::Target;
use meshproof_proto::stub::{HandlerAnswer, HandlerCall};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::action::Phases;
use crate::action::connect::connect;
use crate::permits::Permits;

/// Why there is no answer.
pub(super) enum Unanswered {
    /// Larger than what is handed over.
    TooLarge,
    Broken(String),
}

pub(super) async fn ask(address: &str, call: &HandlerCall, permits: &Permits) -> Result<HandlerAnswer, Unanswered> {
    let bytes = Codec::Bincode.encode(call).map_err(|_| Unanswered::TooLarge)?;
    let broken = |error: std::io::Error| Unanswered::Broken(format!("the handler cannot be asked: {error}"));
    let target = Target::plain("the handler", address);
    let connected = connect(&target, &[], permits, &mut Phases::default()).await;
    let mut stream = connected.map_err(|error| Unanswered::Broken(error.message))?;
    stream.write_all(&bytes).await.map_err(broken)?;
    stream.shutdown().await.map_err(broken)?;
    let mut answer = Vec::new();
    stream.take(RPC_FRAME_BYTES as u64 + 1).read_to_end(&mut answer).await.map_err(broken)?;
    Codec::Bincode.decode(&answer).map_err(|error| Unanswered::Broken(format!("the handler's answer: {error}")))
}
