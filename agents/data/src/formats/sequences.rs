//! Sequences of numbers: a row a sequence, or a row a step.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use csv::StringRecord;
use serde::{Deserialize, Serialize};
use thorndike_core::{Error, Kind, Result, check_range};

use super::rows::{self, Classes, Column, Layout, MOST_CLASSES, Rows, part_file};
use super::{damaged, number_space};
use crate::{DataSet, Info, Part, Sample, Target, Task, Values};

/// A CSV file, or a folder with `train.csv` and, where there are such parts, `val.csv` and `test.csv`.
///
/// Without `ids`, a row is a sequence: its columns but for the label are the steps in their order, `features` columns
/// each; a shorter one leaves its last cells empty. With `ids`, a row is a step: rows that follow each other with the
/// same id are a sequence, and the columns but for id and label are the features.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SequencesConfig {
    /// The file or folder.
    pub path: PathBuf,
    /// Whether the first line names the columns.
    pub header: bool,
    /// What separates columns.
    pub separator: char,
    /// The column to be learned, by its name or number from 1; the one named `label` if it is not given, else the last.
    pub label: Option<Column>,
    /// Columns that are not used.
    pub without: Vec<Column>,
    /// Columns of one step, where a row is a sequence.
    pub features: usize,
    /// The column with the id of the sequence, where a row is a step.
    pub ids: Option<Column>,
    /// With `ids`: whether every step has a class of its own, instead of one for the sequence.
    pub tags: bool,
    /// Whether the label is a number to be learned, instead of a class.
    pub regression: bool,
}

impl Default for SequencesConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::new(),
            header: true,
            separator: ',',
            label: None,
            without: Vec::new(),
            features: 1,
            ids: None,
            tags: false,
            regression: false,
        }
    }
}

impl SequencesConfig {
    pub(crate) fn check(&self) -> Result<()> {
        rows::check_separator(self.separator)?;
        check_range("features", self.features, 1..=1_000_000)?;
        if self.ids.is_some() && self.features != 1 {
            return Err(Error::config(
                "features",
                "is not used with ids: all columns of a row are",
            ));
        }
        if self.tags && (self.ids.is_none() || self.regression) {
            return Err(Error::config("tags", "needs ids, and no regression"));
        }
        Ok(())
    }
}

/// What is needed to read other files in the same way; columns are counted from 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Encoding {
    layout: Layout,
    ids: Option<usize>,
    /// Columns with the values.
    columns: Vec<usize>,
    /// Columns of a step.
    features: usize,
    /// Steps of each sequence, if all are as long.
    steps: Option<usize>,
}

impl Encoding {
    fn of(config: &SequencesConfig, rows: &Rows) -> Result<Self> {
        let label = rows.label(config.label.as_ref())?;
        let ids = config
            .ids
            .as_ref()
            .map(|ids| rows.place("ids", ids))
            .transpose()?;
        let mut used = vec![true; rows.names.len()];
        for column in &config.without {
            used[rows.place("without", column)?] = false;
        }
        if ids == Some(label) || !used[label] || ids.is_some_and(|ids| !used[ids]) {
            return Err(Error::config(
                "label",
                "label, ids and those left out are different columns",
            ));
        }
        used[label] = false;
        if let Some(ids) = ids {
            used[ids] = false;
        }
        let columns: Vec<usize> = (0..used.len()).filter(|&place| used[place]).collect();
        let features = ids.map_or(config.features, |_| columns.len());
        if columns.is_empty() || !columns.len().is_multiple_of(features) {
            let what = format!(
                "has {} columns besides the label, expected a multiple of features = {features}",
                columns.len()
            );
            return Err(damaged(&rows.path, what));
        }
        Ok(Self {
            layout: Layout {
                names: rows.names.clone(),
                label,
            },
            ids,
            columns,
            features,
            steps: None,
        })
    }

    /// Where its columns are in `rows`.
    fn places(&self, rows: &Rows) -> Result<Places> {
        let find = |&place: &usize| self.layout.find(rows, place);
        Ok(Places {
            ids: self.ids.as_ref().map(find).transpose()?,
            columns: self.columns.iter().map(find).collect::<Result<_>>()?,
        })
    }

