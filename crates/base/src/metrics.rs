//! Metrics: counters, gauges and histograms, and the registry that renders them.
//!
//! Every metric is a constant [`Definition`] in its crate's definitions file; a [`Registry`] gives
//! out handles to its series. Updating a handle is one or two atomic additions, without locks and
//! without looking anything up; only making a series and rendering take the registry's lock.
//!
//! Names are `docdb_<area>_<what>_<unit>`, which [`Definition::check`] insists on. Rendering is
//! Prometheus text 0.0.4 or OpenMetrics 1.0 ([`Format`]). Nothing here listens on a socket.

mod definition;
mod registry;
mod render;
mod value;

pub use definition::{
    BYTES_BUCKETS, COUNT_BUCKETS, DURATION_BUCKETS_NANOS, Definition, Kind, MetricError,
};
pub use registry::{Registry, SERIES_MAX};
pub use render::Format;
pub use value::{BUCKETS_MAX, Counter, Gauge, Histogram, Summary};
