//! The settings of the logs and of the documents.

use super::{
    KIB, Kind, MIB, Only, ROW, Reader, Setting, TIB, bytes, count, hours, mib, millis, minutes,
    time,
};
use std::time::Duration;

const TRIMMING: Only = Only::Is("wal.trim_after_checkpoint", "true");
const HEALING: Only = Only::Is("healing.enabled", "true");

pub(super) const ROWS: &[Setting] = &[
    Setting {
        name: "wal.segment_mb",
        kind: Kind::Bytes { unit: MIB, min: 64 * KIB, max: 1024 * MIB, step: 512 },
        default: "64",
        what: "The size at which segments of the log stop growing; the first is 1 MiB, each next one twice as large.",
        trade: "Larger means fewer files; smaller gives disk back in smaller steps.",
        reader: Reader::Log,
        ..ROW
    },
    Setting {
        name: "wal.keep_segments",
        kind: count(0, 10_000),
        default: "2",
        what: "How many segments stay behind the active one although nobody needs them.",
        trade: "More lets a change feed that comes late still find its place, for disk.",
        reader: Reader::Log,
        only: &[TRIMMING],
        ..ROW
    },
    Setting {
        name: "wal.retain_mb",
        kind: mib(MIB, 1024 * TIB),
        default: "4096",
        what: "How much log a reader that lags behind may hold back before it is let go.",
        trade: "More is kinder to slow change feeds, for disk.",
        reader: Reader::Log,
        only: &[TRIMMING],
        ..ROW
    },
    Setting {
        name: "wal.max_segments",
        kind: count(0, 1_000_000),
        default: "0",
        empty: Some("not counted"),
        what: "How many segments such a reader may hold back; whichever limit is reached first counts.",
        trade: "As wal.retain_mb, in files.",
        reader: Reader::Log,
        only: &[TRIMMING],
        ..ROW
    },
    Setting {
        name: "wal.trim_after_checkpoint",
        kind: Kind::Bool,
        default: "true",
        what: "Whether a checkpoint lets go of the log that it covers.",
        trade: "false keeps every change ever made; the disk fills without end.",
        reader: Reader::Log,
        ..ROW
    },
    Setting {
        name: "wal.fsync.mode",
        kind: Kind::Choice(&["always", "group", "interval", "none"]),
        default: "group",
        what: "When a write is acknowledged: after a sync of its own, after a shared one, before one that follows within the interval, or before one at the system's leisure.",
        trade: "always and group lose nothing; interval and none lose the newest writes when power fails, and are faster for a single writer.",
        reader: Reader::Log,
        ..ROW
    },
    Setting {
        name: "wal.fsync.interval_ms",
        kind: Kind::Time { unit: millis(1), min: millis(1), max: minutes(1) },
        default: "5",
        what: "How long after a write its sync may begin.",
        trade: "Longer means fewer syncs, and more to lose when power fails.",
        reader: Reader::Log,
        only: &[Only::Is("wal.fsync.mode", "interval")],
        ..ROW
    },
    Setting {
        name: "wal.fsync.max_batch_size",
        kind: count(0, 1_000_000),
        default: "0",
        empty: Some("whatever waits, up to 4 MiB"),
        what: "How many commits may share one sync.",
        trade: "Fewer makes groups smaller and evener, and throughput lower.",
        reader: Reader::Log,
        only: &[Only::IsNot("wal.fsync.mode", "always")],
        ..ROW
    },
    Setting {
        name: "checkpoint.interval_mb",
        kind: mib(64 * KIB, TIB),
        default: "64",
        what: "How much log is written between two checkpoints.",
        trade: "More means fewer writes of data files, and a longer start after a crash.",
        reader: Reader::Documents,
        only: &[Only::Is("checkpoint.auto_create", "true")],
        ..ROW
    },
    Setting {
        name: "checkpoint.auto_create",
        kind: Kind::Bool,
        default: "true",
        what: "Whether checkpoints are made by the amount of log.",
        trade: "false leaves them to the command and to full memory; the log grows meanwhile.",
        reader: Reader::Documents,
        ..ROW
    },
    Setting {
        name: "checkpoint.max_checkpoints",
        kind: count(2, 64),
        default: "2",
        what: "How many checkpoints are kept, each usable.",
        trade: "More survive damage to the newest ones, for disk: log and data files go by the oldest.",
        reader: Reader::Documents,
        ..ROW
    },
    Setting {
        name: "data.parity",
        kind: Kind::Bool,
        default: "true",
        what: "Whether data files carry parity blocks, from which damage is undone.",
        trade: "false saves 6 % of disk; damage is then healed from the log alone, while it lasts.",
        reader: Reader::Documents,
        ..ROW
    },
    Setting {
        name: "compaction.min_file_mb",
        kind: mib(MIB, 1024 * MIB),
        default: "100",
        what: "Data files smaller than this are not compacted.",
        trade: "Smaller gives disk back sooner, and writes more.",
        reader: Reader::Documents,
        ..ROW
    },
    Setting {
        name: "compaction.garbage_ratio",
        kind: Kind::Ratio,
        default: "0.3",
        what: "The part of a data file that must be garbage before it is compacted.",
        trade: "Less keeps disk nearer to what is live, and writes more.",
        reader: Reader::Documents,
        ..ROW
    },
    Setting {
        name: "snapshot_ttl",
        kind: time(Duration::from_secs(1), hours(24)),
        default: "1m",
        what: "How long a snapshot, of a scan's cursor say, lives without being used.",
        trade: "Longer is kinder to slow readers; old versions stay in memory and on disk for it.",
        reader: Reader::Documents,
        ..ROW
    },
    Setting {
        name: "snapshot.held_mb",
        kind: mib(MIB, TIB),
        default: "256",
        what: "How much old versions kept for snapshots may take, for each database.",
        trade: "Beyond it the oldest snapshot ends, and its reader is told SnapshotExpired.",
        reader: Reader::Documents,
        ..ROW
    },
    Setting {
        name: "txn.bytes_max",
        kind: bytes(KIB, base::limits::TXN_BYTES_MAX),
        default: "256MiB",
        what: "The largest batch or transaction, bytes of its documents.",
        trade: "Smaller bounds what one client may hold in memory.",
        reader: Reader::Documents,
        ..ROW
    },
    Setting {
        name: "txn.ops_max",
        kind: count(1, base::limits::TXN_OPS_MAX as u64),
        default: "1000000",
        what: "The most operations of a batch or transaction.",
        trade: "Smaller bounds what one client may hold in memory.",
        reader: Reader::Documents,
        ..ROW
    },
    Setting {
        name: "txn.timeout",
        kind: time(millis(10), hours(24)),
        default: "30s",
        what: "How long an interactive transaction may be open.",
        trade: "Longer is kinder to slow clients; its snapshot is held meanwhile.",
        reader: Reader::Documents,
        ..ROW
    },
    Setting {
        name: "healing.enabled",
        kind: Kind::Bool,
        default: "true",
        what: "Whether damaged documents are healed at all.",
        trade: "false leaves damage as it is: such documents are answered DocCorrupt.",
        reader: Reader::Documents,
        ..ROW
    },
    Setting {
        name: "healing.interval",
        kind: time(Duration::from_secs(1), hours(24 * 7)),
        default: "1h",
        what: "How often a step of the scrub begins, which reads data files and heals what it finds.",
        trade: "More often finds damage sooner, and reads more.",
        reader: Reader::Documents,
        only: &[HEALING],
        ..ROW
    },
    Setting {
        name: "healing.on_read_corruption",
        kind: Kind::Bool,
        default: "true",
        what: "Whether damage is healed when a read finds it.",
        trade: "false answers such reads DocCorrupt until the scrub or the command has healed it.",
        reader: Reader::Documents,
        only: &[HEALING],
        ..ROW
    },
    Setting {
        name: "healing.max_batch_size",
        kind: count(1, 100_000),
        default: "100",
        what: "After how many places that parity cannot undo a step of the scrub ends.",
        trade: "More heals faster after much damage, and takes more from the server meanwhile.",
        reader: Reader::Documents,
        only: &[HEALING],
        ..ROW
    },
];
