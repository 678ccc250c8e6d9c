//! Federated runs: a model or an agent that learns at several clients, who send what they learned to a server.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thorndike_core::{
    EnvSteps, Error, Evaluation, Event, Exchange, Recorder, Registry, Result, Seeds, Trainer,
    Weights,
};
use thorndike_data::{At, DataSet, Learner, Loader, LoaderConfig, Subset, Validation};
use thorndike_federated::{Ended, FederatedConfig, Order, Report, Round, Server, Split, Worker};

use crate::caught::caught;
use crate::config::{AgentTask, Config, EnvConfig, Task};
use crate::run::{build, evaluation_envs_of};
use crate::supervised::{self, ModelTask};
use crate::text::thousands;

/// What the name of an agent or a kind of model begins with in a federated run.
pub(crate) const PREFIX: &str = "federated ";
/// Clients, if nothing says how many.
const CLIENTS: usize = 10;
/// Environment steps of a client in a round, if nothing says how many.
const LOCAL_STEPS: u64 = 500;

/// Fills in what depends on the rest of a configuration, and refuses what does not fit it.
pub(crate) fn resolve(config: &mut Config, registry: &Registry) -> Result<()> {
    let Some(federated) = &mut config.federated else {
        return Ok(());
    };
    let belongs = |key: &str, whom: &str| Err(Error::config(key, format!("belongs to {whom}")));
    federated.check()?;
    match &mut config.task {
        Task::Words(_) => {
            let what = "word vectors are not learned by clients; give an agent or another model";
            return Err(Error::config("", what));
        }
        Task::Model(_) => {
            if federated.local_steps.is_some() {
                return belongs("local_steps", "agents; a model has local_epochs");
            }
            if !federated.envs.is_empty() {
                return belongs("envs", "agents; a model has split");
            }
            federated.local_epochs.get_or_insert(1);
            if *federated.split.get_or_insert_default() != (Split::Owner {}) {
                federated.clients.get_or_insert(CLIENTS);
            }
        }
        Task::Agent(AgentTask { env, ahead, .. }) => {
            if federated.local_epochs.is_some() {
                return belongs("local_epochs", "models; an agent has local_steps");
            }
            if federated.split.is_some() {
                return belongs("split", "models; an agent has envs");
            }
            if federated.schedule_samples.is_some() {
                return belongs("schedule_samples", "models");
            }
            if federated.proximal_mu > 0.0 {
                return belongs("proximal_mu", "models; give 0 for an agent");
            }
            if ahead.is_some() {
                let what = "clients learn on threads of their own already; remove [ahead]";
                return Err(Error::config("", what));
            }
            federated.local_steps.get_or_insert(LOCAL_STEPS);
            let clients = match federated.envs.len() {
                0 => CLIENTS,
                envs => envs,
            };
            federated.clients.get_or_insert(clients);
            for (i, own) in federated.envs.iter().enumerate() {
                let params = with(&env.params, own);
                registry
                    .resolve_env(&env.id, &params)
                    .map_err(|e| match e {
                        Error::Config { key, what } => {
                            let key = key.strip_prefix("env.params.").unwrap_or(&key).to_owned();
                            Error::config(format!("envs[{i}].{key}"), what)
                        }
                        other => other,
                    })?;
            }
        }
    }
    Ok(())
}

/// As [`resolve`], for what a model learns by: `task` is filled in, too.
pub(crate) fn resolve_model(
    task: &mut ModelTask,
    federated: &mut FederatedConfig,
    seed: u64,
) -> Result<()> {
    let mut samples = federated.schedule_samples.unwrap_or(0);
    let passes = federated.rounds as f64 * federated.local_epochs.unwrap_or(1) as f64;
    let passes = federated.schedule_samples.is_none().then_some(passes);
    task.resolve(passes, &mut samples, seed)?;
    federated.schedule_samples = Some(samples);
    if task.training["accumulate"].as_u64().unwrap_or(1) > 1 {
        let what = "a client makes an update of each batch; give 1";
        return Err(Error::config("training.accumulate", what));
    }
    Ok(())
}

/// `params` with `others` laid over them.
fn with(params: &Value, others: &Map<String, Value>) -> Value {
    let mut all = params.as_object().cloned().unwrap_or_default();
    all.extend(others.clone());
    Value::Object(all)
}

