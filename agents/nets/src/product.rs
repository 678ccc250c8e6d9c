//! Matrix products of small matrices in plain Rust, without the call's overhead of a library.
//!
//! The right factor is copied into panels of 16 columns, whose rows lie one after another; a tile of the result is some
//! rows times one or two panels, and stays in registers. Every number of the result is one chain of fused multiply-adds
//! in the order of `inner`, whatever the shape of the tiles: AVX-512 and AVX2 give the same bits.

/// Rows of a tile: this many rows of the left factor share each load of the right one.
const ROWS: usize = 4;
/// Columns of a panel: one AVX-512 register or two AVX registers.
const COLS: usize = 16;
/// Rows that are transposed at a time.
const BLOCK: usize = 64;
/// One row of a panel.
pub(crate) type Lane = [f32; COLS];

/// `matrix` `[inner, cols]` in panels: for each 16 columns their rows one after another, short ones padded
/// with zeros.
pub(crate) fn pack(matrix: &[f32], inner: usize, cols: usize, panels: &mut Vec<Lane>) {
    panels.clear();
    panels.resize(cols.div_ceil(COLS) * inner, [0.0; COLS]);
    for (p, panel) in panels.chunks_exact_mut(inner).enumerate() {
        let first = p * COLS;
        let width = COLS.min(cols - first);
        for (lane, row) in panel.iter_mut().zip(matrix.chunks_exact(cols)) {
            // A copy of known length is two instructions instead of a call.
            match row[first..].first_chunk() {
                Some(whole) => *lane = *whole,
                None => lane[..width].copy_from_slice(&row[first..]),
            }
        }
    }
}

/// The transpose of `matrix` `[cols, inner]` in panels.
pub(crate) fn pack_transposed(matrix: &[f32], inner: usize, cols: usize, panels: &mut Vec<Lane>) {
    panels.resize(cols.div_ceil(COLS) * inner, [0.0; COLS]);
    let columns = matrix.chunks(COLS * inner);
    for (panel, columns) in panels.chunks_exact_mut(inner).zip(columns) {
        // As many rows at a time as stay in the cache while all columns are written.
        for (block, lanes) in panel.chunks_mut(BLOCK).enumerate() {
            for (j, column) in columns.chunks_exact(inner).enumerate() {
                let numbers = &column[block * BLOCK..];
                let lanes = lanes.iter_mut().zip(numbers);
                lanes.for_each(|(lane, &x)| lane[j] = x);
            }
        }
    }
}

/// The left factor of a product.
#[derive(Clone, Copy)]
pub(crate) enum Left<'a> {
    /// `[rows, inner]`.
    Rows(&'a [f32]),
    /// `[inner, rows]`: its transpose is meant.
    Columns(&'a [f32]),
}

/// `out += left · right`, with `right` in panels and `out` `[rows, cols]`.
pub(crate) fn multiply_add(
    left: Left<'_>,
    right: &[Lane],
    out: &mut [f32],
    [rows, inner, cols]: [usize; 3],
) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") {
        return avx512::multiply_add(left, right, out, [rows, inner, cols]);
    }
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        return multiply_add_avx2(left, right, out, [rows, inner, cols]);
    }
    multiply_add_with::<false>(left, right, out, [rows, inner, cols]);
}

#[cfg(target_arch = "x86_64")]
#[expect(
    unsafe_code,
    reason = "calls a function compiled for more instructions than the crate"
)]
fn multiply_add_avx2(left: Left<'_>, right: &[Lane], out: &mut [f32], shape: [usize; 3]) {
    #[target_feature(enable = "avx2,fma")]
    fn compiled(left: Left<'_>, right: &[Lane], out: &mut [f32], shape: [usize; 3]) {
        multiply_add_with::<true>(left, right, out, shape);
    }
    // SAFETY: the only caller has asked the processor for both features.
    unsafe { compiled(left, right, out, shape) }
}

/// `FUSED`: with one rounding for product and sum, which is slow where the processor has no such instruction.
#[inline(always)]
fn multiply_add_with<const FUSED: bool>(
    left: Left<'_>,
    right: &[Lane],
    out: &mut [f32],
    [rows, inner, cols]: [usize; 3],
) {
    for (p, panel) in right.chunks_exact(inner).enumerate() {
        let first = p * COLS;
        let width = COLS.min(cols - first);
        for top in (0..rows).step_by(ROWS) {
            let height = ROWS.min(rows - top);
            let tile = match left {
                Left::Rows(a) => {
                    // Missing rows repeat the last one; their results are dropped.
                    let row = |r: usize| a[(top + r.min(height - 1)) * inner..][..inner].iter();
                    let quads = row(0).zip(row(1)).zip(row(2)).zip(row(3));
                    tile::<FUSED>(quads.map(|(((a, b), c), d)| [*a, *b, *c, *d]), panel)
                }
                Left::Columns(a) if height == ROWS => {
                    let quads = a
                        .chunks_exact(rows)
                        .map(|row| *row[top..].first_chunk().expect("four rows"));
                    tile::<FUSED>(quads, panel)
                }
                Left::Columns(a) => {
                    let quads = a.chunks_exact(rows).map(|row| {
                        let mut quad = [0.0; ROWS];
                        quad[..height].copy_from_slice(&row[top..]);
                        quad
                    });
                    tile::<FUSED>(quads, panel)
                }
            };
            for (r, sums) in tile.iter().take(height).enumerate() {
                let out = &mut out[(top + r) * cols + first..][..width];
                out.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum);
            }
        }
    }
}

