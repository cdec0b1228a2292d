//! The rule, the scopes, the file and what may be seen of a secret.

use std::net::SocketAddr;

use base::io::{MemDisk, Open, write_all_at};

use super::*;

const NOW: WallMs = WallMs(1_800_000_000_000);
const DIR: &str = "/data";

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn disk() -> DiskRef {
    let disk = MemDisk::shared();
    disk.create_dir(DIR.as_ref()).unwrap();
    disk
}

fn file(disk: &DiskRef) -> KeyFile {
    KeyFile::new(disk, DIR.as_ref())
}

fn wanted(label: &str, grants: &[&str]) -> Wanted {
    Wanted {
        label: label.to_owned(),
        expires: None,
        grants: grants.iter().map(|grant| grant.parse().unwrap()).collect(),
    }
}

/// Makes a key and answers it.
fn add(disk: &DiskRef, label: &str, grants: &[&str]) -> String {
    file(disk).add(wanted(label, grants), NOW).unwrap().secret.reveal().to_owned()
}

fn open(disk: &DiskRef, exposure: Exposure) -> Auth {
    Auth::open(disk, DIR.as_ref(), exposure).unwrap()
}

fn bearer(key: &str) -> String {
    format!("Bearer {key}")
}

fn put(disk: &DiskRef, content: &[u8]) {
    let path = Path::new(DIR).join(FILE_NAME);
    let _ = disk.remove_file(&path);
    let file = disk.open(&path, Open::CreateNew).unwrap();
    write_all_at(file.as_ref(), content, 0).unwrap();
}

fn content(disk: &DiskRef) -> Vec<u8> {
    let file = disk.open(&Path::new(DIR).join(FILE_NAME), Open::Read).unwrap();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    base::io::read_exact_at(file.as_ref(), &mut bytes, 0).unwrap();
    bytes
}

#[test]
fn without_a_key_nothing_is_required_at_home_and_everything_abroad() {
    let disk = disk();
    let (home, abroad) = (open(&disk, Exposure::Closed), open(&disk, Exposure::Open));
    assert!(!home.is_required() && abroad.is_required());
    for header in [None, Some("Bearer anything"), Some("Basic dTpw"), Some("")] {
        let found = home.check(header, None, Scope::Admin, NOW);
        assert_eq!(found, Ok(Identity::anybody()), "{header:?}");
        assert!(abroad.check(header, None, Scope::Read, NOW).is_err(), "{header:?}");
    }
    let missing = Denied::Unauthenticated(Reason::Missing);
    assert_eq!(abroad.check(None, None, Scope::Read, NOW), Err(missing));
}

#[test]
fn the_first_key_closes_the_door_to_everybody_else() {
    let disk = disk();
    let key = add(&disk, "first", &["*=admin"]);
    for exposure in [Exposure::Closed, Exposure::Open] {
        let auth = open(&disk, exposure);
        assert!(auth.is_required());
        let good = auth.check(Some(&bearer(&key)), None, Scope::Admin, NOW).unwrap();
        assert_eq!(good.key().unwrap().to_string().len(), 12);
        assert_eq!(auth.identify(Some(&key), NOW), Ok(good));
        let missing = auth.identify_header(None, NOW).unwrap_err();
        assert_eq!(missing, Denied::Unauthenticated(Reason::Missing));
        let mut near = key.clone();
        let last = if near.pop() == Some('0') { '1' } else { '0' };
        near.push(last);
        for wrong in [
            format!("Basic {key}"),
            key.clone(),
            bearer(&near),
            bearer(&key[..key.len() - 1]),
            bearer(&key.to_uppercase()),
            bearer(&key[KEY_PREFIX.len()..]),
            bearer(&"x".repeat(1_000_000)),
            bearer("é"),
        ] {
            let denied = auth.identify_header(Some(&wrong), NOW).unwrap_err();
            assert_eq!(denied, Denied::Unauthenticated(Reason::Invalid));
            assert_eq!(denied.code(), Code::Unauthenticated);
        }
        for same in [format!("bearer {key}"), format!("BEARER   {key} ")] {
            assert!(auth.identify_header(Some(&same), NOW).is_ok(), "{same}");
        }
    }
}

