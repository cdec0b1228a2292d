//! Where words begin and end in a text: the five versions of rules, and languages without spaces.
//!
//! | version | a word is |
//! |---|---|
//! | `word_v0` | a run of letters and digits |
//! | `word_v1` | as `word_v0`, and each ideograph and kana is a word of its own |
//! | `word_v2` | as `word_v1`, and each emoji is a word |
//! | `word_v3` | what Unicode's rules of word boundaries (UAX #29) make, with dictionaries for scripts without spaces; no emoji |
//! | `word_v4` | as `word_v3`, and each emoji is a word, and `_`, `:` and a full stop beside a letter part words |
//!
//! In a field of Chinese or Japanese, runs of ideographs and kana are cut by the dictionary whatever the version.
//! In one of Korean, a run of Hangul is cut into its overlapping pairs of syllables, because a word is
//! written together with its particles: who asks for the word finds it whatever follows.
//!
//! A version never changes what it makes of a text: segments that were written with it stay right.

use std::ops::Range;

use icu_segmenter::WordSegmenter;
use icu_segmenter::options::WordBreakInvariantOptions;

use crate::schema::{Language, Tokenizer};

/// How words are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rules {
    version: Tokenizer,
    language: Language,
}

impl Rules {
    pub(super) const fn new(version: Tokenizer, language: Language) -> Self {
        Self { version, language }
    }

    /// The words of a text, in its order; those of Korean overlap.
    pub(super) fn words(self, text: &str) -> Vec<Range<usize>> {
        let mut words = Vec::with_capacity(text.len() / 6 + 1);
        match self.version {
            Tokenizer::WordV0 => runs(text, &mut words, plain_class),
            Tokenizer::WordV1 => runs(text, &mut words, class),
            Tokenizer::WordV2 => runs_and_emoji(text, &mut words),
            Tokenizer::WordV3 => by_unicode(text, &mut words),
            Tokenizer::WordV4 => by_unicode_and_emoji(text, &mut words),
            Tokenizer::PreTokenizedArray => {
                if !text.is_empty() {
                    words.push(0..text.len());
                }
            }
        }
        if self.version == Tokenizer::PreTokenizedArray {
            return words;
        }
        if self.language == Language::Korean {
            return in_pairs(text, words);
        }
        if matches!(self.language, Language::Chinese | Language::Japanese)
            && self.is_without_dictionary()
        {
            words.clear();
            by_unicode(text, &mut words);
        }
        words
    }

    const fn is_without_dictionary(self) -> bool {
        matches!(self.version, Tokenizer::WordV0 | Tokenizer::WordV1 | Tokenizer::WordV2)
    }
}

/// What a character is in the rules of versions 0 to 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Other,
    Word,
    Ideograph,
}

fn class(c: char) -> Class {
    if is_ideograph(c) {
        Class::Ideograph
    } else if c.is_alphanumeric() {
        Class::Word
    } else {
        Class::Other
    }
}

/// With the rules of version 0 an ideograph is a letter as any other.
fn plain_class(c: char) -> Class {
    if c.is_alphanumeric() { Class::Word } else { Class::Other }
}

/// Han, Hiragana and Katakana.
const fn is_ideograph(c: char) -> bool {
    matches!(c,
        '\u{3005}'..='\u{3007}' | '\u{3041}'..='\u{3096}' | '\u{309D}'..='\u{309F}'
        | '\u{30A1}'..='\u{30FA}' | '\u{30FC}'..='\u{30FF}' | '\u{31F0}'..='\u{31FF}'
        | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}'
        | '\u{FF66}'..='\u{FF9F}' | '\u{20000}'..='\u{323AF}')
}

const fn is_hangul(c: char) -> bool {
    matches!(c, '\u{1100}'..='\u{11FF}' | '\u{3130}'..='\u{318F}' | '\u{A960}'..='\u{A97F}'
        | '\u{AC00}'..='\u{D7FF}')
}

/// Pictures; not the digits, signs and letters that may also be shown as such.
const fn is_emoji(c: char) -> bool {
    matches!(c, '\u{1F000}'..='\u{1FAFF}' | '\u{2600}'..='\u{27BF}' | '\u{2B00}'..='\u{2BFF}')
}

const fn is_flag_letter(c: char) -> bool {
    matches!(c, '\u{1F1E6}'..='\u{1F1FF}')
}

