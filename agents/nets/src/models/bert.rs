//! BERT: tokens `[batch, time]` -> hidden states `[batch, time, hidden]` and one pooled row `[batch, hidden]`.
//!
//! `x = norm(word + position + segment)`; in each layer `x = norm(x + W concat(attention))`, then
//! `x = norm(x + W2 gelu(W1 x))`, where a head of width `d` attends by `softmax(q kᵀ / √d) v`; the pooled row is
//! `tanh(W x[0])` of the first token, `[CLS]`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};
use thorndike_core::{Error, Result, Space, check_range};

use super::mlp::MAX_UNITS;
use crate::extractor::Inputs;
use crate::published::Source;
use crate::translation::Translation;
use crate::{Dropout, FeatureExtractor, LayerNorm, Linear, Read, Scope, SequenceReader};

/// Settings of [`Bert`], under the keys that `config.json` of a published checkpoint has. The defaults are those of
/// `bert-base`.
///
/// # Reference
/// Devlin, Chang, Lee and Toutanova, "BERT: Pre-training of Deep Bidirectional Transformers for Language
/// Understanding" (2019), section 3 and appendix A.2. Small sizes (mini: 4 layers, 256 wide, 4 heads; tiny: 2, 128, 2) are
/// in Turc et al., "Well-Read Students Learn Better" (2019).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BertConfig {
    /// The folder of a trained encoder, whose sizes and first weights are taken: a published checkpoint (`config.json`,
    /// `model.safetensors`, `vocab.txt`), or a run that `thorndike fit` left. Not a published key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<PathBuf>,
    /// Different tokens; 0: as many as the observations have. Default 0.
    pub vocab_size: usize,
    /// Width of a hidden state.
    pub hidden_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Heads of each attention; the width of a head is `hidden_size` over this.
    pub num_attention_heads: usize,
    /// Width between the two maps behind each attention.
    pub intermediate_size: usize,
    /// What lies between them.
    pub hidden_act: HiddenActivation,
    /// Share of the numbers dropped behind embeddings and maps while learning.
    pub hidden_dropout_prob: f64,
    /// Share of the attention dropped while learning.
    pub attention_probs_dropout_prob: f64,
    /// Longest sequence, tokens.
    pub max_position_embeddings: usize,
    /// Different segments.
    pub type_vocab_size: usize,
    /// Deviation of the weights at first.
    pub initializer_range: f64,
    /// Added to the variance in each normalisation.
    pub layer_norm_eps: f64,
    /// What a whole sequence's features are. Not a published key.
    pub readout: BertReadout,
    /// What the large products are computed in. Not a published key.
    pub precision: Precision,
    /// Share of the tokens whose word is not shown while learning: its vector is 0, its place and segment stay. Against
    /// learning words by heart (Dai and Le, "Semi-supervised Sequence Learning", 2015, section 3.4). Default 0. Not a
    /// published key.
    pub word_dropout: f64,
}

/// What lies between the two maps behind an attention.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HiddenActivation {
    /// `x Φ(x)`, with the normal distribution's function (Hendrycks and Gimpel, 2016).
    #[default]
    Gelu,
    /// Its approximation by a hyperbolic tangent.
    #[serde(alias = "gelu_pytorch_tanh")]
    GeluNew,
    /// `max(x, 0)`.
    Relu,
}

/// What a whole sequence's features are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BertReadout {
    /// The pooled row of the first token.
    #[default]
    Pooled,
    /// The mean of the hidden states over the tokens.
    Mean,
}

/// What large products are computed in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// Numbers of 32 bits.
    #[default]
    F32,
    /// Factors of 16 bits, 8 of them precision (`bfloat16`): several times as fast on graphics cards and on processors
    /// with AMX, slower on others. Weights, norms and losses stay `f32`.
    Bf16,
}

impl Default for BertConfig {
    fn default() -> Self {
        Self {
            from: None,
            vocab_size: 0,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            hidden_act: HiddenActivation::Gelu,
            hidden_dropout_prob: 0.1,
            attention_probs_dropout_prob: 0.1,
            max_position_embeddings: 512,
            type_vocab_size: 2,
            initializer_range: 0.02,
            layer_norm_eps: 1e-12,
            readout: BertReadout::Pooled,
            precision: Precision::F32,
            word_dropout: 0.0,
        }
    }
}

/// Keys that no published checkpoint has.
const OWN: [&str; 4] = ["from", "readout", "precision", "word_dropout"];
/// More tokens than any published vocabulary has.
const MAX_TOKENS: usize = 1 << 22;
/// Longer than any published encoder reads.
const MAX_POSITIONS: usize = 1 << 16;
/// More layers than any published encoder has.
const MAX_LAYERS: usize = 256;

