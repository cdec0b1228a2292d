//! The settings of search.

use super::{GIB, KIB, MIB, ROW, Reader, Setting, bytes, count, mib};

/// What these rows have in common.
const SEARCH: Setting = Setting { reader: Reader::Search, ..ROW };

pub(super) const ROWS: &[Setting] = &[
    Setting {
        name: "search.unindexed_mb",
        kind: mib(MIB, 2 * GIB),
        default: "128",
        what: "How much of a namespace may be in memory alone, searched there, before writes to it wait.",
        trade: "More makes fewer and larger segments, for memory and a longer start after a crash.",
        ..SEARCH
    },
    Setting {
        name: "search.cache_mb",
        kind: mib(MIB, 1024 * GIB),
        default: "0",
        empty: Some("an eighth of memory.total_mb"),
        what: "How much memory the blocks of segments may take that queries have read.",
        trade: "It is taken from memory.total_mb; what does not fit is read from the disk again.",
        ..SEARCH
    },
    Setting {
        name: "search.compaction.max_segments",
        kind: count(1, 4096),
        default: "100",
        what: "How many segments a namespace may have before the cheapest are merged whatever their size.",
        trade: "Fewer makes queries faster, and more is written again.",
        ..SEARCH
    },
    Setting {
        name: "search.compaction.interval_secs",
        kind: count(1, 31_536_000),
        default: "3600",
        what: "How many seconds small segments may stay beside each other.",
        trade: "Less makes fewer of them, and more is written again.",
        ..SEARCH
    },
    Setting {
        name: "search.compaction.min_segment_size",
        kind: bytes(KIB, GIB),
        default: "10MiB",
        what: "Segments smaller than this, bytes, are small: they are merged first.",
        trade: "More makes fewer segments, and more is written again.",
        ..SEARCH
    },
];
