//! The file of a replay.
//!
//! One line of JSON says for which form of replay it is and how many rows it holds. Little-endian scalars
//! follow: frames, actions, links, transitions, then for each environment its current row and its open
//! steps, then the priorities. Sums of priorities are computed again when it is read; they come out the same.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, ErrorKind, Read, Write};
use std::path::Path;

use serde_json::{Map, Value, json};

use super::n_step::OpenStep;
use super::priority::MAX_PRIORITY;
use super::rows::{Link, NONE};
use super::{Replay, Sampler, Transition};
use crate::array::{Array, Element, Kind};
use crate::error::{Error, Result};
use crate::space::Space;

const FORMAT: &str = "thorndike-replay";
pub(super) const VERSION: u32 = 1;
/// The first line is read into memory; this bounds it.
const MAX_HEADER_BYTES: u64 = 1 << 16;

impl Replay {
    /// Writes everything that is stored to the file `path`; no second copy is made in memory.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let file = File::create(path).map_err(Error::io(path))?;
        let mut file = BufWriter::new(file);
        (self.write(&mut file))
            .and_then(|()| file.flush())
            .map_err(Error::io(path))
    }

    /// Takes back what [`save`](Replay::save) wrote: everything drawn from then on is the same, bit for bit.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if the file cannot be opened, is damaged, or is that of another form of replay. If it
    /// could be opened, the replay is then empty.
    pub fn load(&mut self, path: &Path) -> Result<()> {
        let file = File::open(path)
            .map_err(|e| Error::checkpoint(path, format!("cannot be read: {e}")))?;
        self.load_from(path, BufReader::new(file))
    }

    /// Reads `file`, which errors call `path`.
    fn load_from(&mut self, path: &Path, file: impl BufRead) -> Result<()> {
        self.clear();
        let loaded = self.read(Reader { path, file });
        if loaded.is_err() {
            self.clear();
        }
        loaded
    }

    /// What must be the same in the replay that writes and the one that reads.
    fn form(&self) -> Map<String, Value> {
        let scalars = |array: &Array| json!(array.kind());
        let form = [
            ("capacity", json!(self.rows.capacity())),
            ("environments", json!(self.spec.num_envs)),
            ("observation", json!(self.spec.frame_space.to_string())),
            ("observation_scalar", scalars(&self.rows.frames)),
            ("frame_stack", json!(self.spec.frame_stack)),
            ("action", json!(self.spec.action_space.to_string())),
            ("action_scalar", scalars(&self.actions)),
            ("n_step", json!(self.n_step.n())),
            ("gamma", json!(self.gamma)),
            (
                "sampler",
                json!(match self.candidates.sampler {
                    Sampler::Uniform => "uniform",
                    Sampler::Prioritized(_) => "prioritized",
                }),
            ),
        ];
        form.map(|(key, value)| (key.to_owned(), value))
            .into_iter()
            .collect()
    }

    fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        let rows = self.rows.filled();
        let mut header = self.form();
        header.insert("format".into(), json!(FORMAT));
        header.insert("version".into(), json!(VERSION));
        header.insert("rows".into(), json!(rows));
        header.insert("cursor".into(), json!(self.rows.cursor));
        writeln!(out, "{}", Value::Object(header))?;
        write_rows(out, &self.rows.frames, rows)?;
        write_rows(out, &self.actions, rows)?;
        for link in &self.rows.links {
            out.write_all(&link.previous.to_le_bytes())?;
            out.write_all(&link.next.to_le_bytes())?;
        }
        for transition in &self.candidates.by_row {
            out.write_all(&transition.successor.to_le_bytes())?;
            out.write_all(&transition.reward.to_le_bytes())?;
            out.write_all(&transition.discount.to_le_bytes())?;
        }
        for (env, head) in self.heads.iter().enumerate() {
            out.write_all(&head.to_le_bytes())?;
            let open = self.n_step.open_steps(env);
            out.write_all(&(open.len() as u32).to_le_bytes())?;
            for step in open {
                out.write_all(&step.row.to_le_bytes())?;
                out.write_all(&step.reward.to_le_bytes())?;
            }
        }
        if let Sampler::Prioritized(prioritized) = &self.candidates.sampler {
            out.write_all(&prioritized.max_priority.to_le_bytes())?;
            for priority in prioritized.priorities(rows) {
                out.write_all(&priority.to_le_bytes())?;
            }
        }
        Ok(())
    }

    fn read(&mut self, mut file: Reader<'_, impl BufRead>) -> Result<()> {
        let header = file.header(FORMAT, &self.form())?;
        let rows = file.count(&header, "rows", self.rows.capacity())?;
        self.rows.cursor = file.cursor(&header, rows, self.rows.capacity())?;
        self.read_rows(&mut file, rows)?;
        self.read_envs(&mut file, rows)?;
        self.read_priorities(&mut file, rows)?;
        file.end()
    }

    fn read_rows(&mut self, file: &mut Reader<'_, impl BufRead>, rows: usize) -> Result<()> {
        file.rows(&mut self.rows.frames, rows)?;
        file.inside(&self.spec.frame_space, &self.rows.frames, rows)?;
        file.rows(&mut self.actions, rows)?;
        file.inside(&self.spec.action_space, &self.actions, rows)?;
        for _ in 0..rows {
            let link = Link {
                previous: file.row(rows)?,
                next: file.row(rows)?,
            };
            self.rows.links.push(link);
        }
        for _ in 0..rows {
            let transition = Transition {
                successor: file.row(rows)?,
                reward: f32::from_le_bytes(file.take()?),
                discount: f32::from_le_bytes(file.take()?),
            };
            self.candidates.len += usize::from(transition.successor != NONE);
            self.candidates.by_row.push(transition);
        }
        Ok(())
    }

    fn read_envs(&mut self, file: &mut Reader<'_, impl BufRead>, rows: usize) -> Result<()> {
        let mut steps = Vec::with_capacity(self.n_step.n());
        for env in 0..self.heads.len() {
            self.heads[env] = file.row(rows)?;
            let open = u32::from_le_bytes(file.take()?) as usize;
            if open >= self.n_step.n() || (self.heads[env] == NONE && open > 0) {
                return Err(file.damaged("it has open steps where there can be none"));
            }
            steps.clear();
            for _ in 0..open {
                let row = file.row(rows)?;
                if row == NONE {
                    return Err(file.damaged("an open step has no row"));
                }
                let reward = f32::from_le_bytes(file.take()?);
                steps.push(OpenStep { row, reward });
            }
            self.n_step.set_open_steps(env, &steps);
        }
        Ok(())
    }

    fn read_priorities(&mut self, file: &mut Reader<'_, impl BufRead>, rows: usize) -> Result<()> {
        let Sampler::Prioritized(prioritized) = &mut self.candidates.sampler else {
            return Ok(());
        };
        prioritized.max_priority = file.priority()?;
        let by_row = &self.candidates.by_row;
        prioritized.set_priorities(rows, |row| {
            let can_be_drawn = by_row[row].successor != NONE;
            let priority = if can_be_drawn {
                file.priority()?
            } else {
                f64::from_le_bytes(file.take()?)
            };
            if can_be_drawn || priority == 0.0 {
                Ok(priority)
            } else {
                Err(file.damaged("a row that starts no transition has a priority"))
            }
        })
    }
}

