//! Patches of JSON documents: `set`, `delete` and `insert`, and the operations of RFC 6902 (JSON
//! Patch), on the text itself.
//!
//! A patch changes the bytes that it names and no others. Numbers keep every digit, keys their
//! order and escapes, and whitespace stays, because nothing is ever turned into numbers, maps and
//! strings and back: the document is walked as text, containers on the way to a change are opened,
//! and the result is put together from pieces of the old text and of the patch. What is added is
//! written without whitespace of its own; what is removed takes the whitespace around it along,
//! except that before a closing bracket.
//!
//! # Invariants
//!
//! - All or nothing: [`Patch::apply`] never changes its argument.
//! - The result is a document that [`Document::parse`] accepts, with these bytes: pieces of valid
//!   text put together by the grammar, keys that are new to their object, nesting checked with
//!   every operation, and the length at the end.
//! - No input makes it slow out of proportion: a container is opened once, a large object is
//!   indexed once it is searched repeatedly, and what `copy` and `test` handle is limited by
//!   [`WORK_BYTES_MAX`].
//!
//! Start with [`Patch`]; then `tree.rs`, `container.rs` and `text.rs`, from the outside in.

mod container;
pub(crate) mod equal;
mod error;
mod key_index;
mod operation;
mod pointer;
pub(crate) mod text;
mod tree;

use std::cell::OnceCell;

use base::document::Document;
use base::limits::{DOCUMENT_BYTES_MAX, DOCUMENT_DEPTH_MAX};

pub use error::{PatchError, PatchErrorKind};
pub use operation::Operation;
pub use pointer::{POINTER_BYTES_MAX, Pointer};

use equal::equal;
use text::Text;
use tree::{Node, Put, Step, Tree};

/// Most operations in one patch.
pub const OPERATIONS_MAX: usize = 1000;
/// Most bytes that the values which one patch copies and tests may add up to.
pub const WORK_BYTES_MAX: usize = 4 * DOCUMENT_BYTES_MAX;

/// A list of operations, applied in order, all or none.
///
/// ```
/// use base::document::Document;
/// use docstore::patch::Patch;
///
/// let patch = Patch::parse(br#"[
///     {"op": "set", "path": "/price", "value": 12.50},
///     {"op": "insert", "path": "/tags/0", "value": "new"},
///     {"op": "remove", "path": "/draft"}
/// ]"#)?;
/// let before = Document::parse(br#"{ "price": 1e1, "tags": ["a"], "draft": true }"#)?;
/// let after = patch.apply(&before)?;
/// assert_eq!(after.as_bytes(), br#"{ "price": 12.50, "tags": ["new","a"] }"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    operations: Vec<Operation>,
}

impl Patch {
    /// Reads a patch as clients send it: a JSON array of objects with `op`, `path`, and `value` or
    /// `from`. Other members are ignored, as RFC 6902 says.
    ///
    /// # Errors
    /// What is wrong with the patch whatever it is applied to. The code is `InvalidPatch`, or
    /// `PayloadTooLarge` above 16 MiB or [`OPERATIONS_MAX`] operations.
    pub fn parse(bytes: &[u8]) -> Result<Self, PatchError> {
        operation::parse(bytes).map(|operations| Self { operations })
    }

    /// A patch of these operations.
    ///
    /// # Errors
    /// When there are more than [`OPERATIONS_MAX`].
    pub fn new(operations: Vec<Operation>) -> Result<Self, PatchError> {
        if operations.len() > OPERATIONS_MAX {
            return Err(PatchError::of_patch(PatchErrorKind::TooManyOperations));
        }
        Ok(Self { operations })
    }

    /// Its operations, in order.
    #[must_use]
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The document that this patch makes of `document`.
    ///
    /// Costs a pass over the containers on the way to each change, and a copy of the document.
    ///
    /// # Errors
    /// The first operation that does not fit, and where; then nothing of the patch is applied. The
    /// code is `ConditionFailed` when a `test` found another value, `PayloadTooLarge` when the
    /// result would be larger than a document may be or the patch copies and tests more than
    /// [`WORK_BYTES_MAX`], otherwise `InvalidPatch`.
    pub fn apply(&self, document: &Document) -> Result<Document, PatchError> {
        let text = Text::new(document.as_bytes());
        let texts: Vec<OnceCell<Text<'_>>> =
            self.operations.iter().map(|_| OnceCell::new()).collect();
        let mut work = Work { tree: Tree::new(&text), bytes_left: WORK_BYTES_MAX };
        for (number, (operation, text)) in self.operations.iter().zip(&texts).enumerate() {
            work.step(operation, text).map_err(|Refusal { kind, pointer, tokens }| PatchError {
                kind,
                operation: Some(number),
                path: Some(pointer.prefix(tokens).into()),
            })?;
        }
        work.finish()
    }
}

