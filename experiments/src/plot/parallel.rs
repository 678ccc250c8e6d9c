//! Parallel coordinates of a sweep: an axis for each key, one for the result, and a line for each trial.
//!
//! Lines leave an axis level, so that they can be followed through it. Trials that share a listed value lie side by side
//! there, the best on top: the colours of a bundle show what the value is worth.

use std::path::Path;

use anyhow::{Result, ensure};
use thorndike_core::EnvSteps;

use super::axis::{Tick, short, ticks};
use super::drawing::{Align, Drawing, Point, Shape, text_width};
use super::figure::{
    END, Figure, Key as LegendKey, LEADING, NOTE, PAD, Page, TEXT, clip, least_cut, wrap,
};
use super::theme::{Colour, Theme};
use super::{Options, count, drawable};
use crate::sweep::keys::{Key, Range, Values, short_names, short_value};
use crate::sweep::ranking::{Ranking, Row};
use crate::sweep::{Sweep, Trial};
use crate::text::thousands;

/// Most keys that get an axis.
const KEYS: usize = 8;
/// Most trials that are drawn; more are a surface.
const LINES: usize = 500;
/// Straight pieces of a curve from axis to axis.
const PIECES: usize = 24;
/// Width of the colour scale at the axis of the result.
const SCALE: f64 = 14.0;
/// Room that a label between two bundles needs.
const LABEL: f64 = 1.5 * TEXT;

/// Draws the trials of a finished sweep over its keys.
///
/// # Errors
/// If the ending is neither `.png` nor `.svg`, if no trial has a result, or if the file cannot be written.
pub fn sweep(
    sweep: &Sweep,
    trials: &[Trial],
    ranking: &Ranking,
    theme: Theme,
    path: &Path,
) -> Result<()> {
    drawing(sweep, trials, ranking, theme)?.save(path)
}

/// One axis.
struct Axis {
    heading: String,
    kind: Kind,
}

enum Kind {
    /// Values side by side, with a label each.
    Slots(Vec<String>),
    /// Numbers between two ends.
    Numbers {
        low: f64,
        high: f64,
        log: bool,
        whole: bool,
    },
}

/// A trial as a line: its place on each axis, and its result.
struct Line {
    places: Vec<Place>,
    /// Share of the way from the lowest to the highest result; `None` for a trial that failed.
    share: Option<f64>,
}

#[derive(Clone, Copy)]
enum Place {
    Slot(usize),
    /// Share of the way up.
    At(f64),
}

