//! Scores of a whole part of a data set, gathered batch by batch.

use std::collections::BTreeMap;
use std::sync::Arc;

use thorndike_core::Kind;

use crate::answers::{Answer, AnswerLimits, Candidates};
use crate::boxes::{Bounds, clipped};
use crate::score::{
    Coco, CocoSummary, Entities, Found, NullScore, Regression, Scheme, Tags, Truth, VocPoints,
    answer_f1, best_threshold, exact_match, voc_ap,
};
use crate::{Batch, DataSet, Detection, IGNORED, Object, Prediction, Targets, Task};

/// How a model did on a part of a data set.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    /// Samples.
    pub samples: u64,
    /// Name of the score by which models are compared; more is better.
    pub name: &'static str,
    /// What was gathered.
    pub gathered: Gathered,
    /// Mean loss of what counts: negative logarithms of probabilities (nats), or squared errors.
    pub loss: f64,
}

/// What was gathered of all samples, for scores and pictures.
#[derive(Clone, Debug, PartialEq)]
pub enum Gathered {
    /// Of classes of samples.
    Classes {
        /// The right class of each sample.
        classes: Vec<u32>,
        /// `[samples, classes]`: natural logarithms of the probabilities.
        logs: Vec<f32>,
    },
    /// Of classes of steps.
    Steps {
        /// Steps that count.
        counted: u64,
        /// Those of them that were put into the right class.
        right: u64,
        /// Whether the steps are those of one long sequence, whose probability is the score.
        consecutive: bool,
    },
    /// Of tags of words.
    Entities {
        /// All entities.
        entities: Entities,
        /// Of each sample: entities that were found, said, and there.
        samples: Vec<[u64; 3]>,
        /// Words.
        words: u64,
        /// Words with the right tag.
        right: u64,
    },
    /// Of questions.
    Spans {
        /// What was answered to each.
        questions: Vec<Answered>,
    },
    /// Of masked words and next sentences.
    Masked {
        /// Masked words.
        words: u64,
        /// Those of them that were the likeliest ones.
        right: u64,
        /// Second texts.
        nexts: u64,
        /// Those of them that were told to follow or not, and rightly.
        next_right: u64,
    },
    /// Of classes of pixels: for each image and each class, pixels of both, of the prediction, and of the truth.
    Pixels {
        /// `[images, classes]`.
        overlaps: Vec<[u64; 3]>,
        /// Number of classes.
        classes: usize,
        /// The first class that is scored: 1 if class 0 is the background.
        first: usize,
    },
    /// Of numbers.
    Numbers {
        /// `[samples, numbers]`, the right ones.
        truth: Vec<f32>,
        /// `[samples, numbers]`.
        outputs: Vec<f32>,
        /// Numbers of a sample.
        width: usize,
    },
    /// Of objects in pictures.
    Boxes {
        /// Number of each sample in its data set.
        samples: Vec<usize>,
        /// Objects of each sample, in pixels of its picture.
        objects: Vec<Vec<Object>>,
        /// Detections of each sample, in pixels of its picture and cut off at its edges.
        detections: Vec<Vec<Detection>>,
        /// Number of classes.
        classes: usize,
    },
}

impl Gathered {
    fn name(&self) -> &'static str {
        match self {
            Gathered::Classes { .. } => "accuracy",
            Gathered::Steps {
                consecutive: true, ..
            } => "log-likelihood",
            Gathered::Steps { .. } => "step accuracy",
            Gathered::Entities { .. } => "entity F1",
            Gathered::Spans { .. } => "exact match",
            Gathered::Masked { .. } => "log-likelihood",
            Gathered::Pixels { .. } => "mean IoU",
            Gathered::Numbers { .. } => "R2",
            Gathered::Boxes { .. } => "AP50:95",
        }
    }
}

/// What was answered to a question.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    /// A sample of the question.
    pub sample: usize,
    /// Answers with their places, the likeliest first.
    pub answers: Vec<Answer>,
    /// By how much "no answer" was likelier than the best of them, as a difference of logarithms.
    pub margin: f64,
    /// Whether the text has an answer.
    pub answerable: bool,
    /// Whether what was said is one of the right answers, and its F1. Where questions may have no answer, nothing is said
    /// if `margin` is above 0.
    pub said: [f64; 2],
    /// The same of the likeliest answer, whatever the margin.
    pub best: [f64; 2],
}

