//! Running means and variances, and what is divided by them.

use std::ops::{Add, Div, Mul, Sub};

use serde::{Deserialize, Serialize};

use crate::array::{Array, Element, Kind};
use crate::env::Status;
use crate::error::{Error, Result};
use crate::space::Space;
use crate::vector::{EnvSpec, unfit};

use super::{FrameLayer, Moment, cannot_take};

/// Added to a variance before its root is taken, as Gymnasium does.
const EPSILON: f64 = 1e-8;

/// `f32` or `f64`.
trait Real:
    Copy
    + PartialOrd
    + Default
    + Send
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Into<f64>
{
    fn of(x: f64) -> Self;
    fn sqrt(self) -> Self;
}

impl Real for f32 {
    fn of(x: f64) -> Self {
        x as Self
    }
    fn sqrt(self) -> Self {
        self.sqrt()
    }
}

impl Real for f64 {
    fn of(x: f64) -> Self {
        x
    }
    fn sqrt(self) -> Self {
        self.sqrt()
    }
}

/// Running mean and variance of columns, merged batch by batch.
///
/// # Reference
/// Chan, Golub, LeVeque, *Updating Formulae and a Pairwise Algorithm for Computing Sample Variances*, 1979. In
/// Gymnasium's order of operations, so that the last bits agree.
///
/// Deviations: starts at mean 0 and variance 1 with the weight of 0.0001 samples, as Gymnasium does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Moments<F> {
    count: f64,
    mean: Vec<F>,
    /// Population variance.
    variance: Vec<F>,
    /// Moments of a batch.
    #[serde(skip)]
    batch: (Vec<F>, Vec<F>),
}

impl<F: Real> Moments<F> {
    fn new(columns: usize) -> Self {
        let (zeros, ones) = (vec![F::of(0.0); columns], vec![F::of(1.0); columns]);
        Self {
            count: 1e-4,
            mean: zeros.clone(),
            variance: ones.clone(),
            batch: (zeros, ones),
        }
    }

    /// Takes in `rows`, each of all columns; `count` of them, at least one.
    fn update<'a, T: Copy + Into<f64> + 'a>(
        &mut self,
        rows: impl Iterator<Item = &'a [T]> + Clone,
        count: usize,
    ) {
        let (mean, variance) = &mut self.batch;
        let rows_read = F::of(count as f64);
        mean.fill(F::default());
        for row in rows.clone() {
            for (sum, &x) in mean.iter_mut().zip(row) {
                *sum = *sum + F::of(x.into());
            }
        }
        mean.iter_mut().for_each(|sum| *sum = *sum / rows_read);
        variance.fill(F::default());
        for row in rows {
            for ((sum, &mean), &x) in variance.iter_mut().zip(&*mean).zip(row) {
                let off = F::of(x.into()) - mean;
                *sum = *sum + off * off;
            }
        }
        let total = self.count + count as f64;
        let (before, now) = (F::of(self.count), F::of(total));
        let old = self.mean.iter_mut().zip(&mut self.variance);
        for ((old_mean, old_variance), (&mean, &squares)) in old.zip(mean.iter().zip(&*variance)) {
            let off = mean - *old_mean;
            *old_mean = *old_mean + off * rows_read / now;
            let within = *old_variance * before + squares / rows_read * rows_read;
            *old_variance = (within + off * off * before * rows_read / now) / now;
        }
        self.count = total;
    }

    /// Writes the standard deviations.
    fn deviations(&self, deviations: &mut [F]) {
        for (deviation, &variance) in deviations.iter_mut().zip(&self.variance) {
            *deviation = (variance + F::of(EPSILON)).sqrt();
        }
    }

    /// Takes over what was saved, if it can be statistics of as many columns.
    fn load(&mut self, saved: Self) -> Result<()> {
        let columns = self.mean.len();
        let finite = |x: &F| (*x).into().is_finite();
        let sound = saved.count.is_finite()
            && saved.count > 0.0
            && [saved.mean.len(), saved.variance.len()] == [columns; 2]
            && saved.mean.iter().all(finite)
            && (saved.variance.iter()).all(|x| finite(x) && *x >= F::default());
        if !sound {
            return Err(unfit(
                "saved statistics are not of these environments".into(),
            ));
        }
        (self.count, self.mean, self.variance) = (saved.count, saved.mean, saved.variance);
        Ok(())
    }
}

