//! Bytes as the body of a request, to every decoder of bodies: refused with an answer that says
//! why, or made into operations whose documents are pieces of these very bytes. A body means the
//! same in whatever pieces it comes.

use base::limits::ID_BYTES_MAX;
use base::words::{DocId, Name};
use bytes::Bytes;
use docdb::engine::{Op, OpKind};
use docdb::http::decode::{self, Refused};
use docstore::Expiry;

/// One input.
pub fn run(data: &[u8]) {
    let body = Bytes::copy_from_slice(data);
    match decode::operations(&body) {
        Ok(ops) => ops.iter().for_each(|op| is_of(&body, op)),
        Err(refused) => is_answer(&refused),
    }
    match decode::new_name(data) {
        Ok(name) => is_name(&name),
        Err(refused) => is_answer(&refused),
    }
    match decode::heal(data) {
        Ok((collection, id, _)) => {
            is_name(&collection);
            is_id(&id);
        }
        Err(refused) => is_answer(&refused),
    }
    import(data);
    search(data);
}

/// Writes and queries of namespaces: what they bring are objects.
fn search(data: &[u8]) {
    for read in decode::namespace_writes(data) {
        match read {
            Ok((documents, _)) => documents.iter().for_each(|document| {
                assert!(document.as_bytes().starts_with(b"{"), "{document:?}");
            }),
            Err(refused) => is_answer(&refused),
        }
    }
    for read in decode::queries(data) {
        match read {
            Ok(count) => assert!(count >= 1, "no query"),
            Err(refused) => is_answer(&refused),
        }
    }
    for read in decode::schema_changes(data) {
        read.err().iter().for_each(is_answer);
    }
}

/// An import in one piece, and in several.
fn import(data: &[u8]) {
    let collection = Name::new("c").expect("a letter is a name");
    let (ops, refused) = decode::import(&[data], &collection);
    let lines = data.split(|byte| *byte == b'\n').count();
    assert!(ops.len() + refused.len() <= lines, "more than there are lines");
    assert!(refused.iter().is_sorted_by(|(a, _), (b, _)| a < b));
    assert!(refused.iter().all(|(line, _)| (1..=lines as u64).contains(line)));
    let middle = data.len() / 2;
    let pieces = [&data[..middle / 2], &data[middle / 2..middle], &data[middle..]];
    let (again, refused_again) = decode::import(&pieces, &collection);
    assert_eq!(format!("{again:?}"), format!("{ops:?}"));
    assert_eq!(refused_again.len(), refused.len());
}

/// What it writes stands in the body, and can be written at all.
fn is_of(body: &Bytes, op: &Op) {
    is_name(&op.collection);
    is_id(&op.id);
    let (text, expiry) = match &op.kind {
        OpKind::Create(text, expiry) | OpKind::Update(text, expiry) => (text, *expiry),
        OpKind::Upsert(text, expiry) => (text, *expiry),
        OpKind::Patch(text) => (text, Expiry::Never),
        OpKind::Read | OpKind::Delete => return,
    };
    let bytes = body.as_ptr_range();
    assert!(bytes.contains(&text.as_ptr()) && text.as_ptr_range().end <= bytes.end, "{op:?}");
    assert!(expiry != Expiry::After(std::time::Duration::ZERO), "{op:?}");
}

fn is_name(name: &Name) {
    assert_eq!(Name::new(name.as_str()).as_ref(), Ok(name));
}

fn is_id(id: &DocId) {
    let mut bytes = Vec::new();
    id.encode(&mut bytes);
    assert_eq!(DocId::decode(&bytes).as_ref(), Ok(id));
    assert!(bytes.len() <= 1 + ID_BYTES_MAX);
}

/// A refusal is the client's fault and says what is wrong.
pub(crate) fn is_answer(refused: &Refused) {
    assert!((400..500).contains(&refused.status), "{refused:?}");
    let body: serde_json::Value = serde_json::from_slice(&refused.body).expect("it is JSON");
    let text = |name: &str| body["error"][name].as_str().is_some_and(|text| !text.is_empty());
    assert!(text("code") && text("message") && text("category"), "{body}");
}

/// A body of each kind.
pub fn seeds() -> Vec<Vec<u8>> {
    [
        r#"{"operations":[{"op":"put","collection":"c","id":1,"document":{ "a" : [1.0,"\u00e9"] },
            "ttl_ms":5,"if_revision":7},{"op":"get","collection":"c","id":"2","id_type":"u64"}]}"#,
        r#"{"operations":[{"op":"create","collection":"a.b-c","id":"x","document":null,
            "expires_at":"2030-01-31T12:00:00.5+01:30"},
            {"op":"update","collection":"c","id":18446744073709551615,"document":""},
            {"op":"delete","collection":"c","id":"67e55044-10b1-426f-9247-bb680e5fe0c8"},
            {"op":"patch","collection":"c","id":"\ud83d\ude00","if_absent":false,
             "patch":[{"op":"set","path":"/a","value":[[{}]]}]}]}"#,
        r#" {"name":"orders_2.1-x"} "#,
        r#"{"collection":"c","id":"7","id_type":"string","versions":true}"#,
        r#"{"collection":"c","id":"67e55044-10b1-426f-9247-bb680e5fe0c8","accept":9}"#,
        "{\"id\":1,\"document\":{}}\n\n{\"id\":\"a\",\"document\":[1,{\"b\":\"]\"}]}\r\n \nno JSON\n",
        "{\"id\":\"7\",\"id_type\":\"u64\",\"text\":\"{}\"}",
        r#"{"distance_metric":"dot","schema":{"a":"int"},"upsert_rows":[{"id":1,"vector":[0.5],"a":1}],
            "upsert_columns":{"id":["x"],"vector":["zczMPQ=="],"a":[null]},"patch_rows":[{"id":1,"a":2}],
            "deletes":[2],"delete_by_filter":["a","Lt",1],"upsert_condition":["a","Lt",{"$ref_new":"a"}]}"#,
        r#"{"patch_by_filter":{"filters":["a","Eq",1],"patch":{"b":[1]}},"return_affected_ids":true}"#,
        r#"{"queries":[{"rank_by":["vector","ANN",[1,2]],"filters":["And",[["a","In",[1,null]]]]},
            {"rank_by":["a","asc"],"include_attributes":["a"]}],"rerank_by":["RRF",{"weights":[1,2]}]}"#,
        r#"{"vector":[1],"top_k":3,"full_text":{"fields":{"t":2},"query":"x"},"include_vector":true,
            "filter":{"operator":"or","conditions":[{"attribute":"a","op":"not_in","value":[1]}]}}"#,
        r#"{"rows":[{"id":1,"vector":"zczMPQ==","attributes":{"a":{"b":1}}}]}"#,
        r#"{"attributes":{"a":"int"},"undeclared":"refuse"}"#,
        r#"{"paths":{"/a/b":"[]string"}}"#,
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}
