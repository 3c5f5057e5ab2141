//! What a language model reads of a case and what it answers: the same for training, serving and evaluation.
//!
//! The compact style is made for a small decoder. A whole number is written as its length and its digits
//! (`#5:12000`), so that the size of a number is seen before its digits are:
//!
//! ```text
//! sanctions:no pep:no kyc:yes retail usual #3:212 mean% #4:2358 over #1:2
//! in online #4:5000 CA 14h
//! out WIRE #4:4900 back #2:20 CA 02h
//! ```
//!
//! `mean%` is the mean amount in per cent of the person's usual amount and `over` the number of amounts; `back` is
//! the difference to the closest amount that came in before from the same counterparty, per mille of the larger.
//! Amounts and per cent are rounded down, per mille up, so that comparisons with whole numbers stay true. Account,
//! identifiers, home country and currency are left out. Arithmetic is done, judgement is left to the model.
//!
//! The answer gives the reasons before the decision, because the decision follows from the reasons.

use std::borrow::Cow;
use std::fmt::Write;

use decision::{Decision, Reason};
use serde::Deserialize;
use serde_json::Value;

use super::features::{KNOWN_CHANNELS, KNOWN_COUNTRIES, KNOWN_SEGMENTS};
use super::reading::{Flag, Hour, Leg, Reading, TooMany, same_ignoring_case};
use super::targets::LabelError;
use super::{OUTCOMES, REASONS};

/// How a case is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PromptStyle {
    /// A few words and numbers, for small decoders.
    #[default]
    Compact,
    /// An instruction and the facts as JSON, for checkpoints that follow instructions.
    Json,
}

impl PromptStyle {
    /// What models were trained on is named by this. It changes whenever a case is written otherwise than before, or
    /// answers are: models that read others are refused, not misled.
    pub const fn version(self) -> &'static str {
        match self {
            Self::Compact => "compact prompt 1",
            Self::Json => "json prompt 1",
        }
    }
}

/// What a decoder is told in [`PromptStyle::Json`].
const INSTRUCTION: &str = "Decide a transaction monitoring case. Reply with one line of JSON and nothing else: \
    {\"reasons\":[codes],\"aml_decision\":\"CLEAR|REVIEW|SAR|BLOCK\",\"escalation_level\":0-3}.";

/// An answer that is no decision.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// Not JSON of the one form that answers have.
    #[error("the answer is not of the required form: {0}")]
    Form(#[from] serde_json::Error),
    /// An outcome or a reason that the desk does not know.
    #[error("the answer has an {0}")]
    Label(#[from] LabelError),
    /// A level that is not that of the outcome.
    #[error("the answer says {outcome} and level {level}, which contradict each other")]
    Level {
        /// The outcome.
        outcome: String,
        /// The level.
        level: i64,
    },
}

/// Writes a case. All of its transactions are there.
///
/// # Errors
/// When there are more transactions than [`MOST_TRANSACTIONS`](super::MOST_TRANSACTIONS).
pub fn prompt(facts: &Value, style: PromptStyle) -> Result<String, TooMany> {
    let reading = Reading::of(facts)?;
    Ok(match style {
        PromptStyle::Compact => compact(&reading),
        PromptStyle::Json => format!("{INSTRUCTION}\n\n{facts}\n"),
    })
}

/// The answer to a case. Reasons are written as they come: given once for each time that they apply (the raw view),
/// they are the derivation of the decision, which counts repetitions.
///
/// # Errors
/// When the outcome or a reason is none of the desk's.
pub fn completion<'a>(outcome: &str, reasons: impl IntoIterator<Item = &'a str>) -> Result<String, LabelError> {
    let level = OUTCOMES.iter().position(|known| *known == outcome);
    let level = level.ok_or_else(|| LabelError::Outcome(outcome.to_owned()))?;
    let mut answer = REASONS_KEY.to_owned();
    for (place, reason) in reasons.into_iter().enumerate() {
        if !REASONS.contains(&reason) {
            return Err(LabelError::Reason(reason.to_owned()));
        }
        answer.push_str(&reason_item(reason, place == 0));
    }
    answer.push_str(&outcome_key(outcome));
    answer.push_str(&level_key(level));
    Ok(answer)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    reasons: Vec<String>,
    aml_decision: String,
    escalation_level: i64,
}

