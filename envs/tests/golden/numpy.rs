//! numpy's random streams.

use serde::Deserialize;
use serde_json::Value;
use thorndike_core::{Env, NumpyRng};
use thorndike_envs::classic::{CartPole, CartPoleConfig, CartPoleState};

use crate::records::for_each_record;

/// What is drawn from a stream. Not compared, because nothing of ours draws them: normal numbers, permutations,
/// and the streams of numpy's older `RandomState`.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Stream {
    Generator(Box<Draws>),
    RandomState {},
}

#[derive(Deserialize)]
struct Draws {
    seed: u64,
    random: Vec<f64>,
    uniform_cartpole: Vec<f64>,
    #[serde(rename = "uniform_0_to_6.6667x12")]
    uniform_12: Vec<f64>,
    integers_0_5: Vec<i64>,
    integers_one_by_one_0_5: Vec<i64>,
    /// As text.
    integers_0_2pow40: Vec<String>,
    #[serde(rename = "integers_-9999_9999")]
    integers_9999: Vec<i64>,
    choice_13: Vec<usize>,
    choice_p: Vec<usize>,
    mixed_in_order: Vec<(String, Value)>,
}

/// Compares `expected` with as many draws from a fresh stream.
fn check<T: PartialEq + std::fmt::Debug>(
    seed: u64,
    expected: &[T],
    draw: impl Fn(&mut NumpyRng) -> T,
) -> usize {
    let mut rng = NumpyRng::new(seed);
    for (i, expected) in expected.iter().enumerate() {
        assert_eq!(&draw(&mut rng), expected, "seed {seed}, draw {i}");
    }
    expected.len()
}

impl Draws {
    fn check(&self) -> usize {
        let seed = self.seed;
        let large: Vec<i64> = (self.integers_0_2pow40.iter())
            .map(|digits| digits.parse().unwrap())
            .collect();
        check(seed, &self.random, NumpyRng::random)
            + check(seed, &self.uniform_cartpole, |rng| rng.uniform(-0.05, 0.05))
            + check(seed, &self.uniform_12, |rng| rng.uniform(0.0, 20.0 / 3.0))
            + check(seed, &self.integers_0_5, |rng| rng.integers(0..5))
            + check(seed, &self.integers_one_by_one_0_5, |rng| {
                rng.integers(0..5)
            })
            + check(seed, &large, |rng| rng.integers(0..1 << 40))
            + check(seed, &self.integers_9999, |rng| rng.integers(-9999..9999))
            + check(seed, &self.choice_13, |rng| rng.choice(13))
            + check(seed, &self.choice_p, |rng| {
                rng.choice_with(&[0.1, 0.2, 0.3, 0.4])
            })
            + self.check_mixed()
    }

    /// Draws of several kinds from one stream.
    fn check_mixed(&self) -> usize {
        let mut rng = NumpyRng::new(self.seed);
        for (kind, expected) in &self.mixed_in_order {
            let drawn = match kind.as_str() {
                "random" => rng.random(),
                "uniform(-1,1)" => rng.uniform(-1.0, 1.0),
                "integers(-9999,9999)" => rng.integers(-9999..9999) as f64,
                "integers(0,5)" => rng.integers(0..5) as f64,
                "choice of 13" => rng.choice(13) as f64,
                other => panic!("seed {}: {other} cannot be drawn", self.seed),
            };
            assert_eq!(Some(drawn), expected.as_f64(), "seed {}: {kind}", self.seed);
        }
        self.mixed_in_order.len()
    }
}

#[test]
fn golden_numpy_streams() {
    for_each_record("numpy_rng", "streams", |stream| match stream {
        Stream::Generator(draws) => draws.check(),
        Stream::RandomState {} => 0,
    });
}

#[derive(Deserialize)]
struct Autoreset {
    id: String,
    state0: Vec<[f64; 4]>,
    /// `[step, row]`: the state drawn by a reset.
    #[serde(default)]
    reset_state: Vec<Vec<Option<[f64; 4]>>>,
}

/// Later episodes of Gymnasium's vector environment start by the streams of the first ones.
#[test]
fn golden_numpy_later_starts() {
    // The seed is not recorded; this record starts as the single environment does with it.
    const SEED: u64 = 1000;
    let env = CartPole::new(&CartPoleConfig::default()).unwrap();
    for_each_record("vector", "autoreset", |record: Autoreset| {
        if record.id != "sync-NextStep" {
            return 0;
        }
        let mut compared = 0;
        for (row, &first) in record.state0.iter().enumerate() {
            let mut rng = NumpyRng::new(SEED + row as u64);
            let later = record.reset_state.iter().filter_map(|rows| rows[row]);
            for recorded in std::iter::once(first).chain(later) {
                let start = env.numpy_reset(&mut rng).unwrap();
                assert_eq!(start, CartPoleState::from(recorded), "row {row}");
                compared += 1;
            }
        }
        assert!(compared > record.state0.len(), "later starts as well");
        compared
    });
}
