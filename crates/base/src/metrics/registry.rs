//! Which metrics exist, and the handles to their series.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::definition::{Definition, Kind, MetricError};
use super::value::{Counter, Gauge, Histogram};

/// Most series of one metric. Enough for ten thousand databases in two variants each; a label
/// whose values are unbounded hits it before memory runs out.
pub const SERIES_MAX: usize = 20_000;

/// The metrics of a process (or of a test: there is no global one).
#[derive(Debug, Default)]
pub struct Registry {
    families: Mutex<BTreeMap<&'static str, Family>>,
}

/// A metric and its series, by their label values.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) definition: Definition,
    pub(super) series: BTreeMap<Box<[Box<str>]>, Value>,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    Counter(Counter),
    Gauge(Gauge),
    Histogram(Histogram),
}

impl Registry {
    /// A registry of nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a metric known before it has a series, so that it appears in
    /// [`Registry::inventory`].
    ///
    /// # Errors
    /// When the definition is malformed or the name has another definition.
    pub fn register(&self, definition: &Definition) -> Result<(), MetricError> {
        family(&mut self.lock(), definition).map(|_| ())
    }

    /// The counter with these label values, in the order of the definition's labels; made when
    /// it is not there yet.
    ///
    /// # Errors
    /// As [`Registry::register`], and when kind or label values do not fit the definition or
    /// there are too many series.
    pub fn counter(&self, of: &Definition, labels: &[&str]) -> Result<Counter, MetricError> {
        match self.series(of, labels)? {
            Value::Counter(counter) => Ok(counter),
            Value::Gauge(_) | Value::Histogram(_) => Err(MetricError::WrongKind(of.name)),
        }
    }

    /// The gauge with these label values; made when it is not there yet.
    ///
    /// # Errors
    /// As [`Registry::counter`].
    pub fn gauge(&self, of: &Definition, labels: &[&str]) -> Result<Gauge, MetricError> {
        match self.series(of, labels)? {
            Value::Gauge(gauge) => Ok(gauge),
            Value::Counter(_) | Value::Histogram(_) => Err(MetricError::WrongKind(of.name)),
        }
    }

    /// The histogram with these label values; made when it is not there yet.
    ///
    /// # Errors
    /// As [`Registry::counter`].
    pub fn histogram(&self, of: &Definition, labels: &[&str]) -> Result<Histogram, MetricError> {
        match self.series(of, labels)? {
            Value::Histogram(histogram) => Ok(histogram),
            Value::Counter(_) | Value::Gauge(_) => Err(MetricError::WrongKind(of.name)),
        }
    }

    /// Forgets a series: that of a database that was dropped, say. Handles to it go on working,
    /// unseen. Says whether it was there.
    pub fn remove(&self, of: &Definition, labels: &[&str]) -> bool {
        let mut families = self.lock();
        let Some(family) = families.get_mut(of.name) else { return false };
        family.series.remove(&key(labels)).is_some()
    }

    /// All metrics, by name: what the reference of metrics is generated from.
    #[must_use]
    pub fn inventory(&self) -> Vec<Definition> {
        self.lock().values().map(|family| family.definition).collect()
    }

    fn series(&self, of: &Definition, labels: &[&str]) -> Result<Value, MetricError> {
        let (name, wanted) = (of.name, of.labels.len());
        if labels.len() != wanted {
            return Err(MetricError::LabelValues { name, labels: wanted, values: labels.len() });
        }
        let mut families = self.lock();
        let family = family(&mut families, of)?;
        let key = key(labels);
        if let Some(value) = family.series.get(&key) {
            return Ok(value.clone());
        }
        if family.series.len() >= SERIES_MAX {
            return Err(MetricError::TooManySeries(name));
        }
        let value = match of.kind {
            Kind::Counter => Value::Counter(Counter::default()),
            Kind::Gauge => Value::Gauge(Gauge::default()),
            Kind::Histogram { bounds } => Value::Histogram(Histogram::new(bounds)),
        };
        family.series.insert(key, value.clone());
        Ok(value)
    }

