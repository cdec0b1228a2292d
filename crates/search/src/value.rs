//! Values of attributes: their types, and the one order that filters, sorting and indexes share.
//!
//! The order is total. Numbers compare by what they are, exactly, whichever of int, uint and float holds
//! them: 2^53 + 1 as an int is more than 2^53 as a float. Values of different kinds sort by kind: bools,
//! numbers, datetimes, UUIDs, strings, arrays. There is no null: a value that is missing is `None`.
//!
//! Invariants: a float is finite; values that are equal hash alike. Start with [`Value`].

mod datetime;
mod decode;
mod number;

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use base::words::DocId;
use uuid::Uuid;

use crate::json::{write_list, write_string};

pub use datetime::DateTime;
pub use decode::{decode, natural};

/// What one value may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scalar {
    /// Text.
    String,
    /// An integer of 64 bits with a sign.
    Int,
    /// An integer of 64 bits without one.
    Uint,
    /// A number of 64 bits by IEEE 754.
    Float,
    /// True or false.
    Bool,
    /// A UUID.
    Uuid,
    /// A moment, to the nanosecond.
    DateTime,
}

impl Scalar {
    /// Every type.
    pub const ALL: [Self; 7] =
        [Self::String, Self::Int, Self::Uint, Self::Float, Self::Bool, Self::Uuid, Self::DateTime];

    /// Its name in schemas.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Int => "int",
            Self::Uint => "uint",
            Self::Float => "float",
            Self::Bool => "bool",
            Self::Uuid => "uuid",
            Self::DateTime => "datetime",
        }
    }

    /// Whether values of it are numbers.
    #[must_use]
    pub const fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::Uint | Self::Float)
    }
}

/// The type of an attribute: a scalar, or an array of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueType {
    /// Of the value, or of each element.
    pub scalar: Scalar,
    /// Whether it is an array.
    pub is_array: bool,
}

impl ValueType {
    /// One value.
    #[must_use]
    pub const fn one(scalar: Scalar) -> Self {
        Self { scalar, is_array: false }
    }

    /// An array.
    #[must_use]
    pub const fn array(scalar: Scalar) -> Self {
        Self { scalar, is_array: true }
    }

    /// The type of this name, as `int` or `[]string`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let (is_array, scalar) = match name.strip_prefix("[]") {
            Some(rest) => (true, rest),
            None => (false, name),
        };
        let scalar = Scalar::ALL.into_iter().find(|known| known.name() == scalar)?;
        Some(Self { scalar, is_array })
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.is_array { "[]" } else { "" }, self.scalar.name())
    }
}

/// The value of an attribute.
#[derive(Debug, Clone)]
pub enum Value {
    /// True or false.
    Bool(bool),
    /// An integer with a sign.
    Int(i64),
    /// An integer without a sign.
    Uint(u64),
    /// A finite number.
    Float(f64),
    /// A moment.
    DateTime(DateTime),
    /// A UUID.
    Uuid(Uuid),
    /// Text.
    String(Box<str>),
    /// Several of one scalar type.
    Array(Box<[Value]>),
}

impl Value {
    /// The value of the attribute `id`.
    #[must_use]
    pub fn of_id(id: &DocId) -> Self {
        match id {
            DocId::U64(number) => Self::Uint(*number),
            DocId::Uuid(uuid) => Self::Uuid(*uuid),
            DocId::Str(text) => Self::String(text.as_str().into()),
        }
    }

    /// The elements of an array, and of anything else the value itself.
    #[must_use]
    pub fn elements(&self) -> &[Value] {
        #[expect(clippy::wildcard_enum_match_arm, reason = "all but one stand for themselves")]
        match self {
            Self::Array(elements) => elements,
            scalar => std::slice::from_ref(scalar),
        }
    }

