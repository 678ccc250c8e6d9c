//! Tables: a row a sample, with columns of numbers and of categories.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use csv::StringRecord;
use serde::{Deserialize, Serialize};
use thorndike_core::{Error, Kind, Result};

use super::rows::{self, Classes, Column, Layout, MOST_CLASSES, Rows, is_missing, part_file};
use super::{damaged, number_space, some_of};
use crate::{DataSet, Info, Part, Sample, Target, Task, Values};

/// A CSV file, or a folder with `train.csv` and, where there are such parts, `val.csv` and `test.csv`.
///
/// A column is categorical if a value of it in the training part is no number: it becomes one feature for each of its
/// categories, 1 for that of the row (all are 0 for a category that training does not have). Missing values are refused.
/// Features are as they stand in the file: a model standardises them itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TableConfig {
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
    /// Whether the label is a number to be learned, instead of a class.
    pub regression: bool,
    /// Learn this class against all others, which become the class `rest`.
    pub positive: Option<String>,
}

impl Default for TableConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::new(),
            header: true,
            separator: ',',
            label: None,
            without: Vec::new(),
            regression: false,
            positive: None,
        }
    }
}

impl TableConfig {
    pub(crate) fn check(&self) -> Result<()> {
        rows::check_separator(self.separator)?;
        match (&self.positive, self.regression) {
            (Some(_), true) => Err(Error::config(
                "positive",
                "is a class, which regression has none of",
            )),
            (Some(class), _) if class == REST => Err(Error::config(
                "positive",
                format!("give another class than \"{REST}\""),
            )),
            _ => Ok(()),
        }
    }
}

/// The class of all that is not positive.
const REST: &str = "rest";

/// What is needed to read other files in the same way.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Encoding {
    layout: Layout,
    columns: Vec<Feature>,
}

impl Encoding {
    /// Where its columns are in `rows`.
    fn places(&self, rows: &Rows) -> Result<Vec<usize>> {
        let columns = self.columns.iter();
        columns
            .map(|column| self.layout.find(rows, column.place))
            .collect()
    }
}

/// A column that is read.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Feature {
    /// Its number, from 0.
    place: usize,
    /// Its categories; none for numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    categories: Vec<String>,
}

pub(crate) fn open(config: &TableConfig, part: Part) -> Result<Option<Arc<dyn DataSet>>> {
    let Some(path) = part_file(&config.path, part)? else {
        return Ok(None);
    };
    let rows = Rows::open(&path, config.header, config.separator)?;
    let training = match part {
        Part::Train => &rows,
        // Categories and classes are those of the training part.
        _ => match part_file(&config.path, Part::Train)? {
            Some(path) => &Rows::open(&path, config.header, config.separator)?,
            None => return Ok(None),
        },
    };
    let (encoding, labels) = encoding(config, training)?;
    let label = encoding.layout.label;
    let (task, classes) = if config.regression {
        let names = vec![training.names[label].clone()];
        (Task::Numbers { names }, None)
    } else {
        let classes = Classes::sorted(labels);
        let names = match &config.positive {
            None => classes.names.clone(),
            Some(positive) if classes.number(positive).is_some() => {
                vec![REST.to_owned(), positive.clone()]
            }
            Some(positive) => {
                let known = some_of(&classes.names);
                let what = format!("no row is of the class \"{positive}\"; classes: {known}");
                return Err(Error::config("positive", what));
            }
        };
        (Task::Classes { names }, Some(classes))
    };
    let label = encoding.layout.find(&rows, label)?;
    let places = encoding.places(&rows)?;
    let mut table = Table::new(path, encoding, task)?;
    rows.each(|line, row| {
        table.push(&rows, line, row, &places)?;
        let text = &row[label];
        table.labels.push(match (&classes, &config.positive) {
            (None, _) => Label::Number(rows.number(line, label, text)?),
            (Some(classes), positive) => {
                let class = classes.read(&rows, line, label, rows.text(line, label, text)?)?;
                let is_positive =
                    |positive: &String| usize::from(classes.names[class] == *positive);
                Label::Class(positive.as_ref().map_or(class, is_positive))
            }
        });
        Ok(())
    })?;
    if table.lines.is_empty() {
        return Err(damaged(&rows.path, "has no rows"));
    }
    Ok(Some(Arc::new(table)))
}

