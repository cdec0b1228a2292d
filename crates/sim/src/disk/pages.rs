//! The bytes of one file, in pages that are shared until written.
//!
//! The enumerator builds a file per crash state, so cloning must cost a few pointers and hashing
//! must cost only what changed: pages are reference counted and remember their hash.
//!
//! Invariants: `slots` covers exactly `len` bytes rounded up to pages; bytes of the last page past
//! `len` are zero. A hole and a page of written zeros read the same and hash the same, but only
//! the second takes room on the volume.

use std::sync::{Arc, OnceLock};

/// Bytes per page, and the unit in which room on the volume is counted.
pub(crate) const PAGE: usize = 4096;

/// `PAGE` for offsets.
const PAGE_U64: u64 = PAGE as u64;

#[derive(Debug, Clone)]
enum Slot {
    Hole,
    Zero,
    Data(Arc<Page>),
}

#[derive(Debug)]
struct Page {
    bytes: [u8; PAGE],
    hash: OnceLock<u64>,
}

impl Clone for Page {
    fn clone(&self) -> Self {
        Self { bytes: self.bytes, hash: OnceLock::new() }
    }
}

impl Page {
    fn zero() -> Self {
        Self { bytes: [0; PAGE], hash: OnceLock::new() }
    }

    /// The hash of the content; 0 exactly for zeros, so that a zero page equals a hole.
    fn hash(&self) -> u64 {
        *self.hash.get_or_init(|| {
            let (words, _) = self.bytes.as_chunks::<8>();
            if words.iter().all(|word| *word == [0; 8]) {
                return 0;
            }
            words.iter().fold(1, |hash, word| mix(hash, u64::from_le_bytes(*word))).max(1)
        })
    }
}

/// Folds `word` into `hash`: multiply, then bring the high bits down.
pub(crate) const fn mix(hash: u64, word: u64) -> u64 {
    let product = (hash ^ word).wrapping_mul(0x9FB2_1C65_1E98_DF25);
    (product ^ (product >> 32)).wrapping_add(0x2545_F491_4F6C_DD1D)
}

/// Folds bytes into `hash`, length included.
pub(crate) fn mix_bytes(hash: u64, bytes: &[u8]) -> u64 {
    let mut hash = mix(hash, bytes.len() as u64);
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        for (to, from) in word.iter_mut().zip(chunk) {
            *to = *from;
        }
        hash = mix(hash, u64::from_le_bytes(word));
    }
    hash
}

/// Splits a byte offset into a page number and an offset in that page.
fn place(offset: u64) -> (usize, usize) {
    let page = usize::try_from(offset / PAGE_U64).unwrap_or(usize::MAX);
    let within = usize::try_from(offset % PAGE_U64).unwrap_or(0);
    (page, within)
}

/// How many pages `len` bytes take.
fn pages_of(len: u64) -> usize {
    usize::try_from(len.div_ceil(PAGE_U64)).unwrap_or(usize::MAX)
}

/// The bytes of one file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pages {
    len: u64,
    slots: Vec<Slot>,
}

impl Pages {
    /// Length in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Reads what there is from `offset`; returns how many bytes.
    pub(crate) fn read(&self, offset: u64, buf: &mut [u8]) -> usize {
        let there = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = there.min(buf.len());
        let mut done = 0;
        while done < wanted {
            let (page, within) = place(offset + done as u64);
            let n = (PAGE - within).min(wanted - done);
            let to = &mut buf[done..done + n];
            match self.slots.get(page) {
                Some(Slot::Data(data)) => to.copy_from_slice(&data.bytes[within..within + n]),
                Some(Slot::Hole | Slot::Zero) | None => to.fill(0),
            }
            done += n;
        }
        done
    }

    /// Writes `bytes` at `offset`, extending the file with a hole when it starts past the end.
    pub(crate) fn write(&mut self, offset: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.grow(offset + bytes.len() as u64);
        let mut done = 0;
        while done < bytes.len() {
            let (page, within) = place(offset + done as u64);
            let n = (PAGE - within).min(bytes.len() - done);
            self.write_page(page, within, &bytes[done..done + n]);
            done += n;
        }
    }

