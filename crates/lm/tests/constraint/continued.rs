//! Answers held to a schema by a model that has learned nothing, whole and from the middle on.

use super::{schemas, tokenizer, vocabulary};
use lm::constraint::Form;
use lm::inference::{Finish, Reply, Request, Service, ServiceOptions};
use lm::{Config, Decoder, Method, Precision};
use std::path::Path;

fn service(tokens: usize) -> Service {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/llama");
    let config = Config::read(&folder).expect("a configuration");
    let config = Config { vocabulary: tokens, positions: 4096, end: Vec::new(), ..config };
    let model = Decoder::random(config, Precision::F32, &Method::None, 3).expect("a model");
    Service::start(model, &ServiceOptions::default()).expect("a service")
}

fn numbers(reply: &Reply) -> Vec<u32> {
    reply.tokens.iter().map(|token| token.token).collect()
}

#[test]
fn an_answer_goes_on_from_any_place_as_it_went_on() {
    let tokenizer = tokenizer();
    let vocabulary = vocabulary(&tokenizer);
    let service = service(tokenizer.vocabulary() + 28);
    for (name, schema) in schemas().into_iter().filter(|(name, _)| name != "open") {
        let grammar = vocabulary.grammar(&Form::Schema(schema)).expect("a grammar");
        let longest = grammar.longest().expect("a bound");
        let ask = |prompt: Vec<u32>, begun: usize| {
            let request = Request { grammar: Some(grammar.clone()), begun, ..Request::new(prompt, longest, &[]) };
            service.answer(vec![request]).remove(0).expect("an answer")
        };
        let whole = ask(vec![1, 2, 3], 0);
        assert_eq!(whole.done.finish, Finish::End, "{name}");
        let tokens = numbers(&whole);
        // Behind a forced token the grammar would have forced more at once, so that only chosen ones are cut behind.
        let chosen = (0..tokens.len()).filter(|place| !whole.tokens[*place].forced);
        for place in chosen.take(12) {
            let prompt = [&[1, 2, 3], &tokens[..=place]].concat();
            assert_eq!(numbers(&ask(prompt, place + 1)), tokens[place + 1..], "{name} from {place}");
        }
        let other = Request { grammar: Some(grammar), begun: 1, ..Request::new(vec![1, tokens[0] ^ 1], 9, &[]) };
        assert!(service.answer(vec![other]).remove(0).is_err(), "{name}: it cannot begin so");
    }
}