/// `(x - mean) / sqrt(variance + 1e-8)`, with the statistics of all frames so far, this one included.
///
/// # Reference
/// Gymnasium 1.4.0 `NormalizeObservation`, single and vector, bit for bit.
///
/// Deviations: pixels have statistics in `f32` too. Where episodes of a batch end at different steps, starts are a
/// batch by themselves, and last observations are counted as well; no step of Gymnasium's shows both.
#[derive(Serialize, Deserialize)]
pub(super) struct NormalizeObservations {
    moments: Moments<f32>,
    frozen: bool,
    /// `sqrt(variance + epsilon)`
    #[serde(skip)]
    deviations: Vec<f32>,
    #[serde(skip, default = "nothing")]
    shown: Array,
}

fn nothing() -> Array {
    Array::zeros::<f32>(0, 0)
}

impl NormalizeObservations {
    pub(super) fn new(spec: &mut EnvSpec) -> Result<Self> {
        let Space::Box { shape, .. } = &spec.frame_space else {
            let expected = "numbers; states and words have no mean";
            return Err(cannot_take("normalize_observations", expected, spec));
        };
        let columns = spec.frame_space.len();
        spec.frame_space = Space::unbounded(shape);
        spec.obs_kind = Kind::F32;
        Ok(Self {
            moments: Moments::new(columns),
            frozen: false,
            deviations: vec![1.0; columns],
            shown: Array::zeros::<f32>(spec.num_envs, columns),
        })
    }

    fn show_scalars<T: Element>(&mut self, rows: &[usize], frames: &Array) {
        let cols = frames.cols();
        let frames = frames.as_slice::<T>();
        let row = |&row: &usize| &frames[row * cols..][..cols];
        if !self.frozen {
            self.moments.update(rows.iter().map(row), rows.len());
            self.moments.deviations(&mut self.deviations);
        }
        let shown = self.shown.as_mut_slice::<f32>();
        for at in rows {
            let shown = shown[at * cols..][..cols].iter_mut().zip(row(at));
            let moments = self.moments.mean.iter().zip(&self.deviations);
            for ((shown, &x), (mean, deviation)) in shown.zip(moments) {
                *shown = (f32::of(x.into()) - mean) / deviation;
            }
        }
    }
}

impl FrameLayer for NormalizeObservations {
    fn show(&mut self, rows: &[usize], _: Moment, frames: &Array) -> &Array {
        match frames.kind() {
            Kind::F32 => self.show_scalars::<f32>(rows, frames),
            Kind::U8 => self.show_scalars::<u8>(rows, frames),
            Kind::I32 => self.show_scalars::<i32>(rows, frames),
        }
        &self.shown
    }

    fn save(&self) -> Result<Vec<u8>> {
        postcard::to_stdvec(self).map_err(|e| Error::Backend(Box::new(e)))
    }

    fn load(&mut self, bytes: &[u8]) -> Result<()> {
        let saved: Self = postcard::from_bytes(bytes)
            .map_err(|e| unfit(format!("saved statistics cannot be read: {e}")))?;
        self.moments.load(saved.moments)?;
        self.frozen = saved.frozen;
        self.moments.deviations(&mut self.deviations);
        Ok(())
    }

    fn statistics(&self) -> Option<Vec<u8>> {
        Some(postcard::to_stdvec(&self.moments).expect("plain numbers can be written"))
    }

    fn freeze(&mut self, statistics: &[u8]) -> Result<()> {
        let moments = postcard::from_bytes(statistics)
            .map_err(|e| unfit(format!("statistics cannot be read: {e}")))?;
        self.moments.load(moments)?;
        self.frozen = true;
        self.moments.deviations(&mut self.deviations);
        Ok(())
    }
}

/// Rewards over the running standard deviation of the discounted return, this reward included; no mean is taken off.
///
/// A terminated step drops the past and counts its own reward alone; a truncated one is carried on.
///
/// # Reference
/// Gymnasium 1.4.0 `NormalizeReward`, single and vector.
///
/// Deviations: rewards go in and come out as `f32`; the sums of a batch are `f64`, where Gymnasium rounds them to
/// `f32`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct NormalizeRewards {
    gamma: f64,
    /// Discounted sums, one an environment.
    sums: Vec<f64>,
    moments: Moments<f64>,
}

impl NormalizeRewards {
    pub(super) fn new(gamma: f64, num_envs: usize) -> Self {
        Self {
            gamma,
            sums: vec![0.0; num_envs],
            moments: Moments::new(1),
        }
    }

    pub(super) fn apply(&mut self, rewards: &mut [f32], status: &[Status]) {
        let deviation = self.deviation(rewards.iter().map(|&reward| reward.into()), status);
        for reward in rewards {
            *reward = (f64::from(*reward) / deviation) as f32;
        }
    }