/// What was built for one run.
#[derive(Debug)]
pub struct Built {
    server: Server,
    global: Global,
    seed: u64,
    log_every: EnvSteps,
    about: String,
}

/// What holds the weights of the server, to be tried out and saved as that of any other run.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one of a run")]
enum Global {
    Model(supervised::Built),
    Agent(Trainer),
}

/// What a run came to, beside its scores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FederatedSummary {
    /// Clients.
    pub clients: usize,
    /// Rounds.
    pub rounds: u64,
    /// Bytes that the server sent in a round, on average.
    pub bytes_down: f64,
    /// Bytes that clients sent in a round, on average.
    pub bytes_up: f64,
    /// Rounds that clients were left out of because they came to no numbers, by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub left_out: BTreeMap<String, u64>,
    /// Whether clients were clipped and noise was added.
    #[serde(default)]
    pub private: bool,
    /// What that comes to; absent without noise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epsilon: Option<f64>,
}

impl Built {
    /// Builds server and clients of one seed.
    ///
    /// # Errors
    /// If the data or environments cannot be built, or do not fit so many clients.
    pub fn new(
        config: &Config,
        federated: &FederatedConfig,
        registry: &Registry,
        seed: u64,
    ) -> Result<Self> {
        let parts = match &config.task {
            Task::Model(task) => of_model(config, task, federated, seed)?,
            Task::Agent(task) => of_agent(config, task, federated, registry, seed)?,
            Task::Words(_) => unreachable!("refused when the configuration was read"),
        };
        let Parts {
            mut global,
            names,
            workers,
            about,
        } = parts;
        let weights = global.exchange()?.weights();
        let server = Server::new(federated, names, weights, Seeds::new(seed), workers);
        Ok(Self {
            server: server.map_err(|e| e.under("federated"))?,
            global,
            seed,
            log_every: config.log_every_steps,
            about,
        })
    }

    /// Rounds so far.
    pub fn rounds(&self) -> u64 {
        self.server.rounds()
    }

    /// Who the clients are.
    pub fn describe(&self) -> &str {
        &self.about
    }

    /// What each client learns, and the bytes that all of them hold at most.
    pub fn learner(&mut self) -> (String, u64) {
        let clients = self.server.names().len() as u64;
        match &mut self.global {
            // The networks are those of workers, whose number is little beside.
            Global::Model(built) => {
                let learner = built.fitter.learner();
                (learner.describe(), learner.memory())
            }
            Global::Agent(trainer) => {
                let agent = trainer.agent();
                (agent.describe(), agent.memory().saturating_mul(clients + 1))
            }
        }
    }

    /// Name of the score that a model is tried by.
    pub fn measure(&self) -> Option<String> {
        match &self.global {
            Global::Model(built) => Some(built.fitter.measure()),
            Global::Agent(_) => None,
        }
    }

    /// The best score of a model so far.
    pub fn best(&self) -> Option<f64> {
        match &self.global {
            Global::Model(built) => built.fitter.best(),
            Global::Agent(_) => None,
        }
    }

    /// Whether early stopping has ended the run.
    pub fn is_stopped(&self) -> bool {
        matches!(&self.global, Global::Model(built) if built.fitter.is_stopped())
    }

    /// What the run came to.
    pub fn summary(&self) -> FederatedSummary {
        let rounds = self.server.rounds();
        let [down, up] = self.server.bytes();
        let mean = |bytes: u64| bytes as f64 / rounds.max(1) as f64;
        let left_out = self.server.left_out();
        let epsilon = self.server.epsilon();
        FederatedSummary {
            clients: self.server.names().len(),
            rounds,
            bytes_down: mean(down),
            bytes_up: mean(up),
            left_out: left_out.map(|(name, n)| (name.to_owned(), n)).collect(),
            private: epsilon.is_some(),
            epsilon: epsilon.filter(|epsilon| epsilon.is_finite()),
        }
    }

    /// Makes rounds until there were `until` of them.
    ///
    /// # Errors
    /// If a client fails in another way than by coming to no numbers.
    pub fn run_until(&mut self, until: u64, recorder: &mut dyn Recorder) -> Result<()> {
        while self.server.rounds() < until {
            let known: Vec<String> = self.server.left_out().map(|l| l.0.to_owned()).collect();
            let round = self.server.run_round()?;
            for (client, what) in &round.left_out {
                let name = &self.server.names()[*client as usize];
                if !known.contains(name) {
                    eprintln!(
                        "warning: seed {}, round {}: {name} is left out: {what}",
                        self.seed, round.number
                    );
                }
            }
            record(&round, self.log_every, recorder)?;
        }
        self.hand_over()
    }

