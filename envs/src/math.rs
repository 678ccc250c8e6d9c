//! Sines and cosines of several angles at once, with the same bits on every machine.
//!
//! The recorded episodes that our environments are compared with depend on the last bit of every sine: an
//! error there becomes another episode. [`f64::sin`] gives what the C library, the processor and (beside a
//! cosine) the compiler make of it. These functions give the bits of glibc's `sin` and `cos` on a processor
//! with fused multiply-add, wherever they run: they are nothing but sums, products and multiply-adds of
//! IEEE 754 in a fixed order. Without the instruction a multiply-add is a slow call with the same result.
//!
//! Functions over lanes are loops without a branch, of which the compiler makes vector instructions: the
//! widest ones within [`wide`]. What comes out of a lane does not depend on the others.
//!
//! # Reference
//! Ziv, *Fast Evaluation of Elementary Mathematical Functions with Correctly Rounded Last Bit*, 1991, and the IBM
//! Accurate Mathematical Library after it, as simplified in glibc 2.28: constants, order of operations, and
//! which products its build for FMA joins with a sum. Deviations: see [`GRID`]; from 10^8 on the standard library
//! answers, so that there bits do depend on the machine.

/// Functions compiled twice: for AVX2 and FMA, called if the processor has both, and as the crate is.
///
/// Only what is inlined into them gains: mark what they call `#[inline(always)]`. (A closure cannot be marked.)
macro_rules! wide {
    ($(
        $(#[$attribute:meta])*
        $visible:vis fn $name:ident $([$($generic:tt)*])? (
            $($argument:ident: $type:ty),* $(,)?
        ) $(-> $output:ty)? $body:block
    )*) => {$(
        $(#[$attribute])*
        $visible fn $name $(<$($generic)*>)? ($($argument: $type),*) $(-> $output)? {
            #[inline(always)]
            fn plain $(<$($generic)*>)? ($($argument: $type),*) $(-> $output)? $body

            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                #[target_feature(enable = "avx2,fma")]
                fn compiled $(<$($generic)*>)? ($($argument: $type),*) $(-> $output)? {
                    plain($($argument),*)
                }
                #[expect(unsafe_code, reason = "calls what is compiled for more instructions")]
                // SAFETY: the processor has just been asked for both features.
                return unsafe { compiled($($argument),*) };
            }
            plain($($argument),*)
        }
    )*};
}
pub(crate) use wide;

/// Below, an angle is its own remainder.
const NEAR: f64 = f64::from_bits(0x3feb_6000_0000_0000); // 0.85546875
/// Below, the remainder is what is missing to pi/2.
const MIDDLE: f64 = f64::from_bits(0x4003_68fd_0000_0000); // 2.42627
/// Below, pi/2 in four parts is enough for the remainder.
const FAR: f64 = f64::from_bits(0x4199_21fb_0000_0000); // 105414336
/// Below, the Taylor series of the sine is enough.
const SMALL: f64 = 0.126;

/// pi/2 and what its rounding left.
const HALF_PI: [f64; 2] = [
    f64::from_bits(0x3ff9_21fb_5444_2d18),
    f64::from_bits(0x3c91_a626_3314_5c07),
];
/// pi/2 in parts so short that their products with a whole number are exact.
const HALF_PI_PARTS: [f64; 4] = [
    f64::from_bits(0x3ff9_21fb_5800_0000),
    f64::from_bits(0xbe4d_de97_3c00_0000),
    f64::from_bits(0xbc8c_b3b3_9800_0000),
    f64::from_bits(0xbacd_747f_23e3_2ed7),
];
const TWO_BY_PI: f64 = f64::from_bits(0x3fe4_5f30_6dc9_c883);
/// Added and subtracted, it rounds to whole numbers, which stand in its lowest bits meanwhile.
const TO_WHOLE: f64 = 1.5 * (1_u64 << 52) as f64;
/// Rounds to multiples of 1/128.
const TO_GRID: f64 = 1.5 * (1_u64 << 45) as f64;

/// The sine as a power series, from x^11 down to x^3.
const SERIES: [f64; 5] = [
    f64::from_bits(0xbe5a_ddff_c2fc_df59),
    f64::from_bits(0x3ec7_1de2_7b9a_7ed9),
    f64::from_bits(0xbf2a_01a0_19db_08b8),
    f64::from_bits(0x3f81_1111_1111_0ece),
    f64::from_bits(0xbfc5_5555_5555_5555),
];
/// The sine between grid points: x^5, x^3.
const SIN: [f64; 2] = [
    f64::from_bits(0x3f81_1110_e829_872f),
    f64::from_bits(0xbfc5_5555_5555_5515),
];
/// One less the cosine between grid points: x^6, x^4, x^2.
const COS: [f64; 3] = [
    f64::from_bits(0x3f56_c16b_edd9_e239),
    f64::from_bits(0xbfa5_5555_5555_5535),
    0.5,
];

/// Sine and cosine of k/128, each as a number and what its rounding left.
///
/// The rests in the reference's table are wrong in the last bits of 17 of 110 entries, by at most 2^-108. They
/// weigh so little that not one angle in 10^14 should come out otherwise.
static GRID: [[f64; 4]; 128] = grid();

const fn grid() -> [[f64; 4]; 128] {
    let mut grid = [[0.0; 4]; 128];
    let mut k = 0;
    while k < grid.len() {
        let [sin, sin_rest] = series([(k as i128) << (LIMB - 7), 0, 0], k as i128, 1);
        let [cos, cos_rest] = series([1 << LIMB, 0, 0], k as i128, 0);
        grid[k] = [sin, sin_rest, cos, cos_rest];
        k += 1;
    }
    grid
}

/// Bits from one limb to the next: numbers are `a[0] / 2^60 + a[1] / 2^120 + a[2] / 2^180`.
const LIMB: u32 = 60;

/// The sum of `term`, whose power is `n`, and of the terms after it in the series of sine or cosine of k/128,
/// as a number and what its rounding left.
const fn series(mut term: [i128; 3], k: i128, mut n: i128) -> [f64; 2] {
    let mut sum = [0; 3];
    while n < 40 {
        let mut i = 0;
        let mut rest = 0;
        let next = 128 * 128 * (n + 1) * (n + 2);
        while i < 3 {
            sum[i] += term[i];
            let limb = (rest << LIMB) - term[i] * k * k;
            term[i] = limb / next;
            rest = limb % next;
            i += 1;
        }
        n += 2;
    }
    let unit = 1.0 / (1_u64 << LIMB) as f64;
    let whole = (sum[0] << LIMB) + sum[1];
    let head = whole as f64;
    let rest = ((whole - head as i128) << LIMB) + sum[2];
    [head * unit * unit, rest as f64 * unit * unit * unit]
}

const SIGN: u64 = 1 << 63;

/// `x` with its sign turned where `sign` has the highest bit.
#[inline(always)]
fn turned(x: f64, sign: u64) -> f64 {
    f64::from_bits(x.to_bits() ^ (sign & SIGN))
}

/// An angle on the grid: its distance from the grid point, and that point's sine and cosine with their rests.
#[inline(always)]
fn place(x: f64) -> (f64, &'static [f64; 4]) {
    let on_grid = x.abs() + TO_GRID;
    let offset = x.abs() - (on_grid - TO_GRID);
    (offset, &GRID[(on_grid.to_bits() % 128) as usize])
}

/// Sine of `x + rest`, at most pi/4 or so.
#[inline(always)]
fn sin_at(x: f64, rest: f64) -> f64 {
    let xx = x * x;
    let p = SERIES[0].mul_add(xx, SERIES[1]).mul_add(xx, SERIES[2]);
    let p = p.mul_add(xx, SERIES[3]).mul_add(xx, SERIES[4]);
    let small = x + p.mul_add(x, -(0.5 * rest)).mul_add(xx, rest);

    let (d, [sin, sin_rest, cos, cos_rest]) = place(x);
    let rest = turned(rest, x.to_bits());
    let dd = d * d;
    let s = d + (d * dd).mul_add(dd.mul_add(SIN[0], SIN[1]), rest);
    let c = d.mul_add(rest, dd * dd.mul_add(dd.mul_add(COS[0], COS[1]), COS[2]));
    let sum = s.mul_add(*cos_rest, *sin_rest);
    let large = sin + s.mul_add(*cos, c.mul_add(-sin, sum));
    std::hint::select_unpredictable(x.abs() < SMALL, small, large).copysign(x)
}

/// Cosine of `x + rest`, at most pi/4 or so.
#[inline(always)]
fn cos_at(x: f64, rest: f64) -> f64 {
    let (d, [sin, sin_rest, cos, cos_rest]) = place(x);
    let d = d + turned(rest, x.to_bits());
    let dd = d * d;
    let s = (d * dd).mul_add(dd.mul_add(SIN[0], SIN[1]), d);
    let c = dd * dd.mul_add(dd.mul_add(COS[0], COS[1]), COS[2]);
    let sum = s.mul_add(-sin_rest, *cos_rest);
    cos + s.mul_add(-sin, c.mul_add(-cos, sum))
}

/// The sine, or with `QUARTER` 1 the cosine, of an angle below [`FAR`].
#[inline(always)]
fn any<const QUARTER: u64>(angle: f64) -> f64 {
    let turns = angle.mul_add(TWO_BY_PI, TO_WHOLE);
    let whole = turns - TO_WHOLE;
    let first = whole.mul_add(-HALF_PI_PARTS[0], angle);
    let second = whole.mul_add(-HALF_PI_PARTS[1], first);
    let third = whole.mul_add(-HALF_PI_PARTS[2], second);
    let x = whole.mul_add(-HALF_PI_PARTS[3], third);
    let rest = whole.mul_add(-HALF_PI_PARTS[2], second - third)
        + whole.mul_add(-HALF_PI_PARTS[3], third - x);
    let quarters = turns.to_bits() + QUARTER;

    let missing = HALF_PI[0] - angle.abs();
    // The reference adds what is left of pi/2 to the angle before a sine, and beside it before a cosine.
    let (middle, middle_rest) = if QUARTER == 1 {
        let sum = missing + HALF_PI[1];
        (sum, (missing - sum) + HALF_PI[1])
    } else {
        (missing, HALF_PI[1])
    };
    let near = angle.abs() < NEAR;
    let middling = angle.abs() < MIDDLE;
    let x = if near {
        angle
    } else if middling {
        middle
    } else {
        x
    };
    let rest = if near {
        0.0
    } else if middling {
        middle_rest
    } else {
        rest
    };
    let odd = quarters % 2 == 1;
    let swap = if near {
        QUARTER == 1
    } else if middling {
        QUARTER == 0
    } else {
        odd
    };
    let sign = if !middling {
        quarters << 62
    } else if near || QUARTER == 1 {
        0
    } else {
        angle.to_bits()
    };
    let (sin, cos) = (sin_at(x, rest), cos_at(x, rest));
    turned(if swap { cos } else { sin }, sign)
}

#[inline(always)]
fn all_below<const N: usize>(angles: &[f64; N], limit: f64) -> bool {
    angles.iter().fold(true, |all, x| all & (x.abs() < limit))
}

#[inline(always)]
fn any_lanes<const QUARTER: u64, const N: usize>(angles: &[f64; N], out: &mut [f64; N]) {
    for i in 0..N {
        out[i] = any::<QUARTER>(angles[i]);
    }
    if !all_below(angles, FAR) {
        for (out, angle) in out.iter_mut().zip(angles) {
            let is_below = angle.abs() < FAR;
            if !is_below {
                *out = [angle.sin(), angle.cos()][QUARTER as usize];
            }
        }
    }
}

// Not inlined: few environments come here in most steps, and the results of near angles stay in registers.
wide! {
    #[inline(never)]
    fn any_sin[const N: usize](angles: &[f64; N], out: &mut [f64; N]) {
        any_lanes::<0, N>(angles, out);
    }

    #[inline(never)]
    fn any_cos[const N: usize](angles: &[f64; N], out: &mut [f64; N]) {
        any_lanes::<1, N>(angles, out);
    }
}

/// Cosines of `angles`, rad.
#[inline(always)]
pub(crate) fn cos_lanes<const N: usize>(angles: &[f64; N]) -> [f64; N] {
    let mut cos = [0.0; N];
    if all_below(angles, NEAR) {
        for i in 0..N {
            cos[i] = cos_at(angles[i], 0.0);
        }
    } else {
        any_cos(angles, &mut cos);
    }
    cos
}

/// Sines and cosines of `angles`, rad.
#[inline(always)]
pub(crate) fn sin_cos_lanes<const N: usize>(angles: &[f64; N]) -> ([f64; N], [f64; N]) {
    let (mut sin, mut cos) = ([0.0; N], [0.0; N]);
    if all_below(angles, NEAR) {
        for i in 0..N {
            sin[i] = sin_at(angles[i], 0.0);
            cos[i] = cos_at(angles[i], 0.0);
        }
    } else {
        any_sin(angles, &mut sin);
        any_cos(angles, &mut cos);
    }
    (sin, cos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;
    use std::f64::consts::FRAC_PI_2;
    use std::hint::black_box;
    use thorndike_core::{Rng, Seeds};

    wide! {
        fn compiled_wide(angles: &[f64; 32]) -> ([f64; 32], [f64; 32]) {
            sin_cos_lanes(angles)
        }

        fn cosines_alone(angles: &[f64; 32]) -> [f64; 32] {
            cos_lanes(angles)
        }
    }

    /// Whether the C library is the one whose bits we want.
    fn has_reference() -> bool {
        #[cfg(all(target_arch = "x86_64", target_env = "gnu"))]
        return is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        #[cfg(not(all(target_arch = "x86_64", target_env = "gnu")))]
        false
    }

    /// Panics if a lane is not what the C library gives, or elsewhere if it is more than a bit away from it.
    fn compare(angles: &[f64; 32], sin: &[f64; 32], cos: &[f64; 32]) {
        // Called one by one and through a pointer: together, the compiler makes one call of them.
        let functions: [fn(f64) -> f64; 2] = black_box([f64::sin, f64::cos]);
        let exact = has_reference();
        for (function, ours) in functions.iter().zip([sin, cos]) {
            for (&x, &y) in angles.iter().zip(ours) {
                let right = function(x);
                let apart = right.to_bits().abs_diff(y.to_bits());
                let same = apart <= u64::from(!exact) || (right.is_nan() && y.is_nan());
                assert!(same, "at {x:e}: {y:e}, expected {right:e}");
            }
        }
    }

    fn check(angles: &[f64; 32]) {
        let (sin, cos) = compiled_wide(angles);
        compare(angles, &sin, &cos);
        assert_eq!(
            cosines_alone(angles).map(f64::to_bits),
            cos.map(f64::to_bits)
        );
    }

    /// Checks `angles` and their negatives, together and each among angles near 0.
    fn check_each(angles: impl IntoIterator<Item = f64>) {
        let angles: Vec<f64> = angles.into_iter().flat_map(|x| [x, -x]).collect();
        for chunk in angles.chunks(32) {
            let mut lanes = [0.5; 32];
            lanes[..chunk.len()].copy_from_slice(chunk);
            check(&lanes);
            let near = lanes.map(|x| if x.abs() < NEAR { x } else { -0.0 });
            check(&near);
        }
    }

    /// The numbers around `x`.
    fn around(x: f64) -> impl Iterator<Item = f64> {
        (-20..=20).map(move |ulps| f64::from_bits(x.to_bits().wrapping_add_signed(ulps)))
    }

    #[test]
    fn limits_of_the_method_give_the_bits_of_the_reference() {
        let limits = [NEAR, MIDDLE, FAR, SMALL, 2e8, 1e300];
        check_each(limits.into_iter().flat_map(around));
    }

    #[test]
    fn grid_points_and_points_between_them_give_the_bits_of_the_reference() {
        check_each((1..2000).flat_map(|k| around(f64::from(k) / 256.0)));
    }

    #[test]
    fn multiples_of_half_pi_give_the_bits_of_the_reference() {
        let near = (1..2000).map(|k| f64::from(k) * FRAC_PI_2);
        let far = (1..2000).map(|k| f64::from(k * 33_331) * FRAC_PI_2);
        check_each(near.chain(far).flat_map(around));
        // Where pi/2 less the angle lies between two grid points.
        check_each((-220..220).flat_map(|k| around(FRAC_PI_2 - f64::from(k) / 256.0)));
    }

    #[test]
    fn tiny_and_special_numbers_give_the_bits_of_the_reference() {
        check_each((0..52).map(|bit| f64::from_bits(1 << bit)));
        check_each((-1021..10).flat_map(|e| around(2.0_f64.powi(e))));
        check_each([0.0, f64::MIN_POSITIVE, f64::MAX, f64::INFINITY, f64::NAN]);
    }

    /// Of all sizes up to 10^8, and as often within a turn.
    fn angle(rng: &mut Rng) -> f64 {
        let unit = 2.0 * rng.random::<f64>() - 1.0;
        match rng.random_range(0..6) {
            0 => unit * 0.25,
            1 => unit,
            2 => unit * 4.0,
            3 => unit * 100.0,
            4 => unit * FAR,
            _ => unit * 2.0_f64.powi(rng.random_range(-60..26)),
        }
    }

    fn check_random(angles: u32) {
        let mut rng = Seeds::new(1).stream("math", 0);
        for _ in 0..angles / 32 {
            check(&std::array::from_fn(|_| angle(&mut rng)));
            // Near angles take a way of their own if they are among themselves.
            check(&std::array::from_fn(|_| angle(&mut rng) % NEAR));
        }
    }

    #[test]
    fn random_angles_give_the_bits_of_the_reference() {
        check_random(200_000);
    }

    #[test]
    #[ignore = "23 s with --release"]
    fn a_hundred_million_angles_give_the_bits_of_the_reference() {
        check_random(100_000_000);
    }

    #[test]
    fn without_vector_instructions_nothing_changes() {
        let mut rng = Seeds::new(2).stream("math", 0);
        for _ in 0..2000 {
            let angles: [f64; 32] = std::array::from_fn(|_| angle(&mut rng));
            let bits = |x: [f64; 32]| x.map(f64::to_bits);
            let (wide, plain) = (compiled_wide(&angles), sin_cos_lanes(&angles));
            assert_eq!((bits(wide.0), bits(wide.1)), (bits(plain.0), bits(plain.1)));
            let ([sin], [cos]) = sin_cos_lanes(&[angles[7]]);
            let alone = (sin.to_bits(), cos.to_bits());
            assert_eq!(alone, (wide.0[7].to_bits(), wide.1[7].to_bits()));
        }
    }

    #[test]
    fn the_bits_are_the_same_on_every_machine() {
        // Sums of the bits where `a_hundred_million_angles_give_the_bits_of_the_reference` had passed.
        let mut rng = Seeds::new(3).stream("math", 0);
        let mut sums = [0_u64; 2];
        for _ in 0..2000 {
            let (sin, cos) = compiled_wide(&std::array::from_fn(|_| angle(&mut rng)));
            for (sum, values) in sums.iter_mut().zip([sin, cos]) {
                *sum = (values.iter()).fold(*sum, |sum, y| {
                    sum.wrapping_mul(31).wrapping_add(y.to_bits())
                });
            }
        }
        assert_eq!(sums, [1_728_917_574_793_798_397, 8_722_258_055_198_883_004]);
    }
}
