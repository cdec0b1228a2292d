//! Whether two JSON values are the same value, however they are written.
//!
//! Numbers are compared as the decimal numbers they stand for, of any size and precision and
//! without rounding: `1`, `1.0` and `10e-1` are one number, `-0` is `0`. Strings and keys are
//! compared once escapes are decoded, byte by byte and without Unicode normalization. The order
//! of an object's members does not count.
#![deny(clippy::indexing_slicing)]

use std::cmp::Ordering;

use base::document::Decoded;

use super::text::{Kind, Span, key_at, value_at};

/// Whether `a` and `b` are the same value. Linear, except that the keys of objects whose members
/// stand in different order are sorted. Recursion is as deep as documents nest.
pub(super) fn equal(a: Span<'_>, b: Span<'_>) -> bool {
    match (a.kind(), b.kind()) {
        _ if a.bytes() == b.bytes() => true,
        (Some(Kind::Object), Some(Kind::Object)) => objects(a, b),
        (Some(Kind::Array), Some(Kind::Array)) => arrays(a, b),
        (None, None) => scalars(a.bytes(), b.bytes()),
        _ => false,
    }
}

fn arrays(a: Span<'_>, b: Span<'_>) -> bool {
    let (mut left, mut right) = (a.entries(), b.entries());
    loop {
        match (left.as_mut().and_then(Iterator::next), right.as_mut().and_then(Iterator::next)) {
            (Some(a), Some(b)) if equal(a.value, b.value) => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}

/// Where a key and its value begin.
type Member = (u32, u32);

fn objects(a: Span<'_>, b: Span<'_>) -> bool {
    let count = |span: Span<'_>| span.entries().into_iter().flatten().count();
    if count(a) != count(b) {
        return false;
    }
    let (mut left, mut right) = (members(a), members(b));
    let same_keys = |left: &[Member], right: &[Member]| {
        left.iter().zip(right).all(|(x, y)| by_key(a, x.0, b, y.0).is_eq())
    };
    if !same_keys(&left, &right) {
        left.sort_unstable_by(|x, y| by_key(a, x.0, a, y.0));
        right.sort_unstable_by(|x, y| by_key(b, x.0, b, y.0));
        if !same_keys(&left, &right) {
            return false;
        }
    }
    left.iter().zip(&right).all(|(x, y)| equal(value_at(a, x.1), value_at(b, y.1)))
}

fn members(of: Span<'_>) -> Vec<Member> {
    let entries = of.entries().into_iter().flatten();
    entries.filter_map(|entry| Some((entry.key.offset()?, entry.value.start()))).collect()
}

fn by_key(a: Span<'_>, x: u32, b: Span<'_>, y: u32) -> Ordering {
    key_at(a, x).decoded().cmp(key_at(b, y).decoded())
}

fn scalars(a: &[u8], b: &[u8]) -> bool {
    match (a.first(), b.first()) {
        (Some(b'"'), Some(b'"')) => Decoded::new(content(a)).eq(Decoded::new(content(b))),
        (Some(b'-' | b'0'..=b'9'), Some(b'-' | b'0'..=b'9')) => numbers(a, b),
        // The three words are what they are written as, and those are not the same.
        _ => false,
    }
}

/// What stands between the quotes.
fn content(string: &[u8]) -> &[u8] {
    string.get(1..string.len().saturating_sub(1)).unwrap_or_default()
}

/// Whether two numbers, as JSON writes them, are the same.
pub(crate) fn numbers(a: &[u8], b: &[u8]) -> bool {
    let (a, b) = (Decimal::read(a), Decimal::read(b));
    match (a.is_zero(), b.is_zero()) {
        (true, true) => true,
        (false, false) => {
            a.negative == b.negative && a.digits().eq(b.digits()) && a.scale() == b.scale()
        }
        _ => false,
    }
}

/// A number as it is written: sign, digits before and after the point, exponent.
struct Decimal<'a> {
    negative: bool,
    /// Without leading zeros.
    integer: &'a [u8],
    fraction: &'a [u8],
    exponent_negative: bool,
    /// Without leading zeros.
    exponent: &'a [u8],
}

impl<'a> Decimal<'a> {
    fn read(text: &'a [u8]) -> Self {
        let (negative, text) = signed(text);
        let (mantissa, exponent) = split(text, |byte| matches!(byte, b'e' | b'E'));
        let (integer, fraction) = split(mantissa, |byte| *byte == b'.');
        let (exponent_negative, exponent) = signed(exponent);
        Self {
            negative,
            integer: without_leading_zeros(integer),
            fraction,
            exponent_negative,
            exponent: without_leading_zeros(exponent),
        }
    }

    fn is_zero(&self) -> bool {
        self.integer.iter().chain(self.fraction).all(|digit| *digit == b'0')
    }

    /// The digits from the first to the last that is not zero.
    fn digits(&self) -> impl Iterator<Item = u8> {
        let trailing = |digits: &[u8]| digits.iter().rev().take_while(|d| **d == b'0').count();
        let fraction_zeros = trailing(self.fraction);
        let more = if fraction_zeros == self.fraction.len() { trailing(self.integer) } else { 0 };
        let count = self.integer.len() + self.fraction.len() - fraction_zeros - more;
        let digits = self.integer.iter().chain(self.fraction).take(count);
        digits.copied().skip_while(|digit| *digit == b'0')
    }

    /// Where the point is: the number is 0.DIGITS times ten to this power.
    fn scale(&self) -> Scale {
        let places = if self.integer.is_empty() {
            let zeros = self.fraction.iter().take_while(|digit| **digit == b'0').count();
            -i128::try_from(zeros).unwrap_or(i128::MAX)
        } else {
            i128::try_from(self.integer.len()).unwrap_or(i128::MAX)
        };
        Scale::sum(self.exponent_negative, self.exponent, places)
    }
}

/// A power of ten of any size: the number that stands in the text plus what the place of the
/// point adds, which is less than 2^32.
#[derive(Debug, PartialEq, Eq)]
enum Scale {
    Small(i128),
    /// Sign and decimal digits of one whose written part is beyond [`SMALL_DIGITS`] digits.
    Large {
        negative: bool,
        digits: Vec<u8>,
    },
}

/// Digits of an exponent that surely fit 128 bits with room to add to.
const SMALL_DIGITS: usize = 36;

impl Scale {
    fn sum(negative: bool, exponent: &[u8], places: i128) -> Self {
        if exponent.len() <= SMALL_DIGITS {
            return Self::small(negative, exponent, places);
        }
        // The places cannot change the sign of so large a number. Towards the sign they add.
        let digits = shifted(exponent, if negative { -places } else { places });
        // A small one has at most one digit more than what is written, and so has this one if it
        // is the same number.
        if digits.len() <= SMALL_DIGITS + 1 {
            return Self::small(negative, &digits, 0);
        }
        Self::Large { negative, digits }
    }

    fn small(negative: bool, digits: &[u8], places: i128) -> Self {
        let push = |sum, digit: &u8| sum * 10 + i128::from(digit.saturating_sub(b'0'));
        let magnitude = digits.iter().fold(0, push);
        Self::Small(if negative { places - magnitude } else { places + magnitude })
    }
}

/// The decimal number `digits` plus `change`, which is smaller, as digits without leading zeros.
fn shifted(digits: &[u8], change: i128) -> Vec<u8> {
    let mut carry = change;
    let mut sum: Vec<u8> = digits.to_vec();
    for digit in sum.iter_mut().rev() {
        if carry == 0 {
            break;
        }
        let value = i128::from(digit.saturating_sub(b'0')) + carry;
        *digit = b'0' + u8::try_from(value.rem_euclid(10)).unwrap_or(0);
        carry = value.div_euclid(10);
    }
    if carry > 0 {
        sum.splice(0..0, carry.to_string().into_bytes());
    }
    without_leading_zeros(&sum).to_vec()
}

fn signed(text: &[u8]) -> (bool, &[u8]) {
    match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    }
}

