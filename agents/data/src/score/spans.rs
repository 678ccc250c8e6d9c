//! Answers that are parts of a text.

use std::collections::HashMap;

/// A text as answers are compared: in lower case, without ASCII punctuation, without "a", "an" and "the", and with one
/// space between words.
pub fn normalize_answer(text: &str) -> String {
    let plain: String = text
        .to_lowercase()
        .chars()
        .filter(|c| !c.is_ascii_punctuation())
        .collect();
    let mut normal = String::with_capacity(plain.len());
    for word in without_articles(&plain).split_whitespace() {
        if !normal.is_empty() {
            normal.push(' ');
        }
        normal.push_str(word);
    }
    normal
}

/// With a space for each article that is a word: letters, digits and underscores in any script belong to words.
fn without_articles(text: &str) -> String {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut rest = text;
    let mut kept = String::with_capacity(text.len());
    while let Some(c) = rest.chars().next() {
        let end = match is_word(c) {
            true => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            false => c.len_utf8(),
        };
        let (word, after) = rest.split_at(end);
        kept.push_str(if matches!(word, "a" | "an" | "the") {
            " "
        } else {
            word
        });
        rest = after;
    }
    kept
}

/// 1 if `said` is one of `answers` but for what [`normalize_answer`] takes away, else 0. Without answers, the right one is
/// to say nothing.
pub fn exact_match(said: &str, answers: &[String]) -> f64 {
    best(answers, |answer| {
        f64::from(u8::from(normalize_answer(said) == normalize_answer(answer)))
    })
}

/// Harmonic mean of precision and recall of the words of `said` against the one of `answers` for which it is largest.
pub fn answer_f1(said: &str, answers: &[String]) -> f64 {
    let said = normalize_answer(said);
    let said: Vec<&str> = said.split(' ').filter(|word| !word.is_empty()).collect();
    best(answers, |answer| {
        let answer = normalize_answer(answer);
        let answer: Vec<&str> = answer.split(' ').filter(|word| !word.is_empty()).collect();
        if said.is_empty() || answer.is_empty() {
            return f64::from(u8::from(said.len() == answer.len()));
        }
        let mut counts: HashMap<&str, usize> = HashMap::new();
        answer
            .iter()
            .for_each(|word| *counts.entry(word).or_default() += 1);
        let mut common = 0;
        for word in &said {
            if let Some(count @ 1..) = counts.get_mut(word) {
                *count -= 1;
                common += 1;
            }
        }
        if common == 0 {
            return 0.0;
        }
        let precision = f64::from(common) / said.len() as f64;
        let recall = f64::from(common) / answer.len() as f64;
        2.0 * precision * recall / (precision + recall)
    })
}

/// The largest score of all answers that are more than articles and punctuation; of no answer, if there are none.
fn best(answers: &[String], score: impl Fn(&str) -> f64) -> f64 {
    let mut said = answers
        .iter()
        .filter(|answer| !normalize_answer(answer).is_empty())
        .peekable();
    if said.peek().is_none() {
        return score("");
    }
    said.map(|answer| score(answer)).fold(0.0, f64::max)
}

/// What was said of a question that may have no answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NullScore {
    /// How much better "no answer" was than the best answer.
    pub margin: f64,
    /// Score of the best answer, 0 to 1.
    pub score: f64,
    /// Whether the text has an answer.
    pub answerable: bool,
}

/// The mean score if "no answer" is said where its margin is above the best threshold, and that threshold.
pub fn best_threshold(questions: &[NullScore]) -> (f64, f64) {
    let mut order: Vec<&NullScore> = questions.iter().collect();
    order.sort_by(|a, b| a.margin.total_cmp(&b.margin)); // stable: equal ones in the order of the questions
    // At first "no answer" is said of all.
    let mut sum = order.iter().filter(|question| !question.answerable).count() as f64;
    let mut best = (sum, 0.0);
    for question in order {
        sum += if question.answerable {
            question.score
        } else {
            -1.0
        };
        if sum > best.0 {
            best = (sum, question.margin);
        }
    }
    (best.0 / questions.len() as f64, best.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn case_punctuation_and_articles_do_not_count() {
        assert_eq!(normalize_answer(" The  U.S.A., an idea\u{a0}!"), "usa idea");
        // Articles are whole words only, and what joins words is no border of them.
        assert_eq!(
            normalize_answer("theatre a_the \u{e9}a –a–"),
            "theatre athe \u{e9}a – –"
        );
        assert_eq!(exact_match("the 17.", &answers(&["12", "17"])), 1.0);
        assert_eq!(exact_match("170", &answers(&["17"])), 0.0);
    }

    #[test]
    fn f1_counts_words_as_often_as_they_occur() {
        // "b b c" against "b d": one of the two b, precision 1/3 and recall 1/2.
        assert!((answer_f1("b b c", &answers(&["b d"])) - 0.4).abs() < 1e-12);
        assert_eq!(answer_f1("", &answers(&["b"])), 0.0);
    }

    #[test]
    fn saying_nothing_is_right_where_there_is_no_answer() {
        assert_eq!((exact_match("", &[]), answer_f1("", &[])), (1.0, 1.0));
        assert_eq!((exact_match("x", &[]), answer_f1("x", &[])), (0.0, 0.0));
    }

    #[test]
    fn the_best_threshold_is_the_margin_of_the_last_answer_that_pays() {
        let question = |margin, score, answerable| NullScore {
            margin,
            score,
            answerable,
        };
        let all = [
            question(3.0, 0.5, true),
            question(-2.0, 1.0, true),
            question(0.5, 0.0, false),
            question(-1.0, 1.0, true),
        ];
        // Of all four: 1 unanswerable is right; answering below -1 adds two, the third costs one, the fourth adds a half.
        assert_eq!(best_threshold(&all), (3.0 / 4.0, -1.0));
    }
}
