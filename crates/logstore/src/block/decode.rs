//! From a block to rows, a column at a time and only those that are asked for.

use std::cell::OnceCell;

use super::column::{TextColumn, Unpacker, read_ascending, read_times};
use super::{BadBlock, BlockMeta, ColumnId, RowSet, text_search};
use crate::entry::{EntryId, Marks, Severity, UnixNanos};
use crate::filter::{EntryRef, FACILITIES, Field, Filter};
use crate::options::BLOCK_ROWS;

/// Where the stored columns of a block come from.
pub(crate) trait Frames {
    /// Why one could not be had.
    type Error: From<BadBlock>;

    /// The stored bytes of a column.
    fn frame(&self, column: ColumnId) -> Result<Vec<u8>, Self::Error>;
}

/// The columns of a block, unpacked when they are first asked for.
pub(crate) struct Columns<'u, F> {
    meta: BlockMeta,
    frames: F,
    unpacker: &'u std::cell::RefCell<Unpacker>,
    ids: OnceCell<Vec<u64>>,
    times: OnceCell<Vec<i64>>,
    received: OnceCell<Vec<i64>>,
    levels: OnceCell<Levels>,
    texts: [OnceCell<TextColumn>; 7],
}

/// Severity, facility and marks of each row.
struct Levels {
    severities: Vec<Severity>,
    facilities: Vec<u8>,
    marks: Vec<Marks>,
}

impl<'u, F: Frames> Columns<'u, F> {
    pub(crate) fn new(
        meta: BlockMeta,
        frames: F,
        unpacker: &'u std::cell::RefCell<Unpacker>,
    ) -> Result<Self, F::Error> {
        if meta.rows == 0 || meta.rows > BLOCK_ROWS {
            return Err(BadBlock("a block has no rows or too many").into());
        }
        Ok(Self {
            meta,
            frames,
            unpacker,
            ids: OnceCell::new(),
            times: OnceCell::new(),
            received: OnceCell::new(),
            levels: OnceCell::new(),
            texts: Default::default(),
        })
    }

    /// The rows with these numbers, which ascend.
    pub(crate) fn rows_of(&self, wanted: &[u64]) -> Result<RowSet, F::Error> {
        let mut rows = RowSet::NONE;
        for (row, id) in self.ids()?.iter().enumerate() {
            if wanted.binary_search(id).is_ok() {
                rows.insert(row);
            }
        }
        Ok(rows)
    }

    /// All rows.
    pub(crate) fn all_rows(&self) -> RowSet {
        RowSet::first(self.meta.rows)
    }

    /// Those of `rows` that a filter wants. What is cheap is looked at first.
    pub(crate) fn matching(&self, mut rows: RowSet, filter: &Filter) -> Result<RowSet, F::Error> {
        if !filter.time.covers(self.meta.min_time, self.meta.max_time) {
            let times = self.times()?;
            rows.retain(|row| filter.time.holds(UnixNanos(times[row])));
        }
        if !self.all_severities(filter) {
            let levels = self.levels()?;
            rows.retain(|row| filter.severities.holds(levels.severities[row]));
        }
        for condition in &filter.fields {
            if rows.is_empty() {
                return Ok(rows);
            }
            self.retain_field(&mut rows, condition.field, |value| condition.holds(value))?;
        }
        if let (Some(query), false) = (filter.text.root(), rows.is_empty()) {
            text_search::retain(&mut rows, self.text(ColumnId::Message)?, query);
        }
        if !filter.json.is_empty() && !rows.is_empty() {
            let data = self.text(ColumnId::StructuredData)?;
            data.retain(&mut rows, |data| filter.json_matches(data));
        }
        Ok(rows)
    }

    /// Whether the filter wants every severity that the block has.
    fn all_severities(&self, filter: &Filter) -> bool {
        Severity::ALL
            .into_iter()
            .zip(self.meta.severity_rows)
            .all(|(severity, rows)| rows == 0 || filter.severities.holds(severity))
    }

    fn retain_field(
        &self,
        rows: &mut RowSet,
        field: Field,
        keeps: impl Fn(&str) -> bool,
    ) -> Result<(), F::Error> {
        match column_of(field) {
            Some(column) => self.text(column)?.retain(rows, keeps),
            None => {
                let levels = self.levels()?;
                rows.retain(|row| keeps(levels.field(field, row)));
            }
        }
        Ok(())
    }

