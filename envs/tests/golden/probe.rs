//! bsuite's probes.

use serde::Deserialize;
use serde_json::Value;
use thorndike_core::{Env, Space, Status, Step};
use thorndike_envs::probe::{
    Catch, CatchConfig, DeepSea, DeepSeaConfig, DiscountingChain, DiscountingChainConfig,
    MemoryChain, MemoryChainConfig, MemoryChainState, UmbrellaChain, UmbrellaChainConfig,
    UmbrellaChainState,
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
                let step = |state: &mut E::State, action, _| env.step(state, action, &mut rng());
                self.replay(env, episode, start(&episode.hidden), step)
            })
            .sum()
    }

    fn replay<E>(
        &self,
        env: &E,
        episode: &BsuiteEpisode,
        start: E::State,
        step: impl Fn(&mut E::State, usize, usize) -> Step + Send + Sync,
    ) -> usize
    where
        E: Env<Obs = f32, Action = usize>,
        E::State: Sync,
    {
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
        replay(env, &trajectory, start, step, E::observe, |_, _| ())
    }
}

impl Bsuite {
    /// The rewards on the way and the distractors are drawn, and taken from the record.
    fn check_umbrella(&self) -> usize {
        let config: UmbrellaChainConfig = arguments(&self.id, &self.kwargs);
        let chain = UmbrellaChain::new(&config).unwrap();
        let distractors = |obs: &[f64]| {
            let bits = obs[3..].iter().enumerate();
            bits.fold(0, |all, (i, &bit)| all | u128::from(bit == 1.0) << i)
        };
        let episodes = self.episodes.iter();
        episodes
            .map(|episode| {
                let start = UmbrellaChainState {
                    need: episode.hidden["need"] == 1,
                    has: episode.hidden["has"] == 1,
                    steps: 0,
                    distractors: distractors(&episode.obs0),
                };
                let step = |state: &mut UmbrellaChainState, action, t: usize| {
                    state.distractors = distractors(&episode.obs[t]);
                    chain.step_with(state, action, episode.rewards[t] as f32)
                };
                self.replay(&chain, episode, start, step)
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
        "umbrella_chain" => record.check_umbrella(),
        "discounting_chain" => {
            let config: DiscountingChainConfig = arguments(&record.id, &record.kwargs);
            let chain = DiscountingChain::new(&config).unwrap();
            let best: Vec<f64> = arguments(&record.id, &record.constant["rewards"]);
            let place = best.iter().position(|&reward| reward > 1.0).unwrap();
            assert_eq!(place as u64, config.mapping_seed % 5, "{}", record.id);
            record.check(&chain, |_| chain.reset(&mut rng()))
        }
        other => panic!("{}: cannot be replayed: environment {other}", record.id),
    });
}