/// What comes before and after the first byte that `is_mark`; nothing after it if there is none.
fn split(text: &[u8], is_mark: impl Fn(&u8) -> bool) -> (&[u8], &[u8]) {
    let mut parts = text.splitn(2, is_mark);
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
}

fn without_leading_zeros(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    digits.get(zeros..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::text::Text;
    use super::*;

    fn check(a: &str, b: &str, expect: bool) {
        let (left, right) = (Text::new(a.as_bytes()), Text::new(b.as_bytes()));
        let (x, y) = (left.parts().1, right.parts().1);
        assert_eq!(equal(x, y), expect, "{a} and {b}");
        assert_eq!(equal(y, x), expect, "{b} and {a}");
    }

    #[test]
    fn numbers_are_compared_as_decimals_of_any_size() {
        let nines = "9".repeat(36);
        let zeros = "0".repeat(36);
        let long = "123456789".repeat(20);
        let same: &[(&str, &str)] = &[
            ("1", "1.0"),
            ("1", "1e0"),
            ("1", "10e-1"),
            ("1", "0.1E+1"),
            ("100", "1e2"),
            ("1200", "0.0012e6"),
            ("-0", "0"),
            ("0", "0.000e99999999999999999999999999999999999999999"),
            ("-1.50", "-15e-1"),
            ("1e007", "1e7"),
            (&format!("{long}.0"), &long),
            (&format!("{long}0"), &format!("{long}e1")),
            (&format!("1e{nines}"), &format!("10e{}8", &nines[1..])),
            (&format!("0.1e1{zeros}"), &format!("1e{nines}")),
            (&format!("10e-1{zeros}"), &format!("1e-{nines}")),
            (&format!("10e1{zeros}"), &format!("1e1{}1", &zeros[1..])),
        ];
        for (a, b) in same {
            check(a, b, true);
        }
    }

    #[test]
    fn numbers_that_differ_in_the_last_digit_differ() {
        let nines = "9".repeat(40);
        let different: &[(&str, &str)] = &[
            ("1", "-1"),
            ("0", "1"),
            ("0", "1e-9999999999999999999999999999999999999999999999"),
            ("10", "1"),
            ("1.0000000000000000000000000000000001", "1"),
            ("9007199254740993", "9007199254740992"),
            ("0.1", "0.10000000000000000555"),
            ("1e400", "1e401"),
            ("101", "11"),
            (&format!("1e{nines}"), &format!("1e-{nines}")),
            (&format!("1e{nines}"), &format!("10e{nines}")),
        ];
        for (a, b) in different {
            check(a, b, false);
        }
    }

    #[test]
    fn strings_are_compared_once_decoded() {
        check(r#""a/é😀\n""#, r#""\u0061\/\u00E9\ud83d\ude00\u000a""#, true);
        check(r#""a""#, r#""A""#, false);
        check(r#""""#, r#""\u0000""#, false);
        check(r#""e\u0301""#, r#""é""#, false);
        check(r#""1""#, "1", false);
    }

    #[test]
    fn words_are_themselves_alone() {
        let words = ["true", "false", "null", "0", "\"\"", "[]", "{}"];
        for a in words {
            for b in words {
                check(a, b, a == b);
            }
        }
    }

    #[test]
    fn objects_are_sets_of_members_and_arrays_are_lists() {
        check(r#"{"a":1,"b":[1,2]}"#, r#"{ "b" : [ 1.0, 2 ], "\u0061" : 1 }"#, true);
        check(r#"{"a":{"b":1,"c":2}}"#, r#"{"a":{"c":2,"b":1}}"#, true);
        check(r#"{"a":1,"b":2}"#, r#"{"a":2,"b":1}"#, false);
        check(r#"{"a":1}"#, r#"{"a":1,"b":2}"#, false);
        check(r#"{"a":1,"b":2}"#, r#"{"a":1,"c":2}"#, false);
        check("[1,2]", "[2,1]", false);
        check("[1,2]", "[1]", false);
        check("[ ]", "[]", true);
        check("[]", "[null]", false);
    }
}
