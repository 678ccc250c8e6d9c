//! Layout: panels over one another with a common x-axis, a header that holds title and legend, notes at the foot.
//!
//! Every margin is measured from the text that stands in it, and the legend is above the data, so nothing covers
//! anything.

use super::axis::{Tick, short, ticks};
use super::drawing::{Align, Drawing, Point, Shape, Text, text_width};
use super::theme::{Colour, Theme};

/// A line through points with ascending x.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) points: Vec<Point>,
    pub(super) colour: Colour,
    /// In pixels of a picture 1200 wide, as are all sizes here.
    pub(super) width: f64,
    pub(super) dash: Option<(f64, f64)>,
    /// Marks each point, for lines of few points.
    pub(super) dots: bool,
}

/// The area between a lower and an upper line: `(x, low, high)`.
#[derive(Clone, Debug)]
pub(super) struct Band {
    pub(super) points: Vec<(f64, f64, f64)>,
    pub(super) colour: Colour,
}

/// A dashed horizontal line, labelled at its right end.
#[derive(Clone, Debug)]
pub(super) struct Level {
    pub(super) value: f64,
    pub(super) label: String,
}

/// One pair of axes.
#[derive(Clone, Debug, Default)]
pub(super) struct Panel {
    /// Quantity and unit on the y-axis; stands over it, where it can be read without turning one's head.
    pub(super) heading: String,
    pub(super) lines: Vec<Line>,
    pub(super) bands: Vec<Band>,
    pub(super) levels: Vec<Level>,
    /// Shown range of y; chosen from the data where there is none.
    pub(super) range: Option<(f64, f64)>,
    /// Which far-off values a chosen range may leave out.
    pub(super) cut: Cut,
}

/// Values that may be cut off, if the rest would be pressed flat by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) enum Cut {
    #[default]
    Nothing,
    /// Below, of the first quarter of the steps: the failures of a beginner, in returns.
    Early,
    /// Up to a twentieth above: spikes, in a loss.
    Above,
}

/// One entry of the legend.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) label: String,
    pub(super) colour: Colour,
    pub(super) width: f64,
    pub(super) dash: Option<(f64, f64)>,
    pub(super) band: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Figure {
    /// In pixels. The height is that of a figure with one panel; more panels or a long legend make it taller.
    pub(super) size: (u32, u32),
    /// Size of the text beside that of a picture as wide as this usually is.
    pub(super) text: f64,
    pub(super) theme: Theme,
    /// May be empty, as may be the headings of panels: for a page that says them itself.
    pub(super) title: String,
    /// Facts, set one after the other.
    pub(super) facts: Vec<String>,
    pub(super) keys: Vec<Key>,
    pub(super) panels: Vec<Panel>,
    pub(super) x_label: String,
    /// Where the x-axis begins: 0 for steps.
    pub(super) x_start: f64,
    /// What a reader must know, each in a sentence.
    pub(super) notes: Vec<String>,
}

pub(super) const PAD: f64 = 24.0;
const TITLE: f64 = 30.0;
pub(super) const TEXT: f64 = 20.0;
pub(super) const NOTE: f64 = 17.0;
/// Height of a line of text over its size.
pub(super) const LEADING: f64 = 1.4;
/// From the x-axis of a panel to the heading of the next.
const BETWEEN: f64 = 20.0;
/// From the x-axis to the line its labels stand on.
pub(super) const X_LABELS: f64 = 28.0;
/// Under the label of the x-axis.
pub(super) const BEFORE_NOTES: f64 = 12.0;
/// Under the last line of text.
pub(super) const END: f64 = 14.0;
const FOOT: f64 = X_LABELS + LEADING * TEXT + BEFORE_NOTES + END;
const SWATCH: f64 = 44.0;
pub(super) const BAND_OPACITY: f64 = 0.22;

