//! Returns over several steps, mixed by lambda.

use thorndike_core::Status;

/// Writes the lambda-return of every step into `returns`. All are `[steps, environments]`, row by row; `v_next` is the
/// value of what each step led to, its own successor and not the start of the next episode.
///
/// With `[gamma, lambda]`, a step's return is `r + gamma * ((1 - lambda) * v_next + lambda * return of the next step)`
/// where its episode goes on; `r` where the task ended it; and `r + gamma * v_next` where it was cut off and in the last
/// step.
///
/// # Reference
/// Sutton and Barto, "Reinforcement Learning: An Introduction" (2018), equation 12.3, with the maximum of Q as value
/// (Peng's Q(λ)); Gallici et al., "Simplifying Deep Temporal Difference Learning" (2024), section 4. Deviations: none.
///
/// # Panics
/// If the lengths differ or are no multiple of the environments.
pub fn lambda_returns(
    rewards: &[f32],
    status: &[Status],
    v_next: &[f32],
    num_envs: usize,
    [gamma, lambda]: [f32; 2],
    returns: &mut [f32],
) {
    let len = rewards.len();
    assert_eq!(
        [status.len(), v_next.len(), returns.len()],
        [len; 3],
        "steps"
    );
    assert!(len.is_multiple_of(num_envs), "environments");
    for step in (0..len).rev() {
        let later = returns.get(step + num_envs);
        let next = match (status[step], later) {
            (Status::Terminated, _) => {
                // A network gone wild must not turn a known end into NaN.
                returns[step] = rewards[step];
                continue;
            }
            (Status::Running, Some(later)) => (1.0 - lambda) * v_next[step] + lambda * later,
            _ => v_next[step],
        };
        returns[step] = rewards[step] + gamma * next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Status::{Running, Terminated, Truncated};

    /// Returns of one environment at gamma 0.5, rewards 1, 2, 3 and values of the successors 10, 20, 30.
    fn returns(status: [Status; 3], lambda: f32) -> [f32; 3] {
        let mut returns = [0.0; 3];
        let (r, v) = ([1.0, 2.0, 3.0], [10.0, 20.0, 30.0]);
        lambda_returns(&r, &status, &v, 1, [0.5, lambda], &mut returns);
        returns
    }

    #[test]
    fn no_lambda_is_one_step() {
        assert_eq!(returns([Running; 3], 0.0), [6.0, 12.0, 18.0]);
    }

    #[test]
    fn full_lambda_is_the_discounted_sum_with_the_last_value() {
        // 3 + 15 = 18; 2 + 9 = 11; 1 + 5.5 = 6.5.
        assert_eq!(returns([Running; 3], 1.0), [6.5, 11.0, 18.0]);
    }

    #[test]
    fn half_a_lambda_mixes_both() {
        // 18; 2 + 0.5 * (10 + 9) = 11.5; 1 + 0.5 * (5 + 5.75) = 6.375.
        assert_eq!(returns([Running; 3], 0.5), [6.375, 11.5, 18.0]);
    }

    #[test]
    fn an_end_stops_the_sum_and_a_cut_bootstraps() {
        assert_eq!(
            returns([Running, Terminated, Running], 1.0),
            [2.0, 2.0, 18.0]
        );
        // 2 + 0.5 * 20 = 12; 1 + 0.5 * 12 = 7: nothing of the next episode.
        assert_eq!(
            returns([Running, Truncated, Running], 1.0),
            [7.0, 12.0, 18.0]
        );
        assert_eq!(returns([Running, Running, Terminated], 0.0)[2], 3.0);
    }

    #[test]
    fn environments_are_apart() {
        let mut both = [0.0; 6];
        let (r, v) = (
            [1.0, 0.0, 2.0, 0.0, 3.0, 0.0],
            [10.0, 9.0, 20.0, 9.0, 30.0, 9.0],
        );
        let status = [
            Running, Terminated, Running, Terminated, Running, Terminated,
        ];
        lambda_returns(&r, &status, &v, 2, [0.5, 0.5], &mut both);
        assert_eq!(both, [6.375, 0.0, 11.5, 0.0, 18.0, 0.0]);
    }
}