fn drawing(sweep: &Sweep, trials: &[Trial], ranking: &Ranking, theme: Theme) -> Result<Drawing> {
    let size = Options::default();
    let rows = &ranking.rows[..ranking.rows.len().min(LINES)];
    let score = |row: &Row| Some(row.outcome.score()?.iqm.value).filter(|&value| drawable(value));
    let mut values: Vec<f64> = rows.iter().filter_map(score).collect();
    values.sort_unstable_by(f64::total_cmp);
    let (Some(&lowest), Some(&highest), Some(best)) = (values.first(), values.last(), rows.first())
    else {
        anyhow::bail!("nothing to draw for {}: no trial has a result", sweep.name);
    };
    ensure!(score(best).is_some(), "nothing to draw for {}", sweep.name);
    let mut notes = Vec::new();
    let mut low = least_cut(&values, 0.25).unwrap_or(lowest);
    let mut high = highest;
    if low > lowest {
        let below = values.partition_point(|&value| value < low);
        notes.push(format!(
            "{} below the picture, down to {}.",
            if below == 1 {
                "1 trial lies".to_owned()
            } else {
                format!("{below} trials lie")
            },
            short(lowest)
        ));
    }
    if low == high {
        let room = if high == 0.0 { 1.0 } else { 0.1 * high.abs() };
        (low, high) = (low - room, high + room);
    }
    let shown_keys = &sweep.keys[..sweep.keys.len().min(KEYS)];
    if sweep.keys.len() > KEYS {
        notes.push(format!(
            "{} without an axis; table.csv has all.",
            count(sweep.keys.len() - KEYS, "more key")
        ));
    }
    if ranking.rows.len() > LINES {
        notes.push(format!(
            "The best {LINES} of {} trials.",
            thousands(ranking.rows.len() as u64)
        ));
    }

    let names = short_names(&sweep.keys);
    let mut axes: Vec<Axis> = shown_keys
        .iter()
        .zip(names.iter())
        .map(|(key, name)| axis(key, name))
        .collect();
    let lengths = lengths(rows, ranking);
    if lengths.len() > 1 {
        axes.push(Axis {
            heading: "steps".to_owned(),
            kind: Kind::Slots(lengths.iter().map(|&steps| thousands(steps)).collect()),
        });
    }
    let lines: Vec<Line> = rows
        .iter()
        .map(|row| {
            let given = shown_keys.iter().zip(&axes).zip(&trials[row.trial].values);
            let mut places: Vec<Place> = given
                .map(|((key, axis), value)| place(key, axis, value))
                .collect();
            if lengths.len() > 1 {
                let steps = row.outcome.score().map(|score| score.steps);
                let slot = lengths.iter().position(|&length| Some(length) == steps);
                places.push(Place::Slot(slot.unwrap_or(row.rung.min(lengths.len() - 1))));
            }
            let share = score(row).map(|value| ((value - low) / (high - low)).clamp(0.0, 1.0));
            Line { places, share }
        })
        .collect();

    let failed = rows
        .iter()
        .filter(|row| row.outcome.score().is_none())
        .count();
    let config = &trials[best.trial].config;
    let set: Vec<String> = sweep
        .keys
        .iter()
        .zip(&names)
        .zip(&trials[best.trial].values)
        .map(|((key, name), value)| format!("{name} {}", short_value(key, value)))
        .collect();
    let key = |label: String, colour, width, dash| LegendKey {
        label,
        colour,
        width,
        dash,
        band: false,
    };
    let mut keys = vec![key(
        format!(
            "best, {}: {} with {}",
            config.name,
            short(highest_of(best)),
            set.join(", ")
        ),
        theme.series(1),
        BEST,
        None,
    )];
    if failed > 0 {
        keys.push(key(
            count(failed, "failed trial"),
            theme.muted(),
            1.6,
            Some(FAILED),
        ));
    }
    let figure = Figure {
        size: (size.width, size.height),
        theme,
        title: sweep.name.clone(),
        facts: vec![
            format!("{} on {}", config.agent.id, config.env.id),
            count(ranking.rows.len(), "trial"),
            if config.seeds.len() == 1 {
                "1 seed".to_owned()
            } else {
                format!("{} each", count(config.seeds.len(), "seed"))
            },
            format!(
                "colour: IQM of the return after training, over {} episodes a seed",
                config.eval.final_episodes
            ),
        ],
        keys,
        panels: Vec::new(),
        x_label: String::new(),
        notes,
    };
    Ok(lay_out(&figure, &axes, &lines, (low, high)))
}

const BEST: f64 = 5.0;
const FAILED: (f64, f64) = (7.0, 6.0);

fn highest_of(row: &Row) -> f64 {
    row.outcome
        .score()
        .map_or(f64::NAN, |score| score.iqm.value)
}

