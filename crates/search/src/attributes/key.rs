//! Values as keys of a dictionary: bytes that sort as the values do.
//!
//! | value | tag | bytes behind it |
//! |---|---|---|
//! | bool | 1 | 0 or 1 |
//! | int | 2 | 8, big-endian, the sign bit flipped |
//! | uint | 3 | 8, big-endian |
//! | float | 4 | 8, big-endian; the sign bit of a positive one flipped, every bit of a negative one |
//! | datetime | 5 | 8, nanoseconds as an int |
//! | UUID | 6 | 16 |
//! | string | 7 | its UTF-8 |
//!
//! Zero with a minus is kept as zero. A dictionary has values of one type, so that int, uint and float never
//! meet in one; that of ids has uints, UUIDs and strings, whose tags sort as these kinds do.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]
#![expect(clippy::big_endian_bytes, reason = "keys are compared byte by byte")]

use std::cmp::Ordering;

use uuid::Uuid;

use super::error::{Result, damaged};
use crate::value::{DateTime, Value};

const BOOL: u8 = 1;
const INT: u8 = 2;
const UINT: u8 = 3;
const FLOAT: u8 = 4;
const DATETIME: u8 = 5;
const UUID: u8 = 6;
const STRING: u8 = 7;

const SIGN: u64 = 1 << 63;

/// Whether a key is that of a string, of which any beginning may stand for it where it separates blocks.
pub(super) fn is_string(key: &[u8]) -> bool {
    key.first() == Some(&STRING)
}

/// The text of a string's key.
pub(super) fn text(key: &[u8]) -> Option<&str> {
    match key.split_first() {
        Some((&STRING, text)) => std::str::from_utf8(text).ok(),
        _ => None,
    }
}

/// Appends the key of a value that is no array.
pub(super) fn encode(value: &Value, out: &mut Vec<u8>) {
    let mut word = |tag: u8, bits: u64| {
        out.push(tag);
        out.extend_from_slice(&bits.to_be_bytes());
    };
    match value {
        Value::Bool(bool) => out.extend_from_slice(&[BOOL, u8::from(*bool)]),
        Value::Int(int) => word(INT, int.cast_unsigned() ^ SIGN),
        Value::Uint(uint) => word(UINT, *uint),
        Value::Float(float) => {
            // Zero, whichever sign it has.
            let bits = if *float == 0.0 { 0 } else { float.to_bits() };
            word(FLOAT, if bits & SIGN == 0 { bits ^ SIGN } else { !bits });
        }
        Value::DateTime(moment) => word(DATETIME, moment.nanos().cast_unsigned() ^ SIGN),
        Value::Uuid(uuid) => {
            out.push(UUID);
            out.extend_from_slice(uuid.as_bytes());
        }
        Value::String(text) => {
            out.push(STRING);
            out.extend_from_slice(text.as_bytes());
        }
        Value::Array(_) => {}
    }
}

/// The value of a key.
pub(super) fn decode(key: &[u8]) -> Result<Value> {
    let malformed = || damaged("a value of a dictionary is malformed");
    let (tag, rest) = key.split_first().ok_or_else(malformed)?;
    let word = || <[u8; 8]>::try_from(rest).map(u64::from_be_bytes).map_err(|_| malformed());
    Ok(match *tag {
        BOOL => match rest {
            [0] => Value::Bool(false),
            [1] => Value::Bool(true),
            _ => return Err(malformed()),
        },
        INT => Value::Int((word()? ^ SIGN).cast_signed()),
        UINT => Value::Uint(word()?),
        FLOAT => {
            let bits = word()?;
            let float = f64::from_bits(if bits & SIGN == 0 { !bits } else { bits ^ SIGN });
            if !float.is_finite() {
                return Err(malformed());
            }
            Value::Float(float)
        }
        DATETIME => Value::DateTime(DateTime::from_nanos((word()? ^ SIGN).cast_signed())),
        UUID => Value::Uuid(Uuid::from_bytes(rest.try_into().map_err(|_| malformed())?)),
        STRING => Value::String(std::str::from_utf8(rest).map_err(|_| malformed())?.into()),
        _ => return Err(malformed()),
    })
}

/// How the value of a key compares with another. A key that is malformed is less than anything.
pub(super) fn compare(key: &[u8], target: &Value) -> Ordering {
    match (key.split_first(), target) {
        (Some((&STRING, text)), Value::String(target)) => text.cmp(target.as_bytes()),
        _ => compare_kinds(key, target)
            .then_with(|| decode(key).map_or(Ordering::Less, |value| value.cmp(target))),
    }
}

/// How the beginning of a string's key compares with a text: equal when the string begins with it.
pub(super) fn compare_beginnings(key: &[u8], target: &str) -> Ordering {
    match key.split_first() {
        Some((&STRING, text)) => text.get(..target.len()).unwrap_or(text).cmp(target.as_bytes()),
        Some((tag, _)) => tag.cmp(&STRING),
        None => Ordering::Less,
    }
}

/// How the kind of a key compares with that of a value: all numbers are of one kind.
pub(super) fn compare_kinds(key: &[u8], target: &Value) -> Ordering {
    let kind = match key.first() {
        Some(&(INT | UINT | FLOAT)) => UINT,
        Some(tag) => *tag,
        None => 0,
    };
    let target = match target {
        Value::Bool(_) => BOOL,
        Value::Int(_) | Value::Uint(_) | Value::Float(_) => UINT,
        Value::DateTime(_) => DATETIME,
        Value::Uuid(_) => UUID,
        Value::String(_) => STRING,
        Value::Array(_) => u8::MAX,
    };
    kind.cmp(&target)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::value::tests::any_scalar;

    fn key(value: &Value) -> Vec<u8> {
        let mut out = Vec::new();
        encode(value, &mut out);
        out
    }

    fn is_one_type(a: &Value, b: &Value) -> bool {
        std::mem::discriminant(a) == std::mem::discriminant(b)
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for bytes in [
            &[][..],
            &[BOOL],
            &[BOOL, 2],
            &[INT, 1, 2, 3],
            &[UUID; 5],
            &[STRING, 0xFF],
            &[99, 1],
            &[FLOAT, 0xFF, 0xF8, 0, 0, 0, 0, 0, 0],
        ] {
            assert!(decode(bytes).is_err(), "{bytes:?}");
            assert_ne!(compare(bytes, &Value::Bool(false)), Ordering::Equal);
        }
    }

    proptest! {
        #[test]
        fn keys_read_back_and_sort_as_their_values(a in any_scalar(), b in any_scalar()) {
            prop_assert_eq!(&decode(&key(&a)).unwrap(), &a);
            prop_assert_eq!(compare(&key(&a), &b), a.cmp(&b));
            if is_one_type(&a, &b) {
                prop_assert_eq!(key(&a).cmp(&key(&b)), a.cmp(&b));
            }
        }
    }
}
