//! Learning on the grid worlds, scored by exact solutions; and exact solutions that others published.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its functions too")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader};

use flate2::read::GzDecoder;
use serde::Deserialize;
use serde_json::{Value, json};
use thorndike_core::{
    Agent, BuildContext, Device, EnvOptions, EnvSpec, Mode, Registry, Seeds, Transitions, VectorEnv,
};
use thorndike_tabular::exact::Solver;
use thorndike_tabular::{QLearningConfig, q_learning};

fn registry() -> Registry {
    thorndike_tabular::register(thorndike_envs::register(Registry::new()))
}

fn context(spec: &EnvSpec, seed: u64) -> BuildContext<'_> {
    BuildContext {
        spec,
        seeds: Seeds::new(seed),
        device: Device::Cpu,
    }
}

/// An environment, and how long and in how many copies of it to learn.
struct Task {
    env: &'static str,
    params: Value,
    num_envs: usize,
    steps: usize,
}

impl Task {
    fn solver(&self) -> Solver {
        let problem = registry().make_finite(self.env, &self.params).unwrap();
        Solver::new(&*problem.unwrap()).unwrap()
    }

    fn envs(&self, seed: u64) -> Box<dyn VectorEnv> {
        let options = EnvOptions {
            num_envs: self.num_envs,
            ..Default::default()
        };
        let made = registry().make_envs(self.env, &self.params, &options, Seeds::new(seed));
        made.unwrap()
    }

    /// Trains `agent`; gives the mean return of an episode in the second half.
    fn train(&self, agent: &mut dyn Agent, seed: u64) -> f64 {
        let mut envs = self.envs(seed);
        let mut actions = envs.new_actions();
        let (mut sum, mut episodes) = (0.0, 0.0);
        for step in (0..self.steps).step_by(self.num_envs) {
            agent.act(&envs.batch().obs, Mode::Explore, &mut actions);
            envs.step(&actions);
            let batch = envs.batch();
            if step > self.steps / 2 {
                sum += batch.rewards.iter().map(|&r| f64::from(r)).sum::<f64>();
                episodes += batch.status.iter().filter(|s| s.is_over()).count() as f64;
            }
            agent.observe(&Transitions::new(batch, &actions));
            envs.advance();
        }
        sum / episodes
    }

    /// The policy that an agent plays in the end, and its mean return in the second half.
    fn learn(&self, agent: &str, params: &Value, seed: u64) -> (Vec<f64>, f64) {
        let spec = self.envs(seed).spec().clone();
        let made = registry().make_agent(agent, params, &context(&spec, seed));
        let mut agent = made.unwrap();
        let while_learning = self.train(&mut *agent, seed);
        (self.solver().played_by(&mut *agent), while_learning)
    }
}

#[test]
fn slippery_frozen_lake_is_solved_as_well_as_a_fixed_policy_can() {
    for (map, steps, gamma, from, to, least) in [
        ("4x4", 400_000, 0.99, 0.5, 0.01, 0.74),
        ("8x8", 1_000_000, 0.999, 0.2, 0.005, 0.87),
    ] {
        let task = Task {
            env: "frozen-lake",
            params: json!({ "map": map }),
            num_envs: 16,
            steps,
        };
        let learning_rate = json!({ "kind": "linear", "from": from, "to": to, "steps": steps });
        let params = json!({ "gamma": gamma, "learning_rate": learning_rate });
        let limit = task.envs(1).spec().time_limit;
        for seed in 1..=3 {
            let (policy, _) = task.learn("q-learning", &params, seed);
            let value = task.solver().policy_return(&policy, limit).unwrap();
            assert!(value > least, "{map}, seed {seed}: {value}");
        }
    }
}

#[test]
fn taxi_is_driven_without_a_step_too_many() {
    let task = Task {
        env: "taxi",
        params: json!({}),
        num_envs: 1,
        steps: 400_000,
    };
    let epsilon = json!({ "kind": "linear", "from": 1.0, "to": 0.05, "steps": 300_000 });
    let params = json!({
        "learning_rate": 1.0,
        "exploration": { "kind": "epsilon-greedy", "epsilon": epsilon },
    });
    let best = task.solver().best_return(Some(200)).unwrap();
    for seed in 1..=3 {
        let (policy, _) = task.learn("q-learning", &params, seed);
        let value = task.solver().policy_return(&policy, Some(200)).unwrap();
        assert!(
            (value - best).abs() < 1e-9,
            "seed {seed}: {value}, best {best}"
        );
    }
}

