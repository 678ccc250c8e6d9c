//! Named `f32` arrays in one safetensors file.
//!
//! Files open in every safetensors reader. Reading trusts nothing: the header's length is bounded,
//! every name, type and shape is compared with what the reader expects, and only then is memory of
//! exactly the expected size filled.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use thorndike_core::{Error, Result};

/// Bytes of the length field in front of the header.
const LENGTH_BYTES: u64 = 8;
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
    let header = header(arrays, note);
    let file = File::create(path).map_err(Error::io(path))?;
    let mut out = BufWriter::new(file);
    let mut put = |bytes: &[u8]| out.write_all(bytes).map_err(Error::io(path));
    put(&(header.len() as u64).to_le_bytes())?;
    put(header.as_bytes())?;
    for (_, _, values) in arrays {
        for chunk in values.chunks(4096) {
            let bytes: Vec<u8> = chunk.iter().flat_map(|x| x.to_le_bytes()).collect();
            put(&bytes)?;
        }
    }
    out.flush().map_err(Error::io(path))
}

/// The JSON header, padded to a multiple of eight bytes.
fn header(arrays: &[(&str, &[usize], &[f32])], note: &str) -> String {
    let mut offset = 0;
    let infos = arrays.iter().map(|(name, shape, values)| {
        let data_offsets = (offset, offset + 4 * values.len());
        offset = data_offsets.1;
        let info = TensorInfo {
            dtype: Dtype::F32,
            shape: shape.to_vec(),
            data_offsets,
        };
        ((*name).to_owned(), info)
    });
    // A single entry: the order of a map with more would differ from run to run.
    let note = HashMap::from([(NOTE.to_owned(), note.to_owned())]);
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
    let wrong = |what: String| Error::checkpoint(path, what);
    let file = File::open(path).map_err(Error::io(path))?;
    let file_bytes = file.metadata().map_err(Error::io(path))?.len();
    let mut reader = BufReader::new(file);

    let header_bytes = header_length(&mut reader, file_bytes, expected).map_err(wrong)?;
    let mut json = vec![0; header_bytes];
    reader.read_exact(&mut json).map_err(Error::io(path))?;
    let metadata: Metadata = serde_json::from_slice(&json)
        .map_err(|e| wrong(format!("not a safetensors header: {e}")))?;
    check_tensors(&metadata, expected).map_err(wrong)?;
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
        arrays.push(read_floats(&mut reader, shape.iter().product()).map_err(Error::io(path))?);
    }
    let notes = metadata.metadata().as_ref();
    let note = notes.and_then(|m| m.get(NOTE)).cloned().unwrap_or_default();
    Ok((arrays, note))
}

fn header_length(
    reader: &mut impl Read,
    file_bytes: u64,
    expected: &[(&str, &[usize])],
) -> std::result::Result<usize, String> {
    let mut length = [0; LENGTH_BYTES as usize];
    reader
        .read_exact(&mut length)
        .map_err(|_| format!("{file_bytes} bytes are too few for a safetensors file"))?;
    let length = u64::from_le_bytes(length);
    let names: usize = expected.iter().map(|(name, _)| name.len()).sum();
    let most = 65_536 + 2 * names + 512 * expected.len();
    if length > file_bytes - LENGTH_BYTES {
        return Err(format!(
            "cut short: its header of {length} bytes does not fit its {file_bytes} bytes"
        ));
    }
    if length > most as u64 {
        return Err(format!(
            "its header of {length} bytes is too long for {} tensors (at most {most})",
            expected.len()
        ));
    }
    Ok(length as usize)
}

fn check_tensors(
    metadata: &Metadata,
    expected: &[(&str, &[usize])],
) -> std::result::Result<(), String> {
    let found: BTreeMap<String, &TensorInfo> = metadata.tensors().into_iter().collect();
    for (name, shape) in expected {
        let info = found
            .get(*name)
            .ok_or_else(|| format!("tensor \"{name}\" is missing"))?;
        if info.dtype != Dtype::F32 {
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
        .find(|name| !expected.iter().any(|(e, _)| e == name))
    {
        Some(name) => Err(format!("tensor \"{name}\" is not part of this network")),
        None => Ok(()),
    }
}

fn read_floats(reader: &mut impl Read, len: usize) -> std::io::Result<Vec<f32>> {
    let mut values = Vec::with_capacity(len);
    let mut buffer = [0; 4096];
    while values.len() < len {
        let bytes = &mut buffer[..(4 * (len - values.len())).min(4096)];
        reader.read_exact(bytes)?;
        values.extend(
            bytes
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])),
        );
    }
    Ok(values)
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
}