pub(super) fn write_rows(out: &mut impl Write, array: &Array, rows: usize) -> std::io::Result<()> {
    let len = rows * array.cols();
    match array.kind() {
        Kind::U8 => out.write_all(&array.as_slice::<u8>()[..len]),
        Kind::F32 => (array.as_slice::<f32>()[..len].iter())
            .try_for_each(|x| out.write_all(&x.to_le_bytes())),
        Kind::I32 => (array.as_slice::<i32>()[..len].iter())
            .try_for_each(|x| out.write_all(&x.to_le_bytes())),
    }
}

/// Reads a file that may be damaged or made up; every failure names the file.
pub(super) struct Reader<'a, R> {
    pub(super) path: &'a Path,
    pub(super) file: R,
}

impl<R: BufRead> Reader<'_, R> {
    fn wrong(&self, what: impl Into<String>) -> Error {
        Error::checkpoint(self.path, what)
    }

    pub(super) fn damaged(&self, what: &str) -> Error {
        self.wrong(format!("is damaged: {what}"))
    }

    /// Reads the first line and compares it with the form of the replay at hand.
    pub(super) fn header(
        &mut self,
        format: &str,
        form: &Map<String, Value>,
    ) -> Result<Map<String, Value>> {
        let mut line = Vec::new();
        let read = (self.file.by_ref())
            .take(MAX_HEADER_BYTES)
            .read_until(b'\n', &mut line);
        read.map_err(|e| self.wrong(format!("cannot be read: {e}")))?;
        let header: Map<String, Value> = serde_json::from_slice(&line)
            .map_err(|e| self.damaged(&format!("its first line is no JSON: {e}")))?;
        let found = |key: &str| header.get(key).cloned().unwrap_or_default();
        if found("format") != format {
            return Err(self.wrong(format!("is no replay: format {}", found("format"))));
        }
        if found("version") != VERSION {
            let version = found("version");
            return Err(self.wrong(format!(
                "has version {version} of its format; this program reads version {VERSION}"
            )));
        }
        match form.iter().find(|(key, ours)| found(key) != **ours) {
            None => Ok(header),
            Some((key, ours)) => Err(self.wrong(format!(
                "is of another replay: {key} {}, expected {ours}",
                found(key)
            ))),
        }
    }

    /// A number of the header, at most `max`.
    pub(super) fn count(
        &self,
        header: &Map<String, Value>,
        key: &str,
        max: usize,
    ) -> Result<usize> {
        let found = header.get(key).and_then(Value::as_u64);
        found
            .and_then(|n| usize::try_from(n).ok())
            .filter(|&n| n <= max)
            .ok_or_else(|| self.damaged(&format!("\"{key}\" is no number up to {max}")))
    }

    /// The row that is written next in a ring of `capacity` rows, of which `rows` are filled.
    pub(super) fn cursor(
        &self,
        header: &Map<String, Value>,
        rows: usize,
        capacity: usize,
    ) -> Result<usize> {
        let last = if rows < capacity { rows } else { rows - 1 };
        let cursor = self.count(header, "cursor", last)?;
        if rows < capacity && cursor != rows {
            return Err(self.damaged("its rows do not start at the first"));
        }
        Ok(cursor)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<()> {
        self.file.read_exact(bytes).map_err(|e| match e.kind() {
            ErrorKind::UnexpectedEof => self.wrong("was cut short"),
            _ => self.wrong(format!("cannot be read: {e}")),
        })
    }

    pub(super) fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// A number of one of `rows` rows, or [`NONE`].
    fn row(&mut self, rows: usize) -> Result<u32> {
        let row = u32::from_le_bytes(self.take()?);
        if row == NONE || (row as usize) < rows {
            Ok(row)
        } else {
            Err(self.damaged(&format!("row {row} of {rows}")))
        }
    }

    /// A priority with which something can be drawn.
    pub(super) fn priority(&mut self) -> Result<f64> {
        let priority = f64::from_le_bytes(self.take()?);
        if priority > 0.0 && priority <= MAX_PRIORITY {
            Ok(priority)
        } else {
            Err(self.damaged(&format!("a priority is {priority}")))
        }
    }

    /// The first `rows` rows of `array`.
    pub(super) fn rows(&mut self, array: &mut Array, rows: usize) -> Result<()> {
        fn scalars<T: Element>(array: &mut Array, rows: usize) -> &mut [T] {
            let len = rows * array.cols();
            &mut array.as_mut_slice()[..len]
        }
        match array.kind() {
            Kind::U8 => self.fill(scalars(array, rows))?,
            Kind::F32 => {
                for x in scalars(array, rows) {
                    *x = f32::from_le_bytes(self.take()?);
                }
            }
            Kind::I32 => {
                for x in scalars(array, rows) {
                    *x = i32::from_le_bytes(self.take()?);
                }
            }
        }
        Ok(())
    }

    /// Checks what is later used as a number of something: a state, a token, an action.
    pub(super) fn inside(&self, space: &Space, array: &Array, rows: usize) -> Result<()> {
        if matches!(space, Space::Box { .. }) {
            return Ok(());
        }
        match (0..rows).find(|&row| !space.contains(array, row)) {
            None => Ok(()),
            Some(row) => Err(self.damaged(&format!("row {row} lies outside {space}"))),
        }
    }

    /// Checks that nothing is left.
    pub(super) fn end(mut self) -> Result<()> {
        match self.file.fill_buf() {
            Ok([]) => Ok(()),
            Ok(_) => Err(self.damaged("it goes on after its end")),
            Err(e) => Err(self.wrong(format!("cannot be read: {e}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rand::RngExt;

    use super::*;
    use crate::replay::tests::{Numbered, Stream, config, prioritized, spec};
    use crate::replay::{MiniBatch, ReplayConfig};
    use crate::seed::{Rng, Seeds};
    use crate::vector::EnvSpec;

    fn rng() -> Rng {
        Seeds::new(8).stream("sample", 0)
    }

    /// Pushes, draws and updates priorities; gives everything drawn.
    fn go_on<T: Numbered>(
        replay: &mut Replay,
        stream: &mut Stream<T>,
        rng: &mut Rng,
        steps: usize,
    ) -> Vec<MiniBatch> {
        let mut all = Vec::new();
        let mut batch = replay.new_batch(4);
        for _ in 0..steps {
            replay.push(&stream.step());
            stream.advance();
            if replay.is_empty() {
                continue;
            }
            replay.sample_into(rng, 7, &mut batch);
            // Above 1, so that the largest priority changes.
            let error = |_| 5.0 * rng.random::<f32>();
            let errors: Vec<f32> = batch.indices.iter().map(error).collect();
            replay.update_priorities(&batch.indices, &errors);
            all.push(batch.clone());
        }
        all
    }

    fn assert_same(a: &[MiniBatch], b: &[MiniBatch]) {
        assert_eq!(a.len(), b.len());
        for (a, b) in a.iter().zip(b) {
            assert_eq!((&a.stacks, &a.actions), (&b.stacks, &b.actions));
            assert_eq!((&a.rewards, &a.discounts), (&b.rewards, &b.discounts));
            assert_eq!((&a.weights, &a.indices), (&b.weights, &b.indices));
        }
    }

    /// Saves after `steps` steps, loads into a used replay and compares what both draw from then on.
    fn goes_on_the_same<T: Numbered>(config: &ReplayConfig, stack: usize, steps: usize) {
        let spec = spec::<T>(2, stack);
        let new = || Replay::new(config, &spec, 0.97).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (dir.path().join("a"), dir.path().join("b"));
        let mut streams = [Stream::<T>::new(2, stack, 6), Stream::<T>::new(2, stack, 6)];

        let mut replay = new();
        for stream in &mut streams {
            replay.clear();
            go_on(&mut replay, stream, &mut rng(), steps);
        }
        replay.save(&first).unwrap();
        let mut loaded = new();
        go_on(
            &mut loaded,
            &mut Stream::<T>::new(2, stack, 3),
            &mut rng(),
            30,
        );
        loaded.load(&first).unwrap();
        assert_eq!(loaded.len(), replay.len());
        loaded.save(&second).unwrap();
        assert!(fs::read(&first).unwrap() == fs::read(&second).unwrap());

        let [a, b] = &mut streams;
        let go_on = |replay: &mut Replay, stream| go_on(replay, stream, &mut rng(), 50);
        assert_same(&go_on(&mut replay, a), &go_on(&mut loaded, b));
    }

    #[test]
    fn a_loaded_replay_goes_on_bit_for_bit() {
        for steps in [0, 1, 2, 7, 100] {
            goes_on_the_same::<f32>(&config(50, 3), 1, steps);
            goes_on_the_same::<u8>(&prioritized(51, 3), 3, steps);
            goes_on_the_same::<u8>(&config(41, 1), 4, steps);
            goes_on_the_same::<i32>(&prioritized(37, 1), 2, steps);
        }
    }

    /// A small saved replay, half full or gone round.
    fn saved(config: &ReplayConfig, spec: &EnvSpec, path: &Path, steps: usize) -> Vec<u8> {
        let mut replay = Replay::new(config, spec, 0.97).unwrap();
        let mut stream = Stream::<i32>::new(2, 2, 6);
        go_on(&mut replay, &mut stream, &mut rng(), steps);
        replay.save(path).unwrap();
        fs::read(path).unwrap()
    }

    /// `sound` with each bit and then all bits of byte `at` flipped, and with 4 or 8 bytes from there set to 0 or 255.
    pub(super) fn damaged(sound: &[u8], at: usize) -> impl Iterator<Item = Vec<u8>> {
        let flipped = [1, 2, 4, 8, 16, 32, 64, 128, 255].map(|mask| (1, !0, mask));
        let set = [4, 8].map(|len| [(len, 0, 0), (len, 0, 255)]);
        let ways = flipped.into_iter().chain(set.into_iter().flatten());
        ways.map(move |(len, keep, mask)| {
            let mut bytes = sound.to_vec();
            let end = sound.len().min(at + len);
            bytes[at..end]
                .iter_mut()
                .for_each(|b| *b = (*b & keep) ^ mask);
            bytes
        })
    }

    #[test]
    fn no_flipped_byte_and_no_cut_makes_a_replay_panic() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("replay.bin");
        let spec = spec::<i32>(2, 2);
        for (config, steps) in [(config(20, 2), 6), (prioritized(20, 2), 30)] {
            let sound = saved(&config, &spec, &path, steps);
            let mut replay = Replay::new(&config, &spec, 0.97).unwrap();
            let mut batch = replay.new_batch(50);
            let mut accepted = 0;
            for at in 0..sound.len() {
                for damaged in damaged(&sound, at) {
                    if let Err(error) = replay.load_from(&path, &damaged[..]) {
                        assert!(matches!(&error, Error::Checkpoint { path: p, .. } if *p == path));
                        assert!(replay.is_empty());
                        continue;
                    }
                    accepted += 1;
                    if !replay.is_empty() {
                        replay.sample_into(&mut rng(), 0, &mut batch);
                    }
                    let mut stream = Stream::<i32>::new(2, 2, 1);
                    go_on(&mut replay, &mut stream, &mut rng(), 30);
                }
                let error = replay
                    .load_from(&path, &sound[..at])
                    .unwrap_err()
                    .to_string();
                assert!(error.starts_with(&path.display().to_string()), "{error}");
            }
            assert!(accepted > 0, "most of the file is plain data");
        }
    }

    #[test]
    fn a_file_that_does_not_fit_is_refused_with_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("replay.bin");
        let spec = spec::<i32>(2, 2);
        let sound = saved(&config(20, 2), &spec, &path, 30);
        let refused = |config: &ReplayConfig, spec: &EnvSpec, bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            let mut replay = Replay::new(config, spec, 0.97).unwrap();
            let error = replay.load(&path).unwrap_err().to_string();
            error[path.display().to_string().len()..].to_owned()
        };
        assert_eq!(
            refused(&config(21, 2), &spec, &sound),
            ": is of another replay: capacity 20, expected 21"
        );
        assert_eq!(
            refused(&prioritized(20, 2), &spec, &sound),
            ": is of another replay: sampler \"uniform\", expected \"prioritized\""
        );
        let pixels = crate::replay::tests::spec::<u8>(2, 2);
        assert_eq!(
            refused(&config(20, 2), &pixels, &sound),
            ": is of another replay: observation_scalar \"i32\", expected \"u8\""
        );
        let few = |bytes: &[u8]| refused(&config(20, 2), &spec, bytes);
        assert_eq!(
            few(&[&sound[..], &[0]].concat()),
            ": is damaged: it goes on after its end"
        );
        assert_eq!(few(&sound[..sound.len() - 1]), ": was cut short");
        assert!(few(b"").starts_with(": is damaged: its first line is no JSON: "));
        assert_eq!(few(b"{}\n"), ": is no replay: format null");
        let text = String::from_utf8_lossy(&sound);
        let newer = text
            .lines()
            .next()
            .unwrap()
            .replace("\"version\":1", "\"version\":2")
            + "\n";
        assert_eq!(
            few(newer.as_bytes()),
            ": has version 2 of its format; this program reads version 1"
        );
        fs::remove_file(&path).unwrap();
        let error = Replay::new(&config(20, 2), &spec, 0.97)
            .unwrap()
            .load(&path)
            .unwrap_err();
        assert!(matches!(error, Error::Checkpoint { .. }));
    }

    #[test]
    fn a_header_whose_numbers_cannot_be_is_refused() {
        let path = Path::new("replay.bin");
        let dir = tempfile::tempdir().unwrap();
        let spec = spec::<i32>(2, 2);
        for steps in [4, 30] {
            let sound = saved(&config(20, 2), &spec, &dir.path().join("replay.bin"), steps);
            let mut replay = Replay::new(&config(20, 2), &spec, 0.97).unwrap();
            replay.load_from(path, &sound[..]).unwrap();
            let header = sound.iter().position(|&byte| byte == b'\n').unwrap();
            let text = std::str::from_utf8(&sound[..header]).unwrap();
            let rows = format!("\"rows\":{}", replay.rows.filled());
            let cursor = format!("\"cursor\":{}", replay.rows.cursor);
            let other = if replay.rows.filled() < 20 { "2" } else { "20" };
            for (found, instead) in [
                (&rows, "\"rows\":21".to_owned()),
                (&rows, "\"rows\":-1".to_owned()),
                (&rows, "\"rows\":\"5\"".to_owned()),
                (&cursor, format!("\"cursor\":{other}")),
                (&cursor, "\"cursor\":18446744073709551615".to_owned()),
            ] {
                assert!(text.contains(found.as_str()));
                let damaged = text.replace(found.as_str(), &instead);
                let damaged = [damaged.as_bytes(), &sound[header..]].concat();
                let error = replay
                    .load_from(path, &damaged[..])
                    .unwrap_err()
                    .to_string();
                assert!(error.starts_with("replay.bin: is damaged: "), "{error}");
            }
        }
    }

    #[test]
    fn a_made_up_state_that_no_replay_reaches_is_refused() {
        let path = Path::new("replay.bin");
        let spec = spec::<i32>(1, 1);
        let mut replay = Replay::new(&prioritized(20, 2), &spec, 0.97).unwrap();
        let mut stream = Stream::<i32>::new(1, 1, 6);
        while replay.is_empty() || replay.n_step.open_steps(0).is_empty() {
            replay.push(&stream.step());
            stream.advance();
        }
        let mut refused = |tamper: &dyn Fn(&mut Replay)| {
            let mut sound = Vec::new();
            replay.write(&mut sound).unwrap();
            tamper(&mut replay);
            let mut tampered = Vec::new();
            replay.write(&mut tampered).unwrap();
            let error = replay
                .load_from(path, &tampered[..])
                .unwrap_err()
                .to_string();
            replay.load_from(path, &sound[..]).unwrap();
            error.replace("replay.bin: is damaged: ", "")
        };
        let priorities = |replay: &mut Replay, value: f64| {
            if let Sampler::Prioritized(prioritized) = &mut replay.candidates.sampler {
                let rows = replay.rows.filled();
                prioritized.set_priorities(rows, |_| Ok(value)).unwrap();
            }
        };
        assert_eq!(refused(&|r| priorities(r, 0.0)), "a priority is 0");
        assert_eq!(refused(&|r| priorities(r, f64::NAN)), "a priority is NaN");
        assert!(refused(&|r| priorities(r, 1e300)).starts_with("a priority is 1000"));
        assert_eq!(
            refused(&|r| priorities(r, 1.0)),
            "a row that starts no transition has a priority"
        );
        let open = "it has open steps where there can be none";
        assert_eq!(refused(&|r| r.heads[0] = NONE), open);
        assert_eq!(refused(&|r| r.heads[0] = 19), "row 19 of 3");
    }

    #[test]
    fn a_window_that_should_have_closed_is_refused() {
        let path = Path::new("replay.bin");
        let spec = spec::<i32>(1, 1);
        let mut replay = Replay::new(&config(20, 2), &spec, 0.97).unwrap();
        let mut stream = Stream::<i32>::new(1, 1, 6);
        while replay.n_step.open_steps(0).len() != 1 {
            replay.push(&stream.step());
            stream.advance();
        }
        // The file ends with the number of open steps, and row and reward of the one that there is.
        let mut bytes = Vec::new();
        replay.write(&mut bytes).unwrap();
        let count = bytes.len() - 12;
        assert_eq!(bytes[count..][..4], 1u32.to_le_bytes());
        bytes[count] = 2;
        bytes.extend([0; 8]);
        let error = replay.load_from(path, &bytes[..]).unwrap_err().to_string();
        assert!(
            error.ends_with("it has open steps where there can be none"),
            "{error}"
        );
    }

    #[test]
    fn an_action_that_does_not_exist_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("replay.bin");
        let spec = EnvSpec {
            action_space: Space::Discrete(300),
            ..spec::<i32>(2, 2)
        };
        let mut bytes = saved(&config(20, 2), &spec, &path, 6);
        let mut replay = Replay::new(&config(20, 2), &spec, 0.97).unwrap();
        replay.load(&path).unwrap();
        let header = bytes.iter().position(|&byte| byte == b'\n').unwrap() + 1;
        let actions = header + replay.rows.filled() * 2 * 4;
        bytes[actions..][..4].copy_from_slice(&300i32.to_le_bytes());
        fs::write(&path, &bytes).unwrap();
        let error = replay.load(&path).unwrap_err().to_string();
        assert!(
            error.ends_with(": is damaged: row 0 lies outside discrete(300)"),
            "{error}"
        );
    }
}
