//! The checker accepts what a correct store could have answered and catches what none could.

use base::rng::Rng;
use sim::history::{Action, History, Violation};

type Register = History<&'static str, u32>;

const STEPS: u64 = 100_000;

/// A write that was acknowledged before the next operation began.
fn wrote(history: &Register, key: &'static str, value: u32) {
    let write = history.write(key, value);
    history.acknowledged(write);
}

fn deleted(history: &Register, key: &'static str) {
    let delete = history.delete(key);
    history.acknowledged(delete);
}

fn saw(history: &Register, key: &'static str, value: Option<u32>) {
    let read = history.read(key);
    history.answered(read, vec![value]);
}

fn refused(history: &Register) -> String {
    match history.check(STEPS) {
        Err(Violation::Impossible(why)) => why,
        other => panic!("the history was not refused: {other:?}"),
    }
}

#[test]
fn a_history_in_turn_is_accepted() {
    let history = Register::new();
    saw(&history, "a", None);
    wrote(&history, "a", 1);
    saw(&history, "a", Some(1));
    wrote(&history, "b", 2);
    deleted(&history, "a");
    saw(&history, "a", None);
    saw(&history, "b", Some(2));
    let checked = history.check(STEPS).unwrap();
    assert_eq!((checked.operations, checked.groups), (7, 2));
}

#[test]
fn a_lost_acknowledgement_is_caught() {
    let history = Register::new();
    wrote(&history, "a", 1);
    saw(&history, "a", None);
    assert!(refused(&history).contains("keys=[\"a\"]"));
}

#[test]
fn a_stale_read_is_caught() {
    let history = Register::new();
    wrote(&history, "a", 1);
    wrote(&history, "a", 2);
    saw(&history, "a", Some(1));
    refused(&history);
}

#[test]
fn a_read_that_goes_back_is_caught_even_while_the_write_is_under_way() {
    let history = Register::new();
    let write = history.write("a", 1);
    saw(&history, "a", Some(1));
    saw(&history, "a", None);
    history.acknowledged(write);
    refused(&history);
}

#[test]
fn a_value_that_comes_back_after_its_delete_is_caught() {
    let history = Register::new();
    wrote(&history, "a", 1);
    deleted(&history, "a");
    saw(&history, "a", Some(1));
    refused(&history);
}

#[test]
fn a_value_that_nobody_wrote_is_caught() {
    let history = Register::new();
    saw(&history, "a", Some(9));
    refused(&history);
}

#[test]
fn a_refused_write_that_is_read_is_caught() {
    let history = Register::new();
    let write = history.write("a", 1);
    history.failed(write);
    saw(&history, "a", Some(1));
    refused(&history);
}

#[test]
fn a_write_of_unknown_outcome_may_happen_late_or_never_but_not_twice() {
    let happened_late = Register::new();
    let _unknown = happened_late.write("a", 1);
    saw(&happened_late, "a", None);
    wrote(&happened_late, "a", 2);
    saw(&happened_late, "a", Some(1));
    happened_late.check(STEPS).unwrap();

    let never = Register::new();
    let _unknown = never.write("a", 1);
    saw(&never, "a", None);
    never.check(STEPS).unwrap();

    let twice = Register::new();
    let _unknown = twice.write("a", 1);
    saw(&twice, "a", Some(1));
    wrote(&twice, "a", 2);
    saw(&twice, "a", Some(2));
    saw(&twice, "a", Some(1));
    refused(&twice);
}

#[test]
fn a_delete_of_unknown_outcome_explains_an_absence_once() {
    let history = Register::new();
    wrote(&history, "a", 1);
    let _unknown = history.delete("a");
    saw(&history, "a", Some(1));
    saw(&history, "a", None);
    history.check(STEPS).unwrap();
    wrote(&history, "a", 2);
    saw(&history, "a", None);
    refused(&history);
}

