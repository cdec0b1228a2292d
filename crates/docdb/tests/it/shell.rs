//! The shell against a real server: transcripts of every command, and what only a process has.
//!
//! `UPDATE_TRANSCRIPTS=1` writes the transcripts anew; answers that match as they stand are kept,
//! so that what may differ stays a wildcard.

#![expect(clippy::unwrap_used, reason = "what these tests share fails them by panicking")]

mod process;
mod server;
mod transcript;

use std::collections::BTreeSet;
use std::path::PathBuf;

use base::io::{Open, RealDisk};
use docdb::shell::catalog::COMMANDS;
use docdb::shell::{Ended, Input, OnError, Options, run};

use server::Server;
use transcript::Transcript;

/// Every transcript, each on a server of its own.
const TRANSCRIPTS: &[&str] =
    &["databases", "documents", "feed", "help", "operations", "search", "transactions"];

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/shell")
}

fn path(name: &str) -> PathBuf {
    directory().join(format!("{name}.transcript"))
}

fn read(name: &str) -> String {
    let file = RealDisk::shared().open(&path(name), Open::Read).expect("the transcript is there");
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    base::io::read_exact_at(&*file, &mut bytes, 0).unwrap();
    String::from_utf8(bytes).expect("transcripts are text")
}

fn write(name: &str, text: &str) {
    let disk = RealDisk::shared();
    disk.remove_file(&path(name)).unwrap();
    let file = disk.open(&path(name), Open::CreateNew).unwrap();
    base::io::write_all_at(&*file, text.as_bytes(), 0).unwrap();
}

/// Runs the statements of a transcript at an address.
fn play(transcript: &Transcript, address: &str) -> Vec<Vec<String>> {
    let mut played = transcript::Played::new(transcript);
    let options = Options {
        address: address.to_owned(),
        ca_file: None,
        key: String::new(),
        timeout: std::time::Duration::from_secs(60),
        on_error: OnError::Continue,
        history: None,
        colours: false,
    };
    let mut out = played.output();
    let ended = run(options, Input::Script(&mut played), &mut out).unwrap();
    assert_eq!(ended, Ended::Done);
    played.answers()
}

fn check(name: &str) {
    let text = read(name);
    let transcript = Transcript::parse(&text);
    let server = Server::start();
    let answers = play(&transcript, &server.socket());
    let now = transcript.with_answers(&answers);
    if std::env::var_os("UPDATE_TRANSCRIPTS").is_some() {
        if now != text {
            write(name, &now);
        }
        return;
    }
    assert_eq!(now, text, "{name}.transcript: UPDATE_TRANSCRIPTS=1 writes it anew");
}

#[test]
fn documents_are_written_read_scanned_and_removed() {
    check("documents");
}

#[test]
fn databases_and_collections_are_made_used_and_dropped() {
    check("databases");
}

#[test]
fn transactions_are_all_or_nothing() {
    check("transactions");
}

#[test]
fn the_feed_is_watched() {
    check("feed");
}

#[test]
fn operations_answer_reports() {
    check("operations");
}

#[test]
fn help_and_mistakes() {
    check("help");
}

/// Commands that have nothing to fail for, once their words are right.
const NEVER_FAIL: &[&str] = &[".exit"];

#[test]
fn every_command_is_in_a_transcript_with_a_success_and_a_failure() {
    let (mut succeeded, mut failed) = (BTreeSet::new(), BTreeSet::new());
    for name in TRANSCRIPTS {
        for (statement, answer) in Transcript::parse(&read(name)).statements() {
            let command = statement.split_whitespace().next().unwrap_or_default().to_owned();
            match answer.first().map(|line| line.split(' ').next().unwrap_or_default()) {
                Some("OK") => succeeded.insert(command),
                Some("ERROR") => failed.insert(command),
                _ => false,
            };
        }
    }
    for spec in COMMANDS.iter().filter(|spec| !NEVER_FAIL.contains(&spec.name)) {
        assert!(succeeded.contains(spec.name), "{} never succeeds", spec.name);
        assert!(failed.contains(spec.name), "{} never fails", spec.name);
    }
    let files = RealDisk::shared().list(&directory()).unwrap();
    let files: BTreeSet<String> = files.into_iter().map(|entry| entry.name).collect();
    let expect: BTreeSet<String> =
        TRANSCRIPTS.iter().map(|name| format!("{name}.transcript")).collect();
    assert_eq!(files, expect, "a transcript that nobody runs");
}
