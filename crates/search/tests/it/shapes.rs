//! Schemas, documents that fit them, and queries of every form that they allow, drawn by chance.

use std::collections::BTreeMap;

use base::document::Document;
use base::rng::Rng;
use search::json::Json;
use search::schema::{Schema, Undeclared};

/// Words, the first of them the most common.
const WORDS: [&str; 15] = [
    "fox",
    "foxes",
    "quick",
    "brown",
    "lazy",
    "dog",
    "jumps",
    "jumping",
    "over",
    "river",
    "zebra",
    "of",
    "Häuser",
    "HÄUSER",
    "snake_case",
];

/// Strings that are compared as they are.
const NAMES: [&str; 7] = ["red", "green", "blue", "", "Grün", "blue-green", "RED"];

/// What an attribute has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Int,
    Uint,
    Float,
    Bool,
    DateTime,
    Uuid,
    Name,
    Text,
    /// Words that are tokens already.
    Tokens,
}

impl Kind {
    fn type_name(self) -> &'static str {
        match self {
            Self::Int => "int",
            Self::Uint => "uint",
            Self::Float => "float",
            Self::Bool => "bool",
            Self::DateTime => "datetime",
            Self::Uuid => "uuid",
            Self::Name | Self::Text | Self::Tokens => "string",
        }
    }

    fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::Uint | Self::Float)
    }

    fn is_string(self) -> bool {
        matches!(self, Self::Name | Self::Text | Self::Tokens)
    }
}

/// An attribute.
#[derive(Debug, Clone)]
struct Attribute {
    path: &'static str,
    kind: Kind,
    is_array: bool,
    is_filterable: bool,
    /// The options of its full-text search.
    text: Option<&'static str>,
}

/// A vector field.
#[derive(Debug, Clone, Copy)]
struct Vector {
    path: &'static str,
    dims: u64,
    element: &'static str,
    metric: &'static str,
    has_index: bool,
}

/// A schema, and what is needed to draw from it.
#[derive(Debug)]
pub(crate) struct Shape {
    attributes: Vec<Attribute>,
    vectors: Vec<Vector>,
    pub(crate) schema: Schema,
}

const TEXTS: [&str; 6] = [
    r#"{"stemming":true}"#,
    r#"{"k1":0.9,"b":0.4,"remove_stopwords":false}"#,
    r#"{"language":"german","stemming":true,"ascii_folding":true}"#,
    r#"{"case_sensitive":true,"tokenizer":"word_v1","max_token_length":6}"#,
    r#"{"k1":0,"b":0}"#,
    "true",
];
const TOKENS: &str = r#"{"tokenizer":"pre_tokenized_array"}"#;

fn attribute(path: &'static str, kind: Kind, is_array: bool) -> Attribute {
    Attribute { path, kind, is_array, is_filterable: true, text: None }
}

fn attributes() -> Vec<Attribute> {
    let one = |path, kind| attribute(path, kind, false);
    let array = |path, kind| attribute(path, kind, true);
    let text = |at: Attribute, options, is_filterable| Attribute {
        is_filterable,
        text: Some(options),
        ..at
    };
    vec![
        one("n", Kind::Int),
        one("m", Kind::Uint),
        one("f", Kind::Float),
        one("ok", Kind::Bool),
        one("a.b", Kind::DateTime),
        one("uid", Kind::Uuid),
        one("s", Kind::Name),
        array("tags", Kind::Name),
        array("ns", Kind::Int),
        array("fs", Kind::Float),
        array("days", Kind::DateTime),
        text(one("t", Kind::Text), TEXTS[0], false),
        text(array("u", Kind::Text), TEXTS[1], true),
        text(one("g", Kind::Text), TEXTS[2], true),
        text(array("p", Kind::Tokens), TOKENS, false),
    ]
}

const VECTORS: [Vector; 2] = [
    Vector { path: "v", dims: 2, element: "f32", metric: "euclidean_squared", has_index: true },
    Vector { path: "w", dims: 3, element: "i8", metric: "dot", has_index: false },
];

impl Shape {
    /// One with everything.
    pub(crate) fn usual() -> Self {
        Self::new(attributes(), VECTORS.to_vec())
    }

