//! One experiment of a report: everything that its folder tells.

use std::fs;
use std::path::Path;

use anyhow::{Error, Result};
use thorndike_core::Registry;

use crate::alarms::{Expected, alarms};
use crate::config::Config;
use crate::launch::CONFIG;
use crate::machine::{self, Stay, Work};
use crate::references::{reached, references};
use crate::run::{SUMMARY, SeedSummary, seed_dir};
use crate::runs::{Experiment, SeedRun};
use crate::stats::Bootstrap;
use crate::summary::{Summary, number};

/// An experiment with all that a report says of it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) experiment: Experiment,
    pub(super) summary: Summary,
    /// What finished seeds left.
    pub(super) finals: Vec<SeedSummary>,
    /// Each return to compare with, and how many seeds came as far.
    pub(super) compared_with: Vec<String>,
    /// Text of its configuration, if it is there.
    pub(super) config: Option<String>,
    /// Machines that it ran on.
    pub(super) stays: Vec<Stay>,
    /// What a reader must know, in sentences.
    pub(super) warnings: Vec<String>,
}

impl Entry {
    /// Reads the results in `folder`.
    ///
    /// # Errors
    /// If there is no run in it that can be summed up, or an event file is damaged.
    pub(crate) fn read(
        folder: &Path,
        registry: &Registry,
        bootstrap: &Bootstrap,
        window: usize,
    ) -> Result<Self> {
        let mut experiment = Experiment::read(folder)?;
        let mut warnings = std::mem::take(&mut experiment.warnings);
        let path = folder.join(CONFIG);
        let config = fs::read_to_string(&path)
            .ok()
            .map(|text| text.replace("\r\n", "\n"));
        let loaded = Config::load(&path, &[], registry);
        let expected = loaded
            .as_ref()
            .map_or_else(|_| Expected::default(), Expected::of);
        match loaded.and_then(|config| references(&config, registry)) {
            Ok(lines) => experiment.lines = lines,
            Err(error) => warnings.push(format!(
                "{error:#}; so the optimum is not known, and neither is the return that counts as solved"
            )),
        }
        let (finals, unread) = finals(&experiment, folder);
        warnings.extend(unread);
        warnings.extend(of_finals(&finals));
        warnings.extend(alarms(&experiment, expected));
        let stays = machine::read(folder).unwrap_or_else(|error| {
            warnings.push(format!("{error:#}"));
            Vec::new()
        });
        if stays.first().is_none_or(|stay| stay.work != Work::Started) {
            warnings.push(
                "The machine that the experiment was started on was not recorded.".to_owned(),
            );
        }
        let summary = Summary::of(&experiment, bootstrap, window)?;
        if !summary.hint().is_empty() {
            warnings.push(format!(
                "Intervals come from {} seeds: take them as a hint.",
                summary.seeds
            ));
        }
        let compared_with = experiment.lines.iter().map(|line| match finals.is_empty() {
            true => format!("{} {}", line.label, number(line.value)),
            false => reached(line, &finals).trim().to_owned(),
        });
        let compared_with = compared_with.collect();
        let warnings = warnings.iter().map(|text| sentence(text, folder)).collect();
        Ok(Self {
            experiment,
            summary,
            finals,
            compared_with,
            config,
            stays,
            warnings,
        })
    }

    /// What the finished run of `seed` left.
    pub(super) fn final_of(&self, seed: u64) -> Option<&SeedSummary> {
        self.finals.iter().find(|summary| summary.seed == seed)
    }
}

/// A warning without the folder of this machine, which does not concern those to whom a page goes.
fn sentence(warning: &str, folder: &Path) -> String {
    let folder = folder.display().to_string();
    let below = format!("{}/", folder.trim_end_matches('/'));
    let text = warning
        .strip_prefix(&format!("{folder}: "))
        .unwrap_or(warning)
        .replace(&below, "");
    let mut chars = text.chars();
    let first: String = chars
        .next()
        .into_iter()
        .flat_map(char::to_uppercase)
        .collect();
    let text = match text.split_whitespace().next() {
        // The name of a file stays as it is.
        Some(word) if word.contains(':') || word.contains('.') => text,
        _ => first + chars.as_str(),
    };
    format!("{}.", text.trim_end_matches('.'))
}

/// What the seeds of the experiment left at their end, and what could not be read.
fn finals(experiment: &Experiment, folder: &Path) -> (Vec<SeedSummary>, Vec<String>) {
    let mut warnings = Vec::new();
    let mut read = |run: &SeedRun| -> Option<SeedSummary> {
        let seed = run.seed;
        let path = seed_dir(folder, seed).join(SUMMARY);
        if !path.is_file() {
            return None;
        }
        let summary = SeedSummary::read(&path).and_then(|summary| match summary.seed {
            found if found == seed => Ok(summary),
            found => Err(Error::msg(format!(
                "{}: is of seed {found}",
                path.display()
            ))),
        });
        summary
            .map_err(|error| warnings.push(format!("{error:#}")))
            .ok()
            // A run that was given more steps has come further than its last summary.
            .filter(|summary| summary.steps == run.last_step)
    };
    let finals = experiment.seeds.iter().filter_map(&mut read);
    (finals.collect(), warnings)
}

fn of_finals(finals: &[SeedSummary]) -> Vec<String> {
    let mut warnings = Vec::new();
    let cut: usize = finals
        .iter()
        .map(|summary| summary.final_episodes_cut)
        .sum();
    if cut > 0 {
        let all: usize = finals.iter().map(|summary| summary.final_episodes).sum();
        warnings.push(format!(
            "{cut} of {all} episodes of the final evaluations were cut off by eval.step_cap; a higher one shows what they \
             were worth."
        ));
    }
    warnings
}
