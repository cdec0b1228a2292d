//! What is told of senders that are not read: a line for each reason, at most once a
//! [`PERIOD`], with how many there were since the line before. All of them are counted in the
//! metrics; the lines are for whoever looks for messages that do not come, and lines without end
//! would be a gift to whoever sends them.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base::clock::Instant;

use super::meters::Refusal;

/// The time between two lines of one reason.
const PERIOD: Duration = Duration::from_secs(60);

/// Remembers what was told.
#[derive(Debug, Default)]
pub(super) struct Notices {
    of: Mutex<[Told; Refusal::COUNT]>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Told {
    /// When something of this reason was told last.
    last: Option<Instant>,
    /// How many there were since then.
    untold: u64,
}

impl Notices {
    /// Takes notice of a refusal; how many are to be told of now, if any.
    fn due(&self, why: Refusal, now: Instant) -> Option<u64> {
        let mut all = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        let told = all.get_mut(why as usize)?;
        told.untold += 1;
        if told.last.is_some_and(|last| now.since(last) < PERIOD) {
            return None;
        }
        told.last = Some(now);
        Some(std::mem::take(&mut told.untold))
    }

    /// Tells of a refusal, unless one of its kind was told of a moment ago.
    pub(super) fn refused(&self, why: Refusal, peer: IpAddr, now: Instant) {
        let Some(refused) = self.due(why, now) else { return };
        let (peer, reason) = (peer.to_canonical(), why.name());
        let every = PERIOD.as_secs();
        tracing::warn!(
            %peer, reason, refused,
            "syslog is not taken: {}; told at most every {every} s",
            why.meaning()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refusals_is_a_line_a_minute_for_each_reason() {
        let notices = Notices::default();
        let at = |ms: u64| Instant(0).after(Duration::from_millis(ms));
        assert_eq!(notices.due(Refusal::NotAllowed, at(5)), Some(1), "the first is told at once");
        for n in 0..1000 {
            assert_eq!(notices.due(Refusal::NotAllowed, at(6 + n)), None);
        }
        assert_eq!(notices.due(Refusal::TooMany, at(7)), Some(1), "reasons do not hide another");
        assert_eq!(notices.due(Refusal::NotAllowed, at(60_004)), None);
        assert_eq!(notices.due(Refusal::NotAllowed, at(60_005)), Some(1002));
        assert_eq!(notices.due(Refusal::NotAllowed, at(200_000)), Some(1));
    }
}
