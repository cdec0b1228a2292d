//! What a durable commit asks of the system, seen from outside: `strace` follows this very
//! program while it is a lone writer, and between the write of a commit and its acknowledgement
//! there is exactly one `fdatasync`, after the write, and nothing else that syncs.
//!
//! Without `strace` the test says SKIPPED and proves nothing; `cargo xtask ci` installs it where it
//! may, and shows the stage as skipped where it may not.

#![cfg(all(target_os = "linux", not(shuttle)))]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use base::clock::SystemClock;
use base::document::Document;
use base::io::{Disk as _, Open, RealDisk, read_exact_at};
use base::words::{Change, CollectionId, DatabaseId, DocId, Lsn};
use wal::{Environment, Log, Options};

/// Commits looked at: few enough that the first segment takes them all.
const COMMITS: usize = 200;
/// The first commit makes the first segment.
const WARM_UP: usize = 1;

/// A system call of one thread, or an acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Write,
    DataSync,
    OtherSync,
    Ack,
}

/// Reads a line of `strace -f -y`; `None` for what is neither.
fn event(line: &str, dir: &str) -> Option<(u32, Event)> {
    let (thread, call) = line.split_once(' ')?;
    let thread = thread.parse().ok()?;
    let call = call.trim_start();
    let (name, arguments) = call.split_once('(')?;
    let event = match name {
        "write" if arguments.contains("\"ack ") => Event::Ack,
        "write" | "pwrite64" | "pwritev" | "pwritev2" if arguments.contains(dir) => Event::Write,
        "fdatasync" => Event::DataSync,
        "fsync" | "sync_file_range" | "sync" | "syncfs" => Event::OtherSync,
        _ => return None,
    };
    Some((thread, event))
}

/// The events of the thread that acknowledges, one list per acknowledgement, it included.
fn per_commit(trace: &str, dir: &str) -> Vec<Vec<Event>> {
    let events: Vec<_> = trace.lines().filter_map(|line| event(line, dir)).collect();
    let writer = events.iter().find(|(_, event)| *event == Event::Ack).map(|(thread, _)| *thread);
    let mine: Vec<Event> =
        events.iter().filter(|(t, _)| Some(*t) == writer).map(|(_, event)| *event).collect();
    let mut commits: Vec<_> =
        mine.split_inclusive(|event| *event == Event::Ack).map(<[Event]>::to_vec).collect();
    // What follows the last acknowledgement is the closing of the log.
    commits.retain(|commit| commit.last() == Some(&Event::Ack));
    commits
}

fn check(commits: &[Vec<Event>]) -> Result<(), String> {
    if commits.len() != COMMITS {
        return Err(format!("{} acknowledgements of {COMMITS} were seen", commits.len()));
    }
    for (n, commit) in commits.iter().enumerate().skip(WARM_UP) {
        if commit != &[Event::Write, Event::DataSync, Event::Ack] {
            return Err(format!("commit {n}: {commit:?}"));
        }
    }
    Ok(())
}

/// The test that is the writer, and the variable that tells it where to write.
const WRITER: &str = "the_writer_that_is_followed";
const WRITER_DIR: &str = "TESTS_STRACE_DIR";

