//! Search indexes of a database that is repaired: they may know of changes that it has lost, whose positions are
//! given to others now. They are derived, so they are removed, and the server makes them again.

use std::io;
use std::path::{Path, PathBuf};

use base::io::{Disk, remove_tree};
use base::words::DatabaseId;

use crate::engine::SEARCH_DIR;

/// What is said when there were some.
pub(super) const INDEXES_REMOVED: &str =
    "Its search indexes were removed: the server makes them again of the documents.";

/// Removes what is beside the database in `dir` of its indexes; says whether there was something.
///
/// # Errors
/// The disk's: what was removed until then stays so.
pub(super) fn remove_indexes(
    disk: &dyn Disk,
    dir: &Path,
    database: DatabaseId,
) -> io::Result<bool> {
    let indexes = beside(dir).join(SEARCH_DIR).join(database.to_string());
    let were_there = remove_tree(disk, &indexes)?;
    if were_there {
        disk.sync_dir(&beside(&indexes))?;
    }
    Ok(were_there)
}

/// The directory that something is in.
pub(super) fn beside(path: &Path) -> PathBuf {
    match (path.file_name(), path.parent()) {
        (Some(_), Some(parent)) if parent.as_os_str().is_empty() => PathBuf::from("."),
        (Some(_), Some(parent)) => parent.to_owned(),
        // Such as `.`, which has no name.
        (_, _) => path.join(".."),
    }
}

#[cfg(test)]
mod tests {
    use base::io::{MemDisk, Open};

    use super::*;

    #[test]
    fn the_indexes_of_one_database_are_removed_and_those_of_others_stay() {
        let disk = MemDisk::shared();
        let (mine, other) = (DatabaseId::from_bytes([1; 16]), DatabaseId::from_bytes([2; 16]));
        let root = Path::new("/data").join(SEARCH_DIR);
        for id in [mine, other] {
            let mut dir = PathBuf::from("/");
            for part in ["data", SEARCH_DIR, &id.to_string(), "3", "segments"] {
                dir.push(part);
                _ = disk.create_dir(&dir);
            }
            disk.open(&dir.join("rows.idx"), Open::CreateNew).unwrap();
        }
        let dir = Path::new("/data/db");
        assert!(remove_indexes(&*disk, dir, mine).unwrap());
        assert!(disk.stat(&root.join(mine.to_string())).unwrap().is_none());
        assert!(
            disk.stat(&root.join(other.to_string()).join("3/segments/rows.idx")).unwrap().is_some()
        );
        assert!(!remove_indexes(&*disk, dir, mine).unwrap(), "they are gone");
    }

    #[test]
    fn the_directory_of_a_path_is_known_without_asking_the_disk() {
        for (path, expect) in [("/data/db", "/data"), ("db", "."), (".", "./..")] {
            assert_eq!(beside(Path::new(path)), Path::new(expect));
        }
    }
}
