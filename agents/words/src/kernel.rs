//! The inner loops of Word2Vec: one word learned from, in vector instructions, on weights that threads share.
//!
//! Threads change the same weights without asking each other, as in Hogwild: most updates touch a few rows of many, and one
//! that is lost now and then does no harm (Recht, Re, Wright, Niu, *Hogwild: A Lock-Free Approach to Parallelizing
//! Stochastic Gradient Descent*, 2011). Only the rows that are used most, which threads would take from each
//! other all the time, each has for itself for some thousand words before they are put together. One thread alone gives the same
//! bits each time on the same processor.

#![expect(
    unsafe_code,
    reason = "weights are shared without locks and reached by vector instructions"
)]

use std::cell::UnsafeCell;

/// Numbers in a lane. A row is a whole number of lanes; those behind its end stay zero.
pub(crate) const LANE: usize = 16;
/// Outputs that are learned from at a time; their sums stay in registers.
const MOST: usize = 8;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Lane([f32; LANE]);

/// Rows of weights that several threads read and write at the same time.
///
/// *Design.* Relaxed atomics would be free of data races in the language's sense, but keep the compiler from vector
/// instructions, at a tenth of the speed. On the processors that the program is built for a 32-bit number is read and
/// written whole.
pub(crate) struct Matrix {
    lanes: Box<[UnsafeCell<Lane>]>,
    /// Lanes of a row.
    stride: usize,
    width: usize,
}

// SAFETY: rows are only reached by `row`, through raw pointers, as numbers of 32 bits that are aligned; what is torn or lost
// between threads is a value of an update, which Hogwild allows for, and never a length or a pointer.
unsafe impl Sync for Matrix {}

impl std::fmt::Debug for Matrix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Matrix {} x {}", self.rows(), self.width)
    }
}

impl Matrix {
    /// `rows` rows of `width` zeros.
    pub(crate) fn zeros(rows: usize, width: usize) -> Self {
        let stride = width.div_ceil(LANE);
        let lanes = (0..rows * stride).map(|_| UnsafeCell::new(Lane([0.0; LANE])));
        Self {
            lanes: lanes.collect(),
            stride,
            width,
        }
    }

    fn rows(&self) -> usize {
        self.lanes.len() / self.stride
    }

    /// The first number of a row.
    #[inline(always)]
    fn row(&self, row: u32) -> *mut f32 {
        let start = row as usize * self.stride;
        UnsafeCell::raw_get(self.lanes[start..start + self.stride].as_ptr()).cast()
    }

