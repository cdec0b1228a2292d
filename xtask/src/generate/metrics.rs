//! The list of metrics for people, and the dashboard that shows each of them: both made of what the
//! program lists, so neither can name a metric that does not exist or leave one out.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// Panels in a row of the dashboard, and their size.
const COLUMNS: u64 = 3;
const WIDTH: u64 = 24 / COLUMNS;
const HEIGHT: u64 = 8;

/// The sections, by the beginnings of names; what fits none is in the last one.
const SECTIONS: [(&str, &[&str]); 9] = [
    ("Requests", &["docdb_operation", "docdb_errors"]),
    ("HTTP", &["docdb_http"]),
    ("Socket", &["docdb_ipc"]),
    ("Scheduler", &["docdb_scheduler", "docdb_open_transactions", "docdb_transactions"]),
    ("Log and group commit", &["docdb_wal", "docdb_checkpoint", "docdb_replayed"]),
    ("Search", &["docdb_search"]),
    ("Healing", &["docdb_heal", "docdb_documents_healed", "docdb_blocks", "docdb_quarantined"]),
    ("Application logs", &["docdb_logs", "docdb_syslog"]),
    ("Store and process", &["docdb_"]),
];

fn rows(list: &Value) -> &[Value] {
    list.as_array().map_or(&[][..], Vec::as_slice)
}

fn text<'a>(row: &'a Value, field: &str) -> &'a str {
    row[field].as_str().unwrap_or_default()
}

fn section_of(name: &str) -> usize {
    let fits = |(_, beginnings): &(&str, &[&str])| beginnings.iter().any(|b| name.starts_with(b));
    SECTIONS.iter().position(fits).unwrap_or(SECTIONS.len() - 1)
}

/// The list as a page.
pub(super) fn page(list: &Value) -> String {
    let mut page = String::from(
        "# Metrics\n\n\
         Written by `cargo xtask gen` from the definitions in the code; do not edit.\n\n\
         `GET /metrics` answers them in the text format of Prometheus, or as OpenMetrics when the\n\
         request accepts it; `docdb metrics` lists them. `dashboards/docdb.json` is a dashboard for\n\
         Grafana with a panel for each. Durations are in seconds, sizes in bytes. Metrics of a\n\
         database are there while it is open.\n\n\
         Prometheus reads them with this in its `prometheus.yml`; the last three lines only when there\n\
         are API keys, with one that `docdb key add prometheus --grant '*=read'` has made:\n\n\
         ```yaml\n\
         scrape_configs:\n  \
           - job_name: docdb\n    \
             static_configs:\n      \
               - targets: [\"127.0.0.1:7717\"]\n    \
             authorization:\n      \
               type: Bearer\n      \
               credentials_file: /etc/prometheus/docdb.key\n\
         ```\n",
    );
    for (at, (title, _)) in SECTIONS.iter().enumerate() {
        let here = |row: &&Value| section_of(text(row, "name")) == at;
        let found: Vec<&Value> = rows(list).iter().filter(here).collect();
        if found.is_empty() {
            continue;
        }
        let _ =
            write!(page, "\n## {title}\n\n| metric | kind | labels | what |\n|---|---|---|---|\n");
        for row in found {
            let labels: Vec<String> = rows(&row["labels"])
                .iter()
                .filter_map(Value::as_str)
                .map(|l| format!("`{l}`"))
                .collect();
            let (name, kind, help) = (text(row, "name"), text(row, "kind"), text(row, "help"));
            let _ = writeln!(page, "| `{name}` | {kind} | {} | {help} |", labels.join(", "));
        }
    }
    page
}

