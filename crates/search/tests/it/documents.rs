//! The open copy of a segment: what is written is read back, by us and by any reader of Parquet.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::error::{Code, Coded};
use base::words::Lsn;
use bytes::Bytes as Whole;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;
use search::documents::{Documents, DocumentsError, DocumentsWriter, DocumentsWritten, StoredRow};
use search::schema::{Row, Schema};
use search::storage::ReadRanges;

use crate::rows::{Bytes, IDENTITY, Rows, any_documents, rows, schema, schema_of};

fn written(schema: &Schema, rows: &[(Lsn, Row)]) -> (Vec<u8>, DocumentsWritten) {
    let mut bytes = Vec::new();
    let mut writer = DocumentsWriter::begin(schema, &IDENTITY, &mut bytes).expect("a file");
    for (lsn, row) in rows {
        writer.add(row.clone(), *lsn).expect("room");
    }
    let written = writer.finish().expect("a file");
    assert_eq!(written.len, bytes.len() as u64);
    (bytes, written)
}

fn open(bytes: Vec<u8>, written: DocumentsWritten) -> Result<Documents, DocumentsError> {
    Documents::open(Arc::new(Bytes(bytes)), &IDENTITY, written)
}

fn check(schema: &Schema, rows: &Rows) {
    let (bytes, written) = written(schema, rows);
    let documents = open(bytes, written).expect("a file");
    assert_eq!(documents.schema(), schema);
    assert_eq!(documents.len(), rows.len() as u64);
    assert_eq!(documents.is_empty(), rows.is_empty());
    let found: Result<Vec<StoredRow>, _> = documents.rows().expect("rows").collect();
    let expect = rows.iter().map(|(lsn, row)| StoredRow { lsn: *lsn, row: row.clone() });
    assert_eq!(found.expect("rows"), expect.collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn rows_read_back_as_they_were_written(documents in any_documents(40)) {
        let schema = schema();
        check(&schema, &rows(&schema, &documents, 3));
    }
}

#[test]
fn vectors_of_every_element_and_many_rows_read_back() {
    let schema = schema_of(
        r#"{"h":{"type":"[3]f16","distance_metric":"dot"},"c":{"type":"[3]i8","distance_metric":"dot"},
            "dotted.name":"[]uuid","$.lsn":"datetime","/with.dot/x":"[]datetime"}"#,
    );
    let documents: Vec<_> = (0..5000_u64)
        .map(|n| {
            let text = match n % 3 {
                0 => "{}".to_owned(),
                1 => format!("{{\"h\":[0.5,-2,{}],\"lsn\":\"2024-01-01\"}}", n % 100),
                _ => format!(
                    "{{\"c\":[1,-128,{}],\"dotted\":{{\"name\":[\"00112233-4455-6677-8899-aabbccddeeff\"]}},\
                     \"with.dot\":{{\"x\":[\"2024-01-01\",\"1970-01-01\"]}}}}",
                    n % 100
                ),
            };
            (base::words::DocId::U64(n), text)
        })
        .collect();
    check(&schema, &rows(&schema, &documents, 1));
}

#[test]
fn any_reader_of_parquet_understands_the_columns() {
    let schema = schema();
    let documents = [
        (base::words::DocId::U64(7), r#"{"s":"x","i":-1,"a":{"b":[1,2]},"v":[1,2]}"#.to_owned()),
        (base::words::DocId::string("k").expect("an id"), "{}".to_owned()),
    ];
    let (bytes, _) = written(&schema, &rows(&schema, &documents, 1));
    let builder = ParquetRecordBatchReaderBuilder::try_new(Whole::from(bytes)).expect("a file");
    let types: Vec<String> = builder
        .schema()
        .fields()
        .iter()
        .map(|field| format!("{} {}", field.name(), field.data_type()))
        .collect();
    let batch = builder.build().expect("a reader").next().expect("a batch").expect("rows");
    assert_eq!(batch.num_rows(), 2);
    assert_eq!(types[..3], ["id Utf8", "$id_type Utf8", "$lsn UInt64"]);
    let find = |name: &str| types.iter().find(|text| text.starts_with(name)).expect("a column");
    assert_eq!(find("i "), "i Int64");
    assert!(find("a.b ").starts_with("a.b List("), "{}", find("a.b "));
    assert!(find("v ").starts_with("v FixedSizeList(2 x"), "{}", find("v "));
    assert!(find("d ").contains("Timestamp"), "{}", find("d "));
}

#[test]
fn every_damaged_byte_is_found() {
    let schema = schema_of(r#"{"s":"string"}"#);
    let documents = [(base::words::DocId::U64(7), r#"{"s":"x"}"#.to_owned())];
    let (bytes, written) = written(&schema, &rows(&schema, &documents, 1));
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        let found = open(damaged, written);
        assert!(matches!(found, Err(DocumentsError::Damaged { .. })), "byte {at}");
    }
    let cut = open(bytes[..bytes.len() - 1].to_vec(), written);
    assert!(matches!(cut, Err(DocumentsError::Read(_))));
    let other = Documents::open(Arc::new(Bytes(bytes)), b"another identity", written);
    assert!(matches!(other, Err(DocumentsError::Damaged { .. })));
}

/// A file that can be read so many times.
#[derive(Debug)]
struct Away {
    file: Bytes,
    left: AtomicU64,
}

impl ReadRanges for Away {
    fn read(&self, ranges: &[Range<u64>]) -> io::Result<Vec<Vec<u8>>> {
        let left = self.left.load(Ordering::Relaxed);
        let Some(left) = left.checked_sub(1) else { return Err(io::ErrorKind::TimedOut.into()) };
        self.left.store(left, Ordering::Relaxed);
        self.file.read(ranges)
    }
}

#[test]
fn a_store_that_goes_away_while_a_file_is_read_is_no_damage() {
    let schema = schema_of(r#"{"s":"string"}"#);
    let documents = [(base::words::DocId::U64(7), r#"{"s":"x"}"#.to_owned())];
    let (bytes, written) = written(&schema, &rows(&schema, &documents, 1));
    for reads in 0..100 {
        let file = Away { file: Bytes(bytes.clone()), left: AtomicU64::new(reads) };
        let all = Documents::open(Arc::new(file), &IDENTITY, written)
            .and_then(|documents| documents.rows()?.try_for_each(|row| row.map(|_| ())));
        let Err(error) = all else {
            assert!(reads > 2, "{reads} reads");
            return;
        };
        assert!(error.retryable() && error.code() == Code::FileRead, "{reads} reads: {error}");
    }
    panic!("a hundred reads are enough");
}
