//! Writes of namespaces: rows, patches and deletions, conditions and schema, in one commit.
//!
//! The schema of the request is part of the commit where no document can break it: in a namespace that is
//! new or empty. Elsewhere it has to be checked against the documents first, which is no work for the
//! threads that write: [`NamespaceWritten::SchemaFirst`] says so, the surface has the schema changed and
//! comes again.

use std::sync::{Arc, Mutex, PoisonError};

use base::document::Document;
use base::error::Code;
use base::memory::Reservation;
use base::words::{CollectionId, DocId, Name};
use docstore::patch::Patch;
use docstore::{Action, Amendment, Database, Effect, Expiry, Otherwise, PropertySet, Write};
use search::path::Path;
use search::schema::{Schema, Undeclared, metric_name};
use search::vector::Metric;

use super::super::Engine;
use super::super::documents::BREATH;
use super::super::error::{EngineError, Result};
use super::super::reply::Reply;
use super::super::served::Served;
use super::super::work::{How, Step, Work, take};
use super::catalog::{made_now, new_namespace, no_namespace};
use super::conditions::{Checks, RowCondition};
use super::rule::schema_property;
use super::schema::{SchemaChange, stored_schema, write};
use crate::scheduler::HoldFor;

/// A write of a namespace. Operations are done in their order.
#[derive(Debug, Clone, Default)]
pub struct NamespaceWrite {
    /// What the schema is to have.
    pub schema: SchemaChange,
    /// The elements of the vectors of rows, where they have any: the field `vector` is declared so
    /// unless it is declared.
    pub vector: Option<usize>,
    /// Whether there must be a namespace of the name already.
    pub only_existing: bool,
    /// The operations.
    pub ops: Vec<RowWrite>,
    /// What must hold for documents that are replaced.
    pub upsert_condition: Option<RowCondition>,
    /// What must hold for documents that are patched.
    pub patch_condition: Option<RowCondition>,
    /// What must hold for documents that are deleted.
    pub delete_condition: Option<RowCondition>,
    /// What must still hold for documents that a filter has found to be deleted.
    pub delete_filter: Option<RowCondition>,
    /// What must still hold for documents that a filter has found to be patched.
    pub patch_filter: Option<RowCondition>,
}

/// An operation on one row.
#[derive(Debug, Clone)]
pub struct RowWrite {
    /// Which row.
    pub id: DocId,
    /// What.
    pub op: RowOp,
    /// Whether a filter has found it: then that filter is asked of it again, and no other condition.
    pub is_found: bool,
}

/// What is done with a row.
#[derive(Debug, Clone)]
pub enum RowOp {
    /// It is made or replaced.
    Upsert(Document),
    /// Attributes of it are replaced, if it is there.
    Patch(Arc<Patch>),
    /// It is removed, if it is there.
    Delete,
}

/// What became of a write.
#[derive(Debug)]
pub enum NamespaceWritten {
    /// It was done: what each operation did.
    Done(Vec<Effect>),
    /// Nothing was: the documents that are there must be checked against its schema first.
    SchemaFirst(SchemaNeeded),
}

/// A change of the schema that a write needs.
#[derive(Debug, Clone)]
pub struct SchemaNeeded(pub SchemaChange);

impl NamespaceWrite {
    /// Bytes that it brings.
    fn bytes(&self) -> usize {
        let bytes = |write: &RowWrite| match &write.op {
            RowOp::Upsert(document) => document.as_bytes().len(),
            RowOp::Patch(_) | RowOp::Delete => 0,
        };
        self.ops.iter().map(bytes).sum()
    }
}

impl Engine {
    /// Writes to a namespace, making it if there is none. `TxnConflict` and `CollectionExists` are
    /// answers to be asked again: somebody else changed its schema, or made it, meanwhile.
    pub fn write_namespace(
        self: &Arc<Self>,
        served: &Arc<Served>,
        name: Name,
        asked: Arc<NamespaceWrite>,
        how: How,
        reply: Reply<NamespaceWritten>,
    ) {
        let bytes = asked.bytes();
        let _reserved = match self.budget.reserve("requests", bytes as u64) {
            Ok(reserved) => reserved,
            Err(error) => {
                reply.send(Err(EngineError::new(Code::MemoryLimit, error.to_string())));
                return;
            }
        };
        let told = Arc::new(Mutex::new(Some(reply)));
        let work = Writing {
            served: Arc::clone(served),
            name,
            asked,
            prepared: None,
            told,
            since: self.clock.now(),
            _reserved,
        };
        self.schedule(served, bytes, how, work);
    }
}

