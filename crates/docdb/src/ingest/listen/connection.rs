//! One connection: read, told apart, stored; and not read while there is no room.

use std::net::SocketAddr;
use std::time::Duration;

use logstore::UnixNanos;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::meters::Protocol;
use super::{Shared, WithoutRoom, stops};
use crate::ingest::syslog::assembly::Assembly;

/// Bytes that are read at once.
const READ_BYTES: usize = 32 * 1024;
/// The wait when nothing is due.
const LONG: Duration = Duration::from_secs(3600);

pub(super) async fn serve(
    shared: &Shared,
    mut stream: impl AsyncRead + Unpin,
    protocol: Protocol,
    peer: SocketAddr,
) {
    let source = format!("syslog/{} {}", protocol.name(), peer.ip().to_canonical());
    let mut assembly = Assembly::new(source, shared.join_within);
    let mut buffer = vec![0; READ_BYTES];
    let mut stopping = shared.stopping.subscribe();
    loop {
        let now = shared.clock.now();
        let wait = assembly.due().map_or(LONG, |due| due.since(now));
        let read = tokio::select! {
            read = stream.read(&mut buffer) => Some(read),
            () = tokio::time::sleep(wait) => None,
            () = stops(&mut stopping) => break,
        };
        let (now, received) = (shared.clock.now(), received(shared));
        match read {
            Some(Ok(len)) if len > 0 => {
                shared.meters.read(protocol, len);
                assembly.feed(buffer.get(..len).unwrap_or_default(), now, received);
            }
            // Whatever ends it: what has come is stored.
            Some(Ok(_)) => {
                assembly.end(now, received);
                break;
            }
            Some(Err(_)) => break,
            None => assembly.release(now),
        }
        store(shared, &mut assembly, protocol).await;
    }
    // Nothing is left when its sender has ended it.
    assembly.break_off(shared.clock.now(), received(shared));
    store(shared, &mut assembly, protocol).await;
}

async fn store(shared: &Shared, assembly: &mut Assembly, protocol: Protocol) {
    let entries = assembly.take_ready();
    shared.meters.took(protocol, entries.len());
    shared.store(entries, WithoutRoom::Wait).await;
}

fn received(shared: &Shared) -> UnixNanos {
    UnixNanos::from_ms(shared.clock.wall().0)
}
