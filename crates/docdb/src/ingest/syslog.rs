//! One syslog message as an entry: RFC 5424 in full, RFC 3164 as it is found in the wild.
//!
//! `<PRI>1 ` begins a message of RFC 5424 and nothing else does. What begins so and is none is kept
//! whole, with the facility and the severity that its PRI says, and marked. Everything else with a
//! PRI is taken as RFC 3164, which allows whatever follows; everything without one is kept and
//! marked. See [`rfc3164`] for what is looked for there.
//!
//! How messages are told apart on a connection is in [`framing`]; lines that belong together are
//! joined by [`assembly`].

pub mod assembly;
pub mod framing;
mod rfc3164;
mod rfc5424;

use logstore::{Entry, MESSAGE_BYTES_MAX, Marks, Severity, UnixNanos};

/// Longest message, header and all; what is longer is cut and marked.
pub const LINE_BYTES_MAX: usize = MESSAGE_BYTES_MAX;

/// Whether a message came whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// It did.
    Whole,
    /// It was longer than [`LINE_BYTES_MAX`], or its connection ended within it.
    Cut,
}

/// What the number in angle brackets says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Priority {
    facility: u8,
    severity: Severity,
}

/// Makes an entry of a message. Blanks, line ends and NULs behind it are no part of it.
#[must_use]
pub fn parse(message: &[u8], extent: Extent, received: UnixNanos) -> Entry {
    let message = trim_end(message);
    let mut entry = match priority(message) {
        Some((priority, rest)) => with_priority(message, priority, rest, received),
        None => unparsed(message, received),
    };
    if extent == Extent::Cut {
        entry.marks = entry.marks.with(Marks::CUT);
    }
    entry
}

fn with_priority(message: &[u8], priority: Priority, rest: &[u8], received: UnixNanos) -> Entry {
    let mut entry = match rest.strip_prefix(b"1 ") {
        Some(rest) => rfc5424::parse(rest, received).unwrap_or_else(|| unparsed(message, received)),
        None => rfc3164::parse(rest, received),
    };
    entry.facility = priority.facility;
    entry.severity = priority.severity;
    entry
}

fn unparsed(message: &[u8], received: UnixNanos) -> Entry {
    let mut entry = Entry::from_bytes(received, message);
    entry.marks = entry.marks.with(Marks::UNPARSED);
    entry
}

/// `<191>` and what follows it.
fn priority(message: &[u8]) -> Option<(Priority, &[u8])> {
    let rest = message.strip_prefix(b"<")?;
    let end = rest.iter().take(4).position(|byte| *byte == b'>').filter(|end| *end > 0)?;
    let (digits, rest) = rest.split_at_checked(end)?;
    let number = digits.iter().try_fold(0_u16, |number, digit| {
        digit.is_ascii_digit().then(|| number * 10 + u16::from(digit - b'0'))
    })?;
    let facility = u8::try_from(number / 8).ok().filter(|facility| *facility <= 23)?;
    let severity = Severity::from_number(u8::try_from(number % 8).ok()?)?;
    Some((Priority { facility, severity }, rest.strip_prefix(b">")?))
}

/// Without the line ends and NULs that senders put behind messages.
fn trim_end(mut message: &[u8]) -> &[u8] {
    while let Some(rest) = message
        .strip_suffix(b"\n")
        .or_else(|| message.strip_suffix(b"\r"))
        .or_else(|| message.strip_suffix(b"\0"))
    {
        message = rest;
    }
    message
}

#[cfg(test)]
mod tests;
