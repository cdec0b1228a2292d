//! Bytes as one of the files of a manifest: a clear error or a value, and what can be opened can be
//! stored to and opened again.

use std::path::Path;

use base::io::{DiskRef, MemDisk, Open, read_exact_at, write_all_at};
use base::slots::{Kind, Slots};

const KIND: Kind = Kind { magic: *b"FUZZSLOT", version: 1 };
const BASE: &str = "/MANIFEST";

/// One input.
pub fn run(data: &[u8]) {
    let disk: DiskRef = MemDisk::shared();
    for (i, bytes) in data.chunks(data.len().div_ceil(2).max(1)).enumerate() {
        let path = format!("{BASE}.{i}");
        let file = disk.open(Path::new(&path), Open::CreateNew).expect("a new name");
        write_all_at(&*file, bytes, 0).expect("a disk without faults");
    }
    let peeked = Slots::peek(&disk, Path::new(BASE), KIND).ok();
    let opened = Slots::open(&disk, Path::new(BASE), KIND).ok();
    assert_eq!(peeked.as_ref(), opened.as_ref().map(|(_, value)| value));
    if let Some((mut slots, _)) = opened
        && slots.store(b"next").is_ok()
    {
        drop(slots);
        assert_eq!(Slots::peek(&disk, Path::new(BASE), KIND).ok().as_deref(), Some(&b"next"[..]));
    }
}

/// Two files as they are written.
pub fn seeds() -> Vec<Vec<u8>> {
    let disk: DiskRef = MemDisk::shared();
    let base = Path::new(BASE);
    let mut slots = Slots::create(&disk, base, KIND, b"a value").expect("a disk without faults");
    slots.store(b"another").expect("a disk without faults");
    let mut both = Vec::new();
    for i in 0..2 {
        let path = format!("{BASE}.{i}");
        let file = disk.open(Path::new(&path), Open::Read).expect("it was created");
        let mut bytes = vec![0; usize::try_from(file.len().unwrap_or(0)).unwrap_or(0)];
        read_exact_at(&*file, &mut bytes, 0).expect("a disk without faults");
        bytes.resize(40, 0);
        both.extend(bytes);
    }
    vec![both]
}
