//! What a database should say: every version of every document in ordered maps, and the rules of
//! writes written down a second time, as plainly as possible.
//!
//! What it is not: it knows no log, memtable or file, and never throws a version away.

use std::collections::BTreeMap;
use std::time::Duration;

use base::clock::WallMs;
use base::document::Document;
use base::error::Code;
use base::words::{CollectionId, DocId, Lsn, Name};
use docstore::patch::Patch;
use docstore::{Condition, Effect, Expiry, Stored, Write};

/// A version of a document, or its deletion.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    pub(crate) lsn: Lsn,
    pub(crate) expires_at: Option<WallMs>,
    pub(crate) document: Option<Document>,
}

/// A collection that exists.
#[derive(Debug, Clone)]
pub(crate) struct Collection {
    pub(crate) name: Name,
    /// The change that made it.
    pub(crate) created: Lsn,
    /// The change that made it or set its schema.
    pub(crate) revision: Lsn,
    /// Its schema allows numbers up to here.
    pub(crate) largest: Option<u64>,
    pub(crate) documents: BTreeMap<DocId, Vec<Version>>,
}

/// A document that a request finds. Its revision is not known while it is part of the same batch
/// or transaction.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) revision: Option<Lsn>,
    pub(crate) expires_at: Option<WallMs>,
    pub(crate) document: Document,
}

/// What one write wants.
#[derive(Debug, Clone)]
pub(crate) struct Intent {
    pub(crate) collection: CollectionId,
    pub(crate) id: DocId,
    pub(crate) kind: Kind,
    pub(crate) expiry: Expiry,
    pub(crate) demands: Vec<Demand>,
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Create(Document),
    Update(Document),
    Upsert(Document),
    /// Sets the number.
    Patch(u64),
    /// Is a patch that tests for something that no document has.
    PatchInVain,
    Delete,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Demand {
    Absent,
    Exists,
    Revision(Lsn),
    /// [`fits`].
    Fits,
}

/// A document with a number, and so many bytes behind it.
pub(crate) fn numbered(n: u64, pad: &str) -> Document {
    Document::parse(format!("{{\"n\":{n},\"pad\":\"{pad}\"}}").as_bytes()).expect("it is JSON")
}

/// The number of a document.
pub(crate) fn number_of(document: &Document) -> u64 {
    let text = std::str::from_utf8(document.as_bytes()).expect("documents are UTF-8");
    let digits = text.trim_start_matches("{\"n\":").split(',').next().expect("there is one part");
    digits.parse().expect("every document was made by `numbered`")
}

/// The test that conditions ask: about the current document and the new one.
pub(crate) fn fits(old: Option<&Document>, new: Option<&Document>) -> bool {
    old.is_none_or(|old| number_of(old).is_multiple_of(2))
        && new.is_none_or(|new| !number_of(new).is_multiple_of(3))
}

impl Intent {
    /// The same in the store's words.
    pub(crate) fn write(&self) -> Write {
        let (collection, id) = (self.collection, self.id.clone());
        let patch = |text: String| Patch::parse(text.as_bytes()).expect("it is a patch");
        let write = match &self.kind {
            Kind::Create(document) => Write::create(collection, id, document.clone()),
            Kind::Update(document) => Write::update(collection, id, document.clone()),
            Kind::Upsert(document) => Write::upsert(collection, id, document.clone()),
            Kind::Patch(n) => {
                let text = format!(r#"[{{"op":"set","path":"/n","value":{n}}}]"#);
                Write::patch(collection, id, patch(text))
            }
            Kind::PatchInVain => {
                let text = r#"[{"op":"test","path":"/n","value":"none"}]"#;
                Write::patch(collection, id, patch(text.to_owned()))
            }
            Kind::Delete => Write::delete(collection, id),
        };
        let test =
            |old: Option<&Stored>, new: Option<&Document>| fits(old.map(|old| &old.document), new);
        let conditions = self.demands.iter().map(|demand| match demand {
            Demand::Absent => Condition::Absent,
            Demand::Exists => Condition::Exists,
            Demand::Revision(lsn) => Condition::Revision(*lsn),
            Demand::Fits => Condition::Test(std::sync::Arc::new(test)),
        });
        conditions.fold(write.expires(self.expiry), Write::when)
    }

    /// What it makes of the document that it finds.
    pub(crate) fn apply(
        &self,
        found: Option<&Known>,
        largest: Option<u64>,
        now: WallMs,
    ) -> Result<(Option<Known>, Effect), Code> {
        for demand in &self.demands {
            match (demand, found) {
                (Demand::Absent, Some(_)) => return Err(Code::DocExists),
                (Demand::Exists, None) => return Err(Code::DocNotFound),
                (Demand::Revision(wanted), found) => {
                    let at = found.map_or(Some(Lsn::ZERO), |found| found.revision);
                    if at != Some(*wanted) {
                        return Err(Code::RevisionMismatch);
                    }
                }
                (Demand::Absent, None) | (Demand::Exists, Some(_)) | (Demand::Fits, _) => {}
            }
        }
        let fresh = |document: &Document| Known {
            revision: None,
            expires_at: due(self.expiry, now),
            document: document.clone(),
        };
        let next = match (&self.kind, found) {
            (Kind::Create(_), Some(_)) => return Err(Code::DocExists),
            (Kind::Update(_) | Kind::Patch(_) | Kind::PatchInVain | Kind::Delete, None) => {
                return Err(Code::DocNotFound);
            }
            (Kind::Create(new) | Kind::Update(new) | Kind::Upsert(new), _) => Some(fresh(new)),
            (Kind::Patch(n), Some(found)) => {
                let text = std::str::from_utf8(found.document.as_bytes()).expect("UTF-8");
                let (_, rest) = text.split_once(',').expect("there is a pad");
                let text = format!("{{\"n\":{n},{rest}");
                let document = Document::parse(text.as_bytes()).expect("it is JSON");
                Some(Known { revision: None, document, ..found.clone() })
            }
            (Kind::PatchInVain, Some(_)) => return Err(Code::ConditionFailed),
            (Kind::Delete, Some(_)) => None,
        };
        let new = next.as_ref().map(|next| &next.document);
        if self.demands.iter().any(|demand| matches!(demand, Demand::Fits))
            && !fits(found.map(|found| &found.document), new)
        {
            return Err(Code::ConditionFailed);
        }
        if new.is_some_and(|new| largest.is_some_and(|largest| number_of(new) > largest)) {
            return Err(Code::InvalidSchema);
        }
        let effect = match (new, found) {
            (None, _) => Effect::Deleted,
            (Some(_), None) => Effect::Created,
            (Some(_), Some(_)) => Effect::Replaced,
        };
        Ok((next, effect))
    }
}

fn due(expiry: Expiry, now: WallMs) -> Option<WallMs> {
    match expiry {
        Expiry::Never => None,
        Expiry::At(at) => Some(at),
        Expiry::After(span) => {
            let ms = u64::try_from(span.as_millis()).expect("tests wait for seconds");
            Some(WallMs(now.0 + ms))
        }
    }
}

/// All that a database holds.
#[derive(Debug, Default, Clone)]
pub(crate) struct Model {
    pub(crate) collections: BTreeMap<CollectionId, Collection>,
    /// The newest change.
    pub(crate) last: Lsn,
}

/// How long snapshots live unused.
pub(crate) const SNAPSHOT_TTL: Duration = Duration::from_secs(60);
/// How long transactions may be open.
pub(crate) const TXN_TIMEOUT: Duration = Duration::from_secs(30);

impl Model {
    /// The newest version of a document at or below `lsn`, deletions included.
    fn version(&self, collection: CollectionId, id: &DocId, lsn: Lsn) -> Option<&Version> {
        let versions = self.collections.get(&collection)?.documents.get(id)?;
        versions.iter().rev().find(|version| version.lsn <= lsn)
    }

