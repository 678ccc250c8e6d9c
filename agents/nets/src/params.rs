//! All trainable weights of a network as views of one flat tensor.
//!
//! Laying the weights end to end makes an optimiser a handful of vector operations whatever the depth,
//! gradient clipping one norm, and a target-network update one `copy_` or `lerp_`. The gradients lie in
//! a second flat tensor of the same layout. Buffers, such as the running statistics of a batch norm, are
//! neither trained nor averaged; they stay outside the flat tensor but inside the saved file.
//!
//! Initial values come from a caller's random stream, never from libtorch's generator, which could not
//! be saved.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rand_distr::{Distribution, StandardNormal};
use tch::kind::Element;
use tch::{Device, Kind, Tensor};
use thorndike_core::rand::{RngExt, SeedableRng};
use thorndike_core::{Result, Rng, Weights};

use crate::tensor_file;

/// A named tensor of the store.
#[derive(Debug)]
struct Entry {
    name: String,
    shape: Vec<usize>,
    tensor: Tensor,
}

/// The weights and buffers of one network.
///
/// ```
/// use tch::{Device, Tensor};
/// use thorndike_core::Seeds;
/// use thorndike_nets::{Linear, ParamStore};
///
/// let rng = Seeds::new(1).stream("agent/init", 0);
/// let (mut store, layer) = ParamStore::build(Device::Cpu, rng, |scope| {
///     Ok(Linear::new(&mut scope.sub("head"), 3, 2))
/// })?;
/// store.enable_gradients();
/// layer.forward(&Tensor::from_slice(&[1_f32, 2., 3.]).view([1, 3])).sum(tch::Kind::Float).backward();
/// assert_eq!(store.num_parameters(), 8);
/// assert_eq!(Vec::<f32>::try_from(store.gradient()).unwrap(), [1., 2., 3., 1., 2., 3., 1., 1.]);
/// # Ok::<(), thorndike_core::Error>(())
/// ```
#[derive(Debug)]
pub struct ParamStore {
    variables: Vec<Entry>,
    buffers: Vec<Entry>,
    /// `[num_parameters]`; `variables[i].tensor` are views of it.
    flat: Tensor,
    /// `[num_parameters]` once gradients are enabled, else empty.
    gradient: Tensor,
    /// What layers that draw random numbers look at; see [`draw_for`](Self::draw_for).
    clock: Clock,
    /// How often weights or buffers were changed from outside; layers that keep something made of them look at it.
    version: Version,
}

/// Number of the pass that layers draw random numbers for, shared by a store and its layers.
pub(crate) type Clock = Arc<AtomicU64>;
/// Changes of weights and buffers so far, shared by a store and its layers.
pub(crate) type Version = Arc<AtomicU64>;

