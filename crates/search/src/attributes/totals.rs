//! Aggregates, groups and facets of some rows, counted by codes: a value is looked at once, however many
//! rows have it.
//!
//! What is counted goes to the same totals as rows that are counted one by one, so that it adds up over all
//! parts of an index.

use std::collections::HashMap;

use roaring::RoaringBitmap;

use super::column::{ColumnReader, Lookup, windows};
use super::error::Result;
use super::layout::Slot;
use super::read::Reader;
use crate::aggregate::{
    Accumulator, AggregateKind as Kind, FacetCounter, GROUPS_MAX, Totals, too_many_groups,
    too_many_values,
};
use crate::column::Column;
use crate::value::Value;

/// Values that are decoded at a time.
const VALUES_AT_ONCE: usize = 8 * 1024;

impl Reader {
    /// The values of an attribute or of `id`.
    pub(super) fn column_of(&self, column: Column) -> Result<Option<ColumnReader<'_>>> {
        self.slot(column.field().map_or(Slot::ID, Slot::of))
    }

    /// Counts rows, all of which there are.
    pub(crate) fn count_totals(&self, rows: &RoaringBitmap, totals: &mut Totals) -> Result<()> {
        if totals.aggregates().is_empty() || rows.is_empty() {
            return Ok(());
        }
        if !totals.group_by().is_empty() {
            return self.count_groups(rows, totals);
        }
        let mut sums = Vec::with_capacity(totals.aggregates().len());
        for (kind, column) in totals.aggregates() {
            let mut sum = Accumulator::default();
            match column {
                None => sum.add_rows(rows.len()),
                Some(column) => {
                    if let Some(column) = self.column_of(*column)? {
                        count_one(&column, *kind, rows, &mut sum)?;
                    }
                }
            }
            sums.push(sum);
        }
        Ok(totals.add_group(Vec::new(), sums)?)
    }

    /// Counts the values of rows, all of which there are.
    pub(crate) fn count_facet(&self, rows: &RoaringBitmap, facet: &mut FacetCounter) -> Result<()> {
        let Some(column) = self.column_of(facet.column())? else { return Ok(()) };
        let counts = column.histogram(rows)?;
        if counts.len() > GROUPS_MAX {
            return Err(too_many_values().into());
        }
        let codes: Vec<u32> = counts.iter().map(|(code, _)| *code).collect();
        for (value, (_, count)) in column.values_of(&codes)?.into_iter().zip(counts) {
            facet.add_count(value, count)?;
        }
        Ok(())
    }

    fn count_groups(&self, rows: &RoaringBitmap, totals: &mut Totals) -> Result<()> {
        let columns = totals.group_by().iter().map(|column| self.column_of(*column));
        let mut groups = Groups::new(columns.collect::<Result<_>>()?);
        let mut sums = totals
            .aggregates()
            .iter()
            .map(|(kind, column)| {
                let column = column.map(|column| self.column_of(column)).transpose()?;
                Sums::new(*kind, column, rows)
            })
            .collect::<Result<Vec<_>>>()?;
        windows(rows, |window| {
            let numbers = groups.numbers(window)?;
            sums.iter_mut().try_for_each(|sums| sums.add(window, &numbers, groups.keys.len()))
        })?;
        let keys = groups.values()?;
        let mut finished = sums.into_iter().map(Sums::finish).collect::<Result<Vec<_>>>()?;
        for key in keys.into_iter().rev() {
            let of_group: Vec<Accumulator> =
                finished.iter_mut().map(|sums| sums.pop().unwrap_or_default()).collect();
            totals.add_group(key, of_group)?;
        }
        Ok(())
    }
}

/// One number about rows.
fn count_one(
    column: &ColumnReader<'_>,
    kind: Kind,
    rows: &RoaringBitmap,
    sum: &mut Accumulator,
) -> Result<()> {
    if kind == Kind::Count {
        sum.add_rows(match &column.index.present {
            Some(present) => present.intersection_len(rows),
            None => rows.len(),
        });
        return Ok(());
    }
    let counts = column.histogram(rows)?;
    let counts = match (kind, counts.as_slice()) {
        (Kind::Min, [first, ..]) => std::slice::from_ref(first),
        (Kind::Max, [.., last]) => std::slice::from_ref(last),
        (_, all) => all,
    };
    for some in counts.chunks(VALUES_AT_ONCE) {
        let codes: Vec<u32> = some.iter().map(|(code, _)| *code).collect();
        for (value, (_, rows)) in column.values_of(&codes)?.iter().zip(some) {
            sum.add_times(kind, value, *rows);
        }
    }
    Ok(())
}

/// Which group each row belongs to.
struct Groups<'a> {
    /// What is grouped by; none of what no row has.
    columns: Vec<Option<ColumnReader<'a>>>,
    numbers: HashMap<Box<[u32]>, u32>,
    /// Of one column: for each symbol one more than the number of its group, 0 before it was met.
    of_symbol: Vec<u32>,
    /// The symbols of each group, one for each column.
    keys: Vec<Box<[u32]>>,
}

