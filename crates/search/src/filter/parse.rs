//! Filters as clients write them: `["a","Eq",1]`, `["And",[…]]`, `["Or",[…]]`, `["Not",…]`.

use super::{
    FILTER_DEPTH_MAX, FILTER_NODES_MAX, FILTER_PATTERNS_MAX, FILTER_VALUES_MAX, FUZZY_BYTES_MAX,
    Filter, Op, Operand, Test,
};
use crate::error::{Result, SearchError};
use crate::json::{Json, Kind};
use crate::path::Path;
use crate::place::Place;
use crate::text::texts;
use crate::value::natural;

/// Most characters that a fuzzy test may forgive.
const EDITS_MAX: u8 = 2;

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// [`SearchError::Query`] with the place and what belongs there.
    pub fn parse(json: Json<'_>) -> Result<Self> {
        Self::parse_at(json, &Place::Member("filters"))
    }

    /// As [`Filter::parse`], of a filter that stands somewhere else.
    pub(crate) fn parse_at(json: Json<'_>, place: &Place<'_>) -> Result<Self> {
        let mut size = Size::default();
        size.parse(json, place)
    }

    /// Whether a JSON value looks like a filter: an array that begins with a logical operator, or with an
    /// attribute and an operator.
    pub(crate) fn is_one(json: Json<'_>) -> bool {
        let Some(mut elements) = json.elements() else { return false };
        let first = elements.next().and_then(Json::string);
        let second = elements.next().and_then(Json::string);
        matches!(first.as_deref(), Some("And" | "Or" | "Not"))
            || second.is_some_and(|name| Op::ALL.iter().any(|op| op.name() == name))
    }
}

/// How large a filter is so far.
#[derive(Debug, Default)]
pub(crate) struct Size {
    nodes: usize,
    values: usize,
    patterns: usize,
}

impl Size {
    /// Reads a filter that is one of several which share their bounds.
    pub(crate) fn parse(&mut self, json: Json<'_>, place: &Place<'_>) -> Result<Filter> {
        self.filter(json, place, 0)
    }

    fn filter(&mut self, json: Json<'_>, place: &Place<'_>, depth: usize) -> Result<Filter> {
        self.nodes += 1;
        if self.nodes > FILTER_NODES_MAX || depth > FILTER_DEPTH_MAX {
            let reason = format!(
                "a filter has at most {FILTER_NODES_MAX} tests, {FILTER_DEPTH_MAX} deep; \
                 write many values of one attribute as In"
            );
            return Err(SearchError::query(place, reason));
        }
        let shape = "a filter is [\"attribute\",\"Eq\",value], [\"And\",[filters]], \
                     [\"Or\",[filters]] or [\"Not\",filter]";
        let parts: Vec<Json<'_>> = json.elements().into_iter().flatten().take(5).collect();
        let name = parts.first().and_then(|part| part.string());
        match (name.as_deref(), parts.as_slice()) {
            (Some("And"), [_, list]) => Ok(Filter::And(self.list(*list, &place.at(1), depth)?)),
            (Some("Or"), [_, list]) => Ok(Filter::Or(self.list(*list, &place.at(1), depth)?)),
            (Some("Not"), [_, inner]) => {
                Ok(Filter::Not(self.filter(*inner, &place.at(1), depth + 1)?.into()))
            }
            (Some(attribute), [_, op, operand]) => {
                self.test(attribute, *op, (*operand, None), place).map(Filter::Test)
            }
            (Some(attribute), [_, op, operand, options]) => {
                self.test(attribute, *op, (*operand, Some(*options)), place).map(Filter::Test)
            }
            _ => Err(SearchError::query(place, format!("{shape}; found {}", json.excerpt()))),
        }
    }

    fn list(&mut self, json: Json<'_>, place: &Place<'_>, depth: usize) -> Result<Vec<Filter>> {
        let Some(elements) = json.elements() else {
            return Err(SearchError::query(place, "expected an array of filters"));
        };
        elements
            .enumerate()
            .map(|(index, filter)| self.filter(filter, &place.at(index), depth + 1))
            .collect()
    }

