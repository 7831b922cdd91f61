use bytes::Bytes;
use meshproof_proto::matcher::Matcher;
use meshproof_proto::order::{Body, RequestPart};
use proptest::prelude::*;

use super::*;

fn route(id: usize, path: Option<&str>, header: Option<&str>) -> StubRoute {
    let when = header.map(|name| (RequestPart::Header(name.to_owned()), Matcher::Exists(true)));
    let replies = vec![StubReply::http(200, Body::Empty)];
    StubRoute { when: when.into_iter().collect(), ..StubRoute::http(id.to_string(), (None, path), replies) }
}

fn asked(path: &str, header: Option<&str>) -> Asked {
    let request = hyper::Request::get(path);
    let request = match header {
        Some(name) => request.header(name, "1"),
        None => request,
    };
    Asked::of(request.body(()).expect("a request").into_parts().0, Bytes::new(), Default::default())
}

fn path() -> impl Strategy<Value = String> {
    "/[ab]{0,2}(/[ab]{0,2})?"
}

fn glob() -> impl Strategy<Value = Option<String>> {
    prop_oneof![Just(None), path().prop_map(Some), "/[ab]{0,2}\\*[ab/]{0,2}".prop_map(Some), Just(Some("*".to_owned()))]
}

proptest! {
    #[test]
    fn the_route_that_is_found_is_the_one_that_looking_at_all_of_them_finds(
        routes in prop::collection::vec((glob(), any::<bool>()), 0..30),
        (path, header) in (path(), any::<bool>()),
    ) {
        let routes = routes.iter().enumerate().map(|(id, (path, header))| route(id, path.as_deref(), header.then_some("x")));
        let table = Table::of(&routes.collect::<Vec<_>>(), |_| (0, 0));
        let asked = asked(&path, header.then_some("x"));
        let found = table.find(&asked).map(|route| route.id.as_str());
        let first = table.routes().iter().find(|route| route.takes(&asked)).map(|route| route.id.as_str());
        prop_assert_eq!(found, first);
    }
}

#[test]
fn each_reply_takes_its_times_and_the_last_one_stays() {
    let reply = |status, times| StubReply { times, ..StubReply::http(status, Body::Empty) };
    let replies = vec![reply(503, 2), reply(429, 1), reply(201, 1)];
    let table = Table::of(&[StubRoute::http("a", (None, None), replies)], |_| (0, 0));
    let status = |number| {
        let said = table.routes()[0].reply(number).expect("there are replies").said(|| serde_json::Value::Null);
        said.expect("no expressions").status.as_u16()
    };
    assert_eq!([1, 2, 3, 4, 5, u64::MAX].map(status), [503, 503, 429, 201, 201, 201]);
}