#[test]
fn a_scope_includes_the_smaller_ones_on_its_database_alone() {
    let disk = disk();
    let key = add(&disk, "shop", &["orders=write", "stock=read"]);
    let identity = open(&disk, Exposure::Closed).identify(Some(&key), NOW).unwrap();
    let (orders, stock, other) = (name("orders"), name("stock"), name("other"));
    for (database, scope, expected) in [
        (Some(&orders), Scope::Read, true),
        (Some(&orders), Scope::Write, true),
        (Some(&orders), Scope::Admin, false),
        (Some(&stock), Scope::Read, true),
        (Some(&stock), Scope::Write, false),
        (Some(&other), Scope::Read, false),
        (None, Scope::Read, false),
    ] {
        assert_eq!(identity.allows(database, scope), expected, "{database:?} {scope}");
        let denied = identity.require(database, scope);
        assert_eq!(denied.is_ok(), expected);
        assert!(denied.is_ok() || denied.unwrap_err().code() == Code::Forbidden);
    }
    let key = add(&disk, "all", &["*=read"]);
    let identity = open(&disk, Exposure::Closed).identify(Some(&key), NOW).unwrap();
    assert!(identity.allows(None, Scope::Read) && identity.allows(Some(&other), Scope::Read));
    assert!(!identity.allows(None, Scope::Write));
}

#[test]
fn a_key_stops_working_when_it_expires_and_still_closes_the_door() {
    let disk = disk();
    let expires = Some(WallMs(NOW.0 + 1000));
    let made = file(&disk).add(Wanted { expires, ..wanted("short", &["*=admin"]) }, NOW).unwrap();
    let auth = open(&disk, Exposure::Closed);
    let at = |ms: u64| auth.identify(Some(made.secret.reveal()), WallMs(NOW.0 + ms)).is_ok();
    assert!(at(0) && at(999) && !at(1000));
    assert!(auth.identify(None, WallMs(NOW.0 + 2000)).is_err());
}

#[test]
fn a_visitor_stays_as_long_as_the_key_and_no_longer() {
    let disk = disk();
    let auth = open(&disk, Exposure::Closed);
    let mut anybody = auth.admit(None, NOW).unwrap();
    assert!(auth.confirm(&mut anybody, NOW).is_ok());
    let expires = Some(WallMs(NOW.0 + 1000));
    let made = file(&disk).add(Wanted { expires, ..wanted("short", &["a=read"]) }, NOW).unwrap();
    let key = add(&disk, "other", &["a=read"]);
    assert!(auth.confirm(&mut anybody, NOW).is_ok(), "nobody has read the keys yet");
    auth.reload().unwrap();
    let missing = Err(Denied::Unauthenticated(Reason::Missing));
    assert_eq!(auth.confirm(&mut anybody, NOW), missing, "now one is needed");
    let mut short = auth.admit(Some(made.secret.reveal()), NOW).unwrap();
    let mut other = auth.admit(Some(&key), NOW).unwrap();
    assert!(auth.confirm(&mut short, WallMs(NOW.0 + 999)).is_ok());
    let invalid = Err(Denied::Unauthenticated(Reason::Invalid));
    assert_eq!(auth.confirm(&mut short, WallMs(NOW.0 + 1000)), invalid, "it has expired");
    file(&disk).remove("other").unwrap();
    auth.reload().unwrap();
    for _ in 0..2 {
        assert_eq!(auth.confirm(&mut other, NOW), invalid, "it was removed");
    }
    file(&disk).remove("short").unwrap();
    auth.reload().unwrap();
    assert!(auth.confirm(&mut other, NOW).is_ok(), "none is needed any more");
    assert!(other.identity().allows(None, Scope::Admin));
}

#[test]
fn a_server_that_others_reach_and_that_has_no_key_is_locked() {
    let disk = disk();
    assert!(open(&disk, Exposure::Open).is_locked_out());
    assert!(!open(&disk, Exposure::Closed).is_locked_out());
    add(&disk, "first", &["*=admin"]);
    assert!(!open(&disk, Exposure::Open).is_locked_out());
}

