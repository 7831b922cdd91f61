//! Every encoding, alone and inside another, whole and in pieces, with a reader that knows nothing of how the masker looks.

use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};
use proptest::prelude::*;

use super::*;

/// A way to write bytes.
#[derive(Clone, Copy, Debug)]
enum Writing {
    Plain,
    Json,
    Escaped,
    Percent,
    Form,
    HexLower,
    HexUpper,
    HexPairs,
    Base64,
    Base64Url,
    Base64Lines,
    Debug,
}

const WRITINGS: [Writing; 12] = [
    Writing::Plain,
    Writing::Json,
    Writing::Escaped,
    Writing::Percent,
    Writing::Form,
    Writing::HexLower,
    Writing::HexUpper,
    Writing::HexPairs,
    Writing::Base64,
    Writing::Base64Url,
    Writing::Base64Lines,
    Writing::Debug,
];

impl Writing {
    fn of(self, text: &str) -> String {
        let bytes = text.as_bytes();
        match self {
            Self::Plain => text.to_owned(),
            Self::Json => serde_json::to_string(text).expect("text"),
            Self::Escaped => text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect(),
            Self::Percent => bytes.iter().map(|byte| percent(*byte)).collect(),
            Self::Form => {
                bytes.iter().map(|byte| if *byte == b' ' { "+".to_owned() } else { percent(*byte) }).collect()
            }
            Self::HexLower => HEXLOWER.encode(bytes),
            Self::HexUpper => HEXUPPER.encode(bytes),
            Self::HexPairs => bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":"),
            Self::Base64 => BASE64.encode(bytes),
            Self::Base64Url => BASE64URL_NOPAD.encode(bytes),
            Self::Base64Lines => {
                let text = BASE64.encode(bytes);
                let lines = text.as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line).into_owned());
                lines.collect::<Vec<_>>().join("\r\n")
            }
            Self::Debug => format!("{text:?}"),
        }
    }
}

fn percent(byte: u8) -> String {
    if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }
}

fn secret() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9]{8,40}",
        "[ -~]{8,60}",
        "[ -~äß€🔑\t\"\\\\%+/]{6,30}",
        "[a-z]{8}\n[ -~]{14,20}\n[ -~]{14,20}",
    ]
}

fn writing() -> impl Strategy<Value = Writing> {
    (0..WRITINGS.len()).prop_map(|at| WRITINGS[at])
}

/// Text around a secret in which no secret is; the marks make sure that it comes out whole.
fn around() -> impl Strategy<Value = String> {
    "[ -~]{0,7}"
}

fn masker(secret: &str) -> Masker {
    Masker::new([("key", secret)]).expect("long enough")
}

fn in_pieces(masker: &Masker, bytes: &[u8], sizes: &[usize]) -> Vec<u8> {
    let mut stream = masker.stream();
    let mut out = Vec::new();
    let mut rest = bytes;
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, after) = rest.split_at((*size).min(rest.len()));
        out.extend(stream.push(piece));
        rest = after;
    }
    out.extend(stream.finish());
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn a_secret_is_found_in_every_writing_and_in_one_writing_inside_another(
        secret in secret(), inner in writing(), outer in writing(), before in around(), after in around(),
    ) {
        let written = outer.of(&format!("{before}{}{after}", inner.of(&format!("{before}{secret}{after}"))));
        let text = format!("log line <{written}> end");
        let masked = masker(&secret).mask(&text).into_owned();
        prop_assert!(masked.contains("***key***"), "{inner:?} in {outer:?}: {text} became {masked}");
        prop_assert!(masked.starts_with("log line <") && masked.ends_with("> end"), "{masked}");
        for writing in WRITINGS {
            prop_assert!(!masked.contains(writing.of(&secret).trim_matches('"')), "{writing:?}: {masked}");
        }
    }

    #[test]
    fn base64_at_each_of_three_offsets_leaves_no_digit_of_the_secret(
        secret in "[a-zA-Z0-9]{8,30}", before in "[!-~]{0,6}", after in "[!-~]{0,6}",
    ) {
        let written = BASE64.encode(format!("{before}{secret}{after}").as_bytes());
        let masked = masker(&secret).mask(&written).into_owned();
        let (front, back) = masked.split_once("***key***").expect("it is found");
        // Every digit that is left holds bits of what stands around the secret only.
        prop_assert!(front.len() * 6 <= before.len() * 8, "{front}");
        prop_assert!(back.trim_end_matches('=').len() * 6 <= after.len() * 8 + 4, "{back}");
    }

    #[test]
    fn what_holds_no_secret_comes_out_as_it_went_in(
        text in "[ -~\n]{0,400}", sizes in prop::collection::vec(1_usize..50, 1..6),
    ) {
        let masker = masker("7hCorrect-Horse-Battery");
        prop_assert_eq!(masker.mask(&text), text.as_str());
        prop_assert_eq!(in_pieces(&masker, text.as_bytes(), &sizes), text.as_bytes());
    }
}

