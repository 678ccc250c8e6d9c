//! Named `f32` arrays in one safetensors file.
//!
//! Files open in every safetensors reader. Reading trusts nothing: the header's length is bounded,
//! every name, type and shape is compared with what the reader expects, and only then is memory of
//! exactly the expected size filled.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use thorndike_core::{Error, Result};

/// Bytes of the length field in front of the header.
const LENGTH_BYTES: u64 = 8;
/// Longest header of a file of another program, bytes; one of a thousand tensors has about a hundred thousand.
const MOST_FOREIGN_HEADER: usize = 1 << 24;
/// Key of the one text entry of the header.
const NOTE: &str = "note";

/// Writes `arrays` (name, shape, values in row order) and a short `note` to `path`.
///
/// # Errors
/// [`Error::Io`] if the file cannot be written.
///
/// # Panics
/// If a shape does not fit its values.
pub(crate) fn write(path: &Path, arrays: &[(&str, &[usize], &[f32])], note: &str) -> Result<()> {
    write_as(path, arrays, (NOTE, note), |_| Dtype::F32)
}

/// Writes `arrays` as PyTorch's state dict, in which batches are counted in `i64`.
///
/// # Errors
/// [`Error::Io`] if the file cannot be written.
///
/// # Panics
/// If a shape does not fit its values, or two arrays have the same name.
pub(crate) fn write_state_dict(path: &Path, arrays: &[(&str, &[usize], &[f32])]) -> Result<()> {
    let dtype = |name: &str| match name.ends_with("num_batches_tracked") {
        true => Dtype::I64,
        false => Dtype::F32,
    };
    write_as(path, arrays, ("format", "pt"), dtype)
}

fn write_as(
    path: &Path,
    arrays: &[(&str, &[usize], &[f32])],
    note: (&str, &str),
    dtype: impl Fn(&str) -> Dtype,
) -> Result<()> {
    let header = header(arrays, note, &dtype);
    let file = File::create(path).map_err(Error::io(path))?;
    let mut out = BufWriter::new(file);
    let mut put = |bytes: &[u8]| out.write_all(bytes).map_err(Error::io(path));
    put(&(header.len() as u64).to_le_bytes())?;
    put(header.as_bytes())?;
    for (name, _, values) in arrays {
        for chunk in values.chunks(4096) {
            let bytes: Vec<u8> = match dtype(name) {
                Dtype::I64 => chunk
                    .iter()
                    .flat_map(|&x| (x as i64).to_le_bytes())
                    .collect(),
                _ => chunk.iter().flat_map(|x| x.to_le_bytes()).collect(),
            };
            put(&bytes)?;
        }
    }
    out.flush().map_err(Error::io(path))
}

/// The JSON header, padded to a multiple of eight bytes.
fn header(
    arrays: &[(&str, &[usize], &[f32])],
    (key, note): (&str, &str),
    dtype: &impl Fn(&str) -> Dtype,
) -> String {
    let mut offset = 0;
    let infos = arrays.iter().map(|(name, shape, values)| {
        let dtype = dtype(name);
        let data_offsets = (offset, offset + dtype.bitsize() / 8 * values.len());
        offset = data_offsets.1;
        let info = TensorInfo {
            dtype,
            shape: shape.to_vec(),
            data_offsets,
        };
        ((*name).to_owned(), info)
    });
    // A single entry: the order of a map with more would differ from run to run.
    let note = HashMap::from([(key.to_owned(), note.to_owned())]);
    let metadata = Metadata::new(Some(note), infos.collect()).expect("every shape fits its values");
    let mut json = serde_json::to_string(&metadata).expect("a header is plain JSON");
    while !json.len().is_multiple_of(8) {
        json.push(' ');
    }
    json
}

/// Reads the arrays named and shaped as `expected`, in that order, and the note.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read; [`Error::Checkpoint`] if it is no safetensors file, or a
/// tensor is missing, unexpected, or of another type or shape.
pub(crate) fn read(path: &Path, expected: &[(&str, &[usize])]) -> Result<(Vec<Vec<f32>>, String)> {
    let names: usize = expected.iter().map(|(name, _)| name.len()).sum();
    let most_header = 65_536 + 2 * names + 512 * expected.len();
    let is_f32 = |dtype| dtype == Dtype::F32;
    read_as(path, expected, most_header, is_f32, &|_| false)
}

