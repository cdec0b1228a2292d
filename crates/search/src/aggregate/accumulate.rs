//! The counting itself: rows go in one by one, totals come out.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::{Aggregate, GROUPS_MAX, Group, Total};
use crate::column::Column;
use crate::error::{Result, SearchError};
use crate::path::Path;
use crate::place::Place;
use crate::schema::{Row, Schema};
use crate::value::Value;

/// The totals of a query, by groups.
#[derive(Debug, Clone)]
pub(crate) struct Totals {
    group_by: Vec<Column>,
    aggregates: Vec<(Kind, Option<Column>)>,
    groups: BTreeMap<Vec<Option<Value>>, Vec<Accumulator>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Count,
    Sum,
    Min,
    Max,
    Avg,
}

impl Totals {
    /// Finds the attributes in the schema and checks their types.
    pub(crate) fn new(
        aggregates: &[(String, Aggregate)],
        group_by: &[Path],
        schema: &Schema,
    ) -> Result<Self> {
        let place = Place::Member("group_by");
        let group_by = group_by
            .iter()
            .enumerate()
            .map(|(index, path)| Column::find_one(path, schema, &place.at(index)))
            .collect::<Result<Vec<_>>>()?;
        let place = Place::Member("aggregate_by");
        let aggregates = aggregates
            .iter()
            .enumerate()
            .map(|(index, (_, aggregate))| compile(aggregate, schema, &place.at(index)))
            .collect::<Result<Vec<_>>>()?;
        let mut totals = Self { group_by, aggregates, groups: BTreeMap::new() };
        if totals.group_by.is_empty() && !totals.aggregates.is_empty() {
            // The one group is there even of no rows.
            let accumulators = totals.accumulators();
            totals.groups.insert(Vec::new(), accumulators);
        }
        Ok(totals)
    }

    fn accumulators(&self) -> Vec<Accumulator> {
        vec![Accumulator::default(); self.aggregates.len()]
    }

    /// Counts a row.
    pub(crate) fn add(&mut self, row: &Row) -> Result<()> {
        if self.aggregates.is_empty() {
            return Ok(());
        }
        let key = self.group_by.iter().map(|column| column.value(row).cloned()).collect();
        let (count, fresh) = (self.groups.len(), self.accumulators());
        let accumulators = match self.groups.entry(key) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(_) if count >= GROUPS_MAX => {
                let reason =
                    format!("there are more than {GROUPS_MAX} groups; filter or group less");
                return Err(SearchError::query("group_by", reason));
            }
            Entry::Vacant(entry) => entry.insert(fresh),
        };
        for ((kind, column), accumulator) in self.aggregates.iter().zip(accumulators) {
            match column {
                None => accumulator.count += 1,
                Some(column) => {
                    if let Some(value) = column.value(row) {
                        accumulator.add(*kind, value);
                    }
                }
            }
        }
        Ok(())
    }

    /// The groups, in the order of their keys, what is missing first.
    pub(crate) fn finish(self) -> Vec<Group> {
        let aggregates = self.aggregates;
        let groups = self.groups.into_iter().map(|(key, accumulators)| {
            let totals = aggregates.iter().zip(accumulators);
            Group {
                key,
                totals: totals.map(|((kind, column), sum)| sum.total(*kind, *column)).collect(),
            }
        });
        groups.collect()
    }
}

fn compile(
    aggregate: &Aggregate,
    schema: &Schema,
    place: &Place<'_>,
) -> Result<(Kind, Option<Column>)> {
    let Some(path) = aggregate.path() else { return Ok((Kind::Count, None)) };
    let kind = match aggregate {
        Aggregate::Count | Aggregate::CountOf(_) => {
            return Ok((Kind::Count, Some(Column::find(path, schema, place)?)));
        }
        Aggregate::Sum(_) => Kind::Sum,
        Aggregate::Min(_) => Kind::Min,
        Aggregate::Max(_) => Kind::Max,
        Aggregate::Avg(_) => Kind::Avg,
    };
    let column = Column::find_one(path, schema, place)?;
    let is_number = column.value_type().is_some_and(|kind| kind.scalar.is_number());
    if matches!(kind, Kind::Sum | Kind::Avg) && !is_number {
        let reason = format!("Sum and Avg are of int, uint and float; `{path}` is not one of them");
        return Err(SearchError::query(place, reason));
    }
    Ok((kind, Some(column)))
}