impl Figure {
    pub(super) fn draw(mut self) -> Drawing {
        let (unit, theme) = (self.text * f64::from(self.size.0) / 1200.0, self.theme);
        let mut page = Page {
            unit,
            ..Page::new(self.size.0, theme)
        };
        let (width, height) = (1200.0 / self.text, f64::from(self.size.1) / unit);
        for level in self.panels.iter_mut().flat_map(|panel| &mut panel.levels) {
            level.label = clip(&level.label, TEXT, 0.3 * width);
        }
        let ranges: Vec<Range> = self.panels.iter().map(Panel::shown).collect();
        for (panel, range) in self.panels.iter().zip(&ranges) {
            // The heading without its unit.
            let name = panel
                .heading
                .split(" (")
                .next()
                .filter(|_| ranges.len() > 1);
            let name = name.map_or_else(String::new, |name| format!("{name}: "));
            self.notes
                .extend(range.note.iter().map(|note| format!("{name}{note}")));
        }
        let top = page.header(&self.title, &self.facts, &self.keys, width);
        let notes: Vec<String> = self
            .notes
            .iter()
            .flat_map(|note| wrap(note, NOTE, width - 2.0 * PAD))
            .collect();
        let foot = FOOT + notes.len() as f64 * LEADING * NOTE;
        let heading = |panel: &Panel| match panel.heading.as_str() {
            "" => 0.0,
            _ => LEADING * TEXT,
        };
        let headings: f64 = self.panels.iter().map(heading).sum();
        let count = self.panels.len() as f64;
        let room = (height - top - foot - headings - (count - 1.0) * BETWEEN) / count;
        let panel_height = room.max(if count > 1.0 {
            0.24 * height
        } else {
            0.4 * height
        });
        let wanted = (panel_height / 55.0).clamp(2.0, 6.0) as usize;

        let marks: Vec<Vec<Tick>> = ranges
            .iter()
            .map(|range| ticks(range.low, range.high, wanted, false))
            .collect();
        let widest = |labels: &mut dyn Iterator<Item = &String>| {
            labels
                .map(|label| text_width(label, TEXT))
                .fold(0.0, f64::max)
        };
        let left = PAD + 10.0 + widest(&mut marks.iter().flatten().map(|tick| &tick.label));
        let levels = widest(
            &mut self
                .panels
                .iter()
                .flat_map(|panel| &panel.levels)
                .map(|level| &level.label),
        );
        let margin = if levels > 0.0 { levels + 22.0 } else { 16.0 };
        let right = width - PAD - margin;
        let start = self.x_start;
        let xs = self.panels.iter().flat_map(Panel::xs);
        let end = match xs.fold(f64::NEG_INFINITY, f64::max) {
            end if end > start => end,
            _ => start + 1.0,
        };
        let x_marks = x_ticks(start, end, right - left);

        let mut y = top;
        for ((panel, range), marks) in self.panels.iter().zip(&ranges).zip(&marks) {
            y += heading(panel);
            page.text(
                (PAD, y - 0.7 * TEXT),
                Align::Left,
                &clip(&panel.heading, TEXT, width - 2.0 * PAD),
                TEXT,
                true,
            );
            let frame = Frame {
                left,
                right,
                top: y,
                bottom: y + panel_height,
                start,
                end,
                low: range.low,
                high: range.high,
            };
            page.panel(panel, &frame, marks, &x_marks);
            y += panel_height + BETWEEN;
        }
        y += X_LABELS - BETWEEN;
        for tick in &x_marks {
            page.text(
                (
                    left + (right - left) * (tick.value - start) / (end - start),
                    y,
                ),
                Align::Centre,
                &tick.label,
                TEXT,
                false,
            );
        }
        y += LEADING * TEXT;
        page.text(
            (0.5 * (left + right), y),
            Align::Centre,
            &self.x_label,
            TEXT,
            true,
        );
        y += BEFORE_NOTES;
        for note in &notes {
            y += LEADING * NOTE;
            page.text((PAD, y), Align::Left, note, NOTE, true);
        }
        let mut drawing = page.finish(y + END);
        drawing.height = drawing.height.max(self.size.1);
        drawing
    }
}

struct Range {
    low: f64,
    high: f64,
    note: Option<String>,
}

impl Panel {
    fn xs(&self) -> impl Iterator<Item = f64> {
        let lines = self
            .lines
            .iter()
            .flat_map(|line| line.points.iter().map(|point| point.0));
        lines.chain(
            self.bands
                .iter()
                .flat_map(|band| band.points.iter().map(|point| point.0)),
        )
    }

