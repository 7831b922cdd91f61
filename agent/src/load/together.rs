//! A load of several agents: who leads, and who helps.
//!
//! On the stream between them the helper says that it is ready, hears that it begins, and says what came of its part. Whoever sees the
//! stream end has nobody to make a load for.

use std::io;
use std::time::{Duration, Instant};

use futures::future::{try_join, try_join_all};
use meshproof_proto::codec::CodecError;
use meshproof_proto::event::StepResult;
use meshproof_proto::id::Name;
use meshproof_proto::order::{LoadAction, RecordStreamId, StepOrder};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::time::timeout;

use super::generator::{Under, make};
use super::judge;
use super::tally::Tally;
use crate::evidence::told;
use crate::limits;
use crate::records::frames::{self, invalid};
use crate::tunnel::Far;
use crate::wire::StreamHeader;

/// What a helper says.
#[derive(Debug, Serialize, Deserialize)]
enum Said {
    Ready,
    Made(Box<Tally>),
    /// Its part could not be made.
    Failed(String),
}

/// What a helper hears.
#[derive(Debug, Serialize, Deserialize)]
enum Heard {
    Begin,
}

/// An agent that makes a part, and the stream on which it waits.
#[derive(Debug)]
pub(crate) struct Helper {
    pub name: Name,
    pub far: Far,
    pub stream: RecordStreamId,
}

/// Why a load was not made.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("there is no link to the agent of `{0}`")]
    NoLink(Name),
    #[error("the agent of `{0}` stopped taking part: {1}")]
    Gone(Name, io::Error),
    #[error("the agent of `{0}` was not ready within {1:?}")]
    NotReady(Name, Duration),
    #[error("the agent of `{0}` could not make its part: {1}")]
    Failed(Name, String),
    #[error("the load could not be made: {0}")]
    Own(io::Error),
}

/// Makes the load together with the helpers, and judges it. Dropping it ends it everywhere.
pub(crate) async fn lead(order: &StepOrder, load: LoadAction, helpers: Vec<Helper>, under: Under) -> StepResult {
    let began = Instant::now();
    let masker = under.masker.clone();
    let result = match together(load, helpers, under).await {
        Ok(tally) => judge::judge(order, tally, began.elapsed()),
        Err(broken) => judge::impossible(broken.to_string(), began.elapsed()),
    };
    told(result, &masker)
}

async fn together(load: LoadAction, helpers: Vec<Helper>, under: Under) -> Result<Tally, Broken> {
    let ready = try_join_all(helpers.into_iter().map(ready)).await?;
    with(load, ready, under).await
}

/// Begins everywhere, and adds the parts up.
pub(super) async fn with<S: AsyncRead + AsyncWrite>(
    load: LoadAction,
    ready: Vec<Ready<S>>,
    under: Under,
) -> Result<Tally, Broken> {
    let parts = try_join_all(ready.into_iter().map(Ready::made));
    let (parts, mut whole) = try_join(parts, async { make(load, under).await.map_err(Broken::Own) }).await?;
    parts.into_iter().for_each(|part| whole.merge(part));
    Ok(whole)
}

/// A helper that waits to be told to begin.
pub(super) struct Ready<S> {
    name: Name,
    reader: BufReader<tokio::io::ReadHalf<S>>,
    writer: tokio::io::WriteHalf<S>,
}

async fn ready(helper: Helper) -> Result<Ready<impl AsyncRead + AsyncWrite + Unpin>, Broken> {
    let Helper { name, far, stream } = helper;
    let header = StreamHeader::Records { run: far.run.clone(), stream };
    let opened = far.open(header).await.map_err(|_| Broken::NoLink(name.clone()))?;
    ready_on(name, opened).await
}

pub(super) async fn ready_on<S: AsyncRead + AsyncWrite>(name: Name, stream: S) -> Result<Ready<S>, Broken> {
    let (reader, writer) = tokio::io::split(stream);
    let mut ready = Ready { name, reader: BufReader::new(reader), writer };
    match timeout(limits::LOAD_READY, ready.hear()).await {
        Ok(Ok(Said::Ready)) => Ok(ready),
        Ok(Ok(Said::Made(_))) => Err(ready.gone(invalid("it told of a part before it began".to_owned()))),
        Ok(Ok(Said::Failed(why))) => Err(Broken::Failed(ready.name, why)),
        Ok(Err(error)) => Err(ready.gone(error)),
        Err(_) => Err(Broken::NotReady(ready.name, limits::LOAD_READY)),
    }
}

impl<S: AsyncRead + AsyncWrite> Ready<S> {
    async fn hear(&mut self) -> io::Result<Said> {
        frames::take(&mut self.reader).await?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn gone(self, error: io::Error) -> Broken {
        Broken::Gone(self.name, error)
    }

    /// Begins; its part, once it is made.
    async fn made(mut self) -> Result<Tally, Broken> {
        if let Err(error) = say(&mut self.writer, &Heard::Begin).await {
            return Err(self.gone(error));
        }
        match self.hear().await {
            Ok(Said::Made(tally)) => {
                // Only that the helper need not wait for it.
                let _ = self.writer.shutdown().await;
                Ok(*tally)
            }
            Ok(Said::Failed(why)) => Err(Broken::Failed(self.name, why)),
            Ok(Said::Ready) => Err(self.gone(invalid("it is ready twice".to_owned()))),
            Err(error) => Err(self.gone(error)),
        }
    }
}

async fn say(writer: &mut (impl AsyncWrite + Unpin), message: &impl Serialize) -> io::Result<()> {
    let mut buffer = Vec::new();
    frames::put(&mut buffer, message).map_err(|error: CodecError| invalid(error.to_string()))?;
    writer.write_all(&buffer).await?;
    writer.flush().await
}

/// Makes a part for the agent at the other end of this stream.
///
/// # Errors
/// The stream ended before the part was told.
pub(crate) async fn help(
    load: LoadAction,
    under: Under,
    stream: impl AsyncRead + AsyncWrite + Unpin,
) -> io::Result<()> {
    let (reader, mut writer) = tokio::io::split(stream);
    let mut reader = BufReader::new(reader);
    say(&mut writer, &Said::Ready).await?;
    let Some(Heard::Begin) = frames::take(&mut reader).await? else { return Err(io::ErrorKind::UnexpectedEof.into()) };
    let made = tokio::select! {
        made = make(load, under) => made,
        // Nothing more is said to a helper: whatever comes is the end.
        _ = reader.read_u8() => return Err(io::ErrorKind::UnexpectedEof.into()),
    };
    let said = made.map_or_else(|error| Said::Failed(error.to_string()), |tally| Said::Made(Box::new(tally)));
    say(&mut writer, &said).await?;
    writer.shutdown().await?;
    // The stream is left once the leader has taken what was said; how it ends says nothing any more.
    let _ = reader.read_u8().await;
    Ok(())
}
