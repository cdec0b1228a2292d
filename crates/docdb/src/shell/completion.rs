//! What Tab offers: commands, their options, and names of databases and collections, for which the
//! server is asked when Tab is pressed and not before.

use client::Client;

use super::catalog::{self, COMMANDS, Names, Spec};
use super::json::string;

/// Who knows the names. None of them when nobody answers: Tab then offers nothing.
pub(super) trait Directory {
    fn databases(&self) -> Vec<String>;
    fn collections(&self, database: &str) -> Vec<String>;
}

impl Directory for Client {
    fn databases(&self) -> Vec<String> {
        let databases = Client::databases(self).unwrap_or_default();
        databases.into_iter().map(|database| database.name).collect()
    }

    fn collections(&self, database: &str) -> Vec<String> {
        let collections = self.database(database).collections().unwrap_or_default();
        collections.into_iter().map(|collection| collection.name).collect()
    }
}

/// Where the word under the cursor begins, and what could stand there instead.
pub(super) fn complete(
    line: &str,
    cursor: usize,
    database: &str,
    directory: &dyn Directory,
) -> (usize, Vec<String>) {
    let before = line.get(..cursor).unwrap_or(line);
    let begin = before.rfind(char::is_whitespace).map_or(0, |at| {
        at + before.get(at..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8)
    });
    let (earlier, word) = before.split_at_checked(begin).unwrap_or((before, ""));
    let mut earlier = earlier.split_whitespace();
    let candidates = match earlier.next() {
        None => COMMANDS.iter().map(|spec| spec.name.to_owned()).collect(),
        Some(command) => match catalog::find(command) {
            None => Vec::new(),
            Some(spec) if word.starts_with("--") => {
                spec.options.iter().map(|option| option.name.to_owned()).collect()
            }
            // The name may stand behind options, but nothing is offered behind the name.
            Some(spec) if earlier.all(|word| word.starts_with("--")) => {
                names(spec, word, database, directory)
            }
            Some(_) => Vec::new(),
        },
    };
    (begin, matching(candidates, word))
}

fn names(spec: &Spec, word: &str, database: &str, directory: &dyn Directory) -> Vec<String> {
    match spec.names {
        Names::Nothing => Vec::new(),
        Names::Command if word.starts_with('.') => {
            COMMANDS.iter().map(|spec| spec.name.to_owned()).collect()
        }
        Names::Command => {
            COMMANDS.iter().map(|spec| spec.name.trim_start_matches('.').to_owned()).collect()
        }
        Names::Database => directory.databases().into_iter().map(typed).collect(),
        Names::Collection => directory.collections(database).into_iter().map(typed).collect(),
        Names::Switch => vec!["on".to_owned(), "off".to_owned()],
    }
}

/// A name as it is typed: one that could be taken for an option needs quotes.
fn typed(name: String) -> String {
    if name.starts_with("--") { string(&name) } else { name }
}

/// Those that begin with what was typed, in order. A single one is followed by a space, because the
/// word is whole.
fn matching(candidates: Vec<String>, word: &str) -> Vec<String> {
    let mut matching: Vec<String> =
        candidates.into_iter().filter(|candidate| candidate.starts_with(word)).collect();
    matching.sort();
    if let [only] = matching.as_mut_slice() {
        only.push(' ');
    }
    matching
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Names;

    impl Directory for Names {
        fn databases(&self) -> Vec<String> {
            vec!["shop".to_owned(), "default".to_owned(), "--odd".to_owned()]
        }

        fn collections(&self, database: &str) -> Vec<String> {
            vec!["books".to_owned(), format!("of-{database}")]
        }
    }

    #[test]
    fn each_place_offers_what_may_stand_there() {
        let check = |line: &str, begin: usize, expect: &[&str]| {
            let (at, offered) = complete(line, line.len(), "shop", &Names);
            let expect = expect.iter().map(|text| (*text).to_owned()).collect();
            assert_eq!((at, offered), (begin, expect), "{line}");
        };
        check(".cre", 0, &[".create", ".create-collection"]);
        check("  .pin", 2, &[".ping "]);
        check(".open ", 6, &["\"--odd\"", "default", "shop"]);
        check(".open s", 6, &["shop "]);
        check(".open --c", 6, &["--create "]);
        check(".open --create sh", 15, &["shop "]);
        check(".open shop s", 11, &[]);
        check(".use-collection o", 16, &["of-shop "]);
        check(".update 1 {} --i", 13, &["--if-revision "]);
        check(".help .pi", 6, &[".ping "]);
        check(".help pi", 6, &["ping "]);
        check(".pretty o", 8, &["off", "on"]);
        check(".read ", 6, &[]);
        check(".nonsense ", 10, &[]);
        check("nonsense", 0, &[]);
    }

    #[test]
    fn only_what_stands_before_the_cursor_counts() {
        let (at, offered) = complete(".pin 1", 4, "shop", &Names);
        assert_eq!((at, offered), (0, vec![".ping ".to_owned()]));
        // A cursor that is nowhere, and one within a character, are no reason to panic.
        complete("é", 1, "shop", &Names);
        complete("é\u{2003}x", 100, "shop", &Names);
    }
}