fn trace(dir: &Path) -> Option<String> {
    let log = dir.join("log");
    let trace = dir.join("trace");
    RealDisk.create_dir(&log).expect("a new directory");
    let calls = "trace=write,pwrite64,pwritev,pwritev2,fdatasync,fsync,sync_file_range,sync,syncfs";
    let ran = Command::new("strace")
        .args(["-f", "-y", "-s", "16", "-e", calls, "-e", "signal=none", "-o"])
        .arg(&trace)
        .arg(std::env::current_exe().expect("the system knows this program"))
        .args(["--exact", WRITER, "--nocapture"])
        .env(WRITER_DIR, &log)
        .output();
    let output = match ran {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => panic!("strace: {error}"),
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    // A container may forbid one process to follow another.
    if errors.contains("ptrace") || errors.contains("PTRACE") {
        return None;
    }
    assert!(output.status.success(), "{errors}");
    let len = RealDisk.stat(&trace).expect("strace wrote it").expect("strace wrote it").len;
    let mut bytes = vec![0; usize::try_from(len).expect("a short trace")];
    let file = RealDisk.open(&trace, Open::Read).expect("strace wrote it");
    read_exact_at(&*file, &mut bytes, 0).expect("as long as it says");
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Says aloud when it is answered: `ack <LSN>` on standard output, by one `write` each. Run by
/// itself, as part of the tests, it has nobody to tell and only does the commits.
#[test]
fn the_writer_that_is_followed() {
    let own = tempfile::tempdir().expect("a directory for the test");
    let followed = std::env::var_os(WRITER_DIR).map(PathBuf::from);
    let dir = followed.as_deref().unwrap_or_else(|| own.path());
    let env = Environment { disk: RealDisk::shared(), clock: SystemClock::shared(), reserve: None };
    let database = DatabaseId::from_bytes([5; 16]);
    let log = Log::create(&env, dir, database, Options::default()).expect("an empty directory");
    let text = format!("{{\"pad\":\"{}\"}}", "x".repeat(240));
    let document = Document::parse(text.as_bytes()).expect("it is JSON");
    for n in 0..COMMITS as u64 {
        let committed = log
            .append(&Change::Put {
                collection: CollectionId(1),
                id: DocId::U64(n),
                replaces: Lsn::ZERO,
                expires_at: None,
                document: document.clone(),
            })
            .expect("the disk has room");
        if followed.is_some() {
            let line = format!("ack {}\n", committed.last);
            std::io::stdout().write_all(line.as_bytes()).expect("the test listens");
        }
    }
    assert_eq!(log.durable(), Lsn(COMMITS as u64));
    log.close().expect("the disk has room");
}

#[test]
fn a_lone_commit_is_one_write_and_one_fdatasync_before_its_acknowledgement() {
    let dir = tempfile::tempdir().expect("a directory for the test");
    let Some(trace) = trace(dir.path()) else {
        eprintln!("SKIPPED: strace is not installed or may not follow programs here");
        return;
    };
    let name = dir.path().to_string_lossy();
    check(&per_commit(&trace, &name)).expect("one write, one fdatasync, then the acknowledgement");
}

#[test]
fn a_commit_without_its_sync_or_with_two_is_noticed() {
    let commit = |events: &[Event]| {
        let mut commits = vec![vec![Event::Write, Event::DataSync, Event::Ack]; COMMITS];
        commits[COMMITS - 1] = events.to_vec();
        check(&commits)
    };
    use Event::{Ack, DataSync, OtherSync, Write};
    assert_eq!(commit(&[Write, DataSync, Ack]), Ok(()));
    assert!(commit(&[Write, Ack]).is_err());
    assert!(commit(&[DataSync, Write, Ack]).is_err());
    assert!(commit(&[Write, DataSync, DataSync, Ack]).is_err());
    assert!(commit(&[Write, OtherSync, DataSync, Ack]).is_err());
}

#[test]
fn lines_of_a_trace_are_told_apart() {
    let dir = "/tmp/x";
    let line = |text| event(text, dir);
    assert_eq!(
        line("77 pwrite64(5</tmp/x/1.wal>, \"..\", 344, 128) = 344"),
        Some((77, Event::Write))
    );
    assert_eq!(line("77 fdatasync(5</tmp/x/1.wal>) = 0"), Some((77, Event::DataSync)));
    assert_eq!(line("78 fsync(4</tmp/x>) = 0"), Some((78, Event::OtherSync)));
    assert_eq!(line("77 write(1<pipe:[1]>, \"ack 1\\n\", 6) = 6"), Some((77, Event::Ack)));
    assert_eq!(line("77 write(1<pipe:[1]>, \"other\", 5) = 5"), None);
    assert_eq!(line("77 +++ exited with 0 +++"), None);
}
