//! What a metric is: name, kind, unit, help and label names, all constant.

use super::value::BUCKETS_MAX;

/// Bounds for durations: 10 µs to 10 s in steps of about 2, in nanoseconds.
pub const DURATION_BUCKETS_NANOS: &[u64] = &[
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
];
/// Bounds for sizes: 64 B to 256 MiB in steps of 4.
pub const BYTES_BUCKETS: &[u64] = &[
    1 << 6,
    1 << 8,
    1 << 10,
    1 << 12,
    1 << 14,
    1 << 16,
    1 << 18,
    1 << 20,
    1 << 22,
    1 << 24,
    1 << 26,
    1 << 28,
];
/// Bounds for numbers of things: 1 to 4096 in steps of 2.
pub const COUNT_BUCKETS: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096];

/// Suffixes that the text formats give a meaning of their own.
const RESERVED: [&str; 5] = ["total", "count", "sum", "bucket", "created"];

/// What a metric measures, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only goes up. Its name ends in `_total`.
    Counter,
    /// Goes both ways.
    Gauge,
    /// Counts of values in ranges that end at these bounds, both in the unit of the values;
    /// nanoseconds when the metric's unit is `seconds`.
    Histogram {
        /// Upper bounds, each included in its range, ascending; the range above the last one is
        /// there without being named.
        bounds: &'static [u64],
    },
}

/// One metric. Compared by value: two crates may not give one name two meanings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Definition {
    /// `docdb_<area>_<what>_<unit>`; counters have `_total` at the end.
    pub name: &'static str,
    /// What it measures.
    pub kind: Kind,
    /// The unit: the last word of the name (the one before `total` for a counter, which may also
    /// have none): `seconds`, `bytes`, `ratio`, or what is counted.
    pub unit: &'static str,
    /// One sentence for people.
    pub help: &'static str,
    /// Names of the labels. Their values must be few: each set is a series.
    pub labels: &'static [&'static str],
}

