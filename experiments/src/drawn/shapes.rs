//! Pictures of the shapes of `spot`: one in each, scenes with the class of each pixel, or scenes with boxes.

use anyhow::Result;
use png::{BitDepth, ColorType, Encoder};
use rand::RngExt;
use serde_json::{Value, json};
use thorndike_core::{Env, Rng};
use thorndike_envs::senses::spot::{CLASSES, PIXELS, SIDE, Scene, Spot, SpotConfig, SpotState};

use super::Order;
use super::folder::Folder;

/// The most that noise adds to a scalar, or takes from it.
const NOISE: i16 = 24;
/// The most shapes in a scene: as many as `spot` shows.
const MAX_OBJECTS: usize = 6;

/// A shape in each picture, of any colour, size and place, wholly inside; noise on every scalar. Classes take turns.
pub(super) fn draw(order: &Order, out: &mut Folder<'_>) -> Result<()> {
    for (part, count, mut rng) in order.parts() {
        for i in 0..count {
            let (class, number) = (i % CLASSES.len(), i / CLASSES.len());
            let ground = rng.random_range(30..=220);
            let mut object = Scene::random(&mut rng, 1).objects()[0];
            object.class = class as u8;
            let mut pixels = rendered(&Scene::new(ground, &[object]));
            add_noise(&mut pixels, &mut rng);
            let name = format!("{part}/{}/{number:05}.png", CLASSES[class]);
            out.write(&name, &png(ColorType::Rgb, &pixels)?)?;
        }
    }
    Ok(())
}

/// Scenes as `spot` shows them but for its cursor. A label holds 0 for the ground, and one more than the class of the
/// frontmost shape at the middle of the pixel.
pub(super) fn draw_masks(order: &Order, out: &mut Folder<'_>) -> Result<()> {
    for (part, count, mut rng) in order.parts() {
        for i in 0..count {
            let scene = Scene::random(&mut rng, MAX_OBJECTS);
            let class = |at: usize| {
                let [x, y] = [at % SIDE, at / SIDE].map(|place| place as f32 + 0.5);
                let object = scene.at(x, y);
                object.map_or(0, |object| scene.objects()[object].class + 1)
            };
            let label: Vec<u8> = (0..SIDE * SIDE).map(class).collect();
            let picture = png(ColorType::Rgb, &rendered(&scene))?;
            out.write(&format!("{part}/{i:05}.png"), &picture)?;
            let label = png(ColorType::Grayscale, &label)?;
            out.write(&format!("{part}/{i:05}_label.png"), &label)?;
        }
    }
    Ok(())
}

/// Scenes as `spot` shows them but for its cursor, with noise on every scalar, and boxes in JSON of COCO's form. A box is
/// drawn around what is seen of a shape; one that is all but hidden has none.
pub(super) fn draw_boxes(order: &Order, out: &mut Folder<'_>) -> Result<()> {
    draw_coco(order, out, &CLASSES, |scene, rng| {
        let mut pixels = rendered(scene);
        add_noise(&mut pixels, rng);
        (pixels, None)
    })
}

/// What `spot` shows, without noise, and boxes as in [`draw_boxes`]; one more around the cursor, which is the last class.
pub(super) fn draw_spot(order: &Order, out: &mut Folder<'_>) -> Result<()> {
    let classes = [&CLASSES[..], &["cursor"]].concat();
    let spot = Spot::new(&SpotConfig::default())?;
    draw_coco(order, out, &classes, |scene, rng| {
        let place = |rng: &mut Rng| rng.random_range(0..(SIDE / STRIDE) as u8);
        let (column, row) = (place(rng), place(rng));
        let state = SpotState {
            scene: *scene,
            wanted: 0,
            column,
            row,
        };
        let mut planes = vec![0; PIXELS + 1];
        spot.observe(&state, &mut planes);
        let [x, y] = [column, row].map(|at| usize::from(at) * STRIDE + STRIDE / 2);
        let from = |at: usize| at.saturating_sub(CURSOR);
        let to = |at: usize| (at + CURSOR).min(SIDE);
        let cursor = [from(x), from(y), to(x), to(y)];
        (by_pixel(&planes[..PIXELS]), Some(cursor))
    })
}

/// Pixels between two places of the cursor, and from its middle to its edge.
const STRIDE: usize = 4;
const CURSOR: usize = 6;