    /// Gives the weights of the server to what is tried out and saved.
    fn hand_over(&mut self) -> Result<()> {
        let weights = self.server.weights();
        self.global.exchange()?.set_weights(weights);
        if let Global::Model(built) = &mut self.global {
            built.fitter.set_step(self.server.rounds());
        }
        Ok(())
    }

    /// Tries a model on what was kept back, with what is best remembered unless it is the `last` time; none of an agent.
    ///
    /// # Errors
    /// If a sample cannot be read.
    pub fn validate(
        &mut self,
        last: bool,
        recorder: &mut dyn Recorder,
    ) -> Result<Option<Validation>> {
        match &mut self.global {
            Global::Agent(_) => Ok(None),
            Global::Model(built) if last => built.fitter.validate_last(recorder).map(Some),
            Global::Model(built) => built.fitter.validate(recorder).map(Some),
        }
    }

    /// Plays `episodes` episodes in all, evenly in the environments of all clients, and records the mean of each.
    ///
    /// # Errors
    /// If an environment cannot be built.
    pub fn evaluate(
        &mut self,
        config: &Config,
        registry: &Registry,
        seeds: Seeds,
        episodes: usize,
        recorder: &mut dyn Recorder,
    ) -> Result<(Evaluation, Option<f64>)> {
        let step = self.server.rounds();
        let Global::Agent(trainer) = &mut self.global else {
            unreachable!("a model is validated");
        };
        let env = &config.agent_task()?.env;
        let none = [Map::new()];
        let envs = config.federated.as_ref().map_or(&[][..], |f| &f.envs);
        let several = envs.len() > 1;
        let envs = if envs.is_empty() { &none } else { envs };
        let mut all = Evaluation::default();
        for (i, own) in envs.iter().enumerate() {
            let params = with(&with(&env.params, own), &config.eval.env);
            let seeds = match several {
                true => seeds.child("client", i as u64),
                false => seeds,
            };
            let episodes = episodes.div_ceil(envs.len());
            let mut vector = evaluation_envs_of(config, registry, &params, seeds, episodes)?;
            let found = trainer.evaluate(&mut *vector, episodes)?;
            if several {
                recorder.record(&Event::Scalar {
                    step,
                    name: format!("return/env-{i}").into(),
                    value: found.mean(),
                })?;
            }
            let same = i == 0 || all.only_action == found.only_action;
            all.only_action = found.only_action.filter(|_| same);
            all.returns.extend(found.returns);
            all.lengths.extend(found.lengths);
        }
        Ok((all, trainer.envs().spec().reward_threshold))
    }

    /// Writes all that changes into `dir`; what plays or predicts as a run without clients does.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn save(&self, dir: &Path) -> Result<()> {
        match &self.global {
            Global::Model(built) => built.save(dir)?,
            Global::Agent(trainer) => trainer.save(dir)?,
        }
        self.server.save(dir)
    }

    /// Reads what [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// If a file cannot be read, or is of another run.
    pub fn load(&mut self, dir: &Path) -> Result<()> {
        match &mut self.global {
            Global::Model(built) => built.fitter.load(dir)?,
            Global::Agent(trainer) => trainer.load(dir)?,
        }
        self.server.load(dir)?;
        self.hand_over()
    }
}

impl Global {
    fn exchange(&mut self) -> Result<&mut dyn Exchange> {
        match self {
            Self::Model(built) => built.fitter.learner().exchange().ok_or_else(|| {
                let what = "its weights cannot be put together from those of clients; give a network, such as \"mlp\" or \
                            \"cnn\"";
                Error::config("model.kind", what)
            }),
            Self::Agent(trainer) => trainer.agent().exchange().ok_or_else(|| {
                let what = "its weights cannot be put together from those of clients; give \"dqn\" or \"pqn\"";
                Error::config("agent.id", what)
            }),
        }
    }
}

