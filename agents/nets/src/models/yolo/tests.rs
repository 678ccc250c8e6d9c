use super::*;
use crate::ParamStore;
use tch::{Device, Kind};
use thorndike_core::rand::RngExt;
use thorndike_core::{Rng, Seeds, Space};

fn config(json: &str) -> YoloConfig {
    serde_json::from_str(json).unwrap()
}

fn space(shape: [usize; 3]) -> Space {
    Space::Box {
        shape: shape.to_vec(),
        low: 0.0,
        high: 255.0,
    }
}

fn built(config: &YoloConfig, shape: [usize; 3]) -> Result<(ParamStore, Yolo)> {
    let rng = Seeds::new(1).stream("agent/init", 0);
    let space = space(shape);
    ParamStore::build(Device::Cpu, rng, |scope| {
        Yolo::new(config, &mut scope.sub("extractor"), &Inputs::of(&space))
    })
}

const KINDS: [&str; 5] = [
    r#"{"classes": 3}"#,
    r#"{"classes": 2, "head": {"kind": "grid"}}"#,
    r#"{"classes": 2, "head": {"kind": "anchor-free", "strides": [4, 8]}, "backbone": {"kind": "cnn", "norm": "batch",
        "layers": [{"filters": 6, "size": 3, "stride": 2, "padding": 1}, {"filters": 8, "size": 3, "stride": 2, "padding": 1},
            {"filters": 10, "size": 3, "stride": 1, "padding": 1}, {"pool": "max", "size": 2}], "hidden": [7]}}"#,
    r#"{"classes": 1, "backbone": {"kind": "vgg", "depth": 11, "batch_norm": true, "width": 0.05}}"#,
    r#"{"classes": 4, "seen": 3, "head": {"kind": "anchor-free", "strides": [16], "bins": 8},
        "backbone": {"kind": "csp", "channels": [4, 6, 8, 10]}}"#,
];

#[test]
fn sizes_of_all_heads_and_backbones_are_known_before() {
    for json in KINDS {
        let config = config(json);
        let (store, net) = built(&config, [3, 64, 96]).unwrap();
        let size = config.size(&Inputs::of(&space([3, 64, 96])));
        let expected = (store.num_parameters() as u64, net.width() as u64);
        assert_eq!(size, expected, "{json}");
    }
    let nano = config(KINDS[0]).size(&Inputs::of(&space([3, 320, 320]))).0;
    assert!((350_000..450_000).contains(&nano), "{nano} weights");
}

