//! A server as a process of its own, with what it takes of the processors.

use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Looks for a server until it is there.
const LOOKS: u32 = 3000;

/// A process, killed on drop.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts it, and waits until `is_there`.
    pub(crate) fn start(command: &mut Command, is_there: impl Fn() -> bool) -> io::Result<Self> {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        let mut process = Self { child };
        for _ in 0..LOOKS {
            if is_there() {
                return Ok(process);
            }
            if process.child.try_wait()?.is_some() {
                break;
            }
            wait(Duration::from_millis(10));
        }
        Err(io::Error::other(format!("{:?} does not start", command.get_program())))
    }

    /// CPU time of it and of its children until now, user and system.
    pub(crate) fn cpu(&self) -> io::Result<Duration> {
        let own = self.child.id();
        let mut ticks = 0;
        for entry in entries(Path::new("/proc"))? {
            let Ok(id) = entry.parse::<u32>() else { continue };
            // One that ends meanwhile has no more to tell.
            let Ok(stat) = read(&Path::new("/proc").join(entry).join("stat")) else { continue };
            let Some(stat) = Stat::parse(&stat) else { continue };
            if id == own || stat.parent == own {
                ticks += stat.ticks;
            }
        }
        let per_second = rustix::param::clock_ticks_per_second().max(1);
        Ok(Duration::from_millis(ticks * 1000 / per_second))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Who started a process, and its ticks of CPU time, user and system.
struct Stat {
    parent: u32,
    ticks: u64,
}

impl Stat {
    /// Reads a line of `/proc/PID/stat`; the name in it may have blanks.
    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.rsplit_once(") ")?.1.split(' ').collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        let parent = u32::try_from(number(1)?).ok()?;
        Some(Self { parent, ticks: number(11)? + number(12)? })
    }
}

#[expect(clippy::disallowed_methods, reason = "the system's own files, not docdb's")]
fn read(path: &Path) -> io::Result<String> {
    std::fs::read_to_string(path)
}

#[expect(clippy::disallowed_methods, reason = "the system's own files, not docdb's")]
fn entries(path: &Path) -> io::Result<Vec<String>> {
    std::fs::read_dir(path)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect()
}

#[expect(clippy::disallowed_methods, reason = "a server that starts is waited for by the clock")]
pub(crate) fn wait(time: Duration) {
    std::thread::sleep(time);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ticks_are_those_of_the_process_whatever_its_name() {
        let line = "7 (a) b) S 3 7 7 0 -1 4194304 1 2 3 4 50 25 9 9 20 0 1 0 1 1 1";
        let stat = Stat::parse(line).unwrap();
        assert_eq!((stat.parent, stat.ticks), (3, 75));
        assert!(Stat::parse("7 (a) S 3").is_none());
    }
}
