//! Pictures of experiments, as PNG or SVG by the ending of the file's name.
//!
//! [`curve`] draws what one experiment learned, [`panels`] its loss, exploration and other numbers, [`compare`] several
//! experiments. All three share one look (`theme`), one layout (`figure`) and one way into a file (`drawing`); the font
//! is embedded, so a picture looks the same on every machine and needs no font library.
//!
//! To add a kind of picture, write a function that fills a `Figure`.

mod axis;
mod drawing;
mod figure;
mod theme;

use std::path::Path;

use anyhow::{Result, bail, ensure};

pub use theme::Theme;

use self::axis::short;
use self::figure::{Band, Cut, Figure, Key, Level, Line, Panel};
use self::theme::Colour;
use crate::runs::{Experiment, SeedRun};
use crate::stats::{self, BandPoint, Bootstrap, Curve, Statistic};

/// What a picture shows and how large it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Width in pixels. Text grows with it, so a picture can be shown smaller than it is.
    pub width: u32,
    /// Height in pixels. More than one panel, or a legend or notes of many lines, make a picture taller.
    pub height: u32,
    /// Light or dark.
    pub theme: Theme,
    /// Average over runs.
    pub statistic: Statistic,
    /// The band around it.
    pub bootstrap: Bootstrap,
    /// Episodes in the trailing mean of returns while learning.
    pub window: usize,
    /// Lowest and highest return shown. By default all of them, except few that are so far off that the rest would be
    /// flat; the picture then says what was cut.
    pub range: Option<(f64, f64)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            width: 1200,
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
    fn check(&self) -> Result<()> {
        let fits = |pixels: u32| (400..=4000).contains(&pixels);
        ensure!(
            fits(self.width) && fits(self.height),
            "a picture of {}×{} pixels: each side must be from 400 to 4000",
            self.width,
            self.height
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
            curve = stats::trailing_mean(&curve, options.window, POINTS);
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
        notes,
    } = returns(experiment, options)?;
    let colour = options.theme.series(0);
    let faint = options.theme.faint(colour);
    let average = stats::aggregate(&curves, options.statistic, &options.bootstrap, POINTS);
    let several = curves.len() > 1;

    let mut panel = returns_panel(evaluated, options);
    panel.levels = levels(experiment);
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
    facts.push(measured(&experiment.seeds, evaluated, options));
    Ok(figure(
        experiment.name.clone(),
        facts,
        keys,
        vec![panel],
        notes,
        options,
    ))
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
        theme: options.theme,
        title,
        facts,
        keys,
        panels,
        x_label: "environment steps".to_owned(),
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
        cut: Cut::Below,
        ..Panel::default()
    }
}

fn interval_label(options: &Options) -> String {
    format!(
        "{} % stratified bootstrap interval",
        short(100.0 * options.bootstrap.confidence)
    )
}

/// What one point of the curve is.
fn measured(seeds: &[SeedRun], evaluated: bool, options: &Options) -> String {
    if !evaluated {
        return format!(
            "no evaluations: returns while learning, mean of the last {}",
            count(options.window, "episode")
        );
    }
    let episodes = || {
        seeds
            .iter()
            .flat_map(|run| &run.evaluations)
            .map(|evaluation| evaluation.returns.len())
    };
    match (episodes().min(), episodes().max()) {
        (Some(fewest), Some(most)) if fewest < most => {
            format!("greedy, mean of {fewest} to {most} episodes a point")
        }
        (_, most) => format!(
            "greedy, mean of {} a point",
            count(most.unwrap_or(0), "episode")
        ),
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

fn panels_figure(experiment: &Experiment, names: &[String], options: &Options) -> Result<Figure> {
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

    let learning = experiment.seeds.iter().map(|run| {
        let curve: Curve = run
            .episode_curve()
            .into_iter()
            .filter(|&(_, value)| drawable(value))
            .collect();
        stats::trailing_mean(&curve, options.window, POINTS)
    });
    let heading = format!(
        "return while learning (sum of rewards, mean of the last {})",
        count(options.window, "episode")
    );
    let mut drawn = vec![scalar_panel(
        heading,
        learning.collect(),
        Cut::Below,
        options,
    )];
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
    Ok(figure(
        format!("{}: learning", experiment.name),
        facts,
        keys,
        drawn,
        notes,
        options,
    ))
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
    for (index, experiment) in experiments.iter().enumerate() {
        let returns = returns(experiment, options)?;
        notes.extend(
            returns
                .notes
                .iter()
                .map(|note| format!("{}: {note}", experiment.name)),
        );
        seeds.push(returns.curves.len());
        let colour = options.theme.series(index);
        // The seven colours come round again with other dashes.
        let dash = [None, Some((14.0, 6.0)), Some((4.0, 4.0))][index / 7 % 3];
        let average = stats::aggregate(
            &returns.curves,
            options.statistic,
            &options.bootstrap,
            POINTS,
        );
        let kind = if returns.evaluated {
            ""
        } else {
            ", while learning"
        };
        let label = format!(
            "{} ({}{kind})",
            experiment.name,
            count(returns.curves.len(), "seed")
        );
        keys.push(Key {
            label,
            colour,
            width: THICK,
            dash,
            band: returns.curves.len() > 1,
        });

        let at = panels
            .iter()
            .position(|(env, _)| *env == experiment.env)
            .unwrap_or_else(|| {
                let heading = format!("{}: return (sum of rewards per episode)", experiment.env);
                panels.push((
                    &experiment.env,
                    Panel {
                        heading,
                        range: options.range,
                        cut: Cut::Below,
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
    Ok(figure(title, facts, keys, panels, notes, options))
}
