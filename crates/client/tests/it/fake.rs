//! A server that does what a test says, over a real socket.

use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Duration;
use std::{io::Write, thread};

use client::wire::{
    Answer, Command, Effect, Executed, FrameBuffer, Hello, Next, OpResult, Request, Response,
    Welcome,
};
use client::{Connection, Options};

/// One connection of the server.
pub(crate) struct Peer {
    pub(crate) stream: UnixStream,
    inbox: FrameBuffer,
}

impl Peer {
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self { stream, inbox: FrameBuffer::new() }
    }

    /// The body of the next frame; none when the client has gone.
    pub(crate) fn frame(&mut self) -> Option<Vec<u8>> {
        while !self.inbox.is_ready() {
            match self.inbox.read_from(&mut self.stream) {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
        match self.inbox.next() {
            Next::Frame(body) => Some(body.to_vec()),
            other @ (Next::More | Next::TooLarge { .. }) => panic!("the client sent {other:?}"),
        }
    }

    /// The next request; none when the client has gone.
    pub(crate) fn request<T>(&mut self, look: impl FnOnce(&Request<'_>) -> T) -> Option<T> {
        self.frame().map(|body| look(&Request::decode(&body).unwrap()))
    }

    /// The ids of so many requests.
    pub(crate) fn ids(&mut self, count: usize) -> Vec<u64> {
        (0..count).map(|_| self.request(|request| request.id).unwrap()).collect()
    }

    pub(crate) fn welcome(&mut self) {
        let hello = self.frame().unwrap();
        assert_eq!(Hello::decode(&hello).unwrap().agreed(), Some(1));
        let mut out = Vec::new();
        Welcome { outcome: Ok((1, "fake 1")) }.encode(&mut out).unwrap();
        self.write(&out);
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        match self.stream.write_all(bytes) {
            // Not everybody waits for an answer before going.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
            written => written.unwrap(),
        }
    }

    pub(crate) fn answer(&mut self, response: &Response<'_>) {
        let mut out = Vec::new();
        response.encode(&mut out).unwrap();
        self.write(&out);
    }

    pub(crate) fn done(&mut self, id: u64, command: Command) {
        self.answer(&Response::new(id, command, Answer::Done));
    }

    pub(crate) fn written(&mut self, id: u64, revision: u64) {
        let results = vec![OpResult::Written { effect: Effect::Created, revision }];
        let answer = Answer::Executed(Executed { lsn: revision, results });
        self.answer(&Response::new(id, Command::Execute, answer));
    }
}

pub(crate) fn options() -> Options {
    Options::new().timeout(Duration::from_secs(20))
}

/// A connection to a server that runs `script` after the hello.
pub(crate) fn connection(
    options: &Options,
    script: impl FnOnce(&mut Peer) + Send + 'static,
) -> (Connection, JoinHandle<()>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let server = start(move || {
        let mut peer = Peer::new(theirs);
        peer.welcome();
        script(&mut peer);
    });
    (Connection::start(ours, options).unwrap(), server)
}

pub(crate) fn start(work: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    thread::Builder::new().spawn(work).unwrap()
}

/// A listening server: each connection in turn is given to its script.
pub(crate) struct Listening {
    pub(crate) path: String,
    pub(crate) server: JoinHandle<()>,
    _dir: tempfile::TempDir,
}

type Script = Box<dyn FnOnce(&mut Peer) + Send>;

pub(crate) fn listen(scripts: Vec<Script>) -> Listening {
    let dir = tempfile::tempdir().unwrap();
    let path: PathBuf = dir.path().join("docdb.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let server = start(move || {
        for script in scripts {
            let (stream, _) = listener.accept().unwrap();
            script(&mut Peer::new(stream));
        }
    });
    Listening { path: path.to_str().unwrap().to_owned(), server, _dir: dir }
}
