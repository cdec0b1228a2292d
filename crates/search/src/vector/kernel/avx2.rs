//! The loops for AVX2 with FMA and F16C (Haswell, Zen and later).
//!
//! Loads are the only unsafe operations, in bounds by the lengths that [`super::Kernels`] asserted.
//! What does not fill a register is left to [`scalar`] code, which takes the same sums.
#![expect(unsafe_code, reason = "loads of registers by address")]

use std::arch::x86_64::*;

use super::{BLOCK, Bound, Dot, GROUP, LANES, PANEL, STRIP, scalar};

/// Code bytes after which 16-bit sums are widened: 256 * 255 fit.
const BYTES_MAX: usize = 256;

/// Loads 32 bytes from `at`.
///
/// # Safety
/// 32 bytes from `at` must be in bounds.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load(at: *const u8) -> __m256i {
    // SAFETY: the caller's promise.
    unsafe { _mm256_loadu_si256(at.cast()) }
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn scan_block(
    block: &[u8],
    code_bytes: usize,
    lut: &[u8],
    bound: &Bound,
    sums: &mut [u32; BLOCK],
) -> u64 {
    sums.fill(0);
    let mut from = 0;
    while from < code_bytes {
        let to = code_bytes.min(from + BYTES_MAX);
        for half in 0..2 {
            scan_half(&block[from * BLOCK..to * BLOCK], &lut[from * 32..to * 32], half, sums);
        }
        from = to;
    }
    within(&block[code_bytes * BLOCK..], bound, sums)
}

/// Adds the sums of rows `16 * half ..` and `32 + 16 * half ..`, sixteen of each.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn scan_half(codes: &[u8], tables: &[u8], half: usize, sums: &mut [u32; BLOCK]) {
    let low = _mm256_set1_epi8(15);
    let (mut all, mut odd) = (_mm256_setzero_si256(), _mm256_setzero_si256());
    for (codes, tables) in codes.chunks_exact(BLOCK).zip(tables.chunks_exact(32)) {
        // SAFETY: a chunk of 64 bytes has two halves of 32; a chunk of tables two of 16.
        let (codes, first, second) = unsafe {
            (
                load(codes.as_ptr().add(half * 32)),
                _mm_loadu_si128(tables.as_ptr().cast()),
                _mm_loadu_si128(tables.as_ptr().add(16).cast()),
            )
        };
        let lower = _mm256_and_si256(codes, low);
        let upper = _mm256_and_si256(_mm256_srli_epi16::<4>(codes), low);
        let bytes = _mm256_add_epi8(
            _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(first), lower),
            _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(second), upper),
        );
        all = _mm256_add_epi16(all, bytes);
        odd = _mm256_add_epi16(odd, _mm256_srli_epi16::<8>(bytes));
    }
    let even = _mm256_sub_epi16(all, _mm256_slli_epi16::<8>(odd));
    for (narrow, first) in [(even, 16 * half), (odd, BLOCK / 2 + 16 * half)] {
        let mut words = [0_u16; 16];
        // SAFETY: sixteen words.
        unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), narrow) };
        for (sum, word) in sums[first..first + 16].iter_mut().zip(words) {
            *sum += u32::from(word);
        }
    }
}

/// Which rows stay within the bound.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn within(factors: &[u8], bound: &Bound, sums: &[u32; BLOCK]) -> u64 {
    let (add, rescale) = factors.split_at(BLOCK * 4);
    let base = _mm256_set1_ps(bound.base);
    let step = _mm256_set1_ps(bound.step);
    let limit = _mm256_set1_ps(bound.limit);
    let mut mask = 0;
    for (index, ((add, rescale), sums)) in
        add.chunks_exact(32).zip(rescale.chunks_exact(32)).zip(sums.chunks_exact(8)).enumerate()
    {
        // SAFETY: each chunk has 32 bytes.
        let (add, rescale, sum) = unsafe {
            (
                _mm256_loadu_ps(add.as_ptr().cast()),
                _mm256_loadu_ps(rescale.as_ptr().cast()),
                load(sums.as_ptr().cast()),
            )
        };
        let inner = _mm256_fnmadd_ps(step, _mm256_cvtepi32_ps(sum), base);
        let lower = _mm256_fmadd_ps(rescale, inner, add);
        let kept = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_LE_OQ>(lower, limit));
        mask |= u64::from(kept.cast_unsigned()) << (index * 8);
    }
    mask
}

