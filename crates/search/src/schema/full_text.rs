//! How an attribute is searched as text: which words are made of it, and how they count.
//!
//! These are the options alone, checked; what they do is the work of the text index.

use crate::json::{Json, Kind, write_string};

/// The longest token that may be asked for, in bytes.
const TOKEN_BYTES_MAX: u16 = 255;
/// The greatest `k1` that may be asked for.
const K1_MAX: f64 = 100.0;

/// Declares an enum whose values have names.
macro_rules! named {
    ($(#[$doc:meta])* $type:ident { $($(#[$item:meta])* $variant:ident = $name:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $type { $($(#[$item])* $variant,)* }

        impl $type {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its name in schemas.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The one of this name.
            #[must_use]
            pub fn named(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.name() == name)
            }
        }
    };
}

named! {
    /// The language of a text: how it is cut into words, which of them are stop words, and how they are
    /// stemmed.
    Language {
        /// Arabic.
        Arabic = "arabic",
        /// Chinese, cut into words by a dictionary; there is no stemming.
        Chinese = "chinese",
        /// Danish.
        Danish = "danish",
        /// Dutch.
        Dutch = "dutch",
        /// English.
        English = "english",
        /// Finnish.
        Finnish = "finnish",
        /// French.
        French = "french",
        /// German.
        German = "german",
        /// Greek.
        Greek = "greek",
        /// Hungarian.
        Hungarian = "hungarian",
        /// Italian.
        Italian = "italian",
        /// Japanese, cut into words by a dictionary; there is no stemming.
        Japanese = "japanese",
        /// Korean, cut into overlapping pairs of syllables; there is no stemming.
        Korean = "korean",
        /// Norwegian.
        Norwegian = "norwegian",
        /// Portuguese.
        Portuguese = "portuguese",
        /// Romanian.
        Romanian = "romanian",
        /// Russian.
        Russian = "russian",
        /// Spanish.
        Spanish = "spanish",
        /// Swedish.
        Swedish = "swedish",
        /// Tamil.
        Tamil = "tamil",
        /// Turkish.
        Turkish = "turkish",
    }
}

impl Language {
    /// Whether words of it can be stemmed.
    #[must_use]
    pub const fn has_stemmer(self) -> bool {
        !matches!(self, Self::Chinese | Self::Japanese | Self::Korean)
    }
}

named! {
    /// How a text becomes tokens.
    Tokenizer {
        /// Runs of letters and digits.
        WordV0 = "word_v0",
        /// As `word_v0`, and ideographs each by itself.
        WordV1 = "word_v1",
        /// As `word_v1`, and emoji.
        WordV2 = "word_v2",
        /// Words by the rules of Unicode, some languages by dictionaries.
        WordV3 = "word_v3",
        /// As `word_v3`, and emoji, and parted at `_`, `:` and full stops.
        WordV4 = "word_v4",
        /// The elements of an array of strings are the tokens, as they are.
        PreTokenizedArray = "pre_tokenized_array",
    }
}

/// How an attribute is searched as text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FullText {
    /// How it becomes tokens.
    pub tokenizer: Tokenizer,
    /// Of which language it is.
    pub language: Language,
    /// Whether words are reduced to their stems.
    pub stemming: bool,
    /// Whether the commonest words of the language are left out.
    pub remove_stopwords: bool,
    /// Whether upper and lower case differ.
    pub case_sensitive: bool,
    /// Whether `é` is `e`.
    pub ascii_folding: bool,
    /// Tokens of more bytes are left out.
    pub max_token_length: u16,
    /// BM25: how soon more of the same word counts no more.
    pub k1: f64,
    /// BM25: how much the length of the text counts, 0 to 1.
    pub b: f64,
}

impl Default for FullText {
    fn default() -> Self {
        Self {
            tokenizer: Tokenizer::WordV4,
            language: Language::English,
            stemming: false,
            remove_stopwords: true,
            case_sensitive: false,
            ascii_folding: false,
            max_token_length: 39,
            k1: 1.2,
            b: 0.75,
        }
    }
}

impl FullText {
    /// Reads `true`, `false` or an object of options; what is not said has its default.
    pub(crate) fn parse(json: Json<'_>) -> Result<Option<Self>, String> {
        let members = match json.kind() {
            Kind::Bool(asked) => return Ok(asked.then(Self::default)),
            Kind::Object => json.members().into_iter().flatten(),
            other @ (Kind::Null | Kind::Number | Kind::String | Kind::Array) => {
                return Err(format!(
                    "full_text_search is true, false or an object of options, not {}",
                    other.name()
                ));
            }
        };
        let mut options = Self::default();
        let is_pre_tokenized = json.get("tokenizer").and_then(Json::string).as_deref()
            == Some(Tokenizer::PreTokenizedArray.name());
        if is_pre_tokenized {
            options.remove_stopwords = false;
            options.case_sensitive = true;
        }
        for (name, value) in members {
            let makes_words = !matches!(&*name, "tokenizer" | "max_token_length" | "k1" | "b");
            if is_pre_tokenized && makes_words {
                return Err(format!(
                    "full_text_search.{name} has no effect on tokens that are given; leave it out"
                ));
            }
            options
                .set(&name, value)
                .map_err(|reason| format!("full_text_search.{name}: {reason}"))?;
        }
        if options.stemming && !options.language.has_stemmer() {
            let language = options.language.name();
            return Err(format!("there is no stemming of {language}; leave out stemming"));
        }
        Ok(Some(options))
    }

