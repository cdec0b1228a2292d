//! An expression asked of many rows at once: a column of numbers for each of its parts.
//!
//! What comes out for a row is, to the last bit, what [`Scorer::score_of`] says of that row alone: the same
//! operations in the same order.

use std::borrow::Cow;

use super::evaluate::{Node, Scorer, bend, finite};

/// For each row a number; none where it is missing.
pub(crate) type Column = Vec<Option<f64>>;

impl Scorer {
    /// The scores of `len` rows, given a column for each leaf, in the order of [`Scorer::leaves`].
    pub(crate) fn score_columns(&self, len: usize, leaves: &[Column]) -> Vec<f64> {
        let column = self.node().column(len, leaves);
        // Zero has one sign, as there.
        column.iter().map(|score| score.unwrap_or(0.0) + 0.0).collect()
    }
}

impl Node {
    /// Recursion ends at the depth that expressions may have.
    fn column<'c>(&self, len: usize, leaves: &'c [Column]) -> Cow<'c, [Option<f64>]> {
        let of = |node: &Self| node.column(len, leaves);
        let mapped = |node: &Self, map: &dyn Fn(f64) -> f64| {
            of(node).iter().map(|number| number.map(map)).collect::<Column>()
        };
        Cow::Owned(match self {
            Self::Constant(number) => vec![Some(*number); len],
            Self::Leaf(number) => {
                return leaves
                    .get(*number)
                    .map_or_else(|| Cow::Owned(vec![None; len]), |leaf| Cow::Borrowed(&leaf[..]));
            }
            Self::Sum(nodes) => reduced(len, nodes.iter().map(of), |a, b| finite(a + b)),
            Self::Max(nodes) => reduced(len, nodes.iter().map(of), f64::max),
            Self::Product(nodes) => {
                let mut products = vec![Some(1.0); len];
                for column in nodes.iter().map(of) {
                    for (product, number) in products.iter_mut().zip(column.iter()) {
                        *product = product.zip(*number).map(|(a, b)| finite(a * b));
                    }
                }
                products
            }
            Self::Dist(node, origin) => mapped(node, &|number| finite((number - origin).abs())),
            Self::Saturate(node, curve) => {
                mapped(node, &|number| 1.0 - 1.0 / (1.0 + bend(number, curve)))
            }
            Self::Decay(node, curve) => mapped(node, &|number| 1.0 / (1.0 + bend(number, curve))),
        })
    }
}

/// What is left of each row when what is missing is left out.
fn reduced<'c>(
    len: usize,
    columns: impl Iterator<Item = Cow<'c, [Option<f64>]>>,
    join: impl Fn(f64, f64) -> f64,
) -> Column {
    let mut reduced: Column = vec![None; len];
    for column in columns {
        for (one, other) in reduced.iter_mut().zip(column.iter()) {
            *one = match (*one, *other) {
                (Some(a), Some(b)) => Some(join(a, b)),
                (a, b) => a.or(b),
            };
        }
    }
    reduced
}

#[cfg(test)]
mod tests {
    use base::document::Document;
    use base::words::DocId;
    use proptest::prelude::*;

    use super::*;
    use crate::json::Json;
    use crate::rank::Rank;
    use crate::schema::{Schema, Undeclared};

    fn any_rank() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just(r#"["Attribute","a"]"#.to_owned()),
            Just(r#"["Attribute","b"]"#.to_owned()),
            Just(r#"["a","Gt",1]"#.to_owned()),
            (-9..9_i8).prop_map(|number| number.to_string()),
            Just("1e308".to_owned()),
        ];
        leaf.prop_recursive(4, 24, 3, |inner| {
            let list = prop::collection::vec(inner.clone(), 0..4);
            prop_oneof![
                (prop::sample::select(vec!["Sum", "Max", "Product"]), list)
                    .prop_map(|(name, ranks)| format!("[\"{name}\",[{}]]", ranks.join(","))),
                inner.clone().prop_map(|rank| format!("[\"Dist\",{rank},2]")),
                (prop::sample::select(vec!["Saturate", "Decay"]), inner).prop_map(
                    |(name, rank)| format!(
                        "[\"{name}\",{rank},{{\"midpoint\":3,\"exponent\":1.5}}]"
                    )
                ),
            ]
        })
    }

    proptest! {
        #[test]
        fn columns_score_as_rows_do(
            text in any_rank(),
            values in prop::collection::vec(
                (prop::option::of(-20..20_i8), prop::option::of(-1e3..1e3_f64)), 0..20,
            ),
        ) {
            let declared = Json::parse(br#"{"a":"int","b":"float"}"#).unwrap();
            let schema = Schema::new(Undeclared::Refuse).declare(declared, None).unwrap().schema;
            let rank = Rank::parse(Json::parse(text.as_bytes()).unwrap()).unwrap();
            let scorer = rank.compile(&schema).unwrap();
            let rows: Vec<_> = values
                .iter()
                .map(|(a, b)| {
                    let a = a.map_or("null".to_owned(), |a| a.to_string());
                    let b = b.map_or("null".to_owned(), |b| format!("{b:?}"));
                    let text = format!("{{\"a\":{a},\"b\":{b}}}");
                    let document = Document::parse(text.as_bytes()).unwrap();
                    schema.row(&DocId::U64(1), &document).unwrap()
                })
                .collect();
            let inputs: Vec<Column> = rows.iter().map(|row| scorer.inputs(row)).collect();
            let leaves: Vec<Column> = (0..scorer.leaves().len())
                .map(|leaf| inputs.iter().map(|inputs| inputs[leaf]).collect())
                .collect();
            let found = scorer.score_columns(rows.len(), &leaves);
            let expect: Vec<f64> = rows.iter().map(|row| scorer.score(row)).collect();
            prop_assert_eq!(found.len(), expect.len());
            for (found, expect) in found.iter().zip(&expect) {
                prop_assert_eq!(found.to_bits(), expect.to_bits(), "{}", text);
            }
        }
    }
}
