//! The page for people: everything that is in the results, and how it was measured.

use std::fmt::Write as _;

use serde_json::Value;

const HEAD: &str = "\
# Documents beside other engines

Written by `cargo xtask bench --peers documents-peers -- --results FILE --markdown FILE` from what it
measured; not edited by hand.

Each engine is in a process of its own. Ours and one peer at a time alternate in one run, between two
probes of the disk (a 4 KiB write with its sync); quoted are medians, and the range of the ratio of
ours to the peer. A claim holds when the median of the ratio meets its aim and seven of nine pairs do; a
row during which the probe moved by more than a factor of two is thrown away and says nothing. CPU time
is that of the whole process until it is quiet again: what is left to do behind the answer counts.

All engines get the same documents and the same work, every commit is durable when it returns, and
after each round what was written is read again and compared, after all rounds all documents. Documents
are JSON of a few short fields, padded with words. Keys are numbers, writes go to random ones, a
commit replaces documents that exist. Peers get bytes and give bytes; ours also validates the JSON. To patch a
member, peers read, parse with `serde_json`, change, serialise and write in one transaction.
";

const ROWS: &str = "\
Engines with a cache of their own get one of twice the data, from 64 MiB to 8 GiB. `reopen` rows are opened with the system's caches dropped and the program itself in memory, up to the
first answered read; after a kill there are 60 MiB of committed documents that no checkpoint has. In
`limited` the processes are in a control group whose memory, the system's cache of their files
included, is a quarter of the data, and a cache of an engine's own is a third of that.
";

/// The page.
pub(crate) fn page(results: &Value) -> String {
    let mut page = HEAD.to_owned();
    page.push('\n');
    page.push_str(ROWS);
    page.push_str("\n## Engines\n\n| engine | set up as |\n|---|---|\n");
    for engine in list(results, "engines") {
        let _ = writeln!(page, "| {} | {} |", text(engine, "title"), text(engine, "setup"));
    }
    page.push_str("\n## Rows\n\n| row | what |\n|---|---|\n");
    for row in list(results, "rows") {
        let _ = writeln!(page, "| {} | {} |", text(row, "row"), text(row, "what"));
    }
    for (documents, bytes) in amounts(results) {
        let of = |name| {
            let entries = list(results, name).iter();
            let is_of = move |e: &&Value| e["documents"] == documents && e["bytes"] == bytes;
            entries.filter(is_of).collect::<Vec<_>>()
        };
        let _ = writeln!(page, "\n## {} documents of {bytes} bytes", grouped(documents));
        cases(&mut page, &of("cases"));
        latencies(&mut page, &of("latencies"), &of("stalls"), results);
        sizes(&mut page, &of("sizes"), results);
        left_out(&mut page, &of("left_out"), results);
    }
    page
}

fn cases(page: &mut String, cases: &[&Value]) {
    let mut machine = "";
    for case in cases {
        if text(case, "machine") != machine {
            machine = text(case, "machine");
            let _ = write!(
                page,
                "\nMeasured on {machine}.\n\n\
                 | row | ours | beside | its | ratio (range) | aim | CPU µs ours / its \
                 | probe µs | verdict |\n|---|---|---|---|---|---|---|---|---|\n"
            );
        }
        let name = text(case, "name");
        let row = name.rsplit_once('-').map_or(name, |(row, _)| row);
        let (ratio, probe) = (&case["ratio"], &case["probe_us"]);
        let aim = case["aim"].as_f64().map_or_else(|| "–".to_owned(), |aim| format!("{aim:.2}"));
        let per_second = |side: &Value| {
            let rate = number(side, "per_second");
            if row.starts_with("reopen") {
                format!("{:.1} ms", 1e3 / rate)
            } else {
                format!("{}/s", rounded(rate))
            }
        };
        let _ = writeln!(
            page,
            "| {row} | {} | {} | {} | {:.2} ({:.2}–{:.2}) | {aim} | {:.2} / {:.2} | {:.0}, {:.0} | {} |",
            per_second(&case["ours"]),
            text(case, "peer_name"),
            per_second(&case["peer"]),
            number(ratio, "median"),
            number(ratio, "min"),
            number(ratio, "max"),
            number(&case["ours"], "cpu_us_per_operation"),
            number(&case["peer"], "cpu_us_per_operation"),
            number(probe, "before"),
            number(probe, "after"),
            text(case, "verdict"),
        );
    }
}

fn latencies(page: &mut String, latencies: &[&Value], stalls: &[&Value], results: &Value) {
    if latencies.is_empty() {
        return;
    }
    page.push_str(
        "\nWaits for a commit, ms: medians of the rounds, and the longest of all rounds.\n\n\
         | row | engine | beside | p50 | p99 | p99.9 | longest |\n|---|---|---|---|---|---|---|\n",
    );
    for entry in latencies {
        let ms = |name| number(entry, name) / 1e3;
        let _ = writeln!(
            page,
            "| {} | {} | {} | {:.2} | {:.2} | {:.2} | {:.1} |",
            text(entry, "row"),
            title(results, text(entry, "engine")),
            title(results, text(entry, "beside")),
            ms("p50_us"),
            ms("p99_us"),
            ms("p999_us"),
            ms("longest_us")
        );
    }
    for entry in stalls {
        let compacted =
            if entry["compacted"] == true { "compacted data files" } else { "compacted nothing" };
        let _ = writeln!(
            page,
            "\nDuring `stall` beside {} docdb made {} checkpoints and {compacted}.",
            title(results, text(entry, "beside")),
            entry["checkpoints"]
        );
    }
}

