//! Observations as tensors: [`Columns`] and [`Space`] in, [`Tensor`] out.

use tch::{Device, Kind, Tensor};
use thorndike_core::{Columns, Element, Error, Kind as Scalar, Result, Space};

use crate::params::slice_mut;

/// Turns rows of observations into the tensor a network reads.
///
/// | space | scalar | tensor |
/// |---|---|---|
/// | `Box` | `f32` | `f32 [batch, ..shape]`, unchanged |
/// | `Box` | `u8` | `f32 [batch, ..shape]`, divided by the space's highest value (255 for pixels) |
/// | `Discrete(n)` | `i32` | `f32 [batch, n]`, one-hot |
/// | `MultiDiscrete(sizes)` | `i32` | `f32 [batch, sum(sizes)]`, one one-hot block per dimension |
/// | `Tuple(parts)` | any | `f32 [batch, sum(widths)]`, the parts as above, each flat, end to end |
/// | `Discrete`, `MultiDiscrete` | `i32` | `i64 [batch, dimensions]` with [`Input::tokens`] |
///
/// Values are copied once into memory that libtorch owns: its alignment is always the same, and the last
/// bits of a matrix product may depend on it.
#[derive(Debug)]
pub struct Input {
    encoding: Encoding,
    /// Shape of one encoded observation.
    shape: Vec<i64>,
    device: Device,
    /// Room for what is encoded here, reused from call to call.
    floats: Vec<f32>,
    tokens: Vec<i64>,
}

#[derive(Debug)]
enum Encoding {
    Floats,
    Bytes { high: f64 },
    OneHot { sizes: Vec<usize> },
    Parts(Vec<Part>),
    Tokens,
}

/// A stretch of an observation row.
#[derive(Clone, Copy, Debug)]
enum Part {
    Numbers { len: usize, high: f32 },
    OneHot(usize),
}

impl Input {
    /// For a network that reads floats: discrete observations become one-hot rows.
    ///
    /// # Errors
    /// [`Error::Space`] if the space and the scalar of the observations do not go together.
    pub fn floats(space: &Space, scalar: Scalar, device: Device) -> Result<Self> {
        let encoding = match (space, scalar) {
            (Space::Box { .. }, Scalar::F32) => Encoding::Floats,
            (Space::Box { high, .. }, Scalar::U8) if *high > 0.0 && high.is_finite() => {
                Encoding::Bytes {
                    high: f64::from(*high),
                }
            }
            (Space::Discrete(n), Scalar::I32) => Encoding::OneHot { sizes: vec![*n] },
            (Space::MultiDiscrete(sizes), Scalar::I32) => Encoding::OneHot {
                sizes: sizes.clone(),
            },
            (Space::Tuple(_), _) => {
                let mut parts = Vec::new();
                if !push_parts(space, scalar, &mut parts) {
                    return Err(unreadable(space, scalar));
                }
                Encoding::Parts(parts)
            }
            _ => return Err(unreadable(space, scalar)),
        };
        Ok(Self::new(encoding, float_shape(space), device))
    }

    /// For a network that reads token numbers, such as an embedding.
    ///
    /// # Errors
    /// [`Error::Space`] if the observations are no integers.
    pub fn tokens(space: &Space, scalar: Scalar, device: Device) -> Result<Self> {
        match (space, scalar) {
            (Space::Discrete(_) | Space::MultiDiscrete(_), Scalar::I32) => Ok(Self::new(
                Encoding::Tokens,
                vec![space.len() as i64],
                device,
            )),
            _ => Err(unreadable(space, scalar)),
        }
    }

    fn new(encoding: Encoding, shape: Vec<i64>, device: Device) -> Self {
        Self {
            encoding,
            shape,
            device,
            floats: Vec::new(),
            tokens: Vec::new(),
        }
    }

    /// Shape of one encoded observation, without the batch dimension.
    pub fn shape(&self) -> &[i64] {
        &self.shape
    }

    /// All rows of `obs` as floats, one encoded row after another: what [`tensor`](Self::tensor) would hold.
    ///
    /// # Panics
    /// As [`tensor`](Self::tensor); also for tokens, which are no floats.
    pub fn encode<'a>(&'a mut self, obs: impl Into<Columns<'a>>) -> &'a [f32] {
        let (obs, floats) = (obs.into(), &mut self.floats);
        if let Encoding::Floats = self.encoding
            && let Some(all) = obs.as_slice()
        {
            return all;
        }
        floats.clear();
        match &self.encoding {
            Encoding::Floats => obs.iter().for_each(|row| floats.extend_from_slice(row)),
            Encoding::Bytes { high } => {
                let high = *high as f32;
                for row in obs.iter::<u8>() {
                    floats.extend(row.iter().map(|&x| f32::from(x) / high));
                }
            }
            Encoding::OneHot { sizes } => one_hot(obs, sizes, floats),
            Encoding::Parts(parts) => encode_parts(obs, parts, floats),
            Encoding::Tokens => panic!("tokens are no floats"),
        }
        floats
    }

