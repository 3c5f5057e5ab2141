//! Generation against repeated passes over the whole sequence, against itself in other company, and against
//! `transformers`.

mod recorded;

use lm::{Answer, Decoder, Generation, Method, Precision, Tokens};
use recorded::{Recorded, fixture};

const ARCHITECTURES: [&str; 6] = ["llama", "smollm2", "mistral", "qwen3", "phi3", "phi3_long"];

fn open(name: &str, precision: Precision) -> Decoder {
    Decoder::open(&fixture(name), precision, &Method::None, 0).unwrap()
}

/// Answers that nothing ends early.
fn endless(most: usize) -> Generation {
    Generation { most, end: Vec::new() }
}

/// Prompts of several lengths: beginnings of what was recorded for a fixture.
fn prompts(name: &str) -> Vec<Vec<u32>> {
    let tokens = Recorded::read(&format!("{name}/expected.safetensors")).batch().tokens;
    [1, 2, 7, 16, 24, 5].map(|length| tokens[tokens.len() - length..].to_vec()).to_vec()
}

/// The likeliest token, the first of equals, and the logarithm of its probability, in double precision.
fn likeliest(logits: &[f32]) -> (u32, f64) {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let place = logits.iter().position(|logit| *logit == most).unwrap();
    let sum: f64 = logits.iter().map(|logit| f64::from(logit - most).exp()).sum();
    (place as u32, -sum.ln())
}

/// Greedy generation by a pass over the whole sequence for every token.
fn slowly(decoder: &mut Decoder, prompt: &[u32], options: &Generation) -> Answer {
    let mut answer = Answer::default();
    let mut tokens = prompt.to_vec();
    while answer.tokens.len() < options.most && !answer.ended {
        let batch = Tokens { tokens: tokens.clone(), starts: vec![0, tokens.len()], targets: Vec::new() };
        let logits = decoder.logits(&batch).unwrap();
        let (token, log_probability) = likeliest(&logits[logits.len() - decoder.config().vocabulary..]);
        answer.log_probability += log_probability;
        match options.end.contains(&token) {
            true => answer.ended = true,
            false => {
                answer.tokens.push(token);
                tokens.push(token);
            }
        }
    }
    answer
}

fn compare(what: &str, decoder: &mut Decoder, prompts: &[Vec<u32>], options: &Generation) {
    let answers = decoder.generate(prompts, options).unwrap();
    assert_eq!(answers.len(), prompts.len());
    for (prompt, answer) in prompts.iter().zip(answers) {
        let expected = slowly(decoder, prompt, options);
        assert_eq!((&answer.tokens, answer.ended), (&expected.tokens, expected.ended), "{what}: {prompt:?}");
        let gap = (answer.log_probability - expected.log_probability).abs();
        assert!(gap < 1e-6 * (1 + expected.tokens.len()) as f64, "{what}: log-probabilities differ by {gap}");
    }
}

#[test]
fn answers_are_those_of_passes_over_the_whole_sequence() {
    for name in ARCHITECTURES {
        for precision in [Precision::F32, Precision::Bf16] {
            // Beyond the sliding window of 8 of one, and the 32 original positions of the longrope.
            compare(name, &mut open(name, precision), &prompts(name), &endless(40));
        }
    }
}

#[test]
fn adapters_take_part() {
    for name in ["llama", "qwen3", "phi3"] {
        for precision in [Precision::F32, Precision::Bf16] {
            let adapter = fixture(&format!("{name}/adapter"));
            let mut adapted = Decoder::open_adapted(&fixture(name), &adapter, precision).unwrap();
            compare(name, &mut adapted, &prompts(name), &endless(12));
            let plain = open(name, precision).generate(&prompts(name), &endless(12)).unwrap();
            assert!(adapted.generate(&prompts(name), &endless(12)).unwrap() != plain, "{name}");
        }
    }
}
