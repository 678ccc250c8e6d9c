//! Numbers that change with the absolute environment step.

use serde::de::{Deserializer, MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Serialize};

use crate::agent::EnvSteps;
use crate::error::{Error, Result, check_range};

/// A number as a function of the environment steps of the run.
///
/// In a configuration it is a plain number or a table:
///
/// ```toml
/// epsilon = 0.1
/// epsilon = { kind = "linear", from = 1.0, to = 0.05, steps = 10_000 }
/// epsilon = { kind = "exponential", from = 1.0, to = 0.05, steps = 10_000 }
/// learning_rate = { kind = "cosine", from = 1e-3, to = 0.0, steps = 10_000, warmup_steps = 500 }
/// learning_rate = { kind = "warmup-linear", from = 1e-3, to = 0.0, steps = 10_000, warmup_steps = 500 }
/// learning_rate = { kind = "step", from = 0.1, factor = 0.1, every_steps = 4_000 }
/// ```
///
/// Where a whole run is known beforehand, as in supervised training, `steps` of a cosine or a warmup-linear may be left out:
/// the run is meant then.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Schedule {
    /// Always `value`.
    Constant {
        /// The number.
        value: f64,
    },
    /// From `from` to `to` in a straight line over `steps` environment steps, then `to`.
    Linear {
        /// Value at step 0.
        from: f64,
        /// Value from step `steps` on.
        to: f64,
        /// Environment steps.
        steps: EnvSteps,
    },
    /// From `from` to `to` with a constant factor per step over `steps` environment steps, then `to`.
    Exponential {
        /// Value at step 0, above 0.
        from: f64,
        /// Value from step `steps` on, above 0.
        to: f64,
        /// Environment steps.
        steps: EnvSteps,
    },
    /// Half a wave from `from` to `to` over `steps` steps, then `to` (Loshchilov and Hutter, "SGDR", 2017, equation 5,
    /// without restarts); before it a straight line from 0 to `from`, which takes `warmup_steps` of them.
    Cosine {
        /// Value when the warm-up has ended.
        from: f64,
        /// Value from step `steps` on.
        to: f64,
        /// Environment steps, the warm-up included. 0: the whole run.
        steps: EnvSteps,
        /// Environment steps of the warm-up.
        warmup_steps: EnvSteps,
    },
    /// A straight line from 0 to `from` over `warmup_steps` steps, then one from `from` to `to`, which is reached at
    /// step `steps`.
    WarmupLinear {
        /// Value when the warm-up has ended.
        from: f64,
        /// Value from step `steps` on.
        to: f64,
        /// Environment steps, the warm-up included. 0: the whole run.
        steps: EnvSteps,
        /// Environment steps of the warm-up.
        warmup_steps: EnvSteps,
    },
    /// `from`, multiplied by `factor` after every `every_steps` steps.
    Step {
        /// Value at step 0.
        from: f64,
        /// What it is multiplied by, 0 to 1.
        factor: f64,
        /// Environment steps between two changes.
        every_steps: EnvSteps,
    },
}

impl Schedule {
    /// This schedule, where it says that it goes over the whole run, for a run of `total` steps.
    #[must_use]
    pub fn over(mut self, total: EnvSteps) -> Self {
        if let Self::Cosine { steps, .. } | Self::WarmupLinear { steps, .. } = &mut self
            && *steps == 0
        {
            *steps = total;
        }
        self
    }

    /// Always `value`.
    pub fn constant(value: f64) -> Self {
        Self::Constant { value }
    }

    /// A straight line from `from` at step 0 to `to` at step `steps`.
    pub fn linear(from: f64, to: f64, steps: EnvSteps) -> Self {
        Self::Linear { from, to, steps }
    }

