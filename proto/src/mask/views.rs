//! What a text decodes to, and from where in the text each decoded byte comes.

use std::borrow::Cow;
use std::ops::Range;

/// Bytes with their places in the original.
#[derive(Debug)]
pub(super) struct View<'t> {
    bytes: Cow<'t, [u8]>,
    /// For each byte its place; none: it is the original.
    places: Option<Vec<Range<u32>>>,
}

/// Decodes views. What is too short to hold the shortest secret is left out.
#[derive(Clone, Debug, Default)]
pub(super) struct Decoder {
    pub(super) shortest: usize,
    /// Forms write a space as `+`, which matters only when a secret has one.
    pub(super) plus_is_space: bool,
}

impl<'t> View<'t> {
    pub(super) fn of(bytes: &'t [u8]) -> Self {
        Self { bytes: Cow::Borrowed(bytes), places: None }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where in the original these bytes come from; not for an empty range.
    pub(super) fn origin(&self, range: Range<usize>) -> Range<usize> {
        match &self.places {
            None => range,
            Some(places) => places[range.start].start as usize..places[range.end - 1].end as usize,
        }
    }
}

/// A view that grows.
struct Growing<'v> {
    of: &'v View<'v>,
    bytes: Vec<u8>,
    places: Vec<Range<u32>>,
}

impl<'v> Growing<'v> {
    fn new(of: &'v View<'v>) -> Self {
        Self { of, bytes: Vec::new(), places: Vec::new() }
    }

    /// A decoded byte, made of these bytes of the view below.
    fn push(&mut self, byte: u8, from: Range<usize>) {
        let origin = self.of.origin(from);
        self.bytes.push(byte);
        self.places.push(place(origin.start)..place(origin.end));
    }

    fn view(self) -> View<'static> {
        View { bytes: Cow::Owned(self.bytes), places: Some(self.places) }
    }
}

/// Texts are cut far below this; what lies behind would be masked too much, never too little.
fn place(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

impl Decoder {
    /// Gives everything that the view can be decoded to.
    pub(super) fn each(&self, view: &View<'_>, give: &mut impl FnMut(&View<'_>)) {
        if view.bytes().len() < self.shortest {
            return;
        }
        if view.bytes().contains(&b'\\') {
            give(&unescaped(view));
        }
        if view.bytes().contains(&b'%') {
            give(&percent_decoded(view, |byte| byte));
        }
        if self.plus_is_space && view.bytes().contains(&b'+') {
            give(&percent_decoded(view, |byte| if byte == b'+' { b' ' } else { byte }));
        }
        self.digits(view, &HEX, give);
        self.digits(view, &BASE64, give);
    }

    /// Every run of digits, read from each of its first places.
    fn digits(&self, view: &View<'_>, code: &Code, give: &mut impl FnMut(&View<'_>)) {
        let least = (self.shortest * 8).div_ceil(code.bits as usize);
        for run in runs(view.bytes(), code) {
            for skipped in 0..code.alignments {
                if run.len() >= least + skipped {
                    give(&regrouped(view, &run[skipped..], code));
                }
            }
        }
    }
}

/// An encoding of bytes as digits.
struct Code {
    /// Of one digit.
    bits: u32,
    /// After so many digits a byte begins again with a digit.
    alignments: usize,
    value: fn(u8) -> Option<u32>,
    /// May stand between two digits.
    between: &'static [u8],
    /// How many of those in a row.
    most_between: usize,
}

const HEX: Code = Code { bits: 4, alignments: 2, value: hex_digit, between: b" :-\r\n", most_between: 2 };

/// Lines of base64 end with one or two characters.
const BASE64: Code = Code { bits: 6, alignments: 4, value: base64_digit, between: b"\r\n", most_between: 2 };

fn hex_digit(byte: u8) -> Option<u32> {
    char::from(byte).to_digit(16)
}