impl BertConfig {
    /// Refuses values out of range.
    ///
    /// # Errors
    /// [`Error::Config`] with the key and the accepted range.
    pub fn check(&self) -> Result<()> {
        check_range("vocab_size", self.vocab_size, 0..=MAX_TOKENS)?;
        check_range("hidden_size", self.hidden_size, 1..=MAX_UNITS)?;
        check_range("num_hidden_layers", self.num_hidden_layers, 1..=MAX_LAYERS)?;
        check_range(
            "num_attention_heads",
            self.num_attention_heads,
            1..=self.hidden_size,
        )?;
        check_range("intermediate_size", self.intermediate_size, 1..=MAX_UNITS)?;
        check_range(
            "max_position_embeddings",
            self.max_position_embeddings,
            1..=MAX_POSITIONS,
        )?;
        check_range("type_vocab_size", self.type_vocab_size, 1..=1024)?;
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            let what = format!(
                "{} does not divide hidden_size, {}; give a number that does",
                self.num_attention_heads, self.hidden_size
            );
            return Err(Error::config("num_attention_heads", what));
        }
        for (key, rate) in [
            ("hidden_dropout_prob", self.hidden_dropout_prob),
            (
                "attention_probs_dropout_prob",
                self.attention_probs_dropout_prob,
            ),
            ("word_dropout", self.word_dropout),
        ] {
            if !(0.0..1.0).contains(&rate) {
                let what = format!("{rate} is out of range; give 0 or more and below 1");
                return Err(Error::config(key, what));
            }
        }
        check_range("initializer_range", self.initializer_range, 0.0..=10.0)?;
        check_range("layer_norm_eps", self.layer_norm_eps, 1e-30..=1.0)
    }

    /// This with the sizes of the trained encoder that it begins from, if there is one.
    ///
    /// # Errors
    /// [`Error::Config`] if there is none, or one of the sizes is given and differs.
    pub fn resolved(&self) -> Result<Self> {
        match &self.from {
            None => Ok(self.clone()),
            Some(from) => self.with(&Source::open(from)?.config),
        }
    }

    /// As [`resolved`](Self::resolved), of an encoder of `found`.
    fn with(&self, found: &Self) -> Result<Self> {
        let mut all = serde_json::to_value(found).expect("plain numbers");
        let [given, default] =
            [self, &Self::default()].map(|config| serde_json::to_value(config).expect("as above"));
        for (key, value) in given.as_object().expect("a table") {
            let is_rate = key.ends_with("_prob");
            if OWN.contains(&key.as_str()) || is_rate && *value != default[key] {
                all[key] = value.clone();
            } else if !is_rate && *value != default[key] && *value != all[key] {
                let from = self.from.as_deref().unwrap_or(Path::new(""));
                let what = format!("is {} in {}; leave it out", all[key], from.display());
                return Err(Error::config(key, what));
            }
        }
        Ok(serde_json::from_value(all).expect("was one"))
    }

    /// As `config.json` of a published checkpoint has it; keys that say nothing about the encoder's numbers are passed
    /// over.
    ///
    /// # Errors
    /// If a key is missing or damaged, or the model is not of this kind.
    pub fn from_published(json: &serde_json::Value) -> std::result::Result<Self, String> {
        let keys = json.as_object().ok_or("is no table of keys")?;
        let text = |key: &str| keys.get(key).and_then(serde_json::Value::as_str);
        match text("model_type") {
            Some("bert") | None => {}
            Some(other) => return Err(format!("is of a \"{other}\", not of a \"bert\"")),
        }
        match text("position_embedding_type") {
            Some("absolute") | None => {}
            Some(other) => {
                return Err(format!(
                    "has position_embedding_type \"{other}\"; \"absolute\" can be read"
                ));
            }
        }
        if keys.get("is_decoder") == Some(&true.into()) {
            return Err("is of a decoder; an encoder can be read".to_owned());
        }
        let known = serde_json::to_value(Self::default()).expect("plain numbers");
        let ours = known.as_object().expect("a table");
        let mut taken = serde_json::Map::new();
        for (key, value) in keys {
            if ours.contains_key(key) && !OWN.contains(&key.as_str()) {
                taken.insert(key.clone(), value.clone());
            }
        }
        for key in ["vocab_size", "hidden_size", "num_hidden_layers"] {
            if !taken.contains_key(key) {
                return Err(format!("has no {key}"));
            }
        }
        let config: Self = serde_json::from_value(taken.into()).map_err(|e| e.to_string())?;
        config.check().map_err(|e| e.to_string())?;
        Ok(config)
    }

    /// The keys and values of a published checkpoint's `config.json`; `architecture` names its class, such as
    /// `BertForPreTraining`.
    pub fn to_published(&self, architecture: &str) -> serde_json::Value {
        let mut json = serde_json::to_value(self).expect("plain numbers");
        let keys = json.as_object_mut().expect("a table");
        for key in OWN {
            keys.remove(key);
        }
        keys.insert("model_type".to_owned(), "bert".into());
        keys.insert("architectures".to_owned(), vec![architecture].into());
        keys.insert("pad_token_id".to_owned(), 0.into());
        keys.insert("position_embedding_type".to_owned(), "absolute".into());
        json
    }

    /// Weights, and features of a sequence, for observations of `space`.
    pub(crate) fn size(&self, space: &Space) -> (u64, u64) {
        let Ok(config) = self.resolved() else {
            return (0, 0);
        };
        config.own_size(space)
    }

    fn own_size(&self, space: &Space) -> (u64, u64) {
        let [words, hidden, wide, positions, segments, layers] = [
            self.words(space),
            self.hidden_size,
            self.intermediate_size,
            self.max_position_embeddings,
            self.type_vocab_size,
            self.num_hidden_layers,
        ]
        .map(|n| n as u64);
        let affine = |inputs: u64, outputs: u64| (inputs + 1).saturating_mul(outputs);
        let layer =
            4 * affine(hidden, hidden) + affine(hidden, wide) + affine(wide, hidden) + 4 * hidden;
        let tables = (words + positions + segments).saturating_mul(hidden) + 2 * hidden;
        let weights = tables + layers.saturating_mul(layer) + affine(hidden, hidden);
        (weights, hidden)
    }

    /// Different tokens.
    pub(crate) fn words(&self, space: &Space) -> usize {
        match (self.vocab_size, space) {
            (0, Space::MultiDiscrete(sizes)) => sizes.iter().copied().max().unwrap_or(0),
            (0, Space::Discrete(n)) => *n,
            (words, _) => words,
        }
    }
}

