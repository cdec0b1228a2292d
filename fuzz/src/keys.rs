//! Bytes as the file of API keys: refused, or keys whose ids are told apart, each with something
//! that it allows.

use base::io::{DiskRef, MemDisk, Open, write_all_at};
use docdb::auth::{FILE_NAME, KeyFile, KeyFileError};

/// Where the data directory is.
const DIR: &str = "/data";

fn disk() -> DiskRef {
    let disk = MemDisk::shared();
    disk.create_dir(DIR.as_ref()).expect("it is empty");
    disk
}

fn path() -> std::path::PathBuf {
    std::path::Path::new(DIR).join(FILE_NAME)
}

/// One input.
pub fn run(data: &[u8]) {
    let disk = disk();
    let file = disk.open(&path(), Open::CreateNew).expect("it is new");
    write_all_at(file.as_ref(), data, 0).expect("memory takes it");
    match KeyFile::new(&disk, DIR.as_ref()).load() {
        Ok(keys) => {
            assert_eq!(keys.iter().count(), keys.len());
            assert!(keys.iter().all(|key| !key.grants.is_empty()));
        }
        Err(error) => assert!(matches!(error, KeyFileError::Damaged { .. }), "{error}"),
    }
}

/// A file as it is written, with two keys that open nothing, and one without keys.
pub fn seeds() -> Vec<Vec<u8>> {
    let none = "{\"version\":1,\"checksum\":\"\",\"keys\":[]}";
    [include_str!("keys.json"), none].map(|text| text.as_bytes().to_vec()).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_seed_is_a_file_of_today() {
        let disk = disk();
        let file = disk.open(&path(), Open::CreateNew).expect("it is new");
        write_all_at(file.as_ref(), &seeds()[0], 0).expect("memory takes it");
        let keys = KeyFile::new(&disk, DIR.as_ref()).load().expect("it is sound");
        assert_eq!(keys.len(), 2);
    }
}
