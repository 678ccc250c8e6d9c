//! The rounds.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};
use thorndike_core::rand::RngExt;
use thorndike_core::rand::seq::SliceRandom;
use thorndike_core::{Error, Result, Seeds, Weights};

use crate::crew::{Answer, Crew};
use crate::message::bytes;
use crate::{
    Accountant, Ended, FederatedConfig, Order, PrivacyConfig, Report, ServerOptimizer, Worker,
};

/// File of the server's state, below the folder of a checkpoint.
const STATE: &str = "server.bin";

/// Holds the weights, sends them to clients, and puts together what comes back.
///
/// *Design.* Who takes part, who drops out, the noise and what a client draws follow from the seeds, the round and the
/// client's number alone, and updates are added up in the order of clients: so the result is the same for any number of
/// workers, and a run goes on exactly from the state after a round.
pub struct Server {
    config: FederatedConfig,
    names: Vec<String>,
    seeds: Seeds,
    optimizer: ServerOptimizer,
    accountant: Option<Accountant>,
    state: State,
    crew: Crew,
}

/// What changes from round to round, beside what the optimiser gathers.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct State {
    round: u64,
    weights: Weights,
    bytes_down: u64,
    bytes_up: u64,
    /// Rounds that each client was left out of because it came to no numbers.
    left_out: BTreeMap<u32, u64>,
}

/// What came of a round.
#[derive(Clone, Debug, PartialEq)]
pub struct Round {
    /// Its number, from 1.
    pub number: u64,
    /// Clients that the weights were sent to.
    pub chosen: usize,
    /// Clients whose work counted.
    pub reports: usize,
    /// Clients that were left out because they came to no numbers: which, and how.
    pub left_out: Vec<(u32, String)>,
    /// Bytes that the server sent.
    pub bytes_down: u64,
    /// Bytes that it was sent.
    pub bytes_up: u64,
    /// Samples or environment steps that were learned from, of all clients whose work counted.
    pub seen: u64,
    /// Mean loss over them; absent if there are none.
    pub loss: Option<f64>,
    /// Euclidean norm of what clients have changed on average, before noise.
    pub change: f64,
    /// Episodes that ended at a client, by its number.
    pub episodes: Vec<(u32, Ended)>,
    /// What all rounds so far cost in privacy, if that is counted.
    pub epsilon: Option<f64>,
}

/// A client's part in a round.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// It does this share of its work.
    Works(f64),
    /// It never answers.
    Silent,
}

impl Server {
    /// A server of clients called `names` that begins with `weights`. Client `k` belongs to worker `k` modulo their
    /// number.
    ///
    /// # Errors
    /// [`Error::Config`] if a setting is out of range, or `weights` hold numbers that privacy does not cover.
    ///
    /// # Panics
    /// If there is no client or no worker.
    pub fn new(
        config: &FederatedConfig,
        names: Vec<String>,
        weights: Weights,
        seeds: Seeds,
        workers: Vec<Box<dyn Worker>>,
    ) -> Result<Self> {
        assert!(!names.is_empty() && !workers.is_empty(), "nobody is there");
        config.check()?;
        if config.privacy.is_some() && !weights.beside.is_empty() {
            let what = format!(
                "the model keeps {} numbers beside its weights, such as moments of a batch norm or of inputs, which tell of \
                 clients without noise; give a model without batch norm and training.normalize = false",
                weights.beside.len()
            );
            return Err(Error::config("privacy", what));
        }
        let accountant = config.privacy.as_ref();
        Ok(Self {
            accountant: accountant.map(|privacy| Accountant::new(privacy, config.fraction)),
            optimizer: ServerOptimizer::new(config.server.clone()),
            config: config.clone(),
            names,
            seeds,
            state: State {
                round: 0,
                weights,
                bytes_down: 0,
                bytes_up: 0,
                left_out: BTreeMap::new(),
            },
            crew: Crew::new(workers)?,
        })
    }

    /// Rounds so far.
    pub fn rounds(&self) -> u64 {
        self.state.round
    }

    /// Names of the clients.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The weights as they are now.
    pub fn weights(&self) -> &Weights {
        &self.state.weights
    }

    /// Bytes that were sent so far, to clients and from clients.
    pub fn bytes(&self) -> [u64; 2] {
        [self.state.bytes_down, self.state.bytes_up]
    }

