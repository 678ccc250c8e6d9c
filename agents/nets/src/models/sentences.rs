//! Text sentence by sentence: tokens `[batch, time] -> [batch, width]`.
//!
//! `max over sentences s of relu(W f(s) + b)`, where `f` is an extractor that reads one sentence.

use std::cell::RefCell;
use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor, no_grad_guard};
use thorndike_core::{Error, Result};

use super::bag_of_words::check_layers;
use super::cell::{dense, dense_size, relu_layers};
use super::word_table::{is_padded, tokens_of};
use crate::extractor::Inputs;
use crate::params::to_vec;
use crate::{ExtractorConfig, FeatureExtractor, Linear, Scope};

/// Settings of [`Sentences`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SentencesConfig {
    /// What reads a sentence: any extractor that reads tokens.
    pub each: Box<ExtractorConfig>,
    /// Whether it stays as it is. Default false.
    #[serde(default)]
    pub freeze: bool,
    /// Units of the layers with ReLU on the features of a sentence, one or more. Default `[128]`.
    #[serde(default = "default_layers")]
    pub layers: Vec<usize>,
    /// Units of the layers with ReLU on the highest of each feature over all sentences. Default none.
    #[serde(default)]
    pub hidden: Vec<usize>,
}

fn default_layers() -> Vec<usize> {
    vec![128]
}

impl SentencesConfig {
    /// Refuses values out of range.
    ///
    /// # Errors
    /// [`Error::Config`] with the key and the accepted range.
    pub fn check(&self) -> Result<()> {
        if self.layers.is_empty() {
            return Err(Error::config("layers", "is empty; give one or more"));
        }
        check_layers("layers", &self.layers)?;
        check_layers("hidden", &self.hidden)
    }

    /// Weights and features for observations of `inputs`.
    pub(crate) fn size(&self, inputs: &Inputs<'_>) -> (u64, u64) {
        let each = self.each.size(inputs);
        dense_size(dense_size(each, &self.layers), &self.hidden)
    }

    /// This as a network that has its weights already is built.
    pub(crate) fn settled(&self) -> Result<Self> {
        Ok(Self {
            each: Box::new(self.each.settled().map_err(|e| e.under("each"))?),
            ..self.clone()
        })
    }
}

/// Splits a text at its stops, reads each sentence by itself, and takes the highest of each feature: it counts what is said,
/// not in which order. Sentences end with the word "."; token 0 is padding.
///
/// *Design.* Texts say the same sentences again and again. Each is read once in a batch, however often it is there; and
/// where nothing in its reader learns, once for ever.
///
/// # Reference
/// Zaheer et al., "Deep Sets" (2017), section 3, with the maximum for the sum, as Qi et al., "PointNet" (2017), section
/// 4.2. Deviations: none.
#[derive(Debug)]
pub struct Sentences {
    each: Box<dyn FeatureExtractor>,
    layers: Vec<Linear>,
    hidden: Vec<Linear>,
    width: i64,
    stop: Option<i64>,
    /// Sentences that were read, where their features never change.
    read: Option<RefCell<ReadBefore>>,
}

/// Features of sentences.
#[derive(Debug, Default)]
struct ReadBefore {
    places: HashMap<Box<[i64]>, usize>,
    /// `[sentences, width]`.
    features: Vec<f32>,
}

/// Numbers of features that are kept; when there are more, all are read anew.
const MOST_KEPT: usize = 1 << 25;

impl Sentences {
    /// Declares `each`, `layers.0`, … and `hidden.0`, … in `scope`, for the words of `inputs`.
    ///
    /// # Errors
    /// [`Error::Config`] if a setting is out of range, or the observations are no words.
    pub fn new(
        config: &SentencesConfig,
        scope: &mut Scope<'_>,
        inputs: &Inputs<'_>,
    ) -> Result<Self> {
        config.check()?;
        if tokens_of(inputs.space).is_none() || !is_padded(inputs.vocabulary) {
            let what = format!(
                "kind \"sentences\" reads words, the first of which is <pad>, and {} holds none",
                inputs.space
            );
            return Err(Error::config("", what));
        }
        let before = scope.declared()[0];
        let frozen = match &*config.each {
            ExtractorConfig::Pretrained(pretrained) => pretrained.is_frozen(),
            _ => false,
        } || config.freeze;
        let each = config
            .each
            .build(&mut scope.sub("each").fixed(frozen), inputs);
        let each = each.map_err(|e| e.under("each"))?;
        if !each.reads_tokens() {
            let what = "reads no tokens; take kind \"bag-of-words\", \"rnn\" with an embedding, \"bert\" or \"pretrained\"";
            return Err(Error::config("each", what));
        }
        let learns = scope.declared()[0] > before;
        let mut width = each.width();
        let layers = dense("layers", &config.layers, scope, &mut width);
        let hidden = dense("hidden", &config.hidden, scope, &mut width);
        let stop = inputs.vocabulary.iter().position(|word| word == ".");
        Ok(Self {
            each,
            layers,
            hidden,
            width,
            stop: stop.map(|at| at as i64),
            read: (!learns).then(RefCell::default),
        })
    }

