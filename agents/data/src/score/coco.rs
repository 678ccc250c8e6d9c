//! Average precision of boxes as COCO has it.

use serde::{Deserialize, Serialize};

/// An object that is there. Bounds are as COCO has them: left, top, width, height.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Truth {
    /// Its class.
    pub class: usize,
    /// Left, top, width and height in pixels.
    pub bounds: [f64; 4],
    /// Square pixels, by which small, medium and large are told apart; of a segment it can be less than the box has.
    pub area: f64,
    /// Whether it is a group: it may be matched by many detections, and neither counts nor is missed.
    pub crowd: bool,
}

/// An object that was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// Its class.
    pub class: usize,
    /// How sure it is.
    pub score: f64,
    /// Left, top, width and height in pixels.
    pub bounds: [f64; 4],
}

/// Matches of detections with objects, picture by picture, for COCO's average precision and recall.
///
/// # Examples
/// ```
/// use thorndike_data::score::{Coco, Found, Truth};
/// let bounds = [10.0, 10.0, 50.0, 50.0];
/// let mut coco = Coco::new(2);
/// let truth = Truth { class: 1, bounds, area: 2500.0, crowd: false };
/// coco.add(&[truth], &[Found { class: 1, score: 0.9, bounds }]);
/// let summary = coco.summary();
/// assert!((summary.ap - 1.0).abs() < 1e-9 && summary.ap_small.is_nan());
/// ```
///
/// # Reference
/// Lin et al., *Microsoft COCO: Common Objects in Context*, 2014, and the program pycocotools 2.0, whose numbers these
/// are (`tests/detection.rs`). Deviations: what pycocotools gives as -1 is NaN.
#[derive(Clone, Debug)]
pub struct Coco {
    classes: usize,
    pictures: usize,
    matched: Vec<Matched>,
}

/// The figures that COCO is reported by. NaN where there is no object to find.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[allow(
    missing_docs,
    reason = "ten of the names say it all; `Coco` says the rest"
)]
pub struct CocoSummary {
    /// Average precision, mean over the ten thresholds of intersection over union from 0.5 to 0.95.
    pub ap: f64,
    /// At an intersection over union of 0.5.
    pub ap50: f64,
    /// At 0.75.
    pub ap75: f64,
    /// Of objects below 32² pixels.
    pub ap_small: f64,
    /// Of objects between 32² and 96² pixels.
    pub ap_medium: f64,
    /// Of larger ones.
    pub ap_large: f64,
    /// Recall, mean over the thresholds, of the surest detection of each class in each picture.
    pub ar_1: f64,
    /// Of the ten surest.
    pub ar_10: f64,
    /// Of the hundred surest.
    pub ar_100: f64,
    /// Of the hundred surest, objects below 32² pixels.
    pub ar_small: f64,
    /// Between 32² and 96².
    pub ar_medium: f64,
    /// Larger ones.
    pub ar_large: f64,
}

impl CocoSummary {
    /// The figures with their usual names.
    pub fn named(&self) -> [(&'static str, f64); 12] {
        [
            ("AP50:95", self.ap),
            ("AP50", self.ap50),
            ("AP75", self.ap75),
            ("AP small", self.ap_small),
            ("AP medium", self.ap_medium),
            ("AP large", self.ap_large),
            ("AR 1", self.ar_1),
            ("AR 10", self.ar_10),
            ("AR 100", self.ar_100),
            ("AR small", self.ar_small),
            ("AR medium", self.ar_medium),
            ("AR large", self.ar_large),
        ]
    }
}

/// Thresholds of intersection over union.
const THRESHOLDS: usize = 10;
/// Most detections of one class in a picture.
const MOST: usize = 100;
/// Areas in square pixels, both ends included: all, small, medium, large.
const AREAS: [[f64; 2]; 4] = [[0.0, 1e10], [0.0, 1024.0], [1024.0, 9216.0], [9216.0, 1e10]];
const ALL: usize = 0;

/// The thresholds, with the roundings of numpy's `linspace(0.5, 0.95, 10)`.
fn thresholds() -> [f64; THRESHOLDS] {
    let step = (0.95 - 0.5) / 9.0;
    let mut all = std::array::from_fn(|i| 0.5 + i as f64 * step);
    all[THRESHOLDS - 1] = 0.95;
    all
}

/// What became of a detection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Right,
    Wrong,
    /// On a crowd, or on or of an area that is not asked for.
    Ignored,
}