/// What is known of the values so far.
#[derive(Debug, Clone, Default)]
struct Accumulator {
    count: u64,
    /// Of integers: 2^64 of them fit.
    integers: i128,
    /// Of floats, and what rounding has lost of it.
    floats: f64,
    lost: f64,
    extreme: Option<Value>,
}

impl Accumulator {
    fn add(&mut self, kind: Kind, value: &Value) {
        self.count += 1;
        let replaces = match (kind, &self.extreme) {
            (Kind::Count, _) => false,
            (Kind::Sum | Kind::Avg, _) => {
                self.add_number(value);
                false
            }
            (Kind::Min | Kind::Max, None) => true,
            (Kind::Min, Some(least)) => value < least,
            (Kind::Max, Some(greatest)) => value > greatest,
        };
        if replaces {
            self.extreme = Some(value.clone());
        }
    }

    fn add_number(&mut self, value: &Value) {
        match value {
            Value::Int(int) => self.integers += i128::from(*int),
            Value::Uint(uint) => self.integers += i128::from(*uint),
            Value::Float(float) => {
                let sum = (self.floats + float).clamp(f64::MIN, f64::MAX);
                self.lost += if self.floats.abs() >= float.abs() {
                    (self.floats - sum) + float
                } else {
                    (float - sum) + self.floats
                };
                self.floats = sum;
            }
            Value::Bool(_)
            | Value::DateTime(_)
            | Value::Uuid(_)
            | Value::String(_)
            | Value::Array(_) => {}
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a mean is a float")]
    fn total(self, kind: Kind, column: Option<Column>) -> Total {
        let is_float = column
            .and_then(Column::value_type)
            .is_some_and(|kind| kind.scalar == crate::value::Scalar::Float);
        let sum = (self.floats + self.lost).clamp(f64::MIN, f64::MAX);
        match kind {
            Kind::Count => Total::Integer(i128::from(self.count)),
            Kind::Sum if is_float => Total::Float(sum),
            Kind::Sum => Total::Integer(self.integers),
            Kind::Avg if self.count == 0 => Total::Missing,
            Kind::Avg if is_float => Total::Float(sum / self.count as f64),
            Kind::Avg => Total::Float(self.integers as f64 / self.count as f64),
            Kind::Min | Kind::Max => self.extreme.map_or(Total::Missing, Total::Value),
        }
    }
}

/// Counts the values of one attribute.
#[derive(Debug, Clone)]
pub(crate) struct FacetCounter {
    column: Column,
    limit: usize,
    counts: BTreeMap<Value, u64>,
}

impl FacetCounter {
    pub(crate) fn new(facet: &super::Facet, schema: &Schema, place: &Place<'_>) -> Result<Self> {
        let column = Column::find(&facet.path, schema, place)?;
        Ok(Self { column, limit: facet.limit, counts: BTreeMap::new() })
    }

    /// Counts a row; a value that stands twice in its array counts once.
    pub(crate) fn add(&mut self, row: &Row) -> Result<()> {
        let elements = self.column.value(row).map(Value::elements).unwrap_or_default();
        let mut different: Vec<&Value> = elements.iter().collect();
        different.sort_unstable();
        different.dedup();
        for value in different {
            if let Some(count) = self.counts.get_mut(value) {
                *count += 1;
            } else if self.counts.len() >= GROUPS_MAX {
                let reason = format!("a facet has more than {GROUPS_MAX} values; filter more");
                return Err(SearchError::query("facets", reason));
            } else {
                self.counts.insert(value.clone(), 1);
            }
        }
        Ok(())
    }

    /// The commonest values first, of two equally common the lesser.
    pub(crate) fn finish(self) -> Vec<(Value, u64)> {
        let mut counts: Vec<(Value, u64)> = self.counts.into_iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        counts.truncate(self.limit);
        counts
    }
}
