//! What follows `<PRI>` in a message of RFC 3164, which describes what was seen and forbids nothing:
//! `TIMESTAMP HOSTNAME TAG[PID]: MESSAGE`, of which everything but the message may be missing.
//!
//! | it begins with | it is |
//! |---|---|
//! | `Jan  2 15:04:05 ` (also with a fraction, or a year) | a time; a host and a tag may follow |
//! | a time of RFC 3339, as rsyslog forwards | the same |
//! | anything else | the message, but for a tag with a process id, `name[12]: ` |
//!
//! Behind a time, the first word is the host, unless it ends as a tag does: programs that log to
//! their own machine leave the host out. A tag ends with a colon, or has a process id in brackets. A
//! word without either is no tag: it is where the message begins.

use logstore::{Entry, UnixNanos};

use crate::ingest::time;

/// Longest word that is taken for a tag or a host.
const WORD_BYTES_MAX: usize = 255;

/// Reads what is behind the PRI.
pub(super) fn parse(rest: &[u8], received: UnixNanos) -> Entry {
    // Header and tag are ASCII; what is not is part of the message, and its business.
    let ascii = rest.iter().position(|byte| !byte.is_ascii()).unwrap_or(rest.len());
    let head = rest.get(..ascii).and_then(|head| std::str::from_utf8(head).ok()).unwrap_or("");
    let header = Header::read(head, received);
    let message = rest.get(header.len..).unwrap_or_default();
    let mut entry = Entry::from_bytes(received, message);
    entry.time = header.time.unwrap_or(received);
    header.hostname.clone_into(&mut entry.hostname);
    header.tag.name.clone_into(&mut entry.app_name);
    header.tag.proc_id.clone_into(&mut entry.proc_id);
    entry
}

#[derive(Debug, Default)]
struct Header<'a> {
    time: Option<UnixNanos>,
    hostname: &'a str,
    tag: Tag<'a>,
    /// Its bytes, with the blank behind it.
    len: usize,
}

#[derive(Debug, Default, Clone, Copy)]
struct Tag<'a> {
    name: &'a str,
    proc_id: &'a str,
}

impl<'a> Header<'a> {
    fn read(head: &'a str, received: UnixNanos) -> Self {
        let behind = |rest: &str| head.len().saturating_sub(rest.len());
        let Some((time, rest)) = timestamp(head, received) else {
            let Some((tag, rest)) = tag(head).filter(|(tag, _)| !tag.proc_id.is_empty()) else {
                return Self::default();
            };
            return Self { tag, len: behind(rest), ..Self::default() };
        };
        let mut header = Self { time: Some(time), len: behind(rest), ..Self::default() };
        let mut rest = rest;
        if tag(rest).is_none()
            && let Some((host, next)) = rest.split_once(' ')
            && is_word(host)
        {
            header.hostname = host;
            header.len = behind(next);
            rest = next;
        }
        if let Some((tag, rest)) = tag(rest) {
            header.tag = tag;
            header.len = behind(rest);
        }
        header
    }
}

/// A time, and what is behind the blank or colon that ends it.
fn timestamp(head: &str, received: UnixNanos) -> Option<(UnixNanos, &str)> {
    // Some devices mark times that they are not sure of.
    let head = head.strip_prefix(['*', '.']).unwrap_or(head);
    if let Some((time, rest)) = time::rfc3164(head, received) {
        let rest = rest.strip_prefix(':').unwrap_or(rest);
        return Some((time, rest.strip_prefix(' ').unwrap_or(rest)));
    }
    let (first, rest) = head.split_once(' ')?;
    Some((time::rfc3339(first)?, rest))
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.len() <= WORD_BYTES_MAX && text.bytes().all(|b| b.is_ascii_graphic())
}

/// `name: ` or `name[12]: ` and what is behind it. The blank may be missing, and behind a process id
/// the colon too.
fn tag(rest: &str) -> Option<(Tag<'_>, &str)> {
    let end = rest.find([':', '[', ' '])?;
    let (name, behind) = rest.split_at_checked(end).filter(|(name, _)| is_word(name))?;
    let (proc_id, behind) = match behind.strip_prefix('[') {
        Some(behind) => {
            let (proc_id, behind) = behind.split_once(']')?;
            if !is_word(proc_id) {
                return None;
            }
            (proc_id, behind.strip_prefix(':').unwrap_or(behind))
        }
        None => ("", behind.strip_prefix(':')?),
    };
    // A colon within a word ends no tag: `10:20`, `::1`, `http://`.
    if !(behind.is_empty() || behind.starts_with(' ') || !proc_id.is_empty()) {
        return None;
    }
    Some((Tag { name, proc_id }, behind.strip_prefix(' ').unwrap_or(behind)))
}
