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
            // A trial that failed ends at its last value.
            if let Some(score) = row.outcome.score().filter(|_| lengths.len() > 1) {
                let slot = lengths.iter().position(|&steps| steps == score.steps);
                places.extend(slot.map(Place::Slot));
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
        format!("best, {}: {}", config.name, short(highest_of(best))),
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
            format!("{} on {}", config.ids().0, config.ids().1),
            count(ranking.rows.len(), "trial"),
            if config.seeds.len() == 1 {
                "1 seed".to_owned()
            } else {
                format!("{} each", count(config.seeds.len(), "seed"))
            },
            "colour: IQM of the final greedy return".to_owned(),
            format!("best: {}", set.join(", ")),
        ],
        keys,
        panels: Vec::new(),
        text: 1.0,
        x_start: 0.0,
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
    let mut page = Page::new(figure.size.0, theme);
    let (width, height) = (1200.0, f64::from(figure.size.1) / unit);
    let top = page.header(&figure.title, &figure.facts, &figure.keys, width);
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
            0.5 * widest(&mut labels.iter().map(String::as_str)).min(170.0)
        }
        Some(kind @ Kind::Numbers { .. }) => left_of(kind),
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
        0..=60 => 2.2,
        61..=200 => 1.5,
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
            page.dot(point, 1.3 * BEST, theme.series(1));
        }
    }
    label_axes(&mut page, axes, &frame);
    draw_scale(&mut page, &frame, &marks, (low, high));

    let mut y = frame.bottom + 16.0;
    for note in &notes {
        y += LEADING * NOTE;
        page.text((PAD, y), Align::Left, note, NOTE, true);
    }
    let mut drawing = page.finish(y + END);
    drawing.height = drawing.height.max(figure.size.1);
    drawing
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

/// Room that the labels beside an axis of numbers need.
fn left_of(kind: &Kind) -> f64 {
    let labels = axis_ticks(kind).into_iter().map(|tick| tick.label);
    labels
        .map(|label| text_width(&label, TEXT) + 14.0)
        .fold(0.0, f64::max)
}