/// The encoder.
///
/// Segments are read off the tokens: what stands behind the first `[SEP]` is the second one. Padding is what the lengths of
/// a batch say, and token 0 where the vocabulary calls it `[PAD]` or `<pad>`; nothing attends to it.
///
/// # Reference
/// Devlin et al. (2019), section 3; Vaswani et al., "Attention Is All You Need" (2017), sections 3.2 and 3.3. Names and
/// shapes of the weights are those of Hugging Face's `BertModel`. Deviations: none in the numbers; where a sequence is
/// nothing but padding, all of it is attended to.
#[derive(Debug)]
pub struct Bert {
    /// `[words, hidden]`.
    words: Tensor,
    /// `[positions, hidden]`.
    positions: Tensor,
    /// `[segments, hidden]`.
    segments: Tensor,
    norm: LayerNorm,
    dropout: Dropout,
    word_dropout: Option<Dropout>,
    layers: Vec<Layer>,
    pooler: Linear,
    config: BertConfig,
    /// The token between the two segments, if there is one.
    separator: Option<i64>,
    /// Whether token 0 stands for nothing.
    padded: bool,
    /// What its first weights were.
    source: Option<Source>,
    /// How its tokens are made of other words.
    translation: Option<Translation>,
}

/// From the words of the observations to those of an encoder, if they are not the same.
fn translation(
    words: &[String],
    vocabulary: &[String],
    most: usize,
) -> Result<Option<Translation>> {
    if words.is_empty() || words == vocabulary {
        return Ok(None);
    }
    if words.iter().any(|word| word == "[SEP]") {
        let differ = words.iter().zip(vocabulary).position(|(a, b)| a != b);
        let at = differ.unwrap_or(words.len().min(vocabulary.len()));
        let word = |all: &[String]| {
            all.get(at)
                .map_or("nothing".to_owned(), |w| format!("{w:?}"))
        };
        let what = format!(
            "the data was tokenised with another vocabulary ({} words, at {at} {}) than the encoder has ({} words, {}); \
             set data.vocabulary to that of the encoder",
            words.len(),
            word(words),
            vocabulary.len(),
            word(vocabulary),
        );
        return Err(Error::config("from", what));
    }
    Translation::new(words, vocabulary, most).map(Some)
}

/// Gives what was declared since `before` the values that `source` has; our names begin with `part` there.
fn fill(scope: &mut Scope<'_>, before: [usize; 2], part: &str, source: &Source) -> Result<()> {
    let prefix = scope.prefix().to_owned();
    scope.fill(before, |expected| {
        let renamed: Vec<(String, &[usize])> = expected
            .iter()
            .map(|(name, shape)| {
                let own = name.strip_prefix(&prefix).expect("declared below it");
                (format!("{part}{own}"), *shape)
            })
            .collect();
        source.read(&renamed)
    })
}

/// One layer.
#[derive(Debug)]
struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    attention_dropout: Dropout,
    attention_output: Linear,
    attention_norm: LayerNorm,
    intermediate: Linear,
    output: Linear,
    output_norm: LayerNorm,
    dropout: [Dropout; 2],
}

/// A layer norm called `LayerNorm`.
fn norm(scope: &mut Scope<'_>, config: &BertConfig) -> LayerNorm {
    let scope = &mut scope.sub("LayerNorm");
    LayerNorm::with_epsilon(scope, config.hidden_size as i64, config.layer_norm_eps)
}

/// `x W + b` in the precision that is asked for, which its result has.
fn product(x: &Tensor, layer: &Linear, precision: Precision) -> Tensor {
    match precision {
        Precision::F32 => layer.forward(x),
        Precision::Bf16 => {
            let half = |x: &Tensor| x.to_kind(Kind::BFloat16);
            half(x).linear(&half(&layer.weight), Some(half(&layer.bias)))
        }
    }
}

fn activate(x: &Tensor, activation: HiddenActivation) -> Tensor {
    match activation {
        HiddenActivation::Gelu => x.gelu("none"),
        HiddenActivation::GeluNew => x.gelu("tanh"),
        HiddenActivation::Relu => x.relu(),
    }
}

impl Layer {
    fn new(config: &BertConfig, scope: &mut Scope<'_>) -> Self {
        let [hidden, wide] = [config.hidden_size, config.intermediate_size].map(|n| n as i64);
        let deviation = config.initializer_range as f32;
        let mut attention = scope.sub("attention");
        let mut own = attention.sub("self");
        let [query, key, value] = ["query", "key", "value"]
            .map(|name| Linear::normal(&mut own.sub(name), hidden, hidden, deviation));
        let attention_dropout = Dropout::new(&mut own, config.attention_probs_dropout_prob);
        let mut behind = attention.sub("output");
        let attention_output = Linear::normal(&mut behind.sub("dense"), hidden, hidden, deviation);
        let attention_norm = norm(&mut behind, config);
        let intermediate = &mut scope.sub("intermediate");
        let intermediate = Linear::normal(&mut intermediate.sub("dense"), hidden, wide, deviation);
        let mut last = scope.sub("output");
        let output = Linear::normal(&mut last.sub("dense"), wide, hidden, deviation);
        let output_norm = norm(&mut last, config);
        let dropout = [(); 2].map(|()| Dropout::new(scope, config.hidden_dropout_prob));
        Self {
            query,
            key,
            value,
            attention_dropout,
            attention_output,
            attention_norm,
            intermediate,
            output,
            output_norm,
            dropout,
        }
    }

