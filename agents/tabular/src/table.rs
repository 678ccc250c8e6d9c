//! The file of a table: values and visits, readable wherever safetensors is.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use thorndike_core::{Error, Result};

/// Most bytes of a file beside its contents.
const HEADER: u64 = 64 << 10;

/// Writes `q` and `visits`, both `[states, actions]`.
pub(crate) fn write(path: &Path, shape: [usize; 2], q: &[f64], visits: &[u32]) -> Result<()> {
    let q: Vec<u8> = q.iter().flat_map(|x| x.to_le_bytes()).collect();
    let visits: Vec<u8> = visits.iter().flat_map(|x| x.to_le_bytes()).collect();
    let view = |dtype, bytes| {
        TensorView::new(dtype, shape.to_vec(), bytes).map_err(|e| Error::Backend(Box::new(e)))
    };
    let tensors = [
        ("q", view(Dtype::F64, &q)?),
        ("visits", view(Dtype::U32, &visits)?),
    ];
    let bytes = serialize(tensors, None).map_err(|e| Error::Backend(Box::new(e)))?;
    std::fs::write(path, bytes).map_err(Error::io(path))
}

/// Reads what [`write`] wrote.
///
/// # Errors
/// [`Error::Checkpoint`] naming `path` if the file is damaged, of another shape, or holds a value that is
/// no finite number.
pub(crate) fn read(path: &Path, shape: [usize; 2]) -> Result<(Vec<f64>, Vec<u32>)> {
    let pairs = shape[0] * shape[1];
    let bytes = read_at_most(path, HEADER + pairs as u64 * 12)?;
    let damaged = |what: String| Error::checkpoint(path, what);
    let file = SafeTensors::deserialize(&bytes)
        .map_err(|e| damaged(format!("is no safetensors file: {e}")))?;
    let tensor = |name: &str, dtype: Dtype| {
        let view = file
            .tensor(name)
            .map_err(|_| damaged(format!("has no tensor \"{name}\"")))?;
        if view.dtype() == dtype && view.shape() == shape {
            return Ok(view.data());
        }
        Err(damaged(format!(
            "tensor \"{name}\" is {:?} {:?}, expected {dtype:?} {shape:?}",
            view.dtype(),
            view.shape()
        )))
    };
    let q: Vec<f64> = (tensor("q", Dtype::F64)?.as_chunks().0.iter())
        .map(|bytes| f64::from_le_bytes(*bytes))
        .collect();
    let visits = (tensor("visits", Dtype::U32)?.as_chunks().0.iter())
        .map(|bytes| u32::from_le_bytes(*bytes))
        .collect();
    match q.iter().find(|value| !value.is_finite()) {
        Some(value) => Err(damaged(format!("tensor \"q\" holds {value}"))),
        None => Ok((q, visits)),
    }
}

/// The bytes of a file of at most `limit` bytes.
pub(crate) fn read_at_most(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(limit + 1).read_to_end(&mut bytes))
        .map_err(Error::io(path))?;
    if bytes.len() as u64 > limit {
        let what = format!("is larger than the {limit} bytes that such a file can have");
        return Err(Error::checkpoint(path, what));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: [usize; 2] = [3, 2];

    fn written(q: &[f64]) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("table.safetensors");
        write(&path, [q.len() / 2, 2], q, &vec![7; q.len()]).unwrap();
        (dir, path)
    }

    #[test]
    fn a_table_is_read_back_bit_for_bit() {
        let q = [0.1, -0.0, f64::MIN_POSITIVE, 1e300, 1.0 / 3.0, -5.0];
        let (_dir, path) = written(&q);
        let (read_q, visits) = read(&path, SHAPE).unwrap();
        assert_eq!(read_q.map_bits(), q.to_vec().map_bits());
        assert_eq!(visits, [7; 6]);
    }

    trait MapBits {
        fn map_bits(self) -> Vec<u64>;
    }
    impl MapBits for Vec<f64> {
        fn map_bits(self) -> Vec<u64> {
            self.into_iter().map(f64::to_bits).collect()
        }
    }

    #[test]
    fn a_table_of_another_shape_or_with_no_number_is_refused_by_name() {
        let (_dir, path) = written(&[0.0; 8]);
        let error = read(&path, SHAPE).unwrap_err().to_string();
        assert!(
            error.contains("table.safetensors: tensor \"q\" is F64 [4, 2], expected F64 [3, 2]"),
            "{error}"
        );
        let (_dir, path) = written(&[0.0, f64::NAN, 0.0, 0.0, 0.0, 0.0]);
        let error = read(&path, SHAPE).unwrap_err().to_string();
        assert!(error.contains("tensor \"q\" holds NaN"), "{error}");
    }

    #[test]
    fn a_table_cut_short_or_too_long_is_refused() {
        let (_dir, path) = written(&[1.0; 6]);
        let bytes = std::fs::read(&path).unwrap();
        for cut in 0..bytes.len() {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            assert!(read(&path, SHAPE).is_err(), "cut at {cut}");
        }
        std::fs::write(&path, vec![0; 100_000]).unwrap();
        assert!(
            read(&path, SHAPE)
                .unwrap_err()
                .to_string()
                .contains("is larger than")
        );
    }
}
