//! Text as a configuration: lines that begin with `D` are variables, with `-` flags, the rest is
//! the file. It is refused, or `docdb config` would print a file that means the same.

use docdb::config::{Machine, Raw, Settings, Sources, Value, table};

/// One input.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut sources = Sources::default();
    let mut file = String::new();
    for line in text.lines() {
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        if let Some(flag) = name.strip_prefix("--") {
            sources.flags.push((flag.to_owned(), value.to_owned()));
        } else if name.starts_with("DOCDB_") {
            sources.environment.push((name.into(), value.into()));
        } else {
            file.push_str(line);
            file.push('\n');
        }
    }
    let settings = match Settings::of_text(&file, &sources) {
        Ok(settings) => settings,
        Err(errors) => {
            assert!(!errors.to_string().is_empty());
            return;
        }
    };
    let config = settings.config(&Machine { cores: 1, memory_bytes: 1 << 30 });
    config.store_options().validate().expect("what settings allow the store takes");
    assert!(config.databases.memory_bytes <= config.memory.total_bytes);
    for entry in settings.entries() {
        let shown = entry.value().show(entry.setting);
        let again = Value::parse(entry.setting, &Raw::Text(shown));
        assert_eq!(again.as_ref(), Ok(entry.value()), "{}", entry.setting.name);
    }
}

/// Every setting by each way, and the shapes that TOML has.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for setting in table::all() {
        let (name, default) = (setting.name, setting.default);
        seeds.push(format!("{name} = \"{default}\"\n"));
        seeds.push(format!("{}={default}\n--{name}={default}\n", setting.variable()));
    }
    seeds.extend(
        [
            "[wal.fsync]\nmode = 'interval'\ninterval_ms = 1_0\n[data]\nparity = false\n",
            "scheduler = { weights = { a = 1, \"b\" = 2 } }\n[compaction]\ngarbage_ratio = 5e-1\n",
            "http.cors_origins = [\n 'http://a',\n]\n[[wal]]\nx = 1979-05-27T07:32:00Z\n",
            "--scheduler.weights=a=1,b=2\n--snapshot_ttl=1m30s\nDOCDB_HTTP_LISTEN=[::1]:1\n",
        ]
        .map(str::to_owned),
    );
    seeds.into_iter().map(String::into_bytes).collect()
}
