//! Commands about documents, within a transaction or without one.

use base::clock::{Clock, SystemClock};
use client::wire::Action;
use client::{Document, Effect, ErrorCode, Id, Op, Outcome, Written};

use super::{Fault, Result, Session, Trouble};
use crate::shell::command::{Payload, ScanRange, Write};
use crate::shell::id::id_text;

/// A scan ends when its documents exceed this many bytes: they are held until all are there, so
/// that a scan that fails prints no part of itself.
const SCAN_BYTES_MAX: usize = 16 * 1024 * 1024;

fn missing(id: &Id) -> Trouble {
    let message = format!("there is no document of this id id={}", id_text(id));
    Fault::coded(ErrorCode::DocNotFound, message).into()
}

fn effect(effect: Option<Effect>) -> &'static str {
    match effect {
        Some(Effect::Created) => " effect=created",
        Some(Effect::Replaced) => " effect=replaced",
        Some(Effect::Deleted) => " effect=deleted",
        None => "",
    }
}

/// The revision of a document that was read. What a transaction wrote itself has none before the
/// commit: servers then say 0, or the largest number there is.
fn revision(document: &Document) -> String {
    match document.revision {
        0 | u64::MAX => "pending=true".to_owned(),
        revision => format!("revision={revision}"),
    }
}

/// When a document that lives so long is gone, by this machine's clock.
fn expires_at(write: &Write) -> Option<u64> {
    let ttl_ms = u64::try_from(write.ttl?.as_millis()).unwrap_or(u64::MAX);
    Some(SystemClock::new().wall().0.saturating_add(ttl_ms))
}

/// The operation of a write.
fn operation<'a>(collection: &'a str, write: &'a Write) -> Op<'a> {
    let (if_revision, expires_at) = (write.if_revision, expires_at(write));
    let action = match &write.payload {
        Payload::Create(document) => Action::Create { document: document.as_bytes(), expires_at },
        Payload::Update(document) => {
            Action::Update { document: document.as_bytes(), if_revision, expires_at }
        }
        Payload::Upsert(document) => {
            Action::Upsert { document: document.as_bytes(), if_revision, expires_at }
        }
        Payload::Patch(patch) => Action::Patch { patch: patch.as_bytes(), if_revision },
        Payload::Delete => Action::Delete { if_revision },
    };
    Op { collection, id: write.id.as_borrowed(), action }
}

impl Session<'_> {
    /// Asks for one operation outside of any transaction.
    fn one(&self, op: Op<'_>) -> client::Result<Option<Outcome>> {
        self.database.independent(&[op])?.into_iter().next().transpose()
    }

    pub(super) fn write(&mut self, write: &Write) -> Result {
        let op = operation(&self.collection, write);
        let id = id_text(&write.id);
        if let Some(transaction) = &self.transaction {
            let written = transaction.write(op)?;
            return Ok(self.out.ok(&format!("id={id}{} pending=true", effect(written.effect)))?);
        }
        match self.one(op)? {
            Some(Outcome::Written(Written { revision, effect: done })) => {
                Ok(self.out.ok(&format!("id={id} revision={revision}{}", effect(done)))?)
            }
            Some(Outcome::Found(_)) | None => Err(no_answer()),
        }
    }

    pub(super) fn read(&mut self, id: &Id) -> Result {
        let document = match &self.transaction {
            Some(transaction) => {
                transaction.get(&self.collection, id)?.ok_or_else(|| missing(id))?
            }
            None => match self.one(Op::read(&self.collection, id))? {
                Some(Outcome::Found(document)) => document,
                Some(Outcome::Written(_)) | None => return Err(no_answer()),
            },
        };
        let id = id_text(id);
        self.out.ok(&format!("id={id} {}", revision(&document)))?;
        Ok(self.out.document(&document.bytes)?)
    }

    pub(super) fn scan(&mut self, range: ScanRange) -> Result {
        let ids = (range.from, range.to);
        let scan = match &self.transaction {
            Some(transaction) => transaction.scan_range(&self.collection, ids),
            None => self.database.collection(&self.collection).scan_range(ids),
        };
        // One more than is printed tells whether there are more.
        let wanted = range.limit.saturating_add(1);
        let scan = scan.page(u32::try_from(wanted).unwrap_or(u32::MAX));
        let (mut documents, mut bytes, mut more) = (Vec::new(), 0_usize, false);
        for document in scan {
            let document = document?;
            let total = bytes.saturating_add(document.bytes.len());
            more =
                documents.len() == range.limit || (total > SCAN_BYTES_MAX && !documents.is_empty());
            if more {
                break;
            }
            bytes = total;
            documents.push(document);
        }
        let next = documents.last().filter(|_| more).map(|last: &Document| id_text(&last.id));
        let next = next.map_or_else(String::new, |next| format!(" next={next}"));
        self.out.ok(&format!("documents={}{next}", documents.len()))?;
        for document in documents {
            let details = format!("id={} {}", id_text(&document.id), revision(&document));
            self.out.entry(&details, &document.bytes)?;
        }
        Ok(())
    }

    pub(super) fn begin(&mut self) -> Result {
        self.without_transaction("no second transaction")?;
        self.transaction = Some(self.database.begin()?);
        Ok(self.out.ok(&format!("transaction=open database={}", self.database.name()))?)
    }

    fn take_transaction(&mut self) -> Result<client::Transaction> {
        let none = || Fault::coded(ErrorCode::TxnNotFound, "no transaction is open; .begin one");
        Ok(self.transaction.take().ok_or_else(none)?)
    }

    pub(super) fn commit(&mut self) -> Result {
        let written = self.take_transaction()?.commit()?;
        self.out.ok(&format!("writes={}", written.len()))?;
        for (number, written) in written.iter().enumerate() {
            let (revision, done) = (written.revision, effect(written.effect));
            self.out.line(&format!("write={number} revision={revision}{done}"))?;
        }
        Ok(())
    }

    pub(super) fn rollback(&mut self) -> Result {
        self.take_transaction()?.rollback();
        Ok(self.out.ok("")?)
    }
}

/// A server that answers a write with a document, or an operation with nothing.
fn no_answer() -> Trouble {
    let message = "the answer does not belong to the request".to_owned();
    Trouble::Fault(Fault { code: "ProtocolError", message, outcome_unknown: true })
}
