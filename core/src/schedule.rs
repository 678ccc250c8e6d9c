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
/// ```
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
}

impl Schedule {
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
            Self::Linear { to, steps, .. } | Self::Exponential { to, steps, .. }
                if step >= steps =>
            {
                to
            }
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
            Constant { value: f64 },
            Linear { from: f64, to: f64, steps: EnvSteps },
            Exponential { from: f64, to: f64, steps: EnvSteps },
        }
        struct NumberOrTable;
        impl<'de> Visitor<'de> for NumberOrTable {
            type Value = Schedule;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number or { kind = \"linear\" | \"exponential\", from, to, steps }")
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
    fn a_schedule_over_no_steps_is_its_end() {
        assert_eq!(Schedule::linear(1.0, 0.1, 0).at(0), 0.1);
    }
}
