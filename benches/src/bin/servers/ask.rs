//! What is asked of a server, and the protocols in which it is.

use std::io;

use base::rng::Rng;

/// Documents of a page.
pub(crate) const PAGE: u64 = 250;

/// One request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ask<'a> {
    /// Writes a document, whether there is one or not.
    Put(u64, &'a [u8]),
    /// Reads one.
    Get(u64),
    /// Deletes one.
    Delete(u64),
    /// Reads [`PAGE`] documents, beginning with this one.
    Page(u64),
}

/// A protocol, as one connection speaks it.
pub(crate) trait Wire {
    /// Appends a request.
    fn ask(&mut self, ask: Ask<'_>, out: &mut Vec<u8>) -> io::Result<()>;

    /// The length of the answer that `bytes` begins with; none when there is not all of it.
    ///
    /// # Errors
    /// When the answer is not the one that is wished for.
    fn answer(&mut self, bytes: &[u8]) -> io::Result<Option<usize>>;
}

/// Which requests a connection sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mix {
    /// Writes to documents that are there.
    Puts,
    /// Reads of documents that are there.
    Gets,
    /// Reads of pages of documents that are there: much work for a server and little to transfer it.
    Pages,
    /// Of ten requests four read, three write to documents that are there, two write new ones, and one
    /// deletes one of these.
    Mixed,
}

/// The requests of one connection.
#[derive(Debug)]
pub(crate) struct Plan {
    mix: Mix,
    /// Documents that are there from the beginning: ids from 0.
    loaded: u64,
    rng: Rng,
    document: Vec<u8>,
    /// Of its own new documents, the first that is there and the next to be made.
    own: (u64, u64),
}

impl Plan {
    /// Requests of a connection where so many documents are there, with documents of so many bytes. What
    /// it makes anew is its own: no other connection of the round has its number, and no round makes so
    /// many.
    pub(crate) fn new(mix: Mix, loaded: u64, bytes: usize, connection: u64, round: u64) -> Self {
        let first = ((round << 10 | connection) + 1) << 24;
        let rng = Rng::new(first);
        Self { mix, loaded, rng, document: document(bytes), own: (first, first) }
    }

    /// The next one.
    pub(crate) fn next(&mut self) -> Ask<'_> {
        let id = self.rng.below(self.loaded);
        let kind = match self.mix {
            Mix::Puts => 4,
            Mix::Gets => 0,
            Mix::Pages => return Ask::Page(id.min(self.loaded.saturating_sub(PAGE))),
            Mix::Mixed => self.rng.below(10),
        };
        match kind {
            0..=3 => Ask::Get(id),
            4..=6 => Ask::Put(id, &self.document),
            9 if self.own.0 < self.own.1 => {
                self.own.0 += 1;
                Ask::Delete(self.own.0 - 1)
            }
            _ => {
                self.own.1 += 1;
                Ask::Put(self.own.1 - 1, &self.document)
            }
        }
    }
}

/// A JSON document of so many bytes.
pub(crate) fn document(bytes: usize) -> Vec<u8> {
    let front = r#"{"name":"a document","count":12,"tags":["one","two"],"text":""#;
    let pad = bytes.saturating_sub(front.len() + 2);
    format!("{front}{}\"}}", "word ".chars().cycle().take(pad).collect::<String>()).into_bytes()
}