/// Sums of four rows times sixteen columns; the compiler keeps them in registers.
#[inline(always)]
fn tile<const FUSED: bool>(
    quads: impl Iterator<Item = [f32; ROWS]>,
    panel: &[Lane],
) -> [Lane; ROWS] {
    let mut sums = [[0.0; COLS]; ROWS];
    for (quad, lane) in quads.zip(panel) {
        for (sums, a) in sums.iter_mut().zip(quad) {
            for (sum, &b) in sums.iter_mut().zip(lane) {
                *sum = if FUSED {
                    a.mul_add(b, *sum)
                } else {
                    *sum + a * b
                };
            }
        }
    }
    sums
}

/// Tiles of eight rows and two panels: sixteen registers of sums, two loads and eight broadcasts for sixteen
/// multiply-adds.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "instructions that not every processor has")]
mod avx512 {
    use std::arch::x86_64::{
        __m512, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_set1_ps, _mm512_setzero_ps,
        _mm512_storeu_ps,
    };

    use super::{COLS, Lane, Left};

    const ROWS: usize = 8;

    pub(super) fn multiply_add(left: Left<'_>, right: &[Lane], out: &mut [f32], shape: [usize; 3]) {
        // SAFETY: the only caller has asked the processor for the feature.
        unsafe { compiled(left, right, out, shape) }
    }

    #[target_feature(enable = "avx512f")]
    fn compiled(left: Left<'_>, right: &[Lane], out: &mut [f32], [rows, inner, cols]: [usize; 3]) {
        let mut first = 0;
        let mut panels = right.chunks_exact(inner);
        while let Some(panel) = panels.next() {
            let more = if cols - first > COLS {
                panels.next()
            } else {
                None
            };
            for top in (0..rows).step_by(ROWS) {
                let height = ROWS.min(rows - top);
                match more {
                    Some(more) => {
                        let tile = tile_of(left, [rows, inner, top, height], [panel, more]);
                        write(&tile, out, [top, height, first, cols]);
                    }
                    None => {
                        let tile = tile_of(left, [rows, inner, top, height], [panel]);
                        write(&tile, out, [top, height, first, cols]);
                    }
                }
            }
            first += if more.is_some() { 2 * COLS } else { COLS };
        }
    }

    /// Adds the tile to its place in `out`.
    fn write<const P: usize>(
        tile: &[[Lane; P]; ROWS],
        out: &mut [f32],
        [top, height, first, cols]: [usize; 4],
    ) {
        for (r, sums) in tile.iter().take(height).enumerate() {
            let out = &mut out[(top + r) * cols..][..cols];
            let out = &mut out[first..(first + P * COLS).min(cols)];
            let sums = sums.as_flattened().iter();
            out.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum);
        }
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn tile_of<const P: usize>(
        left: Left<'_>,
        [rows, inner, top, height]: [usize; 4],
        panels: [&[Lane]; P],
    ) -> [[Lane; P]; ROWS] {
        // Closures have the instructions of this function and the adapters that call them have not, so that neither is
        // inlined; hence the loops.
        let mut sums = [[_mm512_setzero_ps(); P]; ROWS];
        assert!(panels.iter().all(|panel| panel.len() == inner), "panels");
        match left {
            Left::Rows(a) => {
                assert!(a.len() >= (top + height) * inner, "rows");
                // Missing rows repeat the last one; their results are dropped.
                let mut starts = [0; ROWS];
                for (r, start) in starts.iter_mut().enumerate() {
                    *start = (top + r.min(height - 1)) * inner;
                }
                for k in 0..inner {
                    let mut values = [0.0; ROWS];
                    for r in 0..ROWS {
                        // SAFETY: a row has `inner` numbers and ends where the assertion says at the latest.
                        values[r] = unsafe { *a.get_unchecked(starts[r] + k) };
                    }
                    // SAFETY: a panel has `inner` lanes.
                    unsafe { add(&mut sums, &values, &panels, k) };
                }
            }
            // Apart, because a copy of unknown length is a call, around which all sums would be put by.
            Left::Columns(a) if height == ROWS => {
                for (k, column) in a.chunks_exact(rows).enumerate().take(inner) {
                    let values = column[top..].first_chunk().expect("a tile of whole height");
                    // SAFETY: as above.
                    unsafe { add(&mut sums, values, &panels, k) };
                }
            }
            Left::Columns(a) => {
                for (k, column) in a.chunks_exact(rows).enumerate().take(inner) {
                    let mut values = [0.0; ROWS];
                    values[..height].copy_from_slice(&column[top..]);
                    // SAFETY: as above.
                    unsafe { add(&mut sums, &values, &panels, k) };
                }
            }
        }
        let mut tile = [[[0.0; COLS]; P]; ROWS];
        for (tile, sums) in tile.iter_mut().zip(sums) {
            for (lane, sum) in tile.iter_mut().zip(sums) {
                // SAFETY: a lane is sixteen floats.
                unsafe { _mm512_storeu_ps(lane.as_mut_ptr(), sum) };
            }
        }
        tile
    }