#[test]
fn an_agent_sees_the_surest_of_each_class_as_shares_of_the_picture() {
    let (_, net) = built(&config(r#"{"classes": 2, "seen": 2}"#), [3, 32, 64]).unwrap();
    let found = [
        found(1, 0.9, [0.0, 0.0, 32.0, 16.0]),
        found(1, 0.8, [16.0, 8.0, 32.0, 16.0]),
        found(1, 0.7, [0.0, 0.0, 1.0, 1.0]),
        found(0, 0.6, [32.0, 16.0, 64.0, 32.0]),
    ];
    let mut row = vec![0.0; net.width() as usize];
    net.seen(&found, &mut row);
    let expected = [
        [0.6, 0.75, 0.75, 0.5, 0.5],
        [0.0; 5],
        [0.9, 0.25, 0.25, 0.5, 0.5],
        [0.8, 0.375, 0.375, 0.25, 0.25],
    ];
    assert_eq!(row, expected.concat());
    let images = Tensor::zeros([2, 3, 32, 64], (Kind::Float, Device::Cpu));
    assert_eq!(net.features(&images, false).size(), [2, 20]);
}

fn found(class: usize, score: f32, bounds: [f32; 4]) -> Detection {
    Detection {
        class,
        score,
        bounds,
    }
}

#[test]
fn a_map_has_the_surest_score_in_each_place_that_a_box_covers() {
    let config = config(
        r#"{"classes": 2, "backbone": {"kind": "csp", "channels": [4, 4, 4, 4]}, "head": {"kind": "anchor-free", "strides": [8, 16]}}"#,
    );
    let (_, net) = built(&config, [3, 16, 32]).unwrap();
    assert_eq!(net.map_shape(false), [2, 2, 4]);
    assert_eq!(config.map_shape([16, 32], false), [2, 2, 4]);
    let found = [
        found(1, 0.5, [0.0, 0.0, 19.0, 9.0]), // middles at 4 and 12 across, 4 down
        found(1, 0.75, [11.0, 3.0, 21.0, 13.0]), // 12 and 20; 4 and 12
        found(0, 0.25, [30.0, 14.0, 31.0, 15.0]), // between middles
        found(0, 0.125, [-5.0, 11.0, 99.0, 99.0]), // over the edges
    ];
    let mut map = vec![0.0; 16];
    net.paint(&found, None, &mut map);
    let expected = [
        [0.0; 4],
        [0.125; 4],
        [0.5, 0.75, 0.75, 0.0],
        [0.0, 0.75, 0.75, 0.0],
    ];
    assert_eq!(map, expected.concat());
    let images = Tensor::zeros([3, 3, 16, 32], (Kind::Float, Device::Cpu));
    let looked = net.look(&images, false).unwrap();
    assert_eq!(net.map(&looked, None).size(), [3, 2, 2, 4]);
    assert_eq!(net.map(&looked, Some(1)).size(), [3, 2, 3, 7]);
}

#[test]
fn a_map_can_be_centred_on_the_surest_of_a_class() {
    let config = config(
        r#"{"classes": 2, "backbone": {"kind": "csp", "channels": [4, 4, 4, 4]}, "head": {"kind": "anchor-free", "strides": [8, 16]}}"#,
    );
    let (_, net) = built(&config, [3, 16, 32]).unwrap();
    assert_eq!(net.map_shape(true), [2, 3, 7]);
    assert_eq!(config.map_shape([16, 32], true), [2, 3, 7]);
    let object = found(0, 0.5, [8.0, 0.0, 24.0, 8.0]);
    // The surer of two, which comes first, with its middle 20 across and 12 down: places are every 8 pixels from there, the object's at 12 and 20
    // across and 4 down.
    let me = found(1, 0.75, [18.0, 10.0, 22.0, 14.0]);
    let other = found(1, 0.25, [0.0, 0.0, 3.0, 3.0]);
    let mut map = vec![0.0; 42];
    net.paint(&[me, object, other], Some(1), &mut map);
    let mut expected = vec![0.0; 42];
    for (row, column, class, sure) in [(0, 2, 0, 0.5), (0, 3, 0, 0.5), (1, 3, 1, 0.75)] {
        expected[(class * 3 + row) * 7 + column] = sure;
    }
    assert_eq!(map, expected);
    // Moved with all that is seen it is the same.
    let moved = |found: Detection| {
        let [x1, y1, x2, y2] = found.bounds;
        Detection {
            bounds: [x1 + 3.0, y1 - 5.0, x2 + 3.0, y2 - 5.0],
            ..found
        }
    };
    let mut again = vec![0.0; 42];
    net.paint(&[moved(object), moved(me)], Some(1), &mut again);
    assert_eq!(again, expected);
    // Without it the middle is that of the picture: 16 across, 8 down.
    let mut map = vec![0.0; 42];
    net.paint(&[object], Some(1), &mut map);
    let seen: Vec<usize> = (0..42).filter(|&at| map[at] > 0.0).collect();
    assert_eq!(seen, [2, 3], "8 and 16 across, 0 down");
}

#[test]
fn what_does_not_fit_is_refused_by_its_key() {
    for (json, message) in [
        (r#"{"classes": 0}"#, "kind: a detector is trained"),
        (
            r#"{"classes": 1, "head": {"kind": "grid", "stride": 7}}"#,
            "head.strides: the backbone has no map of every 7th pixel; it has 4, 8, 16, 32",
        ),
        (
            r#"{"classes": 1, "backbone": {"kind": "mlp"}}"#,
            "backbone.kind: it makes no maps",
        ),
        (
            r#"{"classes": 1, "head": {"kind": "anchor-free", "strides": [16, 8]}}"#,
            "head.strides: [16, 8] do not ascend",
        ),
    ] {
        let error = built(&config(json), [3, 64, 64]).unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}");
    }
    let error = config(r#"{"classes": 2}"#).of_classes(3).unwrap_err();
    assert_eq!(
        error.to_string(),
        "classes: 2 are not the 3 of the data; give 0"
    );
}

/// A dark picture with a bright square or a red one, and its box.
fn scene(rng: &mut Rng) -> (Vec<f32>, Object) {
    let class = rng.random_range(0..2_usize);
    let side = rng.random_range(10..20_usize);
    let [x, y] = [0, 0].map(|_| rng.random_range(0..48 - side));
    let mut pixels = vec![0.1; 3 * 48 * 48];
    for (channel, pixels) in pixels.chunks_exact_mut(48 * 48).enumerate() {
        for row in pixels.chunks_exact_mut(48).skip(y).take(side) {
            row[x..x + side].fill(if channel == 0 || class == 0 { 0.9 } else { 0.2 });
        }
    }
    let bounds = [x, y, x + side, y + side].map(|edge| edge as f32);
    (pixels, Object::new(class, bounds))
}

/// Share of new pictures whose surest detection is of the right class and overlaps by more than a half, after `updates`.
fn learned(json: &str, updates: u64) -> f64 {
    // Threads that wait for one another take the processor from other tests.
    crate::use_threads(1);
    use crate::{AdamConfig, OptimConfig, Optimizer};
    let config = config(json);
    let (mut store, net) = built(&config, [3, 48, 48]).unwrap();
    store.enable_gradients();
    let adam = OptimConfig::Adam(AdamConfig {
        learning_rate: thorndike_core::Schedule::constant(5e-3),
        ..AdamConfig::default()
    });
    let mut optimizer = Optimizer::new(&adam, &store).unwrap();
    let mut rng = Seeds::new(2).stream("test", 0);
    let mut batch = |n: usize| {
        let (mut pixels, mut objects) = (Vec::new(), Vec::new());
        for _ in 0..n {
            let (own, object) = scene(&mut rng);
            pixels.extend(own);
            objects.push(vec![object]);
        }
        (
            Tensor::from_slice(&pixels).view([n as i64, 3, 48, 48]),
            objects,
        )
    };
    for update in 0..updates {
        let (images, objects) = batch(8);
        store.zero_gradient();
        net.loss(&net.look(&images, true).unwrap(), &objects)
            .backward();
        optimizer.step(&mut store, update);
    }
    let (images, objects) = batch(50);
    let looked = tch::no_grad(|| net.look(&images, false)).unwrap();
    let found = net.detections(&looked);
    let right = found.iter().zip(&objects).filter(|(found, objects)| {
        let object = &objects[0];
        found.first().is_some_and(|first| {
            let overlap = thorndike_data::boxes::iou(first.bounds, object.bounds);
            first.class == object.class && overlap > 0.5
        })
    });
    right.count() as f64 / 50.0
}

#[test]
fn both_heads_learn_to_find_squares() {
    let csp = r#""backbone": {"kind": "csp", "channels": [8, 16, 16]}"#;
    let free = format!(
        r#"{{"classes": 2, {csp}, "head": {{"kind": "anchor-free", "strides": [4, 8], "pyramid": 16, "width": 16, "bins": 8}}}}"#
    );
    let share = learned(&free, 120);
    assert!(share > 0.8, "anchor-free: {share}");
    let grid = format!(r#"{{"classes": 2, {csp}, "head": {{"kind": "grid", "stride": 8}}}}"#);
    let share = learned(&grid, 200);
    assert!(share > 0.6, "grid: {share}");
}

fn info(task: thorndike_data::Task) -> thorndike_data::Info {
    thorndike_data::Info {
        space: space([3, 48, 48]),
        scalar: thorndike_core::Kind::U8,
        task,
        vocabulary: Vec::new(),
        encoding: Default::default(),
    }
}

fn names() -> Vec<String> {
    ["white", "red"].map(str::to_owned).to_vec()
}

fn network(extractor: &ExtractorConfig, task: thorndike_data::Task) -> crate::Network {
    crate::use_threads(1);
    let learning = crate::LearningConfig {
        ema_decay: Some(0.9),
        ..crate::LearningConfig::default()
    };
    let info = info(task);
    let known = crate::Known {
        moments: Some(thorndike_data::Moments {
            mean: vec![0.2; 3],
            deviation: vec![0.5; 3],
        }),
        counts: Vec::new(),
    };
    let device = thorndike_core::Device::Cpu;
    crate::Network::new(extractor, &learning, &info, &known, Seeds::new(3), device).unwrap()
}

fn batch(rng: &mut Rng, n: usize) -> thorndike_data::Batch {
    let (mut pixels, mut objects) = (Vec::new(), Vec::new());
    for _ in 0..n {
        let (own, object) = scene(rng);
        pixels.extend(own.iter().map(|&x| (255.0 * x) as u8));
        objects.push(vec![object]);
    }
    thorndike_data::Batch {
        samples: (0..n).collect(),
        inputs: thorndike_core::Array::from_vec(pixels, 3 * 48 * 48),
        shape: vec![3, 48, 48],
        lengths: Vec::new(),
        targets: thorndike_data::Targets::Boxes(objects),
    }
}

fn learn(network: &mut crate::Network, updates: std::ops::Range<u64>) {
    use thorndike_data::{At, Learner as _};
    for update in updates {
        let mut rng = Seeds::new(update).stream("test", 0);
        let at = At {
            step: 4 * update,
            update,
            starts: true,
        };
        network.learn(&batch(&mut rng, 4), at).unwrap();
    }
}

const TINY: &str = r#"{"kind": "yolo", "classes": 2, "score_from": 0.0,
    "backbone": {"kind": "csp", "channels": [4, 6, 8]}, "head": {"kind": "anchor-free", "strides": [4, 8], "pyramid": 8}}"#;

#[test]
fn training_goes_on_exactly_where_it_was_saved_and_the_mean_predicts() {
    use thorndike_data::Learner as _;
    let extractor: ExtractorConfig = serde_json::from_str(TINY).unwrap();
    let task = || thorndike_data::Task::Boxes { names: names() };
    let dir = tempfile::tempdir().unwrap();
    let mut whole = network(&extractor, task());
    learn(&mut whole, 0..3);
    whole.save(dir.path()).unwrap();
    learn(&mut whole, 3..6);
    let mut resumed = network(&extractor, task());
    resumed.load(dir.path()).unwrap();
    // Saving and predicting leave the weights alone.
    let seen = batch(&mut Seeds::new(9).stream("test", 0), 3);
    let again = resumed.predict(&seen, true).unwrap();
    resumed.save(dir.path()).unwrap();
    learn(&mut resumed, 3..6);
    let flat = |network: &crate::Network| crate::params::to_vec(network.params().flat());
    assert_eq!(flat(&resumed), flat(&whole));
    let said = |network: &mut crate::Network| network.predict(&seen, true).unwrap();
    assert_eq!(said(&mut resumed), said(&mut whole));
    // What was saved for others is the mean.
    let mut read = network(&extractor, task());
    read.load_model(dir.path()).unwrap();
    let mean = flat(&read);
    let mut of_mean = network(&extractor, task());
    of_mean.load(dir.path()).unwrap();
    assert_ne!(mean, flat(&of_mean));
    let outputs = said(&mut of_mean).outputs;
    assert_eq!(outputs, again.outputs);
}

/// Saves `network` as `thorndike fit` does.
fn save(
    network: &crate::Network,
    extractor: &ExtractorConfig,
    task: thorndike_data::Task,
    dir: &std::path::Path,
) {
    use thorndike_data::Learner as _;
    let model = crate::ModelFile {
        extractor: Some(extractor.settled().unwrap()),
        perceptron: None,
        info: info(task),
        normalize: true,
        tasks: Vec::new(),
        weighting: crate::Weighting::Fixed,
    };
    let write = |dir: &std::path::Path| {
        model.save(dir)?;
        network.save(dir)
    };
    let best = dir.join(crate::BEST);
    thorndike_core::checkpoint::write(&best, 6, serde_json::Value::Null, write).unwrap();
}

#[test]
fn a_classifier_lends_its_convolutions_and_a_detector_its_eyes() {
    use thorndike_data::Task;
    let classifier: ExtractorConfig =
        serde_json::from_str(r#"{"kind": "csp", "channels": [4, 6, 8]}"#).unwrap();
    let classes = Task::Classes { names: names() };
    let dir = tempfile::tempdir().unwrap();
    let trained = network(&classifier, classes.clone());
    save(&trained, &classifier, classes, dir.path());
    let weight = |network: &crate::Network, name: &str| {
        let found = network.params().tensors().find(|(own, ..)| *own == name);
        crate::params::to_vec(&found.expect("it is declared").2)
    };
    for freeze in [true, false] {
        let mut extractor: YoloConfig = {
            let mut keys: serde_json::Value = serde_json::from_str(TINY).unwrap();
            keys.as_object_mut().unwrap().remove("kind");
            serde_json::from_value(keys).unwrap()
        };
        extractor.backbone = Box::new(
            serde_json::from_value(serde_json::json!({
                "kind": "pretrained", "from": dir.path(), "freeze": freeze, "learning_rate_factor": 0.5,
            }))
            .unwrap(),
        );
        let extractor = ExtractorConfig::Yolo(extractor);
        let boxes = Task::Boxes { names: names() };
        let mut detector = network(&extractor, boxes.clone());
        let name = "extractor.backbone.stem.weight";
        let before = weight(&detector, name);
        assert_eq!(before, weight(&trained, "extractor.stem.weight"));
        learn(&mut detector, 0..2);
        assert_eq!(weight(&detector, name) == before, freeze);
        // The detector stands without the classifier, as an agent's eyes.
        let eyes = tempfile::tempdir().unwrap();
        save(&detector, &extractor, boxes, eyes.path());
        let pretrained: ExtractorConfig =
            serde_json::from_value(serde_json::json!({"kind": "pretrained", "from": eyes.path()}))
                .unwrap();
        let space = space([3, 48, 48]);
        let rng = Seeds::new(5).stream("agent/init", 0);
        let (_, read) = ParamStore::build(Device::Cpu, rng, |scope| {
            pretrained.build(&mut scope.sub("extractor"), &Inputs::of(&space))
        })
        .unwrap();
        let (pixels, _) = scene(&mut Seeds::new(9).stream("test", 0));
        let obs = Tensor::from_slice(&pixels).view([1, 3, 48, 48]);
        let checkpoint = crate::find_model(eyes.path(), crate::Which::Best).unwrap();
        let mut again = network(
            &extractor.settled().unwrap(),
            Task::Boxes { names: names() },
        );
        thorndike_data::Learner::load_model(&mut again, &checkpoint).unwrap();
        let expected = tch::no_grad(|| again.extractor().features(&obs, false));
        assert_eq!(tch::no_grad(|| read.features(&obs, false)), expected);
        assert!(values(&expected).iter().any(|&x| x > 0.0));
        // As a map: of the picture as the detector was trained to see it, too.
        let built = |json: serde_json::Value, space: &Space| {
            let config: ExtractorConfig = serde_json::from_value(json).unwrap();
            let rng = Seeds::new(5).stream("agent/init", 0);
            let (store, net) = ParamStore::build(Device::Cpu, rng, |scope| {
                config.build(&mut scope.sub("extractor"), &Inputs::of(space))
            })
            .unwrap();
            let size = config.size(&Inputs::of(space));
            assert_eq!(size.1, net.width() as u64);
            (config, store, net)
        };
        let map = serde_json::json!({"kind": "pretrained", "from": eyes.path(), "layer": "map"});
        let (_, _, maps) = built(map, &space);
        let looked = tch::no_grad(|| again.extractor().look(&obs, false)).unwrap();
        let expected = again.extractor().detector().unwrap().map(&looked, None);
        assert_eq!(maps.shape(), expected.size()[1..]);
        let found = tch::no_grad(|| maps.features(&obs, false));
        assert_eq!(found, expected.flatten(1, -1));
        assert!(values(&found).iter().any(|&x| x > 0.0));
        let centred = |layer: &str, centre: &str| serde_json::json!({"kind": "pretrained", "from": eyes.path(), "layer": layer, "centre": centre});
        let (_, _, centred_maps) = built(centred("map", &names()[1]), &space);
        let expected = again.extractor().detector().unwrap().map(&looked, Some(1));
        assert_eq!(centred_maps.shape(), expected.size()[1..]);
        let found_centred = tch::no_grad(|| centred_maps.features(&obs, false));
        assert_eq!(found_centred, expected.flatten(1, -1));
        for (layer, centre, message) in [
            (
                "map",
                "nobody",
                "centre: there is no class \"nobody\"; known: ",
            ),
            (
                "features",
                &names()[1],
                "centre: only a map has a middle; use layer = \"map\"",
            ),
        ] {
            let config: ExtractorConfig = serde_json::from_value(centred(layer, centre)).unwrap();
            let rng = Seeds::new(5).stream("agent/init", 0);
            let refused = ParamStore::build(Device::Cpu, rng, |scope| {
                config.build(&mut scope.sub("extractor"), &Inputs::of(&space))
            });
            let error = refused.unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
        // With what is asked for beside it, also where an agent has only the network behind it.
        for (picture, maps, found) in [
            (
                serde_json::json!({"from": eyes.path(), "layer": "map"}),
                &maps,
                &found,
            ),
            (
                serde_json::json!({"from": eyes.path(), "layer": "map", "centre": names()[1]}),
                &centred_maps,
                &found_centred,
            ),
        ] {
            let planes = serde_json::json!({
                "kind": "planes", "picture": picture,
                "net": {"kind": "cnn", "layers": [{"filters": 3, "size": 3, "stride": 2}], "hidden": []},
            });
            let asked = Space::Tuple(vec![space.clone(), Space::Discrete(2)]);
            let (config, store, whole) = built(planes, &asked);
            let [first, rest] = config.behind_frozen().unwrap();
            let (_, _, first) = built(serde_json::to_value(first).unwrap(), &asked);
            let shape = first.shape();
            assert_eq!(
                shape,
                [maps.shape()[0] + 2, maps.shape()[1], maps.shape()[2]]
            );
            let behind = Space::unbounded(&shape.iter().map(|&n| n as usize).collect::<Vec<_>>());
            let (_, behind_store, rest) = built(serde_json::to_value(rest).unwrap(), &behind);
            assert_eq!((whole.width(), whole.shape()), (rest.width(), rest.shape()));
            assert_eq!(store.num_parameters(), behind_store.num_parameters());
            let question = Tensor::from_slice(&[0_f32, 1.0]).view([1, 2]);
            let row = Tensor::cat(&[obs.flatten(1, -1), question], 1);
            let seen = tch::no_grad(|| first.features(&row, false)).view(&shape[..]);
            assert_eq!(seen.narrow(0, 0, shape[0] - 2).flatten(0, -1), found.get(0));
            assert_eq!(seen.get(shape[0] - 1).min(), Tensor::from(1_f32));
        }
    }
}
