//! Some classes of a data set, under names of their own, and few samples of each.

use std::sync::Arc;

use thorndike_core::rand::seq::SliceRandom;
use thorndike_core::{Error, Result, Rng, Seeds};

use crate::boxes::Letterbox;
use crate::{DataSet, Info, Sample, Subset, Target, Task, Window, Words};

/// The samples of some classes of a data set, each class under another name and perhaps together with others.
#[derive(Debug)]
pub struct Regrouped {
    set: Arc<dyn DataSet>,
    info: Info,
    /// Its samples, by their numbers in `set`.
    indices: Vec<usize>,
    /// The class of each class of `set`, of those that are kept.
    class_of: Vec<Option<usize>>,
}

/// The classes of `set` that `groups` name, in their order: each has a name and the classes that are put together in it.
/// Samples of other classes are left out.
///
/// # Errors
/// [`Error::Config`] without a key if the data have no classes, one is not known or named twice, or there is no sample left.
pub fn regrouped(
    set: Arc<dyn DataSet>,
    groups: &[(String, Vec<String>)],
) -> Result<Arc<dyn DataSet>> {
    let wrong = |what: String| Error::config("", what);
    let Task::Classes { names } = &set.info().task else {
        let what = "classes of samples are chosen, and these samples have none";
        return Err(wrong(what.to_owned()));
    };
    let mut class_of = vec![None; names.len()];
    for (group, (_, classes)) in groups.iter().enumerate() {
        for class in classes {
            let Some(index) = names.iter().position(|name| name == class) else {
                let known = names.join(", ");
                return Err(wrong(format!("no class {class:?}; known: {known}")));
            };
            if class_of[index].replace(group).is_some() {
                return Err(wrong(format!("{class:?} is there twice")));
            }
        }
    }
    let mut indices = Vec::new();
    for index in 0..set.len() {
        if set
            .class(index)?
            .is_some_and(|class| class_of[class].is_some())
        {
            indices.push(index);
        }
    }
    if indices.is_empty() {
        return Err(wrong("no sample is of these classes".to_owned()));
    }
    let info = Info {
        task: Task::Classes {
            names: groups.iter().map(|(name, _)| name.clone()).collect(),
        },
        ..set.info().clone()
    };
    Ok(Arc::new(Regrouped {
        set,
        info,
        indices,
        class_of,
    }))
}

impl Regrouped {
    fn renamed(&self, sample: Sample) -> Sample {
        let target = match sample.target {
            Target::Class(class) => {
                Target::Class(self.class_of[class].expect("samples of other classes are left out"))
            }
            other => other,
        };
        Sample { target, ..sample }
    }
}

impl DataSet for Regrouped {
    fn info(&self) -> &Info {
        &self.info
    }

    fn len(&self) -> usize {
        self.indices.len()
    }

    fn sample(&self, index: usize) -> Result<Sample> {
        let sample = self.set.sample(self.indices[index])?;
        Ok(self.renamed(sample))
    }

    fn draw(&self, index: usize, rng: &mut Rng) -> Result<Sample> {
        let sample = self.set.draw(self.indices[index], rng)?;
        Ok(self.renamed(sample))
    }

    fn steps(&self, index: usize) -> Option<usize> {
        self.set.steps(self.indices[index])
    }

    fn window(&self, index: usize) -> Option<Window<'_>> {
        self.set.window(self.indices[index])
    }

    fn words(&self, index: usize) -> Option<Words<'_>> {
        self.set.words(self.indices[index])
    }

    fn notes(&self) -> Vec<String> {
        self.set.notes()
    }

    fn origin(&self, index: usize) -> String {
        self.set.origin(self.indices[index])
    }

    fn class(&self, index: usize) -> Result<Option<usize>> {
        let class = self.set.class(self.indices[index])?;
        Ok(class.and_then(|class| self.class_of[class]))
    }

    fn owner(&self, index: usize) -> Option<&str> {
        self.set.owner(self.indices[index])
    }

    fn frame(&self, index: usize) -> Option<Letterbox> {
        self.set.frame(self.indices[index])
    }
}

