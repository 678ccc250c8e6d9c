//! Proportional prioritization with a sum tree.

use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::agent::EnvSteps;
use crate::error::{Error, Result, check_range};
use crate::schedule::Schedule;
use crate::seed::Rng;

/// Proportional prioritized replay.
///
/// Transition `i` has priority `p_i = (|td_error_i| + epsilon)^alpha`, is drawn with probability
/// `p_i / sum_j p_j`, and its loss is weighted by `p_i^-beta`, scaled so that the largest weight in the batch
/// is 1. A new transition gets the largest priority so far, so everything is soon seen once.
///
/// # Reference
/// Schaul et al., *Prioritized Experience Replay* (2016), sections 3.3 and 3.4, algorithm 1 and appendix B.2.1
/// (one draw from each of `batch` equal parts of the total). Deviations: weights are scaled by the largest of
/// the batch, as algorithm 1 can be read, and not by the largest of the whole memory, which one stale
/// transition decides; the number of transitions then cancels. TD errors that are no finite number
/// leave their priority as it was.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PrioritizedConfig {
    /// Exponent of the priorities: 0 is uniform, 1 fully proportional. Default 0.6 (paper, section 4).
    pub alpha: f64,
    /// Exponent of the importance weights in environment steps: 0 corrects nothing, 1 all of the bias. Default
    /// linear from 0.4 to 1 (paper, section 4) over 50 million steps, the length of an Atari run; for other
    /// problems give the length of the run.
    pub beta: Schedule,
    /// Added to every |TD error|, so that no transition is lost. Default 1e-6; the paper gives no value, this is
    /// that of OpenAI Baselines (`prioritized_replay_eps` in `deepq.py`).
    pub epsilon: f64,
}

impl Default for PrioritizedConfig {
    fn default() -> Self {
        Self {
            alpha: 0.6,
            beta: Schedule::linear(0.4, 1.0, 50_000_000),
            epsilon: 1e-6,
        }
    }
}

impl PrioritizedConfig {
    /// # Errors
    /// [`Error::Config`] if a number is out of range.
    pub fn check(&self) -> Result<()> {
        check_range("alpha", self.alpha, 0.0..=1.0)?;
        self.beta.check("beta", 0.0, 1.0)?;
        if self.epsilon > 0.0 && self.epsilon <= 1.0 {
            return Ok(());
        }
        let what = format!(
            "{} is out of range; give a number above 0 and at most 1",
            self.epsilon
        );
        Err(Error::config("epsilon", what))
    }
}

/// No priority is larger: `(f32::MAX + 1)^1` is below, and a sum over all rows stays finite.
pub(super) const MAX_PRIORITY: f64 = 1e39;

/// Priorities of the rows; 0 where no transition can be drawn.
#[derive(Debug)]
pub(super) struct Prioritized {
    config: PrioritizedConfig,
    tree: SumTree,
    /// Largest priority given so far.
    pub(super) max_priority: f64,
}

impl Prioritized {
    pub(super) fn new(config: PrioritizedConfig, capacity: usize) -> Self {
        Self {
            config,
            tree: SumTree::new(capacity),
            max_priority: 1.0,
        }
    }

    /// Bytes for `capacity` rows.
    pub(super) fn bytes(capacity: u64) -> u64 {
        capacity.saturating_mul(2 * size_of::<f64>() as u64)
    }

    /// Bytes that were really allocated.
    pub(super) fn allocated(&self) -> usize {
        self.tree.nodes.capacity() * size_of::<f64>()
    }

    /// Forgets all priorities.
    pub(super) fn clear(&mut self) {
        self.tree.nodes.fill(0.0);
        self.max_priority = 1.0;
    }

    /// The transition of `row` can be drawn from now on.
    pub(super) fn add(&mut self, row: usize) {
        self.tree.set(row, self.max_priority);
    }