    /// Adds the products of `a` and of lane `k` of all panels.
    ///
    /// # Safety
    /// Every panel has more than `k` lanes.
    #[target_feature(enable = "avx512f")]
    #[inline]
    unsafe fn add<const P: usize>(
        sums: &mut [[__m512; P]; ROWS],
        a: &[f32; ROWS],
        panels: &[&[Lane]; P],
        k: usize,
    ) {
        let mut lanes = [_mm512_setzero_ps(); P];
        for p in 0..P {
            // SAFETY: the caller's promise; a lane is sixteen floats.
            lanes[p] = unsafe { _mm512_loadu_ps(panels[p].get_unchecked(k).as_ptr()) };
        }
        for (sums, a) in sums.iter_mut().zip(a) {
            let a = _mm512_set1_ps(*a);
            for (sum, lane) in sums.iter_mut().zip(lanes) {
                *sum = _mm512_fmadd_ps(a, lane, *sum);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thorndike_core::Seeds;
    use thorndike_core::rand::RngExt;

    fn drawn(seed: u64, len: usize) -> Vec<f32> {
        let mut rng = Seeds::new(seed).stream("test", 0);
        (0..len).map(|_| 2.0 * rng.random::<f32>() - 1.0).collect()
    }

    /// The textbook triple loop.
    fn reference(a: &[f32], b: &[f32], [rows, inner, cols]: [usize; 3]) -> Vec<f64> {
        let mut out = vec![0.0; rows * cols];
        for i in 0..rows {
            for j in 0..cols {
                for k in 0..inner {
                    out[i * cols + j] += f64::from(a[i * inner + k]) * f64::from(b[k * cols + j]);
                }
            }
        }
        out
    }

    fn transposed(matrix: &[f32], cols: usize) -> Vec<f32> {
        (0..cols)
            .flat_map(|j| matrix.iter().skip(j).step_by(cols).copied())
            .collect()
    }

    #[test]
    fn products_of_all_layouts_equal_the_triple_loop() {
        for shape @ [rows, inner, cols] in [
            [1, 1, 1],
            [4, 5, 16],
            [3, 7, 2],
            [5, 64, 17],
            [33, 3, 40],
            [9, 8, 70],
        ] {
            let (a, b) = (drawn(1, rows * inner), drawn(2, inner * cols));
            let expected = reference(&a, &b, shape);
            let (a_t, b_t) = (transposed(&a, inner), transposed(&b, cols));
            let mut panels = [Vec::new(), Vec::new()];
            pack(&b, inner, cols, &mut panels[0]);
            pack_transposed(&b_t, inner, cols, &mut panels[1]);
            for right in &panels {
                for left in [Left::Rows(&a), Left::Columns(&a_t)] {
                    for multiply in [multiply_add, multiply_add_with::<false>] {
                        let mut out = vec![1.0; rows * cols];
                        multiply(left, right, &mut out, shape);
                        for (out, expected) in out.iter().zip(&expected) {
                            // 64 products below 1, each rounded to 6e-8 of the sum so far.
                            assert!((f64::from(*out) - 1.0 - expected).abs() < 1e-5, "{shape:?}");
                        }
                    }
                }
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn wide_and_narrow_registers_give_the_same_bits() {
        if !is_x86_feature_detected!("avx512f") {
            println!("skipped: this processor has no AVX-512");
            return;
        }
        for shape @ [rows, inner, cols] in
            [[1, 7, 2], [8, 5, 16], [3, 7, 33], [21, 64, 50], [33, 3, 40]]
        {
            let (a, b) = (drawn(1, rows * inner), drawn(2, inner * cols));
            let mut panels = Vec::new();
            pack(&b, inner, cols, &mut panels);
            for left in [Left::Rows(&a), Left::Columns(&a)] {
                let [mut wide, mut narrow] = [vec![1.0; rows * cols], vec![1.0; rows * cols]];
                avx512::multiply_add(left, &panels, &mut wide, shape);
                multiply_add_avx2(left, &panels, &mut narrow, shape);
                assert_eq!(wide, narrow, "{shape:?}");
            }
        }
    }
}
