//! The frozen list. Numbers and meanings never change; new codes are appended. Every code has a
//! page in `docs/errors`.

use std::fmt;

/// What kind of failure a code is, and so who can do something about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Category {
    /// Goes away by itself: the same request may succeed later.
    Transient,
    /// The request cannot succeed as things stand; retrying changes nothing.
    Permanent,
    /// Storage or the program itself is failing: somebody must look.
    Critical,
    /// The request is wrong.
    Validation,
    /// The connection or its credentials are at fault.
    Network,
}

impl Category {
    /// All categories, in order.
    pub const ALL: [Category; 5] =
        [Self::Transient, Self::Permanent, Self::Critical, Self::Validation, Self::Network];

    /// The name, lower case, as in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Permanent => "permanent",
            Self::Critical => "critical",
            Self::Validation => "validation",
            Self::Network => "network",
        }
    }
}

macro_rules! codes {
    ($($number:literal $name:ident $category:ident $text:literal)*) => {
        /// A frozen error code, compared by value across every surface.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Code {
            $(#[doc = $text] $name = $number,)*
        }

        impl Code {
            /// All codes, by number.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// The frozen number, 1 and up. 0 means success on the wire.
            #[must_use]
            pub const fn number(self) -> u8 {
                match self { $(Self::$name => $number,)* }
            }

            /// The code with this number.
            #[must_use]
            pub const fn from_number(number: u8) -> Option<Code> {
                match number { $($number => Some(Self::$name),)* _ => None }
            }

            /// The name, as in JSON answers.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// The category the code belongs to unless the cause says otherwise.
            #[must_use]
            pub const fn category(self) -> Category {
                match self { $(Self::$name => Category::$category,)* }
            }

            /// One sentence: what it means.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

codes! {
    1 InvalidJson Validation "The bytes are not a JSON document that docdb accepts."
    2 InvalidName Validation "The name of a database or collection breaks the rules for names."
    3 InvalidId Validation "The document id breaks the rules for ids."
    4 InvalidPatch Validation "The patch is malformed or does not fit the document."
    5 InvalidQuery Validation "The query is malformed."
    6 InvalidSchema Validation "The schema is malformed, or a document does not fit it."
    7 DocExists Permanent "A document with this id exists already."
    8 DocNotFound Permanent "There is no document with this id."
    9 DbNotOpen Permanent "The database exists but is not open."
    10 DbNotFound Permanent "There is no database of this name."
    11 DbExists Permanent "A database of this name exists already."
    12 CollectionNotFound Permanent "There is no collection of this name."
    13 CollectionExists Permanent "A collection of this name exists already."
    14 CollectionNotEmpty Permanent "The collection still holds documents."
    15 RevisionMismatch Validation "The document is not at the revision that the request named."
    16 ConditionFailed Validation "The condition of a conditional write did not hold."
    17 TxnConflict Transient "Another write changed what this transaction had read."
    18 TxnNotFound Permanent "There is no open transaction of this number."
    19 SnapshotExpired Permanent "The snapshot behind a cursor or transaction is gone."
    20 MemoryLimit Transient "The memory budget is used up."
    21 PayloadTooLarge Validation "The document, transaction or body is larger than its limit."
    22 CorruptRecord Critical "A stored record cannot be decoded."
    23 CrcMismatch Critical "A stored checksum does not fit its bytes."
    24 DocCorrupt Critical "The newest version of this document is damaged and could not be healed."
    25 WalCorrupt Critical "The log is damaged where it had been durable."
    26 LsnTrimmed Permanent "The log no longer holds the requested position."
    27 IndexUpdating Transient "The index is being built; try again later."
    28 FileOpen Permanent "A file could not be opened or created."
    29 FileWrite Critical "A file could not be written."
    30 FileSync Critical "A file could not be made durable."
    31 FileRead Permanent "A file could not be read."
    32 DiskFull Critical "There is no room on the disk; nothing of the request was applied."
    33 DurabilityUnknown Critical "A sync failed: the write may or may not survive. Read it back after the database is reopened."
    34 PoolStopped Permanent "The worker pool or the store behind it has been shut down."
    35 QueueFull Transient "A bounded queue is full; try again later."
    36 ReadOnly Permanent "The database takes no writes at the moment."
    37 Fenced Permanent "Another writer has taken over."
    38 InvalidRequestId Network "The request cannot be decoded far enough to know its id."
    39 FrameTooLarge Network "The protocol frame is larger than its limit."
    40 Unauthenticated Network "Credentials are missing or wrong."
    41 Forbidden Network "The credentials do not allow this."
    42 Timeout Transient "The deadline passed before the work was done."
    43 Unsupported Validation "docdb does not do this."
    44 Internal Critical "A defect in docdb."
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_frozen_and_without_gaps() {
        for (i, code) in Code::ALL.iter().enumerate() {
            assert_eq!(usize::from(code.number()), i + 1, "{code}");
            assert_eq!(Code::from_number(code.number()), Some(*code));
        }
        assert_eq!(Code::from_number(0), None);
        assert_eq!(Code::InvalidJson.number(), 1);
        assert_eq!(Code::WalCorrupt.number(), 25);
        assert_eq!(Code::DiskFull.number(), 32);
        assert_eq!(Code::Internal.number(), 44);
    }
}
