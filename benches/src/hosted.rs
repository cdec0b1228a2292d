//! An engine in a process of its own, so that its memory and CPU time are its own, it can be given
//! less memory than there is, and killed.
//!
//! The process is the bench's own program with [`HOST_FLAG`]: it takes requests as lines of JSON and
//! answers each with one. It holds one engine and ends with its requests.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use base::clock::{Clock as _, SystemClock};
use rustix::mm::MlockAllFlags;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::corpus::check_head;
use crate::engines::{Kind, Settings};
use crate::stopwatch::{Sample, cpu_now};
use crate::usage::Memory;
use crate::work::{Contents, Round, Work, Worker};

/// The argument that makes the bench's program a host.
pub const HOST_FLAG: &str = "--host";

/// What to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Keep the program itself in memory, so that what is read from the disk later is data alone.
    Pin,
    /// Open the engine, and read a document when one is named.
    Open {
        /// Which engine.
        kind: Kind,
        /// Where.
        dir: PathBuf,
        /// How.
        settings: Settings,
        /// What to read.
        first: Option<u64>,
    },
    /// Write all documents for the first time.
    Load,
    /// Do the work of a round.
    Run {
        /// What.
        work: Work,
        /// Its number.
        round: u64,
    },
    /// Check what a round of another process has left.
    Verify {
        /// What it was.
        work: Work,
        /// Its number.
        round: u64,
        /// Transactions of each of its threads.
        commits: Vec<u64>,
    },
    /// Check all documents.
    CheckAll(Contents),
    /// Tell the memory of the process.
    Memory,
    /// Tell what the engine says of itself.
    Facts,
    /// Close the engine.
    Close,
}

/// What came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It was done.
    Done,
    /// To [`Request::Open`], [`Request::Load`] and [`Request::Run`].
    Round(Round),
    /// To [`Request::Memory`].
    Memory(Memory),
    /// To [`Request::Facts`].
    Facts(Value),
    /// It was not.
    Failed(String),
}

/// Serves requests until there are no more.
///
/// # Errors
/// When requests or answers cannot be passed on. What goes wrong with the engine is an answer.
pub fn serve() -> io::Result<()> {
    let mut worker = None;
    for line in io::stdin().lock().lines() {
        let request: Request = serde_json::from_str(&line?)?;
        let answer = handle(&mut worker, request);
        let answer = answer.unwrap_or_else(|error| Answer::Failed(error.to_string()));
        let mut out = io::stdout().lock();
        serde_json::to_writer(&mut out, &answer)?;
        out.write_all(b"\n")?;
        out.flush()?;
    }
    Ok(())
}

fn handle(worker: &mut Option<Worker>, request: Request) -> io::Result<Answer> {
    if let Request::Open { kind, dir, settings, first } = request {
        let (opened, round) = open(kind, &dir, settings, first)?;
        *worker = Some(opened);
        return Ok(Answer::Round(round));
    }
    let open = || io::Error::other("no engine is open");
    let answer = match request {
        Request::Pin => {
            rustix::mm::mlockall(MlockAllFlags::CURRENT)?;
            Answer::Done
        }
        Request::Memory => Answer::Memory(Memory::of_this_process()?),
        Request::Close => {
            worker.take().ok_or_else(open)?.close()?;
            Answer::Done
        }
        Request::Open { .. }
        | Request::Load
        | Request::Run { .. }
        | Request::Verify { .. }
        | Request::CheckAll(_)
        | Request::Facts => ask(worker.as_ref().ok_or_else(open)?, &request)?,
    };
    Ok(answer)
}

/// What is asked of an open engine.
fn ask(worker: &Worker, request: &Request) -> io::Result<Answer> {
    Ok(match request {
        Request::Load => Answer::Round(worker.load()?),
        Request::Run { work, round } => Answer::Round(worker.run(*work, *round)?),
        Request::Verify { work, round, commits } => {
            worker.verify(*work, *round, commits)?;
            Answer::Done
        }
        Request::CheckAll(contents) => {
            worker.check_all(*contents)?;
            Answer::Done
        }
        Request::Facts => Answer::Facts(worker.engine().facts()?),
        Request::Pin | Request::Open { .. } | Request::Memory | Request::Close => Answer::Done,
    })
}

