//! The words behind a command, taken one by one. What nobody takes is refused.

use std::time::Duration;

use client::{ErrorCode, Id};

use super::catalog::{OptionSpec, Spec};
use super::fault::Fault;
use super::id::parse_id;
use super::line::{Kind, Word};

/// The arguments and options of one command.
pub(super) struct Arguments<'a> {
    spec: &'static Spec,
    positional: std::vec::IntoIter<Word<'a>>,
    options: Vec<(&'static str, Option<Word<'a>>)>,
}

impl<'a> Arguments<'a> {
    /// Tells options from arguments.
    pub(super) fn new(
        spec: &'static Spec,
        words: impl Iterator<Item = Word<'a>>,
    ) -> Result<Self, Fault> {
        let (mut positional, mut options) = (Vec::new(), Vec::new());
        let mut words = words;
        while let Some(word) = words.next() {
            if !word.is_option() {
                positional.push(word);
                continue;
            }
            let (option, value) = option(spec, &word)?;
            let value = match (option.value, value) {
                (None, None) => None,
                (None, Some(_)) => {
                    return Err(Fault::argument(format!("{} has no value", option.name)));
                }
                (Some(_), Some(value)) => Some(value),
                (Some(called), None) => Some(words.next().ok_or_else(|| {
                    Fault::argument(format!("{} {called}: the value is missing", option.name))
                })?),
            };
            if options.iter().any(|(name, _)| *name == option.name) {
                return Err(Fault::argument(format!("{} stands there twice", option.name)));
            }
            options.push((option.name, value));
        }
        Ok(Self { spec, positional: positional.into_iter(), options })
    }

    fn missing(&self, what: &str) -> Fault {
        Fault::argument(format!("{what} is missing; usage: {}", self.spec.usage()))
    }

    /// The next argument, if there is one.
    pub(super) fn optional(&mut self) -> Option<Word<'a>> {
        self.positional.next()
    }

    /// The next argument as a name.
    pub(super) fn name(&mut self, what: &str) -> Result<String, Fault> {
        self.positional.next().map(|word| word.text().to_owned()).ok_or_else(|| self.missing(what))
    }

    /// The next argument as an id.
    pub(super) fn id(&mut self) -> Result<Id, Fault> {
        let word = self.positional.next().ok_or_else(|| self.missing("the id"))?;
        parse_id(&word)
    }

    /// The next argument as JSON, as it was typed.
    pub(super) fn json(&mut self, what: &str) -> Result<String, Fault> {
        let word = self.positional.next().ok_or_else(|| self.missing(what))?;
        for prefix in ["raw:", "hex:"] {
            if word.kind == Kind::Bare && word.raw.starts_with(prefix) {
                let message = format!("documents are JSON; there are no `{prefix}` payloads");
                return Err(Fault::coded(ErrorCode::Unsupported, message));
            }
        }
        Ok(word.raw.to_owned())
    }

    fn option(&mut self, name: &str) -> Option<Option<Word<'a>>> {
        let at = self.options.iter().position(|(option, _)| *option == name)?;
        Some(self.options.swap_remove(at).1)
    }

    /// Whether an option without a value is there.
    pub(super) fn flag(&mut self, name: &str) -> bool {
        self.option(name).is_some()
    }

    /// The value of an option, if it is there.
    pub(super) fn value(&mut self, name: &str) -> Option<Word<'a>> {
        self.option(name).flatten()
    }

    /// The value of an option as a number.
    pub(super) fn number(&mut self, name: &str) -> Result<Option<u64>, Fault> {
        self.value(name).map(|word| number(&word, name)).transpose()
    }

    /// The value of an option as an id.
    pub(super) fn id_option(&mut self, name: &str) -> Result<Option<Id>, Fault> {
        self.value(name).map(|word| parse_id(&word)).transpose()
    }

    /// The value of an option as a time.
    pub(super) fn duration(&mut self, name: &str) -> Result<Option<Duration>, Fault> {
        let Some(word) = self.value(name) else { return Ok(None) };
        match duration(word.text()) {
            Some(time) => Ok(Some(time)),
            None => Err(Fault::argument(format!(
                "{name} is a number and ms, s, m, h or d, and not 0: `{}`",
                word.raw
            ))),
        }
    }

    /// Refuses what is left over.
    pub(super) fn end(mut self) -> Result<(), Fault> {
        match self.positional.next() {
            None => Ok(()),
            Some(word) => Err(Fault::argument(format!(
                "`{}` is one too many; usage: {}",
                super::output::shortened(word.raw),
                self.spec.usage()
            ))),
        }
    }
}

/// The option of a command, and what stands behind its `=`.
fn option<'a>(
    spec: &'static Spec,
    word: &Word<'a>,
) -> Result<(&'static OptionSpec, Option<Word<'a>>), Fault> {
    let (name, value) = match word.raw.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (word.raw, None),
    };
    let Some(option) = spec.options.iter().find(|option| option.name == name) else {
        let shown = super::output::shortened(name);
        return Err(Fault::argument(if spec.options.is_empty() {
            format!("{} has no options: `{shown}`; quotes make an id of it", spec.name)
        } else {
            format!("{} has no option `{shown}`; usage: {}", spec.name, spec.usage())
        }));
    };
    let at = word.at + name.len() + 1;
    Ok((option, value.map(|raw| Word { raw, at, kind: Kind::Bare })))
}

/// A decimal number.
pub(super) fn number(word: &Word<'_>, what: &str) -> Result<u64, Fault> {
    let is_decimal = word.kind == Kind::Bare && word.raw.bytes().all(|b| b.is_ascii_digit());
    word.raw.parse().ok().filter(|_| is_decimal).ok_or_else(|| {
        let shown = super::output::shortened(word.raw);
        Fault::argument(format!("{what} is a number from 0 to {}: `{shown}`", u64::MAX))
    })
}

/// A number and its unit. None for anything else, for 0 and for what does not fit.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let unit = text.find(|c: char| !c.is_ascii_digit())?;
    let (digits, unit) = text.split_at_checked(unit)?;
    let ms: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        "d" => 24 * 60 * 60 * 1000,
        _ => return None,
    };
    let ms = digits.parse::<u64>().ok()?.checked_mul(ms)?;
    (ms > 0).then_some(Duration::from_millis(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        let ms = |text| duration(text).map(|time| time.as_millis());
        assert_eq!(ms("500ms"), Some(500));
        assert_eq!(ms("30s"), Some(30_000));
        assert_eq!(ms("15m"), Some(900_000));
        assert_eq!(ms("2d"), Some(172_800_000));
        for none in ["", "0s", "5", "s", "5 s", "-5s", "5S", "99999999999999999999d", "1é"] {
            assert_eq!(ms(none), None, "{none}");
        }
        assert_eq!(ms("18446744073709551615d"), None);
    }
}
