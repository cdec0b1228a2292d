//! The one error of the engine: a frozen code, its category, and words for people. Every surface
//! makes its own shape of it, and nothing else of it is lost on the way.

use base::document::JsonError;
use base::error::{Category, Code, Coded};
use base::words::{IdError, NameError};
use docstore::{Refused, StoreError};

use crate::scheduler::NotRun;

/// Why something was not done.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct EngineError {
    /// The frozen code.
    pub code: Code,
    /// What kind of failure it is here, which the cause may say better than the code.
    pub category: Category,
    /// What happened and what to do, for people.
    pub message: Box<str>,
    /// Which operation of a batch is at fault, counted from 0.
    pub operation: Option<usize>,
}

/// A result of the engine.
pub type Result<T> = std::result::Result<T, EngineError>;

impl EngineError {
    /// An error of the engine's own.
    #[must_use]
    pub fn new(code: Code, message: impl Into<Box<str>>) -> Self {
        Self { code, category: code.category(), message: message.into(), operation: None }
    }

    /// The same, of one operation of a batch.
    #[must_use]
    pub fn of_operation(self, operation: usize) -> Self {
        Self { operation: Some(operation), ..self }
    }

    /// Whether the same request may succeed later without anybody doing anything.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.category == Category::Transient
    }

    fn of(error: &impl Coded) -> Self {
        let message = error.to_string().into();
        Self { code: error.code(), category: error.category(), message, operation: None }
    }
}

impl Coded for EngineError {
    fn code(&self) -> Code {
        self.code
    }

    fn category(&self) -> Category {
        self.category
    }
}

impl From<StoreError> for EngineError {
    fn from(error: StoreError) -> Self {
        Self::of(&error)
    }
}

impl From<Refused> for EngineError {
    fn from(refused: Refused) -> Self {
        Self { operation: refused.operation, ..Self::of(&refused.error) }
    }
}

impl From<NotRun> for EngineError {
    fn from(error: NotRun) -> Self {
        Self::of(&error)
    }
}

impl From<base::workers::pool::TaskFailure> for EngineError {
    fn from(error: base::workers::pool::TaskFailure) -> Self {
        Self::of(&error)
    }
}

impl From<base::workers::pool::WhyRefused> for EngineError {
    fn from(why: base::workers::pool::WhyRefused) -> Self {
        use base::workers::pool::WhyRefused;
        let code = match why {
            WhyRefused::QueueFull | WhyRefused::NoThread => Code::QueueFull,
            WhyRefused::Stopped => Code::PoolStopped,
        };
        Self::new(code, why.to_string())
    }
}

impl From<JsonError> for EngineError {
    fn from(error: JsonError) -> Self {
        Self::of(&error)
    }
}

impl From<search::error::SearchError> for EngineError {
    fn from(error: search::error::SearchError) -> Self {
        Self::of(&error)
    }
}

impl From<docstore::patch::PatchError> for EngineError {
    fn from(error: docstore::patch::PatchError) -> Self {
        Self::of(&error)
    }
}

impl From<NameError> for EngineError {
    fn from(error: NameError) -> Self {
        Self::new(Code::InvalidName, error.to_string())
    }
}

impl From<IdError> for EngineError {
    fn from(error: IdError) -> Self {
        Self::new(Code::InvalidId, error.to_string())
    }
}
