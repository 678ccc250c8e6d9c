//! Pictures of experiments, as PNG or SVG by the ending of the file's name.
//!
//! [`curve`] draws what one experiment learned, [`panels`] its loss, exploration and other numbers; [`compare`] the curves
//! of several experiments, [`scores`], [`profiles`] and [`improvement`] how high they end; [`sweep`] the trials of a search.
//! All share one look (`theme`), one page (`figure`) and one way into a file (`drawing`); the font is embedded, so a picture
//! looks the same on every machine and needs no font library.
//!
//! To add a kind of picture, write a function that fills a `Figure` of curves, a `RowFigure` of estimates, or a `Page`.

mod axis;
#[cfg(any(feature = "torch", test))]
pub(crate) mod boxes;
mod drawing;
mod figure;
mod inline;
mod parallel;
mod rows;
#[cfg(any(feature = "torch", test))]
pub(crate) mod scored;
mod theme;
mod words;

pub(crate) use drawing::png;
pub(crate) use inline::Palette;

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Result, bail, ensure};

pub use parallel::sweep;
pub use theme::Theme;
pub(crate) use words::words;

use self::axis::short;
use self::drawing::{Align, Drawing, Shape, Text};
use self::figure::{Band, Cut, Figure, Key, Level, Line, Panel};
use self::rows::{Row, RowFigure, RowPanel};
use self::theme::Colour;
use crate::comparison::{Algorithm, Comparison, Pair, Verdict, algorithms};
use crate::runs::{Evaluation, Experiment, SeedRun};
use crate::stats::{self, BandPoint, Bootstrap, Curve, Statistic};

/// A strip of text lines, `size` pixels high each, as RGB pixels; for captions under frames. Returns its height too.
pub(crate) fn strip(width: u32, size: f64, lines: &[&str]) -> Result<(u32, Vec<u8>)> {
    const LEADING: f64 = 1.5;
    let theme = Theme::Light;
    let height = (size * (LEADING * lines.len() as f64 + 0.5)).ceil() as u32;
    let text = |(i, line): (usize, &&str)| {
        Shape::Text(Text {
            at: (size * 0.5, size * (LEADING * i as f64 + 1.25)),
            align: Align::Left,
            text: (*line).to_owned(),
            size,
            colour: theme.text(),
        })
    };
    let drawing = Drawing {
        width,
        height,
        background: theme.background(),
        shapes: lines.iter().enumerate().map(text).collect(),
    };
    Ok((height, drawing.pixels()?))
}

/// What a picture shows and how large it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Width in pixels. Text grows with it, so a picture can be shown smaller than it is.
    pub width: u32,
    /// Size of the text beside that of the usual picture; more for one that is shown small.
    pub text: f64,
    /// Height in pixels. More than one panel, or a legend or notes of many lines, make a picture taller.
    pub height: u32,
    /// Light or dark.
    pub theme: Theme,
    /// Average over runs.
    pub statistic: Statistic,
    /// The band around it.
    pub bootstrap: Bootstrap,
    /// Most episodes in the trailing mean of returns while learning. Of short runs it takes a twentieth of a seed's
    /// episodes, at least 5: a longer mean still rises when the agent has long stopped learning.
    pub window: usize,
    /// Lowest and highest return shown. By default all of them, except those of the first steps that are so far off that
    /// the rest would be flat; the picture then says what was cut.
    pub range: Option<(f64, f64)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            width: 1200,
            text: 1.0,
            height: 750,
            theme: Theme::Light,
            statistic: Statistic::Iqm,
            bootstrap: Bootstrap::default(),
            window: 100,
            range: None,
        }
    }
}

impl Options {
    /// Episodes in the trailing mean of an experiment.
    fn window_of(&self, experiment: &Experiment) -> usize {
        let episodes = experiment.seeds.iter().map(|run| run.episodes.len());
        let fewest = episodes.filter(|&episodes| episodes > 0).min().unwrap_or(0);
        (fewest / 20).max(5).min(self.window)
    }

    fn themed(&self, theme: Theme) -> Self {
        Self {
            theme,
            ..self.clone()
        }
    }

    fn check(&self) -> Result<()> {
        let fits = |pixels: u32| (400..=4000).contains(&pixels);
        ensure!(
            fits(self.width) && fits(self.height),
            "a picture of {}×{} pixels: each side must be from 400 to 4000",
            self.width,
            self.height
        );
        ensure!(
            (0.5..=3.0).contains(&self.text),
            "the size of text must be from 0.5 to 3"
        );
        ensure!(
            self.window > 0,
            "the window of a trailing mean must be at least 1 episode"
        );
        ensure!(
            self.bootstrap.resamples <= 1_000_000,
            "at most 1000000 resamples"
        );
        let open = |share: f64| 0.0 < share && share < 1.0;
        ensure!(
            open(self.bootstrap.confidence),
            "the confidence of a band must be between 0 and 1"
        );
        if let Some((low, high)) = self.range {
            ensure!(
                low < high && drawable(low) && drawable(high),
                "the range of returns {low}..{high}: the first must be the lower one"
            );
        }
        Ok(())
    }
}

/// Most points of one line; a picture is not wider.
const POINTS: usize = 400;
/// Lines of at most this many points show where they were measured.
const DOTS: usize = 30;
/// Most panels of one picture.
const PANELS: usize = 12;

/// Numbers that an axis can hold. Beyond, differences overflow.
fn drawable(value: f64) -> bool {
    value.abs() < 1e100
}

/// Draws the returns of one experiment: the statistic over seeds with its bootstrap band, each seed, and the reference
/// lines. Shows evaluations, or where there are none, the smoothed returns while learning.
///
/// # Errors
/// If the ending is neither `.png` nor `.svg`, if an option is out of range, if there is nothing to draw yet, or if the
/// file cannot be written.
pub fn curve(experiment: &Experiment, options: &Options, path: &Path) -> Result<()> {
    curve_figure(experiment, options)?.draw().save(path)
}

/// Draws numbers that the agents reported, each in a panel of its own over the same steps, below the returns while
/// learning: the mean over seeds and each seed. All numbers if `names` is empty.
///
/// # Errors
/// As [`curve`], or if a name was never reported.
pub fn panels(
    experiment: &Experiment,
    names: &[String],
    options: &Options,
    path: &Path,
) -> Result<()> {
    panels_figure(experiment, names, options)?.draw().save(path)
}

/// Draws the returns of several experiments, with a panel for each environment.
///
/// # Errors
/// As [`curve`].
pub fn compare(experiments: &[Experiment], options: &Options, path: &Path) -> Result<()> {
    compare_figure(experiments, options)?.draw().save(path)
}