    /// A map stays whole when a thread panics beside it, so a poisoned lock is usable.
    pub(super) fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Family>> {
        self.families.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(labels: &[&str]) -> Box<[Box<str>]> {
    labels.iter().map(|value| Box::from(*value)).collect()
}

fn family<'a>(
    families: &'a mut BTreeMap<&'static str, Family>,
    of: &Definition,
) -> Result<&'a mut Family, MetricError> {
    if !families.contains_key(of.name) {
        of.check()?;
        // `x_total` and `x` would be one family in OpenMetrics.
        let clash = |other: &Family| other.definition.family() == of.family();
        if families.values().any(clash) {
            return Err(MetricError::Taken(of.name));
        }
    }
    let family = families
        .entry(of.name)
        .or_insert_with(|| Family { definition: *of, series: BTreeMap::new() });
    if family.definition == *of { Ok(family) } else { Err(MetricError::Taken(of.name)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Definition = Definition {
        name: "docdb_wal_size_bytes",
        kind: Kind::Gauge,
        unit: "bytes",
        help: "Bytes of log on disk.",
        labels: &["database"],
    };
    const ERRORS: Definition = Definition {
        name: "docdb_errors_total",
        kind: Kind::Counter,
        unit: "",
        help: "Errors.",
        labels: &[],
    };

    #[test]
    fn the_same_labels_give_the_same_series() {
        let registry = Registry::new();
        registry.gauge(&SIZE, &["a"]).unwrap().set(1.0);
        registry.gauge(&SIZE, &["b"]).unwrap().set(2.0);
        registry.gauge(&SIZE, &["a"]).unwrap().add(10.0);
        let read = |label| registry.gauge(&SIZE, &[label]).unwrap().get().to_string();
        assert_eq!((read("a"), read("b")), ("11".into(), "2".into()));
        assert!(registry.remove(&SIZE, &["a"]));
        assert!(!registry.remove(&SIZE, &["a"]) && !registry.remove(&ERRORS, &[]));
        assert_eq!(read("a"), "0");
    }

    #[test]
    fn a_name_has_one_meaning() {
        let registry = Registry::new();
        registry.counter(&ERRORS, &[]).unwrap();
        let other = Definition { help: "Other errors.", ..ERRORS };
        assert_eq!(registry.register(&other), Err(MetricError::Taken(ERRORS.name)));
        let gauge =
            Definition { name: "docdb_log_errors", kind: Kind::Gauge, unit: "errors", ..ERRORS };
        let counter = Definition { name: "docdb_log_errors_total", ..ERRORS };
        registry.register(&gauge).unwrap();
        assert_eq!(registry.register(&counter), Err(MetricError::Taken(counter.name)));
        assert_eq!(registry.inventory(), [ERRORS, gauge]);
    }

    #[test]
    fn handles_that_do_not_fit_the_definition_are_refused() {
        let registry = Registry::new();
        let wrong = MetricError::WrongKind(SIZE.name);
        assert_eq!(registry.counter(&SIZE, &["a"]).unwrap_err(), wrong);
        assert_eq!(registry.histogram(&SIZE, &["a"]).unwrap_err(), wrong);
        let wrong = MetricError::WrongKind(ERRORS.name);
        assert_eq!(registry.gauge(&ERRORS, &[]).unwrap_err(), wrong);
        let error = registry.gauge(&SIZE, &[]).unwrap_err();
        assert_eq!(error, MetricError::LabelValues { name: SIZE.name, labels: 1, values: 0 });
        let malformed = Definition { name: "size", ..SIZE };
        assert_eq!(registry.register(&malformed), Err(MetricError::Name("size")));
        assert_eq!(registry.inventory(), [ERRORS, SIZE]);
    }

    #[test]
    fn the_number_of_series_is_bounded() {
        let registry = Registry::new();
        for n in 0..SERIES_MAX {
            registry.gauge(&SIZE, &[&n.to_string()]).unwrap();
        }
        let error = registry.gauge(&SIZE, &["one more"]).unwrap_err();
        assert_eq!(error, MetricError::TooManySeries(SIZE.name));
        registry.gauge(&SIZE, &["0"]).unwrap();
    }
}