    /// Has a row brought into the cache of the processor, to be written, while other work is done.
    ///
    /// As an instruction by its name, for `_mm_prefetch` asks for a copy to be read where a program is built for any processor,
    /// and a row that another thread has would come twice: to be read, then to be written.
    #[inline(always)]
    fn fetch(&self, row: *mut f32) {
        #[cfg(target_arch = "x86_64")]
        for lane in 0..self.stride {
            // SAFETY: the address lies in the row. The instruction never faults and changes no memory, register or flag;
            // processors that do not know it take it for none.
            unsafe {
                let line = row.add(lane * LANE);
                std::arch::asm!("prefetchw [{}]", in(reg) line, options(nostack, readonly, preserves_flags));
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = row;
    }

    /// Numbers of a row, its empty end included.
    pub(crate) fn stride(&self) -> usize {
        self.stride * LANE
    }

    /// All numbers, `[rows, width]`.
    pub(crate) fn to_vec(&self) -> Vec<f32> {
        let mut all = Vec::with_capacity(self.rows() * self.width);
        for row in 0..self.rows() as u32 {
            let row = self.row(row);
            // SAFETY: a row has `width` numbers; each is copied by itself, for others may write.
            all.extend((0..self.width).map(|i| unsafe { row.add(i).read() }));
        }
        all
    }

    /// Replaces all numbers by `values`, `[rows, width]`.
    pub(crate) fn fill(&mut self, values: impl IntoIterator<Item = f32>) {
        let mut values = values.into_iter();
        for row in self.lanes.chunks_exact_mut(self.stride) {
            let numbers = row.iter_mut().flat_map(|lane| lane.get_mut().0.iter_mut());
            for (number, value) in numbers.take(self.width).zip(&mut values) {
                *number = value;
            }
        }
    }

    /// Number `column` of `row`.
    pub(crate) fn get(&self, row: u32, column: usize) -> f32 {
        assert!(column < self.width, "column {column}");
        // SAFETY: the row has that many numbers.
        unsafe { self.row(row).add(column).read() }
    }
}

/// The logistic function by a table with lines between its points; off by less than 1e-6 within [-8, 8] and held at its
/// ends, where it is 3e-4 from 0 and 1.
#[derive(Debug)]
pub(crate) struct Sigmoid {
    points: Box<[(f32, f32); Self::POINTS]>,
}

impl Sigmoid {
    const POINTS: usize = 2048;
    const REACH: f32 = 8.0;
    const PER_UNIT: f32 = Self::POINTS as f32 / (2.0 * Self::REACH);

    pub(crate) fn new() -> Self {
        let exact = |i: usize| {
            let x = i as f64 / f64::from(Self::PER_UNIT) - f64::from(Self::REACH);
            1.0 / (1.0 + (-x).exp())
        };
        let point = |i: usize| (exact(i) as f32, (exact(i + 1) - exact(i)) as f32);
        let points: Vec<(f32, f32)> = (0..Self::POINTS).map(point).collect();
        let points = points.into_boxed_slice().try_into();
        Self {
            points: points.expect("as many points as there are"),
        }
    }

    #[inline(always)]
    fn at(&self, x: f32) -> f32 {
        // What is no number stays none: its cast gives the first point, and the product the rest.
        let place = (x.clamp(-Self::REACH, Self::REACH) + Self::REACH) * Self::PER_UNIT;
        let below = (place as usize).min(Self::POINTS - 1);
        let (value, rise) = self.points[below];
        value + rise * (place - below as f32)
    }
}

/// What is learned from at once: rows of the output weights, and what the logistic function of each should be, 0 or 1.
#[derive(Debug, Default)]
pub(crate) struct Outputs {
    rows: Vec<u32>,
    targets: Vec<f32>,
}

impl Outputs {
    #[inline(always)]
    pub(crate) fn clear(&mut self) {
        self.rows.clear();
        self.targets.clear();
    }

    #[inline(always)]
    pub(crate) fn push(&mut self, row: u32, target: f32) {
        self.rows.push(row);
        self.targets.push(target);
    }

    /// Rows with their targets.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, f32)> {
        self.rows.iter().copied().zip(self.targets.iter().copied())
    }
}

/// One update of the weights: what is told from which words.
#[derive(Debug, Default)]
pub(crate) struct Update {
    /// Nothing is learned if there are none.
    pub(crate) context: Vec<u32>,
    pub(crate) outputs: Outputs,
}

/// A vector of the processor. A value of the type is the proof that the processor has the instructions: [`with_simd`] alone
/// makes one.
///
/// # Safety
/// Of all functions: there must be a value of the type, and pointers must be good for [`WIDTH`](Self::WIDTH) numbers.
pub(crate) trait Simd: Copy {
    type Vector: Copy;
    const WIDTH: usize;
    unsafe fn zero() -> Self::Vector;
    unsafe fn all(x: f32) -> Self::Vector;
    unsafe fn load(from: *const f32) -> Self::Vector;
    unsafe fn store(to: *mut f32, v: Self::Vector);
    /// `a * b + c`.
    unsafe fn fma(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    unsafe fn sum(v: Self::Vector) -> f32;
}

/// One side of the weights as one of several threads has it: the rows that are used most are its own until it
/// [exchanges](Self::exchange) them, all others are shared.
///
/// *Design.* A row that two processors write in turns is brought from one to the other each time, which takes longer than the
/// work on it, and the first rows, of the most frequent words or next to the root, are written all the time.
struct Side<'a> {
    shared: &'a Matrix,
    /// The first rows; none if the thread is alone.
    own: Matrix,
    /// What they were when they were exchanged last.
    before: Matrix,
    /// How often each was learned from since.
    uses: Vec<u32>,
}

impl<'a> Side<'a> {
    fn new(shared: &'a Matrix, own: usize) -> Self {
        let own = own.min(shared.rows());
        let side = Self {
            shared,
            own: Matrix::zeros(own, shared.width),
            before: Matrix::zeros(own, shared.width),
            uses: vec![0; own],
        };
        for row in 0..own as u32 {
            for at in 0..shared.width {
                // SAFETY: rows have `width` numbers; no one else has the own ones.
                unsafe {
                    let x = shared.row(row).add(at).read();
                    side.own.row(row).add(at).write(x);
                    side.before.row(row).add(at).write(x);
                }
            }
        }
        side
    }

