//! The table of commands. Help, completion, the nearest command to a wrong one, and which options a
//! command takes: all of them read this table and nothing else.

/// What an argument names, for completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// Nothing that anybody could list.
    Nothing,
    /// A command.
    Command,
    /// A database.
    Database,
    /// A collection of the current database.
    Collection,
    /// `on` or `off`.
    Switch,
}

/// An option of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OptionSpec {
    /// Its name with both dashes.
    pub name: &'static str,
    /// What its value is called; none when it has none.
    pub value: Option<&'static str>,
}

/// A command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spec {
    /// Its name with its dot.
    pub name: &'static str,
    /// The arguments, as help shows them.
    pub arguments: &'static str,
    /// What its first argument names.
    pub names: Names,
    /// Its options.
    pub options: &'static [OptionSpec],
    /// What it does, in a line.
    pub summary: &'static str,
    /// What else there is to know; may be empty.
    pub more: &'static str,
    /// A statement that makes sense.
    pub example: &'static str,
}

impl Spec {
    /// Name, arguments and options, as help shows them.
    #[must_use]
    pub fn usage(&self) -> String {
        let mut usage = self.name.to_owned();
        if !self.arguments.is_empty() {
            usage.push(' ');
            usage.push_str(self.arguments);
        }
        for option in self.options {
            usage.push_str(" [");
            usage.push_str(option.name);
            if let Some(value) = option.value {
                usage.push(' ');
                usage.push_str(value);
            }
            usage.push(']');
        }
        usage
    }
}

const fn with(name: &'static str, value: &'static str) -> OptionSpec {
    OptionSpec { name, value: Some(value) }
}

const fn flag(name: &'static str) -> OptionSpec {
    OptionSpec { name, value: None }
}

const TTL: OptionSpec = with("--ttl", "DURATION");
const IF_REVISION: OptionSpec = with("--if-revision", "REVISION");

const TTL_TEXT: &str = "After --ttl (500ms, 30s, 15m, 12h, 7d) the document is gone.";
const BOTH_TEXT: &str = "With --if-revision it is refused when the document is at another one. \
    After --ttl (500ms, 30s, 15m, 12h, 7d) the document is gone.";
const IF_TEXT: &str = "With --if-revision it is refused when the document is at another one.";

macro_rules! commands {
    ($($name:literal $arguments:literal $names:ident [$($option:expr),*] $summary:literal
        $more:expr, $example:literal;)*) => {
        /// All commands, in the order of the help.
        pub const COMMANDS: &[Spec] = &[$(Spec {
            name: $name,
            arguments: $arguments,
            names: Names::$names,
            options: &[$($option),*],
            summary: $summary,
            more: $more,
            example: $example,
        },)*];
    };
}

