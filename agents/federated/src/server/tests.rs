use super::*;
use crate::{ServerConfig, Stragglers};

/// Clients of one weight and one number beside it: client `k` adds `k + 1` times its share, holds `k + 1` samples, and
/// counts its rounds.
#[derive(Default)]
struct Adders {
    rounds: BTreeMap<u32, u64>,
    /// What this client sends instead, and in which round.
    broken: Option<(u32, Broken)>,
}

#[derive(Clone, Copy)]
enum Broken {
    Nan,
    Diverges,
    OtherSize,
    Panics,
    Fails,
}

impl Worker for Adders {
    fn work(&mut self, order: &Order) -> Result<Report> {
        let number = order.client + 1;
        let rounds = self.rounds.entry(order.client).or_default();
        *rounds += 1;
        let mut weights = order.weights.clone();
        weights.trained[0] += order.share as f32 * number as f32;
        weights.beside[0] = number as f32 * *rounds as f32;
        match self.broken.filter(|(client, _)| *client == order.client) {
            Some((_, Broken::Nan)) => weights.trained[0] = f32::NAN,
            Some((_, Broken::Diverges)) => {
                let what = "the loss is NaN".to_owned();
                return Err(Error::Diverged { step: 3, what });
            }
            Some((_, Broken::OtherSize)) => weights.trained.push(1.0),
            Some((_, Broken::Panics)) => panic!("boom"),
            Some((_, Broken::Fails)) => return Err(Error::Unsupported("this".to_owned())),
            None => {}
        }
        Ok(Report {
            samples: u64::from(number),
            seen: 10,
            loss: f64::from(number),
            weights,
            ..Report::of(order)
        })
    }

    fn save(&self, dir: &Path) -> Result<()> {
        for (client, rounds) in &self.rounds {
            fs::write(dir.join(format!("client-{client}")), rounds.to_string()).unwrap();
        }
        Ok(())
    }

    fn load(&mut self, dir: &Path) -> Result<()> {
        for client in 0..10 {
            if let Ok(text) = fs::read_to_string(dir.join(format!("client-{client}"))) {
                self.rounds.insert(client, text.parse().unwrap());
            }
        }
        Ok(())
    }
}

fn start() -> Weights {
    Weights {
        trained: vec![0.0],
        beside: vec![0.0],
    }
}

fn server(config: &FederatedConfig, clients: usize, workers: Vec<Box<dyn Worker>>) -> Server {
    let names = (0..clients).map(|k| format!("client {k}")).collect();
    Server::new(config, names, start(), Seeds::new(1), workers).unwrap()
}

fn adders(workers: usize) -> Vec<Box<dyn Worker>> {
    let adder = |_| Box::new(Adders::default()) as Box<dyn Worker>;
    (0..workers).map(adder).collect()
}

/// All that can go on in a round.
fn eventful() -> FederatedConfig {
    FederatedConfig {
        fraction: 0.6,
        drop_out: 0.2,
        stragglers: Some(Stragglers {
            share: 0.5,
            kept: true,
        }),
        server: ServerConfig::Momentum {
            learning_rate: 0.7,
            momentum: 0.9,
        },
        ..FederatedConfig::default()
    }
}

#[test]
fn clients_count_by_their_samples() {
    let mut server = server(&FederatedConfig::default(), 3, adders(2));
    let round = server.run_round().unwrap();
    // (1 * 1 + 2 * 2 + 3 * 3) / 6.
    let expected = (14.0_f64 / 6.0) as f32;
    assert_eq!(server.weights().trained, [expected]);
    assert_eq!(server.weights().beside, [expected]);
    assert_eq!((round.chosen, round.reports, round.seen), (3, 3, 30));
    assert_eq!(round.loss, Some(2.0));
    assert!((round.change - 14.0 / 6.0).abs() < 1e-12);
    // Two weights of four bytes, a round, a client, two numbers of eight bytes, two lengths.
    assert_eq!(round.bytes_down, 3 * (8 + 1 + 1 + 16 + 2));
    assert_eq!(server.bytes(), [round.bytes_down, round.bytes_up]);
}