    /// The first number of a row.
    #[inline(always)]
    fn row(&self, row: u32) -> *mut f32 {
        match (row as usize) < self.uses.len() {
            true => self.own.row(row),
            false => self.shared.row(row),
        }
    }

    /// Counts that a row is learned from.
    #[inline(always)]
    fn used(&mut self, row: u32) {
        if let Some(uses) = self.uses.get_mut(row as usize) {
            *uses += 1;
        }
    }

    /// Adds what the own rows have learned to the shared ones, and takes what the others have learned.
    ///
    /// Of `threads` that all learn a row the changes are not simply summed: a row that was learned from often has come to where
    /// it stays, and all of them tell the same. With `q` of the way left after as many uses as there were, so many threads one
    /// after another would have gone `1 - q^threads` of it, and together they say `threads (1 - q)`. Each use is taken to go a
    /// tenth of `rate` of the way, as where what it is learned from has a length of 1 and is right with 0.9. Sums alone swing
    /// wider and wider with several threads, means alone learn rare rows too slowly.
    #[inline(always)]
    unsafe fn exchange<S: Simd>(&mut self, threads: usize, rate: f32) {
        for row in 0..self.uses.len() as u32 {
            let uses = std::mem::take(&mut self.uses[row as usize]);
            let way = -0.1 * rate * uses as f32;
            // Without steps, or with such as are nothing, the limit: the sum.
            let share = match way < 0.0 {
                true => (threads as f32 * way).exp_m1() / (threads as f32 * way.exp_m1()),
                false => 1.0,
            };
            let (shared, own, before) = (
                self.shared.row(row),
                self.own.row(row),
                self.before.row(row),
            );
            // SAFETY: as the caller's; all rows have `stride` numbers, a multiple of any width.
            unsafe {
                let (share, minus) = (S::all(share), S::all(-1.0));
                for at in (0..self.shared.stride()).step_by(S::WIDTH) {
                    let change = S::fma(S::load(before.add(at)), minus, S::load(own.add(at)));
                    let now = S::fma(change, share, S::load(shared.add(at)));
                    S::store(shared.add(at), now);
                    S::store(own.add(at), now);
                    S::store(before.add(at), now);
                }
            }
        }
    }
}

/// Both sides of the weights, and room for one word.
pub(crate) struct Kernel<'a> {
    input: Side<'a>,
    output: Side<'a>,
    sigmoid: &'a Sigmoid,
    /// `[stride]`: what the input is to change by.
    error: Vec<f32>,
    /// `[stride]`: mean of a context.
    mean: Vec<f32>,
}

impl<'a> Kernel<'a> {
    /// With the first `own` rows of each side not shared until they are [exchanged](Self::exchange).
    pub(crate) fn new(
        input: &'a Matrix,
        output: &'a Matrix,
        sigmoid: &'a Sigmoid,
        own: usize,
    ) -> Self {
        assert_eq!(input.stride, output.stride, "rows are equally long");
        Self {
            error: vec![0.0; input.stride()],
            mean: vec![0.0; input.stride()],
            input: Side::new(input, own),
            output: Side::new(output, own),
            sigmoid,
        }
    }

