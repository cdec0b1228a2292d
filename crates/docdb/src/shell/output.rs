//! What the shell prints: `OK` and details, or `ERROR`, a code and a message. Everything is text
//! that the same answers make the same, one fact on a line, so that scripts and people read it.

use std::io::{self, Write};

use super::fault::Fault;
use super::json::{compact, pretty, printable};

/// Longest part of a wrong statement that an error repeats.
const SHOWN_CHARS_MAX: usize = 60;

/// The beginning of a text, for an error.
pub(super) fn shortened(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

/// How documents are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Compact,
    Pretty,
}

/// Where output goes, and how it looks.
pub(super) struct Output<'a> {
    to: &'a mut dyn Write,
    colours: bool,
    pub(super) form: Form,
}

impl<'a> Output<'a> {
    pub(super) fn new(to: &'a mut dyn Write, colours: bool) -> Self {
        Self { to, colours, form: Form::Compact }
    }

    fn coloured(&mut self, colour: u8, text: &str) -> io::Result<()> {
        if self.colours {
            write!(self.to, "\x1b[{colour}m{text}\x1b[0m")
        } else {
            self.to.write_all(text.as_bytes())
        }
    }

    /// `OK`, and details on the same line.
    pub(super) fn ok(&mut self, details: &str) -> io::Result<()> {
        self.coloured(32, "OK")?;
        if details.is_empty() {
            return writeln!(self.to);
        }
        writeln!(self.to, " {}", printable(details))
    }

    /// `ERROR`, the code and the message.
    pub(super) fn error(&mut self, fault: &Fault) -> io::Result<()> {
        self.coloured(31, "ERROR")?;
        writeln!(self.to, " {}: {}", fault.code, printable(&fault.message))?;
        if fault.outcome_unknown {
            self.line("outcome=unknown: it may have been done; read it back before you try again")?;
        }
        Ok(())
    }

    /// A line of details.
    pub(super) fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.to, "{}", printable(text))
    }

    /// A document.
    pub(super) fn document(&mut self, bytes: &[u8]) -> io::Result<()> {
        let text = String::from_utf8_lossy(bytes);
        match self.form {
            Form::Compact => writeln!(self.to, "{}", compact(&text)),
            Form::Pretty => writeln!(self.to, "{}", pretty(&text)),
        }
    }

    /// Details and a document: on one line, or beneath each other.
    pub(super) fn entry(&mut self, details: &str, bytes: &[u8]) -> io::Result<()> {
        let separator = if self.form == Form::Pretty { '\n' } else { ' ' };
        write!(self.to, "{}{separator}", printable(details))?;
        self.document(bytes)
    }

    /// Text of several lines, such as metrics.
    pub(super) fn text(&mut self, text: &str) -> io::Result<()> {
        for line in text.lines() {
            self.line(line)?;
        }
        Ok(())
    }

    /// Clears the screen, if this is a terminal.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        self.to.write_all(b"\x1b[H\x1b[2J\x1b[3J")
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(colours: bool, print: impl Fn(&mut Output<'_>) -> io::Result<()>) -> String {
        let mut to = Vec::new();
        print(&mut Output::new(&mut to, colours)).unwrap();
        String::from_utf8(to).unwrap()
    }

    #[test]
    fn success_and_failure_are_one_line_that_no_server_can_break() {
        assert_eq!(printed(false, |out| out.ok("")), "OK\n");
        assert_eq!(printed(false, |out| out.ok("id=1")), "OK id=1\n");
        let fault = Fault::argument("two\nlines \u{1b}[2J");
        let expect = "ERROR InvalidQuery: two\\nlines \\u001b[2J\n";
        assert_eq!(printed(false, |out| out.error(&fault)), expect);
        assert!(printed(true, |out| out.error(&fault)).starts_with("\x1b[31mERROR\x1b[0m "));
        let unknown = Fault { outcome_unknown: true, ..fault };
        assert!(printed(false, |out| out.error(&unknown)).contains("\noutcome=unknown: "));
    }

    #[test]
    fn long_words_are_shortened_at_a_character() {
        assert_eq!(shortened("short"), "short");
        assert_eq!(shortened(&"é".repeat(61)), format!("{}…", "é".repeat(60)));
    }
}
