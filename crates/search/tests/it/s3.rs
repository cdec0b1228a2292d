//! A server that speaks enough of S3's language to be a bucket, in memory, and can be told to do it wrong.
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use base::workers;

/// What the server does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manners {
    /// Nothing.
    Good,
    /// Takes no notice of `If-None-Match`.
    Careless,
    /// Looks whether the object exists, and then writes without looking again.
    Racy,
}

/// How long a racy server waits for company between looking and writing.
const COMPANY: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct State {
    manners: Manners,
    objects: BTreeMap<String, Vec<u8>>,
    uploads: BTreeMap<String, BTreeMap<u32, Vec<u8>>>,
    /// Methods and targets, in order.
    requests: Vec<String>,
    /// Creations that have looked and not written yet.
    between: BTreeMap<String, u32>,
    /// The next requests are refused with this status.
    refuse: Vec<u16>,
    /// The next requests are done and not answered.
    silent: u32,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    company: Condvar,
}

/// A server on a port of its own, for as long as the process lives.
#[derive(Debug, Clone)]
pub(crate) struct S3 {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Request {
    method: String,
    target: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

struct Response {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

fn response(status: u16, body: impl Into<Vec<u8>>) -> Response {
    Response { status, headers: Vec::new(), body: body.into() }
}

fn read_request(stream: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    stream.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        let Some((key, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(key.to_ascii_lowercase(), value.trim().to_owned());
    }
    let len = headers.get("content-length").map_or(0, |len| len.parse().unwrap());
    let mut body = vec![0; len];
    stream.read_exact(&mut body).ok()?;
    Some(Request { method, target, headers, body })
}

fn write_response(
    stream: &mut TcpStream,
    response: &Response,
    is_head: bool,
) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {} Status\r\n", response.status);
    for (key, value) in &response.headers {
        head.push_str(&format!("{key}: {value}\r\n"));
    }
    if !response.headers.iter().any(|(key, _)| *key == "Content-Length") {
        head.push_str(&format!("Content-Length: {}\r\n", response.body.len()));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    if !is_head {
        stream.write_all(&response.body)?;
    }
    stream.flush()
}

impl S3 {
    /// Starts a server with an empty bucket called `bucket`.
    pub(crate) fn start(manners: Manners) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = State {
            manners,
            objects: BTreeMap::new(),
            uploads: BTreeMap::new(),
            requests: Vec::new(),
            between: BTreeMap::new(),
            refuse: Vec::new(),
            silent: 0,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), company: Condvar::new() });
        let server = Self { address, shared };
        let serving = server.clone();
        workers::spawn("s3", move || {
            for stream in listener.incoming().flatten() {
                let server = serving.clone();
                workers::spawn("s3-connection", move || server.serve(stream)).unwrap();
            }
        })
        .unwrap();
        server
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }

    /// Refuses the next requests with these statuses, the last of them first.
    pub(crate) fn refuse(&self, statuses: &[u16]) {
        self.state().refuse = statuses.to_vec();
    }

    /// Does the next requests and closes the connection instead of answering.
    pub(crate) fn lose_answers(&self, count: u32) {
        self.state().silent = count;
    }

    /// How many requests of this method there were.
    pub(crate) fn count(&self, method: &str) -> usize {
        self.state().requests.iter().filter(|request| request.starts_with(method)).count()
    }

    pub(crate) fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        self.state().objects.clone()
    }

    /// Uploads in parts that are neither joined nor given up.
    pub(crate) fn open_uploads(&self) -> usize {
        self.state().uploads.len()
    }

    fn serve(&self, stream: TcpStream) {
        let mut answers = stream.try_clone().unwrap();
        let mut requests = BufReader::new(stream);
        while let Some(request) = read_request(&mut requests) {
            let is_head = request.method == "HEAD";
            let refused = {
                let mut state = self.state();
                state.requests.push(format!("{} {}", request.method, request.target));
                state.refuse.pop()
            };
            let answer = match refused {
                Some(status) => response(status, "<Error><Code>Told</Code></Error>"),
                None => self.answer(request),
            };
            let is_silent = {
                let mut state = self.state();
                let is_silent = state.silent > 0 && refused.is_none();
                state.silent -= u32::from(is_silent);
                is_silent
            };
            if is_silent || write_response(&mut answers, &answer, is_head).is_err() {
                return;
            }
        }
    }

