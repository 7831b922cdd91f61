//! Text beside a failure, cut to what one event may carry.

use meshproof_proto::event::Evidence;
use meshproof_proto::limits::EVENT_TEXT_BYTES;

use crate::limits;

/// Evidence whose text is cut to [`EVENT_TEXT_BYTES`].
pub fn evidence(title: impl Into<String>, text: &str) -> Evidence {
    Evidence { title: title.into(), text: cut(text, EVENT_TEXT_BYTES) }
}

/// The text, or its beginning with a mark that says how long it was.
pub fn cut(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    format!("{}… ({} bytes in all)", &text[..text.floor_char_boundary(bytes)], text.len())
}

/// As much of the evidence as one result may carry, the first first.
pub(crate) fn within_budget(mut all: Vec<Evidence>) -> Vec<Evidence> {
    let mut left = limits::EVIDENCE_BYTES;
    for item in &mut all {
        if item.text.len() > left {
            item.text = cut(&item.text, left);
        }
        left = left.saturating_sub(item.text.len());
    }
    all.retain(|item| !item.text.is_empty());
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_text_says_how_long_it_was_and_never_splits_a_character() {
        assert_eq!(cut("aé", 3), "aé");
        assert_eq!(cut("aé…", 2), "a… (6 bytes in all)");
    }
}