    /// The text of a string.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// The number nearest to it for calculating scores: a number itself (an integer beyond 2^53 is
    /// rounded), 1 and 0 for a bool, and for a datetime the seconds since 1970.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "scores are floats, as the documentation says")]
    pub fn to_score(&self) -> Option<f64> {
        match self {
            Self::Bool(bool) => Some(f64::from(u8::from(*bool))),
            Self::Int(int) => Some(*int as f64),
            Self::Uint(uint) => Some(*uint as f64),
            Self::Float(float) => Some(*float),
            Self::DateTime(moment) => Some(moment.seconds()),
            Self::Uuid(_) | Self::String(_) | Self::Array(_) => None,
        }
    }

    /// Whether both are of one kind, within which the order means something.
    #[must_use]
    pub const fn is_comparable(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }

    /// What kinds sort by.
    const fn rank(&self) -> u8 {
        match self {
            Self::Bool(_) => 0,
            Self::Int(_) | Self::Uint(_) | Self::Float(_) => 1,
            Self::DateTime(_) => 2,
            Self::Uuid(_) => 3,
            Self::String(_) => 4,
            Self::Array(_) => 5,
        }
    }

    /// Writes it as JSON: what [`decode()`] with its type reads back.
    pub fn write_json(&self, out: &mut String) {
        use fmt::Write as _;
        let _ = match self {
            Self::Bool(bool) => write!(out, "{bool}"),
            Self::Int(int) => write!(out, "{int}"),
            Self::Uint(uint) => write!(out, "{uint}"),
            // Debug, because Display writes 1e300 in three hundred digits.
            Self::Float(float) => write!(out, "{float:?}"),
            Self::DateTime(moment) => write!(out, "\"{moment}\""),
            Self::Uuid(uuid) => write!(out, "\"{uuid}\""),
            Self::String(text) => {
                write_string(text, out);
                Ok(())
            }
            Self::Array(elements) => {
                write_list(('[', ']'), elements, out, Value::write_json);
                Ok(())
            }
        };
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::DateTime(a), Self::DateTime(b)) => a.cmp(b),
            (Self::Uuid(a), Self::Uuid(b)) => a.cmp(b),
            (Self::String(a), Self::String(b)) => a.cmp(b),
            (Self::Array(a), Self::Array(b)) => a.cmp(b),
            _ => match (number::Exact::of(self), number::Exact::of(other)) {
                (Some(a), Some(b)) => a.compare(b),
                _ => self.rank().cmp(&other.rank()),
            },
        }
    }
}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Value {}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.rank().hash(state);
        match self {
            Self::Bool(bool) => bool.hash(state),
            Self::Int(_) | Self::Uint(_) | Self::Float(_) => {
                if let Some(number) = number::Exact::of(self) {
                    number.hash(state);
                }
            }
            Self::DateTime(moment) => moment.hash(state),
            Self::Uuid(uuid) => uuid.hash(state),
            Self::String(text) => text.hash(state),
            Self::Array(elements) => elements.hash(state),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::hash::DefaultHasher;

    use proptest::prelude::*;

    use super::*;
    use crate::json::Json;

    /// Any value, numbers often next to one another.
    pub(crate) fn any_scalar() -> impl Strategy<Value = Value> {
        let near = (0..64_u32, -1..=1_i64).prop_map(|(bit, by)| (1_i64 << bit).wrapping_add(by));
        prop_oneof![
            any::<bool>().prop_map(Value::Bool),
            near.clone().prop_map(Value::Int),
            any::<u64>().prop_map(Value::Uint),
            near.clone().prop_map(|int| Value::Uint(int.unsigned_abs())),
            near.prop_map(|int| Value::Float(int as f64)),
            prop::num::f64::NORMAL.prop_map(Value::Float),
            (-5_i32..5).prop_map(|halves| Value::Float(f64::from(halves) / 2.0)),
            (-5_i64..5).prop_map(Value::Int),
            any::<i64>().prop_map(|ns| Value::DateTime(DateTime::from_nanos(ns))),
            any::<u128>().prop_map(|bits| Value::Uuid(Uuid::from_u128(bits))),
            ".{0,6}".prop_map(|text| Value::String(text.into())),
        ]
    }

    fn any_value() -> impl Strategy<Value = Value> {
        prop_oneof![
            4 => any_scalar(),
            1 => prop::collection::vec(any_scalar(), 0..4).prop_map(|v| Value::Array(v.into())),
        ]
    }

    fn hash(value: &Value) -> u64 {
        let mut state = DefaultHasher::new();
        value.hash(&mut state);
        state.finish()
    }

    #[test]
    fn numbers_compare_exactly_whatever_holds_them() {
        const TWO_53: i64 = 1 << 53;
        let ascending = [
            Value::Float(-1e300),
            Value::Int(i64::MIN),
            Value::Float(-0.5),
            Value::Int(0),
            Value::Float(f64::MIN_POSITIVE),
            Value::Float(TWO_53 as f64),
            Value::Int(TWO_53 + 1),
            Value::Int(i64::MAX),
            Value::Float(9_223_372_036_854_775_808.0),
            Value::Uint((1 << 63) + 1),
            Value::Uint(u64::MAX),
            Value::Float(18_446_744_073_709_551_616.0),
        ];
        for (index, a) in ascending.iter().enumerate() {
            for (other, b) in ascending.iter().enumerate() {
                assert_eq!(a.cmp(b), index.cmp(&other), "{a:?} {b:?}");
            }
        }
        assert_eq!(Value::Float(-0.0), Value::Uint(0));
        assert_eq!(Value::Int(i64::MIN), Value::Float(-9_223_372_036_854_775_808.0));
    }

    #[test]
    fn types_read_back_from_their_names() {
        for scalar in Scalar::ALL {
            for kind in [ValueType::one(scalar), ValueType::array(scalar)] {
                assert_eq!(ValueType::parse(&kind.to_string()), Some(kind));
            }
        }
        for name in ["", "text", "[]", "[][]int", "Int", "[3]f32", "int "] {
            assert_eq!(ValueType::parse(name), None, "{name}");
        }
    }

    fn type_of(value: &Value) -> Option<Scalar> {
        Some(match value {
            Value::Bool(_) => Scalar::Bool,
            Value::Int(_) => Scalar::Int,
            Value::Uint(_) => Scalar::Uint,
            Value::Float(_) => Scalar::Float,
            Value::DateTime(_) => Scalar::DateTime,
            Value::Uuid(_) => Scalar::Uuid,
            Value::String(_) => Scalar::String,
            Value::Array(_) => return None,
        })
    }

    proptest! {
        #[test]
        fn the_order_is_total_and_agrees_with_equality_and_hash(
            a in any_value(), b in any_value(), c in any_value(),
        ) {
            prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
            prop_assert_eq!(a.cmp(&a.clone()), Ordering::Equal);
            if a <= b && b <= c {
                prop_assert!(a <= c);
            }
            if a == b {
                prop_assert_eq!(hash(&a), hash(&b));
                prop_assert_eq!(a.cmp(&c), b.cmp(&c));
            }
        }

        #[test]
        fn scalars_read_back_from_their_json(value in any_scalar()) {
            let mut text = String::new();
            value.write_json(&mut text);
            let scalar = type_of(&value).unwrap();
            let json = Json::parse(text.as_bytes()).unwrap();
            let back = decode(json, ValueType::one(scalar)).unwrap();
            prop_assert_eq!(back, Some(value));
        }

        #[test]
        fn ids_sort_as_values_do(a in any::<u64>(), b in any::<u128>(), c in "[a-c]{1,4}") {
            let ids = [
                DocId::U64(a), DocId::U64(a / 2), DocId::Uuid(Uuid::from_u128(b)),
                DocId::string(&c).unwrap(),
            ];
            for x in &ids {
                for y in &ids {
                    prop_assert_eq!(x.cmp(y), Value::of_id(x).cmp(&Value::of_id(y)));
                }
            }
        }
    }
}
