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

pages! {
    InvalidJson InvalidName InvalidId InvalidPatch InvalidQuery InvalidSchema DocExists DocNotFound
    DbNotOpen DbNotFound DbExists CollectionNotFound CollectionExists CollectionNotEmpty
    RevisionMismatch ConditionFailed TxnConflict TxnNotFound SnapshotExpired MemoryLimit
    PayloadTooLarge CorruptRecord CrcMismatch DocCorrupt WalCorrupt LsnTrimmed IndexUpdating
    FileOpen FileWrite FileSync FileRead DiskFull DurabilityUnknown PoolStopped QueueFull ReadOnly
    Fenced InvalidRequestId FrameTooLarge Unauthenticated Forbidden Timeout Unsupported Internal
}
