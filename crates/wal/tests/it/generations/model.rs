//! What a log of many lives must hold: what became of every transaction that was ever tried.

use std::collections::BTreeMap;

use base::words::{Change, DocId, Lsn};

/// What happened, in the order in which a crash can cut it off.
#[derive(Debug, Clone)]
pub(super) enum Event {
    /// The log was opened; these are the transactions that it holds, and where.
    Opened(Vec<(u64, State)>, Lsn),
    /// A transaction of these changes was on its way.
    Tried(u64, Vec<Change>),
    /// It was acknowledged at this LSN; the flag says that a sync came before.
    Acknowledged(u64, Lsn, bool),
    /// A sync failed while it waited.
    Unknown(u64),
    /// It failed and must not be there.
    Refused(u64),
    /// Everything up to here was reported durable.
    Durable(Lsn),
    /// Everything up to here may be forgotten.
    Kept(Lsn),
}

/// What is known of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// There as a whole, or not.
    Unknown,
    /// Not there, ever.
    Gone,
    /// There at this LSN; whether it was also durable.
    There(Lsn, bool),
    /// There at this LSN, or not.
    Maybe(Lsn),
}

#[derive(Debug, Clone)]
struct Tried {
    changes: Vec<Change>,
    state: State,
}

/// Everything that was ever tried, by number of its first change.
#[derive(Debug, Clone, Default)]
pub(super) struct Model {
    tried: BTreeMap<u64, Tried>,
    durable: Lsn,
    kept: Lsn,
}

fn number(change: &Change) -> u64 {
    match change {
        Change::Put { id: DocId::U64(n), .. } => *n,
        other @ (Change::Put { .. }
        | Change::Delete { .. }
        | Change::CreateCollection { .. }
        | Change::DropCollection { .. }
        | Change::SetProperty { .. }) => {
            unreachable!("only such puts are written: {other:?}")
        }
    }
}

impl Model {
    pub(super) fn apply(&mut self, event: &Event) {
        let mut set = |id: &u64, state| {
            self.tried.get_mut(id).expect("it was tried first").state = state;
        };
        match event {
            Event::Opened(states, last) => {
                states.iter().for_each(|(id, state)| set(id, *state));
                // What was dropped for good frees its LSNs.
                self.durable = *last;
            }
            Event::Tried(id, changes) => {
                let tried = Tried { changes: changes.clone(), state: State::Unknown };
                self.tried.insert(*id, tried);
            }
            Event::Acknowledged(id, lsn, synced) => set(id, State::There(*lsn, *synced)),
            Event::Unknown(id) => set(id, State::Unknown),
            Event::Refused(id) => set(id, State::Gone),
            Event::Durable(lsn) => self.durable = self.durable.max(*lsn),
            Event::Kept(lsn) => self.kept = self.kept.max(*lsn),
        }
    }

    /// The life ended; with power, what was acknowledged and not durable may be gone.
    pub(super) fn crashed(&mut self, power: bool) {
        for tried in self.tried.values_mut() {
            if let State::There(lsn, false) = tried.state
                && power
                && lsn.0 + tried.changes.len() as u64 - 1 > self.durable.0
            {
                tried.state = State::Maybe(lsn);
            }
        }
    }

    /// Checks what an open found against what is known; answers what is known from now on.
    pub(super) fn resolve(
        &self,
        found: &[(Lsn, Option<Change>, u64)],
        first: Lsn,
        last: Lsn,
    ) -> Result<Event, String> {
        if first > self.kept.next() {
            return Err(format!("trimmed up to {first}, kept is {}", self.kept));
        }
        let mut there = BTreeMap::new();
        let mut wall = 0;
        for (i, (lsn, change, wall_ms)) in found.iter().enumerate() {
            if lsn.0 != first.0 + i as u64 || *wall_ms < wall {
                return Err(format!("{lsn} at place {i} behind {first}, time {wall_ms}"));
            }
            wall = *wall_ms;
            let Some(change) = change else { continue };
            if there.insert(number(change), (*lsn, change)).is_some() {
                return Err(format!("{lsn} is there twice"));
            }
        }
        if first.0 + found.len() as u64 != last.next().0 {
            return Err(format!("{} frames from {first} to {last}", found.len()));
        }
        let mut states = Vec::new();
        for (id, tried) in &self.tried {
            let at: Vec<Option<(Lsn, &Change)>> =
                tried.changes.iter().map(|change| there.remove(&number(change))).collect();
            let state = tried.resolve(&at, first)?;
            if state != tried.state {
                states.push((*id, state));
            }
        }
        if let Some((number, (lsn, _))) = there.first_key_value() {
            return Err(format!("invented: {number} at {lsn}"));
        }
        Ok(Event::Opened(states, last))
    }

    /// What a reader was given must have been acknowledged, there.
    pub(super) fn is_acknowledged(&self, lsn: Lsn, change: Option<&Change>) {
        let Some(change) = change else { return };
        let number = number(change);
        let (id, tried) = self.tried.range(..=number).next_back().expect("it was tried");
        let State::There(first, _) = tried.state else {
            panic!("{number} at {lsn} was read and is {:?}", tried.state);
        };
        assert_eq!(lsn.0 - first.0, number - id, "{number} was read at {lsn}");
        let index = usize::try_from(number - id).expect("a small number");
        assert_eq!(tried.changes.get(index), Some(change), "{lsn} was changed");
    }
}

impl Tried {
    /// What is known once the log was seen to hold its changes at these places.
    fn resolve(&self, at: &[Option<(Lsn, &Change)>], first: Lsn) -> Result<State, String> {
        let found = at.iter().flatten().count();
        let fail = |what: &str| {
            let number = self.changes.first().map_or(0, number);
            let places: Vec<Option<Lsn>> = at.iter().map(|a| a.map(|(lsn, _)| lsn)).collect();
            Err(format!("{what}: {number} {:?}, log from {first}: {places:?}", self.state))
        };
        let begin = match self.state {
            State::Gone if found == 0 => return Ok(State::Gone),
            State::Gone => return fail("back from the dead"),
            State::Unknown | State::Maybe(_) if found == 0 => return Ok(State::Gone),
            State::There(begin, _) | State::Maybe(begin) => begin,
            State::Unknown => at.iter().flatten().next().map_or(first, |(lsn, _)| *lsn),
        };
        for (i, (at, change)) in at.iter().zip(&self.changes).enumerate() {
            let lsn = Lsn(begin.0 + i as u64);
            match at {
                None if lsn < first => {}
                None => return fail("lost"),
                Some((place, _)) if *place != lsn => return fail("moved"),
                Some((_, there)) if *there != change => return fail("changed"),
                Some(_) => {}
            }
        }
        Ok(State::There(begin, true))
    }
}
