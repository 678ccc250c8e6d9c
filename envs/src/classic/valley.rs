use thorndike_core::{Error, Picture, Result, Space, check_range};

use crate::canvas::{Canvas, colors};

/// What both mountain cars have: a valley, the car's limits in it, the flag at the goal.
#[derive(Clone, Debug)]
pub(super) struct Valley {
    /// Position of the left end.
    pub(super) left: f64,
    /// Position of the right end.
    pub(super) right: f64,
    /// Where the goal begins.
    pub(super) goal: f64,
    /// Least velocity at the goal.
    pub(super) goal_velocity: f64,
    /// Highest velocity in either direction.
    pub(super) max_speed: f64,
}

/// Height of the ground: its slope is that in the equation of motion.
fn ground(x: f64) -> f64 {
    (3.0 * x).sin()
}

impl Valley {
    /// Checks the numbers, by their keys in the configurations.
    pub(super) fn check(&self) -> Result<()> {
        check_range("goal_velocity", self.goal_velocity, -1e3..=1e3)?;
        check_range("goal_position", self.goal, -1e3..=1e3)?;
        check_range("min_position", self.left, -1e3..=-0.6)?;
        check_range("max_position", self.right, -0.4..=1e3)?;
        check_range("max_speed", self.max_speed, 0.0..=1e3)?;
        if self.goal > self.right || self.goal_velocity > self.max_speed {
            return Err(Error::config(
                "goal_position",
                "the goal is out of reach; give at most max_position, and a goal_velocity of at most max_speed",
            ));
        }
        Ok(())
    }

    /// Space of position and velocity, with bounds for both.
    pub(super) fn space(&self) -> Space {
        Space::Box {
            shape: vec![2],
            low: self.left.min(-self.max_speed) as f32,
            high: self.right.max(self.max_speed) as f32,
        }
    }

    /// The text frame with the car `@` at `position`.
    pub(super) fn render(&self, position: f64) -> String {
        const WIDTH: usize = 60;
        const HEIGHT: usize = 10;
        let width = self.right - self.left;
        let column = |x: f64| ((x - self.left) / width * (WIDTH - 1) as f64).round() as usize;
        let depth = |i: usize| {
            let x = self.left + width * i as f64 / (WIDTH - 1) as f64;
            ((1.0 - ground(x)) / 2.0 * (HEIGHT - 1) as f64).round() as usize
        };
        let mut text = String::new();
        for row in 0..HEIGHT {
            text.extend((0..WIDTH).map(|i| match i {
                _ if depth(i) != row => ' ',
                _ if i == column(position) => '@',
                _ if i == column(self.goal) => '|',
                _ => '.',
            }));
            text.push('\n');
        }
        text
    }

    /// The frame with the car at `position`.
    pub(super) fn draw(&self, position: f64) -> Picture {
        const WIDTH: u32 = 300;
        const HEIGHT: u32 = 200;
        const PIECES: usize = 100;
        let width = self.right - self.left;
        // Ground from -1 to 1, with room below for earth and above for car and flag.
        let mut canvas = Canvas::new(WIDTH, HEIGHT, [self.left, self.right], [-1.3, 1.7]);
        let mut hill: Vec<[f64; 2]> = (0..=PIECES)
            .map(|i| self.left + width * i as f64 / PIECES as f64)
            .map(|x| [x, ground(x)])
            .collect();
        let ridge = hill.clone();
        hill.extend([[self.right, -1.3], [self.left, -1.3]]);
        canvas.polygon(&hill, colors::LIGHT_GREY);
        canvas.line(&ridge, 2.0, colors::GREY);

        // Across and upwards a pixel is worth a different length.
        let (across, up) = (width / f64::from(WIDTH), 3.0 / f64::from(HEIGHT));
        let foot = ground(self.goal);
        let pole = [[self.goal, foot], [self.goal, foot + 40.0 * up]];
        canvas.line(&pole, 2.0, colors::BLACK);
        let flag = [40.0, 33.0, 26.0].map(|height| foot + height * up);
        let tip = [self.goal - 18.0 * across, flag[1]];
        canvas.polygon(
            &[[self.goal, flag[0]], tip, [self.goal, flag[2]]],
            colors::GREEN,
        );

        // The car stands on the slope under it; both axes count in pixels here.
        let slope = 3.0 * (3.0 * position).cos() * across / up;
        let length = slope.hypot(1.0);
        let (cos, sin) = (1.0 / length, slope / length);
        let base = ground(position);
        let at = |along: f64, above: f64| {
            [
                position + (along * cos - above * sin) * across,
                base + (along * sin + above * cos) * up,
            ]
        };
        let body = [
            [-14.0, 4.0],
            [14.0, 4.0],
            [14.0, 12.0],
            [8.0, 18.0],
            [-8.0, 18.0],
            [-14.0, 12.0],
        ];
        canvas.polygon(&body.map(|[along, above]| at(along, above)), colors::BLUE);
        for along in [-8.0, 8.0] {
            canvas.disc(at(along, 4.0), 4.5 * across, colors::BLACK);
        }
        canvas.finish()
    }
}