/// What goes on with the emoji before it: variation selectors, skin tones, tags.
const fn extends_emoji(c: char) -> bool {
    matches!(c, '\u{FE0E}' | '\u{FE0F}' | '\u{1F3FB}'..='\u{1F3FF}' | '\u{E0020}'..='\u{E007F}')
}

const JOINER: char = '\u{200D}';

/// Runs of one class; each ideograph by itself.
fn runs(text: &str, words: &mut Vec<Range<usize>>, class: impl Fn(char) -> Class) {
    let mut last = Class::Other;
    for (at, c) in text.char_indices() {
        let class = class(c);
        let end = at + c.len_utf8();
        match words.last_mut() {
            Some(word) if (last, class) == (Class::Word, Class::Word) => word.end = end,
            _ if class != Class::Other => words.push(at..end),
            _ => {}
        }
        last = class;
    }
}

/// As `runs` of version 1, and the emoji between them.
fn runs_and_emoji(text: &str, words: &mut Vec<Range<usize>>) {
    let mut plain_from = 0;
    let mut chars = text.char_indices().peekable();
    let plain = |range: Range<usize>, words: &mut Vec<Range<usize>>| {
        let mut found = Vec::new();
        let from = range.start;
        runs(text.get(range).unwrap_or_default(), &mut found, class);
        words.extend(found.into_iter().map(|word| from + word.start..from + word.end));
    };
    while let Some((at, c)) = chars.next() {
        if !is_emoji(c) {
            continue;
        }
        plain(plain_from..at, words);
        let mut end = at + c.len_utf8();
        if is_flag_letter(c)
            && let Some((_, next)) = chars.next_if(|(_, next)| is_flag_letter(*next))
        {
            end += next.len_utf8();
        }
        while let Some((_, next)) =
            chars.next_if(|(_, next)| extends_emoji(*next) || *next == JOINER)
        {
            end += next.len_utf8();
            if next == JOINER
                && let Some((_, joined)) = chars.next_if(|(_, joined)| is_emoji(*joined))
            {
                end += joined.len_utf8();
            }
        }
        words.push(at..end);
        plain_from = end;
    }
    plain(plain_from..text.len(), words);
}

/// What is between the word boundaries of Unicode.
fn pieces(text: &str) -> impl Iterator<Item = (Range<usize>, bool)> + '_ {
    let segmenter = WordSegmenter::new_dictionary(WordBreakInvariantOptions::default());
    let mut from = 0;
    segmenter.segment_str(text).iter_with_word_type().filter_map(move |(end, kind)| {
        let piece = from..end;
        from = end;
        (!piece.is_empty()).then_some((piece, kind.is_word_like()))
    })
}

fn has_letter(text: &str, range: &Range<usize>) -> bool {
    text.get(range.clone()).is_some_and(|word| word.chars().any(char::is_alphanumeric))
}

fn by_unicode(text: &str, words: &mut Vec<Range<usize>>) {
    let pieces = pieces(text).filter(|(piece, is_word)| *is_word && has_letter(text, piece));
    words.extend(pieces.map(|(piece, _)| piece));
}

fn by_unicode_and_emoji(text: &str, words: &mut Vec<Range<usize>>) {
    for (piece, is_word) in pieces(text) {
        let Some(word) = text.get(piece.clone()) else { continue };
        if word.chars().next().is_some_and(is_emoji) {
            words.push(piece);
        } else if is_word {
            let parts = parted(word).filter(|part| has_letter(word, part));
            words.extend(parts.map(|part| piece.start + part.start..piece.start + part.end));
        }
    }
}

/// The parts of a word of Unicode: `_` and `:` part it, and a full stop that has no digit on both sides.
fn parted(word: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    let bytes = word.as_bytes();
    let is_digit =
        move |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
    let parts = move |at: usize, byte: u8| match byte {
        b'_' | b':' => true,
        b'.' => !(is_digit(at.checked_sub(1)) && is_digit(Some(at + 1))),
        _ => false,
    };
    let mut from = 0;
    (0..=word.len()).filter_map(move |at| {
        if bytes.get(at).is_some_and(|byte| !parts(at, *byte)) {
            return None;
        }
        let part = from..at;
        from = at + 1;
        (!part.is_empty()).then_some(part)
    })
}