    fn test(
        &mut self,
        attribute: &str,
        op: Json<'_>,
        (operand, options): (Json<'_>, Option<Json<'_>>),
        place: &Place<'_>,
    ) -> Result<Test> {
        let path = Path::parse(attribute)
            .map_err(|error| SearchError::query(place.at(0), error.to_string()))?;
        let name = op.string().unwrap_or_default();
        let Some(op) = Op::ALL.into_iter().find(|known| known.name() == name) else {
            let known: Vec<&str> = Op::ALL.iter().map(|known| known.name()).collect();
            let reason = format!("unknown operator; there are {}", known.join(", "));
            return Err(SearchError::query(place.at(1), reason));
        };
        if options.is_some() && op != Op::Fuzzy && !op.takes_tokens() {
            let reason = format!("{name} has no options");
            return Err(SearchError::query(place.at(3), reason));
        }
        self.patterns += usize::from(op.takes_pattern());
        if self.patterns > FILTER_PATTERNS_MAX {
            let reason = format!("a filter has at most {FILTER_PATTERNS_MAX} patterns; join some");
            return Err(SearchError::query(place, reason));
        }
        let operand = if operand.kind() == Kind::Object {
            ref_new(operand, &place.at(2))?
        } else if op == Op::Fuzzy {
            let text = text(operand, &place.at(2))?;
            if text.len() > FUZZY_BYTES_MAX {
                let reason = format!("a string of Fuzzy has at most {FUZZY_BYTES_MAX} bytes");
                return Err(SearchError::query(place.at(2), reason));
            }
            Operand::Fuzzy { edits: edits(options, &text, &place.at(3))?, text }
        } else if op.takes_tokens() {
            let texts = texts(operand, &place.at(2))?;
            Operand::Tokens { texts, last_as_prefix: last_as_prefix(options, &place.at(3))? }
        } else {
            self.values(operand, &place.at(2))?
        };
        Ok(Test { path, op, operand })
    }

    fn values(&mut self, json: Json<'_>, place: &Place<'_>) -> Result<Operand> {
        let read = |json: Json<'_>, place: &Place<'_>| {
            if json.kind() == Kind::Null {
                return Ok(None);
            }
            natural(json).map(Some).map_err(|reason| SearchError::query(place, reason))
        };
        let Some(elements) = json.elements() else { return Ok(Operand::One(read(json, place)?)) };
        let mut values = Vec::new();
        for (index, element) in elements.enumerate() {
            self.values += 1;
            if self.values > FILTER_VALUES_MAX {
                let reason = format!("a filter has at most {FILTER_VALUES_MAX} values");
                return Err(SearchError::query(place, reason));
            }
            values.push(read(element, &place.at(index))?);
        }
        Ok(Operand::Many(values))
    }
}

fn text(json: Json<'_>, place: &Place<'_>) -> Result<Box<str>> {
    let text = json.string().ok_or_else(|| SearchError::query(place, "expected a string"))?;
    Ok(text.into())
}

fn ref_new(json: Json<'_>, place: &Place<'_>) -> Result<Operand> {
    let name = json.get("$ref_new").and_then(Json::string);
    let only = json.members().map(Iterator::count) == Some(1);
    match name {
        Some(name) if only => Path::parse(&name)
            .map(Operand::RefNew)
            .map_err(|error| SearchError::query(place, error.to_string())),
        _ => Err(SearchError::query(place, "expected a value or {\"$ref_new\":\"attribute\"}")),
    }
}

/// How many characters may be wrong: as asked, or none in two characters, one in five, and two in more.
fn edits(options: Option<Json<'_>>, text: &str, place: &Place<'_>) -> Result<u8> {
    let Some(value) = option(options, "max_edit_distance", place)? else {
        return Ok(match text.chars().count() {
            0..=2 => 0,
            3..=5 => 1,
            _ => EDITS_MAX,
        });
    };
    value
        .number()
        .and_then(|text| text.parse().ok())
        .filter(|edits| *edits <= EDITS_MAX)
        .ok_or_else(|| SearchError::query(place, "max_edit_distance is 0, 1 or 2"))
}

fn last_as_prefix(options: Option<Json<'_>>, place: &Place<'_>) -> Result<bool> {
    match option(options, "last_as_prefix", place)?.map(Json::kind) {
        None => Ok(false),
        Some(Kind::Bool(bool)) => Ok(bool),
        Some(Kind::Null | Kind::Number | Kind::String | Kind::Array | Kind::Object) => {
            Err(SearchError::query(place, "last_as_prefix is true or false"))
        }
    }
}

/// The only option that there is.
fn option<'a>(
    options: Option<Json<'a>>,
    name: &str,
    place: &Place<'_>,
) -> Result<Option<Json<'a>>> {
    let Some(options) = options else { return Ok(None) };
    let others = options.members().map(|mut members| members.any(|(found, _)| found != name));
    if others != Some(false) {
        let reason = format!("expected an object of the option `{name}`");
        return Err(SearchError::query(place, reason));
    }
    Ok(options.get(name))
}
