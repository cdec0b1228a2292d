//! The only place of the client that asks for the time. It stands alone, and so cannot use the
//! server's clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Now, for deadlines.
#[expect(clippy::disallowed_methods, reason = "the client's one source of time for deadlines")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Longest wait: beyond it a deadline could not be computed.
const WAIT_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// So long after now, at most 30 days.
pub(crate) fn deadline(span: Duration) -> Instant {
    now() + span.min(WAIT_MAX)
}

/// So long after now, in milliseconds since the Unix epoch.
#[expect(clippy::disallowed_methods, reason = "the client's one source of time for expiries")]
pub(crate) fn unix_ms_after(span: Duration) -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.saturating_add(span).as_millis()).unwrap_or(u64::MAX)
}
