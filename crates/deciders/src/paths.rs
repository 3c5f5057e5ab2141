//! How likely each outcome is over all answers that a model could have given.
//!
//! An answer is one path through what the grammar allowed; at each token others branch off, with the probabilities that
//! the model gave them. One that settles the outcome is added up. One that leaves it open is a branch, which is followed
//! by asking how the answer would go on from there, if it weighs enough. So the probabilities are those of the model
//! over whatever stands before the outcome too, but for the branches that weigh less than [`NEGLIGIBLE`] or are more than
//! [`FOLLOWED`].

use crate::outcomes::{Step, string_end};

/// Branches that weigh less are left out.
pub const NEGLIGIBLE: f64 = 1e-3;

/// Branches of one case that are followed at most, the heaviest first.
pub const FOLLOWED: usize = 32;

/// Branches of one case that are followed at a time: heavier ones may show behind them.
const AT_A_TIME: usize = 8;

/// Where in an answer an outcome is stated.
#[derive(Clone, Copy, Debug)]
pub struct Statement<'a> {
    /// The key, on the first level of the answer's object.
    pub key: &'a str,
    /// Each outcome as it would stand there, closing quote included.
    pub targets: &'a [Vec<u8>],
}

/// An answer that was begun and leaves its outcome open.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Branch {
    /// The tokens so far: those of the path that it branches off, and which of the next step's alternatives.
    pub tokens: Vec<u32>,
    /// Their bytes.
    pub text: Vec<u8>,
    /// Its probability.
    pub weight: f64,
}

/// What is known of a case's outcomes.
#[derive(Clone, Debug)]
pub struct Paths {
    /// Probability of each outcome, as far as paths were followed.
    sums: Vec<f64>,
    open: Vec<Branch>,
    followed: usize,
}

impl Paths {
    /// Nothing is known of so many outcomes.
    pub fn new(outcomes: usize) -> Self {
        let beginning = Branch { weight: 1.0, ..Branch::default() };
        Self { sums: vec![0.0; outcomes], open: vec![beginning], followed: 0 }
    }

    /// The branches that are to be followed next.
    pub fn next_branches(&mut self) -> Vec<Branch> {
        self.open.retain(|branch| branch.weight >= NEGLIGIBLE);
        self.open.sort_by(|a, b| b.weight.total_cmp(&a.weight));
        let count = AT_A_TIME.min(FOLLOWED + 1 - self.followed).min(self.open.len());
        self.followed += count;
        self.open.drain(..count).collect()
    }

    /// Whether there are none.
    pub fn is_done(&self) -> bool {
        self.followed > FOLLOWED || self.open.iter().all(|branch| branch.weight < NEGLIGIBLE)
    }

    /// Takes in how an answer went on from a branch. `tokens` has the numbers of each step's alternatives, and of the
    /// chosen one before them.
    pub fn take(&mut self, statement: Statement<'_>, from: &Branch, steps: &[Step], tokens: &[(u32, Vec<u32>)]) {
        let mut path = from.clone();
        for (step, (chosen, alternatives)) in steps.iter().zip(tokens) {
            let mut share = if step.alternatives.is_empty() { 1.0 } else { 0.0 };
            for ((bytes, logarithm), token) in step.alternatives.iter().zip(alternatives) {
                if token == chosen {
                    share = logarithm.exp();
                } else {
                    self.settle(statement, path.and(*token, bytes, logarithm.exp()));
                }
            }
            path = path.and(*chosen, &step.chosen, share);
            if let Some(outcome) = statement.outcome(&path.text) {
                self.sums[outcome] += path.weight;
                return;
            }
        }
    }

    /// Adds up what settles an outcome, and keeps the rest.
    fn settle(&mut self, statement: Statement<'_>, branch: Branch) {
        match statement.outcome(&branch.text) {
            Some(outcome) => self.sums[outcome] += branch.weight,
            None => self.open.push(branch),
        }
    }

    /// Each outcome's probability; what was not followed is left out. Nothing if nothing was settled.
    pub fn probabilities(&self) -> Option<Vec<f64>> {
        let all: f64 = self.sums.iter().sum();
        (all > 0.0 && all.is_finite()).then(|| self.sums.iter().map(|sum| sum / all).collect())
    }
}

impl Branch {
    fn and(&self, token: u32, bytes: &[u8], share: f64) -> Self {
        Self {
            tokens: [&self.tokens[..], &[token]].concat(),
            text: [&self.text[..], bytes].concat(),
            weight: self.weight * share,
        }
    }
}

impl Statement<'_> {
    /// The outcome that the beginning of an answer cannot but state.
    fn outcome(&self, answer: &[u8]) -> Option<usize> {
        let begun = begun(answer, self.key.as_bytes())?;
        let agrees = |target: &Vec<u8>| {
            let length = target.len().min(begun.len());
            target[..length] == begun[..length]
        };
        let mut agreeing = (0..self.targets.len()).filter(|outcome| agrees(&self.targets[*outcome]));
        agreeing.next().filter(|_| agreeing.next().is_none())
    }
}

