//! What is asked of application logs, as parameters of a URL. Those of a filter are in one list, and
//! every route that has a filter takes all of them.

use crate::http::parameters::{Parameter, query};

/// A parameter that is text.
const fn text(name: &'static str, what: &'static str) -> Parameter {
    query(name, r#"{"type":"string"}"#, what)
}

/// Which entries.
pub(super) const FILTER: [Parameter; crate::log_search::FILTER.len()] = [
    text(
        "text",
        "Words, \"phrases\", `OR`, `-without`, `begin*`; what has no meaning as an operator is a word.",
    ),
    text(
        "severity_max",
        "Only entries as bad as this or worse: a name (`warning`) or a number of syslog, 0 the worst.",
    ),
    text("hostname", "One of these machines; with `!` before them, none of them."),
    text("app_name", "The same for programs."),
    text("proc_id", "The same for processes."),
    text("msg_id", "The same for kinds of messages."),
    text("source", "The same for where entries came from."),
    text("facility", "The same for facilities of syslog, 0 to 23."),
    text("severity", "The same for severities."),
    text(
        "sd",
        "Values in the structured data: `user.name=ann;code!=200`, or a path alone for any value.",
    ),
    text("from", "The first time: RFC 3339, or nanoseconds since 1970."),
    text("to", "The last time, in the same way."),
];

/// The parameters of a filter, and others behind them.
pub(super) const fn filter_and<const MORE: usize, const ALL: usize>(
    more: [Parameter; MORE],
) -> [Parameter; ALL] {
    assert!(ALL == FILTER.len() + MORE);
    let mut all = [FILTER[0]; ALL];
    let mut at = 0;
    while at < ALL {
        all[at] = if at < FILTER.len() { FILTER[at] } else { more[at - FILTER.len()] };
        at += 1;
    }
    all
}

pub(super) const ORDER: Parameter = query(
    "order",
    r#"{"type":"string","enum":["newest","oldest"],"default":"newest"}"#,
    "Which entries come first.",
);
pub(super) const LIMIT: Parameter = query(
    "limit",
    r#"{"type":"integer","minimum":1,"maximum":1000,"default":100}"#,
    "How many entries an answer has at most.",
);
pub(super) const CURSOR: Parameter = query(
    "cursor",
    r#"{"type":"string","pattern":"^[0-9a-fA-F]{32}$"}"#,
    "`next` of an answer, for what comes behind it; with `back`, `previous` of one.",
);
pub(super) const BACK: Parameter = query(
    "back",
    r#"{"type":"boolean","default":false}"#,
    "Whether to answer what comes before the cursor, in the same order.",
);
pub(super) const WIDTH_MS: Parameter = query(
    "width_ms",
    r#"{"type":"integer","minimum":1,"maximum":31536000000}"#,
    "How much time a bar is; about 60 bars unless it is given.",
);
pub(super) const FIELD: Parameter = query(
    "field",
    r#"{"type":"string","enum":["hostname","app_name","proc_id","msg_id","source","facility","severity"]}"#,
    "Whose values are counted; must be given.",
);
pub(super) const TOP: Parameter = query(
    "limit",
    r#"{"type":"integer","minimum":1,"maximum":1000,"default":10}"#,
    "How many values an answer has at most.",
);
pub(super) const LETTERS: Parameter =
    query("limit", LIMIT.schema, "How many an answer has at most.");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameters_of_a_filter_are_the_names_that_searches_know() {
        assert_eq!(FILTER.map(|parameter| parameter.name), crate::log_search::FILTER);
        let all: [Parameter; 14] = filter_and([ORDER, LIMIT]);
        let names = all.map(|parameter| parameter.name);
        assert_eq!((names[11], names[12], names[13]), ("to", "order", "limit"));
    }
}
