//! Vectors as points in two dimensions, to be looked at.

/// The two directions in which `points` `[rows, width]` spread most: where each lies along them, `[rows]`.
///
/// # Reference
/// Pearson, *On Lines and Planes of Closest Fit to Systems of Points in Space*, 1901. Deviations: the directions are found
/// by 200 steps of orthogonal iteration from fixed ones, signs so that the largest of each is positive.
///
/// # Panics
/// If the numbers are no whole rows.
pub fn pca(points: &[f32], width: usize) -> Vec<[f64; 2]> {
    assert_eq!(points.len() % width, 0, "whole rows");
    let rows = points.len() / width;
    let mut mean = vec![0.0; width];
    for row in points.chunks_exact(width) {
        for (mean, &x) in mean.iter_mut().zip(row) {
            *mean += f64::from(x) / rows as f64;
        }
    }
    let centred: Vec<f64> = points
        .chunks_exact(width)
        .flat_map(|row| row.iter().zip(&mean).map(|(&x, mean)| f64::from(x) - mean))
        .collect();
    let start = |k: usize| -> Vec<f64> {
        let wave = |i: usize| ((i * (k + 1) + 1) as f64).sin();
        (0..width).map(wave).collect()
    };
    let mut directions = [start(0), start(1)];
    for _ in 0..200 {
        for direction in &mut directions {
            let mut next = vec![0.0; width];
            for row in centred.chunks_exact(width) {
                let along = product(row, direction);
                next.iter_mut()
                    .zip(row)
                    .for_each(|(sum, x)| *sum += along * x);
            }
            *direction = next;
        }
        let [first, second] = &mut directions;
        make_unit(first);
        let along = product(first, second);
        second
            .iter_mut()
            .zip(&*first)
            .for_each(|(y, x)| *y -= along * x);
        make_unit(second);
    }
    for direction in &mut directions {
        let largest = direction.iter().fold(
            0.0_f64,
            |most, &x| {
                if x.abs() > most.abs() { x } else { most }
            },
        );
        if largest < 0.0 {
            direction.iter_mut().for_each(|x| *x = -*x);
        }
    }
    centred
        .chunks_exact(width)
        .map(|row| [product(row, &directions[0]), product(row, &directions[1])])
        .collect()
}

