//! Conformance of environments: what the loop and the agents rely on.

use std::fmt::Display;
use std::sync::Arc;

use crate::array::{Array, Element, Kind};
use crate::env::{Action, Env, Step, action_kind};
use crate::error::Result;
use crate::seed::{Rng, Seeds};
use crate::vector::{Batch, EnvOptions, SyncVectorEnv, VectorEnv};

const STEPS: usize = 500;

/// Checks `env` as a user's own test would: run it once on each environment that you write.
///
/// Takes random actions for some hundred steps and checks that observations lie in the space and are
/// written in full, that rewards are finite, that the same seed gives the same episodes, that a saved
/// state goes on where it was, and that many rows together step as one by one.
///
/// # Errors
/// The first rule that is broken, in one line.
pub fn check_env<E: Env>(env: E) -> Result<(), String> {
    let mut rng = Seeds::new(11).stream("check", 0);
    written_in_full(&env, &mut rng)?;
    let shared = Arc::new(env);
    check_vector_env(|options, seeds| {
        let envs = SyncVectorEnv::new(shared.clone(), options, seeds)?;
        Ok(Box::new(envs) as Box<dyn VectorEnv>)
    })?;
    rows_agree(&*shared, &mut rng)
}

/// Checks any batch of environments that `make` builds; see [`check_env`].
///
/// # Errors
/// The first rule that is broken, in one line.
pub fn check_vector_env<'a>(
    make: impl Fn(&EnvOptions, Seeds) -> Result<Box<dyn VectorEnv + 'a>>,
) -> Result<(), String> {
    let options = EnvOptions {
        num_envs: 3,
        frame_stack: 2,
        ..Default::default()
    };
    let make = |seed: u64| make(&options, Seeds::new(seed)).map_err(|e| e.to_string());
    let mut envs = make(1)?;
    let first = roll(&mut *envs, STEPS)?;
    if first != roll(&mut *make(1)?, STEPS)? {
        return Err("the same seed gave other episodes".into());
    }
    let Ok(saved) = envs.save() else {
        return Ok(());
    };
    let mut copy = make(2)?;
    copy.load(&saved).map_err(|e| e.to_string())?;
    if roll(&mut *envs, STEPS)? != roll(&mut *copy, STEPS)? {
        return Err("saved and loaded environments went on otherwise than the original".into());
    }
    envs.reset();
    inside(&*envs, "after a reset", &envs.batch().obs)
}

/// Takes `steps` random actions in `envs` and checks that every observation lies in the space and every reward is
/// finite: what can be asked of environments that are not reproducible, too.
///
/// # Errors
/// The first rule that is broken, in one line with the step.
pub fn check_random_play(envs: &mut dyn VectorEnv, steps: usize) -> Result<(), String> {
    play(envs, steps, |_| ())
}

/// As [`check_random_play`]; gives what was seen.
fn roll(envs: &mut dyn VectorEnv, steps: usize) -> Result<Vec<Batch>, String> {
    let mut batches = Vec::with_capacity(steps);
    play(envs, steps, |batch| batches.push(batch.clone()))?;
    Ok(batches)
}

fn play(envs: &mut dyn VectorEnv, steps: usize, mut see: impl FnMut(&Batch)) -> Result<(), String> {
    let mut rng = Seeds::new(3).stream("check", 1);
    let mut actions = envs.new_actions();
    let space = envs.spec().action_space.clone();
    let mut mask = vec![true; space.discrete().unwrap_or(0)];
    inside(envs, "before the first step", &envs.batch().obs)?;
    for step in 0..steps {
        for row in 0..actions.rows() {
            envs.action_mask(row, &mut mask);
            if !mask.is_empty() && !mask.contains(&true) {
                return Err(format!("step {step}: environment {row} allows no action"));
            }
            // One step in two keeps to what is allowed.
            if step % 2 == 1 {
                mask.fill(true);
            }
            space.sample_allowed(&mask, &mut rng, &mut actions, row);
        }
        envs.step(&actions);
        let batch = envs.batch();
        inside(envs, format_args!("step {step}"), &batch.next_obs)?;
        if let Some(reward) = batch.rewards.iter().find(|r| !r.is_finite()) {
            return Err(format!("step {step} gave the reward {reward}"));
        }
        see(batch);
        envs.advance();
        inside(envs, format_args!("after step {step}"), &envs.batch().obs)?;
    }
    Ok(())
}

/// Checks that every row of `obs` lies in the space.
fn inside(envs: &dyn VectorEnv, when: impl Display, obs: &Array) -> Result<(), String> {
    let space = envs.spec().observation_space();
    (0..obs.rows()).try_for_each(|row| {
        let checked = space.check(obs, row);
        checked.map_err(|what| {
            format!("{when}: an observation of environment {row} lies outside {space}: {what}")
        })
    })
}

