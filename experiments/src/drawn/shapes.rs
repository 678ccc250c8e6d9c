//! Pictures of the shapes of `spot`: one in each, or scenes with the class of each pixel.

use anyhow::Result;
use png::{BitDepth, ColorType, Encoder};
use rand::RngExt;
use thorndike_core::Rng;
use thorndike_envs::senses::spot::{CLASSES, PIXELS, SIDE, Scene};

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

/// Pixel by pixel: red, green, blue.
fn rendered(scene: &Scene) -> Vec<u8> {
    let mut planes = vec![0; PIXELS];
    scene.render_into(&mut planes);
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
