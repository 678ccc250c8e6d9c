//! Running means and variances, and what is divided by them.

use serde::{Deserialize, Serialize};

use crate::array::{Array, Element, Kind};
use crate::env::Status;
use crate::error::{Error, Result};
use crate::space::Space;
use crate::vector::{EnvSpec, unfit};

use super::{FrameLayer, Moment, cannot_take};

/// Added to a variance before its root is taken, as Gymnasium does.
const EPSILON: f64 = 1e-8;

/// Running mean and variance of columns, merged batch by batch.
///
/// # Reference
/// Chan, Golub, LeVeque, *Updating Formulae and a Pairwise Algorithm for Computing Sample Variances*, 1979.
///
/// Deviations: starts at mean 0 and variance 1 with the weight of 0.0001 samples, as Gymnasium does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Moments {
    count: f64,
    mean: Vec<f64>,
    /// Population variance.
    variance: Vec<f64>,
    /// Moments of a batch.
    #[serde(skip)]
    batch: (Vec<f64>, Vec<f64>),
}

impl Moments {
    fn new(columns: usize) -> Self {
        Self {
            count: 1e-4,
            mean: vec![0.0; columns],
            variance: vec![1.0; columns],
            batch: (vec![0.0; columns], vec![0.0; columns]),
        }
    }

    /// Takes in `rows`, each of all columns; `count` of them, at least one.
    fn update<'a, T: Copy + Into<f64> + 'a>(
        &mut self,
        rows: impl Iterator<Item = &'a [T]> + Clone,
        count: usize,
    ) {
        let count = count as f64;
        let (mean, variance) = &mut self.batch;
        mean.fill(0.0);
        for row in rows.clone() {
            mean.iter_mut()
                .zip(row)
                .for_each(|(sum, &x)| *sum += x.into());
        }
        mean.iter_mut().for_each(|sum| *sum /= count);
        variance.fill(0.0);
        for row in rows {
            for ((sum, mean), &x) in variance.iter_mut().zip(&*mean).zip(row) {
                let x: f64 = x.into();
                *sum += (x - mean) * (x - mean);
            }
        }
        let total = self.count + count;
        let (share, between) = (count / total, self.count * count / total);
        let old = self.mean.iter_mut().zip(&mut self.variance);
        for ((old_mean, old_variance), (mean, squares)) in old.zip(mean.iter().zip(variance)) {
            let delta = mean - *old_mean;
            *old_mean += delta * share;
            *old_variance =
                (*old_variance * self.count + *squares + delta * delta * between) / total;
        }
        self.count = total;
    }

    /// Takes over what was saved, if it can be statistics of as many columns.
    fn load(&mut self, saved: Self) -> Result<()> {
        let columns = self.mean.len();
        let sound = saved.count.is_finite()
            && saved.count > 0.0
            && [saved.mean.len(), saved.variance.len()] == [columns; 2]
            && saved.mean.iter().all(|x| x.is_finite())
            && saved.variance.iter().all(|x| x.is_finite() && *x >= 0.0);
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
/// Gymnasium 1.4.0 `NormalizeObservation`, single and vector.
///
/// Deviations: statistics are kept in `f64`.
#[derive(Serialize, Deserialize)]
pub(super) struct NormalizeObservations {
    moments: Moments,
    frozen: bool,
    /// `1 / sqrt(variance + epsilon)`
    #[serde(skip)]
    factors: Vec<f64>,
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
            factors: vec![1.0; columns],
            shown: Array::zeros::<f32>(spec.num_envs, columns),
        })
    }

    fn show_scalars<T: Element>(&mut self, rows: &[usize], frames: &Array) {
        let cols = frames.cols();
        let frames = frames.as_slice::<T>();
        let row = |&row: &usize| &frames[row * cols..][..cols];
        if !self.frozen {
            self.moments.update(rows.iter().map(row), rows.len());
            self.find_factors();
        }
        let shown = self.shown.as_mut_slice::<f32>();
        for at in rows {
            let shown = shown[at * cols..][..cols].iter_mut().zip(row(at));
            let moments = self.moments.mean.iter().zip(&self.factors);
            for ((shown, &x), (mean, factor)) in shown.zip(moments) {
                let x: f64 = x.into();
                *shown = ((x - mean) * factor) as f32;
            }
        }
    }

    fn find_factors(&mut self) {
        let variances = self.factors.iter_mut().zip(&self.moments.variance);
        variances.for_each(|(factor, variance)| *factor = 1.0 / (variance + EPSILON).sqrt());
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
        self.find_factors();
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
        self.find_factors();
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
/// Deviations: rewards go in and come out as `f32`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct NormalizeRewards {
    gamma: f64,
    /// Discounted sums, one an environment.
    sums: Vec<f64>,
    moments: Moments,
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
        let factor = self.factor(rewards.iter().map(|&reward| reward.into()), status);
        for reward in rewards {
            *reward = (f64::from(*reward) * factor) as f32;
        }
    }

    /// Takes in the rewards of a step; the factor on each of them.
    fn factor(&mut self, rewards: impl Iterator<Item = f64>, status: &[Status]) -> f64 {
        for ((sum, reward), status) in self.sums.iter_mut().zip(rewards).zip(status) {
            let past = if status.bootstraps() { *sum } else { 0.0 };
            *sum = past * self.gamma + reward;
        }
        self.moments.update(self.sums.chunks(1), self.sums.len());
        1.0 / (self.moments.variance[0] + EPSILON).sqrt()
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