    /// Calls `count` with the value of a field in each of `rows`.
    pub(crate) fn each_value(
        &self,
        rows: &RowSet,
        field: Field,
        mut count: impl FnMut(&str, u64),
    ) -> Result<(), F::Error> {
        let Some(column) = column_of(field) else {
            let levels = self.levels()?;
            rows.iter().for_each(|row| count(levels.field(field, row), 1));
            return Ok(());
        };
        match self.text(column)? {
            TextColumn::Dictionary { values, codes } => {
                let mut counts = vec![0; values.len()];
                rows.iter().for_each(|row| counts[usize::from(codes[row])] += 1);
                let counted = values.iter().zip(counts).filter(|(_, rows)| *rows > 0);
                counted.for_each(|(value, rows)| count(value, rows));
            }
            plain @ TextColumn::Plain { .. } => {
                rows.iter().for_each(|row| count(plain.get(row), 1))
            }
        }
        Ok(())
    }

    /// When a row happened, and its number: what orders it.
    pub(crate) fn place(&self, row: usize) -> Result<(UnixNanos, EntryId), F::Error> {
        Ok((UnixNanos(self.times()?[row]), EntryId(self.ids()?[row])))
    }

    /// When a row happened.
    pub(crate) fn time(&self, row: usize) -> Result<UnixNanos, F::Error> {
        Ok(UnixNanos(self.times()?[row]))
    }

    pub(crate) fn severity(&self, row: usize) -> Result<Severity, F::Error> {
        Ok(self.levels()?.severities[row])
    }

    /// A whole row. Unpacks everything.
    pub(crate) fn row(&self, row: usize) -> Result<EntryRef<'_>, F::Error> {
        let (time, id) = self.place(row)?;
        let received = self.received.get_or_try(|| {
            let column = self.unpacked(ColumnId::Received)?;
            read_times(&column, self.meta.rows).map_err(F::Error::from)
        })?;
        let levels = self.levels()?;
        Ok(EntryRef {
            id,
            time,
            received: UnixNanos(received[row]),
            severity: levels.severities[row],
            facility: levels.facilities[row],
            marks: levels.marks[row],
            hostname: self.text(ColumnId::Hostname)?.get(row),
            app_name: self.text(ColumnId::AppName)?.get(row),
            proc_id: self.text(ColumnId::ProcId)?.get(row),
            msg_id: self.text(ColumnId::MsgId)?.get(row),
            source: self.text(ColumnId::Source)?.get(row),
            structured_data: self.text(ColumnId::StructuredData)?.get(row),
            message: self.text(ColumnId::Message)?.get(row),
        })
    }

    /// The numbers of all rows, ascending.
    pub(crate) fn ids(&self) -> Result<&[u64], F::Error> {
        let ids = self.ids.get_or_try(|| {
            let column = self.unpacked(ColumnId::Ids)?;
            read_ascending(&column, self.meta.rows).map_err(F::Error::from)
        })?;
        Ok(ids)
    }

    fn times(&self) -> Result<&[i64], F::Error> {
        let times = self.times.get_or_try(|| {
            let column = self.unpacked(ColumnId::Times)?;
            read_times(&column, self.meta.rows).map_err(F::Error::from)
        })?;
        Ok(times)
    }

    fn levels(&self) -> Result<&Levels, F::Error> {
        self.levels.get_or_try(|| {
            let column = self.unpacked(ColumnId::Levels)?;
            Levels::read(&column, self.meta.rows).map_err(F::Error::from)
        })
    }

    fn text(&self, column: ColumnId) -> Result<&TextColumn, F::Error> {
        let at = usize::from(column.number() - ColumnId::Hostname.number());
        self.texts[at].get_or_try(|| {
            TextColumn::read(self.unpacked(column)?, self.meta.rows).map_err(F::Error::from)
        })
    }

    fn unpacked(&self, column: ColumnId) -> Result<Vec<u8>, F::Error> {
        let frame = self.frames.frame(column)?;
        Ok(self.unpacker.borrow_mut().unpack(&frame)?)
    }
}

/// The column of text that has a field; none for those that are levels.
fn column_of(field: Field) -> Option<ColumnId> {
    Some(match field {
        Field::Hostname => ColumnId::Hostname,
        Field::AppName => ColumnId::AppName,
        Field::ProcId => ColumnId::ProcId,
        Field::MsgId => ColumnId::MsgId,
        Field::Source => ColumnId::Source,
        Field::Facility | Field::Severity => return None,
    })
}

impl Levels {
    fn read(column: &[u8], rows: usize) -> Result<Self, BadBlock> {
        if column.len() != 3 * rows {
            return Err(BadBlock("a column of levels has a wrong length"));
        }
        let (severities, rest) = column.split_at(rows);
        let (facilities, marks) = rest.split_at(rows);
        let severities: Option<Vec<_>> =
            severities.iter().map(|number| Severity::from_number(*number)).collect();
        if facilities.iter().any(|facility| *facility > 23) {
            return Err(BadBlock("a facility is over 23"));
        }
        Ok(Self {
            severities: severities.ok_or(BadBlock("a severity is over 7"))?,
            facilities: facilities.to_vec(),
            marks: marks.iter().copied().map(Marks).collect(),
        })
    }

