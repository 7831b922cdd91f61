//! Asks a zone's agents how they are.

use std::net::SocketAddr;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::judge::Answer;
use crate::limits;

/// Of everybody behind that name and port: an agent's answer, or why there is none. Nobody, if the name leads nowhere.
pub async fn ask(agents: &str) -> Vec<Result<Answer, String>> {
    let found = match timeout(limits::HEALTH_ANSWER, lookup_host(agents)).await {
        Ok(Ok(found)) => found.collect::<Vec<_>>(),
        Ok(Err(_)) | Err(_) => Vec::new(),
    };
    stream::iter(found).map(ask_one).buffer_unordered(limits::HEALTH_ASKED).collect().await
}

async fn ask_one(agent: SocketAddr) -> Result<Answer, String> {
    match timeout(limits::HEALTH_ANSWER, questions(agent)).await {
        Ok(answered) => answered.map_err(|error| format!("{agent}: {error}")),
        Err(_) => Err(format!("{agent} has not answered in {:?}", limits::HEALTH_ANSWER)),
    }
}

async fn questions(agent: SocketAddr) -> Result<Answer, String> {
    let (status, why) = get(agent, "/readyz").await?;
    if status != StatusCode::OK {
        return Ok(Answer::read(Some(why.trim().to_owned()), ""));
    }
    let (status, figures) = get(agent, "/metrics").await?;
    match status {
        StatusCode::OK => Ok(Answer::read(None, &figures)),
        other => Err(format!("its figures are answered with {other}")),
    }
}

async fn get(agent: SocketAddr, path: &str) -> Result<(StatusCode, String), String> {
    let failed = |error: &dyn std::fmt::Display| error.to_string();
    let stream = TcpStream::connect(agent).await.map_err(|error| failed(&error))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
    let request = Request::get(path).header("host", agent.to_string()).body(Empty::<Bytes>::new());
    let request = request.map_err(|error| failed(&error))?;
    let asked = async move {
        let answer = sender.send_request(request).await.map_err(|error| failed(&error))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), limits::HEALTH_BYTES).collect().await;
        let body = body.map_err(|error| failed(&error))?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    };
    // it drives what is asked, and ends when its sender is dropped
    let (answered, _) = tokio::join!(asked, async {
        let _ = connection.await;
    });
    answered
}

#[cfg(test)]
mod tests {
    use super::*;
    use meshproof_health::{Question, Watched};

    #[derive(Clone)]
    struct Agent(Result<&'static str, &'static str>);

    impl Watched for Agent {
        async fn tell(&self, question: Question) -> Result<String, String> {
            match (question, self.0) {
                (Question::Figures, Ok(figures)) => Ok(figures.to_owned()),
                (_, Ok(_)) => Ok("ok".to_owned()),
                (_, Err(why)) => Err(why.to_owned()),
            }
        }
    }

    /// At a port that was free a moment ago.
    fn served(agent: &Agent) -> (SocketAddr, tokio_util::task::AbortOnDropHandle<()>) {
        loop {
            let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
            let address = free.expect("a port");
            if let Ok(serving) = meshproof_health::serve(address, agent.clone()) {
                return (address, serving);
            }
        }
    }

    #[tokio::test]
    async fn an_agents_own_health_endpoint_is_understood() {
        let figures = "meshproof_signaling_servers{state=\"up\"} 1\nmeshproof_links{state=\"up\"} 2\n";
        let (address, _serving) = served(&Agent(Ok(figures)));
        let answers = ask(&address.to_string()).await;
        let expected = Answer { signaling_up: 1, links_up: 2, ..Answer::default() };
        assert_eq!(answers, [Ok(expected)]);
    }

    #[tokio::test]
    async fn an_agent_that_is_not_ready_says_why_and_one_that_is_not_there_is_an_error() {
        let (address, _serving) = served(&Agent(Err("no signaling server is reached")));
        let answers = ask(&address.to_string()).await;
        let expected = Answer { not_ready: Some("no signaling server is reached".to_owned()), ..Answer::default() };
        assert_eq!(answers, [Ok(expected)]);
        let gone = ask("127.0.0.1:1").await;
        assert!(matches!(&gone[..], [Err(why)] if why.contains("127.0.0.1:1")), "{gone:?}");
        assert_eq!(ask("no-such-name.invalid:9464").await, []);
    }
}
