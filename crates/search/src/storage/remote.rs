//! Objects at S3 (and what speaks its language), Google Cloud Storage or Azure, by the crate `object_store`.
//!
//! The library does one request at a time as it is told; trying again is ours ([`base::retry`]), so that one policy holds
//! and a shutdown can interrupt the waits. Its async code runs on a few threads of this store.
//!
//! - Created is with the store's condition that there is nothing of that name (`If-None-Match: *` and its like). Whether
//!   the bucket keeps to it, [`probe`](super::probe()) finds out.
//! - A creation that is tried again after an answer was lost may meet its own object: `AlreadyExists` then, as the
//!   trait says.
//! - What is longer than [`WHOLE_BYTES_MAX`] is sent in parts of that size, one after another, each tried again by
//!   itself (`remote/upload.rs`).
//! - Credentials are those of the environment, by each provider's usual variables, and nothing of them is ever in an
//!   error or a log line.
//!
//! Start with [`RemoteStore::open`]; `remote/backend.rs` makes the library's client of a URL.

mod backend;
mod failure;
mod upload;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base::retry::{self, InterruptibleWaiter, Policy};
use base::rng::Rng;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, future, stream};
use object_store::path::Path;
use object_store::{GetOptions, ObjectStoreExt, PutMode, PutOptions, PutPayload};

use super::tasks::Tasks;
use super::{Listed, Name, Source, Store, StoreError, StoreErrorKind, WHOLE_BYTES_MAX};
use backend::Backend;
use failure::{Doing, store_error};

/// Threads of the runtime: they wait for the network and sum signatures.
const THREADS: usize = 2;

/// How a remote store behaves.
#[derive(Debug, Clone)]
pub struct RemoteOptions {
    /// How long one request may take in all. Default 30 s: a part of 16 MiB over a slow line.
    pub request_timeout: Duration,
    /// How long a connection may take to be made. Default 5 s.
    pub connect_timeout: Duration,
    /// How often a request is tried and how long is waited in between. Default 6 tries, 100 ms doubling to 5 s.
    pub retry: Policy,
    /// The most objects that one call reads at once. Default 32.
    pub parallel_max: usize,
    /// Settings that go before the variables of the environment, by the same names: `AWS_ENDPOINT_URL`,
    /// `GOOGLE_SERVICE_ACCOUNT`, `AZURE_STORAGE_ACCOUNT_NAME`, … Default none.
    pub settings: Vec<(String, String)>,
    /// The seed of the jitter between tries. Default 0; give each process one of its own.
    pub seed: u64,
}

impl Default for RemoteOptions {
    fn default() -> Self {
        let retry = Policy {
            first: Duration::from_millis(100),
            longest: Duration::from_secs(5),
            tries: 6,
            jitter_percent: 25,
        };
        Self {
            request_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(5),
            retry,
            parallel_max: 32,
            settings: Vec::new(),
            seed: 0,
        }
    }
}

/// A store at a provider.
pub struct RemoteStore {
    backend: Arc<dyn Backend>,
    /// What all names begin with in the bucket.
    root: Path,
    shown: Arc<str>,
    retry: Policy,
    parallel_max: usize,
    waiter: InterruptibleWaiter,
    rng: Mutex<Rng>,
    tasks: Tasks,
}

impl fmt::Debug for RemoteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteStore").field("url", &self.shown).finish_non_exhaustive()
    }
}

type Answer<T> = object_store::Result<T>;

impl RemoteStore {
    /// The store at `url`: `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`; the prefix may be
    /// missing. Nothing is asked of it yet.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unfit`] when the URL or the settings are not complete.
    pub fn open(url: &str, options: &RemoteOptions) -> Result<Self, StoreError> {
        let unfit = |reason: &dyn fmt::Display| StoreError::new(StoreErrorKind::Unfit, url, reason);
        let tasks = Tasks::start("search-store", THREADS).map_err(|error| unfit(&error))?;
        let (backend, root) = backend::open(url, options)?;
        Ok(Self {
            backend,
            root,
            shown: url.into(),
            retry: options.retry,
            parallel_max: options.parallel_max.max(1),
            waiter: InterruptibleWaiter::new(),
            rng: Mutex::new(Rng::new(options.seed)),
            tasks,
        })
    }