    /// How many rounds each client was left out of because it came to no numbers, by its name.
    pub fn left_out(&self) -> impl Iterator<Item = (&str, u64)> {
        let left_out = self.state.left_out.iter();
        left_out.map(|(&client, &rounds)| (self.names[client as usize].as_str(), rounds))
    }

    /// What all rounds so far cost in privacy, if that is counted.
    pub fn epsilon(&self) -> Option<f64> {
        let accountant = self.accountant.as_ref();
        accountant.map(|accountant| accountant.epsilon(self.state.round))
    }

    /// Makes a round.
    ///
    /// # Errors
    /// If the work of a client fails in another way than by coming to no numbers.
    pub fn run_round(&mut self) -> Result<Round> {
        let fates = self.fates();
        let mut bytes_down = 0;
        let mut orders = Vec::new();
        for &(client, fate) in &fates {
            let order = Order {
                round: self.state.round,
                client,
                share: match fate {
                    Fate::Works(share) => share,
                    Fate::Silent => 1.0,
                },
                proximal_mu: self.config.proximal_mu,
                weights: self.state.weights.clone(),
            };
            bytes_down += bytes(&order);
            if fate != Fate::Silent {
                orders.push(order);
            }
        }
        let mut bytes_up = 0;
        let mut left_out = Vec::new();
        let mut reports = Vec::new();
        for answer in self.crew.work(orders)? {
            match answer {
                Answer::Report(report) => {
                    bytes_up += bytes(&report);
                    match self.fault(&report) {
                        Some(what) => left_out.push((report.client, what)),
                        None => reports.push(report),
                    }
                }
                Answer::Diverged { client, what } => left_out.push((client, what)),
            }
        }
        reports.sort_unstable_by_key(|report| report.client);
        left_out.sort_unstable();
        for (client, _) in &left_out {
            *self.state.left_out.entry(*client).or_default() += 1;
        }
        let change = self.put_together(&reports);
        self.state.round += 1;
        self.state.bytes_down += bytes_down;
        self.state.bytes_up += bytes_up;
        let seen: u64 = reports.iter().map(|report| report.seen).sum();
        let loss: f64 = reports.iter().map(|r| r.loss * r.seen as f64).sum();
        Ok(Round {
            number: self.state.round,
            chosen: fates.len(),
            reports: reports.len(),
            left_out,
            bytes_down,
            bytes_up,
            seen,
            loss: (seen > 0).then(|| loss / seen as f64),
            change,
            episodes: reports
                .iter()
                .flat_map(|r| r.episodes.iter().map(|&ended| (r.client, ended)))
                .collect(),
            epsilon: self.epsilon(),
        })
    }

    /// Who takes part in the coming round, in the order of clients, and what becomes of them.
    fn fates(&self) -> Vec<(u32, Fate)> {
        let (round, clients) = (self.state.round, self.names.len());
        let mut chosen: Vec<usize> = (0..clients).collect();
        let rng = &mut self.seeds.stream("federated/chosen", round);
        if self.config.privacy.is_some() {
            chosen.retain(|_| rng.random::<f64>() < self.config.fraction);
        } else {
            let number = (self.config.fraction * clients as f64).round() as usize;
            chosen.shuffle(rng);
            chosen.truncate(number.max(1));
            chosen.sort_unstable();
        }
        let fate = |client: usize| {
            let seeds = self.seeds.child("federated/fate", round);
            let rng = &mut seeds.stream("client", client as u64);
            let [drops, straggles, share] = rng.random::<[f64; 3]>();
            let fate = match &self.config.stragglers {
                _ if drops < self.config.drop_out => Fate::Silent,
                Some(s) if straggles < s.share && !s.kept => Fate::Silent,
                Some(s) if straggles < s.share => Fate::Works(share),
                _ => Fate::Works(1.0),
            };
            (client as u32, fate)
        };
        chosen.into_iter().map(fate).collect()
    }

    /// Why a report cannot count.
    fn fault(&self, report: &Report) -> Option<String> {
        if !report.weights.is_like(&self.state.weights) {
            return Some("its weights are those of another model".to_owned());
        }
        let finite = report.weights.is_finite() && report.loss.is_finite();
        (!finite).then(|| "its weights are no finite numbers".to_owned())
    }

