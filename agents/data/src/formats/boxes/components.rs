//! Boxes around what masks show.

use crate::Object;

/// A box around all pixels of each number above 0, in the order of the numbers, all of class 0. `numbers` are those of a
/// picture `width` pixels wide, in row order.
pub(in super::super) fn instances(numbers: &[u16], width: usize) -> Vec<Object> {
    let mut edges = vec![None; usize::from(u16::MAX) + 1];
    for (at, &number) in numbers
        .iter()
        .enumerate()
        .filter(|(_, number)| **number > 0)
    {
        let (x, y) = (at % width, at / width);
        let [x1, y1, x2, y2] = edges[usize::from(number)].get_or_insert([x, y, x + 1, y + 1]);
        (*x1, *y1, *x2, *y2) = ((*x1).min(x), *y1, (*x2).max(x + 1), y + 1);
    }
    let edges = edges.into_iter().flatten();
    edges
        .map(|edges| Object::new(0, edges.map(|edge| edge as f32)))
        .collect()
}

/// A box around each connected part of one class, corners included, of the classes that `class` gives a number; from the
/// upper left on. `classes` are those of a picture `width` pixels wide, in row order.
pub(in super::super) fn parts(
    classes: &[i32],
    width: usize,
    class: impl Fn(i32) -> Option<usize>,
) -> Vec<Object> {
    let height = classes.len() / width;
    let mut seen = vec![false; classes.len()];
    let mut stack = Vec::new();
    let mut objects = Vec::new();
    for start in 0..classes.len() {
        let Some(number) = class(classes[start]).filter(|_| !seen[start]) else {
            continue;
        };
        let mut edges = [width, height, 0, 0];
        seen[start] = true;
        stack.push(start);
        while let Some(at) = stack.pop() {
            let (x, y) = (at % width, at / width);
            edges = [
                edges[0].min(x),
                edges[1].min(y),
                edges[2].max(x + 1),
                edges[3].max(y + 1),
            ];
            for y in y.saturating_sub(1)..(y + 2).min(height) {
                for x in x.saturating_sub(1)..(x + 2).min(width) {
                    let next = y * width + x;
                    if !seen[next] && classes[next] == classes[start] {
                        seen[next] = true;
                        stack.push(next);
                    }
                }
            }
        }
        objects.push(Object::new(number, edges.map(|edge| edge as f32)));
    }
    objects
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_box_and_parts_of_a_class_one_each() {
        let picture = [
            1, 0, 0, 2, //
            0, 1, 0, 2, //
            0, 0, 0, 0, //
            1, 1, 0, 0,
        ];
        let numbers = picture.map(|n| n as u16);
        let whole = |class, bounds| Object::new(class, bounds);
        assert_eq!(
            instances(&numbers, 4),
            [
                whole(0, [0.0, 0.0, 2.0, 4.0]),
                whole(0, [3.0, 0.0, 4.0, 2.0])
            ]
        );
        let class = |class: i32| usize::try_from(class - 1).ok();
        assert_eq!(
            parts(&picture, 4, class),
            [
                whole(0, [0.0, 0.0, 2.0, 2.0]),
                whole(1, [3.0, 0.0, 4.0, 2.0]),
                whole(0, [0.0, 3.0, 2.0, 4.0])
            ]
        );
    }
}
