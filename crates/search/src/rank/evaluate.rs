//! An expression against a schema, and asked of a row.
//!
//! The leaves of an expression (attributes, filters, texts) are numbered: whoever has their values elsewhere
//! than in a row, or gets those of texts later, gives them by these numbers.

use super::{Curve, Rank};
use crate::error::{Result, SearchError};
use crate::filter::Compiled;
use crate::place::Place;
use crate::schema::{FieldNo, Row, Schema};
use crate::text::TextQuery;
use crate::value::{DateTime, Scalar, Value, ValueType};

/// An expression that has been checked against a schema.
#[derive(Debug, Clone)]
pub struct Scorer {
    node: Node,
    leaves: Vec<Leaf>,
    texts: Vec<TextQuery>,
}

/// What an expression takes from a row.
#[derive(Debug, Clone)]
pub(crate) enum Leaf {
    /// The value of an attribute, as a number.
    Attribute(FieldNo),
    /// 1 where it holds, 0 elsewhere.
    Filter(Compiled),
    /// The number of a text.
    Text(usize),
}

#[derive(Debug, Clone)]
pub(super) enum Node {
    Constant(f64),
    /// Its number.
    Leaf(usize),
    Sum(Vec<Node>),
    Max(Vec<Node>),
    Product(Vec<Node>),
    Dist(Box<Node>, f64),
    Saturate(Box<Node>, Curve),
    Decay(Box<Node>, Curve),
}

impl Rank {
    /// Checks the expression against a schema.
    ///
    /// # Errors
    /// [`SearchError::Query`] with the place: an attribute that is not there, not filterable or neither number,
    /// bool nor datetime; a datetime compared with a number. And the errors of [`crate::filter`].
    pub fn compile(&self, schema: &Schema) -> Result<Scorer> {
        let mut scorer =
            Scorer { node: Node::Constant(0.0), leaves: Vec::new(), texts: Vec::new() };
        scorer.node = scorer.compile(self, schema, &Place::Member("rank_by"))?;
        Ok(scorer)
    }
}

impl Scorer {
    /// The texts that it scores. With any, it finds only the rows that one of them matches.
    #[must_use]
    pub fn texts(&self) -> &[TextQuery] {
        &self.texts
    }

    /// The score of a row that no text matches, finite; 0 when it is missing.
    #[must_use]
    pub fn score(&self, row: &Row) -> f64 {
        self.score_with(row, &[])
    }

    /// What it takes from a row, in the order of leaves.
    pub(crate) fn leaves(&self) -> &[Leaf] {
        &self.leaves
    }

    pub(super) const fn node(&self) -> &Node {
        &self.node
    }

    /// Whether it orders rows just as its one text does: what the text scores alike it scores alike, and of two other
    /// rows both put the same one first.
    pub(crate) fn orders_as_text(&self) -> bool {
        self.texts.len() == 1 && self.leaves.len() == 1 && orders_as_leaf(&self.node)
    }

    /// The score of a row, given those of its texts, in the order of [`Scorer::texts`].
    #[must_use]
    pub fn score_with(&self, row: &Row, texts: &[Option<f32>]) -> f64 {
        self.score_of(&self.inputs(row), texts)
    }

    /// What it takes from a row beside its texts, in the order of its leaves.
    pub(crate) fn inputs(&self, row: &Row) -> Vec<Option<f64>> {
        let input = |leaf: &Leaf| match leaf {
            Leaf::Attribute(number) => row.value(*number)?.to_score(),
            Leaf::Filter(filter) => Some(f64::from(u8::from(filter.matches(row)))),
            Leaf::Text(_) => None,
        };
        self.leaves.iter().map(input).collect()
    }

    /// The score of a row of which the inputs are known.
    pub(crate) fn score_of(&self, inputs: &[Option<f64>], texts: &[Option<f32>]) -> f64 {
        let score = self.node.score(&|leaf| match self.leaves.get(leaf)? {
            Leaf::Text(text) => Some(texts.get(*text).copied().flatten().map_or(0.0, f64::from)),
            Leaf::Attribute(_) | Leaf::Filter(_) => inputs.get(leaf).copied().flatten(),
        });
        // Zero has one sign: which of the two an answer and its cursor show must not depend on where a row is.
        score.unwrap_or(0.0) + 0.0
    }

