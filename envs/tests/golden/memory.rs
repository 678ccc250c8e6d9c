//! POPGym's problems of memory.

use serde::Deserialize;
use serde_json::Value;
use thorndike_core::{Env, NumpyRng, Step};
use thorndike_envs::probe::{
    Autoencode, AutoencodeConfig, CartPolePositionOnly, CartPolePositionOnlyConfig, RepeatFirst,
    RepeatFirstConfig, RepeatPrevious, RepeatPreviousConfig,
};

use crate::records::{Trajectory, arguments, for_each_record, replay, rng, status};

#[derive(Deserialize)]
struct Popgym {
    id: String,
    env: String,
    seed: u64,
    #[serde(default = "no_arguments")]
    kwargs: Value,
    /// In the order of the deck, from whose end cards are dealt.
    #[serde(default)]
    suits: Vec<u8>,
    #[serde(default)]
    state0: [f64; 4],
    obs0: Vec<f64>,
    actions: Vec<usize>,
    obs: Vec<Vec<f64>>,
    rewards: Vec<f64>,
    terminated: Vec<u8>,
    truncated: Vec<u8>,
}

fn no_arguments() -> Value {
    serde_json::json!({})
}

impl Popgym {
    /// The suit of card `i` in the order of dealing; after the last card any, for none is dealt.
    fn suit(&self, i: usize) -> u8 {
        self.suits.iter().rev().nth(i).copied().unwrap_or(0)
    }

    /// Replays the episode from `start` by `step`, which gets the number of the step.
    fn check<E>(
        &self,
        env: &E,
        start: E::State,
        step: impl Fn(&mut E::State, usize, usize) -> Step + Send + Sync,
    ) -> usize
    where
        E: Env<Action = usize>,
        E::Obs: Into<f64>,
        E::State: Sync,
    {
        let trajectory = Trajectory {
            id: &self.id,
            obs0: self.obs0.clone(),
            actions: &self.actions,
            obs: self.obs.clone(),
            rewards: &self.rewards,
            status: status(&self.terminated, &self.truncated),
            time_limit: env.time_limit(),
        };
        replay(env, &trajectory, start, step, E::observe, |_, _| ())
    }
}

#[test]
fn golden_popgym() {
    for_each_record("memory", "popgym", |record: Popgym| match &*record.env {
        "repeat_first" => {
            let config: RepeatFirstConfig = arguments(&record.id, &record.kwargs);
            let env = RepeatFirst::new(&config).unwrap();
            record.check(&env, env.start_with(record.suit(0)), |state, action, t| {
                env.step_with(state, action, record.suit(t + 1))
            })
        }
        "repeat_previous" => {
            let config: RepeatPreviousConfig = arguments(&record.id, &record.kwargs);
            let env = RepeatPrevious::new(&config).unwrap();
            record.check(&env, env.start_with(record.suit(0)), |state, action, t| {
                env.step_with(state, action, record.suit(t + 1))
            })
        }
        "autoencode" => {
            let config: AutoencodeConfig = arguments(&record.id, &record.kwargs);
            let env = Autoencode::new(&config).unwrap();
            record.check(&env, env.start_with(record.suit(0)), |state, action, t| {
                env.step_with(state, action, record.suit(t + 1))
            })
        }
        "position_only_cartpole" => {
            let config: CartPolePositionOnlyConfig = arguments(&record.id, &record.kwargs);
            let env = CartPolePositionOnly::new(&config).unwrap();
            let start = env.numpy_reset(&mut NumpyRng::new(record.seed));
            assert_eq!(start, Some(record.state0.into()), "{}: start", record.id);
            record.check(&env, record.state0.into(), |state, action, _| {
                env.step(state, action, &mut rng())
            })
        }
        other => panic!("{}: cannot be replayed: environment {other}", record.id),
    });
}
