//! HTTP/1.1, kept alive.

use std::io::{self, Write as _};

use crate::ask::{Ask, Wire};

/// A connection: requests go to this path and an id.
#[derive(Debug)]
pub(crate) struct Requests {
    pub(crate) path: &'static str,
}

impl Wire for Requests {
    fn ask(&mut self, ask: Ask<'_>, out: &mut Vec<u8>) -> io::Result<()> {
        let path = self.path;
        match ask {
            Ask::Put(id, document) => {
                write!(out, "PUT {path}{id} HTTP/1.1\r\nhost: a\r\n")?;
                out.extend_from_slice(b"content-type: application/json\r\n");
                write!(out, "content-length: {}\r\n\r\n", document.len())?;
                out.extend_from_slice(document);
            }
            Ask::Get(id) => write!(out, "GET {path}{id} HTTP/1.1\r\nhost: a\r\n\r\n")?,
            Ask::Page(_) => return Err(io::ErrorKind::Unsupported.into()),
            Ask::Delete(id) => write!(out, "DELETE {path}{id} HTTP/1.1\r\nhost: a\r\n\r\n")?,
        }
        Ok(())
    }

    fn answer(&mut self, bytes: &[u8]) -> io::Result<Option<usize>> {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Ok(None);
        };
        let head = std::str::from_utf8(&bytes[..end]).map_err(io::Error::other)?;
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap_or_default();
        if !status.starts_with("HTTP/1.1 20") {
            return Err(io::Error::other(format!("the server answers {status}")));
        }
        let length = |line: &str| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
        };
        let body: usize = lines.find_map(length).unwrap_or(0);
        Ok(Some(end + 4 + body).filter(|whole| bytes.len() >= *whole))
    }
}