/// Opens an engine and reads a first document; both together are what was timed.
fn open(
    kind: Kind,
    dir: &std::path::Path,
    settings: Settings,
    first: Option<u64>,
) -> io::Result<(Worker, Round)> {
    let clock = SystemClock::new();
    let (start, cpu) = (clock.now(), cpu_now());
    let engine = kind.open(dir, &settings)?;
    let mut text = Vec::new();
    if let Some(id) = first {
        engine.get(id, &mut text)?;
    }
    let (wall, cpu) = (clock.now().since(start), cpu_now().saturating_sub(cpu));
    if let Some(id) = first {
        check_head(id, &text)?;
    }
    let sample = Sample { operations: 1, wall, cpu };
    let (latencies, commits) = (crate::writers::Latencies::of(vec![wall]), Vec::new());
    Ok((Worker::new(engine, settings), Round { sample, latencies, commits }))
}

/// A host, and the ends of its pipes that are here. Killed on drop.
#[derive(Debug)]
pub struct Hosted {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Hosted {
    /// Starts a host.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn start() -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(HOST_FLAG)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let missing = || io::Error::other("a host without pipes");
        let requests = child.stdin.take().ok_or_else(missing)?;
        let answers = BufReader::new(child.stdout.take().ok_or_else(missing)?);
        Ok(Self { child, requests, answers })
    }

    /// Its process.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Asks for something and waits for the answer.
    ///
    /// # Errors
    /// What went wrong there, or with the host itself.
    pub fn ask(&mut self, request: &Request) -> io::Result<Answer> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        self.requests.write_all(&line)?;
        self.requests.flush()?;
        let mut answer = String::new();
        if self.answers.read_line(&mut answer)? == 0 {
            return Err(io::Error::other("a host ended without an answer"));
        }
        match serde_json::from_str(&answer)? {
            Answer::Failed(error) => Err(io::Error::other(error)),
            answer @ (Answer::Done | Answer::Round(_) | Answer::Memory(_) | Answer::Facts(_)) => {
                Ok(answer)
            }
        }
    }

    /// Asks for something that is answered with a round.
    ///
    /// # Errors
    /// As [`Hosted::ask`].
    pub fn round(&mut self, request: &Request) -> io::Result<Round> {
        match self.ask(request)? {
            Answer::Round(round) => Ok(round),
            other @ (Answer::Done | Answer::Memory(_) | Answer::Facts(_) | Answer::Failed(_)) => {
                Err(io::Error::other(format!("not a round: {other:?}")))
            }
        }
    }
}

impl Drop for Hosted {
    /// Kills it as `kill -9` does, and waits until it is gone.
    fn drop(&mut self) {
        // One that has ended already is no reason to complain.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_answers_survive_being_lines() {
        let settings = Settings {
            documents: 10,
            document_bytes: 256,
            cache_bytes: 1 << 20,
            is_larger_than_memory: false,
        };
        let (kind, dir, first) = (Kind::Sqlite, PathBuf::from("a b"), Some(3));
        let request = Request::Open { kind, dir, settings, first };
        let line = serde_json::to_string(&request).unwrap();
        assert!(!line.contains('\n'));
        let back: Request = serde_json::from_str(&line).unwrap();
        assert_eq!(format!("{back:?}"), format!("{request:?}"));
    }

    #[test]
    fn work_without_an_open_engine_is_refused() {
        assert!(handle(&mut None, Request::Load).is_err());
        assert!(handle(&mut None, Request::Close).is_err());
        assert!(matches!(handle(&mut None, Request::Memory), Ok(Answer::Memory(_))));
    }
}
