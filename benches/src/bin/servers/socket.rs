//! docdb's frames.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use client::wire::{
    Answer, Call, Cursor, ExecuteMode, Hello, Id, Op, OpResult, OpenMode, PREFIX_BYTES, Request,
    Response, ScanCall, Welcome,
};

use crate::ask::{Ask, PAGE, Wire};

/// A connection on which a database is open.
#[derive(Debug)]
pub(crate) struct Frames {
    database: u64,
    id: u64,
}

/// Connects and opens a database, which is made when it is not there.
pub(crate) fn connect(path: &Path, database: &str) -> io::Result<(UnixStream, Frames)> {
    let mut stream = UnixStream::connect(path)?;
    let mut out = Vec::new();
    Hello::new("").encode(&mut out).map_err(io::Error::other)?;
    let call = Call::OpenDb { name: database, mode: OpenMode::OrCreate };
    Request::new(1, 0, call).encode(&mut out).map_err(io::Error::other)?;
    stream.write_all(&out)?;
    let body = frame(&mut stream)?;
    let welcome = Welcome::decode(&body).map_err(io::Error::other)?;
    welcome.outcome.map_err(|failure| io::Error::other(format!("{failure:?}")))?;
    let body = frame(&mut stream)?;
    let response = Response::decode(&body).map_err(io::Error::other)?;
    match response.outcome {
        Ok(Answer::Opened { database, .. }) => Ok((stream, Frames { database, id: 1 })),
        other => Err(io::Error::other(format!("the database does not open: {other:?}"))),
    }
}

fn frame(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut prefix = [0; PREFIX_BYTES];
    stream.read_exact(&mut prefix)?;
    let mut body = vec![0; u32::from_le_bytes(prefix) as usize];
    stream.read_exact(&mut body)?;
    Ok(body)
}

impl Wire for Frames {
    fn ask(&mut self, ask: Ask<'_>, out: &mut Vec<u8>) -> io::Result<()> {
        self.id += 1;
        let op = match ask {
            Ask::Put(id, document) => Op::upsert("default", id, document),
            Ask::Get(id) => Op::read("default", id),
            Ask::Delete(id) => Op::delete("default", id),
            Ask::Page(id) => {
                let to = Some(Id::U64(id + PAGE));
                let cursor =
                    Cursor::Range { from: Some(Id::U64(id)), after: false, to, before: true };
                let limit = u32::try_from(PAGE).map_err(io::Error::other)?;
                let call = Call::Scan(ScanCall { collection: "default", cursor, limit });
                return Request::new(self.id, self.database, call)
                    .encode(out)
                    .map_err(io::Error::other);
            }
        };
        let ops = [op];
        let call = Call::Execute { ops: ops.as_slice().into(), mode: ExecuteMode::Atomic };
        Request::new(self.id, self.database, call).encode(out).map_err(io::Error::other)
    }

    fn answer(&mut self, bytes: &[u8]) -> io::Result<Option<usize>> {
        let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX_BYTES>() else {
            return Ok(None);
        };
        let len = u32::from_le_bytes(*prefix) as usize;
        let Some(body) = rest.get(..len) else { return Ok(None) };
        let response = Response::decode(body).map_err(io::Error::other)?;
        match &response.outcome {
            Ok(Answer::Page(page)) if page.documents.len() as u64 == PAGE => {
                Ok(Some(PREFIX_BYTES + len))
            }
            Ok(Answer::Executed(executed))
                if !executed.results.iter().any(|r| matches!(r, OpResult::Failed(_))) =>
            {
                Ok(Some(PREFIX_BYTES + len))
            }
            other => Err(io::Error::other(format!("docdb answers {other:?}"))),
        }
    }
}
