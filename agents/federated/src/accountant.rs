//! What rounds with clipping and noise cost in privacy.

use crate::PrivacyConfig;

/// Adds up what rounds of the sampled Gaussian mechanism tell of a client, and says it as epsilon.
///
/// Each round is a Gaussian mechanism of noise multiplier `sigma` on a Poisson sample of the clients, each with probability
/// `q`. Its Rényi divergence of order `alpha` is
/// `ln E[(1 - q + q exp((2 z - 1) / (2 sigma²)))^alpha] / (alpha - 1)` over `z` from `N(0, sigma²)`; rounds add up.
///
/// # Reference
/// Mironov, Talwar and Zhang, "Rényi Differential Privacy of the Sampled Gaussian Mechanism" (2019), section 3.3; from
/// divergences to epsilon: Canonne, Kamath and Steinke, "The Discrete Gaussian for Differential Privacy" (2020),
/// proposition 12. Orders: those of TensorFlow Privacy. Deviations: the expectation is a sum over a fine grid for all
/// orders, instead of closed forms for whole and series for other ones; for such smooth functions the sum is exact but for
/// rounding.
///
/// # Examples
/// ```
/// use thorndike_federated::{Accountant, PrivacyConfig};
/// let privacy = PrivacyConfig { clip: 1.0, noise: 1.0, delta: 1e-3 };
/// let accountant = Accountant::new(&privacy, 0.1);
/// assert_eq!(accountant.epsilon(0), 0.0);
/// // As Opacus 1.6 has it.
/// assert!((accountant.epsilon(50) - 4.0173).abs() < 1e-4);
/// ```
#[derive(Clone, Debug)]
pub struct Accountant {
    delta: f64,
    /// Order, and divergence of one round.
    divergences: Vec<(f64, f64)>,
}

impl Accountant {
    /// For rounds in which each client takes part with probability `q`, in (0, 1].
    pub fn new(privacy: &PrivacyConfig, q: f64) -> Self {
        let tenths = (1..100).map(|n| 1.0 + f64::from(n) / 10.0);
        let whole = (11..64).chain([128, 256, 512]).map(f64::from);
        let orders = tenths.chain(whole);
        Self {
            delta: privacy.delta,
            divergences: orders
                .map(|alpha| (alpha, divergence(q, privacy.noise, alpha)))
                .collect(),
        }
    }

    /// The epsilon of so many rounds, at the delta it was made for.
    pub fn epsilon(&self, rounds: u64) -> f64 {
        if rounds == 0 {
            return 0.0;
        }
        let epsilon = |&(alpha, divergence): &(f64, f64)| {
            divergence * rounds as f64 - (self.delta.ln() + alpha.ln()) / (alpha - 1.0)
                + ((alpha - 1.0) / alpha).ln()
        };
        let smallest = self.divergences.iter().map(epsilon);
        smallest.fold(f64::INFINITY, f64::min).max(0.0)
    }
}

