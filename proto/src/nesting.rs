//! A bound on how deep a value from elsewhere may be nested.
//!
//! A level costs its sender a byte and its reader a frame of the stack, and the reader decodes before it knows whether the sender may
//! ask for anything. So types that hold themselves are read through here.

use std::cell::Cell;

use serde::de::{Deserializer, Error as _};

use crate::limits::NESTING_LEVELS;

thread_local! {
    static LEVEL: Cell<usize> = const { Cell::new(0) };
}

/// One level down, until it is dropped.
struct Level;

impl Drop for Level {
    fn drop(&mut self) {
        LEVEL.set(LEVEL.get() - 1);
    }
}

/// Reads one level with `read`.
pub(crate) fn bounded<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    read: impl FnOnce(D) -> Result<T, D::Error>,
) -> Result<T, D::Error> {
    let level = LEVEL.get();
    if level >= NESTING_LEVELS {
        return Err(D::Error::custom(format!("nested deeper than {NESTING_LEVELS} levels")));
    }
    LEVEL.set(level + 1);
    let _level = Level;
    read(deserializer)
}

#[cfg(test)]
mod tests {
    use crate::codec::Codec;
    use crate::expr::ValueTemplate;
    use crate::limits::{MESSAGE_BYTES, NESTING_LEVELS};
    use crate::matcher::Matcher;

    fn nots(levels: usize) -> Matcher {
        (1..levels).fold(Matcher::Exists(true), |inner, _| Matcher::Not(Box::new(inner)))
    }

    fn lists(levels: usize) -> ValueTemplate {
        (1..levels).fold(ValueTemplate::Null, |inner, _| ValueTemplate::List(vec![inner]))
    }

    #[test]
    fn what_is_nested_without_end_is_refused_and_the_stack_stands() {
        for codec in [Codec::Bincode, Codec::Json] {
            // twice: a refusal leaves no level behind
            for _ in 0..2 {
                let matcher = codec.encode(&nots(NESTING_LEVELS)).expect("small");
                assert_eq!(codec.decode::<Matcher>(&matcher).expect("as deep as may be"), nots(NESTING_LEVELS));
                let value = codec.encode(&lists(NESTING_LEVELS)).expect("small");
                assert_eq!(codec.decode::<ValueTemplate>(&value).expect("as deep as may be"), lists(NESTING_LEVELS));
                let matcher = codec.encode(&nots(NESTING_LEVELS + 1)).expect("small");
                let error = codec.decode::<Matcher>(&matcher).expect_err("too deep").to_string();
                assert!(error.contains("nested deeper than 64 levels"), "{error}");
                codec
                    .decode::<ValueTemplate>(&codec.encode(&lists(NESTING_LEVELS + 1)).expect("small"))
                    .expect_err("too deep");
            }
        }
        // `Not` of `Not`, and a list of one list, as long as a message may be
        let matcher = vec![6_u8; MESSAGE_BYTES];
        Codec::Bincode.decode::<Matcher>(&matcher).expect_err("too deep");
        let value: Vec<u8> = [4_u8, 1].into_iter().cycle().take(MESSAGE_BYTES).collect();
        Codec::Bincode.decode::<ValueTemplate>(&value).expect_err("too deep");
    }
}