    /// Facility or severity of a row, as text.
    fn field(&self, field: Field, row: usize) -> &'static str {
        if field == Field::Severity {
            return self.severities[row].name();
        }
        FACILITIES.get(usize::from(self.facilities[row])).copied().unwrap_or("")
    }
}

/// What the standard library has no stable method for yet.
trait GetOrTry<T> {
    fn get_or_try<E>(&self, make: impl FnOnce() -> Result<T, E>) -> Result<&T, E>;
}

impl<T> GetOrTry<T> for OnceCell<T> {
    fn get_or_try<E>(&self, make: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        if let Some(value) = self.get() {
            return Ok(value);
        }
        let made = make()?;
        Ok(self.get_or_init(|| made))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::block::column::Packer;
    use crate::block::encode::seal;
    use crate::entry::{Entry, StoredEntry};

    struct InMemory(Vec<Vec<u8>>);

    impl Frames for InMemory {
        type Error = BadBlock;

        fn frame(&self, column: ColumnId) -> Result<Vec<u8>, BadBlock> {
            self.0.get(usize::from(column.number())).cloned().ok_or(BadBlock("no column"))
        }
    }

    fn rows() -> Vec<StoredEntry> {
        (0..500u64)
            .map(|n| {
                let time = UnixNanos(1_000_000 - i64::try_from(n * n % 977).unwrap());
                let mut entry = Entry::new(time, format!("request {n} took {} ms", n % 7));
                entry.severity = Severity::ALL[usize::try_from(n % 8).unwrap()];
                entry.facility = u8::try_from(n % 24).unwrap();
                entry.app_name = format!("app{}", n % 3);
                entry.hostname = format!("host-{n}");
                entry.marks = Marks(u8::from(n % 100 == 0));
                entry.received = UnixNanos(2_000_000 + i64::try_from(n).unwrap());
                if n % 2 == 0 {
                    entry.structured_data = format!("{{\"n\":{n}}}");
                }
                StoredEntry { id: EntryId(10 + n * 3), entry }
            })
            .collect()
    }

    fn sealed(rows: &[StoredEntry]) -> (BlockMeta, InMemory) {
        let views: Vec<_> = rows.iter().map(StoredEntry::view).collect();
        let block = seal(&views, &mut Packer::new(3).unwrap()).unwrap();
        (block.meta, InMemory(block.columns))
    }

    #[test]
    fn every_row_comes_back_as_it_was() {
        let rows = rows();
        let (meta, frames) = sealed(&rows);
        let unpacker = RefCell::new(Unpacker::new().unwrap());
        let columns = Columns::new(meta, frames, &unpacker).unwrap();
        for (at, row) in rows.iter().enumerate() {
            assert_eq!(columns.row(at).unwrap().to_stored(), *row);
        }
        assert_eq!((meta.rows, meta.first_id, meta.last_id), (500, EntryId(10), EntryId(1507)));
    }

    #[test]
    fn a_block_finds_what_the_filter_wants_row_by_row() {
        let rows = rows();
        let (meta, frames) = sealed(&rows);
        let unpacker = RefCell::new(Unpacker::new().unwrap());
        let columns = Columns::new(meta, frames, &unpacker).unwrap();
        let wanted = Filter::default();
        for filter in [
            wanted.clone(),
            wanted.clone().text("took 3"),
            wanted.clone().text("17"),
            wanted.clone().at_least(Severity::Error),
            wanted.clone().between(UnixNanos(999_500), UnixNanos(999_900)),
            wanted.clone().field(Field::AppName, &["app1", "app2"]),
            wanted.clone().field(Field::Hostname, &["host-33"]),
            wanted.clone().field(Field::Facility, &["5", "6"]).field(Field::Severity, &["debug"]),
            wanted.clone().text("nothing"),
        ] {
            let found: Vec<_> =
                columns.matching(columns.all_rows(), &filter).unwrap().iter().collect();
            let expect: Vec<_> =
                (0..rows.len()).filter(|row| filter.matches(&rows[*row].view())).collect();
            assert_eq!(found, expect, "{filter:?}");
        }
    }

    #[test]
    fn a_column_of_another_block_is_refused() {
        let rows = rows();
        let (mut meta, frames) = sealed(&rows);
        meta.rows -= 1;
        let unpacker = RefCell::new(Unpacker::new().unwrap());
        let columns = Columns::new(meta, frames, &unpacker).unwrap();
        assert!(columns.row(0).is_err());
        meta.rows = 0;
        assert!(Columns::new(meta, InMemory(Vec::new()), &unpacker).is_err());
    }
}