    fn set(&mut self, name: &str, value: Json<'_>) -> Result<(), String> {
        match name {
            "tokenizer" => {
                let known = Tokenizer::ALL.iter().map(|tokenizer| tokenizer.name());
                self.tokenizer = choice(value, Tokenizer::named, known)?;
            }
            "language" => {
                let known = Language::ALL.iter().map(|language| language.name());
                self.language = choice(value, Language::named, known)?;
            }
            "stemming" => self.stemming = flag(value)?,
            "remove_stopwords" => self.remove_stopwords = flag(value)?,
            "case_sensitive" => self.case_sensitive = flag(value)?,
            "ascii_folding" => self.ascii_folding = flag(value)?,
            "max_token_length" => {
                let number = value.number().and_then(|text| text.parse().ok());
                self.max_token_length = number
                    .filter(|bytes| (1..=TOKEN_BYTES_MAX).contains(bytes))
                    .ok_or_else(|| format!("expected an integer from 1 to {TOKEN_BYTES_MAX}"))?;
            }
            "k1" => self.k1 = number(value, K1_MAX)?,
            "b" => self.b = number(value, 1.0)?,
            _ => {
                return Err("there is no such option; see docs/formats/search-schema.md".to_owned());
            }
        }
        Ok(())
    }

    /// Writes the options that [`FullText::parse`] reads back, all of them.
    pub(crate) fn write_json(&self, out: &mut String) {
        use std::fmt::Write as _;
        out.push_str("{\"tokenizer\":");
        write_string(self.tokenizer.name(), out);
        if self.tokenizer != Tokenizer::PreTokenizedArray {
            out.push_str(",\"language\":");
            write_string(self.language.name(), out);
            for (name, value) in [
                ("stemming", self.stemming),
                ("remove_stopwords", self.remove_stopwords),
                ("case_sensitive", self.case_sensitive),
                ("ascii_folding", self.ascii_folding),
            ] {
                let _ = write!(out, ",\"{name}\":{value}");
            }
        }
        let Self { max_token_length, k1, b, .. } = self;
        let _ = write!(out, ",\"max_token_length\":{max_token_length},\"k1\":{k1:?},\"b\":{b:?}}}");
    }
}

/// The value of a flag.
pub(super) fn flag(json: Json<'_>) -> Result<bool, String> {
    match json.kind() {
        Kind::Bool(bool) => Ok(bool),
        other @ (Kind::Null | Kind::Number | Kind::String | Kind::Array | Kind::Object) => {
            Err(format!("expected true or false, found {}", other.name()))
        }
    }
}

fn choice<T>(
    json: Json<'_>,
    named: impl Fn(&str) -> Option<T>,
    known: impl Iterator<Item = &'static str>,
) -> Result<T, String> {
    json.string().and_then(|name| named(&name)).ok_or_else(|| {
        let known: Vec<&str> = known.collect();
        format!("expected one of {}; found {}", known.join(", "), json.excerpt())
    })
}

fn number(json: Json<'_>, max: f64) -> Result<f64, String> {
    let number = json.number().and_then(|text| text.parse::<f64>().ok());
    number
        .filter(|number| (0.0..=max).contains(number))
        .ok_or_else(|| format!("expected a number from 0 to {max}, found {}", json.excerpt()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Option<FullText>, String> {
        FullText::parse(Json::parse(text.as_bytes()).unwrap())
    }

    #[test]
    fn every_option_is_read_and_written() {
        let text = r#"{"tokenizer":"word_v2","language":"german","stemming":true,"remove_stopwords":false,
            "case_sensitive":true,"ascii_folding":true,"max_token_length":7,"k1":0.5,"b":1}"#;
        let expect = FullText {
            tokenizer: Tokenizer::WordV2,
            language: Language::German,
            stemming: true,
            remove_stopwords: false,
            case_sensitive: true,
            ascii_folding: true,
            max_token_length: 7,
            k1: 0.5,
            b: 1.0,
        };
        assert_eq!(parse(text), Ok(Some(expect)));
        let given = parse(r#"{"tokenizer":"pre_tokenized_array","k1":2}"#).unwrap().unwrap();
        assert!(given.case_sensitive && !given.remove_stopwords);
        for options in [expect, given, FullText::default()] {
            let mut out = String::new();
            options.write_json(&mut out);
            assert_eq!(parse(&out), Ok(Some(options)));
        }
        assert_eq!((parse("true"), parse("false")), (Ok(Some(FullText::default())), Ok(None)));
    }

    #[test]
    fn options_that_cannot_be_are_refused_by_name() {
        for (text, reason) in [
            ("1", "an object of options"),
            (r#"{"language":"klingon"}"#, "full_text_search.language: expected one of arabic"),
            (r#"{"tokenizer":"word"}"#, "word_v4"),
            (r#"{"stemming":1}"#, "full_text_search.stemming: expected true or false"),
            (r#"{"max_token_length":0}"#, "from 1 to 255"),
            (r#"{"max_token_length":256}"#, "from 1 to 255"),
            (r#"{"k1":-1}"#, "from 0 to 100"),
            (r#"{"b":1.01}"#, "from 0 to 1"),
            (r#"{"b":"1"}"#, "from 0 to 1"),
            (r#"{"colour":1}"#, "full_text_search.colour: there is no such option"),
            (r#"{"language":"japanese","stemming":true}"#, "no stemming of japanese"),
            (r#"{"tokenizer":"pre_tokenized_array","stemming":true}"#, "has no effect"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
        for language in Language::ALL {
            let text = format!(r#"{{"language":"{}"}}"#, language.name());
            assert_eq!(parse(&text).unwrap().unwrap().language, *language);
        }
        assert_eq!(Language::ALL.iter().filter(|language| language.has_stemmer()).count(), 18);
    }
}
