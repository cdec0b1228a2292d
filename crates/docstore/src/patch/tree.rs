//! A document while a patch works on it: text where nothing was touched, opened containers where
//! something was.
//!
//! Values never share parts, so a change in one place shows in that place alone: what is copied is
//! either untouched text or written out as text of its own first. Start with [`Tree`].
#![deny(clippy::indexing_slicing)]

use super::container::{Container, Place};
use super::pointer::Index;
use super::text::{Kind, Span, Text};
use super::{PatchErrorKind as Fault, Pointer};

/// A value.
#[derive(Debug)]
pub(super) enum Node<'s> {
    /// As it is written somewhere.
    Written(Span<'s>),
    /// One that was opened, and perhaps changed.
    Opened(Box<Container<'s>>),
}

/// What a value's text measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// Its length.
    pub(super) bytes: usize,
    /// How many arrays and objects nest in it, itself included.
    pub(super) height: usize,
}

impl<'s> Node<'s> {
    /// The container that it is.
    fn open(&mut self) -> Result<&mut Container<'s>, Fault> {
        if let Self::Written(span) = self {
            let container = Container::open(*span).ok_or(Fault::NotAContainer)?;
            *self = Self::Opened(Box::new(container));
        }
        match self {
            Self::Opened(container) => Ok(container),
            Self::Written(_) => Err(Fault::NotAContainer),
        }
    }

    /// What its text measures. For text that is known; an opened one is added up.
    pub(super) fn extent(&self) -> Extent {
        match self {
            Self::Written(span) => Extent { bytes: span.bytes().len(), height: span.height() },
            Self::Opened(container) => container.extent(),
        }
    }

    /// Appends its text. Recursion is as deep as documents nest.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Written(span) => out.extend_from_slice(span.bytes()),
            Self::Opened(container) => container.write(out),
        }
    }
}

/// What is wrong, and at which step of the pointer: so many tokens of it belong to the place.
pub(super) type Step<T> = Result<T, (Fault, usize)>;

/// What to do about parents that are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// Refuse.
    Refuse,
    /// Make them, as objects.
    Make,
}

/// The document.
#[derive(Debug)]
pub(super) struct Tree<'s> {
    before: &'s [u8],
    root: Node<'s>,
    after: &'s [u8],
}

impl<'s> Tree<'s> {
    /// The document whose text this is.
    pub(super) fn new(text: &'s Text<'s>) -> Self {
        let (before, root, after) = text.parts();
        Self { before, root: Node::Written(root), after }
    }

    /// What its text measures.
    pub(super) fn extent(&self) -> Extent {
        let root = self.root.extent();
        Extent { bytes: self.before.len() + root.bytes + self.after.len(), ..root }
    }

