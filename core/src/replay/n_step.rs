//! n-step transitions with their true discounts.

use crate::env::Status;

/// A step whose window is still open.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct OpenStep {
    /// Row of the observation that was acted on.
    pub(super) row: u32,
    /// Reward of this one step.
    pub(super) reward: f32,
}

/// A step whose window has closed `m` steps on, `1 <= m <= n`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Closed {
    /// Row of the observation that was acted on.
    pub(super) row: u32,
    /// `r_t + gamma r_{t+1} + .. + gamma^(m-1) r_{t+m-1}`.
    pub(super) reward: f32,
    /// `gamma^m`, or 0 if the task ended the episode.
    pub(super) discount: f32,
}

/// Turns the stream of each environment into n-step transitions.
///
/// A window closes after `n` steps, or earlier where its episode ends in either way; then `m` is the number of
/// steps really made. All windows that close together end in the same successor.
///
/// # Reference
/// Sutton, *Learning to predict by the methods of temporal differences* (1988); in this form Hessel et al.,
/// *Rainbow* (2018), section "Multi-step learning". Deviations: none where the task ends an episode (the paper's
/// discount is 0 there). The paper knows no truncation; here it cuts windows short, and they bootstrap from the
/// last observation.
#[derive(Debug)]
pub(super) struct NStep {
    n: usize,
    gamma: f64,
    /// `gamma^0 ..= gamma^n`.
    powers: Vec<f32>,
    /// Open steps, oldest first; environment `i` has `n` places from `i * n` on.
    steps: Vec<OpenStep>,
    /// Number of open steps of each environment; below `n` between two pushes.
    open: Vec<u32>,
}

impl NStep {
    pub(super) fn new(n: usize, gamma: f32, num_envs: usize) -> Self {
        let gamma = f64::from(gamma);
        Self {
            n,
            gamma,
            powers: (0..=n as i32).map(|m| gamma.powi(m) as f32).collect(),
            steps: vec![OpenStep::default(); num_envs * n],
            open: vec![0; num_envs],
        }
    }

    /// Bytes of `n` places for each environment.
    pub(super) fn bytes(n: u64, num_envs: u64) -> u64 {
        let env = (size_of::<OpenStep>() as u64).saturating_mul(n) + size_of::<u32>() as u64;
        num_envs
            .saturating_mul(env)
            .saturating_add(n.saturating_add(1).saturating_mul(size_of::<f32>() as u64))
    }

    /// Bytes that were really allocated.
    pub(super) fn allocated(&self) -> usize {
        self.powers.capacity() * size_of::<f32>()
            + self.steps.capacity() * size_of::<OpenStep>()
            + self.open.capacity() * size_of::<u32>()
    }

    pub(super) fn n(&self) -> usize {
        self.n
    }

    /// Forgets all open steps.
    pub(super) fn clear(&mut self) {
        self.open.fill(0);
    }

    /// Takes in a step of environment `env`; calls `each` for the windows that it closes, oldest first.
    #[inline]
    pub(super) fn push(
        &mut self,
        env: usize,
        step: OpenStep,
        status: Status,
        each: impl FnMut(Closed),
    ) {
        let open = self.open[env] as usize;
        self.steps[env * self.n + open] = step;
        self.open[env] += 1;
        if status.is_over() {
            self.close_all(env, status.bootstraps(), each);
        } else if open + 1 == self.n {
            self.close_oldest(env, each);
        }
    }

    /// Closes all windows of environment `env` after its last step.
    pub(super) fn close_all(&mut self, env: usize, bootstraps: bool, mut each: impl FnMut(Closed)) {
        let steps = &self.steps[env * self.n..][..self.open[env] as usize];
        for first in 0..steps.len() {
            each(self.sum(&steps[first..], bootstraps));
        }
        self.open[env] = 0;
    }

    fn close_oldest(&mut self, env: usize, mut each: impl FnMut(Closed)) {
        let window = env * self.n..(env + 1) * self.n;
        each(self.sum(&self.steps[window.clone()], true));
        self.steps
            .copy_within(window.start + 1..window.end, window.start);
        self.open[env] -= 1;
    }

