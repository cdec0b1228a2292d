//! UDP: each datagram is a message, whatever is in it.

use std::io;
use std::net::SocketAddr;

use logstore::{Entry, UnixNanos};
use tokio::net::UdpSocket;

use super::meters::{Protocol, Refusal};
use super::{BREATH, Held, Shared, WithoutRoom, stops};
use crate::ingest::syslog::{self, Extent};

/// The largest datagram there is.
const DATAGRAM_BYTES_MAX: usize = 65_535;
/// Datagrams that are stored together, at most.
const TOGETHER_MAX: usize = 256;

pub(super) async fn serve(socket: UdpSocket, held: Held) {
    let shared = &held.0;
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX + 1];
    let mut stopping = shared.stopping.subscribe();
    loop {
        let came = tokio::select! {
            came = socket.recv_from(&mut buffer) => came,
            () = stops(&mut stopping) => return,
        };
        let mut entries = Vec::new();
        match came {
            Ok((len, peer)) => entries.extend(entry(shared, &buffer, len, peer)),
            Err(error) => {
                tracing::debug!(%error, "a datagram of syslog was not read");
                tokio::time::sleep(BREATH).await;
            }
        }
        while entries.len() < TOGETHER_MAX {
            match socket.try_recv_from(&mut buffer) {
                Ok((len, peer)) => entries.extend(entry(shared, &buffer, len, peer)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // The next wait says what it is.
                Err(_) => break,
            }
        }
        shared.meters.took(Protocol::Udp, entries.len());
        shared.store(entries, WithoutRoom::Drop).await;
    }
}

fn entry(shared: &Shared, buffer: &[u8], len: usize, peer: SocketAddr) -> Option<Entry> {
    if !shared.allows(peer.ip()) {
        shared.refuse(Refusal::NotAllowed, peer.ip());
        return None;
    }
    shared.meters.read(Protocol::Udp, len);
    let received = UnixNanos::from_ms(shared.clock.wall().0);
    let mut entry = syslog::parse(buffer.get(..len)?, Extent::Whole, received);
    entry.source = format!("syslog/udp {}", peer.ip().to_canonical());
    Some(entry)
}