/// A write under way.
struct Writing {
    served: Arc<Served>,
    name: Name,
    asked: Arc<NamespaceWrite>,
    /// What is to be submitted, once it is known.
    prepared: Option<(Option<Amendment>, Vec<Write>)>,
    told: Arc<Mutex<Option<Reply<NamespaceWritten>>>>,
    since: base::clock::Instant,
    _reserved: Reservation,
}

impl Work for Writing {
    fn go_on(mut self, engine: &Arc<Engine>, database: &Database) -> Step<Self> {
        let (amendment, writes) = match self.prepared.take() {
            Some(prepared) => prepared,
            None => match prepare(engine, database, &self.name, &self.asked) {
                Ok(Prepared::Ready(amendment, writes)) => (amendment, writes),
                Ok(Prepared::SchemaFirst(needed)) => {
                    self.answer(Ok(NamespaceWritten::SchemaFirst(needed)));
                    return Step::Done;
                }
                Err(error) => {
                    self.answer(Err(error));
                    return Step::Done;
                }
            },
        };
        if let Err(error) = engine.indexes.admit(database, &writes) {
            if engine.is_stalled(self.since) {
                self.refuse(error);
                return Step::Done;
            }
            self.prepared = Some((amendment, writes));
            return Step::Later(self, HoldFor::Time(BREATH));
        }
        let (told, served) = (Arc::clone(&self.told), Arc::clone(&self.served));
        let (duration, clock, since) =
            (engine.meters.upserts(), base::clock::ClockRef::clone(&engine.clock), self.since);
        let (indexes, of) = (Arc::clone(&engine.indexes), database.id());
        let done = Box::new(move |outcome: docstore::Outcome| {
            let effects = |written: Vec<docstore::Written>| {
                NamespaceWritten::Done(written.into_iter().map(|written| written.effect).collect())
            };
            duration.observe_duration(clock.now().since(since));
            if outcome.is_ok() {
                indexes.begin(of);
            }
            if let Some(reply) = take(&told) {
                reply.send(outcome.map(effects).map_err(EngineError::from));
            }
            served.tell_watchers();
        });
        let submitted = match &amendment {
            Some(amendment) => database.submit_amending(amendment, writes, done),
            None => database.submit(writes, done),
        };
        let Err(unplaced) = submitted else { return Step::Done };
        if engine.is_stalled(self.since) {
            self.refuse(unplaced.why.into());
            return Step::Done;
        }
        self.prepared = Some((amendment, unplaced.work));
        Step::Later(self, HoldFor::Time(BREATH))
    }

    fn refuse(self, error: EngineError) {
        self.answer(Err(error));
    }
}

impl Writing {
    fn answer(&self, answer: Result<NamespaceWritten>) {
        let reply = self.told.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(reply) = reply {
            reply.send(answer);
        }
    }
}

enum Prepared {
    Ready(Option<Amendment>, Vec<Write>),
    SchemaFirst(SchemaNeeded),
}

/// The schema, and the writes under it.
fn prepare(
    engine: &Engine,
    database: &Database,
    name: &Name,
    asked: &NamespaceWrite,
) -> Result<Prepared> {
    let collection = super::found(database, name)?;
    let before = match collection {
        Some(collection) => stored_schema(database, collection)?,
        None => None,
    };
    let makes = asked.ops.iter().any(|write| matches!(write.op, RowOp::Upsert(_)))
        || asked.schema.declaration.is_some();
    if before.is_none() && (!makes || asked.only_existing) {
        return Err(no_namespace(name));
    }
    check_metric(asked.schema.metric, before.as_ref())?;
    let after = asked.schema.apply(before.as_ref())?;
    let after = with_vector(after, asked)?;
    let amendment = match (collection, &before) {
        (None, _) => Some(new_namespace(engine, database, name.clone(), &after)?),
        (Some(_), Some(before)) if *before == after => None,
        (Some(collection), _) => {
            let position = database.position();
            if database.count(collection)? > 0 {
                let declaration = Some(after.to_json().into());
                let needed = SchemaChange { declaration, ..asked.schema.clone() };
                return Ok(Prepared::SchemaFirst(SchemaNeeded(needed)));
            }
            let from = before.as_ref().map(write).transpose()?;
            let to = Some(write(&after)?);
            let mut sets = vec![PropertySet { property: schema_property(), from, to }];
            sets.extend(made_now(engine, database, collection)?);
            Some(Amendment { collection, create: None, sets, unchanged_since: Some(position) })
        }
    };
    let target = amendment.as_ref().map(|amendment| amendment.collection).or(collection);
    let target = target.ok_or_else(|| no_namespace(name))?;
    let writes = writes(asked, target, &after)?;
    Ok(Prepared::Ready(amendment, writes))
}

