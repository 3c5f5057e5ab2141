//! How likely each outcome is, read off the tokens of one constrained answer.
//!
//! A model gives each token that could have come a probability. Those that could have stood where the outcome stands
//! either say which outcome they begin, or could still begin several. The first kind is added up; of the second, the one
//! that was chosen is followed further, and what the others weigh is told. What is written before the outcome is taken as
//! given: tokens that would have changed it do not count. (Where a model can be asked again, `paths` knows more.)

/// A token of an answer with those that might have stood in its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The bytes of the chosen token.
    pub chosen: Vec<u8>,
    /// Bytes and natural logarithm of the probability of every token that might have come, the chosen one among them.
    /// None where nothing else might.
    pub alternatives: Vec<(Vec<u8>, f64)>,
}

/// What an answer says of each outcome.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// Weight of each outcome.
    pub sums: Vec<f64>,
    /// Weight of what leaves open which outcome it begins.
    pub open: f64,
}

/// Where the answer's outcome stands.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The answer's bytes before the outcome, opening quote included.
    pub before: &'a [u8],
    /// Each outcome as it would stand there, closing quote included.
    pub targets: &'a [Vec<u8>],
}

impl Tally {
    /// Adds up what the tokens of an answer say.
    pub fn of(place: Place<'_>, steps: &[Step]) -> Self {
        let mut tally = Self { sums: vec![0.0; place.targets.len()], open: 0.0 };
        let mut text: Vec<u8> = Vec::new();
        let mut weight = 1.0;
        let mut begun = false;
        for step in steps {
            let reaches = |token: &[u8]| text.len() + token.len() > place.before.len();
            let fits = |token: &[u8]| !place.could_become(&[&text, token].concat()).is_empty();
            begun |= std::iter::once(&step.chosen)
                .chain(step.alternatives.iter().map(|(token, _)| token))
                .any(|token| reaches(token) && fits(token));
            let after = [&text[..], &step.chosen].concat();
            let settled = place.could_become(&after);
            if begun {
                weight *= tally.weigh(place, &text, step, weight);
                if let [outcome] = settled[..] {
                    // The chosen one is added up here, whether it had alternatives or none.
                    tally.sums[outcome] += weight;
                    return tally;
                }
            }
            text = after;
        }
        tally
    }

    /// Adds up a step's alternatives, and returns the probability of the chosen one.
    fn weigh(&mut self, place: Place<'_>, text: &[u8], step: &Step, weight: f64) -> f64 {
        // Two tokens may stand for the same bytes: after either the text is the same.
        let mut chosen = 0.0;
        for (token, logarithm) in &step.alternatives {
            let probability = logarithm.exp();
            if *token == step.chosen {
                chosen += probability;
                continue;
            }
            let after = [text, token].concat();
            match &place.could_become(&after)[..] {
                [] => {}
                [outcome] => self.sums[*outcome] += weight * probability,
                _ => self.open += weight * probability,
            }
        }
        if step.alternatives.is_empty() { 1.0 } else { chosen }
    }

    /// The share of what is open.
    pub fn open_share(&self) -> f64 {
        self.open / (self.open + self.sums.iter().sum::<f64>())
    }

    /// Each outcome's probability; what is open is left out. Nothing if nothing was said of any.
    pub fn probabilities(&self) -> Option<Vec<f64>> {
        let all: f64 = self.sums.iter().sum();
        (all > 0.0 && all.is_finite()).then(|| self.sums.iter().map(|sum| sum / all).collect())
    }
}

impl Place<'_> {
    fn whole(&self, outcome: usize) -> Vec<u8> {
        [self.before, &self.targets[outcome]].concat()
    }

    /// The outcomes that a text could become, or has become.
    fn could_become(&self, text: &[u8]) -> Vec<usize> {
        let agree = |outcome: &usize| {
            let whole = self.whole(*outcome);
            let length = whole.len().min(text.len());
            whole[..length] == text[..length]
        };
        (0..self.targets.len()).filter(agree).collect()
    }
}

