use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use thorndike_core::{EnvOptions, SyncVectorEnv, VectorEnv};
use thorndike_data::{DataSet, Part, Sample, SourceConfig, Target, Values};
use thorndike_envs::probe::{MemoryChain, MemoryChainConfig};
use thorndike_envs::senses::{ImageSource, Images, Split};

use super::*;

static GO_ON: AtomicBool = AtomicBool::new(false);

fn order(set: Set, samples: usize) -> Order {
    Order::new(set, 5, Some(samples), None, None).unwrap()
}

fn drawn_in(order: &Order, folder: &Path) -> Result<()> {
    order.draw(order.place(folder, false, &GO_ON)?)
}

/// Draws a set and opens its parts as its own `[data]` says.
fn open(
    order: &Order,
) -> (
    tempfile::TempDir,
    Arc<dyn DataSet>,
    Option<Arc<dyn DataSet>>,
) {
    let folder = tempfile::tempdir().unwrap();
    drawn_in(order, folder.path()).unwrap();
    let data: BTreeMap<String, SourceConfig> = toml::from_str(&order.data(folder.path())).unwrap();
    let source = &data["data"];
    source.check().unwrap();
    let train = source.open(Part::Train).unwrap().unwrap();
    let test = source.open(Part::Test).unwrap();
    if let Some(test) = &test {
        assert_eq!(train.info().task, test.info().task);
    }
    (folder, train, test)
}

fn samples(set: &dyn DataSet) -> Vec<Sample> {
    (0..set.len()).map(|i| set.sample(i).unwrap()).collect()
}

fn numbers(sample: &Sample) -> &[f32] {
    match &sample.values {
        Values::F32(values) => values,
        _ => panic!("expected numbers"),
    }
}

fn pixels(sample: &Sample) -> &[u8] {
    match &sample.values {
        Values::U8(values) => values,
        _ => panic!("expected pixels"),
    }
}

fn class(sample: &Sample) -> usize {
    match sample.target {
        Target::Class(class) => class,
        _ => panic!("expected a class"),
    }
}

fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_owned();
                found.insert(name, fs::read(path).unwrap());
            }
        }
    }
    found
}

#[test]
fn every_set_is_read_back_by_its_reader() {
    for (set, samples, shape, names) in [
        (Set::Digits, 200, vec![1, 28, 28], "0 1 2 3 4 5 6 7 8 9"),
        (
            Set::Shapes,
            40,
            vec![3, 64, 64],
            "cross disc ring square triangle",
        ),
        (
            Set::ShapesMasks,
            40,
            vec![3, 64, 64],
            "background disc square triangle cross ring",
        ),
        (
            Set::ShapesBoxes,
            40,
            vec![3, 64, 64],
            "disc square triangle cross ring",
        ),
        (
            Set::SpotBoxes,
            40,
            vec![3, 64, 64],
            "disc square triangle cross ring cursor",
        ),
        (Set::Parentheses, 400, vec![30, 1], "balanced unbalanced"),
        (Set::Copy, 200, vec![27, 4], "a b c d none"),
        (Set::Recall, 40, vec![11, 3], "0 1"),
    ] {
        let (_folder, train, test) = open(&order(set, samples));
        let test = test.unwrap();
        assert_eq!((train.len(), test.len()), (samples, samples / 4), "{set:?}");
        assert_eq!(train.info().task.names().join(" "), names);
        match &train.info().space {
            thorndike_core::Space::Box { shape: found, .. } => assert_eq!(*found, shape),
            other => panic!("{set:?}: {other}"),
        }
        assert_eq!(self::samples(&*test).len(), samples / 4);
    }
}