    fn write_page(&mut self, page: usize, within: usize, bytes: &[u8]) {
        let slot = &mut self.slots[page];
        let zeros = bytes.iter().all(|byte| *byte == 0);
        match slot {
            Slot::Hole | Slot::Zero if zeros => *slot = Slot::Zero,
            Slot::Data(_) if zeros && bytes.len() == PAGE => *slot = Slot::Zero,
            Slot::Hole | Slot::Zero => {
                let mut fresh = Page::zero();
                fresh.bytes[within..within + bytes.len()].copy_from_slice(bytes);
                *slot = Slot::Data(Arc::new(fresh));
            }
            Slot::Data(data) => {
                let data = Arc::make_mut(data);
                data.hash = OnceLock::new();
                data.bytes[within..within + bytes.len()].copy_from_slice(bytes);
            }
        }
    }

    /// Extends to at least `len` bytes with a hole.
    pub(crate) fn grow(&mut self, len: u64) {
        if len > self.len {
            self.len = len;
            self.slots.resize(pages_of(len), Slot::Hole);
        }
    }

    /// Cuts or extends to `len` bytes.
    pub(crate) fn set_len(&mut self, len: u64) {
        if len >= self.len {
            return self.grow(len);
        }
        self.len = len;
        self.slots.truncate(pages_of(len));
        let (page, within) = place(len);
        if within > 0 {
            self.write_page(page, within, &[0; PAGE][within..]);
        }
    }

    /// Pages that take room on the volume.
    pub(crate) fn allocated(&self) -> u64 {
        self.slots.iter().filter(|slot| !matches!(slot, Slot::Hole)).count() as u64
    }

    /// How many bytes from `offset`, at most `len`, can be written with `pages_free` new pages.
    pub(crate) fn fits(&self, offset: u64, len: usize, pages_free: u64) -> usize {
        let mut free = pages_free;
        let mut done = 0;
        while done < len {
            let (page, within) = place(offset + done as u64);
            if matches!(self.slots.get(page), None | Some(Slot::Hole)) {
                if free == 0 {
                    break;
                }
                free -= 1;
            }
            done += (PAGE - within).min(len - done);
        }
        done
    }

    /// A hash of length and content.
    pub(crate) fn hash(&self) -> u64 {
        let mut hash = mix(7, self.len);
        for (index, slot) in self.slots.iter().enumerate() {
            if let Slot::Data(page) = slot {
                let content = page.hash();
                if content != 0 {
                    hash = mix(mix(hash, index as u64), content);
                }
            }
        }
        hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(pages: &Pages) -> Vec<u8> {
        let mut buf = vec![0xEE; usize::try_from(pages.len()).unwrap()];
        assert_eq!(pages.read(0, &mut buf), buf.len());
        buf
    }

    #[test]
    fn pages_behave_like_a_vector_of_bytes() {
        let mut rng = base::rng::Rng::new(11);
        let mut pages = Pages::default();
        let mut model: Vec<u8> = Vec::new();
        for _ in 0..2000 {
            let at = rng.index(3 * PAGE);
            if rng.chance(200) {
                pages.set_len(at as u64);
                model.resize(at, 0);
            } else {
                let fill = u8::try_from(rng.below(3)).unwrap();
                let data = vec![fill; 1 + rng.index(2 * PAGE)];
                pages.write(at as u64, &data);
                if model.len() < at + data.len() {
                    model.resize(at + data.len(), 0);
                }
                model[at..at + data.len()].copy_from_slice(&data);
            }
            assert_eq!(bytes(&pages), model);
        }
    }

    #[test]
    fn equal_content_hashes_equal_however_it_came_about() {
        let mut long = Pages::default();
        long.write(0, &[5; 6000]);
        long.write(100, &[0; 5900]);
        let mut short = Pages::default();
        short.write(0, &[5; 100]);
        short.set_len(6000);
        assert_eq!(long.hash(), short.hash());
        short.write(5999, &[1]);
        assert_ne!(long.hash(), short.hash());
    }

    #[test]
    fn a_clone_is_not_changed_by_writes_to_the_original() {
        let mut original = Pages::default();
        original.write(0, b"before");
        let clone = original.clone();
        let hash = clone.hash();
        original.write(0, b"after!");
        assert_eq!(bytes(&clone), b"before");
        assert_eq!(clone.hash(), hash);
        assert_ne!(original.hash(), hash);
    }
}
