//! Whoever waits for an answer, told exactly once: also when the work panics, is thrown away or is
//! never begun.

use base::error::Code;

use super::error::{EngineError, Result};

/// Told what became of a request. Dropped without having been told anything, it tells `Internal`.
pub struct Reply<T> {
    tell: Option<Box<dyn FnOnce(Result<T>) + Send>>,
}

impl<T> Reply<T> {
    /// Tells by calling `tell`, on whichever thread knows the answer: one that commits for
    /// everybody, so it must neither wait nor call the engine.
    pub fn new(tell: impl FnOnce(Result<T>) + Send + 'static) -> Self {
        Self { tell: Some(Box::new(tell)) }
    }

    /// Answers.
    pub fn send(mut self, result: Result<T>) {
        if let Some(tell) = self.tell.take() {
            tell(result);
        }
    }

    /// A reply that takes what `map` makes of its answer.
    pub fn map<U: 'static>(self, map: impl FnOnce(U) -> T + Send + 'static) -> Reply<U>
    where
        T: 'static,
    {
        Reply::new(move |result: Result<U>| self.send(result.map(map)))
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        if let Some(tell) = self.tell.take() {
            let what = "the work ended without an answer, which is a defect; see the server's log";
            tell(Err(EngineError::new(Code::Internal, what)));
        }
    }
}

impl<T> std::fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reply").field("told", &self.tell.is_none()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;

    #[test]
    fn a_reply_is_told_once_and_never_forgotten() {
        let (send, told) = sync_channel(2);
        let tell = move |result: Result<u32>| send.send(result.map_err(|e| e.code)).unwrap();
        let reply = Reply::new(tell.clone());
        reply.send(Ok(1));
        assert_eq!(told.recv().unwrap(), Ok(1));
        drop(Reply::new(tell.clone()));
        assert_eq!(told.recv().unwrap(), Err(Code::Internal));
        Reply::new(tell).map(|n: u32| n + 1).send(Ok(1));
        assert_eq!(told.recv().unwrap(), Ok(2));
        assert!(told.try_recv().is_err());
    }
}