#[test]
fn every_class_has_as_many() {
    for (set, samples, classes) in [
        (Set::Digits, 1000, 10),
        (Set::Digits, 1200, 10),
        (Set::Shapes, 60, 5),
        (Set::Parentheses, 400, 2),
    ] {
        let (_folder, train, test) = open(&order(set, samples));
        for part in [train, test.unwrap()] {
            let mut counts = vec![0; classes];
            for i in 0..part.len() {
                counts[part.class(i).unwrap().unwrap()] += 1;
            }
            let [least, most] = [counts.iter().min(), counts.iter().max()];
            assert!(most.unwrap() - least.unwrap() <= 1, "{set:?}: {counts:?}");
        }
    }
    let (_folder, train, _) = open(&order(Set::Recall, 1000));
    let ones: usize = samples(&*train).iter().map(class).sum();
    // Six standard deviations of 16 around a half.
    assert!((400..600).contains(&ones), "{ones} of 1000");
}

#[test]
fn the_same_seed_draws_the_same_bytes_and_another_does_not() {
    for &set in Set::value_variants() {
        let draw = |seed| {
            let folder = tempfile::tempdir().unwrap();
            let bits = (set == Set::Recall).then_some(8);
            let order = Order::new(set, seed, Some(40), None, bits).unwrap();
            drawn_in(&order, &folder.path().join("deep/in")).unwrap();
            files(folder.path())
        };
        let (one, other) = (draw(1), draw(2));
        assert_eq!(one, draw(1), "{set:?}");
        assert!(one.keys().eq(other.keys()), "{set:?}");
        let same = one.iter().filter(|(name, bytes)| other[*name] == **bytes);
        // Labels that take turns are the same.
        assert!(same.count() <= 2, "{set:?}");
    }
}

/// Of the samples as they are read, so that another release of a compressor changes nothing.
#[test]
fn sets_are_value_stable() {
    let found = Set::value_variants().iter().map(|&set| {
        let (_folder, train, test) = open(&order(set, 40));
        let mut hash = Sha256::new();
        for part in [Some(train), test].into_iter().flatten() {
            for sample in samples(&*part) {
                hash.update(format!("{sample:?}"));
            }
        }
        let hash = hash.finalize();
        u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]])
    });
    let found: Vec<u32> = found.collect();
    assert_eq!(found, PINNED, "models were trained with these samples");
}
/// In the order of [`Set`].
const PINNED: [u32; 9] = [
    1_649_962_901,
    2_367_541_696,
    2_402_910_098,
    1_764_249_992,
    1_562_192_402,
    65_213_068,
    1_883_039_286,
    2_401_352_065,
    3_340_670_679,
];