    /// `x` `[batch, time, hidden]` to the same; `mask` `[batch, 1, 1, time]` is added to the scores.
    fn forward(
        &self,
        x: &Tensor,
        mask: Option<&Tensor>,
        config: &BertConfig,
        train: bool,
    ) -> Tensor {
        let precision = config.precision;
        let (batch, time) = (x.size()[0], x.size()[1]);
        let heads = config.num_attention_heads as i64;
        if !train && precision == Precision::F32 {
            let q = self.query.forward(x);
            if !q.requires_grad() {
                return self.forward_in_place(x, &q, mask, config);
            }
        }
        let low = match precision {
            Precision::F32 => x.shallow_clone(),
            Precision::Bf16 => x.to_kind(Kind::BFloat16),
        };
        let [q, k, v] = [&self.query, &self.key, &self.value].map(|layer| {
            let all = product(&low, layer, precision);
            all.view([batch, time, heads, -1]).transpose(1, 2) // [batch, heads, time, width]
        });
        let mask = mask.map(|mask| mask.to_kind(q.kind()));
        // libtorch's own attention is faster forwards, and slower with the way back.
        let attended = if train {
            let width = config.hidden_size as f64 / heads as f64;
            let mut scores = q.matmul(&k.transpose(2, 3)) / width.sqrt();
            if let Some(mask) = &mask {
                scores += mask;
            }
            let shares = scores.softmax(-1, Kind::Float); // [batch, heads, time, time]
            let kept = self.attention_dropout.forward(&shares, train);
            kept.to_kind(v.kind()).matmul(&v)
        } else {
            Tensor::scaled_dot_product_attention(&q, &k, &v, mask, 0.0, false, None, false)
        };
        let attended = attended.transpose(1, 2).reshape([batch, time, -1]);
        let out = product(&attended, &self.attention_output, precision);
        let out = self.dropout[0].forward(&out, train);
        let x = self.attention_norm.forward(&(x + out));
        let wide = product(&x, &self.intermediate, precision);
        let wide = activate(&wide, config.hidden_act);
        let out = product(&wide, &self.output, precision);
        let out = self.dropout[1].forward(&out, train);
        self.output_norm.forward(&(x + out))
    }

    /// As [`forward`](Self::forward) in `f32` without a way back, which uses up `x`; `q`, `[batch, time, hidden]`, are the
    /// queries. Products are added in place to what they belong to. Two biases drop out of the attention: that of the keys
    /// adds the same to all scores of a query, and that of the values the same to each row, as shares sum to 1.
    fn forward_in_place(
        &self,
        x: &Tensor,
        q: &Tensor,
        mask: Option<&Tensor>,
        config: &BertConfig,
    ) -> Tensor {
        let (batch, time, hidden) = x.size3().expect("[batch, time, hidden]");
        let rows = x.view([-1, hidden]);
        let k = rows.mm(&self.key.weight.tr());
        let v = rows.mm(&self.value.weight.tr());
        let heads = config.num_attention_heads as i64;
        let [q, k, v] = [q, &k, &v].map(|all| all.view([batch, time, heads, -1]).transpose(1, 2));
        let attended =
            Tensor::scaled_dot_product_attention(&q, &k, &v, mask, 0.0, false, None, false);
        let attended = attended.transpose(1, 2).reshape([-1, hidden]);
        let add = |mut rows: Tensor, bias: &Tensor, inputs: &Tensor, layer: &Linear| {
            let mut sum = rows.g_add_(bias);
            sum.addmm_(inputs, &layer.weight.tr())
        };
        let out = &self.attention_output;
        let bias = out.weight.mv(&self.value.bias) + &out.bias;
        let sum = add(rows, &bias, &attended, out);
        let x = self.attention_norm.forward(&sum);
        let mut wide = self.intermediate.forward(&x);
        let wide = match config.hidden_act {
            HiddenActivation::Gelu => wide.gelu_("none"),
            HiddenActivation::GeluNew => wide.gelu_("tanh"),
            HiddenActivation::Relu => wide.relu_(),
        };
        let sum = add(x, &self.output.bias, &wide, &self.output);
        let x = self.output_norm.forward(&sum);
        x.view([batch, time, hidden])
    }
}

