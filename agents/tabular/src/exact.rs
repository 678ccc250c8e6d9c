//! Exact solutions of small problems whose dynamics are known.
//!
//! [`Solver`] writes the outcomes of a [`FiniteMdp`] out once, in one flat list, and solves it by
//! dynamic programming. It scores what agents learned: the optimum is a line in a plot, and the regret of
//! a learned policy is a number, not a sample.
//!
//! ```
//! use thorndike_core::{FiniteMdp, Step};
//! use thorndike_tabular::exact::Solver;
//!
//! /// Two rooms: stay for 0, or walk on for -1 and then out for 3.
//! struct Rooms;
//! impl FiniteMdp for Rooms {
//!     fn num_states(&self) -> usize { 2 }
//!     fn num_actions(&self) -> usize { 2 }
//!     fn starts(&self, each: &mut dyn FnMut(f64, usize)) { each(1.0, 0) }
//!     fn outcomes(&self, state: usize, action: usize, each: &mut dyn FnMut(f64, usize, Step)) {
//!         match (state, action) {
//!             (_, 0) => each(1.0, state, Step::running(0.0)),
//!             (0, _) => each(1.0, 1, Step::running(-1.0)),
//!             _ => each(1.0, 1, Step::terminal(3.0)),
//!         }
//!     }
//! }
//! let rooms = Solver::new(&Rooms)?;
//! let solution = rooms.value_iteration(0.5, 1e-9)?;
//! assert_eq!(solution.v, [0.5, 3.0]);
//! assert_eq!(solution.q, [0.25, 0.5, 1.5, 3.0]);
//! assert_eq!(rooms.best_return(Some(1))?, 0.0);
//! assert_eq!(rooms.best_return(None)?, 2.0);
//! let learned = rooms.greedy(&[1.0, 0.0, 0.0, 1.0]);
//! assert_eq!(rooms.policy_return(&learned, None)?, 0.0, "it stays in the first room");
//! # Ok::<(), thorndike_core::Error>(())
//! ```
//!
//! # Reference
//! Sutton and Barto, *Reinforcement Learning: An Introduction*, 2nd ed. (2018), sections 4.1 and 4.4; Puterman,
//! *Markov Decision Processes* (1994), section 4.5 for a limited number of steps.

use thorndike_core::{Actor, Array, Error, FiniteMdp, Mode, Result, check_range};

use crate::explore::{argmax, max};

/// Sweeps after which values that still change are called unbounded.
const MAX_SWEEPS: usize = 200_000;

/// Change in a sweep, relative to the greatest value, that may be nothing but rounding.
const ROUNDING: f64 = 8.0 * f64::EPSILON;

/// All outcomes of a problem, written out.
#[derive(Clone, Debug)]
pub struct Solver {
    states: usize,
    actions: usize,
    /// Outcomes of pair `s * actions + a` are `first[pair]..first[pair + 1]`.
    first: Vec<usize>,
    outcomes: Vec<Outcome>,
    starts: Vec<(f64, usize)>,
}

#[derive(Clone, Copy, Debug)]
struct Outcome {
    probability: f64,
    reward: f64,
    /// `None`: the episode ended.
    next: Option<usize>,
}

/// Values of the best policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Solution {
    /// Value of each state.
    pub v: Vec<f64>,
    /// Value of each pair, `[states, actions]`.
    pub q: Vec<f64>,
    /// Sweeps over all states that it took.
    pub sweeps: usize,
}

impl Solver {
    /// Writes the outcomes of `mdp` out.
    ///
    /// # Errors
    /// [`Error::Config`] if probabilities are no probabilities, a state does not exist, or a reward is no
    /// finite number.
    pub fn new(mdp: &dyn FiniteMdp) -> Result<Self> {
        let (states, actions) = (mdp.num_states(), mdp.num_actions());
        let mut this = Self {
            states,
            actions,
            first: vec![0],
            outcomes: Vec::new(),
            starts: Vec::new(),
        };
        mdp.starts(&mut |probability, state| this.starts.push((probability, state)));
        check_distribution("start", states, this.starts.iter().copied())?;
        let mut row = Vec::new();
        for pair in 0..states * actions {
            let (state, action) = (pair / actions, pair % actions);
            let place = || format!("state {state}, action {action}");
            row.clear();
            mdp.outcomes(state, action, &mut |p, next, step| {
                row.push((p, next, step))
            });
            check_distribution(&place(), states, row.iter().map(|&(p, next, _)| (p, next)))?;
            if let Some((_, _, step)) = row.iter().find(|(_, _, step)| !step.reward.is_finite()) {
                return Err(Error::config(
                    place(),
                    format!("the reward is {}", step.reward),
                ));
            }
            this.outcomes
                .extend(row.iter().map(|&(probability, next, step)| Outcome {
                    probability,
                    reward: f64::from(step.reward),
                    next: step.status.bootstraps().then_some(next),
                }));
            this.first.push(this.outcomes.len());
        }
        Ok(this)
    }

