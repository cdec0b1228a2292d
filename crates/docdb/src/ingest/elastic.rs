//! Requests of Elasticsearch's `_bulk`, as far as shippers of logs use it: lines of which each
//! second one is a document, to be added.
//!
//! | action | is |
//! |---|---|
//! | `index`, `create` | an entry of the document on the next line |
//! | `update`, `delete` | refused, each by itself: what is logged is not changed |
//!
//! The fields of a document are those of [`json`]; those that the Elastic Common Schema
//! nests are looked for there too (`host.name`, `log.level`, `service.name`, `process.pid`,
//! `event.code`). The index, and an id if one is given, stand in the structured data as `_index` and
//! `_id`; a document without a program has its index for one.

use logstore::{Entry, UnixNanos};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::decoded::{Entries, Undecoded};
use super::json::{self, Defaults};

/// Longest line that is an action or a document.
const LINE_BYTES_MAX: usize = json::LINE_BYTES_MAX;
/// Where the entries came from, as they say.
const SOURCE: &str = "elasticsearch";

/// One action of a request, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// `index` or `create`, or what else was asked for.
    pub action: &'static str,
    /// The index.
    pub index: String,
    /// The id that was given.
    pub id: Option<String>,
    /// Why it was refused; none when the next of the entries is it.
    pub refused: Option<&'static str>,
}

/// What a request held.
#[derive(Debug, Default)]
pub struct Bulk {
    /// Its actions.
    pub items: Vec<Item>,
    /// The entries of those that were not refused.
    pub entries: Entries,
}

#[derive(Deserialize)]
struct Action {
    index: Option<Target>,
    create: Option<Target>,
    update: Option<Target>,
    delete: Option<Target>,
}

#[derive(Deserialize)]
struct Target {
    #[serde(rename = "_index")]
    index: Option<String>,
    #[serde(rename = "_id")]
    id: Option<Value>,
}

/// Reads a request; `index` is that of the path.
///
/// # Errors
/// When a line that should be an action is none, or there is too much.
pub fn bulk(body: &[u8], index: Option<&str>, received: UnixNanos) -> Result<Bulk, Undecoded> {
    let mut bulk = Bulk::default();
    let mut lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).enumerate();
    while let Some((at, line)) = lines.next() {
        if line.is_empty() {
            continue;
        }
        let malformed = |what: &str| Undecoded::malformed(format!("line {}: {what}", at + 1));
        if line.len() > LINE_BYTES_MAX {
            return Err(malformed("an action is longer than 1 MiB"));
        }
        let action: Action = serde_json::from_slice(line)
            .map_err(|error| malformed(&format!("it is no action: {error}")))?;
        let (name, target) = action.named().ok_or_else(|| malformed("it names no action"))?;
        let document = match name {
            "delete" => &[][..],
            _ => lines
                .next()
                .map(|(_, line)| line)
                .filter(|line| !line.is_empty())
                .ok_or_else(|| malformed("there is no document behind the action"))?,
        };
        bulk.add(name, target, index, document, received)?;
    }
    Ok(bulk)
}

impl Action {
    fn named(self) -> Option<(&'static str, Target)> {
        let all = [
            ("index", self.index),
            ("create", self.create),
            ("update", self.update),
            ("delete", self.delete),
        ];
        all.into_iter().find_map(|(name, target)| Some((name, target?)))
    }
}

impl Bulk {
    fn add(
        &mut self,
        action: &'static str,
        target: Target,
        index: Option<&str>,
        document: &[u8],
        received: UnixNanos,
    ) -> Result<(), Undecoded> {
        let index = target.index.or_else(|| index.map(str::to_owned)).unwrap_or_default();
        let id = target.id.map(super::fields::text).filter(|id| !id.is_empty());
        let read = match action {
            "update" | "delete" => {
                Err("what is logged is not changed; only index and create are done")
            }
            _ if index.is_empty() => {
                Err("there is no index, neither in the path nor in the action")
            }
            _ => entry(document, &index, id.as_deref(), received),
        };
        let refused = match read {
            Ok(entry) => {
                self.entries.push(entry)?;
                None
            }
            Err(why) => Some(why),
        };
        if self.items.len() >= super::decoded::ENTRIES_MAX {
            return Err(Undecoded::TooLarge(
                "there are too many actions; send fewer at once".into(),
            ));
        }
        self.items.push(Item { action, index, id, refused });
        Ok(())
    }
}

