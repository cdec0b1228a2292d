//! What does it cost to patch a document? One field of small documents, first and last and nested,
//! with and without reading the patch; then what a hostile client may send.
//!
//! Beside it, the validator alone on the same document: the result goes through it, so it is the
//! floor.

use std::hint::black_box;

use base::document::{Document, validate};
use criterion::{Criterion, criterion_group, criterion_main};
use docstore::patch::Patch;

fn records(bytes: usize) -> String {
    let mut members = Vec::new();
    let mut len = 0;
    while len < bytes {
        let n = members.len();
        let member = format!(
            r#""field_{n}":{{"name":"user number {n}","mail":"user{n}@example.org","age":{n},"score":{n}.25,"active":true}}"#
        );
        len += member.len();
        members.push(member);
    }
    format!("{{{}}}", members.join(","))
}

fn document(text: &str) -> Document {
    Document::parse(text.as_bytes()).expect("a document")
}

fn one_field(criterion: &mut Criterion) {
    for (name, text) in [
        ("256B", records(200)),
        ("1KiB", records(950)),
        ("64KiB", records(64_000)),
        ("text_1KiB", format!(r#"{{"field_1":{{}},"body":"{}"}}"#, "lazy dog ".repeat(110))),
    ] {
        let document = document(&text);
        let mut group = criterion.benchmark_group(name);
        group.bench_function("validate", |b| b.iter(|| validate(black_box(text.as_bytes()))));
        for (what, operation) in [
            ("set_nested", r#"[{"op":"set","path":"/field_1/age","value":37}]"#),
            ("set_absent", r#"[{"op":"set","path":"/updated","value":"2020-01-01"}]"#),
        ] {
            let patch = Patch::parse(operation.as_bytes()).expect("a patch");
            group.bench_function(what, |b| b.iter(|| patch.apply(black_box(&document))));
            group.bench_function(format!("{what}_with_parse"), |b| {
                b.iter(|| Patch::parse(black_box(operation.as_bytes()))?.apply(&document));
            });
        }
        group.finish();
    }
}

/// A thousand operations on 16 MiB.
fn hostile(criterion: &mut Criterion) {
    let array = format!("[{}0]", "0,".repeat(8_000_000));
    let keys: Vec<String> = (0..1_000_000).map(|n| format!(r#""k{n}":0"#)).collect();
    let object = format!("{{{}}}", keys.join(","));
    let depth = 120;
    let nested = format!("{}{array}{}", "[".repeat(depth), "]".repeat(depth));
    let operations = |path: &dyn Fn(usize) -> String| {
        let operation = |n| format!(r#"{{"op":"set","path":"{}","value":1}}"#, path(n));
        let operations: Vec<String> = (0..1000).map(operation).collect();
        Patch::parse(format!("[{}]", operations.join(",")).as_bytes()).expect("a patch")
    };
    let mut group = criterion.benchmark_group("hostile_16MiB_1000_operations");
    group.sample_size(10);
    for (what, text, patch) in [
        ("elements", &array, operations(&|n| format!("/{}", n * 7919))),
        ("members", &object, operations(&|n| format!("/k{}", n * 997))),
        ("absent_members", &object, operations(&|n| format!("/absent{n}"))),
        ("levels", &nested, operations(&|n| format!("{}/-", "/0".repeat(n % depth)))),
    ] {
        let document = document(text);
        group.bench_function(what, |b| b.iter(|| patch.apply(black_box(&document))));
    }
    group.finish();
}

criterion_group!(benches, one_field, hostile);
criterion_main!(benches);