/// Reads an answer: JSON with exactly the three keys, known codes, and the level of the outcome.
///
/// # Errors
/// For anything else; such an answer counts as wrong.
pub fn parse_answer(text: &str) -> Result<Decision, AnswerError> {
    // A struct may also be read from an array, in the order of its fields; an answer may not.
    let answer: serde_json::Map<String, Value> = serde_json::from_str(text)?;
    let answer: Answer = serde_json::from_value(Value::Object(answer))?;
    let known = OUTCOMES.iter().position(|known| *known == answer.aml_decision);
    let level = known.ok_or_else(|| LabelError::Outcome(answer.aml_decision.clone()))? as i64;
    if level != answer.escalation_level {
        return Err(AnswerError::Level { outcome: answer.aml_decision, level: answer.escalation_level });
    }
    if let Some(unknown) = answer.reasons.iter().find(|reason| !REASONS.contains(&reason.as_str())) {
        return Err(LabelError::Reason(unknown.clone()).into());
    }
    let reasons = answer.reasons.into_iter().map(|code| Reason { code, ..Reason::default() }).collect();
    Ok(Decision { outcome: answer.aml_decision, level: Some(level), reasons, ..Decision::default() })
}

const REASONS_KEY: &str = "{\"reasons\":[";

fn reason_item(reason: &str, first: bool) -> String {
    format!("{}\"{reason}\"", if first { "" } else { "," })
}

fn outcome_key(outcome: &str) -> String {
    format!("],\"aml_decision\":\"{outcome}\"")
}

fn level_key(level: usize) -> String {
    format!(",\"escalation_level\":{level}}}")
}

/// Numbers with more digits are written as the largest that has as many.
const MOST_DIGITS: usize = 12;

const FLAGS: [&str; 3] = ["sanctions:", " pep:", " kyc:"];
const ANSWERS: [&str; 3] = ["no", "yes", "?"];
const WAYS: [&str; 4] = ["\nin", "\nout", "\nother", "\nnone"];
const ODD_HOURS: [&str; 3] = [" <h", " >h", " ?h"];

/// The strings that a tokenizer for the compact style and its answers must not take apart: each is one token.
/// No text of the compact style can be cut into them in two ways if the longest is taken first.
pub fn whole_tokens() -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    tokens.extend((0..10).map(|digit| digit.to_string()));
    tokens.extend(FLAGS.iter().flat_map(|flag| ANSWERS.map(|answer| format!("{flag}{answer}"))));
    tokens.extend(KNOWN_SEGMENTS.iter().chain(&KNOWN_CHANNELS).chain(&KNOWN_COUNTRIES).map(|word| format!(" {word}")));
    tokens.extend([" usual", " mean%", " over", " back", " other", " none", "\n"].map(str::to_owned));
    tokens.extend(WAYS.map(str::to_owned));
    tokens.extend((0..24).map(|hour| format!(" {hour:02}h")));
    tokens.extend(ODD_HOURS.map(str::to_owned));
    tokens.extend((1..=MOST_DIGITS).flat_map(|digits| [format!(" #{digits}:"), format!(" -#{digits}:")]));
    tokens.push(REASONS_KEY.to_owned());
    tokens.extend(REASONS.iter().flat_map(|reason| [true, false].map(|first| reason_item(reason, first))));
    tokens.extend(OUTCOMES.map(outcome_key));
    tokens.extend((0..OUTCOMES.len()).map(level_key));
    tokens
}

