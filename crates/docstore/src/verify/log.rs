//! The log of a database: by the look of the log itself, and what it has for documents that their
//! data files have not.

use std::path::Path;

use base::slots::SlotReport;
use base::words::{CollectionId, DocId, Lsn};
use wal::FileAnchor;
use wal::frame::Kind;
use wal::inspect::{
    Ending, FrameInspection, Inspection, Role, SegmentInspection, Verdict, inspect,
};

use super::Check;
use super::report::{LogCheck, Severity};
use crate::error::Result;
use crate::manifest::Manifest;
use crate::open::LOG_DIR;

/// A change of a document that the log has.
struct Change {
    lsn: Lsn,
    is_put: bool,
    key: (CollectionId, DocId),
}

impl Check<'_> {
    /// Looks at the log, which goes on behind the checkpoint at an LSN.
    pub(super) fn log(&mut self, expected: Option<(&Manifest, Lsn)>) -> Result<()> {
        let dir = self.dir.join(LOG_DIR);
        let disk = &self.env.disk;
        if disk.stat(&dir).map_err(|e| crate::StoreError::io(crate::Op::Read, &dir, e))?.is_none() {
            self.report.add(Severity::Lost, &dir, None, "there is no log");
            return Ok(());
        }
        let slots: Vec<SlotReport> = FileAnchor::inspect(disk, &dir)?;
        self.slots(&slots);
        let from = expected.map_or(Lsn::ZERO, |(_, from)| from);
        let mut relevant: Vec<Change> = Vec::new();
        let mut changes = std::collections::BTreeMap::<CollectionId, u64>::new();
        let unread = &self.unread;
        let see = &mut |frame: &FrameInspection| {
            let Some(key) = &frame.key else { return };
            let (lsn, is_put) = (frame.header.lsn, frame.header.kind == Kind::Put);
            if !is_put && frame.header.kind != Kind::Delete {
                return;
            }
            if lsn > from {
                *changes.entry(key.0).or_default() += 1;
            }
            if unread.contains_key(key) {
                relevant.push(Change { lsn, is_put, key: key.clone() });
            }
        };
        let found = match inspect(disk, &dir, see) {
            Ok(found) => found,
            Err(error @ wal::WalError::NoLog(_)) => {
                self.report.add(Severity::Lost, &dir, None, error.to_string());
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let last = self.judge(&dir, &found, expected);
        for change in relevant.into_iter().filter(|change| change.lsn <= last) {
            if let Some(unread) = self.unread.get_mut(&change.key) {
                unread.in_log |= change.is_put && change.lsn == unread.lsn;
                unread.is_superseded |= change.lsn > unread.lsn && change.lsn > from;
            }
        }
        for collection in &mut self.report.collections {
            collection.changes = changes.remove(&collection.collection).unwrap_or(0);
        }
        Ok(())
    }

    /// Reports what is wrong with the log; answers its last LSN.
    fn judge(&mut self, dir: &Path, found: &Inspection, expected: Option<(&Manifest, Lsn)>) -> Lsn {
        let (last, refusal) = match &found.verdict {
            Some(Verdict::OpensClean { last } | Verdict::Recovers { last, .. }) => (*last, None),
            Some(Verdict::Refuses(why)) => (Lsn::ZERO, Some(why.clone())),
            None => (Lsn::ZERO, None),
        };
        let severity = if refusal.is_some() { Severity::Lost } else { Severity::Healable };
        for segment in &found.segments {
            self.segment(segment, severity);
        }
        let highest = found.segments.iter().filter_map(|segment| segment.lsns).map(|(_, to)| to);
        let lowest = found.segments.iter().filter_map(|segment| segment.lsns).map(|(from, _)| from);
        let log = LogCheck {
            segments: found.segments.len() as u64,
            lsns: lowest.min().zip(highest.max()),
            refusal: refusal.clone(),
            tail: found.segments.last().and_then(|segment| match segment.ending {
                Ending::Torn(_) => Some((segment.path.clone(), segment.end)),
                Ending::Continued | Ending::Closed | Ending::Free | Ending::Short(_) => None,
            }),
        };
        self.report.log = Some(log);
        if let Some(why) = &refusal {
            let what = format!("the log does not open: {why}; `docdb repair --salvage` makes it");
            self.report.add(Severity::Lost, dir, None, what);
        }
        if let Some((manifest, _)) = expected {
            if found.database.is_some_and(|database| database != manifest.database) {
                self.report.add(Severity::Lost, dir, None, "the log is of another database");
            } else if refusal.is_none() && last < manifest.newest().lsn {
                let from = manifest.newest().lsn;
                let what = format!(
                    "the log ends at LSN {last}, before the checkpoint at LSN {from}: it is \
                     incomplete or from an older copy"
                );
                self.report.add(Severity::Lost, dir, None, what);
            }
        }
        last
    }

    fn segment(&mut self, segment: &SegmentInspection, severity: Severity) {
        if segment.role == Role::Leftover {
            return;
        }
        let path = &segment.path;
        let end = match severity {
            Severity::Harmless | Severity::Healable => "; the checkpoint covers it",
            Severity::Lost => "",
        };
        if let Err(error) = &segment.header {
            self.report.add(severity, path, Some(0), format!("{}{end}", error.what()));
        }
        for (offset, what) in &segment.damaged {
            self.report.add(severity, path, Some(*offset), format!("{what}{end}"));
        }
        if let Ending::Short(what) = segment.ending {
            let what = format!("{what}, but the next segment says there is more{end}");
            self.report.add(severity, path, Some(segment.end), what);
        }
    }
}