#[test]
fn the_number_of_workers_changes_no_bit() {
    let run = |workers| {
        let mut server = server(&eventful(), 10, adders(workers));
        let rounds: Vec<Round> = (0..20).map(|_| server.run_round().unwrap()).collect();
        (server.weights().clone(), rounds)
    };
    let one = run(1);
    assert_eq!(one, run(4));
    assert_eq!(one, run(16));
}

#[test]
fn a_server_goes_on_where_it_was_saved() {
    let mut whole = server(&eventful(), 10, adders(2));
    let rounds: Vec<Round> = (0..12).map(|_| whole.run_round().unwrap()).collect();
    let mut first = server(&eventful(), 10, adders(3));
    let folder = tempfile::tempdir().unwrap();
    for round in &rounds[..5] {
        assert_eq!(first.run_round().unwrap(), *round);
    }
    first.save(folder.path()).unwrap();
    assert_eq!(
        first.run_round().unwrap(),
        rounds[5],
        "saving changes nothing"
    );
    drop(first);
    let mut second = server(&eventful(), 10, adders(1));
    second.load(folder.path()).unwrap();
    for round in &rounds[5..] {
        assert_eq!(second.run_round().unwrap(), *round);
    }
    assert_eq!(second.state, whole.state);

    let mut other = server(&eventful(), 10, adders(1));
    other.state.weights.trained.push(0.0);
    let error = other.load(folder.path()).unwrap_err().to_string();
    assert!(error.ends_with("server.bin: is of another model or other clients"));
    fs::write(folder.path().join(STATE), [255; 40]).unwrap();
    let error = second.load(folder.path()).unwrap_err().to_string();
    assert!(error.contains("server.bin: is damaged"), "{error}");
}

#[test]
fn a_client_that_came_to_no_numbers_is_left_out_by_name() {
    for (broken, why) in [
        (Broken::Nan, "its weights are no finite numbers"),
        (Broken::Diverges, "the loss is NaN"),
        (Broken::OtherSize, "its weights are those of another model"),
    ] {
        let broken = Adders {
            broken: Some((1, broken)),
            ..Adders::default()
        };
        let mut server = server(&FederatedConfig::default(), 3, vec![Box::new(broken)]);
        let round = server.run_round().unwrap();
        assert_eq!(round.left_out, [(1, why.to_owned())]);
        // (1 * 1 + 3 * 3) / 4.
        assert_eq!(server.weights().trained, [2.5]);
        server.run_round().unwrap();
        assert_eq!(server.left_out().collect::<Vec<_>>(), [("client 1", 2)]);
    }
}

#[test]
fn a_round_that_nobody_answers_changes_no_weight() {
    let broken = Adders {
        broken: Some((0, Broken::Nan)),
        ..Adders::default()
    };
    let mut server = server(&FederatedConfig::default(), 1, vec![Box::new(broken)]);
    let round = server.run_round().unwrap();
    assert_eq!((round.reports, round.loss, round.change), (0, None, 0.0));
    assert_eq!(*server.weights(), start());
}

#[test]
fn a_client_that_fails_or_panics_ends_the_run_and_does_not_hang_it() {
    for (broken, why) in [
        (Broken::Fails, "not supported: this"),
        (Broken::Panics, "a client panicked"),
    ] {
        let broken = Adders {
            broken: Some((2, broken)),
            ..Adders::default()
        };
        let workers: Vec<Box<dyn Worker>> = vec![Box::new(broken), Box::new(Adders::default())];
        let mut server = server(&FederatedConfig::default(), 6, workers);
        assert_eq!(server.run_round().unwrap_err().to_string(), why);
    }
}

