//! Statements from a file or the command line: no prompt, no editing, and the same output as at a
//! terminal.

use std::io::{self, BufRead, Read};

use client::ErrorCode;

use super::fault::Fault;
use super::line::{Pending, Shape};
use super::session::{Flow, Session};
use super::{Ended, OnError};

/// Longest statement. A document has at most 16 MiB, and the rest of its statement some room.
const STATEMENT_BYTES_MAX: usize = 16 * 1024 * 1024 + 64 * 1024;

/// Why no more statements are read.
enum Stop {
    End,
    Exit,
    Failed(u64),
}

/// Carries out each text, which may hold several lines and then several statements.
pub(super) fn given(
    statements: &[String],
    session: &mut Session<'_>,
    on_error: OnError,
) -> io::Result<Ended> {
    for (number, statement) in (1..).zip(statements) {
        match feed(&mut statement.as_bytes(), session, on_error)? {
            Stop::End => {}
            Stop::Exit => break,
            Stop::Failed(_) => return Ok(Ended::Failed { line: number }),
        }
    }
    Ok(Ended::Done)
}

/// Carries out a script.
pub(super) fn read(
    from: &mut dyn BufRead,
    session: &mut Session<'_>,
    on_error: OnError,
) -> io::Result<Ended> {
    Ok(match feed(from, session, on_error)? {
        Stop::End | Stop::Exit => Ended::Done,
        Stop::Failed(line) => Ended::Failed { line },
    })
}

fn feed(from: &mut dyn BufRead, session: &mut Session<'_>, on_error: OnError) -> io::Result<Stop> {
    let mut lines = Lines { from, number: 0 };
    while let Some((line, statement)) = lines.statement()? {
        let flow = match statement {
            Ok(statement) => session.run(&statement)?,
            Err(fault) => session.refuse(&fault)?,
        };
        match (flow, on_error) {
            (Flow::Exit, _) => return Ok(Stop::Exit),
            (Flow::Failed, OnError::Stop) => return Ok(Stop::Failed(line)),
            (Flow::Failed, OnError::Continue) | (Flow::Done, _) => {}
        }
    }
    Ok(Stop::End)
}

/// The line where a statement begins, from 1, and the statement.
type Numbered = (u64, Result<String, Fault>);

struct Lines<'a> {
    from: &'a mut dyn BufRead,
    number: u64,
}

impl Lines<'_> {
    /// The next statement; none at the end. A statement that is cut off by the end is one too: its
    /// parser says what is missing.
    fn statement(&mut self) -> io::Result<Option<Numbered>> {
        let (mut text, mut pending, mut first) = (String::new(), Pending::default(), None);
        loop {
            let mut line = Vec::new();
            let room = STATEMENT_BYTES_MAX - text.len();
            let read = Read::take(&mut self.from, room as u64 + 1).read_until(b'\n', &mut line)?;
            if read == 0 {
                return Ok(first.map(|first| (first, Ok(text))));
            }
            self.number += 1;
            let begin = *first.get_or_insert(self.number);
            if read > room {
                self.skip_line(&line)?;
                let message = format!("a statement has at most {STATEMENT_BYTES_MAX} bytes");
                let fault = Fault::coded(ErrorCode::PayloadTooLarge, message);
                return Ok(Some((begin, Err(fault))));
            }
            let Ok(line) = String::from_utf8(line) else {
                return Ok(Some((begin, Err(Fault::argument("the line is not UTF-8")))));
            };
            match pending.feed(&line) {
                Shape::Nothing => first = None,
                Shape::Open => text.push_str(&line),
                Shape::Whole => {
                    text.push_str(&line);
                    text.truncate(text.trim_end().len());
                    return Ok(Some((begin, Ok(text))));
                }
            }
        }
    }

    /// Passes over what is left of a line, so that it is not taken for statements.
    fn skip_line(&mut self, read: &[u8]) -> io::Result<()> {
        if read.last() == Some(&b'\n') {
            return Ok(());
        }
        self.from.skip_until(b'\n').map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statements(mut script: &[u8]) -> Vec<(u64, Result<String, &'static str>)> {
        let mut lines = Lines { from: &mut script, number: 0 };
        let mut all = Vec::new();
        while let Some((line, statement)) = lines.statement().unwrap() {
            all.push((line, statement.map_err(|fault| fault.code)));
        }
        all
    }

    fn ok(line: u64, text: &str) -> (u64, Result<String, &'static str>) {
        (line, Ok(text.to_owned()))
    }

    #[test]
    fn a_script_is_cut_into_statements_with_their_lines() {
        let script = b"# head\n.ping\r\n\n.create 1 {\n  \"a\": 1\n}\n  .read 1\n.read 2";
        let expect = [
            ok(2, ".ping"),
            ok(4, ".create 1 {\n  \"a\": 1\n}"),
            ok(7, "  .read 1"),
            ok(8, ".read 2"),
        ];
        assert_eq!(statements(script), expect);
        assert_eq!(statements(b""), []);
        assert_eq!(statements(b"# only\n\n"), []);
        assert_eq!(statements(b"# only"), []);
    }

    #[test]
    fn a_statement_that_the_end_cuts_off_is_handed_on() {
        assert_eq!(statements(b".ping\n.create 1 {\n"), [ok(1, ".ping"), ok(2, ".create 1 {\n")]);
    }

    #[test]
    fn what_is_no_text_or_too_long_costs_its_line_only() {
        assert_eq!(statements(b".read \xff\n.ping\n"), [(1, Err("InvalidQuery")), ok(2, ".ping")]);
        let mut script = vec![b'x'; STATEMENT_BYTES_MAX + 10];
        script.extend_from_slice(b"\n.ping\n");
        assert_eq!(statements(&script), [(1, Err("PayloadTooLarge")), ok(2, ".ping")]);
        let mut script = b".create 1 [".to_vec();
        script.extend(std::iter::repeat_n(*b"1,\n", STATEMENT_BYTES_MAX / 3).flatten());
        script.extend_from_slice(b"]\n");
        let all = statements(&script);
        assert_eq!(all[0], (1, Err("PayloadTooLarge")));
    }
}