#[test]
fn keys_are_removed_by_id_or_by_a_label_that_one_of_them_has() {
    let disk = disk();
    let file = file(&disk);
    let keys =
        [add(&disk, "a", &["*=read"]), add(&disk, "b", &["*=read"]), add(&disk, "b", &["*=read"])];
    let error = |name: &str| file.remove(name).unwrap_err().to_string();
    assert_eq!(error("b"), "2 keys are called so, name=b");
    assert_eq!(error("c"), "0 keys are called so, name=c");
    assert_eq!(file.remove("a").unwrap().label, "a");
    let auth = open(&disk, Exposure::Closed);
    let works = |key: &str| auth.identify(Some(key), NOW).ok().and_then(|found| found.key());
    assert_eq!(works(&keys[0]), None);
    let id = works(&keys[1]).unwrap().to_string();
    file.remove(&id).unwrap();
    assert_eq!(file.load().unwrap().len(), 1);
    auth.reload().unwrap();
    assert!(auth.identify(Some(&keys[1]), NOW).is_err());
    assert!(auth.identify(Some(&keys[2]), NOW).is_ok());
}

#[test]
fn a_running_server_sees_new_and_removed_keys() {
    let disk = disk();
    let auth = open(&disk, Exposure::Closed);
    assert!(!auth.reload_if_changed().unwrap() && !auth.is_required());
    let key = add(&disk, "late", &["*=admin"]);
    assert!(auth.reload_if_changed().unwrap() && auth.is_required());
    assert!(!auth.reload_if_changed().unwrap());
    assert!(auth.identify(Some(&key), NOW).is_ok());
    file(&disk).remove("late").unwrap();
    assert!(auth.reload_if_changed().unwrap() && !auth.is_required());
}

#[test]
fn a_damaged_file_refuses_a_start_and_changes_nothing_for_a_running_server() {
    let disk = disk();
    let key = add(&disk, "one", &["orders=write"]);
    let auth = open(&disk, Exposure::Closed);
    let good = content(&disk);
    let mut refused = 0;
    for at in 0..good.len() {
        for mask in [0x01, 0x20] {
            let mut bad = good.clone();
            bad[at] ^= mask;
            put(&disk, &bad);
            let start = Auth::open(&disk, DIR.as_ref(), Exposure::Closed);
            let Err(error) = start else {
                // A blank may have become another blank; what is accepted means the same.
                let found = file(&disk).load().unwrap();
                assert!(found.find(&key).is_some() && found.len() == 1, "byte {at}");
                continue;
            };
            assert!(matches!(error, KeyFileError::Damaged { .. }), "{error}");
            assert!(auth.reload().is_err());
            assert!(auth.identify(Some(&key), NOW).is_ok(), "the keys in use stay");
            assert!(auth.identify(None, NOW).is_err(), "it does not fall open");
            refused += 1;
        }
    }
    assert!(refused > good.len(), "{refused} of {}", good.len());
    for cut in 0..good.len() - 1 {
        put(&disk, &good[..cut]);
        assert!(Auth::open(&disk, DIR.as_ref(), Exposure::Closed).is_err(), "{cut}");
    }
}

#[test]
fn a_file_that_is_gone_does_not_open_the_door_of_a_running_server() {
    let disk = disk();
    let key = add(&disk, "one", &["*=admin"]);
    let auth = open(&disk, Exposure::Closed);
    disk.remove_file(&Path::new(DIR).join(FILE_NAME)).unwrap();
    assert!(matches!(auth.reload_if_changed(), Err(KeyFileError::Vanished { .. })));
    assert!(matches!(auth.reload_if_changed(), Ok(false)), "that is told once");
    assert!(auth.trouble().is_some_and(|said| said.contains("is gone")));
    assert!(matches!(auth.reload(), Err(KeyFileError::Vanished { .. })));
    assert!(auth.identify(None, NOW).is_err() && auth.identify(Some(&key), NOW).is_ok());
    put(&disk, b"{}");
    assert!(matches!(auth.reload_if_changed(), Err(KeyFileError::Damaged { .. })), "that is new");
    assert!(matches!(auth.reload_if_changed(), Ok(false)));
}

#[test]
fn two_commands_at_once_lose_no_key() {
    let disk = disk();
    let held = disk.lock(&Path::new(DIR).join("keys.lock")).unwrap();
    let busy = file(&disk).add(wanted("x", &["*=read"]), NOW).unwrap_err();
    assert!(matches!(busy, KeyFileError::Busy { .. }), "{busy}");
    drop(held);
    put_leftover(&disk);
    add(&disk, "x", &["*=read"]);
    add(&disk, "y", &["*=read"]);
    assert_eq!(file(&disk).load().unwrap().len(), 2);
}

/// What a crash in the middle of a change leaves.
fn put_leftover(disk: &DiskRef) {
    disk.open(&Path::new(DIR).join("keys.json.new"), Open::CreateNew).unwrap();
}

