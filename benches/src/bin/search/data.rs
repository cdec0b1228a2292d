//! What the bench is made of: vectors of real sentences, words as skewed as those of a language, attributes.
//!
//! The vectors are those of `shared/data/sentences-384` in the directory that the checkout is in. There are 85,000; what
//! lies beyond is made of them: a row again, moved by four tenths of its length in a random direction, and brought back to
//! length one. Machines without them get vectors around a thousand random centres, and the report says so.

use std::io;
use std::path::Path;

use base::rng::Rng;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Elements of a vector.
pub(crate) const DIMS: usize = 384;
/// Different words of texts.
const WORDS: f64 = 50_000.0;
/// How far a row is moved that is made of another.
const MOVED: f32 = 0.4;
/// Rows are numbered by thousandths of a part of ten: a filter below 10,000 lets every row through.
pub(crate) const PARTS: u64 = 10_000;

/// Vectors of rows and of queries.
pub(crate) struct Vectors {
    base: Vec<Vec<f32>>,
    pub(crate) queries: Vec<Vec<f32>>,
    /// Where they are from.
    pub(crate) source: &'static str,
}

impl Vectors {
    /// Those that there are, no more than `rows` of them.
    pub(crate) fn load(rows: u64) -> io::Result<Self> {
        let directory =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/sentences-384");
        let (Some(base), Some(queries)) =
            (npy(&directory.join("base_f16.npy")), npy(&directory.join("query_f32.npy")))
        else {
            return Ok(Self::random(rows));
        };
        let base = base.chunks_exact(2 * DIMS).take(usize::try_from(rows).unwrap_or(usize::MAX));
        let base =
            base.map(|row| row.chunks_exact(2).map(|half| from_half(half[0], half[1])).collect());
        let float = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        let queries =
            queries.chunks_exact(4 * DIMS).map(|row| row.chunks_exact(4).map(float).collect());
        Ok(Self { base: base.collect(), queries: queries.collect(), source: "sentences" })
    }

    fn random(rows: u64) -> Self {
        let mut rng = Rng::new(3);
        let centres: Vec<Vec<f32>> = (0..1000).map(|_| direction(&mut rng)).collect();
        let mut some = |count: u64| -> Vec<Vec<f32>> {
            (0..count).map(|_| moved(&centres[rng.index(centres.len())], 1.0, &mut rng)).collect()
        };
        Self { base: some(rows.min(20_000)), queries: some(500), source: "random" }
    }

    /// The vector of a row.
    pub(crate) fn row(&self, number: u64) -> Vec<f32> {
        let count = self.base.len() as u64;
        let base = &self.base[usize::try_from(number % count).unwrap_or_default()];
        if number < count {
            return base.clone();
        }
        moved(base, MOVED, &mut Rng::new(number))
    }
}

#[expect(clippy::disallowed_methods, reason = "the data of the bench, not docdb's")]
fn npy(path: &Path) -> Option<Vec<u8>> {
    let bytes = std::fs::read(path).ok()?;
    let header = usize::from(u16::from_le_bytes([*bytes.get(8)?, *bytes.get(9)?]));
    bytes.get(10 + header..).map(<[u8]>::to_vec)
}

/// A float of 16 bits.
fn from_half(low: u8, high: u8) -> f32 {
    let half = u32::from(u16::from_le_bytes([low, high]));
    // Its exponent is counted from 15, that of 32 bits from 127.
    let number = f32::from_bits((half & 0x7FFF) << 13) * f32::from_bits((127 + 112) << 23);
    if half & 0x8000 == 0 { number } else { -number }
}

/// A number between -1 and 1.
fn signed(rng: &mut Rng) -> f32 {
    rng.below(2_000_001) as f32 / 1e6 - 1.0
}

/// A random vector of length one.
fn direction(rng: &mut Rng) -> Vec<f32> {
    let mut vector: Vec<f32> = (0..DIMS).map(|_| signed(rng) + signed(rng) + signed(rng)).collect();
    normalise(&mut vector);
    vector
}

fn moved(from: &[f32], by: f32, rng: &mut Rng) -> Vec<f32> {
    let mut vector = direction(rng);
    vector.iter_mut().zip(from).for_each(|(x, from)| *x = from + by * *x);
    normalise(&mut vector);
    vector
}

fn normalise(vector: &mut [f32]) {
    let length = dot(vector, vector).sqrt();
    vector.iter_mut().for_each(|x| *x /= length);
}

pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// A vector as documents have it: the shortest way that is exact.
pub(crate) fn encoded(vector: &[f32]) -> String {
    let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
    STANDARD.encode(bytes)
}

/// A word: the one of rank n is about n times as rare as the commonest.
pub(crate) fn word(rng: &mut Rng) -> String {
    let part = rng.below(1 << 53) as f64 / (1_u64 << 53) as f64;
    format!("w{:.0}", (part * WORDS.ln()).exp().floor())
}

/// A text of 8 to 23 words.
pub(crate) fn text(rng: &mut Rng) -> String {
    let words: Vec<String> = (0..8 + rng.below(16)).map(|_| word(rng)).collect();
    words.join(" ")
}

/// What documents have besides vectors, as the members of an object.
pub(crate) fn attributes(rng: &mut Rng) -> String {
    format!(
        r#""title":"{}","draw":{},"country":"c{}","price":{},"day":{}"#,
        text(rng),
        rng.below(PARTS),
        rng.below(97),
        rng.below(100_000) as f64 / 100.0,
        rng.below(3650),
    )
}
