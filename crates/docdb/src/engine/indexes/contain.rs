//! Panics of work on one index: they end at that index, and never a thread that others need.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use base::workers::pool::panic_message;

/// Work that has panicked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Panicked(Box<str>);

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a defect ended the work on the index: {}", self.0)
    }
}

/// Does something. Whoever asks for it makes anew, or stops using, what the work may have left half done.
pub(super) fn contained<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let text = panic_message(&*panic);
        // Its destructor may panic too; leaking it ends the matter.
        std::mem::forget(panic);
        Panicked(text)
    })
}

#[cfg(test)]
mod tests {
    use base::error::tracker::MESSAGE_BYTES_MAX;

    use super::*;

    #[test]
    fn a_panic_is_an_error_with_its_message() {
        assert_eq!(contained(|| 1), Ok(1));
        let text = "é".repeat(MESSAGE_BYTES_MAX);
        let panicked = contained(|| -> u8 { panic!("x{text}") }).unwrap_err();
        assert!(panicked.to_string().contains("the index: xé"));
        assert!(panicked.0.len() <= MESSAGE_BYTES_MAX);
    }
}