/// Gathers scores.
#[derive(Debug)]
pub struct Scorer {
    set: Arc<dyn DataSet>,
    gathered: Gathered,
    /// Of each question, a sample and its answers.
    asked: BTreeMap<usize, (usize, Candidates)>,
    samples: u64,
    loss: f64,
    counted: u64,
}

impl Scorer {
    /// For samples of `set`.
    pub fn new(set: Arc<dyn DataSet>) -> Self {
        let info = set.info();
        let tags = match &info.task {
            Task::Positions { names } => Tags::of(names),
            _ => None,
        };
        let gathered = match &info.task {
            Task::Classes { .. } => Gathered::Classes {
                classes: Vec::new(),
                logs: Vec::new(),
            },
            Task::Positions { names } if info.scalar == Kind::U8 => Gathered::Pixels {
                overlaps: Vec::new(),
                classes: names.len(),
                first: usize::from(names[0] == "background"),
            },
            Task::Positions { .. } if let Some(tags) = tags => Gathered::Entities {
                entities: Entities::new(tags, Scheme::Conll),
                samples: Vec::new(),
                words: 0,
                right: 0,
            },
            Task::Positions { .. } => Gathered::Steps {
                counted: 0,
                right: 0,
                consecutive: set.is_consecutive(),
            },
            Task::Span { .. } => Gathered::Spans {
                questions: Vec::new(),
            },
            Task::Masked { .. } => Gathered::Masked {
                words: 0,
                right: 0,
                nexts: 0,
                next_right: 0,
            },
            Task::Numbers { names } => Gathered::Numbers {
                truth: Vec::new(),
                outputs: Vec::new(),
                width: names.len(),
            },
            Task::Boxes { names } => Gathered::Boxes {
                samples: Vec::new(),
                objects: Vec::new(),
                detections: Vec::new(),
                classes: names.len(),
            },
        };
        Self {
            set,
            gathered,
            asked: BTreeMap::new(),
            samples: 0,
            loss: 0.0,
            counted: 0,
        }
    }

