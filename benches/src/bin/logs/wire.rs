//! Syslog over TCP, end to end: a server as a process of its own, senders that write as fast as they are
//! let, and the time until the last entry is committed. What is told is rows per second of the wall, and
//! per second of CPU that the server took; its senders are this process and share the machine with it.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base::clock::{Clock as _, SystemClock};
use base::retry::{InterruptibleWaiter, Waiter as _};
use base::workers;
use benches::Bench;
use client::{Client, MetricsFormat};

use super::lines::Lines;
use super::tell;

/// Entries of a round.
const ROWS: u64 = 400_000;
/// Rounds; the middle one is quoted, with the range.
const ROUNDS: usize = 9;
/// Longest that a round may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often it is looked whether all are committed.
const STEP: Duration = Duration::from_millis(2);

/// A server, killed on drop.
struct Server {
    child: Child,
    syslog: SocketAddr,
    client: Client,
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

impl Server {
    /// This program as `docdb serve`.
    fn start(bench: &Bench) -> io::Result<Self> {
        let socket = bench.scratch().path("wire.sock");
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["serve", "--http", "off", "--log.format", "json"]);
        command.args(["--logs.syslog.tcp", "127.0.0.1:0", "--data-dir"]);
        command.arg(bench.scratch().path("wire")).arg("--socket").arg(&socket);
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let said = child.stderr.take().ok_or_else(|| io::Error::other("it says nothing"))?;
        let mut lines = BufReader::new(said).lines();
        let mut syslog = None;
        for line in lines.by_ref() {
            let line: serde_json::Value = serde_json::from_str(&line?)?;
            match line["message"].as_str() {
                Some("syslog is taken") => {
                    syslog = line["address"].as_str().and_then(|text| text.parse().ok());
                }
                Some("docdb serves") => break,
                _ => {}
            }
        }
        workers::spawn("server-log", move || lines.for_each(drop))?;
        let syslog = syslog.ok_or_else(|| io::Error::other("the server does not listen"))?;
        let client = client::Options::new().connect(&socket.display().to_string());
        Ok(Self { child, syslog, client: client.map_err(io::Error::other)? })
    }

    /// Entries that were committed since it began.
    fn committed(&self) -> io::Result<u64> {
        let text = self.client.metrics(MetricsFormat::Prometheus).map_err(io::Error::other)?;
        let of =
            |line: &str| line.strip_prefix("docdb_logs_committed_entries_total ")?.parse().ok();
        text.lines().find_map(of).ok_or_else(|| io::Error::other("it does not count"))
    }

    /// CPU time that it has taken, user and system.
    #[expect(clippy::disallowed_methods, reason = "the system's own file, not data of docdb")]
    fn cpu(&self) -> io::Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name may have blanks; the numbers stand behind it.
        let fields = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let ticks: u64 =
            fields.split(' ').skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum();
        let per_second = rustix::param::clock_ticks_per_second().max(1);
        Ok(Duration::from_millis(ticks * 1000 / per_second))
    }
}

/// Lines of RFC 5424 that end with a line feed, or are counted.
fn text(rows: u64, seed: u64, is_counted: bool) -> Vec<u8> {
    let mut lines = Lines::new(seed);
    let mut out = Vec::new();
    for _ in 0..rows {
        let entry = lines.entry();
        let priority = 8 + entry.severity.number();
        let line = format!(
            "<{priority}>1 {} {} {} {} - - {}",
            entry.time.rfc3339(),
            entry.hostname,
            entry.app_name,
            entry.proc_id,
            entry.message
        );
        if is_counted {
            out.extend_from_slice(format!("{} {line}", line.len()).as_bytes());
        } else {
            out.extend_from_slice(line.as_bytes());
            out.push(b'\n');
        }
    }
    out
}

pub(crate) fn run(bench: &Bench) -> io::Result<()> {
    let server = Server::start(bench)?;
    for (connections, is_counted) in [(1, false), (1, true), (4, true)] {
        case(bench, &server, connections, is_counted)?;
    }
    Ok(())
}

fn case(bench: &Bench, server: &Server, connections: u64, is_counted: bool) -> io::Result<()> {
    let each = bench.amount(ROWS) / connections;
    let rows = each * connections;
    let parts: Vec<Vec<u8>> = (0..connections).map(|n| text(each, n, is_counted)).collect();
    let bytes: usize = parts.iter().map(Vec::len).sum();
    let mut rounds = Vec::new();
    for _ in 0..if rows < ROWS { 1 } else { ROUNDS } {
        rounds.push(round(server, &parts, rows)?);
    }
    rounds.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let (middle, least, most) = (rounds[rounds.len() / 2], rounds[0].0, rounds[rounds.len() - 1].0);
    let framing = if is_counted { "counted" } else { "line feeds" };
    tell(&format!(
        "tcp, {connections} connections, {framing}, {} bytes a line: {:.0} rows/s ({least:.0} to \
         {most:.0} in {} rounds), {:.0} rows per CPU second of the server",
        bytes as u64 / rows,
        middle.0,
        rounds.len(),
        middle.1
    ))
}

/// Rows per second, and per CPU second of the server.
#[expect(clippy::cast_precision_loss, reason = "counts of a bench stay far below 2^53")]
fn round(server: &Server, parts: &[Vec<u8>], rows: u64) -> io::Result<(f64, f64)> {
    let (clock, waiter) = (SystemClock::new(), InterruptibleWaiter::new());
    // The server's own events are entries too, and come seldom.
    let wanted = server.committed()? + rows;
    let (began, cpu) = (clock.now(), server.cpu()?);
    std::thread::scope(|scope| -> io::Result<()> {
        let send = |part: &[u8]| TcpStream::connect(server.syslog)?.write_all(part);
        let senders: Vec<_> = parts.iter().map(|part| scope.spawn(move || send(part))).collect();
        for sender in senders {
            sender.join().map_err(|_| io::Error::other("a sender panicked"))??;
        }
        Ok(())
    })?;
    while server.committed()? < wanted {
        if clock.now().since(began) > PATIENCE {
            return Err(io::Error::other("the entries do not arrive"));
        }
        waiter.wait(STEP);
    }
    let (took, cpu) = (clock.now().since(began), server.cpu()?.saturating_sub(cpu));
    Ok((rows as f64 / took.as_secs_f64(), rows as f64 / cpu.as_secs_f64().max(1e-9)))
}
