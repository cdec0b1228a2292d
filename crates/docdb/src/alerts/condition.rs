//! What can be wrong for a while: the closed list of conditions, and which of them hold now, as the
//! engine's health says. Whether somebody is told is the [`ledger`](super::ledger)'s.

use std::collections::BTreeSet;

use base::error::Code;

use crate::engine::{Condition as State, DatabaseHealth, Health};

/// A kind of trouble that begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// The log of a database takes no more writes.
    LogPoisoned,
    /// A database cannot be opened.
    DatabaseDamaged,
    /// A directory looks like a database and cannot be listed as one.
    DirectoryRefused,
    /// Checkpoints of a database fail: its log grows until they do not.
    CheckpointsFail,
    /// Documents have lost their newest version, and healing could not bring it back.
    DocumentsLost,
    /// A search index of a database is damaged, cannot be made, or cannot be written.
    SearchFails,
    /// The disk of the data directory is nearly full.
    DiskNearlyFull,
    /// The certificate of the HTTP listener has expired, will soon, or is not valid yet.
    CertificateEnds,
    /// The file of API keys cannot be used; those that were known stay in use.
    KeysUnreadable,
    /// A critical error happened, of one code; it ends when it has not happened for a while.
    CriticalError,
}

impl Condition {
    /// All.
    pub const ALL: [Self; 10] = [
        Self::LogPoisoned,
        Self::DatabaseDamaged,
        Self::DirectoryRefused,
        Self::CheckpointsFail,
        Self::DocumentsLost,
        Self::SearchFails,
        Self::DiskNearlyFull,
        Self::CertificateEnds,
        Self::KeysUnreadable,
        Self::CriticalError,
    ];

    /// As alerts, metrics and log lines have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LogPoisoned => "log_poisoned",
            Self::DatabaseDamaged => "database_damaged",
            Self::DirectoryRefused => "directory_refused",
            Self::CheckpointsFail => "checkpoints_fail",
            Self::DocumentsLost => "documents_lost",
            Self::SearchFails => "search_fails",
            Self::DiskNearlyFull => "disk_nearly_full",
            Self::CertificateEnds => "certificate_ends",
            Self::KeysUnreadable => "keys_unreadable",
            Self::CriticalError => "critical_error",
        }
    }
}

/// What an alert is about: of two alerts with one subject the second says nothing new.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    /// What is wrong.
    pub condition: Condition,
    /// With which database or directory, or of which code; empty for the server.
    pub of: Box<str>,
}

impl Subject {
    /// Of the server as a whole.
    #[must_use]
    pub fn server(condition: Condition) -> Self {
        Self { condition, of: "".into() }
    }

    /// Of something with a name.
    #[must_use]
    pub fn of(condition: Condition, name: &str) -> Self {
        Self { condition, of: name.into() }
    }
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is about.
    pub subject: Subject,
    /// The frozen code that says it best, if one does.
    pub code: Option<Code>,
    /// For people.
    pub message: String,
}

/// What one look at the server found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// What is wrong now.
    pub found: Vec<Finding>,
    /// Of what nobody knows at the moment: it stays as it was. A database that is closed says
    /// nothing of its log.
    pub unknown: BTreeSet<Subject>,
}

/// The disk is nearly full with a twentieth of it free or less, and never with more than this.
const DISK_FREE_MIN_MAX: u64 = 20 << 30;

impl Look {
    /// What the engine says of itself.
    #[must_use]
    pub fn at(health: &Health) -> Self {
        let mut look = Self::default();
        for database in &health.databases {
            look.at_database(database);
        }
        for (directory, error) in &health.refused {
            look.find(
                Subject::of(Condition::DirectoryRefused, directory),
                Some(Code::DbNotOpen),
                format!("the directory holds no database that can be used: {error}"),
            );
        }
        look.at_disk(health.disk);
        look
    }

    /// Adds something that is wrong.
    pub fn find(&mut self, subject: Subject, code: Option<Code>, message: String) {
        self.found.push(Finding { subject, code, message });
    }

    fn at_database(&mut self, health: &DatabaseHealth) {
        let name = health.name.as_str();
        let subject = |condition| Subject::of(condition, name);
        let of_open = [
            Condition::LogPoisoned,
            Condition::CheckpointsFail,
            Condition::DocumentsLost,
            Condition::SearchFails,
        ];
        let of_open = of_open.map(subject);
        match &health.condition {
            State::Open => {}
            State::Failed { code, message } => {
                let what = format!("the database cannot be opened: {message}");
                self.find(subject(Condition::DatabaseDamaged), Some(*code), what);
                self.unknown.extend(of_open);
                return;
            }
            State::Closed | State::Busy => {
                self.unknown.insert(subject(Condition::DatabaseDamaged));
                self.unknown.extend(of_open);
                return;
            }
        }
        if let Some(cause) = health.log.as_ref().and_then(|log| log.poisoned.as_ref()) {
            let what = format!("the log takes no more writes until it is opened again: {cause}");
            self.find(subject(Condition::LogPoisoned), Some(Code::FileSync), what);
        }
        if let Some(why) = &health.checkpoint_failure {
            let what = format!("the last checkpoint failed, and the log grows: {why}");
            self.find(subject(Condition::CheckpointsFail), Some(Code::FileWrite), what);
        }
        if health.quarantined > 0 {
            let count = health.quarantined;
            let what = format!("the newest version of documents is lost count={count}");
            self.find(subject(Condition::DocumentsLost), Some(Code::DocCorrupt), what);
        }
        let troubled = health.indexes.as_ref().and_then(|indexes| indexes.troubled.first());
        if let Some((collection, why)) = troubled {
            let what =
                format!("something is wrong with a search index: {why} collection={collection}");
            self.find(subject(Condition::SearchFails), None, what);
        }
    }

    fn at_disk(&mut self, disk: Option<(u64, u64)>) {
        let subject = Subject::server(Condition::DiskNearlyFull);
        let Some((free, all)) = disk else {
            self.unknown.insert(subject);
            return;
        };
        let least = (all / 20).min(DISK_FREE_MIN_MAX);
        if free <= least {
            let what =
                format!("the disk of the data directory is nearly full free={free} of={all}");
            self.find(subject, Some(Code::DiskFull), what);
        } else if free <= least + least / 4 {
            // Close to the limit it neither begins nor ends, or it would do so all the time.
            self.unknown.insert(subject);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(free: u64, all: u64) -> (usize, usize) {
        let mut look = Look::default();
        look.at_disk(Some((free, all)));
        (look.found.len(), look.unknown.len())
    }

    #[test]
    fn a_disk_is_nearly_full_by_its_size_and_not_back_before_there_is_more_room() {
        assert_eq!(disk(5, 100), (1, 0));
        assert_eq!(disk(6, 100), (0, 1));
        assert_eq!(disk(7, 100), (0, 0));
        let large = 100 << 40;
        assert_eq!(disk(20 << 30, large), (1, 0));
        assert_eq!(disk(26 << 30, large), (0, 0));
        assert_eq!(disk(0, 0), (1, 0));
        let mut look = Look::default();
        look.at_disk(None);
        assert_eq!((look.found.len(), look.unknown.len()), (0, 1));
    }

    #[test]
    fn no_two_conditions_share_a_name() {
        let names: BTreeSet<_> = Condition::ALL.map(Condition::name).into();
        assert_eq!(names.len(), Condition::ALL.len());
    }
}
