//! A service under load: answers do not depend on what else it does, prefixes are read once, memory is bounded.

mod recorded;

use lm::inference::{Event, Finish, Reply, Request, Sampling, Service, ServiceOptions};
use lm::{Architecture, Config, Decoder, Generation, Method, Precision, Rotary, Scaling, WeightStorage};
use recorded::fixture;
use std::sync::mpsc;

fn config() -> Config {
    let rotary = Rotary { dimensions: 16, base: 10_000.0, scaling: Scaling::None };
    Config {
        architecture: Architecture::Llama,
        vocabulary: 97,
        hidden: 48,
        layers: 2,
        heads: 3,
        key_value_heads: 1,
        head_size: 16,
        intermediate: 64,
        norm_epsilon: 1e-5,
        positions: 2048,
        rotary,
        sliding_window: None,
        query_key_norm: false,
        tied: false,
        ..Config::read(&fixture("llama")).unwrap()
    }
}

fn model(precision: Precision) -> Decoder {
    Decoder::random(config(), precision, &Method::None, 7).unwrap()
}

fn service(precision: Precision, options: ServiceOptions) -> Service {
    Service::start(model(precision), &options).unwrap()
}

fn prompt(length: usize, seed: u32) -> Vec<u32> {
    (0..length as u32).map(|place| (place * place * 31 + place * 7 + seed * 13) % 97).collect()
}

fn requests() -> Vec<Request> {
    let lengths = [1, 47, 48, 49, 96, 97, 200, 13];
    let mut requests: Vec<Request> = (0..64)
        .map(|number| {
            let mut request = Request::new(prompt(lengths[number % lengths.len()], number as u32 / 16), 20, &[96]);
            request.likeliest = 3;
            if number % 3 == 0 {
                request.sampling = Sampling { temperature: 0.8, top_p: 0.9, seed: number as u64 };
            }
            request
        })
        .collect();
    requests.push(Request::new(prompt(700, 1), 60, &[]));
    requests
}

fn answers(service: &Service, requests: Vec<Request>) -> Vec<Reply> {
    service.answer(requests).into_iter().map(Result::unwrap).collect()
}

/// Without what depends on the past: how much was read before.
fn content(replies: &[Reply]) -> Vec<(String, Finish, u64)> {
    let bits = |reply: &Reply| reply.done.log_probability.to_bits();
    replies.iter().map(|reply| (format!("{:?}", reply.tokens), reply.done.finish, bits(reply))).collect()
}

#[test]
fn company_cache_and_threads_change_no_bit() {
    for precision in [Precision::F32, Precision::Bf16] {
        let one = ServiceOptions { sequences: 1, cache_bytes: 0, ..ServiceOptions::default() };
        let alone = service(precision, one);
        let expected: Vec<_> =
            requests().into_iter().flat_map(|request| content(&answers(&alone, vec![request]))).collect();
        assert_eq!(alone.statistics().cached_tokens, 0);
        for (threads, sequences, step_tokens, cache_bytes) in
            [(1, 64, 2048, 1 << 30), (2, 64, 2048, 1 << 30), (3, 7, 60, 1 << 30), (2, 64, 300, 1 << 18)]
        {
            let options = ServiceOptions { threads, sequences, step_tokens, cache_bytes, ..ServiceOptions::default() };
            let service = service(precision, options);
            // Twice: the second time much is read already.
            for _ in 0..2 {
                assert!(content(&answers(&service, requests())) == expected, "{options:?}");
            }
            assert!(service.statistics().cached_tokens > 0, "{options:?}");
        }
    }
}

#[test]
fn what_many_prompts_begin_with_is_read_once() {
    let service = service(Precision::Bf16, ServiceOptions { threads: 2, ..ServiceOptions::default() });
    let shared = prompt(1000, 5);
    let with = |end: u32| Request::new([&shared[..], &[end, end + 1]].concat(), 1, &[]);
    // At once: the first reads what they share, the others wait for it.
    let replies = answers(&service, (0..16).map(with).collect());
    let read = service.statistics().read_tokens;
    assert!(read < 1002 + 15 * 60, "{read} tokens were read");
    assert_eq!(replies.iter().map(|reply| reply.done.usage.cached).max(), Some(1000 / 48 * 48));
    let again = answers(&service, vec![with(40)]);
    assert_eq!(again[0].done.usage.cached, 1000 / 48 * 48);
    assert!(service.statistics().read_tokens - read <= 1002 - 1000 / 48 * 48);
}