/// The dashboard.
pub(super) fn dashboard(list: &Value) -> String {
    let (mut panels, mut y, mut id) = (Vec::new(), 0, 1);
    for (at, (title, _)) in SECTIONS.iter().enumerate() {
        let here = |row: &&Value| section_of(text(row, "name")) == at;
        let found: Vec<&Value> = rows(list).iter().filter(here).collect();
        if found.is_empty() {
            continue;
        }
        panels.push(json!({
            "id": id, "type": "row", "title": title, "collapsed": false, "panels": [],
            "gridPos": {"h": 1, "w": 24, "x": 0, "y": y},
        }));
        id += 1;
        y += 1;
        for (n, row) in (0_u64..).zip(&found) {
            let place = json!({
                "h": HEIGHT, "w": WIDTH, "x": n % COLUMNS * WIDTH, "y": y + n / COLUMNS * HEIGHT,
            });
            panels.push(panel(row, id, &place));
            id += 1;
        }
        y += (found.len() as u64).div_ceil(COLUMNS) * HEIGHT;
    }
    let dashboard = json!({
        "title": "docdb",
        "uid": "docdb",
        "tags": ["docdb"],
        "schemaVersion": 39,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [{
            "name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus",
        }]},
        "panels": panels,
    });
    format!("{dashboard:#}\n")
}

fn panel(row: &Value, id: u64, place: &Value) -> Value {
    let (name, kind) = (text(row, "name"), text(row, "kind"));
    let labels: Vec<&str> = rows(&row["labels"]).iter().filter_map(Value::as_str).collect();
    let legend = match labels.as_slice() {
        [] => "value".to_owned(),
        labels => labels.iter().map(|l| format!("{{{{{l}}}}}")).collect::<Vec<_>>().join(" "),
    };
    let by = if labels.is_empty() { String::new() } else { format!("{}, ", labels.join(", ")) };
    let target = |at: usize, expr: String, legend: String| {
        json!({"refId": char::from(b'A' + u8::try_from(at).unwrap_or(0)).to_string(),
               "expr": expr, "legendFormat": legend})
    };
    let targets = match kind {
        "counter" => vec![target(0, format!("rate({name}[$__rate_interval])"), legend)],
        "histogram" => ["0.5", "0.99"]
            .iter()
            .enumerate()
            .map(|(at, quantile)| {
                let sum = format!("sum by ({by}le) (rate({name}_bucket[$__rate_interval]))");
                let expr = format!("histogram_quantile({quantile}, {sum})");
                target(at, expr, format!("p{} {legend}", &quantile[2..]))
            })
            .collect(),
        _ => vec![target(0, name.to_owned(), legend)],
    };
    let unit = match (kind, text(row, "unit")) {
        ("counter", _) => "cps",
        (_, "seconds") => "s",
        (_, "bytes") => "bytes",
        _ => "short",
    };
    json!({
        "id": id,
        "type": "timeseries",
        "title": name,
        "description": text(row, "help"),
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
        "targets": targets,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_in_the_section_of_what_they_measure() {
        for (name, section) in [
            ("docdb_logs_queue_entries", "Application logs"),
            ("docdb_syslog_waits_total", "Application logs"),
            ("docdb_wal_size_bytes", "Log and group commit"),
            ("docdb_uptime_seconds", "Store and process"),
        ] {
            assert_eq!(SECTIONS[section_of(name)].0, section, "{name}");
        }
    }

    #[test]
    fn every_metric_has_a_line_and_a_panel_that_asks_for_it() {
        let list = json!([
            {"name": "docdb_operations_total", "kind": "counter", "unit": "operations",
             "labels": ["operation"], "help": "Operations."},
            {"name": "docdb_operation_duration_seconds", "kind": "histogram", "unit": "seconds",
             "labels": ["operation"], "help": "Time."},
            {"name": "docdb_uptime_seconds", "kind": "gauge", "unit": "seconds", "labels": [],
             "help": "Uptime."},
        ]);
        let page = page(&list);
        assert!(
            page.contains("| `docdb_operations_total` | counter | `operation` | Operations. |")
        );
        let dashboard: Value = serde_json::from_str(&dashboard(&list)).unwrap();
        let asked: Vec<String> = rows(&dashboard["panels"])
            .iter()
            .flat_map(|panel| rows(&panel["targets"]))
            .map(|target| text(target, "expr").to_owned())
            .collect();
        let expected = [
            "rate(docdb_operations_total[$__rate_interval])",
            "histogram_quantile(0.5, sum by (operation, le) \
             (rate(docdb_operation_duration_seconds_bucket[$__rate_interval])))",
            "histogram_quantile(0.99, sum by (operation, le) \
             (rate(docdb_operation_duration_seconds_bucket[$__rate_interval])))",
            "docdb_uptime_seconds",
        ];
        assert_eq!(asked, expected);
    }
}