    /// Number of states.
    pub fn states(&self) -> usize {
        self.states
    }

    /// Number of actions.
    pub fn actions(&self) -> usize {
        self.actions
    }

    /// Values of the best policy under the discount `gamma`, each within `tolerance`.
    ///
    /// States are updated in place, one after another (Gauss-Seidel), which converges at least as fast.
    ///
    /// # Errors
    /// [`Error::Config`] if `gamma` is not in `0..1`, or the tolerance cannot be reached.
    pub fn value_iteration(&self, gamma: f64, tolerance: f64) -> Result<Solution> {
        check_range("gamma", gamma, 0.0..=1.0 - f64::EPSILON)?;
        let mut v = vec![0.0; self.states];
        let mut q = vec![0.0; self.actions];
        // A change of at most d in a sweep leaves an error of at most d * gamma / (1 - gamma).
        let enough = tolerance * (1.0 - gamma);
        let sweeps = sweep_until(enough, &mut v, |v, state| {
            self.back_up_state(state, gamma, v, &mut q);
            max(&q)
        })?;
        Ok(Solution {
            q: self.back_up(gamma, &v),
            v,
            sweeps,
        })
    }

    /// Value of each state under a policy and the discount `gamma`, each within `tolerance`.
    ///
    /// `policy` holds the probabilities of the actions, `[states, actions]`.
    ///
    /// # Errors
    /// As [`value_iteration`](Solver::value_iteration), and if `policy` is of another size.
    pub fn policy_evaluation(
        &self,
        policy: &[f64],
        gamma: f64,
        tolerance: f64,
    ) -> Result<Vec<f64>> {
        check_range("gamma", gamma, 0.0..=1.0 - f64::EPSILON)?;
        self.check_policy(policy)?;
        let mut v = vec![0.0; self.states];
        let mut q = vec![0.0; self.actions];
        sweep_until(tolerance * (1.0 - gamma), &mut v, |v, state| {
            self.back_up_state(state, gamma, v, &mut q);
            dot(&policy[state * self.actions..], &q)
        })?;
        Ok(v)
    }

    /// The policy that takes the first best action of `q`, `[states, actions]`, as probabilities.
    pub fn greedy(&self, q: &[f64]) -> Vec<f64> {
        let best = q.chunks_exact(self.actions).map(argmax);
        self.always(best)
    }

    /// The policy that `actor` plays, as probabilities.
    pub fn played_by(&self, actor: &mut dyn Actor) -> Vec<f64> {
        let states = Array::from_vec((0..self.states as i32).collect(), 1);
        let mut actions = Array::zeros::<i32>(self.states, 1);
        actor.act(&states, Mode::Exploit, &mut actions);
        self.always(
            actions
                .as_slice::<i32>()
                .iter()
                .map(|&action| action as usize),
        )
    }

    fn always(&self, actions: impl Iterator<Item = usize>) -> Vec<f64> {
        let mut policy = vec![0.0; self.states * self.actions];
        for (row, action) in policy.chunks_exact_mut(self.actions).zip(actions) {
            row[action] = 1.0;
        }
        policy
    }

    /// Best expected sum of rewards from the start, within `limit` steps or in a whole episode.
    ///
    /// Within a limit, the best policy knows how many steps are left. Without one, this is what the sum
    /// tends to as the limit grows.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if there is no limit and the sum has no bound.
    pub fn best_return(&self, limit: Option<u32>) -> Result<f64> {
        self.undiscounted(None, limit)
    }

