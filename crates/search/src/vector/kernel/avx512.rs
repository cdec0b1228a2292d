//! The loops for AVX-512 with VBMI and VNNI (Ice Lake, Zen 4 and later).
//!
//! Loads are the only unsafe operations. Each is in bounds by the lengths that [`super::Kernels`]
//! asserted, or by a mask; the comment at each says which.
#![expect(unsafe_code, reason = "loads of registers by address")]

use std::arch::x86_64::*;

use super::{BLOCK, Bound, Dot, GROUP, LANES, Lut, PANEL, STRIP, scalar};

/// Triples of code bytes after which 16-bit sums are widened: 127 * 2 * 255 and a rest of
/// 2 * 255 fit.
const TRIPLES_MAX: usize = 127;

/// Loads 64 bytes from `at`.
///
/// # Safety
/// 64 bytes from `at` must be in bounds.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn load(at: *const u8) -> __m512i {
    // SAFETY: the caller's promise.
    unsafe { _mm512_loadu_si512(at.cast()) }
}

/// Sums of 64 rows over part of their codes: even bytes and odd bytes apart, in 16 bits.
struct Narrow {
    /// All bytes, the odd ones times 256.
    all: __m512i,
    odd: __m512i,
}

impl Narrow {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn zero() -> Self {
        Self { all: _mm512_setzero_si512(), odd: _mm512_setzero_si512() }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn add(&mut self, bytes: __m512i) {
        self.all = _mm512_add_epi16(self.all, bytes);
        self.odd = _mm512_add_epi16(self.odd, _mm512_srli_epi16::<8>(bytes));
    }

    /// Adds to sums of 32 bits, sixteen rows a register.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn widen(&self, wide: &mut [__m512i; 4]) {
        let even = _mm512_sub_epi16(self.all, _mm512_slli_epi16::<8>(self.odd));
        for (half, sums) in [even, self.odd].into_iter().enumerate() {
            let low = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(sums));
            let high = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64::<1>(sums));
            wide[half * 2] = _mm512_add_epi32(wide[half * 2], low);
            wide[half * 2 + 1] = _mm512_add_epi32(wide[half * 2 + 1], high);
        }
    }
}

/// Fills the tables of 64: element `i` has dimension `k` added where bit `k` of `i` is set.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn fill_lut(query: &[i16], lut: &mut Lut) {
    const BITS: [u64; 6] = [
        0xAAAA_AAAA_AAAA_AAAA,
        0xCCCC_CCCC_CCCC_CCCC,
        0xF0F0_F0F0_F0F0_F0F0,
        0xFF00_FF00_FF00_FF00,
        0xFFFF_0000_FFFF_0000,
        0xFFFF_FFFF_0000_0000,
    ];
    lut.fill_sixes_by(query, |table, dims| {
        let shift: i16 = dims.iter().map(|q| (-q).max(0)).sum();
        // The low bytes: sums are taken modulo 256, and each is known to fit a byte.
        let mut sums = _mm512_set1_epi8(shift.to_le_bytes()[0].cast_signed());
        for (&q, bits) in dims.iter().zip(BITS) {
            let q = _mm512_set1_epi8(q.to_le_bytes()[0].cast_signed());
            sums = _mm512_mask_add_epi8(sums, bits, sums, q);
        }
        let table: &mut [u8; 64] = table.try_into().expect("tables of 64");
        // SAFETY: 64 bytes.
        unsafe { _mm512_storeu_si512(table.as_mut_ptr().cast(), sums) };
    });
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
pub(super) fn scan_block(
    block: &[u8],
    code_bytes: usize,
    lut: &[u8],
    bound: &Bound,
    sums: &mut [u32; BLOCK],
) -> u64 {
    let mut wide = [_mm512_setzero_si512(); 4];
    let triples = code_bytes / 3;
    let mut codes = block.as_ptr();
    let mut tables = lut.as_ptr();
    let mut left = triples;
    loop {
        let mut narrow = Narrow::zero();
        let now = left.min(TRIPLES_MAX);
        for _ in 0..now {
            // SAFETY: `triples` times three rows of 64 bytes are at the front of `block`, and
            // `lut` has 128 bytes for each of its code bytes, 384 for three, of which four tables
            // of 64 are at its front for each triple.
            unsafe {
                triple(codes, tables, &mut narrow);
                codes = codes.add(3 * BLOCK);
                tables = tables.add(256);
            }
        }
        left -= now;
        if left == 0 {
            for _ in 0..code_bytes % 3 {
                // SAFETY: the code bytes that no triple had, and their two tables.
                unsafe {
                    single(codes, tables, &mut narrow);
                    codes = codes.add(BLOCK);
                    tables = tables.add(128);
                }
            }
            narrow.widen(&mut wide);
            break;
        }
        narrow.widen(&mut wide);
    }
    // SAFETY: the factors are the last 512 bytes of `block`; `sums` has four times 64 bytes.
    unsafe { within(codes, bound, &wide, sums) }
}

