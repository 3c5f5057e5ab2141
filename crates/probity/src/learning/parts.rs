//! Parts of labelled cases: what is fitted to all of them but one is tried on that one, and what it comes to there is
//! what new cases can expect (cross-validation, Stone 1974).

use sha2::{Digest, Sha256};

use super::labels::Labelled;

/// How many parts there are.
pub(super) const PARTS: u64 = 5;

/// The part of a case, drawn by what the case says: the order of a file does not matter, and what occurs twice is not
/// tried on itself.
pub(super) fn part(case: &Labelled) -> u64 {
    let digest = Sha256::digest(case.facts.to_string());
    let start = digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte));
    start % PARTS
}

#[cfg(test)]
mod tests {
    use decision::Decision;
    use serde_json::json;

    use super::*;

    #[test]
    fn parts_are_about_equal_and_a_case_is_always_in_the_same() {
        let case = |number: u32| Labelled { facts: json!({"n": number}), decision: Decision::default() };
        let mut counts = [0; PARTS as usize];
        for number in 0..5000 {
            counts[part(&case(number)) as usize] += 1;
            assert_eq!(part(&case(number)), part(&case(number)));
        }
        assert!(counts.iter().all(|count| (900..1100).contains(count)), "{counts:?}");
    }
}
