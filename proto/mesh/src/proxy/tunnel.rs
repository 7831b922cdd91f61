//! `CONNECT`: asks a proxy for a connection to a host, and gives it back as if it were ours (RFC 9110, section 9.3.6).

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{ProxyAddress, ProxyError};

/// To the proxy, and from there to the server. Less than registering may take, so that the proxy is named as the cause.
const WITHIN: Duration = Duration::from_secs(4);

/// A proxy's answer up to its empty line: a status and some headers. A page that explains a refusal comes behind it.
const ANSWER_BYTES: usize = 16 * 1024;

/// Of a status line, in an error: what a person reads.
const SHOWN_CHARS: usize = 160;

/// A connection to `target` that goes through the proxy.
pub(super) async fn through(proxy: &ProxyAddress, target: (&str, u16)) -> Result<TcpStream, ProxyError> {
    let (host, port) = target;
    let target = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    match timeout(WITHIN, ask(proxy, &target)).await {
        Ok(asked) => asked,
        Err(_) => Err(ProxyError::Timeout { proxy: proxy.to_string(), target, within: WITHIN }),
    }
}

async fn ask(proxy: &ProxyAddress, target: &str) -> Result<TcpStream, ProxyError> {
    let name = || proxy.to_string();
    let mut stream = super::dial(&proxy.host, proxy.port)
        .await
        .map_err(|source| ProxyError::Unreachable { proxy: name(), source })?;
    let broken = |source| ProxyError::Broken { proxy: name(), source };
    stream.write_all(request(proxy, target).as_bytes()).await.map_err(broken)?;
    let answer = answer(&mut stream).await.map_err(broken)?;
    let line = String::from_utf8_lossy(answer.split(|byte| *byte == b'\n').next().unwrap_or_default());
    let shown: String = line.trim_end().chars().filter(|c| !c.is_control()).take(SHOWN_CHARS).collect();
    match status(&line) {
        Some(200..300) => Ok(stream),
        Some(_) => Err(ProxyError::Refused { proxy: name(), target: target.to_owned(), answer: shown }),
        None => Err(ProxyError::NotHttp { proxy: name(), answer: shown }),
    }
}

fn request(proxy: &ProxyAddress, target: &str) -> String {
    let authorization =
        proxy.authorization().map_or_else(String::new, |value| format!("Proxy-Authorization: {value}\r\n"));
    format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{authorization}\r\n")
}

/// Up to the empty line and not a byte further: what follows is the server's.
async fn answer(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") && !answer.ends_with(b"\n\n") {
        if answer.len() == ANSWER_BYTES {
            return Err(io::Error::other(format!("its answer has no end within {ANSWER_BYTES} bytes")));
        }
        match stream.read_u8().await {
            Ok(byte) => answer.push(byte),
            // a proxy that only writes a line and hangs up has still said why
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && !answer.is_empty() => break,
            Err(error) => return Err(error),
        }
    }
    Ok(answer)
}

/// Of `HTTP/1.1 200 Connection established`.
fn status(line: &str) -> Option<u16> {
    line.strip_prefix("HTTP/1.")?.split_whitespace().nth(1)?.parse().ok()
}