/// Why an operation is refused, at which pointer, and how many tokens into it.
struct Refusal<'s> {
    kind: PatchErrorKind,
    pointer: &'s Pointer,
    tokens: usize,
}

/// A document being patched.
struct Work<'s> {
    tree: Tree<'s>,
    /// What `copy` and `test` may still handle.
    bytes_left: usize,
}

impl<'s> Work<'s> {
    /// Applies one operation. `text` is room for the text of the value that it adds.
    fn step(
        &mut self,
        operation: &'s Operation,
        text: &'s OnceCell<Text<'s>>,
    ) -> Result<(), Refusal<'s>> {
        let given = |value: &'s Document| {
            let text = text.get_or_init(|| Text::new(value.as_bytes()));
            Node::Written(text.parts().1)
        };
        let path = operation.path();
        let done = match operation {
            Operation::Set { value, .. } => self.put(path, given(value), Put::Set),
            Operation::Insert { value, .. } => self.put(path, given(value), Put::Insert),
            Operation::Add { value, .. } => self.put(path, given(value), Put::Add),
            Operation::Replace { value, .. } => self.put(path, given(value), Put::Replace),
            Operation::Delete { .. } => self.tree.remove(path).map(drop),
            Operation::Test { value, .. } => self.test(path, value),
            Operation::Copy { from, .. } => {
                let value = self.copied(from, text).map_err(refusal(from))?;
                self.put(path, value, Put::Add)
            }
            Operation::Move { from, .. } => {
                let Some(value) = self.taken(from, path).map_err(refusal(from))? else {
                    return Ok(());
                };
                self.put(path, value, Put::Add)
            }
        };
        done.map_err(refusal(path))
    }

    fn put(&mut self, path: &'s Pointer, value: Node<'s>, how: Put) -> Step<()> {
        let depth = path.token_slice().len();
        if depth + value.extent().height > DOCUMENT_DEPTH_MAX {
            return Err((PatchErrorKind::TooDeep, depth));
        }
        self.tree.put(path, value, how)
    }

    /// The value at `from`, taken out to go to `path`; none when it is there already.
    fn taken(&mut self, from: &'s Pointer, path: &'s Pointer) -> Step<Option<Node<'s>>> {
        let (outer, inner) = (from.token_slice(), path.token_slice());
        if outer == inner {
            return self.tree.get(from).map(|_| None);
        }
        if inner.starts_with(outer) {
            return Err((PatchErrorKind::IntoItself, outer.len()));
        }
        self.tree.remove(from).map(Some)
    }

    /// A copy of the value at `from`. A value that was opened is written out into `text` first.
    fn copied(&mut self, from: &'s Pointer, text: &'s OnceCell<Text<'s>>) -> Step<Node<'s>> {
        let node = self.tree.get(from)?;
        charge(&mut self.bytes_left, node, from)?;
        Ok(Node::Written(match node {
            Node::Written(span) => *span,
            Node::Opened(_) => text.get_or_init(|| Text::new(written(node))).parts().1,
        }))
    }

    fn test(&mut self, path: &'s Pointer, value: &Document) -> Step<()> {
        let node = self.tree.get(path)?;
        charge(&mut self.bytes_left, node, path)?;
        let wanted = Text::new(value.as_bytes());
        let is_equal = match node {
            Node::Written(span) => equal(*span, wanted.parts().1),
            Node::Opened(_) => {
                let there = Text::new(written(node));
                equal(there.parts().1, wanted.parts().1)
            }
        };
        if is_equal { Ok(()) } else { Err((PatchErrorKind::TestFailed, path.token_slice().len())) }
    }

    fn finish(self) -> Result<Document, PatchError> {
        let bytes = self.tree.extent().bytes;
        if bytes > DOCUMENT_BYTES_MAX {
            return Err(PatchError::of_patch(PatchErrorKind::ResultTooLarge { bytes }));
        }
        let mut text = Vec::with_capacity(bytes);
        self.tree.write(&mut text);
        debug_assert_eq!(text.len(), bytes, "the extent is the length of what is written");
        Document::parse(&text).map_err(|e| PatchError::of_patch(PatchErrorKind::Json(e)))
    }
}

fn refusal<'s>(pointer: &'s Pointer) -> impl Fn((PatchErrorKind, usize)) -> Refusal<'s> {
    move |(kind, tokens)| Refusal { kind, pointer, tokens }
}

/// Takes the length of `node` off what may still be handled.
fn charge(bytes_left: &mut usize, node: &Node<'_>, path: &Pointer) -> Step<()> {
    match bytes_left.checked_sub(node.extent().bytes) {
        Some(left) => {
            *bytes_left = left;
            Ok(())
        }
        None => Err((PatchErrorKind::TooMuchWork, path.token_slice().len())),
    }
}

fn written(node: &Node<'_>) -> Vec<u8> {
    let mut text = Vec::with_capacity(node.extent().bytes);
    node.write(&mut text);
    text
}
