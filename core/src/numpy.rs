//! numpy's random streams, for starts that another program draws from the same seed.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// numpy's `Generator(PCG64(SeedSequence(seed)))`, which Gymnasium's `reset(seed)` makes: the same numbers in
/// the same order.
///
/// An environment draws from it in [`Env::numpy_reset`](crate::Env::numpy_reset) and nowhere else; everything
/// else comes from [`Seeds`](crate::Seeds).
///
/// ```
/// use thorndike_core::NumpyRng;
/// let mut rng = NumpyRng::new(0); // numpy.random.default_rng(0)
/// assert_eq!(rng.uniform(0.0, 1.0), 0.6369616873214543); // rng.uniform(0, 1)
/// ```
///
/// # Reference
/// O'Neill, *PCG: A Family of Simple Fast Space-Efficient Statistically Good Algorithms for Random Number
/// Generation*, 2014 (PCG XSL RR 128/64); Lemire, *Fast Random Integer Generation in an Interval*, 2019; seeding:
/// numpy's `SeedSequence`, NEP 19, after O'Neill's `seed_seq_fe`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumpyRng {
    state: u128,
    increment: u128,
    /// Upper half of the last draw, while its lower half alone has been used.
    half: Option<u32>,
}

const MULTIPLIER: u128 = 0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645;

impl NumpyRng {
    /// The stream of `seed`, from its start.
    pub fn new(seed: u64) -> Self {
        let [state_high, state_low, stream_high, stream_low] = seed_words(seed).map(u128::from);
        let mut this = Self {
            state: 0,
            increment: ((stream_high << 64 | stream_low) << 1) | 1,
            half: None,
        };
        this.turn();
        this.state = this.state.wrapping_add(state_high << 64 | state_low);
        this.turn();
        this
    }

    fn turn(&mut self) {
        self.state = self
            .state
            .wrapping_mul(MULTIPLIER)
            .wrapping_add(self.increment);
    }

    /// 64 random bits.
    fn next_u64(&mut self) -> u64 {
        self.turn();
        let folded = (self.state >> 64) as u64 ^ self.state as u64;
        folded.rotate_right((self.state >> 122) as u32)
    }

    /// 32 random bits: the lower half of a draw, then its upper half.
    fn next_u32(&mut self) -> u32 {
        self.half.take().unwrap_or_else(|| {
            let bits = self.next_u64();
            self.half = Some((bits >> 32) as u32);
            bits as u32
        })
    }

    /// `random()`: uniform in `[0, 1)`.
    pub fn random(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// `uniform(low, high)`.
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.random()
    }

    /// `integers(low, high)`: uniform in `low..high`.
    ///
    /// # Panics
    /// If the range is empty.
    pub fn integers(&mut self, range: Range<i64>) -> i64 {
        assert!(range.start < range.end, "no integer in {range:?}");
        let count = range.end.wrapping_sub(range.start) as u64;
        range.start.wrapping_add(self.below(count) as i64)
    }

    /// `choice(count)`: uniform in `0..count`.
    ///
    /// # Panics
    /// If `count` is 0.
    pub fn choice(&mut self, count: usize) -> usize {
        assert!(count > 0, "nothing to choose from");
        self.below(count as u64) as usize
    }

    /// `choice(len, p=probabilities)`.
    ///
    /// # Panics
    /// If there are no probabilities.
    pub fn choice_with(&mut self, probabilities: &[f64]) -> usize {
        let sum: f64 = probabilities.iter().sum();
        let u = self.random();
        let mut reached = 0.0;
        let chosen = probabilities.iter().position(|p| {
            reached += p;
            u < reached / sum
        });
        chosen.unwrap_or(probabilities.len() - 1)
    }