    /// One of many.
    pub(crate) fn of(rng: &mut Rng) -> Self {
        let mut some = attributes();
        some.retain(|_| rng.chance(750));
        for attribute in &mut some {
            if attribute.text.is_some() && attribute.kind == Kind::Text {
                attribute.text = Some(TEXTS[rng.index(TEXTS.len())]);
            }
            if rng.chance(200) {
                attribute.is_filterable = !attribute.is_filterable;
            }
        }
        let mut vectors = VECTORS.to_vec();
        vectors.retain(|_| rng.chance(850));
        for vector in &mut vectors {
            vector.dims = 1 + rng.below(5);
            vector.element = ["f32", "f16", "i8"][rng.index(3)];
            vector.metric = ["cosine_distance", "euclidean_squared", "dot"][rng.index(3)];
            vector.has_index = rng.chance(700);
        }
        Self::new(some, vectors)
    }

    fn new(attributes: Vec<Attribute>, vectors: Vec<Vector>) -> Self {
        let mut members: Vec<String> = Vec::new();
        for Attribute { path, kind, is_array, is_filterable, text } in &attributes {
            let array = if *is_array { "[]" } else { "" };
            let text = text.map_or(String::new(), |text| format!(",\"full_text_search\":{text}"));
            let name = kind.type_name();
            members.push(format!(
                "\"{path}\":{{\"type\":\"{array}{name}\",\"filterable\":{is_filterable}{text}}}"
            ));
        }
        for Vector { path, dims, element, metric, has_index } in &vectors {
            members.push(format!(
                "\"{path}\":{{\"type\":\"[{dims}]{element}\",\"distance_metric\":\"{metric}\",\"ann\":{has_index}}}"
            ));
        }
        let request = format!("{{{}}}", members.join(","));
        let request = Json::parse(request.as_bytes()).expect("JSON");
        let schema = Schema::new(Undeclared::Refuse).declare(request, None).expect("a schema");
        Self { attributes, vectors, schema: schema.schema }
    }

    /// A document that fits.
    pub(crate) fn document(&self, rng: &mut Rng) -> Document {
        let mut members: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for attribute in &self.attributes {
            if rng.chance(250) {
                continue;
            }
            let value = if attribute.is_array {
                let values: Vec<String> =
                    (0..rng.below(4)).map(|_| value(attribute.kind, rng)).collect();
                format!("[{}]", values.join(","))
            } else {
                value(attribute.kind, rng)
            };
            let (key, value) = match attribute.path.split_once('.') {
                Some((key, below)) => (key, format!("{{\"{below}\":{value}}}")),
                None => (attribute.path, value),
            };
            members.entry(key).or_default().push(value);
        }
        for vector in &self.vectors {
            if rng.chance(800) {
                members.entry(vector.path).or_default().push(vector.value(rng));
            }
        }
        let members: Vec<String> = members
            .into_iter()
            .map(|(key, values)| format!("\"{key}\":{}", values.concat()))
            .collect();
        let text = format!("{{{}}}", members.join(","));
        Document::parse(text.as_bytes()).expect("a document")
    }

    fn pick(&self, rng: &mut Rng, fits: impl Fn(&Attribute) -> bool) -> Option<&Attribute> {
        let found: Vec<&Attribute> = self.attributes.iter().filter(|one| fits(one)).collect();
        (!found.is_empty()).then(|| found[rng.index(found.len())])
    }

    /// A query of any form.
    pub(crate) fn query(&self, rng: &mut Rng) -> String {
        let mut members = Vec::new();
        if rng.chance(700) {
            members.push(format!("\"filters\":{}", self.filter(rng, 0, true)));
        }
        members.extend(self.rank(rng).map(|rank| format!("\"rank_by\":{rank}")));
        let per = self.pick(rng, |one| one.is_filterable && !one.is_array).map_or("id", |a| a.path);
        members.push(match rng.below(6) {
            0 => "\"limit\":3".to_owned(),
            1 => "\"limit\":5,\"offset\":2".to_owned(),
            2 => "\"limit\":0".to_owned(),
            3 => format!(
                "\"limit\":{{\"total\":6,\"per\":{{\"attributes\":[\"{per}\"],\"limit\":2}}}}"
            ),
            _ => "\"limit\":1000".to_owned(),
        });
        members.extend(self.numbers(rng));
        format!("{{{}}}", members.join(","))
    }

