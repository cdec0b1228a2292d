//! Blocks in memory, and those that fell out of it on a disk: for stores that are far away.
//!
//! The directory is emptied at open and may be deleted whenever the server is not running. It is the cache library that
//! reads and writes it, past [`base::io`]: nothing in it is ever needed, what it returns has a checksum there and
//! another in the files' own formats.

use std::fmt;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use base::io::{Disk, EntryKind};
use bytes::Bytes;
use foyer::{
    BlockEngineConfig, Code, DeviceBuilder, FsDeviceBuilder, HybridCache, HybridCacheBuilder,
    PsyncIoEngineConfig, RecoverMode, Spawner,
};

use super::memory::{eviction, shards, weight};
use super::{BlockKey, Cache, Usage};
use crate::storage::NAME_BYTES_MAX;
use crate::storage::tasks::Tasks;

/// How a cache of two tiers is divided.
#[derive(Debug, Clone)]
pub struct TieredOptions {
    /// The most bytes in memory.
    pub memory_bytes_max: usize,
    /// The most bytes on disk; the library uses it in files of 16 MiB.
    pub disk_bytes_max: usize,
    /// The directory, which is the cache's alone. Its parent must exist.
    pub directory: PathBuf,
}

/// Bytes of a file of the disk tier.
const FILE_BYTES: usize = 16 * 1024 * 1024;
/// Threads that read and write the disk tier.
const THREADS: usize = 2;
/// The longest block that is believed when it is read back.
const READ_BYTES_MAX: usize = 1024 * 1024;

/// A block, as the library stores it.
#[derive(Debug, Clone)]
struct Block(Bytes);

fn encode_bytes(bytes: &[u8], out: &mut impl Write) -> foyer::Result<()> {
    let len = u32::try_from(bytes.len()).map_err(|_| foyer::Error::io_error(invalid()))?;
    let written = out.write_all(&len.to_le_bytes()).and_then(|()| out.write_all(bytes));
    written.map_err(foyer::Error::io_error)
}

fn decode_bytes(max: usize, from: &mut impl Read) -> foyer::Result<Vec<u8>> {
    let mut len = [0; 4];
    from.read_exact(&mut len).map_err(foyer::Error::io_error)?;
    let len = usize::try_from(u32::from_le_bytes(len)).unwrap_or(usize::MAX);
    if len > max {
        return Err(foyer::Error::io_error(invalid()));
    }
    let mut bytes = vec![0; len];
    from.read_exact(&mut bytes).map_err(foyer::Error::io_error)?;
    Ok(bytes)
}

fn invalid() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

impl Code for Block {
    fn encode(&self, writer: &mut impl Write) -> foyer::Result<()> {
        encode_bytes(&self.0, writer)
    }

    fn decode(reader: &mut impl Read) -> foyer::Result<Self> {
        Ok(Self(decode_bytes(READ_BYTES_MAX, reader)?.into()))
    }

    fn estimated_size(&self) -> usize {
        size_of::<u32>() + self.0.len()
    }
}

impl Code for BlockKey {
    fn encode(&self, writer: &mut impl Write) -> foyer::Result<()> {
        encode_bytes(self.object.as_bytes(), writer)?;
        writer.write_all(&self.block.to_le_bytes()).map_err(foyer::Error::io_error)
    }

    fn decode(reader: &mut impl Read) -> foyer::Result<Self> {
        let object = String::from_utf8(decode_bytes(NAME_BYTES_MAX, reader)?)
            .map_err(|_| foyer::Error::io_error(invalid()))?;
        let mut block = [0; 4];
        reader.read_exact(&mut block).map_err(foyer::Error::io_error)?;
        Ok(Self { object: object.into(), block: u32::from_le_bytes(block) })
    }

    fn estimated_size(&self) -> usize {
        2 * size_of::<u32>() + self.object.len()
    }
}

/// A cache in memory and on disk.
pub struct TieredCache {
    blocks: HybridCache<BlockKey, Block>,
    disk_bytes_max: usize,
    /// Dropped last: the library's tasks run on it.
    tasks: Tasks,
}

impl fmt::Debug for TieredCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TieredCache").field("usage", &self.usage()).finish_non_exhaustive()
    }
}

impl TieredCache {
    /// Opens a cache, empty. `disk` is the file system that has the directory; it is used to empty it.
    ///
    /// # Errors
    /// When the directory cannot be emptied, made or used, or there can be no threads.
    pub fn open(disk: &dyn Disk, options: &TieredOptions) -> io::Result<Self> {
        empty(disk, &options.directory)?;
        let tasks = Tasks::start("search-cache", THREADS)?;
        let disk_bytes_max = options.disk_bytes_max;
        let device = FsDeviceBuilder::new(&options.directory)
            .with_capacity(disk_bytes_max)
            .build()
            .map_err(io::Error::other)?;
        let memory = options.memory_bytes_max;
        let building = HybridCacheBuilder::new()
            .with_name("search-blocks")
            .with_flush_on_close(false)
            .memory(memory)
            .with_shards(shards(memory))
            .with_eviction_config(eviction())
            .with_weighter(|_: &BlockKey, block: &Block| weight(&block.0))
            .storage()
            .with_io_engine_config(PsyncIoEngineConfig::new())
            .with_engine_config(BlockEngineConfig::new(device).with_block_size(FILE_BYTES))
            .with_recover_mode(RecoverMode::None)
            .with_spawner(Spawner::from(tasks.handle().clone()))
            .build();
        let blocks = tasks
            .wait(building)
            .unwrap_or_else(|| Err(foyer::Error::io_error(io::ErrorKind::Other.into())))
            .map_err(io::Error::other)?;
        Ok(Self { blocks, disk_bytes_max, tasks })
    }

    /// Moves everything that is in memory to disk, as far as it fits, and waits until it is there.
    pub fn flush(&self) {
        let blocks = self.blocks.clone();
        blocks.memory().evict_all();
        self.tasks.wait(async move { blocks.storage().wait().await });
    }
}

/// Removes what an earlier process left. Only files lie there; anything else is not ours and stays.
fn empty(disk: &dyn Disk, directory: &Path) -> io::Result<()> {
    match disk.create_dir(directory) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    for entry in disk.list(directory)? {
        if entry.kind == EntryKind::File {
            disk.remove_file(&directory.join(entry.name))?;
        }
    }
    Ok(())
}

impl Cache for TieredCache {
    fn get(&self, key: &BlockKey) -> Option<Bytes> {
        // What is in memory needs no task.
        if let Some(entry) = self.blocks.memory().get(key) {
            return Some(entry.value().0.clone());
        }
        let found = self.tasks.wait(self.blocks.get(key))?;
        // What cannot be read from disk is fetched again.
        found.ok().flatten().map(|entry| entry.value().0.clone())
    }

    fn put(&self, key: BlockKey, block: Bytes) {
        let memory = self.blocks.memory();
        if weight(&block) <= memory.capacity() / memory.shards().max(1) {
            self.blocks.insert(key, Block(block));
        }
    }

    fn holds(&self, key: &BlockKey) -> bool {
        self.blocks.contains(key)
    }

    fn remove(&self, key: &BlockKey) {
        self.blocks.remove(key);
    }

    fn usage(&self) -> Usage {
        let memory = self.blocks.memory();
        Usage {
            memory: memory.usage() as u64,
            memory_max: memory.capacity() as u64,
            disk_max: self.disk_bytes_max as u64,
        }
    }
}