#[test]
fn memory_is_bounded_whatever_is_asked() {
    let options = ServiceOptions { cache_bytes: 1 << 20, sequences: 8, ..ServiceOptions::default() };
    let service = service(Precision::F32, options);
    for round in 0..40 {
        let requests = (0..16).map(|number| Request::new(prompt(150, 1000 + round * 16 + number), 2, &[])).collect();
        answers(&service, requests);
        let statistics = service.statistics();
        assert!(statistics.used_pages <= statistics.pages, "{statistics:?}");
    }
    assert!(service.statistics().used_pages > service.statistics().pages / 2, "what fits is kept");
}

#[test]
fn a_sequence_larger_than_the_memory_still_ends_and_others_give_way() {
    let options = ServiceOptions { cache_bytes: 300_000, ..ServiceOptions::default() };
    let tight = service(Precision::F32, options);
    let requests: Vec<Request> = (0..6).map(|seed| Request::new(prompt(100, seed), 300, &[])).collect();
    let replies = answers(&tight, requests.clone());
    assert!(tight.statistics().preempted > 0);
    let roomy = service(Precision::F32, ServiceOptions::default());
    assert!(content(&replies) == content(&answers(&roomy, requests)));
}

#[test]
fn who_goes_away_is_forgotten() {
    let service = service(Precision::F32, ServiceOptions::default());
    let (tell, told) = mpsc::channel();
    let request = Request::new(prompt(10, 1), 2000, &[]);
    let ticket = service.submit(request.clone(), move |event| tell.send(event).is_ok()).unwrap();
    assert!(matches!(told.recv(), Ok(Event::Tokens(_))));
    ticket.cancel();
    let told: Vec<Event> = told.iter().collect();
    assert!(!told.iter().any(|event| matches!(event, Event::Done(_))) && told.len() < 1990, "{}", told.len());
    let _kept = service.submit(request.clone(), |_| false).unwrap();
    assert_eq!(answers(&service, vec![Request::new(prompt(3, 1), 1, &[])]).len(), 1);
    while service.statistics().cancelled < 2 {
        std::thread::yield_now();
    }
    assert_eq!((service.statistics().running, service.statistics().waiting), (0, 0));
}

#[test]
fn what_cannot_be_answered_is_refused_at_once() {
    let service = service(Precision::F32, ServiceOptions { queue: 0, ..ServiceOptions::default() });
    let refusal = |request: Request| service.submit(request, |_| true).unwrap_err().to_string();
    let plain = |prompt: Vec<u32>| Request::new(prompt, 1, &[]);
    assert!(refusal(plain(vec![])).contains("empty"));
    assert!(refusal(plain(vec![97])).contains("beyond the vocabulary"));
    assert!(refusal(Request { begun: 1, ..plain(vec![0]) }).contains("beginning of its answer"));
    assert!(refusal(plain(vec![0; 2049])).contains("positions"));
    assert!(refusal(Request { adapter: Some("x".to_owned()), ..plain(vec![0]) }).contains("no adapter `x`"));
    let hot = Sampling { temperature: f32::NAN, ..Sampling::default() };
    assert!(refusal(Request { sampling: hot, ..plain(vec![0]) }).contains("temperature"));
    let none = Sampling { top_p: 0.0, ..Sampling::default() };
    assert!(refusal(Request { sampling: none, ..plain(vec![0]) }).contains("top_p"));
    assert!(refusal(plain(vec![0])).contains("too many"));
}

#[test]
fn adapters_answer_beside_each_other_as_they_do_alone() {
    for name in ["llama", "qwen3", "phi3"] {
        for precision in [Precision::F32, Precision::Bf16] {
            let folder = fixture(&format!("{name}/adapter"));
            let prompts: Vec<Vec<u32>> =
                (1..20).map(|length| (1..=length).map(|token| token * 3 % 50).collect()).collect();
            let generation = Generation { most: 8, end: Vec::new() };
            let plain = Decoder::open(&fixture(name), precision, &Method::None, 0).unwrap();
            let adapted = Decoder::open_adapted(&fixture(name), &folder, precision).unwrap();
            let expected: Vec<Vec<Vec<u32>>> =
                [plain.generate(&prompts, &generation), adapted.generate(&prompts, &generation)]
                    .map(|answers| answers.unwrap().into_iter().map(|answer| answer.tokens).collect())
                    .to_vec();
            assert!(expected[0] != expected[1]);
            let service = Service::start(plain, &ServiceOptions::default()).unwrap();
            service.load_adapter("a", &folder).unwrap();
            assert_eq!(service.adapters(), ["a"]);
            let requests = (0..prompts.len() * 2).map(|number| {
                let request = Request::new(prompts[number / 2].clone(), 8, &[]);
                Request { adapter: (number % 2 == 1).then(|| "a".to_owned()), ..request }
            });
            for (number, reply) in answers(&service, requests.collect()).iter().enumerate() {
                let tokens: Vec<u32> = reply.tokens.iter().map(|token| token.token).collect();
                assert_eq!(tokens, expected[number % 2][number / 2], "{name} {precision:?} {number}");
            }
            assert!(service.unload_adapter("a") && !service.unload_adapter("a") && service.adapters().is_empty());
        }
    }
}

