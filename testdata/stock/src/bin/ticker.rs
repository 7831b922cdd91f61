//! A WebSocket service: echoes what it is told, counts on request, and says goodbye.
//!
//! `PORT` is where it listens on loopback. `count N` is answered with N messages and the connection's end, `bye` with its end, `tear N`
//! with N messages and a connection that is torn without a goodbye, everything else with itself; after `later` it complains on stderr, a
//! little later.

use std::net::Ipv4Addr;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;

const A_LITTLE: Duration = Duration::from_millis(200);

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn converse(stream: TcpStream) -> Result<(), Failure> {
    let mut socket = tokio_tungstenite::accept_async(stream).await?;
    while let Some(message) = socket.next().await {
        let Ok(text) = message?.into_text() else { continue };
        println!("heard {text}");
        if let Some(count) = text.strip_prefix("count ") {
            for number in 1..=count.parse::<u32>()? {
                socket.send(Message::text(format!("tick {number}"))).await?;
            }
            return Ok(socket.close(None).await?);
        }
        if let Some(count) = text.strip_prefix("tear ") {
            for number in 1..=count.parse::<u32>()? {
                socket.send(Message::text(format!("tick {number}"))).await?;
            }
            return Ok(());
        }
        if text.as_str() == "later" {
            tokio::spawn(async {
                tokio::time::sleep(A_LITTLE).await;
                eprintln!("thread 'ticker' panicked: nothing is left");
            });
        }
        if text.as_str() == "bye" {
            return Ok(socket.close(None).await?);
        }
        socket.send(Message::text(text.as_str())).await?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let port: u16 = std::env::var("PORT").map_err(|error| format!("PORT: {error}"))?.parse()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    println!("listening address={}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            if let Err(error) = converse(stream).await {
                println!("broke {error}");
            }
        });
    }
}