/// Hangul in overlapping pairs of syllables.
fn in_pairs(text: &str, words: Vec<Range<usize>>) -> Vec<Range<usize>> {
    let mut found = Vec::with_capacity(words.len() * 2);
    for word in words {
        let Some(inside) = text.get(word.clone()) else { continue };
        if !inside.chars().any(is_hangul) {
            found.push(word);
            continue;
        }
        let mut run: Vec<Range<usize>> = Vec::new();
        let mut is_run_hangul = false;
        let end = |run: &mut Vec<Range<usize>>, is_hangul: bool, found: &mut Vec<Range<usize>>| {
            let (Some(first), Some(last)) = (run.first(), run.last()) else { return };
            if is_hangul && run.len() > 1 {
                found.extend(run.windows(2).map(|pair| pair[0].start..pair[1].end));
            } else {
                found.push(first.start..last.end);
            }
            run.clear();
        };
        for (at, c) in inside.char_indices() {
            if is_hangul(c) != is_run_hangul {
                end(&mut run, is_run_hangul, &mut found);
                is_run_hangul = is_hangul(c);
            }
            let from = word.start + at;
            run.push(from..from + c.len_utf8());
        }
        end(&mut run, is_run_hangul, &mut found);
    }
    found.retain(|word| {
        has_letter(text, word) || text[word.clone()].chars().next().is_some_and(is_emoji)
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(version: Tokenizer, language: Language, text: &str) -> Vec<&str> {
        Rules::new(version, language).words(text).into_iter().map(|word| &text[word]).collect()
    }

    #[test]
    fn every_version_has_rules_of_its_own() {
        let text = "can't foo_bar example.com 3.14 日本 👍🏽 v2:x";
        for (version, expect) in [
            (
                Tokenizer::WordV0,
                &["can", "t", "foo", "bar", "example", "com", "3", "14", "日本", "v2", "x"][..],
            ),
            (
                Tokenizer::WordV1,
                &["can", "t", "foo", "bar", "example", "com", "3", "14", "日", "本", "v2", "x"],
            ),
            (
                Tokenizer::WordV2,
                &[
                    "can", "t", "foo", "bar", "example", "com", "3", "14", "日", "本", "👍🏽", "v2",
                    "x",
                ],
            ),
            (Tokenizer::WordV3, &["can't", "foo_bar", "example.com", "3.14", "日本", "v2", "x"]),
            (
                Tokenizer::WordV4,
                &["can't", "foo", "bar", "example", "com", "3.14", "日本", "👍🏽", "v2", "x"],
            ),
            (Tokenizer::PreTokenizedArray, &[text]),
        ] {
            assert_eq!(words(version, Language::English, text), expect, "{version:?}");
        }
    }

    #[test]
    fn emoji_of_several_characters_are_one_word() {
        for version in [Tokenizer::WordV2, Tokenizer::WordV4] {
            let found = words(version, Language::English, "a👨‍👩‍👧😀😀🇩🇪🇫🇷❤️b");
            assert_eq!(found, ["a", "👨‍👩‍👧", "😀", "😀", "🇩🇪", "🇫🇷", "❤️", "b"], "{version:?}");
        }
    }

    #[test]
    fn languages_without_spaces_are_cut_into_words() {
        let versions = [Tokenizer::WordV0, Tokenizer::WordV2, Tokenizer::WordV3, Tokenizer::WordV4];
        for version in versions {
            let japanese = words(version, Language::Japanese, "私は東京大学で勉強します。");
            assert!(japanese.contains(&"東京") || japanese.contains(&"東京大学"), "{japanese:?}");
            assert!(japanese.len() > 4 && japanese.concat() == "私は東京大学で勉強します");
            let chinese = words(version, Language::Chinese, "我们在北京学习中文");
            assert!(chinese.contains(&"北京") && chinese.contains(&"我们"), "{chinese:?}");
            let korean = words(version, Language::Korean, "학교에서 AI를 썼다");
            assert_eq!(korean, ["학교", "교에", "에서", "AI", "를", "썼다"], "{version:?}");
        }
    }

    #[test]
    fn texts_without_words_have_none() {
        for version in [Tokenizer::WordV0, Tokenizer::WordV2, Tokenizer::WordV3, Tokenizer::WordV4]
        {
            for text in ["", " ", "... --- ___", "\u{200d}"] {
                assert_eq!(
                    words(version, Language::English, text),
                    [""; 0],
                    "{version:?} {text:?}"
                );
            }
        }
    }
}
