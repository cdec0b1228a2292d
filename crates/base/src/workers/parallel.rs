//! A loop over numbered parts of one piece of work, shared by several threads that end with it.
//!
//! For work that computes: building an index, say. The caller's thread works too, the others live
//! only as long as the call, and results come back in the order of the parts, so that what is made
//! of them does not depend on how many threads there were. Work that waits belongs in
//! [`Pool`](super::pool::Pool).

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::Builder;

/// Does `work` for every part in `0..parts` on up to `threads` threads and returns what it returned,
/// in the order of the parts.
///
/// Fewer threads take part when the system refuses another one; the caller's own always does.
///
/// # Panics
/// When `work` panics, with its panic.
pub fn map<T: Send>(
    name: &str,
    threads: usize,
    parts: usize,
    work: impl Fn(usize) -> T + Sync,
) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let take = || {
        let mut done = Vec::new();
        loop {
            let part = next.fetch_add(1, Ordering::Relaxed);
            if part >= parts {
                return done;
            }
            done.push((part, work(part)));
        }
    };
    let mut done = std::thread::scope(|scope| {
        let helpers: Vec<_> = (1..threads.min(parts))
            .filter_map(|_| Builder::new().name(name.to_owned()).spawn_scoped(scope, take).ok())
            .collect();
        let mut done = take();
        for helper in helpers {
            match helper.join() {
                Ok(more) => done.extend(more),
                Err(panic) => resume_unwind(panic),
            }
        }
        done
    });
    done.sort_unstable_by_key(|(part, _)| *part);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_parts_whatever_the_number_of_threads() {
        let expect: Vec<usize> = (0..1000).map(|part| part * part).collect();
        for threads in [0, 1, 2, 7] {
            assert_eq!(map("square", threads, 1000, |part| part * part), expect);
        }
    }

    #[test]
    fn no_parts_is_no_work() {
        assert_eq!(map("none", 4, 0, |_| -> u8 { panic!("there is no part") }), Vec::<u8>::new());
    }

    #[test]
    fn a_panic_in_a_part_is_the_callers_panic() {
        let call = AssertUnwindSafe(|| {
            map("panic", 4, 100, |part| assert_ne!(part, 50, "part fifty"));
        });
        let panic = catch_unwind(call).expect_err("the part panicked");
        let text = panic.downcast_ref::<String>().expect("a formatted message");
        assert!(text.contains("part fifty"), "{text}");
    }
}
