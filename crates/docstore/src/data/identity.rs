//! Which file is which: its name, and the identity that every checksum in it knows.

use std::path::{Path, PathBuf};

use base::words::DatabaseId;

use crate::location::FileNumber;

/// What the names of data files end in.
const EXTENSION: &str = ".data";

impl FileNumber {
    /// The file's name: eight lower-case hexadecimal digits and `.data`.
    #[must_use]
    pub fn file_name(self) -> String {
        format!("{:08x}{EXTENSION}", self.0)
    }

    /// The file's path in `dir`.
    #[must_use]
    pub fn path(self, dir: &Path) -> PathBuf {
        dir.join(self.file_name())
    }

    /// The number in a file's name; `None` for a name that is not one of ours.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let digits = name.strip_suffix(EXTENSION)?;
        let number = Self(u32::from_str_radix(digits, 16).ok()?);
        // Other spellings of the number are not ours.
        (number.file_name() == name).then_some(number)
    }
}

/// Whose bytes a data file holds: part of every checksum in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileIdentity {
    /// The database.
    pub database: DatabaseId,
    /// The file.
    pub number: FileNumber,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_we_give_are_names_of_data_files() {
        for number in [0, 1, 255, u32::MAX].map(FileNumber) {
            assert_eq!(FileNumber::parse(&number.file_name()), Some(number));
        }
        assert_eq!(FileNumber(26).file_name(), "0000001a.data");
        for name in ["", ".data", "1.data", "0000001A.data", "+000001a.data", "0000001a.dat"] {
            assert_eq!(FileNumber::parse(name), None, "{name}");
        }
    }
}
