//! Connections that one call leaves open for the next.

use super::*;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nhere";

/// Listens, and gives the connections one after the other.
async fn listener() -> (TcpListener, Target) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("an address");
    (listener, target(address))
}

async fn accept(listener: &TcpListener) -> TcpStream {
    listener.accept().await.expect("a client").0
}

/// Takes one request and answers it.
async fn serve(stream: &mut TcpStream) {
    read_until(stream, "\r\n\r\n").await;
    stream.write_all(ANSWER).await.expect("writes");
}

async fn get(target: &Target, connections: &Connections) -> Answer {
    within(LONG, target, connections).await
}

async fn within(within: Duration, target: &Target, connections: &Connections) -> Answer {
    let action = HttpAction {
        target: target.clone(),
        method: "GET".to_owned(),
        path: template("/"),
        headers: Vec::new(),
        body: Body::Empty,
    };
    let permits = Permits::default();
    let terms = Terms { within, permits: &permits, connections: Some(connections), live: None, parent: None };
    Box::pin(perform_for(&Action::Http(action), &[], &json!(null), terms)).await
}

fn phases(answer: &Answer) -> Phases {
    match &answer.came {
        Came::Http(http) => http.phases,
        other => panic!("not an HTTP answer: {other:?}"),
    }
}

#[tokio::test]
async fn calls_in_a_row_share_a_connection_and_say_that_nothing_was_connected() {
    let (listener, target) = listener().await;
    let server = tokio::spawn(async move {
        let mut stream = accept(&listener).await;
        for _ in 0..3 {
            serve(&mut stream).await;
        }
        (stream, listener)
    });
    let connections = Connections::default();
    let first = get(&target, &connections).await;
    assert!(first.error.is_none() && phases(&first).connect > Some(Duration::ZERO), "{first:?}");
    for _ in 0..2 {
        let next = get(&target, &connections).await;
        assert!(next.error.is_none(), "{next:?}");
        let Phases { dns, connect, tls, wait, body } = phases(&next);
        assert_eq!((dns, connect, tls), (Some(Duration::ZERO), Some(Duration::ZERO), None));
        assert!(wait.is_some() && body.is_some());
        assert!(next.sent.contains("an earlier step left open"), "{}", next.sent);
    }
    server.await.expect("served");
}

#[tokio::test]
async fn what_the_server_closed_meanwhile_is_not_used_and_nothing_is_sent_twice() {
    let (listener, target) = listener().await;
    let (closed, is_closed) = tokio::sync::oneshot::channel();
    let server = tokio::spawn(async move {
        let mut stream = accept(&listener).await;
        serve(&mut stream).await;
        drop(stream);
        closed.send(()).expect("the test waits");
        let mut stream = accept(&listener).await;
        serve(&mut stream).await;
        listener
    });
    let connections = Connections::default();
    get(&target, &connections).await;
    is_closed.await.expect("the server is there");
    let next = get(&target, &connections).await;
    assert!(next.error.is_none() && phases(&next).connect > Some(Duration::ZERO), "{next:?}");
    assert!(!next.sent.contains("left open"), "{}", next.sent);
    server.await.expect("it had two connections, each with one request");
}

#[tokio::test]
async fn a_server_that_ends_over_a_request_on_a_kept_connection_is_not_asked_again() {
    let (listener, target) = listener().await;
    let server = tokio::spawn(async move {
        let mut stream = accept(&listener).await;
        serve(&mut stream).await;
        read_until(&mut stream, "\r\n\r\n").await;
        drop(stream);
        listener
    });
    let connections = Connections::default();
    get(&target, &connections).await;
    let answer = get(&target, &connections).await;
    assert_eq!(kind(&answer), Some(ErrorKind::Reset), "{answer:?}");
    assert!(answer.sent.contains("an earlier step left open"), "{}", answer.sent);
    let listener = server.await.expect("no panic");
    let again = tokio::time::timeout(SHORT, listener.accept()).await;
    assert!(again.is_err(), "it was asked again");
}