impl Bert {
    /// Declares `embeddings`, `encoder` and `pooler` in `scope`, for the tokens of `inputs`.
    ///
    /// # Errors
    /// [`Error::Config`] if a setting is out of range, or the observations are no tokens or too long.
    pub fn new(config: &BertConfig, scope: &mut Scope<'_>, inputs: &Inputs<'_>) -> Result<Self> {
        config.check()?;
        let source = config.from.as_deref().map(Source::open).transpose()?;
        let config = match &source {
            Some(source) => config.with(&source.config)?,
            None => config.clone(),
        };
        let before = scope.declared();
        let sizes = match inputs.space {
            Space::MultiDiscrete(sizes) => sizes.clone(),
            Space::Discrete(n) => vec![*n],
            other => {
                let what = format!("kind \"bert\" reads tokens, and {other} holds none");
                return Err(Error::config("", what));
            }
        };
        let (words, most) = (config.words(inputs.space), config.max_position_embeddings);
        let (vocabulary, translation) = match &source {
            Some(source) if !source.vocabulary.is_empty() => {
                let translation = translation(inputs.vocabulary, &source.vocabulary, most)?;
                (&source.vocabulary[..], translation)
            }
            _ => (inputs.vocabulary, None),
        };
        let (sizes, time) = match &translation {
            Some(_) => (Vec::new(), 2),
            None => (sizes.clone(), sizes.len()),
        };
        if let Some(most) = sizes.iter().max().filter(|&&most| most > words) {
            let what = format!("{words} words do not hold a vocabulary of {most}; give 0");
            return Err(Error::config("vocab_size", what));
        }
        if time > most {
            let what = format!(
                "{most} is too few for sequences of {time}; shorten them (data.max_len), or give more"
            );
            return Err(Error::config("max_position_embeddings", what));
        }
        let config = BertConfig {
            vocab_size: words,
            ..config.clone()
        };
        let hidden = config.hidden_size as i64;
        let deviation = config.initializer_range as f32;
        let mut embeddings = scope.sub("embeddings");
        let mut table = |name: &str, rows: usize| {
            let scope = &mut embeddings.sub(name);
            scope.normal("weight", &[rows as i64, hidden], deviation)
        };
        let words = table("word_embeddings", words);
        let positions = table("position_embeddings", config.max_position_embeddings);
        let segments = table("token_type_embeddings", config.type_vocab_size);
        let first_norm = norm(&mut embeddings, &config);
        let dropout = Dropout::new(&mut embeddings, config.hidden_dropout_prob);
        let word_dropout =
            (config.word_dropout > 0.0).then(|| Dropout::new(&mut embeddings, config.word_dropout));
        let mut encoder = scope.sub("encoder");
        let mut encoder = encoder.sub("layer");
        let layers = (0..config.num_hidden_layers)
            .map(|i| Layer::new(&config, &mut encoder.sub(&i.to_string())))
            .collect();
        let mut pooler = scope.sub("pooler");
        let pooler = Linear::normal(&mut pooler.sub("dense"), hidden, hidden, deviation);
        let place = |word: &str| vocabulary.iter().position(|known| known == word);
        let separator = place("[SEP]").map(|at| at as i64);
        let padded = match vocabulary.first() {
            Some(first) => first == "[PAD]" || first == "<pad>",
            // Published checkpoints all have it so.
            None => source.is_some(),
        };
        if let Some(source) = &source {
            fill(scope, before, "extractor", source)?;
        }
        Ok(Self {
            source,
            translation,
            words,
            positions,
            segments,
            norm: first_norm,
            dropout,
            word_dropout,
            layers,
            pooler,
            separator,
            padded,
            config: config.clone(),
        })
    }

    /// Its settings, with the number of its tokens.
    pub fn config(&self) -> &BertConfig {
        &self.config
    }

    /// Hidden states of the last layer, `[batch, time, hidden]`, for `tokens` and `segments`, `i64` `[batch, time]`; `keep`,
    /// `[batch, time]`, is true where a token is no padding.
    ///
    /// # Panics
    /// If there are more tokens than positions.
    pub fn encode(
        &self,
        tokens: &Tensor,
        segments: &Tensor,
        keep: Option<&Tensor>,
        train: bool,
    ) -> Tensor {
        let time = tokens.size()[1];
        assert!(
            time <= self.positions.size()[0],
            "{time} tokens, more than there are positions"
        );
        // The row of padding learns nothing.
        let padding = if self.padded { 0 } else { -1 };
        let words = Tensor::embedding(&self.words, tokens, padding, false, false);
        let x = self.shown(words, train)
            + Tensor::embedding(&self.segments, segments, -1, false, false)
            + self.positions.narrow(0, 0, time);
        let x = self.norm.forward(&x);
        let mut x = self.dropout.forward(&x, train);
        let mask = keep.map(|keep| {
            let mask = keep.logical_not().to_kind(Kind::Float) * -1e9;
            mask.unsqueeze(1).unsqueeze(1) // [batch, 1, 1, time]
        });
        for layer in &self.layers {
            x = layer.forward(&x, mask.as_ref(), &self.config, train);
        }
        x
    }

    /// Words, `[batch, time, hidden]`, of which some are not shown while learning.
    fn shown(&self, words: Tensor, train: bool) -> Tensor {
        let Some(dropout) = self.word_dropout.as_ref().filter(|_| train) else {
            return words;
        };
        let (batch, time, _) = words.size3().expect("[batch, time, hidden]");
        let ones = Tensor::ones([batch, time, 1], (Kind::Float, words.device()));
        // Those that are shown keep their size, as nothing is missing from a sum.
        words * dropout.forward(&ones, true).gt(0.0)
    }

    /// The pooled row of hidden states: `[batch, time, hidden] -> [batch, hidden]`.
    pub fn pool(&self, hidden: &Tensor) -> Tensor {
        self.pooler.forward(&hidden.select(1, 0)).tanh()
    }

    /// 1 behind the first separator, 0 up to it: `[batch, time]`.
    fn segments_of(&self, tokens: &Tensor) -> Tensor {
        match self.separator {
            Some(separator) if self.config.type_vocab_size > 1 => {
                let is = tokens.eq(separator).to_kind(Kind::Int64);
                let before = is.cumsum(1, Kind::Int64) - is;
                before.clamp_max(1)
            }
            _ => tokens.zeros_like(),
        }
    }

