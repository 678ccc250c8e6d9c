use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use thorndike_core::{EnvOptions, EnvSpec, Registry, Seeds};

use super::out::{out, outln};
use super::{Failure, Outcome};
use crate::config::{Config, without_nulls};
use crate::film::contact_sheet;
use crate::launch::CONFIG;
use crate::text::thousands;

/// List environments, agents and experiments; with a name, its parameters and their defaults
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What to list; all three if absent
    #[arg(value_enum)]
    what: Option<What>,
    /// An environment or an agent whose parameters to print
    id: Option<String>,
    /// Folder of the configurations
    #[arg(long, value_name = "FOLDER", default_value = "experiments/configs")]
    configs: PathBuf,
    /// Folder of all results
    #[arg(long, value_name = "FOLDER", default_value = "results")]
    results: PathBuf,
    /// Draw every environment that draws itself into this picture
    #[arg(long, value_name = "FILE.png")]
    sheet: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum What {
    #[value(alias = "environments", alias = "env")]
    Envs,
    #[value(alias = "agent")]
    Agents,
    #[value(alias = "experiment")]
    Experiments,
}

pub(super) fn run(args: Args, registry: &Registry) -> Outcome {
    if let Some(path) = &args.sheet {
        return sheet(path, registry);
    }
    if let (Some(what), Some(id)) = (args.what, &args.id) {
        let empty = Value::Null;
        let params = match what {
            What::Envs => registry.resolve_env(id, &empty)?,
            What::Agents => registry.resolve_agent(id, &empty)?,
            What::Experiments => {
                let path = args.configs.join(format!("{id}.toml"));
                out!("{}", Config::load(&path, &[], registry)?.to_toml()?);
                return Ok(());
            }
        };
        out!("{}", parameters(params)?);
        return Ok(());
    }
    let wanted = |what| args.what.is_none_or(|w| w == what);
    if wanted(What::Envs) {
        envs(registry)?;
    }
    if wanted(What::Agents) {
        outln!("agents");
        for id in registry.agent_ids() {
            outln!("  {id}");
        }
        outln!("");
    }
    if wanted(What::Experiments) {
        experiments(&args, registry)?;
    }
    Ok(())
}

/// Parameters as TOML. It has no null: optional ones that are absent stand above the others, as comments.
fn parameters(params: Value) -> anyhow::Result<String> {
    let mut absent = Vec::new();
    find_nulls("", &params, &mut absent);
    let mut text: String = absent
        .iter()
        .map(|key| format!("# {key} = (absent)\n"))
        .collect();
    text += &toml::to_string(&without_nulls(params))?;
    Ok(text)
}

/// The dotted keys below `value` that hold nothing.
fn find_nulls(at: &str, value: &Value, found: &mut Vec<String>) {
    for (key, value) in value.as_object().into_iter().flatten() {
        let dot = if at.is_empty() { "" } else { "." };
        let key = format!("{at}{dot}{key}");
        match value {
            Value::Null => found.push(key),
            value => find_nulls(&key, value, found),
        }
    }
}

