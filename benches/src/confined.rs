//! Less memory than there is: a control group around a process, and the system's cache emptied.
//! Both need root; where they are refused, the cases that need them are left out and said to be.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

const CONTROLLER: &str = "/sys/fs/cgroup/memory";
/// Groups that this process has made.
static MADE: AtomicU32 = AtomicU32::new(0);

/// A memory control group (version 1), removed on drop. What its processes read counts too: the
/// system's cache of their files is part of what they may take.
#[derive(Debug)]
pub struct Group {
    path: PathBuf,
}

impl Group {
    /// Makes a group whose processes may take `bytes` together, below the group of this process.
    ///
    /// # Errors
    /// When this process may not, or the system has no such controller.
    #[expect(clippy::disallowed_methods, reason = "the system's own files, not docdb's")]
    pub fn new(name: &str, bytes: u64) -> io::Result<Self> {
        let groups = std::fs::read_to_string("/proc/self/cgroup")?;
        let own = own_group(&groups)
            .ok_or_else(|| io::Error::other("no memory controller (control groups, version 1)"))?;
        // A group whose process was killed may stay for a while: it is not made twice.
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("docdb-bench-{name}-{}-{number}", std::process::id());
        let path = Path::new(CONTROLLER).join(own).join(name);
        std::fs::create_dir(&path)?;
        let group = Self { path };
        std::fs::write(group.path.join("memory.limit_in_bytes"), bytes.to_string())?;
        Ok(group)
    }

    /// Moves a process into the group.
    ///
    /// # Errors
    /// Whatever the system says.
    #[expect(clippy::disallowed_methods, reason = "the system's own files, not docdb's")]
    pub fn take(&self, process: u32) -> io::Result<()> {
        std::fs::write(self.path.join("cgroup.procs"), process.to_string())
    }
}

impl Drop for Group {
    #[expect(clippy::disallowed_methods, reason = "the system's own files, not docdb's")]
    fn drop(&mut self) {
        // A group that still has a process stays; its name says whose it was.
        let _ = std::fs::remove_dir(&self.path);
    }
}

/// The path of a process's memory group, below the controller.
fn own_group(groups: &str) -> Option<&str> {
    let mut lines = groups.lines().map(|line| line.splitn(3, ':').skip(1));
    let path = lines.find_map(|mut fields| {
        let is_memory = fields.next()?.split(',').any(|controller| controller == "memory");
        fields.next().filter(|_| is_memory)
    });
    path.map(|path| path.trim_start_matches('/'))
}

/// Writes out what waits to be written, and empties the system's cache of files.
///
/// # Errors
/// When this process may not.
#[expect(clippy::disallowed_methods, reason = "the system's own files, not docdb's")]
pub fn drop_caches() -> io::Result<()> {
    rustix::fs::sync();
    std::fs::write("/proc/sys/vm/drop_caches", "3")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_of_the_memory_controller_is_found() {
        let groups = "8:pids:/a\n4:cpu,memory:/b/c:d\n0::/e\n";
        assert_eq!(own_group(groups), Some("b/c:d"));
        assert_eq!(own_group("4:memory:/\n"), Some(""));
        assert_eq!(own_group("0::/e\n"), None);
    }
}