    fn is_sound(&self) -> bool {
        let wide = self.ids.is_none() || self.columns.len() == self.features;
        let places = self.columns.iter().chain(&self.ids).copied();
        self.layout.has(places) && self.features > 0 && wide
    }
}

/// Columns of one file.
struct Places {
    ids: Option<usize>,
    columns: Vec<usize>,
}

pub(crate) fn open(config: &SequencesConfig, part: Part) -> Result<Option<Arc<dyn DataSet>>> {
    let Some(path) = part_file(&config.path, part)? else {
        return Ok(None);
    };
    let rows = Rows::open(&path, config.header, config.separator)?;
    let training = match part {
        Part::Train => &rows,
        // Classes are those of the training part.
        _ => match part_file(&config.path, Part::Train)? {
            Some(path) => &Rows::open(&path, config.header, config.separator)?,
            None => return Ok(None),
        },
    };
    let mut encoding = Encoding::of(config, training)?;
    let places = encoding.places(&rows)?;
    let label = encoding.layout.find(&rows, encoding.layout.label)?;
    let classes = match config.regression {
        true => None,
        false => Some(classes(training, encoding.layout.label)?),
    };
    let mut reader = Reader::new(encoding.features);
    rows.each(|line, row| {
        let label = match &classes {
            None => Label::Number(rows.number(line, label, &row[label])?),
            Some(classes) => {
                let text = rows.text(line, label, &row[label])?;
                Label::Class(classes.read(&rows, line, label, text)?)
            }
        };
        reader.push(&rows, line, row, &places, label, config.tags)
    })?;
    let names = match classes {
        Some(classes) => classes.names,
        None => vec![rows.names[label].clone()],
    };
    let task = match (config.regression, config.tags) {
        (true, _) => Task::Numbers { names },
        (false, true) => Task::Positions { names },
        (false, false) => Task::Classes { names },
    };
    let (steps, equal) = reader.steps();
    encoding.steps = equal.then_some(steps);
    let info = Info {
        space: number_space(&[steps, encoding.features]),
        scalar: Kind::F32,
        task,
        vocabulary: Vec::new(),
        encoding: serde_json::to_value(&encoding).map_err(|e| Error::Backend(e.into()))?,
    };
    Ok(Some(Arc::new(reader.finish(path, info, config.tags)?)))
}

fn classes(rows: &Rows, label: usize) -> Result<Classes> {
    let mut names = BTreeSet::new();
    rows.each(|line, row| {
        if !names.contains(&row[label]) {
            if names.len() == MOST_CLASSES {
                let what = format!(
                    "there are more than {MOST_CLASSES} classes; is regression = true meant?"
                );
                return Err(rows.damaged(line, label, what));
            }
            names.insert(rows.text(line, label, &row[label])?.to_owned());
        }
        Ok(())
    })?;
    Ok(Classes::sorted(names))
}