proptest! {
    // Each is a few hundred KiB, looked at several times without optimisation.
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn pieces_of_any_size_come_out_as_the_whole_would(
        secret in secret(),
        parts in prop::collection::vec((writing(), "[ -~]{0,40}"), 1..8),
        sizes in prop::collection::vec(1_usize..70_000, 1..6),
        padding in 0_usize..150_000,
    ) {
        let masker = masker(&secret);
        let mut text = ". ".repeat(padding / 2);
        for (writing, between) in &parts {
            text += &format!("<{}> {between}\n", writing.of(&secret));
        }
        text += &". ".repeat(padding / 2);
        let whole = masker.mask(&text);
        let pieces = in_pieces(&masker, text.as_bytes(), &sizes);
        prop_assert!(whole.as_bytes() == pieces, "{} bytes in pieces of {sizes:?} came out otherwise", text.len());
    }
}

#[test]
fn a_secret_across_every_border_of_a_stream_is_masked_once() {
    let secret = "S3cr3t-\"value\"";
    let masker = masker(secret);
    let written = Writing::Escaped.of(secret);
    // Fed byte by byte, the stream tells so many when it tells something for the first time.
    let first = crate::limits::MASK_STREAM_BYTES + masker.reach();
    for shift in 0..written.len() + 2 {
        let text = format!("{}{written}{}", ".".repeat(first - shift), ".".repeat(2 * first));
        let out = in_pieces(&masker, text.as_bytes(), &[1]);
        assert_eq!(String::from_utf8_lossy(&out), masker.mask(&text), "shifted by {shift}");
        assert_eq!(String::from_utf8_lossy(&out).matches("***key***").count(), 1, "shifted by {shift}");
    }
}

#[test]
fn a_stream_that_is_flushed_between_any_two_bytes_tells_no_more_than_three_of_a_secret() {
    let secret = "S3cr3t-\"value\"+x/y";
    let masker = masker(secret);
    for writing in WRITINGS {
        let text = format!("says <{}> and goes on", writing.of(secret));
        for first in 0..=text.len() {
            let mut stream = masker.stream();
            let mut out = stream.push(&text.as_bytes()[..first]);
            out.extend(stream.flush());
            let so_far = out.len();
            out.extend(stream.push(&text.as_bytes()[first..]));
            out.extend(stream.flush());
            out.extend(stream.finish());
            let out = String::from_utf8(out).expect("text");
            assert!(out.starts_with("says <") && out.ends_with("> and goes on"), "{writing:?} at {first}: {out}");
            assert!(so_far >= first.min("says <".len()), "{writing:?} at {first}: what is no secret waits");
            let written = writing.of(secret);
            let shown = (1..=written.len())
                .rev()
                .find(|length| (0..=written.len() - length).any(|at| out.contains(&written[at..at + length])));
            // Three bytes of the secret, in the widest of writings.
            assert!(shown.unwrap_or_default() < 6 * crate::limits::MASK_CUT_BYTES, "{writing:?} at {first}: {out}");
        }
    }
    let plain = Masker::default();
    let mut stream = plain.stream();
    assert_eq!((stream.push(b"as it is"), stream.flush()), (b"as it is".to_vec(), Vec::new()));
}

#[test]
fn overlapping_secrets_and_repeats_leave_nothing_between_them() {
    let masker = Masker::new([("first", "abcdefgh"), ("second", "efghijkl")]).expect("long enough");
    assert_eq!(masker.mask("<abcdefghijkl>"), "<***first***>");
    assert_eq!(masker.mask("<efghijkl|abcdefgh>"), "<***second***|***first***>");
    let masker = self::masker("aaaaaaaa");
    assert_eq!(masker.mask("<aaaaaaaaaaaaa>"), "<***key***>");
    let endless = "a".repeat(600_000);
    assert_eq!(in_pieces(&masker, endless.as_bytes(), &[1000]), b"***key***");
}

