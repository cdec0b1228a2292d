//! An array or object that a patch has opened.
//!
//! Its entries are a list of *runs*. A run is either a stretch of the text as it stands, with the
//! commas in it, or a list of entries that can be changed one by one. A container is opened in one
//! pass over its text; a run becomes a list when an operation needs an entry of it, and stays one.
//! So a large container costs a few words for each [`RUN_ITEMS_MAX`] entries, and changing one
//! entry of it touches one run.
//!
//! Invariants: an object's runs keep their numbers, because runs are only ever appended to it, and
//! new members go to the last one; [`Container::len`] is the number of entries in all runs; the
//! whitespace before the closing bracket belongs to the container, all other whitespace to the
//! entry that it touches. Start with [`Container::open`].
#![deny(clippy::indexing_slicing)]

use super::PatchErrorKind as Fault;
use super::key_index::KeyIndex;
use super::pointer::Index;
use super::text::{Entries, Entry, Key, Kind, Span, Stretch};
use super::tree::{Extent, Node};

/// Most entries that a run of text has.
const RUN_ITEMS_MAX: usize = 128;
/// A run of text ends with the entry that brings it to this size.
const RUN_BYTES_MAX: usize = 4096;
/// Entries that a list has room for at first: most documents have no larger container.
const ITEMS_FIRST: usize = 16;
/// Look-ups that may read the text of a large object before its keys are indexed.
const SEARCHES_MAX: u32 = 4;

/// A container whose entries can be changed.
#[derive(Debug)]
pub(super) struct Container<'s> {
    kind: Kind,
    /// As it was written; none if a patch made it.
    origin: Option<Span<'s>>,
    runs: Vec<Run<'s>>,
    len: usize,
    /// Whitespace before the closing bracket.
    tail: &'s [u8],
    /// Look-ups that had to read text.
    searches: u32,
    index: Option<KeyIndex<'s>>,
}

/// Consecutive entries.
#[derive(Debug)]
enum Run<'s> {
    /// As they are written.
    Written {
        stretch: Stretch,
        count: u32,
        /// How deep the deepest of the values nests.
        height: u32,
    },
    /// One by one.
    Items(Vec<Item<'s>>),
}

/// One entry. Its parts are those of [`Entry`]; of an added one all but the key are empty.
#[derive(Debug)]
struct Item<'s> {
    before: &'s [u8],
    key: Key<'s>,
    value: Node<'s>,
    after: &'s [u8],
}

impl<'s> From<Entry<'s>> for Item<'s> {
    #[inline]
    fn from(entry: Entry<'s>) -> Self {
        let Entry { before, key, value, after } = entry;
        Self { before, key, value: Node::Written(value), after }
    }
}

/// Where an entry is; good until the container changes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    run: usize,
    item: usize,
}

impl<'s> Container<'s> {
    /// An object without members, which a patch makes.
    pub(super) fn empty_object() -> Self {
        Self {
            kind: Kind::Object,
            origin: None,
            runs: Vec::new(),
            len: 0,
            tail: b"",
            searches: 0,
            index: None,
        }
    }

    /// Opens `span`, if it is an array or object. One pass over its text.
    pub(super) fn open(span: Span<'s>) -> Option<Self> {
        let mut entries = span.entries()?;
        let mut container = Self { kind: span.kind()?, origin: Some(span), ..Self::empty_object() };
        let mut items = Vec::with_capacity(ITEMS_FIRST);
        let mut start = span.start() + 1;
        while let Some(entry) = entries.next() {
            items.push(Item::from(entry));
            let stretch = Stretch { start, end: entries.delimiter() };
            let is_full = items.len() >= RUN_ITEMS_MAX || stretch.len() >= RUN_BYTES_MAX;
            if is_full && !entries.is_done() {
                container.len += items.len();
                container.runs.push(Run::written(stretch, &items));
                items.clear();
                start = stretch.end + 1;
            }
        }
        container.tail = match items.last_mut() {
            Some(last) => std::mem::take(&mut last.after),
            None => entries.blank(span),
        };
        container.len += items.len();
        container.runs.push(Run::Items(items));
        Some(container)
    }

    /// How many entries it has.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether it is an object or an array.
    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// The entry that `token` names: a member of this key, or the element of this index.
    ///
    /// # Errors
    /// When this is an array and the token is no index. One past the end, and `-`, name nothing.
    pub(super) fn find(&mut self, token: &str) -> Result<Option<Place>, Fault> {
        match self.kind {
            Kind::Object => Ok(self.find_member(token)),
            Kind::Array => match Index::parse(token)? {
                Index::At(index) if index < self.len => Ok(self.seek(index, |at, n| at < n)),
                Index::At(_) | Index::End => Ok(None),
            },
        }
    }