    fn sum(&self, window: &[OpenStep], bootstraps: bool) -> Closed {
        let sum =
            (window.iter().rev()).fold(0.0, |sum, step| f64::from(step.reward) + self.gamma * sum);
        Closed {
            row: window[0].row,
            reward: sum as f32,
            discount: if bootstraps {
                self.powers[window.len()]
            } else {
                0.0
            },
        }
    }

    /// The open steps of environment `env`, oldest first.
    pub(super) fn open_steps(&self, env: usize) -> &[OpenStep] {
        &self.steps[env * self.n..][..self.open[env] as usize]
    }

    /// Makes `steps` the open steps of environment `env`.
    ///
    /// # Panics
    /// If there are `n` or more.
    pub(super) fn set_open_steps(&mut self, env: usize, steps: &[OpenStep]) {
        assert!(steps.len() < self.n, "a window of n steps is closed");
        self.steps[env * self.n..][..steps.len()].copy_from_slice(steps);
        self.open[env] = steps.len() as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pushes `rewards` of environment 0, one row each, the last with `end`; gives what closed after each push.
    fn closed(n_step: &mut NStep, rewards: &[f32], end: Status) -> Vec<Vec<Closed>> {
        let mut all = Vec::new();
        for (i, &reward) in rewards.iter().enumerate() {
            let status = if i + 1 == rewards.len() {
                end
            } else {
                Status::Running
            };
            let mut now = Vec::new();
            let row = i as u32;
            n_step.push(0, OpenStep { row, reward }, status, |c| now.push(c));
            all.push(now);
        }
        all
    }

    fn item(row: u32, reward: f32, discount: f32) -> Closed {
        Closed {
            row,
            reward,
            discount,
        }
    }

    #[test]
    fn a_hand_computed_three_step_episode() {
        // gamma 1/2, rewards 1 2 4 8: 1 + 2/2 + 4/4 = 3; 2 + 4/2 + 8/4 = 6; 4 + 8/2 = 8; 8.
        for (end, last) in [
            (Status::Terminated, [0.0; 3]),
            (Status::Truncated, [0.125, 0.25, 0.5]),
        ] {
            let got = closed(&mut NStep::new(3, 0.5, 1), &[1.0, 2.0, 4.0, 8.0], end);
            let tail = vec![
                item(1, 6.0, last[0]),
                item(2, 8.0, last[1]),
                item(3, 8.0, last[2]),
            ];
            assert_eq!(got, [vec![], vec![], vec![item(0, 3.0, 0.125)], tail]);
        }
    }

    #[test]
    fn n_step_does_not_cross_an_episode_end() {
        let mut n_step = NStep::new(3, 1.0, 1);
        for end in [Status::Terminated, Status::Truncated] {
            let discount = if end.bootstraps() { 1.0 } else { 0.0 };
            // Two steps are fewer than n; the 100 of one episode never shows in the next one.
            let got = closed(&mut n_step, &[1.0, 100.0], end);
            assert_eq!(
                got,
                [
                    vec![],
                    vec![item(0, 101.0, discount), item(1, 100.0, discount)]
                ]
            );
        }
    }

    #[test]
    fn one_step_transitions_close_at_once_with_gamma_itself() {
        let mut n_step = NStep::new(1, 0.99, 1);
        let got = closed(&mut n_step, &[5.0, 7.0], Status::Running);
        assert_eq!(got, [vec![item(0, 5.0, 0.99)], vec![item(1, 7.0, 0.99)]]);
    }

    #[test]
    fn environments_do_not_mix() {
        let mut n_step = NStep::new(2, 1.0, 2);
        let mut got = Vec::new();
        for (env, row, reward, status) in [
            (0, 0, 1.0, Status::Running),
            (1, 1, 10.0, Status::Running),
            (0, 2, 2.0, Status::Running),
            (1, 3, 20.0, Status::Terminated),
        ] {
            n_step.push(env, OpenStep { row, reward }, status, |c| got.push(c));
        }
        assert_eq!(
            got,
            [item(0, 3.0, 1.0), item(1, 30.0, 0.0), item(3, 20.0, 0.0)]
        );
    }
}