    /// Expected sum of rewards from the start under `policy`, `[states, actions]`, within `limit` steps or
    /// in a whole episode.
    ///
    /// # Errors
    /// As [`best_return`](Solver::best_return), and if `policy` is of another size.
    pub fn policy_return(&self, policy: &[f64], limit: Option<u32>) -> Result<f64> {
        self.check_policy(policy)?;
        self.undiscounted(Some(policy), limit)
    }

    /// Sum of rewards from the start, of `policy` or else of the best one.
    fn undiscounted(&self, policy: Option<&[f64]>, limit: Option<u32>) -> Result<f64> {
        let value = |state: usize, q: &[f64]| match policy {
            Some(policy) => dot(&policy[state * self.actions..], q),
            None => max(q),
        };
        let mut v = vec![0.0; self.states];
        let mut q = vec![0.0; self.actions];
        if let Some(limit) = limit {
            for _ in 0..limit {
                let q = self.back_up(1.0, &v);
                for (state, q) in q.chunks_exact(self.actions).enumerate() {
                    v[state] = value(state, q);
                }
            }
        } else {
            // States that no episode visits may have no bound, and do not matter.
            let reachable = self.reachable(policy);
            sweep_until(0.0, &mut v, |v, state| {
                if !reachable[state] {
                    return 0.0;
                }
                self.back_up_state(state, 1.0, v, &mut q);
                value(state, &q)
            })?;
        }
        Ok(self.starts.iter().map(|&(p, state)| p * v[state]).sum())
    }

    /// Which states an episode can visit under `policy`, or under any.
    fn reachable(&self, policy: Option<&[f64]>) -> Vec<bool> {
        let mut seen = vec![false; self.states];
        let starts = self.starts.iter().filter(|(p, _)| *p > 0.0);
        let mut open: Vec<usize> = starts.map(|&(_, state)| state).collect();
        while let Some(state) = open.pop() {
            if std::mem::replace(&mut seen[state], true) {
                continue;
            }
            for action in 0..self.actions {
                let pair = state * self.actions + action;
                if policy.is_none_or(|policy| policy[pair] > 0.0) {
                    let possible = self.of(pair).iter().filter(|o| o.probability > 0.0);
                    open.extend(possible.filter_map(|o| o.next));
                }
            }
        }
        seen
    }

    /// `Q` one step before `v`, `[states, actions]`.
    fn back_up(&self, gamma: f64, v: &[f64]) -> Vec<f64> {
        let mut all = vec![0.0; self.states * self.actions];
        for (state, q) in all.chunks_exact_mut(self.actions).enumerate() {
            self.back_up_state(state, gamma, v, q);
        }
        all
    }

    fn back_up_state(&self, state: usize, gamma: f64, v: &[f64], q: &mut [f64]) {
        for (action, q) in q.iter_mut().enumerate() {
            *q = (self.of(state * self.actions + action).iter())
                .map(|o| o.probability * (o.reward + o.next.map_or(0.0, |next| gamma * v[next])))
                .sum();
        }
    }

    /// Outcomes of a pair.
    fn of(&self, pair: usize) -> &[Outcome] {
        &self.outcomes[self.first[pair]..self.first[pair + 1]]
    }

    fn check_policy(&self, policy: &[f64]) -> Result<()> {
        let expected = self.states * self.actions;
        if policy.len() == expected {
            return Ok(());
        }
        let found = policy.len();
        Err(Error::config(
            "policy",
            format!("has {found} probabilities, expected {expected}"),
        ))
    }
}

/// Replaces each state's value by `value(values, state)` in turn, until no value changes by more than
/// `enough` in a sweep, or by more than rounding. Returns the number of sweeps.
fn sweep_until(
    enough: f64,
    v: &mut [f64],
    mut value: impl FnMut(&[f64], usize) -> f64,
) -> Result<usize> {
    let mut change: f64 = 0.0;
    for sweep in 1..=MAX_SWEEPS {
        change = 0.0;
        let mut greatest: f64 = 0.0;
        for state in 0..v.len() {
            let new = value(v, state);
            change = change.max((new - v[state]).abs());
            greatest = greatest.max(new.abs());
            v[state] = new;
        }
        if change <= enough.max(ROUNDING * greatest) {
            return Ok(sweep);
        }
    }
    Err(Error::Unsupported(format!(
        "values without bound: after {MAX_SWEEPS} sweeps they still change by {change}; give a limit or a smaller gamma"
    )))
}

