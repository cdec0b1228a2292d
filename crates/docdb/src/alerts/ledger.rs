//! What stands, and who has been told: decides which alerts are sent, and does nothing else.
//!
//! A condition is told when it begins and when it ends, once each. A critical error is a condition
//! too, one for each code: further ones are counted while it stands, and it ends when none came for
//! [`QUIET`]. Of a flood (a thousand databases on a disk that died) [`NOTICES_MAX`] are told in
//! [`WINDOW`]; the others stay untold, and are as soon as there is room, if they still hold.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base::clock::{Instant, WallMs};
use base::error::Code;
use base::error::tracker::Occurrence;

use super::condition::{Condition, Finding, Look, Subject};

/// How long a critical error must not happen for it to be over.
pub const QUIET: Duration = Duration::from_secs(300);
/// Most alerts in a [`WINDOW`].
pub const NOTICES_MAX: u32 = 30;
/// The time over which they are counted.
pub const WINDOW: Duration = Duration::from_secs(60);

/// What is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    Raised,
    Resolved,
}

/// One alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Notice {
    pub(super) event: Event,
    pub(super) at: WallMs,
    pub(super) subject: Subject,
    pub(super) code: Option<Code>,
    pub(super) message: String,
    /// How often it happened, or was found, while it stood.
    pub(super) times: u64,
}

/// Something that was told and is not over.
#[derive(Debug)]
struct Standing {
    code: Option<Code>,
    message: String,
    last: Instant,
    times: u64,
}

/// What stands.
#[derive(Debug)]
pub(super) struct Ledger {
    standing: BTreeMap<Subject, Standing>,
    /// When the window began, and how many were told in it.
    window: (Instant, u32),
    /// Critical errors that were not told for want of room.
    untold: u64,
}

impl Ledger {
    pub(super) fn new(now: Instant) -> Self {
        Self { standing: BTreeMap::new(), window: (now, 0), untold: 0 }
    }

    /// Takes note of a critical error.
    pub(super) fn happened(&mut self, now: Instant, error: &Occurrence) -> Option<Notice> {
        let finding = Finding {
            subject: Subject::of(Condition::CriticalError, error.code.name()),
            code: Some(error.code),
            message: error.message.to_string(),
        };
        let is_news = !self.standing.contains_key(&finding.subject);
        let notice = self.raise(now, error.at, finding);
        self.untold += u64::from(is_news && notice.is_none());
        notice
    }

    /// Takes note of a look: what begins, and what is over.
    pub(super) fn looked(&mut self, now: Instant, at: WallMs, look: Look) -> Vec<Notice> {
        let found: BTreeSet<Subject> =
            look.found.iter().map(|finding| finding.subject.clone()).collect();
        let over = |(subject, standing): (&Subject, &Standing)| {
            let is_over = if subject.condition == Condition::CriticalError {
                now.since(standing.last) >= QUIET
            } else {
                !found.contains(subject) && !look.unknown.contains(subject)
            };
            is_over.then(|| subject.clone())
        };
        let over: Vec<Subject> = self.standing.iter().filter_map(over).collect();
        let mut notices = Vec::new();
        for finding in look.found {
            notices.extend(self.raise(now, at, finding));
        }
        for subject in over {
            notices.extend(self.resolve(now, at, subject));
        }
        notices
    }

    /// How many conditions of a kind were told and are not over.
    pub(super) fn count(&self, condition: Condition) -> u64 {
        self.standing.keys().filter(|subject| subject.condition == condition).count() as u64
    }

    /// How many critical errors were not told because too much was.
    pub(super) fn untold(&self) -> u64 {
        self.untold
    }

    fn raise(&mut self, now: Instant, at: WallMs, finding: Finding) -> Option<Notice> {
        let Finding { subject, code, message } = finding;
        if let Some(standing) = self.standing.get_mut(&subject) {
            standing.last = now;
            standing.times += 1;
            return None;
        }
        if !self.has_room(now) {
            return None;
        }
        let standing = Standing { code, message: message.clone(), last: now, times: 1 };
        self.standing.insert(subject.clone(), standing);
        Some(Notice { event: Event::Raised, at, subject, code, message, times: 1 })
    }

    /// What could not be told to be over is tried again by the next look.
    fn resolve(&mut self, now: Instant, at: WallMs, subject: Subject) -> Option<Notice> {
        if !self.has_room(now) {
            return None;
        }
        let Standing { code, message, times, .. } = self.standing.remove(&subject)?;
        Some(Notice { event: Event::Resolved, at, subject, code, message, times })
    }

    /// Takes a place in the window, if there is one.
    fn has_room(&mut self, now: Instant) -> bool {
        let (began, told) = &mut self.window;
        if now.since(*began) >= WINDOW {
            (*began, *told) = (now, 0);
        }
        let has_room = *told < NOTICES_MAX;
        *told += u32::from(has_room);
        has_room
    }
}