    fn answer(&self, request: Request) -> Response {
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let key = path.trim_start_matches("/bucket").trim_start_matches('/').to_owned();
        let query: BTreeMap<&str, &str> =
            query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
        match (request.method.as_str(), query) {
            ("GET", query) if key.is_empty() => self.list(&query),
            ("GET" | "HEAD", _) => self.get(&key, request.headers.get("range")),
            ("PUT", query) if query.contains_key("uploadId") => {
                let number = query["partNumber"].parse().unwrap();
                let mut state = self.state();
                let Some(parts) = state.uploads.get_mut(query["uploadId"]) else {
                    return response(404, "<Error><Code>NoSuchUpload</Code></Error>");
                };
                parts.insert(number, request.body);
                Response { headers: vec![("ETag", format!("\"{number}\""))], ..response(200, "") }
            }
            ("PUT", _) => self.put(&key, &request),
            ("POST", query) if query.contains_key("uploads") => {
                let mut state = self.state();
                let id = format!("upload-{}", state.requests.len());
                state.uploads.insert(id.clone(), BTreeMap::new());
                let id = format!("<UploadId>{id}</UploadId>");
                response(
                    200,
                    format!("<InitiateMultipartUploadResult>{id}</InitiateMultipartUploadResult>"),
                )
            }
            ("POST", query) if query.contains_key("uploadId") => {
                let mut state = self.state();
                let Some(parts) = state.uploads.remove(query["uploadId"]) else {
                    return response(404, "<Error><Code>NoSuchUpload</Code></Error>");
                };
                state.objects.insert(key, parts.into_values().flatten().collect());
                let tag = "<ETag>\"x\"</ETag>";
                response(
                    200,
                    format!("<CompleteMultipartUploadResult>{tag}</CompleteMultipartUploadResult>"),
                )
            }
            ("POST", query) if query.contains_key("delete") => {
                let body = String::from_utf8(request.body).unwrap();
                let mut deleted = String::new();
                for key in body.split("<Key>").skip(1) {
                    let key = key.split("</Key>").next().unwrap();
                    self.state().objects.remove(key);
                    deleted.push_str(&format!("<Deleted><Key>{key}</Key></Deleted>"));
                }
                response(200, format!("<DeleteResult>{deleted}</DeleteResult>"))
            }
            ("DELETE", query) if query.contains_key("uploadId") => {
                self.state().uploads.remove(query["uploadId"]);
                response(204, "")
            }
            (method, _) => panic!("the server does not know {method} {path}"),
        }
    }

    fn put(&self, key: &str, request: &Request) -> Response {
        let created = Response { headers: vec![("ETag", "\"x\"".to_owned())], ..response(200, "") };
        let mut state = self.state();
        let is_new = request.headers.get("if-none-match").is_some_and(|tag| tag == "*");
        let exists = state.objects.contains_key(key);
        match state.manners {
            Manners::Good | Manners::Racy if is_new && exists => {
                return response(412, "<Error><Code>PreconditionFailed</Code></Error>");
            }
            Manners::Racy => {
                *state.between.entry(key.to_owned()).or_default() += 1;
                self.shared.company.notify_all();
                let alone = |state: &mut State| state.between.get(key).is_some_and(|n| *n < 2);
                let waited = self.shared.company.wait_timeout_while(state, COMPANY, alone);
                state = waited.unwrap().0;
            }
            Manners::Good | Manners::Careless => {}
        }
        state.objects.insert(key.to_owned(), request.body.clone());
        created
    }

    fn get(&self, key: &str, range: Option<&String>) -> Response {
        let state = self.state();
        let Some(content) = state.objects.get(key) else {
            return response(404, "<Error><Code>NoSuchKey</Code></Error>");
        };
        let headers = vec![
            ("ETag", "\"x\"".to_owned()),
            ("Last-Modified", "Tue, 01 Jan 2030 00:00:00 GMT".to_owned()),
        ];
        let Some(range) = range else {
            return Response { status: 200, headers, body: content.clone() };
        };
        let (from, to) = range.trim_start_matches("bytes=").split_once('-').unwrap();
        let (from, to): (usize, usize) = (from.parse().unwrap(), to.parse().unwrap());
        if from >= content.len() {
            return response(416, "<Error><Code>InvalidRange</Code></Error>");
        }
        let to = to.min(content.len() - 1);
        let total = content.len();
        let mut headers = headers;
        headers.push(("Content-Range", format!("bytes {from}-{to}/{total}")));
        Response { status: 206, headers, body: content[from..=to].to_vec() }
    }

    fn list(&self, query: &BTreeMap<&str, &str>) -> Response {
        let text =
            |key: &str| query.get(key).map_or(String::new(), |text| text.replace("%2F", "/"));
        let (prefix, after) = (text("prefix"), text("start-after"));
        let state = self.state();
        let found =
            state.objects.iter().filter(|(key, _)| key.starts_with(&prefix) && **key > after);
        let found: String = found
            .map(|(key, content)| {
                let size = content.len();
                let modified = "<LastModified>2030-01-01T00:00:00.000Z</LastModified>";
                format!("<Contents><Key>{key}</Key>{modified}<Size>{size}</Size></Contents>")
            })
            .collect();
        response(200, format!("<ListBucketResult>{found}</ListBucketResult>"))
    }
}
