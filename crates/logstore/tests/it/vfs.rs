//! A SQLite VFS that fails on demand and writes down what it was told: SQLite's own, with a layer
//! between it and the calls that change files.
//!
//! Each [`FaultyVfs`] is registered under a name of its own and never goes away. The memory of an
//! open file is SQLite's own, with a [`Context`] behind it; its methods are a copy of SQLite's own
//! with ours for close, write, truncate and sync.

#![expect(unsafe_code, reason = "a VFS is a table of C functions")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use rusqlite::ffi;

/// What happened to files, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    Write {
        path: PathBuf,
        offset: u64,
        bytes: Vec<u8>,
    },
    Truncate {
        path: PathBuf,
        len: u64,
    },
    Sync {
        path: PathBuf,
    },
    Delete {
        path: PathBuf,
    },
    /// What the test wants to remember of this moment.
    Mark(u64),
}

/// What to fail and what has happened.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// Writes past the present end of a file find no room.
    pub(crate) is_full: bool,
    /// So many syncs fail, after the bytes have been written.
    pub(crate) failing_syncs: u32,
    /// So many writes fail.
    pub(crate) failing_writes: u32,
    pub(crate) events: Vec<Event>,
}

/// A registered VFS.
#[derive(Debug, Clone)]
pub(crate) struct FaultyVfs {
    pub(crate) name: String,
    state: Arc<Mutex<State>>,
}

#[repr(C)]
struct Layer {
    vfs: ffi::sqlite3_vfs,
    real: *mut ffi::sqlite3_vfs,
    state: Arc<Mutex<State>>,
}

/// What stands behind SQLite's own memory of an open file.
struct Context {
    real: *const ffi::sqlite3_io_methods,
    ours: Box<ffi::sqlite3_io_methods>,
    path: PathBuf,
    state: Arc<Mutex<State>>,
}

static COUNT: AtomicU64 = AtomicU64::new(0);

