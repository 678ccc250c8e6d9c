//! bsuite's probes.

use serde::Deserialize;
use serde_json::Value;
use thorndike_core::{Env, Space, Status};
use thorndike_envs::probe::{
    Catch, CatchConfig, DeepSea, DeepSeaConfig, MemoryChain, MemoryChainConfig, MemoryChainState,
};

use crate::records::{Trajectory, arguments, for_each_record, replay, rng};

#[derive(Deserialize)]
struct Bsuite {
    id: String,
    env: String,
    kwargs: Value,
    num_actions: usize,
    constant: Value,
    episodes: Vec<BsuiteEpisode>,
}

#[derive(Deserialize)]
struct BsuiteEpisode {
    hidden: Value,
    obs0: Vec<f64>,
    actions: Vec<usize>,
    obs: Vec<Vec<f64>>,
    rewards: Vec<f64>,
    discount: Vec<f64>,
    last: Vec<u8>,
}

impl Bsuite {
    /// Replays every episode from the state that `start` reads out of what its reset drew.
    fn check<E>(&self, env: &E, start: impl Fn(&Value) -> E::State) -> usize
    where
        E: Env<Obs = f32, Action = usize>,
        E::State: Sync,
    {
        assert_eq!(
            env.action_space(),
            Space::Discrete(self.num_actions),
            "{}",
            self.id
        );
        let episodes = self.episodes.iter();
        episodes
            .map(|episode| {
                let ends = episode.last.iter().zip(&episode.discount);
                let trajectory = Trajectory {
                    id: &self.id,
                    obs0: episode.obs0.clone(),
                    actions: &episode.actions,
                    obs: episode.obs.clone(),
                    rewards: &episode.rewards,
                    status: ends
                        .map(|(&last, &discount)| match (last, discount) {
                            (0, 1.0) => Status::Running,
                            (1, 0.0) => Status::Terminated,
                            other => panic!("{}: last and discount {other:?}", self.id),
                        })
                        .collect(),
                    time_limit: env.time_limit(),
                };
                let start = start(&episode.hidden);
                let step = |state: &mut E::State, action, _| env.step(state, action, &mut rng());
                replay(env, &trajectory, start, step, E::observe, |_, _| ())
            })
            .sum()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeepSeaArguments {
    size: usize,
    unscaled_move_cost: Option<f64>,
    randomize_actions: Option<bool>,
    /// Gives the mapping, which the record holds.
    #[serde(rename = "mapping_seed")]
    _mapping_seed: Option<u64>,
}

#[test]
fn golden_bsuite() {
    for_each_record("memory", "bsuite", |record: Bsuite| match &*record.env {
        "catch" => {
            let config: CatchConfig = arguments(&record.id, &record.kwargs);
            let catch = Catch::new(&config).unwrap();
            record.check(&catch, |hidden| {
                catch.start_with(hidden["ball_x"].as_u64().unwrap() as u32)
            })
        }
        "memory_chain" => {
            let config: MemoryChainConfig = arguments(&record.id, &record.kwargs);
            let chain = MemoryChain::new(&config).unwrap();
            record.check(&chain, |hidden| {
                let bits = hidden["context"].as_array().unwrap();
                MemoryChainState {
                    context: (0..bits.len())
                        .fold(0, |context, i| context | bits[i].as_u64().unwrap() << i),
                    query: hidden["query"].as_u64().unwrap() as u32,
                    steps: 0,
                }
            })
        }
        "deep_sea" => {
            let kwargs: DeepSeaArguments = arguments(&record.id, &record.kwargs);
            let default = DeepSeaConfig::default();
            let mapping: Vec<Vec<f64>> = arguments(&record.id, &record.constant["action_mapping"]);
            let sea = DeepSea::new(&DeepSeaConfig {
                size: kwargs.size,
                move_cost: kwargs.unscaled_move_cost.unwrap_or(default.move_cost),
                randomize_actions: kwargs.randomize_actions.unwrap_or(true),
                ..default
            });
            // The mapping names the action that goes right.
            let right = mapping.concat().iter().map(|&right| right == 1.0).collect();
            let sea = sea.unwrap().with_mapping(right);
            record.check(&sea, |_| sea.reset(&mut rng()))
        }
        // Environments that this crate does not have.
        "umbrella_chain" | "discounting_chain" => 0,
        other => panic!("{}: cannot be replayed: environment {other}", record.id),
    });
}