/// Sutton and Barto, example 6.6.
#[test]
fn on_the_cliff_q_learning_finds_the_edge_and_sarsa_the_safe_path_that_pays_while_exploring() {
    let task = Task {
        env: "cliff-walking",
        params: json!({}),
        num_envs: 1,
        steps: 60_000,
    };
    let learning_rate = json!({ "kind": "linear", "from": 0.5, "to": 0.02, "steps": 60_000 });
    let params = json!({ "gamma": 1.0, "learning_rate": learning_rate });
    let solver = task.solver();
    for seed in 1..=3 {
        let (edge, edge_while_learning) = task.learn("q-learning", &params, seed);
        let (safe, safe_while_learning) = task.learn("sarsa", &params, seed);
        assert_eq!(solver.policy_return(&edge, None).unwrap(), -13.0);
        assert_eq!(
            solver.policy_return(&safe, None).unwrap(),
            -17.0,
            "along the far wall"
        );
        assert!(
            safe_while_learning > edge_while_learning + 15.0,
            "seed {seed}: {safe_while_learning} and {edge_while_learning}"
        );
    }
}

#[test]
fn without_slipping_frozen_lake_has_the_values_of_value_iteration() {
    for (map, steps) in [("4x4", 200_000), ("8x8", 4_000_000)] {
        let task = Task {
            env: "frozen-lake",
            params: json!({ "map": map, "slippery": false }),
            num_envs: 16,
            steps,
        };
        let wander = json!({ "kind": "epsilon-greedy", "epsilon": 1.0 });
        let params = json!({ "learning_rate": 1.0, "exploration": wander });
        let config: QLearningConfig = serde_json::from_value(params).unwrap();
        let spec = task.envs(1).spec().clone();
        let mut agent = q_learning(&config, &context(&spec, 1)).unwrap();
        task.train(&mut agent, 1);
        let exact = task.solver().value_iteration(config.gamma, 1e-12).unwrap();
        let errors = agent
            .td()
            .q()
            .iter()
            .zip(&exact.q)
            .map(|(q, exact)| (q - exact).abs());
        let worst = errors.fold(0.0, f64::max);
        assert!(worst < 1e-3, "{map}: {worst}");
    }
}

/// What `tests/golden/blackjack/exact.jsonl.gz` says of one rule variant.
#[derive(Deserialize)]
struct ExactBlackjack {
    kwargs: Value,
    states: Vec<ExactState>,
    returns: HashMap<String, f64>,
}

#[derive(Deserialize)]
struct ExactState {
    obs: [usize; 3],
    q_stick: f64,
    q_hit: f64,
    note: String,
}

#[test]
fn blackjack_has_the_exact_values_by_each_of_the_rules() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/golden/blackjack/exact.jsonl.gz"
    );
    let file = GzDecoder::new(std::fs::File::open(path).unwrap());
    for line in BufReader::new(file).lines() {
        let exact: ExactBlackjack = serde_json::from_str(&line.unwrap()).unwrap();
        let problem = registry().make_finite("blackjack", &exact.kwargs).unwrap();
        let solver = Solver::new(&*problem.unwrap()).unwrap();
        let near = |what: &str, found: f64, expected: f64| {
            // The data's own tolerance.
            assert!(
                (found - expected).abs() < 1e-9,
                "{what}: {found}, expected {expected}"
            );
        };
        // No discount: less would cost more than the tolerance.
        let q = solver.value_iteration(1.0 - 1e-13, 1e-9).unwrap().q;
        for state in &exact.states {
            let [sum, dealer, usable] = state.obs;
            let ace = if state.note == "two-card natural" {
                2
            } else {
                usable
            };
            let number = (sum * 11 + dealer) * 3 + ace;
            let what = format!("{:?} {}", state.obs, state.note);
            near(&what, q[2 * number], state.q_stick);
            near(&what, q[2 * number + 1], state.q_hit);
        }
        // Which sums a policy sticks on, as the probability of sticking.
        let sticking = |probability: &dyn Fn(usize) -> f64| -> Vec<f64> {
            let states = 0..solver.states();
            let sums = states.map(|state| probability(state / 33));
            sums.flat_map(|p| [p, 1.0 - p]).collect()
        };
        let from = |least: usize| sticking(&|sum| f64::from(u8::from(sum >= least)));
        for (name, policy) in [
            ("optimal", solver.greedy(&q)),
            ("uniform_random", sticking(&|_| 0.5)),
            ("always_stick", from(0)),
            ("always_hit", from(99)),
            ("stick_on_20_and_21", from(20)),
            ("stick_on_17_up", from(17)),
        ] {
            let value = solver.policy_return(&policy, None).unwrap();
            near(name, value, exact.returns[name]);
        }
        near(
            "best",
            solver.best_return(None).unwrap(),
            exact.returns["optimal"],
        );
        assert_eq!(exact.returns.len(), 6, "all policies");
    }
}

