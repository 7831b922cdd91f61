//! Whose requests a fault strikes that does not strike all of them.

use meshproof_proto::id::RunId;
use meshproof_proto::matcher::Actual;
use meshproof_proto::order::RequestPart;
use meshproof_proto::shaper::Shape;

use crate::stub::Condition;

/// What the headers of a request that is struck are.
#[derive(Debug)]
pub struct Struck {
    headers: Vec<(String, Condition)>,
}

impl Struck {
    /// Of such a fault of this run; none: whatever passes is struck.
    pub fn by(shape: &Shape, run: &RunId) -> Option<Self> {
        let condition = |(name, matcher): (String, _)| {
            let condition = Condition::of(&RequestPart::Header(name.clone()), &matcher);
            (name, condition)
        };
        shape.only.as_ref().map(|only| Self { headers: only.headers(run).into_iter().map(condition).collect() })
    }

    /// Whether a request is struck that has these values under a header's name.
    pub fn is(&self, header: impl Fn(&str) -> Vec<String>) -> bool {
        self.headers.iter().all(|(name, condition)| {
            let values = header(name);
            let actual = if values.is_empty() { Actual::Missing } else { Actual::Text(values.join(", ")) };
            condition.holds(&actual)
        })
    }

    /// Whether one is struck that begins with this head.
    pub fn is_head(&self, head: &[u8]) -> bool {
        let text = String::from_utf8_lossy(head);
        let fields: Vec<(&str, &str)> = text.lines().skip(1).filter_map(|line| line.split_once(':')).collect();
        self.is(|wanted| {
            let named = fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
            named.map(|(_, value)| value.trim().to_owned()).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use meshproof_proto::expr::ValueTemplate;
    use meshproof_proto::matcher::Matcher;
    use meshproof_proto::shaper::Only;

    use super::*;

    fn struck(headers: &[(&str, Matcher)]) -> Struck {
        let headers = headers.iter().map(|(name, matcher)| ((*name).to_owned(), matcher.clone())).collect();
        let shape = Shape { only: Some(Only::Headers(headers)), ..Shape::default() };
        Struck::by(&shape, &RunId("r".to_owned())).expect("limited")
    }

    fn equals(text: &str) -> Matcher {
        Matcher::Equals(ValueTemplate::fixed(&text.into()))
    }

    #[test]
    fn a_head_is_struck_whose_headers_all_are_as_asked_in_any_case() {
        let of_team = struck(&[("x-team", equals("red")), ("x-try", Matcher::Exists(true))]);
        assert!(of_team.is_head(b"GET /x-team:red HTTP/1.1\r\nX-TEAM:  red\r\nx-try: 1\r\n\r\n"));
        assert!(!of_team.is_head(b"GET / HTTP/1.1\r\nX-Team: blue\r\nx-try: 1\r\n\r\n"));
        assert!(!of_team.is_head(b"GET / HTTP/1.1\r\nX-Team: red\r\n\r\n"));
        assert!(!of_team.is_head(b"GET / HTTP/1.1\r\n\r\n"));
    }

    #[test]
    fn several_values_are_seen_joined() {
        let both = struck(&[("baggage", Matcher::Regex("team=red".to_owned()))]);
        assert!(both.is_head(b"GET / HTTP/1.1\r\nbaggage: a=b\r\nBaggage: team=red\r\n\r\n"));
    }
}
