//! Bytes as one message of syslog, of RFC 5424 or RFC 3164 or neither: an entry that a store takes; what
//! cannot be parsed is kept to the last byte, and what is parsed as RFC 5424 has the fields that stand
//! there.

use docdb::ingest::syslog::{Extent, parse};
use logstore::{Entry, Marks};

use crate::log_entries::{NOW, is_entry};

/// One input, as a message that came whole and as one that did not.
pub fn run(data: &[u8]) {
    let entry = parse(data, Extent::Whole, NOW);
    is_entry(&entry);
    let cut = parse(data, Extent::Cut, NOW);
    assert_eq!(cut, Entry { marks: entry.marks.with(Marks::CUT), ..entry.clone() });
    let message = trimmed(data);
    if entry.marks.has(Marks::UNPARSED) {
        let whole = Entry::from_bytes(NOW, message);
        assert_eq!((&entry.message, entry.time), (&whole.message, NOW));
        assert!(entry.structured_data.is_empty() && entry.app_name.is_empty());
    } else {
        has_its_header(&entry, message);
    }
    if std::str::from_utf8(data).is_ok() {
        assert!(!entry.marks.has(Marks::INVALID_UTF8), "{entry:?}");
    }
}

/// A priority and, of RFC 5424, the five fields between blanks, where `-` is nothing.
fn has_its_header(entry: &Entry, message: &[u8]) {
    let priority = u32::from(entry.facility) * 8 + u32::from(entry.severity.number());
    let parts: Vec<&[u8]> = message.splitn(7, |byte| *byte == b' ').collect();
    let first = String::from_utf8_lossy(parts[0]);
    let number = first.strip_prefix('<').and_then(|rest| rest.split_once('>'));
    let (number, version) = number.expect("what is parsed has a priority");
    assert_eq!(number.parse(), Ok(priority), "{entry:?}");
    if version != "1" || parts.len() == 1 {
        return;
    }
    assert!(parts.len() >= 7, "{entry:?}");
    let fields = [&entry.hostname, &entry.app_name, &entry.proc_id, &entry.msg_id];
    for (found, part) in fields.into_iter().zip(&parts[2..]) {
        let expect = if *part == b"-" { &b""[..] } else { part };
        assert_eq!(found.as_bytes(), expect, "{entry:?}");
    }
    assert!(parts[1] != b"-" || entry.time == NOW, "{entry:?}");
}

/// Without what senders put behind a message.
fn trimmed(mut message: &[u8]) -> &[u8] {
    while let Some((b'\n' | b'\r' | 0, rest)) = message.split_last() {
        message = rest;
    }
    message
}

/// Messages as they are found, and as they should not be.
pub fn seeds() -> Vec<Vec<u8>> {
    [
        &b"<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \xef\xbb\xbf'su root' failed"[..],
        b"<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time",
        br#"<13>1 2026-01-31T23:59:59.123456789+00:00 web1 root 7 m [timeQuality tzKnown="1" isSynced="0"][x@1 y="q\"b\\c\]d" y="2"] hello"#,
        b"<0>1 - - - - - -",
        b"<191>1 - h a p m [x] m\n",
        b"<14>1 - h a p m [x y=\"1] z",
        b"<34>Oct 11 22:14:15 mymachine su: 'su root' failed",
        b"<38>Jan 31 23:59:58 sshd[812]: Accepted",
        b"<30>2026-01-31T23:59:58.5+00:00 web1 systemd[1]: Started x.",
        b"<189>*Jan 31 2026 23:59:58.250: %SYS-5-CONFIG_I: Configured",
        b"<14>Feb 29 23:59:60 ::1 a(b)/c[9]: x\0",
        b"<192>no priority",
        b"not syslog \xff at all\r\n",
    ]
    .map(<[u8]>::to_vec)
    .into()
}