/// Draws how high runs end: the statistic for each algorithm, over all environments and in each, with its
/// interval and the single runs.
///
/// # Errors
/// As [`curve`].
pub fn scores(comparison: &Comparison, options: &Options, path: &Path) -> Result<()> {
    options.check()?;
    scores_figure(comparison, options).draw().save(path)
}

/// Draws the probability that a run of one algorithm ends higher than one of another, for each pair.
///
/// # Errors
/// As [`curve`], or if there is no pair.
pub fn improvement(comparison: &Comparison, options: &Options, path: &Path) -> Result<()> {
    options.check()?;
    ensure!(
        !comparison.pairs.is_empty(),
        "one algorithm has nothing to be compared with"
    );
    improvement_figure(comparison, options).draw().save(path)
}

/// Draws performance profiles: the share of runs that end above each score.
///
/// # Errors
/// As [`curve`], or if no algorithm was run on every environment.
pub fn profiles(comparison: &Comparison, options: &Options, path: &Path) -> Result<()> {
    options.check()?;
    profiles_figure(comparison, options)?.draw().save(path)
}

/// As [`curve`], as SVG inside a page that has its title.
pub(crate) fn curve_inline(
    experiment: &Experiment,
    options: &Options,
    palette: &mut Palette,
) -> Result<String> {
    inline_figure(options, palette, |options| {
        curve_figure(experiment, options)
    })
}

/// As [`compare`], as SVG inside a page that has its title.
pub(crate) fn compare_inline(
    experiments: &[Experiment],
    options: &Options,
    palette: &mut Palette,
) -> Result<String> {
    inline_figure(options, palette, |options| {
        compare_figure(experiments, options)
    })
}

/// A panel as a picture of its own.
#[derive(Debug)]
pub(crate) struct Inset {
    /// What it shows, with its unit; not in the picture.
    pub(crate) heading: String,
    /// The picture as SVG.
    pub(crate) svg: String,
}

/// As [`panels`], but a picture for each panel; and what to say with them.
pub(crate) fn panels_inline(
    experiment: &Experiment,
    options: &Options,
    palette: &mut Palette,
) -> Result<(Vec<Inset>, Vec<String>)> {
    let drawn = |theme| reported(experiment, &[], &options.themed(theme));
    let ((light, notes), (dark, _)) = (drawn(Theme::Light)?, drawn(Theme::Dark)?);
    let alone = |mut panel: Panel, theme| {
        panel.heading.clear();
        let (none, panels) = (String::new(), vec![panel]);
        figure(none, vec![], vec![], panels, vec![], &options.themed(theme)).draw()
    };
    let both = light.into_iter().zip(dark).map(|(light, dark)| {
        let heading = light.heading.clone();
        let (light, dark) = (alone(light, Theme::Light), alone(dark, Theme::Dark));
        let svg = inline::svg(&light, &dark, &heading, palette);
        Inset { heading, svg }
    });
    Ok((both.collect(), notes))
}

/// Draws a figure in both themes: they differ in nothing but colours.
fn inline_figure(
    options: &Options,
    palette: &mut Palette,
    figure: impl Fn(&Options) -> Result<Figure>,
) -> Result<String> {
    let mut light = figure(&options.themed(Theme::Light))?;
    let mut dark = figure(&options.themed(Theme::Dark))?;
    let label = std::mem::take(&mut light.title);
    dark.title.clear();
    Ok(inline::svg(&light.draw(), &dark.draw(), &label, palette))
}

/// Returns of an experiment as curves, one per seed.
struct Returns {
    curves: Vec<Curve>,
    /// Whether the curves are evaluations, or returns while learning.
    evaluated: bool,
    notes: Vec<String>,
}

fn returns(experiment: &Experiment, options: &Options) -> Result<Returns> {
    let evaluated = experiment
        .seeds
        .iter()
        .any(|run| !run.evaluations.is_empty());
    let window = options.window_of(experiment);
    let mut notes = Vec::new();
    let mut curves = Vec::new();
    let (mut without, mut strange) = (Vec::new(), 0);
    for run in &experiment.seeds {
        let mut curve = if evaluated {
            run.evaluation_curve()
        } else {
            run.episode_curve()
        };
        let all = curve.len();
        curve.retain(|&(_, value)| drawable(value));
        strange += all - curve.len();
        if !evaluated {
            curve = stats::trailing_mean(&curve, window, POINTS);
        }
        if curve.is_empty() {
            without.push(run.seed);
        } else {
            curves.push(curve);
        }
    }
    if curves.is_empty() {
        bail!(
            "nothing to draw for {}: no evaluation and no finished episode yet",
            experiment.name
        );
    }
    if !without.is_empty() {
        let what = if evaluated {
            "evaluation"
        } else {
            "finished episode"
        };
        notes.push(format!("{} no {what} yet.", seeds_have(&without)));
    }
    if strange > 0 {
        notes.push(format!(
            "{} left out: not a number, or too large to draw.",
            count(strange, "return")
        ));
    }
    let last = |curve: &Curve| curve.last().map_or(0, |point| point.0);
    let shortest = curves.iter().map(last).min().unwrap_or(0);
    let longest = curves.iter().map(last).max().unwrap_or(0);
    // Returns while learning end with an episode, so their last steps always differ a little.
    if curves.len() > 1 && (shortest as f64) < 0.95 * longest as f64 {
        notes.push(format!(
            "Seeds end between {} and {} steps; the {} goes as far as all of them.",
            short(shortest as f64),
            short(longest as f64),
            options.statistic.label(),
        ));
    }
    Ok(Returns {
        curves,
        evaluated,
        notes,
    })
}

fn count(n: usize, what: &str) -> String {
    if n == 1 {
        format!("1 {what}")
    } else {
        format!("{n} {what}s")
    }
}

fn seeds_have(seeds: &[u64]) -> String {
    match seeds {
        [one] => format!("Seed {one} has"),
        [a, b] => format!("Seeds {a} and {b} have"),
        _ => format!("{} seeds have", seeds.len()),
    }
}