/// Rényi divergence of order `alpha` of one round.
fn divergence(q: f64, sigma: f64, alpha: f64) -> f64 {
    if sigma == 0.0 {
        return f64::INFINITY;
    }
    if q == 1.0 {
        return alpha / (2.0 * sigma * sigma);
    }
    // What is added up has a width of sigma, and bends within sigma²; beyond 12 sigma there are 1e-31 of it.
    let step = sigma.min(sigma * sigma) / 8.0;
    let (low, high) = (-12.0 * sigma, alpha + 12.0 * sigma);
    let points = ((high - low) / step).ceil() as usize;
    let (ln_out, ln_in) = ((-q).ln_1p(), q.ln());
    let terms = || {
        (0..=points).map(|i| {
            let z = low + step * i as f64;
            let [out, with] = [ln_out, ln_in + (2.0 * z - 1.0) / (2.0 * sigma * sigma)];
            let ratio = out.max(with) + (-(out - with).abs()).exp().ln_1p();
            alpha * ratio - z * z / (2.0 * sigma * sigma)
        })
    };
    let most = terms().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = terms().map(|term| (term - most).exp()).sum();
    let ln = most + (sum * step / (sigma * std::f64::consts::TAU.sqrt())).ln();
    ln.max(0.0) / (alpha - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the binomial sum, for whole orders.
    fn closed_form(q: f64, sigma: f64, alpha: i32) -> f64 {
        let mut choose = 1.0;
        let mut sum = 0.0;
        for k in 0..=alpha {
            let k_ = f64::from(k);
            sum += choose
                * (1.0 - q).powi(alpha - k)
                * q.powi(k)
                * ((k_ * k_ - k_) / (2.0 * sigma * sigma)).exp();
            choose *= f64::from(alpha - k) / f64::from(k + 1);
        }
        sum.ln() / f64::from(alpha - 1)
    }

    #[test]
    fn whole_orders_agree_with_the_closed_form() {
        for q in [0.001, 0.1, 0.7] {
            for sigma in [0.3, 1.0, 5.0] {
                for alpha in [2, 3, 10] {
                    let [own, exact] = [
                        divergence(q, sigma, f64::from(alpha)),
                        closed_form(q, sigma, alpha),
                    ];
                    // What is left of a sum of thousands of rounded numbers near 1.
                    let error = (own - exact).abs();
                    assert!(
                        error < 1e-12 + 1e-10 * exact,
                        "{q} {sigma} {alpha}: {own} {exact}"
                    );
                }
            }
        }
    }

    #[test]
    fn divergences_of_any_order_agree_with_opacus() {
        // opacus.accountants.analysis.rdp.compute_rdp of Opacus 1.6.0, orders 1.5, 2, 8.3 and 32.
        for (q, sigma, published) in [
            (
                256.0 / 60_000.0,
                1.1,
                [
                    1.747_978_454_296_871_3e-5,
                    2.339_577_601_000_528_7e-5,
                    1.023_048_633_037_017_9e-4,
                    7.590_188_346_210_11,
                ],
            ),
            (
                0.02,
                0.5,
                [
                    0.009_152_489_054_597_653,
                    0.021_212_671_944_495_946,
                    12.152_083_432_196_042,
                    59.961_782_704_074_174,
                ],
            ),
            (
                0.5,
                2.0,
                [
                    0.049_819_377_632_321_03,
                    0.068_598_724_381_658_43,
                    0.449_301_660_841_135_15,
                    3.284_938_620_537_329_4,
                ],
            ),
            (
                1.0,
                3.0,
                [
                    0.083_333_333_333_333_33,
                    0.111_111_111_111_111_1,
                    0.461_111_111_111_111_14,
                    1.777_777_777_777_777_7,
                ],
            ),
        ] {
            for (alpha, published) in [1.5, 2.0, 8.3, 32.0].into_iter().zip(published) {
                let own = divergence(q, sigma, alpha);
                // Its series of fractional orders ends at 1e-13 of a sum near 1.
                let error = (own - published).abs();
                assert!(
                    error < 1e-11 + 1e-9 * published,
                    "{q} {sigma} {alpha}: {own} {published}"
                );
            }
        }
    }

    #[test]
    fn epsilons_agree_with_published_ones() {
        // As divergences above; the first is the example of MNIST in TensorFlow Privacy, 60 epochs in batches of 256.
        for (q, noise, rounds, delta, published) in [
            (256.0 / 60_000.0, 1.1, 14_062, 1e-5, 2.596_555_868_960_748_6),
            (256.0 / 60_000.0, 0.7, 3_515, 1e-5, 4.064_423_236_105_919),
            (0.01, 4.0, 10_000, 1e-5, 1.035_490_066_036_247_6),
            (0.1, 1.0, 50, 1e-3, 4.017_340_957_684_898),
            (0.5, 2.0, 100, 1e-3, 12.138_772_244_134_24),
            (1.0, 3.0, 40, 1e-3, 9.012_422_358_217_766),
            (0.1, 0.3, 20, 1e-3, 39.663_847_102_406_38),
        ] {
            let privacy = PrivacyConfig {
                clip: 1.0,
                noise,
                delta,
            };
            let own = Accountant::new(&privacy, q).epsilon(rounds);
            assert!((own - published).abs() < 1e-6, "{q} {noise}: {own}");
        }
    }

    #[test]
    fn the_published_epsilon_of_mnist_is_that_of_the_older_conversion() {
        // "MNIST with 60 epochs, 256 of 60,000, noise 1.1, delta 1e-5": 3.01 by Mironov, "Rényi Differential Privacy"
        // (2017), proposition 3, in the tutorial of TensorFlow Privacy.
        let privacy = PrivacyConfig {
            clip: 1.0,
            noise: 1.1,
            delta: 1e-5,
        };
        let accountant = Accountant::new(&privacy, 256.0 / 60_000.0);
        let older = accountant.divergences.iter();
        let older = older.map(|(alpha, d)| 14_062.0 * d + 1e5_f64.ln() / (alpha - 1.0));
        let epsilon = older.fold(f64::INFINITY, f64::min);
        assert!((epsilon - 3.01).abs() < 0.005, "{epsilon}");
    }

    #[test]
    fn no_noise_is_no_privacy() {
        let privacy = PrivacyConfig {
            clip: 1.0,
            noise: 0.0,
            delta: 1e-3,
        };
        assert_eq!(Accountant::new(&privacy, 0.1).epsilon(1), f64::INFINITY);
    }
}