    /// What each text is multiplied with, when the expression is nothing but a sum of texts, each times a
    /// number that is not negative: then the best rows are found without looking at others.
    #[must_use]
    pub fn weights_of_texts(&self) -> Option<Vec<f64>> {
        let mut weights = vec![0.0; self.texts.len()];
        let is_sum = self.add_weights(&self.node, 1.0, &mut weights);
        (is_sum && !weights.is_empty()).then_some(weights)
    }

    fn add_weights(&self, node: &Node, factor: f64, weights: &mut [f64]) -> bool {
        match node {
            Node::Leaf(leaf) => match self.leaves.get(*leaf) {
                Some(Leaf::Text(text)) => {
                    weights[*text] += factor;
                    true
                }
                _ => false,
            },
            Node::Sum(nodes) => nodes.iter().all(|node| self.add_weights(node, factor, weights)),
            Node::Product(nodes) => {
                let mut factor = factor;
                let mut inner = None;
                for node in nodes {
                    if let Node::Constant(number) = node {
                        factor = finite(factor * number);
                    } else if inner.replace(node).is_some() {
                        return false;
                    }
                }
                factor >= 0.0 && inner.is_some_and(|inner| self.add_weights(inner, factor, weights))
            }
            Node::Constant(_)
            | Node::Max(_)
            | Node::Dist(..)
            | Node::Saturate(..)
            | Node::Decay(..) => false,
        }
    }

    fn leaf(&mut self, leaf: Leaf) -> Node {
        self.leaves.push(leaf);
        Node::Leaf(self.leaves.len() - 1)
    }

    fn list(&mut self, ranks: &[Rank], schema: &Schema, place: &Place<'_>) -> Result<Vec<Node>> {
        let at = place.at(1);
        let ranks = ranks.iter().enumerate();
        ranks.map(|(index, rank)| self.compile(rank, schema, &at.at(index))).collect()
    }

    fn compile(&mut self, rank: &Rank, schema: &Schema, place: &Place<'_>) -> Result<Node> {
        Ok(match rank {
            Rank::Constant(number) => Node::Constant(*number),
            Rank::Attribute(path) => {
                let at = place.at(1);
                let number = match schema.attribute(path) {
                    Some((number, attribute)) if attribute.filterable => {
                        number_of(number, attribute.value_type, &at)?
                    }
                    Some(_) => {
                        let reason =
                            format!("`{path}` is not filterable; make it so in the schema");
                        return Err(SearchError::query(at, reason));
                    }
                    None => {
                        let reason = format!("the schema has no attribute `{path}`");
                        return Err(SearchError::query(at, reason));
                    }
                };
                self.leaf(Leaf::Attribute(number))
            }
            Rank::Filter(filter) => {
                let filter = filter.compile_at(schema, place)?;
                self.leaf(Leaf::Filter(filter))
            }
            Rank::Text(text) => {
                self.texts.push(text.compile_at(schema, place)?);
                self.leaf(Leaf::Text(self.texts.len() - 1))
            }
            Rank::Sum(ranks) => Node::Sum(self.list(ranks, schema, place)?),
            Rank::Max(ranks) => Node::Max(self.list(ranks, schema, place)?),
            Rank::Product(ranks) => Node::Product(self.list(ranks, schema, place)?),
            Rank::Dist(of, origin) => {
                let node = self.compile(of, schema, &place.at(1))?;
                Node::Dist(node.into(), origin_of(of, origin, schema, &place.at(2))?)
            }
            Rank::Saturate(of, curve) => {
                Node::Saturate(self.compile(of, schema, &place.at(1))?.into(), *curve)
            }
            Rank::Decay(of, curve) => {
                Node::Decay(self.compile(of, schema, &place.at(1))?.into(), *curve)
            }
        })
    }
}

/// Whether an expression is its leaf, times numbers of which no product meets the ends of what a number can be: 16
/// of them, one in another, and a score.
fn orders_as_leaf(node: &Node) -> bool {
    const WEIGHTS: std::ops::Range<f64> = 1e-9..1e9;
    match node {
        Node::Leaf(_) => true,
        Node::Sum(nodes) => matches!(nodes.as_slice(), [node] if orders_as_leaf(node)),
        Node::Product(nodes) => match nodes.as_slice() {
            [Node::Constant(weight), node] | [node, Node::Constant(weight)] => {
                WEIGHTS.contains(weight) && orders_as_leaf(node)
            }
            _ => false,
        },
        Node::Constant(_)
        | Node::Max(_)
        | Node::Dist(..)
        | Node::Saturate(..)
        | Node::Decay(..) => false,
    }
}

