//! Server-sent events of a live tail: lines of `event` and `data`, ended by an empty one.

use std::io::{BufRead, BufReader, Read};

use serde_json::Value;

use crate::error::{Error, Result};
use crate::surface::LogEvent;

/// Longest line that is read: an entry is far shorter.
const LINE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Reads events until the stream ends or the reader has enough.
pub(super) fn read(stream: impl Read, tell: &mut dyn FnMut(LogEvent) -> bool) -> Result<()> {
    let mut stream = BufReader::new(stream);
    let (mut name, mut data) = (String::new(), String::new());
    loop {
        let mut line = Vec::new();
        let read = stream.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
        let len =
            read.map_err(|error| Error::protocol(format!("the stream broke off: {error}")))?;
        if len == 0 {
            return Ok(());
        }
        let line = String::from_utf8(line);
        let line = line.map_err(|_| Error::protocol("an event is not UTF-8"))?;
        match line.trim_end_matches(['\n', '\r']) {
            "" if data.is_empty() => name.clear(),
            "" => {
                let event = event(&std::mem::take(&mut name), &std::mem::take(&mut data))?;
                if event.is_some_and(|event| !tell(event)) {
                    return Ok(());
                }
            }
            line => match line.split_once(": ") {
                Some(("event", value)) => value.clone_into(&mut name),
                Some(("data", value)) => data.push_str(value),
                // Ids, and comments that say that the server lives.
                _ => {}
            },
        }
    }
}

fn event(name: &str, data: &str) -> Result<Option<LogEvent>> {
    let value: Value = serde_json::from_str(data)
        .map_err(|error| Error::protocol(format!("an event is not JSON: {error}")))?;
    Ok(match name {
        "" | "entry" => Some(LogEvent::Entry(value)),
        "missed" => value["missed"].as_u64().map(LogEvent::Missed),
        // Of a newer server.
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read_all(text: &str, enough: usize) -> Result<Vec<LogEvent>> {
        let mut found = Vec::new();
        read(text.as_bytes(), &mut |event| {
            found.push(event);
            found.len() < enough
        })?;
        Ok(found)
    }

    #[test]
    fn events_are_read_until_there_are_enough() {
        let text = ": alive\n\nid: 1\ndata: {\"id\":1}\n\nevent: missed\ndata: {\"missed\":3}\n\n\
             event: new\ndata: {}\n\ndata: {\"id\":2}\r\n\r\n";
        let (one, two) = (json!({"id": 1}), json!({"id": 2}));
        let all = [LogEvent::Entry(one.clone()), LogEvent::Missed(3), LogEvent::Entry(two)];
        assert_eq!(read_all(text, 9).unwrap(), all);
        assert_eq!(read_all(text, 1).unwrap(), [LogEvent::Entry(one)]);
        assert!(read_all("data: {\n\n", 1).is_err());
    }
}
