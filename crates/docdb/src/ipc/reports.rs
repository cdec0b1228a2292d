//! Reports and statistics as JSON.

use base::words::{CollectionId, DocId, Lsn};
use docstore::{BackupReport, CheckpointReport, DatabaseStats, HealReport, HealingStats};
use serde_json::{Value, json};

use crate::engine::{DatabaseHealth, Health, Validation, Verdict, VersionInfo};
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
    named["collection"] = lost.0.0.into();
    named["lost_lsn"] = lost.2.0.into();
    named
}

pub(super) fn heal(report: &HealReport) -> Value {
    let named = report.unrecoverable.iter().take(NAMED_MAX);
    json!({
        "stripes": report.stripes,
        "blocks_healed": report.blocks_healed,
        "headers_healed": report.headers_healed,
        "corrupted": report.corrupted,
        "healed": report.healed,
        "unrecoverable": report.unrecoverable.len(),
        "lost": named.map(lost).collect::<Vec<_>>(),
        "complete": report.complete,
    })
}

pub(super) fn healing(stats: &HealingStats) -> Value {
    json!({
        "scans": stats.scans,
        "stripes": stats.stripes,
        "blocks_healed": stats.blocks_healed,
        "healed": stats.healed,
        "corrupted": stats.corrupted,
        "unrecoverable": stats.unrecoverable,
        "last_scan_unix_ms": stats.last_scan.0,
        "last_healed_unix_ms": stats.last_healed.0,
    })
}

pub(super) fn checkpoint(report: &CheckpointReport) -> Value {
    json!({
        "lsn": report.lsn.map(|lsn| lsn.0),
        "flushed": report.flushed,
        "tombstones": report.tombstones,
        "compacted": report.compacted.iter().map(|file| file.0).collect::<Vec<_>>(),
        "copied": report.copied,
        "trimmed_bytes": report.trimmed_bytes,
        "took_ms": millis(report.took),
    })
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn backup(report: &BackupReport) -> Value {
    let summary = &report.summary;
    let collections = summary.collections.iter();
    let collections =
        collections.map(|(name, count)| json!({ "name": name.as_str(), "documents": count }));
    json!({
        "database": summary.database.to_string(),
        "name": summary.name.as_str(),
        "lsn": summary.lsn.0,
        "taken_unix_ms": summary.taken.0,
        "collections": collections.collect::<Vec<_>>(),
        "lost": summary.lost.len(),
        "files": summary.files,
        "bytes": summary.bytes,
        "copied_files": report.copied_files,
        "copied_bytes": report.copied_bytes,
        "reused_files": report.reused_files,
        "reused_bytes": report.reused_bytes,
    })
}

pub(super) fn validation(found: &Validation) -> Value {
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
        "found": flaws.collect::<Vec<_>>(),
    })
}

/// Versions of a document, the newest first. Documents stand in it byte for byte, so it is put
/// together as text.
pub(super) fn versions(versions: &[VersionInfo]) -> String {
    let mut out = String::from("{\"versions\":[");
    let mut shown = 0;
    for version in versions {
        let document = String::from_utf8_lossy(version.document.as_bytes());
        if shown > 0 && out.len() + document.len() > VERSIONS_BYTES_MAX {
            break;
        }
        let comma = if shown > 0 { "," } else { "" };
        let expires = version.expires_at.map_or(Value::Null, |at| at.0.into());
        let revision = version.revision.0;
        out.push_str(&format!(
            "{comma}{{\"revision\":{revision},\"expires_at_unix_ms\":{expires},\"document\":{document}}}"
        ));
        shown += 1;
    }
    out.push_str(&format!("],\"left_out\":{}}}", versions.len() - shown));
    out
}

pub(super) fn database(stats: &DatabaseStats, queue: &QueueStats) -> Value {
    let collections = stats.collections.iter().take(NAMED_MAX);
    let collections = collections.map(|one| {
        let (name, number) = (one.name.as_str(), one.collection.0);
        json!({ "name": name, "number": number, "documents": one.live, "last_change": one.last_change.0 })
    });
    let commits = &stats.log.commits;
    json!({
        "name": stats.name.as_str(),
        "id": stats.id.to_string(),
        "created_unix_ms": stats.created.0,
        "documents": stats.live,
        "committed": stats.committed,
        "tombstones": stats.tombstones,
        "quarantined": stats.quarantined,
        "collections": collections.collect::<Vec<_>>(),
        "wal": {
            "mode": stats.log.mode,
            "visible_lsn": stats.log.visible.0,
            "durable_lsn": stats.log.durable.0,
            "first_lsn": stats.log.first.0,
            "segments": stats.log.segments,
            "bytes": stats.log.bytes,
            "poisoned": stats.log.poisoned,
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
            "used": stats.memory_used,
            "capacity": stats.memory_capacity,
            "memtable": stats.memtable_bytes,
            "index": stats.index_bytes,
            "history": stats.history_bytes,
        },
        "snapshots": stats.snapshots,
        "snapshots_expired": stats.snapshots_expired,
        "checkpoint": {
            "lsn": stats.checkpoint_lsn.0,
            "last_unix_ms": stats.last_checkpoint.0,
            "taken": stats.checkpoints,
            "failed": stats.checkpoints_failed,
            "last_took_ms": millis(stats.last_checkpoint_took),
        },
        "last_compaction_unix_ms": stats.last_compaction.0,
        "healing": healing(&stats.healing),
        "queue": { "depth": queue.depth, "longest_wait_ms": millis(queue.longest_wait) },
    })
}

pub(super) fn server(health: &Health) -> Value {
    let workers = &health.scheduler;
    let database = |one: &DatabaseHealth| {
        json!({
            "name": one.name.as_str(),
            "verdict": verdict(one.verdict),
            "depth": one.queue.depth,
            "longest_wait_ms": millis(one.queue.longest_wait),
            "quarantined": one.quarantined,
        })
    };
    let databases = health.databases.iter().take(NAMED_MAX).map(database);
    json!({
        "verdict": verdict(health.verdict),
        "uptime_ms": millis(health.uptime),
        "running_workers": workers.running_workers,
        "waiting_tasks": workers.waiting_tasks,
        "free_workers": workers.free_workers,
        "pool_capacity": workers.pool_capacity,
        "memory": { "used": health.memory.used, "limit": health.memory.limit },
        "databases": databases.collect::<Vec<_>>(),
        "databases_total": health.databases.len(),
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
            "{\"versions\":[{\"revision\":2,\"expires_at_unix_ms\":null,\"document\":{\"a\": 1.50}},\
             {\"revision\":1,\"expires_at_unix_ms\":null,\"document\":[ ]}],\"left_out\":0}"
        );
        assert!(serde_json::from_str::<Value>(&text).is_ok());
    }
}
