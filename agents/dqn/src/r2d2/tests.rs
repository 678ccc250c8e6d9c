use super::*;
use crate::Loss;
use thorndike_core::rand::RngExt;
use thorndike_core::{
    Device, Env, EnvOptions, Schedule, Seeds, Space, Step, SyncVectorEnv, VectorEnv,
};
use thorndike_nets::tch::{self, Kind, Tensor, no_grad_guard};
use thorndike_nets::{Linear, ParamStore, models::Recurrent};

/// Numbers that never come again; ends by itself after 5 to 30 steps.
struct Noise;

impl Env for Noise {
    type State = [f32; 2];
    type Obs = f32;
    type Action = usize;
    fn observation_space(&self) -> Space {
        Space::unbounded(&[2])
    }
    fn action_space(&self) -> Space {
        Space::Discrete(3)
    }
    fn reset(&self, rng: &mut Rng) -> [f32; 2] {
        [rng.random(), rng.random_range(5..30) as f32]
    }
    fn step(&self, [x, left]: &mut [f32; 2], action: usize, rng: &mut Rng) -> Step {
        *x = rng.random();
        *left -= 1.0;
        let reward = action as f32 * *x;
        if *left == 0.0 {
            Step::terminal(reward)
        } else {
            Step::running(reward)
        }
    }
    fn observe(&self, [x, left]: &[f32; 2], obs: &mut [f32]) {
        obs.copy_from_slice(&[*x, 0.1 * left]);
    }
    fn time_limit(&self) -> Option<u32> {
        Some(20)
    }
}

fn config(json: serde_json::Value) -> R2d2Config {
    let mut all = serde_json::json!({"gamma": 0.9, "batch_size": 8, "warmup_steps": 100, "n_step": 3,
        "train_every_steps": 4, "replay": {"capacity": 50, "burn_in": 4, "length": 6, "period": 3},
        "extractor": {"kind": "recurrent", "cell": "gru", "units": 6, "encoder": [5]}});
    (all.as_object_mut().unwrap()).extend(json.as_object().unwrap().clone());
    serde_json::from_value(all).unwrap()
}

fn variants() -> [R2d2Config; 4] {
    [
        config(serde_json::json!({})),
        config(
            serde_json::json!({"double": false, "dueling": false, "rescale_values": false, "loss": "huber",
                "replay": {"capacity": 50, "burn_in": 0, "length": 6, "period": 6, "sampler": {"kind": "uniform"}}}),
        ),
        config(serde_json::json!({"dueling": false, "max_grad_norm": 0.1,
            "extractor": {"kind": "recurrent", "cell": "lstm", "units": 6, "hidden": [7]}})),
        config(
            serde_json::json!({"target": {"kind": "soft", "tau": 0.1}, "extractor": {"kind": "recurrent", "cell": "rnn"}}),
        ),
    ]
}

fn built(config: &R2d2Config, num_envs: usize) -> (R2d2, SyncVectorEnv<Noise>) {
    // Tests run side by side; operations that wait for each other's threads would take a hundred times longer.
    thorndike_nets::use_threads(1);
    let seeds = Seeds::new(11);
    let options = EnvOptions {
        num_envs,
        ..Default::default()
    };
    let envs = SyncVectorEnv::new(Noise, &options, seeds).unwrap();
    let ctx = BuildContext {
        spec: envs.spec(),
        seeds,
        device: Device::Cpu,
    };
    (R2d2::new(config, &ctx).unwrap(), envs)
}

/// As the trainer does it; `each` sees the agent and the observations after it has acted.
fn run(
    agent: &mut R2d2,
    envs: &mut SyncVectorEnv<Noise>,
    steps: usize,
    mut each: impl FnMut(&R2d2, &Array),
) {
    let mut actions = envs.new_actions();
    let mut starts = vec![agent.state.cadence.env_steps == 0; envs.spec().num_envs];
    for _ in 0..steps {
        agent.begin(&starts, Mode::Explore);
        agent.act(&envs.batch().obs, Mode::Explore, &mut actions);
        each(agent, &envs.batch().obs);
        envs.step(&actions);
        agent.observe(&Transitions::new(envs.batch(), &actions));
        agent.update(&mut Log::new(&mut (), 0, false)).unwrap();
        let status = envs.batch().status.iter().map(|status| status.is_over());
        starts = status.collect();
        envs.advance();
    }
}

fn weights(network: &SequenceNetwork) -> Vec<f32> {
    Vec::try_from(network.params().flat()).unwrap()
}

