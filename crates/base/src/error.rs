//! Errors as every surface reports them: a frozen [`Code`] and its [`Category`].
//!
//! Each store has an error type of its own whose variants map to a code; code and category are
//! the contract, the text is not.

mod code;

pub use code::{Category, Code};
