//! Damaged files of logs under a real server: it starts all the same, says what it put aside or could
//! not read, finds the rest and takes more.

use std::path::Path;

use base::io::{Disk as _, Open, RealDisk, write_all_at};
use serde_json::{Value, json};

use super::{all_of, line, messages, metric};
use crate::http::world::Client;
use crate::served::{Server, logs_in, partitions};

fn ingest(client: &mut Client, body: &str) -> Value {
    client.ask("POST", "/v1/logs/ingest", &[], body.as_bytes()).json()
}

fn get(client: &mut Client, path: &str) -> Value {
    client.ask("GET", path, &[], b"").json()
}

fn put_aside(data: &Path) -> Vec<String> {
    let aside = RealDisk.list(&logs_in(data).join("damaged")).unwrap();
    aside.into_iter().map(|entry| entry.name).collect()
}

#[test]
fn a_partition_that_is_no_database_is_put_aside_and_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Server::start(&data);
    ingest(&mut Client::to(server.address), &line("shop", "err", "lost"));
    server.end();
    let file = partitions(&data).pop().unwrap();
    write_all_at(&*RealDisk.open(&file, Open::Write).unwrap(), &[0x5a; 4096], 0).unwrap();
    let server = Server::start(&data);
    let mut client = Client::to(server.address);
    let health = get(&mut client, "/health");
    assert_eq!(
        (&health["status"], &health["logs"]["status"]),
        (&json!("degraded"), &json!("degraded"))
    );
    assert_eq!(health["logs"]["damaged_partitions"], 1);
    assert_eq!(metric(&mut client, "docdb_logs_damaged_partitions_total"), 1);
    let name = file.file_name().unwrap().to_str().unwrap();
    let aside = put_aside(&data);
    assert!(aside.iter().any(|n| n.starts_with(name) && n.ends_with(".report.json")), "{aside:?}");
    assert_eq!(aside.len(), 2, "the file and its report: {aside:?}");
    assert_eq!(ingest(&mut client, &line("shop", "err", "new"))["stored"], 1);
    assert_eq!(messages(&all_of(&mut client, "shop")), ["new"]);
    server.end();
}

#[test]
fn a_block_that_cannot_be_read_is_named_in_every_answer_and_the_rest_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Server::start(&data);
    let body: String = (0..9000).map(|n| line("shop", "err", &format!("entry {n}"))).collect();
    assert_eq!(ingest(&mut Client::to(server.address), &body)["stored"], 9000);
    // Closing seals nothing: a server under more load does.
    let blocks = |file: &Path| -> i64 {
        let file = rusqlite::Connection::open(file).unwrap();
        file.query_row("SELECT count(*) FROM block", [], |row| row.get(0)).unwrap()
    };
    server.end();
    let file = partitions(&data).pop().unwrap();
    assert!(blocks(&file) >= 1);
    let damage = "UPDATE block_column SET frame = CAST(frame || x'00' AS BLOB) \
         WHERE id = (SELECT min(id) FROM block) * 16 + 10";
    assert_eq!(rusqlite::Connection::open(&file).unwrap().execute(damage, []).unwrap(), 1);
    let server = Server::start(&data);
    let mut client = Client::to(server.address);
    let page = get(&mut client, "/v1/logs?app_name=shop&order=oldest&limit=1000");
    let unreadable = page["unreadable"].as_array().unwrap();
    assert_eq!(unreadable.len(), 1, "{page}");
    assert!(unreadable[0]["error"].as_str().unwrap().contains("checksum"), "{unreadable:?}");
    let (first, last) = (&unreadable[0]["first_id"], &unreadable[0]["last_id"]);
    let lost = last.as_u64().unwrap() - first.as_u64().unwrap() + 1;
    assert!(page["entries"].as_array().unwrap().len() == 1000 && lost <= 4096, "{lost}");
    assert!(metric(&mut client, "docdb_logs_unreadable_parts_total") >= 1);
    let mut export = std::process::Command::new(env!("CARGO_BIN_EXE_docdb"));
    export.args([
        "logs",
        "export",
        "--app",
        "shop",
        "--connect",
        &format!("http://{}", server.address),
    ]);
    let output = export.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("cannot be read and is missing"), "{said}");
    let lines = String::from_utf8(output.stdout).unwrap().lines().count() as u64;
    assert!((9000 - lost..9000).contains(&lines), "{lines} lines, {lost} lost");
    server.end();
}
