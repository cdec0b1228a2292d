//! Every level against the scalar one, bit by bit.

use base::rng::Rng;

use super::*;

/// Lengths around those of registers, and the greatest.
const DIMS: &[usize] = &[8, 16, 24, 32, 40, 64, 104, 128, 384, 392, 768, 1000, 3072, 3080, 10_752];

fn levels() -> impl Iterator<Item = Kernels> {
    Kernels::available().into_iter().filter(|kernels| *kernels != Kernels::scalar())
}

fn bytes(rng: &mut Rng, len: usize) -> Vec<u8> {
    (0..len).map(|_| u8::try_from(rng.below(256)).expect("less than 256")).collect()
}

fn floats(rng: &mut Rng, len: usize) -> Vec<f32> {
    (0..len).map(|_| (rng.below(2_000_001) as f32 - 1e6) / 1e6).collect()
}

fn signed(rng: &mut Rng, len: usize) -> Vec<i8> {
    // Also -128, which no query has, and the format allows in stored rows.
    bytes(rng, len).into_iter().map(u8::cast_signed).collect()
}

/// A query in words of which no pair of tables is more than a byte holds.
fn words(rng: &mut Rng, dims: usize, greatest: u64) -> Vec<i16> {
    (0..dims)
        .map(|_| {
            i16::try_from(rng.below(2 * greatest + 1)).unwrap() - i16::try_from(greatest).unwrap()
        })
        .collect()
}

#[test]
fn scans_give_the_same_sums_and_the_same_rows() {
    let mut rng = Rng::new(1);
    for &dims in DIMS {
        let code_bytes = dims / 8;
        for greatest in [0, 3, 21] {
            let mut block = bytes(&mut rng, code_bytes * BLOCK);
            for x in floats(&mut rng, BLOCK * 2) {
                block.extend((x * 100.0).to_le_bytes());
            }
            let query = words(&mut rng, dims, greatest);
            let bound = Bound { base: 30.0, step: 0.11, limit: 20.0 };
            let mut lut = Lut::new(code_bytes);
            let scan = |kernels: Kernels, lut: &mut Lut| {
                let mut sums = [7; BLOCK];
                kernels.lut(&query, lut);
                (kernels.scan_block(&block, code_bytes, lut, &bound, &mut sums), sums)
            };
            let expect = scan(Kernels::scalar(), &mut lut);
            for (row, sum) in expect.1.iter().enumerate() {
                assert_eq!(i64::from(*sum), plain_sum(&block, row, &query), "row {row}");
            }
            for kernels in levels() {
                assert_eq!(scan(kernels, &mut lut), expect, "{} {dims}", kernels.name());
            }
        }
    }
}

#[test]
fn tables_filled_by_registers_are_those_filled_by_a_loop() {
    let mut rng = Rng::new(6);
    for &dims in DIMS {
        let query = words(&mut rng, dims, 21);
        let (mut expect, mut found) = (Lut::new(dims / 8), Lut::new(dims / 8));
        expect.fill_sixes(&query);
        for kernels in levels().filter(|kernels| kernels.name() == "avx512") {
            kernels.lut(&query, &mut found);
            assert_eq!(found.bytes(), expect.bytes(), "{dims}");
        }
    }
}

/// The sum of a scan as its documentation says it.
fn plain_sum(block: &[u8], row: usize, query: &[i16]) -> i64 {
    let of_dim = |(dim, &q): (usize, &i16)| {
        let has = block[dim / 8 * BLOCK + place(row)] >> (dim % 8) & 1 == 1;
        i64::from(if has { q } else { 0 }) + i64::from((-q).max(0))
    };
    query.iter().enumerate().map(of_dim).sum()
}

#[test]
fn the_greatest_sums_that_a_query_may_have_do_not_overflow() {
    // Every pair sums to just what a byte holds: the worst for sums of 16 bits.
    for &dims in DIMS {
        let code_bytes = dims / 8;
        let query: Vec<i16> = (0..dims).map(|dim| if dim % 2 == 0 { 21 } else { -21 }).collect();
        let mut block = vec![0x55; code_bytes * BLOCK];
        block.extend([0; BLOCK * 8]);
        let bound = Bound { base: 0.0, step: 0.0, limit: 0.0 };
        for kernels in Kernels::available() {
            let mut lut = Lut::new(code_bytes);
            kernels.lut(&query, &mut lut);
            let mut sums = [0; BLOCK];
            let mask = kernels.scan_block(&block, code_bytes, &lut, &bound, &mut sums);
            assert_eq!(sums, [u32::try_from(dims * 21).unwrap(); BLOCK], "{}", kernels.name());
            assert_eq!(mask, u64::MAX);
        }
    }
}

#[test]
fn rows_that_are_infinitely_far_or_no_number_are_never_kept() {
    let mut block = vec![0xff; 8 * BLOCK];
    for row in 0..BLOCK {
        let add = if row % 2 == 0 { f32::INFINITY } else { f32::NAN };
        block.extend(add.to_le_bytes());
    }
    block.extend([0; BLOCK * 4]);
    let bound = Bound { base: 0.0, step: 1.0, limit: f32::MAX };
    for kernels in Kernels::available() {
        let mut lut = Lut::new(8);
        kernels.lut(&[1; 64], &mut lut);
        assert_eq!(kernels.scan_block(&block, 8, &lut, &bound, &mut [0; BLOCK]), 0);
    }
}

