//! How fast does the validator read documents of several shapes? Beside it, `serde_json` skipping
//! the same text without keeping anything (fewer checks) and building a tree of values.

use std::hint::black_box;

use base::document::{Document, validate};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

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

fn shapes() -> Vec<(&'static str, String)> {
    let floats: Vec<_> = (0..60).map(|n| format!("0.{:015}", n * 123_456_789_u64)).collect();
    let words = "the quick brown fox jumps over the lazy dog ".repeat(23);
    let wide: Vec<_> = (0..100_000).map(|n| format!(r#""key{n}":0"#)).collect();
    let collide: Vec<_> = (0..400_000).map(|n| format!(r#""prefix__{n:06}__suffix":0"#)).collect();
    vec![
        ("records_256B", records(200)),
        ("records_1KiB", records(1000)),
        ("records_64KiB", records(64_000)),
        ("floats_1KiB", format!("[{}]", floats.join(","))),
        ("text_1KiB", format!(r#"{{"title":"fox","body":"{words}"}}"#)),
        ("pretty_1KiB", records(700).replace(',', ",\n        ").replace(':', ": ")),
        ("one_object_of_100k_keys", format!("{{{}}}", wide.join(","))),
        ("colliding_400k_keys", format!("{{{}}}", collide.join(","))),
    ]
}

fn validator(criterion: &mut Criterion) {
    for (name, text) in shapes() {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Bytes(text.len() as u64));
        let bytes = text.as_bytes();
        group.bench_function("validate", |b| b.iter(|| validate(black_box(bytes))));
        group.bench_function("document_parse", |b| b.iter(|| Document::parse(black_box(bytes))));
        group.bench_function("serde_json_skip", |b| {
            b.iter(|| serde_json::from_slice::<serde::de::IgnoredAny>(black_box(bytes)));
        });
        group.bench_function("serde_json_value", |b| {
            b.iter(|| serde_json::from_slice::<serde_json::Value>(black_box(bytes)));
        });
        group.finish();
    }
}

criterion_group!(benches, validator);
criterion_main!(benches);