fn curve_figure(experiment: &Experiment, options: &Options) -> Result<Figure> {
    options.check()?;
    let Returns {
        curves,
        evaluated,
        mut notes,
    } = returns(experiment, options)?;
    let colour = options.theme.series(0);
    let faint = options.theme.faint(colour);
    let average = stats::aggregate(&curves, options.statistic, &options.bootstrap, POINTS);
    let several = curves.len() > 1;

    let mut panel = returns_panel(evaluated, options);
    if experiment.measure.is_some() {
        panel.heading = experiment.measure();
    }
    panel.levels = levels(experiment);
    keep_few_levels(&mut panel, &mut notes);
    let mut keys = Vec::new();
    if several {
        panel
            .lines
            .extend(curves.iter().map(|curve| thin_line(curve, faint)));
        panel.bands.extend(band(&average, colour));
    }
    panel.lines.push(thick_line(&average, colour, None));
    if several {
        let label = format!(
            "{} of the seeds, {}",
            options.statistic.label(),
            interval_label(options)
        );
        keys.push(Key {
            label,
            colour,
            width: THICK,
            dash: None,
            band: true,
        });
        keys.push(Key {
            label: "single seeds".to_owned(),
            colour: faint,
            width: THIN,
            dash: None,
            band: false,
        });
    }

    let seeds = if several {
        count(curves.len(), "seed")
    } else {
        "1 seed, so no interval".to_owned()
    };
    let mut facts = vec![format!("{} on {}", experiment.agent, experiment.env), seeds];
    facts.push(measured(experiment, evaluated, options));
    let title = experiment.name.clone();
    let mut figure = figure(title, facts, keys, vec![panel], notes, options);
    figure.x_label = experiment.step_unit().to_owned();
    Ok(figure)
}

const THICK: f64 = 3.4;
const THIN: f64 = 1.3;

fn figure(
    title: String,
    facts: Vec<String>,
    keys: Vec<Key>,
    panels: Vec<Panel>,
    notes: Vec<String>,
    options: &Options,
) -> Figure {
    Figure {
        size: (options.width, options.height),
        text: options.text,
        theme: options.theme,
        title,
        facts,
        keys,
        panels,
        x_label: "environment steps".to_owned(),
        x_start: 0.0,
        notes,
    }
}

fn returns_panel(evaluated: bool, options: &Options) -> Panel {
    let heading = if evaluated {
        "evaluation return"
    } else {
        "return while learning"
    };
    Panel {
        heading: format!("{heading} (sum of rewards per episode)"),
        range: options.range,
        cut: Cut::Early,
        ..Panel::default()
    }
}

fn interval_label(options: &Options) -> String {
    // In large letters there is room for what matters only.
    let kind = if options.text > 1.5 {
        "bootstrap"
    } else {
        "stratified bootstrap"
    };
    let percent = short(100.0 * options.bootstrap.confidence);
    format!("{percent} % {kind} interval")
}

/// What one point of the curve is.
fn measured(experiment: &Experiment, evaluated: bool, options: &Options) -> String {
    if experiment.measure.is_some() {
        return "samples that were not learned from".to_owned();
    }
    if !evaluated {
        return format!(
            "no evaluations: returns while learning, mean of the last {}",
            count(options.window_of(experiment), "episode")
        );
    }
    let lengths = |run: &SeedRun| -> Vec<usize> {
        let length = |evaluation: &Evaluation| evaluation.returns.len();
        run.evaluations.iter().map(length).collect()
    };
    let all: Vec<Vec<usize>> = experiment.seeds.iter().map(lengths).collect();
    let last: BTreeSet<usize> = all.iter().filter_map(|run| run.last().copied()).collect();
    // A run may end with a longer evaluation than those on its way.
    let before: BTreeSet<usize> = all
        .iter()
        .flat_map(|run| &run[..run.len().saturating_sub(1)])
        .copied()
        .collect();
    let range = |counts: &BTreeSet<usize>| match (counts.first(), counts.last()) {
        (Some(fewest), Some(most)) if fewest < most => format!("{fewest} to {most} episodes"),
        (_, most) => count(most.copied().unwrap_or(0), "episode"),
    };
    if before.is_empty() || before == last {
        format!("greedy, mean of {} a point", range(&last))
    } else {
        let (before, last) = (range(&before), range(&last));
        format!("greedy, mean of {before} a point, {last} at the end")
    }
}

fn levels(experiment: &Experiment) -> Vec<Level> {
    let shown = experiment.lines.iter().filter(|line| drawable(line.value));
    shown
        .map(|line| Level {
            value: line.value,
            label: format!("{} {}", line.label, short(line.value)),
        })
        .collect()
}

/// More lines than this across a panel hide the curves, and their labels do not fit beside it.
const LEVELS: usize = 5;

fn keep_few_levels(panel: &mut Panel, notes: &mut Vec<String>) {
    if panel.levels.len() > LEVELS {
        notes.push(format!(
            "{} reference lines are too many to draw.",
            panel.levels.len()
        ));
        panel.levels.clear();
    }
}

fn points(curve: &Curve) -> Vec<(f64, f64)> {
    curve
        .iter()
        .map(|&(step, value)| (step as f64, value))
        .collect()
}

fn thin_line(curve: &Curve, colour: Colour) -> Line {
    let points = points(&stats::thin(curve, POINTS));
    let dots = points.len() == 1;
    Line {
        points,
        colour,
        width: THIN,
        dash: None,
        dots,
    }
}

fn thick_line(average: &[BandPoint], colour: Colour, dash: Option<(f64, f64)>) -> Line {
    let points: Vec<_> = average
        .iter()
        .map(|point| (point.step as f64, point.value))
        .collect();
    let dots = points.len() == 1 || (points.len() <= DOTS && dash.is_none());
    Line {
        points,
        colour,
        width: THICK,
        dash,
        dots,
    }
}

fn band(average: &[BandPoint], colour: Colour) -> Option<Band> {
    let edges = |point: &BandPoint| {
        point
            .interval
            .map(|at| (point.step as f64, at.low, at.high))
    };
    let points: Vec<_> = average.iter().filter_map(edges).collect();
    (!points.is_empty()).then_some(Band { points, colour })
}

/// Returns while learning and the numbers called `names`, or all of them, each in a panel; and what to say with them.
fn reported(
    experiment: &Experiment,
    names: &[String],
    options: &Options,
) -> Result<(Vec<Panel>, Vec<String>)> {
    options.check()?;
    let mut known: Vec<&String> = experiment
        .seeds
        .iter()
        .flat_map(|run| run.scalars.keys())
        .collect();
    known.sort();
    known.dedup();
    if let Some(missing) = names.iter().find(|name| !known.contains(name)) {
        let known = known
            .iter()
            .map(|name| name.as_str())
            .collect::<Vec<_>>()
            .join(", ");
        bail!(
            "{} reported no number called \"{missing}\"; known: {known}",
            experiment.name
        );
    }
    let wanted: Vec<&String> = if names.is_empty() {
        known
    } else {
        names.iter().collect()
    };
    let mut notes = Vec::new();
    if wanted.len() > PANELS {
        notes.push(format!(
            "{} more numbers are not shown; name them to see them.",
            wanted.len() - PANELS
        ));
    }

    let window = options.window_of(experiment);
    let learning = experiment.seeds.iter().map(|run| {
        let curve: Curve = run
            .episode_curve()
            .into_iter()
            .filter(|&(_, value)| drawable(value))
            .collect();
        stats::trailing_mean(&curve, window, POINTS)
    });
    let heading = format!(
        "return while learning (sum of rewards, mean of the last {})",
        count(window, "episode")
    );
    let mut drawn = vec![Panel {
        range: options.range,
        ..scalar_panel(heading, learning.collect(), Cut::Early, options)
    }];
    for name in wanted.into_iter().take(PANELS) {
        let curves = experiment
            .seeds
            .iter()
            .filter_map(|run| run.scalars.get(name));
        let curves = curves.map(|curve| {
            let curve: Curve = curve
                .iter()
                .copied()
                .filter(|&(_, value)| drawable(value))
                .collect();
            stats::binned_mean(&curve, POINTS)
        });
        // Of anything but a loss, the far-off values may be the point.
        let cut = if name.starts_with("loss/") {
            Cut::Above
        } else {
            Cut::Nothing
        };
        drawn.push(scalar_panel(
            heading_of(name),
            curves.collect(),
            cut,
            options,
        ));
    }
    drawn.retain(|panel| !panel.lines.is_empty());
    ensure!(
        !drawn.is_empty(),
        "nothing to draw for {}: no finished episode and no reported number yet",
        experiment.name
    );
    Ok((drawn, notes))
}