#[test]
fn shares_of_clients_are_as_asked_for() {
    let count = |config: FederatedConfig| {
        let mut server = server(&config, 20, adders(1));
        let (mut chosen, mut reports) = (0, 0);
        for _ in 0..200 {
            let round = server.run_round().unwrap();
            chosen += round.chosen;
            reports += round.reports;
        }
        [chosen, reports].map(|n| n as f64 / 4000.0)
    };
    let [chosen, reports] = count(FederatedConfig {
        fraction: 0.25,
        drop_out: 0.3,
        ..FederatedConfig::default()
    });
    assert_eq!(chosen, 0.25, "the same number in each round");
    // 1000 draws: three deviations of a share of 0.7 are 0.043.
    assert!((reports / chosen - 0.7).abs() < 0.05, "{reports}");
    let [chosen, reports] = count(FederatedConfig {
        stragglers: Some(Stragglers {
            share: 0.5,
            kept: false,
        }),
        ..FederatedConfig::default()
    });
    assert_eq!(chosen, 1.0);
    assert!((reports - 0.5).abs() < 0.03, "{reports}");
    assert_eq!(
        count(FederatedConfig {
            fraction: 0.01,
            ..FederatedConfig::default()
        })[0],
        0.05,
        "at least one"
    );
}

#[test]
fn privacy_clips_counts_all_alike_and_divides_by_those_expected() {
    let config = |noise, fraction| FederatedConfig {
        fraction,
        privacy: Some(PrivacyConfig {
            clip: 2.0,
            noise,
            delta: 1e-3,
        }),
        ..FederatedConfig::default()
    };
    let report = |client, weight| Report {
        samples: 1000 * u64::from(client),
        weights: Weights {
            trained: vec![weight],
            beside: vec![],
        },
        ..Report::of(&Order {
            round: 0,
            client,
            share: 1.0,
            proximal_mu: 0.0,
            weights: Weights::default(),
        })
    };
    let rng = |round| Seeds::new(1).stream("federated/noise", round);
    let reports = [report(1, 2.0), report(2, 11.0), report(3, 0.0)];
    // Changes of 1, 10 and -1 from 1; the second is clipped to 2. Of four that were expected three came.
    let privacy = config(0.0, 1.0).privacy.unwrap();
    let (norm, mean) = private_mean(&[1.0], &reports, &privacy, 4.0, rng(0));
    assert_eq!((norm, mean), (0.5, vec![1.5]));
    // Noise of deviation 3 * 2 / 4 on the mean.
    let privacy = config(3.0, 1.0).privacy.unwrap();
    let noise = |round| private_mean(&[1.0], &reports, &privacy, 4.0, rng(round)).1[0] - 1.5;
    let squares: f64 = (0..4000).map(|round| noise(round).powi(2)).sum();
    // Three deviations of the deviation of 4,000 draws are 3.4 %.
    assert!(((squares / 4000.0).sqrt() / 1.5 - 1.0).abs() < 0.034);

    // Each client takes part by a throw of its own.
    struct Still;
    impl Worker for Still {
        fn work(&mut self, order: &Order) -> Result<Report> {
            let weights = order.weights.clone();
            Ok(Report {
                weights,
                ..Report::of(order)
            })
        }
    }
    let start = Weights {
        trained: vec![0.0],
        beside: vec![],
    };
    let names = vec!["client".to_owned(); 100];
    let make = |weights| {
        let config = config(1.0, 0.3);
        let workers: Vec<Box<dyn Worker>> = vec![Box::new(Still)];
        Server::new(&config, names.clone(), weights, Seeds::new(1), workers)
    };
    let mut server = make(start).unwrap();
    let rounds: Vec<Round> = (0..50).map(|_| server.run_round().unwrap()).collect();
    let chosen: Vec<usize> = rounds.iter().map(|round| round.chosen).collect();
    assert!(chosen.iter().min() != chosen.iter().max(), "{chosen:?}");
    let mean = chosen.iter().sum::<usize>() as f64 / 50.0;
    // Three deviations of the mean of 50 binomial draws are 1.9.
    assert!((mean - 30.0).abs() < 1.9, "{mean}");
    let epsilon: Vec<f64> = rounds.iter().filter_map(|round| round.epsilon).collect();
    assert!(epsilon.len() == 50 && epsilon.is_sorted() && epsilon[0] > 0.0);

    let beside = Weights {
        trained: vec![0.0],
        beside: vec![1.0],
    };
    let error = make(beside).unwrap_err().to_string();
    assert!(
        error.starts_with("privacy: the model keeps 1 numbers"),
        "{error}"
    );
}
