//! Syslog over real sockets: a listener on a log store that the test throws away.
#![expect(clippy::unwrap_used, reason = "a failure here is the test's")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use base::clock::{Clock as _, SystemClock};
use base::io::RealDisk;
use docdb::config::{Machine, Settings, Sources};
use docdb::engine::Engine;
use docdb::ingest::listen::{Listening, listen};
use docdb::tls::{Purpose, ServerTls};
use logstore::{Entry, Filter, LogStorage as _, Order, Query};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair,
    generate_simple_self_signed,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use wal::Environment;

/// Longer than anything here takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

struct World {
    engine: Arc<Engine>,
    listening: Option<Listening>,
    runtime: tokio::runtime::Runtime,
    dir: tempfile::TempDir,
}

impl World {
    fn with(flags: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data").display().to_string();
        let mut all = vec![("data_dir", data.as_str())];
        all.extend_from_slice(flags);
        let flags = all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let sources = Sources { flags: flags.collect(), ..Sources::default() };
        let settings = Settings::gather(&sources, &RealDisk::shared()).unwrap();
        let config = settings.config(&Machine { cores: 2, memory_bytes: 1 << 30 });
        let env =
            Environment { disk: RealDisk::shared(), clock: SystemClock::shared(), reserve: None };
        let engine = Engine::start(env, docdb::serve::options(&config)).unwrap();
        let logs = config.logs.unwrap();
        let now = SystemClock::new().wall();
        let tls = logs.syslog.tls.as_ref().map(|of| {
            let purpose = Purpose::Syslog { client_ca: of.client_ca.clone() };
            Arc::new(ServerTls::load_for(purpose, &RealDisk::shared(), &of.files, now).unwrap())
        });
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(2).enable_all().build().unwrap();
        let join = logs.store.batch_timeout;
        let listening = runtime.block_on(listen(&engine, &logs.syslog, join, tls)).unwrap();
        Self { engine, listening: Some(listening), runtime, dir }
    }

    fn tcp(&self) -> SocketAddr {
        self.listening.as_ref().unwrap().tcp.unwrap()
    }

    fn entries(&self) -> Vec<Entry> {
        let query =
            Query { order: Order::OldestFirst, limit: 10_000, ..Query::new(Filter::default()) };
        let found = self.engine.logs().unwrap().store().search(&query).unwrap();
        found.entries.into_iter().map(|stored| stored.entry).collect()
    }

    /// Waits until so many entries are there.
    fn wait_for(&self, count: usize) -> Vec<Entry> {
        let clock = SystemClock::new();
        let begun = clock.now();
        loop {
            let entries = self.entries();
            if entries.len() >= count {
                assert_eq!(entries.len(), count);
                return entries;
            }
            assert!(clock.now().since(begun) < PATIENCE, "{} of {count}", entries.len());
            std::thread::yield_now();
        }
    }

    fn metric(&self, line: &str) -> u64 {
        let text = self.engine.meters().registry().render(base::metrics::Format::Prometheus);
        let found = text.lines().find_map(|shown| shown.strip_prefix(line)?.trim().parse().ok());
        found.unwrap_or_else(|| panic!("{line} is not in\n{text}"))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(listening) = &self.listening {
            listening.refuse();
            self.runtime.block_on(listening.quiet());
        }
        self.engine.close().unwrap();
    }
}

const TCP: (&str, &str) = ("logs.syslog.tcp", "127.0.0.1:0");
const UDP: (&str, &str) = ("logs.syslog.udp", "127.0.0.1:0");

fn messages(entries: &[Entry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.message.as_str()).collect()
}

#[test]
fn messages_of_a_connection_come_in_their_order_however_they_are_framed() {
    let world = World::with(&[TCP]);
    let mut stream = TcpStream::connect(world.tcp()).unwrap();
    stream
        .write_all(
            b"<14>1 2026-01-31T00:00:00Z web1 app - - - one\n\
              45 <14>1 2026-01-31T00:00:01Z web1 app - - - two<14>three, with\na second line\0",
        )
        .unwrap();
    drop(stream);
    let entries = world.wait_for(3);
    assert_eq!(messages(&entries), ["one", "two", "three, with\na second line"]);
    assert_eq!(entries[0].source, "syslog/tcp 127.0.0.1");
    assert_eq!(world.metric("docdb_syslog_messages_total{protocol=\"tcp\"}"), 3);
}

#[test]
fn a_message_without_an_end_is_stored_when_its_connection_ends_and_a_quiet_one_before() {
    let world = World::with(&[TCP]);
    let mut stream = TcpStream::connect(world.tcp()).unwrap();
    stream.write_all(b"<14>whole\n").unwrap();
    assert_eq!(messages(&world.wait_for(1)), ["whole"]);
    stream.write_all(b"<14>half").unwrap();
    drop(stream);
    assert_eq!(world.wait_for(2).len(), 2);
}