impl ParamStore {
    /// Runs `network`, which declares its variables in the scope it is given, and lays them out flat.
    ///
    /// The weights are fixed; [`enable_gradients`](Self::enable_gradients) makes them trainable.
    ///
    /// # Errors
    /// Whatever `network` returns.
    ///
    /// # Panics
    /// If two variables or buffers get the same name.
    pub fn build<N>(
        device: Device,
        rng: Rng,
        network: impl FnOnce(&mut Scope<'_>) -> Result<N>,
    ) -> Result<(Self, N)> {
        Self::declare(device, Some(rng), network)
    }

    /// A store of the same network, which `network` declares as it did in [`build`](Self::build), with the same weights:
    /// nothing is drawn. Its weights are fixed.
    ///
    /// # Errors
    /// Whatever `network` returns.
    ///
    /// # Panics
    /// If `network` is another one.
    pub fn twin<N>(&self, network: impl FnOnce(&mut Scope<'_>) -> Result<N>) -> Result<(Self, N)> {
        let (mut twin, network) = Self::declare(self.device(), None, network)?;
        assert!(twin.shapes().eq(self.shapes()), "a twin of another network");
        twin.copy_from(self);
        Ok((twin, network))
    }

    fn declare<N>(
        device: Device,
        rng: Option<Rng>,
        network: impl FnOnce(&mut Scope<'_>) -> Result<N>,
    ) -> Result<(Self, N)> {
        let mut declared = Declared {
            variables: Vec::new(),
            buffers: Vec::new(),
            rng,
            device,
            clock: Clock::default(),
            version: Version::default(),
        };
        let network = network(&mut Scope {
            declared: &mut declared,
            prefix: String::new(),
            fixed: false,
        })?;
        let Declared {
            mut variables,
            buffers,
            clock,
            version,
            ..
        } = declared;
        let len = variables.iter().map(Entry::len).sum();
        let flat = Tensor::zeros([len], (Kind::Float, device));
        let views = views_of(&flat, &variables);
        for (entry, mut view) in variables.iter_mut().zip(views) {
            view.copy_(&entry.tensor);
            entry.tensor.set_data(&view);
        }
        let gradient = Tensor::zeros([0], (Kind::Float, device));
        let store = Self {
            variables,
            buffers,
            flat,
            gradient,
            clock,
            version,
        };
        Ok((store, network))
    }

    /// Makes the weights trainable: `backward` now adds into [`gradient`](Self::gradient).
    pub fn enable_gradients(&mut self) {
        self.gradient = self.flat.zeros_like();
        let views = views_of(&self.gradient, &self.variables);
        for (entry, view) in self.variables.iter_mut().zip(views) {
            entry.tensor = entry.tensor.set_requires_grad(true);
            // tch cannot assign `.grad`; a first backward makes one, whose storage is then exchanged.
            entry.tensor.sum(Kind::Float).backward();
            entry.tensor.grad().set_data(&view);
        }
    }

    /// Lets layers such as [`Dropout`](crate::Dropout) draw the random numbers of pass `pass`, for instance of an update:
    /// they follow from the initial random stream and this number alone, so that a resumed run draws the same.
    pub fn draw_for(&self, pass: u64) {
        self.clock.store(pass, Ordering::Relaxed);
    }

    /// Says to layers that weights or buffers are no more what they were.
    pub(crate) fn changed(&self) {
        self.version.fetch_add(1, Ordering::Relaxed);
    }

    /// The weights, flat, and the buffers.
    pub(crate) fn state(&self) -> impl Iterator<Item = Tensor> {
        let buffers = self.buffers.iter().map(|e| e.tensor.shallow_clone());
        std::iter::once(self.flat.shallow_clone()).chain(buffers)
    }

    /// Number of trainable weights.
    pub fn num_parameters(&self) -> usize {
        self.variables.iter().map(|e| e.len() as usize).sum()
    }

    /// The layers of trainable weights below `prefix`, which have to be declared first: what `layer` makes of the rest of
    /// their names, and their number; neighbours of one layer joined.
    ///
    /// # Panics
    /// If another variable is declared before one of them.
    pub(crate) fn layers_below(
        &self,
        prefix: &str,
        layer: impl Fn(&str) -> &str,
    ) -> Vec<(String, i64)> {
        let mut layers = Vec::<(String, i64)>::new();
        let mut is_behind = false;
        for entry in &self.variables {
            let Some(own) = entry.name.strip_prefix(prefix) else {
                is_behind = true;
                continue;
            };
            assert!(!is_behind, "{prefix} is not declared first");
            match layers.last_mut() {
                Some((last, len)) if last == layer(own) => *len += entry.len(),
                _ => layers.push((layer(own).to_owned(), entry.len())),
            }
        }
        layers
    }

    /// The last variable whose name begins with `prefix` and that is no vector.
    pub(crate) fn last_matrix_below(&self, prefix: &str) -> Option<Tensor> {
        let matrix = |entry: &&Entry| entry.shape.len() > 1 && entry.name.starts_with(prefix);
        let last = self.variables.iter().rfind(matrix)?;
        Some(last.tensor.shallow_clone())
    }

    /// Start and length in [`flat`](Self::flat) of the variables that are no vectors, neighbours joined.
    pub(crate) fn matrices(&self) -> Vec<[i64; 2]> {
        let (mut ranges, mut start) = (Vec::<[i64; 2]>::new(), 0);
        for entry in &self.variables {
            if entry.shape.len() > 1 {
                match ranges.last_mut() {
                    Some(last) if last[0] + last[1] == start => last[1] += entry.len(),
                    _ => ranges.push([start, entry.len()]),
                }
            }
            start += entry.len();
        }
        ranges
    }

    /// Bytes of the weights, gradients and buffers.
    pub fn bytes(&self) -> u64 {
        let buffers: i64 = self.buffers.iter().map(Entry::len).sum();
        4 * (self.flat.numel() + self.gradient.numel() + buffers as usize) as u64
    }

    /// Name and shape of every variable, then of every buffer, in order of declaration.
    pub fn shapes(&self) -> impl Iterator<Item = (&str, &[usize])> {
        let entries = self.variables.iter().chain(&self.buffers);
        entries.map(|e| (e.name.as_str(), e.shape.as_slice()))
    }

    /// The device the weights are on.
    pub fn device(&self) -> Device {
        self.flat.device()
    }

    /// All weights, `[num_parameters]`.
    pub fn flat(&self) -> &Tensor {
        &self.flat
    }

    /// The gradient of all weights, `[num_parameters]`; empty before
    /// [`enable_gradients`](Self::enable_gradients).
    pub fn gradient(&self) -> &Tensor {
        &self.gradient
    }

    /// Weights and gradient, to be changed in place by an optimiser.
    pub fn flat_and_gradient_mut(&mut self) -> (&mut Tensor, &mut Tensor) {
        self.changed();
        (&mut self.flat, &mut self.gradient)
    }

    /// Hands all weights to `f`.
    ///
    /// # Panics
    /// If they are not on the processor.
    #[expect(unsafe_code, reason = "tch has no access to a tensor's memory")]
    pub(crate) fn read<R>(&self, f: impl FnOnce(&[f32]) -> R) -> R {
        // SAFETY: `f` gets nothing through which it could reach a tensor of this store.
        f(unsafe { slice_mut(&self.flat) })
    }

    /// Hands all weights and their gradient to `f`, both to be changed.
    ///
    /// # Panics
    /// If they are not on the processor, or there is no gradient.
    #[expect(unsafe_code, reason = "as in `read`")]
    pub(crate) fn write(&mut self, f: impl FnOnce(&mut [f32], &mut [f32])) {
        assert_eq!(
            self.gradient.numel(),
            self.flat.numel(),
            "gradients are not enabled"
        );
        self.changed();
        // SAFETY: as in `read`; the two tensors do not overlap.
        unsafe { f(slice_mut(&self.flat), slice_mut(&self.gradient)) }
    }

    /// Sets the gradient to zero.
    pub fn zero_gradient(&mut self) {
        let _ = self.gradient.zero_();
    }

    /// Scales the gradient so that its Euclidean norm is at most `max_norm`, and returns the norm before.
    /// `f64::INFINITY` only measures.
    pub fn clip_gradient(&mut self, max_norm: f64) -> f64 {
        let norm = self.gradient.norm().double_value(&[]);
        if norm > max_norm {
            // The 1e-6 is torch.nn.utils.clip_grad_norm_'s.
            let _ = self.gradient.g_mul_scalar_(max_norm / (norm + 1e-6));
        }
        norm
    }

    /// Copies weights and buffers of `other`, a store of the same network.
    ///
    /// # Panics
    /// If the stores differ in size.
    pub fn copy_from(&mut self, other: &Self) {
        self.flat.copy_(&other.flat);
        self.copy_buffers(other);
    }

    /// Moves the weights towards those of `other`: `self += tau * (other - self)`. Buffers are copied.
    ///
    /// # Panics
    /// If the stores differ in size.
    pub fn lerp_from(&mut self, other: &Self, tau: f64) {
        let _ = self.flat.lerp_(&other.flat, tau);
        self.copy_buffers(other);
    }

    fn copy_buffers(&mut self, other: &Self) {
        self.changed();
        assert_eq!(
            self.buffers.len(),
            other.buffers.len(),
            "stores of different networks"
        );
        for (to, from) in self.buffers.iter_mut().zip(&other.buffers) {
            to.tensor.copy_(&from.tensor);
        }
    }

    /// Weights and buffers as flat lists.
    pub fn weights(&self) -> Weights {
        let beside = self.buffers.iter().flat_map(|e| to_vec(&e.tensor));
        Weights {
            trained: to_vec(&self.flat),
            beside: beside.collect(),
        }
    }

    /// Takes what [`weights`](Self::weights) of the same network gave.
    ///
    /// # Panics
    /// If it is of a network of another size.
    pub fn set_weights(&mut self, weights: &Weights) {
        let buffers: i64 = self.buffers.iter().map(Entry::len).sum();
        let lens = [weights.trained.len(), weights.beside.len()];
        assert_eq!(
            lens,
            [self.num_parameters(), buffers as usize],
            "weights of another network"
        );
        self.flat.copy_(&Tensor::from_slice(&weights.trained));
        let mut start = 0;
        for entry in &mut self.buffers {
            let end = start + entry.len() as usize;
            let values = Tensor::from_slice(&weights.beside[start..end]);
            entry.tensor.copy_(&values.view_as(&entry.tensor));
            start = end;
        }
    }

    /// Writes weights and buffers to a safetensors file.
    ///
    /// # Errors
    /// [`Io`](thorndike_core::Error::Io) if the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        self.save_state(path, &self.state().collect::<Vec<_>>())
    }

    /// As [`save`](Self::save), with the values of `state` instead of its own.
    pub(crate) fn save_state(&self, path: &Path, state: &[Tensor]) -> Result<()> {
        let (flat, buffers) = state.split_first().expect("the weights come first");
        let variables = views_of(flat, &self.variables);
        let values: Vec<Vec<f32>> = variables.iter().chain(buffers).map(to_vec).collect();
        let arrays: Vec<_> = self
            .shapes()
            .zip(&values)
            .map(|((name, shape), values)| (name, shape, values.as_slice()))
            .collect();
        tensor_file::write(path, &arrays, "")
    }

    /// Reads what [`save`](Self::save) wrote. Nothing changes if it fails.
    ///
    /// # Errors
    /// [`Io`](thorndike_core::Error::Io) or [`Checkpoint`](thorndike_core::Error::Checkpoint), naming the
    /// file and the tensor that is missing, unexpected, or of another type or shape.
    pub fn load(&mut self, path: &Path) -> Result<()> {
        let expected: Vec<_> = self.shapes().collect();
        let (arrays, _) = tensor_file::read(path, &expected)?;
        self.put(arrays.into_iter().map(Some));
        Ok(())
    }

    /// Writes the gradient to a safetensors file.
    ///
    /// # Errors
    /// [`Io`](thorndike_core::Error::Io) if the file cannot be written.
    pub(crate) fn save_gradient(&self, path: &Path) -> Result<()> {
        let values = to_vec(&self.gradient);
        tensor_file::write(path, &[("gradient", &[values.len()], &values)], "")
    }

    /// Reads what [`save_gradient`](Self::save_gradient) wrote.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub(crate) fn load_gradient(&mut self, path: &Path) -> Result<()> {
        let shape = [self.gradient.numel()];
        let (arrays, _) = tensor_file::read(path, &[("gradient", &shape)])?;
        for values in arrays {
            self.gradient.copy_(&Tensor::from_slice(&values));
        }
        Ok(())
    }

    /// Writes weights and buffers under the names that `name` gives to ours, those that get one, for PyTorch: `load_file` of
    /// its package `safetensors` gives a state dict. Batches that a batch norm has counted become `i64`, as there.
    ///
    /// # Errors
    /// [`Io`](thorndike_core::Error::Io) if the file cannot be written.
    pub fn export(&self, path: &Path, name: impl Fn(&str) -> Option<String>) -> Result<()> {
        let entries = self.variables.iter().chain(&self.buffers);
        let values: Vec<Vec<f32>> = entries.map(|e| to_vec(&e.tensor)).collect();
        let names: Vec<Option<String>> = self.shapes().map(|(ours, _)| name(ours)).collect();
        let shapes = self.shapes().map(|(_, shape)| shape);
        let arrays: Vec<_> = names
            .iter()
            .zip(shapes)
            .zip(&values)
            .filter_map(|((name, shape), values)| {
                Some((name.as_deref()?, shape, values.as_slice()))
            })
            .collect();
        tensor_file::write_state_dict(path, &arrays)
    }

    /// Reads a state dict, which [`export`](Self::export) or PyTorch wrote: `name` gives the name there of one of ours,
    /// or none for what is to stay as it is. Numbers of `f16`, `bf16`, `f64` and `i64` become `f32`. Whatever else is in
    /// the file must be `unused`. Nothing changes if it fails.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn import(
        &mut self,
        path: &Path,
        name: impl Fn(&str) -> Option<String>,
        unused: impl Fn(&str) -> bool,
    ) -> Result<()> {
        let names: Vec<_> = self.shapes().map(|(ours, _)| name(ours)).collect();
        let shapes = self.shapes().map(|(_, shape)| shape);
        let named = names.iter().zip(shapes);
        let expected: Vec<_> = named
            .filter_map(|(name, shape)| Some((name.as_deref()?, shape)))
            .collect();
        let mut arrays = tensor_file::read_state_dict(path, &expected, &unused)?.into_iter();
        let arrays = names.iter().map(|name| {
            let _ = name.as_ref()?;
            arrays.next()
        });
        self.put(arrays);
        Ok(())
    }

