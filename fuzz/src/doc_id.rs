//! Bytes as an encoded document id: an error, or an id whose encoding is those very bytes.

use base::words::DocId;

/// One input.
pub fn run(data: &[u8]) {
    if let Ok(id) = DocId::decode(data) {
        let mut encoded = Vec::new();
        id.encode(&mut encoded);
        assert_eq!(encoded, data, "two encodings of {id:?}");
        assert_eq!(encoded.len(), id.encoded_len());
    }
    // The order of encodings is the order of ids: the two halves of the input are compared.
    let (left, right) = data.split_at(data.len() / 2);
    if let (Ok(a), Ok(b)) = (DocId::decode(left), DocId::decode(right)) {
        assert_eq!(a.cmp(&b), left.cmp(right), "{a:?} and {b:?}");
    }
}

/// One id of each kind, and two that share their first byte, one after the other.
pub fn seeds() -> Vec<Vec<u8>> {
    let string = |text| DocId::string(text).expect("a short text is an id");
    let ids = [
        vec![DocId::U64(0)],
        vec![DocId::U64(u64::MAX)],
        vec![DocId::decode(&[2; 17]).unwrap_or(DocId::U64(2))],
        vec![string("a")],
        vec![string(&"é".repeat(32))],
        vec![DocId::U64(1), DocId::U64(256)],
        vec![string("ab"), string("ba")],
    ];
    ids.iter()
        .map(|ids| {
            let mut bytes = Vec::new();
            ids.iter().for_each(|id| id.encode(&mut bytes));
            bytes
        })
        .collect()
}