#[test]
fn datagrams_are_messages_whatever_is_in_them() {
    let world = World::with(&[UDP]);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = world.listening.as_ref().unwrap().udp.unwrap();
    for datagram in
        [&b"<14>Jan 31 00:00:00 h app: one"[..], b"<14>two\0", b"\xff\xfe", b"<14>a\nb\n"]
    {
        socket.send_to(datagram, address).unwrap();
    }
    let entries = world.wait_for(4);
    let mut found = messages(&entries);
    found.sort_unstable();
    assert_eq!(found, ["a\nb", "one", "two", "\u{fffd}\u{fffd}"]);
}

#[test]
fn a_full_queue_makes_a_sender_wait_and_loses_nothing() {
    let flags = [TCP, ("logs.queue_size", "100"), ("logs.queue_bytes", "256KiB")];
    let world = World::with(&flags);
    let mut stream = TcpStream::connect(world.tcp()).unwrap();
    let text: String = (0..5000).map(|n| format!("<14>message {n}\n")).collect();
    stream.write_all(text.as_bytes()).unwrap();
    drop(stream);
    let entries = world.wait_for(5000);
    // All came in one millisecond or in many; the numbers of the store are in the order of arrival.
    assert_eq!(entries.iter().filter(|entry| entry.message == "message 4999").count(), 1);
    assert!(world.metric("docdb_syslog_waits_total") > 0);
    assert_eq!(world.metric("docdb_logs_dropped_entries_total{reason=\"queue_full\"}"), 0);
}

#[test]
fn datagrams_that_find_no_room_are_dropped_and_counted() {
    let world = World::with(&[UDP, ("logs.queue_size", "100"), ("logs.queue_bytes", "256KiB")]);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = world.listening.as_ref().unwrap().udp.unwrap();
    socket.send_to(b"<14>first", address).unwrap();
    world.wait_for(1);
    // Somebody else writes to the file: what comes waits, as far as there is room.
    let data = world.dir.path().join("data");
    let file = crate::served::partitions(&data).pop().unwrap();
    let intruder = rusqlite::Connection::open(file).unwrap();
    intruder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let dropped = "docdb_logs_dropped_entries_total{reason=\"queue_full\"}";
    let (clock, mut sent) = (SystemClock::new(), 1);
    let begun = clock.now();
    while world.metric(dropped) == 0 {
        assert!(clock.now().since(begun) < PATIENCE);
        socket.send_to(format!("<14>message {sent}").as_bytes(), address).unwrap();
        sent += 1;
    }
    intruder.execute_batch("ROLLBACK").unwrap();
    // The system may have dropped some before docdb saw them; every other one is there or counted.
    let came = "docdb_syslog_messages_total{protocol=\"udp\"}";
    while world.metric("docdb_logs_committed_entries_total") + world.metric(dropped)
        < world.metric(came)
    {
        assert!(clock.now().since(begun) < PATIENCE);
        std::thread::yield_now();
    }
    assert!(world.metric(came) <= sent);
    let entries = world.entries();
    assert_eq!(entries.len() as u64, world.metric("docdb_logs_committed_entries_total"));
    let mut found = messages(&entries);
    found.sort_unstable();
    assert!(found.is_sorted_by(|a, b| a < b), "something is there twice");
}

#[test]
fn who_is_not_allowed_is_not_read() {
    let world = World::with(&[TCP, UDP, ("logs.syslog.allow", "10.0.0.0/8")]);
    let mut stream = TcpStream::connect(world.tcp()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // It is closed at once; what was sent meanwhile may be answered with a reset.
    _ = stream.write_all(b"<14>secret\n");
    assert_eq!(stream.read(&mut [0; 8]).unwrap_or(0), 0);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(b"<14>secret", world.listening.as_ref().unwrap().udp.unwrap()).unwrap();
    let clock = SystemClock::new();
    let begun = clock.now();
    while world.metric("docdb_syslog_refused_total{reason=\"not_allowed\"}") < 2 {
        assert!(clock.now().since(begun) < PATIENCE);
        std::thread::yield_now();
    }
    assert!(world.entries().is_empty());
}

#[test]
fn connections_over_the_limit_are_closed() {
    let world = World::with(&[TCP, ("logs.syslog.max_connections", "1")]);
    let mut first = TcpStream::connect(world.tcp()).unwrap();
    first.write_all(b"<14>first\n").unwrap();
    world.wait_for(1);
    let mut second = TcpStream::connect(world.tcp()).unwrap();
    second.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(second.read(&mut [0; 8]).unwrap_or(0), 0);
    assert_eq!(world.metric("docdb_syslog_refused_total{reason=\"too_many\"}"), 1);
    first.write_all(b"<14>still there\n").unwrap();
    world.wait_for(2);
}

#[test]
fn a_stop_keeps_what_was_read() {
    let world = World::with(&[TCP, ("logs.batch_timeout", "10s")]);
    let mut stream = TcpStream::connect(world.tcp()).unwrap();
    stream.write_all(b"<14>held back for its next line\n").unwrap();
    let clock = SystemClock::new();
    let begun = clock.now();
    while world.metric("docdb_syslog_received_bytes_total{protocol=\"tcp\"}") == 0 {
        assert!(clock.now().since(begun) < PATIENCE);
        std::thread::yield_now();
    }
    let listening = world.listening.as_ref().unwrap();
    listening.refuse();
    world.runtime.block_on(listening.quiet());
    let taken = world.metric("docdb_logs_stored_entries_total");
    assert_eq!(taken, 1);
}

/// An authority, and files of certificates of it.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let authority = Self { issuer, dir: tempfile::tempdir().unwrap() };
        authority.put("ca.pem", &authority.issuer.pem());
        let (cert, key) = authority.issue();
        authority.put("cert.pem", &cert.pem());
        authority.put("key.pem", &key.serialize_pem());
        authority
    }

    fn issue(&self) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    #[expect(clippy::disallowed_methods, reason = "files of the test's own")]
    fn put(&self, name: &str, content: &str) {
        std::fs::write(self.path(name), content).unwrap();
    }

    fn world(&self, more: &[(&str, &str)]) -> World {
        let (cert, key) = (self.path("cert.pem"), self.path("key.pem"));
        let mut flags = vec![
            ("logs.syslog.tls", "127.0.0.1:0"),
            ("logs.syslog.tls_cert", &cert),
            ("logs.syslog.tls_key", &key),
        ];
        flags.extend_from_slice(more);
        World::with(&flags)
    }

    /// A connection of somebody who trusts the authority, and may show a certificate.
    fn connect(
        &self,
        world: &World,
        shows: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
    ) -> StreamOwned<ClientConnection, TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match shows {
            Some((cert, key)) => builder.with_client_auth_cert(vec![cert], key).unwrap(),
            None => builder.with_no_client_auth(),
        };
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let stream = TcpStream::connect(world.listening.as_ref().unwrap().tls.unwrap()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        StreamOwned::new(connection, stream)
    }
}

