//! Mean and deviation of the inputs of a data set, which a model brings to 0 and 1.

use serde::{Deserialize, Serialize};
use thorndike_core::{Error, Result};

use crate::{DataSet, Info, Values};

/// Mean and standard deviation of each feature: of each column of a table, of each feature of sequences over all steps, of
/// each channel of images over all pixels, which count as shares of 255.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moments {
    /// One a feature.
    pub mean: Vec<f64>,
    /// One a feature: the root of the mean square of what is left without the mean; 1 where nothing is left.
    pub deviation: Vec<f64>,
}

impl Moments {
    /// Those that change nothing: mean 0 and deviation 1 of each feature of inputs of `info`.
    pub fn none(info: &Info) -> Self {
        let shape = info.space.shape();
        let features = match shape[..] {
            [channels, _, _] => channels,
            [.., features] => features,
            [] => 0,
        };
        Self {
            mean: vec![0.0; features],
            deviation: vec![1.0; features],
        }
    }

    /// Those of several data sets as of one, each as much as its number of samples.
    ///
    /// # Panics
    /// If there is none, or they differ in their features.
    pub fn of_all(parts: &[(usize, Self)]) -> Self {
        let all: usize = parts.iter().map(|(samples, _)| samples).sum();
        let share = |samples: usize| samples as f64 / all as f64;
        let features = parts[0].1.mean.len();
        assert!(
            parts.iter().all(|(_, part)| part.mean.len() == features),
            "the same features in all"
        );
        let of = |i: usize| {
            let mean: f64 = parts.iter().map(|(n, part)| share(*n) * part.mean[i]).sum();
            let squares = |part: &Self| part.deviation[i].powi(2) + part.mean[i].powi(2);
            let square: f64 = parts
                .iter()
                .map(|(n, part)| share(*n) * squares(part))
                .sum();
            (mean, (square - mean * mean).max(0.0).sqrt())
        };
        let (mean, deviation) = (0..features).map(of).unzip();
        Self { mean, deviation }
    }

    /// Reads at most `most` samples of `set`, evenly spaced, one time each.
    ///
    /// # Errors
    /// If a sample cannot be read, or the inputs are tokens.
    ///
    /// # Panics
    /// If there is no sample, or `most` is 0.
    ///
    /// # Reference
    /// B. P. Welford, *Note on a method for calculating corrected sums of squares and products*, 1962.
    pub fn of(set: &dyn DataSet, most: usize) -> Result<Self> {
        let samples = set.len().min(most);
        assert!(samples > 0, "moments of no sample");
        let mut features: Vec<Running> = Vec::new();
        for i in 0..samples {
            // Below 2^64, as no set is as long as the memory has bits.
            let index = (i as u128 * set.len() as u128 / samples as u128) as usize;
            let sample = set.sample(index)?;
            let shape = &sample.shape;
            // Features lie one after another in rows of numbers; channels of images, one behind another.
            let (count, stride) = match shape[..] {
                [channels, height, width] => (channels, height * width),
                [.., features] => (features, 1),
                [] => (0, 1),
            };
            if features.is_empty() {
                features.resize(count, Running::default());
            }
            if features.len() != count {
                let found = features.len();
                let what = format!("{}: {count} features beside {found}", set.origin(index));
                return Err(Error::Unsupported(what));
            }
            let add = |(i, x): (usize, f64)| features[i / stride % count].add(x);
            match &sample.values {
                Values::F32(values) => values.iter().map(|&x| x.into()).enumerate().for_each(add),
                Values::U8(values) => {
                    let shares = values.iter().map(|&x| f64::from(x) / 255.0);
                    shares.enumerate().for_each(add);
                }
                Values::I32(_) => {
                    return Err(Error::Unsupported(
                        "mean and deviation of tokens".to_owned(),
                    ));
                }
            }
        }
        Ok(Self {
            mean: features.iter().map(|feature| feature.mean).collect(),
            deviation: features.iter().map(Running::deviation).collect(),
        })
    }
}

/// Mean and sum of squares of what was seen so far.
#[derive(Clone, Debug, Default)]
struct Running {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Running {
    fn add(&mut self, x: f64) {
        self.count += 1.0;
        let before = x - self.mean;
        self.mean += before / self.count;
        self.squares += before * (x - self.mean);
    }