    /// True where a token is no padding; none if there is no padding.
    fn kept(&self, tokens: &Tensor, lengths: &[u32]) -> Option<Tensor> {
        let by_token = self.padded.then(|| tokens.ne(0));
        let by_length = (!lengths.is_empty()).then(|| {
            let lengths: Vec<i64> = lengths.iter().map(|&n| i64::from(n)).collect();
            let lengths = Tensor::from_slice(&lengths).to_device(tokens.device());
            let steps = Tensor::arange(tokens.size()[1], (Kind::Int64, tokens.device()));
            steps.unsqueeze(0).lt_tensor(&lengths.unsqueeze(1))
        });
        let keep = match (by_token, by_length) {
            (Some(a), Some(b)) => a.logical_and(&b),
            (a, b) => a.or(b)?,
        };
        // Without a mask attention is faster.
        (keep.all().int64_value(&[]) == 0).then_some(keep)
    }
}

impl FeatureExtractor for Bert {
    fn features(&self, obs: &Tensor, train: bool) -> Tensor {
        self.read(obs, &[], None, train).features
    }

    fn width(&self) -> i64 {
        self.config.hidden_size as i64
    }

    fn sequence(&self) -> Option<&dyn SequenceReader> {
        Some(self)
    }

    fn reads_tokens(&self) -> bool {
        true
    }

    fn bert(&self) -> Option<&Bert> {
        Some(self)
    }
}

impl SequenceReader for Bert {
    fn read(&self, x: &Tensor, lengths: &[u32], _state: Option<&Tensor>, train: bool) -> Read {
        let (translated, lengths) = match &self.translation {
            Some(translation) => (translation.translate(x), &[][..]),
            None => (x.shallow_clone(), lengths),
        };
        let x = &translated;
        let keep = self.kept(x, lengths);
        let steps = self.encode(x, &self.segments_of(x), keep.as_ref(), train);
        let features = match (self.config.readout, &keep) {
            (BertReadout::Pooled, _) => self.pool(&steps),
            (BertReadout::Mean, None) => steps.mean_dim(1, false, Kind::Float),
            (BertReadout::Mean, Some(keep)) => {
                let keep = keep.to_kind(Kind::Float).unsqueeze(2); // [batch, time, 1]
                let sum = (&steps * &keep).sum_dim_intlist(1, false, Kind::Float);
                sum / keep.sum_dim_intlist(1, false, Kind::Float).clamp_min(1.0)
            }
        };
        Read {
            state: Tensor::zeros([x.size()[0], 0], (Kind::Float, x.device())),
            steps,
            features,
        }
    }

    fn state_len(&self) -> i64 {
        0
    }
}

/// What predicts masked words and next sentences from an encoder's rows.
///
/// # Reference
/// Devlin et al. (2019), section 3.1 and appendix A; names as Hugging Face's `BertForPreTraining` without `cls.`. The table
/// of the words is the encoder's, as in the authors' code.
#[derive(Debug)]
pub struct LanguageHead {
    transform: Linear,
    norm: LayerNorm,
    /// `[words]`.
    bias: Tensor,
    next: Linear,
}

impl LanguageHead {
    /// Declares `predictions` and `seq_relationship` in `scope`, behind `bert`.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if the encoder's source has such a head, and it is damaged.
    pub fn new(scope: &mut Scope<'_>, bert: &Bert) -> Result<Self> {
        let before = scope.declared();
        let config = &bert.config;
        let hidden = config.hidden_size as i64;
        let deviation = config.initializer_range as f32;
        let mut predictions = scope.sub("predictions");
        let words = config.vocab_size;
        let bias = predictions.variable("bias", &[words as i64], &vec![0.0; words]);
        let mut transform = predictions.sub("transform");
        let dense = Linear::normal(&mut transform.sub("dense"), hidden, hidden, deviation);
        let norm = norm(&mut transform, config);
        let next = Linear::normal(&mut scope.sub("seq_relationship"), hidden, 2, deviation);
        if let Some(source) = &bert.source {
            fill(scope, before, "head", source)?;
        }
        Ok(Self {
            transform: dense,
            norm,
            bias,
            next,
        })
    }

    /// Scores of all words for hidden states: `[rows, hidden] -> [rows, words]`.
    pub fn words(&self, hidden: &Tensor, bert: &Bert) -> Tensor {
        let precision = bert.config.precision;
        let x = product(hidden, &self.transform, precision).to_kind(Kind::Float);
        let x = self.norm.forward(&activate(&x, bert.config.hidden_act));
        match precision {
            Precision::F32 => x.linear(&bert.words, Some(&self.bias)),
            Precision::Bf16 => {
                let half = |x: &Tensor| x.to_kind(Kind::BFloat16);
                let scores = half(&x).linear(&half(&bert.words), None::<Tensor>);
                scores.to_kind(Kind::Float) + &self.bias
            }
        }
    }

