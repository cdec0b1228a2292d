//! The loops in plain code: what the others are compared with, and what runs where there is nothing
//! better.

use super::{BLOCK, Bound, Dot, GROUP, LANES, PANEL, STRIP, place};

pub(super) fn scan_block(
    block: &[u8],
    code_bytes: usize,
    lut: &[u8],
    bound: &Bound,
    sums: &mut [u32; BLOCK],
) -> u64 {
    sums.fill(0);
    for (bytes, tables) in block.chunks_exact(BLOCK).take(code_bytes).zip(lut.chunks_exact(32)) {
        for (row, sum) in sums.iter_mut().enumerate() {
            let code = usize::from(bytes[place(row)]);
            *sum += u32::from(tables[code & 15]) + u32::from(tables[16 + (code >> 4)]);
        }
    }
    within(&block[code_bytes * BLOCK..], bound, sums)
}

/// Which rows stay within the bound.
fn within(factors: &[u8], bound: &Bound, sums: &[u32; BLOCK]) -> u64 {
    let (add, rescale) = factors.split_at(BLOCK * 4);
    let mut mask = 0;
    for (row, &sum) in sums.iter().enumerate() {
        let inner = (-bound.step).mul_add(sum as f32, bound.base);
        let lower = float(rescale, row).mul_add(inner, float(add, row));
        mask |= u64::from(lower <= bound.limit) << row;
    }
    mask
}

/// Float number `index` of little-endian bytes.
fn float(bytes: &[u8], index: usize) -> f32 {
    let at = index * 4;
    f32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

pub(super) fn plane_dot<const BITS: usize>(plane: &[u8], query: &[i8]) -> i32 {
    let mask = (1_u8 << BITS) - 1;
    let mut sum = 0;
    for part in 0..8 / BITS {
        let query = &query[part * plane.len()..];
        for (&codes, &q) in plane.iter().zip(query) {
            sum += i32::from((codes >> (part * BITS)) & mask) * i32::from(q);
        }
    }
    sum
}

pub(super) fn byte_dots(groups: &[u8], query: &[i8], out: &mut [i32]) {
    let group_bytes = query.len() * GROUP;
    for (group, out) in groups.chunks_exact(group_bytes).zip(out.chunks_exact_mut(GROUP)) {
        out.fill(0);
        for (codes, four) in group.chunks_exact(GROUP * 4).zip(query.chunks_exact(4)) {
            for (codes, sum) in codes.chunks_exact(4).zip(out.iter_mut()) {
                for (&code, &q) in codes.iter().zip(four) {
                    *sum += i32::from(code) * i32::from(q);
                }
            }
        }
    }
}

/// Folds partial sums by halves.
pub(super) fn fold(mut sums: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            sums[i] += sums[i + half];
        }
        half /= 2;
    }
    sums[0]
}

pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; LANES];
    for (a, b) in a.chunks(LANES).zip(b.chunks(LANES)) {
        for (sum, (&a, &b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum = a.mul_add(b, *sum);
        }
    }
    fold(sums)
}

/// The two loops over a stored row, given how an element is read.
macro_rules! rows {
    ($dot:ident, $squared:ident, $bytes:literal, $read:expr) => {
        pub(super) fn $dot(query: &[f32], row: &[u8]) -> Dot {
            let (mut dots, mut norms) = ([0.0; LANES], [0.0; LANES]);
            for (query, row) in query.chunks(LANES).zip(row.chunks(LANES * $bytes)) {
                for (lane, (&q, bytes)) in query.iter().zip(row.chunks_exact($bytes)).enumerate() {
                    let x: f32 = $read(bytes);
                    dots[lane] = q.mul_add(x, dots[lane]);
                    norms[lane] = x.mul_add(x, norms[lane]);
                }
            }
            Dot { dot: fold(dots), norm: fold(norms) }
        }

        pub(super) fn $squared(query: &[f32], row: &[u8]) -> f32 {
            let mut sums = [0.0; LANES];
            for (query, row) in query.chunks(LANES).zip(row.chunks(LANES * $bytes)) {
                for (lane, (&q, bytes)) in query.iter().zip(row.chunks_exact($bytes)).enumerate() {
                    let x: f32 = $read(bytes);
                    let difference = q - x;
                    sums[lane] = difference.mul_add(difference, sums[lane]);
                }
            }
            fold(sums)
        }
    };
}

rows!(row_dot_f32, row_squared_f32, 4, |bytes: &[u8]| float(bytes, 0));
rows!(row_dot_f16, row_squared_f16, 2, |bytes: &[u8]| half(u16::from_le_bytes([
    bytes[0], bytes[1]
])));
rows!(row_dot_i8, row_squared_i8, 1, |bytes: &[u8]| f32::from(i8::from_le_bytes([bytes[0]])));

pub(super) fn decode_f32(row: &[u8], out: &mut [f32]) {
    for (index, out) in out.iter_mut().enumerate() {
        *out = float(row, index);
    }
}

pub(super) fn decode_f16(row: &[u8], out: &mut [f32]) {
    for (bytes, out) in row.chunks_exact(2).zip(out) {
        *out = half(u16::from_le_bytes([bytes[0], bytes[1]]));
    }
}

pub(super) fn decode_i8(row: &[u8], out: &mut [f32]) {
    for (&byte, out) in row.iter().zip(out) {
        *out = f32::from(i8::from_le_bytes([byte]));
    }
}

/// A binary16 as f32, which has all of its values.
pub(super) fn half(bits: u16) -> f32 {
    let sign = u32::from(bits >> 15) << 31;
    let exponent = u32::from(bits >> 10) & 31;
    let fraction = u32::from(bits & 0x3ff);
    let magnitude = match exponent {
        // Zero and subnormals: a multiple of 2^-24, exact in f32.
        0 => (fraction as f32 / 16_777_216.0).to_bits(),
        31 => 0x7f80_0000 | (fraction << 13),
        _ => ((exponent + 112) << 23) | (fraction << 13),
    };
    f32::from_bits(sign | magnitude)
}

pub(super) fn panel_dots(rows: &[f32], panel: &[f32], out: &mut [[f32; PANEL]; STRIP]) {
    let dims = rows.len() / STRIP;
    for (row, out) in rows.chunks_exact(dims.max(1)).zip(out) {
        out.fill(0.0);
        for (&x, centroids) in row.iter().zip(panel.chunks_exact(PANEL)) {
            for (sum, &c) in out.iter_mut().zip(centroids) {
                *sum = x.mul_add(c, *sum);
            }
        }
    }
}

#[inline(always)]
pub(super) fn hadamard(data: &mut [f32]) {
    hadamard_from(data, 1);
}

/// The steps of the transform whose partners are `first` or more apart.
#[inline(always)]
pub(super) fn hadamard_from(data: &mut [f32], first: usize) {
    let mut half = first;
    while half < data.len() {
        for pair in data.chunks_exact_mut(half * 2) {
            let (low, high) = pair.split_at_mut(half);
            for (low, high) in low.iter_mut().zip(high) {
                (*low, *high) = (*low + *high, *low - *high);
            }
        }
        half *= 2;
    }
}