#[test]
fn tls_is_taken_and_what_is_none_is_refused() {
    let authority = Authority::new();
    let world = authority.world(&[]);
    let mut stream = authority.connect(&world, None);
    stream.write_all(b"7 <14>a\nb9 <14>again").unwrap();
    stream.conn.send_close_notify();
    stream.flush().unwrap();
    let mut found = world.wait_for(2);
    found.sort_by(|a, b| a.message.cmp(&b.message));
    assert_eq!(messages(&found), ["a\nb", "again"]);
    let mut plain = TcpStream::connect(world.listening.as_ref().unwrap().tls.unwrap()).unwrap();
    plain.set_read_timeout(Some(PATIENCE)).unwrap();
    plain.write_all(b"<14>not encrypted\n").unwrap();
    while plain.read(&mut [0; 64]).unwrap_or(0) > 0 {}
    assert_eq!(world.entries().len(), 2);
}

#[test]
fn who_is_not_allowed_gets_no_handshake() {
    let authority = Authority::new();
    let world = authority.world(&[("logs.syslog.allow", "10.0.0.0/8")]);
    let mut stream = authority.connect(&world, None);
    assert!(stream.write_all(b"<14>secret\n").and_then(|()| stream.flush()).is_err());
    assert_eq!(world.metric("docdb_syslog_refused_total{reason=\"not_allowed\"}"), 1);
    assert_eq!(world.metric("docdb_syslog_refused_total{reason=\"handshake\"}"), 0);
    let world = authority.world(&[("logs.syslog.allow", "10.0.0.0/8,127.0.0.0/8")]);
    let mut stream = authority.connect(&world, None);
    stream.write_all(b"<14>allowed\n").unwrap();
    stream.flush().unwrap();
    assert_eq!(messages(&world.wait_for(1)), ["allowed"]);
}

#[test]
fn with_an_authority_only_senders_with_a_certificate_of_it_are_read() {
    let authority = Authority::new();
    let ca = authority.path("ca.pem");
    let world = authority.world(&[("logs.syslog.tls_client_ca", &ca)]);
    let (cert, key) = authority.issue();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let mut trusted = authority.connect(&world, Some((cert.der().clone(), key)));
    trusted.write_all(b"<14>trusted\n").unwrap();
    trusted.flush().unwrap();
    assert_eq!(messages(&world.wait_for(1)), ["trusted"]);
    let other = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(other.signing_key.serialize_der()).unwrap();
    for shows in [None, Some((other.cert.der().clone(), key))] {
        let mut stream = authority.connect(&world, shows);
        // The refusal may come while it writes or while it reads.
        let refused = stream.write_all(b"<14>stranger\n").and_then(|()| stream.flush());
        assert!(refused.is_err() || stream.read(&mut [0; 8]).is_err());
    }
    assert_eq!(world.entries().len(), 1);
    // The server counts what it refuses when it is done with it.
    let clock = SystemClock::new();
    let begun = clock.now();
    while world.metric("docdb_syslog_refused_total{reason=\"handshake\"}") < 2 {
        assert!(clock.now().since(begun) < PATIENCE);
        std::thread::yield_now();
    }
    assert_eq!(world.entries().len(), 1);
}