    /// Scores of "follows" and "does not follow" for pooled rows: `[batch, hidden] -> [batch, 2]`.
    pub fn next(&self, pooled: &Tensor) -> Tensor {
        self.next.forward(pooled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::to_vec;
    use crate::{AdamConfig, OptimConfig, Optimizer, ParamStore};
    use serde_json::Value;
    use std::io::Write;
    use tch::{Device, Reduction};
    use thorndike_core::{Schedule, Seeds};

    /// The folder of a head's checkpoint and what PyTorch made of it, where they are at hand.
    fn parity(head: &str) -> Option<(PathBuf, Value)> {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let data = std::env::var_os("THORNDIKE_DATA");
        let data = data.as_deref().unwrap_or("../shared/data".as_ref());
        let folder = workspace.join(data).join("bert_parity").join(head);
        let Ok(text) = std::fs::read_to_string(folder.join("io.json")) else {
            let line = format!("skipped: no folder {}\n", folder.display());
            std::io::stderr().write_all(line.as_bytes()).unwrap();
            return None;
        };
        Some((folder, serde_json::from_str(&text).unwrap()))
    }

    fn numbers(value: &Value) -> Vec<f64> {
        let rows = value.as_array().unwrap();
        match rows[0].is_array() {
            true => rows.iter().flat_map(numbers).collect(),
            false => rows.iter().map(|v| v.as_f64().unwrap()).collect(),
        }
    }

    fn integers(value: &Value) -> Tensor {
        let all: Vec<i64> = numbers(value).into_iter().map(|x| x as i64).collect();
        let rows = value.as_array().unwrap().len() as i64;
        let tensor = Tensor::from_slice(&all);
        match value[0].is_array() {
            true => tensor.view([rows, -1]),
            false => tensor,
        }
    }

    fn assert_near(found: &Tensor, expected: &Value, tolerance: f64, what: &str) {
        let (found, expected) = (to_vec(&found.contiguous()), numbers(expected));
        assert_eq!(found.len(), expected.len(), "{what}");
        for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
            let error = (f64::from(*found) - expected).abs();
            assert!(error < tolerance, "{what} {i}: {found} {expected}");
        }
    }

    enum Head {
        Language(LanguageHead),
        Linear(Linear),
    }

    /// The encoder and the head of a recorded checkpoint.
    fn built(folder: &Path, head: &str, outputs: i64) -> (ParamStore, Bert, Head) {
        let config = BertConfig {
            from: Some(folder.to_owned()),
            ..BertConfig::default()
        };
        let space = Space::MultiDiscrete(vec![512; 16]);
        let rng = Seeds::new(1).stream("agent/init", 0);
        let (mut store, (bert, built)) = ParamStore::build(Device::Cpu, rng, |scope| {
            let inputs = Inputs::of(&space);
            let bert = Bert::new(&config, &mut scope.sub("extractor"), &inputs)?;
            let scope = &mut scope.sub("head");
            let head = match head {
                "" => Head::Language(LanguageHead::new(scope, &bert)?),
                _ => Head::Linear(Linear::new(scope, bert.width(), outputs)),
            };
            Ok((bert, head))
        })
        .unwrap();
        if !head.is_empty() {
            let weights = folder.join("model.safetensors");
            let name = |ours: &str| Some(format!("{head}.{}", ours.strip_prefix("head.")?));
            store.import(&weights, name, |_| true).unwrap();
        }
        store.enable_gradients();
        (store, bert, built)
    }

    /// Hidden states, scores and loss of the recorded inputs.
    struct Pass {
        hidden: Tensor,
        /// Named as in the record.
        scores: Vec<(&'static str, Tensor)>,
        loss: Tensor,
    }

    fn pass(kind: &str, bert: &Bert, head: &Head, io: &Value) -> Pass {
        let [tokens, keep, segments] = ["input_ids", "attention_mask", "token_type_ids"]
            .map(|key| integers(&io["inputs"][key]));
        let hidden = bert.encode(&tokens, &segments, Some(&keep.eq(1)), true);
        let labels = |key: &str| integers(&io["labels"][key]);
        let entropy = |scores: &Tensor, labels: &Tensor| {
            scores.cross_entropy_loss(labels, None::<Tensor>, Reduction::Mean, -100, 0.0)
        };
        let flat = hidden.flatten(0, 1);
        let (scores, loss) = match (kind, head) {
            ("pretraining", Head::Language(head)) => {
                let labels_of_words = labels("labels").flatten(0, 1);
                // Only what is masked is decoded.
                let masked = labels_of_words.ne(-100).nonzero().squeeze_dim(1);
                let words = head.words(&flat.index_select(0, &masked), bert);
                let next = head.next(&bert.pool(&hidden));
                let loss = entropy(&words, &labels_of_words.index_select(0, &masked))
                    + entropy(&next, &labels("next_sentence_label"));
                let first = head.words(&flat.narrow(0, 0, 4), bert);
                let scores = vec![
                    ("prediction_logits", first),
                    ("seq_relationship_logits", next),
                ];
                (scores, loss)
            }
            ("sequence_classification", Head::Linear(head)) => {
                let scores = head.forward(&bert.pool(&hidden));
                let loss = entropy(&scores, &labels("labels"));
                (vec![("logits", scores)], loss)
            }
            ("token_classification", Head::Linear(head)) => {
                let scores = head.forward(&flat);
                let loss = entropy(&scores, &labels("labels").flatten(0, 1));
                (vec![("logits", scores)], loss)
            }
            (_, Head::Linear(head)) => {
                let scores = head.forward(&hidden); // [batch, time, 2]
                let [start, end] = [0, 1].map(|i| scores.select(2, i));
                let loss = (entropy(&start, &labels("start_positions"))
                    + entropy(&end, &labels("end_positions")))
                    / 2.0;
                (vec![("start_logits", start), ("end_logits", end)], loss)
            }
            _ => panic!("no such head"),
        };
        Pass {
            hidden,
            scores,
            loss,
        }
    }

    /// `transformers` 4.57.6 with the same weights.
    #[test]
    fn hidden_states_scores_and_six_updates_are_those_of_transformers() {
        for (kind, head, outputs) in [
            ("pretraining", "", 0),
            ("sequence_classification", "classifier", 3),
            ("token_classification", "classifier", 5),
            ("question_answering", "qa_outputs", 2),
        ] {
            let Some((folder, io)) = parity(kind) else {
                return;
            };
            let (mut store, bert, head) = built(&folder, head, outputs);
            let first = pass(kind, &bert, &head, &io);
            let outputs = &io["outputs"];
            let hidden = first.hidden.get(0);
            assert_near(&hidden, &outputs["last_hidden_state_item0"], 1e-5, kind);
            for (name, scores) in &first.scores {
                assert_near(scores, &outputs[*name], 1e-5, name);
            }
            // Steps are counted from 0, and the rate is that of the step counted from 1 in the record.
            let rate = |s: f64| match s < 2.0 {
                true => 1e-3 * s / 2.0,
                false => 1e-3 * (6.0 - s) / 4.0,
            };
            let (mut losses, mut norms) = (Vec::new(), Vec::new());
            let mut optimizer = None;
            for step in 0..6_u64 {
                let config = OptimConfig::AdamW(AdamConfig {
                    learning_rate: Schedule::constant(rate(step as f64)),
                    weight_decay: 0.01,
                    decay_vectors: false,
                    ..AdamConfig::default()
                });
                let optimizer =
                    optimizer.get_or_insert_with(|| Optimizer::new(&config, &store).unwrap());
                optimizer.set_config(config);
                store.zero_gradient();
                let loss = pass(kind, &bert, &head, &io).loss;
                loss.backward();
                losses.push(loss.double_value(&[]) as f32);
                norms.push(store.clip_gradient(1.0) as f32);
                optimizer.step(&mut store, step);
            }
            let training = &io["training"];
            let [losses, norms] = [losses, norms].map(|x| Tensor::from_slice(&x));
            assert_near(&losses, &training["loss_before_step"], 1e-4, "losses");
            assert_near(&norms, &training["grad_norm_before_clip"], 1e-4, "norms");
        }
    }

    /// A small encoder of random weights, all of which are drawn anew so that no bias is 0.
    fn small(word_dropout: f64) -> (ParamStore, Bert) {
        let config = BertConfig {
            hidden_size: 16,
            num_hidden_layers: 2,
            num_attention_heads: 2,
            intermediate_size: 32,
            max_position_embeddings: 8,
            hidden_dropout_prob: 0.0,
            attention_probs_dropout_prob: 0.0,
            word_dropout,
            ..BertConfig::default()
        };
        let space = Space::MultiDiscrete(vec![50; 8]);
        let rng = Seeds::new(1).stream("agent/init", 0);
        let (mut store, bert) = ParamStore::build(Device::Cpu, rng, |scope| {
            Bert::new(&config, &mut scope.sub("bert"), &Inputs::of(&space))
        })
        .unwrap();
        tch::no_grad(|| {
            let flat = store.flat().shallow_clone();
            let waves = Tensor::arange(flat.numel() as i64, (Kind::Float, Device::Cpu)).sin();
            let _ = flat.shallow_clone().g_add_(&(waves * 0.3));
        });
        store.enable_gradients();
        (store, bert)
    }

    fn some_tokens() -> Tensor {
        Tensor::from_slice(&[3_i64, 7, 9, 11, 4, 0, 0, 0, 5, 6, 7, 8, 9, 10, 12, 2]).view([2, 8])
    }

    #[test]
    fn products_added_in_place_give_what_the_way_with_gradients_gives() {
        let (_store, bert) = small(0.0);
        let tokens = some_tokens();
        let keep = tokens.ne(0);
        let encode = || bert.encode(&tokens, &tokens.zeros_like(), Some(&keep), false);
        let [with, without] = [encode(), tch::no_grad(encode)];
        assert!(with.requires_grad() && !without.requires_grad());
        let error = (with - without).abs().max().double_value(&[]);
        // Sums of other orders, of numbers near 1 that a norm divides by their deviation.
        assert!(error < 1e-5, "{error}");
    }

    #[test]
    fn words_are_dropped_while_learning_only() {
        let (store, bert) = small(0.5);
        let (_, plain) = small(0.0);
        let tokens = some_tokens();
        let embedded = Tensor::embedding(&bert.words, &tokens, -1, false, false);
        assert_eq!(bert.shown(embedded.shallow_clone(), false), embedded);
        assert_eq!(plain.shown(embedded.shallow_clone(), true), embedded);
        let mut dropped = 0.0;
        for update in 0..50 {
            store.draw_for(update);
            let shown = bert.shown(embedded.shallow_clone(), true);
            // Whole words are there or not.
            let ratio = &shown / &embedded;
            let rows = ratio.mean_dim(-1, false, Kind::Float);
            assert!(
                to_vec(&rows.contiguous())
                    .iter()
                    .all(|&x| x == 0.0 || x == 1.0)
            );
            dropped += 1.0 - rows.mean(Kind::Float).double_value(&[]);
        }
        // 800 words: a deviation of 0.018.
        assert!((dropped / 50.0 - 0.5).abs() < 0.08, "{dropped}");
    }
}