#[test]
fn digits_are_those_of_the_maze() {
    let (_folder, train, test) = open(&order(Set::Digits, 1040));
    let of = |split, seed| {
        let images = Images::of(&ImageSource::Generated, split, seed).unwrap();
        (0..images.labels().len())
            .map(|i| (images.image(i).to_vec(), images.labels()[i]))
            .collect::<BTreeSet<_>>()
    };
    let read = |set: &dyn DataSet, range: std::ops::Range<usize>| {
        let samples = range.map(|i| set.sample(i).unwrap());
        samples
            .map(|sample| (pixels(&sample).to_vec(), class(&sample) as u8))
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(read(&*train, 0..1000), of(Split::Train, 5));
    assert!(read(&*train, 1000..1040).is_subset(&of(Split::Train, 6)));
    let test = test.unwrap();
    assert_eq!(read(&*test, 0..250), of(Split::HeldBack, 5));
    assert!(read(&*test, 250..260).is_subset(&of(Split::HeldBack, 6)));
}

#[test]
fn what_a_mask_calls_ground_is_grey() {
    let (_folder, train, _) = open(&order(Set::ShapesMasks, 40));
    let mut seen = BTreeSet::new();
    for sample in samples(&*train) {
        let Target::Positions(classes) = &sample.target else {
            panic!("a mask has a class for each pixel");
        };
        seen.extend(classes.iter().copied());
        let color = |at: usize| [0, 1, 2].map(|plane| pixels(&sample)[plane * 4096 + at]);
        let ground = (0..4096).find(|&at| classes[at] == 0 && color(at)[0] == color(at)[1]);
        let ground = color(ground.unwrap());
        for at in 65..4096 - 65 {
            let around = [
                at - 65,
                at - 64,
                at - 63,
                at - 1,
                at,
                at + 1,
                at + 63,
                at + 64,
                at + 65,
            ];
            let inside = |is_ground| around.iter().all(|&at| (classes[at] == 0) == is_ground);
            // Edges are smooth: only what lies within is of one colour.
            assert!(!inside(true) || color(at) == ground);
            assert!(!inside(false) || color(at) != ground);
        }
    }
    assert!(seen.into_iter().eq(0..6));
}

#[test]
fn boxes_hold_what_is_no_ground() {
    let (_folder, train, _) = open(&order(Set::ShapesBoxes, 40));
    let mut classes = BTreeSet::new();
    for sample in samples(&*train) {
        let Target::Boxes(objects) = &sample.target else {
            panic!("boxes");
        };
        assert!(!objects.is_empty());
        classes.extend(objects.iter().map(|object| object.class));
        // Colour outside of all boxes: at most the few pixels of what is all but hidden, and smooth edges.
        let outside = (0..4096).filter(|at| {
            let (x, y) = ((at % 64) as f32, (at / 64) as f32);
            let near = |object: &thorndike_data::Object| {
                let [x1, y1, x2, y2] = object.bounds;
                x > x1 - 2.0 && x < x2 + 1.0 && y > y1 - 2.0 && y < y2 + 1.0
            };
            let color = [0, 1, 2].map(|plane| i32::from(pixels(&sample)[plane * 4096 + at]));
            // Noise of two channels differs by 48 at the most.
            (color[0] - color[1]).abs().max((color[1] - color[2]).abs()) > 48
                && !objects.iter().any(near)
        });
        assert!(outside.count() < 12);
    }
    assert!(classes.into_iter().eq(0..5));
}

#[test]
fn the_box_of_the_cursor_is_its_black_edge() {
    let (_folder, train, _) = open(&order(Set::SpotBoxes, 40));
    for sample in samples(&*train) {
        let Target::Boxes(objects) = &sample.target else {
            panic!("boxes");
        };
        let cursors: Vec<_> = objects.iter().filter(|object| object.class == 5).collect();
        assert_eq!(cursors.len(), 1);
        let [x1, y1, x2, y2] = cursors[0].bounds.map(|edge| edge as usize);
        let black = |x: usize, y: usize| {
            (0..3).all(|plane| pixels(&sample)[plane * 4096 + y * 64 + x] == 0)
        };
        // Those of its four sides that the picture does not cut off.
        let (x, y) = ((x1 + x2) / 2, (y1 + y2) / 2);
        assert!(x1 == 0 || black(x1, y));
        assert!(x2 == 64 || black(x2 - 1, y));
        assert!(y1 == 0 || black(x, y1));
        assert!(y2 == 64 || black(x, y2 - 1));
    }
}

#[test]
fn strings_are_balanced_where_their_label_says_so() {
    for length in [8, 15, 30] {
        let order = Order::new(Set::Parentheses, 0, Some(400), Some(length), None).unwrap();
        let (_folder, train, test) = open(&order);
        let read = |set: &dyn DataSet| {
            let samples = samples(set);
            let read = samples.iter().map(|s| (numbers(s).to_vec(), class(s)));
            read.collect::<Vec<_>>()
        };
        let (train, test) = (read(&*train), read(&*test.unwrap()));
        let mut lengths = BTreeSet::new();
        let mut even = 0;
        for (string, class) in train.iter().chain(&test) {
            lengths.insert(string.len());
            assert!(string.iter().all(|p| p.abs() == 1.0));
            let mut text: String = string
                .iter()
                .map(|&p| if p > 0.0 { '(' } else { ')' })
                .collect();
            while text.contains("()") {
                text = text.replace("()", "");
            }
            assert_eq!(text.is_empty(), *class == 0, "{string:?}");
            even += usize::from(*class == 1 && string.iter().sum::<f32>() == 0.0);
        }
        assert!(lengths.into_iter().eq((8..=length).step_by(2)));
        // Half of 250, within six standard deviations of 8.
        assert!((77..173).contains(&even), "{even} of 250");
        let known: Vec<_> = train.iter().map(|(string, _)| string).collect();
        assert!(test.iter().all(|(string, _)| !known.contains(&string)));
    }
}

#[test]
fn tags_are_the_symbols_some_steps_before() {
    let order = Order::new(Set::Copy, 0, Some(40), Some(7), None).unwrap();
    let (_folder, train, _) = open(&order);
    for sample in samples(&*train) {
        let Target::Positions(tags) = &sample.target else {
            panic!("a step has a tag");
        };
        let symbols: Vec<i32> = numbers(&sample)
            .chunks(4)
            .map(|step| {
                assert_eq!(step.iter().sum::<f32>(), 1.0);
                step.iter().position(|&x| x == 1.0).unwrap() as i32
            })
            .collect();
        assert!((15..=31).contains(&tags.len()));
        // "none" is the last class.
        assert_eq!(tags[..7], [4; 7]);
        assert_eq!(tags[7..], symbols[..symbols.len() - 7]);
    }
}

#[test]
fn recall_shows_the_frames_of_whole_episodes() {
    for (length, bits) in [(10, 1), (1, 1), (4, 3)] {
        let order = Order::new(Set::Recall, 5, Some(40), Some(length), Some(bits)).unwrap();
        let (_folder, train, _) = open(&order);
        let config = MemoryChainConfig {
            memory_length: length as u32,
            num_bits: bits,
        };
        // The same episodes, frame by frame.
        let seeds = Seeds::new(5).child("data/recall/train", 0);
        let env = MemoryChain::new(&config).unwrap();
        let mut env = SyncVectorEnv::new(env, &EnvOptions::default(), seeds).unwrap();
        let actions = env.new_actions();
        env.reset();
        for sample in samples(&*train) {
            assert_eq!(sample.shape, [length + 1, 2 + bits as usize]);
            let mut frames: Vec<f32> = Vec::new();
            loop {
                frames.extend(env.batch().obs.row::<f32>(0));
                env.step(&actions);
                let over = env.batch().status[0].is_over();
                env.advance();
                if over {
                    break;
                }
            }
            assert_eq!(numbers(&sample), frames);
            let asked = frames[length * (2 + bits as usize) + 1] as usize;
            assert_eq!(class(&sample) == 1, frames[2 + asked] > 0.0);
        }
    }
}

#[test]
fn an_agent_that_knows_the_rows_of_recall_wins_every_episode() {
    let (_folder, train, _) = open(&order(Set::Recall, 40));
    let rows: Vec<(Vec<f32>, usize)> = samples(&*train)
        .iter()
        .map(|sample| (numbers(sample).to_vec(), class(sample)))
        .collect();
    let options = EnvOptions {
        frame_stack: 11,
        ..EnvOptions::default()
    };
    let registry = crate::standard();
    let params = serde_json::Value::Null;
    let mut envs = registry
        .make_envs("memory-chain", &params, &options, Seeds::new(9))
        .unwrap();
    let mut actions = envs.new_actions();
    let (mut returns, mut answers) = (0.0, 0);
    for _ in 0..50 {
        loop {
            let seen = envs.batch().obs.row::<f32>(0);
            let known = rows.iter().find(|(row, _)| row == seen);
            answers += usize::from(known.is_some());
            actions.as_mut_slice::<i32>()[0] = known.map_or(0, |(_, bit)| *bit as i32);
            envs.step(&actions);
            returns += envs.batch().rewards[0];
            let over = envs.batch().status[0].is_over();
            envs.advance();
            if over {
                break;
            }
        }
    }
    assert_eq!((returns, answers), (50.0, 50));
}

#[test]
fn sentences_are_a_text_to_read_by_character() {
    let (folder, train, test) = open(&order(Set::Sentences, 400));
    assert!(test.is_none() && train.is_consecutive());
    let text = fs::read_to_string(folder.path().join("input.txt")).unwrap();
    assert_eq!(text.matches(['.', '?']).count(), 400);
    assert!(text.ends_with('\n') && !text.contains("  "));
    for line in text.lines() {
        assert!(line.starts_with(|c: char| c.is_ascii_uppercase()), "{line}");
        assert!(line.ends_with(['.', '?']), "{line}");
    }
    assert!(train.info().vocabulary.len() < 60);
}

#[test]
fn what_is_there_is_replaced_only_if_it_was_drawn_and_only_by_force() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sentences");
    let order = order(Set::Sentences, 40);
    drawn_in(&order, &path).unwrap();
    let refused = |path: &Path, force| {
        let place = order.place(path, force, &GO_ON);
        place.unwrap_err().to_string()
    };
    assert!(refused(&path, false).ends_with("sentences is there already; --force draws it anew"));
    fs::write(path.join("input.txt"), "other").unwrap();
    fs::write(path.join("more.txt"), "other").unwrap();
    let place = order.place(&path, true, &GO_ON).unwrap();
    order.draw(place).unwrap();
    let names: Vec<_> = files(folder.path()).into_keys().collect();
    let expected = ["sentences/SOURCE.md", "sentences/input.txt"];
    assert_eq!(names, expected.map(PathBuf::from));
    let own = folder.path().join("own");
    fs::create_dir(&own).unwrap();
    fs::write(own.join("thesis.txt"), "years of work").unwrap();
    for force in [false, true] {
        assert!(refused(&own, force).contains("own holds something else than a drawn set"));
        assert!(refused(&own.join("thesis.txt"), force).contains("is a file; give a folder"));
    }
    assert!(refused(Path::new("/"), true).contains("holds something else"));
}