/// One class in one picture.
#[derive(Clone, Debug)]
struct Matched {
    picture: usize,
    class: usize,
    /// Descending, at most [`MOST`].
    scores: Vec<f64>,
    /// `[areas, thresholds, scores]`
    outcomes: Vec<Outcome>,
    /// Objects that count, by area.
    objects: [usize; AREAS.len()],
}

impl Coco {
    /// Nothing added yet.
    pub fn new(classes: usize) -> Self {
        Self {
            classes,
            pictures: 0,
            matched: Vec::new(),
        }
    }

    /// Adds a picture.
    ///
    /// # Panics
    /// If a class is not in `0..classes`.
    pub fn add(&mut self, truth: &[Truth], found: &[Found]) {
        let classes = truth.iter().map(|t| t.class);
        let last = classes.chain(found.iter().map(|f| f.class)).max();
        assert!(last.is_none_or(|c| c < self.classes), "class {last:?}");
        for class in 0..last.map_or(0, |last| last + 1) {
            let truth: Vec<&Truth> = truth.iter().filter(|t| t.class == class).collect();
            let mut found: Vec<&Found> = found.iter().filter(|f| f.class == class).collect();
            if truth.is_empty() && found.is_empty() {
                continue;
            }
            found.sort_by(|a, b| b.score.total_cmp(&a.score)); // stable
            found.truncate(MOST);
            self.matched
                .push(Matched::of(self.pictures, class, &truth, &found));
        }
        self.pictures += 1;
    }

    /// The figures of all pictures.
    pub fn summary(&self) -> CocoSummary {
        let all: Vec<usize> = (0..self.pictures).collect();
        self.summary_of(&all)
    }

    /// The figures of some pictures, each as often as `drawn` has it: for an [interval](super::interval).
    ///
    /// # Panics
    /// If there is no such picture.
    pub fn summary_of(&self, drawn: &[usize]) -> CocoSummary {
        let of_class = self.by_class(drawn);
        let curves = |area, most| -> Vec<Option<Curves>> {
            let curve = |matched: &Vec<&Matched>| Curves::of(matched, area, most);
            of_class.iter().map(curve).collect()
        };
        let all = curves(ALL, MOST);
        let by_area = [1, 2, 3].map(|area| curves(area, MOST));
        let few = [1, 10].map(|most| curves(ALL, most));
        let ap = |curves: &[Option<Curves>]| mean(curves, Curves::ap);
        let ar = |curves: &[Option<Curves>]| mean(curves, Curves::ar);
        CocoSummary {
            ap: ap(&all),
            ap50: mean(&all, |c| c.precision[0]),
            ap75: mean(&all, |c| c.precision[5]),
            ap_small: ap(&by_area[0]),
            ap_medium: ap(&by_area[1]),
            ap_large: ap(&by_area[2]),
            ar_1: ar(&few[0]),
            ar_10: ar(&few[1]),
            ar_100: ar(&all),
            ar_small: ar(&by_area[0]),
            ar_medium: ar(&by_area[1]),
            ar_large: ar(&by_area[2]),
        }
    }

    /// [`CocoSummary::ap`] and [`CocoSummary::ap50`] alone, which are faster.
    ///
    /// # Panics
    /// As [`summary_of`](Self::summary_of).
    pub fn ap_of(&self, drawn: &[usize]) -> [f64; 2] {
        let of_class = self.by_class(drawn);
        let curve = |matched: &Vec<&Matched>| Curves::of(matched, ALL, MOST);
        let all: Vec<Option<Curves>> = of_class.iter().map(curve).collect();
        [mean(&all, Curves::ap), mean(&all, |c| c.precision[0])]
    }

    /// [`CocoSummary::ap`] and [`CocoSummary::ap50`] of each class.
    pub fn per_class(&self) -> Vec<[f64; 2]> {
        let all: Vec<usize> = (0..self.pictures).collect();
        let curves = self.by_class(&all).into_iter().map(|matched| {
            let curves = Curves::of(&matched, ALL, MOST);
            curves.map_or([f64::NAN; 2], |c| [c.ap(), c.precision[0]])
        });
        curves.collect()
    }

    /// What belongs to each class in the pictures `drawn`.
    fn by_class(&self, drawn: &[usize]) -> Vec<Vec<&Matched>> {
        let mut of_class = vec![Vec::new(); self.classes];
        for &picture in drawn {
            assert!(picture < self.pictures, "picture {picture}");
            let start = self.matched.partition_point(|m| m.picture < picture);
            let own = self.matched[start..].iter();
            for matched in own.take_while(|m| m.picture == picture) {
                of_class[matched.class].push(matched);
            }
        }
        of_class
    }
}

