//! A server in this process, and a client that sends exactly the bytes it is told to.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base::clock::{Clock as _, ClockRef, SystemClock};
use base::io::RealDisk;
use docdb::auth::{Auth, Exposure, KeyFile, Wanted};
use docdb::config::{Machine, Settings, Sources};
use docdb::engine::{Engine, EngineOptions};
use docdb::http::{Listening, Surface, listen};
use docdb::tls::ServerTls;
use serde_json::Value;
use tempfile::TempDir;
use wal::Environment;

/// Longer than anything here takes on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A server on a directory of its own.
pub(crate) struct World {
    pub(crate) address: SocketAddr,
    pub(crate) engine: Arc<Engine>,
    pub(crate) auth: Arc<Auth>,
    pub(crate) tls: Option<Arc<ServerTls>>,
    pub(crate) data: PathBuf,
    pub(crate) listening: Listening,
    _runtime: tokio::runtime::Runtime,
    _dir: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    /// A server with other settings than the defaults.
    pub(crate) fn with(flags: &[(&str, &str)]) -> Self {
        Self::changed(flags, SystemClock::shared(), |_| {})
    }

    /// The same under a clock, with options that no setting names.
    pub(crate) fn changed(
        flags: &[(&str, &str)],
        clock: ClockRef,
        change: impl FnOnce(&mut EngineOptions),
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data").display().to_string();
        let mut all = vec![("data_dir", data.as_str()), ("http.listen", "127.0.0.1:0")];
        all.extend_from_slice(flags);
        let flags = all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let sources = Sources { flags: flags.collect(), ..Sources::default() };
        let settings = Settings::gather(&sources, &RealDisk::shared()).unwrap();
        let config = settings.config(&Machine { cores: 2, memory_bytes: 1 << 30 });
        let env = Environment { disk: RealDisk::shared(), clock, reserve: None };
        let mut options = docdb::serve::options(&config);
        change(&mut options);
        let engine = Engine::start(env, options).unwrap();
        let (disk, http) = (RealDisk::shared(), config.http.unwrap());
        let auth = Auth::open(&disk, &config.data_dir, Exposure::of(Some(&http))).unwrap();
        let auth = Arc::new(auth);
        let now = engine.clock().wall();
        let tls = http.tls.as_ref().map(|files| ServerTls::load(&disk, files, now).unwrap());
        let tls = tls.map(Arc::new);
        let surface = Surface::new(Arc::clone(&engine), Arc::clone(&auth), http).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let listening = runtime.block_on(listen(surface, tls.clone(), None)).unwrap();
        let address = listening.address;
        let data = config.data_dir;
        Self { address, engine, auth, tls, data, listening, _runtime: runtime, _dir: dir }
    }

    /// Makes a key that allows this, and has the server know it.
    pub(crate) fn key(&self, label: &str, grants: &[&str]) -> String {
        let grants = grants.iter().map(|grant| grant.parse().unwrap()).collect();
        let wanted = Wanted { label: label.to_owned(), expires: None, grants };
        let file = KeyFile::new(&RealDisk::shared(), &self.data);
        let made = file.add(wanted, SystemClock::new().wall()).unwrap();
        self.auth.reload().unwrap();
        made.secret.reveal().to_owned()
    }

    /// Removes a key, and has the server know it.
    pub(crate) fn remove_key(&self, label: &str) {
        KeyFile::new(&RealDisk::shared(), &self.data).remove(label).unwrap();
        self.auth.reload().unwrap();
    }

    pub(crate) fn connect(&self) -> Client {
        Client::to(self.address)
    }

    /// One request on a connection of its own.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        self.connect().ask(method, path, &[], body.as_bytes())
    }

    /// One request that succeeds, answered with JSON.
    #[track_caller]
    pub(crate) fn json(&self, method: &str, path: &str, body: &str) -> Value {
        let answer = self.ask(method, path, body);
        assert!(answer.status < 300, "{method} {path}: {answer:?}");
        answer.json()
    }

    /// One request that fails with this status and code.
    #[track_caller]
    pub(crate) fn fails(&self, method: &str, path: &str, body: &str, status: u16, code: &str) {
        self.ask(method, path, body).is_failure(status, code);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.listening.refuse();
        self.engine.close().expect("everything is closed");
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let of = |line: &'_ str| line.split_once(':').map(|(n, v)| (n.to_owned(), v.len()));
        let line = self
            .head
            .lines()
            .find(|line| of(line).is_some_and(|(found, _)| found.eq_ignore_ascii_case(name)))?;
        line.split_once(':').map(|(_, value)| value.trim())
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("{error}: {self:?}"),
        }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Checks the shape of an error, whatever the request was.
    #[track_caller]
    pub(crate) fn is_failure(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{self:?} {}", self.text());
        let error = &self.json()["error"];
        assert_eq!(error["code"], code, "{error}");
        assert!(error["message"].is_string() && error["category"].is_string(), "{error}");
        assert!(error["retryable"].is_boolean(), "{error}");
        assert_eq!(error["request_id"].as_str(), self.header("x-request-id"), "{self:?}");
    }
}