fn gridworld(params: Value) -> Solver {
    let problem = registry().make_finite("gridworld", &params).unwrap();
    Solver::new(&*problem.unwrap()).unwrap()
}

/// Sutton and Barto, examples 6.5 (15 steps) and 8.1 (14 steps).
#[test]
fn the_textbook_gridworlds_take_as_many_steps_as_the_book_says() {
    let windy = gridworld(json!({ "map": "windy" }));
    assert_eq!(windy.best_return(None).unwrap(), -15.0);
    let maze = gridworld(json!({ "map": "dyna-maze" }));
    assert_eq!(maze.best_return(Some(13)).unwrap(), 0.0);
    assert_eq!(maze.best_return(Some(14)).unwrap(), 1.0);
}

/// Russell and Norvig, figure 17.3 of the 3rd edition: utilities of the cells, in three digits. The reward there
/// belongs to the state that is left, so that one more is paid on the way into an end.
#[test]
fn the_4x3_world_has_the_utilities_of_the_book() {
    let cells = [
        (0, 0, 0.812),
        (0, 1, 0.868),
        (0, 2, 0.918),
        (1, 0, 0.762),
        (1, 2, 0.660),
        (2, 0, 0.705),
        (2, 1, 0.655),
        (2, 2, 0.611),
        (2, 3, 0.388),
    ];
    for (row, column, utility) in cells {
        let mut rows = ["...G", ".#.P", "...."].map(String::from);
        rows[row].replace_range(column..=column, "S");
        let start_there = gridworld(json!({
            "map": rows, "step_reward": -0.04, "slip": 0.2, "ends": { "G": 0.96, "P": -1.04 },
        }));
        let value = start_there.best_return(None).unwrap();
        assert!(
            (value - utility).abs() < 0.0005,
            "row {row}, column {column}: {value}"
        );
    }
    // The 4th edition pays it only elsewhere: 0.04 more everywhere.
    let value = gridworld(json!({ "map": "4x3" }))
        .best_return(None)
        .unwrap();
    assert!((value - 0.745).abs() < 0.0005, "{value}");
}

#[test]
fn a_random_problem_is_learned_to_its_exact_values() {
    let task = Task {
        env: "garnet",
        params: json!({ "states": 20, "branches": 1 }),
        num_envs: 16,
        steps: 100_000,
    };
    let wander = json!({ "kind": "epsilon-greedy", "epsilon": 1.0 });
    let params = json!({ "learning_rate": 1.0, "exploration": wander });
    let config: QLearningConfig = serde_json::from_value(params).unwrap();
    let spec = task.envs(1).spec().clone();
    let mut agent = q_learning(&config, &context(&spec, 1)).unwrap();
    task.train(&mut agent, 1);
    let exact = task.solver().value_iteration(config.gamma, 1e-9).unwrap();
    let errors = agent.td().q().iter().zip(&exact.q);
    let worst = errors
        .map(|(q, exact)| (q - exact).abs())
        .fold(0.0, f64::max);
    // Values are in the tens, in single precision, and a hundred times one error of that may pile up.
    assert!(worst < 0.01, "{worst}");
}
