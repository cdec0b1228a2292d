//! Reports and statistics as JSON: one shape for each, whichever surface asks. Ids are in their text form;
//! where HTTP lets its client choose the form of ids, it writes those lists itself.

use base::clock::WallMs;
use base::words::{CollectionId, DocId, Lsn};
use docstore::{
    BackupReport, BackupSummary, CheckpointReport, DatabaseStats, HealReport, HealingStats,
};
use serde_json::{Map, Value, json};

use crate::engine::{Health, Validation, Verdict, VersionInfo};
use crate::scheduler::QueueStats;

/// Versions of a document that are shown together, bytes: the newest are shown first.
const VERSIONS_BYTES_MAX: usize = 12 * 1024 * 1024;
/// Documents that a report names, at most. It says how many there are all the same.
const NAMED_MAX: usize = 10_000;

fn id(id: &DocId) -> Value {
    match id {
        DocId::U64(number) => json!({ "id": number.to_string(), "id_type": "u64" }),
        DocId::Uuid(uuid) => json!({ "id": uuid.to_string(), "id_type": "uuid" }),
        DocId::Str(text) => json!({ "id": text.as_str(), "id_type": "string" }),
    }
}

fn lost(lost: &(CollectionId, DocId, Lsn)) -> Value {
    let mut named = id(&lost.1);
    named["collection_number"] = lost.0.0.into();
    named["revision"] = lost.2.0.into();
    named
}

/// The log store.
pub(crate) fn log_store(stats: &logstore::Stats) -> Value {
    let dropped: Map<String, Value> =
        stats.dropped.iter().map(|(reason, n)| ((*reason).to_owned(), (*n).into())).collect();
    json!({
        "entries": stats.entries,
        "bytes": stats.bytes,
        "partitions": stats.partitions,
        "damaged_partitions": stats.damaged,
        "disk_full": stats.is_disk_full,
        "stored": stats.stored,
        "committed": stats.committed,
        "dropped": dropped,
        "queue": { "entries": stats.queue.entries, "bytes": stats.queue.bytes },
        "commit_p99_ms": millis(stats.commits.p99),
        "commit_delay_p99_ms": millis(stats.commit_delay.p99),
        "tails": stats.subscribers,
    })
}

/// Time as text; none for "never".
fn at(wall: WallMs) -> Option<String> {
    (wall.0 > 0).then(|| wall.rfc3339())
}

pub(crate) fn heal(report: &HealReport) -> Value {
    let named = report.unrecoverable.iter().take(NAMED_MAX);
    json!({
        "stripes": report.stripes,
        "blocks_healed": report.blocks_healed,
        "headers_healed": report.headers_healed,
        "corrupted": report.corrupted,
        "healed": report.healed,
        "unrecoverable": named.map(lost).collect::<Vec<_>>(),
        "complete": report.complete,
    })
}

pub(crate) fn healing(stats: &HealingStats) -> Value {
    json!({
        "scans": stats.scans,
        "stripes": stats.stripes,
        "blocks_healed": stats.blocks_healed,
        "healed": stats.healed,
        "corrupted": stats.corrupted,
        "unrecoverable": stats.unrecoverable,
        "last_scan": at(stats.last_scan),
        "last_healed": at(stats.last_healed),
    })
}

pub(crate) fn checkpoint(report: &CheckpointReport) -> Value {
    json!({
        "lsn": report.lsn.map(|lsn| lsn.0),
        "flushed": report.flushed,
        "tombstones": report.tombstones,
        "compacted_files": report.compacted.iter().map(|file| file.0).collect::<Vec<_>>(),
        "copied": report.copied,
        "trimmed_bytes": report.trimmed_bytes,
        "took_ms": millis(report.took),
    })
}

/// Whole milliseconds of a span.
pub(crate) fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn backup(report: &BackupReport) -> Value {
    let mut shape = backup_summary(&report.summary);
    shape["copied_files"] = report.copied_files.into();
    shape["copied_bytes"] = report.copied_bytes.into();
    shape["reused_files"] = report.reused_files.into();
    shape["reused_bytes"] = report.reused_bytes.into();
    shape
}

pub(crate) fn backup_summary(summary: &BackupSummary) -> Value {
    let collections = summary.collections.iter();
    let collections =
        collections.map(|(name, count)| json!({ "name": name.as_str(), "documents": count }));
    json!({
        "database": summary.name.as_str(),
        "uuid": summary.database.to_string(),
        "lsn": summary.lsn.0,
        "taken": at(summary.taken),
        "collections": collections.collect::<Vec<_>>(),
        "lost_documents": summary.lost.len(),
        "files": summary.files,
        "bytes": summary.bytes,
    })
}

pub(crate) fn validation(found: &Validation) -> Value {
    let flaws = found.flaws.iter().map(|flaw| {
        let mut named = id(&flaw.id);
        named["collection"] = flaw.collection.as_str().into();
        named["code"] = flaw.code.name().into();
        named["message"] = flaw.message.as_str().into();
        named
    });
    json!({
        "documents": found.documents,
        "unsound": found.unsound,
        "flaws": flaws.collect::<Vec<_>>(),
    })
}

