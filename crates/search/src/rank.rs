//! Scores that are calculated from attributes: `["Sum",[["Attribute","votes"],["Product",2,…]]]`.
//!
//! | expression | is |
//! |---|---|
//! | a number | itself |
//! | `["Attribute",a]` | the value; a bool is 1 or 0, a datetime its seconds since 1970 |
//! | a filter | 1 where it holds, 0 elsewhere |
//! | `[a,"BM25","words"]` | how well the text fits the words ([`TextMatch`]); 0 where it has none of them |
//! | `["Sum",[r…]]`, `["Max",[r…]]`, `["Product",r,r]`, `["Product",[r…]]` | what their names say |
//! | `["Dist",r,v]` | how far `r` is from `v`, a number or a datetime: never negative, of datetimes in seconds |
//! | `["Saturate",r,{midpoint,exponent}]` | 0 at 0 and below, 1/2 at the midpoint, towards 1 beyond |
//! | `["Decay",r,{midpoint,exponent}]` | 1 at 0 and below, 1/2 at the midpoint, towards 0 beyond |
//!
//! With `x = r / midpoint`, Saturate is `x^e / (1 + x^e)` and Decay `1 / (1 + x^e)`; the exponent is 1 unless
//! said. A midpoint may be a duration (`"12h"`, `"7d"`), which is its seconds.
//!
//! What is missing counts for nothing: a sum and a maximum leave it out, anything else of it is missing too,
//! and a row whose whole score is missing has 0. Scores are finite: what would be infinite is the greatest
//! number there is. An expression with BM25 finds only the rows that one of its BM25 parts matches. Distances of
//! vectors are not part of expressions: fuse two queries instead.

mod columns;
mod evaluate;
mod parse;

use crate::filter::Filter;
use crate::json::{write_list, write_string};
use crate::path::Path;
use crate::text::TextMatch;
use crate::value::Value;

pub(crate) use columns::Column;
pub(crate) use evaluate::Leaf;
pub use evaluate::Scorer;

/// Deepest nesting of an expression.
pub const RANK_DEPTH_MAX: usize = 16;
/// Most parts of an expression.
pub const RANK_NODES_MAX: usize = 256;

/// How a score is calculated; the greatest comes first.
#[derive(Debug, Clone, PartialEq)]
pub enum Rank {
    /// A number.
    Constant(f64),
    /// The value of an attribute.
    Attribute(Path),
    /// 1 where it holds, 0 elsewhere.
    Filter(Filter),
    /// BM25; 0 where the text does not match.
    Text(TextMatch),
    /// The sum.
    Sum(Vec<Rank>),
    /// The greatest.
    Max(Vec<Rank>),
    /// The product.
    Product(Vec<Rank>),
    /// The absolute difference.
    Dist(Box<Rank>, Value),
    /// Towards 1 with growing values.
    Saturate(Box<Rank>, Curve),
    /// Towards 0 with growing values.
    Decay(Box<Rank>, Curve),
}

/// How fast a curve bends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Curve {
    /// Where it is at one half; more than 0.
    pub midpoint: f64,
    /// How steep it is; more than 0.
    pub exponent: f64,
}

impl Rank {
    /// Writes it: one text for one expression, which [`Rank::parse`] reads back.
    pub fn write_json(&self, out: &mut String) {
        use std::fmt::Write as _;
        let list = |name: &str, ranks: &[Self], out: &mut String| {
            let _ = write!(out, "[\"{name}\",");
            write_list(('[', ']'), ranks, out, Self::write_json);
            out.push(']');
        };
        let curve = |name: &str, of: &Self, curve: &Curve, out: &mut String| {
            let _ = write!(out, "[\"{name}\",");
            of.write_json(out);
            let Curve { midpoint, exponent } = curve;
            let _ = write!(out, ",{{\"midpoint\":{midpoint:?},\"exponent\":{exponent:?}}}]");
        };
        match self {
            Self::Constant(number) => {
                let _ = write!(out, "{number:?}");
            }
            Self::Attribute(path) => {
                out.push_str("[\"Attribute\",");
                write_string(&path.to_string(), out);
                out.push(']');
            }
            Self::Filter(filter) => filter.write_json(out),
            Self::Text(text) => text.write_json(out),
            Self::Sum(ranks) => list("Sum", ranks, out),
            Self::Max(ranks) => list("Max", ranks, out),
            Self::Product(ranks) => list("Product", ranks, out),
            Self::Dist(of, origin) => {
                out.push_str("[\"Dist\",");
                of.write_json(out);
                out.push(',');
                origin.write_json(out);
                out.push(']');
            }
            Self::Saturate(of, by) => curve("Saturate", of, by, out),
            Self::Decay(of, by) => curve("Decay", of, by, out),
        }
    }
}
