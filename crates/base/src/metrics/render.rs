//! The two text formats that monitoring reads: Prometheus text exposition 0.0.4 and OpenMetrics
//! 1.0.0. They differ in the header lines of counters, in units, and in the end mark.

use std::fmt::Write;

use super::definition::{Definition, Kind};
use super::registry::{Family, Registry, Value};
use super::value::Summary;

/// A text format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text exposition 0.0.4: what a scraper gets unless it asks for the other.
    Prometheus,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// The value of the `Content-Type` header.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

impl Registry {
    /// All series as text, sorted by name and label values. Holds the registry's lock meanwhile:
    /// handles go on counting, new series wait.
    #[must_use]
    pub fn render(&self, format: Format) -> String {
        let mut text = Text { out: String::new(), format };
        for family in self.lock().values().filter(|family| !family.series.is_empty()) {
            text.family(family);
        }
        if format == Format::OpenMetrics {
            text.out.push_str("# EOF\n");
        }
        text.out
    }
}

/// A text that is being written. Writing to a string cannot fail, so results are dropped.
struct Text {
    out: String,
    format: Format,
}

impl Text {
    fn family(&mut self, family: &Family) {
        let definition = &family.definition;
        let name = match self.format {
            Format::Prometheus => definition.name,
            Format::OpenMetrics => definition.family(),
        };
        let kind = match definition.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram { .. } => "histogram",
        };
        _ = writeln!(self.out, "# HELP {name} {}", definition.help);
        _ = writeln!(self.out, "# TYPE {name} {kind}");
        if self.format == Format::OpenMetrics && !definition.unit.is_empty() {
            _ = writeln!(self.out, "# UNIT {name} {}", definition.unit);
        }
        for (labels, value) in &family.series {
            match value {
                Value::Counter(counter) => {
                    self.sample(definition, "", labels, None, &counter.get().to_string());
                }
                Value::Gauge(gauge) => {
                    self.sample(definition, "", labels, None, &number(gauge.get()));
                }
                Value::Histogram(histogram) => {
                    self.histogram(definition, labels, &histogram.summary());
                }
            }
        }
    }

    fn histogram(&mut self, of: &Definition, labels: &[Box<str>], summary: &Summary) {
        for (bound, count) in &summary.cumulative {
            let bound = format!("{:?}", scaled(of, *bound));
            self.sample(of, "_bucket", labels, Some(&bound), &count.to_string());
        }
        let count = summary.count.to_string();
        self.sample(of, "_bucket", labels, Some("+Inf"), &count);
        self.sample(of, "_sum", labels, None, &number(scaled(of, summary.sum)));
        self.sample(of, "_count", labels, None, &count);
    }

    fn sample(
        &mut self,
        of: &Definition,
        suffix: &str,
        labels: &[Box<str>],
        bound: Option<&str>,
        value: &str,
    ) {
        self.out.push_str(of.name);
        self.out.push_str(suffix);
        let named = of.labels.iter().copied().zip(labels.iter().map(|value| &**value));
        let mut separator = '{';
        for (label, value) in named.chain(bound.map(|bound| ("le", bound))) {
            _ = write!(self.out, "{separator}{label}=\"");
            self.escaped(value);
            self.out.push('"');
            separator = ',';
        }
        if separator == ',' {
            self.out.push('}');
        }
        _ = writeln!(self.out, " {value}");
    }

    /// A label value, with what would end it or its line escaped.
    fn escaped(&mut self, value: &str) {
        for c in value.chars() {
            match c {
                '\\' => self.out.push_str("\\\\"),
                '"' => self.out.push_str("\\\""),
                '\n' => self.out.push_str("\\n"),
                _ => self.out.push(c),
            }
        }
    }
}

/// A value of a histogram in the unit of its metric: durations are kept in nanoseconds.
#[expect(clippy::cast_precision_loss, reason = "a sample is a double in both formats")]
fn scaled(of: &Definition, value: u64) -> f64 {
    if of.unit == "seconds" { value as f64 / 1e9 } else { value as f64 }
}