    /// Takes in the rewards of a step; what each of them is divided by.
    fn deviation(&mut self, rewards: impl Iterator<Item = f64>, status: &[Status]) -> f64 {
        for ((sum, reward), status) in self.sums.iter_mut().zip(rewards).zip(status) {
            let past = if status.bootstraps() { *sum } else { 0.0 };
            *sum = past * self.gamma + reward;
        }
        self.moments.update(self.sums.chunks(1), self.sums.len());
        (self.moments.variance[0] + EPSILON).sqrt()
    }

    /// Takes over what was saved.
    pub(super) fn load(&mut self, saved: Self) -> Result<()> {
        if saved.sums.len() != self.sums.len() || !saved.sums.iter().all(|x| x.is_finite()) {
            return Err(unfit("saved returns are not of these environments".into()));
        }
        self.moments.load(saved.moments)?;
        self.sums = saved.sums;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    /// Every reward that Gymnasium saw, and what it made of it.
    #[test]
    fn rewards_are_those_of_gymnasium() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/golden/vector/normalize.jsonl.gz"
        );
        let mut text = String::new();
        let file = std::fs::File::open(path).unwrap();
        flate2::read::MultiGzDecoder::new(file)
            .read_to_string(&mut text)
            .unwrap();
        for line in text.lines() {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            let numbers = |value: &serde_json::Value| -> Vec<f64> {
                let one = || vec![value.as_f64().unwrap()];
                value.as_array().map_or_else(one, |values| {
                    values.iter().map(|x| x.as_f64().unwrap()).collect()
                })
            };
            let steps = |key: &str| record[key].as_array().unwrap();
            let n = numbers(&steps("raw_reward")[0]).len();
            let mut normalize = NormalizeRewards::new(record["gamma"].as_f64().unwrap(), n);
            // Gymnasium's batch keeps the sums in `f32`: two roundings of 2^-24 a step, discounted by 0.99.
            let tolerance = if n == 1 {
                1e-12
            } else {
                2.0 * 2_f64.powi(-24) / 0.01
            };
            let (mut compared, mut dead) = (0, false);
            for (t, (raw, expected)) in steps("raw_reward").iter().zip(steps("reward")).enumerate()
            {
                let (raw, expected) = (numbers(raw), numbers(expected));
                if !dead {
                    let status = vec![Status::Running; n];
                    let deviation = normalize.deviation(raw.iter().copied(), &status);
                    for (raw, expected) in raw.iter().zip(&expected) {
                        let error = (raw / deviation - expected).abs();
                        assert!(error <= tolerance * expected.abs().max(1.0), "{t}: {error}");
                    }
                    compared += 1;
                }
                // After an end, a step of a batch starts all episodes anew: no step here.
                dead = steps("done")[t].get(0).is_some_and(|done| done == true);
            }
            assert!(compared >= 448, "{compared}");
        }
    }

    #[test]
    fn a_terminated_step_drops_the_past_and_a_truncated_one_does_not() {
        let mut normalize = NormalizeRewards::new(0.5, 2);
        for status in [
            [Status::Running, Status::Running],
            [Status::Terminated, Status::Truncated],
            [Status::Running, Status::Running],
        ] {
            normalize.deviation([4.0, 4.0].into_iter(), &status);
        }
        assert_eq!(
            normalize.sums,
            [4.0 * 0.5 + 4.0, (4.0 * 0.5 + 4.0) * 0.5 + 4.0]
        );
    }

    #[test]
    fn merged_batches_have_the_moments_of_all_rows() {
        let rows: Vec<[f32; 2]> = (0..1000).map(|i| [i as f32, (i * i % 17) as f32]).collect();
        let mut moments = Moments::<f64>::new(2);
        let mut rest = &rows[..];
        for size in [1, 2, 3, 5, 8, 13, 21].into_iter().cycle() {
            let (batch, after) = rest.split_at(size.min(rest.len()));
            if batch.is_empty() {
                break;
            }
            moments.update(batch.iter().map(|row| &row[..]), batch.len());
            rest = after;
        }
        for column in 0..2 {
            let values = rows.iter().map(|row| f64::from(row[column]));
            let mean = values.clone().sum::<f64>() / 1000.0;
            let variance = values.map(|x| (x - mean).powi(2)).sum::<f64>() / 1000.0;
            // The start weighs a ten-millionth, and its mean is off by all of the mean.
            assert!((moments.mean[column] - mean).abs() < 1e-6 * mean);
            assert!((moments.variance[column] - variance).abs() < 1e-6 * (variance + mean * mean));
        }
    }
}
