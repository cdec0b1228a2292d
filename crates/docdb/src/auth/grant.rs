//! What a key allows: scopes on databases.

use std::fmt;
use std::str::FromStr;

use base::words::Name;

/// What stands for every database, the server as a whole with them.
const ALL: &str = "*";

/// How much is allowed. Each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// To read documents, scan, follow changes, see statistics.
    Read,
    /// To write documents too, in transactions and imports, and to make and drop collections.
    Write,
    /// Everything of a database: schemas, checkpoints, compaction, healing, backups. On all of them:
    /// making, dropping and restoring databases too.
    Admin,
}

impl Scope {
    /// All, the smallest first.
    pub const ALL: [Scope; 3] = [Self::Read, Self::Write, Self::Admin];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|scope| scope.name() == text);
        found.ok_or_else(|| "a scope is read, write or admin".to_owned())
    }
}

/// A scope on one database or on all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The database; none = all, and the server as a whole.
    pub database: Option<Name>,
    /// How much.
    pub scope: Scope,
}

impl Grant {
    /// Whether it allows `needed` on `database`; without one, on the server as a whole.
    #[must_use]
    pub fn covers(&self, database: Option<&Name>, needed: Scope) -> bool {
        let is_here = match (&self.database, database) {
            (None, _) => true,
            (Some(own), Some(asked)) => own == asked,
            (Some(_), None) => false,
        };
        is_here && self.scope >= needed
    }
}

/// `orders=write`, `*=read`.
impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.database.as_ref().map_or(ALL, Name::as_str), self.scope)
    }
}

impl FromStr for Grant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (database, scope) = text.split_once('=').ok_or_else(|| {
            "a grant is DATABASE=SCOPE, such as orders=write or *=read".to_owned()
        })?;
        let name = |text| Name::new(text).map_err(|error| error.to_string());
        let database = if database == ALL { None } else { Some(name(database)?) };
        Ok(Self { database, scope: scope.parse()? })
    }
}
