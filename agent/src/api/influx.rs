//! Measurements as SDKs of Testground send them to InfluxDB: its line protocol,
//! <https://docs.influxdata.com/influxdb/v1/write_protocols/line_protocol_reference/>. Pure.

use crate::limits;

/// Every number in it: the measurement's name and the field's, with a dot between, unless the field is called `value`.
pub(super) fn measured(body: &[u8]) -> Result<Vec<(String, f64)>, String> {
    let text = std::str::from_utf8(body).map_err(|_| "measurements are UTF-8".to_owned())?;
    let mut measured = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        let wrong = || format!("`{line}` is no line of measurements, as `joined,member=1 seconds=12.5` is");
        let mut parts = split(line, ' ');
        let (name, fields) = (parts.next().ok_or_else(wrong)?, parts.next().ok_or_else(wrong)?);
        let name = unescaped(split(name, ',').next().unwrap_or_default());
        for field in split(fields, ',') {
            let (key, value) = field.split_once('=').ok_or_else(wrong)?;
            let key = unescaped(key);
            // texts and truth values are no measurements, and what is no number is none
            if let Some(value) = value.trim_end_matches(['i', 'u']).parse().ok().filter(|value: &f64| value.is_finite())
            {
                let metric = if key == "value" { name.clone() } else { format!("{name}.{key}") };
                if metric.len() > limits::API_NAME_BYTES {
                    return Err(format!("a name has at most {} bytes", limits::API_NAME_BYTES));
                }
                measured.push((metric, value));
            }
        }
    }
    Ok(measured)
}

/// At what stands neither in quotes nor behind a backslash.
fn split(text: &str, at: char) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.split(move |character| {
        let splits = character == at && !is_quoted && !is_escaped;
        is_quoted ^= character == '"' && !is_escaped;
        is_escaped = character == '\\' && !is_escaped;
        splits
    })
}

fn unescaped(text: &str) -> String {
    text.replace("\\,", ",").replace("\\ ", " ").replace("\\=", "=")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_of_every_line_is_taken() {
        let body = b"joined,member=one,run=a\\ b value=12.5 1700000000\n\n# a remark\nsent\\ bytes bytes=7i,of=\"a, b\",ok=true,rate=0.5\nodd a=NaN,b=inf,c=1e999\n";
        let expected = [("joined", 12.5), ("sent bytes.bytes", 7.0), ("sent bytes.rate", 0.5)];
        let expected: Vec<(String, f64)> = expected.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        assert_eq!(measured(body), Ok(expected));
        assert_eq!(measured(b""), Ok(Vec::new()));
    }

    #[test]
    fn what_is_no_line_of_it_is_told() {
        for wrong in [&b"joined"[..], b"joined value", b"\xff"] {
            assert!(measured(wrong).is_err(), "{wrong:?}");
        }
        assert!(measured(format!("{} value=1", "n".repeat(limits::API_NAME_BYTES + 1)).as_bytes()).is_err());
    }
}