/// A number of bits to shift by, less than 8.
#[inline]
#[target_feature(enable = "avx2")]
fn shift_by(bits: usize) -> __m128i {
    _mm_cvtsi32_si128(i32::try_from(bits).expect("less than 8"))
}

/// The sum of eight integers.
#[inline]
#[target_feature(enable = "avx2")]
fn sum_i32(sums: __m256i) -> i32 {
    let mut lanes = [0_i32; 8];
    // SAFETY: eight integers.
    unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), sums) };
    lanes.iter().sum()
}

#[target_feature(enable = "avx2")]
pub(super) fn plane_dot<const BITS: usize>(plane: &[u8], query: &[i8]) -> i32 {
    let mask = _mm256_set1_epi8(match BITS {
        1 => 1,
        2 => 3,
        _ => 15,
    });
    let ones = _mm256_set1_epi16(1);
    let mut sums = _mm256_setzero_si256();
    let whole = plane.len() / 32 * 32;
    for at in (0..whole).step_by(32) {
        // SAFETY: 32 bytes from `at` are before `whole`.
        let codes = unsafe { load(plane.as_ptr().add(at)) };
        for part in 0..8 / BITS {
            let shifted = _mm256_srl_epi16(codes, shift_by(part * BITS));
            let values = _mm256_and_si256(shifted, mask);
            // SAFETY: `query` goes on after its last code, as the caller asserted.
            let q = unsafe { load(query.as_ptr().add(part * plane.len() + at).cast()) };
            // Pairs are at most 2 * 15 * 128, far from where 16 bits saturate.
            let pairs = _mm256_maddubs_epi16(values, q);
            sums = _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, ones));
        }
    }
    let mut sum = sum_i32(sums);
    let mask = (1_u8 << BITS) - 1;
    for part in 0..8 / BITS {
        let query = &query[part * plane.len() + whole..];
        for (&codes, &q) in plane[whole..].iter().zip(query) {
            sum += i32::from((codes >> (part * BITS)) & mask) * i32::from(q);
        }
    }
    sum
}

#[target_feature(enable = "avx2")]
pub(super) fn byte_dots(groups: &[u8], query: &[i8], out: &mut [i32]) {
    let group_bytes = query.len() * GROUP;
    for (group, out) in groups.chunks_exact(group_bytes).zip(out.chunks_exact_mut(8 * 2)) {
        let mut sums = [_mm256_setzero_si256(); 2];
        for (codes, four) in group.chunks_exact(GROUP * 4).zip(query.chunks_exact(4)) {
            // Widened to 16 bits: the sum of two products of bytes would saturate.
            let q =
                [i16::from(four[0]), i16::from(four[1]), i16::from(four[2]), i16::from(four[3])];
            let q = _mm256_setr_epi16(
                q[0], q[1], q[2], q[3], q[0], q[1], q[2], q[3], q[0], q[1], q[2], q[3], q[0], q[1],
                q[2], q[3],
            );
            for (half, sum) in sums.iter_mut().enumerate() {
                // SAFETY: a chunk of 64 bytes has four parts of 16.
                let (first, second) = unsafe {
                    (
                        _mm_loadu_si128(codes.as_ptr().add(half * 32).cast()),
                        _mm_loadu_si128(codes.as_ptr().add(half * 32 + 16).cast()),
                    )
                };
                let first = _mm256_madd_epi16(_mm256_cvtepu8_epi16(first), q);
                let second = _mm256_madd_epi16(_mm256_cvtepu8_epi16(second), q);
                // Adding neighbours leaves the centroids as 0 1 4 5 | 2 3 6 7.
                *sum = _mm256_add_epi32(*sum, _mm256_hadd_epi32(first, second));
            }
        }
        for (sum, out) in sums.into_iter().zip(out.chunks_exact_mut(8)) {
            let ordered = _mm256_permute4x64_epi64::<0b11_01_10_00>(sum);
            // SAFETY: eight integers.
            unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), ordered) };
        }
    }
}