fn entry(
    document: &[u8],
    index: &str,
    id: Option<&str>,
    received: UnixNanos,
) -> Result<Entry, &'static str> {
    if document.len() > LINE_BYTES_MAX {
        return Err("the document is longer than 1 MiB");
    }
    let Ok(Value::Object(mut object)) = serde_json::from_slice(document) else {
        return Err("the document is no JSON object");
    };
    flatten(&mut object);
    object.insert("_index".to_owned(), index.into());
    if let Some(id) = id {
        object.insert("_id".to_owned(), id.into());
    }
    let defaults =
        Defaults { app_name: index.to_owned(), source: SOURCE.to_owned(), ..Defaults::default() };
    Ok(json::object(object, received, &defaults))
}

/// Lifts what the common schema nests to where it is looked for. An object that is empty then goes.
fn flatten(object: &mut Map<String, Value>) {
    for (outer, inner, name) in [
        ("host", "name", "hostname"),
        ("host", "hostname", "hostname"),
        ("log", "level", "level"),
        ("service", "name", "app_name"),
        ("process", "pid", "proc_id"),
        ("event", "code", "msg_id"),
    ] {
        let dotted = format!("{outer}.{inner}");
        let lifted = match object.get_mut(outer) {
            Some(Value::Object(nested)) => match nested.get(inner) {
                Some(Value::String(_) | Value::Number(_)) => nested.remove(inner),
                _ => None,
            },
            _ => object.remove(&dotted),
        };
        let Some(lifted) = lifted else { continue };
        if object.get(outer).is_some_and(|nested| *nested == Value::Object(Map::new())) {
            object.remove(outer);
        }
        // What stands at the top already is what the sender means.
        let place = if object.contains_key(name) { dotted } else { name.to_owned() };
        object.insert(place, lifted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use logstore::Severity;
    use serde_json::json;

    const NOW: UnixNanos = UnixNanos(1_769_903_999_000_000_000);

    fn read(text: &str, index: Option<&str>) -> (Vec<Item>, Vec<Entry>) {
        let bulk = bulk(text.as_bytes(), index, NOW).unwrap();
        (bulk.items, bulk.entries.into_list())
    }

    #[test]
    fn documents_become_entries_in_their_order() {
        let text = "{\"create\":{\"_index\":\"app\"}}\n{\"@timestamp\":\"2026-01-31T23:59:58Z\",\
             \"message\":\"one\",\"log\":{\"level\":\"error\",\"file\":\"a\"},\"host\":{\"name\":\"web1\"}}\n\
             {\"index\":{\"_id\":7}}\r\n{\"message\":\"two\",\"service.name\":\"shop\"}";
        let (items, entries) = read(text, Some("logs"));
        let item = |action, index: &str, id: Option<&str>| Item {
            action,
            index: index.to_owned(),
            id: id.map(str::to_owned),
            refused: None,
        };
        assert_eq!(items, [item("create", "app", None), item("index", "logs", Some("7"))]);
        assert_eq!((&*entries[0].message, &*entries[0].hostname), ("one", "web1"));
        assert_eq!((entries[0].severity, &*entries[0].app_name), (Severity::Error, "app"));
        let data: Value = serde_json::from_str(&entries[0].structured_data).unwrap();
        assert_eq!(data, json!({ "_index": "app", "log": { "file": "a" } }));
        assert_eq!((&*entries[1].app_name, &*entries[1].source), ("shop", "elasticsearch"));
    }

    #[test]
    fn what_is_not_done_is_refused_by_itself() {
        let text = "{\"delete\":{\"_id\":\"1\"}}\n{\"update\":{\"_id\":\"1\"}}\n{\"doc\":{}}\n\
             {\"index\":{}}\n[1]\n{\"index\":{}}\n{\"message\":\"kept\"}\n";
        let (items, entries) = read(text, Some("logs"));
        let refused: Vec<_> = items.iter().map(|item| item.refused.is_some()).collect();
        assert_eq!((refused, entries.len()), (vec![true, true, true, false], 1));
        let (items, _) = read("{\"index\":{}}\n{}\n", None);
        assert!(items[0].refused.is_some_and(|why| why.contains("no index")));
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for text in [
            "x\n",
            "{}\n{}\n",
            "{\"index\":{}}\n",
            "{\"index\":{}}\n\n",
            "[1]\n",
            "{\"move\":{}}\n",
        ] {
            assert!(bulk(text.as_bytes(), Some("i"), NOW).is_err(), "{text}");
        }
        assert!(bulk(b"\n\n", None, NOW).unwrap().items.is_empty());
    }
}