fn envs(registry: &Registry) -> Outcome {
    let heads = ["observations", "actions", "limit", "solved", "source"].map(str::to_owned);
    let mut rows = vec![("environments", Ok(heads))];
    for id in registry.env_ids() {
        let made = registry.make_envs(id, &Value::Null, &EnvOptions::default(), Seeds::new(0));
        rows.push((id, made.map(|envs| columns(envs.spec()))));
    }
    let width = |column: usize| {
        let cells = rows
            .iter()
            .filter_map(|(_, cells)| Some(&cells.as_ref().ok()?[column]));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: [usize; 5] = std::array::from_fn(width);
    let ids = rows.iter().map(|(id, _)| id.len()).max().unwrap_or(0);
    for (row, (id, cells)) in rows.iter().enumerate() {
        let line: String = match cells {
            Ok(cells) => {
                let padded = cells.iter().zip(widths);
                padded
                    .map(|(cell, width)| format!("  {cell:<width$}"))
                    .collect()
            }
            Err(error) => format!("  {error}"),
        };
        let indent = if row == 0 { "" } else { "  " };
        let ids = ids + 2 - indent.len();
        outln!("{}", format!("{indent}{id:<ids$}{line}").trim_end());
    }
    outln!("");
    Ok(())
}

fn columns(spec: &EnvSpec) -> [String; 5] {
    [
        spec.observation_space().to_string(),
        spec.action_space.to_string(),
        spec.time_limit.map_or("-".into(), |n| thousands(n.into())),
        spec.reward_threshold.map_or("-".into(), |r| r.to_string()),
        spec.reference.clone(),
    ]
}

/// Every environment a few random steps into an episode.
fn sheet(path: &Path, registry: &Registry) -> Outcome {
    const STEPS: usize = 12;
    let seeds = Seeds::new(0);
    let mut pictures = Vec::new();
    for id in registry.env_ids() {
        let mut envs = registry.make_envs(id, &Value::Null, &EnvOptions::default(), seeds)?;
        let mut picture = envs.draw(0);
        let (mut actions, mut rng) = (envs.new_actions(), seeds.stream("sheet", 0));
        let space = envs.spec().action_space.clone();
        for _ in 0..STEPS {
            space.sample(&mut rng, &mut actions, 0);
            envs.step(&actions);
            if picture.is_none() || envs.batch().status[0].is_over() {
                break;
            }
            picture = envs.draw(0);
            envs.advance();
        }
        pictures.extend(picture.map(|picture| (id.to_owned(), picture)));
    }
    contact_sheet(path, &pictures, 6).map_err(Failure::Work)?;
    outln!("{} environments in {}", pictures.len(), path.display());
    Ok(())
}

fn experiments(args: &Args, registry: &Registry) -> Outcome {
    outln!("experiments in {}", args.configs.display());
    let mut files: Vec<PathBuf> = match fs::read_dir(&args.configs) {
        Ok(entries) => entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect(),
        Err(_) => Vec::new(),
    };
    files.retain(|path| path.extension().is_some_and(|e| e == "toml"));
    files.sort();
    let name = |path: &Path| {
        path.file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    let width = files.iter().map(|path| name(path).len()).max().unwrap_or(0);
    for path in files {
        match Config::load(&path, &[], registry) {
            Ok(config) => outln!(
                "  {:<width$} {} on {}, {} steps, {} seeds{}",
                name(&path),
                config.ids().0,
                config.ids().1,
                thousands(config.steps),
                config.seeds.len(),
                if args.results.join(&config.name).join(CONFIG).is_file() {
                    ", has results"
                } else {
                    ""
                },
            ),
            Err(error) => outln!("  {error:#}"),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameters_of_every_environment_and_agent_can_be_printed() {
        let registry = crate::standard();
        let empty = Value::Null;
        let envs = registry
            .env_ids()
            .map(|id| (id, registry.resolve_env(id, &empty)));
        let agents = registry
            .agent_ids()
            .map(|id| (id, registry.resolve_agent(id, &empty)));
        for (id, params) in envs.chain(agents) {
            let params = params.unwrap();
            let text = parameters(params.clone()).unwrap_or_else(|e| panic!("{id}: {e}"));
            text.parse::<toml::Table>().unwrap();
            for key in params.as_object().into_iter().flatten().map(|(key, _)| key) {
                assert!(
                    text.contains(key.as_str()),
                    "{id}: {key} is missing in\n{text}"
                );
            }
        }
    }

    #[test]
    fn absent_parameters_are_comments_with_their_whole_key() {
        let params = serde_json::json!({ "a": null, "b": 1, "c": { "d": null, "e": 2 } });
        assert_eq!(
            parameters(params).unwrap(),
            "# a = (absent)\n# c.d = (absent)\nb = 1\n\n[c]\ne = 2\n"
        );
    }
}