/// Sixteen partial sums.
#[derive(Clone, Copy)]
struct Sums([__m256; 2]);

impl Sums {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn zero() -> Self {
        Self([_mm256_setzero_ps(); 2])
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn add(&mut self, a: [__m256; 2], b: [__m256; 2]) {
        self.0 = [_mm256_fmadd_ps(a[0], b[0], self.0[0]), _mm256_fmadd_ps(a[1], b[1], self.0[1])];
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn lanes(&self) -> [f32; LANES] {
        let mut lanes = [0.0; LANES];
        // SAFETY: twice eight floats.
        unsafe {
            _mm256_storeu_ps(lanes.as_mut_ptr(), self.0[0]);
            _mm256_storeu_ps(lanes.as_mut_ptr().add(8), self.0[1]);
        }
        lanes
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn minus(a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
    [_mm256_sub_ps(a[0], b[0]), _mm256_sub_ps(a[1], b[1])]
}

/// Sixteen floats from `at`.
///
/// # Safety
/// 64 bytes from `at` must be in bounds.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load_f32(at: *const u8) -> [__m256; 2] {
    // SAFETY: the caller's promise.
    unsafe { [_mm256_loadu_ps(at.cast()), _mm256_loadu_ps(at.add(32).cast())] }
}

/// Sixteen binary16 from `at`, as floats.
///
/// # Safety
/// 32 bytes from `at` must be in bounds.
#[inline]
#[target_feature(enable = "avx2,f16c")]
unsafe fn load_f16(at: *const u8) -> [__m256; 2] {
    // SAFETY: the caller's promise.
    let (low, high) = unsafe { (_mm_loadu_si128(at.cast()), _mm_loadu_si128(at.add(16).cast())) };
    [_mm256_cvtph_ps(low), _mm256_cvtph_ps(high)]
}

/// Sixteen bytes from `at`, as floats.
///
/// # Safety
/// 16 bytes from `at` must be in bounds.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load_i8(at: *const u8) -> [__m256; 2] {
    // SAFETY: the caller's promise.
    let bytes = unsafe { _mm_loadu_si128(at.cast()) };
    let (low, high) =
        (_mm256_cvtepi8_epi32(bytes), _mm256_cvtepi8_epi32(_mm_srli_si128::<8>(bytes)));
    [_mm256_cvtepi32_ps(low), _mm256_cvtepi32_ps(high)]
}

/// The loops over a query and a stored row. The last elements are copied behind zeros.
macro_rules! rows {
    ($dot:ident, $squared:ident, $load:ident, $bytes:literal) => {
        #[target_feature(enable = "avx2,fma,f16c")]
        pub(super) fn $dot(query: &[f32], row: &[u8]) -> Dot {
            let (mut dots, mut norms) = (Sums::zero(), Sums::zero());
            let (queries, rows) = (query.chunks_exact(LANES), row.chunks_exact(LANES * $bytes));
            let (mut q_end, mut x_end) = ([0.0_f32; LANES], [0_u8; LANES * $bytes]);
            q_end[..queries.remainder().len()].copy_from_slice(queries.remainder());
            x_end[..rows.remainder().len()].copy_from_slice(rows.remainder());
            for (q, x) in queries.zip(rows).chain([(&q_end[..], &x_end[..])]) {
                // SAFETY: both chunks have sixteen elements.
                let (q, x) = unsafe { (load_f32(q.as_ptr().cast()), $load(x.as_ptr())) };
                dots.add(q, x);
                norms.add(x, x);
            }
            Dot { dot: scalar::fold(dots.lanes()), norm: scalar::fold(norms.lanes()) }
        }

        #[target_feature(enable = "avx2,fma,f16c")]
        pub(super) fn $squared(query: &[f32], row: &[u8]) -> f32 {
            let mut sums = Sums::zero();
            let (queries, rows) = (query.chunks_exact(LANES), row.chunks_exact(LANES * $bytes));
            let (mut q_end, mut x_end) = ([0.0_f32; LANES], [0_u8; LANES * $bytes]);
            q_end[..queries.remainder().len()].copy_from_slice(queries.remainder());
            x_end[..rows.remainder().len()].copy_from_slice(rows.remainder());
            for (q, x) in queries.zip(rows).chain([(&q_end[..], &x_end[..])]) {
                // SAFETY: both chunks have sixteen elements.
                let (q, x) = unsafe { (load_f32(q.as_ptr().cast()), $load(x.as_ptr())) };
                let difference = minus(q, x);
                sums.add(difference, difference);
            }
            scalar::fold(sums.lanes())
        }
    };
}

rows!(row_dot_f32, row_squared_f32, load_f32, 4);
rows!(row_dot_f16, row_squared_f16, load_f16, 2);
rows!(row_dot_i8, row_squared_i8, load_i8, 1);

/// The two ends of a pair of vectors that fill no register, behind zeros.
#[inline]
fn ends(a: &[f32], b: &[f32]) -> [[f32; LANES]; 2] {
    let mut ends = [[0.0; LANES]; 2];
    for (end, rest) in ends.iter_mut().zip([a, b]) {
        end[..rest.len()].copy_from_slice(rest);
    }
    ends
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = Sums::zero();
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let [a_end, b_end] = ends(a.remainder(), b.remainder());
    for (a, b) in a.zip(b).chain([(&a_end[..], &b_end[..])]) {
        // SAFETY: both chunks have sixteen floats.
        let (a, b) = unsafe { (load_f32(a.as_ptr().cast()), load_f32(b.as_ptr().cast())) };
        sums.add(a, b);
    }
    scalar::fold(sums.lanes())
}

#[target_feature(enable = "avx2,f16c")]
pub(super) fn decode_f16(row: &[u8], out: &mut [f32]) {
    let whole = out.len() / LANES * LANES;
    for (row, out) in row.chunks_exact(LANES * 2).zip(out.chunks_exact_mut(LANES)) {
        // SAFETY: sixteen elements in each chunk.
        unsafe {
            let floats = load_f16(row.as_ptr());
            _mm256_storeu_ps(out.as_mut_ptr(), floats[0]);
            _mm256_storeu_ps(out.as_mut_ptr().add(8), floats[1]);
        }
    }
    scalar::decode_f16(&row[whole * 2..], &mut out[whole..]);
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn panel_dots(rows: &[f32], panel: &[f32], out: &mut [[f32; PANEL]; STRIP]) {
    let dims = rows.len() / STRIP;
    for (pair, out) in rows.chunks_exact(dims.max(1) * 2).zip(out.chunks_exact_mut(2)) {
        let (first, second) = pair.split_at(dims);
        let mut sums = [[_mm256_setzero_ps(); 4]; 2];
        for ((&x, &y), centroids) in first.iter().zip(second).zip(panel.chunks_exact(PANEL)) {
            let x = [_mm256_set1_ps(x), _mm256_set1_ps(y)];
            let [of_x, of_y] = &mut sums;
            for (part, (of_x, of_y)) in of_x.iter_mut().zip(of_y).enumerate() {
                // SAFETY: a chunk of 32 floats has four parts of eight.
                let c = unsafe { _mm256_loadu_ps(centroids.as_ptr().add(part * 8)) };
                *of_x = _mm256_fmadd_ps(x[0], c, *of_x);
                *of_y = _mm256_fmadd_ps(x[1], c, *of_y);
            }
        }
        for (sums, out) in sums.iter().zip(out) {
            for (part, &sum) in sums.iter().enumerate() {
                // SAFETY: 32 floats are four parts of eight.
                unsafe { _mm256_storeu_ps(out.as_mut_ptr().add(part * 8), sum) };
            }
        }
    }
}

#[target_feature(enable = "avx2")]
pub(super) fn hadamard(data: &mut [f32]) {
    // The compiler makes registers of the loop; it never contracts or reorders floats.
    scalar::hadamard(data);
}