fn number_of(number: FieldNo, kind: ValueType, place: &Place<'_>) -> Result<FieldNo> {
    let is_number =
        matches!(kind.scalar, Scalar::Bool | Scalar::DateTime) || kind.scalar.is_number();
    if is_number && !kind.is_array {
        return Ok(number);
    }
    let reason =
        format!("a score is made of numbers, bools and datetimes; the attribute is {kind}");
    Err(SearchError::query(place, reason))
}

/// The number that a distance is measured from: of a datetime its seconds.
fn origin_of(of: &Rank, origin: &Value, schema: &Schema, place: &Place<'_>) -> Result<f64> {
    let is_datetime = matches!(of, Rank::Attribute(path) if schema
        .attribute(path)
        .is_some_and(|(_, attribute)| attribute.value_type.scalar == Scalar::DateTime));
    let seconds = origin.text().and_then(DateTime::parse).map(DateTime::seconds);
    match (is_datetime, seconds, origin.to_score()) {
        (true, Some(seconds), _) => Ok(seconds),
        (false, _, Some(number)) => Ok(number),
        (true, None, _) => {
            Err(SearchError::query(place, "expected a datetime, as the attribute is"))
        }
        (false, _, None) => Err(SearchError::query(place, "expected a number")),
    }
}

/// What is beyond the greatest number is that number. Of finite numbers no sum and no product is NaN.
pub(super) fn finite(number: f64) -> f64 {
    number.clamp(f64::MIN, f64::MAX)
}

/// `(r / midpoint)^exponent`: from 0 to infinity.
pub(super) fn bend(number: f64, curve: &Curve) -> f64 {
    (number.max(0.0) / curve.midpoint).powf(curve.exponent)
}

impl Node {
    /// Recursion ends at the depth that expressions may have.
    fn score(&self, leaf: &dyn Fn(usize) -> Option<f64>) -> Option<f64> {
        match self {
            Self::Constant(number) => Some(*number),
            Self::Leaf(number) => leaf(*number),
            Self::Sum(nodes) => {
                nodes.iter().filter_map(|node| node.score(leaf)).reduce(|a, b| finite(a + b))
            }
            Self::Max(nodes) => nodes.iter().filter_map(|node| node.score(leaf)).reduce(f64::max),
            Self::Product(nodes) => nodes
                .iter()
                .try_fold(1.0, |product, node| Some(finite(product * node.score(leaf)?))),
            Self::Dist(of, origin) => Some(finite((of.score(leaf)? - origin).abs())),
            Self::Saturate(of, curve) => Some(1.0 - 1.0 / (1.0 + bend(of.score(leaf)?, curve))),
            Self::Decay(of, curve) => Some(1.0 / (1.0 + bend(of.score(leaf)?, curve))),
        }
    }
}

#[cfg(test)]
mod tests {
    use base::document::Document;
    use base::error::{Code, Coded};
    use base::words::DocId;
    use proptest::prelude::*;

    use super::*;
    use crate::json::Json;
    use crate::schema::Undeclared;