/// Adds the sums over three bytes of code: four tables of six dimensions.
///
/// # Safety
/// 192 bytes from `codes` and 256 from `tables` must be in bounds.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
unsafe fn triple(codes: *const u8, tables: *const u8, narrow: &mut Narrow) {
    // SAFETY: the caller's promise.
    let (a, b, c, t0, t1, t2, t3) = unsafe {
        (
            load(codes),
            load(codes.add(64)),
            load(codes.add(128)),
            load(tables),
            load(tables.add(64)),
            load(tables.add(128)),
            load(tables.add(192)),
        )
    };
    // A shuffle ignores the upper two bits of an index. Those of the three bytes make a fourth
    // index: 0xCA selects bits of the second operand where the first has ones, else of the third.
    let low = _mm512_set1_epi8(0x03);
    let lower = _mm512_set1_epi8(0x0f);
    let ab = _mm512_ternarylogic_epi32::<0xCA>(
        low,
        _mm512_srli_epi16::<6>(a),
        _mm512_srli_epi16::<4>(b),
    );
    let upper = _mm512_ternarylogic_epi32::<0xCA>(lower, ab, _mm512_srli_epi16::<2>(c));
    narrow.add(_mm512_add_epi8(_mm512_permutexvar_epi8(a, t0), _mm512_permutexvar_epi8(b, t1)));
    narrow.add(_mm512_add_epi8(_mm512_permutexvar_epi8(c, t2), _mm512_permutexvar_epi8(upper, t3)));
}

/// Adds the sums over one byte of code: a table of six dimensions and one of two, repeated.
///
/// # Safety
/// 64 bytes from `codes` and 128 from `tables` must be in bounds.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
unsafe fn single(codes: *const u8, tables: *const u8, narrow: &mut Narrow) {
    // SAFETY: the caller's promise.
    let (a, t0, t1) = unsafe { (load(codes), load(tables), load(tables.add(64))) };
    // What the shift brings in above two bits does not matter: the table repeats every four.
    let upper = _mm512_srli_epi16::<6>(a);
    narrow.add(_mm512_add_epi8(_mm512_permutexvar_epi8(a, t0), _mm512_permutexvar_epi8(upper, t1)));
}

/// Stores the sums and compares the lower bounds of 64 rows.
///
/// # Safety
/// 512 bytes from `factors` must be in bounds.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn within(
    factors: *const u8,
    bound: &Bound,
    wide: &[__m512i; 4],
    sums: &mut [u32; BLOCK],
) -> u64 {
    let base = _mm512_set1_ps(bound.base);
    let step = _mm512_set1_ps(bound.step);
    let limit = _mm512_set1_ps(bound.limit);
    let mut mask = 0;
    for (quarter, &sum) in wide.iter().enumerate() {
        let at = quarter * 64;
        // SAFETY: four times 64 bytes of `add`, four times 64 of `rescale`, four times 64 of sums.
        let (add, rescale) = unsafe {
            _mm512_storeu_si512(sums.as_mut_ptr().cast::<u8>().add(at).cast(), sum);
            (_mm512_loadu_ps(factors.add(at).cast()), _mm512_loadu_ps(factors.add(256 + at).cast()))
        };
        let inner = _mm512_fnmadd_ps(step, _mm512_cvtepi32_ps(sum), base);
        let lower = _mm512_fmadd_ps(rescale, inner, add);
        let kept = _mm512_cmp_ps_mask::<_CMP_LE_OQ>(lower, limit);
        mask |= u64::from(kept) << (quarter * 16);
    }
    mask
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) fn plane_dot<const BITS: usize>(plane: &[u8], query: &[i8]) -> i32 {
    let mask = _mm512_set1_epi8(match BITS {
        1 => 1,
        2 => 3,
        _ => 15,
    });
    let mut sums = [_mm512_setzero_si512(); 2];
    let len = plane.len();
    let mut at = 0;
    while at < len {
        let kept = tail_mask64(len - at);
        // SAFETY: the mask keeps the load within `plane`.
        let codes = unsafe { _mm512_maskz_loadu_epi8(kept, plane.as_ptr().add(at).cast()) };
        for part in 0..8 / BITS {
            let shifted = _mm512_srl_epi16(codes, shift_by(part * BITS));
            let values = _mm512_and_si512(shifted, mask);
            // SAFETY: `query` goes on for 64 bytes after its last code, as the caller asserted.
            let q = unsafe { load(query.as_ptr().add(part * len + at).cast()) };
            sums[part % 2] = _mm512_dpbusd_epi32(sums[part % 2], values, q);
        }
        at += 64;
    }
    _mm512_reduce_add_epi32(_mm512_add_epi32(sums[0], sums[1]))
}

