//! Errors as every surface reports them: a frozen [`Code`] and its [`Category`].
//!
//! Each store has an error type of its own which implements [`Coded`]; code and category are the
//! contract, the text is not.

mod code;
mod coded;
pub mod tracker;

pub use code::{Category, Code};
pub use coded::Coded;
