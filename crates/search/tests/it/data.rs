//! Vectors for tests: made from a seed, and real ones.

use std::path::Path;

use base::rng::Rng;
use search::vector::Element;

/// Rows and queries of one distribution.
pub(crate) struct Data {
    pub(crate) dims: usize,
    pub(crate) element: Element,
    pub(crate) rows: Vec<u8>,
    pub(crate) queries: Vec<Vec<f32>>,
}

fn gaussian(rng: &mut Rng) -> f32 {
    (0..12).map(|_| rng.below(1 << 24) as f32 / 16_777_216.0).sum::<f32>() - 6.0
}

/// Rows in clusters of unequal size and width, some overlapping, as embeddings are. Elements are
/// integers of at most 127, so that every kind of element can keep them.
pub(crate) fn clustered(dims: usize, rows: usize, queries: usize, seed: u64) -> Data {
    let mut rng = Rng::new(seed);
    let centres: Vec<Vec<f32>> =
        (0..40).map(|_| (0..dims).map(|_| gaussian(&mut rng) * 14.0).collect()).collect();
    // Noise has few directions of its own: that is what makes neighbours in many dimensions.
    let directions: Vec<Vec<f32>> =
        (0..24).map(|_| (0..dims).map(|_| gaussian(&mut rng) * 3.0).collect()).collect();
    let mut vector = || {
        let cluster = rng.index(40).min(rng.index(40));
        let mut vector = centres[cluster].clone();
        for direction in &directions {
            let along = gaussian(&mut rng);
            for (x, d) in vector.iter_mut().zip(direction) {
                *x += along * d;
            }
        }
        for x in &mut vector {
            *x = (*x + gaussian(&mut rng)).round().clamp(-127.0, 127.0);
        }
        vector
    };
    let rows = (0..rows).flat_map(|_| vector()).flat_map(f32::to_le_bytes).collect();
    let queries = (0..queries).map(|_| vector()).collect();
    Data { dims, element: Element::F32, rows, queries }
}

impl Data {
    /// The same vectors kept as other elements.
    pub(crate) fn kept_as(&self, element: Element) -> Data {
        let floats = floats(&self.rows);
        let rows = match element {
            Element::F32 => self.rows.clone(),
            Element::F16 => floats.iter().flat_map(|x| half_of_integer(*x).to_le_bytes()).collect(),
            #[expect(clippy::cast_possible_truncation, reason = "integers of at most 127")]
            Element::I8 => floats.iter().flat_map(|x| (*x as i8).to_le_bytes()).collect(),
        };
        Data { dims: self.dims, element, rows, queries: self.queries.clone() }
    }
}

/// The binary16 of an integer of at most 127.
fn half_of_integer(x: f32) -> u16 {
    let bits = x.to_bits();
    let sign = (bits >> 16) & 0x8000;
    let magnitude = if x == 0.0 { 0 } else { ((bits & 0x7fff_ffff) >> 13) - (112 << 10) };
    u16::try_from(sign | magnitude).expect("sixteen bits")
}

pub(crate) fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

/// Sentence embeddings with the exact neighbours of each query, nearest first.
pub(crate) struct Sentences {
    pub(crate) data: Data,
    pub(crate) neighbours: Vec<Vec<u32>>,
}

/// The real vectors, from `shared/data/sentences-384` in the directory that the checkout is in, where
/// the project's machines have it. `None`, and a line that says so, where there is none: these tests
/// then look at vectors of a seed alone.
#[expect(clippy::print_stdout, reason = "a test's note on what it leaves out")]
pub(crate) fn sentences() -> Option<Sentences> {
    let directory =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/sentences-384");
    let read = |name: &str| npy(&directory.join(name));
    let (Some(rows), Some(queries), Some(neighbours)) =
        (read("base_f16.npy"), read("query_f32.npy"), read("gt100.npy"))
    else {
        println!("no {}: real vectors are not looked at", directory.display());
        return None;
    };
    let dims = 384;
    let queries = floats(&queries).chunks_exact(dims).map(<[f32]>::to_vec).collect();
    let neighbours = neighbours
        .chunks_exact(400)
        .map(|row| {
            row.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
        })
        .collect();
    Some(Sentences { data: Data { dims, element: Element::F16, rows, queries }, neighbours })
}

/// What is in a `.npy` file behind its header.
#[expect(clippy::disallowed_methods, reason = "a test reads its data past the product's door")]
fn npy(path: &Path) -> Option<Vec<u8>> {
    let bytes = std::fs::read(path).ok()?;
    assert_eq!(&bytes[..6], b"\x93NUMPY", "{} is no .npy", path.display());
    let header = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    Some(bytes[10 + header..].to_vec())
}
