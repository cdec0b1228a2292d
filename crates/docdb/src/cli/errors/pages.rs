//! The pages of the error codes, part of the program: where it runs there may be no documentation.
//!
//! A code without a page, or without its name below, does not compile.

use base::error::Code;

macro_rules! pages {
    ($($code:ident)*) => {
        /// The page of `code`, Markdown.
        pub(super) const fn page(code: Code) -> &'static str {
            match code {
                $(Code::$code => include_str!(concat!(
                    "../../../../../docs/errors/",
                    stringify!($code),
                    ".md"
                )),)*
            }
        }
    };
}

/// A name that clients give to a failure that no server answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OfClient {
    pub(super) name: &'static str,
    pub(super) meaning: &'static str,
    pub(super) page: &'static str,
}

/// All of them, as [`client::Error::name`] has them.
pub(super) static OF_CLIENTS: [OfClient; 3] = [
    OfClient {
        name: "ConnectionLost",
        meaning: "There is no connection to a server, or it was lost.",
        page: include_str!("../../../../../docs/errors/ConnectionLost.md"),
    },
    OfClient {
        name: "ProtocolError",
        meaning: "The other side does not speak docdb's protocol.",
        page: include_str!("../../../../../docs/errors/ProtocolError.md"),
    },
    OfClient {
        name: "UnknownError",
        meaning: "The server answered a code that this client does not know.",
        page: include_str!("../../../../../docs/errors/UnknownError.md"),
    },
];

pages! {
    InvalidJson InvalidName InvalidId InvalidPatch InvalidQuery InvalidSchema DocExists DocNotFound
    DbNotOpen DbNotFound DbExists CollectionNotFound CollectionExists CollectionNotEmpty
    RevisionMismatch ConditionFailed TxnConflict TxnNotFound SnapshotExpired MemoryLimit
    PayloadTooLarge CorruptRecord CrcMismatch DocCorrupt WalCorrupt LsnTrimmed IndexUpdating
    FileOpen FileWrite FileSync FileRead DiskFull DurabilityUnknown PoolStopped QueueFull ReadOnly
    Fenced InvalidRequestId FrameTooLarge Unauthenticated Forbidden Timeout Unsupported Internal
}