    /// The value at environment step `step`.
    #[inline]
    pub fn at(&self, step: EnvSteps) -> f64 {
        match *self {
            Self::Constant { value } => value,
            Self::Linear { to, steps, .. }
            | Self::Exponential { to, steps, .. }
            | Self::Cosine { to, steps, .. }
            | Self::WarmupLinear { to, steps, .. }
                if step >= steps =>
            {
                to
            }
            Self::Cosine {
                from, warmup_steps, ..
            }
            | Self::WarmupLinear {
                from, warmup_steps, ..
            } if step < warmup_steps => from * (step as f64 / warmup_steps as f64),
            Self::Cosine {
                from,
                to,
                steps,
                warmup_steps,
            } => {
                let gone = (step - warmup_steps) as f64 / (steps - warmup_steps) as f64;
                to + 0.5 * (from - to) * (1.0 + (std::f64::consts::PI * gone).cos())
            }
            Self::WarmupLinear {
                from,
                to,
                steps,
                warmup_steps,
            } => {
                from + (to - from) * ((step - warmup_steps) as f64 / (steps - warmup_steps) as f64)
            }
            Self::Step {
                from,
                factor,
                every_steps,
            } => from * factor.powf((step / every_steps.max(1)) as f64),
            Self::Linear { from, to, steps } => from + (to - from) * (step as f64 / steps as f64),
            Self::Exponential { from, to, steps } => {
                from * (to / from).powf(step as f64 / steps as f64)
            }
        }
    }

