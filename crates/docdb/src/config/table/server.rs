//! The settings of the process and of its surfaces.

use super::{
    GIB, KIB, Kind, MIB, Only, ROW, Reader, Setting, TIB, bytes, count, hours, mib, millis,
    minutes, time,
};

const LISTENING: Only = Only::IsNot("http.listen", "off");
const SOCKET: Only = Only::IsNot("ipc.socket", "off");

/// Most connections of a listener that may be asked for.
const CONNECTIONS_MAX: u64 = 1_000_000;
/// Most threads of a pool that may be asked for.
const WORKERS_MAX: u64 = 1024;

const BY_FILE_LIMIT: &str = "the process's limit on open files less a reserve";
const BY_CORES: &str = "one for each core";

pub(super) const ROWS: &[Setting] = &[
    Setting {
        name: "data_dir",
        kind: Kind::Path,
        default: "./docdb-data",
        what: "The directory of the databases; it is made when it does not exist.",
        trade: "A volume of its own keeps others from filling it.",
        ..ROW
    },
    Setting {
        name: "shutdown_timeout",
        kind: time(minutes(0), hours(1)),
        default: "30s",
        what: "How long an orderly end may take before it is forced; its phases scale with it.",
        trade: "Shorter ends sooner, and cuts off what is still in flight.",
        ..ROW
    },
    Setting {
        name: "memory.total_mb",
        kind: mib(64 * MIB, 1024 * TIB),
        default: "0",
        empty: Some("half of the machine's memory, or of the control group's limit"),
        what: "The memory that documents, caches and pending writes of all databases may use.",
        trade: "Over it writers wait, then get MemoryLimit; too much and the system's cache starves.",
        ..ROW
    },
    Setting {
        name: "db.memory_mb",
        kind: mib(16 * MIB, 1024 * TIB),
        default: "0",
        empty: Some("as much as memory.total_mb"),
        what: "The memory that one database may use.",
        trade: "Less keeps one database from taking it all; its own bursts wait sooner.",
        ..ROW
    },
    Setting {
        name: "db.max_open",
        kind: count(0, 1_000_000),
        default: "0",
        empty: Some("a quarter of the process's limit on open files, at 16 files each"),
        what: "How many databases may be open at once; the longest idle one is closed for another, one that a scan may come back to last.",
        trade: "Fewer open ones use less memory; the first request to a closed one has to open it.",
        ..ROW
    },
    Setting {
        name: "db.idle_timeout",
        kind: time(millis(100), hours(24 * 365)),
        default: "5m",
        empty: Some("never"),
        what: "A database without requests for so long, and without a scan or transaction to come back to, is closed; the next request opens it again.",
        trade: "Shorter gives memory back sooner and opens more often.",
        ..ROW
    },
    Setting {
        name: "http.listen",
        kind: Kind::Address,
        default: "127.0.0.1:7717",
        what: "The address of the HTTP server, or off.",
        trade: "Beyond loopback every request needs an API key, and TLS is advised.",
        reader: Reader::Http,
        ..ROW
    },
    Setting {
        name: "http.insecure",
        kind: Kind::Bool,
        default: "false",
        what: "Whether requests from beyond this machine are served although there is no API key.",
        trade: "For closed test networks: everybody who reaches the address owns the data.",
        reader: Reader::Http,
        only: &[LISTENING],
        ..ROW
    },
    Setting {
        name: "http.body_bytes_max",
        kind: bytes(KIB, 4 * GIB),
        default: "64MiB",
        what: "The largest body of a request that is held in memory; streamed imports have no such limit.",
        trade: "More allows larger batches, and one client to use more memory.",
        reader: Reader::Http,
        only: &[LISTENING],
        ..ROW
    },
    Setting {
        name: "http.header_bytes_max",
        kind: bytes(8 * KIB, MIB),
        default: "32KiB",
        what: "The largest head of a request: its line and headers.",
        trade: "More allows longer URLs and tokens, and idle clients to use more memory.",
        reader: Reader::Http,
        only: &[LISTENING],
        ..ROW
    },
    Setting {
        name: "http.max_connections",
        kind: count(0, CONNECTIONS_MAX),
        default: "0",
        empty: Some(BY_FILE_LIMIT),
        what: "How many HTTP connections may be open; further ones are closed at once.",
        trade: "Each open connection takes a file descriptor and some memory.",
        reader: Reader::Http,
        only: &[LISTENING],
        ..ROW
    },
    Setting {
        name: "http.header_timeout",
        kind: time(millis(10), minutes(10)),
        default: "10s",
        what: "How long a client may take for a TLS handshake, and for the head of a request once it began.",
        trade: "Shorter cuts slow clients sooner, also honest ones on bad lines.",
        reader: Reader::Http,
        only: &[LISTENING],
        ..ROW
    },
    Setting {
        name: "http.body_timeout",
        kind: time(millis(10), hours(1)),
        default: "30s",
        what: "How long a client may pause while it sends a body.",
        trade: "Shorter cuts slow clients sooner, also imports that wait for their source.",
        reader: Reader::Http,
        only: &[LISTENING],
        ..ROW
    },
    Setting {
        name: "http.send_timeout",
        kind: time(millis(10), hours(1)),
        default: "30s",
        what: "How long a client may take nothing of an answer that waits for it.",
        trade: "Shorter frees memory and snapshots sooner, and cuts exports whose reader pauses.",
        reader: Reader::Http,
        only: &[LISTENING],
        ..ROW
    },
    Setting {
        name: "http.idle_timeout",
        kind: time(millis(10), hours(24)),
        default: "1m",
        what: "How long a connection may stay open without a request.",
        trade: "Shorter frees connections sooner; clients connect again more often.",
        reader: Reader::Http,
        only: &[LISTENING],
        ..ROW
    },
    Setting {
        name: "http.request_timeout",
        kind: time(millis(10), hours(24)),
        default: "1m",
        what: "How long a request may take until its answer begins; then it is answered Timeout.",
        trade: "Longer lets slow scans finish and slow clients wait.",
        reader: Reader::Http,
        only: &[LISTENING],
        ..ROW
    },
    Setting {
        name: "http.cors_origins",
        kind: Kind::Origins,
        default: "",
        empty: Some("none: no page of another origin may call the server"),
        what: "The origins whose web pages may call the server, with commas between them, or `*`.",
        trade: "Every origin that is named may use the keys that its users have.",
        reader: Reader::Http,
        only: &[LISTENING],
        ..ROW
    },
    Setting {
        name: "tls.cert",
        kind: Kind::Path,
        default: "",
        empty: Some("no TLS"),
        what: "The certificate of the HTTP server with its chain, PEM.",
        trade: "TLS keeps keys and documents from those who listen; it costs some processor time.",
        reader: Reader::Http,
        only: &[LISTENING, Only::IsNot("tls.key", "")],
        ..ROW
    },
    Setting {
        name: "tls.key",
        kind: Kind::Path,
        default: "",
        empty: Some("no TLS"),
        what: "The private key of that certificate, PEM.",
        trade: "It should be readable by the server's user alone.",
        reader: Reader::Http,
        only: &[LISTENING, Only::IsNot("tls.cert", "")],
        ..ROW
    },
    Setting {
        name: "ipc.socket",
        kind: Kind::Socket,
        default: "",
        empty: Some("docdb.sock in data_dir"),
        what: "The path of the Unix socket, or off.",
        trade: "Whoever may open the file may use the server; it is made with mode 0600.",
        reader: Reader::Socket,
        ..ROW
    },
    Setting {
        name: "ipc.max_connections",
        kind: count(0, CONNECTIONS_MAX),
        default: "0",
        empty: Some(BY_FILE_LIMIT),
        what: "How many connections of the socket may be open; a further one is told QueueFull.",
        trade: "Each open connection takes a file descriptor and some memory.",
        reader: Reader::Socket,
        only: &[SOCKET],
        ..ROW
    },
    Setting {
        name: "ipc.frame_timeout",
        kind: time(millis(10), hours(1)),
        default: "30s",
        what: "How long a client may pause within a frame that it has begun.",
        trade: "Shorter frees the memory of half a frame sooner.",
        reader: Reader::Socket,
        only: &[SOCKET],
        ..ROW
    },
    Setting {
        name: "scheduler.workers",
        kind: count(0, WORKERS_MAX),
        default: "0",
        empty: Some(BY_CORES),
        what: "How many threads do the work of databases.",
        trade: "More than cores helps where reads wait for the disk, and costs switches elsewhere.",
        reader: Reader::Scheduler,
        ..ROW
    },
    Setting {
        name: "scheduler.query_workers",
        kind: count(0, WORKERS_MAX),
        default: "0",
        empty: Some(BY_CORES),
        what: "How many threads answer queries.",
        trade: "More lets more queries run beside each other, and takes cores from reads and writes.",
        reader: Reader::Scheduler,
        ..ROW
    },
    Setting {
        name: "scheduler.worker_expiry",
        kind: time(millis(1), hours(24)),
        default: "1s",
        what: "A worker without work for so long ends.",
        trade: "Longer avoids starting threads after a pause; shorter gives their memory back.",
        reader: Reader::Scheduler,
        only: &[Only::Is("scheduler.pre_alloc", "false")],
        ..ROW
    },
    Setting {
        name: "scheduler.pre_alloc",
        kind: Kind::Bool,
        default: "false",
        what: "Whether all workers are started at once and stay.",
        trade: "No first request waits for a thread; idle threads keep their memory.",
        reader: Reader::Scheduler,
        ..ROW
    },
    Setting {
        name: "scheduler.queue_depth",
        kind: count(1, 1_000_000),
        default: "1000",
        what: "How many requests of one database may wait; further ones are answered QueueFull.",
        trade: "Deeper takes larger bursts and lets requests wait longer.",
        reader: Reader::Scheduler,
        ..ROW
    },
    Setting {
        name: "scheduler.max_total_queued",
        kind: count(0, 100_000_000),
        default: "0",
        empty: Some("limited for each database only"),
        what: "How many requests of all databases together may wait.",
        trade: "A limit bounds memory with many databases; at it quiet ones are refused too.",
        reader: Reader::Scheduler,
        ..ROW
    },
    Setting {
        name: "scheduler.weights",
        kind: Kind::Weights,
        default: "",
        empty: Some("1 for every database"),
        what: "The share of databases when all are busy, as `orders=4,audit=2`; others have 1.",
        trade: "What one database gets more of, the others get less of while all are busy.",
        reader: Reader::Scheduler,
        ..ROW
    },
    Setting {
        name: "log.level",
        kind: Kind::Choice(&["error", "warn", "info", "debug", "trace"]),
        default: "info",
        what: "Which of its own log lines the server writes to standard error: these and graver ones.",
        trade: "debug and trace write lines for every request.",
        reader: Reader::Reports,
        ..ROW
    },
    Setting {
        name: "log.format",
        kind: Kind::Choice(&["text", "json"]),
        default: "text",
        what: "How a log line is written: for people, or one JSON object a line.",
        trade: "json is for programs that collect lines.",
        reader: Reader::Reports,
        ..ROW
    },
    Setting {
        name: "log.slow_after",
        kind: time(millis(1), hours(1)),
        default: "1s",
        empty: Some("no operation is told"),
        what: "An operation that takes longer is told in a line, with its kind, where it went to and its time.",
        trade: "Shorter tells of more, and writes more lines when the server is slow anyway.",
        reader: Reader::Reports,
        ..ROW
    },
    Setting {
        name: "alerts.webhook_url",
        kind: Kind::Url,
        default: "",
        empty: Some("no alerts"),
        what: "Where critical errors are posted as JSON.",
        trade: "It often holds a token, so it is never shown; set it in the file or the environment.",
        reader: Reader::Reports,
        secret: true,
        ..ROW
    },
];
