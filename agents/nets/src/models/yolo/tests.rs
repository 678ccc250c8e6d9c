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
    let found = |class, score, bounds| Detection {
        class,
        score,
        bounds,
    };
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
