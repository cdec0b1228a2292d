//! Text as statements of the shell: understood or refused, never more than was typed, and printed
//! so that it means the same when it is typed again.

use docdb::shell::command::{Command, Payload, parse};
use docdb::shell::line::{Pending, Shape, shape, words};
use docdb::shell::{compact, id_text, parse_id, pretty};

/// One input.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    by_lines(text);
    let whole = shape(text);
    let Ok(words) = words(text) else {
        assert!(parse(text).is_err() || whole == Shape::Nothing, "{text:?}");
        return;
    };
    assert_ne!(whole, Shape::Open, "{text:?}");
    let mut end = 0;
    for word in &words {
        assert!(text[end..word.at].chars().all(char::is_whitespace), "{text:?}");
        end = word.at + word.raw.len();
        assert_eq!(&text[word.at..end], word.raw);
        if let Ok(id) = parse_id(word) {
            let again = id_text(&id);
            let again = docdb::shell::line::words(&again).expect("an id is a word");
            assert_eq!(parse_id(&again[0]), Ok(id), "{text:?}");
            assert_eq!(again.len(), 1);
        }
        json(word.raw);
    }
    assert!(text[end..].chars().all(char::is_whitespace), "{text:?}");
    if let Ok(Some(Command::Write(write))) = parse(text) {
        match &write.payload {
            Payload::Create(json)
            | Payload::Update(json)
            | Payload::Upsert(json)
            | Payload::Patch(json) => assert!(text.contains(json.as_str()), "{text:?}"),
            Payload::Delete => {}
        }
    }
}

/// What a statement is does not depend on how it comes in.
fn by_lines(text: &str) {
    let (mut pending, mut fed) = (Pending::default(), String::new());
    for line in text.split_inclusive('\n') {
        fed.push_str(line);
        let so_far = pending.feed(line);
        assert_eq!(so_far, shape(&fed), "{text:?}");
        if so_far != Shape::Open {
            return;
        }
    }
}

/// What is printed has the value of what was typed.
fn json(raw: &str) {
    let (short, long) = (compact(raw), pretty(raw));
    assert_eq!(compact(&long), short, "{raw:?}");
    assert!(!short.contains(char::is_control), "{raw:?}");
    if let Ok(value) = serde_json::from_str::<serde_json::Value>(raw) {
        assert_eq!(serde_json::from_str::<serde_json::Value>(&short).ok(), Some(value.clone()));
        assert_eq!(serde_json::from_str::<serde_json::Value>(&long).ok(), Some(value));
    }
}

/// The examples of the help, and what people mistype.
pub fn seeds() -> Vec<Vec<u8>> {
    let examples = docdb::shell::catalog::COMMANDS.iter().map(|spec| spec.example);
    let others = [
        "# a comment",
        ".create 1 {\n  \"a\": [1, {\"b\": \"]\"}],\n  \"c\": \"\\u00e9\\\"\"\n} --ttl=1h",
        ".read \"two words\"",
        ".read 67e55044-10b1-426f-9247-bb680e5fe0c8",
        ".create 18446744073709551616 {}}",
        ".upsert 007 \"open",
        ".create 1 raw:{ --if-revision",
    ];
    examples.chain(others).map(|text| text.as_bytes().to_vec()).collect()
}