    /// The y-range to show: everything, unless far-off values that may be cut would press the rest flat.
    fn shown(&self) -> Range {
        let lines = self
            .lines
            .iter()
            .flat_map(|line| line.points.iter().map(|point| point.1));
        let mut values: Vec<f64> = lines.collect();
        values.sort_unstable_by(f64::total_cmp);
        if let Some((low, high)) = self.range {
            return Range {
                low,
                high,
                note: cut_note(&values, low, high),
            };
        }
        // What must stay in sight whatever else is cut: the lines to compare with, and where every run ended.
        let ends = self
            .lines
            .iter()
            .filter_map(|line| Some(line.points.last()?.1));
        let fixed: Vec<f64> = self
            .levels
            .iter()
            .map(|level| level.value)
            .chain(ends)
            .collect();
        let bands = self
            .bands
            .iter()
            .flat_map(|band| band.points.iter().flat_map(|point| [point.1, point.2]));
        let mut drawn: Vec<f64> = values.iter().copied().chain(bands).collect();
        drawn.sort_unstable_by(f64::total_cmp);
        let all = span(drawn.iter().chain(&fixed).copied());
        let kept = match self.cut {
            // What never changes, such as a constant step size, is shown by its distance from zero.
            Cut::Nothing if all.0 == all.1 => Some((all.0.min(0.0), all.1.max(0.0))),
            Cut::Nothing => None,
            Cut::Early => self.after_the_start(&fixed, all).map(|low| (low, all.1)),
            Cut::Above => {
                let mirrored: Vec<f64> = drawn.iter().rev().map(|value| -value).collect();
                least_cut(&mirrored, 0.05).map(|low| (all.0, -low))
            }
        };
        let (low, high) = kept.map_or(all, |(low, high)| {
            span(fixed.iter().copied().chain([low, high]))
        });
        let (low, high) = padded(low, high);
        Range {
            low,
            high,
            note: cut_note(&values, low, high),
        }
    }

    /// Where the range may begin if the first quarter of the steps presses what follows flat: the scale of what follows
    /// is less than a twentieth of the height. It then gets a third, and the rise to it the rest. Nothing is cut for what
    /// hardly moves anyway.
    ///
    /// The scale is the span of the values or the largest of them, whichever is more: from 0 to 0.9, or from 9 to 500,
    /// is a rise to be seen whole however still the end is; from −1,000 to −13 is not.
    fn after_the_start(&self, fixed: &[f64], (low, high): (f64, f64)) -> Option<f64> {
        let start = |last: Option<f64>| 0.25 * last.unwrap_or(0.0);
        let lines = self.lines.iter().flat_map(|line| {
            let start = start(line.points.last().map(|point| point.0));
            let later = line.points.iter().filter(move |point| point.0 >= start);
            later.map(|point| point.1)
        });
        let bands = self.bands.iter().flat_map(|band| {
            let start = start(band.points.last().map(|point| point.0));
            let later = band.points.iter().filter(move |point| point.0 >= start);
            later.flat_map(|point| [point.1, point.2])
        });
        let rest = span(lines.chain(bands).chain(fixed.iter().copied()));
        let moves = rest.1 - rest.0;
        let scale = moves.max(rest.0.abs()).max(rest.1.abs());
        (moves > 0.05 * scale && high - low > 20.0 * scale).then_some(rest.1 - 3.0 * scale)
    }
}

pub(super) fn span(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| {
        (low.min(v), high.max(v))
    });
    if low <= high { (low, high) } else { (0.0, 1.0) }
}

/// Where a range may begin after the smallest cut that helps, of at most `share` of the values.
pub(super) fn least_cut(sorted: &[f64], share: f64) -> Option<f64> {
    (1..=5).find_map(|fifths| kept(sorted, share * f64::from(fifths) / 5.0))
}

/// Where a range may begin if the lowest `share` of the values, or less, presses the rest into an eighth of the height.
///
/// Values within one more span of the rest are near and are kept. A span counts as no smaller than a tenth of its
/// distance from zero: −14 is not far from −13, however often −13 comes.
fn kept(sorted: &[f64], share: f64) -> Option<f64> {
    let (&lowest, &highest) = (sorted.first()?, sorted.last()?);
    let start = sorted[(share * sorted.len() as f64) as usize];
    let rest = (highest - start).max(0.1 * start.abs());
    let near = sorted[sorted.partition_point(|&value| value < start - rest)];
    let shown = (highest - near).max(rest);
    (rest > 0.0 && highest - lowest > 8.0 * shown).then_some(near)
}