    /// Adds what the own rows have learned at `rate` to the shared ones, and takes what the other `threads` have learned. One
    /// thread at a time.
    #[inline(always)]
    pub(crate) fn exchange<S: Simd>(&mut self, _: S, threads: usize, rate: f32) {
        // SAFETY: there is an `S`.
        unsafe {
            self.input.exchange::<S>(threads, rate);
            self.output.exchange::<S>(threads, rate);
        }
    }

    /// Learns `now`, while what `next` needs is on its way.
    #[inline(always)]
    pub(crate) fn learn_before<S: Simd>(
        &mut self,
        simd: S,
        next: &Update,
        now: &Update,
        rate: f32,
    ) {
        for &word in &next.context {
            self.input.used(word);
            self.input.shared.fetch(self.input.row(word));
        }
        for &row in &next.outputs.rows {
            self.output.used(row);
            self.output.shared.fetch(self.output.row(row));
        }
        match now.context[..] {
            [] => {}
            [one] => self.learn_from_one(simd, one, &now.outputs, rate),
            ref more => self.learn_from_mean(simd, more, &now.outputs, rate),
        }
    }

    /// Learns `outputs` from the one word `input`.
    #[inline(always)]
    fn learn_from_one<S: Simd>(&mut self, _: S, input: u32, outputs: &Outputs, rate: f32) {
        let row = self.input.row(input);
        // SAFETY: there is an `S`; rows and buffers have `stride` numbers, a multiple of any width.
        unsafe {
            self.learn::<S>(row, outputs, rate);
            add::<S>(self.error.as_ptr(), row, self.error.len());
        }
    }

    /// Learns `outputs` from the mean of the words `context`, each of which gets the whole of the change.
    #[inline(always)]
    fn learn_from_mean<S: Simd>(&mut self, _: S, context: &[u32], outputs: &Outputs, rate: f32) {
        let stride = self.error.len();
        let (mean, share) = (self.mean.as_mut_ptr(), 1.0 / context.len() as f32);
        // SAFETY: there is an `S`; rows and buffers have `stride` numbers, a multiple of any width.
        unsafe {
            let share = S::all(share);
            for at in (0..stride).step_by(S::WIDTH) {
                S::store(mean.add(at), S::zero());
            }
            for &word in context {
                let row = self.input.row(word);
                for at in (0..stride).step_by(S::WIDTH) {
                    let sum = S::fma(S::load(row.add(at)), share, S::load(mean.add(at)));
                    S::store(mean.add(at), sum);
                }
            }
            self.learn::<S>(mean, outputs, rate);
            for &word in context {
                add::<S>(self.error.as_ptr(), self.input.row(word), stride);
            }
        }
    }

    /// Learns `outputs` from `x` `[stride]`; what `x` is to change by goes into `error`.
    #[inline(always)]
    unsafe fn learn<S: Simd>(&mut self, x: *const f32, outputs: &Outputs, rate: f32) {
        let mut at = 0;
        while at < outputs.rows.len() {
            let n = (outputs.rows.len() - at).min(MOST);
            macro_rules! by_number {
                ($($number:literal)*) => {
                    match n {
                        // SAFETY: as the caller's.
                        $($number => unsafe { self.some::<S, $number>(x, outputs, at, rate) },)*
                        _ => unreachable!("at most {MOST}"),
                    }
                };
            }
            by_number!(1 2 3 4 5 6 7 8);
            at += n;
        }
    }

