//! From the bytes of a connection to entries: messages are told apart, parsed, and joined with the
//! lines that follow them.
//!
//! A text of several lines comes as one message and lines without a PRI behind it, when its sender
//! ends messages with a NUL or does not care. Such a line continues the message before it, if that
//! ended on the same connection less than [`Assembly::new`]'s `join_within` ago; otherwise it is
//! kept as an entry of its own, marked. So the last message is held back for that long, and no
//! longer: [`Assembly::due`] says until when. What was counted is complete and is not continued.
//!
//! Time comes from outside; nothing here waits.

use std::time::Duration;

use base::clock::Instant;
use logstore::{Entry, MESSAGE_BYTES_MAX, Marks, UnixNanos};

use super::framing::{Frame, Framer, Framing};
use super::{Extent, parse};

/// The entries of one connection.
#[derive(Debug)]
pub struct Assembly {
    framer: Framer,
    join_within: Duration,
    source: String,
    /// The last message, to which lines may be added, and when it ended.
    held: Option<(Entry, Instant)>,
    ready: Vec<Entry>,
    ready_bytes: usize,
}

impl Assembly {
    /// Of a connection from `source`.
    #[must_use]
    pub fn new(source: String, join_within: Duration) -> Self {
        Self {
            framer: Framer::default(),
            join_within,
            source,
            held: None,
            ready: Vec::new(),
            ready_bytes: 0,
        }
    }

    /// Takes what came.
    pub fn feed(&mut self, mut piece: &[u8], now: Instant, received: UnixNanos) {
        self.release(now);
        while let Some(frame) = self.framer.next(&mut piece) {
            self.take(&frame, now, received);
        }
    }

    /// Takes note of the end of the connection: everything is ready then.
    pub fn end(&mut self, now: Instant, received: UnixNanos) {
        self.release(now);
        if let Some(frame) = self.framer.last() {
            self.take(&frame, now, received);
        }
        self.give_up_waiting();
    }

    /// Takes note that nothing more is read, though more may be on its way: everything is ready then,
    /// and a message of which only a part has come is marked as cut.
    pub fn break_off(&mut self, now: Instant, received: UnixNanos) {
        self.release(now);
        if let Some(frame) = self.framer.last() {
            self.take(&Frame { extent: Extent::Cut, ..frame }, now, received);
        }
        self.give_up_waiting();
    }

    /// When the message that is held back will be ready; none when there is none.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.held.as_ref().map(|(_, ended)| ended.after(self.join_within))
    }

    /// Makes the message that is held back ready, if its time has come.
    pub fn release(&mut self, now: Instant) {
        if self.due().is_some_and(|due| due <= now) {
            self.give_up_waiting();
        }
    }

    /// What is ready, and its bytes.
    #[must_use]
    pub fn ready(&self) -> (usize, usize) {
        (self.ready.len(), self.ready_bytes)
    }

    /// Takes what is ready.
    #[must_use]
    pub fn take_ready(&mut self) -> Vec<Entry> {
        self.ready_bytes = 0;
        std::mem::take(&mut self.ready)
    }

    fn take(&mut self, frame: &Frame, now: Instant, received: UnixNanos) {
        let is_message = frame.bytes.starts_with(b"<") || frame.framing == Framing::Counted;
        if !is_message && let Some((entry, ended)) = &mut self.held {
            join(entry, frame);
            *ended = now;
            return;
        }
        self.give_up_waiting();
        let mut entry = parse(&frame.bytes, frame.extent, received);
        entry.source.clone_from(&self.source);
        match frame.framing {
            Framing::Terminated if is_message => self.held = Some((entry, now)),
            Framing::Terminated | Framing::Counted => self.push(entry),
        }
    }

    fn give_up_waiting(&mut self) {
        if let Some((entry, _)) = self.held.take() {
            self.push(entry);
        }
    }

    fn push(&mut self, entry: Entry) {
        self.ready_bytes += entry.cost_bytes();
        self.ready.push(entry);
    }
}