/// Room above and below, and some height for a constant.
pub(super) fn padded(low: f64, high: f64) -> (f64, f64) {
    let size = low.abs().max(high.abs());
    let room = match 0.05 * (high - low) {
        room if room > 1e-9 * size => room,
        _ if size > 0.0 => 0.1 * size,
        _ => 0.5,
    };
    (low - room, high + room)
}

fn cut_note(sorted: &[f64], low: f64, high: f64) -> Option<String> {
    let (first, last) = (*sorted.first()?, *sorted.last()?);
    let below = sorted.partition_point(|&value| value < low);
    let above = sorted.len() - sorted.partition_point(|&value| value <= high);
    let percent = |count: usize| {
        short(
            (100.0 * count as f64 / sorted.len() as f64)
                .max(0.1)
                .round()
                .max(0.1),
        )
    };
    let side = |count: usize, side: &str, farthest: f64| {
        (count > 0).then(|| {
            format!(
                "{} % of the points lie {side} the picture, down to {}",
                percent(count),
                short(farthest)
            )
        })
    };
    let parts: Vec<String> = [
        side(below, "below", first),
        side(above, "above", last).map(|s| s.replace("down to", "up to")),
    ]
    .into_iter()
    .flatten()
    .collect();
    (!parts.is_empty()).then(|| format!("{}.", parts.join("; ")))
}

/// As many round marks from `start` to `end` as leave room between their labels; whole ones where they count steps.
fn x_ticks(start: f64, end: f64, width: f64) -> Vec<Tick> {
    let whole = start == 0.0;
    let fits = |marks: &Vec<Tick>| {
        let total: f64 = marks
            .iter()
            .map(|tick| text_width(&tick.label, TEXT) + 60.0)
            .sum();
        total < width
    };
    (2..=8)
        .rev()
        .map(|wanted| ticks(start, end, wanted, whole))
        .find(fits)
        .unwrap_or_else(|| ticks(start, end, 1, whole))
}

/// Axes of one panel: where they are and what they span.
struct Frame {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    start: f64,
    end: f64,
    low: f64,
    high: f64,
}

impl Frame {
    fn x(&self, x: f64) -> f64 {
        self.left + (self.right - self.left) * (x - self.start) / (self.end - self.start)
    }

    fn y(&self, y: f64) -> f64 {
        self.bottom - (self.bottom - self.top) * ((y - self.low) / (self.high - self.low))
    }

    fn at(&self, (x, y): Point) -> Point {
        (self.x(x), self.y(y))
    }

    fn shows(&self, y: f64) -> bool {
        (self.low..=self.high).contains(&y)
    }
}

/// Shapes so far. Positions come in units of a picture 1200 wide and leave in pixels.
pub(super) struct Page {
    width: u32,
    pub(super) unit: f64,
    theme: Theme,
    pub(super) shapes: Vec<Shape>,
}

impl Page {
    /// An empty page, `width` pixels wide.
    pub(super) fn new(width: u32, theme: Theme) -> Self {
        Self {
            width,
            unit: f64::from(width) / 1200.0,
            theme,
            shapes: Vec::new(),
        }
    }

    /// The page, cut off at `height`.
    pub(super) fn finish(self, height: f64) -> Drawing {
        Drawing {
            width: self.width,
            height: (height * self.unit).round() as u32,
            background: self.theme.background(),
            shapes: self.shapes,
        }
    }

    pub(super) fn theme(&self) -> Theme {
        self.theme
    }

    pub(super) fn dot(&mut self, at: Point, radius: f64, colour: Colour) {
        let at = self.scaled([at])[0];
        self.shapes.push(Shape::Dot {
            at,
            radius: radius * self.unit,
            colour,
        });
    }

    pub(super) fn scaled(&self, points: impl IntoIterator<Item = Point>) -> Vec<Point> {
        points
            .into_iter()
            .map(|(x, y)| (x * self.unit, y * self.unit))
            .collect()
    }

    pub(super) fn text(&mut self, at: Point, align: Align, text: &str, size: f64, muted: bool) {
        let colour = if muted {
            self.theme.muted()
        } else {
            self.theme.text()
        };
        let at = (at.0 * self.unit, at.1 * self.unit);
        self.shapes.push(Shape::Text(Text {
            at,
            align,
            text: text.to_owned(),
            size: size * self.unit,
            colour,
        }));
    }

