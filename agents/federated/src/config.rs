//! `[federated]` of a configuration.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thorndike_core::{Error, Result, check_range};

use crate::{ServerConfig, Split};

/// Who takes part in federated learning, how much is done in a round, and how the server puts it together.
///
/// The defaults are FederatedAveraging with all clients in each round.
///
/// # Reference
/// McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data" (2017), algorithm 1; Li et
/// al., "Federated Optimization in Heterogeneous Networks" (2020) for `proximal_mu` and `stragglers`. Deviations: none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FederatedConfig {
    /// Rounds: each sends the weights to some clients, and puts together what they send back.
    pub rounds: u64,
    /// Clients. Absent: every owner, one for each of `envs`, or else 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clients: Option<usize>,
    /// Share of the clients that take part in a round, at least one. With `privacy`, the probability that a client takes
    /// part. Default 1.
    pub fraction: f64,
    /// Of a model: passes through its own samples that a client makes in a round. Default 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_epochs: Option<u64>,
    /// Of a model: samples, of all clients together, that a schedule without `steps` goes over. Absent: those of all
    /// rounds. A client is as far in it as it has passes behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule_samples: Option<u64>,
    /// Of an agent: environment steps that a client makes in a round. Default 500.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_steps: Option<u64>,
    /// FedProx: how strongly the weights of a client are pulled back to those it was sent. Default 0: not at all.
    pub proximal_mu: f64,
    /// Probability that a client that was sent the weights never answers. Default 0.
    pub drop_out: f64,
    /// Threads that clients work on. Changes no number. Default 1.
    pub threads: usize,
    /// Of a model: which client holds which samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
    /// How the server puts updates together.
    pub server: ServerConfig,
    /// Clients that do not come to the end of their work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stragglers: Option<Stragglers>,
    /// Clipping and noise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub privacy: Option<PrivacyConfig>,
    /// Of an agent: parameters of the environment of each client that are others than those of the experiment. Client `k`
    /// has those at place `k` modulo their number.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub envs: Vec<Map<String, Value>>,
}

impl Default for FederatedConfig {
    fn default() -> Self {
        Self {
            rounds: 100,
            clients: None,
            fraction: 1.0,
            local_epochs: None,
            schedule_samples: None,
            local_steps: None,
            proximal_mu: 0.0,
            drop_out: 0.0,
            threads: 1,
            split: None,
            server: ServerConfig::default(),
            stragglers: None,
            privacy: None,
            envs: Vec::new(),
        }
    }
}

/// Clients that do not come to the end of their work in a round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stragglers {
    /// Share of the clients of a round, each drawn anew. How much of its work one of them does is drawn evenly.
    pub share: f64,
    /// Whether what they did counts, as in FedProx, or is dropped, as in FedAvg. Default true.
    #[serde(default = "yes")]
    pub kept: bool,
}

fn yes() -> bool {
    true
}

/// Differential privacy of whole clients: each update is clipped, all count alike, and noise is added to their sum.
///
/// # Reference
/// McMahan et al., "Learning Differentially Private Recurrent Language Models" (2018), algorithm 1, DP-FedAvg with flat
/// clipping, equal weights and the estimator of fixed denominator. Deviations: none. What the weights tell of a client is
/// bounded, not what the log of a run does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrivacyConfig {
    /// Largest Euclidean norm of what a client changes.
    pub clip: f64,
    /// Deviation of the noise on the sum of all changes, in units of `clip`. 0 only clips.
    pub noise: f64,
    /// Probability with which the bound may fail; well below one over the number of clients.
    pub delta: f64,
}