#[test]
fn what_is_stored_is_the_state_that_acting_had() {
    for config in variants() {
        let config = R2d2Config {
            warmup_steps: u64::MAX,
            ..config
        };
        let (mut agent, mut envs) = built(&config, 3);
        let mut before: Vec<([f32; 2], Vec<f32>)> = Vec::new();
        run(&mut agent, &mut envs, 150, |agent, obs| {
            let states = agent.memory.before.chunks_exact(agent.online.state_len());
            for (env, state) in states.enumerate() {
                let obs: [f32; 2] = obs.row(env).try_into().unwrap();
                before.push((obs, state.to_vec()));
            }
        });
        let had = |obs: &[f32]| &before.iter().find(|(seen, _)| seen == obs).unwrap().1;
        let batch = &mut agent.room.batch;
        agent
            .replay
            .sample_into(&mut Seeds::new(1).stream("test", 0), 0, batch);
        let state_len = agent.online.state_len();
        let (mut starts, mut q_checked) = (0, 0);
        let q = agent.online.unroll(batch, false).to_vec();
        for i in 0..batch.len() {
            let state = &batch.states[i * state_len..][..state_len];
            let (obs, time) = (&batch.obs, config.replay.length + 1);
            let first = match batch.burn_ins[i] {
                0 => obs.row::<f32>(i * time),
                _ => batch.burn_in_obs.row::<f32>(i * config.replay.burn_in),
            };
            assert_eq!(state, had(first), "bitwise");
            starts += usize::from(state.iter().all(|&x| x == 0.0));
            // With the weights of then, the burn-in leads to the states of then: the same values at each step.
            for t in 0..batch.lens[i] {
                let mut state = had(obs.row::<f32>(i * time + t)).clone();
                let row = Array::from_vec(obs.row::<f32>(i * time + t).to_vec(), 2);
                for (a, b) in
                    (agent.online.step(&row, &mut state).iter()).zip(&q[(i * time + t) * 3..])
                {
                    // Values below 1 through at most ten steps with a few f32 roundings each.
                    assert!((a - b).abs() < 1e-5, "{a} {b}");
                    q_checked += 1;
                }
            }
        }
        assert!(starts < batch.len(), "not all from the start of an episode");
        assert!(q_checked > 50);
    }
}

/// A copy of a network in libtorch's terms.
struct Twin {
    params: ParamStore,
    extractor: Recurrent,
    head: Linear,
}

impl Twin {
    fn of(network: &SequenceNetwork, config: &R2d2Config) -> Self {
        let rng = Seeds::new(0).stream("twin", 0);
        let recurrent = config.recurrent().unwrap();
        let (mut params, (extractor, head)) = ParamStore::build(tch::Device::Cpu, rng, |scope| {
            let extractor = Recurrent::new(recurrent, scope, 2)?;
            let outputs = 3 + i64::from(config.dueling);
            let head = Linear::new(&mut scope.sub("head"), extractor.width(), outputs);
            Ok((extractor, head))
        })
        .unwrap();
        params.copy_from(network.params());
        params.enable_gradients();
        Self {
            params,
            extractor,
            head,
        }
    }

    /// Q-values `[time, 3]` of sequence `i` of `batch`, one step after another.
    fn q(&self, config: &R2d2Config, batch: &SequenceBatch, i: usize) -> Vec<Tensor> {
        let row = |obs: &Array, row: usize| Tensor::from_slice(obs.row::<f32>(row)).view([1, 1, 2]);
        let state_len = self.extractor.state_len();
        let start = &batch.states[i * state_len as usize..][..state_len as usize];
        let mut state = Tensor::from_slice(start).view([1, state_len]);
        {
            let _guard = no_grad_guard();
            for t in 0..batch.burn_ins[i] {
                let x = row(&batch.burn_in_obs, i * config.replay.burn_in + t);
                state = self.extractor.run(&x, &state, false).1;
            }
        }
        let step = |t| {
            let x = row(&batch.obs, i * (config.replay.length + 1) + t);
            let (features, after) = self.extractor.run(&x, &state, true);
            state = after;
            let outputs = self.head.forward(&features).flatten(0, -1);
            if config.dueling {
                let advantages = outputs.narrow(0, 1, 3);
                outputs.get(0) + &advantages - advantages.mean(Kind::Float)
            } else {
                outputs
            }
        };
        (0..=batch.lens[i]).map(step).collect()
    }
}