    /// Appends its text.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.before);
        self.root.write(out);
        out.extend_from_slice(self.after);
    }

    /// The value at `path`.
    pub(super) fn get(&mut self, path: &'s Pointer) -> Step<&mut Node<'s>> {
        let tokens = path.token_slice();
        let Some((last, parents)) = tokens.split_last() else { return Ok(&mut self.root) };
        let container = self.descend(parents, Missing::Refuse)?;
        let place = place_of(container, last).map_err(|fault| (fault, tokens.len()))?;
        container.value_mut(place).ok_or((Fault::NotFound, tokens.len()))
    }

    /// Takes the value at `path` out.
    pub(super) fn remove(&mut self, path: &'s Pointer) -> Step<Node<'s>> {
        let tokens = path.token_slice();
        let Some((last, parents)) = tokens.split_last() else {
            return Err((Fault::RootRemoved, 0));
        };
        let container = self.descend(parents, Missing::Refuse)?;
        let place = place_of(container, last).map_err(|fault| (fault, tokens.len()))?;
        container.remove(place).ok_or((Fault::NotFound, tokens.len()))
    }

    /// Puts `value` at `path` as `how` says; the whole document is replaced when the path is the
    /// root and it may be.
    pub(super) fn put(&mut self, path: &'s Pointer, value: Node<'s>, how: Put) -> Step<()> {
        let tokens = path.token_slice();
        let Some((last, parents)) = tokens.split_last() else {
            if how == Put::Insert {
                return Err((Fault::Exists, 0));
            }
            self.root = value;
            return Ok(());
        };
        let missing = if how == Put::Set { Missing::Make } else { Missing::Refuse };
        let container = self.descend(parents, missing)?;
        let done = match container.kind() {
            Kind::Object => put_member(container, last, value, how),
            Kind::Array => put_element(container, last, value, how),
        };
        done.map_err(|fault| (fault, tokens.len()))
    }

    /// The container that `parents` lead to.
    fn descend(&mut self, parents: &'s [Box<str>], missing: Missing) -> Step<&mut Container<'s>> {
        let mut node = &mut self.root;
        for (depth, token) in parents.iter().enumerate() {
            let container = node.open().map_err(|fault| (fault, depth))?;
            let at = |fault| (fault, depth + 1);
            let place = match (container.find(token).map_err(at)?, missing) {
                (Some(place), _) => Some(place),
                (None, Missing::Make) => make(container, token).map_err(at)?,
                (None, Missing::Refuse) => None,
            };
            let place = place.ok_or(at(absent(container, token)))?;
            node = container.value_mut(place).ok_or(at(Fault::NotFound))?;
        }
        node.open().map_err(|fault| (fault, parents.len()))
    }
}

/// How a value is put in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Put {
    /// Whatever is there, make it this value; make missing parents.
    Set,
    /// Between elements, or where there is no member.
    Insert,
    /// Between elements, or as a member whether or not it is there.
    Add,
    /// Where there is a value.
    Replace,
}

fn put_member<'s>(
    object: &mut Container<'s>,
    name: &'s str,
    value: Node<'s>,
    how: Put,
) -> Result<(), Fault> {
    let place = object.find(name)?;
    match (place.and_then(|place| object.value_mut(place)), how) {
        (Some(_), Put::Insert) => return Err(Fault::Exists),
        (Some(there), Put::Set | Put::Add | Put::Replace) => *there = value,
        (None, Put::Replace) => return Err(Fault::NotFound),
        (None, Put::Set | Put::Insert | Put::Add) => {
            object.push_member(name, value);
        }
    }
    Ok(())
}

fn put_element<'s>(
    array: &mut Container<'s>,
    token: &str,
    value: Node<'s>,
    how: Put,
) -> Result<(), Fault> {
    let index = Index::parse(token)?;
    let there = match how {
        Put::Insert | Put::Add => None,
        Put::Set | Put::Replace => array.find(token)?,
    };
    match there.and_then(|place| array.value_mut(place)) {
        Some(there) => *there = value,
        None if how == Put::Replace => return Err(absent(array, token)),
        None => {
            array.insert_element(index, value)?;
        }
    }
    Ok(())
}

fn place_of(container: &mut Container<'_>, token: &str) -> Result<Place, Fault> {
    container.find(token)?.ok_or_else(|| absent(container, token))
}

/// What is wrong when `token` names no entry: in an array more can be said.
fn absent(container: &Container<'_>, token: &str) -> Fault {
    let index = Index::parse(token);
    match (container.kind(), index) {
        (Kind::Array, Ok(Index::At(_))) => Fault::PastTheEnd { len: container.len() },
        (Kind::Array, Ok(Index::End) | Err(_)) | (Kind::Object, _) => Fault::NotFound,
    }
}

/// Adds an empty object under `token`.
fn make<'s>(container: &mut Container<'s>, token: &'s str) -> Result<Option<Place>, Fault> {
    let object = Node::Opened(Box::new(Container::empty_object()));
    match container.kind() {
        Kind::Object => Ok(container.push_member(token, object)),
        Kind::Array => container.insert_element(Index::parse(token)?, object),
    }
}