/// Adds a line to a message, as far as there is room in it.
fn join(entry: &mut Entry, frame: &Frame) {
    let line =
        Entry::from_bytes(entry.time, frame.bytes.strip_suffix(b"\r").unwrap_or(&frame.bytes));
    entry.marks = entry.marks.with(line.marks);
    if frame.extent == Extent::Cut {
        entry.marks = entry.marks.with(Marks::CUT);
    }
    let breaks = frame.blank_lines.saturating_add(1);
    let room = MESSAGE_BYTES_MAX.saturating_sub(entry.message.len());
    let wanted = breaks.saturating_add(line.message.len());
    if wanted <= room {
        entry.message.extend(std::iter::repeat_n('\n', breaks));
        entry.message.push_str(&line.message);
        return;
    }
    entry.marks = entry.marks.with(Marks::CUT);
    let breaks = breaks.min(room);
    entry.message.extend(std::iter::repeat_n('\n', breaks));
    let room = room.saturating_sub(breaks);
    let end = line.message.floor_char_boundary(room);
    entry.message.push_str(line.message.get(..end).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOIN: Duration = Duration::from_millis(100);
    const RECEIVED: UnixNanos = UnixNanos(1_769_903_999_000_000_000);

    struct World {
        assembly: Assembly,
        now: Instant,
    }

    impl World {
        fn new() -> Self {
            let assembly = Assembly::new("syslog".to_owned(), JOIN);
            Self { assembly, now: Instant(0) }
        }

        fn feed(&mut self, text: &str) -> Vec<String> {
            self.assembly.feed(text.as_bytes(), self.now, RECEIVED);
            self.taken()
        }

        fn after(&mut self, ms: u64) -> Vec<String> {
            self.now = self.now.after(Duration::from_millis(ms));
            self.assembly.release(self.now);
            self.taken()
        }

        fn end(&mut self) -> Vec<String> {
            self.assembly.end(self.now, RECEIVED);
            self.taken()
        }

        fn taken(&mut self) -> Vec<String> {
            let entries = self.assembly.take_ready();
            let show = |entry: Entry| {
                assert_eq!(entry.source, "syslog");
                let mark = if entry.marks == Marks::NONE { "" } else { "!" };
                format!("{mark}{}", entry.message)
            };
            entries.into_iter().map(show).collect()
        }
    }

    const NOTHING: [&str; 0] = [];

    #[test]
    fn a_message_of_which_only_a_part_came_is_marked_when_nothing_more_is_read() {
        let mut world = World::new();
        assert_eq!(world.feed("<14>whole\n<14>ha"), NOTHING);
        world.assembly.break_off(world.now, RECEIVED);
        assert_eq!(world.taken(), ["whole", "!ha"]);
        let mut world = World::new();
        assert_eq!(world.feed("<14>whole\n"), NOTHING);
        world.assembly.break_off(world.now, RECEIVED);
        assert_eq!(world.taken(), ["whole"]);
    }

    #[test]
    fn lines_without_a_priority_continue_the_message_before_them() {
        let mut world = World::new();
        assert_eq!(world.feed("<14>Traceback:\n  File x\n\n  line 2\0"), NOTHING);
        assert_eq!(world.feed("<14>next\n"), ["Traceback:\n  File x\n\n  line 2"]);
        assert_eq!(world.end(), ["next"]);
    }

    #[test]
    fn a_line_that_comes_late_is_an_entry_of_its_own() {
        let mut world = World::new();
        assert_eq!(world.feed("<14>a\n"), NOTHING);
        assert_eq!(world.after(99), NOTHING);
        assert_eq!(world.feed("b\n"), NOTHING);
        assert_eq!(world.after(99), NOTHING);
        assert_eq!(world.after(1), ["a\nb"]);
        assert_eq!(world.assembly.due(), None);
        assert_eq!(world.feed("c\nd\n"), ["!c", "!d"]);
    }

    #[test]
    fn what_was_counted_is_complete() {
        let mut world = World::new();
        assert_eq!(world.feed("6 <14>a\nb\n"), ["a", "!b"]);
        assert_eq!(world.feed("5 plain\n3 <1"), ["!5 plain"]);
        assert_eq!(world.end(), ["!<1"]);
    }

    #[test]
    fn a_message_of_many_lines_ends_where_an_entry_does() {
        let mut world = World::new();
        world.feed("<14>a\n");
        for _ in 0..100 {
            let line = format!("{}\n", "é".repeat(1000));
            assert_eq!(world.feed(&line), NOTHING);
        }
        let entries = world.end();
        assert!(entries[0].starts_with("!a\né"));
        assert_eq!(entries[0].len(), MESSAGE_BYTES_MAX + usize::from(entries[0].len() % 2 == 1));
    }
}