/// Reads the arrays named and shaped as `expected`, in that order, from a state dict of any program; numbers of other
/// types become `f32`. Tensors that are neither expected nor `unused` are refused.
///
/// # Errors
/// As [`read`]; the types are `F64`, `F32`, `F16`, `BF16` and `I64`.
pub(crate) fn read_state_dict(
    path: &Path,
    expected: &[(&str, &[usize])],
    unused: &dyn Fn(&str) -> bool,
) -> Result<Vec<Vec<f32>>> {
    let known = |dtype| {
        matches!(
            dtype,
            Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16 | Dtype::I64
        )
    };
    Ok(read_as(path, expected, MOST_FOREIGN_HEADER, known, unused)?.0)
}

/// Names of the tensors of a file of any program.
///
/// # Errors
/// As [`read`].
pub(crate) fn names(path: &Path) -> Result<BTreeSet<String>> {
    let wrong = |what: String| Error::checkpoint(path, what);
    let file = File::open(path).map_err(Error::io(path))?;
    let file_bytes = file.metadata().map_err(Error::io(path))?.len();
    let mut reader = BufReader::new(file);
    let bytes = header_length(&mut reader, file_bytes, 0, MOST_FOREIGN_HEADER).map_err(wrong)?;
    let mut json = vec![0; bytes];
    reader.read_exact(&mut json).map_err(Error::io(path))?;
    let metadata: Metadata = serde_json::from_slice(&json)
        .map_err(|e| wrong(format!("not a safetensors header: {e}")))?;
    Ok(metadata.tensors().into_keys().collect())
}

fn read_as(
    path: &Path,
    expected: &[(&str, &[usize])],
    most_header: usize,
    is_readable: impl Fn(Dtype) -> bool,
    unused: &dyn Fn(&str) -> bool,
) -> Result<(Vec<Vec<f32>>, String)> {
    let wrong = |what: String| Error::checkpoint(path, what);
    let file = File::open(path).map_err(Error::io(path))?;
    let file_bytes = file.metadata().map_err(Error::io(path))?.len();
    let mut reader = BufReader::new(file);

    let header_bytes =
        header_length(&mut reader, file_bytes, expected.len(), most_header).map_err(wrong)?;
    let mut json = vec![0; header_bytes];
    reader.read_exact(&mut json).map_err(Error::io(path))?;
    let metadata: Metadata = serde_json::from_slice(&json)
        .map_err(|e| wrong(format!("not a safetensors header: {e}")))?;
    check_tensors(&metadata, expected, is_readable, unused).map_err(wrong)?;
    let data_start = LENGTH_BYTES + header_bytes as u64;
    if data_start + metadata.data_len() as u64 != file_bytes {
        return Err(wrong(format!(
            "the header describes {} bytes of data, the file holds {}",
            metadata.data_len(),
            file_bytes - data_start
        )));
    }

    let mut arrays = Vec::with_capacity(expected.len());
    for (name, shape) in expected {
        let info = metadata.info(name).expect("checked above");
        let start = data_start + info.data_offsets.0 as u64;
        reader
            .seek(SeekFrom::Start(start))
            .map_err(Error::io(path))?;
        let len = shape.iter().product();
        arrays.push(read_numbers(&mut reader, info.dtype, len).map_err(Error::io(path))?);
    }
    let notes = metadata.metadata().as_ref();
    let note = notes.and_then(|m| m.get(NOTE)).cloned().unwrap_or_default();
    Ok((arrays, note))
}

fn header_length(
    reader: &mut impl Read,
    file_bytes: u64,
    tensors: usize,
    most: usize,
) -> std::result::Result<usize, String> {
    let mut length = [0; LENGTH_BYTES as usize];
    reader
        .read_exact(&mut length)
        .map_err(|_| format!("{file_bytes} bytes are too few for a safetensors file"))?;
    let length = u64::from_le_bytes(length);
    if length > file_bytes - LENGTH_BYTES {
        return Err(format!(
            "cut short: its header of {length} bytes does not fit its {file_bytes} bytes"
        ));
    }
    if length > most as u64 {
        return Err(format!(
            "its header of {length} bytes is too long for {tensors} tensors (at most {most})"
        ));
    }
    Ok(length as usize)
}

