//! RocksDB through its C interface: just enough of it to write durably.
//!
//! The library is the system's (`apt-get install librocksdb-dev`); it is linked only with the
//! feature `peers`, and only into the programs of this crate.

#![expect(unsafe_code, reason = "a C library can be called no other way")]

use std::ffi::{CStr, CString, c_char, c_int, c_uchar, c_void};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::ptr::{self, NonNull};

#[link(name = "rocksdb")]
unsafe extern "C" {
    fn rocksdb_options_create() -> *mut c_void;
    fn rocksdb_options_destroy(options: *mut c_void);
    fn rocksdb_options_set_create_if_missing(options: *mut c_void, on: c_uchar);
    fn rocksdb_open(
        options: *const c_void,
        name: *const c_char,
        error: *mut *mut c_char,
    ) -> *mut c_void;
    fn rocksdb_close(db: *mut c_void);
    fn rocksdb_writeoptions_create() -> *mut c_void;
    fn rocksdb_writeoptions_destroy(options: *mut c_void);
    fn rocksdb_writeoptions_set_sync(options: *mut c_void, on: c_uchar);
    fn rocksdb_writebatch_create() -> *mut c_void;
    fn rocksdb_writebatch_destroy(batch: *mut c_void);
    fn rocksdb_writebatch_put(
        batch: *mut c_void,
        key: *const c_char,
        key_len: usize,
        value: *const c_char,
        value_len: usize,
    );
    fn rocksdb_write(
        db: *mut c_void,
        options: *const c_void,
        batch: *mut c_void,
        error: *mut *mut c_char,
    );
    fn rocksdb_free(memory: *mut c_void);
}

const ON: c_uchar = 1;
const _: () = assert!(size_of::<c_int>() == 4, "the library is built for this machine");

/// An open database.
#[derive(Debug)]
pub struct Rocks {
    db: NonNull<c_void>,
    /// Every write is synced before it is acknowledged.
    durable: NonNull<c_void>,
}

// SAFETY: RocksDB documents a database and write options that are not changed as usable from any
// thread without synchronisation.
unsafe impl Send for Rocks {}
// SAFETY: as above.
unsafe impl Sync for Rocks {}

impl Rocks {
    /// Makes or opens the database in `dir`, everything else at its default.
    ///
    /// # Errors
    /// What the library says.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let name = CString::new(dir.as_os_str().as_bytes())?;
        let mut error = ptr::null_mut();
        // SAFETY: the options live until they are destroyed below, the name until the end of this
        // function; the library keeps neither.
        let (db, durable) = unsafe {
            let options = rocksdb_options_create();
            rocksdb_options_set_create_if_missing(options, ON);
            let db = rocksdb_open(options, name.as_ptr(), &raw mut error);
            rocksdb_options_destroy(options);
            let durable = rocksdb_writeoptions_create();
            rocksdb_writeoptions_set_sync(durable, ON);
            (db, durable)
        };
        check(error)?;
        let missing = || io::Error::other("RocksDB returned nothing");
        Ok(Self {
            db: NonNull::new(db).ok_or_else(missing)?,
            durable: NonNull::new(durable).ok_or_else(missing)?,
        })
    }

    /// Writes all of `entries` atomically; durable on return.
    ///
    /// # Errors
    /// What the library says.
    pub fn write<'a>(&self, entries: impl IntoIterator<Item = (u64, &'a [u8])>) -> io::Result<()> {
        let mut error = ptr::null_mut();
        // SAFETY: keys and values are copied into the batch, which is destroyed here; the database
        // and the options live as long as `self`.
        unsafe {
            let batch = rocksdb_writebatch_create();
            for (key, value) in entries {
                let key = key.to_le_bytes();
                let (at, len) = (value.as_ptr().cast(), value.len());
                rocksdb_writebatch_put(batch, key.as_ptr().cast(), key.len(), at, len);
            }
            rocksdb_write(self.db.as_ptr(), self.durable.as_ptr(), batch, &raw mut error);
            rocksdb_writebatch_destroy(batch);
        }
        check(error)
    }
}

impl Drop for Rocks {
    fn drop(&mut self) {
        // SAFETY: both came from the library and nobody has them any more.
        unsafe {
            rocksdb_writeoptions_destroy(self.durable.as_ptr());
            rocksdb_close(self.db.as_ptr());
        }
    }
}

/// Takes the library's error, which is a string of its own allocation, or null.
fn check(error: *mut c_char) -> io::Result<()> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: the library returned a string that ends with a zero and belongs to the caller.
    let text = unsafe {
        let text = CStr::from_ptr(error).to_string_lossy().into_owned();
        rocksdb_free(error.cast());
        text
    };
    Err(io::Error::other(text))
}
