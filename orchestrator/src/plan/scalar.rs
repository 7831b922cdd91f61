//! What an unquoted scalar means, by YAML 1.2's core schema (section 10.3.2 of the specification), without its `.inf` and
//! `.nan`: JSON cannot carry them, so they are text.

use super::tree::{Kind, Style, Text};

/// The kind of an unquoted scalar.
#[must_use]
pub fn plain(text: &str) -> Kind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Kind::Null,
        "true" | "True" | "TRUE" => Kind::Bool(true),
        "false" | "False" | "FALSE" => Kind::Bool(false),
        _ if is_number(text) => Kind::Number(text.to_owned()),
        _ => Kind::Text(Text { value: text.to_owned(), style: Style::Plain }),
    }
}

fn is_number(text: &str) -> bool {
    if let Some(digits) = text.strip_prefix("0x") {
        return !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return !digits.is_empty() && digits.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    }
    is_decimal(text.strip_prefix(['+', '-']).unwrap_or(text))
}

fn is_decimal(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let mantissa_holds = match mantissa.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty()),
        None => !mantissa.is_empty() && digits(mantissa),
    };
    let exponent_holds = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    mantissa_holds && exponent_holds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unquoted_scalars_follow_the_core_schema() {
        for number in ["0", "4242", "-1", "+1", "1.5", ".5", "1.", "1e3", "1.5E-3", "0x1F", "0o17"] {
            assert_eq!(plain(number), Kind::Number(number.to_owned()), "{number}");
        }
        for text in
            ["5s", "100%", "1.2.3", "-", "+", ".", "e5", "1e", "0x", "0o8", "yes", "on", ".nan", "127.0.0.1:80", "< 5"]
        {
            assert!(matches!(plain(text), Kind::Text(_)), "{text}");
        }
        assert_eq!(plain("~"), Kind::Null);
        assert_eq!(plain("TRUE"), Kind::Bool(true));
    }
}
