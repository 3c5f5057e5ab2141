//! Generation against repeated passes over the whole sequence, against itself in other company, and against
//! `transformers`.

mod recorded;

use lm::{Answer, Decoder, Error, Generation, Method, Precision, Tokens, Trainee};
use recorded::{Recorded, fixture};
use serde_json::Value;

const ARCHITECTURES: [&str; 8] =
    ["llama", "smollm2", "mistral", "qwen3", "phi3", "phi3_long", "llama_gelu", "llama_gelu_tanh"];

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

#[test]
fn answers_are_those_of_transformers() {
    let text = std::fs::read_to_string(fixture("generation.json")).unwrap();
    let recorded: Value = serde_json::from_str(&text).unwrap();
    let tokens = |value: &Value| -> Vec<u32> {
        value.as_array().unwrap().iter().map(|token| token.as_u64().unwrap() as u32).collect()
    };
    for name in ARCHITECTURES {
        let recorded = (&recorded["most"], &recorded["checkpoints"][name]);
        let options = Generation {
            most: recorded.0.as_u64().unwrap() as usize,
            end: vec![recorded.1["end"].as_u64().unwrap() as u32],
        };
        let expected = recorded.1["answers"].as_array().unwrap();
        let prompts: Vec<Vec<u32>> = expected.iter().map(|answer| tokens(&answer["prompt"])).collect();
        let answers = open(name, Precision::F32).generate(&prompts, &options).unwrap();
        assert_eq!(answers.len(), expected.len());
        for (answer, expected) in answers.iter().zip(expected) {
            assert_eq!(answer.tokens, tokens(&expected["tokens"]), "{name}");
            assert_eq!(answer.ended, expected["ended"].as_bool().unwrap(), "{name}");
            let gap = (answer.log_probability - expected["log_probability"].as_f64().unwrap()).abs();
            assert!(gap < 1e-4, "{name}: log-probabilities differ by {gap}");
        }
    }
}

#[test]
fn company_order_and_threads_change_no_bit() {
    for (name, precision) in [("mistral", Precision::F32), ("mistral", Precision::Bf16), ("phi3_long", Precision::Bf16)]
    {
        let decoder = open(name, precision);
        // More tokens than a step reads, so that the reading of a prompt is cut; more sequences than are live at once.
        let prompts: Vec<Vec<u32>> = (0..300u32)
            .map(|number| (0..10 + number % 13).map(|place| (number * 7 + place * place * 5) % 96).collect())
            .collect();
        let options = Generation { most: 25, end: vec![5, 43] };
        let together = decoder.generate(&prompts, &options).unwrap();
        assert!(together.iter().any(|answer| answer.ended) && together.iter().any(|answer| !answer.ended));
        let backwards: Vec<Vec<u32>> = prompts.iter().rev().cloned().collect();
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut other = pool.install(|| decoder.generate(&backwards, &options).unwrap());
            other.reverse();
            assert!(other == together, "{name}: {threads} threads");
        }
        for number in (0..prompts.len()).step_by(23) {
            let alone = decoder.generate(&prompts[number..=number], &options).unwrap();
            assert_eq!(alone[0], together[number], "{name}");
        }
    }
}

#[test]
fn log_probabilities_are_the_losses_of_training_to_the_bit() {
    // Not the longrope, whose cached keys are computed again when a sequence grows long.
    for name in ["llama", "smollm2", "mistral", "qwen3"] {
        for precision in [Precision::F32, Precision::Bf16] {
            let mut decoder = open(name, precision);
            for (prompt, answer) in prompts(name).iter().zip(decoder.generate(&prompts(name), &endless(30)).unwrap()) {
                let tokens: Vec<u32> = prompt.iter().chain(&answer.tokens).copied().collect();
                let mut targets = vec![Tokens::IGNORED; tokens.len()];
                targets[prompt.len() - 1..tokens.len() - 1].copy_from_slice(&answer.tokens);
                let starts = vec![0, tokens.len()];
                let loss = decoder.evaluate(&Tokens { tokens, starts, targets }).unwrap();
                assert_eq!(answer.log_probability, -loss.sum, "{name} {precision:?}");
            }
        }
    }
}

#[test]
fn quantised_weights_answer_too() {
    let adapter = Decoder::open_adapted(&fixture("llama64"), &fixture("llama64/adapter"), Precision::F32).unwrap();
    let method = Method::Qlora(adapter.adapter().unwrap().clone());
    for precision in [Precision::F32, Precision::Bf16] {
        let mut decoder = Decoder::open(&fixture("llama64"), precision, &method, 0).unwrap();
        decoder.parameters_mut().values.clone_from(&adapter.parameters().values);
        let prompts = [vec![3, 14, 15], vec![9, 26, 5, 35, 8, 9, 79, 32, 38]];
        compare("llama64", &mut decoder, &prompts, &endless(20));
    }
}

#[test]
fn answers_stop_at_the_longest_sequence_of_the_model() {
    let decoder = open("mistral", Precision::F32);
    let positions = decoder.config().positions;
    let prompt: Vec<u32> = (0..positions as u32).map(|place| place % 90).collect();
    let prompts = [prompt[..positions - 3].to_vec(), prompt];
    let answers = decoder.generate(&prompts, &endless(usize::MAX)).unwrap();
    assert_eq!(answers.iter().map(|answer| answer.tokens.len()).collect::<Vec<_>>(), [3, 0]);
    assert_eq!(decoder.generate(&[], &endless(1)).unwrap(), []);
    assert_eq!(decoder.generate(&prompts, &endless(0)).unwrap(), vec![Answer::default(); 2]);
}

#[test]
fn prompts_that_cannot_be_answered_are_named() {
    let decoder = open("mistral", Precision::F32);
    for (prompt, words) in [(vec![], "empty"), (vec![1; 129], "128 positions"), (vec![4, 96], "token 96")] {
        match decoder.generate(&[vec![1, 2], prompt], &endless(1)) {
            Err(Error::Prompt { number: 1, problem }) => assert!(problem.contains(words), "{problem}"),
            other => panic!("{other:?}"),
        }
    }
    let mut damaged = Decoder::open(&fixture("mistral"), Precision::F32, &Method::Full, 0).unwrap();
    damaged.parameters_mut().values.fill(f32::NAN);
    assert!(matches!(damaged.generate(&[vec![1, 2]], &endless(2)), Err(Error::Prompt { number: 0, .. })));
}

#[test]
fn options_take_the_ends_of_the_model() {
    let config = open("llama", Precision::F32).config().clone();
    assert_eq!(Generation::new(&config, 7), Generation { most: 7, end: config.end });
}
