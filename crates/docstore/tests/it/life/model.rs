//! What a database must hold: the model beside a life, which knows what each write makes of it.

use std::collections::BTreeMap;

use base::words::{CollectionId, DocId, Lsn, Name};
use docstore::{Action, DEFAULT_COLLECTION, Expiry, Stored, Write};

use super::name;

/// A collection as the model has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holding {
    /// Its number, once it is known.
    pub(crate) number: Option<CollectionId>,
    pub(crate) documents: BTreeMap<DocId, Stored>,
}

/// What a database must hold after some write.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Model {
    /// The LSN of its last change.
    pub(crate) last: Lsn,
    pub(crate) collections: BTreeMap<Name, Holding>,
}

impl Model {
    pub(super) fn empty() -> Self {
        let holding = Holding { number: Some(DEFAULT_COLLECTION), documents: BTreeMap::new() };
        Self { last: Lsn::ZERO, collections: BTreeMap::from([(name("default"), holding)]) }
    }

    pub(super) fn number(&self, name: &Name) -> Option<CollectionId> {
        self.collections.get(name)?.number
    }

    pub(super) fn get(&self, collection: CollectionId, id: &DocId) -> Option<&Stored> {
        let mut all = self.collections.values();
        all.find(|holding| holding.number == Some(collection))?.documents.get(id)
    }

    /// The model after these writes, the first of which gets the LSN `first`.
    pub(super) fn after(&self, writes: &[Write], first: Lsn) -> Self {
        let mut model = self.clone();
        for (write, lsn) in writes.iter().zip(first.0..) {
            let revision = Lsn(lsn);
            let mut all = model.collections.values_mut();
            let holding = all.find(|holding| holding.number == Some(write.collection));
            let holding = holding.expect("a collection of the model");
            let documents = &mut holding.documents;
            let at = |expiry: &Expiry| match expiry {
                Expiry::At(at) => Some(*at),
                Expiry::Never | Expiry::After(_) => None,
            };
            let stored = match &write.action {
                Action::Create(document, expiry)
                | Action::Update(document, expiry)
                | Action::Upsert(document, expiry) => {
                    let expires_at = at(expiry);
                    Some(Stored { revision, expires_at, document: document.clone() })
                }
                Action::Patch(patch) => {
                    let old = documents.get(&write.id).expect("a document to patch");
                    let document = patch.apply(&old.document).expect("a patch that fits");
                    Some(Stored { revision, expires_at: old.expires_at, document })
                }
                Action::Delete => None,
            };
            match stored {
                Some(stored) => documents.insert(write.id.clone(), stored),
                None => documents.remove(&write.id),
            };
            model.last = revision;
        }
        model
    }
}
