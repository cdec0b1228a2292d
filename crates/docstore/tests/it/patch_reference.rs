//! A second implementation of patches: eager, recursive and slow, written from the rules alone. It
//! builds the whole document as a tree whose leaves are text, and clones it wherever it likes.
//!
//! The fuzz target `patch` uses it too.

use base::document::{Document, validate};
use docstore::patch::{Operation, Patch, Pointer};

/// A value; scalars are kept as they are written.
#[derive(Debug, Clone)]
enum Value {
    Scalar(String),
    Array { elements: Vec<Child>, tail: String },
    Object { members: Vec<Child>, tail: String },
}

/// An element or member with the text around it.
#[derive(Debug, Clone)]
struct Child {
    /// Decoded; empty for elements.
    key: String,
    before: String,
    value: Value,
    after: String,
}

/// Bytes that copies and tests may handle.
const WORK_MAX: usize = 64 * 1024 * 1024;

/// The patched text, or the number of the operation that fails; none when the result does.
pub(crate) fn apply(patch: &Patch, document: &Document) -> Result<Vec<u8>, Option<usize>> {
    let text = std::str::from_utf8(document.as_bytes()).expect("documents are UTF-8");
    let (before, mut root, after) = parse(text);
    let mut handled = 0;
    for (number, operation) in patch.operations().iter().enumerate() {
        step(&mut root, operation, &mut handled).ok_or(Some(number))?;
    }
    let text = before + &root.text() + &after;
    if validate(text.as_bytes()).is_ok() { Ok(text.into_bytes()) } else { Err(None) }
}

fn step(root: &mut Value, operation: &Operation, handled: &mut usize) -> Option<()> {
    let tokens = |pointer: &Pointer| pointer.tokens().map(str::to_owned).collect::<Vec<_>>();
    let value_of = |document: &Document| {
        parse(std::str::from_utf8(document.as_bytes()).expect("documents are UTF-8")).1
    };
    let path = tokens(operation.path());
    match operation {
        Operation::Set { value, .. } => set(root, &path, value_of(value)),
        Operation::Delete { .. } => remove(root, &path).map(drop),
        Operation::Insert { value, .. } => {
            if path.is_empty()
                || matches!(parent(root, &path)?, Value::Object { .. })
                    && get(root, &path).is_some()
            {
                return None;
            }
            add(root, &path, value_of(value))
        }
        Operation::Add { value, .. } => add(root, &path, value_of(value)),
        Operation::Replace { value, .. } => {
            *get(root, &path)? = value_of(value);
            Some(())
        }
        Operation::Move { from, .. } => {
            let from = tokens(from);
            if from == path {
                return get(root, &path).map(|_| ());
            }
            if path.starts_with(&from) {
                return None;
            }
            let value = remove(root, &from)?;
            add(root, &path, value)
        }
        Operation::Copy { from, .. } => {
            let value = get(root, &tokens(from))?.clone();
            *handled += value.text().len();
            if *handled > WORK_MAX {
                return None;
            }
            add(root, &path, value)
        }
        Operation::Test { value, .. } => {
            let there = get(root, &path)?;
            *handled += there.text().len();
            (*handled <= WORK_MAX && canonical(there) == canonical(&value_of(value))).then_some(())
        }
    }?;
    (depth(root) <= 128).then_some(())
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Scalar(_) => 0,
        Value::Array { elements: children, .. } | Value::Object { members: children, .. } => {
            1 + children.iter().map(|child| depth(&child.value)).max().unwrap_or(0)
        }
    }
}

fn set(value: &mut Value, path: &[String], new: Value) -> Option<()> {
    let Some((token, rest)) = path.split_first() else {
        *value = new;
        return Some(());
    };
    if get(value, std::slice::from_ref(token)).is_none() {
        let object = Value::Object { members: Vec::new(), tail: String::new() };
        add(value, std::slice::from_ref(token), object)?;
    }
    let token = match value {
        Value::Array { elements, .. } if token == "-" => (elements.len() - 1).to_string(),
        Value::Scalar(_) | Value::Array { .. } | Value::Object { .. } => token.clone(),
    };
    set(get(value, &[token])?, rest, new)
}

