//! How many files may be open: the limit is raised as far as the system allows, and shared out. A
//! quarter is for databases, the rest, less a reserve, for the connections of the two surfaces.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that are open besides those of databases and connections.
const RESERVED: u64 = 256;
/// Files that an open database has, by and large: its log, its manifest, its data and its index.
const PER_DATABASE: u64 = 16;
/// Databases that can be open however few files may be.
const DATABASES_MIN: u64 = 8;

/// Raises the soft limit to the hard one. Shells give a soft limit of about a thousand for the sake
/// of programs that wait with `select`, of which this is none.
pub(super) fn raise() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => tracing::debug!(?current, ?maximum, "the limit of open files was raised"),
        Err(error) => tracing::warn!(%error, ?current, "the limit of open files stays as it is"),
    }
}

/// Connections that each surface can hold; none when there is no limit.
pub(super) fn connections_max() -> Option<usize> {
    getrlimit(Resource::Nofile).current.map(connections_within)
}

/// Databases that can be open at once; none when there is no limit.
pub(super) fn databases_max() -> Option<usize> {
    getrlimit(Resource::Nofile).current.map(databases_within)
}

fn connections_within(files: u64) -> usize {
    let left = (files - files / 4).saturating_sub(RESERVED);
    usize::try_from(left.max(files / 4) / 2).unwrap_or(usize::MAX)
}

fn databases_within(files: u64) -> usize {
    usize::try_from((files / 4 / PER_DATABASE).max(DATABASES_MIN)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shared_out_is_not_more_than_there_is() {
        for files in [512, 1024, 4096, 20_000, 65_536, 1 << 20] {
            let connections = 2 * connections_within(files) as u64;
            let databases = databases_within(files) as u64 * PER_DATABASE;
            assert!(connections + databases <= files, "{files}");
            assert!(connections >= files / 4 && databases >= files / 5, "{files}");
        }
    }
}
