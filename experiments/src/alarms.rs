//! Signs that a run is not what its curve seems to say.
//!
//! | alarm | raised where |
//! |---|---|
//! | one action | the greedy policy takes the same action in every step of the last evaluation, and is no success |
//! | same episodes | all episodes of the last evaluation are the same, and no better than before training |
//! | Q-values | the mean of what is learned of is far from any return that was seen or could be |
//! | no start | half of the steps are gone, and no evaluation was better than the one before training |
//!
//! They are drawn from events and the configuration, so that old runs can be looked at again. A run that is a success raises
//! none but that of the Q-values.

use crate::config::Config;
use crate::runs::{Evaluation, Experiment, ReferenceLine, SeedRun};
use crate::stats;

/// Q-values so many times beyond the largest return are called astray.
const ASTRAY: f64 = 3.0;
/// Standard errors of a mean return that an evaluation must be higher to count as better.
const ERRORS: f64 = 2.0;

/// What the alarms need to know beside the events.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Expected {
    /// Environment steps of a whole run.
    pub steps: Option<u64>,
    /// Discount of the agent.
    pub gamma: Option<f64>,
}

impl Expected {
    /// Of a configuration.
    pub fn of(config: &Config) -> Self {
        Self {
            steps: Some(config.steps),
            gamma: config
                .agent_task()
                .ok()
                .and_then(|task| task.agent.params.get("gamma")?.as_f64()),
        }
    }
}

/// What is alarming in a run, if it is.
type Check<'a> = dyn Fn(&SeedRun) -> Option<String> + 'a;

