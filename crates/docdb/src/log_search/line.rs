//! An entry as a line for people, as the command line and the shell print it.

use serde_json::Value;

/// `2026-01-31T23:59:59.000000000Z err web1 nginx[77]: disk full`, out of an entry as JSON. Control
/// characters of the message are escaped, but for line ends and tabs, so that no sender writes to a
/// terminal.
#[must_use]
pub fn line_of(entry: &Value) -> String {
    let text = |name: &str| entry[name].as_str().unwrap_or_default();
    let mut line = format!("{} {}", text("time"), text("severity"));
    for part in [text("hostname"), text("app_name")] {
        if !part.is_empty() {
            line.push(' ');
            line.push_str(part);
        }
    }
    if !text("proc_id").is_empty() {
        line.push_str(&format!("[{}]", text("proc_id")));
    }
    line.push_str(": ");
    line.push_str(text("message"));
    line.chars().map(printable).collect()
}

fn printable(char: char) -> String {
    match char {
        '\n' | '\t' => char.to_string(),
        char if char.is_control() => char.escape_unicode().to_string(),
        char => char.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_entry_is_a_line_that_cannot_write_to_a_terminal() {
        let entry = json!({"time": "T", "severity": "err", "hostname": "web1", "app_name": "nginx",
            "proc_id": "7", "message": "disk\t\u{1b}[2J full"});
        assert_eq!(line_of(&entry), "T err web1 nginx[7]: disk\t\\u{1b}[2J full");
        let entry = json!({"time": "T", "severity": "info", "message": "m"});
        assert_eq!(line_of(&entry), "T info: m");
    }
}
