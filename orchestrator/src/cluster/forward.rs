//! A way from this machine to signaling in the cluster, through the API server: `kubectl port-forward`, started again when it breaks off.

use std::process::Stdio;

use thiserror::Error;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout};
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::kubectl::{Kubectl, said};
use super::limits::{FORWARD_AGAIN, FORWARDED_WITHIN, SAYS_BYTES};
use super::manifests::{SIGNALING, SIGNALING_PORT};

/// There is no way.
#[derive(Debug, Error)]
#[error("signaling in the cluster cannot be reached by `kubectl port-forward`: {0}")]
pub struct NoWay(String);

/// Open until it is dropped.
#[derive(Debug)]
pub struct Forward {
    port: u16,
    _kept: AbortOnDropHandle<()>,
}

impl Forward {
    /// Opens it, on a port of loopback that it chooses.
    pub async fn open(kubectl: &Kubectl, namespace: &str) -> Result<Self, NoWay> {
        let (child, port) = start(kubectl, namespace, 0).await?;
        let kept = tokio::spawn(keep(child, kubectl.clone(), (namespace.to_owned(), port)));
        Ok(Self { port, _kept: AbortOnDropHandle::new(kept) })
    }

    /// Where it begins.
    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}/mesh", self.port)
    }
}

/// Open again whenever it is closed: who was connected connects again, as to a server that was started anew.
async fn keep(mut child: Listening, kubectl: Kubectl, (namespace, port): (String, u16)) {
    loop {
        let why = child.ended().await;
        tracing::info!(%why, "the way to signaling is closed, and opened again");
        child = loop {
            sleep(FORWARD_AGAIN).await;
            match start(&kubectl, &namespace, port).await {
                Ok((child, _)) => break child,
                Err(error) => tracing::info!(%error, "the way to signaling is still closed"),
            }
        };
    }
}

/// One kubectl that forwards.
struct Listening {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Listening {
    /// It says what it does for each connection, and somebody has to take that.
    async fn ended(&mut self) -> String {
        while let Ok(Some(_)) = self.lines.next_line().await {}
        match self.child.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        }
    }
}

async fn start(kubectl: &Kubectl, namespace: &str, port: u16) -> Result<(Listening, u16), NoWay> {
    let ports = match port {
        0 => format!(":{SIGNALING_PORT}"),
        port => format!("{port}:{SIGNALING_PORT}"),
    };
    let (namespace, pod) = (format!("--namespace={namespace}"), format!("pod/{SIGNALING}"));
    let command = kubectl.following(&["port-forward", &namespace, "--address=127.0.0.1", &pod, &ports]);
    let started = command.and_then(|mut command| command.stderr(Stdio::piped()).spawn());
    let mut child = started.map_err(|error| NoWay(error.to_string()))?;
    let output = child.stdout.take().ok_or_else(|| NoWay("it has no output".to_owned()))?;
    let mut lines = BufReader::new(output).lines();
    let complaints = child.stderr.take();
    match timeout(FORWARDED_WITHIN, listens(&mut lines)).await {
        Ok(Some(port)) => {
            // a pipe that nobody reads would stop it in the end
            tokio::spawn(drain(complaints));
            Ok((Listening { child, lines }, port))
        }
        Ok(None) => {
            let complaints = drain(complaints).await;
            let status = child.wait().await.map_err(|error| NoWay(error.to_string()))?;
            Err(NoWay(said(&complaints, status)))
        }
        Err(_) => Err(NoWay(format!("it does not listen within {FORWARDED_WITHIN:?}"))),
    }
}

/// The port in `Forwarding from 127.0.0.1:43210 -> 7070`; none: it has ended.
async fn listens(lines: &mut Lines<BufReader<ChildStdout>>) -> Option<u16> {
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(port) = forwarded(&line) {
            return Some(port);
        }
    }
    None
}

fn forwarded(line: &str) -> Option<u16> {
    line.strip_prefix("Forwarding from 127.0.0.1:")?.split(' ').next()?.parse().ok()
}

/// Reads to the end, and keeps the beginning.
async fn drain(pipe: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut kept = Vec::new();
    let Some(mut pipe) = pipe else { return kept };
    let mut bytes = [0; 1024];
    while let Ok(read @ 1..) = pipe.read(&mut bytes).await {
        let room = SAYS_BYTES.saturating_sub(kept.len());
        kept.extend(&bytes[..read.min(room)]);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_port_is_what_it_says() {
        assert_eq!(forwarded("Forwarding from 127.0.0.1:43210 -> 7070"), Some(43210));
        assert_eq!(forwarded("Handling connection for 43210"), None);
    }
}