    /// Goes on from the weights to what `reports` make of them; gives the norm of the mean change.
    fn put_together(&mut self, reports: &[Report]) -> f64 {
        let old = &mut self.state.weights;
        let mean = match &self.config.privacy {
            Some(privacy) => {
                let seeds = self.seeds.stream("federated/noise", self.state.round);
                let expected = self.config.fraction * self.names.len() as f64;
                private_mean(&old.trained, reports, privacy, expected, seeds)
            }
            None => {
                let all: u64 = reports.iter().map(|report| report.samples).sum();
                if all == 0 {
                    return 0.0;
                }
                let mean = |old: &[f32], of: fn(&Report) -> &[f32]| {
                    let mut mean = vec![0.0; old.len()];
                    for report in reports {
                        let share = report.samples as f64 / all as f64;
                        for (mean, &x) in mean.iter_mut().zip(of(report)) {
                            *mean += share * f64::from(x);
                        }
                    }
                    mean
                };
                let beside = mean(&old.beside, |report| &report.weights.beside);
                for (x, mean) in old.beside.iter_mut().zip(beside) {
                    *x = mean as f32;
                }
                let mean = mean(&old.trained, |report| &report.weights.trained);
                (norm_of_change(&old.trained, &mean), mean)
            }
        };
        self.optimizer.step(&mut old.trained, &mean.1);
        mean.0
    }

    /// Writes all that changes, on the server and at the clients, into the folder `dir`.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn save(&self, dir: &Path) -> Result<()> {
        let (first, second) = (&self.optimizer.first, &self.optimizer.second);
        let written = postcard::to_stdvec(&(&self.state, first, second));
        let path = dir.join(STATE);
        let written = written.map_err(|e| Error::Backend(Box::new(e)))?;
        fs::write(&path, written).map_err(Error::io(path))?;
        self.crew.save(dir)
    }

    /// Reads what [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// If a file cannot be read, or is of another model or other clients.
    pub fn load(&mut self, dir: &Path) -> Result<()> {
        let path = dir.join(STATE);
        let text = fs::read(&path).map_err(Error::io(&path))?;
        let (state, first, second): (State, Vec<f64>, Vec<f64>) = postcard::from_bytes(&text)
            .map_err(|e| Error::checkpoint(&path, format!("is damaged: {e}")))?;
        let known = |client: &u32| (*client as usize) < self.names.len();
        if !state.weights.is_like(&self.state.weights) || !state.left_out.keys().all(known) {
            let what = "is of another model or other clients";
            return Err(Error::checkpoint(path, what));
        }
        let len = state.weights.trained.len();
        let fits = |numbers: &Vec<f64>| numbers.is_empty() || numbers.len() == len;
        if !fits(&first) || !fits(&second) {
            return Err(Error::checkpoint(path, "is of another server optimizer"));
        }
        self.crew.load(dir)?;
        (self.optimizer.first, self.optimizer.second) = (first, second);
        self.state = state;
        Ok(())
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("config", &self.config)
            .field("round", &self.state.round)
            .finish_non_exhaustive()
    }
}

fn norm_of_change(old: &[f32], new: &[f64]) -> f64 {
    let squares = old
        .iter()
        .zip(new)
        .map(|(&old, new)| (new - f64::from(old)).powi(2));
    squares.sum::<f64>().sqrt()
}

/// `old` and the mean of all clipped changes, with noise; before it the norm of that mean without noise. `expected` clients
/// take part on average.
fn private_mean(
    old: &[f32],
    reports: &[Report],
    privacy: &PrivacyConfig,
    expected: f64,
    mut rng: thorndike_core::Rng,
) -> (f64, Vec<f64>) {
    let mut sum = vec![0.0; old.len()];
    for report in reports {
        let new = &report.weights.trained;
        let changes = || {
            old.iter()
                .zip(new)
                .map(|(&old, &new)| f64::from(new) - f64::from(old))
        };
        let norm = changes().map(|d| d * d).sum::<f64>().sqrt();
        let scale = (privacy.clip / norm.max(f64::MIN_POSITIVE)).min(1.0);
        for (sum, change) in sum.iter_mut().zip(changes()) {
            *sum += scale * change;
        }
    }
    let norm = sum.iter().map(|x| x * x).sum::<f64>().sqrt() / expected;
    let deviation = privacy.noise * privacy.clip;
    for (sum, &old) in sum.iter_mut().zip(old) {
        let noise: f64 = StandardNormal.sample(&mut rng);
        *sum = f64::from(old) + (*sum + deviation * noise) / expected;
    }
    (norm, sum)
}

#[cfg(test)]
mod tests;