impl FaultyVfs {
    pub(crate) fn register() -> Self {
        let name = format!("faulty{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let state = Arc::new(Mutex::new(State::default()));
        let c_name = CString::new(name.clone()).unwrap();
        // SAFETY: finding the default VFS has no preconditions; it lives as long as the process.
        let real = unsafe { ffi::sqlite3_vfs_find(std::ptr::null()) };
        assert!(!real.is_null());
        // SAFETY: `real` is valid, and the structure is plain data.
        let mut vfs = unsafe { std::ptr::read(real) };
        vfs.zName = c_name.into_raw();
        vfs.pNext = std::ptr::null_mut();
        vfs.szOsFile += c_int::try_from(size_of::<*mut Context>()).unwrap();
        vfs.xOpen = Some(open);
        vfs.xDelete = Some(delete);
        let layer = Box::leak(Box::new(Layer { vfs, real, state: Arc::clone(&state) }));
        // SAFETY: the layer begins with its VFS and is never freed.
        let done = unsafe { ffi::sqlite3_vfs_register((&raw mut *layer).cast(), 0) };
        assert_eq!(done, ffi::SQLITE_OK);
        Self { name, state }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn mark(&self, what: u64) {
        self.state().events.push(Event::Mark(what));
    }
}

/// Where the pointer to the context of a file is.
///
/// # Safety
/// `file` was opened by a layer.
unsafe fn slot(file: *mut ffi::sqlite3_file) -> *mut *mut Context {
    // SAFETY: the default VFS lives for ever; a layer asks for this much more memory than it.
    unsafe {
        let real = ffi::sqlite3_vfs_find(std::ptr::null());
        file.cast::<u8>().add(usize::try_from((*real).szOsFile).unwrap()).cast()
    }
}

/// # Safety
/// `file` is open and was opened by a layer.
unsafe fn context<'c>(file: *mut ffi::sqlite3_file) -> &'c Context {
    // SAFETY: the slot holds a context from `open` until `close`.
    unsafe { &**slot(file) }
}

unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite gives a VFS that was registered, which is the beginning of a layer, and memory
    // of the size that the layer asks for.
    unsafe {
        let layer = &*vfs.cast::<Layer>();
        let opened = (*layer.real).xOpen.unwrap()(layer.real, name, file, flags, out);
        let real = (*file).pMethods;
        if opened != ffi::SQLITE_OK || real.is_null() {
            return opened;
        }
        let mut ours = Box::new(std::ptr::read(real));
        ours.xClose = Some(close);
        ours.xWrite = Some(write);
        ours.xTruncate = Some(truncate);
        ours.xSync = Some(sync);
        let path = if name.is_null() { PathBuf::new() } else { path_of(name) };
        (*file).pMethods = &raw const *ours;
        let state = Arc::clone(&layer.state);
        let context = Context { real, ours, path, state };
        slot(file).write_unaligned(Box::into_raw(Box::new(context)));
        opened
    }
}

/// # Safety
/// `name` is a C string.
unsafe fn path_of(name: *const c_char) -> PathBuf {
    // SAFETY: the caller's.
    PathBuf::from(unsafe { CStr::from_ptr(name) }.to_str().unwrap())
}

unsafe extern "C" fn delete(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    sync_dir: c_int,
) -> c_int {
    // SAFETY: as in `open`.
    unsafe {
        let layer = &*vfs.cast::<Layer>();
        let deleted = (*layer.real).xDelete.unwrap()(layer.real, name, sync_dir);
        if deleted == ffi::SQLITE_OK {
            let path = path_of(name);
            layer.state.lock().unwrap().events.push(Event::Delete { path });
        }
        deleted
    }
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: the file is open; its context is freed once, here, after its last use.
    unsafe {
        let context = Box::from_raw(*slot(file));
        (*file).pMethods = context.real;
        let closed = (*context.real).xClose.unwrap()(file);
        drop(context);
        closed
    }
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    from: *const c_void,
    len: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: the file is open, and `from` has `len` bytes.
    unsafe {
        let context = context(file);
        debug_assert!(context.ours.xWrite.is_some());
        let mut state = context.state.lock().unwrap();
        if state.failing_writes > 0 {
            state.failing_writes -= 1;
            return ffi::SQLITE_IOERR_WRITE;
        }
        let mut size = 0;
        (*context.real).xFileSize.unwrap()(file, &raw mut size);
        if state.is_full && offset + i64::from(len) > size {
            return ffi::SQLITE_FULL;
        }
        let written = (*context.real).xWrite.unwrap()(file, from, len, offset);
        if written == ffi::SQLITE_OK {
            let bytes =
                std::slice::from_raw_parts(from.cast::<u8>(), usize::try_from(len).unwrap());
            let (path, bytes) = (context.path.clone(), bytes.to_vec());
            let offset = u64::try_from(offset).unwrap();
            state.events.push(Event::Write { path, offset, bytes });
        }
        written
    }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, len: ffi::sqlite3_int64) -> c_int {
    // SAFETY: the file is open.
    unsafe {
        let context = context(file);
        let done = (*context.real).xTruncate.unwrap()(file, len);
        if done == ffi::SQLITE_OK {
            let (path, len) = (context.path.clone(), u64::try_from(len).unwrap());
            context.state.lock().unwrap().events.push(Event::Truncate { path, len });
        }
        done
    }
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    // SAFETY: the file is open.
    unsafe {
        let context = context(file);
        let mut state = context.state.lock().unwrap();
        if state.failing_syncs > 0 {
            state.failing_syncs -= 1;
            return ffi::SQLITE_IOERR_FSYNC;
        }
        let done = (*context.real).xSync.unwrap()(file, flags);
        if done == ffi::SQLITE_OK {
            state.events.push(Event::Sync { path: context.path.clone() });
        }
        done
    }
}