/// One connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    read: Vec<u8>,
}

impl Client {
    pub(crate) fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream, read: Vec::new() }
    }

    pub(crate) fn ask(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        self.send(method, path, headers, body);
        self.receive(method)
    }

    pub(crate) fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: docdb\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        self.stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    }

    /// Writes a document; none when the connection is gone.
    pub(crate) fn try_put(&mut self, path: &str, n: u64) -> Option<u16> {
        let body = n.to_string();
        let head =
            format!("PUT {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
        self.stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).ok()?;
        while !self.read.windows(4).any(|w| w == b"\r\n\r\n") {
            if self.fill() == 0 {
                return None;
            }
        }
        Some(self.receive("PUT").status)
    }

    /// Posts lines of JSON; none when the connection was gone before they were answered.
    pub(crate) fn try_post(&mut self, path: &str, body: &str) -> Option<u16> {
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
        self.stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).ok()?;
        while !self.read.windows(4).any(|w| w == b"\r\n\r\n") {
            if self.fill() == 0 {
                return None;
            }
        }
        Some(self.receive("POST").status)
    }

    /// Reads one answer.
    #[track_caller]
    pub(crate) fn receive(&mut self, method: &str) -> Answer {
        let head = loop {
            if let Some(end) = self.read.windows(4).position(|w| w == b"\r\n\r\n") {
                let rest = self.read.split_off(end + 4);
                let head = std::mem::replace(&mut self.read, rest);
                break String::from_utf8(head).unwrap();
            }
            assert!(
                self.fill() > 0,
                "the server closed: {:?}",
                String::from_utf8_lossy(&self.read)
            );
        };
        let status: u16 = head[9..12].parse().unwrap();
        let mut answer = Answer { status, head, body: Vec::new() };
        let is_empty = method == "HEAD" || status == 204 || status == 304;
        if is_empty {
            return answer;
        }
        answer.body = match answer.header("content-length").map(|len| len.parse().unwrap()) {
            Some(len) => self.take(len),
            None => self.chunks(),
        };
        answer
    }

    /// Reads one answer in chunks.
    fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let line = self.line();
            let len = usize::from_str_radix(line.trim(), 16).unwrap();
            body.extend(self.take(len));
            self.line();
            if len == 0 {
                return body;
            }
        }
    }

    fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let rest = self.read.split_off(end + 1);
                return String::from_utf8(std::mem::replace(&mut self.read, rest)).unwrap();
            }
            assert!(self.fill() > 0, "the server closed within an answer");
        }
    }

    pub(crate) fn take(&mut self, len: usize) -> Vec<u8> {
        while self.read.len() < len {
            assert!(self.fill() > 0, "the server closed within an answer");
        }
        let rest = self.read.split_off(len);
        std::mem::replace(&mut self.read, rest)
    }

    fn fill(&mut self) -> usize {
        let mut buffer = [0; 16 * 1024];
        let len = self.stream.read(&mut buffer).unwrap_or(0);
        self.read.extend_from_slice(&buffer[..len]);
        len
    }

    /// Reads until `end` has come, and returns what was read.
    pub(crate) fn read_until(&mut self, end: &str) -> String {
        loop {
            // A head ends with an empty line too, but has carriage returns in it.
            let found = self.read.windows(end.len()).position(|w| w == end.as_bytes());
            if let Some(at) = found {
                let rest = self.read.split_off(at + end.len());
                let read = std::mem::replace(&mut self.read, rest);
                return String::from_utf8_lossy(&read).into_owned();
            }
            assert!(self.fill() > 0, "the server closed");
        }
    }

    /// Waits until the server closes, and says what it sent before.
    #[track_caller]
    pub(crate) fn until_closed(&mut self) -> String {
        let mut buffer = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(len) => self.read.extend_from_slice(&buffer[..len]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
                Err(error) => panic!("the server did not close: {error}"),
            }
        }
        String::from_utf8_lossy(&self.read).into_owned()
    }
}