fn check_tensors(
    metadata: &Metadata,
    expected: &[(&str, &[usize])],
    is_readable: impl Fn(Dtype) -> bool,
    unused: &dyn Fn(&str) -> bool,
) -> std::result::Result<(), String> {
    let found: BTreeMap<String, &TensorInfo> = metadata.tensors().into_iter().collect();
    for (name, shape) in expected {
        let info = found
            .get(*name)
            .ok_or_else(|| format!("tensor \"{name}\" is missing"))?;
        if !is_readable(info.dtype) {
            return Err(format!(
                "tensor \"{name}\" is {:?}, expected F32",
                info.dtype
            ));
        }
        if info.shape != *shape {
            return Err(format!(
                "tensor \"{name}\" has shape {:?}, expected {shape:?}",
                info.shape
            ));
        }
    }
    match found
        .keys()
        .find(|name| !expected.iter().any(|(e, _)| e == name) && !unused(name))
    {
        Some(name) => Err(format!("tensor \"{name}\" is not part of this network")),
        None => Ok(()),
    }
}

fn read_numbers(reader: &mut impl Read, dtype: Dtype, len: usize) -> std::io::Result<Vec<f32>> {
    match dtype {
        Dtype::F64 => read_each(reader, len, |b| f64::from_le_bytes(b) as f32),
        Dtype::I64 => read_each(reader, len, |b| i64::from_le_bytes(b) as f32),
        Dtype::F16 => read_each(reader, len, |b| half(u16::from_le_bytes(b))),
        Dtype::BF16 => read_each(reader, len, |b| {
            f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16)
        }),
        _ => read_each(reader, len, f32::from_le_bytes),
    }
}

fn read_each<const BYTES: usize>(
    reader: &mut impl Read,
    len: usize,
    number: impl Fn([u8; BYTES]) -> f32,
) -> std::io::Result<Vec<f32>> {
    let mut values = Vec::with_capacity(len);
    let mut buffer = [0; 4096];
    while values.len() < len {
        let bytes = &mut buffer[..(BYTES * (len - values.len())).min(4096)];
        reader.read_exact(bytes)?;
        let (chunks, _) = bytes.as_chunks::<BYTES>();
        values.extend(chunks.iter().map(|&chunk| number(chunk)));
    }
    Ok(values)
}