/// Where in an answer, which is a JSON object, the text stands that is the value of a key: its bytes without quotes.
/// Nothing if there is no such key, or its value is no text without escapes.
pub fn value(answer: &str, key: &str) -> Option<std::ops::Range<usize>> {
    let bytes = answer.as_bytes();
    let (mut at, mut depth) = (0, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            b'"' => {
                let end = string_end(bytes, at + 1)?;
                let blank =
                    |from: usize| from + bytes[from..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
                let colon = blank(end + 1);
                if depth == 1 && bytes.get(colon) == Some(&b':') && &answer[at + 1..end] == key {
                    let start = blank(colon + 1);
                    let value = start + 1..string_end(bytes, start + 1)?;
                    let plain = bytes[start] == b'"' && !bytes[value.clone()].contains(&b'\\');
                    return plain.then_some(value);
                }
                at = end;
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// Where the string ends that begins here: the place of its closing quote.
pub(crate) fn string_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    while *bytes.get(at)? != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(chosen: &str, alternatives: &[(&str, f64)]) -> Step {
        let alternatives = alternatives.iter().map(|(token, share)| (token.as_bytes().to_vec(), share.ln()));
        Step { chosen: chosen.as_bytes().to_vec(), alternatives: alternatives.collect() }
    }

    fn targets(outcomes: &[&str]) -> Vec<Vec<u8>> {
        outcomes.iter().map(|outcome| format!("{outcome}\"").into_bytes()).collect()
    }

    fn tally(before: &str, outcomes: &[&str], steps: &[Step]) -> Tally {
        Tally::of(Place { before: before.as_bytes(), targets: &targets(outcomes) }, steps)
    }

    fn close(is: Option<Vec<f64>>, expected: &[f64]) {
        let is = is.expect("probabilities");
        assert!(is.iter().zip(expected).all(|(is, expected)| (is - expected).abs() < 1e-12), "{is:?}");
    }

    #[test]
    fn a_token_that_reaches_into_the_value_says_which_outcome_it_is() {
        let steps = [
            step("{\"a\":[", &[]),
            // Another reason would have changed what stands before: it does not count.
            step("],\"d\":\"SAR\"", &[("],\"d\":\"SAR\"", 0.6), ("],\"d\":\"CLEAR\"", 0.2), ("\"PEP\"", 0.2)]),
            step(",\"l\":2}", &[(",\"l\":2}", 1.0)]),
        ];
        let tally = tally("{\"a\":[],\"d\":\"", &["CLEAR", "SAR", "BLOCK"], &steps);
        assert_eq!(tally.open, 0.0);
        close(tally.probabilities(), &[0.25, 0.75, 0.0]);
    }

    #[test]
    fn outcomes_that_begin_alike_are_told_apart_by_the_closing_quote() {
        let outcomes = ["NO", "NO_MATCH", "NONE", "YES"];
        let steps = [
            step("{\"d\":\"", &[]),
            step("N", &[("N", 0.5), ("YES", 0.25), ("NO", 0.25)]),
            step("O", &[("O", 0.8), ("O\"", 0.1), ("ON", 0.1)]),
            step("_", &[("_", 0.5), ("\"", 0.25), ("N", 0.25)]),
            step("MATCH\"", &[]),
        ];
        let tally = tally("{\"d\":\"", &outcomes, &steps);
        let expected = [0.5 * 0.1 + 0.5 * 0.8 * 0.25, 0.5 * 0.8 * 0.5, 0.5 * 0.1 + 0.5 * 0.8 * 0.25, 0.25];
        assert!(tally.sums.iter().zip(expected).all(|(is, expected)| (is - expected).abs() < 1e-12), "{tally:?}");
        // The whole `NO` at once is another way to three outcomes.
        assert!((tally.open - 0.25).abs() < 1e-12 && (tally.open_share() - 0.25).abs() < 1e-12);
    }

    #[test]
    fn forced_tokens_that_cross_the_beginning_need_no_alternatives() {
        let steps = [step("{\"d\":\"C", &[]), step("LEAR\"}", &[])];
        close(tally("{\"d\":\"", &["CLEAR", "SAR"], &steps).probabilities(), &[1.0, 0.0]);
        let nothing = [step("{\"d\":\"", &[])];
        assert_eq!(tally("{\"d\":\"", &["CLEAR", "SAR"], &nothing).probabilities(), None);
    }

    #[test]
    fn another_token_of_an_earlier_step_counts_if_it_reaches_as_far() {
        let steps = [
            step("{\"d\":", &[("{\"d\":", 0.5), ("{\"d\":\"SAR", 0.5)]),
            step("\"CLEAR", &[("\"CLEAR", 0.5), ("\"SAR", 0.5)]),
        ];
        close(tally("{\"d\":\"", &["CLEAR", "SAR"], &steps).probabilities(), &[0.25, 0.75]);
    }

    #[test]
    fn the_value_of_a_key_is_found_where_it_stands() {
        let find = |answer: &str| value(answer, "d").map(|range| answer[range].to_owned());
        assert_eq!(find(r#"{"r":["d","x"],"d":"SAR","l":2}"#).as_deref(), Some("SAR"));
        assert_eq!(find("{ \"x\" : {\"d\":\"NO\"}, \"y\":\"\\\"d\\\":\",\n \"d\" : \"YES\" }").as_deref(), Some("YES"));
        assert_eq!(find(r#"{"d":3}"#), None);
        assert_eq!(find(r#"{"d":"a\nb"}"#), None);
        assert_eq!(find(r#"{"x":"d"}"#), None);
        assert_eq!(find(r#"{"d":"#), None);
        assert_eq!(find(r#"{"d":"SA"#), None);
    }
}