impl Matched {
    fn of(picture: usize, class: usize, truth: &[&Truth], found: &[&Found]) -> Self {
        let overlaps: Vec<f64> = found
            .iter()
            .flat_map(|f| truth.iter().map(|t| overlap(f, t)))
            .collect(); // [found, truth]
        let mut outcomes = Vec::with_capacity(AREAS.len() * THRESHOLDS * found.len());
        let mut objects = [0; AREAS.len()];
        for ([least, most], objects) in AREAS.into_iter().zip(&mut objects) {
            let outside = |area: f64| area < least || area > most;
            let ignored: Vec<bool> = truth.iter().map(|t| t.crowd || outside(t.area)).collect();
            *objects = ignored.iter().filter(|&&ignored| !ignored).count();
            // Those that count are asked first.
            let mut order: Vec<usize> = (0..truth.len()).collect();
            order.sort_by_key(|&t| ignored[t]);
            let mut taken = vec![false; truth.len()];
            for threshold in thresholds() {
                taken.fill(false);
                for (i, f) in found.iter().enumerate() {
                    let row = &overlaps[i * truth.len()..][..truth.len()];
                    let mut best = None;
                    let mut least = threshold;
                    for &t in &order {
                        if taken[t] && !truth[t].crowd {
                            continue;
                        }
                        // One that counts is not given up for one that does not.
                        if best.is_some_and(|best: usize| !ignored[best]) && ignored[t] {
                            break;
                        }
                        if row[t] >= least {
                            least = row[t];
                            best = Some(t);
                        }
                    }
                    outcomes.push(match best {
                        Some(t) => {
                            taken[t] = true;
                            match ignored[t] {
                                true => Outcome::Ignored,
                                false => Outcome::Right,
                            }
                        }
                        None if outside(f.bounds[2] * f.bounds[3]) => Outcome::Ignored,
                        None => Outcome::Wrong,
                    });
                }
            }
        }
        Self {
            picture,
            class,
            scores: found.iter().map(|f| f.score).collect(),
            outcomes,
            objects,
        }
    }

    /// What became of the detections.
    fn outcomes(&self, area: usize, threshold: usize) -> &[Outcome] {
        let n = self.scores.len();
        &self.outcomes[(area * THRESHOLDS + threshold) * n..][..n]
    }
}

/// Intersection over union; of a crowd, over the area of the detection.
fn overlap(found: &Found, truth: &Truth) -> f64 {
    let ([fx, fy, fw, fh], [tx, ty, tw, th]) = (found.bounds, truth.bounds);
    let width = (fx + fw).min(tx + tw) - fx.max(tx);
    let height = (fy + fh).min(ty + th) - fy.max(ty);
    if width <= 0.0 || height <= 0.0 {
        return 0.0;
    }
    let both = width * height;
    let union = match truth.crowd {
        true => fw * fh,
        false => fw * fh + tw * th - both,
    };
    both / union
}

/// How precision goes with recall, of one class.
struct Curves {
    /// Mean precision at the recalls 0, 0.01, .., 1, by threshold.
    precision: [f64; THRESHOLDS],
    /// Highest recall, by threshold.
    recall: [f64; THRESHOLDS],
}

impl Curves {
    /// `None` if there is nothing to find.
    fn of(matched: &[&Matched], area: usize, most: usize) -> Option<Self> {
        let objects: usize = matched.iter().map(|m| m.objects[area]).sum();
        if objects == 0 {
            return None;
        }
        // Score, and where it is: of equal ones the first picture's first.
        let mut order: Vec<(f64, usize, usize)> = Vec::new();
        for (m, matched) in matched.iter().enumerate() {
            let scores = matched.scores.iter().take(most).enumerate();
            order.extend(scores.map(|(i, &score)| (score, m, i)));
        }
        order.sort_by(|a, b| b.0.total_cmp(&a.0)); // stable
        let mut curves = Self {
            precision: [0.0; THRESHOLDS],
            recall: [0.0; THRESHOLDS],
        };
        let mut points: Vec<[f64; 2]> = Vec::with_capacity(order.len());
        for threshold in 0..THRESHOLDS {
            points.clear();
            let (mut right, mut wrong) = (0_u64, 0_u64);
            for &(_, m, i) in &order {
                match matched[m].outcomes(area, threshold)[i] {
                    Outcome::Right => right += 1,
                    Outcome::Wrong => wrong += 1,
                    Outcome::Ignored => {}
                }
                let all = (right + wrong) as f64 + f64::EPSILON;
                points.push([right as f64 / objects as f64, right as f64 / all]);
            }
            curves.recall[threshold] = points.last().map_or(0.0, |point| point[0]);
            curves.precision[threshold] = at_101_recalls(&mut points);
        }
        Some(curves)
    }

