//! The validator: a table of good and bad texts with offsets, and random texts against a slow
//! parser with the same rules and against an unrelated parser with laxer ones.

use base::document::{Document, JsonErrorKind as Kind, validate};
use base::error::{Category, Code, Coded};
use base::limits::{DOCUMENT_BYTES_MAX, DOCUMENT_DEPTH_MAX};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::document_reference as reference;

fn refused(text: impl AsRef<[u8]>, kind: Kind, offset: usize) {
    let text = text.as_ref();
    let error = Document::parse(text).expect_err(&String::from_utf8_lossy(text));
    assert_eq!((error.kind, error.offset), (kind, offset), "{:?}", String::from_utf8_lossy(text));
    assert_eq!(error.category(), Category::Validation);
}

fn accepted(text: impl AsRef<[u8]>) {
    let text = text.as_ref();
    let document = Document::parse(text);
    let bytes = document.as_ref().map(Document::as_bytes);
    assert_eq!(bytes, Ok(text), "{:?}", String::from_utf8_lossy(text));
}

fn nested(depth: usize) -> String {
    let pairs = [("[", "]"), (r#"{"k":"#, "}")];
    let open: String = (0..depth).map(|i| pairs[i % 2].0).collect();
    let close: String = (0..depth).rev().map(|i| pairs[i % 2].1).collect();
    format!("{open}0{close}")
}

#[test]
fn every_kind_of_value_is_a_document() {
    for text in [
        "0",
        "-0",
        "12",
        "-0.0",
        "1.25",
        "1e5",
        "1E+5",
        "0e-0",
        "10.01E-10",
        "true",
        "false",
        "null",
        r#""""#,
        r#""text""#,
        "[]",
        "{}",
        "[ ]",
        "{ }",
        "[1,2,[3],{}]",
        " \t\r\n1 \t\r\n",
        r#"{"a":1,"A":2,"":3," ":4}"#,
        r#"{"a":{"a":{"a":1}},"b":[{"a":1},{"a":1}]}"#,
        r#""\"\\\/\b\f\n\r\t\u0000\u001F\uD83D\uDE00\ud7ff\ue000\uFFFF""#,
        "\"\u{7f}\u{80}\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}\"",
        "\"\u{feff}\"",
    ] {
        accepted(text);
    }
}

#[test]
fn numbers_of_any_size_and_precision_are_kept_as_text() {
    accepted("1e999999999999999999999999");
    accepted("-1E-999999999999999999999999");
    accepted("9".repeat(100_000));
    accepted(format!("0.{}", "3".repeat(100_000)));
}

/// Texts, the rule each breaks, and the offset of the byte that breaks it.
const MALFORMED: &[(&str, Kind, usize)] = &[
    ("", Kind::UnexpectedEnd, 0),
    ("  ", Kind::UnexpectedEnd, 2),
    ("\u{feff}1", Kind::ByteOrderMark, 0),
    ("x", Kind::ExpectedValue, 0),
    ("+1", Kind::ExpectedValue, 0),
    (".5", Kind::ExpectedValue, 0),
    ("NaN", Kind::ExpectedValue, 0),
    ("'a'", Kind::ExpectedValue, 0),
    ("/**/1", Kind::ExpectedValue, 0),
    ("True", Kind::ExpectedValue, 0),
    ("trve", Kind::ExpectedValue, 0),
    ("[nul]", Kind::ExpectedValue, 1),
    ("tru", Kind::UnexpectedEnd, 3),
    ("truee", Kind::TrailingBytes, 4),
    ("1 2", Kind::TrailingBytes, 2),
    ("{}}", Kind::TrailingBytes, 2),
    ("1\0", Kind::TrailingBytes, 1),
    ("1\u{a0}", Kind::TrailingBytes, 1),
    ("[", Kind::UnexpectedEnd, 1),
    ("[1", Kind::UnexpectedEnd, 2),
    ("[1,", Kind::UnexpectedEnd, 3),
    ("[1,]", Kind::ExpectedValue, 3),
    ("[,1]", Kind::ExpectedValue, 1),
    ("[1 2]", Kind::ExpectedCommaOrEnd, 3),
    ("[1}", Kind::ExpectedCommaOrEnd, 2),
    ("]", Kind::ExpectedValue, 0),
    ("{", Kind::UnexpectedEnd, 1),
    (r#"{"a"#, Kind::UnexpectedEnd, 3),
    (r#"{"a""#, Kind::UnexpectedEnd, 4),
    (r#"{"a":"#, Kind::UnexpectedEnd, 5),
    (r#"{"a":1"#, Kind::UnexpectedEnd, 6),
    (r#"{"a":1,"#, Kind::UnexpectedEnd, 7),
    (r#"{"a":1,}"#, Kind::ExpectedKey, 7),
    (r#"{"a":1]"#, Kind::ExpectedCommaOrEnd, 6),
    (r#"{"a" 1}"#, Kind::ExpectedColon, 5),
    (r#"{"a":}"#, Kind::ExpectedValue, 5),
    (r#"{"a",1}"#, Kind::ExpectedColon, 4),
    ("{a:1}", Kind::ExpectedKey, 1),
    ("{1:1}", Kind::ExpectedKey, 1),
    ("{,}", Kind::ExpectedKey, 1),
    ("-", Kind::UnexpectedEnd, 1),
    ("-a", Kind::InvalidNumber, 1),
    ("--1", Kind::InvalidNumber, 1),
    ("01", Kind::InvalidNumber, 1),
    ("-00", Kind::InvalidNumber, 2),
    ("1.", Kind::UnexpectedEnd, 2),
    ("[1.]", Kind::InvalidNumber, 3),
    ("1.e5", Kind::InvalidNumber, 2),
    ("1e", Kind::UnexpectedEnd, 2),
    ("1e+", Kind::UnexpectedEnd, 3),
    ("[1e+]", Kind::InvalidNumber, 4),
    ("1.2.3", Kind::TrailingBytes, 3),
    ("0x10", Kind::TrailingBytes, 1),
    (r#"""#, Kind::UnexpectedEnd, 1),
    ("\"a\nb\"", Kind::ControlCharacter, 2),
    ("\"12345678\x1f\"", Kind::ControlCharacter, 9),
    ("\"\0\"", Kind::ControlCharacter, 1),
    (r#""\"#, Kind::UnexpectedEnd, 2),
    (r#""\x""#, Kind::InvalidEscape, 1),
    (r#""a\'""#, Kind::InvalidEscape, 2),
    (r#""\u12"#, Kind::UnexpectedEnd, 5),
    (r#""\u12""#, Kind::InvalidEscape, 1),
    (r#""\u12g4""#, Kind::InvalidEscape, 1),
    (r#""\u+123""#, Kind::InvalidEscape, 1),
    (r#""\ud800""#, Kind::LoneSurrogate, 1),
    (r#""a\udfff""#, Kind::LoneSurrogate, 2),
    (r#""\ud800\ud800""#, Kind::LoneSurrogate, 1),
    (r#""\ud83d\n""#, Kind::LoneSurrogate, 1),
    (r#""\ude00\ud83d""#, Kind::LoneSurrogate, 1),
];

#[test]
fn malformed_texts_are_refused_at_the_byte_that_is_wrong() {
    for &(text, kind, offset) in MALFORMED {
        refused(text, kind, offset);
        assert_eq!(reference::check(text.as_bytes()).map_err(|e| e.kind), Err(kind), "{text}");
    }
}

#[test]
fn strings_that_are_not_utf8_are_refused() {
    for bad in [
        &b"\xff"[..],        // no such byte
        b"\x80",             // continuation without a start
        b"\xc3",             // cut
        b"\xc0\xaf",         // overlong
        b"\xed\xa0\x80",     // surrogate
        b"\xf4\x90\x80\x80", // above U+10FFFF
    ] {
        for padding in ["", "ab", "12345678", "ä2345678äöü"] {
            let text = [b"[\"", padding.as_bytes(), bad, b"\"]"].concat();
            refused(&text, Kind::InvalidUtf8, 2 + padding.len());
        }
    }
    refused(b"\xff", Kind::ExpectedValue, 0);
    refused(b"\"\xff\n\"", Kind::InvalidUtf8, 1);
    refused(b"\"\n\xff\"", Kind::ControlCharacter, 1);
}

#[test]
fn keys_are_compared_as_decoded_text() {
    for (text, offset) in [
        (r#"{"a":1,"a":2}"#, 7),
        (r#"{"":1,"":2}"#, 6),
        (r#"{"a":1,"\u0061":2}"#, 7),
        (r#"{"\u0061":1,"a":2}"#, 12),
        (r#"{"\n":1,"\u000A":2}"#, 8),
        (r#"{"/":1,"\/":2}"#, 7),
        (r#"{"é":1,"\u00e9":2}"#, 8),
        (r#"{"😀":1,"\ud83d\uDE00":2}"#, 10),
        (r#"{"a":1,"b":2,"b":3,"a":4}"#, 13),
        (r#"[{"x":{"a":1,"a":2}}]"#, 13),
        (r#"{"a":{"a":1},"a":2}"#, 13),
        (r#"{"a long key":1,"another long key":2,"a long key":3}"#, 37),
    ] {
        refused(text, Kind::DuplicateKey, offset);
    }
    accepted(r#"{"a":1,"\\u0061":2}"#);
    accepted(r#"{"é":1,"e\u0301":2}"#);
}

#[test]
fn the_first_repeated_key_is_found_in_objects_of_any_size() {
    for count in [2_usize, 24, 25, 26, 1000, 20_000] {
        let keys: Vec<String> = (0..count).map(|i| format!("{:x}", i * 7919)).collect();
        let members = |keys: &[String]| {
            let all: Vec<_> = keys.iter().map(|k| format!("\"{k}\":[{{\"{k}\":0}}]")).collect();
            format!("{{{}}}", all.join(","))
        };
        accepted(members(&keys));
        // The last key repeats the second; the one before it repeats the first.
        let mut repeated = keys.clone();
        repeated.extend([keys[0].clone(), keys[1].clone()]);
        let text = members(&repeated);
        let expected = reference::check(text.as_bytes()).expect_err("two keys repeat");
        assert_eq!(expected.offset, members(&keys).len());
        refused(&text, Kind::DuplicateKey, expected.offset);
        let escaped = text.replacen("\"0\":[", "\"\\u0030\":[", 1);
        refused(&escaped, Kind::DuplicateKey, expected.offset + 5);
    }
}

#[test]
fn nesting_ends_at_its_limit() {
    accepted(nested(DOCUMENT_DEPTH_MAX));
    let text = nested(DOCUMENT_DEPTH_MAX + 1);
    let offset = DOCUMENT_DEPTH_MAX / 2 * 6;
    refused(&text, Kind::TooDeep, offset);
    refused("[".repeat(1_000_000), Kind::TooDeep, DOCUMENT_DEPTH_MAX);
    // Depth counts what is open at once, not what was ever opened.
    accepted(format!("[{}]", vec![nested(DOCUMENT_DEPTH_MAX - 1); 50].join(",")));
}

#[test]
fn size_ends_at_its_limit() {
    let text = format!("\"{}\"", "x".repeat(DOCUMENT_BYTES_MAX - 2));
    accepted(&text);
    let error = Document::parse(format!("{text} ").as_bytes()).expect_err("one byte too many");
    assert_eq!((error.kind, error.offset), (Kind::TooLarge, DOCUMENT_BYTES_MAX));
    assert_eq!(error.code(), Code::PayloadTooLarge);
    assert_eq!(Document::parse(b"[").expect_err("cut").code(), Code::InvalidJson);
}

#[test]
fn an_error_says_what_where_and_what_to_do() {
    let error = Document::parse(br#"{"a":1,"a":2}"#).expect_err("a key repeats");
    let text = "the object has this key already; keep one of the two members, offset=7";
    assert_eq!(error.to_string(), text);
}

#[test]
fn keys_made_to_collide_do_not_make_large_objects_slow() {
    // Equal in the first eight bytes, the last eight and the length: half a million of them
    // would take days if each were compared with all others.
    let members: Vec<_> = (0..500_000).map(|i| format!("\"prefix__{i:06}__suffix\":0")).collect();
    accepted(format!("{{{}}}", members.join(",")));
    // The same key over and over, and the same escaped key.
    let same = vec!["\"\\u0061\":0"; 500_000].join(",");
    refused(format!("{{{same}}}"), Kind::DuplicateKey, 12);
}

/// Pieces that JSON texts and nearly-JSON texts are made of.
const PIECES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    " ",
    "\n",
    "\"",
    "\\",
    "\"a\"",
    "\"b\"",
    "\"\\u0061\"",
    "\"a\":",
    "\"b\":",
    "\"\\u0061\":",
    "\"\":",
    "0",
    "1",
    "-",
    "-1",
    "12",
    "01",
    ".",
    ".5",
    "e",
    "E+1",
    "e-9",
    "true",
    "false",
    "null",
    "tru",
    "\\n",
    "\\u",
    "\\ud83d",
    "\\ude00",
    "\\ud800",
    "\\udbff",
    "\\udc00",
    "\\udfff",
    "\\u00e9",
    "é",
    "😀",
    "\u{0}",
    "\u{1f}",
    "\u{feff}",
    "12345678",
    "abcdefghij",
    "\"k\":{",
    "\"l\":[",
];

fn json_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        select(vec!["0", "-1", "1.5e-3", "true", "false", "null", "[]", "{}", "1e400"])
            .prop_map(str::to_owned),
        "[a-zé😀 ]{0,20}".prop_map(|s| format!("\"{s}\"")),
        select(vec![r#""\n""#, r#""\u0041x""#, r#""\ud83d\ude00""#]).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        let key = prop_oneof![
            4 => "[a-z]{1,10}",
            1 => select(vec![r"\u0061", r"\n", "é", r"\u00e9", "", r"\/"]).prop_map(str::to_owned),
        ];
        let space = || select(vec!["", "", " ", "\n\t"]);
        prop_oneof![
            (prop::collection::vec(inner.clone(), 0..6), space())
                .prop_map(|(v, s)| format!("[{s}{}{s}]", v.join(&format!("{s},")))),
            (prop::collection::vec((key, inner), 0..6), space()).prop_map(|(members, s)| {
                let all: Vec<_> =
                    members.iter().map(|(k, v)| format!("\"{k}\"{s}:{s}{v}")).collect();
                format!("{{{s}{}{s}}}", all.join(","))
            }),
        ]
    })
}

/// One change to a text: what, where, with which byte or piece.
#[derive(Debug, Clone)]
enum Mutation {
    Replace(Index, u8),
    Insert(Index, &'static str),
    Remove(Index),
    Cut(Index),
    Repeat(Index, Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<Index>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(i, b)| Mutation::Replace(i, b)),
        (at(), select(PIECES)).prop_map(|(i, p)| Mutation::Insert(i, p)),
        at().prop_map(Mutation::Remove),
        at().prop_map(Mutation::Cut),
        (at(), at()).prop_map(|(i, j)| Mutation::Repeat(i, j)),
    ]
}

fn mutate(bytes: &mut Vec<u8>, mutation: &Mutation) {
    let len = bytes.len();
    if len == 0 {
        return;
    }
    match mutation {
        Mutation::Replace(i, byte) => bytes[i.index(len)] = *byte,
        Mutation::Insert(i, piece) => {
            let at = i.index(len);
            bytes.splice(at..at, piece.bytes());
        }
        Mutation::Remove(i) => _ = bytes.remove(i.index(len)),
        Mutation::Cut(i) => bytes.truncate(i.index(len)),
        Mutation::Repeat(i, j) => {
            let (a, b) = (i.index(len), j.index(len));
            let piece = bytes[a.min(b)..=a.max(b)].to_vec();
            bytes.splice(a..a, piece);
        }
    }
}

/// The validator agrees with the reference in verdict, rule and offset; what it accepts, an
/// unrelated parser accepts too.
fn agrees(text: &[u8]) -> Result<(), TestCaseError> {
    let ours = validate(text);
    prop_assert_eq!(ours, reference::check(text), "{:?}", String::from_utf8_lossy(text));
    if ours.is_ok() {
        let theirs = std::str::from_utf8(text).map(serde_json::from_str::<serde::de::IgnoredAny>);
        prop_assert!(matches!(theirs, Ok(Ok(_))), "{:?}", String::from_utf8_lossy(text));
    }
    Ok(())
}

proptest! {
    // What a run finds becomes a named case above, so no file of seeds is kept. PROPTEST_CASES
    // asks for a longer run.
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases.max(2000),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_validator_agrees_with_the_reference_on_pieces(
        pieces in prop::collection::vec(select(PIECES), 0..30),
    ) {
        agrees(pieces.concat().as_bytes())?;
    }

    #[test]
    fn the_validator_agrees_with_the_reference_on_mutated_documents(
        text in json_text(),
        mutations in prop::collection::vec(mutation(), 0..4),
    ) {
        let mut bytes = text.into_bytes();
        mutations.iter().for_each(|m| mutate(&mut bytes, m));
        agrees(&bytes)?;
    }
}