fn product(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn make_unit(x: &mut [f64]) {
    let length = product(x, x).sqrt();
    if length > 0.0 {
        x.iter_mut().for_each(|x| *x /= length);
    }
}

/// Points whose neighbours in two dimensions are those that they have in `points` `[rows, width]`; starts from
/// [`pca`] and draws nothing. Takes time by the square of the rows: a second for some hundreds.
///
/// # Reference
/// van der Maaten, Hinton, *Visualizing Data using t-SNE*, 2008: exaggeration by 4 for the first 100 of 1,000 steps,
/// momentum 0.5 for 250 steps and 0.8 then, gains as in their program. Deviations: the start, as Kobak, Berens, *The art of
/// using t-SNE for single-cell transcriptomics*, 2019; the rate is a twelfth of the rows, 50 or more, as they say.
///
/// # Panics
/// If the numbers are no whole rows.
pub fn t_sne(points: &[f32], width: usize, perplexity: f64) -> Vec<[f64; 2]> {
    const STEPS: usize = 1000;
    let mut placed = pca(points, width);
    let n = placed.len();
    if n < 3 {
        return placed;
    }
    let spread = (placed.iter().map(|p| p[0] * p[0]).sum::<f64>() / n as f64).sqrt();
    let scale = 1e-4 / spread.max(f64::MIN_POSITIVE);
    placed.iter_mut().flatten().for_each(|x| *x *= scale);
    let near = joint(points, width, perplexity.min((n - 1) as f64 / 3.0).max(1.0));
    let rate = (n as f64 / 12.0).max(50.0);
    let mut speed = vec![[0.0_f64; 2]; n];
    let mut gains = vec![[1.0_f64; 2]; n];
    let mut kernel = vec![0.0; n * n];
    for step in 0..STEPS {
        let exaggeration = if step < 100 { 4.0 } else { 1.0 };
        let momentum = if step < 250 { 0.5 } else { 0.8 };
        let mut total = 0.0;
        for i in 0..n {
            for j in 0..i {
                let q = 1.0 / (1.0 + squared(placed[i], placed[j]));
                (kernel[i * n + j], kernel[j * n + i]) = (q, q);
                total += 2.0 * q;
            }
        }
        for i in 0..n {
            let mut slope = [0.0; 2];
            for j in 0..n {
                let q = kernel[i * n + j];
                let pull = 4.0 * (exaggeration * near[i * n + j] - q / total) * q;
                slope[0] += pull * (placed[i][0] - placed[j][0]);
                slope[1] += pull * (placed[i][1] - placed[j][1]);
            }
            for axis in 0..2 {
                let gain = &mut gains[i][axis];
                let turned = (slope[axis] > 0.0) == (speed[i][axis] > 0.0);
                *gain = if turned {
                    (*gain * 0.8).max(0.01)
                } else {
                    *gain + 0.2
                };
                speed[i][axis] = momentum * speed[i][axis] - rate * *gain * slope[axis];
            }
        }
        for (place, speed) in placed.iter_mut().zip(&speed) {
            place[0] += speed[0];
            place[1] += speed[1];
        }
    }
    placed
}

fn squared(a: [f64; 2], b: [f64; 2]) -> f64 {
    (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2)
}

/// How near each two rows are, `[rows, rows]`, summing to 1.
fn joint(points: &[f32], width: usize, perplexity: f64) -> Vec<f64> {
    let rows: Vec<&[f32]> = points.chunks_exact(width).collect();
    let n = rows.len();
    let mut joint = vec![0.0; n * n];
    for i in 0..n {
        let distance = |j: usize| -> f64 {
            let pairs = rows[i].iter().zip(rows[j]);
            pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum()
        };
        let distances: Vec<f64> = (0..n).map(distance).collect();
        let others = || (0..n).filter(|&j| j != i);
        let least = others().map(|j| distances[j]).fold(f64::INFINITY, f64::min);
        // Bisection for the width at which the entropy is that of so many neighbours.
        let (mut low, mut high, mut beta) = (0.0, f64::INFINITY, 1.0);
        for _ in 0..100 {
            let weight = |j: usize| (-beta * (distances[j] - least)).exp();
            let total: f64 = others().map(weight).sum();
            let mean: f64 = others()
                .map(|j| weight(j) * (distances[j] - least))
                .sum::<f64>()
                / total;
            let entropy = total.ln() + beta * mean;
            if entropy > perplexity.ln() {
                low = beta;
                beta = if high.is_finite() {
                    (low + high) / 2.0
                } else {
                    beta * 2.0
                };
            } else {
                high = beta;
                beta = (low + high) / 2.0;
            }
        }
        let weight = |j: usize| (-beta * (distances[j] - least)).exp();
        let total: f64 = others().map(weight).sum();
        for j in others() {
            let share = weight(j) / total / (2 * n) as f64;
            joint[i * n + j] += share;
            joint[j * n + i] += share;
        }
    }
    joint
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plane_of_points_in_a_plane_is_found() {
        // Longer along (3, 4, 0) / 5 than along (0, 0, 1).
        let places = [(-2.0, 1.0), (-1.0, -1.0), (0.0, 0.5), (3.0, -0.5)];
        let points: Vec<f32> = places
            .iter()
            .flat_map(|&(a, b)| [0.6 * a, 0.8 * a, b])
            .collect();
        let found = pca(&points, 3);
        for (i, p) in found.iter().enumerate() {
            for (j, q) in found.iter().enumerate() {
                let (a, b) = (places[i], places[j]);
                let distance = f64::hypot(f64::from(a.0 - b.0), f64::from(a.1 - b.1));
                // 1e-6: the coordinates are rounded to 32 bits.
                assert!((squared(*p, *q).sqrt() - distance).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn neighbours_are_as_many_as_the_perplexity_says() {
        let points: Vec<f32> = (0..60).map(|i| (i as f32 * 0.7).sin() * 3.0).collect();
        let joint = joint(&points, 2, 5.0);
        assert!((joint.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        assert!((0..30).all(|i| joint[i * 31] == 0.0));
    }

    #[test]
    fn t_sne_keeps_clusters_apart() {
        // Three clusters of ten, far apart in five dimensions.
        let point = |i: usize, k: usize| {
            let cluster = if i / 10 == k { 10.0 } else { 0.0 };
            cluster + ((i * 5 + k) as f32).sin()
        };
        let points: Vec<f32> = (0..30)
            .flat_map(|i| (0..5).map(move |k| point(i, k)))
            .collect();
        let placed = t_sne(&points, 5, 5.0);
        for i in 0..30 {
            let distance = |&j: &usize| squared(placed[i], placed[j]);
            let mut others: Vec<usize> = (0..30).filter(|&j| j != i).collect();
            others.sort_by(|a, b| distance(a).total_cmp(&distance(b)));
            assert!(others[..9].iter().all(|j| j / 10 == i / 10), "{placed:?}");
        }
    }
}
