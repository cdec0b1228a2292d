//! `docdb` on a disk that ends the process at a named call: for drills with a real server.
//!
//! `TESTS_DRILL=segment.write.torn:17` ends it at the seventeenth write to a segment of the log,
//! of which half has happened. Without it this is `docdb` itself. The points are in `sim::drill`.

use std::process::ExitCode;
use std::sync::Arc;

use base::io::{DiskRef, RealDisk};
use sim::drill::{DrillDisk, Point};

fn main() -> ExitCode {
    let disk = std::env::var("TESTS_DRILL").ok().map_or_else(RealDisk::shared, |spec| {
        let (point, nth) = spec.split_once(':').expect("a point and a number: data.write.after:3");
        let point: Point = point.parse().expect("a point of sim::drill");
        let nth = nth.parse().expect("a number");
        let disk: DiskRef = Arc::new(DrillDisk::new(RealDisk::shared(), point, nth));
        disk
    });
    let (out, err) = (&mut std::io::stdout(), &mut std::io::stderr());
    docdb::cli::run_on(disk, std::env::args_os(), std::env::vars_os().collect(), out, err)
}
