//! The text of `keys.json`, read strictly: whatever is not exactly what [`render`] writes, up to
//! blanks and the order of fields, is refused with what is wrong. Reasons quote nothing of the file.

use std::collections::BTreeSet;
use std::sync::Arc;

use base::clock::WallMs;
use serde_json::{Map, Value, json};

use super::KEYS_MAX;
use crate::auth::grant::Grant;
use crate::auth::key::{GRANTS_MAX, Hash, Key, LABEL_BYTES_MAX, hex};

const VERSION: u64 = 1;

type Parsed<T> = Result<T, &'static str>;

/// SHA-256.
pub(super) fn digest(bytes: &[u8]) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let mut out = [0; 32];
    out.copy_from_slice(digest.as_ref());
    out
}

/// The checksum over the keys: each field a line, in this order, which no label or name can break
/// because they have no control characters.
fn checksum<'a>(keys: impl Iterator<Item = &'a Key>) -> String {
    let mut lines = format!("docdb keys {VERSION}\n");
    for key in keys {
        let grants: Vec<String> = key.grants.iter().map(ToString::to_string).collect();
        let fields = [
            key.hash.to_hex(),
            key.label.clone(),
            key.created.0.to_string(),
            key.expires.map(|at| at.0.to_string()).unwrap_or_default(),
            grants.join(" "),
        ];
        for field in fields {
            lines.push_str(&field);
            lines.push('\n');
        }
    }
    hex(&digest(lines.as_bytes()))
}

/// The file of `keys`.
pub(super) fn render(keys: &[Arc<Key>]) -> Vec<u8> {
    let one = |key: &Arc<Key>| {
        let grants: Vec<String> = key.grants.iter().map(ToString::to_string).collect();
        json!({
            "hash": key.hash.to_hex(),
            "label": key.label,
            "created_ms": key.created.0,
            "expires_ms": key.expires.map(|at| at.0),
            "grants": grants,
        })
    };
    let file = json!({
        "version": VERSION,
        "checksum": checksum(keys.iter().map(|key| &**key)),
        "keys": keys.iter().map(one).collect::<Vec<_>>(),
    });
    format!("{file:#}\n").into_bytes()
}

/// Reads a file.
pub(super) fn parse(bytes: &[u8]) -> Parsed<Vec<Key>> {
    let Ok(Value::Object(mut file)) = serde_json::from_slice(bytes) else {
        return Err("it is no JSON object");
    };
    if take(&mut file, "version")?.as_u64() != Some(VERSION) {
        return Err("its version is not 1");
    }
    let claimed = text(take(&mut file, "checksum")?)?;
    let Value::Array(items) = take(&mut file, "keys")? else { return Err("it has no keys") };
    end(&file)?;
    if items.len() > KEYS_MAX {
        return Err("it has too many keys");
    }
    let keys = items.into_iter().map(key).collect::<Parsed<Vec<Key>>>()?;
    let hashes: BTreeSet<Hash> = keys.iter().map(|key| key.hash).collect();
    if hashes.len() != keys.len() {
        return Err("a key is in it twice");
    }
    if checksum(keys.iter()) != claimed {
        return Err("its checksum does not fit its keys");
    }
    Ok(keys)
}

fn key(item: Value) -> Parsed<Key> {
    let Value::Object(mut fields) = item else { return Err("a key is no object") };
    let hash = Hash::of_hex(&text(take(&mut fields, "hash")?)?).ok_or("a hash is malformed")?;
    let label = text(take(&mut fields, "label")?)?;
    if label.len() > LABEL_BYTES_MAX || label.contains(char::is_control) {
        return Err("a label is malformed");
    }
    let created = take(&mut fields, "created_ms")?.as_u64().ok_or("a time is malformed")?;
    let time = |time: Value| time.as_u64().map(WallMs).ok_or("a time is malformed");
    let expires = some(take(&mut fields, "expires_ms")?).map(time).transpose()?;
    let Value::Array(items) = take(&mut fields, "grants")? else {
        return Err("a key has no grants");
    };
    if items.is_empty() || items.len() > GRANTS_MAX {
        return Err("a key has no grants, or too many");
    }
    let grant = |item| text(item)?.parse::<Grant>().map_err(|_| "a grant is malformed");
    let grants = items.into_iter().map(grant).collect::<Parsed<Vec<Grant>>>()?;
    end(&fields)?;
    Ok(Key { hash, label, created: WallMs(created), expires, grants })
}

fn take(fields: &mut Map<String, Value>, name: &str) -> Parsed<Value> {
    fields.remove(name).ok_or("a field is missing")
}

/// None for `null`.
fn some(value: Value) -> Option<Value> {
    Some(value).filter(|value| !value.is_null())
}

fn end(fields: &Map<String, Value>) -> Parsed<()> {
    if fields.is_empty() { Ok(()) } else { Err("it has a field that is not known") }
}

fn text(value: Value) -> Parsed<String> {
    let Value::String(text) = value else { return Err("a field is no text") };
    Ok(text)
}