    /// Ends the waits between tries that are going on and all later ones: a request that fails then is not tried
    /// again. For shutdown.
    pub fn interrupt(&self) {
        self.waiter.interrupt();
    }

    fn path(&self, name: &Name) -> Path {
        name.as_str().split('/').fold(self.root.clone(), |path, part| path.join(part))
    }

    /// Does `request` until it succeeds or trying again is no use.
    fn tries<T>(&self, request: impl FnMut(u32) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner).fork();
        retry::run(&self.retry, rng, &self.waiter, request)
    }

    /// Waits for one request.
    fn wait<T: Send + 'static>(
        &self,
        object: &dyn fmt::Display,
        doing: Doing,
        request: impl Future<Output = Answer<T>> + Send + 'static,
    ) -> Result<T, StoreError> {
        match self.tasks.wait(request) {
            Some(answer) => answer.map_err(|error| store_error(object, doing, &error)),
            None => Err(StoreError::new(doing.failed(), object, "the request was given up")),
        }
    }

    /// Creates an object of which all bytes are at hand.
    fn put_whole(&self, name: &Name, content: &Bytes) -> Result<(), StoreError> {
        let path = self.path(name);
        self.tries(|_| {
            let (backend, path) = (Arc::clone(&self.backend), path.clone());
            let payload = PutPayload::from(content.clone());
            let request = async move {
                let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
                backend.put_opts(&path, payload, options).await.map(|_| ())
            };
            self.wait(name, Doing::Writing, request)
        })
    }

    /// The ranges of several objects, once each; which of them failed is told apart.
    fn get_groups(&self, groups: Vec<Group>) -> Vec<(Group, Answer<Vec<Bytes>>)> {
        let backend = Arc::clone(&self.backend);
        let parallel_max = self.parallel_max;
        let lost = groups.clone();
        let requests = async move {
            let each = groups.into_iter().map(|group| {
                let backend = Arc::clone(&backend);
                async move {
                    let answer = backend.get_ranges(&group.path, &group.ranges).await;
                    (group, answer)
                }
            });
            stream::iter(each).buffer_unordered(parallel_max).collect().await
        };
        self.tasks.wait(requests).unwrap_or_else(|| {
            let given_up = || object_store::Error::Generic {
                store: "remote",
                source: "the request was given up".into(),
            };
            lost.into_iter().map(|group| (group, Err(given_up()))).collect()
        })
    }
}

/// The name of a path in the bucket, when it is one of ours.
fn name_of(root: &Path, path: &Path) -> Option<Name> {
    let below = path.as_ref().strip_prefix(root.as_ref())?;
    Name::new(below.strip_prefix('/').unwrap_or(below)).ok()
}

/// The ranges that are wanted of one object.
#[derive(Debug, Clone)]
struct Group {
    name: Name,
    path: Path,
    ranges: Vec<Range<u64>>,
    /// Where each belongs in the answer.
    places: Vec<usize>,
}

impl Group {
    /// Puts what was read where it belongs.
    fn place(self, parts: Vec<Bytes>, into: &mut [Bytes]) -> Result<(), StoreError> {
        let count = parts.len();
        for ((range, place), part) in self.ranges.iter().zip(&self.places).zip(parts) {
            let wanted = range.end.saturating_sub(range.start);
            if part.len() as u64 != wanted {
                let reason = format!("shorter than asked for wanted={wanted} got={}", part.len());
                return Err(StoreError::new(StoreErrorKind::Damaged, &self.name, reason));
            }
            if let Some(slot) = into.get_mut(*place) {
                *slot = part;
            }
        }
        if count == self.ranges.len() {
            return Ok(());
        }
        Err(StoreError::new(
            StoreErrorKind::Damaged,
            &self.name,
            "ranges are missing in the answer",
        ))
    }
}

impl Store for RemoteStore {
    fn put_new(&self, name: &Name, content: &dyn Source) -> Result<(), StoreError> {
        if content.len() > WHOLE_BYTES_MAX {
            return upload::put(self, name, content);
        }
        let bytes = content
            .read(0..content.len())
            .map_err(|error| StoreError::io(StoreErrorKind::Read, name, &error))?;
        self.put_whole(name, &bytes)
    }