    /// The revision of the newest document at or below `lsn`, expired or not; zero when there is
    /// none.
    pub(crate) fn revision(&self, collection: CollectionId, id: &DocId, lsn: Lsn) -> Lsn {
        let version = self.version(collection, id, lsn);
        version
            .filter(|version| version.document.is_some())
            .map_or(Lsn::ZERO, |version| version.lsn)
    }

    /// What a reader at `lsn` finds at `now`.
    pub(crate) fn get(
        &self,
        collection: CollectionId,
        id: &DocId,
        lsn: Lsn,
        now: WallMs,
    ) -> Option<Known> {
        let version = self.version(collection, id, lsn)?;
        let document = version.document.clone()?;
        let expires_at = version.expires_at;
        let live = expires_at.is_none_or(|at| at > now);
        live.then_some(Known { revision: Some(version.lsn), expires_at, document })
    }

    /// All that a reader at `lsn` finds in a collection at `now`, behind `after`.
    pub(crate) fn scan(
        &self,
        collection: CollectionId,
        after: Option<&DocId>,
        lsn: Lsn,
        now: WallMs,
    ) -> Vec<(DocId, Known)> {
        let Some(found) = self.collections.get(&collection) else { return Vec::new() };
        let ids = found.documents.keys().filter(|id| after.is_none_or(|after| *id > after));
        ids.filter_map(|id| Some((id.clone(), self.get(collection, id, lsn, now)?))).collect()
    }

    /// The newest change of any document of a collection.
    pub(crate) fn last_change(&self, collection: CollectionId) -> Lsn {
        let known = self.collections.get(&collection).into_iter();
        let versions = known.flat_map(|known| known.documents.values().flatten());
        versions.map(|version| version.lsn).max().unwrap_or(Lsn::ZERO)
    }

    /// Notes that a change was made.
    pub(crate) fn put(
        &mut self,
        collection: CollectionId,
        id: &DocId,
        lsn: Lsn,
        new: Option<Known>,
    ) {
        self.last = self.last.max(lsn);
        let Some(owner) = self.collections.get_mut(&collection) else { return };
        let (expires_at, document) = match new {
            Some(new) => (new.expires_at, Some(new.document)),
            None => (None, None),
        };
        let version = Version { lsn, expires_at, document };
        owner.documents.entry(id.clone()).or_default().push(version);
    }

    /// What a batch would answer: effects and what it leaves, or the operation at fault and why.
    #[expect(clippy::type_complexity, reason = "the answer is one list or one fault")]
    pub(crate) fn batch(
        &self,
        intents: &[Intent],
        now: WallMs,
    ) -> Result<Vec<(Effect, Option<Known>)>, (usize, Code)> {
        let mut own: BTreeMap<(CollectionId, &DocId), Option<Known>> = BTreeMap::new();
        let mut answers = Vec::new();
        for (operation, intent) in intents.iter().enumerate() {
            let Some(owner) = self.collections.get(&intent.collection) else {
                return Err((operation, Code::CollectionNotFound));
            };
            let key = (intent.collection, &intent.id);
            let found = match own.get(&key) {
                Some(known) => known.clone(),
                None => self.get(intent.collection, &intent.id, self.last, now),
            };
            let done = intent.apply(found.as_ref(), owner.largest, now);
            let (next, effect) = done.map_err(|code| (operation, code))?;
            own.insert(key, next.clone());
            answers.push((effect, next));
        }
        Ok(answers)
    }
}
