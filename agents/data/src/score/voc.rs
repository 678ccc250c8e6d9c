//! Average precision of boxes as Pascal VOC has it.

use super::{Found, Truth};

/// How precision is averaged over recalls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VocPoints {
    /// At the recalls 0, 0.1, .., 1, as until 2009.
    Eleven,
    /// Over all recalls, as since 2010.
    All,
}

/// Average precision of each class at an intersection over union of `threshold`, 0.5 in the challenge. `pictures` hold
/// what is there and what was found. NaN of a class without an object.
///
/// Detections are looked at from the surest on, those of all pictures together; of equally sure ones the first first. Each
/// belongs to the object of its picture that it overlaps most, and is wrong if a surer one had that already. What belongs
/// to a difficult object ([`Truth::crowd`]) is not counted.
///
/// # Examples
/// ```
/// use thorndike_data::score::{Found, Truth, VocPoints, voc_ap};
/// let bounds = [0.0, 0.0, 8.0, 8.0];
/// let there = vec![Truth { class: 0, bounds, area: 64.0, crowd: false }];
/// let found = vec![Found { class: 0, score: 0.9, bounds }];
/// assert_eq!(voc_ap(1, &[(there, found)], 0.5, VocPoints::Eleven), [1.0]);
/// ```
///
/// # Reference
/// Everingham et al., *The Pascal Visual Object Classes (VOC) Challenge*, 2010, section 4.2, and its development kit.
/// Deviations: a box from 1 to 2 is one pixel wide, not two.
pub fn voc_ap(
    classes: usize,
    pictures: &[(Vec<Truth>, Vec<Found>)],
    threshold: f64,
    points: VocPoints,
) -> Vec<f64> {
    let of_class = |class| of_class(class, pictures, threshold, points);
    (0..classes).map(of_class).collect()
}

fn of_class(
    class: usize,
    pictures: &[(Vec<Truth>, Vec<Found>)],
    threshold: f64,
    points: VocPoints,
) -> f64 {
    let mut objects = 0_u64;
    let mut order: Vec<(usize, &Found)> = Vec::new();
    for (picture, (truth, found)) in pictures.iter().enumerate() {
        let own = truth.iter().filter(|t| t.class == class && !t.crowd);
        objects += own.count() as u64;
        let own = found.iter().filter(|f| f.class == class);
        order.extend(own.map(|f| (picture, f)));
    }
    if objects == 0 {
        return f64::NAN;
    }
    order.sort_by(|a, b| b.1.score.total_cmp(&a.1.score)); // stable
    let mut taken: Vec<Vec<bool>> = pictures.iter().map(|p| vec![false; p.0.len()]).collect();
    let (mut right, mut wrong) = (0_u64, 0_u64);
    let mut curve = Vec::with_capacity(order.len());
    for (picture, found) in order {
        let mut best = (f64::MIN, 0);
        for (t, truth) in pictures[picture].0.iter().enumerate() {
            let overlap = overlap(found.bounds, truth.bounds);
            if truth.class == class && overlap > best.0 {
                best = (overlap, t);
            }
        }
        let (overlap, t) = best;
        if overlap < threshold {
            wrong += 1;
        } else if pictures[picture].0[t].crowd {
            continue;
        } else if taken[picture][t] {
            wrong += 1;
        } else {
            taken[picture][t] = true;
            right += 1;
        }
        let recall = right as f64 / objects as f64;
        curve.push([recall, right as f64 / (right + wrong) as f64]);
    }
    match points {
        VocPoints::Eleven => {
            let best = |recall: f64| {
                let reached = curve.iter().filter(|point| point[0] >= recall);
                reached.map(|point| point[1]).fold(0.0, f64::max)
            };
            (0..=10).map(|i| best(f64::from(i) / 10.0)).sum::<f64>() / 11.0
        }
        VocPoints::All => {
            let (mut area, mut highest) = (0.0, 0.0_f64);
            for i in (0..curve.len()).rev() {
                highest = highest.max(curve[i][1]);
                let before = if i > 0 { curve[i - 1][0] } else { 0.0 };
                area += (curve[i][0] - before) * highest;
            }
            area
        }
    }
}

/// Intersection over union.
fn overlap(a: [f64; 4], b: [f64; 4]) -> f64 {
    let width = (a[0] + a[2]).min(b[0] + b[2]) - a[0].max(b[0]);
    let height = (a[1] + a[3]).min(b[1] + b[3]) - a[1].max(b[1]);
    if width <= 0.0 || height <= 0.0 {
        return 0.0;
    }
    width * height / (a[2] * a[3] + b[2] * b[3] - width * height)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truth(x: f64, crowd: bool) -> Truth {
        Truth {
            class: 0,
            bounds: [x, 0.0, 10.0, 10.0],
            area: 100.0,
            crowd,
        }
    }

    fn found(x: f64, score: f64) -> Found {
        Found {
            class: 0,
            score,
            bounds: [x, 0.0, 10.0, 10.0],
        }
    }

    #[test]
    fn both_averages_by_hand() {
        // Right, wrong (a second time the same), right, wrong: recall 1/3, 1/3, 2/3, 2/3; precision 1, 1/2, 2/3, 1/2.
        let one = (
            vec![truth(0.0, false), truth(50.0, false)],
            vec![found(0.0, 0.9), found(1.0, 0.8)],
        );
        let two = (
            vec![truth(0.0, false)],
            vec![found(2.0, 0.7), found(90.0, 0.6)],
        );
        let pictures = [one, two];
        let all = voc_ap(2, &pictures, 0.5, VocPoints::All);
        assert!((all[0] - (1.0 / 3.0 + 2.0 / 9.0)).abs() < 1e-12);
        assert!(all[1].is_nan());
        // Recalls 0 to 0.3: 1; 0.4 to 0.6: 2/3; above: 0.
        let eleven = voc_ap(1, &pictures, 0.5, VocPoints::Eleven);
        assert!((eleven[0] - (4.0 + 3.0 * 2.0 / 3.0) / 11.0).abs() < 1e-12);
    }

    #[test]
    fn difficult_objects_are_passed_over() {
        let picture = (
            vec![truth(0.0, true), truth(50.0, false)],
            vec![found(0.0, 0.9), found(0.0, 0.85), found(50.0, 0.8)],
        );
        assert_eq!(voc_ap(1, &[picture], 0.5, VocPoints::All), [1.0]);
    }
}