#[test]
fn concurrent_writes_may_take_effect_in_either_order_but_in_one() {
    let history = Register::new();
    let (first, second) = (history.write("a", 1), history.write("a", 2));
    history.acknowledged(first);
    history.acknowledged(second);
    saw(&history, "a", Some(1));
    history.check(STEPS).unwrap();
    saw(&history, "a", Some(2));
    refused(&history);
}

fn batch(history: &Register) -> sim::history::Started {
    history.start(Action::Write(vec![("a", Some(1)), ("b", Some(1))]))
}

#[test]
fn a_batch_of_unknown_outcome_is_there_whole_or_not_at_all() {
    let whole = Register::new();
    let _unknown = batch(&whole);
    saw(&whole, "a", Some(1));
    saw(&whole, "b", Some(1));
    whole.check(STEPS).unwrap();

    let absent = Register::new();
    let _unknown = batch(&absent);
    saw(&absent, "b", None);
    saw(&absent, "a", None);
    absent.check(STEPS).unwrap();

    let half = Register::new();
    let _unknown = batch(&half);
    saw(&half, "a", Some(1));
    saw(&half, "b", None);
    refused(&half);
}

#[test]
fn a_snapshot_that_sees_half_a_batch_is_caught() {
    for (a, b) in [(Some(1), None), (None, Some(1))] {
        let history = Register::new();
        let batch = batch(&history);
        let read = history.start(Action::Read(vec!["a", "b"]));
        history.answered(read, vec![a, b]);
        history.acknowledged(batch);
        refused(&history);
    }
}

#[test]
fn an_answer_with_another_number_of_values_is_refused() {
    let history = Register::new();
    let read = history.read("a");
    history.answered(read, vec![]);
    refused(&history);
}

#[test]
fn a_search_that_is_not_allowed_enough_steps_says_so() {
    let history = Register::new();
    wrote(&history, "a", 1);
    saw(&history, "a", Some(1));
    assert_eq!(history.check(1), Err(Violation::Undecided { steps: 1 }));
}

/// A store of registers with clients whose operations overlap: each has a start, a moment of
/// effect, and an end. At the moment `stale` a client of its own writes twice and is answered the
/// first value.
fn simulated(seed: u64, stale: Option<u32>) -> Register {
    const KEYS: [&str; 3] = ["a", "b", "c"];
    let mut rng = Rng::new(seed);
    let history = Register::new();
    let mut store = [None; 3];
    let mut clients: Vec<Option<(sim::history::Started, usize, Option<u32>)>> = vec![None; 6];
    for unique in 0..1500_u32 {
        if stale == Some(unique) {
            wrote(&history, "b", 1_000_000);
            wrote(&history, "b", 1_000_001);
            saw(&history, "b", Some(1_000_000));
        }
        let client = rng.index(clients.len());
        let Some((started, key, written)) = clients[client].take() else {
            let key = rng.index(KEYS.len());
            let writes = rng.chance(500).then_some(unique);
            let started = match writes {
                Some(value) => history.write(KEYS[key], value),
                None => history.read(KEYS[key]),
            };
            clients[client] = Some((started, key, writes));
            continue;
        };
        // The moment of effect is the end here; starts of others lie between.
        let value = &mut store[key];
        match written {
            Some(_) if rng.chance(30) => {
                // Killed: no answer, and the write happened or did not.
                if rng.chance(500) {
                    *value = written;
                }
            }
            Some(_) => {
                *value = written;
                history.acknowledged(started);
            }
            None => history.answered(started, vec![*value]),
        }
    }
    history
}

#[test]
fn long_overlapping_histories_of_a_correct_store_are_accepted() {
    sim::seed::Seeds::from_env(1, 20).each(|seed| {
        let checked = simulated(seed, None).check(STEPS).unwrap();
        assert!(checked.operations > 600, "{checked:?}");
    });
}

#[test]
fn one_stale_read_in_a_long_history_is_caught() {
    sim::seed::Seeds::from_env(1, 20).each(|seed| {
        let moment = u32::try_from(seed % 1500).unwrap();
        refused(&simulated(seed, Some(moment)));
    });
}

