//! Draws from a fixed distribution in constant time.

/// Numbers `0..n` with given weights, two steps a draw.
///
/// # Reference
/// Walker, *An Efficient Method for Generating Discrete Random Variables with General Distributions*, 1977; the table is
/// made as Vose, *A Linear Algorithm for Generating Random Numbers with a Given Distribution*, 1991. Deviations:
/// probabilities are rounded to 32 bits.
#[derive(Clone, Debug)]
pub(crate) struct Alias {
    /// Of each slot: how much of 2^32 is its own number's, and whose the rest is.
    slots: Vec<(u32, u32)>,
}

impl Alias {
    /// A table for `weights`, which are not negative and not all zero.
    pub(crate) fn new(weights: &[f64]) -> Self {
        let n = weights.len();
        let total: f64 = weights.iter().sum();
        let mut shares: Vec<f64> = weights.iter().map(|w| w / total * n as f64).collect();
        let mut slots: Vec<(u32, u32)> = (0..n as u32).map(|i| (u32::MAX, i)).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) =
            (0..n).partition(|&i| shares[i] < 1.0);
        while let (Some(&low), Some(&high)) = (small.last(), large.last()) {
            small.pop();
            slots[low] = ((shares[low] * 4_294_967_296.0) as u32, high as u32);
            shares[high] -= 1.0 - shares[low];
            if shares[high] < 1.0 {
                large.pop();
                small.push(high);
            }
        }
        Self { slots }
    }

    /// The number that goes with 64 random bits.
    #[inline(always)]
    pub(crate) fn draw(&self, bits: u64) -> u32 {
        let slot = ((bits >> 32) * self.slots.len() as u64) >> 32;
        let (own, other) = self.slots[slot as usize];
        if (bits as u32) < own {
            slot as u32
        } else {
            other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::word2vec::SplitMix;

    #[test]
    fn numbers_are_drawn_as_often_as_their_weights_say() {
        let weights = [5.0, 0.0, 1.0, 3.0, 0.5, 10.0];
        let alias = Alias::new(&weights);
        let mut rng = SplitMix::new(3);
        const DRAWS: usize = 1_000_000;
        let mut counts = [0_usize; 6];
        (0..DRAWS).for_each(|_| counts[alias.draw(rng.next()) as usize] += 1);
        let total: f64 = weights.iter().sum();
        for (&count, weight) in counts.iter().zip(weights) {
            let p = weight / total;
            let deviation = (DRAWS as f64 * p * (1.0 - p)).sqrt();
            assert!(
                (count as f64 - DRAWS as f64 * p).abs() <= 4.0 * deviation,
                "{counts:?}"
            );
        }
    }

    #[test]
    fn one_number_is_always_drawn() {
        let alias = Alias::new(&[2.0]);
        assert_eq!(alias.draw(u64::MAX), 0);
    }
}
