use std::path::{Path, PathBuf};

use anyhow::bail;
use thorndike_core::{Evaluation, Registry, Seeds, Trainer};

use super::Outcome;
use super::out::outln;
use crate::config::{Config, Task};
use crate::launch::CONFIG;
use crate::run::{build, evaluation_envs, find_checkpoint, seed_dir};
use crate::runs;
#[cfg(feature = "torch")]
use crate::supervised::DataTask;
use crate::supervised::ModelTask;
use crate::text::thousands;

/// Play greedy episodes with trained agents and print their returns; score trained models on a test set
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder of the experiment, such as results/cart-pole-dqn
    folder: PathBuf,
    /// Only this seed
    #[arg(long)]
    seed: Option<u64>,
    /// Of a model: the samples that it is scored on; those that were kept for the end if there are any, else those that
    /// training was watched with
    #[arg(long, value_enum)]
    part: Option<Part>,
    /// Of a model: the weights at the end instead of the best
    #[arg(long)]
    last: bool,
    /// Of a model of several tasks: only this one
    #[arg(long, value_name = "NAME")]
    task: Option<String>,
    /// Episodes of each seed
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    episodes: u32,
    /// Root seed of the evaluation's own random streams
    #[arg(long, default_value_t = 0)]
    eval_seed: u64,
    /// Of an agent: KEY=VALUE, a parameter of the environment that is another than in training (eval.env), such as
    /// paraphrases=held-back; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    env: Vec<String>,
}

/// Samples that a model is scored on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Those that training was watched with
    Validation,
    /// Those that were kept for the end
    Test,
}

pub(super) fn run(args: Args, registry: &Registry) -> Outcome {
    let mut config = read_config(&args.folder, registry)?;
    if let Task::Model(task) = &config.task {
        return score(&args, &config, task);
    }
    if let Task::Words(_) = config.task {
        let folder = args.folder.display();
        let what = format!("{folder} holds word vectors; run thorndike words evaluate {folder}");
        return Err(anyhow::anyhow!(what).into());
    }
    let given = crate::config::table("", &args.env)?;
    let serde_json::Value::Object(given) = serde_json::to_value(given)? else {
        unreachable!("a table is an object");
    };
    let trained_with = config.clone();
    config.eval.env.extend(given);
    let seeds = match args.seed {
        Some(seed) if !config.seeds.contains(&seed) => {
            let known: Vec<_> = config.seeds.iter().map(u64::to_string).collect();
            return Err(
                anyhow::anyhow!("--seed: no seed {seed}; known: {}", known.join(", ")).into(),
            );
        }
        Some(seed) => vec![seed],
        None => config.seeds.clone(),
    };
    let episodes = args.episodes as usize;
    let mut means = Vec::new();
    for seed in seeds {
        let Some((step, mut trainer)) = trained(&args.folder, &trained_with, registry, seed)?
        else {
            outln!("seed {seed}  no checkpoint yet");
            continue;
        };
        let seeds = Seeds::new(args.eval_seed).child("eval", seed);
        let mut envs = evaluation_envs(&config, registry, seeds, episodes)?;
        let evaluation = trainer.evaluate(&mut *envs, episodes)?;
        outln!(
            "seed {seed}  after {} steps: {}",
            thousands(step),
            describe(&evaluation)
        );
        let spec = envs.spec();
        let of_tasks = evaluation.means_of_tasks(spec.tasks.len(), spec.num_envs);
        for (task, mean) in spec.tasks.iter().zip(of_tasks) {
            outln!("  {task}  return {mean:.3}");
        }
        means.push(evaluation.mean());
    }
    match means.as_slice() {
        [] => {
            Err(anyhow::anyhow!("{}: no seed has a checkpoint yet", args.folder.display()).into())
        }
        [_] => Ok(()),
        means => {
            let n = means.len() as f64;
            let mean = means.iter().sum::<f64>() / n;
            outln!("mean over {} seeds {mean:.3}", means.len());
            Ok(())
        }
    }
}

fn describe(evaluation: &Evaluation) -> String {
    let (low, high) = evaluation
        .returns
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &r| {
            (low.min(r), high.max(r))
        });
    let n = evaluation.returns.len();
    let length = evaluation
        .lengths
        .iter()
        .map(|&l| f64::from(l))
        .sum::<f64>()
        / n as f64;
    let warning = match evaluation.only_action {
        Some(action) => format!("; action {action} in every step"),
        None => String::new(),
    };
    format!(
        "return {:.3} ± {:.3} (95 % interval of the mean) over {n} episodes ({low} to {high}), {length:.1} steps each{warning}",
        evaluation.mean(),
        evaluation.std() / (n as f64).sqrt() * 1.96,
    )
}