/// A number of sixteen bits: one of sign, five of exponent, ten of fraction.
fn half(bits: u16) -> f32 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let fraction = f32::from(bits & 0x3ff);
    sign * match i32::from(bits >> 10 & 0x1f) {
        0 => fraction * 2_f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        exponent => (1024.0 + fraction) * 2_f32.powi(exponent - 25),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPECTED: &[(&str, &[usize])] = &[("head.weight", &[2, 3]), ("head.bias", &[2])];

    fn written() -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weights.safetensors");
        let weight = [1.0, -0.0, f32::NAN, f32::INFINITY, 1e-45, 3.5];
        write(
            &path,
            &[
                ("head.weight", &[2, 3], &weight),
                ("head.bias", &[2], &[7.0, 8.0]),
            ],
            "step 5",
        )
        .unwrap();
        (dir, path)
    }

    fn message(path: &Path, expected: &[(&str, &[usize])]) -> String {
        read(path, expected).unwrap_err().to_string()
    }

    #[test]
    fn values_come_back_bit_for_bit_in_the_order_asked_for() {
        let (_dir, path) = written();
        let (arrays, note) = read(&path, &[EXPECTED[1], EXPECTED[0]]).unwrap();
        assert_eq!(arrays[0], [7.0, 8.0]);
        let bits: Vec<u32> = arrays[1].iter().map(|x| x.to_bits()).collect();
        let weight = [1.0, -0.0, f32::NAN, f32::INFINITY, 1e-45, 3.5_f32];
        assert_eq!(bits, weight.map(f32::to_bits));
        assert_eq!(note, "step 5");
    }

    #[test]
    fn missing_extra_and_misshaped_tensors_are_refused_by_name() {
        let (_dir, path) = written();
        let more = [EXPECTED, &[("extractor.0.bias", [4].as_slice())]].concat();
        assert!(message(&path, &more).contains("\"extractor.0.bias\" is missing"));
        assert!(message(&path, &EXPECTED[..1]).contains("\"head.bias\" is not part"));
        let shape = message(&path, &[("head.weight", &[3, 2]), EXPECTED[1]]);
        assert!(
            shape.contains("\"head.weight\" has shape [2, 3], expected [3, 2]"),
            "{shape}"
        );
    }

    #[test]
    fn another_scalar_type_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weights.safetensors");
        let json = r#"{"head.bias":{"dtype":"I32","shape":[2],"data_offsets":[0,8]}}"#;
        let bytes = [&(json.len() as u64).to_le_bytes(), json.as_bytes(), &[0; 8]].concat();
        std::fs::write(&path, bytes).unwrap();
        assert!(message(&path, &EXPECTED[1..]).contains("\"head.bias\" is I32, expected F32"));
    }

    #[test]
    fn no_cut_or_flipped_file_panics() {
        let (_dir, path) = written();
        let whole = std::fs::read(&path).unwrap();
        for len in 0..whole.len() {
            std::fs::write(&path, &whole[..len]).unwrap();
            assert!(read(&path, EXPECTED).is_err(), "cut to {len} bytes");
        }
        let header_end = whole.len() - 8 * 4;
        for byte in 0..header_end {
            for bit in 0..8 {
                let mut flipped = whole.clone();
                flipped[byte] ^= 1 << bit;
                std::fs::write(&path, &flipped).unwrap();
                let _ = read(&path, EXPECTED); // an error, or a change of the note; no panic
            }
        }
    }

    #[test]
    fn a_header_of_absurd_length_is_refused_before_it_is_read() {
        let (_dir, path) = written();
        std::fs::write(&path, u64::MAX.to_le_bytes()).unwrap();
        assert!(message(&path, EXPECTED).contains("cut short"));
        let file = File::create(&path).unwrap();
        (&file).write_all(&(1_u64 << 32).to_le_bytes()).unwrap();
        file.set_len(1 << 33).unwrap(); // sparse: takes no room
        assert!(message(&path, EXPECTED).contains("too long for 2 tensors"));
    }

    #[test]
    fn numbers_of_other_types_are_converted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weights.safetensors");
        let mut header = String::new();
        let mut data = Vec::new();
        let mut add = |name: &str, dtype: &str, len: usize, bytes: &[u8]| {
            let (from, to) = (data.len(), data.len() + bytes.len());
            header += &format!(
                r#","{name}":{{"dtype":"{dtype}","shape":[{len}],"data_offsets":[{from},{to}]}}"#
            );
            data.extend_from_slice(bytes);
        };
        let halves = [0x3c00_u16, 0xc500, 0x0001, 0x7c00, 0x3555].map(u16::to_le_bytes);
        add("half", "F16", 5, halves.as_flattened());
        let brains = [0x3f80_u16, 0xc0a0].map(u16::to_le_bytes);
        add("brain", "BF16", 2, brains.as_flattened());
        add("double", "F64", 1, &0.1_f64.to_le_bytes());
        add("count", "I64", 1, &1234_i64.to_le_bytes());
        add("bytes", "U8", 1, &[1]);
        let json = format!("{{{}}}", &header[1..]);
        let bytes = [&(json.len() as u64).to_le_bytes(), json.as_bytes(), &data].concat();
        std::fs::write(&path, bytes).unwrap();

        let one = [1_usize];
        let expected: &[(&str, &[usize])] = &[
            ("count", &one),
            ("double", &one),
            ("brain", &[2]),
            ("half", &[5]),
        ];
        let arrays = read_state_dict(&path, expected, &|name| name == "bytes").unwrap();
        assert_eq!(arrays[..3], [vec![1234.0], vec![0.1], vec![1.0, -5.0]]);
        // 0x3555 is the half next to a third: 1365 / 4096.
        let halves = [1.0, -5.0, 2_f32.powi(-24), f32::INFINITY, 1365.0 / 4096.0];
        assert_eq!(arrays[3], halves);
        let error = read_state_dict(&path, expected, &|_| false).unwrap_err();
        assert!(
            error.to_string().contains("\"bytes\" is not part"),
            "{error}"
        );
        let error = read_state_dict(&path, &[("bytes", &one)], &|_| true).unwrap_err();
        assert!(error.to_string().contains("\"bytes\" is U8"), "{error}");
    }
}