#[test]
fn integer_products_are_the_same() {
    let mut rng = Rng::new(2);
    for &dims in DIMS {
        let query = signed(&mut rng, dims + QUERY_PADDING);
        for kernels in levels() {
            let what = format!("{} {dims}", kernels.name());
            let plane = bytes(&mut rng, dims / 8);
            let expect = scalar::plane_dot::<1>(&plane, &query);
            assert_eq!(kernels.plane_dot::<1>(&plane, &query), expect, "{what}, 1 bit");
            let plane = bytes(&mut rng, dims / 4);
            let expect = scalar::plane_dot::<2>(&plane, &query);
            assert_eq!(kernels.plane_dot::<2>(&plane, &query), expect, "{what}, 2 bits");
            let plane = bytes(&mut rng, dims / 2);
            let expect = scalar::plane_dot::<4>(&plane, &query);
            assert_eq!(kernels.plane_dot::<4>(&plane, &query), expect, "{what}, 4 bits");
            for groups in [1, 2, 8, 9, 17] {
                let codes = bytes(&mut rng, groups * GROUP * dims);
                let (mut expect, mut found) = (vec![1; groups * GROUP], vec![2; groups * GROUP]);
                scalar::byte_dots(&codes, &query[..dims], &mut expect);
                kernels.byte_dots(&codes, &query[..dims], &mut found);
                assert_eq!(found, expect, "{what}, {groups} groups");
            }
        }
    }
}

#[test]
fn sums_of_floats_have_the_same_bits() {
    let mut rng = Rng::new(3);
    for dims in [0, 1, 7, 15, 16, 17, 31, 33, 100, 384, 1000] {
        let (a, b) = (floats(&mut rng, dims), floats(&mut rng, dims));
        let rows = [
            (Element::F32, b.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>()),
            // Half floats with small exponents only: random bits would be infinite now and then.
            (Element::F16, bytes(&mut rng, dims * 2).into_iter().map(|b| b & 0xbf).collect()),
            (Element::I8, bytes(&mut rng, dims)),
        ];
        let plain = Kernels::scalar();
        for kernels in levels() {
            let what = format!("{} {dims}", kernels.name());
            assert_eq!(kernels.dot(&a, &b).to_bits(), plain.dot(&a, &b).to_bits(), "{what}");
            for (element, row) in &rows {
                let what = format!("{what} {element:?}");
                let expect = plain.row_dot(*element, &a, row);
                assert_eq!(kernels.row_dot(*element, &a, row), expect, "{what}");
                let expect = plain.row_squared(*element, &a, row);
                assert_eq!(kernels.row_squared(*element, &a, row), expect, "{what}");
                let (mut expect, mut found) = (vec![0.0; dims], vec![1.0; dims]);
                plain.decode_row(*element, row, &mut expect);
                kernels.decode_row(*element, row, &mut found);
                assert_eq!(found, expect, "{what}");
            }
        }
        // What the sums are, as opposed to that they agree.
        let exact: f64 = a.iter().zip(&b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        assert!((f64::from(plain.dot(&a, &b)) - exact).abs() < 1e-4);
        let dot = plain.row_dot(Element::F32, &a, &rows[0].1);
        assert_eq!(dot.dot.to_bits(), plain.dot(&a, &b).to_bits());
    }
}

#[test]
fn every_half_float_is_read_as_the_processor_reads_it() {
    for kernels in levels() {
        for bits in 0..=u16::MAX {
            let row = bits.to_le_bytes();
            let (mut plain, mut found) = ([0.0], [0.0]);
            Kernels::scalar().decode_row(Element::F16, &row, &mut plain);
            kernels.decode_row(Element::F16, &row, &mut found);
            let both_nan = plain[0].is_nan() && found[0].is_nan();
            assert!(both_nan || plain[0].to_bits() == found[0].to_bits(), "{bits:#x}");
        }
    }
    let mut out = [0.0; 3];
    let row: Vec<u8> = [0x3c00_u16, 0xc000, 0x0001].iter().flat_map(|h| h.to_le_bytes()).collect();
    Kernels::scalar().decode_row(Element::F16, &row, &mut out);
    assert_eq!(out, [1.0, -2.0, 2.0_f32.powi(-24)]);
}

#[test]
fn products_of_matrices_have_the_same_bits() {
    let mut rng = Rng::new(4);
    for dims in [1, 3, 64, 100, 384] {
        let (rows, panel) = (floats(&mut rng, dims * STRIP), floats(&mut rng, dims * PANEL));
        let mut expect = [[0.0; PANEL]; STRIP];
        Kernels::scalar().panel_dots(&rows, &panel, &mut expect);
        for kernels in levels() {
            let mut found = [[1.0; PANEL]; STRIP];
            kernels.panel_dots(&rows, &panel, &mut found);
            assert_eq!(found, expect, "{} {dims}", kernels.name());
        }
        let plain: f32 = (0..dims).map(|d| rows[dims + d] * panel[d * PANEL + 5]).sum();
        assert!((expect[1][5] - plain).abs() < 1e-3);
    }
}

#[test]
fn a_transform_twice_is_the_vector_times_its_length() {
    let mut rng = Rng::new(5);
    for power in 0..=13 {
        let vector = floats(&mut rng, 1 << power);
        let mut expect = vector.clone();
        Kernels::scalar().hadamard(&mut expect);
        for kernels in levels() {
            let mut found = vector.clone();
            kernels.hadamard(&mut found);
            assert_eq!(found, expect, "{} {power}", kernels.name());
        }
        Kernels::scalar().hadamard(&mut expect);
        for (twice, once) in expect.iter().zip(&vector) {
            assert!((twice / vector.len() as f32 - once).abs() < 1e-5);
        }
    }
}