/// `per_class` samples of each class of `set`, drawn by `seed`, in their order.
///
/// # Errors
/// [`Error::Config`] without a key if the data have no classes, or too few samples of one.
pub fn few_of_each(set: Arc<dyn DataSet>, per_class: usize, seed: u64) -> Result<Subset> {
    let wrong = |what: String| Error::config("", what);
    let Task::Classes { names } = &set.info().task else {
        let what = "samples of each class are counted, and these have none";
        return Err(wrong(what.to_owned()));
    };
    let mut of_class = vec![Vec::new(); names.len()];
    for index in 0..set.len() {
        if let Some(class) = set.class(index)? {
            of_class[class].push(index);
        }
    }
    let mut chosen = Vec::new();
    for (class, indices) in of_class.iter_mut().enumerate() {
        let (name, there) = (&names[class], indices.len());
        if there < per_class || per_class == 0 {
            return Err(wrong(format!(
                "{per_class} of each class, and there are {there} of {name:?} to learn from; give 1 to {there}"
            )));
        }
        let rng = &mut Seeds::new(seed).stream("data/per-class", class as u64);
        indices.shuffle(rng);
        chosen.extend(&indices[..per_class]);
    }
    chosen.sort_unstable();
    Ok(Subset::new(set, chosen))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toy::Toy;

    fn toy() -> Arc<dyn DataSet> {
        Arc::new(Toy::images(12))
    }

    fn groups(groups: &[(&str, &[&str])]) -> Vec<(String, Vec<String>)> {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        groups
            .iter()
            .map(|(name, classes)| ((*name).to_owned(), owned(classes)))
            .collect()
    }

    #[test]
    fn samples_keep_their_inputs_and_get_the_class_of_their_group() {
        let set = toy();
        let new = groups(&[("last", &["doll"]), ("first", &["ball"])]);
        let chosen = regrouped(set.clone(), &new).unwrap();
        assert_eq!(chosen.info().task.names(), ["last", "first"]);
        let mut classes = vec![0; 2];
        for index in 0..chosen.len() {
            let sample = chosen.sample(index).unwrap();
            let class = chosen.class(index).unwrap().unwrap();
            assert_eq!(sample.target, Target::Class(class));
            classes[class] += 1;
        }
        assert_eq!(classes, [4, 4]);
        let both = regrouped(set, &groups(&[("both", &["ball", "doll"])])).unwrap();
        assert_eq!(both.len(), 8);
        assert!((0..8).all(|index| both.class(index).unwrap() == Some(0)));
    }

    #[test]
    fn classes_that_are_not_there_are_named() {
        let error = |new: &[(&str, &[&str])]| {
            let chosen = regrouped(toy(), &groups(new));
            chosen.unwrap_err().to_string()
        };
        let said = error(&[("x", &["egg"])]);
        assert!(
            said.contains("no class \"egg\"; known: ball, car, doll"),
            "{said}"
        );
        let said = error(&[("x", &["car"]), ("y", &["car"])]);
        assert!(said.contains("\"car\" is there twice"), "{said}");
    }

    #[test]
    fn as_many_of_each_class_are_drawn_as_asked_for_and_others_by_another_seed() {
        let few = |seed| few_of_each(toy(), 2, seed).unwrap();
        let counts = |set: &Subset| {
            let mut counts = [0; 3];
            for index in 0..set.len() {
                counts[set.class(index).unwrap().unwrap()] += 1;
            }
            counts
        };
        assert_eq!(counts(&few(1)), [2; 3]);
        assert_eq!(few(1).indices(), few(1).indices());
        assert!((2..9).any(|seed| few(seed).indices() != few(1).indices()));
        let said = few_of_each(toy(), 5, 1).unwrap_err().to_string();
        assert!(said.contains("give 1 to 4"), "{said}");
    }
}