/// The configuration of the experiment in `folder`.
pub(super) fn read_config(folder: &Path, registry: &Registry) -> anyhow::Result<Config> {
    let path = folder.join(CONFIG);
    if !path.is_file() {
        bail!(
            "{} holds no run; give a folder that `thorndike train` made, such as results/NAME",
            folder.display()
        );
    }
    Config::load(&path, &[], registry)
}

/// The agent of `seed` as its latest checkpoint has it, and the step of that.
pub(super) fn trained(
    folder: &Path,
    config: &Config,
    registry: &Registry,
    seed: u64,
) -> anyhow::Result<Option<(u64, Trainer)>> {
    let Some(found) = find_checkpoint(&seed_dir(folder, seed), config, seed)? else {
        if runs::seed_folders(folder)?.is_empty() {
            bail!("{}", runs::no_run(folder));
        }
        return Ok(None);
    };
    found.warn();
    let (_, mut trainer) = build(config, registry, seed)?;
    trainer.load_policy(&found.path)?;
    Ok(Some((found.step, trainer)))
}

#[cfg(not(feature = "torch"))]
fn score(_: &Args, _: &Config, _: &ModelTask) -> Outcome {
    Err(
        anyhow::anyhow!("supervised models need libtorch, and this program was built without it")
            .into(),
    )
}

/// Scores the model of each seed.
#[cfg(feature = "torch")]
fn score(args: &Args, config: &Config, task: &ModelTask) -> Outcome {
    use crate::scored::{check_same, class_table, draw, measures, trained_in};
    use thorndike_data::try_out;
    use thorndike_nets::Which;

    let seeds = match args.seed {
        Some(seed) => vec![seed],
        None => config.seeds.clone(),
    };
    let which = match args.last {
        true => Which::Last,
        false => Which::Best,
    };
    let only = match &args.task {
        Some(name) => Some(task.task(Some(name))?),
        None => None,
    };
    let wanted = |one: &&DataTask| only.is_none_or(|only| only.name == one.name);
    let seeds = seeds.into_iter().enumerate();
    let each = seeds.flat_map(|seed| task.tasks.iter().filter(wanted).map(move |one| (seed, one)));
    for ((i, seed), one) in each {
        let test = match args.part {
            Some(Part::Validation) => None,
            _ => one.data.part(thorndike_data::Part::Test)?,
        };
        let (set, of) = match (test, args.part) {
            (Some(test), _) => (test, "kept for the end"),
            (None, Some(Part::Test)) => {
                let what = "--part test: the data has no part for the end; --part validation scores on what training was \
                            watched with";
                return Err(anyhow::anyhow!(what).into());
            }
            (None, _) => (
                one.data.open(seed)?.validation,
                "that training was watched with",
            ),
        };
        let from = Some(seed);
        let mut model = trained_in(&one.name, &args.folder, from, which, config.device)?;
        check_same(&model.model.info, set.info())?;
        let scores = try_out(&mut *model.learner, set.clone(), task.batch_size()?)?;
        outln!(
            "seed {seed}{}  {} samples {of}, weights of {}",
            match one.name.as_str() {
                "" => String::new(),
                name => format!(", task {name}"),
            },
            thousands(scores.samples),
            model.path.display()
        );
        let measures = measures(&scores, &model.model.info);
        let width = measures.iter().map(|measure| measure.name.chars().count());
        let width = width.max().unwrap_or(0);
        for measure in &measures {
            let interval = measure.interval.map_or_else(String::new, |interval| {
                format!("  [{:.4}, {:.4}]", interval.low, interval.high)
            });
            outln!("  {:<width$}  {:.4}{interval}", measure.name, measure.value);
        }
        // Pictures of one task would take the place of those of another.
        if i == 0 && (one.name.is_empty() || only.is_some()) {
            for line in class_table(&scores, &model.model.info) {
                outln!("  {line}");
            }
            let title = format!(
                "{}, {} samples {of}",
                config.name,
                thousands(scores.samples)
            );
            for file in draw(&title, &mut model, &set, &scores, &args.folder)? {
                outln!("  picture {}", file.display());
            }
        }
    }
    outln!("in brackets: 95 % interval over the samples");
    Ok(())
}