    /// Learns `N` outputs from the `first` on: all products with `x` come before all changes.
    #[inline(always)]
    unsafe fn some<S: Simd, const N: usize>(
        &mut self,
        x: *const f32,
        outputs: &Outputs,
        first: usize,
        rate: f32,
    ) {
        let mut rows = [std::ptr::null_mut::<f32>(); N];
        for (row, &index) in rows.iter_mut().zip(&outputs.rows[first..first + N]) {
            *row = self.output.row(index);
        }
        let targets = &outputs.targets[first..first + N];
        let (stride, error) = (self.error.len(), self.error.as_mut_ptr());
        // SAFETY: as the caller's; `x`, all rows and `error` have `stride` numbers, a multiple of any width.
        unsafe {
            let mut sums = [S::zero(); N];
            for at in (0..stride).step_by(S::WIDTH) {
                let x = S::load(x.add(at));
                for n in 0..N {
                    sums[n] = S::fma(x, S::load(rows[n].add(at)), sums[n]);
                }
            }
            let mut steps = [S::zero(); N];
            for n in 0..N {
                steps[n] = S::all(rate * (targets[n] - self.sigmoid.at(S::sum(sums[n]))));
            }
            for at in (0..stride).step_by(S::WIDTH) {
                let x = S::load(x.add(at));
                let mut change = match first {
                    0 => S::zero(),
                    _ => S::load(error.add(at)),
                };
                for n in 0..N {
                    let y = S::load(rows[n].add(at));
                    change = S::fma(steps[n], y, change);
                    S::store(rows[n].add(at), S::fma(steps[n], x, y));
                }
                S::store(error.add(at), change);
            }
        }
    }
}

/// `to += from`, both of `len` numbers.
#[inline(always)]
unsafe fn add<S: Simd>(from: *const f32, to: *mut f32, len: usize) {
    // SAFETY: as the caller's.
    unsafe {
        let one = S::all(1.0);
        for at in (0..len).step_by(S::WIDTH) {
            let sum = S::fma(S::load(from.add(at)), one, S::load(to.add(at)));
            S::store(to.add(at), sum);
        }
    }
}

/// Work that is done with the widest vectors that the processor has.
pub(crate) trait Work {
    /// Does it. Must be `#[inline(always)]`, to be compiled for the instructions of `S`.
    fn run<S: Simd>(self, simd: S);
}

/// Does `work`.
pub(crate) fn with_simd(work: impl Work) {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("fma") {
            #[target_feature(enable = "avx512f,avx2,fma")]
            fn compiled(work: impl Work, simd: x86::Avx512) {
                work.run(simd);
            }
            // SAFETY: the processor was asked.
            return unsafe { compiled(work, x86::Avx512(())) };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            #[target_feature(enable = "avx2,fma")]
            fn compiled(work: impl Work, simd: x86::Avx2) {
                work.run(simd);
            }
            // SAFETY: the processor was asked.
            return unsafe { compiled(work, x86::Avx2(())) };
        }
    }
    work.run(Portable);
}

/// Plain numbers, which the compiler makes of what it can.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

impl Simd for Portable {
    type Vector = [f32; 8];
    const WIDTH: usize = 8;

    #[inline(always)]
    unsafe fn zero() -> Self::Vector {
        [0.0; 8]
    }