#[cfg(test)]
mod tests {
    use base::error::Category;

    use super::*;

    fn second(n: u64) -> Instant {
        Instant(n * 1_000_000_000)
    }

    fn look(names: &[&str]) -> Look {
        let mut look = Look::default();
        for name in names {
            let subject = Subject::of(Condition::DatabaseDamaged, name);
            look.find(subject, Some(Code::WalCorrupt), "damaged".to_owned());
        }
        look
    }

    fn told(notices: &[Notice]) -> Vec<(Event, &str)> {
        notices.iter().map(|notice| (notice.event, &*notice.subject.of)).collect()
    }

    #[test]
    fn a_condition_is_told_when_it_begins_and_when_it_ends_and_not_between() {
        let mut ledger = Ledger::new(second(0));
        let mut at = |n, look: Look| ledger.looked(second(n), WallMs(n), look);
        assert_eq!(told(&at(1, look(&["a"]))), [(Event::Raised, "a")]);
        assert_eq!(told(&at(2, look(&["a", "b"]))), [(Event::Raised, "b")]);
        assert_eq!(told(&at(3, look(&["a", "b"]))), []);
        let ended = at(4, look(&["b"]));
        assert_eq!(told(&ended), [(Event::Resolved, "a")]);
        assert_eq!((ended[0].times, ended[0].code), (3, Some(Code::WalCorrupt)));
        assert_eq!(told(&at(5, look(&["a", "b"]))), [(Event::Raised, "a")], "it began again");
    }

    #[test]
    fn what_nobody_knows_stays_as_it_was() {
        let mut ledger = Ledger::new(second(0));
        ledger.looked(second(1), WallMs(1), look(&["a"]));
        let unknown = ["a", "b"].map(|name| Subject::of(Condition::DatabaseDamaged, name));
        let blind = Look { unknown: unknown.into(), ..Look::default() };
        assert_eq!(ledger.looked(second(2), WallMs(2), blind), []);
        assert_eq!(ledger.count(Condition::DatabaseDamaged), 1);
        assert_eq!(ledger.looked(second(3), WallMs(3), look(&[])).len(), 1);
        assert_eq!(ledger.count(Condition::DatabaseDamaged), 0);
    }

    fn error(code: Code) -> Occurrence {
        Occurrence { at: WallMs(7), code, category: Category::Critical, message: "text".into() }
    }

    #[test]
    fn critical_errors_beyond_what_is_told_are_counted() {
        let mut ledger = Ledger::new(second(0));
        let told = Code::ALL.iter().filter_map(|code| ledger.happened(second(1), &error(*code)));
        assert_eq!(told.count(), 30);
        assert_eq!(ledger.untold(), Code::ALL.len() as u64 - 30);
    }

    #[test]
    fn a_critical_error_is_told_once_and_over_when_it_has_been_quiet() {
        let mut ledger = Ledger::new(second(0));
        assert!(ledger.happened(second(1), &error(Code::FileSync)).is_some());
        assert!(ledger.happened(second(2), &error(Code::FileSync)).is_none());
        assert!(ledger.happened(second(3), &error(Code::DiskFull)).is_some(), "another code");
        assert!(ledger.happened(second(100), &error(Code::FileSync)).is_none());
        let after = QUIET.as_secs();
        assert_eq!(told(&ledger.looked(second(2 + after), WallMs(0), look(&[]))), []);
        let ended = ledger.looked(second(3 + after), WallMs(0), look(&[]));
        assert_eq!(told(&ended), [(Event::Resolved, "DiskFull")]);
        let ended = ledger.looked(second(100 + after), WallMs(0), look(&[]));
        assert_eq!(told(&ended), [(Event::Resolved, "FileSync")]);
        assert_eq!(ended[0].times, 3);
    }

    #[test]
    fn a_flood_is_told_a_piece_at_a_time() {
        let names: Vec<String> = (0..100).map(|n| format!("d{n:02}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut ledger = Ledger::new(second(0));
        let mut count = |n, names: &[&str]| ledger.looked(second(n), WallMs(0), look(names)).len();
        assert_eq!(count(1, &names), 30);
        assert_eq!(count(30, &names), 0);
        assert_eq!(count(60, &names), 30);
        assert_eq!(count(61, &names[..60]), 0, "what was never told is not told to be over");
        assert_eq!(count(120, &[]), 30, "the ends are part of the flood");
        assert_eq!(count(180, &[]), 30);
        assert_eq!(count(240, &[]), 0);
        assert_eq!(ledger.untold(), 0, "they were only told later");
    }
}