/// Looks through the training part for its categories and, unless the label is a number, its labels.
fn encoding(config: &TableConfig, rows: &Rows) -> Result<(Encoding, BTreeSet<String>)> {
    let label = rows.label(config.label.as_ref())?;
    let mut used = vec![true; rows.names.len()];
    used[label] = false;
    for column in &config.without {
        let place = rows.place("without", column)?;
        if place == label {
            return Err(Error::config("without", "leaves out the label"));
        }
        used[place] = false;
    }
    let mut columns: Vec<Feature> = Vec::new();
    for place in (0..used.len()).filter(|&place| used[place]) {
        columns.push(Feature {
            place,
            categories: Vec::new(),
        });
    }
    if columns.is_empty() {
        return Err(damaged(&rows.path, "has no column besides the label"));
    }
    let mut categorical = vec![false; columns.len()];
    rows.each(|_, row| {
        for (column, categorical) in columns.iter().zip(&mut categorical) {
            let text = &row[column.place];
            *categorical |= !is_missing(text) && text.parse::<f64>().is_err();
        }
        Ok(())
    })?;
    let mut categories = vec![BTreeSet::new(); columns.len()];
    let mut labels = BTreeSet::new();
    let add = |set: &mut BTreeSet<String>, line, place, text: &str, remedy: &str| {
        if set.contains(text) {
            return Ok(());
        }
        if set.len() == MOST_CLASSES {
            let what = format!("there are more than {MOST_CLASSES} different values; {remedy}");
            return Err(rows.damaged(line, place, what));
        }
        set.insert(rows.text(line, place, text)?.to_owned());
        Ok(())
    };
    rows.each(|line, row| {
        for (i, column) in columns.iter().enumerate().filter(|&(i, _)| categorical[i]) {
            let remedy = "leave the column out with `without`";
            add(
                &mut categories[i],
                line,
                column.place,
                &row[column.place],
                remedy,
            )?;
        }
        match config.regression {
            true => Ok(()),
            false => add(
                &mut labels,
                line,
                label,
                &row[label],
                "is regression = true meant?",
            ),
        }
    })?;
    for (column, categories) in columns.iter_mut().zip(categories) {
        column.categories = categories.into_iter().collect();
    }
    let names = rows.names.clone();
    let layout = Layout { names, label };
    Ok((Encoding { layout, columns }, labels))
}

/// Rows of a file with or without the label, whose columns are found by their names if there is a header.
pub(crate) fn unlabelled(
    config: &TableConfig,
    info: &Info,
    path: &Path,
) -> Result<Arc<dyn DataSet>> {
    let encoding: Option<Encoding> = serde_json::from_value(info.encoding.clone()).ok();
    let is_sound = |encoding: &Encoding| {
        let columns = encoding.columns.iter();
        encoding.layout.has(columns.map(|column| column.place))
    };
    let encoding = encoding.filter(is_sound);
    let encoding =
        encoding.ok_or_else(|| Error::Unsupported("a table for a model of no table".to_owned()))?;
    let rows = Rows::open(path, config.header, config.separator)?;
    let places = encoding.places(&rows)?;
    let mut table = Table::new(path.to_owned(), encoding, info.task.clone())?;
    rows.each(|line, row| {
        table.labels.push(Label::Unknown);
        table.push(&rows, line, row, &places)
    })?;
    if table.info != *info {
        return Err(Error::Unsupported(
            "a table for a model of another table".to_owned(),
        ));
    }
    if table.lines.is_empty() {
        return Err(damaged(path, "has no rows"));
    }
    Ok(Arc::new(table))
}

#[derive(Debug)]
struct Table {
    info: Info,
    path: PathBuf,
    encoding: Encoding,
    codes: Vec<Classes>,
    /// `[rows, columns]`: numbers, or numbers of categories, -1 for an unknown one.
    values: Vec<f32>,
    labels: Vec<Label>,
    /// Where each row stands in its file.
    lines: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
enum Label {
    Class(usize),
    Number(f32),
    Unknown,
}

impl Table {
    fn new(path: PathBuf, encoding: Encoding, task: Task) -> Result<Self> {
        let features = encoding
            .columns
            .iter()
            .map(|column| column.categories.len().max(1))
            .sum();
        let columns = encoding.columns.iter();
        Ok(Self {
            codes: columns
                .map(|column| Classes::new(column.categories.clone()))
                .collect(),
            info: Info {
                space: number_space(&[features]),
                scalar: Kind::F32,
                task,
                vocabulary: Vec::new(),
                encoding: serde_json::to_value(&encoding).map_err(|e| Error::Backend(e.into()))?,
            },
            path,
            encoding,
            values: Vec::new(),
            labels: Vec::new(),
            lines: Vec::new(),
        })
    }

    /// Adds a row but for its label; its columns stand at `places`.
    fn push(&mut self, rows: &Rows, line: u32, row: &StringRecord, places: &[usize]) -> Result<()> {
        for (codes, &place) in self.codes.iter().zip(places) {
            let text = &row[place];
            self.values.push(if codes.names.is_empty() {
                rows.number(line, place, text)?
            } else {
                let category = codes.number(rows.text(line, place, text)?);
                category.map_or(-1.0, |category| category as f32)
            });
        }
        self.lines.push(line);
        Ok(())
    }
}

impl DataSet for Table {
    fn info(&self) -> &Info {
        &self.info
    }

