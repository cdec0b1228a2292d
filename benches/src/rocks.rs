//! RocksDB through its C interface: just enough of it to write durably, read and scan.
//!
//! The library is the system's (`apt-get install librocksdb-dev`); it is linked only with the
//! feature `peers`, and only into the programs of this crate.

#![expect(unsafe_code, reason = "a C library can be called no other way")]

use std::ffi::{CStr, CString, c_char, c_double, c_int, c_uchar, c_void};
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
    fn rocksdb_options_set_level_compaction_dynamic_level_bytes(options: *mut c_void, on: c_uchar);
    fn rocksdb_options_set_bytes_per_sync(options: *mut c_void, bytes: u64);
    fn rocksdb_options_set_max_background_jobs(options: *mut c_void, jobs: c_int);
    fn rocksdb_options_set_recycle_log_file_num(options: *mut c_void, files: usize);
    fn rocksdb_options_set_compression(options: *mut c_void, kind: c_int);
    fn rocksdb_options_set_block_based_table_factory(options: *mut c_void, table: *mut c_void);
    fn rocksdb_block_based_options_create() -> *mut c_void;
    fn rocksdb_block_based_options_destroy(table: *mut c_void);
    fn rocksdb_block_based_options_set_block_size(table: *mut c_void, bytes: usize);
    fn rocksdb_block_based_options_set_format_version(table: *mut c_void, version: c_int);
    fn rocksdb_block_based_options_set_filter_policy(table: *mut c_void, filter: *mut c_void);
    fn rocksdb_block_based_options_set_block_cache(table: *mut c_void, cache: *mut c_void);
    fn rocksdb_block_based_options_set_cache_index_and_filter_blocks(
        table: *mut c_void,
        on: c_uchar,
    );
    fn rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(
        table: *mut c_void,
        on: c_uchar,
    );
    fn rocksdb_filterpolicy_create_bloom_full(bits: c_double) -> *mut c_void;
    fn rocksdb_cache_create_lru(bytes: usize) -> *mut c_void;
    fn rocksdb_cache_destroy(cache: *mut c_void);
    fn rocksdb_readoptions_create() -> *mut c_void;
    fn rocksdb_readoptions_destroy(options: *mut c_void);
    fn rocksdb_get_pinned(
        db: *mut c_void,
        options: *const c_void,
        key: *const c_char,
        key_len: usize,
        error: *mut *mut c_char,
    ) -> *mut c_void;
    fn rocksdb_pinnableslice_value(slice: *const c_void, len: *mut usize) -> *const c_char;
    fn rocksdb_pinnableslice_destroy(slice: *mut c_void);
    fn rocksdb_create_iterator(db: *mut c_void, options: *const c_void) -> *mut c_void;
    fn rocksdb_iter_destroy(iterator: *mut c_void);
    fn rocksdb_iter_seek(iterator: *mut c_void, key: *const c_char, key_len: usize);
    fn rocksdb_iter_valid(iterator: *const c_void) -> c_uchar;
    fn rocksdb_iter_next(iterator: *mut c_void);
    fn rocksdb_iter_key(iterator: *const c_void, len: *mut usize) -> *const c_char;
    fn rocksdb_iter_value(iterator: *const c_void, len: *mut usize) -> *const c_char;
    fn rocksdb_iter_get_error(iterator: *const c_void, error: *mut *mut c_char);
    fn rocksdb_property_value(db: *mut c_void, name: *const c_char) -> *mut c_char;
}

const ON: c_uchar = 1;
const _: () = assert!(size_of::<c_int>() == 4, "the library is built for this machine");

/// The library's number for LZ4.
const LZ4: c_int = 4;

/// How a database is set up.
#[derive(Debug, Clone, Copy)]
pub enum Setup {
    /// Everything at its default.
    Default,
    /// As the page "Setup Options and Basic Tuning" of RocksDB's wiki recommends, with log files
    /// that are used again.
    Tuned {
        /// Size of the block cache.
        cache_bytes: usize,
    },
}

/// Sees a key and its value.
pub type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> io::Result<()>;

/// An open database.
#[derive(Debug)]
pub struct Rocks {
    db: NonNull<c_void>,
    /// Every write is synced before it is acknowledged.
    durable: NonNull<c_void>,
    reading: NonNull<c_void>,
}

// SAFETY: RocksDB documents a database and write options that are not changed as usable from any
// thread without synchronisation.
unsafe impl Send for Rocks {}
// SAFETY: as above.
unsafe impl Sync for Rocks {}

/// The version of the library that is loaded.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the system's own files, not docdb's")]
pub fn version() -> String {
    // The C interface does not tell it; the name of the file that was loaded does.
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let loaded = maps.lines().find_map(|line| line.rsplit_once("librocksdb.so."));
    loaded.map_or_else(|| "of the system".to_owned(), |(_, version)| version.to_owned())
}

/// Sets up `options`, whose pointer is valid.
unsafe fn set_up(options: *mut c_void, setup: Setup) {
    let Setup::Tuned { cache_bytes } = setup else { return };
    // SAFETY: the caller's options are valid; the table options and the cache live until they are
    // destroyed here, and what was set keeps what it needs of them. The filter belongs to the table
    // options once it was set.
    unsafe {
        rocksdb_options_set_level_compaction_dynamic_level_bytes(options, ON);
        rocksdb_options_set_bytes_per_sync(options, 1 << 20);
        rocksdb_options_set_max_background_jobs(options, 6);
        rocksdb_options_set_recycle_log_file_num(options, 4);
        rocksdb_options_set_compression(options, LZ4);
        let table = rocksdb_block_based_options_create();
        rocksdb_block_based_options_set_block_size(table, 16 * 1024);
        rocksdb_block_based_options_set_format_version(table, 5);
        let filter = rocksdb_filterpolicy_create_bloom_full(10.0);
        rocksdb_block_based_options_set_filter_policy(table, filter);
        rocksdb_block_based_options_set_cache_index_and_filter_blocks(table, ON);
        rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(table, ON);
        let cache = rocksdb_cache_create_lru(cache_bytes);
        rocksdb_block_based_options_set_block_cache(table, cache);
        rocksdb_options_set_block_based_table_factory(options, table);
        rocksdb_cache_destroy(cache);
        rocksdb_block_based_options_destroy(table);
    }
}