#[test]
fn lines_of_a_key_are_masked_one_by_one() {
    let key = "-----BEGIN KEY-----\nMIIBVgIBADANBgkq\nhkiG9w0BAQEFAASC\n}\n";
    let masked = masker(key).mask("read hkiG9w0BAQEFAASC and }").into_owned();
    assert_eq!(masked, "read ***key*** and }");
}

#[test]
fn what_cannot_be_masked_is_refused_by_name_and_never_by_value() {
    let error = Masker::new([("pin", "4242")]).expect_err("short").to_string();
    assert!(error.contains("`pin`") && error.contains("4 bytes") && !error.contains("4242"), "{error}");
    assert!(matches!(Masker::new([("big", "x".repeat(20_000).as_str())]), Err(MaskError::TooLong { .. })));
    let shown = format!("{:?}", masker("hunter2hunter2"));
    assert!(shown.contains("key") && !shown.contains("hunter2"), "{shown}");
    assert_eq!(Masker::new([]).expect("none").mask("text"), "text");
}

#[test]
fn of_a_text_that_is_cut_no_beginning_of_a_secret_is_left() {
    let secret = "S3cr3t-\"value\"+x/y";
    let masker = masker(secret);
    for writing in WRITINGS {
        let whole = format!("said {}", writing.of(secret));
        for end in 0..=whole.len() {
            let masked = masker.mask_cut(&whole[..end]).into_owned();
            let longest = (1..=whole.len() - 5).rev().find(|length| masked.contains(&whole[5..5 + length]));
            // Fewer than four bytes of the secret, in the widest of writings.
            let allowed = 6 * crate::limits::MASK_CUT_BYTES;
            assert!(longest.unwrap_or_default() < allowed, "{writing:?} cut at {end}: {masked}");
            if matches!(writing, Writing::Plain) {
                assert!(longest.unwrap_or_default() < crate::limits::MASK_CUT_BYTES, "cut at {end}: {masked}");
            }
        }
    }
    assert_eq!(masker.mask_cut("it says S3c"), "it says S3c");
    assert_eq!(masker.mask_cut("it says S3cr3t"), "it says ***key***");
    assert_eq!(masker.mask_cut("it says S3cr3t!"), "it says S3cr3t!");
    assert_eq!(masker.mask_cut(&format!("<{secret}>")), "<***key***>");
    assert_eq!(masker.mask_cut(&format!("\"{secret}\" here")), "\"***key***\" here");
    assert_eq!(Masker::default().mask_cut("text"), "text");
}

#[test]
fn a_text_whose_secrets_are_covered_is_as_long_as_before() {
    let masker = masker("hunter2é\nhunter2hunter2");
    let text = "a: hunter2é\nhunter2hunter2 b\nc: aHVudGVyMsOpCmh1bnRlcjJodW50ZXIy\n";
    let covered = masker.covered(text).into_owned();
    assert_eq!((covered.len(), covered.lines().count()), (text.len(), 3));
    assert!(covered.starts_with("a: *********\n**************"), "{covered}");
    assert!(covered.contains(" b\nc: ******") && !covered.contains("aHVu"), "{covered}");
    assert_eq!(masker.covered("nothing"), "nothing");
}

#[test]
fn letters_beyond_ascii_are_masked_also_where_somebody_takes_them_for_latin_1() {
    let secret = "pep\"per<&>ünï\\x";
    let masker = masker(secret);
    let misread: String = secret.bytes().map(char::from).collect();
    let narrow: Vec<u8> = secret.chars().map(|letter| u8::try_from(letter).expect("Latin-1 has it")).collect();
    let name = masker.mask(secret).into_owned();
    assert!(name.starts_with("***"), "{name}");
    assert_eq!(masker.mask(&format!("not Bearer {misread}!")), format!("not Bearer {name}!"));
    assert_eq!(masker.mask(&String::from_utf8_lossy(&narrow)), name);
    assert_eq!(masker.mask_bytes(&narrow), name.as_bytes());
    let broken = "\u{fffd}".repeat(40);
    assert_eq!(Masker::new([("umlauts", "üüüüüüüü")]).expect("long enough").mask(&broken), broken, "nobody's secret");
}