fn panels_figure(experiment: &Experiment, names: &[String], options: &Options) -> Result<Figure> {
    let (drawn, notes) = reported(experiment, names, options)?;
    let colour = options.theme.series(0);
    let mut keys = Vec::new();
    if experiment.seeds.len() > 1 {
        let faint = options.theme.faint(colour);
        keys.push(Key {
            label: "mean over seeds".to_owned(),
            colour,
            width: THICK,
            dash: None,
            band: false,
        });
        keys.push(Key {
            label: "single seeds".to_owned(),
            colour: faint,
            width: THIN,
            dash: None,
            band: false,
        });
    }
    let facts = vec![
        format!("{} on {}", experiment.agent, experiment.env),
        count(experiment.seeds.len(), "seed"),
    ];
    let title = format!("{}: learning", experiment.name);
    let mut figure = figure(title, facts, keys, drawn, notes, options);
    figure.x_label = experiment.step_unit().to_owned();
    Ok(figure)
}

fn scalar_panel(heading: String, mut curves: Vec<Curve>, cut: Cut, options: &Options) -> Panel {
    curves.retain(|curve| !curve.is_empty());
    let colour = options.theme.series(0);
    let faint = options.theme.faint(colour);
    let mut lines = Vec::new();
    if curves.len() > 1 {
        lines.extend(curves.iter().map(|curve| thin_line(curve, faint)));
    }
    let none = Bootstrap {
        resamples: 0,
        ..Bootstrap::default()
    };
    let average = stats::aggregate(&curves, Statistic::Mean, &none, POINTS);
    if !average.is_empty() {
        lines.push(Line {
            width: 2.4,
            ..thick_line(&average, colour, None)
        });
    }
    Panel {
        heading,
        lines,
        cut,
        ..Panel::default()
    }
}

/// Name of a reported number with its unit, where the unit is known.
fn heading_of(name: &str) -> String {
    let unit = match name {
        "explore/epsilon" => "probability of a random action",
        "loss/td" => "mean temporal-difference loss of an update",
        "q/mean" | "q/max" => "discounted sum of rewards",
        "time/steps_per_second" => "environment steps per second",
        _ => return name.to_owned(),
    };
    format!("{name} ({unit})")
}

fn compare_figure(experiments: &[Experiment], options: &Options) -> Result<Figure> {
    options.check()?;
    ensure!(!experiments.is_empty(), "nothing to compare");
    let mut notes = Vec::new();
    let mut keys = Vec::new();
    let mut panels: Vec<(&str, Panel)> = Vec::new();
    let mut seeds = Vec::new();
    // One colour for an algorithm in all its environments.
    let (names, of) = algorithms(experiments);
    for (experiment, &index) in experiments.iter().zip(&of) {
        let name = &names[index];
        let returns = returns(experiment, options)?;
        notes.extend(
            returns
                .notes
                .iter()
                .map(|note| format!("{}: {note}", experiment.name)),
        );
        seeds.push(returns.curves.len());
        let colour = options.theme.series(index);
        let dash = dash_of(index);
        let average = stats::aggregate(
            &returns.curves,
            options.statistic,
            &options.bootstrap,
            POINTS,
        );
        let kind = if returns.evaluated {
            String::new()
        } else {
            let window = options.window_of(experiment);
            format!(
                ", while learning, mean of the last {}",
                count(window, "episode")
            )
        };
        let label = format!("{name} ({}{kind})", count(returns.curves.len(), "seed"));
        if index == keys.len() {
            keys.push(Key {
                label,
                colour,
                width: THICK,
                dash,
                band: returns.curves.len() > 1,
            });
        } else if keys[index].label != label {
            // Of other numbers of seeds or episodes: what the table says of each.
            keys[index].label.clone_from(name);
        }

        let at = panels
            .iter()
            .position(|(env, _)| *env == experiment.env)
            .unwrap_or_else(|| {
                let heading = format!("{}: {}", experiment.env, experiment.measure());
                panels.push((
                    &experiment.env,
                    Panel {
                        heading,
                        range: options.range,
                        cut: Cut::Early,
                        ..Panel::default()
                    },
                ));
                panels.len() - 1
            });
        let panel = &mut panels[at].1;
        panel.bands.extend(band(&average, colour));
        panel.lines.push(thick_line(&average, colour, dash));
        for level in levels(experiment) {
            if !panel.levels.iter().any(|other| other.label == level.label) {
                panel.levels.push(level);
            }
        }
    }
    for (_, panel) in &mut panels {
        keep_few_levels(panel, &mut notes);
    }
    if panels.len() > PANELS {
        bail!(
            "{} environments do not fit one picture; at most {PANELS}",
            panels.len()
        );
    }
    let facts = vec![if seeds.iter().any(|&seeds| seeds > 1) {
        format!(
            "{} of the seeds, {}",
            options.statistic.label(),
            interval_label(options)
        )
    } else {
        "one seed each, so no interval".to_owned()
    }];
    let title = match &panels[..] {
        [(env, _)] => format!("{} on {env}", count(experiments.len(), "experiment")),
        _ => format!(
            "{} on {} environments",
            count(experiments.len(), "experiment"),
            panels.len()
        ),
    };
    let panels = panels.into_iter().map(|(_, panel)| panel).collect();
    let mut figure = figure(title, facts, keys, panels, notes, options);
    if experiments
        .iter()
        .all(|experiment| experiment.measure.is_some())
    {
        figure.x_label = experiments[0].step_unit().to_owned();
    }
    Ok(figure)
}

