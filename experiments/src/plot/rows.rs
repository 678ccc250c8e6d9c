//! Estimates with their intervals, one row each, under one another: which algorithm is better, and how sure that is.
//!
//! Each panel has an axis of its own, as returns of different environments have no common one.

use super::axis::{Tick, ticks};
use super::drawing::{Align, Drawing, text_width};
use super::figure::{
    BEFORE_NOTES, END, Key, LEADING, NOTE, PAD, Page, TEXT, X_LABELS, clip, padded, span, wrap,
};
use super::theme::{Colour, Theme};
use crate::stats::Interval;

/// One estimate.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) label: String,
    pub(super) colour: Colour,
    pub(super) value: f64,
    pub(super) interval: Option<Interval>,
    /// Single runs, shown as faint dots.
    pub(super) runs: Vec<f64>,
}

/// Rows over one axis.
#[derive(Clone, Debug)]
pub(super) struct RowPanel {
    pub(super) heading: String,
    pub(super) rows: Vec<Row>,
    /// Values to compare with, dashed; what they are is said in the heading.
    pub(super) levels: Vec<f64>,
    /// Shown range; chosen from the data where there is none.
    pub(super) range: Option<(f64, f64)>,
}

/// A picture of such panels.
#[derive(Clone, Debug)]
pub(super) struct RowFigure {
    /// Width in pixels; the height follows from the rows.
    pub(super) width: u32,
    pub(super) theme: Theme,
    pub(super) title: String,
    pub(super) facts: Vec<String>,
    pub(super) keys: Vec<Key>,
    pub(super) panels: Vec<RowPanel>,
    pub(super) notes: Vec<String>,
}

const ROW: f64 = 38.0;
/// Most of the width that labels take.
const LABELS: f64 = 0.42;
/// Half the height of an interval's bar.
const BAR: f64 = 10.0;
/// From the labels of one axis to the heading of the next panel.
const BETWEEN: f64 = 26.0;

impl RowPanel {
    fn shown(&self) -> (f64, f64) {
        self.range.unwrap_or_else(|| {
            let ends = |row: &Row| row.interval.map_or([row.value; 2], |at| [at.low, at.high]);
            let values = self.rows.iter().flat_map(|row| {
                ends(row)
                    .into_iter()
                    .chain([row.value])
                    .chain(row.runs.iter().copied())
            });
            let (low, high) = span(values.chain(self.levels.iter().copied()));
            padded(low, high)
        })
    }
}

impl RowFigure {
    pub(super) fn draw(&self) -> Drawing {
        let mut page = Page::new(self.width, self.theme);
        let width = 1200.0;
        let mut y = page.header(&self.title, &self.facts, &self.keys, width);
        let label = |row: &Row| clip(&row.label, TEXT, LABELS * width);
        let widest = self.panels.iter().flat_map(|panel| &panel.rows);
        let widest = widest
            .map(|row| text_width(&label(row), TEXT))
            .fold(0.0, f64::max);
        let (left, right) = (PAD + widest + 14.0, width - PAD - 16.0);
        for panel in &self.panels {
            y += LEADING * TEXT;
            let heading = clip(&panel.heading, TEXT, width - 2.0 * PAD);
            page.text((PAD, y - 0.5 * TEXT), Align::Left, &heading, TEXT, true);
            let (low, high) = panel.shown();
            let x = |value: f64| left + (right - left) * (value - low) / (high - low);
            let bottom = y + ROW * panel.rows.len() as f64;
            let marks = ticks(low, high, 7, false);
            page.axis(&marks, x, (left, right), (y, bottom));
            for &level in &panel.levels {
                let colour = self.theme.text().over(self.theme.background(), 0.8);
                page.line(
                    [(x(level), y), (x(level), bottom)],
                    2.0,
                    colour,
                    Some((12.0, 7.0)),
                );
            }
            for (i, row) in panel.rows.iter().enumerate() {
                let middle = y + ROW * (i as f64 + 0.5);
                let at = (left - 14.0, middle + 0.36 * TEXT);
                page.text(at, Align::Right, &label(row), TEXT, false);
                let within = |value: f64| value.clamp(low, high);
                if let Some(Interval { low, high }) = row.interval {
                    let (from, to) = (x(within(low)), x(within(high)));
                    let corners = [
                        (from, middle - BAR),
                        (to, middle - BAR),
                        (to, middle + BAR),
                        (from, middle + BAR),
                    ];
                    page.area(corners, row.colour);
                }
                let faint = self.theme.faint(row.colour);
                for &run in row.runs.iter().filter(|run| (low..=high).contains(*run)) {
                    page.dot((x(run), middle), 3.0, faint);
                }
                let value = x(within(row.value));
                page.line(
                    [(value, middle - BAR - 3.0), (value, middle + BAR + 3.0)],
                    4.0,
                    row.colour,
                    None,
                );
            }
            y = bottom + X_LABELS + BETWEEN;
        }
        y += BEFORE_NOTES - BETWEEN;
        let notes = self
            .notes
            .iter()
            .flat_map(|note| wrap(note, NOTE, width - 2.0 * PAD));
        for note in notes {
            y += LEADING * NOTE;
            page.text((PAD, y), Align::Left, &note, NOTE, true);
        }
        page.finish(y + END)
    }
}

impl Page {
    /// An axis at the foot of `top..bottom`, with a line upwards from each mark.
    fn axis(
        &mut self,
        marks: &[Tick],
        x: impl Fn(f64) -> f64,
        (left, right): (f64, f64),
        (top, bottom): (f64, f64),
    ) {
        for mark in marks {
            let at = x(mark.value);
            self.line([(at, top), (at, bottom)], 1.0, self.theme().grid(), None);
            self.text(
                (at, bottom + X_LABELS),
                Align::Centre,
                &mark.label,
                TEXT,
                false,
            );
        }
        self.line(
            [(left, bottom), (right, bottom)],
            1.6,
            self.theme().muted(),
            None,
        );
    }
}