    fn schema() -> Schema {
        let text = r#"{"n":"float","i":"int","b":"bool","d":"datetime","s":"string","a":"[]int",
            "h":{"type":"int","filterable":false},"gone":"float",
            "t":{"type":"string","full_text_search":true}}"#;
        let request = Json::parse(text.as_bytes()).unwrap();
        Schema::new(Undeclared::Refuse).declare(request, None).unwrap().schema
    }

    fn row(number: f64) -> Row {
        let text =
            format!(r#"{{"n":{number:?},"i":3,"b":true,"d":"1970-01-02","s":"x","a":[1],"h":1}}"#);
        schema().row(&DocId::U64(1), &Document::parse(text.as_bytes()).unwrap()).unwrap()
    }

    fn score(text: &str, number: f64) -> Result<f64> {
        let rank = Rank::parse(Json::parse(text.as_bytes()).unwrap())?;
        let mut out = String::new();
        rank.write_json(&mut out);
        assert_eq!(Rank::parse(Json::parse(out.as_bytes()).unwrap()), Ok(rank.clone()), "{out}");
        Ok(rank.compile(&schema())?.score(&row(number)))
    }

    #[test]
    fn a_score_of_nothing_has_one_sign() {
        for text in
            [r#"["Product",-2,["Dist",["Attribute","n"],8]]"#, r#"["Sum",[["Product",0,-1]]]"#]
        {
            assert!(score(text, 8.0).unwrap().is_sign_positive(), "{text}");
        }
    }

    #[test]
    fn expressions_are_what_their_names_say() {
        for (text, expect) in [
            ("2.5", 2.5),
            (r#"["Attribute","n"]"#, 8.0),
            (r#"["Attribute","b"]"#, 1.0),
            (r#"["Attribute","d"]"#, 86_400.0),
            (r#"["Sum",[["Attribute","n"],["Attribute","i"],0.5]]"#, 11.5),
            (r#"["Sum",[["Attribute","gone"],1]]"#, 1.0),
            (r#"["Sum",[]]"#, 0.0),
            (r#"["Max",[["Attribute","gone"],-1,-2]]"#, -1.0),
            (r#"["Product",2,["Attribute","i"]]"#, 6.0),
            (r#"["Product",[2,["Attribute","i"],0.5]]"#, 3.0),
            (r#"["Product",2,["Attribute","gone"]]"#, 0.0),
            (r#"["Decay",["Attribute","gone"],{"midpoint":1}]"#, 0.0),
            (r#"["Sum",[["s","Eq","x"],["Not",["i","Gt",2]]]]"#, 1.0),
            (r#"["Dist",["Attribute","n"],10]"#, 2.0),
            (r#"["Dist",["Attribute","d"],"1970-01-03T00:00:30Z"]"#, 86_430.0),
            (r#"["Saturate",["Attribute","n"],{"midpoint":8}]"#, 0.5),
            (r#"["Saturate",["Attribute","n"],{"midpoint":4,"exponent":2}]"#, 0.8),
            (r#"["Saturate",-3,{"midpoint":4}]"#, 0.0),
            (r#"["Decay",["Attribute","n"],{"midpoint":4,"exponent":2}]"#, 0.2),
            (r#"["Decay",0,{"midpoint":4}]"#, 1.0),
            (r#"["Decay",["Dist",["Attribute","d"],"1970-01-03"],{"midpoint":"1d"}]"#, 0.5),
            (r#"["Product",1e308,["Attribute","n"]]"#, f64::MAX),
            (r#"["Sum",[["Product",1e308,-10],["Product",1e308,10]]]"#, 0.0),
        ] {
            let found = score(text, 8.0).unwrap();
            assert!((found - expect).abs() < 1e-12, "{text}: {found}");
        }
    }

    #[test]
    fn what_is_no_expression_is_named_with_its_place() {
        for (text, place) in [
            ("{}", "rank_by"),
            (r#"["Sum",3]"#, "rank_by"),
            (r#"["Sum",[["Sum",[["Attribute","s"]]]]]"#, "rank_by[1][0][1][0][1]"),
            (r#"["Attribute","a"]"#, "rank_by[1]"),
            (r#"["Attribute","h"]"#, "rank_by[1]"),
            (r#"["Attribute","none"]"#, "rank_by[1]"),
            (r#"["Sum",[["s","Eq",1]]]"#, "rank_by[1][0][2]"),
            (r#"["Dist",["Attribute","d"],3]"#, "rank_by[2]"),
            (r#"["Dist",["Attribute","n"],"2024-01-01"]"#, "rank_by[2]"),
            (r#"["Dist",["Attribute","n"],null]"#, "rank_by[2]"),
            (r#"["Decay",1,{}]"#, "rank_by[2]"),
            (r#"["Decay",1,{"midpoint":0}]"#, "rank_by[2]"),
            (r#"["Decay",1,{"midpoint":"7x"}]"#, "rank_by[2]"),
            (r#"["Decay",1,{"midpoint":1,"exponent":-1}]"#, "rank_by[2]"),
            (r#"["Decay",1,{"midpoint":1,"half":1}]"#, "rank_by[2]"),
            (r#"["Sum",[["s","BM25","x"]]]"#, "rank_by[1][0][0]"),
            (r#"["gone","BM25","x",{"match":"some"}]"#, "rank_by[3]"),
            (r#"["t","BM25",1]"#, "rank_by[2]"),
            (r#"["t","BM25",["a",1]]"#, "rank_by[2][1]"),
            (r#"["t","BM25","x",{"max_edit_distance":3}]"#, "rank_by[3]"),
            (r#"["t","BM25","x",{"match":"boolean","last_as_prefix":true}]"#, "rank_by[3]"),
        ] {
            let error = score(text, 1.0).unwrap_err();
            let SearchError::Query { place: found, .. } = &error else { panic!("{text}: {error}") };
            assert_eq!(&**found, place, "{text}: {error}");
        }
        for text in [r#"["v","SparseKNN",{}]"#, r#"["Sum",[["v","ANN",[1]]]]"#] {
            assert_eq!(score(text, 1.0).unwrap_err().code(), Code::Unsupported, "{text}");
        }
        let deep = |n: usize| format!("{}1{}", "[\"Sum\",[".repeat(n), "]]".repeat(n));
        assert!(score(&deep(super::super::RANK_DEPTH_MAX), 1.0).is_ok());
        assert!(score(&deep(super::super::RANK_DEPTH_MAX + 1), 1.0).is_err());
        let wide = |n: usize| format!("[\"Sum\",[{}]]", vec!["1"; n].join(","));
        assert!(score(&wide(super::super::RANK_NODES_MAX - 1), 1.0).is_ok());
        assert!(score(&wide(super::super::RANK_NODES_MAX), 1.0).is_err());
    }

    #[test]
    fn texts_take_their_scores_from_whoever_searches_them() {
        let compile = |text: &str| {
            let rank = Rank::parse(Json::parse(text.as_bytes()).unwrap()).unwrap();
            let mut out = String::new();
            rank.write_json(&mut out);
            assert_eq!(
                Rank::parse(Json::parse(out.as_bytes()).unwrap()),
                Ok(rank.clone()),
                "{out}"
            );
            rank.compile(&schema()).unwrap()
        };
        let text = r#"["Sum",[["t","BM25","red fox"],["Product",2,["t","BM25",["a","b"],
            {"match":"all","last_as_prefix":true,"max_edit_distance":1}]],["Attribute","n"]]]"#;
        let scorer = compile(text);
        assert_eq!(scorer.texts().len(), 2);
        assert!((scorer.score_with(&row(8.0), &[Some(1.5), Some(0.25)]) - 10.0).abs() < 1e-9);
        assert!((scorer.score_with(&row(8.0), &[None, Some(0.25)]) - 8.5).abs() < 1e-9);
        assert!((scorer.score(&row(8.0)) - 8.0).abs() < 1e-9);
        for (text, expect) in [
            (text, None),
            ("3", None),
            (r#"["t","BM25","a"]"#, Some(vec![1.0])),
            (
                r#"["Product",2,["Sum",[["t","BM25","a"],["Product",[0.5,["t","BM25","b"],3]]]]]"#,
                Some(vec![2.0, 3.0]),
            ),
            (r#"["Product",-1,["t","BM25","a"]]"#, None),
            (r#"["Product",["t","BM25","a"],["t","BM25","a"]]"#, None),
            (r#"["Max",[["t","BM25","a"]]]"#, None),
        ] {
            assert_eq!(compile(text).weights_of_texts(), expect, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_score_is_finite_and_curves_stay_between_0_and_1(
            number in prop::num::f64::NORMAL | prop::num::f64::ZERO | prop::num::f64::SUBNORMAL,
            midpoint in prop::num::f64::POSITIVE | prop::num::f64::SUBNORMAL,
            exponent in 1e-9..1e9_f64,
        ) {
            let midpoint = midpoint.abs();
            for name in ["Saturate", "Decay"] {
                let text = format!(
                    r#"["{name}",["Dist",["Attribute","n"],{number:?}],{{"midpoint":{midpoint:?},"exponent":{exponent:?}}}]"#
                );
                let found = score(&text, -number).unwrap();
                prop_assert!((0.0..=1.0).contains(&found), "{} {}", text, found);
            }
            let text = r#"["Product",["Attribute","n"],["Sum",[["Attribute","n"],["Attribute","n"]]]]"#;
            prop_assert!(score(text, number).unwrap().is_finite());
        }
    }
}
