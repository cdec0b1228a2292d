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

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
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
            Entry::Vacant(_) if count >= GROUPS_MAX => return Err(too_many_groups()),
            Entry::Vacant(entry) => entry.insert(fresh),
        };
        for ((kind, column), accumulator) in self.aggregates.iter().zip(accumulators) {
            match column {
                None => accumulator.add_rows(1),
                Some(column) => {
                    if let Some(value) = column.value(row) {
                        accumulator.add(*kind, value);
                    }
                }
            }
        }
        Ok(())
    }

    /// The attributes that rows are grouped by.
    pub(crate) fn group_by(&self) -> &[Column] {
        &self.group_by
    }

    /// What is counted, of which attributes: of none, rows.
    pub(crate) fn aggregates(&self) -> &[(Kind, Option<Column>)] {
        &self.aggregates
    }

    /// Adds what was counted of the rows of a group: as many sums as there are aggregates.
    pub(crate) fn add_group(
        &mut self,
        key: Vec<Option<Value>>,
        sums: impl IntoIterator<Item = Accumulator>,
    ) -> Result<()> {
        let (count, fresh) = (self.groups.len(), self.accumulators());
        let accumulators = match self.groups.entry(key) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(_) if count >= GROUPS_MAX => return Err(too_many_groups()),
            Entry::Vacant(entry) => entry.insert(fresh),
        };
        for (((kind, _), sum), more) in self.aggregates.iter().zip(accumulators).zip(sums) {
            sum.merge(*kind, more);
        }
        Ok(())
    }

    /// Adds the totals of other rows, of the same query.
    ///
    /// # Errors
    /// [`SearchError::Query`] when there are more groups than a query may have.
    pub(crate) fn merge(&mut self, other: Self) -> Result<()> {
        other.groups.into_iter().try_for_each(|(key, sums)| self.add_group(key, sums))
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

pub(crate) fn too_many_groups() -> SearchError {
    let reason = format!("there are more than {GROUPS_MAX} groups; filter or group less");
    SearchError::query("group_by", reason)
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
pub(crate) struct Accumulator {
    count: u64,
    /// Of integers: 2^64 of them fit.
    integers: i128,
    /// Of floats, and what rounding has lost of it.
    floats: f64,
    lost: f64,
    extreme: Option<Value>,
}

impl Accumulator {
    /// Rows, whatever they have.
    pub(crate) fn add_rows(&mut self, rows: u64) {
        self.count += rows;
    }

    pub(crate) fn add(&mut self, kind: Kind, value: &Value) {
        self.add_times(kind, value, 1);
    }

    /// A value that so many rows have; one at least.
    pub(crate) fn add_times(&mut self, kind: Kind, value: &Value, rows: u64) {
        self.count += rows;
        match kind {
            Kind::Count => {}
            Kind::Sum | Kind::Avg => self.add_number(value, rows),
            Kind::Min | Kind::Max => self.add_extreme(kind, value),
        }
    }

    fn add_extreme(&mut self, kind: Kind, value: &Value) {
        let replaces = match &self.extreme {
            None => true,
            Some(least) if kind == Kind::Min => value < least,
            Some(greatest) => value > greatest,
        };
        if replaces {
            self.extreme = Some(value.clone());
        }
    }

    /// What was counted of other rows.
    fn merge(&mut self, kind: Kind, other: Self) {
        self.count += other.count;
        self.integers += other.integers;
        self.add_float(other.floats);
        self.lost += other.lost;
        if let Some(value) = &other.extreme {
            self.add_extreme(kind, value);
        }
    }

    fn add_float(&mut self, float: f64) {
        let sum = (self.floats + float).clamp(f64::MIN, f64::MAX);
        self.lost += if self.floats.abs() >= float.abs() {
            (self.floats - sum) + float
        } else {
            (float - sum) + self.floats
        };
        self.floats = sum;
    }

    #[expect(clippy::cast_precision_loss, reason = "2^53 rows are more than there are")]
    fn add_number(&mut self, value: &Value, rows: u64) {
        match value {
            Value::Int(int) => self.integers += i128::from(*int) * i128::from(rows),
            Value::Uint(uint) => self.integers += i128::from(*uint) * i128::from(rows),
            Value::Float(float) => {
                let rows = rows as f64;
                let product = (float * rows).clamp(f64::MIN, f64::MAX);
                self.add_float(product);
                // What rounding the product has lost; beyond the greatest float nothing is counted.
                let rest = float.mul_add(rows, -product);
                self.lost += if rest.is_finite() { rest } else { 0.0 };
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

pub(crate) fn too_many_values() -> SearchError {
    let reason = format!("a facet has more than {GROUPS_MAX} values; filter more");
    SearchError::query("facets", reason)
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

    /// The attribute.
    pub(crate) const fn column(&self) -> Column {
        self.column
    }

    /// Counts a value that so many rows have.
    pub(crate) fn add_count(&mut self, value: Value, rows: u64) -> Result<()> {
        let is_full = self.counts.len() >= GROUPS_MAX;
        match self.counts.entry(value) {
            Entry::Occupied(entry) => *entry.into_mut() += rows,
            Entry::Vacant(_) if is_full => return Err(too_many_values()),
            Entry::Vacant(entry) => {
                entry.insert(rows);
            }
        }
        Ok(())
    }

    /// Adds what was counted of other rows, for the same facet.
    ///
    /// # Errors
    /// [`SearchError::Query`] when there are more values than a facet may have.
    pub(crate) fn merge(&mut self, other: Self) -> Result<()> {
        other.counts.into_iter().try_for_each(|(value, rows)| self.add_count(value, rows))
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
                return Err(too_many_values());
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
