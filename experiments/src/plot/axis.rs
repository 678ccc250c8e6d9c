//! Round tick positions and short numbers.

/// One mark on an axis.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tick {
    pub(super) value: f64,
    pub(super) label: String,
}

/// Multiples of 1, 2 or 5 times a power of ten inside `low..=high`, about `wanted` of them and at least two where the
/// range allows it. With `whole`, no fractions.
///
/// The range must be finite and not empty.
pub(super) fn ticks(low: f64, high: f64, wanted: usize, whole: bool) -> Vec<Tick> {
    let mut step = round_step((high - low) / wanted.max(1) as f64);
    if whole {
        step = step.max(1.0);
    }
    let first = (low / step).ceil();
    let count = ((high / step + 1e-9).floor() - first).clamp(0.0, 1e3) as usize;
    (0..=count)
        .map(|i| {
            let value = (first + i as f64) * step;
            // Clears the rounding dust of 3 * 0.1, and the sign of -0.
            let value = if value.abs() < step * 1e-6 {
                0.0
            } else {
                value
            };
            Tick {
                value,
                label: number(value, step, low.abs().max(high.abs())),
            }
        })
        .collect()
}

/// The round number (1, 2, 5 times a power of ten) nearest to `raw` on a logarithmic scale.
fn round_step(raw: f64) -> f64 {
    let power = 10f64.powf(raw.log10().floor());
    let times = match raw / power {
        ratio if ratio < 2f64.sqrt() => 1.0,
        ratio if ratio < 10f64.sqrt() => 2.0,
        ratio if ratio < 50f64.sqrt() => 5.0,
        _ => 10.0,
    };
    times * power
}

/// A number as short as neighbours `step` apart can be told from each other, on an axis whose largest value is about
/// `largest`: `250`, `0.05`, `−12.5k`, `1M`.
fn number(value: f64, step: f64, largest: f64) -> String {
    const UNITS: [(f64, &str); 4] = [(1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")];
    let size = value.abs();
    if !(1e-4..1e15).contains(&largest) {
        return scientific(value);
    }
    // Up to ten thousand, "1,500" says more than "1.5k" on a scale of returns.
    let unit = if largest < 1e4 {
        None
    } else {
        UNITS.into_iter().find(|&(unit, _)| size >= unit)
    };
    let (unit, suffix) = unit.unwrap_or((1.0, ""));
    let decimals = (-(step / unit).log10()).ceil().clamp(0.0, 6.0) as usize;
    let text = trim_zeros(format!("{:.decimals$}", value / unit));
    with_minus(thousands(&text) + suffix)
}

/// A number to about four digits, for a label.
pub(super) fn short(value: f64) -> String {
    if !value.is_finite() {
        return value.to_string();
    }
    let size = value.abs();
    number(
        value,
        10f64.powf(size.max(1e-300).log10().floor() - 3.0),
        if size > 0.0 { size } else { 1.0 },
    )
}

fn scientific(value: f64) -> String {
    let text = format!("{value:.3e}");
    match text.split_once('e') {
        Some((digits, "0")) => with_minus(trim_zeros(digits.to_owned())),
        Some((digits, power)) => with_minus(format!(
            "{}e{}",
            trim_zeros(digits.to_owned()),
            power.replace('-', "−")
        )),
        None => text,
    }
}

fn trim_zeros(text: String) -> String {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

fn with_minus(text: String) -> String {
    match text.strip_prefix('-') {
        Some("0") => "0".to_owned(),
        Some(digits) => format!("−{digits}"),
        None => text,
    }
}

fn thousands(text: &str) -> String {
    let digits = text.trim_start_matches('-');
    let whole = digits.split('.').next().map_or(0, str::len);
    if whole < 4 {
        return text.to_owned();
    }
    let at = text.len() - digits.len() + whole - 3;
    format!("{},{}", &text[..at], &text[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(low: f64, high: f64, wanted: usize) -> Vec<String> {
        ticks(low, high, wanted, false)
            .into_iter()
            .map(|tick| tick.label)
            .collect()
    }

    #[test]
    fn steps_are_short_and_round() {
        assert_eq!(
            labels(0.0, 50_000.0, 5),
            ["0", "10k", "20k", "30k", "40k", "50k"]
        );
        assert_eq!(
            labels(0.0, 1e6, 5),
            ["0", "200k", "400k", "600k", "800k", "1M"]
        );
        assert_eq!(
            labels(0.0, 2.5e6, 5),
            ["0", "500k", "1M", "1.5M", "2M", "2.5M"]
        );
        assert_eq!(
            labels(0.0, 5000.0, 5),
            ["0", "1,000", "2,000", "3,000", "4,000", "5,000"]
        );
    }

    #[test]
    fn one_axis_has_one_way_to_write_thousands() {
        assert_eq!(labels(0.0, 15_000.0, 3), ["0", "5k", "10k", "15k"]);
        assert_eq!(labels(0.0, 1e-5, 2), ["0", "5e−6", "1e−5"]);
    }

    #[test]
    fn returns_keep_the_decimals_that_tell_them_apart() {
        assert_eq!(labels(0.0, 0.8, 4), ["0", "0.2", "0.4", "0.6", "0.8"]);
        assert_eq!(
            labels(-0.02, 0.02, 4),
            ["−0.02", "−0.01", "0", "0.01", "0.02"]
        );
        assert_eq!(labels(-200.0, 0.0, 4), ["−200", "−150", "−100", "−50", "0"]);
        assert_eq!(labels(-1e9, 0.0, 2), ["−1B", "−500M", "0"]);
        assert_eq!(labels(20_000.0, 20_010.0, 2), ["20k", "20.005k", "20.01k"]);
    }

    #[test]
    fn whole_ticks_have_no_fractions() {
        let ticks = ticks(0.0, 2.0, 8, true);
        assert_eq!(
            ticks.iter().map(|tick| tick.value).collect::<Vec<_>>(),
            [0.0, 1.0, 2.0]
        );
    }

    #[test]
    fn every_size_of_range_gets_between_two_and_a_dozen_ticks_inside_it() {
        for exponent in -12..90 {
            for mantissa in [1.0, 1.7, 2.0, 3.3, 4.9, 7.0, 9.99] {
                let span = mantissa * 10f64.powi(exponent);
                for low in [-span, 0.0, 0.37 * span, -0.5 * span] {
                    let ticks = ticks(low, low + span, 5, false);
                    assert!((2..=12).contains(&ticks.len()), "{low} + {span}: {ticks:?}");
                    let slack = span * 1e-6;
                    let inside =
                        |tick: &Tick| tick.value >= low - slack && tick.value <= low + span + slack;
                    assert!(ticks.iter().all(inside), "{low} + {span}: {ticks:?}");
                }
            }
        }
    }

    #[test]
    fn short_numbers_have_four_digits() {
        assert_eq!(short(0.744_19), "0.7442");
        assert_eq!(short(475.0), "475");
        assert_eq!(short(-13.0), "−13");
        assert_eq!(short(-1e9), "−1B");
        assert_eq!(short(0.0), "0");
        assert_eq!(short(1.5e-9), "1.5e−9");
        assert_eq!(short(3.2e40), "3.2e40");
    }
}