/// The value at `path`.
fn get<'v>(value: &'v mut Value, path: &[String]) -> Option<&'v mut Value> {
    let Some((token, rest)) = path.split_first() else { return Some(value) };
    let child = match value {
        Value::Scalar(_) => None,
        Value::Array { elements, .. } => elements.get_mut(index(token)?),
        Value::Object { members, .. } => members.iter_mut().find(|member| member.key == *token),
    };
    get(&mut child?.value, rest)
}

fn parent<'v>(root: &'v mut Value, path: &[String]) -> Option<&'v mut Value> {
    get(root, &path[..path.len() - 1])
}

fn remove(root: &mut Value, path: &[String]) -> Option<Value> {
    let token = path.last()?;
    match parent(root, path)? {
        Value::Scalar(_) => None,
        Value::Array { elements, .. } => {
            let at = index(token).filter(|at| *at < elements.len())?;
            Some(elements.remove(at).value)
        }
        Value::Object { members, .. } => {
            let at = members.iter().position(|member| member.key == *token)?;
            Some(members.remove(at).value)
        }
    }
}

fn add(root: &mut Value, path: &[String], new: Value) -> Option<()> {
    let Some(token) = path.last() else {
        *root = new;
        return Some(());
    };
    let child =
        |before| Child { key: token.clone(), before, value: new.clone(), after: String::new() };
    match parent(root, path)? {
        Value::Scalar(_) => None,
        Value::Array { elements, .. } => {
            let at = if token == "-" { elements.len() } else { index(token)? };
            (at <= elements.len()).then(|| elements.insert(at, child(String::new())))
        }
        Value::Object { members, .. } => {
            match members.iter_mut().find(|member| member.key == *token) {
                Some(member) => member.value = new,
                None => members.push(child(format!("\"{}\":", escape(token)))),
            }
            Some(())
        }
    }
}

fn index(token: &str) -> Option<usize> {
    let number: usize = token.parse().ok()?;
    (number.to_string() == token).then_some(number)
}

fn escape(key: &str) -> String {
    let escape_char = |c: char| match c {
        '"' => "\\\"".to_owned(),
        '\\' => "\\\\".to_owned(),
        '\u{8}' => "\\b".to_owned(),
        '\u{c}' => "\\f".to_owned(),
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\t' => "\\t".to_owned(),
        c if c < ' ' => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    };
    key.chars().map(escape_char).collect()
}

impl Value {
    fn text(&self) -> String {
        let join = |children: &[Child]| {
            let text = |child: &Child| child.before.clone() + &child.value.text() + &child.after;
            children.iter().map(text).collect::<Vec<_>>().join(",")
        };
        match self {
            Self::Scalar(text) => text.clone(),
            Self::Array { elements, tail } => format!("[{}{tail}]", join(elements)),
            Self::Object { members, tail } => format!("{{{}{tail}}}", join(members)),
        }
    }
}

/// A text that equal values share and others do not.
fn canonical(value: &Value) -> String {
    match value {
        Value::Scalar(text) if text.starts_with('"') => format!("{:?}", unquote(text)),
        Value::Scalar(text) if text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => {
            canonical_number(text)
        }
        Value::Scalar(word) => word.clone(),
        Value::Array { elements, .. } => {
            let texts = elements.iter().map(|element| canonical(&element.value));
            format!("[{}]", texts.collect::<Vec<_>>().join(","))
        }
        Value::Object { members, .. } => {
            let text = |member: &Child| format!("{:?}:{}", member.key, canonical(&member.value));
            let mut texts: Vec<String> = members.iter().map(text).collect();
            texts.sort();
            format!("{{{}}}", texts.join(","))
        }
    }
}