    /// The transition of `row` can be drawn no more.
    pub(super) fn remove(&mut self, row: usize) {
        self.tree.set(row, 0.0);
    }

    /// Priorities of the first `rows` rows.
    pub(super) fn priorities(&self, rows: usize) -> &[f64] {
        &self.tree.nodes[self.tree.len()..][..rows]
    }

    /// Sets the priorities of the first `rows` rows to what `next` gives; all others are 0.
    ///
    /// # Errors
    /// Those of `next`; then call [`clear`](Prioritized::clear).
    pub(super) fn set_priorities(
        &mut self,
        rows: usize,
        next: impl FnMut(usize) -> Result<f64>,
    ) -> Result<()> {
        self.tree.nodes.fill(0.0);
        let leaves = self.tree.len();
        let priorities = (0..rows).map(next);
        for (leaf, priority) in self.tree.nodes[leaves..].iter_mut().zip(priorities) {
            *leaf = priority?;
        }
        self.tree.sum_up();
        Ok(())
    }

    /// Gives the transitions of `rows` priorities for new absolute TD errors.
    pub(super) fn update(&mut self, rows: &[usize], td_errors_abs: &[f32]) {
        for (&row, &error) in rows.iter().zip(td_errors_abs) {
            let can_be_drawn = self.tree.get(row) > 0.0;
            if error.is_finite() && can_be_drawn {
                let raised = f64::from(error.abs()) + self.config.epsilon;
                let priority = raised.powf(self.config.alpha);
                self.max_priority = self.max_priority.max(priority);
                self.tree.set(row, priority);
            }
        }
    }

    /// Draws `rows.len()` rows and their importance weights; `scratch` has the same length.
    ///
    /// # Panics
    /// If all priorities are 0.
    pub(super) fn sample(
        &self,
        rng: &mut Rng,
        step: EnvSteps,
        rows: &mut [usize],
        weights: &mut [f32],
        scratch: &mut [f64],
    ) {
        let part = self.tree.total() / rows.len() as f64;
        for (i, at) in scratch.iter_mut().enumerate() {
            *at = (i as f64 + rng.random::<f64>()) * part;
        }
        self.tree.find(scratch, rows);
        for (priority, &row) in scratch.iter_mut().zip(&*rows) {
            *priority = self.tree.get(row);
        }
        let least = scratch.iter().copied().fold(f64::INFINITY, f64::min);
        let beta = self.config.beta.at(step);
        for (weight, priority) in weights.iter_mut().zip(scratch) {
            *weight = (least / *priority).powf(beta) as f32;
        }
    }
}

/// A complete binary tree over `len` leaves of which every node is the sum of its two children.
///
/// Node 1 is the root, nodes `2i` and `2i + 1` are the children of `i`, and leaf `i` is node `len + i`. A node is
/// always recomputed from its children and never changed by a difference: rounding cannot pile up, and the
/// leaves alone determine every node bit for bit.
#[derive(Debug)]
struct SumTree {
    nodes: Vec<f64>,
}

impl SumTree {
    /// # Panics
    /// If there are fewer than two leaves.
    fn new(len: usize) -> Self {
        assert!(len >= 2, "a sum tree has a root and two leaves");
        Self {
            nodes: vec![0.0; 2 * len],
        }
    }

    fn len(&self) -> usize {
        self.nodes.len() / 2
    }

    fn total(&self) -> f64 {
        self.nodes[1]
    }

    fn get(&self, leaf: usize) -> f64 {
        self.nodes[self.len() + leaf]
    }

    fn set(&mut self, leaf: usize, value: f64) {
        let mut node = self.len() + leaf;
        let mut sum = value;
        self.nodes[node] = sum;
        while node > 1 {
            sum += self.nodes[node ^ 1]; // the sibling; a sum of two does not depend on their order
            node /= 2;
            self.nodes[node] = sum;
        }
    }

