//! A filter as JSON: the form that [`Filter::parse`] reads back, one text for one filter.

use super::{Filter, Operand, Test};
use crate::json::{write_list, write_string};
use crate::text::write_texts;
use crate::value::Value;

impl Filter {
    /// Writes it.
    pub fn write_json(&self, out: &mut String) {
        match self {
            Self::And(filters) => write_logic("And", filters, out),
            Self::Or(filters) => write_logic("Or", filters, out),
            Self::Not(filter) => {
                out.push_str("[\"Not\",");
                filter.write_json(out);
                out.push(']');
            }
            Self::Test(test) => write_test(test, out),
        }
    }
}

fn write_logic(name: &str, filters: &[Filter], out: &mut String) {
    out.push('[');
    write_string(name, out);
    out.push(',');
    write_list(('[', ']'), filters, out, Filter::write_json);
    out.push(']');
}

fn write_test(test: &Test, out: &mut String) {
    use std::fmt::Write as _;
    out.push('[');
    write_string(&test.path.to_string(), out);
    out.push(',');
    write_string(test.op.name(), out);
    out.push(',');
    match &test.operand {
        Operand::One(value) => write_value(value.as_ref(), out),
        Operand::Many(values) => write_list(('[', ']'), values, out, |value, out| {
            write_value(value.as_ref(), out);
        }),
        Operand::Fuzzy { text, edits } => {
            write_string(text, out);
            let _ = write!(out, ",{{\"max_edit_distance\":{edits}}}");
        }
        Operand::Tokens { texts, last_as_prefix } => {
            write_texts(texts, out);
            let _ = write!(out, ",{{\"last_as_prefix\":{last_as_prefix}}}");
        }
        Operand::RefNew(path) => {
            out.push_str("{\"$ref_new\":");
            write_string(&path.to_string(), out);
            out.push('}');
        }
    }
    out.push(']');
}

fn write_value(value: Option<&Value>, out: &mut String) {
    match value {
        Some(value) => value.write_json(out),
        None => out.push_str("null"),
    }
}