fn number(value: f64) -> String {
    if value == f64::INFINITY {
        "+Inf".into()
    } else if value == f64::NEG_INFINITY {
        "-Inf".into()
    } else {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPERATIONS: Definition = Definition {
        name: "docdb_operations_total",
        kind: Kind::Counter,
        unit: "",
        help: "Operations answered.",
        labels: &["operation", "status"],
    };
    const DURATION: Definition = Definition {
        name: "docdb_operation_duration_seconds",
        kind: Kind::Histogram { bounds: &[100_000, 1_000_000, 2_000_000_000] },
        unit: "seconds",
        help: "Time to answer.",
        labels: &["operation"],
    };
    const MEMORY: Definition = Definition {
        name: "docdb_memory_bytes",
        kind: Kind::Gauge,
        unit: "bytes",
        help: "Bytes reserved.",
        labels: &[],
    };
    const UNUSED: Definition = Definition { name: "docdb_unused_bytes", ..MEMORY };

    fn registry() -> Registry {
        let registry = Registry::new();
        registry.counter(&OPERATIONS, &["read", "ok"]).unwrap().add(3);
        registry.counter(&OPERATIONS, &["read", "a \"b\\c\"\nd"]).unwrap().increment();
        let histogram = registry.histogram(&DURATION, &["read"]).unwrap();
        for micros in [50, 1000, 1500, 3_000_000] {
            histogram.observe_duration(std::time::Duration::from_micros(micros));
        }
        registry.gauge(&MEMORY, &[]).unwrap().set_count(1 << 40);
        registry.register(&UNUSED).unwrap();
        registry
    }

    const SAMPLES: [&str; 9] = [
        r#"docdb_memory_bytes 1099511627776"#,
        r#"docdb_operation_duration_seconds_bucket{operation="read",le="0.0001"} 1"#,
        r#"docdb_operation_duration_seconds_bucket{operation="read",le="0.001"} 2"#,
        r#"docdb_operation_duration_seconds_bucket{operation="read",le="2.0"} 3"#,
        r#"docdb_operation_duration_seconds_bucket{operation="read",le="+Inf"} 4"#,
        r#"docdb_operation_duration_seconds_sum{operation="read"} 3.00255"#,
        r#"docdb_operation_duration_seconds_count{operation="read"} 4"#,
        r#"docdb_operations_total{operation="read",status="a \"b\\c\"\nd"} 1"#,
        r#"docdb_operations_total{operation="read",status="ok"} 3"#,
    ];

    #[test]
    fn prometheus_text_is_as_its_format_says() {
        let expected = [
            "# HELP docdb_memory_bytes Bytes reserved.",
            "# TYPE docdb_memory_bytes gauge",
            SAMPLES[0],
            "# HELP docdb_operation_duration_seconds Time to answer.",
            "# TYPE docdb_operation_duration_seconds histogram",
            SAMPLES[1],
            SAMPLES[2],
            SAMPLES[3],
            SAMPLES[4],
            SAMPLES[5],
            SAMPLES[6],
            "# HELP docdb_operations_total Operations answered.",
            "# TYPE docdb_operations_total counter",
            SAMPLES[7],
            SAMPLES[8],
        ];
        let text = registry().render(Format::Prometheus);
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
        assert!(text.ends_with('\n'));
    }

    #[test]
    fn open_metrics_names_families_units_and_the_end() {
        let expected = [
            "# HELP docdb_memory_bytes Bytes reserved.",
            "# TYPE docdb_memory_bytes gauge",
            "# UNIT docdb_memory_bytes bytes",
            SAMPLES[0],
            "# HELP docdb_operation_duration_seconds Time to answer.",
            "# TYPE docdb_operation_duration_seconds histogram",
            "# UNIT docdb_operation_duration_seconds seconds",
            SAMPLES[1],
            SAMPLES[2],
            SAMPLES[3],
            SAMPLES[4],
            SAMPLES[5],
            SAMPLES[6],
            "# HELP docdb_operations Operations answered.",
            "# TYPE docdb_operations counter",
            SAMPLES[7],
            SAMPLES[8],
            "# EOF",
        ];
        let text = registry().render(Format::OpenMetrics);
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
        assert_eq!(Registry::new().render(Format::OpenMetrics), "# EOF\n");
    }

    #[test]
    fn numbers_that_are_not_finite_have_their_own_spelling() {
        let spelled = [f64::INFINITY, f64::NEG_INFINITY, f64::NAN, -1.5, 0.0].map(number);
        assert_eq!(spelled, ["+Inf", "-Inf", "NaN", "-1.5", "0"]);
    }
}