    pub(super) fn line(
        &mut self,
        points: impl IntoIterator<Item = Point>,
        width: f64,
        colour: Colour,
        dash: Option<(f64, f64)>,
    ) {
        let dash = dash.map(|(on, off)| (on * self.unit, off * self.unit));
        let points = self.scaled(points);
        self.shapes.push(Shape::Line {
            points,
            width: width * self.unit,
            colour,
            dash,
        });
    }

    pub(super) fn area(&mut self, points: impl IntoIterator<Item = Point>, colour: Colour) {
        let points = self.scaled(points);
        self.shapes.push(Shape::Area {
            points,
            colour,
            opacity: BAND_OPACITY,
        });
    }

    /// Title, facts and legend; returns where they end.
    pub(super) fn header(
        &mut self,
        title: &str,
        facts: &[String],
        keys: &[Key],
        width: f64,
    ) -> f64 {
        let room = width - 2.0 * PAD;
        let mut y = 0.0;
        if !title.is_empty() {
            y = PAD + 0.8 * TITLE;
            let title = clip(title, TITLE, room);
            self.text((PAD, y), Align::Left, &title, TITLE, false);
            y += 6.0;
        }
        for line in wrap(&facts.join(" · "), TEXT, room) {
            y += LEADING * TEXT;
            self.text((PAD, y), Align::Left, &line, TEXT, true);
        }
        let labels: Vec<String> = keys
            .iter()
            .map(|key| clip(&key.label, TEXT, room - SWATCH - 12.0))
            .collect();
        let widths: Vec<f64> = labels
            .iter()
            .map(|label| SWATCH + 12.0 + text_width(label, TEXT) + 34.0)
            .collect();
        let one_row = widths.iter().sum::<f64>() < room + 34.0;
        let column = widths.iter().copied().fold(0.0, f64::max);
        let mut x = width;
        for ((key, label), needs) in keys.iter().zip(&labels).zip(&widths) {
            // Rows of a table where there is more than one.
            let needs = if one_row { *needs } else { column };
            if x + needs > width - PAD + 34.0 {
                x = PAD;
                y += LEADING * TEXT + 6.0;
            }
            self.key(key, (x, y - 0.36 * TEXT));
            self.text((x + SWATCH + 12.0, y), Align::Left, label, TEXT, false);
            x += needs;
        }
        y + 24.0
    }

    fn key(&mut self, key: &Key, (x, y): Point) {
        if key.band {
            let (top, bottom) = (y - 11.0, y + 11.0);
            self.area(
                [
                    (x, top),
                    (x + SWATCH, top),
                    (x + SWATCH, bottom),
                    (x, bottom),
                ],
                key.colour,
            );
        }
        self.line([(x, y), (x + SWATCH, y)], key.width, key.colour, key.dash);
    }

    fn panel(&mut self, panel: &Panel, frame: &Frame, marks: &[Tick], x_marks: &[Tick]) {
        for tick in marks {
            let y = frame.y(tick.value);
            self.line(
                [(frame.left, y), (frame.right, y)],
                1.0,
                self.theme.grid(),
                None,
            );
            self.text(
                (frame.left - 10.0, y + 0.36 * TEXT),
                Align::Right,
                &tick.label,
                TEXT,
                false,
            );
        }
        for band in &panel.bands {
            self.band(band, frame);
        }
        self.levels(&panel.levels, frame);
        for line in &panel.lines {
            for piece in clipped(&line.points, frame.low, frame.high) {
                self.line(
                    piece.into_iter().map(|point| frame.at(point)),
                    line.width,
                    line.colour,
                    line.dash,
                );
            }
            let shown = line
                .points
                .iter()
                .filter(|point| line.dots && frame.shows(point.1));
            for &point in shown {
                self.dot(frame.at(point), 1.5 * line.width, line.colour);
            }
        }
        let axis = self.theme.muted();
        self.line(
            [(frame.left, frame.bottom), (frame.right, frame.bottom)],
            1.6,
            axis,
            None,
        );
        for tick in x_marks {
            let x = frame.x(tick.value);
            self.line(
                [(x, frame.bottom), (x, frame.bottom + 6.0)],
                1.6,
                axis,
                None,
            );
        }
    }