/// One operation of a small history: start, end (`None`: unknown), what it wrote or read.
#[derive(Debug, Clone)]
struct Small {
    start: usize,
    end: Option<usize>,
    write: bool,
    cells: Vec<(usize, Option<u32>)>,
}

/// Whether any order explains the operations: every order is tried.
fn explained(left: &[Small], state: [Option<u32>; 2]) -> bool {
    if left.iter().all(|op| op.end.is_none()) {
        return true;
    }
    (0..left.len()).any(|next| {
        let op = &left[next];
        let in_time = left.iter().all(|other| other.end.is_none_or(|end| op.start < end));
        let mut state = state;
        let fits = op.cells.iter().all(|(key, value)| {
            if op.write {
                state[*key] = *value;
            }
            state[*key] == *value
        });
        let mut rest = left.to_vec();
        rest.remove(next);
        in_time && fits && explained(&rest, state)
    })
}

/// A history of six operations at random on two keys: often explained, often not.
fn small(rng: &mut Rng) -> Vec<Small> {
    let mut operations: Vec<Small> = Vec::new();
    for moment in 0..12 {
        let open: Vec<usize> =
            (0..operations.len()).filter(|i| operations[*i].end == Some(usize::MAX)).collect();
        let start = operations.len() < 6 && (open.is_empty() || rng.chance(500));
        if !start {
            if let Some(ended) = open.get(rng.index(open.len())) {
                operations[*ended].end = Some(moment);
            }
            continue;
        }
        let write = rng.chance(500);
        let mut keys = vec![rng.index(2)];
        if rng.chance(300) {
            keys.push(1 - keys[0]);
        }
        let mut value = |key: usize| {
            if write {
                return rng.chance(750).then_some(u32::try_from(moment).unwrap());
            }
            // One of the last two values of the key, so that many reads can be explained.
            let writes = operations.iter().rev().filter(|op| op.write);
            let mut values = writes.flat_map(|op| &op.cells).filter(|cell| cell.0 == key);
            values.nth(usize::from(rng.chance(300))).and_then(|cell| cell.1)
        };
        let cells = keys.into_iter().map(|key| (key, value(key))).collect();
        operations.push(Small { start: moment, end: Some(usize::MAX), write, cells });
    }
    for operation in &mut operations {
        if operation.end == Some(usize::MAX) {
            // Writes whose answer never came; a read is answered at the end.
            operation.end = (!operation.write).then_some(100 + operation.start);
        }
    }
    operations
}

/// Records the operations as their clients would.
fn recorded(operations: &[Small]) -> History<usize, u32> {
    let history = History::new();
    let mut started = vec![None; operations.len()];
    for moment in 0..200 {
        for (index, operation) in operations.iter().enumerate() {
            if operation.start == moment {
                let keys = || operation.cells.iter().map(|(key, _)| *key).collect();
                started[index] = Some(history.start(match operation.write {
                    true => Action::Write(operation.cells.clone()),
                    false => Action::Read(keys()),
                }));
            }
            if operation.end == Some(moment) {
                let values = operation.cells.iter().map(|(_, value)| *value).collect();
                history.answered(started[index].unwrap(), values);
            }
        }
    }
    history
}

#[test]
fn the_verdict_is_that_of_trying_every_order() {
    sim::seed::Seeds::from_env(1, 4000).each(|seed| {
        let operations = small(&mut Rng::new(seed));
        let expect = explained(&operations, [None; 2]);
        let verdict = recorded(&operations).check(STEPS);
        assert_eq!(verdict.is_ok(), expect, "{operations:#?}\n{verdict:?}");
    });
    let explained_count =
        (1..4000).filter(|seed| explained(&small(&mut Rng::new(*seed)), [None; 2])).count();
    assert!((400..3600).contains(&explained_count), "one-sided: {explained_count}");
}