    fn ap(&self) -> f64 {
        self.precision.iter().sum::<f64>() / THRESHOLDS as f64
    }

    fn ar(&self) -> f64 {
        self.recall.iter().sum::<f64>() / THRESHOLDS as f64
    }
}

/// Mean at the recalls 0, 0.01, .., 1 of the highest precision of that recall or a higher one; `points` hold recall,
/// ascending, and precision.
fn at_101_recalls(points: &mut [[f64; 2]]) -> f64 {
    let mut highest = 0.0_f64;
    for point in points.iter_mut().rev() {
        highest = highest.max(point[1]);
        point[1] = highest;
    }
    let mut at = 0;
    let mut sum = 0.0;
    for i in 0..=100 {
        let recall = if i == 100 { 1.0 } else { f64::from(i) * 0.01 };
        while at < points.len() && points[at][0] < recall {
            at += 1;
        }
        sum += points.get(at).map_or(0.0, |point| point[1]);
    }
    sum / 101.0
}

/// Mean over the classes that there is something to find of.
fn mean(curves: &[Option<Curves>], of: impl Fn(&Curves) -> f64) -> f64 {
    let known: Vec<f64> = curves.iter().flatten().map(of).collect();
    known.iter().sum::<f64>() / known.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truth(x: f64) -> Truth {
        Truth {
            class: 0,
            bounds: [x, 0.0, 40.0, 40.0],
            area: 1600.0,
            crowd: false,
        }
    }

    fn found(x: f64, score: f64) -> Found {
        Found {
            class: 0,
            score,
            bounds: [x, 0.0, 40.0, 40.0],
        }
    }

    #[test]
    fn one_of_two_found_after_a_wrong_one() {
        let mut coco = Coco::new(1);
        coco.add(
            &[truth(0.0), truth(100.0)],
            &[found(300.0, 0.9), found(100.0, 0.8)],
        );
        let summary = coco.summary();
        // Precision 1/2 up to a recall of 1/2: 51 of 101 points.
        assert!((summary.ap - 0.5 * 51.0 / 101.0).abs() < 1e-12);
        assert_eq!(
            (summary.ar_1, summary.ar_10, summary.ar_medium),
            (0.0, 0.5, 0.5)
        );
        assert!(summary.ap_small.is_nan() && summary.ar_large.is_nan());
    }

    #[test]
    fn an_object_is_found_once_and_a_crowd_any_number_of_times() {
        let twice = [found(0.0, 0.9), found(1.0, 0.8)];
        let mut coco = Coco::new(1);
        coco.add(&[truth(0.0), truth(200.0)], &twice);
        let once = coco.summary().ap50;
        let mut coco = Coco::new(1);
        let crowd = Truth {
            crowd: true,
            ..truth(200.0)
        };
        let on_crowd = [found(0.0, 0.5), found(200.0, 0.9), found(200.0, 0.8)];
        coco.add(&[truth(0.0), crowd], &on_crowd);
        // Half of them is found with precision 1; then all of them, as the crowd is not asked for.
        assert!((once - 51.0 / 101.0).abs() < 1e-12);
        assert!((coco.summary().ap50 - 1.0).abs() < 1e-12);
    }

    #[test]
    fn drawn_pictures_count_as_often_as_they_are_drawn() {
        let mut coco = Coco::new(1);
        coco.add(&[truth(0.0)], &[found(0.0, 0.9)]);
        coco.add(&[truth(0.0)], &[]);
        coco.add(&[], &[]);
        assert!((coco.ap_of(&[0, 0])[0] - 1.0).abs() < 1e-12);
        assert_eq!(coco.ap_of(&[1]), [0.0, 0.0]);
        assert!(coco.ap_of(&[2])[0].is_nan());
        // Recall 2 of 3: the points up to 0.66.
        assert!((coco.ap_of(&[0, 1, 0])[1] - 67.0 / 101.0).abs() < 1e-12);
        assert_eq!(coco.summary().ap, coco.ap_of(&[0, 1, 2])[0]);
    }
}