    fn deviation(&self) -> f64 {
        let deviation = (self.squares / self.count).sqrt();
        if deviation > 0.0 { deviation } else { 1.0 }
    }
}

#[cfg(test)]
mod tests {
    use thorndike_core::{Kind, Space};

    use super::*;
    use crate::{Sample, Target, Task};

    #[test]
    fn moments_of_parts_are_those_of_the_whole() {
        let rows = |values: &[f32]| {
            let row = |&x: &f32| (Values::F32(vec![x, 2.0 * x]), vec![2]);
            given(values.iter().map(row).collect())
        };
        let values = [1.0, 4.0, -2.0, 8.0, 0.5];
        let whole = Moments::of(&rows(&values), 10).unwrap();
        let parts = [&values[..2], &values[2..]]
            .map(|part| (part.len(), Moments::of(&rows(part), 10).unwrap()));
        let all = Moments::of_all(&parts);
        near(&all.mean, &whole.mean);
        near(&all.deviation, &whole.deviation);
    }

    #[derive(Debug)]
    struct Given(Info, Vec<(Values, Vec<usize>)>);

    impl DataSet for Given {
        fn info(&self) -> &Info {
            &self.0
        }
        fn len(&self) -> usize {
            self.1.len()
        }
        fn sample(&self, index: usize) -> Result<Sample> {
            let (values, shape) = self.1[index].clone();
            let target = Target::Unknown;
            Ok(Sample {
                values,
                shape,
                target,
            })
        }
    }

    fn given(samples: Vec<(Values, Vec<usize>)>) -> Given {
        let info = Info {
            space: Space::unbounded(&[1]),
            scalar: Kind::F32,
            task: Task::Numbers { names: Vec::new() },
            vocabulary: Vec::new(),
            encoding: serde_json::Value::Null,
        };
        Given(info, samples)
    }

    fn near(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (a, b) in found.iter().zip(expected) {
            // A few roundings of 64 bits.
            assert!((a - b).abs() < 1e-12, "{found:?} is not {expected:?}");
        }
    }

    #[test]
    fn columns_of_a_table_have_their_own() {
        let rows = [[1.0, 5.0], [2.0, 5.0], [6.0, 5.0]];
        let rows = rows.map(|row: [f32; 2]| (Values::F32(row.to_vec()), vec![2]));
        let moments = Moments::of(&given(rows.to_vec()), 100).unwrap();
        near(&moments.mean, &[3.0, 5.0]);
        // ((1-3)^2 + (2-3)^2 + (6-3)^2) / 3; no deviation counts as 1.
        near(&moments.deviation, &[(14.0_f64 / 3.0).sqrt(), 1.0]);
    }

    #[test]
    fn steps_of_unequal_sequences_count_alike() {
        let a = (Values::F32(vec![0.0, 1.0, 2.0, 3.0]), vec![2, 2]);
        let b = (Values::F32(vec![4.0, 5.0]), vec![1, 2]);
        let moments = Moments::of(&given(vec![a, b]), 100).unwrap();
        near(&moments.mean, &[2.0, 3.0]);
        near(&moments.deviation, &[(8.0_f64 / 3.0).sqrt(); 2]);
    }

    #[test]
    fn pixels_of_a_channel_are_shares_of_255() {
        let pixels = vec![0, 255, 255, 0, 51, 51, 102, 102];
        let moments = Moments::of(&given(vec![(Values::U8(pixels), vec![2, 2, 2])]), 1).unwrap();
        near(&moments.mean, &[0.5, 0.3]);
        near(&moments.deviation, &[0.5, 0.1]);
    }

    #[test]
    fn few_of_many_samples_are_evenly_spaced() {
        let one = |x: u8| (Values::F32(vec![x.into()]), vec![1]);
        let moments = Moments::of(&given((0..10).map(one).collect()), 4).unwrap();
        near(&moments.mean, &[(2.0 + 5.0 + 7.0) / 4.0]);
    }

    #[test]
    fn tokens_have_no_moments() {
        let set = given(vec![(Values::I32(vec![1]), vec![1])]);
        let error = Moments::of(&set, 1).unwrap_err().to_string();
        assert_eq!(error, "not supported: mean and deviation of tokens");
    }
}
