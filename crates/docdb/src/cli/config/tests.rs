//! What `docdb config` prints, as a user sees it.

use super::*;
use crate::config::Sources;

const MACHINE: Machine = Machine { cores: 8, memory_bytes: 16 << 30 };

const FILE: &str = "\
data_dir = '/var/lib/docdb'
[wal.fsync]
mode = 'interval'
[alerts]
webhook_url = 'https://example.com/s3cr3t'
";

fn settings() -> Settings {
    let sources = Sources {
        file: Some("docdb.toml".into()),
        environment: vec![("DOCDB_MEMORY_TOTAL_MB".into(), "4GiB".into())],
        flags: vec![("scheduler.weights".to_owned(), "orders=4".to_owned())],
    };
    Settings::of_text(FILE, &sources).unwrap()
}

fn printed(settings: &Settings) -> String {
    let mut out = Vec::new();
    write(settings, &MACHINE, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn the_settings_in_effect_are_shown_with_where_they_came_from() {
    assert_eq!(printed(&settings()), include_str!("golden.toml"));
}

#[test]
fn what_is_printed_is_a_file_that_means_the_same() {
    for settings in [Settings::defaults(), settings()] {
        let again = Settings::of_text(&printed(&settings), &Sources::default()).unwrap();
        let values = |settings: &Settings| {
            let shown = |entry: &Entry| (entry.setting.name, entry.shown());
            let known = settings.entries().filter(|entry| !entry.setting.secret);
            known.map(shown).collect::<Vec<_>>()
        };
        assert_eq!(values(&again), values(&settings));
    }
}

#[test]
fn json_has_every_setting_and_no_secret() {
    let json = to_json(&settings(), &MACHINE);
    let text = json.to_string();
    assert_eq!(json.as_object().unwrap().len(), table::all().count());
    assert!(!text.contains("s3cr3t") && !printed(&settings()).contains("s3cr3t"), "{text}");
    assert_eq!(json["wal.fsync.mode"]["origin"], "docdb.toml:3");
    assert_eq!(json["wal.fsync.mode"]["value"], "interval");
    assert_eq!(json["wal.fsync.mode"]["set"], true);
    assert_eq!(json["scheduler.workers"]["stands_for"], "one for each core: 8");
    assert_eq!(json["tls.key"]["in_effect"], false);
    assert_eq!(json["alerts.webhook_url"]["value"], "(hidden)");
}

#[test]
fn the_list_has_every_setting() {
    let mut out = Vec::new();
    list(false, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    for setting in table::all() {
        assert!(text.contains(&format!("{}\n    {}\n", setting.name, setting.what)));
    }
    let mut out = Vec::new();
    list(true, &mut out).unwrap();
    let rows: Json = serde_json::from_slice(&out).unwrap();
    assert_eq!(rows.as_array().map(Vec::len), Some(table::all().count()));
    assert_eq!(rows[0]["variable"], "DOCDB_DATA_DIR");
}