    /// The tensor of all rows of `obs`.
    ///
    /// # Panics
    /// If `obs` is no array of the space this was made for, or a discrete value lies outside it.
    pub fn tensor<'a>(&mut self, obs: impl Into<Columns<'a>>) -> Tensor {
        let (obs, device) = (obs.into(), self.device);
        let shape = [&[obs.rows() as i64], self.shape.as_slice()].concat();
        let tensor = match &self.encoding {
            Encoding::Bytes { high } => bytes_over(obs, *high, device),
            Encoding::Tokens => {
                self.tokens.clear();
                let tokens = obs.iter::<i32>().flatten();
                self.tokens.extend(tokens.map(|&x| i64::from(x)));
                Tensor::from_slice(&self.tokens).to_device(device)
            }
            _ => Tensor::from_slice(self.encode(obs)).to_device(device),
        };
        tensor.view(shape.as_slice())
    }
}

/// `bytes` divided by `high`, as `f32 [rows, cols]` on `device`.
pub(crate) fn bytes_over(bytes: Columns<'_>, high: f64, device: Device) -> Tensor {
    if device != Device::Cpu {
        // A quarter of the bytes travels to the device; they become floats there.
        let bytes = mapped(bytes, |byte| byte).to_device(device);
        return bytes.to_kind(Kind::Float) / high;
    }
    // In one pass, where libtorch makes two.
    let high = high as f32;
    mapped(bytes, |byte| f32::from(byte) / high)
}

/// What `each` makes of `bytes`, `[rows, cols]` in libtorch's memory.
#[expect(unsafe_code, reason = "tch has no access to a tensor's memory")]
fn mapped<T: tch::kind::Element>(bytes: Columns<'_>, each: impl Fn(u8) -> T) -> Tensor {
    let shape = [bytes.rows() as i64, bytes.cols() as i64];
    let tensor = Tensor::empty(shape, (T::KIND, Device::Cpu));
    // SAFETY: the tensor was just made, and nothing else knows of it.
    let out = unsafe { slice_mut::<T>(&tensor) };
    for (out, row) in out.chunks_exact_mut(bytes.cols().max(1)).zip(bytes.iter()) {
        for (out, &byte) in out.iter_mut().zip(row) {
            *out = each(byte);
        }
    }
    tensor
}

/// Shape of one observation of `space` for a network that reads floats.
pub fn float_shape(space: &Space) -> Vec<i64> {
    match space {
        Space::Box { shape, .. } => shape.iter().map(|&n| n as i64).collect(),
        Space::Discrete(n) => vec![*n as i64],
        Space::MultiDiscrete(sizes) => vec![sizes.iter().sum::<usize>() as i64],
        Space::Tuple(parts) => {
            let width = |part: &Space| float_shape(part).iter().product::<i64>();
            vec![parts.iter().map(width).sum()]
        }
    }
}

fn unreadable(space: &Space, scalar: Scalar) -> Error {
    Error::Space {
        what: "observations for a network".to_owned(),
        expected: "f32 or u8 numbers (with a highest value) in a box, or i32 in a discrete space"
            .to_owned(),
        found: format!("{scalar:?} in {space}"),
    }
}

fn one_hot(obs: Columns<'_>, sizes: &[usize], out: &mut Vec<f32>) {
    let width: usize = sizes.iter().sum();
    out.resize(obs.rows() * width, 0.0);
    for (row, mut out) in obs.iter::<i32>().zip(out.chunks_exact_mut(width)) {
        for (&value, &size) in row.iter().zip(sizes) {
            let (block, rest) = out.split_at_mut(size);
            block[value as usize] = 1.0;
            out = rest;
        }
    }
}

