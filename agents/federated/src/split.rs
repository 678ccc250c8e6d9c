//! Which client holds which samples.

use std::collections::BTreeMap;

use rand_distr::{Distribution, Gamma};
use serde::{Deserialize, Serialize};
use thorndike_core::rand::RngExt;
use thorndike_core::rand::seq::SliceRandom;
use thorndike_core::{Error, Result, Rng, check_range};

/// Which client holds which samples. All lists of samples ascend; every sample has one client at most. (With braces, because
/// a unit variant would accept unknown keys.)
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Split {
    /// Dealt out after shuffling: all clients are alike. Samples that go on where others end are cut in pieces.
    Iid {},
    /// The samples of each class are shared by proportions that are drawn from a symmetric Dirichlet distribution over
    /// clients. It is drawn anew until each client has a sample.
    ///
    /// # Reference
    /// Yurochkin et al., "Bayesian Nonparametric Federated Learning of Neural Networks" (2019), section 4. Deviations: none.
    Dirichlet {
        /// The smaller, the fewer classes has a client, and the more they differ in size: 100 is nearly none of both, 0.1
        /// one to three classes of ten.
        alpha: f64,
    },
    /// By whom they are of, such as the speaker of a line; with fewer clients than owners, those that own most.
    Owner {},
}

impl Default for Split {
    fn default() -> Self {
        Self::Iid {}
    }
}

impl Split {
    pub(crate) fn check(&self) -> Result<()> {
        match self {
            Self::Dirichlet { alpha } => check_range("alpha", *alpha, 1e-6..=1e6),
            Self::Iid {} | Self::Owner {} => Ok(()),
        }
    }

    /// Deals out `samples` samples to `clients` clients.
    ///
    /// # Errors
    /// [`Error::Config`] for `clients` if there are more than samples.
    pub fn iid(samples: usize, clients: usize, rng: &mut Rng) -> Result<Vec<Vec<usize>>> {
        Self::enough(samples, clients)?;
        let mut order: Vec<usize> = (0..samples).collect();
        order.shuffle(rng);
        let mut parts = vec![Vec::new(); clients];
        for (place, sample) in order.into_iter().enumerate() {
            parts[place % clients].push(sample);
        }
        parts.iter_mut().for_each(|part| part.sort_unstable());
        Ok(parts)
    }

    /// Cuts `samples` samples in `clients` pieces.
    ///
    /// # Errors
    /// [`Error::Config`] for `clients` if there are more than samples.
    pub fn pieces(samples: usize, clients: usize) -> Result<Vec<Vec<usize>>> {
        Self::enough(samples, clients)?;
        let start = |client: usize| client * samples / clients;
        let piece = |client| (start(client)..start(client + 1)).collect();
        Ok((0..clients).map(piece).collect())
    }

    /// Shares samples of `classes` among `clients` clients, class by class.
    ///
    /// # Errors
    /// [`Error::Config`] for `clients` if there are more than samples, or if no draw of a thousand gave each one a sample.
    pub fn dirichlet(
        classes: &[usize],
        clients: usize,
        alpha: f64,
        rng: &mut Rng,
    ) -> Result<Vec<Vec<usize>>> {
        const DRAWS: usize = 1000;
        Self::enough(classes.len(), clients)?;
        let number = classes.iter().max().map_or(0, |&class| class + 1);
        let mut of_class = vec![Vec::new(); number];
        for (sample, &class) in classes.iter().enumerate() {
            of_class[class].push(sample);
        }
        let gamma = Gamma::new(alpha, 1.0).map_err(|e| Error::Backend(Box::new(e)))?;
        for _ in 0..DRAWS {
            let mut parts = vec![Vec::new(); clients];
            for samples in &mut of_class {
                samples.shuffle(rng);
                let weights: Vec<f64> = (0..clients).map(|_| gamma.sample(rng)).collect();
                share_out(samples, &weights, &mut parts, rng);
            }
            if parts.iter().all(|part| !part.is_empty()) {
                parts.iter_mut().for_each(|part| part.sort_unstable());
                return Ok(parts);
            }
        }
        let what = format!(
            "none of {DRAWS} draws gave each of {clients} clients a sample; give fewer clients or a larger split.alpha"
        );
        Err(Error::config("clients", what))
    }

    /// Samples by their owners, in the order in which owners first come; the `clients` that own most, if so many are
    /// asked for. Samples of nobody are left out.
    ///
    /// # Errors
    /// [`Error::Config`] for `split` if there are no owners, for `clients` if there are fewer.
    pub fn owner<'a>(
        owners: impl Iterator<Item = Option<&'a str>>,
        clients: Option<usize>,
    ) -> Result<Vec<(String, Vec<usize>)>> {
        let mut place = BTreeMap::new();
        let mut parts: Vec<(String, Vec<usize>)> = Vec::new();
        for (sample, owner) in owners.enumerate() {
            let Some(owner) = owner else { continue };
            let at = *place.entry(owner).or_insert_with(|| {
                parts.push((owner.to_owned(), Vec::new()));
                parts.len() - 1
            });
            parts[at].1.push(sample);
        }
        let found = parts.len();
        if found == 0 {
            let what = "nobody owns samples of this data; give { kind = \"iid\" } or \"dirichlet\", or data with owners \
                        such as characters with speakers = true";
            return Err(Error::config("split", what));
        }
        match clients {
            Some(clients) if clients > found => {
                let what = format!("there are {found} owners; give 1 to {found}");
                Err(Error::config("clients", what))
            }
            Some(clients) => {
                let mut order: Vec<usize> = (0..found).collect();
                // Stable: of equal ones the first.
                order.sort_by_key(|&at| std::cmp::Reverse(parts[at].1.len()));
                order.truncate(clients);
                order.sort_unstable();
                let taken = order.into_iter().map(|at| std::mem::take(&mut parts[at]));
                Ok(taken.collect())
            }
            None => Ok(parts),
        }
    }

    /// Refuses more clients than samples.
    fn enough(samples: usize, clients: usize) -> Result<()> {
        if (1..=samples).contains(&clients) {
            return Ok(());
        }
        let what = format!("{clients} clients cannot share {samples} samples; give 1 to {samples}");
        Err(Error::config("clients", what))
    }
}

