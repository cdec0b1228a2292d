//! Writes a log: `cargo run --release -p wal --example orders -- DIR [COUNT]`.
//!
//! Makes DIR when it is not there, opens the log in it (recovering it if the last run was killed),
//! commits COUNT documents one by one, each durable before the next, and says how long the log is.
//! Kill it, run it again, and look at the log with `docdb inspect wal DIR`.
#![expect(clippy::print_stdout, reason = "a program for people")]

use std::path::PathBuf;

use base::clock::SystemClock;
use base::document::Document;
use base::io::RealDisk;
use base::words::{Change, CollectionId, DatabaseId, DocId, Lsn};
use wal::{Environment, Log, Options};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let dir = PathBuf::from(arguments.next().ok_or("usage: orders DIR [COUNT]")?);
    let count: u64 = arguments.next().map_or(Ok(1000), |text| text.parse())?;

    let env = Environment { disk: RealDisk::shared(), clock: SystemClock::shared(), reserve: None };
    let log = if env.disk.stat(&dir)?.is_none() {
        env.disk.create_dir(&dir)?;
        Log::create(&env, &dir, DatabaseId::random()?, Options::default())?
    } else {
        let (log, recovery) = Log::open_dir(&env, &dir, Options::default(), &mut |_| Ok(()))?;
        println!(
            "opened: {} frames read, closed cleanly: {}",
            recovery.frames_read, recovery.clean
        );
        log
    };
    for _ in 0..count {
        let order = log.visible().next();
        let text = format!(r#"{{"order":{order},"state":"new"}}"#);
        log.append(&Change::Put {
            collection: CollectionId(1),
            id: DocId::U64(order.0),
            replaces: Lsn::ZERO,
            expires_at: None,
            document: Document::parse(text.as_bytes())?,
        })?;
    }
    println!("durable up to LSN {}", log.durable());
    log.close()?;
    Ok(())
}
