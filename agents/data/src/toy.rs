//! A data set for tests: small images that count up, of three classes.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use thorndike_core::{Error, Kind, Result, Space};

use crate::{DataSet, Info, Sample, Target, Task, Values};

#[derive(Debug)]
pub(crate) struct Toy {
    pub(crate) info: Info,
    pub(crate) classes: Vec<usize>,
    pub(crate) consecutive: bool,
    /// A sample that cannot be read.
    pub(crate) damaged: Option<usize>,
    /// A sample that meets a bug.
    pub(crate) panics: Option<usize>,
    /// A sample of another shape.
    pub(crate) larger: Option<usize>,
    /// Number of samples that were read.
    pub(crate) read: AtomicUsize,
    /// Told of the first sample that is read.
    pub(crate) begun: Mutex<Option<Sender<()>>>,
    /// Number of samples.
    pub(crate) len: usize,
}

impl Toy {
    /// Images of 2 x 4 x 4; sample `i` has class `i mod 3`.
    pub(crate) fn images(len: usize) -> Self {
        let names = ["ball", "car", "doll"];
        Self {
            info: Info {
                space: Space::Box {
                    shape: vec![2, 4, 4],
                    low: 0.0,
                    high: 255.0,
                },
                scalar: Kind::U8,
                task: Task::Classes {
                    names: names.map(str::to_owned).to_vec(),
                },
                vocabulary: Vec::new(),
                encoding: serde_json::Value::Null,
            },
            classes: Vec::new(),
            consecutive: false,
            damaged: None,
            panics: None,
            larger: None,
            read: AtomicUsize::new(0),
            begun: Mutex::default(),
            len,
        }
    }

    /// Images of these classes.
    pub(crate) fn of_classes(classes: &[usize]) -> Self {
        Self {
            classes: classes.to_vec(),
            ..Self::images(classes.len())
        }
    }

    /// With a signal when the first sample is read.
    pub(crate) fn signalling(self) -> (Self, Receiver<()>) {
        let (sender, receiver) = channel();
        *self.begun.lock().unwrap() = Some(sender);
        (self, receiver)
    }
}

impl DataSet for Toy {
    fn info(&self) -> &Info {
        &self.info
    }

    fn len(&self) -> usize {
        self.len
    }

    fn sample(&self, index: usize) -> Result<Sample> {
        assert!(index < self.len);
        if self.read.fetch_add(1, Ordering::Relaxed) == 0
            && let Some(begun) = self.begun.lock().unwrap().take()
        {
            begun.send(()).unwrap();
        }
        if self.damaged == Some(index) {
            return Err(Error::Backend("it is damaged".into()));
        }
        if self.panics == Some(index) {
            panic!("a bug at {index}");
        }
        let side = if self.larger == Some(index) { 5 } else { 4 };
        let len = 2 * side * side;
        Ok(Sample {
            values: Values::U8((0..len).map(|i| (len * index + i) as u8).collect()),
            shape: vec![2, side, side],
            target: Target::Class(self.class(index)?.unwrap()),
        })
    }

    fn origin(&self, index: usize) -> String {
        format!("toys, line {}", index + 1)
    }

    fn class(&self, index: usize) -> Result<Option<usize>> {
        Ok(Some(self.classes.get(index).copied().unwrap_or(index % 3)))
    }

    fn is_consecutive(&self) -> bool {
        self.consecutive
    }
}