    /// Name, shape and tensor of every variable, then of every buffer.
    #[cfg(test)]
    pub(crate) fn tensors(&self) -> impl Iterator<Item = (&str, &[usize], Tensor)> {
        let entries = self.variables.iter().chain(&self.buffers);
        entries.map(|e| {
            (
                e.name.as_str(),
                e.shape.as_slice(),
                e.tensor.shallow_clone(),
            )
        })
    }

    /// Sets each variable, then each buffer, to its array, if there is one.
    fn put(&mut self, arrays: impl Iterator<Item = Option<Vec<f32>>>) {
        self.changed();
        let variables = views_of(&self.flat, &self.variables);
        let buffers = self.buffers.iter().map(|e| e.tensor.shallow_clone());
        for (mut tensor, values) in variables.into_iter().chain(buffers).zip(arrays) {
            if let Some(values) = values {
                tensor.copy_(&Tensor::from_slice(&values).view_as(&tensor));
            }
        }
    }
}

/// The memory of a flat tensor.
///
/// # Safety
/// While the slice lives, nothing else may read or write the tensor or a tensor that shares its memory.
///
/// # Panics
/// If the tensor holds no `T` in one piece on the processor.
#[expect(unsafe_code, reason = "tch has no access to a tensor's memory")]
#[expect(
    clippy::mut_from_ref,
    reason = "a tensor is a handle; the caller vouches for exclusiveness"
)]
pub(crate) unsafe fn slice_mut<T: Element>(tensor: &Tensor) -> &mut [T] {
    assert_eq!(
        tensor.device(),
        Device::Cpu,
        "the tensor is not on the processor"
    );
    assert_eq!(tensor.kind(), T::KIND, "the tensor holds other scalars");
    assert!(tensor.is_contiguous(), "the tensor has gaps");
    let len = tensor.numel();
    if len == 0 {
        return &mut [];
    }
    // SAFETY: the tensor owns `len` contiguous, initialised scalars for as long as it lives; that nothing
    // else touches them is the caller's promise.
    unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast(), len) }
}