commands! {
    ".create" "ID DOCUMENT" Nothing [TTL] "make a document that does not exist yet"
        TTL_TEXT, ".create 1 {\"title\": \"Walden\", \"price\": 9.90}";
    ".read" "ID" Nothing [] "print a document"
        "", ".read 1";
    ".update" "ID DOCUMENT" Nothing [IF_REVISION, TTL] "replace a document that exists"
        BOTH_TEXT, ".update 1 {\"title\": \"Walden\", \"price\": 8.50}";
    ".upsert" "ID DOCUMENT" Nothing [IF_REVISION, TTL] "make or replace a document"
        BOTH_TEXT, ".upsert offer {\"until\": \"tomorrow\"} --ttl 1d";
    ".patch" "ID OPERATIONS" Nothing [IF_REVISION] "change parts of a document"
        "OPERATIONS is a JSON array of {\"op\", \"path\", \"value\"}. With --if-revision it is \
         refused when the document is at another one. The document keeps its expiry.",
        ".patch 1 [{\"op\": \"set\", \"path\": \"/price\", \"value\": 7}]";
    ".delete" "ID" Nothing [IF_REVISION] "remove a document"
        IF_TEXT, ".delete 1";
    ".scan" "" Nothing [with("--from", "ID"), with("--after", "ID"), with("--to", "ID"),
        with("--before", "ID"), with("--limit", "N")] "print the documents of a range of ids"
        "Numbers come first, then UUIDs, then texts. --from and --to are part of the range, \
         --after and --before are not. At most --limit documents (100, up to 10000) or 16 MiB; \
         next= is then for --after.", ".scan --from 1 --limit 10";
    ".query" "QUERY" Nothing [] "find documents"
        "QUERY is a JSON object: filters, rank_by, limit, cursor, aggregate_by, facets and others, as \
         over HTTP.", ".query {\"filters\": [\"price\", \"Lt\", 10], \"limit\": 5}";
    ".explain" "QUERY" Nothing [] "print how a query would be answered"
        "", ".explain {\"rank_by\": [\"price\", \"asc\"]}";
    ".schema" "[CHANGE]" Nothing [flag("--infer"), flag("--remove")]
        "print or set the search schema of the collection"
        "CHANGE is a JSON object of attributes and undeclared (infer, refuse or ignore); what it does \
         not name stays. --infer describes the documents, --remove takes the schema away.",
        ".schema {\"attributes\": {\"price\": \"float\"}, \"undeclared\": \"ignore\"}";
    ".list-collections" "" Nothing [] "list the collections of the database"
        "", ".list-collections";
    ".collections" "" Nothing [] "the same as .list-collections"
        "", ".collections";
    ".create-collection" "NAME" Nothing [] "make a collection"
        "Commands stay with the collection they used: see .use-collection.",
        ".create-collection books";
    ".drop-collection" "NAME" Collection [flag("--force")] "remove a collection"
        "Only an empty one; with --force also one with documents, and them for good.",
        ".drop-collection books --force";
    ".use-collection" "NAME" Collection [] "go on with another collection"
        "Asks the server nothing: the next command tells whether it exists.",
        ".use-collection books";
    ".ls" "" Nothing [] "list the databases"
        "", ".ls";
    ".open" "NAME" Database [flag("--create")] "open a database and go on with it"
        "With --create it is made, and must not exist yet. The collection is then `default`.",
        ".open shop --create";
    ".use" "NAME" Database [] "go on with a database"
        "It is opened unless this shell has opened it before. The collection is then `default`.",
        ".use shop";
    ".close" "[NAME]" Database [] "let go of a database"
        "The current one without NAME; the shell then goes on with `default`.",
        ".close shop";
    ".drop" "NAME" Database [] "remove a database and everything in it, for good"
        "There is no question: the name is the confirmation.", ".drop shop";
    ".pwd" "" Nothing [] "print the current database and collection"
        "", ".pwd";
    ".begin" "" Nothing [] "begin a transaction"
        "Reads see the state it began with and its own writes; nobody else sees those before \
         .commit. The server ends it after 30 seconds.", ".begin";
    ".commit" "" Nothing [] "commit the transaction: all of it or nothing"
        "TxnConflict when something that it read has changed: nothing was written.",
        ".commit";
    ".rollback" "" Nothing [] "end the transaction without a trace"
        "", ".rollback";
    ".watch" "" Nothing [with("--after", "LSN"), with("--count", "N")] "print changes as they come"
        "From now on, or those behind --after (0: from the beginning); until Ctrl-C, or until \
         there were --count. Each line ends with the document.",
        ".watch --after 0 --count 10";
    ".stats" "" Nothing [flag("--server")] "statistics of the database, or of the server"
        "", ".stats";
    ".mem" "" Nothing [] "memory of the server"
        "", ".mem";
    ".wal" "" Nothing [] "the log of the database"
        "", ".wal";
    ".heal" "ID" Nothing [flag("--versions"), with("--accept", "LSN")]
        "read a document, and heal it if it is damaged"
        "With --versions the versions that are left of it are named, and with --accept one of \
         them is written anew in the place of the one that is lost.", ".heal 1 --versions";
    ".heal-all" "" Nothing [] "check all data files and heal what is damaged"
        "", ".heal-all";
    ".heal-stats" "" Nothing [] "statistics of healing"
        "", ".heal-stats";
    ".validate" "" Nothing [] "read every document and name those that are not sound"
        "", ".validate";
    ".checkpoint" "" Nothing [] "move what waits in memory to data files"
        "", ".checkpoint";
    ".compact" "" Nothing [] "rewrite data files that are mostly garbage"
        "", ".compact";
    ".backup" "NAME" Nothing [] "back the database up"
        "Into the directory NAME of the server's backups; the same one again costs what is new.",
        ".backup nightly";
    ".metrics" "" Nothing [flag("--openmetrics")] "all metrics of the server"
        "", ".metrics";
    ".logs" "[TEXT]" Nothing
        [with("--severity", "NAME"), with("--app", "NAME"), with("--host", "NAME"), with("--limit", "N")]
        "find log entries of the server, the newest first"
        "TEXT is words, in quotes if there are several; --severity finds what is as bad or worse.",
        ".logs \"disk full\" --severity err --limit 20";
    ".ping" "" Nothing [] "ask for an answer"
        "", ".ping";
    ".pretty" "[on|off]" Switch [] "print documents over several lines, or on one"
        "Off at first. Documents and bytes stay as they are.", ".pretty on";
    ".history" "[N]" Nothing [] "print the last statements"
        "20 of them without N.", ".history 5";
    ".clear" "" Nothing [] "clear the screen"
        "", ".clear";
    ".help" "[COMMAND]" Command [] "print this list, or all about one command"
        "", ".help .create";
    ".exit" "" Nothing [] "leave the shell"
        "Ctrl-D on an empty line does the same.", ".exit";
}