/// A number of bits to shift by, less than 8.
#[inline]
#[target_feature(enable = "avx512f")]
fn shift_by(bits: usize) -> __m128i {
    _mm_cvtsi32_si128(i32::try_from(bits).expect("less than 8"))
}

/// The lower `left` bits, all 64 when there are more.
#[inline]
fn tail_mask64(left: usize) -> u64 {
    if left >= 64 { u64::MAX } else { (1 << left) - 1 }
}

/// The lower `left` bits, all 16 when there are more.
#[inline]
fn tail_mask16(left: usize) -> u16 {
    if left >= 16 { u16::MAX } else { (1 << left) - 1 }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) fn byte_dots(groups: &[u8], query: &[i8], out: &mut [i32]) {
    let group_bytes = query.len() * GROUP;
    // Eight groups at a time share the broadcast of four elements of the query.
    let mut index = 0;
    let count = out.len() / GROUP;
    while index < count {
        let now = (count - index).min(8);
        let mut sums = [_mm512_setzero_si512(); 8];
        let base = groups[index * group_bytes..(index + now) * group_bytes].as_ptr();
        for (step, four) in query.chunks_exact(4).enumerate() {
            let q = _mm512_set1_epi32(i32::from_le_bytes([
                four[0].cast_unsigned(),
                four[1].cast_unsigned(),
                four[2].cast_unsigned(),
                four[3].cast_unsigned(),
            ]));
            if now == 8 {
                for (group, sum) in sums.iter_mut().enumerate() {
                    // SAFETY: the slice above has `now` groups, each 64 bytes for four elements.
                    let codes = unsafe { load(base.add(group * group_bytes + step * 64)) };
                    *sum = _mm512_dpbusd_epi32(*sum, codes, q);
                }
            } else {
                for (group, sum) in sums.iter_mut().enumerate().take(now) {
                    // SAFETY: as above.
                    let codes = unsafe { load(base.add(group * group_bytes + step * 64)) };
                    *sum = _mm512_dpbusd_epi32(*sum, codes, q);
                }
            }
        }
        for (sum, out) in sums.iter().zip(out[index * GROUP..].chunks_exact_mut(GROUP)) {
            // SAFETY: the chunk is 16 integers.
            unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), *sum) };
        }
        index += now;
    }
}

/// Folds partial sums by halves, as [`scalar::fold`] does.
#[inline]
#[target_feature(enable = "avx512f")]
fn fold(sums: __m512) -> f32 {
    let mut lanes = [0.0; LANES];
    // SAFETY: sixteen floats.
    unsafe { _mm512_storeu_ps(lanes.as_mut_ptr(), sums) };
    scalar::fold(lanes)
}

/// Sixteen floats from `at`, zeros after the first `left`.
///
/// # Safety
/// `left` floats, sixteen if that is less, must be in bounds from `at`.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn load_f32(at: *const u8, left: usize) -> __m512 {
    // SAFETY: the mask keeps the load within what the caller promised.
    unsafe { _mm512_maskz_loadu_ps(tail_mask16(left), at.cast()) }
}

/// Sixteen binary16 from `at` as floats, zeros after the first `left`.
///
/// # Safety
/// `left` binary16, sixteen if that is less, must be in bounds from `at`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn load_f16(at: *const u8, left: usize) -> __m512 {
    // SAFETY: the mask keeps the load within what the caller promised.
    _mm512_cvtph_ps(unsafe { _mm256_maskz_loadu_epi16(tail_mask16(left), at.cast()) })
}

/// Sixteen bytes from `at` as floats, zeros after the first `left`.
///
/// # Safety
/// `left` bytes, sixteen if that is less, must be in bounds from `at`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn load_i8(at: *const u8, left: usize) -> __m512 {
    // SAFETY: the mask keeps the load within what the caller promised.
    let bytes = unsafe { _mm_maskz_loadu_epi8(tail_mask16(left), at.cast()) };
    _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes))
}

/// The loops over two vectors, the second of which is read by `$load`.
macro_rules! rows {
    ($dot:ident, $squared:ident, $load:ident, $bytes:literal) => {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
        pub(super) fn $dot(query: &[f32], row: &[u8]) -> Dot {
            let (mut dots, mut norms) = (_mm512_setzero_ps(), _mm512_setzero_ps());
            let mut at = 0;
            while at < query.len() {
                let left = query.len() - at;
                // SAFETY: `left` elements of both are in bounds: `row` has as many as `query`.
                let (q, x) = unsafe {
                    (
                        load_f32(query.as_ptr().add(at).cast(), left),
                        $load(row.as_ptr().add(at * $bytes), left),
                    )
                };
                dots = _mm512_fmadd_ps(q, x, dots);
                norms = _mm512_fmadd_ps(x, x, norms);
                at += LANES;
            }
            Dot { dot: fold(dots), norm: fold(norms) }
        }

        #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
        pub(super) fn $squared(query: &[f32], row: &[u8]) -> f32 {
            let mut sums = _mm512_setzero_ps();
            let mut at = 0;
            while at < query.len() {
                let left = query.len() - at;
                // SAFETY: `left` elements of both are in bounds: `row` has as many as `query`.
                let (q, x) = unsafe {
                    (
                        load_f32(query.as_ptr().add(at).cast(), left),
                        $load(row.as_ptr().add(at * $bytes), left),
                    )
                };
                let difference = _mm512_sub_ps(q, x);
                sums = _mm512_fmadd_ps(difference, difference, sums);
                at += LANES;
            }
            fold(sums)
        }
    };
}