/// Records what came of a round.
fn record(round: &Round, every: EnvSteps, recorder: &mut dyn Recorder) -> Result<()> {
    for &(client, ended) in &round.episodes {
        let Ended {
            episode_return,
            length,
            status,
        } = ended;
        recorder.record(&Event::Episode {
            step: round.number,
            env: client,
            episode_return,
            length,
            status,
        })?;
    }
    if !round.number.is_multiple_of(every.max(1)) {
        return Ok(());
    }
    let numbers = [
        ("loss/train", round.loss),
        ("federated/change", Some(round.change)),
        ("federated/chosen", Some(round.chosen as f64)),
        ("federated/reports", Some(round.reports as f64)),
        ("federated/left_out", Some(round.left_out.len() as f64)),
        ("federated/seen", Some(round.seen as f64)),
        ("federated/bytes_down", Some(round.bytes_down as f64)),
        ("federated/bytes_up", Some(round.bytes_up as f64)),
        ("privacy/epsilon", round.epsilon.filter(|e| e.is_finite())),
    ];
    for (name, value) in numbers {
        if let Some(value) = value {
            recorder.record(&Event::Scalar {
                step: round.number,
                name: Cow::Borrowed(name),
                value,
            })?;
        }
    }
    Ok(())
}

/// What a server is made of.
struct Parts {
    global: Global,
    names: Vec<String>,
    workers: Vec<Box<dyn Worker>>,
    about: String,
}

/// Streams of client `client`. The first one draws as a run without clients does, so that it alone repeats that run.
fn streams(seeds: Seeds, client: usize) -> Seeds {
    match client {
        0 => seeds,
        client => seeds.child("federated/client", client as u64),
    }
}

fn of_model(
    config: &Config,
    task: &ModelTask,
    federated: &FederatedConfig,
    seed: u64,
) -> Result<Parts> {
    let seeds = Seeds::new(seed);
    let [only] = &task.tasks[..] else {
        let what = "clients learn one task; give [data] instead of [tasks]";
        return Err(Error::config("federated", what));
    };
    let own = [only.data.open(seed)?];
    let data = &own[0];
    let parts = shares(&*data.train, federated, seeds).map_err(|e| e.under("federated"))?;
    let global = task.build_of(own.to_vec(), seed, config.device, config.log_every_steps)?;
    let batches = LoaderConfig {
        workers: 0,
        ..task.loader()?
    };
    let sizes = || parts.iter().map(|(_, samples)| samples.len());
    let (smallest, largest) = (sizes().min().unwrap_or(0), sizes().max().unwrap_or(0));
    let each = match smallest == largest {
        true => thousands(largest as u64),
        false => format!(
            "{} to {}",
            thousands(smallest as u64),
            thousands(largest as u64)
        ),
    };
    let about = format!(
        "{}\n  {} clients of {each} samples each",
        global.describe(),
        thousands(parts.len() as u64)
    );
    let threads = federated.threads.min(parts.len());
    let mut workers = Vec::new();
    for thread in 0..threads {
        let mut clients = BTreeMap::new();
        for (client, (_, samples)) in parts.iter().enumerate().skip(thread).step_by(threads) {
            let set = Subset::new(data.train.clone(), samples.clone());
            let consecutive = set.is_consecutive();
            let lanes = batches.batch_size.min(set.len());
            let batches = LoaderConfig {
                batch_size: if consecutive {
                    lanes
                } else {
                    batches.batch_size
                },
                ..batches.clone()
            };
            let samples = set.len() as u64;
            let loader = Loader::new(Arc::new(set), &batches, streams(seeds, client));
            let loader = loader.map_err(|e| e.under("training"))?;
            let shown = match consecutive {
                true => loader.batches_per_epoch() * lanes as u64,
                false => samples,
            };
            let local = Local {
                samples,
                shown,
                consecutive,
                loader,
            };
            clients.insert(client as u32, local);
        }
        workers.push(Box::new(ModelClients {
            learner: task.learner(&own, seeds, config.device)?,
            clients,
            epochs: federated.local_epochs.unwrap_or(1),
            whole: data.train.len() as u64,
            threads: task.threads(),
        }) as Box<dyn Worker>);
    }
    Ok(Parts {
        global: Global::Model(global),
        names: parts.into_iter().map(|(name, _)| name).collect(),
        workers,
        about,
    })
}