    /// The sentences of a row, without padding.
    fn split<'a>(&self, row: &'a [i64]) -> impl Iterator<Item = &'a [i64]> + use<'a> {
        let len = row
            .iter()
            .rposition(|&token| token != 0)
            .map_or(0, |at| at + 1);
        let stop = self.stop;
        row[..len].split_inclusive(move |&token| Some(token) == stop)
    }

    /// Features of different `sentences`, `[sentences, width]`.
    fn read_all(&self, sentences: &[&[i64]], device: Device, train: bool) -> Tensor {
        let longest = sentences.iter().map(|s| s.len()).max().unwrap_or(0);
        let mut tokens = vec![0_i64; sentences.len() * longest];
        for (row, sentence) in tokens.chunks_exact_mut(longest).zip(sentences) {
            row[..sentence.len()].copy_from_slice(sentence);
        }
        let tokens = Tensor::from_slice(&tokens).view([-1, longest as i64]);
        self.each.features(&tokens.to_device(device), train)
    }

    /// As [`read_all`](Self::read_all), of a reader that never changes.
    fn recall(&self, known: &mut ReadBefore, sentences: &[&[i64]], device: Device) -> Tensor {
        let width = self.each.width() as usize;
        if known.features.len() > MOST_KEPT {
            *known = ReadBefore::default();
        }
        let new: Vec<&[i64]> = sentences
            .iter()
            .copied()
            .filter(|sentence| !known.places.contains_key(*sentence))
            .collect();
        if !new.is_empty() {
            let _guard = no_grad_guard();
            let features = self.read_all(&new, device, false);
            for sentence in new {
                known.places.insert(sentence.into(), known.places.len());
            }
            known.features.extend(to_vec(&features.contiguous()));
        }
        let mut all = Vec::with_capacity(sentences.len() * width);
        for sentence in sentences {
            let at = known.places[*sentence] * width;
            all.extend_from_slice(&known.features[at..at + width]);
        }
        Tensor::from_slice(&all)
            .view([-1, width as i64])
            .to_device(device)
    }
}

impl FeatureExtractor for Sentences {
    fn features(&self, obs: &Tensor, train: bool) -> Tensor {
        let (batch, time) = (obs.size()[0] as usize, obs.size()[1] as usize);
        let device = obs.device();
        let mut tokens = vec![0_i64; batch * time];
        obs.to_kind(Kind::Int64)
            .copy_data(&mut tokens, batch * time);
        let mut places: HashMap<&[i64], i64> = HashMap::new();
        let mut sentences: Vec<&[i64]> = Vec::new();
        let rows: Vec<Vec<i64>> = tokens
            .chunks_exact(time)
            .map(|row| {
                let place = |sentence| {
                    *places.entry(sentence).or_insert_with(|| {
                        sentences.push(sentence);
                        sentences.len() as i64
                    })
                };
                self.split(row).map(place).collect()
            })
            .collect();
        let most = rows.iter().map(Vec::len).max().unwrap_or(0).max(1);
        // Place 0 is that of no sentence: zeros, than which nothing behind ReLU is lower.
        let nothing = Tensor::zeros(
            [1, self.layers[self.layers.len() - 1].bias.size()[0]],
            (Kind::Float, device),
        );
        let read = match (&self.read, sentences.is_empty()) {
            (_, true) => nothing,
            (Some(known), _) => {
                let features = self.recall(&mut known.borrow_mut(), &sentences, device);
                Tensor::cat(&[nothing, relu_layers(&self.layers, features)], 0)
            }
            (None, _) => {
                let features = self.read_all(&sentences, device, train);
                Tensor::cat(&[nothing, relu_layers(&self.layers, features)], 0)
            }
        };
        let mut index = vec![0_i64; batch * most];
        for (to, row) in index.chunks_exact_mut(most).zip(&rows) {
            to[..row.len()].copy_from_slice(row);
        }
        let index = Tensor::from_slice(&index).to_device(device);
        let width = read.size()[1];
        let all = read.index_select(0, &index).view([-1, most as i64, width]); // [batch, sentences, width]
        relu_layers(&self.hidden, all.max_dim(1, false).0)
    }

    fn width(&self) -> i64 {
        self.width
    }

    fn reads_tokens(&self) -> bool {
        true
    }