#[test]
fn what_is_stopped_or_fails_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for &set in Set::value_variants() {
        let order = order(set, 40);
        let stop = AtomicBool::new(false);
        let mut place = order
            .place(&folder.path().join("deep/in"), false, &stop)
            .unwrap();
        place.write("train/begun", b"something").unwrap();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(order.draw(place).unwrap_err().to_string(), "stopped");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{set:?}");
    }
    // What appears meanwhile is not written over.
    let path = folder.path().join("set");
    let order = order(Set::Copy, 40);
    let place = order.place(&path, false, &GO_ON).unwrap();
    fs::create_dir(&path).unwrap();
    fs::write(path.join("own"), "mine").unwrap();
    assert!(order.draw(place).is_err());
    let left: Vec<_> = files(folder.path()).into_keys().collect();
    assert_eq!(left, [PathBuf::from("set/own")]);
}

#[test]
fn numbers_out_of_range_are_refused_with_their_option() {
    let refused = |set, samples, length, bits| {
        let order = Order::new(set, 0, samples, length, bits);
        order.unwrap_err().to_string()
    };
    for (error, expected) in [
        (
            refused(Set::Digits, Some(39), None, None),
            "--samples: 39 is out of range; give 40 to 100000",
        ),
        (
            refused(Set::Recall, None, Some(1024), None),
            "--length: 1024 is out of range; give 1 to 1023",
        ),
        (
            refused(Set::Recall, None, None, Some(0)),
            "--bits: 0 is out of range; give 1 to 64",
        ),
        (
            refused(Set::Digits, None, Some(3), None),
            "--length: digits has none",
        ),
        (
            refused(Set::Copy, None, None, Some(3)),
            "--bits: is for recall alone",
        ),
    ] {
        assert_eq!(error, expected);
    }
}
