//! Every key by each of the three ways, who wins, and every refusal by its text.

use std::ffi::OsString;
use std::fmt::Write as _;

use super::*;
use crate::config::table::Kind;
use crate::config::{Machine, rule};

const MACHINE: Machine = Machine { cores: 3, memory_bytes: 8 << 30 };

fn sources(environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Sources {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let os = |pair: &(&str, &str)| (OsString::from(pair.0), OsString::from(pair.1));
    Sources {
        file: None,
        environment: environment.iter().map(os).collect(),
        flags: flags.iter().map(owned).collect(),
    }
}

fn refusals(text: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Vec<String> {
    let refused = Settings::of_text(text, &sources(environment, flags));
    let errors = refused.map(|_| ()).expect_err("something is wrong").0;
    errors.iter().map(ToString::to_string).collect()
}

#[track_caller]
fn check_refused(text: &str, expected: &str) {
    assert_eq!(refusals(text, &[], &[]), [expected], "{text}");
}

/// A value of `setting` that is not its default, and what must be set beside it.
fn another(setting: &Setting) -> (String, Vec<(&'static str, String)>) {
    let mut beside: Vec<(&str, String)> = Vec::new();
    for only in setting.only {
        match *only {
            Only::Is(name, value) => beside.push((name, value.to_owned())),
            Only::IsNot("wal.fsync.mode" | "http.listen" | "ipc.socket", _) => {}
            Only::IsNot(name @ "logs.syslog.tls", _) => beside.push((name, "[::1]:2".to_owned())),
            Only::IsNot(name, _) => beside.push((name, "/other.pem".to_owned())),
        }
    }
    // What a listener with TLS needs besides itself.
    if setting.name.starts_with("logs.syslog.tls") {
        for name in ["logs.syslog.tls_cert", "logs.syslog.tls_key"] {
            if name != setting.name {
                beside.push((name, "/other.pem".to_owned()));
            }
        }
    }
    if setting.name == "logs.syslog.allow" {
        beside.push(("logs.syslog.tcp", "[::1]:2".to_owned()));
    }
    if setting.name == "http.insecure" {
        beside.push(("http.listen", "0.0.0.0:1".to_owned()));
    }
    let value = match setting.kind {
        Kind::Bool => if setting.default == "true" { "false" } else { "true" }.to_owned(),
        Kind::Count { max, .. } => (max - 1).to_string(),
        Kind::Ratio => "0.5".to_owned(),
        Kind::Bytes { min, .. } => format!("{}B", min + 512),
        Kind::Time { min, .. } => format!("{}ms", min.as_millis() + 1),
        Kind::Choice(words) => {
            words.iter().rfind(|word| **word != setting.default).unwrap().to_string()
        }
        Kind::Path | Kind::Socket => "/some/where".to_owned(),
        Kind::Address => "[::1]:1".to_owned(),
        Kind::Url => "https://example.com/token".to_owned(),
        Kind::Origins => "https://example.com".to_owned(),
        Kind::Weights => "orders=4".to_owned(),
        Kind::Streams => "nginx".to_owned(),
        Kind::Networks => "10.0.0.0/8".to_owned(),
    };
    (value, beside)
}

#[test]
fn every_setting_can_be_given_by_each_of_the_three_ways_and_reaches_the_configuration() {
    let defaults = Settings::defaults().config(&MACHINE);
    for setting in table::all() {
        let (value, beside) = another(setting);
        let beside: Vec<(&str, &str)> = beside.iter().map(|(k, v)| (*k, v.as_str())).collect();
        let text = format!("{} = \"{value}\"", setting.name);
        let variable = setting.variable();
        let mut flags = beside.clone();
        flags.push((setting.name, &value));
        let by_file = Settings::of_text(&text, &sources(&[], &beside));
        let by_variable = Settings::of_text("", &sources(&[(&variable, &value)], &beside));
        let by_flag = Settings::of_text("", &sources(&[], &flags));
        let plain = Settings::of_text("", &sources(&[], &beside)).ok();
        let origins = [
            Origin::File(std::path::Path::new("docdb.toml").into(), 1),
            Origin::Variable(variable.clone()),
            Origin::Flag(setting.name.to_owned()),
        ];
        let expected = Value::parse(setting, &crate::config::Raw::Text(value.clone())).unwrap();
        for (way, origin) in [by_file, by_variable, by_flag].into_iter().zip(origins) {
            let way = way.unwrap_or_else(|errors| panic!("{}: {errors}", setting.name));
            let entry = way.entry(setting.name);
            assert_eq!((entry.value(), &entry.origin), (&expected, &origin), "{}", setting.name);
            let config = way.config(&MACHINE);
            let before = plain.as_ref().map_or_else(|| defaults.clone(), |s| s.config(&MACHINE));
            assert_ne!(config, before, "{} changes nothing", setting.name);
            config.store_options().validate().unwrap();
            if let Some(logs) = config.logs {
                logs.store.check().unwrap();
            }
        }
    }
}

#[test]
fn the_extremes_of_every_number_are_settings_that_the_store_takes() {
    for setting in table::all() {
        let (least, most) = match setting.kind {
            Kind::Count { min, max } => (min.to_string(), max.to_string()),
            Kind::Bytes { min, max, .. } => (format!("{min}B"), format!("{max}B")),
            Kind::Time { min, max, .. } => {
                (format!("{}ms", min.as_millis()), format!("{}ms", max.as_millis()))
            }
            Kind::Bool
            | Kind::Ratio
            | Kind::Choice(_)
            | Kind::Path
            | Kind::Socket
            | Kind::Address
            | Kind::Url
            | Kind::Origins
            | Kind::Weights
            | Kind::Streams
            | Kind::Networks => continue,
        };
        let (_, beside) = another(setting);
        let mut flags: Vec<(&str, &str)> = beside.iter().map(|(k, v)| (*k, v.as_str())).collect();
        for value in [&least, &most] {
            flags.push((setting.name, value));
            let settings = Settings::of_text("", &sources(&[], &flags));
            let settings = settings.unwrap_or_else(|e| panic!("{}: {e}", setting.name));
            let config = settings.config(&MACHINE);
            config.store_options().validate().unwrap();
            if let Some(logs) = config.logs {
                logs.store.check().unwrap();
            }
            flags.pop();
        }
    }
}

#[test]
fn flags_come_before_the_environment_before_the_file_before_defaults() {
    let name = "wal.keep_segments";
    let text = "\n[wal]\nkeep_segments = 3\n";
    let variable = [("DOCDB_WAL_KEEP_SEGMENTS", "4")];
    let shown = |text: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]| {
        let settings = Settings::of_text(text, &sources(environment, flags)).unwrap();
        let entry = settings.entry(name);
        format!("{} {}", entry.shown(), entry.origin)
    };
    assert_eq!(shown("", &[], &[]), "2 default");
    assert_eq!(shown(text, &[], &[]), "3 docdb.toml:3");
    assert_eq!(shown(text, &variable, &[]), "4 DOCDB_WAL_KEEP_SEGMENTS");
    assert_eq!(shown(text, &variable, &[(name, "5")]), "5 --wal.keep_segments");
}

#[test]
fn what_is_overridden_is_checked_all_the_same() {
    let errors = refusals("wal.keep_segments = -1", &[], &[("wal.keep_segments", "5")]);
    assert_eq!(errors.len(), 1);
}

#[test]
fn values_of_toml_are_read_in_their_own_types() {
    let text = "
        [scheduler]
        weights = { orders = 4, audit = 2 }
        [http]
        cors_origins = ['http://a', 'https://b']
        body_bytes_max = 0x10000
        [wal.fsync]
        mode = 'interval'
        interval_ms = 1_000
        [compaction]
        garbage_ratio = 5e-1
        [data]
        parity = false
        [db]
        idle_timeout = 90
        memory_mb = 128
        [memory]
        total_mb = '1GiB'
    ";
    let config = Settings::of_text(text, &sources(&[], &[])).unwrap().config(&MACHINE);
    let weights: Vec<_> = config.scheduler.weights.iter().map(|(n, w)| (n.as_str(), *w)).collect();
    assert_eq!(weights, [("audit", 2), ("orders", 4)]);
    let http = config.http.as_ref().unwrap();
    assert_eq!((http.cors_origins.len(), http.body_bytes_max), (2, 65_536));
    let interval = std::time::Duration::from_secs(1);
    assert_eq!(config.wal.fsync, wal::FsyncMode::Interval(interval));
    assert!((config.compaction.garbage_ratio - 0.5).abs() < 1e-9 && !config.data.parity);
    assert_eq!(config.databases.idle_timeout, Some(std::time::Duration::from_secs(90)));
    assert_eq!((config.databases.memory_bytes, config.memory.total_bytes), (128 << 20, 1 << 30));
}

#[test]
fn nothing_stands_for_what_the_table_says() {
    let config = Settings::defaults().config(&MACHINE);
    assert_eq!(config.scheduler.workers, 3);
    assert_eq!((config.memory.total_bytes, config.databases.memory_bytes), (4 << 30, 4 << 30));
    assert_eq!(config.socket.unwrap().path, PathBuf::from("./docdb-data/docdb.sock"));
    assert_eq!((config.databases.max_open, config.alerts.webhook_url), (None, None));
    assert_eq!(config.http.unwrap().tls, None);
    let off = sources(&[("DOCDB_DB_IDLE_TIMEOUT", "0")], &[("ipc.socket", "off")]);
    let config = Settings::of_text("", &off).unwrap().config(&MACHINE);
    assert_eq!((config.databases.idle_timeout, config.socket), (None, None));
}

#[test]
fn unknown_names_are_refused_with_the_nearest_one() {
    check_refused(
        "wal.fsync.mod = 'group'",
        "there is no setting wal.fsync.mod, origin=docdb.toml:1 nearest=wal.fsync.mode",
    );
    check_refused(
        "\n\ninterval_ms = 5",
        "there is no setting interval_ms, origin=docdb.toml:3 nearest=wal.fsync.interval_ms",
    );
    check_refused(
        "wal = 5",
        "wal is a group of settings, not a setting, origin=docdb.toml:1 first=wal.segment_mb",
    );
    check_refused(
        "data_dir.x = 5",
        "data_dir cannot be this, value=x=5 origin=docdb.toml:1 rule=a path, not empty",
    );
    let errors = refusals("", &[("DOCDB_DATADIR", "x")], &[("htpt.listen", "off")]);
    assert_eq!(
        errors,
        [
            "there is no setting DOCDB_DATADIR, origin=DOCDB_DATADIR nearest=DOCDB_DATA_DIR",
            "there is no setting htpt.listen, origin=--htpt.listen nearest=http.listen",
        ]
    );
}

#[test]
fn variables_of_others_and_of_a_cluster_are_left_alone() {
    let others = [
        ("PATH", "x"),
        ("DOCDBX", "x"),
        ("DOCDB_PORT", "tcp://10.0.0.1:7717"),
        ("DOCDB_PORT_7717_TCP_ADDR", "10.0.0.1"),
        ("DOCDB_SERVICE_HOST", "10.0.0.1"),
    ];
    let settings = Settings::of_text("", &sources(&others, &[])).unwrap();
    assert!(settings.entries().all(|entry| !entry.is_given()));
    let of_a_service = |setting: &Setting| {
        ["DOCDB_PORT", "DOCDB_SERVICE_"].iter().any(|prefix| setting.variable().starts_with(prefix))
    };
    assert!(!table::all().any(of_a_service), "a setting that could never be given by a variable");
}

#[test]
fn values_out_of_range_are_refused_with_their_rule() {
    check_refused(
        "wal.segment_mb = 2048",
        "wal.segment_mb cannot be this, value=2048 origin=docdb.toml:1 \
         rule=from 64KiB to 1GiB, a multiple of 512 bytes; a plain number is MiB",
    );
    check_refused(
        "txn.timeout = '1w'",
        "txn.timeout cannot be this, value=1w origin=docdb.toml:1 \
         rule=from 10ms to 1d; a plain number is seconds",
    );
    check_refused(
        "log.level = ['info']",
        "log.level cannot be this, value=info origin=docdb.toml:1 \
         rule=one of error, warn, info, debug, trace",
    );
    for (name, bad) in [
        ("data.parity", "1"),
        ("compaction.garbage_ratio", "1.0"),
        ("compaction.garbage_ratio", "nan"),
        ("compaction.garbage_ratio", "inf"),
        ("wal.segment_mb", "'65537B'"),
        ("wal.keep_segments", "1.0"),
        ("wal.keep_segments", "10001"),
        ("scheduler.queue_depth", "0"),
        ("data_dir", "''"),
        ("data_dir", "\"a\\u0000b\""),
        ("data_dir", "1979-05-27"),
        ("http.listen", "'localhost:7717'"),
        ("http.listen", "7717"),
        ("scheduler.weights", "{ orders = 'x' }"),
        ("scheduler.weights", "['orders=4']"),
        ("wal.fsync.mode", "[[1]]"),
    ] {
        let errors = refusals(&format!("{name} = {bad}"), &[], &[]);
        let rule = rule(table::find(name).unwrap());
        let start = format!("{name} cannot be this, value=");
        let is_told = errors.len() == 1 && errors[0].starts_with(&start);
        assert!(is_told && errors[0].ends_with(&format!("rule={rule}")), "{bad}: {errors:?}");
    }
}

#[test]
fn a_value_that_is_no_unicode_is_refused() {
    use std::os::unix::ffi::OsStringExt;
    let mut sources = sources(&[], &[]);
    sources.environment.push(("DOCDB_DATA_DIR".into(), OsString::from_vec(vec![0xff])));
    let errors = Settings::of_text("", &sources).unwrap_err();
    assert!(errors.to_string().contains("value=(not UTF-8) origin=DOCDB_DATA_DIR"), "{errors}");
}

#[test]
fn settings_that_mean_nothing_beside_the_others_are_refused() {
    check_refused(
        "wal.fsync.interval_ms = 5",
        "wal.fsync.interval_ms means nothing here, value=5 origin=docdb.toml:1 \
         rule=only with wal.fsync.mode = interval",
    );
    check_refused(
        "tls.key = 'key.pem'",
        "tls.key means nothing here, value=key.pem origin=docdb.toml:1 rule=only with tls.cert",
    );
    for setting in table::all() {
        for only in setting.only {
            let (value, beside) = another(setting);
            let (other, broken) = match *only {
                Only::Is(name, "true") => (name, "false"),
                Only::Is(name, "false") => (name, "true"),
                Only::Is(name, _) => (name, "none"),
                Only::IsNot(name, unwanted) => (name, unwanted),
            };
            let mut flags: Vec<(&str, &str)> =
                beside.iter().map(|(k, v)| (*k, v.as_str())).filter(|(k, _)| *k != other).collect();
            flags.extend([(setting.name, value.as_str()), (other, broken)]);
            let errors = refusals("", &[], &flags);
            let expected = format!("{} means nothing here", setting.name);
            assert!(errors.iter().any(|e| e.starts_with(&expected)), "{errors:?}");
        }
    }
}

#[test]
fn empty_variables_of_a_template_ask_for_nothing() {
    let empty = [("DOCDB_TLS_CERT", ""), ("DOCDB_ALERTS_WEBHOOK_URL", ""), ("DOCDB_CONFIG", "")];
    let disk = base::io::MemDisk::shared();
    assert!(Settings::gather(&sources(&empty, &[]), &disk).is_ok());
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    for (text, expected) in [
        ("http.listen = 'off'\nipc.socket = 'off'", "rule=not off together with ipc.socket"),
        ("http.insecure = true", "rule=true means something only when http.listen is beyond"),
        ("db.memory_mb = 128\nmemory.total_mb = 64", "rule=at most memory.total_mb"),
        ("logs.batch_size = 4000\nlogs.queue_size = 3999", "rule=at least logs.batch_size"),
        ("logs.syslog.tcp = '0.0.0.0:2253'", "rule=beyond loopback only with logs.syslog.allow"),
        ("logs.syslog.udp = '[::]:2253'", "rule=beyond loopback only with logs.syslog.allow"),
        ("logs.syslog.tls = '127.0.0.1:1'", "rule=only with logs.syslog.tls_cert and"),
        ("logs.syslog.allow = '10.0.0.0/8'", "rule=only with logs.syslog.tcp, udp or tls"),
    ] {
        let errors = refusals(text, &[], &[]);
        assert!(errors.len() == 1 && errors[0].contains(expected), "{errors:?}");
    }
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let text = "a = 1\n[b]\nc = 2\n[wal]\nsegment_mb = 'x'";
    assert_eq!(refusals(text, &[("DOCDB_X", "")], &[("y", "z")]).len(), 5);
}

#[test]
fn what_is_not_toml_is_refused_with_its_line() {
    let errors = refusals("data_dir = 'x'\nwal.fsync.mode = \n", &[], &[]);
    assert!(errors[0].starts_with("the configuration is not TOML, at=docdb.toml:2 "), "{errors:?}");
    let twice = refusals("data_dir = 'x'\ndata_dir = 'y'", &[], &[]);
    assert!(twice[0].starts_with("the configuration is not TOML, at=docdb.toml:2 "), "{twice:?}");
    let mut deep = String::from("a = ");
    (0..100_000).for_each(|_| deep.push('['));
    assert_eq!(refusals(&deep, &[], &[]).len(), 1);
    let mut dotted = String::from("a");
    (0..100_000).for_each(|_| dotted.push_str(".a"));
    assert!(!refusals(&format!("{dotted} = 1"), &[], &[]).is_empty());
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let disk = base::io::MemDisk::shared();
    let gather = |path: &str| {
        let sources = Sources { file: Some(path.into()), ..Sources::default() };
        Settings::gather(&sources, &disk).map(|_| ()).unwrap_err().to_string()
    };
    assert!(gather("/none.toml").contains("file=/none.toml"));
    for (name, content) in [("/big", vec![b'#'; 1 << 21]), ("/latin", vec![b'#', 0xe9])] {
        let file = disk.open(name.as_ref(), base::io::Open::CreateNew).unwrap();
        base::io::write_all_at(file.as_ref(), &content, 0).unwrap();
        assert!(gather(name).contains("error=it is "), "{}", gather(name));
    }
    disk.create_dir("/dir".as_ref()).unwrap();
    assert!(gather("/dir").contains("error=it is a directory"));
}

#[test]
fn the_file_is_named_by_the_flag_before_the_variable() {
    let disk = base::io::MemDisk::shared();
    for (name, depth) in [("/one", "1"), ("/two", "2")] {
        let file = disk.open(name.as_ref(), base::io::Open::CreateNew).unwrap();
        let text = format!("scheduler.queue_depth = {depth}");
        base::io::write_all_at(file.as_ref(), text.as_bytes(), 0).unwrap();
    }
    let mut sources = sources(&[(FILE_VARIABLE, "/two")], &[]);
    let depth = |sources: &Sources| {
        Settings::gather(sources, &disk).unwrap().entry("scheduler.queue_depth").shown()
    };
    assert_eq!(depth(&sources), "2");
    sources.file = Some("/one".into());
    assert_eq!(depth(&sources), "1");
}

#[test]
fn a_secret_is_shown_by_nothing() {
    let url = "https://example.com/hook/s3cr3t";
    let text = format!("alerts.webhook_url = '{url}'");
    let settings = Settings::of_text(&text, &sources(&[], &[])).unwrap();
    let config = settings.config(&MACHINE);
    assert_eq!(config.alerts.webhook_url.as_ref().map(|secret| secret.reveal()), Some(url));
    let mut shown =
        format!("{settings:?} {config:?} {}", settings.entry("alerts.webhook_url").shown());
    for bad in [
        "alerts.webhook_url = 's3cr3t'",
        "alerts.webhook_url = ['http://s3cr3t']",
        "alerts.webhook_url = { a = 's3cr3t' }",
        "alerts.webhok_url = 'http://s3cr3t'",
        "alerts.webhook_url.x = 's3cr3t'",
        "alerts.webhook_url = 'http://s3cr3t",
        "alerts.webhook_url = http://s3cr3t",
    ] {
        let errors = Settings::of_text(bad, &sources(&[], &[])).map(|_| ()).unwrap_err();
        let _ = write!(shown, "{errors} {errors:?}");
    }
    let wrong =
        sources(&[("DOCDB_ALERTS_WEBHOOK_URL", "s3cr3t")], &[("alerts.webhook_url", "s3cr3t")]);
    let errors = Settings::of_text("", &wrong).map(|_| ()).unwrap_err();
    let _ = write!(shown, "{errors} {errors:?}");
    assert!(!shown.contains("s3cr3t"), "{shown}");
}