    fn band(&mut self, band: &Band, frame: &Frame) {
        if let [(x, low, high)] = band.points[..] {
            // A band of one point has no width: an error bar.
            for ends in clipped(&[(x, low), (x, high)], frame.low, frame.high) {
                let ends = ends.into_iter().map(|point| frame.at(point));
                self.line(ends, 2.5, band.colour, None);
            }
            return;
        }
        let lower = band.points.iter().map(|&(x, low, _)| (x, low));
        let upper = band.points.iter().rev().map(|&(x, _, high)| (x, high));
        let outline = clipped_area(lower.chain(upper).collect(), frame.low, frame.high);
        if outline.len() > 2 {
            self.area(
                outline.into_iter().map(|point| frame.at(point)),
                band.colour,
            );
        }
    }

    /// Dashed lines, their labels moved apart where they would touch.
    fn levels(&mut self, levels: &[Level], frame: &Frame) {
        let mut shown: Vec<&Level> = levels
            .iter()
            .filter(|level| frame.shows(level.value))
            .collect();
        shown.sort_by(|a, b| b.value.total_cmp(&a.value));
        let apart = 1.15 * TEXT;
        let mut lowest = frame.bottom - apart * shown.len().saturating_sub(1) as f64;
        let mut last = f64::NEG_INFINITY;
        for (index, level) in shown.into_iter().enumerate() {
            let y = frame.y(level.value);
            let label = y.min(lowest).max(last + apart);
            (last, lowest) = (label, lowest + apart);
            let colour = self.theme.text().over(self.theme.background(), 0.8);
            let dash = [(12.0, 7.0), (3.0, 5.0), (12.0, 4.0)][index % 3];
            self.line([(frame.left, y), (frame.right, y)], 2.0, colour, Some(dash));
            self.line(
                [(frame.right, y), (frame.right + 14.0, label)],
                1.2,
                colour,
                None,
            );
            self.text(
                (frame.right + 20.0, label + 0.36 * TEXT),
                Align::Left,
                &level.label,
                TEXT,
                false,
            );
        }
    }
}

/// The parts of a line between two heights.
fn clipped(points: &[Point], low: f64, high: f64) -> Vec<Vec<Point>> {
    let mut pieces: Vec<Vec<Point>> = Vec::new();
    for pair in points.windows(2) {
        let (a, b) = (pair[0], pair[1]);
        let inside = |y: f64| (low..=high).contains(&y);
        if a.1.max(b.1) < low || a.1.min(b.1) > high {
            continue;
        }
        let entry = if inside(a.1) {
            a
        } else {
            crossing(a, b, if a.1 < low { low } else { high })
        };
        let exit = if inside(b.1) {
            b
        } else {
            crossing(a, b, if b.1 < low { low } else { high })
        };
        match pieces
            .last_mut()
            .filter(|piece| piece.last() == Some(&entry))
        {
            Some(piece) => piece.push(exit),
            None => pieces.push(vec![entry, exit]),
        }
    }
    pieces
}

/// Where the line from `a` to `b` passes height `y`.
fn crossing(a: Point, b: Point, y: f64) -> Point {
    (a.0 + (b.0 - a.0) * ((y - a.1) / (b.1 - a.1)), y)
}

/// The part of an area between two heights (Sutherland and Hodgman, 1974, for two edges).
fn clipped_area(outline: Vec<Point>, low: f64, high: f64) -> Vec<Point> {
    let cut = |outline: Vec<Point>, keeps: &dyn Fn(f64) -> bool, edge: f64| {
        let mut kept = Vec::with_capacity(outline.len());
        for (i, &b) in outline.iter().enumerate() {
            let a = outline[(i + outline.len() - 1) % outline.len()];
            if keeps(a.1) != keeps(b.1) {
                kept.push(crossing(a, b, edge));
            }
            if keeps(b.1) {
                kept.push(b);
            }
        }
        kept
    };
    let above = cut(outline, &|y| y >= low, low);
    cut(above, &|y| y <= high, high)
}

/// Breaks a text into lines of at most `width`.
pub(super) fn wrap(text: &str, size: f64, width: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let longer = lines
            .last()
            .map(|line| format!("{line} {word}"))
            .filter(|line| text_width(line, size) <= width);
        match (longer, lines.last_mut()) {
            (Some(longer), Some(line)) => *line = longer,
            _ => lines.push(clip(word, size, width)),
        }
    }
    lines
}