    /// Computes every node from the leaves.
    fn sum_up(&mut self) {
        for node in (1..self.len()).rev() {
            self.nodes[node] = self.nodes[2 * node] + self.nodes[2 * node + 1];
        }
    }

    /// Turns each number in `0..total` of `at` into the leaf in whose share of the total it lies. Leaves of value
    /// 0 are never found, however the sums were rounded. Spoils `at`.
    ///
    /// All descend together, level by level, so that one waits for memory while others do.
    ///
    /// # Panics
    /// If the total is 0.
    fn find(&self, at: &mut [f64], leaves: &mut [usize]) {
        assert!(self.total() > 0.0, "nothing to draw from");
        let len = self.len();
        let (children, _) = self.nodes.as_chunks::<2>();
        let descend = |at: &mut f64, node: &mut usize| {
            let [left, right] = children[*node];
            let goes_right = (*at >= left) & (right > 0.0);
            // Which way is a coin toss that no processor predicts, so there must be no branch. The bits of floats
            // that are not negative are in their order, and a set sign is above all: `at - left` if that is not
            // negative, else `at`.
            *at = f64::from_bits((*at - left).to_bits().min(at.to_bits()));
            *node = 2 * *node + usize::from(goes_right);
        };
        leaves.fill(1);
        for _ in 0..len.ilog2() {
            for (at, node) in at.iter_mut().zip(leaves.iter_mut()) {
                descend(at, node);
            }
        }
        // If `len` is no power of two, some leaves lie one level deeper than others.
        for (at, node) in at.iter_mut().zip(leaves.iter_mut()) {
            if *node < len {
                descend(at, node);
            }
        }
        leaves.iter_mut().for_each(|node| *node -= len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seeds;

    fn rng() -> Rng {
        Seeds::new(5).stream("sample", 0)
    }

    /// Five rows with priorities for the TD errors 1 to 5.
    fn five(config: PrioritizedConfig) -> Prioritized {
        let mut prioritized = Prioritized::new(config, 5);
        (0..5).for_each(|row| prioritized.add(row));
        prioritized.update(&[0, 1, 2, 3, 4], &[1.0, 2.0, 3.0, 4.0, 5.0]);
        prioritized
    }

    fn draw(prioritized: &Prioritized, batch: usize, step: EnvSteps) -> (Vec<usize>, Vec<f32>) {
        let (mut rows, mut weights) = (vec![0; batch], vec![0.0; batch]);
        prioritized.sample(
            &mut rng(),
            step,
            &mut rows,
            &mut weights,
            &mut vec![0.0; batch],
        );
        (rows, weights)
    }

    #[test]
    fn a_leaf_is_found_over_exactly_its_share() {
        // Whole numbers: every sum is exact, so half-way between them each leaf is met as often as it counts.
        let mut rng = rng();
        for len in 2..40 {
            let mut tree = SumTree::new(len);
            let values: Vec<usize> = (0..len).map(|_| rng.random_range(0..6)).collect();
            for (leaf, &value) in values.iter().enumerate() {
                tree.set(leaf, value as f64);
            }
            let total: usize = values.iter().sum();
            assert_eq!(tree.total(), total as f64);
            let mut at: Vec<f64> = (0..total).map(|i| i as f64 + 0.5).collect();
            let mut leaves = vec![0; total];
            tree.find(&mut at, &mut leaves);
            let mut counts = vec![0; len];
            leaves.iter().for_each(|&leaf| counts[leaf] += 1);
            assert_eq!(counts, values);
        }
    }

    #[test]
    fn a_leaf_of_zero_is_never_found_however_sums_round() {
        let mut rng = rng();
        for len in 2..40 {
            let mut tree = SumTree::new(len);
            for _ in 0..200 {
                let value = match rng.random_range(0..3) {
                    0 => 0.0,
                    _ => 10f64.powi(rng.random_range(-30..30)) * rng.random::<f64>(),
                };
                tree.set(rng.random_range(0..len), value);
                if tree.total() == 0.0 {
                    continue;
                }
                // The total itself, too: a draw may round up to it.
                let mut at = [0.0, tree.total() * rng.random::<f64>(), tree.total()];
                let mut leaves = [0; 3];
                tree.find(&mut at, &mut leaves);
                assert!(leaves.iter().all(|&leaf| tree.get(leaf) > 0.0));
            }
        }
    }

    #[test]
    fn sums_follow_from_the_leaves_alone_bit_for_bit() {
        let mut rng = rng();
        let mut tree = SumTree::new(37);
        for _ in 0..1000 {
            tree.set(rng.random_range(0..37), rng.random());
        }
        let mut again = SumTree::new(37);
        again.nodes[37..].copy_from_slice(&tree.nodes[37..]);
        again.sum_up();
        assert_eq!(again.nodes, tree.nodes);
    }

    #[test]
    fn new_items_get_the_maximum_priority() {
        let mut prioritized = Prioritized::new(PrioritizedConfig::default(), 5);
        prioritized.add(0);
        assert_eq!(prioritized.tree.get(0), 1.0, "before any update");
        prioritized.update(&[0], &[31.0]);
        let largest = (31.0f64 + 1e-6).powf(0.6);
        prioritized.update(&[0], &[0.5]);
        prioritized.add(1);
        assert_eq!(
            prioritized.tree.get(1),
            largest,
            "the largest ever, not of now"
        );
    }

    #[test]
    fn weights_undo_the_preference_and_the_largest_is_one() {
        for (beta, step) in [(0.4, 0), (0.7, 50), (1.0, 100), (1.0, 1000)] {
            let config = PrioritizedConfig {
                alpha: 1.0,
                beta: Schedule::linear(0.4, 1.0, 100),
                ..Default::default()
            };
            let (rows, weights) = draw(&five(config), 20, step);
            let least = rows.iter().min().unwrap();
            for (&row, &weight) in rows.iter().zip(&weights) {
                // Priorities are row + 1 + 1e-6: (P(row) / P(least))^-beta.
                let expected = ((row + 1) as f64 / (least + 1) as f64).powf(-beta);
                assert!(
                    (f64::from(weight) - expected).abs() < 2e-6,
                    "{weight} {expected}"
                );
            }
        }
    }

    #[test]
    fn each_equal_part_of_the_total_is_drawn_from_once() {
        let mut prioritized = Prioritized::new(PrioritizedConfig::default(), 8);
        (0..8).for_each(|row| prioritized.add(row));
        for _ in 0..20 {
            let (mut rows, _) = draw(&prioritized, 8, 0);
            rows.sort_unstable();
            assert_eq!(rows, [0, 1, 2, 3, 4, 5, 6, 7]);
        }
    }

    #[test]
    fn td_errors_that_are_no_numbers_change_nothing() {
        let mut prioritized = five(PrioritizedConfig::default());
        let before = prioritized.tree.nodes.clone();
        prioritized.update(&[0, 1, 2], &[f32::NAN, f32::INFINITY, f32::NEG_INFINITY]);
        assert_eq!(prioritized.tree.nodes, before);
        assert_eq!(prioritized.max_priority, (5.0f64 + 1e-6).powf(0.6));
        prioritized.update(&[3], &[f32::MAX]);
        assert!(prioritized.max_priority <= MAX_PRIORITY);
        let (rows, weights) = draw(&prioritized, 10, 0);
        assert_eq!(rows, [3; 10], "one priority that outweighs all others");
        assert_eq!(weights, [1.0; 10]);
    }

    #[test]
    fn a_removed_row_is_not_drawn_and_an_update_does_not_bring_it_back() {
        let mut prioritized = five(PrioritizedConfig::default());
        prioritized.remove(4);
        prioritized.update(&[4], &[100.0]);
        assert!(draw(&prioritized, 100, 0).0.iter().all(|&row| row < 4));
    }
}