fn draw_axes(page: &mut Page, axes: &[Axis], frame: &Frame) {
    let (line, bundle) = (
        page.theme().grid(),
        page.theme().grid().over(page.theme().muted(), 0.6),
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
    for (i, (axis, &x)) in axes.iter().zip(&frame.xs).enumerate() {
        // To the labels of the next axis, and to the edge.
        let next = axes.get(i + 1).map_or(0.0, |next| left_of(&next.kind));
        let half = (0.5 * spacing).min(spacing - next) - 8.0;
        let half = half.min(x - PAD).max(20.0);
        match &axis.kind {
            Kind::Slots(labels) => {
                let (height, lines) = frame.slot(labels.len());
                // As many as have room over one another.
                let every = (1.2 * TEXT / height).ceil().max(1.0) as usize;
                // A little smaller before they are cut.
                let widest = labels.iter().map(|label| text_width(label, TEXT));
                let fits = 2.0 * half / widest.fold(1.0, f64::max);
                let size = TEXT * fits.clamp(0.75, 1.0);
                for (slot, label) in labels.iter().enumerate().step_by(every) {
                    let (top, _) = frame.bundle(slot, labels.len());
                    let label = cut_inside(label, size, 2.0 * half);
                    let room = height - lines;
                    let y = if room >= LABEL {
                        top - 0.36 * TEXT
                    } else {
                        top + 0.5 * lines + 0.36 * TEXT
                    };
                    grounded(page, (x, y), Align::Centre, &label, size);
                }
            }
            Kind::Numbers { low, high, log, .. } => {
                for tick in axis_ticks(&axis.kind) {
                    let y = frame.at(share(tick.value, *low, *high, *log)) + 0.36 * TEXT;
                    grounded(page, (x - 10.0, y), Align::Right, &tick.label, TEXT);
                }
            }
        }
    }
}

/// The text, or its beginning and its end if it is wider than `width`: values often differ in the last letters.
fn cut_inside(text: &str, size: f64, width: f64) -> String {
    if text_width(text, size) <= width {
        return text.to_owned();
    }
    let letters: Vec<char> = text.chars().collect();
    let kept = |kept: usize| {
        let (head, tail) = (kept - kept / 3, kept / 3);
        let head: String = letters[..head].iter().collect();
        let tail: String = letters[letters.len() - tail..].iter().collect();
        format!("{}…{}", head.trim_end(), tail.trim_start())
    };
    let fits = |text: &String| text_width(text, size) <= width;
    (1..letters.len())
        .rev()
        .map(kept)
        .find(fits)
        .unwrap_or_else(|| "…".to_owned())
}

fn grounded(page: &mut Page, (x, y): Point, align: Align, label: &str, size: f64) {
    let width = text_width(label, size);
    let left = match align {
        Align::Left => x,
        Align::Centre => x - 0.5 * width,
        Align::Right => x - width,
    };
    let (left, right, top, bottom) = (
        left - 4.0,
        left + width + 4.0,
        y - 0.9 * size,
        y + 0.25 * size,
    );
    let points = page.scaled([(left, top), (right, top), (right, bottom), (left, bottom)]);
    page.shapes.push(Shape::Area {
        points,
        colour: page.theme().background(),
        opacity: 0.85,
    });
    page.text((x, y), align, label, size, false);
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
            colour: page.theme().scale(share(step) + 0.5 / STEPS as f64),
            opacity: 1.0,
        });
    }
    for tick in marks {
        let y = frame.at((tick.value - low) / (high - low));
        let colour: Colour = page.theme().muted();
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
            if let Some(&Place::Slot(slot)) = line.places.get(i) {
                members[slot] += 1;
            }
        }
        let mut before = vec![0usize; slots];
        for (line, path) in lines.iter().zip(&mut paths) {
            let Some(&place) = line.places.get(i) else {
                continue;
            };
            let y = match place {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::tests::assert_tidy;
    use crate::stats::Interval;
    use crate::summary::Estimate;
    use crate::sweep::folder::Choice;
    use crate::sweep::{Outcome, Score};

    const KEYS: &str = r#"
        agent.params.gamma = [0.9, 0.95, 0.99]
        agent.params.learning_rate = { kind = "log-uniform", from = 1e-4, to = 1 }
        agent.params.exploration = [{ kind = "boltzmann", temperature = 0.1 }, { kind = "epsilon-greedy", epsilon = 0.1 }]
        env.num_envs = { kind = "integer", from = 1, to = 3 }
    "#;

    fn sweep_of(keys: &str, trials: usize) -> (Sweep, Vec<Trial>) {
        let text = format!(
            "search = {{ kind = \"random\", trials = {trials} }}\n\
             config = {{ steps = 1000, env = {{ id = \"frozen-lake\" }}, agent = {{ id = \"q-learning\" }} }}\n[keys]\n{keys}"
        );
        let sweep = Sweep::parse(&text, "a-sweep", Path::new(""), &[]).unwrap();
        let trials = sweep.trials(&crate::standard()).unwrap();
        (sweep, trials)
    }

    fn finished(value: f64, steps: u64) -> Outcome {
        Outcome::Finished(Score {
            iqm: Estimate {
                value,
                interval: Some(Interval {
                    low: value,
                    high: value,
                }),
            },
            returns: vec![(1, value)],
            steps,
            hint: String::new(),
        })
    }

    fn drawn(keys: &str, values: &[f64], theme: Theme) -> Drawing {
        let (sweep, trials) = sweep_of(keys, values.len());
        let outcome = |&value: &f64| match value.is_finite() {
            true => (finished(value, 1000), 0),
            false => (Outcome::Failed("it diverged".to_owned()), 0),
        };
        let ranking = Ranking::new(values.iter().map(outcome).collect(), Vec::new());
        drawing(&sweep, &trials, &ranking, theme).unwrap()
    }

    fn texts(drawing: &Drawing) -> Vec<&str> {
        let shapes = drawing.shapes.iter();
        shapes
            .filter_map(|shape| match shape {
                Shape::Text(text) => Some(text.text.as_str()),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn no_text_overlaps_or_leaves_the_picture_whatever_the_sweep() {
        let many = "env.num_envs = [1, 2]\nenv.action_repeat = [1, 2]\nenv.time_limit = [100, 200]\n\
                    env.params.slippery = [true, false]\neval.every_steps = [100, 1000]\n\
                    save.every_steps = [100, 1000]\nlog_every_steps = [1000, 5]\n\
                    agent.params.gamma = { kind = \"uniform\", from = 0.8, to = 1 }\n\
                    agent.params.learning_rate = { kind = \"uniform\", from = 0.8, to = 1 }";
        let long = format!(
            "agent.params.gamma = [{}]",
            (0..40)
                .map(|i| format!("0.{:02}", i + 50))
                .collect::<Vec<_>>()
                .join(", ")
        );
        let spread: Vec<f64> = (0..30).map(|i| f64::from(i * i)).collect();
        for theme in [Theme::Light, Theme::Dark] {
            for (what, keys, values) in [
                ("mixed", KEYS, &spread[..]),
                ("one trial", KEYS, &[0.0]),
                ("all the same", KEYS, &[-3.5; 5]),
                ("failures", KEYS, &[1.0, f64::NAN, 2.0, f64::NAN]),
                ("far off", KEYS, &[-1e9, -13.0, -14.0, -13.5, -13.2, -13.1]),
                ("large", KEYS, &[1e9, -3.3e99, 123_456.789]),
                ("nine keys", many, &spread[..]),
                ("forty values", &long, &spread[..]),
            ] {
                assert_tidy(&drawn(keys, values, theme), what);
            }
        }
    }

    #[test]
    fn the_best_comes_last_and_failures_end_before_the_result() {
        let drawing = drawn(KEYS, &[1.0, 5.0, f64::NAN, 3.0], Theme::Light);
        let lines: Vec<(f64, Colour, usize, bool)> = drawing
            .shapes
            .iter()
            .filter_map(|shape| match shape {
                Shape::Line {
                    points,
                    width,
                    colour,
                    dash,
                } if points.len() > 2 => Some((*width, *colour, points.len(), dash.is_some())),
                _ => None,
            })
            .collect();
        let theme = Theme::Light;
        let whole = 4 * PIECES + 1;
        let expected = [
            (1.6, theme.muted(), whole - PIECES, true),
            (2.2, theme.scale(0.0), whole, false),
            (2.2, theme.scale(0.5), whole, false),
            (BEST + 4.0, theme.background(), whole, false),
            (BEST, theme.series(1), whole, false),
        ];
        assert_eq!(lines, expected);
        assert!(texts(&drawing).contains(&"1 failed trial"));
    }

    #[test]
    fn a_log_axis_has_its_powers_of_ten_in_even_steps() {
        let labels: Vec<String> = log_ticks(1e-4, 1.0)
            .into_iter()
            .map(|tick| tick.label)
            .collect();
        assert_eq!(labels, ["0.0001", "0.001", "0.01", "0.1", "1"]);
        for (value, expected) in [(1e-4, 0.0), (1e-3, 0.25), (0.01, 0.5), (1.0, 1.0)] {
            assert!(
                (share(value, 1e-4, 1.0, true) - expected).abs() < 1e-12,
                "{value}"
            );
        }
        let narrow: Vec<String> = log_ticks(0.02, 0.3)
            .into_iter()
            .map(|tick| tick.label)
            .collect();
        assert_eq!(narrow, ["0.02", "0.05", "0.1", "0.2"]);
        assert_eq!(log_ticks(3.0, 4.0).len(), 2);
        assert!(log_ticks(1e-30, 1e30).len() <= 12);
    }

    #[test]
    fn halving_has_an_axis_of_steps_and_outliers_are_said() {
        let (sweep, trials) = sweep_of(KEYS, 6);
        let outcomes = [(9.0, 0), (8.0, 0), (1.0, 2), (7.0, 1), (-1e6, 0), (6.0, 0)];
        let outcomes =
            outcomes.map(|(value, rung)| (finished(value, [100, 300, 1000][rung]), rung));
        let choice = Choice {
            steps: 100,
            scores: Vec::new(),
            promoted: vec![2, 3],
        };
        let ranking = Ranking::new(outcomes.to_vec(), vec![choice]);
        let drawing = drawing(&sweep, &trials, &ranking, Theme::Light).unwrap();
        assert_tidy(&drawing, "halving");
        let texts = texts(&drawing);
        for text in [
            "steps",
            "100",
            "300",
            "1,000",
            "1 trial lies below the picture, down to −1M.",
        ] {
            assert!(texts.contains(&text), "{text}: {texts:?}");
        }
    }

    #[test]
    fn a_label_that_is_too_wide_keeps_both_ends() {
        let width = text_width("epsilon-…0.5", TEXT) + 1.0;
        assert_eq!(
            cut_inside("epsilon-greedy 0.5", TEXT, width),
            "epsilon-…0.5"
        );
        assert_eq!(cut_inside("short", TEXT, width), "short");
        assert_eq!(cut_inside("epsilon", TEXT, 1.0), "…");
    }

    #[test]
    fn nothing_is_drawn_where_all_failed() {
        let (sweep, trials) = sweep_of(KEYS, 1);
        let ranking = Ranking::new(vec![(Outcome::Failed("why".to_owned()), 0)], Vec::new());
        assert!(drawing(&sweep, &trials, &ranking, Theme::Light).is_err());
    }
}
