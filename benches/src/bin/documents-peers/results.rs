//! What was found, over several runs: one file of JSON. What is measured again takes the place of
//! what was there.

use std::io;
use std::path::{Path, PathBuf};

use benches::engines::Kind;
use benches::machine;
use benches::report::{self, CaseReport};
use benches::verdict::Spread;
use benches::writers::Latencies;
use serde_json::{Value, json};

use crate::rows::Row;

/// All that was found.
#[derive(Debug)]
pub(crate) struct Results {
    path: Option<PathBuf>,
    value: Value,
    /// Whose sizes were measured in this run: they do not change with the peer beside.
    sized: Vec<(u64, u64, Kind)>,
}

impl Results {
    /// What is in the file, if there is one; nothing is kept without a path.
    pub(crate) fn load(path: Option<PathBuf>) -> io::Result<Self> {
        let known = path.as_deref().map(read).transpose()?.flatten();
        let mut value = known.unwrap_or_else(|| json!({}));
        let engine =
            |kind: Kind| json!({"word": kind.word(), "title": kind.title(), "setup": kind.setup()});
        let kinds = [Kind::Docdb].into_iter().chain(Kind::PEERS);
        value["engines"] = kinds.map(engine).collect();
        let rows = Row::described().into_iter();
        value["rows"] = rows.map(|(row, what)| json!({"row": row, "what": what})).collect();
        Ok(Self { path, value, sized: Vec::new() })
    }

    /// Writes the file.
    pub(crate) fn save(&self) -> io::Result<()> {
        self.path.as_deref().map_or(Ok(()), |path| report::write_json(path, &self.value))
    }

    pub(crate) fn value(&self) -> &Value {
        &self.value
    }

    /// Puts `entry` into the list `list`, in the place of one with the same values of `keys`.
    fn put(&mut self, list: &str, keys: &[&str], mut entry: Value) {
        entry["machine"] = machine::describe().into();
        if !self.value[list].is_array() {
            self.value[list] = json!([]);
        }
        let Some(entries) = self.value[list].as_array_mut() else { return };
        let is_same = |other: &&mut Value| keys.iter().all(|key| other[*key] == entry[*key]);
        match entries.iter_mut().find(is_same) {
            Some(other) => *other = entry,
            None => entries.push(entry),
        }
    }

    /// A case that was measured.
    pub(crate) fn case(&mut self, documents: u64, bytes: u64, case: &CaseReport) {
        let mut entry = report::case_json(case);
        entry["documents"] = documents.into();
        entry["bytes"] = bytes.into();
        let name = entry["name"].clone();
        self.put("cases", &["documents", "bytes", "name"], entry);
        if let Some(left_out) = self.value["left_out"].as_array_mut() {
            // It was not, this time.
            left_out.retain(|other| {
                let other_name = format!(
                    "{}-{}",
                    other["row"].as_str().unwrap_or_default(),
                    other["engine"].as_str().unwrap_or_default()
                );
                name != *other_name || other["documents"] != documents || other["bytes"] != bytes
            });
        }
    }

    /// A row that was not measured, and why.
    pub(crate) fn left_out(
        &mut self,
        documents: u64,
        bytes: u64,
        row: &str,
        kind: Kind,
        reason: &str,
    ) {
        let entry = json!({
            "documents": documents, "bytes": bytes, "row": row, "engine": kind.word(),
            "reason": reason,
        });
        self.put("left_out", &["documents", "bytes", "row", "engine"], entry);
    }

    /// What an engine takes on the disk and in memory.
    pub(crate) fn sizes(&mut self, (documents, bytes): (u64, u64), kind: Kind, mut entry: Value) {
        entry["documents"] = documents.into();
        entry["bytes"] = bytes.into();
        entry["engine"] = kind.word().into();
        self.put("sizes", &["documents", "bytes", "engine"], entry);
        self.sized.push((documents, bytes, kind));
    }

    /// Whether this run has measured the sizes of this engine.
    pub(crate) fn has_sizes(&self, documents: u64, bytes: u64, kind: Kind) -> bool {
        self.sized.contains(&(documents, bytes, kind))
    }

    /// The waits of an engine in all rounds of a row: medians of quantiles, and the longest of all.
    /// The first round is to warm up, unless it is the only one.
    pub(crate) fn latencies(
        &mut self,
        (documents, bytes): (u64, u64),
        row: &str,
        beside: Kind,
        engine: Kind,
        rounds: &[Latencies],
    ) {
        let counted = if rounds.len() > 1 { &rounds[1..] } else { rounds };
        let us = |of: fn(&Latencies) -> std::time::Duration| {
            let figures: Vec<f64> = counted.iter().map(|l| of(l).as_secs_f64() * 1e6).collect();
            Spread::of(&figures)
        };
        let entry = json!({
            "documents": documents, "bytes": bytes, "row": row,
            "beside": beside.word(), "engine": engine.word(), "rounds": counted.len(),
            "p50_us": us(|l| l.p50).median,
            "p99_us": us(|l| l.p99).median,
            "p999_us": us(|l| l.p999).median,
            "longest_us": us(|l| l.max).max,
        });
        self.put("latencies", &["documents", "bytes", "row", "beside", "engine"], entry);
    }

    /// What our engine did behind the row `stall`.
    pub(crate) fn beside_stall(
        &mut self,
        (documents, bytes): (u64, u64),
        beside: Kind,
        before: &Value,
        after: &Value,
    ) {
        let count = |facts: &Value| facts["checkpoints"].as_u64().unwrap_or(0);
        let entry = json!({
            "documents": documents, "bytes": bytes, "beside": beside.word(),
            "checkpoints": count(after).saturating_sub(count(before)),
            "compacted": after["last_compaction"] != before["last_compaction"],
        });
        self.put("stalls", &["documents", "bytes", "beside"], entry);
    }
}

#[expect(clippy::disallowed_methods, reason = "a report for people, not data of docdb")]
fn read(path: &Path) -> io::Result<Option<Value>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_is_measured_again_takes_the_place_of_what_was_there() {
        let mut results = Results::load(None).unwrap();
        results.sizes((1, 2), Kind::Lmdb, json!({"disk_bytes": 10}));
        results.sizes((1, 2), Kind::Redb, json!({"disk_bytes": 20}));
        results.sizes((1, 2), Kind::Lmdb, json!({"disk_bytes": 30}));
        let sizes = results.value()["sizes"].as_array().unwrap();
        assert_eq!(sizes.len(), 2);
        assert_eq!(sizes[0]["disk_bytes"], 30);
        assert!(results.has_sizes(1, 2, Kind::Redb));
        assert!(!results.has_sizes(1, 2, Kind::Docdb));
    }

    #[test]
    fn waits_are_medians_of_the_rounds_after_the_first_and_the_longest_is_the_longest() {
        let mut results = Results::load(None).unwrap();
        let ms = Duration::from_millis;
        let round = |n| Latencies { p50: ms(n), p99: ms(n), p999: ms(n), max: ms(10 * n) };
        let rounds = [round(90), round(1), round(2), round(4)];
        results.latencies((1, 2), "put1", Kind::Redb, Kind::Docdb, &rounds);
        let entry = &results.value()["latencies"][0];
        assert_eq!(entry["p50_us"], 2000.0);
        assert_eq!(entry["longest_us"], 40_000.0);
        assert_eq!(entry["rounds"], 3);
    }
}
