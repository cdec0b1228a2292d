//! HTTP and frames byte by byte, as nobody's library would send them.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;

use client::wire::{FrameBuffer, Hello, Next, Response, Welcome};
use serde_json::Value;

use super::process::PATIENCE;

/// A connection to the HTTP surface.
pub(super) fn tcp(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends a head, which is to say that the connection ends, and a body; answers status and error code.
pub(super) fn ask(address: SocketAddr, head: &str, body: &[u8]) -> (u16, String) {
    let mut stream = tcp(address);
    let len = body.len();
    let head = format!("{head} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {len}");
    stream.write_all(format!("{head}\r\n\r\n").as_bytes()).unwrap();
    // Refused before all of it was read, perhaps.
    _ = stream.write_all(body);
    answer(stream)
}

/// What a connection is answered before it ends: the status, and the code of the error.
pub(super) fn answer(mut stream: TcpStream) -> (u16, String) {
    let mut all = Vec::new();
    match stream.read_to_end(&mut all) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("no answer: {error}"),
        _ => {}
    }
    let text = String::from_utf8_lossy(&all);
    let status = text.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0);
    let body: Value = text
        .split_once("\r\n\r\n")
        .and_then(|(_, body)| serde_json::from_str(body).ok())
        .unwrap_or_default();
    (status, body["error"]["code"].as_str().unwrap_or_default().to_owned())
}

/// A connection to the socket that has said hello.
pub(super) struct Framed {
    pub(super) stream: UnixStream,
    inbox: FrameBuffer,
}

impl Framed {
    pub(super) fn to(path: &Path) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let mut framed = Self { stream, inbox: FrameBuffer::new() };
        let mut hello = Vec::new();
        Hello::new("").encode(&mut hello).unwrap();
        framed.stream.write_all(&hello).unwrap();
        let welcome = framed.frame().unwrap();
        assert!(Welcome::decode(&welcome).unwrap().outcome.is_ok());
        framed
    }

    /// The body of the next frame; none when the server has closed.
    pub(super) fn frame(&mut self) -> Option<Vec<u8>> {
        while !self.inbox.is_ready() {
            if self.inbox.read_from(&mut self.stream).unwrap() == 0 {
                return None;
            }
        }
        let Next::Frame(body) = self.inbox.next() else { panic!("no frame") };
        Some(body.to_vec())
    }

    /// Sends these bytes as one frame, and answers the code of the error that comes.
    pub(super) fn refused(&mut self, body: &[u8]) -> String {
        let len = u32::try_from(body.len()).unwrap();
        self.stream.write_all(&len.to_le_bytes()).unwrap();
        self.stream.write_all(body).unwrap();
        let answer = self.frame().unwrap();
        let error = Response::decode(&answer).unwrap().outcome.unwrap_err();
        error.code().map_or_else(String::new, |code| format!("{code:?}"))
    }
}