/// The gradient of one update as the paper writes it, a sequence after another, in tensors; and the errors by which
/// the sequences are drawn again.
fn reference(agent: &R2d2, online: &Twin, target: &Twin) -> (Vec<f32>, Vec<f64>) {
    let (config, batch) = (&agent.config, &agent.room.batch);
    let h = |x: f64| x.signum() * ((x.abs() + 1.0).sqrt() - 1.0) + 1e-3 * x;
    // The inverse by bisection.
    let h_inverse = |y: f64| {
        let (mut low, mut high) = (-1e4, 1e4);
        for _ in 0..200 {
            let middle = 0.5 * (low + high);
            if h(middle) < y {
                low = middle;
            } else {
                high = middle;
            }
        }
        low
    };
    let mut losses = Vec::new();
    let mut errors = Vec::new();
    for i in 0..batch.len() {
        let (q, q_target) = (online.q(config, batch, i), target.q(config, batch, i));
        let len = batch.lens[i];
        let at = |t: usize| i * (config.replay.length + 1) + t;
        let mut td_abs = Vec::new();
        for t in 0..len {
            let m = config.n_step.min(len - t);
            let discounted =
                (0..m).map(|k| config.gamma.powi(k as i32) * f64::from(batch.rewards[at(t + k)]));
            let mut goal: f64 = discounted.sum();
            if !(batch.terminated[i] && t + m == len) {
                let chooser = if config.double { &q } else { &q_target };
                let best = chooser[t + m].argmax(0, false).int64_value(&[]);
                let v = q_target[t + m].double_value(&[best]);
                let v = if config.rescale_values {
                    h_inverse(v)
                } else {
                    v
                };
                goal += config.gamma.powi(m as i32) * v;
            }
            let goal = if config.rescale_values { h(goal) } else { goal };
            let action = i64::from(batch.actions.as_slice::<i32>()[at(t)]);
            let td = q[t].get(action) - goal;
            td_abs.push(td.double_value(&[]).abs());
            let loss = match config.loss {
                Loss::Mse => td.square(),
                Loss::Huber => td.huber_loss(&td.zeros_like(), tch::Reduction::Mean, 1.0),
            };
            losses.push(loss * f64::from(batch.weights[i]));
        }
        let largest = td_abs.iter().copied().fold(0.0, f64::max);
        errors.push(0.9 * largest + 0.1 * td_abs.iter().sum::<f64>() / len as f64);
    }
    Tensor::stack(&losses, 0).mean(Kind::Float).backward();
    let gradient = online.params.gradient();
    let norm = gradient.norm().double_value(&[]);
    let scale = config
        .max_grad_norm
        .map_or(1.0, |max| (max / (norm + 1e-6)).min(1.0));
    (Vec::try_from(gradient * scale).unwrap(), errors)
}

#[test]
fn an_update_follows_the_gradient_of_the_paper() {
    for config in variants() {
        let (mut agent, mut envs) = built(&config, 3);
        run(&mut agent, &mut envs, 80, |_, _| ());
        assert!(
            agent.state.cadence.updates > 20,
            "{}",
            agent.state.cadence.updates
        );
        let online = Twin::of(&agent.online, &config);
        let target = Twin::of(&agent.target, &config);
        agent.learn(&mut Log::new(&mut (), 0, false)).unwrap();
        let (expected, errors) = reference(&agent, &online, &target);
        let found: Vec<f32> = Vec::try_from(agent.online.params().gradient()).unwrap();
        let largest = expected.iter().fold(0.0_f32, |max, g| max.max(g.abs()));
        for (found, expected) in found.iter().zip(&expected) {
            // Sums over some fifty steps, each through a handful of f32 roundings of numbers of order 1.
            assert!(
                (found - expected).abs() < 1e-4 * largest + 1e-6,
                "{found} {expected}: {config:?}"
            );
        }
        for (found, expected) in agent.room.errors.iter().zip(errors) {
            assert!(
                (f64::from(*found) - expected).abs() < 1e-4,
                "{found} {expected}"
            );
        }
    }
}

#[test]
fn each_mode_has_a_memory_of_its_own_and_forgets_where_told() {
    let (mut agent, mut envs) = built(&config(serde_json::json!({})), 2);
    run(&mut agent, &mut envs, 9, |_, _| ());
    let explore = agent.memory.explore.clone();
    assert!(explore.iter().any(|&x| x != 0.0));
    // An evaluation in another number of environments.
    let obs = Array::from_vec(vec![0.3_f32, 0.7, -0.2, 0.1, 0.4, 0.9], 2);
    let mut actions = Array::zeros::<i32>(3, 1);
    agent.begin(&[true; 3], Mode::Exploit);
    agent.act(&obs, Mode::Exploit, &mut actions);
    let once = agent.memory.exploit.clone();
    agent.act(&obs, Mode::Exploit, &mut actions);
    let twice = agent.memory.exploit.clone();
    assert_ne!(once, twice, "it remembers");
    assert_eq!(agent.memory.explore, explore, "training is left alone");
    // Row 1 starts anew: as after one step; the others go on.
    agent.begin(&[true; 3], Mode::Exploit);
    agent.act(&obs, Mode::Exploit, &mut actions);
    agent.begin(&[false, true, false], Mode::Exploit);
    agent.act(&obs, Mode::Exploit, &mut actions);
    let found: Vec<&[f32]> = agent.memory.exploit.chunks_exact(6).collect();
    assert_eq!(found, [&twice[..6], &once[6..12], &twice[12..]]);
    agent.begin(&[true, false], Mode::Explore);
    assert_eq!(agent.memory.explore[..6], [0.0; 6]);
    assert_eq!(agent.memory.explore[6..], explore[6..]);
}

