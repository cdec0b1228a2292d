//! Bytes as a patch and a document: the patch against the slow implementation that the tests of
//! `docstore` use. Both must give the same bytes, or refuse the same operation.
//!
//! The two texts are separated by the first NUL, which neither can contain.

use base::document::Document;
use docstore::patch::{Operation, Patch};

#[path = "../../crates/docstore/tests/it/patch_reference.rs"]
mod reference;

/// One input.
pub fn run(data: &[u8]) {
    let mut texts = data.splitn(2, |byte| *byte == 0);
    let (patch, text) = (texts.next().unwrap_or_default(), texts.next().unwrap_or_default());
    let Ok(patch) = Patch::parse(patch) else { return };
    let Ok(document) = Document::parse(text) else { return };
    let patched = patch.apply(&document);
    if !is_for_the_reference(&patch, data) {
        let is_document = |patched: &Document| Document::parse(patched.as_bytes()).is_ok();
        assert!(patched.as_ref().map_or(true, is_document));
        return;
    }
    match (patched, reference::apply(&patch, &document)) {
        (Ok(patched), Ok(expected)) => {
            assert_eq!(patched.as_bytes(), expected);
            assert!(Document::parse(patched.as_bytes()).is_ok(), "the result is a document");
        }
        (Err(error), Err(number)) => assert_eq!(error.operation, number, "{error}"),
        (ours, expected) => panic!("{ours:?}, where the other gives {expected:?}"),
    }
}

/// The slow implementation needs memory for every copy, and does not compare numbers whose
/// exponents are beyond 64 bits.
fn is_for_the_reference(patch: &Patch, data: &[u8]) -> bool {
    let is_copy = |operation: &&Operation| matches!(operation, Operation::Copy { .. });
    let is_long = |digits: &[u8]| digits.len() > 15;
    let has_long_exponent = data
        .split(|byte| matches!(byte, b'e' | b'E'))
        .skip(1)
        .map(|rest| rest.strip_prefix(b"-").or(rest.strip_prefix(b"+")).unwrap_or(rest))
        .filter_map(|rest| rest.split(|byte| !byte.is_ascii_digit()).next())
        .any(is_long);
    patch.operations().iter().filter(is_copy).count() <= 4 && !has_long_exponent
}

/// Every operation, on documents with whitespace, escapes, and containers of every size.
pub fn seeds() -> Vec<Vec<u8>> {
    let members: Vec<String> = (0..300).map(|n| format!(r#""k{n}" :[{n}]"#)).collect();
    let large = format!("{{{}}}", members.join(" , "));
    let elements = format!("[[0],{}]", "1 ,{},".repeat(200) + "2");
    let many_sets: Vec<String> =
        (0..8).map(|n| format!(r#"{{"op":"set","path":"/k{}","value":{n}}}"#, n * 41)).collect();
    let pairs = [
        (
            r#"[{"op":"set","path":"/a/b","value":1.0},{"op":"delete","path":"/c"}]"#.to_owned(),
            r#"{ "a" : {"x":[]} , "c" : "\u0061\/" }"#,
        ),
        (
            r#"[{"op":"insert","path":"/0","value":{}},{"op":"add","path":"/-","value":[]},
                {"op":"move","from":"/0","path":"/2"},{"op":"test","path":"/0","value":10e-1}]"#
                .to_owned(),
            "[1.0 , 2,3 ]",
        ),
        (
            r#"[{"op":"copy","from":"","path":"/a~1b/0"},{"op":"replace","path":"/~0","value":null},
                {"op":"remove","path":"/\u0061~1b/0/~0"}]"#
                .to_owned(),
            "\n{\"a\\/b\":[],\"~\":true}\t",
        ),
        (format!("[{}]", many_sets.join(",")), large.as_str()),
        (
            r#"[{"op":"set","path":"/150","value":0},{"op":"insert","path":"/300/a","value":1},
                {"op":"delete","path":"/400"},{"op":"set","path":"","value":"all"}]"#
                .to_owned(),
            elements.as_str(),
        ),
    ];
    pairs.iter().map(|(patch, text)| [patch.as_bytes(), b"\0", text.as_bytes()].concat()).collect()
}