/// `DIGITSePOWER` without zeros at either end of the digits. Longer exponents than 64 bits hold
/// are kept as they are written, so tests keep to small ones.
fn canonical_number(text: &str) -> String {
    let lower = text.to_lowercase();
    let (mantissa, exponent) = lower.split_once('e').unwrap_or((&lower, "0"));
    let Ok(mut power) = exponent.parse::<i64>() else { return lower };
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    power -= i64::try_from(fraction.len()).expect("texts are short");
    let digits = format!("{integer}{fraction}");
    let without_end = digits.trim_end_matches('0');
    power += i64::try_from(digits.len() - without_end.len()).expect("texts are short");
    match without_end.trim_start_matches('0') {
        "" => "0".to_owned(),
        digits => format!("{sign}{digits}e{power}"),
    }
}

/// What comes before the value, the value, and what comes after it.
fn parse(text: &str) -> (String, Value, String) {
    let (before, rest) = blank(text);
    let (value, after) = value(rest);
    (before.to_owned(), value, after.to_owned())
}

/// The whitespace that `text` begins with, and the rest.
fn blank(text: &str) -> (&str, &str) {
    text.split_at(text.len() - text.trim_start_matches([' ', '\t', '\r', '\n']).len())
}

/// The value that `text` begins with, and the rest.
fn value(text: &str) -> (Value, &str) {
    match text.as_bytes()[0] {
        b'{' => {
            let (members, tail, rest) = children(&text[1..], '}');
            (Value::Object { members, tail }, rest)
        }
        b'[' => {
            let (elements, tail, rest) = children(&text[1..], ']');
            (Value::Array { elements, tail }, rest)
        }
        b'"' => {
            let (string, rest) = string(text);
            (Value::Scalar(string.to_owned()), rest)
        }
        _ => {
            let end = text.find([',', '}', ']', ' ', '\t', '\r', '\n']).unwrap_or(text.len());
            (Value::Scalar(text[..end].to_owned()), &text[end..])
        }
    }
}

fn children(text: &str, close: char) -> (Vec<Child>, String, &str) {
    let mut found: Vec<Child> = Vec::new();
    let (inner, rest) = blank(text);
    if let Some(rest) = rest.strip_prefix(close) {
        return (found, inner.to_owned(), rest);
    }
    let mut left = text;
    loop {
        let (_, mut rest) = blank(left);
        let mut key = String::new();
        if close == '}' {
            let (quoted, after_key) = string(rest);
            key = unquote(quoted);
            rest = blank(&blank(after_key).1[1..]).1;
        }
        let before = left[..left.len() - rest.len()].to_owned();
        let (child, after_value) = value(rest);
        let (after, rest) = blank(after_value);
        found.push(Child { key, before, value: child, after: after.to_owned() });
        if let Some(rest) = rest.strip_prefix(close) {
            let tail = found.last_mut().map(|last| std::mem::take(&mut last.after));
            return (found, tail.unwrap_or_default(), rest);
        }
        left = &rest[1..];
    }
}

/// The string that `text` begins with, quotes included, and the rest.
fn string(text: &str) -> (&str, &str) {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return text.split_at(at + 1),
            _ => {}
        }
    }
    unreachable!("the validator has seen the closing quote")
}

fn unquote(quoted: &str) -> String {
    let mut units: Vec<u16> = Vec::new();
    let mut chars = quoted[1..quoted.len() - 1].chars();
    while let Some(c) = chars.next() {
        let plain = match c {
            '\\' => match chars.next().expect("an escape is whole") {
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'u' => {
                    let digits: String = chars.by_ref().take(4).collect();
                    units.push(u16::from_str_radix(&digits, 16).expect("four digits"));
                    continue;
                }
                itself => itself,
            },
            plain => plain,
        };
        units.extend(plain.encode_utf16(&mut [0; 2]).iter());
    }
    String::from_utf16(&units).expect("surrogates come in pairs")
}
