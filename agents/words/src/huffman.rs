//! Codes of words, the shorter the more frequent.

/// A Huffman code: the way of each word from the root of a binary tree.
///
/// # Reference
/// Huffman, *A Method for the Construction of Minimum-Redundancy Codes*, 1952. Deviations: of equal counts the word
/// of the higher index and then the older node goes first, so that there is one code only.
#[derive(Clone, Debug)]
pub(crate) struct Huffman {
    /// Where the way of each word starts in the other two; one more than words.
    starts: Vec<usize>,
    /// Inner nodes on the way, the root first.
    nodes: Vec<u32>,
    /// Turns at them.
    turns: Vec<bool>,
}

impl Huffman {
    /// The code for words with `counts` that do not rise.
    pub(crate) fn new(counts: &[u64]) -> Self {
        let n = counts.len();
        // Nodes: words, then inner nodes in the order in which they are made, whose counts do not fall.
        let mut count: Vec<u64> = counts.to_vec();
        let mut parent = vec![0_usize; 2 * n];
        let mut turn = vec![false; 2 * n];
        let (mut word, mut inner) = (n, n);
        for made in n..(2 * n).saturating_sub(1) {
            let mut next = || {
                let is_word = word > 0 && (inner >= made || count[word - 1] <= count[inner]);
                if is_word {
                    word -= 1;
                    word
                } else {
                    inner += 1;
                    inner - 1
                }
            };
            let (left, right) = (next(), next());
            count.push(count[left] + count[right]);
            (parent[left], parent[right]) = (made, made);
            turn[right] = true;
        }
        let root = (2 * n).saturating_sub(2);
        let mut huffman = Self {
            starts: vec![0],
            nodes: Vec::new(),
            turns: Vec::new(),
        };
        for leaf in 0..n {
            let mut at = leaf;
            while at != root {
                huffman.turns.push(turn[at]);
                at = parent[at];
                // The root gets number 0: it is learned from with every word.
                huffman.nodes.push((root - at) as u32);
            }
            let start = huffman.starts[leaf];
            huffman.nodes[start..].reverse();
            huffman.turns[start..].reverse();
            huffman.starts.push(huffman.nodes.len());
        }
        huffman
    }

    /// Inner nodes on the way to `word`, and whether to turn to the right there.
    #[inline(always)]
    pub(crate) fn way(&self, word: u32) -> (&[u32], &[bool]) {
        let range = self.starts[word as usize]..self.starts[word as usize + 1];
        (&self.nodes[range.clone()], &self.turns[range])
    }

    /// Bytes it takes.
    pub(crate) fn memory(&self) -> u64 {
        (self.starts.len() * 8 + self.nodes.len() * 5) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_as_long_as_those_worked_out_by_hand() {
        // 1 + 1 = 2, 2 + 2 = 4, 4 + 3 = 7, 7 + 8 = 15.
        let huffman = Huffman::new(&[8, 3, 2, 1, 1]);
        let lengths: Vec<usize> = (0..5).map(|word| huffman.way(word).0.len()).collect();
        assert_eq!(lengths, [1, 2, 3, 4, 4]);
    }

    #[test]
    fn no_code_is_the_beginning_of_another_and_all_codes_fill_the_tree() {
        let mut counts: Vec<u64> = (1..200).map(|i| 10_000 / i).collect();
        counts.push(1);
        let huffman = Huffman::new(&counts);
        let ways: Vec<_> = (0..counts.len() as u32).map(|w| huffman.way(w)).collect();
        let filled: f64 = ways
            .iter()
            .map(|way| 0.5_f64.powi(way.1.len() as i32))
            .sum();
        assert_eq!(filled, 1.0);
        for (i, a) in ways.iter().enumerate() {
            assert_eq!(a.0[0], 0, "from the root");
            assert!(a.0.iter().all(|&node| (node as usize) < counts.len() - 1));
            for b in &ways[i + 1..] {
                let common = a.1.len().min(b.1.len());
                assert_ne!(a.1[..common], b.1[..common]);
            }
        }
    }

    #[test]
    fn a_single_word_needs_no_code() {
        assert_eq!(Huffman::new(&[3]).way(0).0.len(), 0);
    }
}