/// The text, or its beginning and an ellipsis if it is wider than `width`.
pub(super) fn clip(text: &str, size: f64, width: f64) -> String {
    if text_width(text, size) <= width {
        return text.to_owned();
    }
    let mut short: String = text
        .chars()
        .take((width / (0.25 * size)) as usize)
        .collect();
    while !short.is_empty() && text_width(&short, size) + size > width {
        short.pop();
    }
    short + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panel(cut: Cut, values: impl IntoIterator<Item = f64>) -> Panel {
        let points = values
            .into_iter()
            .enumerate()
            .map(|(x, y)| (x as f64, y))
            .collect();
        let line = Line {
            points,
            colour: Colour(0, 0, 0),
            width: 1.0,
            dash: None,
            dots: false,
        };
        Panel {
            lines: vec![line],
            cut,
            ..Panel::default()
        }
    }

    /// `count` times `value`, then `rest`.
    fn after(count: usize, value: f64, rest: &[f64]) -> Vec<f64> {
        [vec![value; count], rest.to_vec()].concat()
    }

    #[test]
    fn early_failures_are_cut_and_the_rise_from_them_is_kept() {
        let range = panel(
            Cut::Early,
            after(
                3,
                -1000.0,
                &[
                    -17.0, -15.0, -13.0, -13.0, -13.0, -13.0, -13.0, -13.0, -13.0,
                ],
            ),
        )
        .shown();
        // Three times 17 below the top, and some room.
        assert!(range.low < -64.0 && range.low > -67.0, "{}", range.low);
        assert_eq!(
            range.note.as_deref(),
            Some("25 % of the points lie below the picture, down to −1,000.")
        );
    }

    /// From `start` over a tenth of the steps to `end`, which then comes and goes by `noise`.
    fn learned_at_once(start: f64, end: f64, noise: f64) -> Vec<f64> {
        let rise = (0..5).map(|i| start + (end - start) * f64::from(i) / 5.0);
        let settled = (0..45).map(|i| end + noise * f64::from(i % 3 - 1));
        rise.chain(settled).collect()
    }

    #[test]
    fn learning_is_shown_whole_wherever_it_can_be_seen_beside_the_end() {
        for (what, start, end, noise) in [
            ("FrozenLake", 0.0, 0.9, 0.03),
            ("CartPole", 9.0, 495.0, 5.0),
            ("MountainCar", -200.0, -110.0, 5.0),
            ("LunarLander", -500.0, 250.0, 20.0),
            ("Pendulum", -1600.0, -150.0, 10.0),
            ("short and bad", -9.3, -2.0, 0.05),
            ("CliffWalking, which then stands still", -1000.0, -13.0, 0.0),
        ] {
            let range = panel(Cut::Early, learned_at_once(start, end, noise)).shown();
            assert!(
                range.low <= start && range.note.is_none(),
                "{what}: {}",
                range.low
            );
        }
    }

    #[test]
    fn a_start_that_hides_the_end_is_cut_so_that_rise_and_end_are_seen() {
        let range = panel(Cut::Early, learned_at_once(-750.0, 8.0, 0.6)).shown();
        assert!((-30.0..-13.0).contains(&range.low), "{}", range.low);
        assert!(range.note.is_some());
    }

    #[test]
    fn what_comes_after_the_first_quarter_is_never_cut() {
        let late = [
            vec![-1000.0; 4],
            vec![-13.0, -14.0, -13.0, -13.0, -13.0, -13.0, -13.0],
        ]
        .concat();
        let range = panel(Cut::Early, late).shown();
        assert!(range.low <= -1000.0 && range.note.is_none());
    }

    #[test]
    fn rare_successes_are_never_cut() {
        let range = panel(Cut::Early, after(40, 0.0, &[0.7, 0.0])).shown();
        assert!(range.high >= 0.7 && range.note.is_none());
    }

    #[test]
    fn the_last_value_of_a_line_is_never_cut() {
        let range = panel(Cut::Early, after(40, -13.0, &[-1000.0])).shown();
        assert!(range.low <= -1000.0 && range.note.is_none());
    }

    #[test]
    fn spikes_of_a_loss_are_cut_and_its_decay_is_not() {
        let noise = |i: usize| 0.1 + 0.01 * (i % 7) as f64;
        let spiky = (0..200).map(|i| if i % 50 == 25 { 30.0 } else { noise(i) });
        let range = panel(Cut::Above, spiky).shown();
        assert!(range.high < 0.2, "{}", range.high);
        let decay = (0..200).map(|i| 3.0 * (-0.05 * i as f64).exp());
        assert!(panel(Cut::Above, decay).shown().high >= 3.0);
    }

    #[test]
    fn a_schedule_is_shown_whole_and_a_constant_from_zero() {
        let range = panel(Cut::Nothing, after(2, 1.0, &[0.05; 98])).shown();
        assert!(range.high >= 1.0);
        let constant = panel(Cut::Nothing, [0.1; 9]).shown();
        assert!(constant.low < 0.0 && constant.low > -0.01 && constant.high > 0.1);
    }

    #[test]
    fn clipped_lines_end_on_the_edge() {
        let line = [(0.0, -10.0), (1.0, 10.0), (2.0, 0.0), (3.0, 20.0)];
        let pieces = clipped(&line, 0.0, 5.0);
        assert_eq!(
            pieces,
            [
                vec![(0.5, 0.0), (0.75, 5.0)],
                vec![(1.5, 5.0), (2.0, 0.0), (2.25, 5.0)]
            ]
        );
        assert!(clipped(&line[..1], 0.0, 5.0).is_empty());
        assert!(clipped(&[(0.0, 9.0), (1.0, 8.0)], 0.0, 5.0).is_empty());
    }

    #[test]
    fn bands_and_error_bars_end_at_the_axes() {
        let frame = Frame {
            start: 0.0,
            left: 10.0,
            right: 110.0,
            top: 20.0,
            bottom: 120.0,
            end: 4.0,
            low: 0.0,
            high: 5.0,
        };
        let steps = [
            (-9.0, 3.0),
            (2.0, 90.0),
            (-90.0, -9.0),
            (7.0, 8.0),
            (-9.0, 9.0),
        ];
        let points = |steps: &[(f64, f64)]| -> Vec<_> {
            let point = |(x, &(low, high)): (usize, &(f64, f64))| (x as f64, low, high);
            steps.iter().enumerate().map(point).collect()
        };
        for steps in steps.windows(1).chain([&steps[..]]) {
            let mut page = Page::new(1200, Theme::Light);
            let band = Band {
                points: points(steps),
                colour: Colour(0, 0, 0),
            };
            page.band(&band, &frame);
            for shape in &page.shapes {
                let (Shape::Line { points, .. } | Shape::Area { points, .. }) = shape else {
                    panic!("{shape:?}");
                };
                let inside = |&(x, y): &Point| {
                    (10.0..=110.0).contains(&x) && (19.999..=120.001).contains(&y)
                };
                assert!(points.iter().all(inside), "{steps:?}: {points:?}");
            }
            let empty = matches!(steps, [(low, high)] if *low > 5.0 || *high < 0.0);
            assert_eq!(page.shapes.is_empty(), empty, "{steps:?}");
        }
    }

    #[test]
    fn a_clipped_area_keeps_its_slopes() {
        let triangle = vec![(0.0, 0.0), (4.0, 0.0), (2.0, 4.0)];
        let mut outline = clipped_area(triangle, -1.0, 2.0);
        outline.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert_eq!(outline, [(0.0, 0.0), (1.0, 2.0), (3.0, 2.0), (4.0, 0.0)]);
        assert!(clipped_area(vec![(0.0, 9.0), (1.0, 9.0), (1.0, 8.0)], 0.0, 5.0).is_empty());
    }

    #[test]
    fn text_is_broken_between_words_and_cut_with_an_ellipsis() {
        let lines = wrap(
            "one two three four",
            TEXT,
            text_width("three four", TEXT) + 1.0,
        );
        assert_eq!(lines, ["one two", "three four"]);
        let cut = clip("a-very-long-name", TEXT, 60.0);
        assert!(
            cut.ends_with('…') && text_width(&cut, TEXT) <= 60.0,
            "{cut}"
        );
        assert_eq!(clip("short", TEXT, 200.0), "short");
    }
}