/// Whether every part of `space` can be read.
fn push_parts(space: &Space, scalar: Scalar, parts: &mut Vec<Part>) -> bool {
    match (space, scalar) {
        (Space::Box { .. }, Scalar::F32) => parts.push(Part::Numbers {
            len: space.len(),
            high: 1.0,
        }),
        (Space::Box { high, .. }, _) if *high > 0.0 && high.is_finite() => {
            parts.push(Part::Numbers {
                len: space.len(),
                high: *high,
            });
        }
        (Space::Discrete(n), Scalar::U8 | Scalar::I32) => parts.push(Part::OneHot(*n)),
        (Space::MultiDiscrete(sizes), Scalar::U8 | Scalar::I32) => {
            parts.extend(sizes.iter().map(|&n| Part::OneHot(n)));
        }
        (Space::Tuple(spaces), _) => {
            return spaces.iter().all(|space| push_parts(space, scalar, parts));
        }
        _ => return false,
    }
    true
}

fn encode_parts(obs: Columns<'_>, parts: &[Part], out: &mut Vec<f32>) {
    for row in 0..obs.rows() {
        match obs.kind() {
            Scalar::F32 => encode_row(obs.row::<f32>(row), parts, out),
            Scalar::U8 => encode_row(obs.row::<u8>(row), parts, out),
            Scalar::I32 => encode_row(obs.row::<i32>(row), parts, out),
        }
    }
}

