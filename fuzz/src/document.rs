//! Bytes as a JSON document: the validator against the slow parser with the same rules that the
//! tests of `base` use. Both must say the same, to the offset of the first broken rule.

use base::document::Document;

#[path = "../../crates/base/tests/it/document_reference.rs"]
mod reference;

/// One input.
pub fn run(data: &[u8]) {
    let ours = Document::parse(data);
    assert_eq!(ours.as_ref().err(), reference::check(data).err().as_ref());
    if let Ok(document) = ours {
        assert_eq!(document.as_bytes(), data, "a document is kept exactly as given");
    }
}

/// Every kind of value, escapes and numbers of every shape, and texts that break one rule.
pub fn seeds() -> Vec<Vec<u8>> {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let mut texts: Vec<String> = [
        r#"{"id":1,"name":"a","tags":["x","y"],"place":{"x":-0.5e+10,"y":null},"on":true}"#,
        r#"["\"\\\/\b\f\n\r\t","\u0041\u00e9\ud83d\ude00","é😀"]"#,
        r#"[0,-0,1,-1,0.5,1e9,1E-9,123456789012345678901234567890.000000000000000001]"#,
        " \t\r\n[ ] ",
        r#"{"a":1,"a":2}"#,
        r#"{"a":1,"\u0061":2}"#,
        r#"["\ud800"]"#,
        "\u{feff}[]",
        "[1,]",
        "tru",
    ]
    .map(str::to_owned)
    .to_vec();
    texts.extend([nested(128), nested(129)]);
    texts.into_iter().map(String::into_bytes).collect()
}
