//! A disk whose next sync waits until a test lets it go on: what is pending stays so for as long
//! as the test wants, without a clock.

use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};

use base::io::{Disk, DiskRef, Entry, File, FileRef, Lock, Open, Space, Stat};

/// What the gate of a disk is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Syncs pass.
    Open,
    /// The next sync waits.
    Closed,
    /// A sync waits.
    Waiting,
}

/// Lets syncs pass or wait.
#[derive(Debug)]
pub(crate) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

impl Gate {
    /// A gate that is open.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State::Open), changed: Condvar::new() })
    }

    /// The next sync waits.
    pub(crate) fn close(&self) {
        *self.state.lock().expect("no test panicked") = State::Closed;
    }

    /// Waits until a sync waits.
    pub(crate) fn wait_for_sync(&self) {
        let state = self.state.lock().expect("no test panicked");
        let reached = self.changed.wait_while(state, |state| *state != State::Waiting);
        drop(reached.expect("no test panicked"));
    }

    /// Syncs pass, the one that waits too.
    pub(crate) fn open(&self) {
        *self.state.lock().expect("no test panicked") = State::Open;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let mut state = self.state.lock().expect("no test panicked");
        if *state == State::Closed {
            *state = State::Waiting;
            self.changed.notify_all();
            let open = self.changed.wait_while(state, |state| *state != State::Open);
            drop(open.expect("no test panicked"));
        }
    }

    /// `disk` with this gate before its syncs of files.
    pub(crate) fn before(self: &Arc<Self>, disk: DiskRef) -> DiskRef {
        Arc::new(Gated { disk, gate: Arc::clone(self) })
    }
}

#[derive(Debug)]
struct Gated {
    disk: DiskRef,
    gate: Arc<Gate>,
}

#[derive(Debug)]
struct GatedFile {
    file: FileRef,
    gate: Arc<Gate>,
}

impl Disk for Gated {
    fn open(&self, path: &Path, how: Open) -> io::Result<FileRef> {
        let file = self.disk.open(path, how)?;
        Ok(Arc::new(GatedFile { file, gate: Arc::clone(&self.gate) }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_file(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_dir(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.disk.list(dir)
    }

    fn stat(&self, path: &Path) -> io::Result<Option<Stat>> {
        self.disk.stat(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        self.disk.lock(path)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.disk.space(path)
    }
}

impl File for GatedFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.file.write_at(buf, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.gate.pass();
        self.file.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.gate.pass();
        self.file.sync_all()
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn evict(&self, from: u64, len: u64) -> io::Result<()> {
        self.file.evict(from, len)
    }
}