    fn len(&self) -> usize {
        self.labels.len()
    }

    fn sample(&self, index: usize) -> Result<Sample> {
        let columns = &self.encoding.columns;
        let mut values = Vec::new();
        for (column, &value) in columns.iter().zip(&self.values[index * columns.len()..]) {
            match column.categories.len() {
                0 => values.push(value),
                n => values
                    .extend((0..n).map(|category| f32::from(u8::from(category as f32 == value)))),
            }
        }
        Ok(Sample {
            shape: vec![values.len()],
            values: Values::F32(values),
            target: match self.labels[index] {
                Label::Class(class) => Target::Class(class),
                Label::Number(number) => Target::Numbers(vec![number]),
                Label::Unknown => Target::Unknown,
            },
        })
    }

    fn origin(&self, index: usize) -> String {
        format!("{}, line {}", self.path.display(), self.lines[index])
    }

    fn class(&self, index: usize) -> Result<Option<usize>> {
        Ok(match self.labels[index] {
            Label::Class(class) => Some(class),
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

    const PETS: &str = "weight,species,age,colour\n3.5,cat,2,red\n1e1,dog,3,black\n4,cat,7,black\n";

    fn config(path: &Path) -> TableConfig {
        TableConfig {
            path: path.to_owned(),
            label: Some(Column::Name("species".to_owned())),
            ..TableConfig::default()
        }
    }

    fn train(config: TableConfig) -> Result<Arc<dyn DataSet>> {
        let source = SourceConfig::Table(config);
        source.open(Part::Train).map(|set| set.unwrap())
    }

    fn values(set: &dyn DataSet, index: usize) -> Vec<f32> {
        match set.sample(index).unwrap().values {
            Values::F32(values) => values,
            _ => panic!("tables are of numbers"),
        }
    }

    #[test]
    fn categories_become_one_feature_each() {
        let (_folder, path) = file(PETS);
        let set = train(config(&path)).unwrap();
        assert_eq!(set.info().space, number_space(&[4]));
        assert_eq!(set.info().task.names(), ["cat", "dog"]);
        assert_eq!(values(&*set, 0), [3.5, 2.0, 0.0, 1.0]);
        assert_eq!(values(&*set, 1), [10.0, 3.0, 1.0, 0.0]);
        let classes: Vec<_> = (0..3).map(|i| set.sample(i).unwrap().target).collect();
        assert_eq!(classes, [0, 1, 0].map(Target::Class));
        assert!(set.origin(2).ends_with("a.csv, line 4"));
    }

    #[test]
    fn other_files_are_encoded_as_the_training_part() {
        let (folder, path) = file(PETS);
        let set = train(config(&path)).unwrap();
        let json = serde_json::to_string(set.info()).unwrap();
        let info: Info = serde_json::from_str(&json).unwrap();
        assert_eq!(info, *set.info());
        let other = folder.path().join("other.csv");
        // Without the label, in another order, with a category that training lacks.
        fs::write(&other, "colour,note,age,weight\nblack,x,1,2\nblue,y,1,2\n").unwrap();
        let source = SourceConfig::Table(config(&path));
        let set = source.unlabelled(&info, &other).unwrap();
        assert_eq!(values(&*set, 0), [2.0, 1.0, 1.0, 0.0]);
        assert_eq!(values(&*set, 1), [2.0, 1.0, 0.0, 0.0]);
        assert_eq!(set.sample(0).unwrap().target, Target::Unknown);
        fs::write(&other, "colour,age\nblack,1\n").unwrap();
        let error = source.unlabelled(&info, &other).unwrap_err().to_string();
        assert!(
            error.ends_with("other.csv: line 1: there is no column \"weight\""),
            "{error}"
        );
    }

    #[test]
    fn without_header_columns_are_counted() {
        let (folder, path) = file("1,a,2\n3,b,4\n");
        let config = TableConfig {
            path,
            header: false,
            label: Some(Column::Number(2)),
            ..TableConfig::default()
        };
        let set = train(config.clone()).unwrap();
        assert_eq!(values(&*set, 1), [3.0, 4.0]);
        let other = folder.path().join("other.csv");
        for text in ["5,6\n", "5,zzz,6\n"] {
            fs::write(&other, text).unwrap();
            let source = SourceConfig::Table(config.clone());
            let set = source.unlabelled(set.info(), &other).unwrap();
            assert_eq!(values(&*set, 0), [5.0, 6.0]);
        }
    }

    #[test]
    fn missing_and_infinite_values_are_refused_with_their_place() {
        for (cell, what) in [
            (
                "",
                "line 3, column 1 \"weight\": the value is missing (\"\")",
            ),
            (
                "NaN",
                "line 3, column 1 \"weight\": the value is missing (\"NaN\")",
            ),
            (
                "-inf",
                "line 3, column 1 \"weight\": expected a finite number",
            ),
            (
                "1e40",
                "line 3, column 1 \"weight\": expected a finite number",
            ),
        ] {
            let (_folder, path) = file(PETS.replace("1e1", cell));
            let error = train(config(&path)).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
        for cell in ["red", "dog"] {
            let (_folder, path) = file(PETS.replace(cell, "?"));
            let error = train(config(&path)).unwrap_err().to_string();
            assert!(error.contains("the value is missing (\"?\")"), "{error}");
        }
    }

    #[test]
    fn one_class_is_told_from_the_rest() {
        let (_folder, path) = file("x,label\n1,a\n2,b\n3,c\n");
        let mut config = TableConfig {
            path,
            positive: Some("b".to_owned()),
            ..TableConfig::default()
        };
        let set = train(config.clone()).unwrap();
        assert_eq!(set.info().task.names(), ["rest", "b"]);
        let classes: Vec<_> = (0..3).map(|i| set.class(i).unwrap().unwrap()).collect();
        assert_eq!(classes, [0, 1, 0]);
        config.positive = Some("d".to_owned());
        let error = train(config.clone()).unwrap_err().to_string();
        assert_eq!(
            error,
            "data.positive: no row is of the class \"d\"; classes: a, b, c"
        );
        config.regression = true;
        assert!(
            train(config)
                .unwrap_err()
                .to_string()
                .starts_with("data.positive: ")
        );
    }

    #[test]
    fn numbers_are_learned_and_columns_left_out() {
        let (_folder, path) = file(PETS);
        let mut config = TableConfig {
            label: Some(Column::Name("age".to_owned())),
            without: vec![Column::Name("colour".to_owned()), Column::Number(2)],
            regression: true,
            ..config(&path)
        };
        let set = train(config.clone()).unwrap();
        let names = vec!["age".to_owned()];
        assert_eq!(set.info().task, Task::Numbers { names });
        assert_eq!(values(&*set, 2), [4.0]);
        assert_eq!(set.sample(2).unwrap().target, Target::Numbers(vec![7.0]));
        config.label = Some(Column::Name("size".to_owned()));
        let error = train(config).unwrap_err().to_string();
        assert!(error.starts_with("data.label: "), "{error}");
        assert!(
            error.ends_with("has no column \"size\"; columns: weight, species, age, colour"),
            "{error}"
        );
    }

    #[test]
    fn parts_of_a_folder_share_classes_and_categories() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("train.csv"), PETS).unwrap();
        fs::write(
            folder.path().join("val.csv"),
            "species,age,weight,colour\ndog,1,9,green\n",
        )
        .unwrap();
        fs::write(
            folder.path().join("test.csv"),
            "weight,species,age,colour\n1,cow,1,green\n",
        )
        .unwrap();
        let source = SourceConfig::Table(config(folder.path()));
        let [train, val] =
            [Part::Train, Part::Validation].map(|part| source.open(part).unwrap().unwrap());
        assert_eq!(train.info(), val.info());
        assert_eq!(values(&*val, 0), [9.0, 1.0, 0.0, 0.0]);
        let error = source.open(Part::Test).unwrap_err().to_string();
        let what = "test.csv: line 2, column 2 \"species\": no class \"cow\"; classes: cat, dog";
        assert!(error.ends_with(what), "{error}");
    }

    #[test]
    fn no_truncation_and_no_changed_byte_makes_it_panic() {
        for text in changed(PETS) {
            let (_folder, path) = file(text);
            if let Ok(set) = train(config(&path)) {
                let _ = (0..set.len()).map(|i| set.sample(i)).collect::<Vec<_>>();
            }
        }
    }

    #[test]
    fn iris_has_150_rows_of_3_classes() {
        let Some(path) = real("tabular_uci/iris.csv") else {
            return;
        };
        let header = false;
        let set = train(TableConfig {
            path,
            header,
            ..TableConfig::default()
        })
        .unwrap();
        assert_eq!((set.len(), &set.info().space), (150, &number_space(&[4])));
        let names = ["Iris-setosa", "Iris-versicolor", "Iris-virginica"];
        assert_eq!(set.info().task.names(), names);
        assert_eq!(values(&*set, 0), [5.1, 3.5, 1.4, 0.2]);
    }
}
