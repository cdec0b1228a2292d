//! Lines as they are sent in the wild, and what becomes of them.

use logstore::{Entry, Marks, UnixNanos};

use super::*;

/// 2026-01-31T23:59:59Z.
const NOW: UnixNanos = UnixNanos(1_769_903_999_000_000_000);

/// The fields of an entry that are not empty, in one line.
fn shown(entry: &Entry) -> String {
    let mut out = format!("{}.{}", entry.facility, entry.severity.name());
    if entry.time != NOW {
        out.push_str(&format!(" at={}", entry.time.rfc3339()));
    }
    for (name, value) in [
        ("host", &entry.hostname),
        ("app", &entry.app_name),
        ("pid", &entry.proc_id),
        ("id", &entry.msg_id),
        ("sd", &entry.structured_data),
    ] {
        if !value.is_empty() {
            out.push_str(&format!(" {name}={value}"));
        }
    }
    for (mark, name) in
        [(Marks::UNPARSED, "?"), (Marks::CUT, "!"), (Marks::INVALID_UTF8, "\u{fffd}")]
    {
        if entry.marks.has(mark) {
            out.push_str(name);
        }
    }
    format!("{out} | {}", entry.message)
}

#[track_caller]
fn check(line: &[u8], expected: &str) {
    let entry = parse(line, Extent::Whole, NOW);
    assert_eq!(shown(&entry), expected, "{}", String::from_utf8_lossy(line));
}

#[test]
fn rfc_5424_is_read_in_full() {
    let cases: &[(&[u8], &str)] = &[
        // The examples of the RFC, section 6.5.
        (
            b"<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \xef\xbb\xbf'su root' \
              failed for lonvick on /dev/pts/8",
            "4.crit at=2003-10-11T22:14:15.003000000Z host=mymachine.example.com app=su id=ID47 | \
             'su root' failed for lonvick on /dev/pts/8",
        ),
        (
            b"<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time",
            "20.notice at=2003-08-24T12:14:15.000003000Z host=192.0.2.1 app=myproc pid=8710 | \
             %% It's time",
        ),
        (
            b"<165>1 2003-10-11T22:14:15.003Z h evntslog - ID47 [exampleSDID@32473 iut=\"3\" \
              eventSource=\"Application\"][examplePriority@32473 class=\"high\"]",
            "20.notice at=2003-10-11T22:14:15.003000000Z host=h app=evntslog id=ID47 \
             sd={\"examplePriority@32473\":{\"class\":\"high\"},\"exampleSDID@32473\":\
             {\"eventSource\":\"Application\",\"iut\":\"3\"}} | ",
        ),
        // logger --rfc5424
        (
            b"<13>1 2026-01-31T23:59:59.123456+00:00 web1 root - - [timeQuality tzKnown=\"1\" \
              isSynced=\"0\"] hello world\n",
            "1.notice at=2026-01-31T23:59:59.123456000Z host=web1 app=root \
             sd={\"timeQuality\":{\"isSynced\":\"0\",\"tzKnown\":\"1\"}} | hello world",
        ),
        (b"<0>1 - - - - - -", "0.emerg | "),
        (b"<191>1 - - - - - - ", "23.debug | "),
        (b"<14>1 - h a p m - two  blanks kept ", "1.info host=h app=a pid=p id=m | two  blanks kept "),
        (
            br#"<14>1 - - - - - [a x="q\"b\\c\]d\n"][b y="1" y="2" y=""][c] m"#,
            r#"1.info sd={"a":{"x":"q\"b\\c]d\\n"},"b":{"y":["1","2",""]},"c":{}} | m"#,
        ),
        ("<14>1 - hôte app - - [x k=\"é\"] ü".as_bytes(), "1.info host=hôte app=app sd={\"x\":{\"k\":\"é\"}} | ü"),
        (b"<14>1 - - - - - - a\xffb", "1.info\u{fffd} | a\u{fffd}b"),
        (b"<14>1 - - - - - - line 1\nline 2\0", "1.info | line 1\nline 2"),
        (b"<14>1 2026-01-31T23:59:59.123456789Z - - - - -", "1.info at=2026-01-31T23:59:59.123456789Z | "),
    ];
    for (line, expected) in cases {
        check(line, expected);
    }
}

#[test]
fn what_begins_as_rfc_5424_and_is_none_is_kept_whole_and_marked() {
    for line in [
        "<14>1 ",
        "<14>1 - - - -",
        "<14>1 -  - - - - x",
        "<14>1 yesterday h a p m - x",
        "<14>1 2026-13-01T00:00:00Z h a p m - x",
        "<14>1 - h a p m x",
        "<14>1 - h a p m [x",
        "<14>1 - h a p m [x y] z",
        "<14>1 - h a p m [x y=\"1] z",
        "<14>1 - h a p m [x y=\"a]b\"] z",
        "<14>1 - h a p m [x y=\"1\"  z=\"2\"] m",
        "<14>1 - h a p m [] z",
        "<14>1 - h a p m -z",
        "<14>1 - h a p m [x]z",
        "<14>1 - h\u{7}a a p m - x",
    ] {
        check(line.as_bytes(), &format!("1.info? | {line}"));
    }
}

