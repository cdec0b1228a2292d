//! Ctrl-C while a command runs. A command that follows something ends then and the shell goes on;
//! any other is one request whose answer nobody can call off, so the process ends as programs do.
//! While a line is edited the terminal hands Ctrl-C over as a key, and none of this happens.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::SIGINT;
use signal_hook::flag;

/// Whether Ctrl-C was pressed.
#[derive(Debug, Clone)]
pub(super) struct Interrupt {
    pressed: Arc<AtomicBool>,
    ends_process: Arc<AtomicBool>,
}

impl Interrupt {
    /// Begins to listen to SIGINT. Until something is [`Interrupt::following`] it ends the process.
    pub(super) fn install() -> io::Result<Self> {
        let (pressed, ends_process) =
            (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(true)));
        // In this order: the process ends before anybody could read the flag.
        flag::register_conditional_default(SIGINT, Arc::clone(&ends_process))?;
        flag::register(SIGINT, Arc::clone(&pressed))?;
        Ok(Self { pressed, ends_process })
    }

    /// Until what is returned is dropped, Ctrl-C is a flag.
    pub(super) fn following(&self) -> Following<'_> {
        self.pressed.store(false, Ordering::SeqCst);
        self.ends_process.store(false, Ordering::SeqCst);
        Following(self)
    }
}

/// Something that Ctrl-C ends, and nothing else with it.
pub(super) struct Following<'a>(&'a Interrupt);

impl Following<'_> {
    pub(super) fn is_over(&self) -> bool {
        self.0.pressed.load(Ordering::SeqCst)
    }
}

impl Drop for Following<'_> {
    fn drop(&mut self) {
        self.0.ends_process.store(true, Ordering::SeqCst);
    }
}
