//! Every option, and what it makes of a text.

use super::*;
use crate::json::Json;
use crate::schema::Language;

fn analyzer(options: &str) -> Analyzer {
    let options = FullText::parse(Json::parse(options.as_bytes()).unwrap()).unwrap().unwrap();
    Analyzer::new(&options)
}

fn tokens(options: &str, text: &str) -> Vec<String> {
    analyzer(options).tokens(text).into_iter().map(|token| token.text).collect()
}

#[test]
fn each_option_does_what_it_says() {
    let text = "The Cafés are RUNNING quickly";
    for (options, expect) in [
        ("true", &["cafés", "running", "quickly"][..]),
        (r#"{"remove_stopwords":false}"#, &["the", "cafés", "are", "running", "quickly"]),
        (r#"{"case_sensitive":true}"#, &["Cafés", "RUNNING", "quickly"]),
        (r#"{"ascii_folding":true}"#, &["cafes", "running", "quickly"]),
        (r#"{"stemming":true}"#, &["café", "run", "quick"]),
        (r#"{"stemming":true,"ascii_folding":true}"#, &["cafe", "run", "quick"]),
        (r#"{"max_token_length":6}"#, &["cafés"]),
        (r#"{"max_token_length":3,"remove_stopwords":false}"#, &["the", "are"]),
        (
            r#"{"language":"german","remove_stopwords":true}"#,
            &["the", "cafés", "are", "running", "quickly"],
        ),
    ] {
        assert_eq!(tokens(options, text), expect, "{options}");
    }
}

#[test]
fn a_word_that_is_left_out_keeps_its_position() {
    let tokens = analyzer("true").tokens("the state of the art");
    let found: Vec<(&str, u32, Range<usize>)> =
        tokens.iter().map(|token| (&*token.text, token.position, token.range.clone())).collect();
    assert_eq!(found, [("state", 1, 4..9), ("art", 4, 17..20)]);
}

#[test]
fn every_language_with_a_stemmer_stems() {
    for (language, one, other) in [
        ("arabic", "كتاب", "الكتاب"),
        ("danish", "hus", "huset"),
        ("dutch", "lopen", "loop"),
        ("english", "connection", "connected"),
        ("finnish", "talo", "talossa"),
        ("french", "continuer", "continuait"),
        ("german", "katze", "katzen"),
        ("greek", "άνθρωπος", "άνθρωποι"),
        ("hungarian", "ház", "házban"),
        ("italian", "gatto", "gatti"),
        ("norwegian", "hus", "huset"),
        ("portuguese", "menino", "meninos"),
        ("romanian", "copil", "copilul"),
        ("russian", "книга", "книги"),
        ("spanish", "gato", "gatos"),
        ("swedish", "katt", "katten"),
        ("tamil", "நாய்", "நாய்கள்"),
        ("turkish", "ev", "evler"),
    ] {
        let options =
            format!(r#"{{"language":"{language}","stemming":true,"remove_stopwords":false}}"#);
        let (one, other) = (tokens(&options, one), tokens(&options, other));
        assert!(one == other && one.len() == 1, "{language}: {one:?} {other:?}");
    }
    assert_eq!(Language::ALL.iter().filter(|language| language.has_stemmer()).count(), 18);
}

#[test]
fn tokens_that_are_given_stay_as_they_are() {
    let analyzer = analyzer(r#"{"tokenizer":"pre_tokenized_array","max_token_length":9}"#);
    let value =
        ["The Fox", "the", "", "much too long", "The Fox"].map(|text| Value::String(text.into()));
    let (terms, count) = analyzer.value(&Value::Array(value.into()));
    assert_eq!(count, 3);
    let terms: Vec<(&str, &[u32])> = terms.iter().map(|(term, at)| (&**term, &**at)).collect();
    assert_eq!(terms, [("The Fox", &[0, 4][..]), ("the", &[1])]);
}

#[test]
fn elements_of_an_array_are_apart() {
    let value = ["quick fox", "jumps"].map(|text| Value::String(text.into()));
    let (terms, count) = analyzer("true").value(&Value::Array(value.into()));
    assert_eq!(count, 3);
    let position = |word: &str| terms.get(word).unwrap()[0];
    assert_eq!((position("quick"), position("fox"), position("jumps")), (0, 1, 3));
}

#[test]
fn the_last_word_is_kept_as_it_was_begun() {
    let analyzer = analyzer(r#"{"stemming":true,"ascii_folding":true}"#);
    assert_eq!(analyzer.last_word("Quick Thé").unwrap().text, "the");
    assert_eq!(analyzer.last_word("runnin ").unwrap().text, "runnin");
    assert_eq!(analyzer.last_word(" - "), None);
}