    /// Uniform in `0..count` by Lemire's method, on 32 bits where they are enough.
    fn below(&mut self, count: u64) -> u64 {
        match count {
            // Without a draw, as in numpy.
            1 => 0,
            2..=0xffff_ffff => {
                let least = (count as u32).wrapping_neg() % count as u32;
                loop {
                    let product = u64::from(self.next_u32()) * count;
                    if product as u32 >= least {
                        return product >> 32;
                    }
                }
            }
            0x1_0000_0000 => self.next_u32().into(),
            _ => {
                let least = count.wrapping_neg() % count;
                loop {
                    let product = u128::from(self.next_u64()) * u128::from(count);
                    if product as u64 >= least {
                        return (product >> 64) as u64;
                    }
                }
            }
        }
    }
}

/// What numpy's `SeedSequence(seed).generate_state(4, uint64)` gives.
fn seed_words(seed: u64) -> [u64; 4] {
    const POOL: usize = 4;
    let mut hash_by = 0x43b0_d7e5_u32;
    let mut hash = |value: u32| {
        let value = value ^ hash_by;
        hash_by = hash_by.wrapping_mul(0x931e_8875);
        let value = value.wrapping_mul(hash_by);
        value ^ value >> 16
    };
    let mut pool = [seed as u32, (seed >> 32) as u32, 0, 0].map(&mut hash);
    for from in 0..POOL {
        for to in (0..POOL).filter(|&to| to != from) {
            let added = 0x4973_f715_u32.wrapping_mul(hash(pool[from]));
            let mixed = 0xca01_f9dd_u32.wrapping_mul(pool[to]).wrapping_sub(added);
            pool[to] = mixed ^ mixed >> 16;
        }
    }
    let mut hash_by = 0x8b51_f9dd_u32;
    let mut word = |i: usize| {
        let value = pool[i % POOL] ^ hash_by;
        hash_by = hash_by.wrapping_mul(0x58f3_8ded);
        let value = value.wrapping_mul(hash_by);
        u64::from(value ^ value >> 16)
    };
    std::array::from_fn(|i| word(2 * i) | word(2 * i + 1) << 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `numpy.random.SeedSequence(0).generate_state(4, "uint64")` and the first draws of `PCG64(0)`, numpy 2.4.6.
    /// All of the recorded streams are compared in the tests of the environments.
    #[test]
    fn the_stream_of_0_is_that_of_numpy() {
        let words = [
            15_793_235_383_387_715_774,
            12_390_638_538_380_655_177,
            2_361_836_109_651_742_017,
            3_188_717_715_514_472_916,
        ];
        assert_eq!(seed_words(0), words);
        let mut rng = NumpyRng::new(0);
        let drawn = [rng.next_u64(), rng.next_u64()];
        assert_eq!(
            drawn,
            [11_749_869_230_777_074_271, 4_976_686_463_289_251_617]
        );
    }

    #[test]
    fn halves_of_a_draw_serve_two_small_integers() {
        let mut rng = NumpyRng::new(3);
        let bits = rng.clone().next_u64();
        assert_eq!(
            [rng.next_u32(), rng.next_u32()],
            [bits as u32, (bits >> 32) as u32]
        );
    }

    #[test]
    fn one_possibility_takes_no_draw() {
        let mut rng = NumpyRng::new(3);
        assert_eq!((rng.choice(1), rng.integers(-5..-4)), (0, -5));
        assert_eq!(rng, NumpyRng::new(3));
    }

    #[test]
    fn integers_over_the_whole_range_are_within_it() {
        let mut rng = NumpyRng::new(1);
        for range in [i64::MIN..i64::MAX, -1..1 << 32, 0..1 << 32] {
            assert!(range.contains(&rng.integers(range.clone())));
        }
    }

    #[test]
    fn a_saved_stream_goes_on_where_it_was() {
        let mut rng = NumpyRng::new(1);
        rng.choice(13);
        let bytes = postcard::to_stdvec(&rng).unwrap();
        let mut copy: NumpyRng = postcard::from_bytes(&bytes).unwrap();
        for _ in 0..9 {
            assert_eq!(rng.choice(13), copy.choice(13));
        }
    }
}