/// Names of clients, and which samples of `train` they hold.
fn shares(
    train: &dyn DataSet,
    federated: &FederatedConfig,
    seeds: Seeds,
) -> Result<Vec<(String, Vec<usize>)>> {
    let clients = federated.clients.unwrap_or(CLIENTS);
    let rng = &mut seeds.stream("federated/split", 0);
    let parts = match federated.split.as_ref().unwrap_or(&Split::Iid {}) {
        Split::Iid {} if train.is_consecutive() => Split::pieces(train.len(), clients)?,
        Split::Iid {} => Split::iid(train.len(), clients, rng)?,
        Split::Dirichlet { alpha } => {
            let classes = (0..train.len()).map(|index| {
                train.class(index)?.ok_or_else(|| {
                    let what = "\"dirichlet\" takes a class of each sample, which this data has not; give \"iid\" or \
                                \"owner\"";
                    Error::config("split.kind", what)
                })
            });
            let classes: Vec<usize> = classes.collect::<Result<_>>()?;
            Split::dirichlet(&classes, clients, *alpha, rng)?
        }
        Split::Owner {} => {
            let owners = (0..train.len()).map(|index| train.owner(index));
            return Split::owner(owners, federated.clients);
        }
    };
    let named = parts.into_iter().enumerate();
    Ok(named
        .map(|(client, samples)| (format!("client {client}"), samples))
        .collect())
}

/// Clients that learn a model, on one thread and by one network.
#[derive(Debug)]
struct ModelClients {
    learner: Box<dyn Learner>,
    clients: BTreeMap<u32, Local>,
    /// Passes in a round.
    epochs: u64,
    /// Samples of all clients.
    whole: u64,
    /// Threads that an operation of libtorch may use.
    threads: usize,
}

/// What a client has.
#[derive(Debug)]
struct Local {
    samples: u64,
    /// Samples that a pass shows.
    shown: u64,
    consecutive: bool,
    loader: Loader,
}

impl ModelClients {
    fn learn(&mut self, order: &Order) -> Result<Report> {
        let local = self.clients.get_mut(&order.client);
        let local = local.expect("orders go to the worker of the client");
        let exchange = self.learner.exchange();
        let exchange = exchange.expect("it was asked for its weights when it was built");
        exchange.set_weights(&order.weights);
        exchange.restart(order.proximal_mu);
        let all = self.epochs * local.loader.batches_per_epoch();
        let batches = ((order.share * all as f64).ceil() as u64).clamp(1, all);
        local.loader.start(order.round * self.epochs, 0);
        let (mut seen, mut loss) = (0, 0.0);
        for batch in 0..batches {
            let loaded = local.loader.next()?;
            // As far as all samples would be learned from if this client held them.
            let passed = order.round * self.epochs * local.shown + seen;
            let step = u128::from(passed) * u128::from(self.whole) / u128::from(local.samples);
            let at = At {
                step: step as u64,
                // Numbers of its own, for layers that draw.
                update: (u64::from(order.client) << 40) + order.round * all + batch,
                starts: loaded.is_first() || !local.consecutive,
            };
            let samples = loaded.batch.len() as u64;
            loss += self.learner.learn(&loaded.batch, at)? * samples as f64;
            seen += samples;
        }
        let exchange = self.learner.exchange().expect("as above");
        Ok(Report {
            samples: local.samples,
            seen,
            loss: loss / seen.max(1) as f64,
            weights: exchange.weights(),
            ..Report::of(order)
        })
    }
}

impl Worker for ModelClients {
    fn begin(&mut self) {
        use_threads(self.threads);
    }

    fn work(&mut self, order: &Order) -> Result<Report> {
        caught("", || self.learn(order))
    }
}

/// Part of libtorch asks for the number of the calling thread.
fn use_threads(threads: usize) {
    #[cfg(feature = "torch")]
    thorndike_nets::use_threads(threads);
    #[cfg(not(feature = "torch"))]
    let _ = threads;
}