/// The command of a name, with its dot.
#[must_use]
pub fn find(name: &str) -> Option<&'static Spec> {
    COMMANDS.iter().find(|spec| spec.name == name)
}

/// What other stores' shells call commands of ours.
const ELSEWHERE: &[(&str, &[&str])] = &[
    (".read", &[".get", ".find-one", ".show", ".cat", ".fetch"]),
    (".upsert", &[".put", ".set", ".save", ".replace", ".write"]),
    (".create", &[".insert", ".add", ".new"]),
    (".delete", &[".del", ".rm", ".remove", ".unset"]),
    (".scan", &[".list", ".all", ".keys", ".dump"]),
    (".query", &[".find", ".search", ".select"]),
    (".ls", &[".databases", ".dbs", ".list-databases"]),
    (".create-collection", &[".mkdir", ".create-table"]),
    (".list-collections", &[".tables"]),
    (".watch", &[".tail", ".changes", ".subscribe"]),
    (".exit", &[".quit", ".q", ".bye"]),
];

/// The command nearest to a name that is none: the one that others call so, or one that is written much like it.
#[must_use]
pub fn nearest(name: &str) -> Option<&'static str> {
    if let Some((ours, _)) = ELSEWHERE.iter().find(|(_, theirs)| theirs.contains(&name)) {
        return Some(ours);
    }
    let names = COMMANDS.iter().map(|spec| spec.name.to_owned());
    let nearest = crate::config::nearest(name, names)?;
    find(&nearest).map(|spec| spec.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::command::parse;

    #[test]
    fn every_command_is_listed_once_and_says_what_it_does() {
        for (number, spec) in COMMANDS.iter().enumerate() {
            assert!(spec.name.starts_with('.'), "{}", spec.name);
            assert!(!spec.summary.is_empty() && !spec.summary.ends_with('.'), "{}", spec.name);
            assert!(COMMANDS[..number].iter().all(|other| other.name != spec.name));
        }
    }

    #[test]
    fn what_others_call_a_command_leads_to_ours_and_is_none_itself() {
        for (ours, theirs) in ELSEWHERE {
            assert!(find(ours).is_some(), "{ours}");
            for name in *theirs {
                assert!(find(name).is_none(), "{name}");
                assert_eq!(nearest(name), Some(*ours));
            }
        }
    }

    #[test]
    fn every_example_is_a_statement_of_its_command() {
        for spec in COMMANDS {
            assert_eq!(spec.example.split(' ').next(), Some(spec.name));
            assert!(matches!(parse(spec.example), Ok(Some(_))), "{}", spec.example);
        }
    }

    #[test]
    fn the_nearest_command_is_the_one_that_was_meant() {
        for (typed, meant) in [
            (".craete", ".create"),
            (".colections", ".collections"),
            (".heel-all", ".heal-all"),
            (".EXIT", ".exit"),
        ] {
            assert_eq!(nearest(typed), Some(meant));
        }
    }
}
