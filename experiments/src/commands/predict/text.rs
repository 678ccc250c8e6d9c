//! What models of text say: classes, entities, answers, and words for masks.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use thorndike_core::Array;
use thorndike_data::text::WordPiece;
use thorndike_data::{AnswerLimits, Batch, Candidates, DataSet, Info, Prediction, Targets, Task};

use super::super::out::outln;
use crate::scored::Trained;

/// Rows of a CSV file with what was said, below its head.
pub(super) struct Rows {
    pub(super) head: &'static str,
    pub(super) text: String,
}

/// Whether what the model says is no table of classes.
pub(super) fn is_of_places(info: &Info, set: &dyn DataSet) -> bool {
    match info.task {
        Task::Span { .. } => true,
        Task::Positions { .. } => (0..set.len().min(1)).any(|index| set.words(index).is_some()),
        _ => false,
    }
}

/// A file with `texts`, a line each.
pub(super) fn file_of(texts: &[String]) -> Result<tempfile::NamedTempFile> {
    let mut file = tempfile::NamedTempFile::new().context("cannot make a temporary file")?;
    for text in texts {
        let line = text.replace(['\n', '\r'], " ");
        writeln!(file, "{line}").context("cannot write a temporary file")?;
    }
    Ok(file)
}

fn predict(model: &mut Trained, set: &dyn DataSet, index: usize) -> Result<Prediction> {
    let batch = Batch::collate(vec![(index, set.sample(index)?)]).map_err(anyhow::Error::msg)?;
    Ok(model.learner.predict(&batch, true)?)
}

/// Says the entities or the answers of all samples of `set`; at most `top` answers to a question. Into `out` instead of
/// standard output, if there is one.
pub(super) fn places(
    model: &mut Trained,
    set: &dyn DataSet,
    top: usize,
    mut out: Option<&mut Rows>,
) -> Result<()> {
    let quoted = |text: &str| text.replace('"', "\"\"");
    let names = model.model.info.task.names().to_vec();
    let mut asked: BTreeMap<usize, (usize, Candidates)> = BTreeMap::new();
    for index in 0..set.len() {
        if let Some(window) = set.window(index) {
            let said = predict(model, set, index)?;
            let new = || (index, Candidates::new(AnswerLimits::default()));
            let (_, candidates) = asked.entry(window.question).or_insert_with(new);
            candidates.add(&window, &said.outputs);
            continue;
        }
        let Some(words) = set.words(index) else {
            continue;
        };
        let said = predict(model, set, index)?;
        let entities = words.entities(&names, &said.outputs);
        match &mut out {
            Some(rows) => {
                for entity in &entities {
                    let _ = writeln!(
                        rows.text,
                        "\"{}\",{},\"{}\",{},{},{}",
                        quoted(&set.origin(index)),
                        entity.kind,
                        quoted(&words.text[entity.place.clone()]),
                        entity.place.start,
                        entity.place.end,
                        entity.probability
                    );
                }
            }
            None => {
                outln!("{}", words.text);
                if entities.is_empty() {
                    outln!("  no entities");
                }
                for entity in &entities {
                    outln!(
                        "  {:<8} {}  {:.3}  bytes {} to {}",
                        entity.kind,
                        &words.text[entity.place.clone()],
                        entity.probability,
                        entity.place.start,
                        entity.place.end
                    );
                }
            }
        }
    }
    for (sample, candidates) in asked.into_values() {
        let window = set.window(sample).context("a question without its text")?;
        let answers = candidates.answers(false);
        if out.is_none() {
            outln!("{}", window.asked);
        }
        for answer in answers.iter().take(top) {
            let text = &window.context[answer.place.clone()];
            match &mut out {
                Some(rows) => {
                    let _ = writeln!(
                        rows.text,
                        "\"{}\",answer,\"{}\",{},{},{}",
                        quoted(window.id),
                        quoted(text),
                        answer.place.start,
                        answer.place.end,
                        answer.share
                    );
                }
                None => outln!(
                    "  {text}  {:.3}  bytes {} to {}",
                    answer.share,
                    answer.place.start,
                    answer.place.end
                ),
            }
        }
        if answers.is_empty() && out.is_none() {
            outln!("  no answer");
        }
    }
    Ok(())
}

/// Says the `top` likeliest words for each `[MASK]` of `texts`.
pub(super) fn fill(model: &mut Trained, texts: &[String], top: usize) -> Result<()> {
    let info = &model.model.info;
    let pieces = WordPiece::of(info)?;
    let longest = info.space.shape()[0];
    for text in texts {
        let tokens: Vec<i32> = pieces
            .pieces_with_masks(text)
            .iter()
            .map(|piece| piece.id)
            .collect();
        if !tokens.contains(&pieces.mask()) {
            return Err(anyhow!(
                "{text:?} has no [MASK]; this model finds words for it"
            ));
        }
        let tokens = pieces.join(&tokens, None, longest);
        let batch = Batch {
            samples: vec![0],
            shape: vec![tokens.len()],
            inputs: Array::from_vec(tokens.clone(), tokens.len()),
            lengths: Vec::new(),
            targets: Targets::Unknown,
        };
        let said = model.learner.predict(&batch, true)?;
        outln!("{text}");
        let rows = said.outputs.chunks_exact(said.width);
        for (_, row) in tokens
            .iter()
            .zip(rows)
            .filter(|(token, _)| **token == pieces.mask())
        {
            let mut order: Vec<usize> = (0..row.len()).collect();
            order.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
            let words: Vec<String> = order
                .iter()
                .take(top)
                .map(|&word| format!("{} {:.4}", pieces.words()[word], row[word].exp()))
                .collect();
            outln!("  [MASK]  {}", words.join("  "));
        }
    }
    Ok(())
}

/// The lines of a text file.
pub(super) fn lines_of(path: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    Ok(lines.map(str::to_owned).collect())
}