    fn get_ranges(&self, wanted: &[(Name, Range<u64>)]) -> Result<Vec<Bytes>, StoreError> {
        let mut groups: BTreeMap<&Name, Group> = BTreeMap::new();
        for (place, (name, range)) in wanted.iter().enumerate() {
            // Providers refuse a range of no bytes.
            if range.is_empty() {
                continue;
            }
            let group = groups.entry(name).or_insert_with(|| {
                let (name, path) = (name.clone(), self.path(name));
                Group { name, path, ranges: Vec::new(), places: Vec::new() }
            });
            group.ranges.push(range.clone());
            group.places.push(place);
        }
        let mut parts = vec![Bytes::new(); wanted.len()];
        let mut left: Vec<Group> = groups.into_values().collect();
        if left.is_empty() {
            return Ok(parts);
        }
        self.tries(|_| {
            let mut worst = None;
            for (group, answer) in self.get_groups(std::mem::take(&mut left)) {
                match answer {
                    Ok(found) => group.place(found, &mut parts)?,
                    Err(error) => {
                        worst = Some(store_error(&group.name, Doing::Reading, &error));
                        left.push(group);
                    }
                }
            }
            worst.map_or(Ok(()), Err)
        })?;
        Ok(parts)
    }

    fn get(&self, name: &Name) -> Result<Option<Bytes>, StoreError> {
        let path = self.path(name);
        let got = self.tries(|_| {
            let (backend, path) = (Arc::clone(&self.backend), path.clone());
            let request = async move {
                let found = backend.get_opts(&path, GetOptions::default()).await?;
                if found.meta.size > WHOLE_BYTES_MAX {
                    return Ok(None);
                }
                found.bytes().await.map(Some)
            };
            self.wait(name, Doing::Reading, request)
        });
        match got {
            Ok(Some(bytes)) => Ok(Some(bytes)),
            Ok(None) => {
                let reason = format!("longer than it may be max={WHOLE_BYTES_MAX}");
                Err(StoreError::new(StoreErrorKind::Damaged, name, reason))
            }
            Err(error) if error.kind() == StoreErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn len_of(&self, name: &Name) -> Result<Option<u64>, StoreError> {
        let path = self.path(name);
        let found = self.tries(|_| {
            let (backend, path) = (Arc::clone(&self.backend), path.clone());
            let request = async move { backend.head(&path).await.map(|meta| meta.size) };
            self.wait(name, Doing::Reading, request)
        });
        match found {
            Ok(len) => Ok(Some(len)),
            Err(error) if error.kind() == StoreErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn list_after(
        &self,
        folder: &Name,
        after: Option<&Name>,
        limit: usize,
    ) -> Result<Vec<Listed>, StoreError> {
        let prefix = self.path(folder);
        let offset = after.map(|after| self.path(after));
        let found = self.tries(|_| {
            let (backend, prefix, offset) =
                (Arc::clone(&self.backend), prefix.clone(), offset.clone());
            let root = self.root.clone();
            let request = async move {
                let all = match &offset {
                    Some(offset) => backend.list_with_offset(Some(&prefix), offset),
                    None => backend.list(Some(&prefix)),
                };
                // What others keep in the bucket is none of ours.
                let ours = all.try_filter_map(move |meta| {
                    let listed =
                        name_of(&root, &meta.location).map(|name| Listed { name, len: meta.size });
                    future::ready(Ok(listed))
                });
                ours.take(limit).try_collect::<Vec<_>>().await
            };
            self.wait(folder, Doing::Reading, request)
        })?;
        if found.is_sorted_by(|a, b| a.name < b.name) {
            return Ok(found);
        }
        Err(StoreError::new(StoreErrorKind::Unfit, folder, "it lists names out of order"))
    }

    fn delete(&self, names: &[Name]) -> Result<(), StoreError> {
        let Some(first) = names.first() else { return Ok(()) };
        let paths: Vec<Path> = names.iter().map(|name| self.path(name)).collect();
        self.tries(|_| {
            let (backend, paths) = (Arc::clone(&self.backend), paths.clone());
            let request = async move {
                let paths = stream::iter(paths.into_iter().map(Ok)).boxed();
                let answers: Vec<Answer<Path>> = backend.delete_stream(paths).collect().await;
                answers.into_iter().try_for_each(|answer| match answer {
                    Ok(_) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                    Err(error) => Err(error),
                })
            };
            self.wait(first, Doing::Writing, request)
        })
    }
}

#[cfg(test)]
mod tests;
