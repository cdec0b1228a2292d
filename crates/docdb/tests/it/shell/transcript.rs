//! Transcripts: lines that begin with `> ` are typed, what stands beneath is the answer, up to an
//! empty line. A line that begins with `#` where an answer has ended is a comment.
//!
//! The one rule for what differs from run to run: the number behind a key `revision`, `after`,
//! `lsn` or one that ends in `_lsn` is `r1`, `r2`, … and each UUID `u1`, `u2`, …, in the order in
//! which they come up. A statement may name a revision that was printed before: `--if-revision r1`.
//!
//! In an answer `[..]` stands for any text, and a line `...` for any lines.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, BufRead, Read, Write};
use std::rc::Rc;

/// A statement, which may be several lines, or text between them.
#[derive(Debug)]
enum Part {
    Text(String),
    Statement { lines: Vec<String>, answer: Vec<String> },
}

#[derive(Debug)]
pub(crate) struct Transcript(Vec<Part>);

impl Transcript {
    pub(crate) fn parse(text: &str) -> Self {
        let mut parts = Vec::new();
        for line in text.lines() {
            let typed = line.strip_prefix("> ").or((line == ">").then_some(""));
            match (typed, parts.last_mut()) {
                (Some(typed), Some(Part::Statement { lines, answer })) if answer.is_empty() => {
                    lines.push(typed.to_owned());
                }
                (Some(typed), _) => {
                    let lines = vec![typed.to_owned()];
                    parts.push(Part::Statement { lines, answer: Vec::new() });
                }
                (None, Some(Part::Statement { answer, .. })) if !line.is_empty() => {
                    answer.push(line.to_owned());
                }
                (None, _) => parts.push(Part::Text(line.to_owned())),
            }
        }
        Self(parts)
    }

    /// The statements, and what they are answered.
    pub(crate) fn statements(&self) -> impl Iterator<Item = (String, &[String])> {
        self.0.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Statement { lines, answer } => Some((lines.join("\n"), answer.as_slice())),
        })
    }

    /// The text of the transcript with these answers. One that matches what stands there is left
    /// as it is.
    pub(crate) fn with_answers(&self, answers: &[Vec<String>]) -> String {
        let mut answers = answers.iter();
        let mut out = String::new();
        let mut line = |text: &str| {
            out.push_str(text);
            out.push('\n');
        };
        for part in &self.0 {
            match part {
                Part::Text(text) => line(text),
                Part::Statement { lines, answer } => {
                    for typed in lines {
                        line(format!("> {typed}").trim_end());
                    }
                    let now = answers.next().map_or(&[][..], Vec::as_slice);
                    let shown = if matches(answer, now) { answer } else { now };
                    for text in shown {
                        line(text);
                    }
                }
            }
        }
        out
    }
}

fn matches(expect: &[String], lines: &[String]) -> bool {
    match expect.split_first() {
        None => lines.is_empty(),
        Some((first, rest)) if first == "..." => {
            (0..=lines.len()).any(|skipped| matches(rest, &lines[skipped..]))
        }
        Some((first, rest)) => match lines.split_first() {
            None => false,
            Some((line, others)) => matches_line(first, line) && matches(rest, others),
        },
    }
}

fn matches_line(expect: &str, line: &str) -> bool {
    match expect.split_once("[..]") {
        None => expect == line,
        Some((head, tail)) => line.strip_prefix(head).is_some_and(|rest| {
            let ends = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
            ends.into_iter().any(|at| matches_line(tail, &rest[at..]))
        }),
    }
}

/// What a run has printed so far, and where each answer began.
#[derive(Debug, Default)]
struct Shared {
    printed: Vec<u8>,
    numbers: Vec<String>,
    uuids: Vec<String>,
    answers: Vec<Vec<String>>,
}

impl Shared {
    /// Makes an answer of what was printed since the last one.
    fn close(&mut self) {
        let printed = std::mem::take(&mut self.printed);
        let text = String::from_utf8(printed).expect("the shell prints text");
        let lines = text.lines().map(|line| self.normal(line)).collect();
        self.answers.push(lines);
    }

    fn normal(&mut self, line: &str) -> String {
        let mut out = String::new();
        let mut word = String::new();
        for c in line.chars().chain(['\n']) {
            if c.is_ascii_alphanumeric() || c == '-' {
                word.push(c);
                continue;
            }
            out.push_str(&self.normal_word(&out, &word));
            word.clear();
            out.push(c);
        }
        out.truncate(out.len() - 1);
        out
    }