    fn notes(&self) -> Option<String> {
        self.each.notes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ParamStore;
    use crate::models::{BagOfWordsConfig, RnnConfig};
    use thorndike_core::{Seeds, Space};

    const WORDS: [&str; 6] = ["<pad>", ".", "lamp", "key", "here", "there"];

    fn vocabulary() -> Vec<String> {
        WORDS.map(str::to_owned).to_vec()
    }

    fn build(each: ExtractorConfig, space: &Space) -> Result<(ParamStore, Sentences)> {
        let config = SentencesConfig {
            each: Box::new(each),
            freeze: false,
            layers: vec![5],
            hidden: vec![4],
        };
        build_as(&config, space)
    }

    fn build_as(config: &SentencesConfig, space: &Space) -> Result<(ParamStore, Sentences)> {
        let vocabulary = vocabulary();
        let rng = Seeds::new(1).stream("agent/init", 0);
        let inputs = Inputs {
            space,
            frames: 1,
            vocabulary: &vocabulary,
        };
        let built = ParamStore::build(Device::Cpu, rng, |scope| {
            Sentences::new(config, &mut scope.sub("extractor"), &inputs)
        })?;
        let size = config.size(&inputs);
        let weights = built.0.num_parameters() as u64;
        let fixed: usize = built
            .0
            .shapes()
            .map(|(_, shape)| shape.iter().product::<usize>())
            .sum();
        assert!(weights <= size.0 && size == (fixed as u64, 4));
        Ok(built)
    }

    fn rnn() -> ExtractorConfig {
        ExtractorConfig::Rnn(RnnConfig {
            units: 3,
            embedding: 2,
            ..RnnConfig::default()
        })
    }

    fn tokens(rows: &[[i64; 8]]) -> Tensor {
        Tensor::from_slice2(rows)
    }

    fn space() -> Space {
        Space::MultiDiscrete(vec![6; 8])
    }

    #[test]
    fn features_are_the_highest_over_sentences_read_one_by_one() {
        let (_, net) = build(rnn(), &space()).unwrap();
        let alone = |sentence: &[i64]| {
            let read = net
                .each
                .features(&Tensor::from_slice(sentence).view([1, -1]), false);
            relu_layers(&net.layers, read)
        };
        let highest = alone(&[2, 4, 1])
            .maximum(&alone(&[3, 1]))
            .maximum(&alone(&[5]));
        let expected = relu_layers(&net.hidden, highest);
        // In any order, and with any other row beside.
        for row in [[2, 4, 1, 3, 1, 5, 0, 0], [3, 1, 2, 4, 1, 3, 1, 5]] {
            let both = tokens(&[[5, 1, 0, 0, 0, 0, 0, 0], row]);
            let found = net.features(&both, false).get(1);
            let difference = (found - expected.get(0)).abs().max().double_value(&[]);
            assert!(difference < 1e-6, "{difference}");
        }
        let nothing = net.features(&tokens(&[[0; 8]]), false);
        let zeros = Tensor::zeros([1, 5], (Kind::Float, Device::Cpu));
        assert_eq!(nothing, relu_layers(&net.hidden, zeros));
    }

    #[test]
    fn a_reader_that_does_not_learn_reads_a_sentence_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vectors.txt");
        std::fs::write(&path, "2 3\nlamp 1 2 3\nkey 3 1 -2\n").unwrap();
        let bag = |freeze| {
            ExtractorConfig::BagOfWords(BagOfWordsConfig {
                vectors: Some(path.clone()),
                freeze,
                ..BagOfWordsConfig::default()
            })
        };
        let (mut store, frozen) = build(bag(true), &space()).unwrap();
        let (_, tuned) = build(bag(false), &space()).unwrap();
        let known = || {
            frozen
                .read
                .as_ref()
                .map(|known| known.borrow().places.len())
        };
        let both = tokens(&[[2, 1, 3, 1, 0, 0, 0, 0], [3, 4, 1, 2, 1, 0, 0, 0]]);
        let first = frozen.features(&both, true);
        assert_eq!((known(), tuned.read.is_none()), (Some(3), true));
        assert_eq!(first, tuned.features(&both, true));
        assert_eq!((frozen.features(&both, false), known()), (first, Some(3)));
        // What lies behind it learns.
        store.enable_gradients();
        frozen.features(&both, true).sum(Kind::Float).backward();
        assert!(store.gradient().abs().sum(Kind::Float).double_value(&[]) > 0.0);
        assert_eq!(store.num_parameters(), (3 + 1) * 5 + (5 + 1) * 4);
    }

    #[test]
    fn any_reader_can_be_frozen() {
        let freeze = |freeze| SentencesConfig {
            each: Box::new(rnn()),
            freeze,
            layers: vec![5],
            hidden: vec![4],
        };
        let (learning, tuned) = build_as(&freeze(false), &space()).unwrap();
        let (store, frozen) = build_as(&freeze(true), &space()).unwrap();
        let behind = (3 + 1) * 5 + (5 + 1) * 4;
        assert!(learning.num_parameters() > behind && tuned.read.is_none());
        assert_eq!(store.num_parameters(), behind);
        let both = tokens(&[[2, 1, 3, 1, 0, 0, 0, 0], [3, 4, 1, 2, 1, 0, 0, 0]]);
        assert_eq!(frozen.features(&both, true), tuned.features(&both, true));
        assert!(frozen.read.is_some());
    }

    #[test]
    fn what_reads_or_holds_no_words_is_refused_in_one_line() {
        let error = build(ExtractorConfig::default(), &space())
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("each: reads no tokens; take kind"),
            "{error}"
        );
        let error = build(rnn(), &Space::unbounded(&[3])).unwrap_err();
        let error = error.under("extractor").to_string();
        assert!(
            error.starts_with("extractor: kind \"sentences\" reads words"),
            "{error}"
        );
    }
}