/// What stands behind a key and the opening quote of its text, in compact JSON of which there may only be the beginning.
fn begun<'a>(answer: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let (mut at, mut depth) = (0, 0_usize);
    while at < answer.len() {
        match answer[at] {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                let start = at + 1;
                at = string_end(answer, start)?;
                if depth == 1 && &answer[start..at] == key && answer[at + 1..].starts_with(b":\"") {
                    return Some(&answer[at + 3..]);
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps whose tokens are numbered by their texts' places in a list.
    fn steps(list: &[(&str, &[(&str, f64)])]) -> (Vec<Step>, Vec<(u32, Vec<u32>)>) {
        let number = |text: &str| text.bytes().fold(7_u32, |sum, byte| sum.wrapping_mul(31) + u32::from(byte));
        list.iter()
            .map(|(chosen, alternatives)| {
                let told = alternatives.iter().map(|(text, share)| (text.as_bytes().to_vec(), share.ln())).collect();
                let step = Step { chosen: chosen.as_bytes().to_vec(), alternatives: told };
                (step, (number(chosen), alternatives.iter().map(|(text, _)| number(text)).collect()))
            })
            .unzip()
    }

    fn targets() -> Vec<Vec<u8>> {
        ["CLEAR\"", "SAR\"", "SAFE\""].map(|text| text.as_bytes().to_vec()).to_vec()
    }

    fn follow(paths: &mut Paths, from: &Branch, list: &[(&str, &[(&str, f64)])]) {
        let (steps, tokens) = steps(list);
        paths.take(Statement { key: "d", targets: &targets() }, from, &steps, &tokens);
    }

    #[test]
    fn other_reasons_count_by_what_would_have_followed_them() {
        let mut paths = Paths::new(3);
        let [beginning] = &paths.next_branches()[..] else { panic!("one beginning") };
        let beginning = beginning.clone();
        let clear = "],\"d\":\"CLEAR\"";
        follow(
            &mut paths,
            &beginning,
            &[("{\"r\":[", &[]), (clear, &[(clear, 0.7), ("],\"d\":\"SAR\"", 0.1), ("\"WIRE\"", 0.2)])],
        );
        let open = paths.next_branches();
        assert_eq!(open.len(), 1);
        assert_eq!(open[0].text, b"{\"r\":[\"WIRE\"");
        assert!((open[0].weight - 0.2).abs() < 1e-12);
        let sar = "],\"d\":\"SA";
        follow(&mut paths, &open[0], &[(sar, &[(sar, 0.9), (clear, 0.1)]), ("R", &[("R", 0.75), ("F", 0.25)])]);
        assert!(paths.next_branches().is_empty());
        let expected = [0.7 + 0.02, 0.1 + 0.2 * 0.9 * 0.75, 0.2 * 0.9 * 0.25];
        let found = paths.probabilities().expect("probabilities");
        assert!(found.iter().zip(expected).all(|(is, expected)| (is - expected).abs() < 1e-12), "{found:?}");
    }

    #[test]
    fn light_branches_are_left_out_and_the_heaviest_come_first() {
        let mut paths = Paths::new(3);
        let beginning = paths.next_branches().remove(0);
        let others: Vec<String> = (0..60).map(|number| format!("\"{number}\"")).collect();
        let mut told: Vec<(&str, f64)> = vec![("],\"d\":\"CLEAR\"", 0.5)];
        told.extend(others.iter().enumerate().map(|(number, text)| (text.as_str(), 0.0002 * number as f64)));
        follow(&mut paths, &beginning, &[("{\"r\":[", &[]), ("],\"d\":\"CLEAR\"", &told)]);
        let mut open = paths.next_branches();
        assert_eq!(open.len(), AT_A_TIME);
        // What shows behind one of them is heavier than what is left, and comes next.
        let before = open[0].weight;
        follow(&mut paths, &open[0], &[("]", &[("]", 0.01), ("}", 0.99)])]);
        let next = paths.next_branches();
        assert!(next[0].text.ends_with(b"}") && (next[0].weight - 0.99 * before).abs() < 1e-12);
        open.extend(next);
        while !paths.is_done() {
            open.extend(paths.next_branches());
        }
        assert_eq!(open.len(), FOLLOWED);
        assert!(open.iter().all(|branch| branch.weight >= NEGLIGIBLE) && paths.next_branches().is_empty());
        assert_eq!(paths.probabilities(), Some(vec![1.0, 0.0, 0.0]));
        assert_eq!(Paths::new(2).probabilities(), None);
    }

    #[test]
    fn a_key_is_found_on_the_first_level_alone() {
        let find = |answer: &str| begun(answer.as_bytes(), b"d").map(|rest| String::from_utf8_lossy(rest).into_owned());
        assert_eq!(find(r#"{"r":["d",{"d":"x"}],"d":"SA"#).as_deref(), Some("SA"));
        assert_eq!(find(r#"{"r":"\",\"d\":\"x","d":"#), None);
        assert_eq!(find(r#"{"d":""#).as_deref(), Some(""));
        assert_eq!(find(r#"{"d"#), None);
        assert_eq!(find(r#"{"x":"d"}"#), None);
        assert_eq!(find(r#"{"x":"\"#), None);
    }
}
