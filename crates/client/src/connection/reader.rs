//! The thread that reads answers.

use std::io;
use std::os::unix::net::UnixStream;

use super::Shared;
use crate::error::Error;
use crate::wire::{FrameBuffer, Next, Response};

/// Reads until the connection ends, then tells everybody.
pub(super) fn run(shared: &Shared, mut stream: UnixStream, mut inbox: FrameBuffer) {
    let why = loop {
        if let Err(error) = deliver_all(shared, &mut inbox) {
            break error;
        }
        match inbox.read_from(&mut stream) {
            Ok(0) if inbox.is_empty() => break Error::lost("the server closed the connection"),
            Ok(0) => break Error::lost("the server closed the connection within an answer"),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Error::lost(format!("the connection is lost: {error}")),
        }
    };
    shared.lose(&why);
}

fn deliver_all(shared: &Shared, inbox: &mut FrameBuffer) -> Result<(), Error> {
    loop {
        match inbox.next() {
            Next::More => return Ok(()),
            Next::TooLarge { body_bytes, .. } => {
                return Err(Error::protocol(format!("an answer of {body_bytes} bytes")));
            }
            Next::Frame(body) => match Response::id_of(body) {
                Some(id) if shared.deliver(id, body) => {}
                Some(0) | None => return Err(without_request(body)),
                Some(id) => {
                    return Err(Error::protocol(format!("an answer to {id}, which nobody asked")));
                }
            },
        }
    }
}

/// What a server says that answers no request: it ends the connection.
fn without_request(body: &[u8]) -> Error {
    match Response::decode(body) {
        Ok(Response { outcome: Err(failure), .. }) => {
            let server = Error::from(&failure);
            Error::lost(format!("the server refused the connection: {server}"))
        }
        Ok(_) => Error::protocol("an answer to no request"),
        Err(error) => Error::protocol(format!("an answer is malformed: {error}")),
    }
}