/// Scenes with boxes in JSON of COCO's form. `picture` gives the pixels of a scene, and the edges of an object of the last
/// class if there is one.
fn draw_coco(
    order: &Order,
    out: &mut Folder<'_>,
    classes: &[&str],
    picture: impl Fn(&Scene, &mut Rng) -> (Vec<u8>, Option<[usize; 4]>),
) -> Result<()> {
    let category = |(i, name): (usize, &&str)| json!({ "id": i + 1, "name": name });
    let categories: Vec<Value> = classes.iter().enumerate().map(category).collect();
    for (part, count, mut rng) in order.parts() {
        let (mut images, mut annotations) = (Vec::new(), Vec::new());
        for i in 0..count {
            let scene = Scene::random(&mut rng, MAX_OBJECTS);
            let name = format!("{i:05}.png");
            images.push(json!({ "id": i + 1, "file_name": name, "width": SIDE, "height": SIDE }));
            let mut add = |category: usize, [left, top, right, bottom]: [usize; 4], pixels| {
                annotations.push(json!({
                    "id": annotations.len() + 1,
                    "image_id": i + 1,
                    "category_id": category,
                    "bbox": [left, top, right - left, bottom - top],
                    "area": pixels,
                    "iscrowd": 0,
                }));
            };
            for (object, edges, pixels) in seen(&scene) {
                let class = scene.objects()[object].class;
                add(usize::from(class) + 1, edges, pixels);
            }
            let (pixels, last) = picture(&scene, &mut rng);
            if let Some(edges @ [left, top, right, bottom]) = last {
                add(classes.len(), edges, (right - left) * (bottom - top));
            }
            let picture = png(ColorType::Rgb, &pixels)?;
            out.write(&format!("images/{part}/{name}"), &picture)?;
        }
        // An entry a line, so that it can be read and compared.
        let lines = |entries: &[Value]| {
            let lines: Vec<String> = entries.iter().map(Value::to_string).collect();
            lines.join(",\n")
        };
        let file = format!(
            "{{\"images\": [\n{}\n],\n\"categories\": [\n{}\n],\n\"annotations\": [\n{}\n]}}\n",
            lines(&images),
            lines(&categories),
            lines(&annotations)
        );
        out.write(&format!("{part}.json"), file.as_bytes())?;
    }
    Ok(())
}

/// The fewest pixels of a shape that has a box.
const MIN_PIXELS: usize = 12;

/// The shapes that are seen: place in the scene, left, top, right and bottom edge of what is seen, its pixels.
fn seen(scene: &Scene) -> impl Iterator<Item = (usize, [usize; 4], usize)> {
    let mut all = [([SIDE, SIDE, 0, 0], 0); MAX_OBJECTS];
    for (y, x) in (0..SIDE).flat_map(|y| (0..SIDE).map(move |x| (y, x))) {
        if let Some(object) = scene.at(x as f32 + 0.5, y as f32 + 0.5) {
            let ([left, top, right, bottom], pixels) = all[object];
            let edges = [left.min(x), top.min(y), right.max(x + 1), bottom.max(y + 1)];
            all[object] = (edges, pixels + 1);
        }
    }
    let all = all.into_iter().enumerate();
    all.filter(|(_, (_, pixels))| *pixels >= MIN_PIXELS)
        .map(|(object, (edges, pixels))| (object, edges, pixels))
}

/// Pixel by pixel: red, green, blue.
fn rendered(scene: &Scene) -> Vec<u8> {
    let mut planes = vec![0; PIXELS];
    scene.render_into(&mut planes);
    by_pixel(&planes)
}

/// Planes of red, green and blue, pixel by pixel.
fn by_pixel(planes: &[u8]) -> Vec<u8> {
    let plane = SIDE * SIDE;
    let colors = |at| [0, 1, 2].map(|i| planes[i * plane + at]);
    (0..plane).flat_map(colors).collect() // [3, H, W] -> [H, W, 3]
}

fn add_noise(pixels: &mut [u8], rng: &mut Rng) {
    for pixel in pixels {
        let noise = rng.random_range(-NOISE..=NOISE);
        *pixel = (i16::from(*pixel) + noise).clamp(0, 255) as u8;
    }
}

fn png(color: ColorType, pixels: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, SIDE as u32, SIDE as u32);
    encoder.set_color(color);
    encoder.set_depth(BitDepth::Eight);
    encoder.write_header()?.write_image_data(pixels)?;
    Ok(bytes)
}