    /// The value at `place`.
    pub(super) fn value_mut(&mut self, place: Place) -> Option<&mut Node<'s>> {
        match self.runs.get_mut(place.run)? {
            Run::Items(items) => Some(&mut items.get_mut(place.item)?.value),
            Run::Written { .. } => None,
        }
    }

    /// Takes the entry at `place` out, with the whitespace around it.
    pub(super) fn remove(&mut self, place: Place) -> Option<Node<'s>> {
        let Some(Run::Items(items)) = self.runs.get_mut(place.run) else { return None };
        if place.item >= items.len() {
            return None;
        }
        self.len -= 1;
        Some(items.remove(place.item).value)
    }

    /// Adds a member that is absent, after all others.
    pub(super) fn push_member(&mut self, name: &'s str, value: Node<'s>) -> Option<Place> {
        let key = Key::Added(name);
        self.push(Item { before: b"", key, value, after: b"" })
    }

    /// Puts an element before the one that `index` names, or after the last.
    ///
    /// # Errors
    /// When the index is past the place after the last element.
    pub(super) fn insert_element(
        &mut self,
        index: Index,
        value: Node<'s>,
    ) -> Result<Option<Place>, Fault> {
        let item = Item { before: b"", key: Key::None, value, after: b"" };
        let index = match index {
            Index::End => return Ok(self.push(item)),
            Index::At(index) if index == self.len => return Ok(self.push(item)),
            Index::At(index) if index > self.len => {
                return Err(Fault::PastTheEnd { len: self.len });
            }
            Index::At(index) => index,
        };
        let place = self.seek(index, |at, n| at <= n);
        if let Some(Place { run, item: at }) = place
            && let Some(Run::Items(items)) = self.runs.get_mut(run)
        {
            items.insert(at, item);
            self.len += 1;
        }
        Ok(place)
    }

    fn push(&mut self, item: Item<'s>) -> Option<Place> {
        if !matches!(self.runs.last(), Some(Run::Items(_))) {
            self.runs.push(Run::Items(Vec::new()));
        }
        let run = self.runs.len() - 1;
        let Some(Run::Items(items)) = self.runs.get_mut(run) else { return None };
        items.push(item);
        self.len += 1;
        Some(Place { run, item: items.len() - 1 })
    }

    /// The place of an array's element: in the first run where `fits(index, entries of it)`.
    fn seek(&mut self, mut index: usize, fits: impl Fn(usize, usize) -> bool) -> Option<Place> {
        for run in 0..self.runs.len() {
            let count = self.runs.get(run)?.count();
            if fits(index, count) {
                self.list(run);
                return Some(Place { run, item: index });
            }
            index -= count;
        }
        None
    }

    fn find_member(&mut self, name: &str) -> Option<Place> {
        let Some(index) = &self.index else { return self.search(name) };
        let covered = index.run_of(name);
        let outside: Vec<usize> = index.outside().collect();
        if let Some(run) = covered {
            self.list(run);
        }
        covered.into_iter().chain(outside).find_map(|run| self.search_run(run, name))
    }

    /// Looks through every run; makes the index once that has been done too often.
    fn search(&mut self, name: &str) -> Option<Place> {
        let mut read_text = false;
        let mut found = None;
        for run in 0..self.runs.len() {
            if let Some(Run::Written { stretch, .. }) = self.runs.get(run) {
                read_text = true;
                let mut entries = Entries::of_stretch(self.origin?, self.kind, *stretch);
                if !entries.any(|entry| entry.key.is(name)) {
                    continue;
                }
                self.list(run);
            }
            found = self.search_run(run, name);
            if found.is_some() {
                break;
            }
        }
        if read_text {
            self.searches += 1;
            if self.searches > SEARCHES_MAX {
                self.make_index();
            }
        }
        found
    }

    fn search_run(&self, run: usize, name: &str) -> Option<Place> {
        let Run::Items(items) = self.runs.get(run)? else { return None };
        let item = items.iter().position(|item| item.key.is(name))?;
        Some(Place { run, item })
    }

    /// Indexes the members that are still text. New ones go to the last run, which is a list.
    fn make_index(&mut self) {
        let Some(origin) = self.origin else { return };
        let (mut outside, mut written) = (Vec::new(), Vec::new());
        for (number, run) in (0..).zip(&self.runs) {
            match run {
                Run::Written { stretch, .. } => written.push((number, *stretch)),
                Run::Items(_) => outside.push(number),
            }
        }
        let kind = self.kind;
        let keys = written.into_iter().flat_map(|(run, stretch)| {
            let entries = Entries::of_stretch(origin, kind, stretch);
            entries.map(move |entry| (entry.key, run))
        });
        self.index = Some(KeyIndex::new(origin, keys, outside));
    }

    /// Makes the run a list.
    fn list(&mut self, number: usize) {
        if let Some(run) = self.runs.get_mut(number)
            && let Run::Written { stretch, .. } = run
            && let Some(origin) = self.origin
        {
            let entries = Entries::of_stretch(origin, self.kind, *stretch);
            *run = Run::Items(entries.map(Item::from).collect());
        }
    }

    /// How long its text is, and how deep it nests.
    pub(super) fn extent(&self) -> Extent {
        let mut total = Extent { bytes: 2 + self.tail.len(), height: 0 };
        let mut is_first = true;
        for run in self.runs.iter().filter(|run| run.count() > 0) {
            let extent = run.extent();
            total.bytes += extent.bytes + usize::from(!is_first);
            total.height = total.height.max(extent.height);
            is_first = false;
        }
        Extent { height: total.height + 1, ..total }
    }

    /// Appends its text.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let (open, close) = match self.kind {
            Kind::Object => (b'{', b'}'),
            Kind::Array => (b'[', b']'),
        };
        out.push(open);
        let mut is_first = true;
        for run in self.runs.iter().filter(|run| run.count() > 0) {
            if !std::mem::take(&mut is_first) {
                out.push(b',');
            }
            match (run, self.origin) {
                (Run::Written { stretch, .. }, Some(origin)) => {
                    out.extend_from_slice(origin.stretch_bytes(*stretch));
                }
                (Run::Written { .. }, None) => {}
                (Run::Items(items), _) => write_items(items, out),
            }
        }
        out.extend_from_slice(self.tail);
        out.push(close);
    }
}