    /// Aggregates and facets, or nothing.
    fn numbers(&self, rng: &mut Rng) -> Vec<String> {
        let mut members = Vec::new();
        if rng.chance(400) {
            let mut aggregates = vec!["\"c\":[\"Count\"]".to_owned()];
            for label in ["x", "y", "z"] {
                aggregates.extend(self.aggregate(rng).map(|one| format!("\"{label}\":{one}")));
            }
            members.push(format!("\"aggregate_by\":{{{}}}", aggregates.join(",")));
            let keys: Vec<String> = (0..rng.below(3))
                .filter_map(|_| self.pick(rng, |one| one.is_filterable && !one.is_array))
                .map(|one| format!("\"{}\"", one.path))
                .collect();
            if !keys.is_empty() {
                members.push(format!("\"group_by\":[{}]", keys.join(",")));
            }
        }
        if rng.chance(250)
            && let Some(facet) = self.pick(rng, |one| one.is_filterable)
        {
            let limit = 1 + rng.below(5);
            members.push(format!(
                "\"facets\":[{{\"attribute\":\"{}\",\"limit\":{limit}}}]",
                facet.path
            ));
        }
        members
    }

    fn aggregate(&self, rng: &mut Rng) -> Option<String> {
        let (name, found) = match rng.below(3) {
            0 => ("Count", self.pick(rng, |one| one.is_filterable)),
            1 => {
                let is_number =
                    |one: &Attribute| one.is_filterable && !one.is_array && one.kind.is_number();
                (["Sum", "Avg"][rng.index(2)], self.pick(rng, is_number))
            }
            _ => {
                let is_one = |one: &Attribute| one.is_filterable && !one.is_array;
                (["Min", "Max"][rng.index(2)], self.pick(rng, is_one))
            }
        };
        Some(format!("[\"{name}\",\"{}\"]", found?.path))
    }

    /// A filter; with tests of words, where they may be.
    fn filter(&self, rng: &mut Rng, depth: u64, has_words: bool) -> String {
        if depth < 3 && rng.chance(350) {
            if rng.chance(300) {
                return format!("[\"Not\",{}]", self.filter(rng, depth + 1, has_words));
            }
            let name = ["And", "Or"][rng.index(2)];
            let filters: Vec<String> =
                (0..rng.below(4)).map(|_| self.filter(rng, depth + 1, has_words)).collect();
            return format!("[\"{name}\",[{}]]", filters.join(","));
        }
        if has_words
            && rng.chance(250)
            && let Some(text) = self.pick(rng, |one| one.text.is_some())
        {
            return words_test(text, rng);
        }
        match self.pick(rng, |one| one.is_filterable) {
            Some(array) if array.is_array => array_test(array, rng),
            Some(one) if rng.chance(900) => one_test(one, rng),
            Some(_) | None => id_test(rng),
        }
    }

    fn rank(&self, rng: &mut Rng) -> Option<String> {
        match rng.below(10) {
            0 | 1 => self.nearest(rng),
            2 | 3 => self.text(rng),
            4 => {
                let (one, other) = (self.text(rng)?, self.text(rng)?);
                let inner = self.expression(rng, 1);
                Some(match rng.below(3) {
                    0 => format!("[\"Sum\",[{one},[\"Product\",2,{other}]]]"),
                    1 => format!("[\"Sum\",[{one},{other},{inner}]]"),
                    _ => format!("[\"Max\",[[\"Product\",0.5,{one}],{other}]]"),
                })
            }
            5 | 6 => {
                let keys: Vec<String> = (0..1 + rng.below(3))
                    .map(|_| {
                        let found = self.pick(rng, |one| one.is_filterable && !one.is_array);
                        let path = found.map_or("id", |found| found.path);
                        format!("[\"{path}\",\"{}\"]", ["asc", "desc"][rng.index(2)])
                    })
                    .collect();
                Some(format!("[{}]", keys.join(",")))
            }
            // An expression that is a number alone would be no array.
            7 | 8 => Some(format!("[\"Sum\",[{}]]", self.expression(rng, 0))),
            _ => None,
        }
    }

    fn nearest(&self, rng: &mut Rng) -> Option<String> {
        if self.vectors.is_empty() {
            return None;
        }
        let vector = &self.vectors[rng.index(self.vectors.len())];
        let how = if vector.has_index && rng.chance(600) { "ANN" } else { "kNN" };
        Some(format!("[\"{}\",\"{how}\",{}]", vector.path, vector.value(rng)))
    }