    /// Adds what a model said of `batch`.
    ///
    /// # Panics
    /// If the batch is of another task.
    pub fn add(&mut self, batch: &Batch, prediction: &Prediction) {
        self.samples += batch.len() as u64;
        self.loss += prediction.loss;
        self.counted += prediction.counted;
        let mut rows = prediction.outputs.chunks_exact(prediction.width);
        match (&mut self.gathered, &batch.targets) {
            (Gathered::Classes { classes, logs }, Targets::Classes(truth)) => {
                classes.extend(truth.as_slice::<i32>().iter().map(|&class| class as u32));
                logs.extend_from_slice(&prediction.outputs);
            }
            (Gathered::Steps { counted, right, .. }, Targets::Classes(truth)) => {
                for (row, &class) in rows.zip(truth.as_slice::<i32>()) {
                    if class != IGNORED {
                        *counted += 1;
                        *right += u64::from(largest(row) == class as usize);
                    }
                }
            }
            (
                Gathered::Pixels {
                    overlaps, classes, ..
                },
                Targets::Classes(truth),
            ) => {
                for image in 0..batch.len() {
                    let mut counts = vec![[0; 3]; *classes];
                    for &class in truth.row::<i32>(image) {
                        let said = largest(rows.next().expect("a row a pixel"));
                        if class == IGNORED {
                            continue;
                        }
                        counts[said][1] += 1;
                        counts[class as usize][2] += 1;
                        if said == class as usize {
                            counts[said][0] += 1;
                        }
                    }
                    overlaps.extend(counts);
                }
            }
            (
                Gathered::Entities {
                    entities,
                    samples,
                    words,
                    right,
                },
                Targets::Classes(truth),
            ) => {
                for (row, &sample) in batch.samples.iter().enumerate() {
                    let (mut tags, mut said) = (Vec::new(), Vec::new());
                    for &class in truth.row::<i32>(row) {
                        let row = rows.next().expect("a row a position");
                        if class != IGNORED {
                            tags.push(class);
                            said.push(largest(row) as i32);
                        }
                    }
                    if let Some(words) = self.set.words(sample) {
                        // Of words without room nothing was said.
                        tags = words.tags.to_vec();
                        said.resize(tags.len(), IGNORED);
                    }
                    let pairs = tags.iter().zip(&said);
                    *words += tags.len() as u64;
                    *right += pairs.filter(|(tag, said)| tag == said).count() as u64;
                    samples.push(entities.add(&tags, &said));
                }
            }
            (Gathered::Spans { .. }, Targets::Spans(_)) => {
                let steps = batch.shape[0];
                let width = 2 * steps;
                let all = prediction.outputs.chunks_exact(width);
                for (row, (&sample, logs)) in batch.samples.iter().zip(all).enumerate() {
                    let len = batch.lengths.get(row).map_or(steps, |&len| len as usize);
                    let window = self.set.window(sample).expect("the task is of questions");
                    let new = || (sample, Candidates::new(AnswerLimits::default()));
                    let (_, candidates) = self.asked.entry(window.question).or_insert_with(new);
                    candidates.add(&window, &logs[..2 * len]);
                }
            }
            (
                Gathered::Masked {
                    words,
                    right,
                    nexts,
                    next_right,
                },
                Targets::Masked {
                    words: asked, next, ..
                },
            ) => {
                let asked = asked.as_slice::<i32>().iter();
                let asked = asked.filter(|&&word| word != IGNORED).count();
                for row in rows.by_ref().take(asked) {
                    *words += 1;
                    *right += u64::from(row[0] >= row[1]);
                }
                for (row, &next) in rows.zip(next.as_slice::<i32>()) {
                    if next != IGNORED {
                        *nexts += 1;
                        *next_right += u64::from(largest(row) == next as usize);
                    }
                }
            }
            (Gathered::Numbers { truth, outputs, .. }, Targets::Numbers(numbers)) => {
                truth.extend_from_slice(numbers.as_slice::<f32>());
                outputs.extend_from_slice(&prediction.outputs);
            }
            (
                Gathered::Boxes {
                    samples,
                    objects,
                    detections,
                    ..
                },
                Targets::Boxes(truth),
            ) => {
                let found = prediction.detections(batch.len());
                for ((&sample, truth), mut found) in batch.samples.iter().zip(truth).zip(found) {
                    let mut truth = truth.clone();
                    // What is small and what is large is said of pictures, not of what they were resized to.
                    if let Some(frame) = self.set.frame(sample) {
                        for object in &mut truth {
                            object.bounds = frame.back(object.bounds);
                        }
                        for found in &mut found {
                            found.bounds = clipped(frame.back(found.bounds), frame.from);
                        }
                    }
                    samples.push(sample);
                    objects.push(truth);
                    detections.push(found);
                }
            }
            _ => panic!("targets of another task"),
        }
    }

    /// Name of the score by which models are compared.
    pub fn name(&self) -> &'static str {
        self.gathered.name()
    }

    /// The scores of all that was added.
    pub fn finish(mut self) -> Scores {
        if let Gathered::Spans { questions } = &mut self.gathered {
            *questions = answered(&*self.set, self.asked);
        }
        Scores {
            samples: self.samples,
            name: self.gathered.name(),
            loss: self.loss / self.counted.max(1) as f64,
            gathered: self.gathered,
        }
    }
}

/// The answers to all questions, scored.
fn answered(set: &dyn DataSet, asked: BTreeMap<usize, (usize, Candidates)>) -> Vec<Answered> {
    let window = |sample| set.window(sample).expect("the task is of questions");
    let is_answerable = |sample| !window(sample).answers.is_empty();
    let all_answerable = asked.values().all(|&(sample, _)| is_answerable(sample));
    let answered = asked.into_values().map(|(sample, candidates)| {
        let window = window(sample);
        let answers = candidates.answers(!all_answerable);
        let text = |answer: &Answer| window.context.get(answer.place.clone()).unwrap_or("");
        let best = answers.first().map_or("", text);
        let margin = candidates.margin();
        let said = if !all_answerable && margin > 0.0 {
            ""
        } else {
            best
        };
        let score = |text| {
            [
                exact_match(text, window.answers),
                answer_f1(text, window.answers),
            ]
        };
        Answered {
            sample,
            margin,
            answerable: !window.answers.is_empty(),
            said: score(said),
            best: score(best),
            answers,
        }
    });
    answered.collect()
}