/// Sequences of a file with or without the label.
pub(crate) fn unlabelled(
    config: &SequencesConfig,
    info: &Info,
    path: &Path,
) -> Result<Arc<dyn DataSet>> {
    let encoding: Option<Encoding> = serde_json::from_value(info.encoding.clone()).ok();
    let encoding = encoding.filter(Encoding::is_sound);
    let encoding = encoding
        .ok_or_else(|| Error::Unsupported("sequences for a model of no sequences".to_owned()))?;
    let rows = Rows::open(path, config.header, config.separator)?;
    let places = encoding.places(&rows)?;
    let mut reader = Reader::new(encoding.features);
    rows.each(|line, row| reader.push(&rows, line, row, &places, Label::Unknown, false))?;
    let lengths = reader
        .starts
        .windows(2)
        .map(|ends| (ends[1] - ends[0]) / encoding.features);
    let mut places = lengths.zip(&reader.lines);
    if let Some(expected) = encoding.steps
        && let Some((steps, line)) = places.find(|&(steps, _)| steps != expected)
    {
        let what = format!("line {line}: has {steps} steps, expected {expected} as in training");
        return Err(damaged(path, what));
    }
    Ok(Arc::new(reader.finish(
        path.to_owned(),
        info.clone(),
        false,
    )?))
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Label {
    Class(usize),
    Number(f32),
    Unknown,
}

/// Sequences while they are read.
struct Reader {
    features: usize,
    values: Vec<f32>,
    /// Where the values of each sequence begin; the last is the end of all.
    starts: Vec<usize>,
    lines: Vec<u32>,
    /// One a sequence; or a step, if those have their own.
    labels: Vec<Label>,
    id: Option<String>,
}

impl Reader {
    fn new(features: usize) -> Self {
        Self {
            features,
            values: Vec::new(),
            starts: vec![0],
            lines: Vec::new(),
            labels: Vec::new(),
            id: None,
        }
    }

    fn push(
        &mut self,
        rows: &Rows,
        line: u32,
        row: &StringRecord,
        places: &Places,
        label: Label,
        tags: bool,
    ) -> Result<()> {
        let mut columns = &places.columns[..];
        let goes_on = match places.ids {
            Some(ids) => {
                let id = rows.text(line, ids, &row[ids])?;
                let goes_on = self.id.as_deref() == Some(id);
                if !goes_on {
                    self.id = Some(id.to_owned());
                }
                goes_on
            }
            None => {
                while let [shorter @ .., last] = columns
                    && row[*last].is_empty()
                {
                    columns = shorter;
                }
                if columns.is_empty() {
                    let what = format!("line {line}: the sequence has no steps");
                    return Err(damaged(&rows.path, what));
                }
                if !columns.len().is_multiple_of(self.features) {
                    let what = format!(
                        "line {line}: the sequence has {} values, expected a multiple of features = {}",
                        columns.len(),
                        self.features
                    );
                    return Err(damaged(&rows.path, what));
                }
                false
            }
        };
        for &place in columns {
            self.values.push(rows.number(line, place, &row[place])?);
        }
        if goes_on {
            self.starts.pop();
        } else {
            self.lines.push(line);
        }
        self.starts.push(self.values.len());
        if tags || !goes_on {
            self.labels.push(label);
        } else if self.labels.last() != Some(&label) {
            let what = "the label differs within its sequence; is tags = true meant?";
            return Err(damaged(&rows.path, format!("line {line}: {what}")));
        }
        Ok(())
    }

    /// The most steps, and whether all sequences have as many.
    fn steps(&self) -> (usize, bool) {
        let lengths = self
            .starts
            .windows(2)
            .map(|ends| (ends[1] - ends[0]) / self.features);
        let most = lengths.clone().max().unwrap_or(0);
        (most, lengths.min() == Some(most))
    }

    fn finish(self, path: PathBuf, info: Info, tags: bool) -> Result<Sequences> {
        if self.lines.is_empty() {
            return Err(damaged(&path, "has no rows"));
        }
        let Self {
            features,
            values,
            starts,
            lines,
            labels,
            ..
        } = self;
        Ok(Sequences {
            info,
            path,
            features,
            values,
            starts,
            lines,
            labels,
            tags,
        })
    }
}

#[derive(Debug)]
struct Sequences {
    info: Info,
    path: PathBuf,
    features: usize,
    values: Vec<f32>,
    starts: Vec<usize>,
    lines: Vec<u32>,
    labels: Vec<Label>,
    tags: bool,
}

impl DataSet for Sequences {
    fn info(&self) -> &Info {
        &self.info
    }

    fn len(&self) -> usize {
        self.lines.len()
    }

    fn sample(&self, index: usize) -> Result<Sample> {
        let range = self.starts[index]..self.starts[index + 1];
        let steps = range.start / self.features..range.end / self.features;
        let target = if self.tags {
            let class = |label: &Label| match label {
                Label::Class(class) => *class as i32,
                _ => unreachable!("steps have classes"),
            };
            Target::Positions(self.labels[steps.clone()].iter().map(class).collect())
        } else {
            match self.labels[index] {
                Label::Class(class) => Target::Class(class),
                Label::Number(number) => Target::Numbers(vec![number]),
                Label::Unknown => Target::Unknown,
            }
        };
        Ok(Sample {
            values: Values::F32(self.values[range].to_vec()),
            shape: vec![steps.len(), self.features],
            target,
        })
    }

    fn origin(&self, index: usize) -> String {
        format!("{}, line {}", self.path.display(), self.lines[index])
    }

    fn class(&self, index: usize) -> Result<Option<usize>> {
        Ok(match self.labels[index] {
            Label::Class(class) if !self.tags => Some(class),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::SourceConfig;
    use crate::formats::rows::tests::{changed, file};
    use crate::formats::tests::real;

    const LONG: &str = "id,x,y,label\n7,1,2,a\n7,3,4,a\n8,5,6,b\n7,7,8,a\n";

    fn train(config: SequencesConfig) -> Result<Arc<dyn DataSet>> {
        let source = SourceConfig::Sequences(config);
        source.open(Part::Train).map(|set| set.unwrap())
    }

    fn wide(path: &Path) -> SequencesConfig {
        SequencesConfig {
            path: path.to_owned(),
            ..SequencesConfig::default()
        }
    }

    fn long(path: &Path) -> SequencesConfig {
        SequencesConfig {
            ids: Some(Column::Name("id".to_owned())),
            ..wide(path)
        }
    }

    fn sample(values: &[f32], features: usize, target: Target) -> Sample {
        Sample {
            values: Values::F32(values.to_vec()),
            shape: vec![values.len() / features, features],
            target,
        }
    }

    #[test]
    fn rows_may_end_early() {
        let (_folder, path) = file("label,a,b,c,d\n1,1,2,3,4\n0,5,6,,\n");
        let features = 2;
        let set = train(SequencesConfig {
            features,
            ..wide(&path)
        })
        .unwrap();
        assert_eq!(set.info().space, number_space(&[2, 2]));
        assert_eq!(
            set.sample(0).unwrap(),
            sample(&[1.0, 2.0, 3.0, 4.0], 2, Target::Class(1))
        );
        assert_eq!(
            set.sample(1).unwrap(),
            sample(&[5.0, 6.0], 2, Target::Class(0))
        );
        assert!(set.origin(1).ends_with("a.csv, line 3"));
    }

    #[test]
    fn gaps_and_parts_of_a_step_are_refused() {
        for (row, what) in [
            ("0,,6,7,8", "line 3, column 2 \"a\": the value is missing"),
            (
                "0,5,6,7,",
                "line 3: the sequence has 3 values, expected a multiple of features = 2",
            ),
            ("0,,,,", "line 3: the sequence has no steps"),
            (
                "0,5,x,,",
                "line 3, column 3 \"b\": expected a number, found \"x\"",
            ),
            (",5,6,,", "line 3, column 1 \"label\": the value is missing"),
        ] {
            let (_folder, path) = file(format!("label,a,b,c,d\n1,1,2,3,4\n{row}\n"));
            let features = 2;
            let error = train(SequencesConfig {
                features,
                ..wide(&path)
            })
            .unwrap_err()
            .to_string();
            assert!(error.contains(what), "{error}");
        }
    }

    #[test]
    fn steps_with_one_id_are_a_sequence() {
        let (_folder, path) = file(LONG);
        let set = train(long(&path)).unwrap();
        assert_eq!(set.len(), 3);
        assert_eq!(
            set.sample(0).unwrap(),
            sample(&[1.0, 2.0, 3.0, 4.0], 2, Target::Class(0))
        );
        assert_eq!(
            set.sample(1).unwrap(),
            sample(&[5.0, 6.0], 2, Target::Class(1))
        );
        assert_eq!(
            set.sample(2).unwrap(),
            sample(&[7.0, 8.0], 2, Target::Class(0))
        );
        let (_folder, path) = file(LONG.replace("3,4,a", "3,4,b"));
        let error = train(long(&path)).unwrap_err().to_string();
        assert!(error.contains("line 3: the label differs"), "{error}");
    }

    #[test]
    fn every_step_may_have_its_tag() {
        let (_folder, path) = file(LONG.replace("3,4,a", "3,4,b"));
        let tags = true;
        let set = train(SequencesConfig {
            tags,
            ..long(&path)
        })
        .unwrap();
        let names = ["a", "b"].map(str::to_owned).to_vec();
        assert_eq!(set.info().task, Task::Positions { names });
        let targets: Vec<_> = (0..3).map(|i| set.sample(i).unwrap().target).collect();
        assert_eq!(
            targets,
            [vec![0, 1], vec![1], vec![0]].map(Target::Positions)
        );
        assert_eq!(set.class(0).unwrap(), None);
    }

    #[test]
    fn sequences_to_predict_need_no_label() {
        let (folder, path) = file(LONG);
        let source = SourceConfig::Sequences(long(&path));
        let info = source.open(Part::Train).unwrap().unwrap().info().clone();
        let json = serde_json::to_string(&info).unwrap();
        assert_eq!(serde_json::from_str::<Info>(&json).unwrap(), info);
        let other = folder.path().join("other.csv");
        for text in ["y,id,x\n1,a,2\n3,a,4\n", "y,id,label,x\n1,a,z,2\n3,a,,4\n"] {
            fs::write(&other, text).unwrap();
            let set = source.unlabelled(&info, &other).unwrap();
            let expected = sample(&[2.0, 1.0, 4.0, 3.0], 2, Target::Unknown);
            assert_eq!((set.len(), set.sample(0).unwrap()), (1, expected));
        }
    }

    #[test]
    fn sequences_to_predict_are_as_long_as_those_learned_from() {
        let (folder, path) = file("0,1,2\n1,3,4\n");
        let source = SourceConfig::Sequences(SequencesConfig {
            header: false,
            label: Some(Column::Number(1)),
            ..wide(&path)
        });
        let info = source.open(Part::Train).unwrap().unwrap().info().clone();
        let other = folder.path().join("other.csv");
        fs::write(&other, "5,6\n").unwrap();
        let set = source.unlabelled(&info, &other).unwrap();
        assert_eq!(
            set.sample(0).unwrap(),
            sample(&[5.0, 6.0], 1, Target::Unknown)
        );
        fs::write(&other, "5,6\n7,\n").unwrap();
        let error = source.unlabelled(&info, &other).unwrap_err().to_string();
        assert!(
            error.ends_with("line 2: has 1 steps, expected 2 as in training"),
            "{error}"
        );
        fs::write(&other, "5,6,7,8\n").unwrap();
        let error = source.unlabelled(&info, &other).unwrap_err().to_string();
        assert!(
            error.ends_with("has 4 columns, expected 3, or 2 without the label"),
            "{error}"
        );
    }

    #[test]
    fn numbers_are_learned() {
        let (_folder, path) = file("a,b,label\n1,2,0.5\n");
        let regression = true;
        let set = train(SequencesConfig {
            regression,
            ..wide(&path)
        })
        .unwrap();
        let target = Target::Numbers(vec![0.5]);
        assert_eq!(set.sample(0).unwrap(), sample(&[1.0, 2.0], 1, target));
    }

    #[test]
    fn no_truncation_and_no_changed_byte_makes_it_panic() {
        for text in changed(LONG) {
            let (_folder, path) = file(text);
            let tags = true;
            for config in [
                wide(&path),
                long(&path),
                SequencesConfig {
                    tags,
                    ..long(&path)
                },
            ] {
                if let Ok(set) = train(config) {
                    let _ = (0..set.len()).map(|i| set.sample(i)).collect::<Vec<_>>();
                }
            }
        }
    }

    #[test]
    fn mnist1d_has_4000_sequences_of_40_steps() {
        let Some(folder) = real("mnist1d") else {
            return;
        };
        let set = train(wide(&folder)).unwrap();
        assert_eq!((set.len(), set.info().task.names().len()), (4000, 10));
        assert_eq!(set.info().space, number_space(&[40, 1]));
        let sample = set.sample(0).unwrap();
        assert_eq!(
            (sample.shape, sample.target),
            (vec![40, 1], Target::Class(2))
        );
    }
}