fn compact(reading: &Reading<'_>) -> String {
    let mut text = String::with_capacity(80 + 40 * reading.legs.len());
    for (name, flag) in FLAGS.iter().zip([reading.sanctions, reading.pep, reading.verified]) {
        text.push_str(name);
        text.push_str(match flag {
            Flag::False => ANSWERS[0],
            Flag::True => ANSWERS[1],
            Flag::Unknown => ANSWERS[2],
        });
    }
    word(&mut text, reading.segment.as_deref(), |segment| {
        KNOWN_SEGMENTS.contains(&segment).then_some(Cow::Borrowed(segment))
    });
    text.push_str(" usual");
    number(&mut text, reading.usual_amount);
    text.push_str(" mean%");
    number(&mut text, reading.usual_amount.filter(|usual| *usual > 0.0).map(|_| reading.mean_to_usual * 100.0));
    text.push_str(" over");
    number(&mut text, Some(reading.amounts as f64));
    for leg in &reading.legs {
        transaction(&mut text, leg);
    }
    text.push('\n');
    text
}

fn transaction(text: &mut String, leg: &Leg<'_>) {
    text.push_str(match leg.direction.as_deref() {
        Some("in") => WAYS[0],
        Some("out") => WAYS[1],
        Some(_) => WAYS[2],
        None => WAYS[3],
    });
    word(text, leg.channel.as_deref(), |channel| {
        KNOWN_CHANNELS.iter().find(|known| same_ignoring_case(channel, known)).map(|known| Cow::Borrowed(*known))
    });
    number(text, leg.amount);
    if let Some(share) = leg.opposite.filter(|_| leg.direction.as_deref() == Some("out")) {
        text.push_str(" back");
        number(text, Some((share * 1000.0).ceil()));
    }
    word(text, leg.country.as_deref(), |country| {
        let is_code = country.len() == 2 && country.bytes().all(|byte| byte.is_ascii_uppercase());
        is_code.then_some(Cow::Borrowed(country))
    });
    match leg.hour {
        // Writing to a string does not fail.
        Hour::Clock(hour) => {
            let _ = write!(text, " {hour:02}h");
        }
        Hour::Before => text.push_str(ODD_HOURS[0]),
        Hour::After => text.push_str(ODD_HOURS[1]),
        Hour::Unknown => text.push_str(ODD_HOURS[2]),
    }
}

/// Writes a word as it is known, ` other` for one that is not, ` none` for none: text from outside never gets into
/// the prompt.
fn word<'t>(text: &mut String, given: Option<&'t str>, known: impl Fn(&'t str) -> Option<Cow<'t, str>>) {
    text.push(' ');
    text.push_str(&given.map_or(Cow::Borrowed("none"), |given| known(given).unwrap_or(Cow::Borrowed("other"))));
}

/// Writes a number, rounded down, as length and digits; ` none` for none.
fn number(text: &mut String, value: Option<f64>) {
    let Some(value) = value else { return text.push_str(" none") };
    let most = 10_f64.powi(MOST_DIGITS as i32) - 1.0;
    let digits = value.floor().abs().min(most).to_string();
    let sign = if value < 0.0 { "-" } else { "" };
    // Writing to a string does not fail.
    let _ = write!(text, " {sign}#{}:{digits}", digits.len());
}

#[cfg(test)]
mod tests {
    use super::*;
    use md5::{Digest, Md5};
    use serde_json::json;

    #[test]
    fn a_case_is_written_in_few_words() {
        let facts = json!({
            "person": {"pep": false, "sanctions_hit": false, "kyc_verified": true, "segment": "retail",
                "avg_tx_amount_90d": 212.5},
            "recent_tx": [
                {"direction": "in", "channel": "online", "amount": 5000.0, "counterparty_country": "CA",
                    "timestamp": "2026-06-01T14:00:00Z", "counterparty_id": "CP1"},
                {"direction": "out", "channel": "WIRE", "amount": 4900.99, "counterparty_country": "BR",
                    "timestamp": "2026-06-01T02:00:00Z", "counterparty_id": "CP1"},
            ],
        });
        let text = prompt(&facts, PromptStyle::Compact).expect("few transactions");
        let expected = "sanctions:no pep:no kyc:yes retail usual #3:212 mean% #4:2329 over #1:2\n\
            in online #4:5000 CA 14h\nout wire #4:4900 back #2:20 BR 02h\n";
        assert_eq!(text, expected);
        let text = prompt(&facts, PromptStyle::Json).expect("few transactions");
        assert!(text.contains(&facts.to_string()) && text.starts_with("Decide"));
    }