#[test]
fn prompts_that_are_cut_have_their_adapters() {
    let folder = fixture("llama/adapter");
    let prompt: Vec<u32> = (0..120).map(|token| token * 7 % 50).collect();
    let reply = |step_tokens| {
        let plain = Decoder::open(&fixture("llama"), Precision::F32, &Method::None, 0).unwrap();
        let service = Service::start(plain, &ServiceOptions { step_tokens, ..ServiceOptions::default() }).unwrap();
        service.load_adapter("a", &folder).unwrap();
        let request = Request { adapter: Some("a".to_owned()), ..Request::new(prompt.clone(), 8, &[]) };
        content(&answers(&service, vec![request]))
    };
    assert_eq!(reply(1), reply(4096));
}

#[test]
fn a_sink_that_panics_costs_what_is_under_way_and_no_more() {
    let service = service(Precision::F32, ServiceOptions::default());
    let (tell, told) = mpsc::channel();
    let long = Request::new(prompt(10, 1), 2000, &[]);
    service.submit(long.clone(), move |event| tell.send(event).is_ok()).unwrap();
    assert!(matches!(told.recv(), Ok(Event::Tokens(_))));
    service.submit(long, |_| panic!("a fault of the caller's")).unwrap();
    assert!(matches!(told.iter().last(), Some(Event::Failed(_))), "the last event says how it ended");
    assert_eq!(answers(&service, vec![Request::new(prompt(3, 1), 1, &[])]).len(), 1);
}

#[test]
fn whoever_waits_when_the_service_ends_hears_it() {
    let service = service(Precision::F32, ServiceOptions { sequences: 1, ..ServiceOptions::default() });
    let (tell, told) = mpsc::channel();
    for number in 0..3 {
        let tell = tell.clone();
        let sink = move |event| tell.send((number, event)).is_ok();
        service.submit(Request::new(prompt(10, 1), 2000, &[]), sink).unwrap();
    }
    drop((service, tell));
    let mut failed: Vec<i32> =
        told.iter().filter(|(_, event)| matches!(event, Event::Failed(_))).map(|(number, _)| number).collect();
    failed.sort_unstable();
    assert_eq!(failed, [0, 1, 2]);
}

#[test]
fn weights_in_few_bits_answer_almost_alike() {
    let folder = fixture("llama");
    let prompts: Vec<Vec<u32>> = (1..9).map(|length| (1..=length).collect()).collect();
    let likeliest = |storage| {
        let service =
            Service::start(Decoder::open_stored(&folder, Precision::F32, storage).unwrap(), &ServiceOptions::default());
        let service = service.unwrap();
        let requests = prompts.iter().map(|prompt| {
            let mut request = Request::new(prompt.clone(), 1, &[]);
            request.likeliest = 1000;
            request
        });
        let replies = answers(&service, requests.collect());
        let sorted = replies.iter().map(|reply| {
            let mut all = reply.tokens[0].alternatives.clone();
            all.sort_by_key(|(token, _)| *token);
            all.into_iter().map(|(_, log_probability)| f64::from(log_probability)).collect::<Vec<_>>()
        });
        sorted.collect::<Vec<_>>()
    };
    let plain = likeliest(WeightStorage::Plain);
    let mut gaps = Vec::new();
    for storage in [WeightStorage::Int8, WeightStorage::Nf4] {
        let other = likeliest(storage);
        let pairs = plain.iter().flatten().zip(other.iter().flatten());
        let gap = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        gaps.push(gap);
    }
    // The fixture's logits are spread widely, so that small changes of weights show.
    assert!(gaps[0] > 0.0 && gaps[0] < 0.2 && gaps[0] < gaps[1] / 8.0 && gaps[1] < 3.0, "{gaps:?}");
}