    #[inline(always)]
    unsafe fn all(x: f32) -> Self::Vector {
        [x; 8]
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::Vector {
        // SAFETY: as the caller's.
        unsafe { from.cast::<[f32; 8]>().read() }
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, v: Self::Vector) {
        // SAFETY: as the caller's.
        unsafe { to.cast::<[f32; 8]>().write(v) }
    }

    #[inline(always)]
    unsafe fn fma(a: Self::Vector, b: Self::Vector, mut c: Self::Vector) -> Self::Vector {
        for i in 0..8 {
            c[i] += a[i] * b[i];
        }
        c
    }

    #[inline(always)]
    unsafe fn sum(v: Self::Vector) -> f32 {
        let four = [v[0] + v[4], v[1] + v[5], v[2] + v[6], v[3] + v[7]];
        (four[0] + four[2]) + (four[1] + four[3])
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Simd;
    use std::arch::x86_64::*;

    #[derive(Clone, Copy)]
    pub(super) struct Avx512(pub(super) ());

    impl Simd for Avx512 {
        type Vector = __m512;
        const WIDTH: usize = 16;

        #[inline(always)]
        unsafe fn zero() -> __m512 {
            // SAFETY: as the trait's.
            unsafe { _mm512_setzero_ps() }
        }

        #[inline(always)]
        unsafe fn all(x: f32) -> __m512 {
            // SAFETY: as the trait's.
            unsafe { _mm512_set1_ps(x) }
        }

        #[inline(always)]
        unsafe fn load(from: *const f32) -> __m512 {
            // SAFETY: as the trait's.
            unsafe { _mm512_loadu_ps(from) }
        }

        #[inline(always)]
        unsafe fn store(to: *mut f32, v: __m512) {
            // SAFETY: as the trait's.
            unsafe { _mm512_storeu_ps(to, v) }
        }

        #[inline(always)]
        unsafe fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
            // SAFETY: as the trait's.
            unsafe { _mm512_fmadd_ps(a, b, c) }
        }

        #[inline(always)]
        unsafe fn sum(v: __m512) -> f32 {
            // SAFETY: as the trait's.
            unsafe { _mm512_reduce_add_ps(v) }
        }
    }

    #[derive(Clone, Copy)]
    pub(super) struct Avx2(pub(super) ());

    impl Simd for Avx2 {
        type Vector = __m256;
        const WIDTH: usize = 8;

        #[inline(always)]
        unsafe fn zero() -> __m256 {
            // SAFETY: as the trait's.
            unsafe { _mm256_setzero_ps() }
        }

        #[inline(always)]
        unsafe fn all(x: f32) -> __m256 {
            // SAFETY: as the trait's.
            unsafe { _mm256_set1_ps(x) }
        }

        #[inline(always)]
        unsafe fn load(from: *const f32) -> __m256 {
            // SAFETY: as the trait's.
            unsafe { _mm256_loadu_ps(from) }
        }

        #[inline(always)]
        unsafe fn store(to: *mut f32, v: __m256) {
            // SAFETY: as the trait's.
            unsafe { _mm256_storeu_ps(to, v) }
        }

        #[inline(always)]
        unsafe fn fma(a: __m256, b: __m256, c: __m256) -> __m256 {
            // SAFETY: as the trait's.
            unsafe { _mm256_fmadd_ps(a, b, c) }
        }

        #[inline(always)]
        unsafe fn sum(v: __m256) -> f32 {
            // SAFETY: as the trait's.
            unsafe {
                let four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
                let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
                _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Exchange<'a, 'b>(&'a mut Side<'b>, f32);

    impl Work for Exchange<'_, '_> {
        #[inline(always)]
        fn run<S: Simd>(self, _: S) {
            // SAFETY: there is an `S`.
            unsafe { self.0.exchange::<S>(2, self.1) };
        }
    }

    #[test]
    fn what_two_threads_learn_of_a_row_is_summed_if_little_and_averaged_if_much() {
        for (uses, rate, share) in [
            (1, 0.05, 1.0),
            (1_000_000, 0.05, 0.5),
            (1, 1e-12, 1.0),
            (1, 0.0, 1.0),
        ] {
            let mut shared = Matrix::zeros(3, 2);
            shared.fill([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
            let [mut a, mut b] = [(); 2].map(|()| Side::new(&shared, 2));
            for (side, change) in [(&mut a, 0.5), (&mut b, 1.0)] {
                (0..uses).for_each(|_| side.used(1));
                // SAFETY: the row has two numbers.
                unsafe { *side.row(1).add(1) += change };
                assert_eq!(shared.get(1, 1), 4.0, "nobody knows yet");
            }
            with_simd(Exchange(&mut a, rate));
            with_simd(Exchange(&mut b, rate));
            with_simd(Exchange(&mut a, rate));
            let expected = 4.0 + share * 1.5;
            assert!(
                (shared.get(1, 1) - expected).abs() < 0.01,
                "{uses}: {shared:?}"
            );
            for side in [&a, &b] {
                // SAFETY: the row has two numbers.
                assert_eq!(unsafe { side.row(1).add(1).read() }, shared.get(1, 1));
            }
            assert_eq!(
                shared.to_vec()[..3],
                [1.0, 2.0, 3.0],
                "others are as they were"
            );
            // Behind the own rows all are shared.
            assert_eq!(a.row(2), shared.row(2));
        }
    }
}
