//! How a gRPC call ends, as words and as the headers carry it.

use meshproof_proto::grpc::CODES;

/// The word of `grpc-status`; unknown numbers count as UNKNOWN, as the protocol says.
pub(super) fn word(number: &str) -> &'static str {
    number.parse::<usize>().ok().and_then(|number| CODES.get(number)).copied().unwrap_or("UNKNOWN")
}

/// The number of a word; of one that is none, that of UNKNOWN.
pub(crate) fn number(word: &str) -> u16 {
    const UNKNOWN: u16 = 2;
    (0..).zip(CODES).find(|(_, known)| *known == word).map_or(UNKNOWN, |(number, _)| number)
}

/// A text as `grpc-message` carries it: what is not printable ASCII, and `%`, is percent-encoded.
pub(crate) fn encoded(message: &str) -> String {
    let byte = |byte: u8| match byte {
        b'%' => "%25".to_owned(),
        b' '..=b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    message.bytes().map(byte).collect()
}

/// `grpc-message` is percent-encoded.
pub(super) fn message(encoded: &str) -> String {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.as_bytes();
    while let [first, after @ ..] = rest {
        let decoded = match (first, after) {
            (b'%', [high, low, ..]) => {
                let digits = [*high, *low];
                std::str::from_utf8(&digits).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok())
            }
            _ => None,
        };
        bytes.push(decoded.unwrap_or(*first));
        rest = if decoded.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_words_and_messages_are_decoded_as_far_as_they_are_encoded() {
        assert_eq!(
            (word("0"), word("5"), word("16"), word("17"), word("x")),
            ("OK", "NOT_FOUND", "UNAUTHENTICATED", "UNKNOWN", "UNKNOWN")
        );
        assert_eq!((number("NOT_FOUND"), number("UNAUTHENTICATED"), number("x")), (5, 16, 2));
        let text = "no article ä, 100%\n";
        assert_eq!(
            (encoded(text).as_str(), message(&encoded(text))),
            ("no article %C3%A4, 100%25%0A", text.to_owned())
        );
        assert_eq!(message("no article %C3%A4 %zz 100%"), "no article ä %zz 100%");
    }
}