fn encode_row<T: Element>(mut row: &[T], parts: &[Part], out: &mut Vec<f32>) {
    let number = |x: T| -> f64 { x.into() };
    for part in parts {
        match *part {
            Part::Numbers { len, high } => {
                let (numbers, rest) = row.split_at(len);
                out.extend(numbers.iter().map(|&x| number(x) as f32 / high));
                row = rest;
            }
            Part::OneHot(n) => {
                let start = out.len();
                out.resize(start + n, 0.0);
                out[start..][number(row[0]) as usize] = 1.0;
                row = &row[1..];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use thorndike_core::Array;

    use super::*;
    use crate::params::to_vec;

    fn boxed(shape: &[usize], high: f32) -> Space {
        Space::Box {
            shape: shape.to_vec(),
            low: 0.0,
            high,
        }
    }

    #[test]
    fn floats_pass_unchanged_in_the_shape_of_the_space() {
        let space = Space::unbounded(&[2, 3]);
        let mut input = Input::floats(&space, Scalar::F32, Device::Cpu).unwrap();
        let values: Vec<f32> = (0..12).map(|x| x as f32).collect();
        let tensor = input.tensor(&Array::from_vec(values.clone(), 6));
        assert_eq!(tensor.size(), [2, 2, 3]);
        assert_eq!(to_vec(&tensor), values);
    }

    #[test]
    fn bytes_are_scaled_by_the_highest_value_of_the_space() {
        let pixels = Array::from_vec(vec![0_u8, 51, 102, 255], 4);
        let mut input = Input::floats(&boxed(&[1, 2, 2], 255.0), Scalar::U8, Device::Cpu).unwrap();
        let tensor = input.tensor(&pixels);
        assert_eq!(tensor.size(), [1, 1, 2, 2]);
        assert_eq!(to_vec(&tensor), [0.0, 0.2, 0.4, 1.0]);
        assert_eq!(input.encode(&pixels), [0.0, 0.2, 0.4, 1.0]);
        let mut planes = Input::floats(&boxed(&[4], 1.0), Scalar::U8, Device::Cpu).unwrap();
        assert_eq!(
            to_vec(&planes.tensor(&Array::from_vec(vec![0_u8, 1, 1, 0], 4))),
            [0.0, 1.0, 1.0, 0.0]
        );
    }

    #[test]
    fn every_byte_becomes_what_libtorch_makes_of_it() {
        let bytes: Vec<u8> = (0..=255).collect();
        for high in [255.0, 31.0, 7.5] {
            let mut input = Input::floats(&boxed(&[256], high), Scalar::U8, Device::Cpu).unwrap();
            let found = input.tensor(&Array::from_vec(bytes.clone(), 256));
            let expected = Tensor::from_slice(&bytes).to_kind(Kind::Float) / f64::from(high);
            assert_eq!(to_vec(&found), to_vec(&expected));
        }
    }

    #[test]
    fn discrete_values_become_one_hot_blocks() {
        let space = Space::MultiDiscrete(vec![2, 3]);
        let mut input = Input::floats(&space, Scalar::I32, Device::Cpu).unwrap();
        assert_eq!(input.shape(), [5]);
        for _ in 0..2 {
            let obs = Array::from_vec(vec![1, 0, 0, 2], 2);
            let expected = [0., 1., 1., 0., 0., 1., 0., 0., 0., 1.];
            assert_eq!(
                to_vec(&input.tensor(&obs)),
                expected,
                "also when room is reused"
            );
            assert_eq!(input.encode(&obs), expected);
        }
        let mut single = Input::floats(&Space::Discrete(4), Scalar::I32, Device::Cpu).unwrap();
        assert_eq!(
            to_vec(&single.tensor(&Array::from_vec(vec![3], 1))),
            [0., 0., 0., 1.]
        );
    }

    #[test]
    fn parts_of_a_tuple_are_encoded_end_to_end() {
        let space = Space::Tuple(vec![boxed(&[1, 2], 10.0), Space::MultiDiscrete(vec![2, 3])]);
        let mut input = Input::floats(&space, Scalar::U8, Device::Cpu).unwrap();
        let obs = Array::from_vec(vec![5_u8, 10, 1, 0, 0, 1, 0, 2], 4);
        let expected = [
            [0.5, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0],
            [0.0, 0.1, 1.0, 0.0, 0.0, 0.0, 1.0],
        ];
        let tensor = input.tensor(&obs);
        assert_eq!(tensor.size(), [2, 7]);
        assert_eq!(to_vec(&tensor), expected.concat());
        assert_eq!(input.encode(&obs), expected.concat());
    }

    #[test]
    fn tokens_are_integers() {
        let mut input =
            Input::tokens(&Space::MultiDiscrete(vec![9; 3]), Scalar::I32, Device::Cpu).unwrap();
        let tensor = input.tensor(&Array::from_vec(vec![1, 8, 0, 2, 2, 2], 3));
        assert_eq!((tensor.size(), tensor.kind()), (vec![2, 3], Kind::Int64));
        assert_eq!(
            Vec::<i64>::try_from(tensor.flatten(0, 1)).unwrap(),
            [1, 8, 0, 2, 2, 2]
        );
    }

    #[test]
    fn columns_are_read_as_an_array_of_them() {
        fn check<T: Element>(mut input: Input, row: [T; 3], other: T) {
            let wide = [row[0], row[1], row[2], other, other, row[0], row[1], row[2]];
            let wide = Array::from_vec(wide.to_vec(), 4);
            let lone = |row: &[T]| Array::from_vec(row.to_vec(), 3);
            for columns in [wide.columns(0..3), wide.columns(1..4)] {
                let lone = lone(&columns.iter::<T>().collect::<Vec<_>>().concat());
                let found = input.tensor(columns);
                assert_eq!(found, input.tensor(&lone));
                if !matches!(input.encoding, Encoding::Tokens) {
                    assert_eq!(input.encode(columns).to_vec(), input.encode(&lone));
                    assert_eq!(to_vec(&found), input.encode(columns));
                }
            }
        }
        let floats = |space: &Space, scalar| Input::floats(space, scalar, Device::Cpu).unwrap();
        let choices = Space::MultiDiscrete(vec![2, 3, 4]);
        check(
            floats(&boxed(&[3], 1.0), Scalar::F32),
            [0.5f32, 2.0, -1.0],
            7.0,
        );
        check(floats(&boxed(&[3], 255.0), Scalar::U8), [3u8, 0, 255], 9);
        check(floats(&choices, Scalar::I32), [1, 1, 0], 1);
        let tuple = Space::Tuple(vec![boxed(&[1], 5.0), Space::MultiDiscrete(vec![3, 3])]);
        check(floats(&tuple, Scalar::U8), [2u8, 1, 0], 2);
        let tokens = Input::tokens(&choices, Scalar::I32, Device::Cpu).unwrap();
        check(tokens, [1, 2, 3], 0);
    }

    #[test]
    fn bytes_for_another_device_are_taken_from_their_columns() {
        let wide = Array::from_vec((0..12_u8).collect(), 4);
        let found = mapped(wide.columns(1..3), |byte| byte);
        assert_eq!((found.size(), found.kind()), (vec![3, 2], Kind::Uint8));
        let found = Vec::<u8>::try_from(found.flatten(0, 1)).unwrap();
        assert_eq!(found, [1, 2, 5, 6, 9, 10]);
    }

    #[test]
    fn spaces_that_do_not_fit_the_scalar_are_refused() {
        let error =
            Input::floats(&boxed(&[2], f32::INFINITY), Scalar::U8, Device::Cpu).unwrap_err();
        assert!(
            error.to_string().contains("found U8 in box(2; 0..inf)"),
            "{error}"
        );
        assert!(Input::floats(&Space::Discrete(2), Scalar::F32, Device::Cpu).is_err());
        assert!(Input::tokens(&boxed(&[2], 1.0), Scalar::F32, Device::Cpu).is_err());
    }
}
