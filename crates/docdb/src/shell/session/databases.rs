//! Commands about databases and collections.

use base::words::Name;
use client::{DropMode, ErrorCode};

use super::{DEFAULT_COLLECTION, DEFAULT_DATABASE, Fault, Result, Session};
use crate::shell::output::shortened;

impl Session<'_> {
    /// Goes on with a database and its default collection.
    fn turn_to(&mut self, name: &str) -> Result {
        self.opened.insert(name.to_owned());
        self.database = self.client.database(name);
        DEFAULT_COLLECTION.clone_into(&mut self.collection);
        let collection = &self.collection;
        Ok(self.out.ok(&format!("database={name} collection={collection}"))?)
    }

    pub(super) fn open(&mut self, name: &str, create: bool) -> Result {
        self.without_transaction("no other database")?;
        if create {
            self.client.create_database(name)?;
        } else {
            self.client.open_database(name)?;
        }
        self.turn_to(name)
    }

    pub(super) fn use_database(&mut self, name: &str) -> Result {
        self.without_transaction("no other database")?;
        if !self.opened.contains(name) {
            self.client.open_database(name)?;
        }
        self.turn_to(name)
    }

    pub(super) fn close(&mut self, name: Option<String>) -> Result {
        let name = name.unwrap_or_else(|| self.database.name().to_owned());
        if name == self.database.name() {
            self.without_transaction("the database stays")?;
        }
        self.client.close_database(&name)?;
        let moved = self.let_go(&name);
        Ok(self.out.ok(&format!("closed={name}{moved}"))?)
    }

    /// Forgets a database that is gone or closed. When it was the one in use, the shell goes on with
    /// the default one: what is said of that.
    fn let_go(&mut self, name: &str) -> String {
        self.opened.remove(name);
        if name != self.database.name() {
            return String::new();
        }
        self.database = self.client.database(DEFAULT_DATABASE);
        DEFAULT_COLLECTION.clone_into(&mut self.collection);
        format!(" database={} collection={}", self.database.name(), self.collection)
    }

    pub(super) fn drop_database(&mut self, name: &str) -> Result {
        if name == self.database.name() {
            self.without_transaction("the database stays")?;
        }
        self.client.drop_database(name)?;
        let moved = self.let_go(name);
        Ok(self.out.ok(&format!("dropped={name}{moved}"))?)
    }

    pub(super) fn databases(&mut self) -> Result {
        let databases = self.client.databases()?;
        self.out.ok(&format!("databases={}", databases.len()))?;
        for database in databases {
            let state = format!("{:?}", database.state).to_lowercase();
            let (name, uuid) = (database.name, database.uuid);
            self.out.line(&format!("name={name} state={state} uuid={uuid}"))?;
        }
        Ok(())
    }

    pub(super) fn create_collection(&mut self, name: &str) -> Result {
        self.database.create_collection(name)?;
        Ok(self.out.ok(&format!("collection={name}"))?)
    }

    pub(super) fn drop_collection(&mut self, name: &str, mode: DropMode) -> Result {
        self.database.drop_collection(name, mode)?;
        let mut moved = String::new();
        if name == self.collection {
            DEFAULT_COLLECTION.clone_into(&mut self.collection);
            moved = format!(" collection={}", self.collection);
        }
        Ok(self.out.ok(&format!("dropped={name}{moved}"))?)
    }

    pub(super) fn collections(&mut self) -> Result {
        let collections = self.database.collections()?;
        self.out.ok(&format!("collections={}", collections.len()))?;
        for collection in collections {
            self.out.line(&format!("name={} number={}", collection.name, collection.number))?;
        }
        Ok(())
    }

    pub(super) fn use_collection(&mut self, name: String) -> Result {
        if let Err(error) = Name::new(&name) {
            let message = format!("{error}: `{}`", shortened(&name));
            return Err(Fault::coded(ErrorCode::InvalidName, message).into());
        }
        self.collection = name;
        let (database, collection) = (self.database.name(), &self.collection);
        Ok(self.out.ok(&format!("database={database} collection={collection}"))?)
    }
}