/// Steps of the trials, where they are not all the same because some were trained longer.
fn lengths(rows: &[Row], ranking: &Ranking) -> Vec<EnvSteps> {
    if ranking.choices.is_empty() {
        return Vec::new();
    }
    let scores = rows.iter().filter_map(|row| row.outcome.score());
    let mut all: Vec<EnvSteps> = scores.map(|score| score.steps).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn axis(key: &Key, name: &str) -> Axis {
    let kind = match &key.values {
        Values::List(list) => Kind::Slots(
            ordered(list)
                .iter()
                .map(|value| short_value(key, value))
                .collect(),
        ),
        Values::Range(range) => {
            let (low, high) = range.ends();
            Kind::Numbers {
                low,
                high,
                log: matches!(range, Range::LogUniform { .. }),
                whole: matches!(range, Range::Integer { .. }),
            }
        }
    };
    Axis {
        heading: name.to_owned(),
        kind,
    }
}

/// Numbers ascending, other values as they are listed.
fn ordered(list: &[toml::Value]) -> Vec<&toml::Value> {
    let mut all: Vec<&toml::Value> = list.iter().collect();
    if list.iter().all(|value| as_number(value).is_some()) {
        all.sort_by(|a, b| {
            as_number(a)
                .unwrap_or(0.0)
                .total_cmp(&as_number(b).unwrap_or(0.0))
        });
    }
    all
}

fn as_number(value: &toml::Value) -> Option<f64> {
    value
        .as_float()
        .or(value.as_integer().map(|value| value as f64))
}

fn place(key: &Key, axis: &Axis, value: &toml::Value) -> Place {
    match (&axis.kind, &key.values) {
        (Kind::Numbers { low, high, log, .. }, _) => {
            let value = as_number(value).unwrap_or(*low);
            Place::At(share(value, *low, *high, *log))
        }
        (Kind::Slots(_), Values::List(list)) => Place::Slot(
            ordered(list)
                .iter()
                .position(|other| *other == value)
                .unwrap_or(0),
        ),
        (Kind::Slots(_), Values::Range(_)) => Place::Slot(0),
    }
}

fn share(value: f64, low: f64, high: f64, log: bool) -> f64 {
    let (value, low, high) = if log {
        (value.ln(), low.ln(), high.ln())
    } else {
        (value, low, high)
    };
    ((value - low) / (high - low)).clamp(0.0, 1.0)
}

/// Powers of ten, with 2 and 5 times as much between them where there are few.
fn log_ticks(low: f64, high: f64) -> Vec<Tick> {
    let decades = || (low.log10().floor() as i32)..=(high.log10().ceil() as i32);
    let inside = |value: &f64| (low * (1.0 - 1e-9)..=high * (1.0 + 1e-9)).contains(value);
    let at = |times: &[f64], every: i32| -> Vec<f64> {
        let decade = |d: i32| {
            times
                .iter()
                .map(move |t| t * 10f64.powi(d))
                .collect::<Vec<_>>()
        };
        decades()
            .filter(|d| d % every == 0)
            .flat_map(decade)
            .filter(inside)
            .collect()
    };
    let mut values = at(&[1.0], 1);
    if values.len() < 3 {
        values = at(&[1.0, 2.0, 5.0], 1);
    } else if values.len() > 8 {
        values = at(&[1.0], 1 + values.len() as i32 / 8);
    }
    if values.len() < 2 {
        values = vec![low, high];
    }
    let tick = |value: f64| Tick {
        value,
        label: short(value),
    };
    values.into_iter().map(tick).collect()
}

/// Breaks a name between its parts.
fn heading_lines(text: &str, width: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for part in text.split_inclusive(['_', '.', ' ', '-']) {
        match lines.last_mut() {
            Some(line) if text_width(&format!("{line}{part}"), TEXT) <= width => {
                line.push_str(part)
            }
            _ => lines.push(part.to_owned()),
        }
    }
    lines
        .iter()
        .map(|line| clip(line.trim_end(), TEXT, width))
        .collect()
}

/// The axes between top and bottom.
struct Frame {
    xs: Vec<f64>,
    top: f64,
    bottom: f64,
}

impl Frame {
    fn at(&self, share: f64) -> f64 {
        self.bottom - (self.bottom - self.top) * share
    }

    /// Height of one of `slots` slots, and the part of it that lines may take; the rest is for the label above them.
    fn slot(&self, slots: usize) -> (f64, f64) {
        let height = (self.bottom - self.top) / slots as f64;
        (
            height,
            (height - LABEL).max(0.25 * height).min(0.72 * height),
        )
    }

    /// Upper and lower end of the bundle of a slot.
    fn bundle(&self, slot: usize, slots: usize) -> (f64, f64) {
        let (height, lines) = self.slot(slots);
        let bottom = self.bottom - height * slot as f64;
        (bottom - lines, bottom)
    }
}

fn lay_out(figure: &Figure, axes: &[Axis], lines: &[Line], (low, high): (f64, f64)) -> Drawing {
    let (unit, theme) = (f64::from(figure.size.0) / 1200.0, figure.theme);
    let mut page = Page {
        unit,
        theme,
        shapes: Vec::new(),
    };
    let (width, height) = (1200.0, f64::from(figure.size.1) / unit);
    let top = page.header(figure, width);
    let notes: Vec<String> = figure
        .notes
        .iter()
        .flat_map(|note| wrap(note, NOTE, width - 2.0 * PAD))
        .collect();
    let result = "IQM";

    // Across: room for the labels of the first axis and of the result.
    let marks = ticks(low, high, 6, false);
    let widest = |labels: &mut dyn Iterator<Item = &str>| {
        labels
            .map(|label| text_width(label, TEXT))
            .fold(0.0, f64::max)
    };
    let right =
        width - PAD - SCALE - 12.0 - widest(&mut marks.iter().map(|tick| tick.label.as_str()));
    let first = match axes.first().map(|axis| &axis.kind) {
        // Labels stand over their bundles.
        Some(Kind::Slots(labels)) => {
            0.5 * widest(&mut labels.iter().map(String::as_str)).min(150.0)
        }
        Some(Kind::Numbers { .. }) => {
            let labels: Vec<Tick> = axes
                .iter()
                .take(1)
                .flat_map(|axis| axis_ticks(&axis.kind))
                .collect();
            widest(&mut labels.iter().map(|tick| tick.label.as_str())) + 12.0
        }
        None => 0.0,
    };
    let left = PAD + first.max(20.0);
    let spacing = (right - left) / axes.len().max(1) as f64;
    let xs: Vec<f64> = (0..=axes.len())
        .map(|i| left + spacing * i as f64)
        .collect();

    // Down: names, axes, notes.
    let named = |i: usize| axes.get(i).map_or(result, |axis| axis.heading.as_str());
    let headings: Vec<Vec<String>> = (0..xs.len())
        .map(|i| {
            let room = match i {
                0 => left - PAD + 0.5 * spacing,
                i if i == axes.len() => width - PAD - right + 0.3 * spacing,
                _ => spacing,
            };
            heading_lines(named(i), room - 16.0)
        })
        .collect();
    let most = headings.iter().map(Vec::len).max().unwrap_or(1) as f64;
    let heading_top = top - 0.2 * TEXT;
    let foot = 16.0 + notes.len() as f64 * LEADING * NOTE + END;
    let axes_top = heading_top + most * 1.2 * TEXT + 14.0;
    let frame = Frame {
        xs,
        top: axes_top,
        bottom: (height - foot).max(axes_top + 0.4 * height),
    };
    for (i, heading) in headings.iter().enumerate() {
        for (row, text) in heading.iter().rev().enumerate() {
            let y = axes_top - 16.0 - row as f64 * 1.2 * TEXT;
            let (x, align) = match i {
                0 => (PAD, Align::Left),
                i if i == axes.len() => (width - PAD, Align::Right),
                _ => (frame.xs[i], Align::Centre),
            };
            page.text((x, y), align, text, TEXT, true);
        }
    }

    draw_axes(&mut page, axes, &frame);
    let paths = paths(axes, lines, &frame);
    let thin = match lines.len() {
        ..=60 => 2.2,
        ..=200 => 1.5,
        _ => 1.0,
    };
    // The best is the first and comes last, over all others.
    for (path, line) in paths.iter().zip(lines).skip(1).rev() {
        match line.share {
            Some(share) => page.line(curve(path), thin, theme.scale(share), None),
            None => page.line(curve(path), 1.6, theme.muted(), Some(FAILED)),
        }
    }
    if let Some(path) = paths.first() {
        page.line(curve(path), BEST + 4.0, theme.background(), None);
        page.line(curve(path), BEST, theme.series(1), None);
        for &point in path {
            let at = page.scaled([point])[0];
            page.shapes.push(Shape::Dot {
                at,
                radius: 1.3 * BEST * unit,
                colour: theme.series(1),
            });
        }
    }
    label_axes(&mut page, axes, &frame);
    draw_scale(&mut page, &frame, &marks, (low, high));

    let mut y = frame.bottom + 16.0;
    for note in &notes {
        y += LEADING * NOTE;
        page.text((PAD, y), Align::Left, note, NOTE, true);
    }
    let used = ((y + END) * unit).round() as u32;
    Drawing {
        width: figure.size.0,
        height: used.max(figure.size.1),
        background: theme.background(),
        shapes: page.shapes,
    }
}

fn axis_ticks(kind: &Kind) -> Vec<Tick> {
    match *kind {
        Kind::Numbers {
            low,
            high,
            log: true,
            ..
        } => log_ticks(low, high),
        Kind::Numbers {
            low, high, whole, ..
        } => ticks(low, high, 6, whole),
        Kind::Slots(_) => Vec::new(),
    }
}

fn draw_axes(page: &mut Page, axes: &[Axis], frame: &Frame) {
    let (line, bundle) = (
        page.theme.grid(),
        page.theme.grid().over(page.theme.muted(), 0.6),
    );
    for (axis, &x) in axes.iter().zip(&frame.xs) {
        page.line([(x, frame.top), (x, frame.bottom)], 1.6, line, None);
        match &axis.kind {
            Kind::Slots(labels) => {
                for slot in 0..labels.len() {
                    let (top, bottom) = frame.bundle(slot, labels.len());
                    page.line([(x, top), (x, bottom)], 4.0, bundle, None);
                }
            }
            Kind::Numbers { low, high, log, .. } => {
                for tick in axis_ticks(&axis.kind) {
                    let y = frame.at(share(tick.value, *low, *high, *log));
                    page.line([(x - 6.0, y), (x, y)], 1.6, bundle, None);
                }
            }
        }
    }
}

/// Labels, over the lines and on a ground of their own.
fn label_axes(page: &mut Page, axes: &[Axis], frame: &Frame) {
    let spacing = frame
        .xs
        .windows(2)
        .next()
        .map_or(0.0, |pair| pair[1] - pair[0]);
    for (axis, &x) in axes.iter().zip(&frame.xs) {
        match &axis.kind {
            Kind::Slots(labels) => {
                let (height, lines) = frame.slot(labels.len());
                // As many as have room over one another.
                let every = (1.2 * TEXT / height).ceil().max(1.0) as usize;
                for (slot, label) in labels.iter().enumerate().step_by(every) {
                    let (top, _) = frame.bundle(slot, labels.len());
                    let label = clip(label, TEXT, (spacing - 20.0).min(2.0 * (x - PAD)).max(40.0));
                    let room = height - lines;
                    let y = if room >= LABEL {
                        top - 0.36 * TEXT
                    } else {
                        top + 0.5 * lines + 0.36 * TEXT
                    };
                    grounded(page, (x, y), Align::Centre, &label);
                }
            }
            Kind::Numbers { low, high, log, .. } => {
                for tick in axis_ticks(&axis.kind) {
                    let y = frame.at(share(tick.value, *low, *high, *log)) + 0.36 * TEXT;
                    grounded(page, (x - 10.0, y), Align::Right, &tick.label);
                }
            }
        }
    }
}

fn grounded(page: &mut Page, (x, y): Point, align: Align, label: &str) {
    let width = text_width(label, TEXT);
    let left = match align {
        Align::Left => x,
        Align::Centre => x - 0.5 * width,
        Align::Right => x - width,
    };
    let (left, right, top, bottom) = (
        left - 4.0,
        left + width + 4.0,
        y - 0.9 * TEXT,
        y + 0.25 * TEXT,
    );
    let points = page.scaled([(left, top), (right, top), (right, bottom), (left, bottom)]);
    page.shapes.push(Shape::Area {
        points,
        colour: page.theme.background(),
        opacity: 0.85,
    });
    page.text((x, y), align, label, TEXT, false);
}

/// The axis of the result: the scale of colours with its numbers.
fn draw_scale(page: &mut Page, frame: &Frame, marks: &[Tick], (low, high): (f64, f64)) {
    const STEPS: usize = 64;
    let Some(&x) = frame.xs.last() else { return };
    let (left, right) = (x, x + SCALE);
    for step in 0..STEPS {
        let share = |i: usize| i as f64 / STEPS as f64;
        // A little over the one below: no seams.
        let (bottom, top) = (frame.at(share(step)), frame.at(share(step + 1)) - 0.5);
        let top = top.max(frame.top);
        let points = page.scaled([(left, top), (right, top), (right, bottom), (left, bottom)]);
        page.shapes.push(Shape::Area {
            points,
            colour: page.theme.scale(share(step) + 0.5 / STEPS as f64),
            opacity: 1.0,
        });
    }
    for tick in marks {
        let y = frame.at((tick.value - low) / (high - low));
        let colour: Colour = page.theme.muted();
        page.line([(right, y), (right + 6.0, y)], 1.6, colour, None);
        page.text(
            (right + 10.0, y + 0.36 * TEXT),
            Align::Left,
            &tick.label,
            TEXT,
            false,
        );
    }
}

/// Where each line meets each axis. Lines come in the order of their rank.
fn paths(axes: &[Axis], lines: &[Line], frame: &Frame) -> Vec<Vec<Point>> {
    let mut paths: Vec<Vec<Point>> = lines.iter().map(|_| Vec::new()).collect();
    for (i, axis) in axes.iter().enumerate() {
        let x = frame.xs[i];
        let slots = match &axis.kind {
            Kind::Slots(labels) => labels.len(),
            Kind::Numbers { .. } => 1,
        };
        let mut members = vec![0usize; slots];
        for line in lines {
            if let Place::Slot(slot) = line.places[i] {
                members[slot] += 1;
            }
        }
        let mut before = vec![0usize; slots];
        for (line, path) in lines.iter().zip(&mut paths) {
            let y = match line.places[i] {
                Place::At(share) => frame.at(share),
                Place::Slot(slot) => {
                    let (top, bottom) = frame.bundle(slot, slots);
                    let place = (before[slot] as f64 + 0.5) / members[slot] as f64;
                    before[slot] += 1;
                    top + (bottom - top) * place
                }
            };
            path.push((x, y));
        }
    }
    let last = frame.xs.last().copied().unwrap_or(0.0);
    for (line, path) in lines.iter().zip(&mut paths) {
        path.extend(line.share.map(|share| (last, frame.at(share))));
    }
    paths
}

/// A smooth line through the points that is level at each of them.
fn curve(points: &[Point]) -> Vec<Point> {
    let mut all: Vec<Point> = points.first().copied().into_iter().collect();
    for pair in points.windows(2) {
        let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
        all.extend((1..=PIECES).map(|piece| {
            let t = piece as f64 / PIECES as f64;
            (x0 + (x1 - x0) * t, y0 + (y1 - y0) * t * t * (3.0 - 2.0 * t))
        }));
    }
    all
}
