//! Redis's protocol, RESP2.

use std::io::{self, Write as _};

use crate::ask::{Ask, Wire};

/// A connection.
#[derive(Debug)]
pub(crate) struct Resp;

fn argument(bytes: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    write!(out, "${}\r\n", bytes.len())?;
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
    Ok(())
}

impl Wire for Resp {
    fn ask(&mut self, ask: Ask<'_>, out: &mut Vec<u8>) -> io::Result<()> {
        let (name, id, document) = match ask {
            Ask::Put(id, document) => ("SET", id, Some(document)),
            Ask::Get(id) => ("GET", id, None),
            Ask::Page(_) => return Err(io::ErrorKind::Unsupported.into()),
            Ask::Delete(id) => ("DEL", id, None),
        };
        write!(out, "*{}\r\n", 2 + u8::from(document.is_some()))?;
        argument(name.as_bytes(), out)?;
        argument(format!("d:{id}").as_bytes(), out)?;
        document.map_or(Ok(()), |document| argument(document, out))
    }

    fn answer(&mut self, bytes: &[u8]) -> io::Result<Option<usize>> {
        let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else { return Ok(None) };
        let (line, after) = (&bytes[..end], end + 2);
        let wrong = || io::Error::other(format!("Redis answers {}", line.escape_ascii()));
        match line.first() {
            Some(b'+' | b':') => Ok(Some(after)),
            Some(b'$') => {
                let len: usize = std::str::from_utf8(&line[1..])
                    .ok()
                    .and_then(|text| text.parse().ok())
                    .ok_or_else(wrong)?;
                Ok(Some(after + len + 2).filter(|whole| bytes.len() >= *whole))
            }
            _ => Err(wrong()),
        }
    }
}