/// A sentence for each alarm, with the seeds that raise it.
pub fn alarms(experiment: &Experiment, expected: Expected) -> Vec<String> {
    if experiment.measure.is_some() {
        // They tell of episodes; a model has none.
        return Vec::new();
    }
    let lines = || experiment.lines.iter();
    let known = |label: &str| {
        lines()
            .find(|line| line.label == label)
            .map(|line| line.value)
    };
    // The return that counts as a success, where there is one.
    let goal = known(ReferenceLine::SOLVED).or_else(|| known(ReferenceLine::OPTIMUM));
    let checks: [(&str, &Check<'_>); 4] = [
        ("the greedy policy takes one action only", &|run| {
            one_action(run, goal)
        }),
        (
            "all episodes of the last evaluation are the same, and no better than before training",
            &|run| same_episodes(run, goal),
        ),
        ("Q-values are astray", &|run| astray(run, expected.gamma)),
        ("learning has not started", &|run| {
            no_start(run, expected.steps, goal)
        }),
    ];
    let mut sentences = Vec::new();
    for (what, check) in checks {
        let raised: Vec<(u64, String)> = experiment
            .seeds
            .iter()
            .filter_map(|run| Some((run.seed, check(run)?)))
            .collect();
        let Some((_, how)) = raised.first() else {
            continue;
        };
        let seeds: Vec<String> = raised.iter().map(|(seed, _)| seed.to_string()).collect();
        let seeds = match &seeds[..] {
            [one] => format!("seed {one}"),
            all => format!("seeds {}", all.join(", ")),
        };
        sentences.push(format!("{what}: {how} ({seeds})"));
    }
    sentences
}

fn one_action(run: &SeedRun, goal: Option<f64>) -> Option<String> {
    let last = run.evaluations.last()?;
    let action = last.only_action?;
    (!is_success(last, goal)).then(|| format!("action {action} in every step"))
}

fn same_episodes(run: &SeedRun, goal: Option<f64>) -> Option<String> {
    let [first, .., last] = &run.evaluations[..] else {
        return None;
    };
    let same = |values: &[f64]| values.windows(2).all(|pair| pair[0] == pair[1]);
    let lengths_same = last.lengths.windows(2).all(|pair| pair[0] == pair[1]);
    let stuck = last.returns.len() > 1
        && same(&last.returns)
        && lengths_same
        && !is_better(last, first)
        && !is_success(last, goal);
    stuck.then(|| {
        format!(
            "{} times {}",
            last.returns.len(),
            crate::summary::number(last.returns[0])
        )
    })
}

/// Whether the mean return is higher, by more than chance lets it.
pub(crate) fn is_better(later: &Evaluation, first: &Evaluation) -> bool {
    let margin = ERRORS * (squared_error(later) + squared_error(first)).sqrt();
    stats::mean(&later.returns) > stats::mean(&first.returns) + margin
}

/// Whether the mean return reaches `goal`, as far as chance and rounding let it be told.
pub(crate) fn is_success(evaluation: &Evaluation, goal: Option<f64>) -> bool {
    goal.is_some_and(|goal| {
        let slack = ERRORS * squared_error(evaluation).sqrt() + 1e-6 * goal.abs().max(1.0);
        stats::mean(&evaluation.returns) >= goal - slack
    })
}

/// The squared standard error of the mean return.
fn squared_error(evaluation: &Evaluation) -> f64 {
    let (n, mean) = (
        evaluation.returns.len() as f64,
        stats::mean(&evaluation.returns),
    );
    let squares = evaluation
        .returns
        .iter()
        .map(|value| (value - mean).powi(2));
    squares.sum::<f64>() / (n - 1.0).max(1.0) / n
}

fn astray(run: &SeedRun, gamma: Option<f64>) -> Option<String> {
    let q = run.scalars.get("q/mean")?.last()?.1;
    // Where episodes are cut off, a state is worth more than any episode: a reward for ever.
    let horizon = gamma
        .filter(|gamma| *gamma < 1.0)
        .map_or(0.0, |gamma| 1.0 / (1.0 - gamma));
    let bound = |value: f64, length: u32| {
        value
            .abs()
            .max(value.abs() / f64::from(length.max(1)) * horizon)
    };
    let learned = run
        .episodes
        .iter()
        .map(|episode| bound(episode.episode_return, episode.length));
    let evaluated = run.evaluations.iter().flat_map(|evaluation| {
        evaluation
            .returns
            .iter()
            .zip(&evaluation.lengths)
            .map(|(&value, &length)| bound(value, length))
    });
    let largest = learned
        .chain(evaluated)
        .filter(|value| value.is_finite())
        .fold(0.0, f64::max);
    // A value that is no number is astray too.
    let near = q.abs() <= ASTRAY * largest.max(1.0);
    (!near).then(|| {
        format!(
            "they are {} on average, and no return, and no reward for ever, was beyond {}",
            crate::summary::number(q),
            crate::summary::number(largest)
        )
    })
}

fn no_start(run: &SeedRun, steps: Option<u64>, goal: Option<f64>) -> Option<String> {
    let half = steps? / 2;
    let first = run.evaluations.first().filter(|first| first.step == 0)?;
    let in_time = run
        .evaluations
        .iter()
        .filter(|evaluation| evaluation.step <= half && evaluation.step > 0);
    let started = in_time
        .clone()
        .any(|evaluation| is_better(evaluation, first) || is_success(evaluation, goal));
    (run.last_step >= half && in_time.count() > 0 && !started).then(|| {
        format!(
            "in the first half of the steps no evaluation was better than the {} before training",
            crate::summary::number(stats::mean(&first.returns))
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPECTED: Expected = Expected {
        steps: Some(100),
        gamma: Some(0.9),
    };

    /// A run of 100 steps with evaluations of four episodes at 0, 50 and 100, around the given means.
    fn run(means: [f64; 3]) -> SeedRun {
        let evaluation = |(i, &mean): (usize, &f64)| Evaluation {
            step: 50 * i as u64,
            returns: [-1.0, 1.0, -1.0, 1.0].map(|noise| mean + noise).to_vec(),
            lengths: vec![10; 4],
            only_action: None,
        };
        SeedRun {
            seed: 7,
            evaluations: means.iter().enumerate().map(evaluation).collect(),
            last_step: 100,
            finished: true,
            ..SeedRun::default()
        }
    }

    fn raised(run: SeedRun) -> Vec<String> {
        let experiment = Experiment {
            seeds: vec![run],
            lines: vec![ReferenceLine::solved(100.0)],
            ..Experiment::default()
        };
        alarms(&experiment, EXPECTED)
    }

    #[test]
    fn a_run_that_learns_raises_none() {
        assert_eq!(raised(run([0.0, 50.0, 90.0])), [""; 0]);
    }

    #[test]
    fn one_action_is_an_alarm_unless_it_is_a_success() {
        let with = |means| {
            let mut run = run(means);
            run.evaluations[2].only_action = Some(3);
            raised(run)
        };
        assert_eq!(
            with([0.0, 50.0, 90.0]),
            ["the greedy policy takes one action only: action 3 in every step (seed 7)"]
        );
        assert_eq!(with([0.0, 50.0, 110.0]), [""; 0]);
    }

    #[test]
    fn same_episodes_are_an_alarm_unless_they_are_better() {
        let with = |value: f64| {
            let mut run = run([0.0, 50.0, 0.0]);
            run.evaluations[2].returns = vec![value; 4];
            raised(run)
        };
        assert!(
            with(0.0)[0].starts_with("all episodes of the last evaluation are the same"),
            "{:?}",
            with(0.0)
        );
        assert!(with(0.0)[0].contains("4 times 0"), "{:?}", with(0.0));
        assert_eq!(with(80.0), [""; 0], "such as 500 of 500 steps on CartPole");
    }

    #[test]
    fn q_values_are_measured_by_returns_and_by_a_reward_for_ever() {
        let with = |q: f64| {
            let mut run = run([0.0, 50.0, 90.0]);
            run.scalars
                .insert("q/mean".into(), vec![(10, 1e9), (100, q)]);
            raised(run)
        };
        // 91 in 10 steps, for ever at 0.9: 91; three times that is 273.
        assert_eq!(with(270.0), [""; 0]);
        assert!(
            with(280.0)[0].starts_with("Q-values are astray: they are 280"),
            "{:?}",
            with(280.0)
        );
        assert!(with(-280.0)[0].contains("beyond 91"), "{:?}", with(-280.0));
    }

    #[test]
    fn a_late_start_is_an_alarm_and_a_small_gain_is_none_that_counts() {
        // Four episodes of deviation 1.15: two errors of the difference are 1.6.
        assert!(raised(run([0.0, 1.0, 90.0]))[0].starts_with("learning has not started"));
        assert_eq!(raised(run([0.0, 2.0, 90.0])), [""; 0]);
        let mut early = run([0.0, 1.0, 0.0]);
        early.evaluations.truncate(1);
        early.last_step = 40;
        assert_eq!(raised(early), [""; 0], "too early to tell");
    }
}