/// Both alphabets, that for URLs too.
fn base64_digit(byte: u8) -> Option<u32> {
    let value = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

/// Runs of digits: each digit's place and value.
fn runs(bytes: &[u8], code: &Code) -> Vec<Vec<(usize, u32)>> {
    let mut runs = Vec::new();
    let mut run: Vec<(usize, u32)> = Vec::new();
    for (at, byte) in bytes.iter().enumerate() {
        match (code.value)(*byte) {
            Some(value) => run.push((at, value)),
            None => {
                let near = run.last().is_some_and(|(last, _)| at - last <= code.most_between);
                let goes_on = near && code.between.contains(byte);
                if !goes_on {
                    runs.push(std::mem::take(&mut run));
                }
            }
        }
    }
    runs.push(run);
    runs.retain(|run| !run.is_empty());
    runs
}

/// Digits to bytes. A byte's place is that of all digits it has a part in, so that no part of it stays readable.
fn regrouped(view: &View<'_>, digits: &[(usize, u32)], code: &Code) -> View<'static> {
    let mut decoded = Growing::new(view);
    let (mut held, mut bits, mut from) = (0_u32, 0, 0);
    for (at, value) in digits {
        if bits == 0 {
            from = *at;
        }
        held = held << code.bits | value;
        bits += code.bits;
        if bits >= 8 {
            bits -= 8;
            let byte = held >> bits & 0xff;
            decoded.push(u8::try_from(byte).expect("it is masked to eight bits"), from..at + 1);
            // The rest of this digit belongs to the next byte.
            from = *at;
        }
    }
    decoded.view()
}

fn percent_decoded(view: &View<'_>, plain: fn(u8) -> u8) -> View<'static> {
    let bytes = view.bytes();
    let mut decoded = Growing::new(view);
    let mut at = 0;
    while at < bytes.len() {
        let pair = (bytes[at] == b'%').then(|| hex(bytes.get(at + 1..at + 3)?)).flatten();
        let (byte, length) = match pair.and_then(|value| u8::try_from(value).ok()) {
            Some(byte) => (byte, 3),
            None => (plain(bytes[at]), 1),
        };
        decoded.push(byte, at..at + length);
        at += length;
    }
    decoded.view()
}

fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |value, digit| Some(value << 4 | hex_digit(*digit)?))
}

/// The escapes of JSON, and of the languages whose debug output lands in logs. What is no escape stays.
fn unescaped(view: &View<'_>) -> View<'static> {
    let bytes = view.bytes();
    let mut decoded = Growing::new(view);
    let mut at = 0;
    while at < bytes.len() {
        let escape = (bytes[at] == b'\\').then(|| escape(&bytes[at..])).flatten();
        let Some((character, length)) = escape else {
            decoded.push(bytes[at], at..at + 1);
            at += 1;
            continue;
        };
        for byte in character.encode_utf8(&mut [0; 4]).bytes() {
            decoded.push(byte, at..at + length);
        }
        at += length;
    }
    decoded.view()
}

/// The character of an escape and the escape's length.
fn escape(bytes: &[u8]) -> Option<(char, usize)> {
    Some(match bytes.get(1)? {
        kept @ (b'"' | b'\'' | b'\\' | b'/') => (char::from(*kept), 2),
        b'n' => ('\n', 2),
        b'r' => ('\r', 2),
        b't' => ('\t', 2),
        b'b' => ('\u{8}', 2),
        b'f' => ('\u{c}', 2),
        b'x' => (char::from_u32(hex(bytes.get(2..4)?)?)?, 4),
        b'u' if bytes.get(2) == Some(&b'{') => {
            let length = bytes.iter().take(12).position(|byte| *byte == b'}')?;
            (char::from_u32(hex(&bytes[3..length])?)?, length + 1)
        }
        b'u' => unit(bytes)?,
        _ => return None,
    })
}

/// `\uXXXX`, or a pair of them.
fn unit(bytes: &[u8]) -> Option<(char, usize)> {
    let first = hex(bytes.get(2..6)?)?;
    if let Some(character) = char::from_u32(first) {
        return Some((character, 6));
    }
    let second = bytes.get(6..12).filter(|second| second.starts_with(b"\\u")).and_then(|second| hex(&second[2..]))?;
    let [first, second] = [first, second].map(|unit| u16::try_from(unit).unwrap_or_default());
    let character = char::decode_utf16([first, second]).next()?.ok()?;
    Some((character, 12))
}