impl<'a> Groups<'a> {
    fn new(columns: Vec<Option<ColumnReader<'a>>>) -> Self {
        let of_symbol = match columns.as_slice() {
            [Some(column)] => vec![0; column.entry.distinct as usize + 1],
            _ => Vec::new(),
        };
        Self { columns, numbers: HashMap::new(), of_symbol, keys: Vec::new() }
    }

    /// The number of the group of each row.
    fn numbers(&mut self, rows: &[u32]) -> Result<Vec<u32>> {
        let symbols = self
            .columns
            .iter()
            .map(|column| match column {
                Some(column) => column.symbols(rows),
                None => Ok(vec![0; rows.len()]),
            })
            .collect::<Result<Vec<_>>>()?;
        let mut key = vec![0; symbols.len()];
        (0..rows.len())
            .map(|at| {
                key.iter_mut().zip(&symbols).for_each(|(part, symbols)| *part = symbols[at]);
                self.number(&key)
            })
            .collect()
    }

    fn number(&mut self, key: &[u32]) -> Result<u32> {
        let next = u32::try_from(self.keys.len()).unwrap_or(u32::MAX);
        if let [symbol] = key
            && let Some(number) = self.of_symbol.get_mut(*symbol as usize)
        {
            if *number > 0 {
                return Ok(*number - 1);
            }
            *number = next + 1;
        } else if let Some(number) = self.numbers.get(key) {
            return Ok(*number);
        } else {
            self.numbers.insert(key.into(), next);
        }
        if self.keys.len() >= GROUPS_MAX {
            return Err(too_many_groups().into());
        }
        self.keys.push(key.into());
        Ok(next)
    }

    /// The values of the keys of all groups.
    fn values(&self) -> Result<Vec<Vec<Option<Value>>>> {
        let mut keys = vec![Vec::with_capacity(self.columns.len()); self.keys.len()];
        for (at, column) in self.columns.iter().enumerate() {
            let symbols: Vec<u32> = self.keys.iter().map(|key| key[at]).collect();
            let lookup = column.as_ref().map(|column| column.lookup(&symbols)).transpose()?;
            for (key, symbol) in keys.iter_mut().zip(&symbols) {
                key.push(lookup.as_ref().and_then(|lookup| lookup.value(*symbol)).cloned());
            }
        }
        Ok(keys)
    }
}

/// One aggregate of all groups.
struct Sums<'a> {
    kind: Kind,
    /// Of what: of rows, or of an attribute, which the file may not have.
    column: Option<Option<ColumnReader<'a>>>,
    /// Of a sum or a mean, the values.
    lookup: Option<Lookup>,
    sums: Vec<Accumulator>,
    /// Of an extreme, the symbol of each group's; 0 of none.
    extremes: Vec<u32>,
}

impl<'a> Sums<'a> {
    fn new(
        kind: Kind,
        column: Option<Option<ColumnReader<'a>>>,
        rows: &RoaringBitmap,
    ) -> Result<Self> {
        let lookup = match (kind, column) {
            (Kind::Sum | Kind::Avg, Some(Some(column))) => Some(column.lookup_rows(rows)?),
            _ => None,
        };
        Ok(Self { kind, column, lookup, sums: Vec::new(), extremes: Vec::new() })
    }

    fn add(&mut self, rows: &[u32], numbers: &[u32], groups: usize) -> Result<()> {
        self.sums.resize(groups, Accumulator::default());
        self.extremes.resize(groups, 0);
        let column = match &self.column {
            None => {
                numbers.iter().for_each(|number| self.sums[*number as usize].add_rows(1));
                return Ok(());
            }
            Some(None) => return Ok(()),
            Some(Some(column)) => column,
        };
        if self.kind == Kind::Count && column.entry.is_array {
            let present = column.present();
            for (row, number) in rows.iter().zip(numbers) {
                self.sums[*number as usize].add_rows(u64::from(present.contains(*row)));
            }
            return Ok(());
        }
        let symbols = column.symbols(rows)?;
        let present = numbers.iter().zip(&symbols).filter(|(_, symbol)| **symbol != 0);
        for (number, symbol) in present {
            let number = *number as usize;
            let extreme = &mut self.extremes[number];
            match self.kind {
                Kind::Count => self.sums[number].add_rows(1),
                Kind::Min if *extreme == 0 => *extreme = *symbol,
                Kind::Min => *extreme = (*symbol).min(*extreme),
                Kind::Max => *extreme = (*symbol).max(*extreme),
                Kind::Sum | Kind::Avg => {
                    if let Some(value) = self.lookup.as_ref().and_then(|all| all.value(*symbol)) {
                        self.sums[number].add(self.kind, value);
                    }
                }
            }
        }
        Ok(())
    }

    /// What was counted of each group.
    fn finish(mut self) -> Result<Vec<Accumulator>> {
        if let (Kind::Min | Kind::Max, Some(Some(column))) = (self.kind, &self.column) {
            let lookup = column.lookup(&self.extremes)?;
            for (sum, symbol) in self.sums.iter_mut().zip(&self.extremes) {
                if let Some(value) = lookup.value(*symbol) {
                    sum.add(self.kind, value);
                }
            }
        }
        Ok(self.sums)
    }
}