    fn text(&self, rng: &mut Rng) -> Option<String> {
        let found = self.pick(rng, |one| one.text.is_some())?;
        let (path, count) = (found.path, 1 + rng.below(3));
        let options = match rng.below(8) {
            0 => ",{\"last_as_prefix\":true}",
            1 => ",{\"match\":\"all\"}",
            2 => ",{\"match\":\"phrase\"}",
            3 => ",{\"max_edit_distance\":1}",
            4 => {
                let text = ["quick +fox", "-dog ju*", "\\\"quick brown\\\" zebra~1", "+of lazy"];
                let text = text[rng.index(text.len())];
                return Some(format!("[\"{path}\",\"BM25\",\"{text}\",{{\"match\":\"boolean\"}}]"));
            }
            _ => "",
        };
        let text = if found.kind == Kind::Tokens { tokens(rng, count) } else { quoted(rng, count) };
        Some(format!("[\"{path}\",\"BM25\",{text}{options}]"))
    }

    /// A score of attributes.
    fn expression(&self, rng: &mut Rng, depth: u64) -> String {
        let list = |rng: &mut Rng| {
            let parts: Vec<String> =
                (0..1 + rng.below(3)).map(|_| self.expression(rng, depth + 1)).collect();
            parts.join(",")
        };
        let is_scored = |one: &Attribute| {
            let is_score = one.kind.is_number() || one.kind == Kind::Bool;
            one.is_filterable && !one.is_array && is_score
        };
        let deeper = if depth < 3 { 9 } else { 4 };
        match rng.below(deeper) {
            0 => ["2", "-0.5", "0.25"][rng.index(3)].to_owned(),
            1 => self.filter(rng, 2, false),
            2 | 3 => match self.pick(rng, is_scored) {
                Some(found) => format!("[\"Attribute\",\"{}\"]", found.path),
                None => "1".to_owned(),
            },
            4 => format!("[\"Sum\",[{}]]", list(rng)),
            5 => format!("[\"Max\",[{}]]", list(rng)),
            6 => format!("[\"Product\",[{}]]", list(rng)),
            7 => format!("[\"Dist\",{},1.5]", self.expression(rng, depth + 1)),
            _ => {
                let name = ["Saturate", "Decay"][rng.index(2)];
                let inner = self.expression(rng, depth + 1);
                format!("[\"{name}\",{inner},{{\"midpoint\":2,\"exponent\":1.5}}]")
            }
        }
    }
}

impl Vector {
    fn value(&self, rng: &mut Rng) -> String {
        // Whole numbers, so that every element type has them and many distances are equal.
        let elements: Vec<String> =
            (0..self.dims).map(|_| (rng.below(9).cast_signed() - 4).to_string()).collect();
        format!("[{}]", elements.join(","))
    }
}

fn word(rng: &mut Rng) -> &'static str {
    let (one, other) = (rng.index(WORDS.len()), rng.index(WORDS.len()));
    WORDS[one.min(other)]
}

/// A string of so many words.
fn quoted(rng: &mut Rng, words: u64) -> String {
    let words: Vec<&str> = (0..words).map(|_| word(rng)).collect();
    format!("\"{}\"", words.join(" "))
}

/// An array of so many words.
fn tokens(rng: &mut Rng, words: u64) -> String {
    let words: Vec<String> = (0..words).map(|_| quoted(rng, 1)).collect();
    format!("[{}]", words.join(","))
}

fn value(kind: Kind, rng: &mut Rng) -> String {
    match kind {
        // Beyond what a float has exactly.
        Kind::Int if rng.chance(20) => "9007199254740993".to_owned(),
        Kind::Int => (rng.below(12).cast_signed() - 4).to_string(),
        Kind::Uint if rng.chance(20) => u64::MAX.to_string(),
        Kind::Uint => rng.below(9).to_string(),
        // Sums of eighths are exact in whatever order.
        Kind::Float => format!("{:?}", rng.below(64) as f64 / 8.0 - 2.0),
        Kind::Bool => ["true", "false"][rng.index(2)].to_owned(),
        Kind::DateTime => {
            let time = ["", "T12:30:00Z", "T12:30:00.25Z"][rng.index(3)];
            format!("\"2024-01-{:02}{time}\"", 1 + rng.below(28))
        }
        Kind::Uuid => format!("\"00000000-0000-4000-8000-{:012}\"", rng.below(9)),
        Kind::Name => format!("\"{}\"", NAMES[rng.index(NAMES.len())]),
        Kind::Text => {
            let words = rng.below(9);
            quoted(rng, words)
        }
        Kind::Tokens => quoted(rng, 1),
    }
}

