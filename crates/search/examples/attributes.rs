//! Measures filters, order and aggregates on an attribute file, on one thread.
//!
//! `cargo run --release -p search --example attributes -- [rows=1000000] [rounds=9]`. For each query it prints the
//! median of the rounds in milliseconds and what was found. The file is in memory.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a program for measuring by hand: it reads clocks, and prints"
)]

use std::error::Error;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use base::document::Document;
use base::words::{DocId, Lsn};
use roaring::RoaringBitmap;
use search::attributes::{Input, Reader, Writer, merge};
use search::exhaustive::Exhaustive;
use search::filter::Filter;
use search::json::Json;
use search::query::Query;
use search::schema::{Schema, Undeclared};
use search::vector::ReadRanges;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const SCHEMA: &str = r#"{"user":"string","country":"string","age":"int","price":"float","sold":"bool","tags":"[]string"}"#;
const IDENTITY: [u8; 16] = [1; 16];

/// A file in memory.
#[derive(Debug)]
struct Memory(Vec<u8>);

impl ReadRanges for Memory {
    fn read(&self, ranges: &[Range<u64>]) -> io::Result<Vec<Vec<u8>>> {
        let part = |range: &Range<u64>| {
            let (from, to) = (usize::try_from(range.start).ok()?, usize::try_from(range.end).ok()?);
            self.0.get(from..to).map(<[u8]>::to_vec)
        };
        ranges.iter().map(|range| part(range).ok_or(io::ErrorKind::UnexpectedEof.into())).collect()
    }
}

fn document(n: u64) -> String {
    // Weyl's sequence: even, and in no order.
    let x = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
    format!(
        r#"{{"user":"user-{:07}","country":"c{}","age":{},"price":{:?},"sold":{},"tags":["t{}","t{}"]}}"#,
        x % 5_000_000,
        x % 97,
        x % 80,
        (x % 1_000_000) as f64 / 100.0,
        x.is_multiple_of(10),
        x % 1000,
        x % 13,
    )
}

fn json(text: &str) -> Result<Json<'_>> {
    Ok(Json::parse(text.as_bytes())?)
}

/// The median of some rounds, in milliseconds, and what the last of them found.
fn measure<T>(rounds: usize, mut run: impl FnMut() -> Result<T>) -> Result<(f64, T)> {
    let mut times = Vec::new();
    let mut last = run()?;
    for _ in 0..rounds {
        let started = Instant::now();
        last = run()?;
        times.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    Ok((times[times.len() / 2], last))
}

fn main() -> Result<()> {
    let keys: Vec<(String, String)> = std::env::args()
        .filter_map(|word| word.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned())))
        .collect();
    let key = |name: &str| keys.iter().find(|(key, _)| key == name).map(|(_, value)| value);
    let count: u64 = key("rows").map_or(Ok(1_000_000), |rows| rows.parse())?;
    let rounds: usize = key("rounds").map_or(Ok(9), |rounds| rounds.parse())?;
    let schema = Schema::new(Undeclared::Refuse).declare(json(SCHEMA)?, None)?.schema;
    let mut writer = Writer::new(&schema);
    for n in 0..count {
        let document = Document::parse(document(n).as_bytes())?;
        writer.add(&schema.row(&DocId::U64(n), &document)?, Lsn(n + 1))?;
    }
    let started = Instant::now();
    let mut bytes = Vec::new();
    let written = writer.finish(&IDENTITY, &mut bytes)?;
    println!(
        "written in {:.2} s, {} bytes a row",
        started.elapsed().as_secs_f64(),
        written.len / count
    );
    let reader = Reader::open(Arc::new(Memory(bytes)), &IDENTITY, written)?;
    let all: RoaringBitmap = (0..reader.rows()).collect();
    let started = Instant::now();
    let inputs = [Input { reader: &reader, live: &all }];
    merge(&schema, &inputs, &IDENTITY, &mut io::sink())?;
    println!("merged in {:.2} s", started.elapsed().as_secs_f64());
    for text in [
        r#"["country","Eq","c7"]"#,
        r#"["user","Eq","user-0000815"]"#,
        r#"["age","Gte",40]"#,
        r#"["price","Lt",100]"#,
        r#"["price","Gte",1000]"#,
        r#"["age","In",[3,5,7,11,13]]"#,
        r#"["tags","Contains","t999"]"#,
        r#"["user","Glob","user-00001*"]"#,
        r#"["And",[["country","Eq","c7"],["age","Gte",40],["price","Lt",5000]]]"#,
        r#"["Not",["sold","Eq",true]]"#,
    ] {
        let filter = Filter::parse(json(text)?)?.compile(&schema)?;
        let (ms, found) = measure(rounds, || Ok(reader.matching(&filter, None)?.len()))?;
        let (estimating, estimate) = measure(rounds, || Ok(reader.estimate(&filter)?.likely))?;
        println!("{ms:9.3} ms  {found:8} rows  estimated {estimate} in {estimating:.3} ms  {text}");
    }
    for text in [
        r#"{"limit":0,"aggregate_by":{"n":["Sum","price"]}}"#,
        r#"{"limit":0,"aggregate_by":{"n":["Count"],"p":["Avg","price"],"m":["Max","age"]},"group_by":["country"]}"#,
        r#"{"limit":0,"facets":["country","tags"]}"#,
        r#"{"rank_by":[["age","desc"],["price","asc"]],"limit":10}"#,
        r#"{"rank_by":["price","asc"],"limit":10,"filters":["country","Eq","c7"]}"#,
        r#"{"rank_by":["Sum",[["Attribute","price"],["Attribute","age"]]],"limit":10}"#,
    ] {
        let query = Query::parse(json(text)?)?;
        let (ms, matched) = measure(rounds, || {
            let mut answer = Exhaustive::new(&schema, &query)?;
            answer.add_segment(&reader, &all)?;
            Ok(answer.finish().work.matched)
        })?;
        println!("{ms:9.3} ms  {matched:8} rows  {text}");
    }
    Ok(())
}
