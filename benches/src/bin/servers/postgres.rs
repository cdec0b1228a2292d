//! PostgreSQL's protocol, version 3: statements that are prepared once, each request a transaction.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::ask::{Ask, Wire};

/// What every connection prepares, by name.
const STATEMENTS: [(&str, &str); 3] = [
    (
        "put",
        "INSERT INTO documents VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET body = EXCLUDED.body",
    ),
    ("get", "SELECT body FROM documents WHERE id = $1"),
    ("delete", "DELETE FROM documents WHERE id = $1"),
];
/// What makes the table.
const TABLE: &str =
    "CREATE TABLE IF NOT EXISTS documents (id bigint PRIMARY KEY, body jsonb NOT NULL)";

/// A connection whose statements are prepared.
#[derive(Debug)]
pub(crate) struct Statements;

/// Appends a message.
fn message(kind: u8, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
    out.push(kind);
    untyped(out, body)
}

/// Appends a length, that of itself included, and what has it.
fn untyped(out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    body(out);
    let len = u32::try_from(out.len() - at).map_err(io::Error::other)?;
    out[at..at + 4].copy_from_slice(&network(len));
    Ok(())
}

/// The order of bytes of this protocol.
#[expect(clippy::big_endian_bytes, reason = "PostgreSQL's protocol has network byte order")]
fn network(number: u32) -> [u8; 4] {
    number.to_be_bytes()
}

#[expect(clippy::big_endian_bytes, reason = "PostgreSQL's protocol has network byte order")]
fn from_network(bytes: [u8; 4]) -> u32 {
    u32::from_be_bytes(bytes)
}

fn text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(text.as_bytes());
    out.push(0);
}

/// Connects, makes the table when it is not there, and prepares statements.
pub(crate) fn connect(directory: &Path) -> io::Result<(UnixStream, Statements)> {
    let mut stream = UnixStream::connect(directory.join(".s.PGSQL.5432"))?;
    let mut out = Vec::new();
    untyped(&mut out, |out| {
        out.extend_from_slice(&network(196_608));
        for part in ["user", "postgres", "database", "postgres", ""] {
            text(part, out);
        }
    })?;
    stream.write_all(&out)?;
    ready(&mut stream)?;
    out.clear();
    message(b'Q', &mut out, |out| text(TABLE, out))?;
    stream.write_all(&out)?;
    ready(&mut stream)?;
    out.clear();
    for (name, statement) in STATEMENTS {
        message(b'P', &mut out, |out| {
            text(name, out);
            text(statement, out);
            out.extend_from_slice(&[0; 2]);
        })?;
    }
    message(b'S', &mut out, |_| {})?;
    stream.write_all(&out)?;
    ready(&mut stream)?;
    Ok((stream, Statements))
}

/// Reads until the server waits for more.
fn ready(stream: &mut UnixStream) -> io::Result<()> {
    loop {
        let mut head = [0; 5];
        stream.read_exact(&mut head)?;
        let [kind, len @ ..] = head;
        let mut body = vec![0; (from_network(len) as usize).saturating_sub(4)];
        stream.read_exact(&mut body)?;
        match kind {
            b'Z' => return Ok(()),
            b'E' => return Err(refused(&body)),
            b'R' if body != [0; 4] => return Err(io::Error::other("PostgreSQL wants a password")),
            _ => {}
        }
    }
}

fn refused(body: &[u8]) -> io::Error {
    io::Error::other(format!("PostgreSQL answers {}", body.escape_ascii()))
}

impl Wire for Statements {
    fn ask(&mut self, ask: Ask<'_>, out: &mut Vec<u8>) -> io::Result<()> {
        let (name, id, document) = match ask {
            Ask::Put(id, document) => ("put", id, Some(document)),
            Ask::Get(id) => ("get", id, None),
            Ask::Page(_) => return Err(io::ErrorKind::Unsupported.into()),
            Ask::Delete(id) => ("delete", id, None),
        };
        let id = id.to_string();
        message(b'B', out, |out| {
            text("", out);
            text(name, out);
            out.extend_from_slice(&[0, 0, 0, 1 + u8::from(document.is_some())]);
            for value in [Some(id.as_bytes()), document].into_iter().flatten() {
                out.extend_from_slice(&network(u32::try_from(value.len()).unwrap_or(u32::MAX)));
                out.extend_from_slice(value);
            }
            out.extend_from_slice(&[0; 2]);
        })?;
        message(b'E', out, |out| {
            text("", out);
            out.extend_from_slice(&[0; 4]);
        })?;
        message(b'S', out, |_| {})
    }

    fn answer(&mut self, bytes: &[u8]) -> io::Result<Option<usize>> {
        let mut at = 0;
        while let Some((&[kind, a, b, c, d], _)) =
            bytes.get(at..).and_then(<[u8]>::split_first_chunk::<5>)
        {
            let end = at + 1 + from_network([a, b, c, d]) as usize;
            let Some(message) = bytes.get(at..end) else { return Ok(None) };
            match kind {
                b'Z' => return Ok(Some(end)),
                b'E' => return Err(refused(message)),
                _ => at = end,
            }
        }
        Ok(None)
    }
}
