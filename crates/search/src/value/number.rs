//! Numbers compared as what they are: no conversion that rounds.

use std::cmp::Ordering;

use super::Value;

/// 2^64, beyond every integer that a value holds.
const TWO_64: f64 = 18_446_744_073_709_551_616.0;

/// A number in one of two forms, each number in exactly one of them, so that `Hash` agrees with
/// equality.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Exact {
    /// An integer between -2^64 and 2^64.
    Integer(i128),
    /// The bits of any other float.
    Float(u64),
}

impl Exact {
    /// The number of a value; none when it is something else.
    pub(super) fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Int(int) => Some(Self::Integer(i128::from(*int))),
            Value::Uint(uint) => Some(Self::Integer(i128::from(*uint))),
            Value::Float(float) if float.trunc() == *float && float.abs() <= TWO_64 =>
            {
                #[expect(clippy::cast_possible_truncation, reason = "integral and below 2^127")]
                Some(Self::Integer(*float as i128))
            }
            Value::Float(float) => Some(Self::Float(float.to_bits())),
            Value::Bool(_)
            | Value::DateTime(_)
            | Value::Uuid(_)
            | Value::String(_)
            | Value::Array(_) => None,
        }
    }

    pub(super) fn compare(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => a.cmp(&b),
            (Self::Float(a), Self::Float(b)) => f64::from_bits(a).total_cmp(&f64::from_bits(b)),
            (Self::Integer(a), Self::Float(b)) => compare(a, f64::from_bits(b)),
            (Self::Float(a), Self::Integer(b)) => compare(b, f64::from_bits(a)).reverse(),
        }
    }
}

/// An integer between -2^64 and 2^64 against a float that has a fraction or is beyond them.
fn compare(integer: i128, float: f64) -> Ordering {
    if float.abs() >= TWO_64 {
        return if float > 0.0 { Ordering::Less } else { Ordering::Greater };
    }
    // Whole numbers on both sides of the float: no integer is equal to it.
    #[expect(clippy::cast_possible_truncation, reason = "below 2^64 in absolute value")]
    let below = float.floor() as i128;
    if integer <= below { Ordering::Less } else { Ordering::Greater }
}
