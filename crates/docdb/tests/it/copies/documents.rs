//! Exports and imports of documents as lines.

use std::io::BufRead as _;

use base::words::DocId;
use docstore::{DEFAULT_COLLECTION, ScanRequest, default_name};
use serde_json::json;

use super::*;

/// A line of every kind of id, and documents that are easily altered.
const LINES: &str = concat!(
    "{\"id\":0,\"document\":123456789012345678901234567890.10}\n",
    "{\"id\":18446744073709551615,\"document\":{\"a\" : 1.500e+0007,\"b\":-0.0}}\n",
    "{\"id\":\"67e55044-10b1-426f-9247-bb680e5fe0c8\",\"document\":\"\\u0000\\/\"}\n",
    "{\"id\":\"67e55044-10b1-426f-9247-bb680e5fe0c8\",\"id_type\":\"string\",\"document\":[]}\n",
    "{\"id\":\"7\",\"expires_at\":4102444800000,\"document\":{\"z\":1,\"a\":2}}\n",
    "{\"id\":\"a\\\"b é\",\"expires_at\":4102444800001,\"text\":\"{\\n\\t\\\"a\\\":\\r\\n1}\\n\"}\n",
);

/// The lines without their revisions.
fn without_revisions(lines: &str) -> Vec<String> {
    let part = |line: &str| {
        let (head, tail) = line.split_once("\"revision\":").expect("it has one");
        format!("{head}{}", tail.trim_start_matches(|c: char| c.is_ascii_digit()))
    };
    lines.lines().map(part).collect()
}

#[test]
fn ids_values_and_expiries_survive_export_and_import_exactly() {
    let root = root();
    let (one, two, file) = (below(&root, "one"), below(&root, "two"), below(&root, "all.ndjson"));
    filled(&one, LINES.as_bytes());
    let said = done(&["export", &file, "--data-dir", &one]);
    assert!(said.starts_with("exported 6 documents of default/default at LSN "), "{said}");
    let lines = String::from_utf8(bytes_of(&file)).unwrap();
    for exact in [
        ":0,\"id_type\":\"u64\"",
        "\"document\":123456789012345678901234567890.10}",
        "{\"a\" : 1.500e+0007,\"b\":-0.0}",
        "\"id_type\":\"uuid\"",
        "\"document\":\"\\u0000\\/\"",
        "\"expires_at\":4102444800000,\"document\":{\"z\":1,\"a\":2}",
        "\"text\":\"{\\n\\t\\\"a\\\":\\r\\n1}\\n\"",
    ] {
        assert!(lines.contains(exact), "{exact} in {lines}");
    }
    // An empty collection before, so that the revisions differ.
    let args = ["import", &file, "--data-dir", &two, "--collection", "copy", "--create"];
    let said = done(&args);
    assert_eq!(said, "6 lines into default/copy: 6 created, 0 replaced, 0 refused\n");
    let output = docdb(&["export", "--data-dir", &two, "--collection", "copy"]);
    assert_eq!(without_revisions(&out(&output)), without_revisions(&lines));
    assert!(err(&output).starts_with("exported 6 documents of default/copy"), "{}", err(&output));
    let again = parsed(&done(&[&args[..], &["--upsert", "--json"]].concat()));
    assert_eq!((&again["created"], &again["replaced"]), (&json!(0), &json!(6)));
}

#[test]
fn an_export_replaces_a_file_when_it_is_complete_and_leaves_it_alone_when_it_fails() {
    let root = root();
    let (data, file) = (below(&root, "data"), below(&root, "all.ndjson"));
    filled(&data, &numbered(0, 3));
    write(&file, b"of yesterday");
    // Left by one that was killed.
    write(&format!("{file}.part"), b"half of it");
    let output = docdb(&["export", &file, "--data-dir", &data, "--collection", "nothing"]);
    assert_eq!(code(&output), 1);
    assert_eq!(bytes_of(&file), b"of yesterday");
    assert!(!is_there(&format!("{file}.part")));
    let json = parsed(&done(&["export", &file, "--data-dir", &data, "--json"]));
    assert_eq!((&json["documents"], &json["collection"]), (&json!(3), &json!("default")));
    assert_eq!(json["bytes"], bytes_of(&file).len());
    let nowhere = below(&root, "no/such/place");
    let output = docdb(&["export", &nowhere, "--data-dir", &data]);
    assert_eq!(code(&output), 1);
    assert!(err(&output).contains(&nowhere), "{}", err(&output));
    assert!(err(&output).ends_with(" code=FileWrite\n"), "{}", err(&output));
}