/// What an attribute is compared with: also what none has.
fn constant(kind: Kind, rng: &mut Rng) -> String {
    if !rng.chance(150) {
        return value(kind, rng);
    }
    match kind {
        Kind::Int | Kind::Uint => "2.5".to_owned(),
        Kind::Float => "1".to_owned(),
        Kind::Name => "\"none\"".to_owned(),
        Kind::Bool | Kind::DateTime | Kind::Uuid | Kind::Text | Kind::Tokens => value(kind, rng),
    }
}

fn constants(kind: Kind, rng: &mut Rng) -> String {
    let values: Vec<String> = (0..rng.below(4)).map(|_| constant(kind, rng)).collect();
    values.join(",")
}

/// A test of an attribute with one value.
fn one_test(one: &Attribute, rng: &mut Rng) -> String {
    let Attribute { path, kind, .. } = one;
    if kind.is_string() && rng.chance(400) {
        let (op, operand) = match rng.below(6) {
            0 => ("Glob", ["*e*", "r?d", "[a-g]*", "{red,blue*}"][rng.index(4)]),
            1 => ("NotGlob", ["*e*", "gr*"][rng.index(2)]),
            2 => ("IGlob", ["R*", "*Ü*"][rng.index(2)]),
            3 => ("NotIGlob", "r*"),
            4 => ("Regex", ["^(r|b).*e", "e$", "^$"][rng.index(3)]),
            _ => {
                let text = ["rad", "bluegreen", "fox"][rng.index(3)];
                return format!("[\"{path}\",\"Fuzzy\",\"{text}\",{{\"max_edit_distance\":1}}]");
            }
        };
        return format!("[\"{path}\",\"{op}\",\"{operand}\"]");
    }
    match rng.below(8) {
        0 => format!("[\"{path}\",\"Eq\",null]"),
        1 => format!("[\"{path}\",\"NotEq\",null]"),
        2 => {
            let null = if rng.chance(300) { "null," } else { "" };
            format!("[\"{path}\",\"In\",[{null}{}]]", constant(*kind, rng))
        }
        3 => format!("[\"{path}\",\"NotIn\",[{}]]", constants(*kind, rng)),
        _ => {
            let op = ["Eq", "NotEq", "Lt", "Lte", "Gt", "Gte"][rng.index(6)];
            format!("[\"{path}\",\"{op}\",{}]", constant(*kind, rng))
        }
    }
}

fn array_test(array: &Attribute, rng: &mut Rng) -> String {
    let Attribute { path, kind, .. } = array;
    match rng.below(8) {
        0 => format!("[\"{path}\",\"Eq\",null]"),
        1 => {
            let op = ["Eq", "NotEq"][rng.index(2)];
            format!("[\"{path}\",\"{op}\",[{}]]", constants(*kind, rng))
        }
        2 | 3 => {
            let op = ["ContainsAny", "NotContainsAny"][rng.index(2)];
            format!("[\"{path}\",\"{op}\",[{}]]", constants(*kind, rng))
        }
        _ => {
            let ops = ["Contains", "NotContains", "AnyLt", "AnyLte", "AnyGt", "AnyGte"];
            format!("[\"{path}\",\"{}\",{}]", ops[rng.index(6)], constant(*kind, rng))
        }
    }
}

fn words_test(text: &Attribute, rng: &mut Rng) -> String {
    let count = 1 + rng.below(2);
    let op = ["ContainsAllTokens", "ContainsAnyToken", "ContainsTokenSequence"][rng.index(3)];
    let words = if text.kind == Kind::Tokens { tokens(rng, count) } else { quoted(rng, count) };
    let options = if rng.chance(200) { ",{\"last_as_prefix\":true}" } else { "" };
    format!("[\"{}\",\"{op}\",{words}{options}]", text.path)
}

fn id_test(rng: &mut Rng) -> String {
    match rng.below(4) {
        0 => format!("[\"id\",\"In\",[3,{},\"id-10\"]]", rng.below(40)),
        1 => "[\"id\",\"Glob\",\"id-*\"]".to_owned(),
        2 => format!("[\"id\",\"Lt\",{}]", rng.below(40)),
        _ => format!("[\"id\",\"NotEq\",{}]", rng.below(40)),
    }
}