impl Rocks {
    /// Makes or opens the database in `dir`.
    ///
    /// # Errors
    /// What the library says.
    pub fn open(dir: &Path, setup: Setup) -> io::Result<Self> {
        let name = CString::new(dir.as_os_str().as_bytes())?;
        let mut error = ptr::null_mut();
        // SAFETY: the options live until they are destroyed below, the name until the end of this
        // function; the library keeps neither.
        let (db, durable, reading) = unsafe {
            let options = rocksdb_options_create();
            rocksdb_options_set_create_if_missing(options, ON);
            set_up(options, setup);
            let db = rocksdb_open(options, name.as_ptr(), &raw mut error);
            rocksdb_options_destroy(options);
            let durable = rocksdb_writeoptions_create();
            rocksdb_writeoptions_set_sync(durable, ON);
            (db, durable, rocksdb_readoptions_create())
        };
        check(error)?;
        let made = |pointer| {
            NonNull::new(pointer).ok_or_else(|| io::Error::other("RocksDB returned nothing"))
        };
        Ok(Self { db: made(db)?, durable: made(durable)?, reading: made(reading)? })
    }

    /// Writes all of `entries` atomically; durable on return.
    ///
    /// # Errors
    /// What the library says.
    pub fn write<'a>(
        &self,
        entries: impl IntoIterator<Item = ([u8; 8], &'a [u8])>,
    ) -> io::Result<()> {
        let mut error = ptr::null_mut();
        // SAFETY: keys and values are copied into the batch, which is destroyed here; the database
        // and the options live as long as `self`.
        unsafe {
            let batch = rocksdb_writebatch_create();
            for (key, value) in entries {
                let (at, len) = (value.as_ptr().cast(), value.len());
                rocksdb_writebatch_put(batch, key.as_ptr().cast(), key.len(), at, len);
            }
            rocksdb_write(self.db.as_ptr(), self.durable.as_ptr(), batch, &raw mut error);
            rocksdb_writebatch_destroy(batch);
        }
        check(error)
    }

    /// Replaces `out` by a copy of what is kept under `key`; false when nothing is.
    ///
    /// # Errors
    /// What the library says.
    pub fn get(&self, key: &[u8], out: &mut Vec<u8>) -> io::Result<bool> {
        let mut error = ptr::null_mut();
        out.clear();
        // SAFETY: the value is the library's until the slice that pins it is destroyed, which
        // happens after it was copied.
        unsafe {
            let (db, reading) = (self.db.as_ptr(), self.reading.as_ptr());
            let pinned =
                rocksdb_get_pinned(db, reading, key.as_ptr().cast(), key.len(), &raw mut error);
            check(error)?;
            if pinned.is_null() {
                return Ok(false);
            }
            let mut len = 0;
            let value = rocksdb_pinnableslice_value(pinned, &raw mut len);
            out.extend_from_slice(std::slice::from_raw_parts(value.cast(), len));
            rocksdb_pinnableslice_destroy(pinned);
        }
        Ok(true)
    }

    /// Shows up to `limit` keys and values from `from` on, in the order of the keys' bytes.
    ///
    /// # Errors
    /// What the library says, and those of `visit`.
    pub fn scan(&self, from: &[u8], limit: u64, visit: Visit<'_>) -> io::Result<()> {
        let mut seen = Ok(());
        let mut error = ptr::null_mut();
        // SAFETY: the iterator is valid until it is destroyed; a key and a value are the library's
        // until the next step.
        unsafe {
            let iterator = rocksdb_create_iterator(self.db.as_ptr(), self.reading.as_ptr());
            rocksdb_iter_seek(iterator, from.as_ptr().cast(), from.len());
            for _ in 0..limit {
                if seen.is_err() || rocksdb_iter_valid(iterator) != ON {
                    break;
                }
                let (mut key_len, mut value_len) = (0, 0);
                let key = rocksdb_iter_key(iterator, &raw mut key_len);
                let value = rocksdb_iter_value(iterator, &raw mut value_len);
                let key = std::slice::from_raw_parts(key.cast(), key_len);
                seen = visit(key, std::slice::from_raw_parts(value.cast(), value_len));
                rocksdb_iter_next(iterator);
            }
            rocksdb_iter_get_error(iterator, &raw mut error);
            rocksdb_iter_destroy(iterator);
        }
        check(error)?;
        seen
    }

    /// What the library says under this name of itself, if it knows the name.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<String> {
        let name = CString::new(name).ok()?;
        // SAFETY: the name ends with a zero; the answer is null or a string that belongs to the
        // caller.
        unsafe {
            let text = rocksdb_property_value(self.db.as_ptr(), name.as_ptr());
            if text.is_null() {
                return None;
            }
            let owned = CStr::from_ptr(text).to_string_lossy().into_owned();
            rocksdb_free(text.cast());
            Some(owned)
        }
    }
}

impl Drop for Rocks {
    fn drop(&mut self) {
        // SAFETY: all came from the library and nobody has them any more.
        unsafe {
            rocksdb_readoptions_destroy(self.reading.as_ptr());
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