/// The seven colours come round again with other dashes.
fn dash_of(index: usize) -> Option<(f64, f64)> {
    [None, Some((14.0, 6.0)), Some((4.0, 4.0))][index / 7 % 3]
}

fn title_of(comparison: &Comparison, what: &str) -> String {
    match &comparison.scales[..] {
        [one] => format!("{what} on {}", one.env),
        all => format!("{what} over {} environments", all.len()),
    }
}

fn rows_figure(
    title: String,
    facts: Vec<String>,
    panels: Vec<RowPanel>,
    comparison: &Comparison,
    options: &Options,
) -> RowFigure {
    let scales = comparison
        .scales
        .iter()
        .filter(|scale| scale.ends.is_some());
    let scales = scales.map(|scale| format!("{}: {}.", scale.env, scale.meaning));
    RowFigure {
        width: options.width,
        theme: options.theme,
        title,
        facts,
        keys: Vec::new(),
        panels,
        notes: scales.chain(comparison.notes.iter().cloned()).collect(),
    }
}

fn scores_figure(comparison: &Comparison, options: &Options) -> RowFigure {
    let average = |scores: &[Vec<f64>]| options.statistic.across(&mut scores.to_vec());
    let row = |index: usize, algorithm: &Algorithm, scores: &[Vec<f64>]| Row {
        label: algorithm.name.clone(),
        colour: options.theme.series(index),
        value: average(scores),
        interval: options
            .bootstrap
            .interval(scores, |tasks| options.statistic.across(tasks)),
        runs: scores.concat(),
    };
    let algorithms = || comparison.algorithms.iter().enumerate();
    let mut panels = Vec::new();
    if comparison.is_scaled() {
        let together = algorithms().filter_map(|(i, algorithm)| {
            let all = algorithm.aggregate.as_ref()?;
            Some(row(i, algorithm, &all.scores))
        });
        panels.push(RowPanel {
            heading: "all environments: score".to_owned(),
            rows: together.collect(),
            levels: vec![1.0],
            range: None,
        });
    }
    for (env, scale) in comparison.scales.iter().enumerate() {
        let here = algorithms().filter(|(_, algorithm)| !algorithm.scores[env].is_empty());
        let (unit, levels) = match scale.ends {
            Some(_) => ("score", vec![1.0]),
            None => ("return", Vec::new()),
        };
        panels.push(RowPanel {
            heading: format!("{}: {unit}", scale.env),
            rows: here
                .map(|(i, algorithm)| row(i, algorithm, &algorithm.scores[env..=env]))
                .collect(),
            levels,
            range: None,
        });
    }
    panels.retain(|panel| !panel.rows.is_empty());
    let facts = vec![
        format!("line: {}", options.statistic.label()),
        format!("bar: {}", interval_label(options)),
        "dots: single runs".to_owned(),
    ];
    let title = title_of(comparison, "Return at the end");
    rows_figure(title, facts, panels, comparison, options)
}

fn improvement_figure(comparison: &Comparison, options: &Options) -> RowFigure {
    let name = |index: usize| &comparison.algorithms[index].name;
    let row = |pair: &Pair| Row {
        label: format!("{} > {}", name(pair.of.0), name(pair.of.1)),
        colour: match pair.verdict {
            Verdict::Better | Verdict::Worse => options.theme.series(pair.of.0),
            Verdict::NotToldApart | Verdict::TooFewRuns => options.theme.muted(),
        },
        value: pair.improvement.value,
        interval: pair.improvement.interval,
        runs: Vec::new(),
    };
    let mut panels: Vec<RowPanel> = Vec::new();
    for env in std::iter::once(None).chain((0..comparison.scales.len()).map(Some)) {
        let rows: Vec<Row> = comparison
            .pairs
            .iter()
            .filter(|pair| pair.env == env)
            .map(row)
            .collect();
        if !rows.is_empty() {
            panels.push(RowPanel {
                heading: format!(
                    "{}: probability that a run of the first ends higher",
                    env.map_or("all environments", |env| &comparison.scales[env].env)
                ),
                rows,
                levels: vec![0.5],
                range: Some((-0.03, 1.03)),
            });
        }
    }
    let facts = vec![
        format!("bar: {}", interval_label(options)),
        "grey: not told apart by a permutation test with Holm's correction".to_owned(),
    ];
    let title = title_of(comparison, "Probability of improvement");
    rows_figure(title, facts, panels, comparison, options)
}

