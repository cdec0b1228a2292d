//! A database of one engine, in a directory and with a process of its own.

use std::io;

use benches::Scratch;
use benches::confined::{Group, drop_caches};
use benches::engines::{Kind, Settings};
use benches::hosted::{Answer, Hosted, Request};
use benches::work::{Contents, Round, Work};

/// Where a database is opened.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place<'a> {
    /// In a process like any other.
    Warm,
    /// With nothing of it in memory, and the program itself in memory.
    Cold,
    /// In a process that may take no more than the group, with nothing of it in memory.
    Confined(&'a Group),
}

/// A database, open or not.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) kind: Kind,
    scratch: Scratch,
    settings: Settings,
    host: Option<Hosted>,
    may_drop_caches: bool,
}

impl Home {
    /// A new database with all its documents, and how long writing them took. It is open.
    pub(crate) fn new(
        parent: &Scratch,
        kind: Kind,
        settings: Settings,
        may_drop_caches: bool,
    ) -> io::Result<(Self, Round)> {
        let scratch = Scratch::new(&parent.path(""), kind.word())?;
        let mut home = Self { kind, scratch, settings, host: None, may_drop_caches };
        home.open(Place::Warm, settings, None)?;
        let round = home.host()?.round(&Request::Load)?;
        home.ask(&Request::CheckAll(Contents::Loaded))?;
        Ok((home, round))
    }

    fn host(&mut self) -> io::Result<&mut Hosted> {
        self.host.as_mut().ok_or_else(|| io::Error::other("the database is not open"))
    }

    pub(crate) fn is_open(&self) -> bool {
        self.host.is_some()
    }

    pub(crate) fn ask(&mut self, request: &Request) -> io::Result<Answer> {
        self.host()?.ask(request)
    }

    /// Does a round of work.
    pub(crate) fn run(&mut self, work: Work, round: u64) -> io::Result<Round> {
        self.host()?.round(&Request::Run { work, round })
    }

    /// Opens it in a new process, and reads document `first` when one is named. Both are timed.
    pub(crate) fn open(
        &mut self,
        place: Place<'_>,
        settings: Settings,
        first: Option<u64>,
    ) -> io::Result<Round> {
        let mut host = Hosted::start()?;
        if let Place::Cold = place {
            host.ask(&Request::Pin)?;
        }
        if let Place::Confined(group) = place {
            group.take(host.process())?;
        }
        if self.may_drop_caches && !matches!(place, Place::Warm) {
            drop_caches()?;
        }
        let (kind, dir) = (self.kind, self.scratch.path("db"));
        let opened = host.round(&Request::Open { kind, dir, settings, first })?;
        self.host = Some(host);
        Ok(opened)
    }

    /// Opens it where and as it was made.
    pub(crate) fn open_again(&mut self) -> io::Result<()> {
        self.open(Place::Warm, self.settings, None).map(drop)
    }

    /// How it is opened if nothing else is said.
    pub(crate) fn settings(&self) -> Settings {
        self.settings
    }

    /// Closes it, and ends its process.
    pub(crate) fn close(&mut self) -> io::Result<()> {
        self.ask(&Request::Close)?;
        self.host = None;
        Ok(())
    }

    /// Kills its process.
    pub(crate) fn kill(&mut self) {
        self.host = None;
    }

    /// Bytes of the disk that it takes.
    pub(crate) fn disk_bytes(&self) -> io::Result<u64> {
        benches::usage::disk_bytes(&self.scratch.path("db"))
    }
}