    fn normal_word(&mut self, before: &str, word: &str) -> String {
        let number_of = |all: &mut Vec<String>| match all.iter().position(|known| known == word) {
            Some(at) => at + 1,
            None => {
                all.push(word.to_owned());
                all.len()
            }
        };
        let dashes = word.match_indices('-').map(|(at, _)| at);
        if word.len() == 36 && dashes.eq([8, 13, 18, 23]) {
            return format!("u{}", number_of(&mut self.uuids));
        }
        let key = before.strip_suffix('=').unwrap_or_default();
        let is_revision = ["revision", "after", "lsn"].iter().any(|name| key.ends_with(name));
        if is_revision && !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit()) {
            return format!("r{}", number_of(&mut self.numbers));
        }
        word.to_owned()
    }

    /// A statement with the revisions that it names.
    fn typed(&self, line: &str) -> String {
        let words = line.split(' ').map(|word| {
            let number = word.strip_prefix('r').and_then(|number| number.parse::<usize>().ok());
            let known = number.and_then(|number| self.numbers.get(number.checked_sub(1)?));
            known.map_or(word, String::as_str)
        });
        words.collect::<Vec<_>>().join(" ")
    }
}

/// The statements of a transcript as a script that notes where each answer ends: the shell asks
/// for the next statement when it has answered the one before.
pub(crate) struct Played {
    statements: VecDeque<Vec<String>>,
    shared: Rc<RefCell<Shared>>,
    has_begun: bool,
    line: Vec<u8>,
    read: usize,
}

impl Played {
    pub(crate) fn new(transcript: &Transcript) -> Self {
        let lines = transcript.0.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Statement { lines, .. } => Some(lines.clone()),
        });
        let (statements, shared) = (lines.collect(), Rc::default());
        Self { statements, shared, has_begun: false, line: Vec::new(), read: 0 }
    }

    /// Where the shell prints.
    pub(crate) fn output(&self) -> impl Write + use<> {
        Printed(Rc::clone(&self.shared))
    }

    /// The answers, one for each statement.
    pub(crate) fn answers(self) -> Vec<Vec<String>> {
        let mut shared = self.shared.borrow_mut();
        shared.close();
        std::mem::take(&mut shared.answers)
    }
}

impl BufRead for Played {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.read == self.line.len()
            && let Some(lines) = self.statements.pop_front()
        {
            let mut shared = self.shared.borrow_mut();
            if self.has_begun {
                shared.close();
            }
            self.has_begun = true;
            let lines: Vec<String> = lines.iter().map(|line| shared.typed(line)).collect();
            self.line = format!("{}\n", lines.join("\n")).into_bytes();
            self.read = 0;
        }
        Ok(&self.line[self.read..])
    }

    fn consume(&mut self, bytes: usize) {
        self.read += bytes;
    }
}

impl Read for Played {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?;
        let len = bytes.len().min(into.len());
        into[..len].copy_from_slice(&bytes[..len]);
        self.consume(len);
        Ok(len)
    }
}

struct Printed(Rc<RefCell<Shared>>);

impl Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().printed.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn revisions_and_uuids_are_numbered_and_may_be_named_again() {
    let mut shared = Shared::default();
    let normal = shared.normal("id=7 revision=70, if 70; wal.visible_lsn=9 next revision=70");
    assert_eq!(normal, "id=7 revision=r1, if 70; wal.visible_lsn=r2 next revision=r1");
    let uuid = "67e55044-10b1-426f-9247-bb680e5fe0c8";
    assert_eq!(shared.normal(&format!("uuid={uuid} {uuid}x")), format!("uuid=u1 {uuid}x"));
    assert_eq!(shared.typed(".delete r1 --if-revision r2 r9"), ".delete 70 --if-revision 9 r9");
}

#[test]
fn answers_match_with_wildcards_and_not_otherwise() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let check = |expect: &str, text: &str| matches(&lines(expect), &lines(text));
    assert!(check("OK\n...\nb=[..]c", "OK\na=1\nb=xc"));
    assert!(check("OK\n...", "OK"));
    assert!(!check("OK\nb=[..]c", "OK\nb=x"));
    assert!(!check("OK", "OK\na"));
    assert!(!check("OK\na", "OK"));
}

#[test]
fn a_transcript_with_its_own_answers_is_the_same_text() {
    let text = "# comment\n\n> .a {\n> }\nOK [..]\n> .b\nERROR x\n\n# more\n> .c\n";
    let transcript = Transcript::parse(text);
    let answers = [vec!["OK 1".to_owned()], vec!["ERROR x".to_owned()], vec![]];
    assert_eq!(transcript.with_answers(&answers), text);
    let other = [vec!["ERROR".to_owned()], vec!["ERROR x".to_owned()], vec!["OK".to_owned()]];
    let expect = "# comment\n\n> .a {\n> }\nERROR\n> .b\nERROR x\n\n# more\n> .c\nOK\n";
    assert_eq!(transcript.with_answers(&other), expect);
}