fn profiles_figure(comparison: &Comparison, options: &Options) -> Result<Figure> {
    const STEPS: usize = 200;
    let complete = || {
        let all = comparison.algorithms.iter().enumerate();
        all.filter_map(|(index, algorithm)| {
            let scores = &algorithm.aggregate.as_ref()?.scores;
            Some((index, algorithm, scores))
        })
    };
    let scores = || complete().flat_map(|(_, _, scores)| scores.iter().flatten().copied());
    let (low, high) = figure::span(scores());
    ensure!(
        scores().next().is_some(),
        "no algorithm was run on every environment"
    );
    let (low, high) = figure::padded(low, high);
    let taus: Vec<f64> = (0..=STEPS)
        .map(|i| low + (high - low) * i as f64 / STEPS as f64)
        .collect();
    let (mut lines, mut bands, mut keys) = (Vec::new(), Vec::new(), Vec::new());
    for (index, algorithm, scores) in complete() {
        let (colour, dash) = (options.theme.series(index), dash_of(index));
        let shares = taus
            .iter()
            .map(|&tau| (tau, stats::share_above(scores, tau)));
        lines.push(Line {
            points: shares.collect(),
            colour,
            width: THICK,
            dash,
            dots: false,
        });
        let intervals = options
            .bootstrap
            .intervals(scores, taus.len(), |tasks, shares| {
                for (share, &tau) in shares.iter_mut().zip(&taus) {
                    *share = stats::share_above(tasks, tau);
                }
            });
        let several = intervals.is_some();
        bands.extend(intervals.map(|intervals| {
            Band {
                points: taus
                    .iter()
                    .zip(intervals)
                    .map(|(&tau, at)| (tau, at.low, at.high))
                    .collect(),
                colour,
            }
        }));
        let runs: usize = scores.iter().map(Vec::len).sum();
        keys.push(Key {
            label: format!("{} ({})", algorithm.name, count(runs, "run")),
            colour,
            width: THICK,
            dash,
            band: several,
        });
    }
    let panel = Panel {
        heading: "share of runs that end above the score on the x-axis".to_owned(),
        lines,
        bands,
        range: Some((-0.02, 1.02)),
        ..Panel::default()
    };
    let unit = if comparison.is_scaled() {
        "score"
    } else {
        "return (sum of rewards per episode)"
    };
    let scales = comparison
        .scales
        .iter()
        .filter(|scale| scale.ends.is_some());
    let scales = scales.map(|scale| format!("{}: {}.", scale.env, scale.meaning));
    let notes = scales.chain(comparison.notes.iter().cloned()).collect();
    let facts = vec![interval_label(options)];
    let title = title_of(comparison, "Performance profiles");
    let mut figure = figure(title, facts, keys, vec![panel], notes, options);
    figure.x_label = unit.to_owned();
    figure.x_start = low;
    Ok(figure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::{Episode, ReferenceLine};
    use std::collections::HashSet;
    use std::fs;
    use thorndike_core::{Seeds, Status, rand::RngExt};

    use super::drawing::{Align, Drawing, Shape, text_width};

    /// Runs that learn to reach `top` in 50,000 steps, with evaluations, episodes and two reported numbers.
    fn experiment(name: &str, seeds: u64, top: f64) -> Experiment {
        let runs = (1..=seeds).map(|seed| {
            let mut rng = Seeds::new(seed).stream("plot", 0);
            let mut level = |step: u64| {
                top * (step as f64 / 50_000.0).sqrt() * (0.9 + 0.1 * rng.random::<f64>())
            };
            let mut run = SeedRun {
                seed,
                last_step: 50_000,
                finished: true,
                ..SeedRun::default()
            };
            for step in (5_000..=50_000).step_by(5_000) {
                let returns = (0..5).map(|_| level(step)).collect();
                run.evaluations.push(Evaluation {
                    step,
                    returns,
                    lengths: vec![1; 5],
                    only_action: None,
                });
            }
            for step in (100..=50_000).step_by(100) {
                run.episodes.push(Episode {
                    env: 0,
                    step,
                    episode_return: level(step),
                    length: 100,
                    status: Status::Terminated,
                });
                for (name, value) in [
                    ("explore/epsilon", 1.0 - step as f64 / 50_000.0),
                    ("loss/td", level(step)),
                ] {
                    run.scalars
                        .entry(name.to_owned())
                        .or_default()
                        .push((step, value));
                }
            }
            run
        });
        Experiment {
            name: name.to_owned(),
            env: "cart-pole".to_owned(),
            agent: "dqn".to_owned(),
            measure: None,
            tasks: Vec::new(),
            seeds: runs.collect(),
            lines: vec![
                ReferenceLine::solved(0.95 * top),
                ReferenceLine::optimum(top),
            ],
            warnings: Vec::new(),
        }
    }

    /// The same returns in every evaluation.
    fn with_returns(mut experiment: Experiment, returns: &[f64]) -> Experiment {
        for evaluation in experiment
            .seeds
            .iter_mut()
            .flat_map(|run| &mut run.evaluations)
        {
            evaluation.returns = returns.to_vec();
        }
        experiment
    }

    fn quick() -> Options {
        Options {
            bootstrap: Bootstrap {
                resamples: 100,
                ..Bootstrap::default()
            },
            ..Options::default()
        }
    }

    fn decoded(path: &Path) -> (u32, u32, HashSet<[u8; 3]>) {
        let decoder = png::Decoder::new(std::io::BufReader::new(fs::File::open(path).unwrap()));
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let frame = reader.next_frame(&mut pixels).unwrap();
        let colours = pixels
            .chunks_exact(3)
            .map(|pixel| [pixel[0], pixel[1], pixel[2]])
            .collect();
        (frame.width, frame.height, colours)
    }

    #[test]
    fn every_kind_of_picture_is_a_whole_png_and_a_well_formed_svg() {
        let folder = tempfile::tempdir().unwrap();
        let learned = experiment("cart <pole> & co", 3, 500.0);
        let other = experiment("other", 2, 400.0);
        let options = Options {
            width: 800,
            height: 500,
            ..quick()
        };
        type Draw<'a> = Box<dyn Fn(&Path) -> Result<()> + 'a>;
        let kinds: [(&str, Draw<'_>); 3] = [
            ("curve", Box::new(|path| curve(&learned, &options, path))),
            (
                "panels",
                Box::new(|path| panels(&learned, &[], &options, path)),
            ),
            (
                "compare",
                Box::new(|path| compare(&[learned.clone(), other.clone()], &options, path)),
            ),
        ];
        for (kind, draw) in kinds {
            let png = folder.path().join(format!("{kind}.png"));
            draw(&png).unwrap();
            let (width, height, colours) = decoded(&png);
            assert_eq!(width, 800, "{kind}");
            assert!(
                if kind == "panels" {
                    height > 500
                } else {
                    height == 500
                },
                "{kind} is {height} high"
            );
            for colour in [[255, 255, 255], [0x00, 0x72, 0xB2]] {
                assert!(colours.contains(&colour), "{kind} has no {colour:?}");
            }

            let svg = folder.path().join(format!("{kind}.svg"));
            draw(&svg).unwrap();
            let text = fs::read_to_string(&svg).unwrap();
            let document = roxmltree::Document::parse(&text).unwrap();
            let root = document.root_element();
            assert_eq!(
                (root.attribute("width"), root.attribute("height")),
                (Some("800"), Some(&*height.to_string()))
            );
            let texts: Vec<&str> = document
                .descendants()
                .filter_map(|node| node.text())
                .map(str::trim)
                .collect();
            if kind != "compare" {
                assert!(
                    texts
                        .iter()
                        .any(|text| text.starts_with("cart <pole> & co")),
                    "{kind}: {texts:?}"
                );
            }
            assert!(texts.contains(&"environment steps"), "{kind}");
        }
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            6,
            "a temporary file was left"
        );
    }

    #[test]
    fn a_picture_drawn_twice_is_the_same_picture() {
        let learned = experiment("a", 5, 500.0);
        let svg = || {
            curve_figure(&learned, &quick())
                .unwrap()
                .draw()
                .svg()
                .unwrap()
        };
        assert_eq!(svg(), svg());
    }

    /// All texts of a picture, and their boxes: left, top, right, bottom.
    fn text_boxes(drawing: &Drawing) -> Vec<(String, [f64; 4])> {
        let boxed = |shape: &Shape| match shape {
            Shape::Text(text) => {
                let width = text_width(&text.text, text.size);
                let left = match text.align {
                    Align::Left => text.at.0,
                    Align::Centre => text.at.0 - width / 2.0,
                    Align::Right => text.at.0 - width,
                };
                // The height of a digit above the baseline, and of a descender below it.
                let (top, bottom) = (text.at.1 - 0.73 * text.size, text.at.1 + 0.24 * text.size);
                Some((text.text.clone(), [left, top, left + width, bottom]))
            }
            _ => None,
        };
        drawing.shapes.iter().filter_map(boxed).collect()
    }

    /// What a look at a picture would find first.
    pub(super) fn assert_tidy(drawing: &Drawing, what: &str) {
        let boxes = text_boxes(drawing);
        for (index, (text, a)) in boxes.iter().enumerate() {
            let (width, height) = (f64::from(drawing.width), f64::from(drawing.height));
            let inside = a[0] >= 0.0 && a[1] >= 0.0 && a[2] <= width + 0.5 && a[3] <= height;
            assert!(
                inside,
                "{what}: \"{text}\" leaves the picture: {a:?} of {width}×{height}"
            );
            for (other, b) in &boxes[..index] {
                let apart = a[2] <= b[0] || b[2] <= a[0] || a[3] <= b[1] || b[3] <= a[1];
                assert!(
                    apart,
                    "{what}: \"{text}\" {a:?} and \"{other}\" {b:?} overlap"
                );
            }
        }
        let places = drawing.shapes.iter().flat_map(|shape| match shape {
            Shape::Line { points, .. } | Shape::Area { points, .. } => points.clone(),
            Shape::Dot { at, .. } => vec![*at],
            Shape::Text(text) => vec![text.at],
        });
        for (x, y) in places {
            let inside = (-1.0..=f64::from(drawing.width) + 1.0).contains(&x)
                && (-1.0..=f64::from(drawing.height) + 1.0).contains(&y);
            assert!(inside, "{what}: a point at {x}, {y}");
        }
    }

    fn assert_comparison_tidy(experiments: &[Experiment], options: &Options, what: &str) {
        let comparison = Comparison::of(experiments, &options.bootstrap, options.window).unwrap();
        let profiles = profiles_figure(&comparison, options).map(Figure::draw);
        for drawing in [
            Some(scores_figure(&comparison, options).draw()),
            Some(improvement_figure(&comparison, options).draw()),
            profiles.ok(),
        ] {
            let drawing = drawing.as_ref();
            drawing.inspect(|drawing| assert_tidy(drawing, &format!("comparison, {what}")));
        }
    }

    #[test]
    fn no_text_overlaps_or_leaves_the_picture_whatever_the_data() {
        let base = experiment("cart-pole-dqn", 5, 500.0);
        let mut one_evaluation = base.clone();
        one_evaluation
            .seeds
            .iter_mut()
            .for_each(|run| run.evaluations.truncate(1));
        let mut first_step = one_evaluation.clone();
        first_step
            .seeds
            .iter_mut()
            .for_each(|run| run.evaluations[0].step = 0);
        let mut learning = base.clone();
        learning
            .seeds
            .iter_mut()
            .for_each(|run| run.evaluations.clear());
        let mut long = base.clone();
        long.name = "a-name-that-is-far-too-long-".repeat(9);
        long.env = "many words of an environment ".repeat(9);
        long.lines.push(ReferenceLine {
            label: "somebody's result from an old paper".to_owned(),
            value: 499.0,
        });
        let mut far_steps = base.clone();
        for (index, evaluation) in far_steps
            .seeds
            .iter_mut()
            .flat_map(|run| run.evaluations.iter_mut().enumerate())
        {
            evaluation.step = u64::MAX - 10 + index as u64;
        }
        let mut unequal = base.clone();
        unequal.seeds[1].evaluations.truncate(3);
        unequal.seeds[2].evaluations.clear();
        unequal.seeds[3].evaluations[2].returns = vec![f64::NAN, 1e300];
        let mut odd = base.clone();
        odd.name = "tab\there\u{0} 日本".to_owned();

        let mut cases = vec![
            ("base".to_owned(), base.clone()),
            ("one evaluation".to_owned(), one_evaluation),
            ("step 0".to_owned(), first_step),
            ("learning".to_owned(), learning),
            ("long".to_owned(), long),
            ("far steps".to_owned(), far_steps),
            ("unequal".to_owned(), unequal),
            ("odd".to_owned(), odd),
        ];
        for value in [0.0, 1.0, -1e9, 1e9, 1e-12, -3.3e99, 123_456.789, -200.0] {
            let mut constant = with_returns(base.clone(), &[value]);
            constant.lines = vec![ReferenceLine::optimum(value), ReferenceLine::solved(value)];
            cases.push((format!("constant {value}"), constant));
            cases.push((format!("spread {value}"), {
                let mut spread = with_returns(base.clone(), &[value]);
                spread.seeds[0].evaluations[0].returns = vec![-value];
                spread.seeds[1].evaluations[1].returns = vec![2.5 * value];
                spread
            }));
        }
        for seeds in [1, 2] {
            let mut few = base.clone();
            few.seeds.truncate(seeds);
            cases.push((format!("{seeds} seeds"), few));
        }
        for (what, experiment) in cases {
            for (width, height) in [(1200, 750), (400, 400), (2000, 900)] {
                let options = Options {
                    width,
                    height,
                    ..quick()
                };
                let what = format!("{what} at {width}×{height}");
                let figure =
                    curve_figure(&experiment, &options).unwrap_or_else(|e| panic!("{what}: {e}"));
                let drawing = figure.draw();
                assert_tidy(&drawing, &what);
                let svg = drawing.svg().unwrap();
                assert!(roxmltree::Document::parse(&svg).is_ok(), "{what}");
                let both = [experiment.clone(), base.clone()];
                assert_tidy(
                    &compare_figure(&both, &options).unwrap().draw(),
                    &format!("compare, {what}"),
                );
                let panels = panels_figure(&experiment, &[], &options).unwrap();
                assert_tidy(&panels.draw(), &format!("panels, {what}"));
                assert_comparison_tidy(&both, &options, &what);
            }
        }
    }

    #[test]
    fn many_experiments_on_many_environments_stay_tidy() {
        let mut many: Vec<Experiment> = (0..24)
            .map(|index| {
                experiment(
                    &format!("experiment-number-{index}"),
                    1 + index % 3,
                    10.0 * index as f64 - 100.0,
                )
            })
            .collect();
        assert_tidy(
            &compare_figure(&many, &quick()).unwrap().draw(),
            "one environment",
        );
        for (index, experiment) in many.iter_mut().enumerate() {
            experiment.env = format!("environment-{}", index % 5);
        }
        assert_comparison_tidy(&many, &quick(), "several environments");
        assert_tidy(
            &compare_figure(&many, &quick()).unwrap().draw(),
            "five environments",
        );
    }

    fn all_text(figure: Figure) -> String {
        text_boxes(&figure.draw())
            .into_iter()
            .map(|(text, _)| text + "\n")
            .collect()
    }

    #[test]
    fn a_curve_says_what_it_shows() {
        let text = all_text(curve_figure(&experiment("my-run", 5, 500.0), &quick()).unwrap());
        for part in [
            "my-run",
            "dqn on cart-pole · 5 seeds · greedy, mean of 5 episodes a point",
            "IQM of the seeds, 95 % stratified bootstrap interval",
            "evaluation return (sum of rewards per episode)",
            "environment steps",
            "optimum 500",
            "solved 475",
            "20k",
        ] {
            assert!(text.contains(part), "no \"{part}\" in:\n{text}");
        }
    }

    #[test]
    fn one_seed_and_missing_evaluations_are_said() {
        let mut one = experiment("a", 1, 500.0);
        assert!(all_text(curve_figure(&one, &quick()).unwrap()).contains("1 seed, so no interval"));
        one.seeds[0].evaluations.clear();
        let text = all_text(curve_figure(&one, &quick()).unwrap());
        assert!(
            text.contains("no evaluations: returns while learning, mean of the last 25 episodes"),
            "{text}"
        );
    }

    #[test]
    fn the_mean_of_a_short_run_does_not_rise_long_after_its_agent_has_stopped_learning() {
        let mut short = experiment("a", 2, 500.0);
        for (index, run) in short.seeds.iter_mut().enumerate() {
            run.evaluations.clear();
            run.episodes.truncate(213 + index);
            for (number, episode) in run.episodes.iter_mut().enumerate() {
                episode.episode_return = if number < 100 { 20.0 } else { 500.0 };
            }
        }
        let learned = short.seeds[0].episodes[111].step;
        let drawn = returns(&short, &quick()).unwrap();
        let later = drawn.curves[0].iter().filter(|point| point.0 >= learned);
        assert!(later.into_iter().all(|point| point.1 == 500.0));
        for figure in [
            curve_figure(&short, &quick()),
            panels_figure(&short, &[], &quick()),
            compare_figure(std::slice::from_ref(&short), &quick()),
        ] {
            let text = all_text(figure.unwrap());
            assert!(text.contains("mean of the last 10 episodes"), "{text}");
        }
        short.seeds.truncate(1);
        let episode = short.seeds[0].episodes[0];
        let windows = [0, 60, 1000, 9999].map(|episodes| {
            short.seeds[0].episodes = vec![episode; episodes];
            quick().window_of(&short)
        });
        assert_eq!(windows, [5, 5, 50, 100]);
    }

    #[test]
    fn a_longer_evaluation_at_the_end_is_said() {
        let mut experiment = experiment("a", 2, 500.0);
        for run in &mut experiment.seeds {
            run.evaluations[9].returns = vec![500.0; 1000];
        }
        let text = all_text(curve_figure(&experiment, &quick()).unwrap());
        assert!(
            text.contains("mean of 5 episodes a point, 1000 episodes at the end"),
            "{text}"
        );
    }

    #[test]
    fn runs_left_out_or_ended_early_are_said() {
        let mut experiment = experiment("a", 4, 500.0);
        experiment.seeds[1].evaluations.truncate(3);
        experiment.seeds[2].evaluations.clear();
        experiment.seeds[3].evaluations[0].returns = vec![f64::NAN];
        let text = all_text(curve_figure(&experiment, &quick()).unwrap());
        for part in [
            "Seed 3 has no evaluation yet.",
            "1 return left out: not a number",
            "Seeds end between 15k and 50k steps; the IQM goes as far as all of them.",
        ] {
            assert!(text.contains(part), "no \"{part}\" in:\n{text}");
        }
    }

    #[test]
    fn a_beginners_disaster_is_cut_off_and_said() {
        let mut cliff = with_returns(experiment("a", 5, 500.0), &[-13.0]);
        cliff.lines = vec![ReferenceLine::optimum(-13.0)];
        cliff.seeds[0].evaluations[0].returns = vec![-1000.0];
        cliff.seeds[0].evaluations[5].returns = vec![-17.0];
        let text = all_text(curve_figure(&cliff, &quick()).unwrap());
        assert!(
            text.contains("of the points lie below the picture, down to −1,000."),
            "{text}"
        );
        assert!(text.contains("−60") && !text.contains("−200"), "{text}");
    }

    #[test]
    fn a_seed_that_failed_in_the_end_is_never_cut_off() {
        let mut cliff = with_returns(experiment("a", 20, 500.0), &[-13.0]);
        for evaluation in &mut cliff.seeds[7].evaluations {
            evaluation.returns = vec![-1000.0];
        }
        let text = all_text(curve_figure(&cliff, &quick()).unwrap());
        assert!(!text.contains("of the points lie"), "{text}");
    }

    #[test]
    fn a_range_by_hand_is_kept_and_what_it_cuts_is_said() {
        let options = Options {
            range: Some((200.0, 400.0)),
            ..quick()
        };
        let text = all_text(curve_figure(&experiment("a", 3, 500.0), &options).unwrap());
        assert!(
            text.contains("below the picture") && text.contains("above the picture"),
            "{text}"
        );
        assert!(!text.contains("500") || !text.contains("optimum"), "{text}");
    }

    #[test]
    fn nothing_to_draw_and_wrong_options_are_errors_in_words() {
        let mut empty = experiment("empty", 2, 500.0);
        for run in &mut empty.seeds {
            (run.evaluations, run.episodes) = (Vec::new(), Vec::new());
            run.scalars.clear();
        }
        let message = |result: Result<Figure>| result.unwrap_err().to_string();
        assert!(message(curve_figure(&empty, &quick())).contains("nothing to draw for empty"));
        assert!(
            message(panels_figure(&empty, &[], &quick())).contains("nothing to draw for empty")
        );
        assert!(message(compare_figure(&[], &quick())).contains("nothing to compare"));
        let base = experiment("a", 2, 500.0);
        let unknown = message(panels_figure(&base, &["loss/dt".to_owned()], &quick()));
        assert!(
            unknown.contains("\"loss/dt\"; known: explore/epsilon, loss/td"),
            "{unknown}"
        );
        for (options, part) in [
            (
                Options {
                    width: 10,
                    ..quick()
                },
                "from 400 to 4000",
            ),
            (
                Options {
                    height: 99_999,
                    ..quick()
                },
                "from 400 to 4000",
            ),
            (
                Options {
                    window: 0,
                    ..quick()
                },
                "at least 1 episode",
            ),
            (
                Options {
                    range: Some((1.0, f64::NAN)),
                    ..quick()
                },
                "the first must be the lower one",
            ),
        ] {
            let error = message(curve_figure(&base, &options));
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_picture_that_cannot_be_written_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let error = curve(
            &experiment("a", 2, 1.0),
            &quick(),
            &folder.path().join("no/such/curve.png"),
        )
        .unwrap_err();
        assert!(format!("{error:#}").contains("cannot write"), "{error:#}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
