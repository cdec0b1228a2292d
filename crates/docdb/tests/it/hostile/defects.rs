//! A defect of our own: the disk of this server panics under a worker that reads a data file.

use super::process::{Process, example, wait_until};

#[test]
fn a_panic_in_a_worker_is_answered_counted_and_takes_nothing_with_it() {
    const PANICS: u64 = 5;
    let server = Process::of(&example("panics"), |command| {
        command.env("TESTS_PANICS", PANICS.to_string());
    });
    let client = server.client();
    let all = client.database("default").collection("default");
    for id in 0..20 {
        all.create(id, format!("{{\"n\":{id}}}")).unwrap();
    }
    client.database("default").checkpoint().unwrap();
    // Only what is in data files is read by a worker, and the first of these reads panic.
    let answers: Vec<_> = (0..20).map(|id| all.get(id)).collect();
    let failed = answers.iter().filter(|answer| match answer {
        Ok(found) => {
            assert!(found.is_some());
            false
        }
        Err(error) => {
            assert!(error.is(client::ErrorCode::Internal), "{error}");
            true
        }
    });
    assert_eq!(failed.count() as u64, PANICS);
    // Counted a moment after the answer.
    let counted = || client.stats().unwrap()["scheduler"]["panics_total"].clone();
    wait_until("all are counted", || counted() == PANICS);
    assert!(server.log().contains("the planted defect"), "{}", server.log());
    for id in 0..20 {
        assert!(all.get(id).unwrap().is_some());
        all.update(id, "1").unwrap();
    }
    server.lives();
    assert!(server.end().success());
}
