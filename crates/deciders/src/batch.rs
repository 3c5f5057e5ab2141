//! Many cases at once, for models to whom a case is cheaper in company.

use decision::{Case, DecideError, Decision};

/// Reads cases, answers those that can be read all at once, and returns one result for each case, in order.
pub(crate) fn decide<I>(
    cases: &[Case<'_>],
    read: impl Fn(&Case<'_>) -> Result<I, DecideError>,
    answer: impl FnOnce(&[I]) -> lm::Result<Vec<Result<Decision, DecideError>>>,
) -> Vec<Result<Decision, DecideError>> {
    let mut inputs = Vec::with_capacity(cases.len());
    let refusals: Vec<Option<DecideError>> =
        cases.iter().map(|case| read(case).map(|input| inputs.push(input)).err()).collect();
    let answers = answer(&inputs);
    let answers = answers.unwrap_or_else(|error| vec![Err(DecideError::Failed(error.to_string())); inputs.len()]);
    let mut answers = answers.into_iter();
    let missing = || Err(DecideError::Failed("the model gave no answer".to_owned()));
    refusals.into_iter().map(|refusal| refusal.map_or_else(|| answers.next().unwrap_or_else(missing), Err)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decides numbers, or all of them badly.
    fn outcomes(facts: &[&str], broken: bool) -> Vec<String> {
        let cases: Vec<Case<'_>> = facts.iter().map(|facts| Case { case_id: (*facts).into(), facts }).collect();
        let read = |case: &Case<'_>| case.facts.parse::<u8>().map_err(|_| DecideError::Unfit(case.facts.to_owned()));
        let outcome = |input: &u8| Decision { outcome: format!("{input}!"), ..Decision::default() };
        let results = decide(&cases, read, |inputs| match broken {
            true => Err(lm::Error::Tokenizer("broken".to_owned())),
            false => Ok(inputs.iter().map(|input| Ok(outcome(input))).collect()),
        });
        results.into_iter().map(|result| result.map_or_else(|error| error.to_string(), |d| d.outcome)).collect()
    }

    #[test]
    fn answers_come_back_to_their_cases() {
        assert_eq!(outcomes(&["3", "x", "1", ""], false), ["3!", "facts do not fit: x", "1!", "facts do not fit: "]);
        assert_eq!(outcomes(&["3", "x"], true), ["tokenizer: broken", "facts do not fit: x"]);
        assert_eq!(outcomes(&[], false), [""; 0]);
    }
}