impl Scores {
    /// The score by which models are compared; more is better.
    pub fn main(&self) -> f64 {
        match &self.gathered {
            Gathered::Classes { classes, logs } => {
                let width = logs.len() / classes.len().max(1);
                let rows = logs.chunks_exact(width.max(1)).zip(classes);
                let right = rows.filter(|(row, class)| largest(row) == **class as usize);
                right.count() as f64 / classes.len().max(1) as f64
            }
            Gathered::Steps {
                consecutive: true, ..
            } => -self.loss,
            Gathered::Steps { counted, right, .. } => share(*right, *counted),
            Gathered::Entities { entities, .. } => entities.all().f1,
            Gathered::Spans { questions } => {
                mean(&questions.iter().map(|q| q.said[0]).collect::<Vec<_>>())
            }
            Gathered::Masked { .. } => -self.loss,
            Gathered::Pixels { .. } => mean(&self.image_ious()),
            Gathered::Numbers {
                truth,
                outputs,
                width,
            } => {
                let wide = |x: &[f32]| -> Vec<f64> { x.iter().map(|&x| x.into()).collect() };
                Regression::of(*width, &wide(truth), &wide(outputs)).r2()
            }
            Gathered::Boxes { .. } => self.coco().map_or(f64::NAN, |coco| coco.summary().ap),
        }
    }

    /// Further scores by name, for records.
    pub fn named(&self) -> Vec<(&'static str, f64)> {
        let mut named = vec![("loss", self.loss)];
        match &self.gathered {
            Gathered::Steps {
                counted,
                right,
                consecutive: true,
            } => {
                named.push(("accuracy", share(*right, *counted)));
            }
            Gathered::Entities {
                entities,
                words,
                right,
                ..
            } => {
                let all = entities.all();
                named.push(("precision", all.precision));
                named.push(("recall", all.recall));
                named.push(("token accuracy", share(*right, *words)));
            }
            Gathered::Spans { questions } => named.extend(of_answers(questions)),
            Gathered::Masked {
                words,
                right,
                nexts,
                next_right,
            } => {
                named.push(("word accuracy", share(*right, *words)));
                if *nexts > 0 {
                    named.push(("next-sentence accuracy", share(*next_right, *nexts)));
                }
            }
            Gathered::Pixels {
                overlaps,
                classes,
                first,
            } => {
                let mut sums = vec![[0; 3]; *classes];
                for image in overlaps.chunks_exact(*classes) {
                    for (sum, counts) in sums.iter_mut().zip(image) {
                        (0..3).for_each(|i| sum[i] += counts[i]);
                    }
                }
                let of = |f: fn(&[u64; 3]) -> Option<f64>| {
                    mean(&sums[*first..].iter().filter_map(f).collect::<Vec<_>>())
                };
                named.push(("IoU of all pixels", of(iou)));
                named.push(("dice of all pixels", of(dice)));
            }
            Gathered::Boxes { .. } => {
                let summary = self.coco().as_ref().map(Coco::summary);
                let figures = summary.iter().flat_map(CocoSummary::named).skip(1);
                named.extend(figures.filter(|(_, value)| !value.is_nan()));
                named.extend(self.voc_ap().map(|ap| ("VOC AP", mean_known(&ap))));
            }
            _ => {}
        }
        named
    }

    /// Matches of detections and objects, for all that COCO is scored by; `None` for other tasks. Pictures are in the
    /// order of [`Gathered::Boxes`], and an object is as large as its box.
    pub fn coco(&self) -> Option<Coco> {
        let Gathered::Boxes { classes, .. } = self.gathered else {
            return None;
        };
        let mut coco = Coco::new(classes);
        for (truth, found) in self.boxes() {
            coco.add(&truth, &found);
        }
        Some(coco)
    }

    /// Average precision of each class at an intersection over union of 0.5 over all recalls, as Pascal VOC has it since
    /// 2010; `None` for other tasks.
    pub fn voc_ap(&self) -> Option<Vec<f64>> {
        let Gathered::Boxes { classes, .. } = self.gathered else {
            return None;
        };
        let pictures: Vec<_> = self.boxes().collect();
        Some(voc_ap(classes, &pictures, 0.5, VocPoints::All))
    }

