//! The commands, and what each one needs and answers.

use std::fmt;

/// The body of a successful answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Nothing,
    Opened,
    Results,
    Collection,
    Collections,
    Databases,
    Begun,
    Changes,
    Page,
    Text,
}

/// Whether a request names a database or a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    /// It must be 0.
    Nothing,
    /// A database that this connection has opened.
    Database,
    /// A database, or 0 for the whole server.
    DatabaseOrServer,
    /// A database, and a transaction or 0 for none.
    Transaction,
}

macro_rules! commands {
    ($($number:literal $name:ident $label:ident $names:ident $shape:ident $text:literal)*) => {
        /// What a request asks for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum Command {
            $(#[doc = $text] $name = $number,)*
        }

        impl Command {
            /// All commands, by number.
            pub const ALL: &'static [Command] = &[$(Command::$name,)*];

            /// The number, 1 and up.
            #[must_use]
            pub const fn number(self) -> u8 {
                match self { $(Self::$name => $number,)* }
            }

            /// The command of this number.
            #[must_use]
            pub const fn from_number(number: u8) -> Option<Command> {
                match number { $($number => Some(Self::$name),)* _ => None }
            }

            /// The name, as in metrics: lower case.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($label),)* }
            }

            pub(super) const fn names(self) -> Names {
                match self { $(Self::$name => Names::$names,)* }
            }

            pub(super) const fn shape(self) -> Shape {
                match self { $(Self::$name => Shape::$shape,)* }
            }
        }
    };
}

commands! {
    1 OpenDb open_db Nothing Opened "Opens a database on this connection."
    2 CloseDb close_db Database Nothing "Lets go of a database on this connection."
    3 Execute execute Transaction Results "Does operations on documents."
    4 Stats stats DatabaseOrServer Text "Statistics, as JSON."
    5 CreateCollection create_collection Database Collection "Makes a collection."
    6 DeleteCollection delete_collection Database Nothing "Removes a collection."
    7 ListCollections list_collections Database Collections "Lists collections, by name."
    8 ListDbs list_dbs Nothing Databases "Lists databases, by name."
    9 Heal heal Database Text "Heals one document; answers JSON."
    10 HealAll heal_all Database Text "Heals a whole database; answers JSON."
    11 HealStats heal_stats Database Text "Statistics of healing, as JSON."
    12 Metrics metrics Nothing Text "All metrics of the server, as text."
    13 Query query Transaction Text "A query, JSON both ways."
    14 Begin begin Database Begun "Begins a transaction."
    15 Commit commit Transaction Results "Commits a transaction."
    16 Rollback rollback Transaction Nothing "Ends a transaction without a trace."
    17 Validate validate Database Text "Reads and checks documents; answers JSON."
    18 Changes changes Database Changes "Reads the change feed."
    19 DropDb drop_db Nothing Nothing "Removes a database."
    20 Checkpoint checkpoint Database Text "Takes a checkpoint; answers JSON."
    21 Compact compact Database Text "Compacts data files; answers JSON."
    22 Scan scan Transaction Page "Reads a page of a collection."
    23 Explain explain Transaction Text "How a query would be done, JSON both ways."
    24 Schema schema Database Text "Reads or sets the schema of a collection, JSON both ways."
    25 Logs logs Nothing Text "Searches application logs, JSON both ways."
    26 Backup backup Database Text "Takes a backup, below the server's directory for backups; answers JSON."
    27 Ping ping Nothing Nothing "Does nothing."
}

impl Command {
    /// Whether the command leaves everything as it was, so that sending it twice does no harm.
    #[must_use]
    pub const fn only_reads(self) -> bool {
        match self {
            Self::Stats
            | Self::ListCollections
            | Self::ListDbs
            | Self::HealStats
            | Self::Metrics
            | Self::Query
            | Self::Validate
            | Self::Changes
            | Self::Scan
            | Self::Explain
            | Self::Logs
            | Self::Ping
            | Self::OpenDb => true,
            Self::CloseDb
            | Self::Execute
            | Self::CreateCollection
            | Self::DeleteCollection
            | Self::Heal
            | Self::HealAll
            | Self::Begin
            | Self::Commit
            | Self::Rollback
            | Self::DropDb
            | Self::Checkpoint
            | Self::Compact
            | Self::Schema
            | Self::Backup => false,
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
