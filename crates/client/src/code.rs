//! The error codes of docdb, as a client knows them. The frozen list is the server's
//! (`docs/errors` has a page for each); this is a copy, because the client depends on no other
//! crate of docdb, and a test of the server compares the two number by number.

use std::fmt;

macro_rules! codes {
    ($($number:literal $name:ident)*) => {
        /// What went wrong, as the server says it: the same on every surface, and never given
        /// another meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum ErrorCode {
            $(#[doc = concat!("Code ", stringify!($number), ".")] $name = $number,)*
        }

        impl ErrorCode {
            /// All codes, by number.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$name,)*];

            /// The number, which is also the status byte of the frame protocol.
            #[must_use]
            pub const fn number(self) -> u8 {
                match self { $(Self::$name => $number,)* }
            }

            /// The code with this number; none for 0, which is success, and for codes of servers
            /// that are newer than this client.
            #[must_use]
            pub const fn from_number(number: u8) -> Option<ErrorCode> {
                match number { $($number => Some(Self::$name),)* _ => None }
            }

            /// The name, as in the JSON of HTTP answers.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// The code of this name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<ErrorCode> {
                Self::ALL.iter().copied().find(|code| code.name() == name)
            }
        }
    };
}

codes! {
    1 InvalidJson
    2 InvalidName
    3 InvalidId
    4 InvalidPatch
    5 InvalidQuery
    6 InvalidSchema
    7 DocExists
    8 DocNotFound
    9 DbNotOpen
    10 DbNotFound
    11 DbExists
    12 CollectionNotFound
    13 CollectionExists
    14 CollectionNotEmpty
    15 RevisionMismatch
    16 ConditionFailed
    17 TxnConflict
    18 TxnNotFound
    19 SnapshotExpired
    20 MemoryLimit
    21 PayloadTooLarge
    22 CorruptRecord
    23 CrcMismatch
    24 DocCorrupt
    25 WalCorrupt
    26 LsnTrimmed
    27 IndexUpdating
    28 FileOpen
    29 FileWrite
    30 FileSync
    31 FileRead
    32 DiskFull
    33 DurabilityUnknown
    34 PoolStopped
    35 QueueFull
    36 ReadOnly
    37 Fenced
    38 InvalidRequestId
    39 FrameTooLarge
    40 Unauthenticated
    41 Forbidden
    42 Timeout
    43 Unsupported
    44 Internal
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_names_and_codes_lead_to_each_other() {
        for (number, code) in (1..).zip(ErrorCode::ALL) {
            assert_eq!(code.number(), number);
            assert_eq!(ErrorCode::from_number(number), Some(*code));
            assert_eq!(ErrorCode::from_name(code.name()), Some(*code));
        }
        assert_eq!(ErrorCode::from_number(0), None);
        assert_eq!(ErrorCode::from_number(255), None);
        assert_eq!(ErrorCode::from_name("docexists"), None);
    }
}