impl FederatedConfig {
    /// Refuses values out of range.
    ///
    /// # Errors
    /// [`Error::Config`] with the key and what is accepted.
    pub fn check(&self) -> Result<()> {
        check_range("rounds", self.rounds, 1..=1_000_000_000)?;
        check_range("clients", self.clients.unwrap_or(1), 1..=1_000_000)?;
        share("fraction", self.fraction, self.fraction > 0.0)?;
        let local = [
            ("local_epochs", self.local_epochs),
            ("local_steps", self.local_steps),
        ];
        for (key, value) in local {
            check_range(key, value.unwrap_or(1), 1..=1_000_000_000)?;
        }
        check_range("proximal_mu", self.proximal_mu, 0.0..=1e6)?;
        share("drop_out", self.drop_out, self.drop_out < 1.0)?;
        check_range("threads", self.threads, 1..=1024)?;
        if let Some(split) = &self.split {
            split.check().map_err(|e| e.under("split"))?;
        }
        self.server.check().map_err(|e| e.under("server"))?;
        if let Some(stragglers) = &self.stragglers {
            share("stragglers.share", stragglers.share, true)?;
        }
        if let Some(privacy) = &self.privacy {
            privacy.check().map_err(|e| e.under("privacy"))?;
        }
        Ok(())
    }
}

impl PrivacyConfig {
    fn check(&self) -> Result<()> {
        check_range("clip", self.clip, 1e-9..=1e9)?;
        // The accountant's sums are exact from here on.
        if self.noise != 0.0 {
            check_range("noise", self.noise, 0.1..=1000.0)?;
        }
        check_range("delta", self.delta, 1e-100..=0.5)
    }
}

/// Refuses what is no share of a whole.
fn share(key: &str, value: f64, accepted: bool) -> Result<()> {
    if accepted && (0.0..=1.0).contains(&value) {
        return Ok(());
    }
    let what = match key {
        "fraction" => "a number above 0, up to 1",
        "drop_out" => "0 or more, below 1",
        _ => "0 to 1",
    };
    let what = format!("{value} is out of range; give {what}");
    Err(Error::config(key, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        match toml::from_str::<FederatedConfig>(text) {
            Ok(config) => config.check().unwrap_err().to_string(),
            Err(e) => e.message().to_owned(),
        }
    }

    #[test]
    fn values_out_of_range_are_refused_by_key() {
        for (text, what) in [
            ("rounds = 0", "rounds: 0 is out of range"),
            ("clients = 0", "clients: 0 is out of range"),
            (
                "fraction = 0.0",
                "fraction: 0 is out of range; give a number above 0, up to 1",
            ),
            ("fraction = 1.5", "fraction: 1.5 is out of range"),
            ("local_epochs = 0", "local_epochs: 0 is out of range"),
            (
                "drop_out = 1.0",
                "drop_out: 1 is out of range; give 0 or more, below 1",
            ),
            ("proximal_mu = -1.0", "proximal_mu: -1 is out of range"),
            (
                "stragglers = { share = 2.0 }",
                "stragglers.share: 2 is out of range",
            ),
            (
                "split = { kind = 'dirichlet', alpha = 0.0 }",
                "split.alpha: 0 is out of range",
            ),
            ("split = { kind = 'even' }", "unknown variant `even`"),
            (
                "server = { kind = 'momentum', momentum = 1.0 }",
                "server.momentum: 1 is out of range",
            ),
            (
                "privacy = { clip = 0.0, noise = 1.0, delta = 1e-3 }",
                "privacy.clip: 0 is out of range",
            ),
            (
                "privacy = { clip = 1.0, noise = 0.01, delta = 1e-3 }",
                "privacy.noise: 0.01 is out of range",
            ),
            (
                "privacy = { clip = 1.0, noise = 1.0, delta = 1.0 }",
                "privacy.delta: 1 is out of range",
            ),
            (
                "privacy = { clip = 1.0, noise = 1.0 }",
                "missing field `delta`",
            ),
            ("clinets = 3", "unknown field `clinets`"),
        ] {
            let error = error(text);
            assert!(error.contains(what), "{text} gave: {error}");
        }
        toml::from_str::<FederatedConfig>("")
            .unwrap()
            .check()
            .unwrap();
    }

    #[test]
    fn a_configuration_is_read_as_written() {
        let text = "rounds = 3\nclients = 4\nenvs = [{ gravity = 5.0 }]\nserver = { kind = 'adam' }\n\
                    split = { kind = 'dirichlet', alpha = 0.1 }\nstragglers = { share = 0.5 }\n\
                    privacy = { clip = 1.0, noise = 1.0, delta = 1e-3 }\n";
        let config: FederatedConfig = toml::from_str(text).unwrap();
        let written = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<FederatedConfig>(&written).unwrap(), config);
    }
}