/// `observe` must write every item: two runs over different leftovers must agree.
fn written_in_full<E: Env>(env: &E, rng: &mut Rng) -> Result<(), String> {
    let state = env.reset(rng);
    let len = env.observation_space().len();
    let observe_over = |leftover: E::Obs| {
        let mut obs = vec![leftover; len];
        env.observe(&state, &mut obs);
        obs
    };
    let mut other = Array::zeros::<E::Obs>(1, 1);
    match E::Obs::KIND {
        Kind::F32 => other.as_mut_slice::<f32>()[0] = 0.625,
        Kind::U8 => other.as_mut_slice::<u8>()[0] = 170,
        Kind::I32 => other.as_mut_slice::<i32>()[0] = -7,
    }
    if observe_over(E::Obs::default()) != observe_over(other.as_slice::<E::Obs>()[0]) {
        return Err("`observe` leaves items of the observation unwritten".into());
    }
    Ok(())
}

/// `step_rows` must give what `step` gives, for a block of rows and some more.
fn rows_agree<E: Env>(env: &E, rng: &mut Rng) -> Result<(), String> {
    const ROWS: usize = 67;
    let space = env.action_space();
    let mut scalars = Array::zeros_of(action_kind(&space), 1, space.len());
    let mut rngs: Vec<Rng> = (0..ROWS as u64)
        .map(|i| Seeds::new(i).stream("check", 2))
        .collect();
    let mut states: Vec<E::State> = rngs.iter_mut().map(|rng| env.reset(rng)).collect();
    let (mut other_rngs, mut other_states) = (rngs.clone(), states.clone());
    let mut steps = vec![Step::running(0.0); ROWS];
    let len = env.observation_space().len();
    let observe = |state: &E::State| {
        let mut obs = vec![E::Obs::default(); len];
        env.observe(state, &mut obs);
        obs
    };
    for t in 0..STEPS / 10 {
        let draw = |_| {
            space.sample(rng, &mut scalars, 0);
            E::Action::read(scalars.row(0))
        };
        let actions: Vec<E::Action> = (0..ROWS).map(draw).collect();
        env.step_rows(&mut states, &actions, &mut rngs, &mut steps);
        for row in 0..ROWS {
            let step = env.step(&mut other_states[row], actions[row], &mut other_rngs[row]);
            if step != steps[row]
                || rngs[row] != other_rngs[row]
                || observe(&states[row]) != observe(&other_states[row])
            {
                return Err(format!(
                    "`step_rows` and `step` differ in row {row} at step {t}"
                ));
            }
            if step.status.is_over() {
                states[row] = env.reset(&mut rngs[row]);
                other_states[row] = env.reset(&mut other_rngs[row]);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::Space;

    /// Breaks one rule, by choice.
    #[derive(Clone, Copy, PartialEq)]
    enum Fault {
        None,
        OutsideTheSpace,
        Unwritten,
        NanReward,
        OtherRows,
    }

    impl Env for Fault {
        type State = i32;
        type Obs = i32;
        type Action = usize;
        fn observation_space(&self) -> Space {
            Space::Discrete(10)
        }
        fn action_space(&self) -> Space {
            Space::Discrete(2)
        }
        fn reset(&self, _: &mut Rng) -> i32 {
            0
        }
        fn step(&self, state: &mut i32, _: usize, _: &mut Rng) -> Step {
            *state += 1;
            let reward = if *self == Fault::NanReward {
                f32::NAN
            } else {
                0.0
            };
            let end = if *self == Fault::OutsideTheSpace {
                11
            } else {
                9
            };
            Step::terminal_if(*state == end, reward)
        }
        fn step_rows(
            &self,
            states: &mut [i32],
            actions: &[usize],
            rngs: &mut [Rng],
            steps: &mut [Step],
        ) {
            for (i, state) in states.iter_mut().enumerate() {
                steps[i] = self.step(state, actions[i], &mut rngs[i]);
            }
            if *self == Fault::OtherRows && states.len() > 64 {
                steps[64].reward += 1.0;
            }
        }
        fn observe(&self, state: &i32, obs: &mut [i32]) {
            if *self != Fault::Unwritten {
                obs[0] = *state;
            }
        }
    }

    #[test]
    fn a_sound_environment_passes_and_each_fault_is_named() {
        assert_eq!(check_env(Fault::None), Ok(()));
        for (fault, part) in [
            (
                Fault::OutsideTheSpace,
                "step 9: an observation of environment 0 lies outside multi-discrete(10, 10): item 1 is 10",
            ),
            (Fault::Unwritten, "unwritten"),
            (Fault::NanReward, "reward NaN"),
            (Fault::OtherRows, "differ in row 64 at step 0"),
        ] {
            assert!(check_env(fault).unwrap_err().contains(part));
        }
    }
}
