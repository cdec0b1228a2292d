//! Floats of 16 bits (IEEE 754 binary16), which Rust has no stable type for.

/// The float nearest to `float`, of two the one with an even last bit; infinite beyond 65,519.
#[expect(clippy::cast_possible_truncation, reason = "15 bits and a sign are what is left of 32")]
pub(super) fn from_f32(float: f32) -> u16 {
    let bits = float.to_bits();
    let sign = (bits >> 16) as u16 & 0x8000;
    let exponent = (bits >> 23) & 0xFF;
    let mantissa = bits & 0x007F_FFFF;
    // Exponents are biased by 127 and 15: from 113 on a half is normal, under 102 it is zero.
    let magnitude = match exponent {
        143.. => 0x7C00,
        113.. => rounded((exponent - 112) << 23 | mantissa, 13),
        102.. => rounded(mantissa | 0x0080_0000, 126 - exponent),
        _ => 0,
    };
    sign | magnitude as u16
}

/// `bits` without its last `shift`, rounded to even. A carry into the exponent is the next float.
fn rounded(bits: u32, shift: u32) -> u32 {
    let (kept, lost, middle) = (bits >> shift, bits & ((1 << shift) - 1), 1 << (shift - 1));
    let up = lost > middle || (lost == middle && kept & 1 == 1);
    kept + u32::from(up)
}

/// The float of these bits, exactly. Without branches, so that several are converted at a time.
pub(super) fn to_f32(half: u16) -> f32 {
    let bits = u32::from(half);
    let (sign, magnitude) = ((bits & 0x8000) << 16, (bits & 0x7FFF) << 13);
    // Its exponent is biased by 15, that of a float by 127; the product is exact, also of those below the least
    // normal one.
    let finite = (f32::from_bits(magnitude) * f32::from_bits((127 + 112) << 23)).to_bits();
    let endless = 0x7F80_0000 | magnitude;
    f32::from_bits(sign | if bits & 0x7C00 == 0x7C00 { endless } else { finite })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_is_the_half_nearest_to_itself_and_to_what_is_near() {
        for half in (0..=u16::MAX).filter(|half| half & 0x7C00 != 0x7C00) {
            let float = to_f32(half);
            assert_eq!(from_f32(float), half, "{half:#x} {float}");
            if half & 0x7FFF < 0x7BFF {
                let middle = float.midpoint(to_f32(half + 1));
                assert_eq!(from_f32(middle), half + (half & 1), "half way after {float}");
                assert_eq!(from_f32(f32::from_bits(middle.to_bits() - 1)), half);
                assert_eq!(from_f32(f32::from_bits(middle.to_bits() + 1)), half + 1);
            }
        }
        assert_eq!(to_f32(0x3C00), 1.0);
        assert_eq!(to_f32(0xC500), -5.0);
        assert_eq!(to_f32(0x7BFF), 65_504.0);
        assert_eq!((from_f32(65_519.0), from_f32(65_520.0)), (0x7BFF, 0x7C00));
        assert_eq!(from_f32(1e15), 0x7C00);
        assert_eq!((to_f32(0x7C00), to_f32(0xFC00)), (f32::INFINITY, f32::NEG_INFINITY));
        assert!(to_f32(0x7E00).is_nan());
    }
}