/// Whoever names a metric must mean the one that the vectors have.
fn check_metric(asked: Option<Metric>, schema: Option<&Schema>) -> Result<()> {
    let field = schema.and_then(|schema| schema.vector(&vector_path().ok()?));
    match (asked, field) {
        (Some(asked), Some((_, field))) if field.metric != asked => {
            let (asked, found) = (metric_name(asked), metric_name(field.metric));
            let what = format!(
                "the distance_metric of the namespace is {found}, not {asked}; change it by its schema"
            );
            Err(EngineError::new(Code::InvalidSchema, what))
        }
        (_, _) => Ok(()),
    }
}

fn vector_path() -> Result<Path> {
    Ok(Path::parse("vector")?)
}

/// The schema with the field that the vectors of the rows need.
fn with_vector(schema: Schema, asked: &NamespaceWrite) -> Result<Schema> {
    let Some(dims) = asked.vector else { return Ok(schema) };
    if schema.field(&vector_path()?).is_some() {
        return Ok(schema);
    }
    let text = format!(r#"{{"vector":{{"type":"[{dims}]f32","ann":true}}}}"#);
    let request = search::json::Json::parse(text.as_bytes())?;
    Ok(schema.declare(request, asked.schema.metric)?.schema)
}

/// The conditions of a request, checked.
struct Conditions {
    upsert: Option<Checks>,
    patch: Option<Checks>,
    delete: Option<Checks>,
    delete_filter: Option<Checks>,
    patch_filter: Option<Checks>,
}

fn writes(asked: &NamespaceWrite, collection: CollectionId, schema: &Schema) -> Result<Vec<Write>> {
    let conditions = Conditions::new(asked, schema)?;
    let writes = asked.ops.iter().map(|row| {
        let condition = match (&row.op, row.is_found) {
            (RowOp::Delete, true) => &conditions.delete_filter,
            (RowOp::Patch(_), true) => &conditions.patch_filter,
            (RowOp::Upsert(_), _) => &conditions.upsert,
            (RowOp::Patch(_), false) => &conditions.patch,
            (RowOp::Delete, false) => &conditions.delete,
        };
        let action = match &row.op {
            RowOp::Upsert(document) => Action::Upsert(document.clone(), Expiry::Never),
            RowOp::Patch(patch) => Action::Patch(Arc::clone(patch)),
            RowOp::Delete => Action::Delete,
        };
        let conditions = condition.iter().map(|checks| checks.condition(&row.id)).collect();
        let (id, otherwise) = (row.id.clone(), Otherwise::Skip);
        Write { collection, id, action, conditions, otherwise }
    });
    Ok(writes.collect())
}

impl Conditions {
    fn new(asked: &NamespaceWrite, schema: &Schema) -> Result<Self> {
        let all = [
            &asked.upsert_condition,
            &asked.patch_condition,
            &asked.delete_condition,
            &asked.delete_filter,
            &asked.patch_filter,
        ];
        let schema = if all.iter().any(|condition| condition.is_some()) {
            &with_rows(schema, asked)
        } else {
            schema
        };
        let checks = |condition: &Option<RowCondition>| {
            condition.as_ref().map(|condition| condition.checks(schema)).transpose()
        };
        Ok(Self {
            upsert: checks(&asked.upsert_condition)?,
            patch: checks(&asked.patch_condition)?,
            delete: checks(&asked.delete_condition)?,
            delete_filter: checks(&asked.delete_filter)?,
            patch_filter: checks(&asked.patch_filter)?,
        })
    }
}

/// The schema as the rows will make it: a condition may speak of attributes that only they have.
fn with_rows(schema: &Schema, asked: &NamespaceWrite) -> Schema {
    let mut schema = schema.clone();
    if schema.undeclared() != Undeclared::Infer {
        return schema;
    }
    for row in &asked.ops {
        // A document that cannot be inferred from is refused when it is judged.
        if let RowOp::Upsert(document) = &row.op
            && let Ok(Some(grown)) = schema.infer(document)
        {
            schema = grown;
        }
    }
    schema
}