/// The values of a tensor in row order, whatever its device.
pub(crate) fn to_vec(tensor: &Tensor) -> Vec<f32> {
    let mut values = vec![0.0; tensor.numel()];
    tensor.copy_data(&mut values, tensor.numel());
    values
}

/// One view of `flat` per entry, end to end, in the entry's shape.
fn views_of(flat: &Tensor, entries: &[Entry]) -> Vec<Tensor> {
    let mut start = 0;
    let view = |entry: &Entry| {
        let view = flat.narrow(0, start, entry.len()).view_as(&entry.tensor);
        start += entry.len();
        view
    };
    entries.iter().map(view).collect()
}

impl Entry {
    fn len(&self) -> i64 {
        self.shape.iter().product::<usize>() as i64
    }
}

#[derive(Debug)]
struct Declared {
    variables: Vec<Entry>,
    buffers: Vec<Entry>,
    /// None: initial values do not matter.
    rng: Option<Rng>,
    device: Device,
    clock: Clock,
    version: Version,
}

/// Where a network declares its variables, with a prefix for their names.
#[derive(Debug)]
pub struct Scope<'a> {
    declared: &'a mut Declared,
    prefix: String,
    /// Variables are declared as buffers.
    fixed: bool,
}

impl Scope<'_> {
    /// The scope `prefix.name`.
    pub fn sub(&mut self, name: &str) -> Scope<'_> {
        let prefix = self.full_name(name);
        Scope {
            declared: self.declared,
            prefix,
            fixed: self.fixed,
        }
    }

    /// This scope; if `fixed`, its variables are not trained.
    pub fn fixed(&mut self, fixed: bool) -> Scope<'_> {
        Scope {
            declared: self.declared,
            prefix: self.prefix.clone(),
            fixed: self.fixed || fixed,
        }
    }

    /// Variables and buffers declared so far.
    pub(crate) fn declared(&self) -> [usize; 2] {
        [self.declared.variables.len(), self.declared.buffers.len()]
    }

    /// What stands before the names that are declared here.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Gives the variables, then the buffers, that were declared since `before` the values that `read` finds for their
    /// names and shapes; those without keep theirs. Nothing is read where initial values do not matter.
    pub(crate) fn fill(
        &mut self,
        before: [usize; 2],
        read: impl FnOnce(&[(&str, &[usize])]) -> Result<Vec<Option<Vec<f32>>>>,
    ) -> Result<()> {
        if self.declared.rng.is_none() {
            return Ok(());
        }
        let Declared {
            variables, buffers, ..
        } = &mut *self.declared;
        let new = variables[before[0]..]
            .iter_mut()
            .chain(&mut buffers[before[1]..]);
        let new: Vec<&mut Entry> = new.collect();
        let expected: Vec<(&str, &[usize])> = new
            .iter()
            .map(|entry| (entry.name.as_str(), entry.shape.as_slice()))
            .collect();
        let arrays = read(&expected)?;
        for (entry, values) in new.into_iter().zip(arrays) {
            if let Some(values) = values {
                let values = Tensor::from_slice(&values).view_as(&entry.tensor);
                entry.tensor.copy_(&values);
            }
        }
        Ok(())
    }

    /// A stream for a layer that draws in every pass, and the number of the pass. The stream of a store whose initial
    /// values do not matter is a fixed one.
    pub(crate) fn draws(&mut self) -> (Rng, Clock) {
        let mut seed = [0; 32];
        if let Some(rng) = &mut self.declared.rng {
            rng.fill(&mut seed);
        }
        (Rng::from_seed(seed), self.declared.clock.clone())
    }

    /// What tells a layer that its weights were changed.
    pub(crate) fn version(&self) -> Version {
        self.declared.version.clone()
    }

    /// A trainable variable drawn uniformly from `-bound..bound`.
    ///
    /// # Panics
    /// If the name is taken.
    pub fn uniform(&mut self, name: &str, shape: &[i64], bound: f32) -> Tensor {
        let len: i64 = shape.iter().product();
        let mut values = vec![0.0; len as usize];
        if let Some(rng) = &mut self.declared.rng {
            let draw = |value: &mut f32| *value = bound * (2.0 * rng.random::<f32>() - 1.0);
            values.iter_mut().for_each(draw);
        }
        self.variable(name, shape, &values)
    }

    /// A trainable variable drawn from the normal distribution of mean 0 and that deviation.
    ///
    /// # Panics
    /// If the name is taken.
    pub fn normal(&mut self, name: &str, shape: &[i64], deviation: f32) -> Tensor {
        let len: i64 = shape.iter().product();
        let mut values = vec![0.0; len as usize];
        if let Some(rng) = &mut self.declared.rng {
            let draw = |value: &mut f32| {
                let x: f32 = StandardNormal.sample(rng);
                *value = deviation * x;
            };
            values.iter_mut().for_each(draw);
        }
        self.variable(name, shape, &values)
    }

    /// A trainable variable with the given values in row order.
    ///
    /// # Panics
    /// If the name is taken or the values do not fill the shape.
    pub fn variable(&mut self, name: &str, shape: &[i64], values: &[f32]) -> Tensor {
        if self.fixed {
            return self.buffer(name, shape, values);
        }
        let entry = self.entry(name, shape, values);
        let tensor = entry.tensor.shallow_clone();
        self.declared.variables.push(entry);
        tensor
    }

    /// A tensor that is saved with the weights but not trained, with the given values in row order.
    ///
    /// # Panics
    /// If the name is taken or the values do not fill the shape.
    pub fn buffer(&mut self, name: &str, shape: &[i64], values: &[f32]) -> Tensor {
        let entry = self.entry(name, shape, values);
        let tensor = entry.tensor.shallow_clone();
        self.declared.buffers.push(entry);
        tensor
    }

    fn entry(&self, name: &str, shape: &[i64], values: &[f32]) -> Entry {
        let name = self.full_name(name);
        let mut taken = self.declared.variables.iter().chain(&self.declared.buffers);
        assert!(
            taken.all(|e| e.name != name),
            "two variables are called \"{name}\""
        );
        let tensor = Tensor::from_slice(values)
            .view(shape)
            .to_device(self.declared.device);
        let shape = shape.iter().map(|&n| n as usize).collect();
        Entry {
            name,
            shape,
            tensor,
        }
    }

    fn full_name(&self, name: &str) -> String {
        if self.prefix.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.prefix)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Linear;
    use thorndike_core::Seeds;

    fn two_layers(seed: u64) -> (ParamStore, [Linear; 2]) {
        let rng = Seeds::new(seed).stream("agent/init", 0);
        ParamStore::build(Device::Cpu, rng, |scope| {
            let first = Linear::new(&mut scope.sub("extractor").sub("0"), 3, 4);
            let _ = scope.buffer("extractor.mean", &[2], &[0.5, -0.5]);
            Ok([first, Linear::new(&mut scope.sub("head"), 4, 2)])
        })
        .unwrap()
    }

    fn loss(layers: &[Linear; 2]) -> Tensor {
        let x = Tensor::from_slice(&[1_f32, -2.0, 3.0, 0.5, 0.25, -1.0]).view([2, 3]);
        layers[1]
            .forward(&layers[0].forward(&x).tanh())
            .square()
            .sum(Kind::Float)
    }

    #[test]
    fn a_twin_has_the_same_weights_and_buffers_in_memory_of_its_own() {
        let (mut store, layers) = two_layers(1);
        let (twin, twins) = store
            .twin(|scope| {
                let first = Linear::new(&mut scope.sub("extractor").sub("0"), 3, 4);
                let mean = scope.buffer("extractor.mean", &[2], &[0.0, 0.0]);
                let second = Linear::new(&mut scope.sub("head"), 4, 2);
                Ok(([first, second], mean))
            })
            .unwrap();
        assert_eq!(twins.1, Tensor::from_slice(&[0.5_f32, -0.5]));
        let before = loss(&layers);
        assert_eq!(loss(&twins.0), before);
        let _ = store.flat_and_gradient_mut().0.fill_(1.0);
        assert_ne!(loss(&layers), before);
        assert_eq!(
            (loss(&twins.0), twin.num_parameters()),
            (before, store.num_parameters())
        );
    }

    #[test]
    fn variables_share_memory_with_the_flat_tensor() {
        let (mut store, layers) = two_layers(1);
        let names: Vec<_> = store.shapes().map(|(name, _)| name).collect();
        let expected = [
            "extractor.0.weight",
            "extractor.0.bias",
            "head.weight",
            "head.bias",
            "extractor.mean",
        ];
        assert_eq!(names, expected);
        assert_eq!(store.num_parameters(), 3 * 4 + 4 + 4 * 2 + 2);
        let _ = store.flat.fill_(2.0);
        assert_eq!(to_vec(&layers[0].weight), [2.0; 12]);
        assert_eq!(to_vec(&layers[1].bias), [2.0; 2]);
    }

    #[test]
    fn backward_fills_the_flat_gradient_and_adds_to_it() {
        let (mut store, layers) = two_layers(2);
        store.enable_gradients();
        assert_eq!(to_vec(store.gradient()), vec![0.0; 26], "it starts at zero");
        loss(&layers).backward();
        let once = to_vec(store.gradient());
        let parts = [
            &layers[0].weight,
            &layers[0].bias,
            &layers[1].weight,
            &layers[1].bias,
        ];
        let expected = Tensor::run_backward(&[loss(&layers)], &parts, false, false);
        let expected: Vec<f32> = expected.iter().flat_map(to_vec).collect();
        assert_eq!(once, expected);
        loss(&layers).backward();
        let twice: Vec<f32> = once.iter().map(|g| 2.0 * g).collect();
        assert_eq!(to_vec(store.gradient()), twice);
        store.zero_gradient();
        assert_eq!(to_vec(store.gradient()), vec![0.0; 26]);
    }

    #[test]
    fn a_weight_outside_the_loss_gets_no_gradient() {
        let (mut store, layers) = two_layers(2);
        store.enable_gradients();
        layers[1].bias.sum(Kind::Float).backward();
        let gradient = to_vec(store.gradient());
        assert_eq!(gradient[..24], [0.0; 24]);
        assert_eq!(gradient[24..], [1.0; 2]);
    }

    #[test]
    fn clipping_scales_to_the_norm_asked_for_and_leaves_smaller_gradients_alone() {
        let (mut store, _) = two_layers(2);
        store.enable_gradients();
        store
            .gradient
            .narrow(0, 0, 2)
            .copy_(&Tensor::from_slice(&[3_f32, 4.0]));
        assert_eq!(store.clip_gradient(10.0), 5.0);
        assert_eq!(to_vec(store.gradient())[..2], [3.0, 4.0]);
        assert_eq!(store.clip_gradient(1.0), 5.0);
        let clipped = to_vec(store.gradient());
        assert!(
            (clipped[0] - 0.6).abs() < 1e-6 && (clipped[1] - 0.8).abs() < 1e-6,
            "{clipped:?}"
        );
    }

    #[test]
    fn initial_weights_come_from_the_stream_alone() {
        tch::manual_seed(1);
        let first = to_vec(two_layers(5).0.flat());
        tch::manual_seed(2);
        assert_eq!(first, to_vec(two_layers(5).0.flat()));
        assert_ne!(first, to_vec(two_layers(6).0.flat()));
        let bound = 1.0 / 3_f32.sqrt();
        assert!(first[..16].iter().all(|w| w.abs() <= bound));
        assert!(first[..16].iter().any(|w| w.abs() > 0.5 * bound));
    }

    #[test]
    fn targets_copy_and_average() {
        let (mut target, _) = two_layers(1);
        let (online, _) = two_layers(2);
        let (before, goal) = (to_vec(target.flat()), to_vec(online.flat()));
        target.lerp_from(&online, 0.25);
        for ((after, before), goal) in to_vec(target.flat()).iter().zip(before).zip(&goal) {
            assert!((after - (before + 0.25 * (goal - before))).abs() < 1e-6); // one rounding
        }
        target.copy_from(&online);
        assert_eq!(to_vec(target.flat()), goal);
    }

    #[test]
    fn saved_weights_load_into_the_views_and_buffers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weights.safetensors");
        let (mut saved, _) = two_layers(1);
        saved.buffers[0]
            .tensor
            .copy_(&Tensor::from_slice(&[9_f32, 8.0]));
        saved.save(&path).unwrap();
        let (mut store, layers) = two_layers(2);
        store.enable_gradients();
        store.load(&path).unwrap();
        assert_eq!(to_vec(store.flat()), to_vec(saved.flat()));
        assert_eq!(
            to_vec(&layers[0].weight),
            to_vec(&saved.flat().narrow(0, 0, 12))
        );
        assert_eq!(to_vec(&store.buffers[0].tensor), [9.0, 8.0]);
        loss(&layers).backward();
        assert!(
            store.clip_gradient(f64::INFINITY) > 0.0,
            "gradients still arrive"
        );
    }

    #[test]
    fn a_refused_file_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weights.safetensors");
        let rng = Seeds::new(1).stream("agent/init", 0);
        let (other, _) = ParamStore::build(Device::Cpu, rng, |s| {
            Ok(Linear::new(&mut s.sub("head"), 4, 2))
        })
        .unwrap();
        other.save(&path).unwrap();
        let (mut store, _) = two_layers(2);
        let before = to_vec(store.flat());
        let error = store.load(&path).unwrap_err().to_string();
        assert!(
            error.contains("weights.safetensors: tensor \"extractor.0.weight\" is missing"),
            "{error}"
        );
        assert_eq!(to_vec(store.flat()), before);
    }

    #[test]
    #[should_panic(expected = "two variables are called \"head.bias\"")]
    fn a_name_can_be_used_once() {
        let rng = Seeds::new(1).stream("agent/init", 0);
        let _ = ParamStore::build(Device::Cpu, rng, |scope| {
            let _ = scope.sub("head").uniform("bias", &[1], 1.0);
            Ok(scope.uniform("head.bias", &[1], 1.0))
        });
    }
}