#[tokio::test]
async fn a_new_test_and_a_disturbance_begin_with_fresh_connections() {
    let (listener, target) = listener().await;
    let server = tokio::spawn(async move {
        let mut accepted = Vec::new();
        for _ in 0..3 {
            let mut stream = accept(&listener).await;
            serve(&mut stream).await;
            accepted.push(stream);
        }
        accepted
    });
    let connections = Connections::default();
    connections.of_test("one");
    get(&target, &connections).await;
    connections.of_test("two");
    assert!(phases(&get(&target, &connections).await).connect > Some(Duration::ZERO));
    connections.of_test("two");
    connections.forget();
    assert!(phases(&get(&target, &connections).await).connect > Some(Duration::ZERO));
    server.await.expect("each was a connection of its own");
}

#[tokio::test]
async fn a_connection_that_was_in_use_when_it_was_to_be_forgotten_does_not_come_back() {
    let (listener, target) = listener().await;
    let connections = Connections::default();
    let server = tokio::spawn({
        let connections = connections.clone();
        async move {
            let mut stream = accept(&listener).await;
            read_until(&mut stream, "\r\n\r\n").await;
            connections.forget();
            stream.write_all(ANSWER).await.expect("writes");
            let mut second = accept(&listener).await;
            serve(&mut second).await;
            (stream, second)
        }
    });
    get(&target, &connections).await;
    assert!(phases(&get(&target, &connections).await).connect > Some(Duration::ZERO));
    server.await.expect("two connections");
}

#[tokio::test]
async fn an_answer_that_was_given_up_is_never_taken_for_the_next_ones() {
    let (listener, target) = listener().await;
    let server = tokio::spawn(async move {
        let mut first = accept(&listener).await;
        serve(&mut first).await;
        read_until(&mut first, "\r\n\r\n").await;
        let mut second = accept(&listener).await;
        let _ = first.write_all(b"HTTP/1.1 500 Late\r\ncontent-length: 4\r\n\r\nlate").await;
        serve(&mut second).await;
        (first, second)
    });
    let connections = Connections::default();
    get(&target, &connections).await;
    assert_eq!(kind(&within(SHORT, &target, &connections).await), Some(ErrorKind::Timeout));
    let next = get(&target, &connections).await;
    assert_eq!(next.field("status"), Some(meshproof_proto::matcher::Actual::Json(json!(200))), "{next:?}");
    server.await.expect("two connections");
}

#[tokio::test]
async fn what_nobody_takes_again_is_closed_by_itself() {
    let (listener, target) = listener().await;
    let connections = Connections::default();
    let server = tokio::spawn(async move {
        let mut stream = accept(&listener).await;
        serve(&mut stream).await;
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.expect("it is closed, not reset");
        rest
    });
    get(&target, &connections).await;
    let rest = tokio::time::timeout(LONG, server).await.expect("it is closed").expect("no panic");
    assert!(rest.is_empty());
    drop(connections);
}

#[tokio::test]
async fn a_server_that_says_it_will_close_is_believed_and_one_that_says_more_than_was_asked_is_left() {
    let (listener, target) = listener().await;
    let (said, is_said) = tokio::sync::oneshot::channel();
    let server = tokio::spawn(async move {
        let mut first = accept(&listener).await;
        read_until(&mut first, "\r\n\r\n").await;
        first
            .write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 4\r\n\r\nhere")
            .await
            .expect("writes");
        let mut second = accept(&listener).await;
        serve(&mut second).await;
        second.write_all(b"HTTP/1.1 500 Unasked\r\ncontent-length: 0\r\n\r\n").await.expect("writes");
        said.send(()).expect("the test waits");
        let mut third = accept(&listener).await;
        serve(&mut third).await;
        (first, second, third)
    });
    let connections = Connections::default();
    get(&target, &connections).await;
    get(&target, &connections).await;
    is_said.await.expect("the server is there");
    let third = get(&target, &connections).await;
    assert_eq!(third.field("status"), Some(meshproof_proto::matcher::Actual::Json(json!(200))), "{third:?}");
    server.await.expect("three connections");
}