/// Why a metric or one of its series is refused. All are defects of the program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetricError {
    /// The name is not of the form `docdb_<area>_<what>_<unit>`.
    #[error("a metric is named docdb_<area>_<what>_<unit>, name={0}")]
    Name(&'static str),
    /// The unit is not where it belongs in the name.
    #[error("the name of a metric ends in its unit, name={name} unit={unit}")]
    Unit {
        /// The name.
        name: &'static str,
        /// The unit.
        unit: &'static str,
    },
    /// The help is empty, or has characters that the formats would need to escape.
    #[error("help is one line without quotes and backslashes, name={0}")]
    Help(&'static str),
    /// A label has a reserved or malformed name, or is there twice.
    #[error("labels have distinct names of a-z and _ other than le, name={name} label={label}")]
    Label {
        /// The metric.
        name: &'static str,
        /// The label.
        label: &'static str,
    },
    /// The bounds of a histogram are none, too many or not ascending.
    #[error("a histogram has 1 to {BUCKETS_MAX} ascending bounds, name={0}")]
    Bounds(&'static str),
    /// The name is taken by another definition.
    #[error("the name has another definition already, name={0}")]
    Taken(&'static str),
    /// A handle of another kind was asked for.
    #[error("the metric is of another kind, name={0}")]
    WrongKind(&'static str),
    /// There are more or fewer label values than labels.
    #[error("one value for each label, name={name} labels={labels} values={values}")]
    LabelValues {
        /// The metric.
        name: &'static str,
        /// How many labels it has.
        labels: usize,
        /// How many values were given.
        values: usize,
    },
    /// The metric has as many series as it may.
    #[error("too many series, name={0}")]
    TooManySeries(&'static str),
}

impl Definition {
    /// Checks the form of the definition, as registering does.
    ///
    /// # Errors
    /// The first rule it breaks.
    pub fn check(&self) -> Result<(), MetricError> {
        let name = self.name;
        let words: Vec<&str> = name.split('_').collect();
        if words.len() < 3 || words.first() != Some(&"docdb") || !words.iter().all(is_word) {
            return Err(MetricError::Name(name));
        }
        let misplaced = || MetricError::Unit { name, unit: self.unit };
        match (self.kind, words.as_slice()) {
            (Kind::Counter, [.., before, "total"]) => {
                if !self.unit.is_empty() && *before != self.unit {
                    return Err(misplaced());
                }
            }
            (Kind::Gauge | Kind::Histogram { .. }, [.., last]) => {
                if *last != self.unit || RESERVED.contains(last) {
                    return Err(misplaced());
                }
            }
            (Kind::Counter, _) | (_, []) => return Err(MetricError::Name(name)),
        }
        let plain = |c: char| c == ' ' || (c.is_ascii_graphic() && c != '"' && c != '\\');
        if self.help.is_empty() || !self.help.chars().all(plain) {
            return Err(MetricError::Help(name));
        }
        for (i, label) in self.labels.iter().enumerate() {
            let repeated = self.labels.iter().take(i).any(|earlier| earlier == label);
            if repeated || *label == "le" || !label.split('_').all(|word| is_word(&word)) {
                return Err(MetricError::Label { name, label });
            }
        }
        if let Kind::Histogram { bounds } = self.kind {
            let ascending = bounds.is_sorted_by(|a, b| a < b);
            if bounds.is_empty() || bounds.len() > BUCKETS_MAX || !ascending {
                return Err(MetricError::Bounds(name));
            }
        }
        Ok(())
    }

    /// The name of the family in OpenMetrics, where a counter's leaves out `_total`.
    pub(super) fn family(&self) -> &'static str {
        match self.kind {
            Kind::Counter => self.name.strip_suffix("_total").unwrap_or(self.name),
            Kind::Gauge | Kind::Histogram { .. } => self.name,
        }
    }
}

fn is_word(word: &&str) -> bool {
    word.starts_with(|c: char| c.is_ascii_lowercase())
        && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Definition = Definition {
        name: "docdb_wal_size_bytes",
        kind: Kind::Gauge,
        unit: "bytes",
        help: "Bytes of log on disk.",
        labels: &["database"],
    };

    #[test]
    fn well_formed_definitions_pass() {
        let counter = Definition { kind: Kind::Counter, unit: "", ..GOOD };
        let histogram = Kind::Histogram { bounds: DURATION_BUCKETS_NANOS };
        for definition in [
            GOOD,
            Definition { name: "docdb_operations_total", ..counter },
            Definition { name: "docdb_wal_written_bytes_total", unit: "bytes", ..counter },
            Definition {
                name: "docdb_operation_duration_seconds",
                unit: "seconds",
                kind: histogram,
                ..GOOD
            },
            Definition { kind: Kind::Histogram { bounds: BYTES_BUCKETS }, ..GOOD },
            Definition { kind: Kind::Histogram { bounds: COUNT_BUCKETS }, ..GOOD },
        ] {
            assert_eq!(definition.check(), Ok(()), "{}", definition.name);
        }
    }

    #[test]
    fn malformed_definitions_are_refused() {
        for name in [
            "wal_size_bytes",
            "docdb_bytes",
            "docdb__bytes",
            "docdb_Wal_bytes",
            "",
            "docdb_1_bytes",
        ] {
            assert_eq!(Definition { name, ..GOOD }.check(), Err(MetricError::Name(name)));
        }
        let name = GOOD.name;
        let unit = "seconds";
        assert_eq!(Definition { unit, ..GOOD }.check(), Err(MetricError::Unit { name, unit }));
        let counter = Definition { kind: Kind::Counter, ..GOOD };
        assert_eq!(counter.check(), Err(MetricError::Name(name)));
        let name = "docdb_documents_total";
        for unit in ["total", "bytes"] {
            let gauge = Definition { name, unit, ..GOOD };
            assert_eq!(gauge.check(), Err(MetricError::Unit { name, unit }));
        }
        for help in ["", "two\nlines", "a \"quote\"", "back\\slash", "ümlaut"] {
            assert_eq!(Definition { help, ..GOOD }.check(), Err(MetricError::Help(GOOD.name)));
        }
        for labels in [&["le"][..], &["a", "a"], &["a-b"], &["A"], &[""], &["__x"]] {
            let error = Definition { labels, ..GOOD }.check();
            assert!(matches!(error, Err(MetricError::Label { .. })), "{labels:?}");
        }
        for bounds in [&[][..], &[1, 1], &[2, 1], &[0; BUCKETS_MAX + 1]] {
            let kind = Kind::Histogram { bounds };
            assert_eq!(Definition { kind, ..GOOD }.check(), Err(MetricError::Bounds(GOOD.name)));
        }
    }
}