    /// Checks that all values lie in `low..=high`.
    ///
    /// # Errors
    /// [`Error::Config`] naming `key`.
    pub fn check(&self, key: &str, low: f64, high: f64) -> Result<()> {
        let (from, to) = match *self {
            Self::Constant { value } => return check_range(key, value, low..=high),
            Self::Linear { from, to, .. } | Self::Exponential { from, to, .. } => (from, to),
            Self::Cosine {
                from,
                to,
                steps,
                warmup_steps,
            }
            | Self::WarmupLinear {
                from,
                to,
                steps,
                warmup_steps,
            } => {
                if steps == 0 {
                    let what = "missing; give the step at which the schedule has ended";
                    return Err(Error::config(format!("{key}.steps"), what));
                }
                if warmup_steps >= steps {
                    let what =
                        format!("{warmup_steps} is out of range; give less than steps, {steps}");
                    return Err(Error::config(format!("{key}.warmup_steps"), what));
                }
                (from, to)
            }
            Self::Step {
                from,
                factor,
                every_steps,
            } => {
                check_range(&format!("{key}.factor"), factor, 0.0..=1.0)?;
                check_range(
                    &format!("{key}.every_steps"),
                    every_steps,
                    1..=EnvSteps::MAX,
                )?;
                (from, from)
            }
        };
        check_range(&format!("{key}.from"), from, low..=high)?;
        check_range(&format!("{key}.to"), to, low..=high)?;
        if matches!(self, Self::Exponential { .. }) && (from <= 0.0 || to <= 0.0) {
            return Err(Error::config(
                key,
                "an exponential schedule needs both ends above 0",
            ));
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Schedule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
        enum Table {
            Constant {
                value: f64,
            },
            Linear {
                from: f64,
                to: f64,
                steps: EnvSteps,
            },
            Exponential {
                from: f64,
                to: f64,
                steps: EnvSteps,
            },
            Cosine(Warmed),
            WarmupLinear(Warmed),
            Step {
                from: f64,
                factor: f64,
                every_steps: EnvSteps,
            },
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Warmed {
            from: f64,
            to: f64,
            #[serde(default)]
            steps: EnvSteps,
            #[serde(default)]
            warmup_steps: EnvSteps,
        }
        struct NumberOrTable;
        impl<'de> Visitor<'de> for NumberOrTable {
            type Value = Schedule;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(
                    "a number or { kind = \"linear\" | \"exponential\" | \"cosine\" | \"warmup-linear\", from, to, steps } \
                     or { kind = \"step\", from, factor, every_steps }",
                )
            }
            fn visit_f64<E>(self, value: f64) -> std::result::Result<Schedule, E> {
                Ok(Schedule::constant(value))
            }
            fn visit_i64<E>(self, value: i64) -> std::result::Result<Schedule, E> {
                Ok(Schedule::constant(value as f64))
            }
            fn visit_u64<E>(self, value: u64) -> std::result::Result<Schedule, E> {
                Ok(Schedule::constant(value as f64))
            }
            fn visit_map<A: MapAccess<'de>>(
                self,
                map: A,
            ) -> std::result::Result<Schedule, A::Error> {
                Ok(match Table::deserialize(MapAccessDeserializer::new(map))? {
                    Table::Constant { value } => Schedule::Constant { value },
                    Table::Linear { from, to, steps } => Schedule::Linear { from, to, steps },
                    Table::Exponential { from, to, steps } => {
                        Schedule::Exponential { from, to, steps }
                    }
                    Table::Cosine(Warmed {
                        from,
                        to,
                        steps,
                        warmup_steps,
                    }) => Schedule::Cosine {
                        from,
                        to,
                        steps,
                        warmup_steps,
                    },
                    Table::WarmupLinear(Warmed {
                        from,
                        to,
                        steps,
                        warmup_steps,
                    }) => Schedule::WarmupLinear {
                        from,
                        to,
                        steps,
                        warmup_steps,
                    },
                    Table::Step {
                        from,
                        factor,
                        every_steps,
                    } => Schedule::Step {
                        from,
                        factor,
                        every_steps,
                    },
                })
            }
        }
        deserializer.deserialize_any(NumberOrTable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_curves_meet_their_ends_and_stay_there() {
        for schedule in [
            Schedule::linear(1.0, 0.01, 100),
            Schedule::Exponential {
                from: 1.0,
                to: 0.01,
                steps: 100,
            },
        ] {
            assert_eq!(schedule.at(0), 1.0);
            assert_eq!(schedule.at(100), 0.01);
            assert_eq!(schedule.at(u64::MAX), 0.01);
        }
        assert_eq!(Schedule::linear(1.0, 0.0, 4).at(1), 0.75);
        let halfway = Schedule::Exponential {
            from: 1.0,
            to: 0.01,
            steps: 100,
        };
        assert!(
            (halfway.at(50) - 0.1).abs() < 1e-12,
            "the geometric mean lies halfway"
        );
    }

    #[test]
    fn a_number_or_a_table_is_read_and_read_back() {
        for text in [
            "0.5",
            "1",
            r#"{"kind":"linear","from":1.0,"to":0.1,"steps":10}"#,
        ] {
            let schedule: Schedule = serde_json::from_str(text).unwrap();
            let written = serde_json::to_string(&schedule).unwrap();
            assert_eq!(
                serde_json::from_str::<Schedule>(&written).unwrap(),
                schedule
            );
        }
        let error =
            serde_json::from_str::<Schedule>(r#"{"kind":"linear","from":1,"to":0,"step":9}"#)
                .unwrap_err();
        assert!(
            error.to_string().contains("unknown field `step`"),
            "{error}"
        );
        assert!(
            serde_json::from_str::<Schedule>("\"x\"")
                .unwrap_err()
                .to_string()
                .contains("a number or {")
        );
    }

    #[test]
    fn a_wave_and_a_line_begin_behind_their_warm_up() {
        let read = |kind: &str| -> Schedule {
            let text = format!(r#"{{"kind":"{kind}","from":1.0,"to":0.2,"warmup_steps":100}}"#);
            serde_json::from_str(&text).unwrap()
        };
        for kind in ["cosine", "warmup-linear"] {
            let message = read(kind).check("rate", 0.0, 1.0).unwrap_err().to_string();
            assert!(message.starts_with("rate.steps: missing"), "{message}");
            let schedule = read(kind).over(300);
            schedule.check("rate", 0.0, 1.0).unwrap();
            for (step, value) in [(0, 0.0), (50, 0.5), (100, 1.0), (200, 0.6), (300, 0.2)] {
                assert!((schedule.at(step) - value).abs() < 1e-12, "{kind} {step}");
            }
            assert_eq!(schedule.at(9_999), 0.2);
            let message = read(kind).over(100).check("rate", 0.0, 1.0).unwrap_err();
            assert!(message.to_string().starts_with("rate.warmup_steps: 100"));
        }
        // A quarter of the way: 0.2 + 0.4 (1 + cos(pi/4)).
        let wave = read("cosine").over(300).at(150);
        assert!((wave - 0.882_842_712).abs() < 1e-9, "{wave}");
    }

    #[test]
    fn a_stair_goes_down_after_each_stretch() {
        let text = r#"{"kind":"step","from":0.1,"factor":0.5,"every_steps":10}"#;
        let schedule: Schedule = serde_json::from_str(text).unwrap();
        assert_eq!(
            [0, 9, 10, 25].map(|step| schedule.at(step)),
            [0.1, 0.1, 0.05, 0.025]
        );
    }

    #[test]
    fn a_schedule_over_no_steps_is_its_end() {
        assert_eq!(Schedule::linear(1.0, 0.1, 0).at(0), 0.1);
    }
}
