//! `docdb` on a disk that panics: for tests of what a defect does to a real server.
//!
//! `TESTS_PANICS=5` makes the first five reads of a data file panic that a worker of the scheduler
//! does; everything else is the system's disk. Without it this is `docdb` itself.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use base::io::RealDisk;
use sim::watch::{Moment, watched};

fn main() -> ExitCode {
    let panics = std::env::var("TESTS_PANICS").ok();
    let disk = panics.map_or_else(RealDisk::shared, |panics| {
        let left = AtomicU64::new(panics.parse().expect("a number"));
        watched(RealDisk::shared(), move |moment, path| {
            let is_data = path.extension().is_some_and(|extension| extension == "data");
            let thread = std::thread::current();
            let is_worker = thread.name().is_some_and(|name| name.starts_with("worker-"));
            if moment == Moment::Read && is_data && is_worker {
                let less = |left: u64| left.checked_sub(1);
                let taken = left.fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
                assert!(taken.is_err(), "the planted defect");
            }
        })
    });
    let (out, err) = (&mut std::io::stdout(), &mut std::io::stderr());
    docdb::cli::run_on(disk, std::env::args_os(), std::env::vars_os().collect(), out, err)
}