    #[test]
    fn text_from_outside_does_not_get_in() {
        let facts = json!({"person": {"segment": "x\nin wire", "pep": "yes"}, "recent_tx": [
            {"direction": "IN", "channel": "wire #5:99999", "amount": -0.5, "counterparty_country": "ru",
                "timestamp": "2026-06-01T-1:00:00Z"},
            {"amount": "12"}, {"amount": 1e300},
        ]});
        let text = prompt(&facts, PromptStyle::Compact).expect("few transactions");
        let expected = "sanctions:? pep:? kyc:? other usual none mean% none over #1:2\n\
            other other -#1:1 other <h\nnone none none none ?h\nnone none #12:999999999999 none ?h\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn an_answer_reads_back() {
        let text = completion("SAR", ["LARGE_WIRE", "LARGE_WIRE", "BEHAVIOR_SHIFT"]).expect("known labels");
        let expected =
            r#"{"reasons":["LARGE_WIRE","LARGE_WIRE","BEHAVIOR_SHIFT"],"aml_decision":"SAR","escalation_level":2}"#;
        assert_eq!(text, expected);
        let decision = parse_answer(&text).expect("an answer");
        assert_eq!((decision.outcome.as_str(), decision.level, decision.reasons.len()), ("SAR", Some(2), 3));
        assert!(matches!(completion("NO", []), Err(LabelError::Outcome(_))));
        assert!(matches!(completion("SAR", ["NO"]), Err(LabelError::Reason(_))));
    }

    #[test]
    fn anything_else_is_no_answer() {
        let good = completion("CLEAR", []).expect("known labels");
        assert!(parse_answer(&good).is_ok());
        for (text, part) in [
            (good[..good.len() - 1].to_owned(), "form"),
            (format!("{good} {good}"), "form"),
            (format!("Answer: {good}"), "form"),
            (r#"[[],"CLEAR",0]"#.to_owned(), "form"),
            (good.replace("[]", "null"), "form"),
            (good.replace(":0", ":0.0"), "form"),
            (good.replace(":0", ":0,\"more\":1"), "form"),
            (good.replace("CLEAR", "clear"), "unknown outcome"),
            (good.replace("[]", "[\"SMELL\"]"), "unknown reason"),
            (good.replace(":0", ":3"), "contradict"),
        ] {
            let error = parse_answer(&text).expect_err(&text).to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn prompts_are_those_of_their_version() {
        let generator = super::super::Generator::training(7).expect("the shipped recipe");
        for (style, expected) in [
            (PromptStyle::Compact, "4fcbf1c333f65ee36d6777bb4c759563"),
            (PromptStyle::Json, "3e3ad40948d215ca9e7a48207c493528"),
        ] {
            let mut hash = Md5::new();
            (0..300).for_each(|index| hash.update(format!("{:?}", prompt(&generator.candidate(index), style))));
            hash.update(completion("SAR", REASONS).expect("known labels"));
            let hex: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hex, expected, "models of the {} would be misled: name a new version", style.version());
        }
    }

    #[test]
    fn whole_tokens_are_distinct_and_make_up_what_is_written() {
        let tokens = whole_tokens();
        let distinct: std::collections::HashSet<&String> = tokens.iter().collect();
        assert_eq!(distinct.len(), tokens.len());
        let answer = completion("REVIEW", ["PEP", "ODD_HOUR"]).expect("known labels");
        let case = "sanctions:no pep:? kyc:yes small_business usual #3:212 mean% #3:358 over #1:2\n\
            in online #4:5000 CA 14h\nout wire #5:14900 back #2:20 RU 02h\nnone none -#1:1 other ?h\n";
        for (text, expected) in [(case, 47), (&answer, 5)] {
            let mut rest = text;
            let mut count = 0;
            while !rest.is_empty() {
                let token = tokens.iter().filter(|token| rest.starts_with(token.as_str())).max_by_key(|t| t.len());
                rest = &rest[token.unwrap_or_else(|| panic!("no token for `{rest}`")).len()..];
                count += 1;
            }
            assert_eq!(count, expected, "{text}");
        }
    }
}
