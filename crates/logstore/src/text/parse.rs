//! From what a user typed to a query. There is no such thing as a syntax error: operators without
//! operands are words, quotes and parentheses that are not closed end with the text.

use super::tokens::{fold, tokens};
use super::{Node, Phrase, TextQuery};

/// Bytes of a typed query; the rest is not read.
pub const QUERY_BYTES_MAX: usize = 4096;
/// Terms of a query; further ones are not read.
pub const TERMS_MAX: usize = 64;
/// Parentheses within parentheses; deeper ones group nothing.
const DEPTH_MAX: usize = 16;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Lexeme {
    Open,
    Close,
    /// `-` before something, or `NOT`: what it is as a word, if it has to be one.
    Not(Option<Box<str>>),
    And,
    Or,
    Term(Phrase),
}

pub(super) fn parse(typed: &str) -> TextQuery {
    let text = &typed[..typed.floor_char_boundary(QUERY_BYTES_MAX)];
    let mut lexer = Lexer { text, at: 0, terms: 0, lexemes: Vec::new(), is_cut: false };
    lexer.run();
    let is_cut = lexer.is_cut || text.len() < typed.len();
    let mut parser = Parser { lexemes: lexer.lexemes, at: 0 };
    let mut nodes = Vec::new();
    // A parenthesis that closes nothing ends a part; the parts are joined as by blanks.
    while parser.at < parser.lexemes.len() {
        nodes.extend(parser.either(0));
        if parser.peek() == Some(&Lexeme::Close) {
            parser.at += 1;
        }
    }
    TextQuery { root: all_of(nodes), is_cut }
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
    terms: usize,
    lexemes: Vec<Lexeme>,
    is_cut: bool,
}

impl Lexer<'_> {
    fn run(&mut self) {
        while let Some(c) = self.text[self.at..].chars().next() {
            match c {
                '(' => self.single(Lexeme::Open),
                ')' => self.single(Lexeme::Close),
                '"' => self.quoted(),
                '-' if self.has_operand() => self.single(Lexeme::Not(None)),
                c if c.is_whitespace() => self.at += c.len_utf8(),
                _ => self.word(),
            }
        }
    }

    fn single(&mut self, lexeme: Lexeme) {
        self.at += 1;
        self.lexemes.push(lexeme);
    }

    /// Whether a dash stands directly before something it can negate.
    fn has_operand(&self) -> bool {
        let next = self.text[self.at + 1..].chars().next();
        next.is_some_and(|c| !c.is_whitespace() && c != '-' && c != ')')
    }

    fn quoted(&mut self) {
        let from = self.at + 1;
        let until = self.text[from..].find('"').map_or(self.text.len(), |found| from + found);
        self.at = (until + 1).min(self.text.len());
        let is_prefix = self.text[self.at..].starts_with('*');
        self.at += usize::from(is_prefix);
        self.term(&self.text[from..until], is_prefix);
    }

    fn word(&mut self) {
        let rest = &self.text[self.at..];
        let ends = |c: char| c.is_whitespace() || matches!(c, '(' | ')' | '"');
        let word = &rest[..rest.find(ends).unwrap_or(rest.len())];
        self.at += word.len();
        match word {
            "AND" | "&&" => self.lexemes.push(Lexeme::And),
            "OR" | "||" | "|" => self.lexemes.push(Lexeme::Or),
            "NOT" => self.lexemes.push(Lexeme::Not(Some("not".into()))),
            _ => {
                let stem = word.trim_end_matches('*');
                self.term(stem, stem.len() < word.len());
            }
        }
    }

    fn term(&mut self, text: &str, is_prefix: bool) {
        let tokens: Vec<Box<str>> =
            tokens(text).map(|token| token.chars().map(fold).collect::<String>().into()).collect();
        if tokens.is_empty() {
            return;
        }
        // `a-*` asks for what follows `a`, whatever it is: the star belongs to no token.
        let is_prefix = is_prefix && text.chars().next_back().is_some_and(is_part);
        self.terms += tokens.len();
        if self.terms > TERMS_MAX {
            self.is_cut = true;
            return;
        }
        self.lexemes.push(Lexeme::Term(Phrase { tokens, is_prefix }));
    }
}

fn is_part(c: char) -> bool {
    tokens(c.encode_utf8(&mut [0; 4])).next().is_some()
}

struct Parser {
    lexemes: Vec<Lexeme>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Lexeme> {
        self.lexemes.get(self.at)
    }

    /// Alternatives, up to a closing parenthesis or the end.
    fn either(&mut self, depth: usize) -> Option<Node> {
        let mut alternatives = Vec::new();
        alternatives.extend(self.together(depth));
        while self.peek() == Some(&Lexeme::Or) {
            self.at += 1;
            alternatives.extend(self.together(depth));
        }
        match alternatives.len() {
            0 | 1 => alternatives.pop(),
            _ => Some(Node::Or(alternatives)),
        }
    }

    /// What must hold together.
    fn together(&mut self, depth: usize) -> Option<Node> {
        let mut nodes = Vec::new();
        while let Some(lexeme) = self.peek() {
            match lexeme {
                Lexeme::Or | Lexeme::Close => break,
                Lexeme::And => {
                    self.at += 1;
                }
                Lexeme::Open | Lexeme::Not(_) | Lexeme::Term(_) => nodes.extend(self.one(depth)),
            }
        }
        all_of(nodes)
    }