fn sizes(page: &mut String, sizes: &[&Value], results: &Value) {
    if sizes.is_empty() {
        return;
    }
    page.push_str(
        "\nBytes a document: on the disk after loading and a clean close, logs included; in memory after \
         opening with a cache of a quarter of the data and many random reads, without and with the \
         files that are mapped. Loading is one run of commits of 1000 documents in the order of keys.\n\n\
         | engine | loaded | disk | of it, data files | memory | mapped too | index |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for entry in sizes {
        let each = |bytes: &Value| match (bytes.as_f64(), entry["documents"].as_f64()) {
            (Some(bytes), Some(documents)) => format!("{:.1}", bytes / documents),
            _ => "–".to_owned(),
        };
        let _ = writeln!(
            page,
            "| {} | {}/s | {} | {} | {} | {} | {} |",
            title(results, text(entry, "engine")),
            rounded(number(entry, "loaded_per_second")),
            each(&entry["disk_bytes"]),
            each(&entry["facts"]["data_bytes"]),
            each(&entry["anonymous_bytes"]),
            each(&entry["resident_bytes"]),
            each(&entry["facts"]["index_bytes"]),
        );
    }
}

fn left_out(page: &mut String, left_out: &[&Value], results: &Value) {
    for entry in left_out {
        let _ = writeln!(
            page,
            "\nNot measured: {} beside {}: {}.",
            text(entry, "row"),
            title(results, text(entry, "engine")),
            text(entry, "reason")
        );
    }
}

/// The amounts of which there is anything, the smallest first.
fn amounts(results: &Value) -> Vec<(u64, u64)> {
    let lists = ["cases", "sizes", "left_out"].into_iter().flat_map(|name| list(results, name));
    let both = lists.filter_map(|e| Some((e["documents"].as_u64()?, e["bytes"].as_u64()?)));
    let mut found: Vec<_> = both.collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn list<'v>(results: &'v Value, name: &str) -> &'v [Value] {
    results[name].as_array().map_or(&[], Vec::as_slice)
}

fn text<'v>(entry: &'v Value, name: &str) -> &'v str {
    entry[name].as_str().unwrap_or("–")
}

fn number(entry: &Value, name: &str) -> f64 {
    entry[name].as_f64().unwrap_or(f64::NAN)
}

/// An engine's name and version by its word.
fn title<'v>(results: &'v Value, word: &'v str) -> &'v str {
    let engine = list(results, "engines").iter().find(|engine| engine["word"] == word);
    engine.map_or(word, |engine| text(engine, "title"))
}

/// Three digits that count.
fn rounded(rate: f64) -> String {
    match rate {
        rate if rate >= 1e6 => format!("{:.2} M", rate / 1e6),
        rate if rate >= 1e3 => format!("{:.1} k", rate / 1e3),
        rate => format!("{rate:.0}"),
    }
}

fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_page_has_every_kind_of_result_under_its_amount() {
        let side = json!({"per_second": 12_345.0, "cpu_us_per_operation": 1.5});
        let slow = json!({"per_second": 20.0, "cpu_us_per_operation": 9.0});
        let ratio = json!({"median": 2.0, "min": 1.5, "max": 2.5});
        let case = |name, ours: &Value| {
            json!({
                "documents": 1_000_000, "bytes": 256, "name": name, "machine": "a machine",
                "peer_name": "LMDB 0.9", "aim": 1.0, "ours": ours, "peer": slow, "ratio": ratio,
                "probe_us": {"before": 110.0, "after": 120.0}, "verdict": "holds",
            })
        };
        let page = page(&json!({
            "rows": [{"row": "get", "what": "Point reads"}],
            "engines": [{"word": "lmdb", "title": "LMDB 0.9", "setup": "plainly"}],
            "cases": [case("put64-combined-lmdb", &side), case("reopen-clean-lmdb", &slow)],
            "latencies": [{
                "documents": 1_000_000, "bytes": 256, "row": "put1", "engine": "lmdb",
                "beside": "lmdb", "p50_us": 100.0, "p99_us": 1000.0, "p999_us": 2000.0,
                "longest_us": 50_000.0,
            }],
            "stalls": [{
                "documents": 1_000_000, "bytes": 256, "beside": "lmdb", "checkpoints": 7,
                "compacted": true,
            }],
            "sizes": [{
                "documents": 1_000_000, "bytes": 256, "engine": "lmdb",
                "loaded_per_second": 1e6, "disk_bytes": 317_000_000, "anonymous_bytes": 1_000_000,
                "resident_bytes": 2_000_000, "facts": {"index_bytes": 22_000_000},
            }],
            "left_out": [{
                "documents": 2, "bytes": 256, "row": "get", "engine": "lmdb", "reason": "too large",
            }],
        }));
        for line in [
            "| LMDB 0.9 | plainly |",
            "| get | Point reads |",
            "## 1,000,000 documents of 256 bytes",
            "| put64-combined | 12.3 k/s | LMDB 0.9 | 20/s | 2.00 (1.50–2.50) | 1.00 | 1.50 / 9.00 | 110, 120 | holds |",
            "| reopen-clean | 50.0 ms | LMDB 0.9 | 50.0 ms | 2.00 (1.50–2.50) |",
            "| put1 | LMDB 0.9 | LMDB 0.9 | 0.10 | 1.00 | 2.00 | 50.0 |",
            "During `stall` beside LMDB 0.9 docdb made 7 checkpoints and compacted data files.",
            "| LMDB 0.9 | 1.00 M/s | 317.0 | – | 1.0 | 2.0 | 22.0 |",
            "Not measured: get beside LMDB 0.9: too large.",
        ] {
            assert!(page.contains(line), "{line}\nin\n{page}");
        }
    }
}