#[test]
fn a_key_that_could_not_be_read_back_is_not_made() {
    let disk = disk();
    let long = "x".repeat(LABEL_BYTES_MAX + 1);
    let many = vec!["a=read"; 1001];
    for bad in [
        wanted("", &["*=read"]),
        wanted("a\nb", &["*=read"]),
        wanted(&long, &["*=read"]),
        wanted("a", &[]),
        wanted("a", &many),
    ] {
        assert!(file(&disk).add(bad, NOW).is_err());
    }
    assert!(file(&disk).load().unwrap().is_missing());
    add(&disk, &"é".repeat(LABEL_BYTES_MAX / 2), &["a=read", "*=admin"]);
    assert_eq!(file(&disk).load().unwrap().len(), 1);
}

#[test]
fn neither_a_key_nor_its_hash_is_shown_by_anything_but_its_making() {
    let disk = disk();
    let made = file(&disk).add(wanted("a", &["orders=read"]), NOW).unwrap();
    let key = made.secret.reveal();
    let auth = open(&disk, Exposure::Closed);
    let identity = auth.identify(Some(key), NOW).unwrap();
    let denied = identity.require(None, Scope::Admin).unwrap_err();
    let wrong = auth.identify(Some(&format!("{key}0")), NOW).unwrap_err();
    let shown = format!("{made:?} {auth:?} {identity:?} {denied} {denied:?} {wrong} {wrong:?}");
    let stored = String::from_utf8(content(&disk)).unwrap();
    let hash =
        stored.split('"').find(|text| text.len() == 64 && *text != checksum(&stored)).unwrap();
    assert!(!shown.contains(&key[KEY_PREFIX.len()..]) && !shown.contains(hash), "{shown}");
    assert!(!stored.contains(&key[KEY_PREFIX.len()..]));
    assert!(key.starts_with(KEY_PREFIX) && key.len() == KEY_PREFIX.len() + 64);
    let first_bytes = format!("{:?}", made.key.id());
    assert!(hash.starts_with(&first_bytes));
}

fn checksum(stored: &str) -> String {
    let json: serde_json::Value = serde_json::from_str(stored).unwrap();
    json["checksum"].as_str().unwrap().to_owned()
}

#[test]
fn exposure_is_that_of_the_listener() {
    let settings = crate::config::Settings::defaults();
    let machine = crate::config::Machine { cores: 1, memory_bytes: 1 << 30 };
    let mut http = settings.config(&machine).http.unwrap();
    assert_eq!(Exposure::of(None), Exposure::Closed);
    for (address, insecure, expected) in [
        ("127.0.0.1:1", false, Exposure::Closed),
        ("[::1]:1", false, Exposure::Closed),
        ("0.0.0.0:1", false, Exposure::Open),
        ("[::]:1", false, Exposure::Open),
        ("192.168.0.1:1", false, Exposure::Open),
        ("192.168.0.1:1", true, Exposure::Closed),
    ] {
        http.listen = address.parse::<SocketAddr>().unwrap();
        http.insecure = insecure;
        assert_eq!(Exposure::of(Some(&http)), expected, "{address}");
    }
}

#[test]
fn grants_are_read_as_they_are_shown() {
    for text in ["orders=write", "*=admin", "a.b-c_d=read", "@logs=write"] {
        assert_eq!(text.parse::<Grant>().map(|grant| grant.to_string()), Ok(text.to_owned()));
    }
    for bad in [
        "orders",
        "orders=",
        "=read",
        "orders=WRITE",
        "..=read",
        "a=read=b",
        "**=read",
        "@log=read",
    ] {
        assert!(bad.parse::<Grant>().is_err(), "{bad}");
    }
}

#[test]
fn a_grant_on_the_logs_is_on_nothing_else() {
    let grant = |text: &str| text.parse::<Grant>().unwrap();
    let orders = Name::new("orders").unwrap();
    let logs = grant("@logs=write");
    assert!(logs.covers_logs(Scope::Write) && !logs.covers_logs(Scope::Admin));
    assert!(!logs.covers(None, Scope::Read) && !logs.covers(Some(&orders), Scope::Read));
    assert!(grant("*=read").covers_logs(Scope::Read) && !grant("*=read").covers_logs(Scope::Write));
    assert!(!grant("orders=admin").covers_logs(Scope::Read));
}
