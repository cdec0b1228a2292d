//! What a key allows: scopes on databases, and on the application logs.

use std::fmt;
use std::str::FromStr;

use base::words::Name;

/// What stands for every database, the server as a whole with them.
const ALL: &str = "*";
/// What stands for the application logs: no name of a database begins so.
const LOGS: &str = "@logs";

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

/// What a grant is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Realm {
    /// Every database, the application logs, and the server as a whole.
    Everything,
    /// One database.
    Database(Name),
    /// The application logs: a program that only sends them needs no more.
    Logs,
}

impl fmt::Display for Realm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Everything => ALL,
            Self::Database(name) => name.as_str(),
            Self::Logs => LOGS,
        })
    }
}

/// A scope on something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// On what.
    pub on: Realm,
    /// How much.
    pub scope: Scope,
}

impl Grant {
    /// Whether it allows `needed` on `database`; without one, on the server as a whole.
    #[must_use]
    pub fn covers(&self, database: Option<&Name>, needed: Scope) -> bool {
        let is_here = match (&self.on, database) {
            (Realm::Everything, _) => true,
            (Realm::Database(own), Some(asked)) => own == asked,
            (Realm::Database(_), None) | (Realm::Logs, _) => false,
        };
        is_here && self.scope >= needed
    }

    /// Whether it allows `needed` on the application logs.
    #[must_use]
    pub fn covers_logs(&self, needed: Scope) -> bool {
        let is_here = match self.on {
            Realm::Everything | Realm::Logs => true,
            Realm::Database(_) => false,
        };
        is_here && self.scope >= needed
    }
}

/// `orders=write`, `*=read`, `@logs=write`.
impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.on, self.scope)
    }
}

impl FromStr for Grant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (on, scope) = text.split_once('=').ok_or_else(|| {
            "a grant is DATABASE=SCOPE, such as orders=write, *=read or @logs=write".to_owned()
        })?;
        let name = |text| Name::new(text).map_err(|error| error.to_string());
        let on = match on {
            ALL => Realm::Everything,
            LOGS => Realm::Logs,
            database => Realm::Database(name(database)?),
        };
        Ok(Self { on, scope: scope.parse()? })
    }
}