rows!(row_dot_f32, row_squared_f32, load_f32, 4);
rows!(row_dot_f16, row_squared_f16, load_f16, 2);
rows!(row_dot_i8, row_squared_i8, load_i8, 1);

#[target_feature(enable = "avx512f")]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = _mm512_setzero_ps();
    let mut at = 0;
    while at < a.len() {
        let left = a.len() - at;
        // SAFETY: `left` floats of both are in bounds.
        let (a, b) = unsafe {
            (load_f32(a.as_ptr().add(at).cast(), left), load_f32(b.as_ptr().add(at).cast(), left))
        };
        sums = _mm512_fmadd_ps(a, b, sums);
        at += LANES;
    }
    fold(sums)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) fn decode_f16(row: &[u8], out: &mut [f32]) {
    let len = out.len();
    for (index, out) in out.chunks_mut(LANES).enumerate() {
        let at = index * LANES;
        // SAFETY: `row` has as many binary16 as `out` had floats; the mask ends at the chunk.
        unsafe {
            let floats = load_f16(row.as_ptr().add(at * 2), len - at);
            _mm512_mask_storeu_ps(out.as_mut_ptr(), tail_mask16(out.len()), floats);
        }
    }
}

#[target_feature(enable = "avx512f")]
pub(super) fn panel_dots(rows: &[f32], panel: &[f32], out: &mut [[f32; PANEL]; STRIP]) {
    let dims = rows.len() / STRIP;
    let mut sums = [[_mm512_setzero_ps(); 2]; STRIP];
    let (rows, panel) = (rows.as_ptr(), panel.as_ptr());
    for d in 0..dims {
        // SAFETY: `panel` has 32 floats for each of `dims` dimensions.
        let (low, high) = unsafe {
            (_mm512_loadu_ps(panel.add(d * PANEL)), _mm512_loadu_ps(panel.add(d * PANEL + 16)))
        };
        for (row, sums) in sums.iter_mut().enumerate() {
            // SAFETY: `rows` has eight rows of `dims` floats.
            let x = _mm512_set1_ps(unsafe { *rows.add(row * dims + d) });
            sums[0] = _mm512_fmadd_ps(x, low, sums[0]);
            sums[1] = _mm512_fmadd_ps(x, high, sums[1]);
        }
    }
    for (sums, out) in sums.iter().zip(out) {
        // SAFETY: 32 floats.
        unsafe {
            _mm512_storeu_ps(out.as_mut_ptr(), sums[0]);
            _mm512_storeu_ps(out.as_mut_ptr().add(16), sums[1]);
        }
    }
}

#[target_feature(enable = "avx512f,avx512dq")]
pub(super) fn hadamard(data: &mut [f32]) {
    if data.len() < LANES {
        return scalar::hadamard(data);
    }
    for chunk in data.chunks_exact_mut(LANES) {
        // SAFETY: sixteen floats.
        let mut x = unsafe { _mm512_loadu_ps(chunk.as_ptr()) };
        // The partner of element `i` is `i ^ half`; where `i` has that bit, itself is taken away.
        x = butterfly::<0xAAAA>(x, _mm512_permute_ps::<0b10_11_00_01>(x));
        x = butterfly::<0xCCCC>(x, _mm512_permute_ps::<0b01_00_11_10>(x));
        x = butterfly::<0xF0F0>(x, _mm512_shuffle_f32x4::<0b10_11_00_01>(x, x));
        x = butterfly::<0xFF00>(x, _mm512_shuffle_f32x4::<0b01_00_11_10>(x, x));
        // SAFETY: sixteen floats.
        unsafe { _mm512_storeu_ps(chunk.as_mut_ptr(), x) };
    }
    scalar::hadamard_from(data, LANES);
}

/// `partner + x`, and `partner - x` in the lanes of `MINUS`.
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn butterfly<const MINUS: u16>(x: __m512, partner: __m512) -> __m512 {
    _mm512_mask_sub_ps(_mm512_add_ps(partner, x), MINUS, partner, x)
}