/// Cuts `samples` in pieces by `weights`, one for each part.
fn share_out(samples: &[usize], weights: &[f64], parts: &mut [Vec<usize>], rng: &mut Rng) {
    let all: f64 = weights.iter().sum();
    if all <= 0.0 {
        // All are too small for a number, as nearly all are next to the largest one: it has the whole.
        return parts[rng.random_range(0..parts.len())].extend(samples);
    }
    let (mut sum, mut start) = (0.0, 0);
    for (part, weight) in parts.iter_mut().zip(weights) {
        sum += weight;
        let end = (sum / all * samples.len() as f64).round() as usize;
        let end = end.clamp(start, samples.len());
        part.extend(&samples[start..end]);
        start = end;
    }
    // Sums of rounded numbers may end below 1.
    if let Some(last) = parts.last_mut() {
        last.extend(&samples[start..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thorndike_core::Seeds;

    fn rng() -> Rng {
        Seeds::new(1).stream("split", 0)
    }

    fn is_partition(parts: &[Vec<usize>], samples: usize) -> bool {
        let mut all = parts.concat();
        all.sort_unstable();
        all == (0..samples).collect::<Vec<_>>()
            && parts
                .iter()
                .all(|part| part.is_sorted() && !part.is_empty())
    }

    #[test]
    fn iid_deals_all_out_evenly_and_one_client_has_the_whole_in_its_order() {
        let parts = Split::iid(23, 4, &mut rng()).unwrap();
        assert!(is_partition(&parts, 23));
        assert!(parts.iter().all(|part| (5..=6).contains(&part.len())));
        assert_eq!(Split::iid(5, 1, &mut rng()).unwrap(), [vec![0, 1, 2, 3, 4]]);
        // Published results depend on it.
        assert_eq!(Split::iid(9, 3, &mut rng()).unwrap(), PINNED);
    }
    const PINNED: [[usize; 3]; 3] = [[0, 2, 8], [3, 4, 6], [1, 5, 7]];

    #[test]
    fn pieces_are_consecutive() {
        let parts = Split::pieces(7, 3).unwrap();
        assert_eq!(parts, [vec![0, 1], vec![2, 3], vec![4, 5, 6]]);
    }

    #[test]
    fn a_small_alpha_gives_few_classes_and_a_large_one_all() {
        let classes: Vec<usize> = (0..1000).map(|i| i % 10).collect();
        // Share of the class that a client has most of, and of the largest client.
        let skew = |alpha, clients| {
            let parts = Split::dirichlet(&classes, clients, alpha, &mut rng()).unwrap();
            assert!(is_partition(&parts, 1000));
            let most = |part: &Vec<usize>| {
                let count = |class| part.iter().filter(|&&s| classes[s] == class).count();
                (0..10).map(count).max().unwrap_or(0) as f64
            };
            let largest = parts.iter().map(Vec::len).max().unwrap_or(0);
            let most: f64 = parts.iter().map(most).sum();
            (most / 1000.0, largest as f64 / 1000.0)
        };
        let ((few, uneven), (all, even)) = (skew(0.1, 10), skew(1000.0, 10));
        assert!(few > 0.5 && all < 0.13, "{few} {all}");
        assert!(uneven > 0.15 && even < 0.12, "{uneven} {even}");
        // So small that proportions are no numbers: each class has one client.
        let parts = Split::dirichlet(&classes, 3, 1e-6, &mut rng()).unwrap();
        assert!(parts.iter().all(|part| part.len() % 100 == 0));
        let error = Split::dirichlet(&classes, 11, 1e-6, &mut rng()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "clients: none of 1000 draws gave each of 11 clients a sample; give fewer clients or a larger split.alpha"
        );
    }

    #[test]
    fn owners_are_clients_and_the_largest_are_kept() {
        let owners = ["b", "a", "b", "c", "c", "b"].map(Some);
        let owners = || owners.into_iter().chain([None]);
        let all = Split::owner(owners(), None).unwrap();
        let part = |name: &str, samples: &[usize]| (name.to_owned(), samples.to_vec());
        assert_eq!(
            all,
            [part("b", &[0, 2, 5]), part("a", &[1]), part("c", &[3, 4])]
        );
        let two = Split::owner(owners(), Some(2)).unwrap();
        assert_eq!(two, [part("b", &[0, 2, 5]), part("c", &[3, 4])]);
        let error = Split::owner(owners(), Some(4)).unwrap_err().to_string();
        assert_eq!(error, "clients: there are 3 owners; give 1 to 3");
        let error = Split::owner([None].into_iter(), None).unwrap_err();
        assert!(error.to_string().starts_with("split: nobody owns samples"));
    }

    #[test]
    fn more_clients_than_samples_are_refused() {
        let error = "clients: 4 clients cannot share 3 samples; give 1 to 3";
        let tried = [
            Split::iid(3, 4, &mut rng()),
            Split::pieces(3, 4),
            Split::dirichlet(&[0, 1, 2], 4, 0.1, &mut rng()),
        ];
        for tried in tried {
            assert_eq!(tried.unwrap_err().to_string(), error);
        }
    }
}