impl<'s> Run<'s> {
    fn written(stretch: Stretch, items: &[Item<'s>]) -> Self {
        let heights = items.iter().map(|item| item.value.extent().height);
        let height = u32::try_from(heights.max().unwrap_or(0)).unwrap_or(u32::MAX);
        let count = u32::try_from(items.len()).unwrap_or(u32::MAX);
        Self::Written { stretch, count, height }
    }

    fn count(&self) -> usize {
        match self {
            Self::Written { count, .. } => *count as usize,
            Self::Items(items) => items.len(),
        }
    }

    /// Its text, the commas between its entries included.
    fn extent(&self) -> Extent {
        match self {
            Self::Written { stretch, height, .. } => {
                Extent { bytes: stretch.len(), height: *height as usize }
            }
            Self::Items(items) => {
                let commas = items.len().saturating_sub(1);
                items.iter().fold(Extent { bytes: commas, height: 0 }, |sum, item| {
                    let value = item.value.extent();
                    let around = item.before.len() + added_key_len(item.key) + item.after.len();
                    Extent {
                        bytes: sum.bytes + around + value.bytes,
                        height: sum.height.max(value.height),
                    }
                })
            }
        }
    }
}

fn write_items(items: &[Item<'_>], out: &mut Vec<u8>) {
    for (number, item) in items.iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        out.extend_from_slice(item.before);
        if let Key::Added(name) = item.key {
            write_key(name, out);
        }
        item.value.write(out);
        out.extend_from_slice(item.after);
    }
}

/// Writes a key and its colon. Only what must be escaped is: quotes, backslashes, control characters.
fn write_key(name: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in name.bytes() {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', byte]),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            b'\t' => out.extend(b"\\t"),
            0x08 => out.extend(b"\\b"),
            0x0C => out.extend(b"\\f"),
            0..0x20 => out.extend(format!("\\u{byte:04x}").bytes()),
            plain => out.push(plain),
        }
    }
    out.extend(b"\":");
}

/// How many bytes [`write_key`] writes; 0 for a key that stands in the text before the value.
fn added_key_len(key: Key<'_>) -> usize {
    let Key::Added(name) = key else { return 0 };
    let byte_len = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0C => 2,
        0..0x20 => 6,
        _ => 1,
    };
    3 + name.bytes().map(byte_len).sum::<usize>()
}