#[test]
fn a_loss_that_is_no_number_stops_before_the_weights_change() {
    let (mut agent, mut envs) = built(&config(serde_json::json!({})), 1);
    run(&mut agent, &mut envs, 200, |_, _| ());
    let params = agent.target.params_mut();
    let _ = params.flat_and_gradient_mut().0.fill_(f64::NAN);
    let before = weights(&agent.online);
    let error = agent.learn(&mut Log::new(&mut (), 0, false)).unwrap_err();
    let message = error.to_string();
    assert!(
        message.ends_with(" is NaN at environment step 200"),
        "{message}"
    );
    assert_eq!(weights(&agent.online), before);
}

#[test]
fn target_follows_as_configured() {
    let copied = |target: serde_json::Value, steps| {
        let config = config(serde_json::json!({"target": target, "train_every_steps": 1}));
        let (mut agent, mut envs) = built(&config, 1);
        run(&mut agent, &mut envs, steps, |_, _| ());
        weights(&agent.online) == weights(&agent.target)
    };
    // Steps 101, 102, … learn.
    let by_updates = serde_json::json!({"kind": "every-updates", "updates": 3});
    assert!(!copied(by_updates.clone(), 102) && copied(by_updates.clone(), 103));
    assert!(!copied(by_updates, 104));
    let by_steps = serde_json::json!({"kind": "every-steps", "steps": 5});
    assert!(!copied(by_steps.clone(), 104) && copied(by_steps.clone(), 105));
    assert!(!copied(by_steps, 106));
}

/// One observation and one action; pays 1 a step, for ever.
struct Steady;

impl Env for Steady {
    type State = u8;
    type Obs = f32;
    type Action = usize;
    fn observation_space(&self) -> Space {
        Space::unbounded(&[1])
    }
    fn action_space(&self) -> Space {
        Space::Discrete(1)
    }
    fn reset(&self, _: &mut Rng) -> u8 {
        0
    }
    fn step(&self, _: &mut u8, _: usize, _: &mut Rng) -> Step {
        Step::running(1.0)
    }
    fn observe(&self, _: &u8, obs: &mut [f32]) {
        obs[0] = 1.0;
    }
    fn time_limit(&self) -> Option<u32> {
        Some(3)
    }
}

#[test]
fn an_episode_that_was_cut_off_goes_on_in_its_value() {
    let config = R2d2Config {
        gamma: 0.5,
        n_step: 2,
        epsilon: Schedule::constant(0.0),
        ..config(serde_json::json!({"train_every_steps": 1,
            "optimizer": {"kind": "adam", "learning_rate": 0.01}, "target": {"kind": "soft", "tau": 0.1}}))
    };
    thorndike_nets::use_threads(1);
    let seeds = Seeds::new(1);
    let mut envs = SyncVectorEnv::new(Steady, &EnvOptions::default(), seeds).unwrap();
    let ctx = BuildContext {
        spec: envs.spec(),
        seeds,
        device: Device::Cpu,
    };
    let mut agent = R2d2::new(&config, &ctx).unwrap();
    let mut actions = envs.new_actions();
    for t in 0..700 {
        agent.begin(&[t % 3 == 0], Mode::Explore);
        agent.act(&envs.batch().obs, Mode::Explore, &mut actions);
        envs.step(&actions);
        agent.observe(&Transitions::new(envs.batch(), &actions));
        agent.update(&mut Log::new(&mut (), 0, false)).unwrap();
        envs.advance();
    }
    // 1 + 1/2 + 1/4 + .. = 2 at each of the three steps; as if ended it would be 1.75, 1.5 and 1.
    let mut state = vec![0.0; agent.online.state_len()];
    for t in 0..3 {
        let q = agent
            .online
            .step(&Array::from_vec(vec![1.0_f32], 1), &mut state)[0];
        let q = loss::unrescale(q.into(), 1e-3);
        assert!((q - 2.0).abs() < 0.05, "step {t}: {q}");
    }
}