    /// One operand; none when an operator or a parenthesis has nothing in it.
    fn one(&mut self, depth: usize) -> Option<Node> {
        let lexeme = self.lexemes.get(self.at)?.clone();
        match lexeme {
            Lexeme::Term(phrase) => {
                self.at += 1;
                Some(Node::Phrase(phrase))
            }
            Lexeme::Open => {
                self.at += 1;
                if depth >= DEPTH_MAX {
                    return None;
                }
                let inner = self.either(depth + 1);
                if self.peek() == Some(&Lexeme::Close) {
                    self.at += 1;
                }
                inner
            }
            Lexeme::Not(word) => self.negated(word, depth),
            Lexeme::And | Lexeme::Or | Lexeme::Close => None,
        }
    }

    fn negated(&mut self, mut word: Option<Box<str>>, depth: usize) -> Option<Node> {
        let mut is_negated = false;
        while let Some(Lexeme::Not(next)) = self.peek() {
            word = next.clone();
            is_negated = !is_negated;
            self.at += 1;
        }
        let has_operand = matches!(self.peek(), Some(Lexeme::Term(_) | Lexeme::Open));
        if !has_operand {
            let tokens = vec![word?];
            return Some(Node::Phrase(Phrase { tokens, is_prefix: false }));
        }
        let operand = self.one(depth)?;
        Some(if is_negated { Node::Not(Box::new(operand)) } else { operand })
    }
}

/// All of `nodes` together; nothing when there are none.
fn all_of(mut nodes: Vec<Node>) -> Option<Node> {
    match nodes.len() {
        0 | 1 => nodes.pop(),
        _ => Some(Node::And(nodes)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A query in one spelling: `(and a (or b "c d"*) (not e))`.
    fn spell(node: &Node) -> String {
        let list = |name: &str, nodes: &[Node]| {
            format!("({name} {})", nodes.iter().map(spell).collect::<Vec<_>>().join(" "))
        };
        match node {
            Node::Phrase(phrase) => {
                let star = if phrase.is_prefix { "*" } else { "" };
                match &phrase.tokens[..] {
                    [one] => format!("{one}{star}"),
                    many => format!("{:?}{star}", many.join(" ")),
                }
            }
            Node::And(nodes) => list("and", nodes),
            Node::Or(nodes) => list("or", nodes),
            Node::Not(node) => format!("(not {})", spell(node)),
        }
    }

    #[track_caller]
    fn check(typed: &str, expect: &str) {
        let query = parse(typed);
        assert_eq!(query.root.as_ref().map(spell).unwrap_or_default(), expect, "{typed:?}");
    }

    #[test]
    fn queries_are_read_as_their_table_says() {
        check("Disk full", "(and disk full)");
        check("\"Disk full\"", "\"disk full\"");
        check("10.0.0.1", "\"10 0 0 1\"");
        check("foo-bar*", "\"foo bar\"*");
        check("\"disk fu\"*", "\"disk fu\"*");
        check("a b OR c AND d", "(or (and a b) (and c d))");
        check("-a NOT b", "(and (not a) (not b))");
        check("-(a OR b) \"c", "(and (not (or a b)) c)");
        check("NOT -a", "a");
    }

    #[test]
    fn what_makes_no_sense_is_taken_for_what_it_most_likely_means() {
        check("", "");
        check("*** ;-) \"\" () -", "");
        check("OR", "");
        check("NOT", "not");
        check("a OR", "a");
        check("OR a", "a");
        check("a NOT", "(and a not)");
        check("(a", "a");
        check("a) b", "(and a b)");
        check("((((a))))", "a");
        check("a AND AND b", "(and a b)");
        check("and or not", "(and and or not)");
        check("-- a", "a");
        check("a- *", "a");
        check("a-*", "a");
    }

    #[test]
    fn what_is_too_long_is_cut_and_says_so() {
        let words = "w ".repeat(TERMS_MAX);
        assert!(!parse(&words).is_cut());
        assert!(parse(&format!("{words} x")).is_cut());
        assert!(parse(&"é".repeat(QUERY_BYTES_MAX)).is_cut());
        let deep = format!("{}a{}", "(".repeat(2000), ")".repeat(2000));
        assert!(!parse(&deep).is_cut());
    }

    proptest! {
        #[test]
        fn nothing_that_can_be_typed_is_an_error(typed in ".{0,200}", message in ".{0,100}") {
            // It must not panic; what it finds is for the other tests.
            _ = parse(&typed).matches(&message);
        }

        #[test]
        fn nor_is_any_heap_of_operators(
            parts in proptest::collection::vec(
                prop_oneof!["[a-c]{1,2}", Just("(".to_owned()), Just(")".to_owned()),
                    Just("OR".to_owned()), Just("AND".to_owned()), Just("NOT".to_owned()),
                    Just("-".to_owned()), Just("\"".to_owned()), Just("*".to_owned())],
                0..60),
            blanks in any::<bool>(),
        ) {
            let typed = parts.join(if blanks { " " } else { "" });
            _ = parse(&typed).matches("a b c");
        }

        #[test]
        fn every_word_of_a_message_finds_it(message in "[a-zA-Zäöß0-9 ,.:-]{0,60}") {
            for word in tokens(&message) {
                let is_operator = matches!(word, "AND" | "OR" | "NOT");
                prop_assert!(is_operator || parse(word).matches(&message), "{word}");
            }
        }
    }
}
