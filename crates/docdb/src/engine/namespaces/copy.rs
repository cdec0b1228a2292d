//! Copies of namespaces: the schema and every document at one position, in one commit.
//!
//! A copy is as large as one transaction may be (`txn.bytes_max`, `txn.ops_max`); of a larger namespace it
//! is refused, before anything of it is written. It takes the time and the space that its documents take.

use std::sync::Arc;

use base::error::Code;
use base::words::Name;
use docstore::{Expiry, StoreError, Write};

use super::super::Engine;
use super::super::error::EngineError;
use super::super::reply::Reply;
use super::super::served::Served;
use super::super::work::How;
use super::catalog::{new_namespace, no_namespace};
use super::schema::stored_schema;
use super::snapshot::{Snapshot, Waiting};

impl Engine {
    /// Makes the namespace `name` with what `source` holds; answers how many documents that are.
    pub fn copy_namespace(
        self: &Arc<Self>,
        served: &Arc<Served>,
        (source, name): (Name, Name),
        how: How,
        waiting: Waiting,
        reply: Reply<u64>,
    ) {
        self.search(served, (how, waiting), reply, move |patience, database| {
            let from = super::found(database, &source)?.ok_or_else(|| no_namespace(&source))?;
            if super::found(database, &name)?.is_some() {
                return Err(StoreError::CollectionExists(name).into());
            }
            let snapshot = Snapshot::of(database)?;
            let schema = stored_schema(database, from)?.ok_or_else(|| no_namespace(&source))?;
            let engine = patience.engine;
            let amendment = new_namespace(engine, database, name, &schema)?;
            let limits = (engine.options.store.txn_ops_max, engine.options.store.txn_bytes_max);
            let (mut writes, mut bytes) = (Vec::new(), 0_u64);
            let mut held = engine
                .budget
                .reserve("copy", 0)
                .map_err(|e| EngineError::new(Code::MemoryLimit, e.to_string()))?;
            snapshot.each(from, patience, None, |id, stored| {
                let len = stored.document.as_bytes().len() as u64;
                bytes += len;
                if writes.len() as u64 >= u64::from(limits.0) || bytes > limits.1 {
                    return Err(too_large(limits));
                }
                held.grow(len).map_err(|e| EngineError::new(Code::MemoryLimit, e.to_string()))?;
                let expiry = stored.expires_at.map_or(Expiry::Never, Expiry::At);
                let write = Write::upsert(amendment.collection, id, stored.document);
                writes.push(write.expires(expiry));
                Ok(())
            })?;
            let copied = writes.len() as u64;
            database.batch_amending(&amendment, writes)?;
            Ok(copied)
        });
    }
}

fn too_large((ops, bytes): (u32, u64)) -> EngineError {
    let what = format!(
        "a namespace is copied in one transaction, which has at most {ops} documents and {bytes} \
         bytes; export and import what is larger"
    );
    EngineError::new(Code::PayloadTooLarge, what)
}
