//! What opening would go on from: the same decisions as in `open`, without a write.

use std::collections::BTreeMap;

use base::words::Lsn;
use wal::whole::why_not_whole;

use super::data::Checked;
use super::report::Severity;
use super::{Check, Loaded};
use crate::error::Result;
use crate::location::FileNumber;
use crate::manifest::{Checkpoint, Manifest};
use crate::open::LOG_DIR;

/// What opening would go on from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Basis {
    /// The newest checkpoint, as it is.
    Newest,
    /// The newest one, with an index made again of its data files, all of which can be read.
    Rebuilt,
    /// The checkpoint at this place in the manifest, and the log behind it.
    Older(usize),
    /// None: why the log does not make up for it, if there is one that can be loaded.
    Nothing(Option<String>),
}

impl Basis {
    /// The checkpoint whose index says what there must be, if it is one that was loaded.
    pub(super) fn judge<'l, 'a>(&self, loaded: &'l [Loaded<'a>]) -> Option<&'l Loaded<'a>> {
        match self {
            Self::Newest => loaded.last(),
            Self::Older(place) => loaded.iter().find(|loaded| loaded.at == *place),
            Self::Rebuilt | Self::Nothing(_) => None,
        }
    }

    /// Whether opening would read this file.
    pub(super) fn needs(&self, manifest: &Manifest, file: FileNumber) -> bool {
        let has = |at: &Checkpoint| at.files.iter().any(|record| record.number == file);
        match self {
            Self::Newest | Self::Rebuilt => has(manifest.newest()),
            Self::Older(place) => manifest.checkpoints.get(*place).is_some_and(has),
            Self::Nothing(_) => true,
        }
    }

    /// Behind what the log would be replayed.
    pub(super) fn lsn(&self, manifest: &Manifest) -> Lsn {
        match self {
            Self::Older(place) => {
                manifest.checkpoints.get(*place).map_or(Lsn::ZERO, |checkpoint| checkpoint.lsn)
            }
            Self::Newest | Self::Rebuilt | Self::Nothing(_) => manifest.newest().lsn,
        }
    }
}

impl Check<'_> {
    /// Finds out what opening would go on from.
    pub(super) fn basis(
        &self,
        manifest: &Manifest,
        loaded: &[Loaded<'_>],
        files: &BTreeMap<FileNumber, Checked>,
    ) -> Result<Basis> {
        let newest = manifest.checkpoints.len().saturating_sub(1);
        let has_files = |at: &Checkpoint| {
            at.files.iter().all(|record| files.get(&record.number).is_some_and(Checked::is_there))
        };
        let usable = |at: &&Loaded<'_>| has_files(at.checkpoint);
        let has_index = loaded.iter().any(|loaded| loaded.at == newest);
        if loaded.iter().filter(usable).any(|loaded| loaded.at == newest) {
            return Ok(Basis::Newest);
        }
        let is_readable = manifest.newest().files.iter().all(|record| {
            files.get(&record.number).is_some_and(|file| file.is_whole(record.verified_len))
        });
        if !has_index && is_readable {
            return Ok(Basis::Rebuilt);
        }
        let mut why = None;
        let log = self.dir.join(LOG_DIR);
        for older in loaded.iter().rev().filter(usable) {
            let (from, upto) = (older.checkpoint.lsn, manifest.newest().lsn);
            match why_not_whole(&self.env.disk, &log, from, upto)? {
                None => return Ok(Basis::Older(older.at)),
                Some(refusal) => {
                    why.get_or_insert(refusal);
                }
            }
        }
        Ok(Basis::Nothing(why))
    }

    /// Says so when it is not the newest as it is.
    pub(super) fn tell_basis(&mut self, manifest: &Manifest, basis: &Basis) {
        let (severity, what) = match basis {
            Basis::Newest => return,
            Basis::Rebuilt => {
                let what = "the newest checkpoint has no index that can be loaded; opening makes one of the \
                            data files";
                (Severity::Healable, what.to_owned())
            }
            Basis::Older(_) => {
                let lsn = basis.lsn(manifest);
                let what =
                    format!("opening goes on from the older checkpoint at LSN {lsn} and the log");
                (Severity::Healable, what)
            }
            Basis::Nothing(None) => {
                let what = "no checkpoint can be loaded, and it is in doubt what stands in the data files; see \
                            `docdb repair --rebuild-index`";
                (Severity::Lost, what.to_owned())
            }
            Basis::Nothing(Some(why)) => {
                let what = format!(
                    "the newest checkpoint cannot be loaded, it is in doubt what stands in the data files, and an \
                     older one does not help: {why}; see `docdb repair --rebuild-index`"
                );
                (Severity::Lost, what)
            }
        };
        self.report.add(severity, self.dir, None, what);
    }
}