/// Versions of a document, the newest first. Documents stand in it byte for byte, so it is put
/// together as text.
pub(crate) fn versions(versions: &[VersionInfo]) -> String {
    let mut out = String::from("{\"versions\":[");
    let mut shown = 0;
    for version in versions {
        let document = String::from_utf8_lossy(version.document.as_bytes());
        if shown > 0 && out.len() + document.len() > VERSIONS_BYTES_MAX {
            break;
        }
        let comma = if shown > 0 { "," } else { "" };
        let expires = version.expires_at;
        let expires = expires.map(|at| format!("\"expires_at\":\"{}\",", at.rfc3339()));
        let (revision, expires) = (version.revision.0, expires.unwrap_or_default());
        out.push_str(&format!(
            "{comma}{{\"revision\":{revision},{expires}\"document\":{document}}}"
        ));
        shown += 1;
    }
    out.push_str(&format!("],\"left_out\":{}}}", versions.len() - shown));
    out
}

pub(crate) fn database(stats: &DatabaseStats, queue: &QueueStats) -> Value {
    let collections = stats.collections.iter().take(NAMED_MAX);
    let collections = collections.map(|one| {
        let (name, number) = (one.name.as_str(), one.collection.0);
        json!({ "name": name, "number": number, "documents": one.live, "last_change": one.last_change.0 })
    });
    let (log, commits) = (&stats.log, &stats.log.commits);
    json!({
        "name": stats.name.as_str(),
        "uuid": stats.id.to_string(),
        "created": at(stats.created),
        "collections": collections.collect::<Vec<_>>(),
        "documents": stats.live,
        "tombstones": stats.tombstones,
        "committed": stats.committed,
        "quarantined": stats.quarantined,
        "log": {
            "mode": log.mode,
            "visible": log.visible.0,
            "durable": log.durable.0,
            "first": log.first.0,
            "segments": log.segments,
            "bytes": log.bytes,
            "waiting_bytes": log.waiting_bytes,
            "poisoned": log.poisoned,
        },
        "wal_group_commit": {
            "total_batches": commits.total_batches,
            "total_transactions": commits.total_transactions,
            "total_records": commits.total_records,
            "avg_batch_size": commits.avg_batch_size,
            "max_batch_size": commits.max_batch_size,
            "avg_latency_ns": commits.avg_latency_ns,
            "max_latency_ns": commits.max_latency_ns,
            "last_flush_time_unix_ns": commits.last_flush_time_unix_ns,
        },
        "data": {
            "files": stats.data_files,
            "bytes": stats.data_bytes,
            "records": stats.records,
            "dead_records": stats.dead_records,
        },
        "memory": {
            "used_bytes": stats.memory_used,
            "limit_bytes": stats.memory_capacity,
            "memtable_bytes": stats.memtable_bytes,
            "index_bytes": stats.index_bytes,
            "snapshots_bytes": stats.history_bytes,
        },
        "snapshots": { "open": stats.snapshots, "expired": stats.snapshots_expired },
        "checkpoints": {
            "lsn": stats.checkpoint_lsn.0,
            "last": at(stats.last_checkpoint),
            "taken": stats.checkpoints,
            "failed": stats.checkpoints_failed,
            "last_took_ms": millis(stats.last_checkpoint_took),
            "last_compaction": at(stats.last_compaction),
        },
        "healing": healing(&stats.healing),
        "queue": { "depth": queue.depth, "longest_wait_ms": millis(queue.longest_wait) },
    })
}

pub(crate) fn server(health: &Health) -> Value {
    let workers = &health.scheduler;
    let databases = health.databases.iter().take(NAMED_MAX).map(|one| {
        let queue = json!({
            "depth": one.queue.depth,
            "longest_wait_ms": millis(one.queue.longest_wait),
            "status": verdict(one.verdict),
            "quarantined_documents": one.quarantined,
        });
        (one.name.as_str().to_owned(), queue)
    });
    json!({
        "status": verdict(health.verdict),
        "uptime_seconds": health.uptime.as_secs(),
        "scheduler": {
            "pool_capacity": workers.pool_capacity,
            "started_workers": workers.started_workers,
            "running_workers": workers.running_workers,
            "free_workers": workers.free_workers,
            "waiting_tasks": workers.waiting_tasks,
            "tasks_total": workers.tasks_total,
            "panics_total": workers.panics_total,
            "refused_total": workers.refused_total,
            "expired_total": workers.expired_total,
            "spawn_failures_total": workers.spawn_failures_total,
        },
        "memory": { "used_bytes": health.memory.used, "limit_bytes": health.memory.limit },
        "databases": databases.collect::<serde_json::Map<_, _>>(),
    })
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ok => "ok",
        Verdict::Degraded => "degraded",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::document::Document;

    #[test]
    fn versions_are_json_with_the_documents_as_they_are() {
        let version = |revision, text: &str| VersionInfo {
            revision: Lsn(revision),
            expires_at: None,
            document: Document::parse(text.as_bytes()).unwrap(),
        };
        let text = versions(&[version(2, "{\"a\": 1.50}"), version(1, "[ ]")]);
        assert_eq!(
            text,
            "{\"versions\":[{\"revision\":2,\"document\":{\"a\": 1.50}},\
             {\"revision\":1,\"document\":[ ]}],\"left_out\":0}"
        );
        assert!(serde_json::from_str::<Value>(&text).is_ok());
    }
}
