//! The segmented write-ahead log.