/// Messages of RFC 3164, and what they are.
const FOUND: &[(&[u8], &str)] = &[
    // The examples of the RFC, section 5.4.
    (
        b"<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8",
        "4.crit at=2025-10-11T22:14:15.000000000Z host=mymachine app=su | 'su root' failed for \
             lonvick on /dev/pts/8",
    ),
    (
        b"<13>Feb  5 17:32:18 10.0.0.99 Use the BFG!",
        "1.notice at=2026-02-05T17:32:18.000000000Z host=10.0.0.99 | Use the BFG!",
    ),
    (
        b"<165>Aug 24 05:34:00 CST 1987 mymachine myproc[10]: %% It's time",
        "20.notice at=2025-08-24T05:34:00.000000000Z host=CST | 1987 mymachine myproc[10]: %% It's time",
    ),
    (
        b"<0>1990 Oct 22 10:52:01 TZ-6 scapegoat.dmz.example.org",
        "0.emerg | 1990 Oct 22 10:52:01 TZ-6 scapegoat.dmz.example.org",
    ),
    // logger --rfc3164
    (
        b"<13>Jan 31 23:59:58 web1 root: hello\n",
        "1.notice at=2026-01-31T23:59:58.000000000Z host=web1 app=root | hello",
    ),
    // Programs that log to their own machine.
    (
        b"<38>Jan 31 23:59:58 sshd[812]: Accepted publickey",
        "4.info at=2026-01-31T23:59:58.000000000Z app=sshd pid=812 | Accepted publickey",
    ),
    (
        b"<6>Jan 31 23:59:58 web1 kernel: [12.3] usb 1-1: new",
        "0.info at=2026-01-31T23:59:58.000000000Z host=web1 app=kernel | [12.3] usb 1-1: new",
    ),
    (
        b"<22>Jan 31 23:59:58 mx1 postfix/smtpd[9]: connect from a[::1]",
        "2.info at=2026-01-31T23:59:58.000000000Z host=mx1 app=postfix/smtpd pid=9 | connect from a[::1]",
    ),
    (
        b"<86>Jan 31 23:59:58 h su(pam_unix)[3]: session opened",
        "10.info at=2026-01-31T23:59:58.000000000Z host=h app=su(pam_unix) pid=3 | session opened",
    ),
    // rsyslog forwards with a time of RFC 3339.
    (
        b"<30>2026-01-31T23:59:58.5+00:00 web1 systemd[1]: Started x.",
        "3.info at=2026-01-31T23:59:58.500000000Z host=web1 app=systemd pid=1 | Started x.",
    ),
    // Docker's driver.
    (
        b"<30>Jan 31 23:59:58 5790672ab6a0[9103]: Hello from Docker.",
        "3.info at=2026-01-31T23:59:58.000000000Z app=5790672ab6a0 pid=9103 | Hello from Docker.",
    ),
    // A router.
    (
        b"<189>*Jan 31 23:59:58.250: %SYS-5-CONFIG_I: Configured",
        "23.notice at=2026-01-31T23:59:58.250000000Z app=%SYS-5-CONFIG_I | Configured",
    ),
    // Python's SysLogHandler has none of it.
    (b"<14>just a message\0", "1.info | just a message"),
    (b"<14>error: not a program", "1.info | error: not a program"),
    (b"<14>app[7]: with a process", "1.info app=app pid=7 | with a process"),
    (b"<14>", "1.info | "),
    (b"<14>Jan 31 23:59:58", "1.info at=2026-01-31T23:59:58.000000000Z | "),
    (b"<14>Jan 31 23:59:58 10:20 x", "1.info at=2026-01-31T23:59:58.000000000Z host=10:20 | x"),
    (
        b"<14>Jan 31 23:59:58 ::1 a: x",
        "1.info at=2026-01-31T23:59:58.000000000Z host=::1 app=a | x",
    ),
    (
        "<14>Jan 31 23:59:58 h a: größer".as_bytes(),
        "1.info at=2026-01-31T23:59:58.000000000Z host=h app=a | größer",
    ),
    (
        b"<14>Jan 31 23:59:58 h a: \xff",
        "1.info at=2026-01-31T23:59:58.000000000Z host=h app=a\u{fffd} | \u{fffd}",
    ),
    (b"<13>2 not a version", "1.notice | 2 not a version"),
];

#[test]
fn rfc_3164_is_read_as_it_is_found() {
    for (line, expected) in FOUND {
        check(line, expected);
    }
}

#[test]
fn what_has_no_priority_is_kept_and_marked() {
    for line in ["plain", "<>x", "<192>x", "<1234>x", "<1", "<a>x", "<-1>x", "1 2026 x", ""] {
        check(line.as_bytes(), &format!("1.info? | {line}"));
    }
}

#[test]
fn a_message_that_was_cut_says_so() {
    let entry = parse(b"<14>1 - - - - - [x y=\"", Extent::Cut, NOW);
    assert!(entry.marks.has(Marks::CUT.with(Marks::UNPARSED)));
    let entry = parse(b"<14>abc", Extent::Cut, NOW);
    assert_eq!(entry.marks, Marks::CUT);
}

#[test]
fn every_entry_is_one_that_a_store_takes() {
    // Control characters take six bytes each as JSON.
    let value = "\u{1}".repeat(40_000);
    let line = format!("<14>1 - - - - - [a big=\"{value}\"][b small=\"1\"] m");
    let entry = parse(line.as_bytes(), Extent::Whole, NOW);
    assert_eq!(entry.structured_data, "{\"b\":{\"small\":\"1\"}}");
    assert!(entry.marks.has(Marks::CUT) && entry.message == "m");
}
