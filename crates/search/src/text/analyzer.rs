//! How a text becomes tokens, as the schema of its attribute says.
//!
//! In this order: words (`words.rs`), those that are too long left out, lower case, stop words left out,
//! ASCII folding, stems. A word that is left out keeps its position, so that phrases know of the gap. An
//! array is its elements one after the other, with a gap of one position between two, which no phrase spans.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use tantivy::tokenizer::{
    AsciiFoldingFilter, Stemmer, TextAnalyzer, Token as RawToken, TokenStream, Tokenizer,
};

use super::stop_words::{self, StopWords};
use super::words::Rules;
use crate::schema::{FieldNo, FullText, Row, Schema, Tokenizer as Kind};
use crate::value::Value;

/// A word of a text as it is indexed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its form in the index.
    pub text: String,
    /// Which word of the text it is, counted from 0.
    pub position: u32,
    /// Where it stands in the text, in bytes.
    pub range: Range<usize>,
}

/// Makes tokens of texts.
#[derive(Clone)]
pub struct Analyzer {
    options: FullText,
    whole: TextAnalyzer,
    /// Without stop words and stems: for words that are only beginnings.
    plain: TextAnalyzer,
}

impl fmt::Debug for Analyzer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Analyzer").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Analyzer {
    /// The one that an attribute asks for.
    #[must_use]
    pub fn new(options: &FullText) -> Self {
        let words = |stop_words| Words {
            rules: Rules::new(options.tokenizer, options.language),
            bytes_max: usize::from(options.max_token_length),
            is_lower_case: !options.case_sensitive,
            stop_words,
        };
        // In lower case the filter is quicker than asking for each word.
        let (in_filter, in_words) = match (options.remove_stopwords, options.case_sensitive) {
            (false, _) => (None, None),
            (true, false) => (Some(stop_words::filter(options.language)), None),
            (true, true) => (None, Some(StopWords::new(options.language))),
        };
        let mut whole = TextAnalyzer::builder(words(in_words)).dynamic();
        let mut plain = TextAnalyzer::builder(words(None)).dynamic();
        if let Some(filter) = in_filter {
            whole = whole.filter_dynamic(filter);
        }
        if options.ascii_folding {
            whole = whole.filter_dynamic(AsciiFoldingFilter);
            plain = plain.filter_dynamic(AsciiFoldingFilter);
        }
        if options.stemming
            && let Some(language) = stop_words::stemmed(options.language)
        {
            whole = whole.filter_dynamic(Stemmer::new(language));
        }
        Self { options: *options, whole: whole.build(), plain: plain.build() }
    }

    /// What it was made of.
    #[must_use]
    pub const fn options(&self) -> &FullText {
        &self.options
    }

    /// The tokens of a text, in its order.
    #[must_use]
    pub fn tokens(&self, text: &str) -> Vec<Token> {
        let mut tokens = Vec::new();
        each(&self.whole, text, &mut |token| tokens.push(owned(token)));
        tokens
    }

    /// The last word of a text, neither stemmed nor left out as a stop word.
    pub(super) fn last_word(&self, text: &str) -> Option<Token> {
        let mut last = None;
        each(&self.plain, text, &mut |token| last = Some(owned(token)));
        last
    }

    /// Hands the tokens of a value to `visit`, with their positions in all of it.
    fn visit(&self, value: &Value, visit: &mut dyn FnMut(&str, u32)) {
        let is_pre_tokenized = self.options.tokenizer == Kind::PreTokenizedArray;
        let mut base = 0_u32;
        for element in value.elements() {
            // A token that is given has its place whether it is left out or not.
            let mut next = if is_pre_tokenized { base + 1 } else { base };
            each(&self.whole, element.text().unwrap_or_default(), &mut |token| {
                let position = base.saturating_add(narrow(token.position));
                visit(&token.text, position);
                if !is_pre_tokenized {
                    next = position.saturating_add(2);
                }
            });
            base = next;
        }
    }

    /// The positions of each token of a value, and how many tokens there are.
    pub(super) fn value(&self, value: &Value) -> (BTreeMap<String, Vec<u32>>, u32) {
        let mut terms: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        let mut count = 0_u32;
        self.visit(value, &mut |token, position| {
            count = count.saturating_add(1);
            match terms.get_mut(token) {
                Some(positions) => positions.push(position),
                None => {
                    terms.insert(token.to_owned(), vec![position]);
                }
            }
        });
        (terms, count)
    }
}