fn of_agent(
    config: &Config,
    task: &AgentTask,
    federated: &FederatedConfig,
    registry: &Registry,
    seed: u64,
) -> Result<Parts> {
    let (_, global) = build(config, registry, seed)?;
    let number = federated.clients.unwrap_or(CLIENTS);
    let steps = federated.local_steps.unwrap_or(LOCAL_STEPS);
    let threads = federated.threads.min(number);
    let mut workers = Vec::new();
    for thread in 0..threads {
        let mut clients = BTreeMap::new();
        for client in (thread..number).step_by(threads) {
            let own = federated.envs.get(client % federated.envs.len().max(1));
            let params = match own {
                Some(own) => with(&task.env.params, own),
                None => task.env.params.clone(),
            };
            let env = EnvConfig {
                params,
                ..task.env.clone()
            };
            let own = Config {
                seeds: vec![0],
                log_every_steps: steps.div_ceil(4),
                task: Task::Agent(AgentTask {
                    env,
                    ..task.clone()
                }),
                ..config.clone()
            };
            let seeds = streams(Seeds::new(seed), client);
            let (_, trainer) = build(&own, registry, seeds.root())?;
            clients.insert(client as u32, trainer);
        }
        workers.push(Box::new(AgentClients { clients, steps }) as Box<dyn Worker>);
    }
    let spec = global.envs().spec();
    let limit = match spec.time_limit {
        Some(limit) => format!("time limit {limit} steps"),
        None => "no time limit".into(),
    };
    let about = format!(
        "observations {}, actions {}, {limit}\n  {} clients of {} environment steps a round{}",
        spec.observation_space(),
        spec.action_space,
        thousands(number as u64),
        thousands(steps),
        match federated.envs.len() {
            0 => String::new(),
            envs => format!(", {envs} kinds of environments"),
        }
    );
    Ok(Parts {
        global: Global::Agent(global),
        names: (0..number).map(|k| format!("client {k}")).collect(),
        workers,
        about,
    })
}

/// Clients that each have an agent in environments of their own.
#[derive(Debug)]
struct AgentClients {
    clients: BTreeMap<u32, Trainer>,
    /// Environment steps in a round.
    steps: u64,
}

/// Keeps of what happens at a client what its report tells.
#[derive(Default)]
struct Happened {
    episodes: Vec<Ended>,
    losses: Vec<f64>,
}

impl Recorder for Happened {
    fn record(&mut self, event: &Event<'_>) -> Result<()> {
        match event {
            Event::Episode {
                episode_return,
                length,
                status,
                ..
            } => self.episodes.push(Ended {
                episode_return: *episode_return,
                length: *length,
                status: *status,
            }),
            Event::Scalar { name, value, .. } if name.starts_with("loss/") => {
                self.losses.push(*value);
            }
            _ => {}
        }
        Ok(())
    }
}

impl AgentClients {
    fn learn(&mut self, order: &Order) -> Result<Report> {
        let trainer = self.clients.get_mut(&order.client);
        let trainer = trainer.expect("orders go to the worker of the client");
        let exchange = |trainer: &mut Trainer, weights: Option<&Weights>| {
            let exchange = trainer.agent().exchange();
            let exchange = exchange.expect("it was asked for its weights when it was built");
            if let Some(weights) = weights {
                exchange.set_weights(weights);
                exchange.restart(0.0);
            }
            exchange.weights()
        };
        exchange(trainer, Some(&order.weights));
        let before = trainer.step();
        let steps = ((order.share * self.steps as f64).ceil() as u64).clamp(1, self.steps);
        let mut happened = Happened::default();
        trainer.run_until(before + steps, &mut happened)?;
        let seen = trainer.step() - before;
        let losses = happened.losses;
        Ok(Report {
            samples: seen,
            seen,
            loss: losses.iter().sum::<f64>() / losses.len().max(1) as f64,
            weights: exchange(trainer, None),
            episodes: happened.episodes,
            ..Report::of(order)
        })
    }

    fn folder(dir: &Path, client: u32) -> PathBuf {
        dir.join("clients").join(format!("{client:06}"))
    }
}

impl Worker for AgentClients {
    fn begin(&mut self) {
        use_threads(1);
    }

    fn work(&mut self, order: &Order) -> Result<Report> {
        caught("", || self.learn(order))
    }

    fn save(&self, dir: &Path) -> Result<()> {
        for (&client, trainer) in &self.clients {
            let folder = Self::folder(dir, client);
            fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
            trainer.save(&folder)?;
        }
        Ok(())
    }

    fn load(&mut self, dir: &Path) -> Result<()> {
        for (&client, trainer) in &mut self.clients {
            trainer.load(&Self::folder(dir, client))?;
        }
        Ok(())
    }
}