fn check_distribution(
    place: &str,
    states: usize,
    outcomes: impl Iterator<Item = (f64, usize)>,
) -> Result<()> {
    let mut sum = 0.0;
    for (probability, state) in outcomes {
        if state >= states {
            return Err(Error::config(
                place,
                format!("leads to state {state} of {states}"),
            ));
        }
        check_range(place, probability, 0.0..=1.0)?;
        sum += probability;
    }
    if (sum - 1.0).abs() > 1e-9 {
        return Err(Error::config(
            place,
            format!("probabilities sum to {sum}, expected 1"),
        ));
    }
    Ok(())
}

/// Mean of `q` under the probabilities at the front of `policy`.
fn dot(policy: &[f64], q: &[f64]) -> f64 {
    policy.iter().zip(q).map(|(p, q)| p * q).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::path::PathBuf;

    use crate::testing::Written;
    use serde::Deserialize;

    /// One state; action 0 stays for `reward`, action 1 ends for 0.
    fn loop_or_leave(reward: f32) -> Written {
        Written {
            outcomes: vec![vec![
                vec![(1.0, 0, reward, false)],
                vec![(1.0, 0, 0.0, true)],
            ]],
            start: vec![(0, 1.0)],
        }
    }

    #[test]
    fn a_loop_is_worth_the_geometric_sum() {
        let solver = Solver::new(&loop_or_leave(1.0)).unwrap();
        let solution = solver.value_iteration(0.75, 1e-12).unwrap();
        assert!((solution.v[0] - 4.0).abs() < 1e-12);
        assert_eq!(solution.q[1], 0.0);
    }

    #[test]
    fn a_terminal_outcome_has_no_future_even_if_it_names_a_state() {
        let mut problem = loop_or_leave(1.0);
        problem.outcomes[0].remove(0);
        problem.outcomes[0][0][0].2 = 5.0;
        let solver = Solver::new(&problem).unwrap();
        let v = solver.policy_evaluation(&[1.0], 0.9, 1e-12).unwrap();
        assert_eq!(v, [5.0]);
    }

    #[test]
    fn a_return_without_bound_is_an_error_and_with_a_limit_it_is_not() {
        let solver = Solver::new(&loop_or_leave(1.0)).unwrap();
        let error = solver.best_return(None).unwrap_err().to_string();
        assert!(error.contains("values without bound"), "{error}");
        assert_eq!(solver.best_return(Some(7)).unwrap(), 7.0);
    }

    #[test]
    fn a_policy_that_walks_in_a_circle_has_no_return_but_the_best_one_has() {
        let solver = Solver::new(&loop_or_leave(-1.0)).unwrap();
        assert_eq!(solver.best_return(None).unwrap(), 0.0);
        assert!(solver.policy_return(&[1.0, 0.0], None).is_err());
        assert_eq!(solver.policy_return(&[1.0, 0.0], Some(9)).unwrap(), -9.0);
        // Leaves with probability 1/4 each step: 1 / (1/4) - 1 = 3 steps for -1 before it does.
        let mean = solver.policy_return(&[0.75, 0.25], None).unwrap();
        assert!((mean + 3.0).abs() < 1e-12, "{mean}");
    }

    #[test]
    fn circles_that_a_policy_does_not_visit_do_not_matter() {
        let mut problem = loop_or_leave(-1.0);
        problem.outcomes.push(vec![vec![(1.0, 1, -1.0, false)]; 2]);
        let solver = Solver::new(&problem).unwrap();
        let leave = solver.policy_return(&[0.0, 1.0, 1.0, 0.0], None);
        assert_eq!(leave.unwrap(), 0.0);
        assert_eq!(solver.best_return(None).unwrap(), 0.0);
    }

    #[test]
    fn faults_of_a_problem_are_named_with_their_place() {
        let fault = |p: f64, next: usize, reward: f32| {
            let mut problem = loop_or_leave(0.0);
            problem.outcomes[0][1] = vec![(p, next, reward, false)];
            Solver::new(&problem).unwrap_err().to_string()
        };
        let place = "state 0, action 1: ";
        assert_eq!(
            fault(0.5, 0, 0.0),
            format!("{place}probabilities sum to 0.5, expected 1")
        );
        assert_eq!(fault(1.0, 9, 0.0), format!("{place}leads to state 9 of 1"));
        assert_eq!(fault(1.0, 0, f32::NAN), format!("{place}the reward is NaN"));
        assert!(fault(-1.0, 0, 0.0).contains("-1 is out of range"));
        let solver = Solver::new(&loop_or_leave(0.0)).unwrap();
        assert!(solver.policy_return(&[1.0], None).is_err());
        assert!(solver.value_iteration(1.0, 1e-9).is_err());
    }

    #[derive(Deserialize)]
    struct Golden {
        id: String,
        #[serde(flatten)]
        problem: Written,
        optimal: Vec<Optimal>,
        uniform_policy_value: Uniform,
        within_limit: Within,
    }
    #[derive(Deserialize)]
    struct Optimal {
        gamma: f64,
        v: Vec<f64>,
        q: Vec<Vec<f64>>,
    }
    #[derive(Deserialize)]
    struct Uniform {
        gamma: f64,
        v: Vec<f64>,
    }
    #[derive(Deserialize)]
    struct Within {
        steps: u32,
        best: f64,
        uniform: f64,
    }

    /// Records of `tables*.jsonl.gz` in a folder of the golden data; none, with a line, where it is absent.
    fn golden(name: &str) -> Vec<Golden> {
        let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/golden");
        let root = std::env::var_os("THORNDIKE_GOLDEN").map_or(default.into(), PathBuf::from);
        let Ok(folder) = std::fs::read_dir(root.join(name)) else {
            println!("skipped: no golden data in {}", root.join(name).display());
            return Vec::new();
        };
        let files = folder.map(|entry| entry.unwrap().path()).filter(|path| {
            let file = path.file_name().unwrap().to_string_lossy();
            file.starts_with("tables") && file.ends_with(".jsonl.gz")
        });
        files
            .flat_map(|path| {
                let mut text = String::new();
                let file = std::fs::File::open(path).unwrap();
                let mut file = flate2::read::GzDecoder::new(file);
                file.read_to_string(&mut text).unwrap();
                let records = text.lines().map(|line| serde_json::from_str(line).unwrap());
                records.collect::<Vec<Golden>>()
            })
            .collect()
    }

    /// The data's own tolerance is 1e-9.
    fn assert_near(what: &str, found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len(), "{what}");
        for (place, (f, e)) in found.iter().zip(expected).enumerate() {
            assert!((f - e).abs() <= 1e-9, "{what}[{place}]: {f}, expected {e}");
        }
    }

    fn equals_golden(name: &str) {
        for record in golden(name) {
            let id = &record.id;
            let solver = Solver::new(&record.problem).unwrap();
            for optimal in &record.optimal {
                let solution = solver.value_iteration(optimal.gamma, 1e-11).unwrap();
                assert_near(&format!("{id}: v"), &solution.v, &optimal.v);
                assert_near(&format!("{id}: q"), &solution.q, &optimal.q.concat());
            }
            let pairs = solver.states() * solver.actions();
            let uniform = vec![1.0 / solver.actions() as f64; pairs];
            let value = &record.uniform_policy_value;
            let v = solver.policy_evaluation(&uniform, value.gamma, 1e-11);
            assert_near(&format!("{id}: uniform"), &v.unwrap(), &value.v);
            let within = &record.within_limit;
            let limit = Some(within.steps);
            let found = [
                solver.best_return(limit).unwrap(),
                solver.policy_return(&uniform, limit).unwrap(),
            ];
            let expected = [within.best, within.uniform];
            assert_near(&format!("{id}: return"), &found, &expected);
        }
    }

    #[test]
    fn frozen_lake_is_solved_as_in_the_golden_data() {
        equals_golden("frozen_lake");
    }

    #[test]
    fn taxi_is_solved_as_in_the_golden_data() {
        equals_golden("taxi");
    }

    #[test]
    fn cliff_walking_is_solved_as_in_the_golden_data() {
        equals_golden("cliff_walking");
        for record in golden("cliff_walking").iter().filter(|r| r.id == "dry") {
            let solver = Solver::new(&record.problem).unwrap();
            assert_eq!(solver.best_return(None).unwrap(), -13.0);
            let q = solver.value_iteration(0.99, 1e-9).unwrap().q;
            let greedy = solver.greedy(&q);
            assert_eq!(solver.policy_return(&greedy, None).unwrap(), -13.0);
        }
    }
}