#[test]
fn a_reader_of_an_export_may_go_away_early() {
    let root = root();
    let data = below(&root, "data");
    filled(&data, &numbered(0, 40_000));
    let mut command = Command::new(env!("CARGO_BIN_EXE_docdb"));
    command.args(["export", "--data-dir", &data]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary was built");
    let mut lines = std::io::BufReader::new(child.stdout.take().expect("it is piped"));
    let mut first = String::new();
    lines.read_line(&mut first).expect("there is one");
    assert!(first.starts_with("{\"id\":0,"), "{first}");
    drop(lines);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(err(&output).is_empty(), "{}", err(&output));
}

const BAD: &[u8] =
    b"{\"id\":1,\"document\":1}\n{\"id\":2,\"document\":}\n\n{\"id\":-3,\"document\":3}\n\
    {\"id\":1,\"document\":4}\n{\"id\":5,\"document\":5}\n";

#[test]
fn lines_that_are_refused_are_named_and_either_end_the_import_or_do_not() {
    let root = root();
    let data = below(&root, "data");
    let import = |more: &[&str]| {
        let collection = format!("c{}", more.len());
        let args = ["import", "--create", "--data-dir", &data, "--collection", &collection];
        fed(&[&args[..], more].concat(), BAD)
    };
    let output = import(&[]);
    assert_eq!(code(&output), 6);
    let said = out(&output);
    assert!(said.contains("2 lines into default/c0: 1 created, 0 replaced, 1 refused\n"), "{said}");
    assert!(said.ends_with("stopped at line 2: those before it are imported, none behind it is\n"));
    let named = err(&output);
    assert!(named.starts_with("line 2: ") && named.ends_with(" code=InvalidJson\n"), "{named}");
    let output = import(&["--on-error", "skip"]);
    assert_eq!(code(&output), 6);
    assert_eq!(out(&output), "6 lines into default/c2: 2 created, 0 replaced, 3 refused\n");
    let named = err(&output);
    let expected =
        [("line 2: ", "InvalidJson"), ("line 4: ", "InvalidId"), ("line 5: ", "DocExists")];
    assert_eq!(named.lines().count(), 3, "{named}");
    for (line, (number, code)) in named.lines().zip(expected) {
        assert!(line.starts_with(number) && line.ends_with(&format!("code={code}")), "{line}");
    }
    let json = parsed(&out(&import(&["--on-error", "skip", "--json"])));
    assert_eq!((&json["created"], &json["refused"]), (&json!(2), &json!(3)));
    assert_eq!(
        (&json["errors"][1]["line"], &json["errors"][1]["code"]),
        (&json!(4), &json!("InvalidId"))
    );
    assert_eq!((&json["stopped_at"], &json["errors_not_listed"]), (&Value::Null, &json!(0)));
    let json = parsed(&out(&import(&["--json"])));
    assert_eq!((&json["stopped_at"], &json["lines"]), (&json!(2), &json!(2)));
}

#[test]
fn more_refused_lines_than_a_report_lists_are_all_named_and_counted() {
    let root = root();
    let data = below(&root, "data");
    let lines = "{\n".repeat(2500);
    let args = ["import", "--create", "--data-dir", &data, "--on-error", "skip", "--json"];
    let output = fed(&args, lines.as_bytes());
    assert_eq!(code(&output), 6);
    assert_eq!(err(&output).lines().count(), 2500);
    let json = parsed(&out(&output));
    assert_eq!((&json["refused"], &json["errors_not_listed"]), (&json!(2500), &json!(1500)));
    assert_eq!(json["errors"].as_array().unwrap().len(), 1000);
}

#[test]
fn an_input_that_cannot_be_read_is_refused_before_anything_is_made() {
    let root = root();
    let data = below(&root, "data");
    let nothing = below(&root, "nothing.ndjson");
    let directory = below(&root, "");
    for (input, hint) in
        [(&*nothing, "No such file"), (&directory, ""), ("/dev/stdin", "import -`")]
    {
        let output = docdb(&["import", input, "--create", "--data-dir", &data]);
        assert_eq!(code(&output), 1, "{input}");
        let said = err(&output);
        assert!(said.contains("cannot read `") && said.contains(hint), "{said}");
        assert!(said.ends_with(" code=FileOpen\n"), "{said}");
    }
    assert!(!is_there(&data));
}

#[test]
fn an_import_that_is_killed_leaves_the_lines_up_to_one_of_them() {
    let root = root();
    let data = below(&root, "data");
    filled(&data, b"");
    let mut command = Command::new(env!("CARGO_BIN_EXE_docdb"));
    command.args(["import", "--data-dir", &data]).stdin(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.stdout(Stdio::null()).spawn().expect("the binary was built");
    let mut stdin = child.stdin.take().expect("it is piped");
    // The pipe holds far less than this: most of it was taken when the last line goes in.
    stdin.write_all(&numbered(0, 60_000)).expect("it reads");
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    drop(stdin);
    let store = held(&data);
    let db = store.database(&default_name()).unwrap();
    let (mut expected, mut next) = (0, Some(ScanRequest::all(DEFAULT_COLLECTION, 1000)));
    while let Some(request) = next {
        let page = db.scan(&request).unwrap();
        for (id, _) in page.documents {
            assert_eq!(id, DocId::U64(expected));
            expected += 1;
        }
        next = page.next;
    }
    assert!(expected > 10_000, "{expected}");
}
