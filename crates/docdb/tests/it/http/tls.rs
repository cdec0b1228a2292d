//! TLS on a real socket: clients that trust the server, that do not, that speak something else, and
//! that never finish.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;

use base::clock::{Clock as _, SystemClock};
use client::{ErrorKind, MetricsFormat, Options};
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::world::{PATIENCE, World};

/// A certificate of this machine, made for a test, and the files of it.
struct Certificate {
    pair: CertifiedKey<KeyPair>,
    dir: tempfile::TempDir,
}

fn pair() -> CertifiedKey<KeyPair> {
    generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "files of the test's own")]
fn put(path: &std::path::Path, content: &str) {
    std::fs::write(path, content).unwrap();
}

impl Certificate {
    fn new() -> Self {
        let certificate = Self { pair: pair(), dir: tempfile::tempdir().unwrap() };
        certificate.store();
        certificate
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn store(&self) {
        put(self.path("cert.pem").as_ref(), &self.pair.cert.pem());
        put(self.path("key.pem").as_ref(), &self.pair.signing_key.serialize_pem());
    }

    /// A server that has it, with other settings too.
    fn world(&self, flags: &[(&str, &str)]) -> World {
        let (cert, key) = (self.path("cert.pem"), self.path("key.pem"));
        let mut all = vec![("tls.cert", cert.as_str()), ("tls.key", key.as_str())];
        all.extend_from_slice(flags);
        World::with(&all)
    }

    /// A client that trusts it.
    fn client(&self, world: &World) -> client::Client {
        let options = Options::new().timeout(PATIENCE).ca_file(self.path("cert.pem")).unwrap();
        options.connect(&format!("https://127.0.0.1:{}", world.address.port())).unwrap()
    }

    /// A connection that trusts it and speaks `protocols`.
    fn shake(
        &self,
        world: &World,
        protocols: &[&[u8]],
    ) -> StreamOwned<ClientConnection, TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.pair.cert.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let name = ServerName::try_from("localhost").unwrap();
        let client = ClientConnection::new(Arc::new(config), name).unwrap();
        StreamOwned::new(client, world.connect().stream)
    }
}

/// How many of something the server has counted, asked by a client that it serves.
fn counted(client: &client::Client, line: &str) -> u64 {
    let metrics = client.metrics(MetricsFormat::Prometheus).unwrap();
    let found = metrics.lines().find_map(|known| known.strip_prefix(line));
    found.map_or(0, |value| value.trim().parse().unwrap())
}

#[test]
fn who_trusts_the_certificate_is_served_and_who_does_not_sends_nothing() {
    let certificate = Certificate::new();
    let world = certificate.world(&[]);
    let client = certificate.client(&world);
    client.ping().unwrap();
    let all = client.database("default").collection("default");
    all.create(1, r#"{"over": "TLS"}"#).unwrap();
    assert_eq!(all.get(1).unwrap().unwrap().bytes, br#"{"over": "TLS"}"#);

    let stranger = Options::new().timeout(PATIENCE).ca(pair().cert.pem());
    let stranger = stranger.connect(&format!("https://127.0.0.1:{}", world.address.port()));
    let error = stranger.unwrap().ping().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
    assert!(error.message().contains("certificate") && !error.is_retryable(), "{error}");
    let nobody = Options::new().ca("no certificate").connect("https://127.0.0.1:1");
    assert_eq!(nobody.unwrap_err().kind(), ErrorKind::Argument);
}

#[test]
fn http_2_is_spoken_by_those_who_ask_for_it() {
    let certificate = Certificate::new();
    let world = certificate.world(&[]);
    let mut stream = certificate.shake(&world, &[b"h2", b"http/1.1"]);
    // The preface of HTTP/2 and a frame of settings that says nothing.
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    let mut frame = [0; 9];
    stream.read_exact(&mut frame).unwrap();
    assert_eq!(frame[3], 4, "the server's settings: {frame:?}");
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"h2"[..]));

    let mut stream = certificate.shake(&world, &[b"http/1.1"]);
    stream.write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    // A connection that ends without saying so to TLS would be an error here.
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
}

#[test]
fn what_is_no_tls_ends_the_connection_and_harms_nobody() {
    let certificate = Certificate::new();
    let world = certificate.world(&[]);
    for bytes in [&b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"[..], &[0; 100], &[0x16, 3, 1, 0xff, 0xff]] {
        let mut client = world.connect();
        client.stream.write_all(bytes).unwrap();
        client.stream.shutdown(std::net::Shutdown::Write).unwrap();
        let said = client.until_closed();
        assert!(!said.contains("HTTP"), "{said}");
    }
    let client = certificate.client(&world);
    client.ping().unwrap();
    assert_eq!(counted(&client, "docdb_http_tls_handshakes_total{outcome=\"failed\"}"), 3);
    assert!(counted(&client, "docdb_http_tls_handshakes_total{outcome=\"done\"}") > 0);
}

#[test]
fn a_handshake_that_does_not_go_on_is_cut_and_its_place_is_free_again() {
    let certificate = Certificate::new();
    let flags = [("http.header_timeout", "100ms"), ("http.max_connections", "3")];
    let world = certificate.world(&flags);
    // A client that says nothing, and one that stops within its first message.
    let mut half = [world.connect(), world.connect()];
    half[1].stream.write_all(&[0x16, 3, 1, 2, 0, 1]).unwrap();
    for client in &mut half {
        assert_eq!(client.until_closed(), "");
    }
    let client = certificate.client(&world);
    client.ping().unwrap();
    assert_eq!(counted(&client, "docdb_http_tls_handshakes_total{outcome=\"slow\"}"), 2);
    let cut = "docdb_http_cut_connections_total{why=\"slow_handshake\"}";
    assert_eq!(counted(&client, cut), 2);
}

#[test]
fn a_renewed_certificate_is_shown_to_new_connections() {
    let mut certificate = Certificate::new();
    let world = certificate.world(&[]);
    let before = certificate.client(&world);
    before.ping().unwrap();
    certificate.pair = pair();
    certificate.store();
    let tls = world.tls.as_ref().unwrap();
    tls.reload(SystemClock::new().wall()).unwrap();
    certificate.client(&world).ping().unwrap();
    before.ping().expect("a connection that is open stays as it is");
}

#[test]
fn the_shell_reaches_a_server_by_tls_and_a_key() {
    let certificate = Certificate::new();
    let world = certificate.world(&[]);
    let key = world.key("shell", &["*=admin"]);
    let address = format!("https://127.0.0.1:{}", world.address.port());
    let run = |ca: &str, key: Option<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_docdb"));
        command.env_clear().args(["shell", "--connect", &address, "--ca-file", ca, "--strict"]);
        command.args(["-c", ".create 1 {}", "-c", ".ls"]);
        command.envs(key.map(|key| ("DOCDBSH_KEY", key)));
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };
    let (code, said) = run(&certificate.path("cert.pem"), Some(&key));
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("default") && !said.contains(&key), "{said}");
    let (code, said) = run(&certificate.path("cert.pem"), None);
    assert!(code == Some(1) && said.contains("Unauthenticated"), "{said}");
    let other = Certificate::new();
    let (code, said) = run(&other.path("cert.pem"), Some(&key));
    assert!(code == Some(1) && said.contains("ProtocolError"), "{said}");
}
