//! Bytes as what comes on a connection of syslog, and as lines of a body: the same messages and the same
//! lines, however they are cut into pieces; every one of them stands in the stream, in order; nothing
//! held is longer than it may be.
//!
//! The first byte of the input says how long the pieces are.

use std::time::Duration;

use base::clock::Instant;
use docdb::ingest::json;
use docdb::ingest::lines::Lines;
use docdb::ingest::syslog::assembly::Assembly;
use docdb::ingest::syslog::framing::{Frame, Framer, Framing};
use docdb::ingest::syslog::{Extent, LINE_BYTES_MAX};
use logstore::Entry;

use crate::log_entries::{NOW, is_entry};

/// One input.
pub fn run(data: &[u8]) {
    let Some((size, stream)) = data.split_first() else { return };
    let size = usize::from(*size) + 1;
    let whole = frames(stream, stream.len().max(1));
    assert_eq!(frames(stream, size), whole);
    are_in_the_stream(&whole, stream);
    let together = assembled(stream, stream.len().max(1));
    assert_eq!(assembled(stream, size), together);
    together.iter().for_each(is_entry);
    assert!(together.len() <= whole.len(), "more entries than messages");
    assert_eq!(lines(stream, size), lines(stream, stream.len().max(1)));
}

fn frames(stream: &[u8], size: usize) -> Vec<Frame> {
    let (mut framer, mut found) = (Framer::default(), Vec::new());
    for mut piece in stream.chunks(size) {
        while let Some(frame) = framer.next(&mut piece) {
            found.push(frame);
        }
        assert!(piece.is_empty() && framer.held() <= LINE_BYTES_MAX);
    }
    found.extend(framer.last());
    assert_eq!((framer.held(), framer.last()), (0, None));
    found
}

/// Between messages stand only counts, ends and what was too long.
fn are_in_the_stream(frames: &[Frame], stream: &[u8]) {
    let mut rest = stream;
    for frame in frames {
        assert!(!frame.bytes.is_empty() && frame.bytes.len() <= LINE_BYTES_MAX);
        if frame.framing == Framing::Terminated {
            assert!(!frame.bytes.iter().any(|byte| matches!(byte, b'\n' | 0)), "{frame:?}");
        }
        while !rest.starts_with(&frame.bytes) {
            let (byte, behind) = rest.split_first().expect("a message stands in the stream");
            let is_between = matches!(byte, b'\n' | b'\r' | b' ' | 0 | b'0'..=b'9');
            assert!(is_between, "{byte} is in no message");
            rest = behind;
        }
        rest = &rest[frame.bytes.len()..];
        if frame.extent == Extent::Cut {
            // What was too long is not in it; where it ends is not looked for again.
            return;
        }
    }
    assert!(rest.iter().all(|byte| matches!(byte, b'\n' | b'\r' | 0)), "{rest:?} is in no message");
}

fn assembled(stream: &[u8], size: usize) -> Vec<Entry> {
    let mut assembly = Assembly::new("fuzz".to_owned(), Duration::from_millis(100));
    let mut found = Vec::new();
    for piece in stream.chunks(size) {
        assembly.feed(piece, Instant(1), NOW);
        let (count, _) = assembly.ready();
        let ready = assembly.take_ready();
        assert_eq!((ready.len(), assembly.ready()), (count, (0, 0)));
        found.extend(ready);
    }
    assembly.end(Instant(1), NOW);
    assert_eq!(assembly.due(), None);
    found.extend(assembly.take_ready());
    found
}

fn lines(stream: &[u8], size: usize) -> Vec<(Vec<u8>, Extent)> {
    let (mut lines, mut found) = (Lines::default(), Vec::new());
    for mut piece in stream.chunks(size) {
        while let Some(line) = lines.next(&mut piece) {
            found.push(line);
        }
        assert!(lines.held() <= json::LINE_BYTES_MAX);
    }
    found.extend(lines.last());
    found
}

/// Every framing, mixed, in pieces of several lengths.
pub fn seeds() -> Vec<Vec<u8>> {
    let streams: [&[u8]; 7] = [
        b"<14>1 - h a - - - one\n45 <14>1 2026-01-31T00:00:01Z web1 app - - - two<14>three\nmore\0",
        b"7 <14>a\nb9 <14>again1 <",
        b"<14>traced\n\n  line 2\r\n\tline 3\n<14>next\0\n\0",
        b"no priority\n12 apples\n999999999 <",
        b"10 <14>cut of",
        b"0 <14>no count\n01 <14>no count\n1234567890 <14>no count\n",
        b"\xff\xfe<14>\xff\n{\"message\":\"a\"}\n[1]\r\n",
    ];
    [0, 2, 255]
        .iter()
        .flat_map(|size| streams.iter().map(move |stream| [&[*size], *stream].concat()))
        .collect()
}
