//! Rewards for what the policy thinks likely, and soft values (Munchausen DQN).
//!
//! # Reference
//! Vieillard, Pietquin and Geist, "Munchausen Reinforcement Learning" (2020), equation 1 (M-DQN) and section 4
//! (M-IQN). Deviations: none.

use super::quantile_means;

/// How strongly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Munchausen {
    /// Share of the scaled log-policy that is added to the reward.
    pub alpha: f32,
    /// Temperature of the softmax policy, in units of Q-values.
    pub temperature: f32,
    /// The scaled log-policy is not counted below this (negative) number.
    pub clip: f32,
}

/// Writes `temperature * ln softmax(q / temperature)` into `out`, of the same length.
fn scaled_log_policy(q: &[f32], temperature: f32, out: &mut Vec<f32>) {
    let max = q.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = q.iter().map(|q| ((q - max) / temperature).exp()).sum();
    let normaliser = max + temperature * sum.ln();
    out.clear();
    out.extend(q.iter().map(|q| q - normaliser));
}

impl Munchausen {
    /// Adds `alpha * clip(temperature * ln policy(a_t | s_t))` to `r_t` `[batch]`, the policy being that of `q_t`
    /// `[batch, actions]`, the target network's values of the state acted on.
    ///
    /// # Panics
    /// If the shapes do not fit, or an action is out of range.
    pub fn add_bonus(&self, q_t: &[f32], a_t: &[i32], r_t: &mut [f32]) {
        assert_eq!((a_t.len(), q_t.len() % r_t.len()), (r_t.len(), 0), "rows");
        let mut log = Vec::new();
        let rows = q_t.chunks_exact(q_t.len() / r_t.len());
        for ((q, &a), r) in rows.zip(a_t).zip(r_t) {
            scaled_log_policy(q, self.temperature, &mut log);
            *r += self.alpha * log[a as usize].clamp(self.clip, 0.0);
        }
    }

    /// Values of the next states: `values` `[batch, actions, atoms]` to `v_next` `[batch, atoms]`,
    /// `sum_a policy(a) * (values[a] - temperature * ln policy(a))`, the policy being that of the atoms' means.
    pub fn soft_values(&self, values: &[f32], actions: usize, atoms: usize, v_next: &mut Vec<f32>) {
        v_next.clear();
        let (mut q, mut log) = (Vec::new(), Vec::new());
        for row in values.chunks_exact(actions * atoms) {
            quantile_means(row, atoms, &mut q);
            scaled_log_policy(&q, self.temperature, &mut log);
            let start = v_next.len();
            v_next.resize(start + atoms, 0.0);
            for (values, log) in row.chunks_exact(atoms).zip(&log) {
                let p = (log / self.temperature).exp();
                for (v, value) in v_next[start..].iter_mut().zip(values) {
                    *v += p * (value - log);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const M: Munchausen = Munchausen {
        alpha: 0.9,
        temperature: 0.5,
        clip: -1.0,
    };

    #[test]
    fn bonus_is_the_clipped_log_policy_of_the_action_taken() {
        // Equal values: ln 1/2, times 0.5. Values 0 and 10: the bad action has a scaled log-policy of -10, clipped.
        let mut r = [1.0, 1.0, 1.0];
        M.add_bonus(&[3.0, 3.0, 0.0, 10.0, 0.0, 10.0], &[0, 0, 1], &mut r);
        let expected = [1.0 - 0.9 * 0.5 * 2_f32.ln(), 1.0 - 0.9, 1.0];
        assert!(
            r.iter().zip(expected).all(|(r, e)| (r - e).abs() < 1e-6),
            "{r:?}"
        );
    }

    #[test]
    fn soft_values_are_the_log_sum_of_exponentials() {
        // For one atom, sum p (q - t ln p) = t ln sum exp(q / t).
        let q = [0.3_f32, -0.2, 0.9];
        let expected = 0.5 * q.iter().map(|q| (q / 0.5).exp()).sum::<f32>().ln();
        let mut v = Vec::new();
        M.soft_values(&q, 3, 1, &mut v);
        assert!((v[0] - expected).abs() < 1e-6, "{v:?}");
    }

    #[test]
    fn atoms_are_mixed_by_the_policy_of_their_means() {
        // Means 1 and 1: a fair coin, whose entropy adds 0.5 ln 2.
        let mut v = Vec::new();
        M.soft_values(&[0.0, 2.0, 1.0, 1.0], 2, 2, &mut v);
        let bonus = 0.5 * 2_f32.ln();
        let expected = [0.5 + bonus, 1.5 + bonus];
        assert!(
            v.iter().zip(expected).all(|(v, e)| (v - e).abs() < 1e-6),
            "{v:?}"
        );
    }

    #[test]
    fn large_values_do_not_overflow() {
        let mut v = Vec::new();
        M.soft_values(&[1e4, -1e4], 2, 1, &mut v);
        assert_eq!(v, [1e4]);
    }
}