    /// What is in each picture, and what was found.
    fn boxes(&self) -> impl Iterator<Item = (Vec<Truth>, Vec<Found>)> {
        let (objects, detections) = match &self.gathered {
            Gathered::Boxes {
                objects,
                detections,
                ..
            } => (&objects[..], &detections[..]),
            _ => (&[][..], &[][..]),
        };
        objects.iter().zip(detections).map(|(objects, detections)| {
            let truth = objects.iter().map(|object| {
                let bounds = sides(object.bounds);
                Truth {
                    class: object.class,
                    bounds,
                    area: bounds[2] * bounds[3],
                    crowd: object.crowd,
                }
            });
            let found = detections.iter().map(|found| Found {
                class: found.class,
                score: found.score.into(),
                bounds: sides(found.bounds),
            });
            (truth.collect(), found.collect())
        })
    }

    /// Mean over the scored classes of the intersection over union, of each image; empty for other tasks. A class that
    /// neither the image nor the prediction has is not counted; an image without any counts 1.
    pub fn image_ious(&self) -> Vec<f64> {
        self.of_images(iou)
    }

    /// As [`image_ious`](Self::image_ious), of the Dice coefficient.
    pub fn image_dices(&self) -> Vec<f64> {
        self.of_images(dice)
    }

    fn of_images(&self, of: fn(&[u64; 3]) -> Option<f64>) -> Vec<f64> {
        let Gathered::Pixels {
            overlaps,
            classes,
            first,
        } = &self.gathered
        else {
            return Vec::new();
        };
        let image = |counts: &[[u64; 3]]| {
            let ious: Vec<f64> = counts[*first..].iter().filter_map(of).collect();
            if ious.is_empty() { 1.0 } else { mean(&ious) }
        };
        overlaps.chunks_exact(*classes).map(image).collect()
    }
}

/// Further scores of questions: as SQuAD counts them, apart for those with and without an answer if there are such.
fn of_answers(questions: &[Answered]) -> Vec<(&'static str, f64)> {
    let of = |answerable: Option<bool>, which: usize| {
        let counts = |q: &&Answered| answerable.is_none_or(|is| q.answerable == is);
        let scores = questions.iter().filter(counts).map(|q| q.said[which]);
        mean(&scores.collect::<Vec<_>>())
    };
    let mut named = vec![("F1", of(None, 1))];
    if questions.iter().any(|q| !q.answerable) {
        let best = |which: usize| {
            let score = |q: &Answered| NullScore {
                margin: q.margin,
                score: q.best[which],
                answerable: q.answerable,
            };
            best_threshold(&questions.iter().map(score).collect::<Vec<_>>())
        };
        let (exact, f1) = (best(0), best(1));
        named.extend([
            ("HasAns exact match", of(Some(true), 0)),
            ("HasAns F1", of(Some(true), 1)),
            ("NoAns exact match", of(Some(false), 0)),
            ("NoAns F1", of(Some(false), 1)),
            ("best exact match", exact.0),
            ("best exact match threshold", exact.1),
            ("best F1", f1.0),
            ("best F1 threshold", f1.1),
        ]);
    }
    named
}

fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// Intersection over union of `[both, said, true]`.
fn iou(&[both, said, truth]: &[u64; 3]) -> Option<f64> {
    let union = said + truth - both;
    (union > 0).then(|| both as f64 / union as f64)
}

/// Dice coefficient of `[both, said, true]`.
fn dice(&[both, said, truth]: &[u64; 3]) -> Option<f64> {
    (said + truth > 0).then(|| 2.0 * both as f64 / (said + truth) as f64)
}

/// Left, top, width and height.
fn sides(bounds: Bounds) -> [f64; 4] {
    let [x1, y1, x2, y2] = bounds.map(f64::from);
    [x1, y1, (x2 - x1).max(0.0), (y2 - y1).max(0.0)]
}

/// Mean of the values that are numbers.
fn mean_known(values: &[f64]) -> f64 {
    let known: Vec<f64> = values.iter().copied().filter(|x| !x.is_nan()).collect();
    match known.is_empty() {
        true => f64::NAN,
        false => mean(&known),
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Place of the first of the largest numbers of a row: the class that a model says.
pub fn largest(row: &[f32]) -> usize {
    let mut best = 0;
    for (i, value) in row.iter().enumerate() {
        if *value > row[best] {
            best = i;
        }
    }
    best
}