fn narrow(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}

fn owned(token: &RawToken) -> Token {
    Token {
        text: token.text.clone(),
        position: narrow(token.position),
        range: token.offset_from..token.offset_to,
    }
}

fn each(analyzer: &TextAnalyzer, text: &str, visit: &mut dyn FnMut(&RawToken)) {
    let mut analyzer = analyzer.clone();
    let mut stream = analyzer.token_stream(text);
    while stream.advance() {
        // Folding leaves nothing of some signs.
        if !stream.token().text.is_empty() {
            visit(stream.token());
        }
    }
}

/// The words of a text as tantivy's filters want them.
#[derive(Clone)]
struct Words {
    rules: Rules,
    bytes_max: usize,
    is_lower_case: bool,
    /// Left out here, when the case of words is kept.
    stop_words: Option<StopWords>,
}

struct WordStream<'a> {
    words: std::vec::IntoIter<Range<usize>>,
    text: &'a str,
    tokenizer: &'a mut Words,
    token: RawToken,
}

impl Tokenizer for Words {
    type TokenStream<'a> = WordStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> WordStream<'a> {
        let words = self.rules.words(text).into_iter();
        WordStream { words, text, tokenizer: self, token: RawToken::default() }
    }
}

impl TokenStream for WordStream<'_> {
    fn advance(&mut self) -> bool {
        for range in self.words.by_ref() {
            let word = self.text.get(range.clone()).unwrap_or_default();
            self.token.position = self.token.position.wrapping_add(1);
            let is_stop_word =
                self.tokenizer.stop_words.as_mut().is_some_and(|words| words.contain(word));
            if word.len() > self.tokenizer.bytes_max || is_stop_word {
                continue;
            }
            (self.token.offset_from, self.token.offset_to) = (range.start, range.end);
            self.token.text.clear();
            if !self.tokenizer.is_lower_case {
                self.token.text.push_str(word);
            } else if word.is_ascii() {
                self.token.text.push_str(word);
                self.token.text.make_ascii_lowercase();
            } else {
                self.token.text = word.to_lowercase();
            }
            return true;
        }
        false
    }

    fn token(&self) -> &RawToken {
        &self.token
    }

    fn token_mut(&mut self) -> &mut RawToken {
        &mut self.token
    }
}

/// The attributes of a schema that are searched as text.
#[derive(Debug, Clone)]
pub struct Texts(Arc<[(FieldNo, Analyzer)]>);

impl Texts {
    /// Those of a schema.
    #[must_use]
    pub fn new(schema: &Schema) -> Self {
        let fields = schema.fields().filter_map(|(_, field)| {
            let full_text = field.kind.attribute()?.full_text.as_ref()?;
            Some((field.number, Analyzer::new(full_text)))
        });
        let mut fields: Vec<_> = fields.collect();
        fields.sort_unstable_by_key(|(number, _)| *number);
        Self(fields.into())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Their numbers, ascending.
    pub fn fields(&self) -> impl Iterator<Item = FieldNo> + '_ {
        self.0.iter().map(|(number, _)| *number)
    }

    /// The tokens of a row: all the work of indexing that may be done beside others.
    #[must_use]
    pub fn analyze(&self, row: &Row) -> RowTokens {
        let fields = self.0.iter().filter_map(|(number, analyzer)| {
            let (terms, count) = analyzer.value(row.value(*number)?);
            (count > 0).then(|| FieldTokens {
                field: *number,
                count,
                terms: terms.into_iter().collect(),
            })
        });
        RowTokens { fields: fields.collect() }
    }
}

/// The tokens of one row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowTokens {
    /// Ascending, those that have any.
    pub(super) fields: Vec<FieldTokens>,
}

/// Those of one of its attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FieldTokens {
    pub(super) field: FieldNo,
    pub(super) count: u32,
    /// Each with its positions, ascending.
    pub(super) terms: Vec<(String, Vec<u32>)>,
}

impl RowTokens {
    /// About how many bytes they take in a [`Memory`](super::Memory): for reservations.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let term = |(_, positions): &(String, Vec<u32>)| 4 + positions.len() * 2;
        self.fields.iter().map(|field| 4 + field.terms.iter().map(term).sum::<usize>()).sum()
    }
}

#[cfg(test)]
mod tests;
