//! OpenAI's interface over real connections, answered by a small model with random weights.

mod support;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use server::{NamedFolder, Opened, Opener, Settings, State};
use support::{Answer, Running, checkpoint, folder};

const CHAT: &str = "/v1/chat/completions";
const TEXT: &str = "/v1/completions";
const POSITIONS: usize = 512;

fn settings(name: &str) -> Settings {
    let model = checkpoint::write(&folder(name).join("small"), POSITIONS);
    Settings {
        model: vec![model],
        dtype: server::Products::F32,
        serve_threads: 2,
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        ..Settings::default()
    }
}

fn ask(running: &Running, path: &str, body: &Value) -> Answer {
    running.post(path, &body.to_string())
}

fn answer(running: &Running, path: &str, body: &Value) -> Value {
    let answer = ask(running, path, body);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn chat(fields: &Value) -> Value {
    let mut body = json!({"model": "small", "messages": [{"role": "user", "content": "amount 37?"}], "max_tokens": 24});
    merge(&mut body, fields);
    body
}

fn text(fields: &Value) -> Value {
    let mut body = json!({"model": "small", "prompt": "{\"outcome\":", "max_tokens": 24});
    merge(&mut body, fields);
    body
}

fn merge(body: &mut Value, fields: &Value) {
    for (name, value) in fields.as_object().expect("fields") {
        body[name] = value.clone();
    }
}

/// The events of a stream, without the last, which ends it.
fn events(answer: &Answer) -> Vec<Value> {
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/event-stream")), "{answer:?}");
    let mut events: Vec<&str> = answer.body.split_terminator("\n\n").collect();
    assert_eq!(events.pop(), Some("data: [DONE]"));
    let read = |event: &&str| serde_json::from_str(event.strip_prefix("data: ").expect("an event")).expect("JSON");
    events.iter().map(read).collect()
}

#[test]
fn a_chat_is_answered_with_what_it_took() {
    let running = Running::start(&settings("openai-chat"));
    let first = answer(&running, CHAT, &chat(&json!({"user": "u", "store": true, "metadata": {"a": "b"}})));
    assert_eq!(first["object"], "chat.completion");
    assert_eq!(first["model"], "small");
    let choice = &first["choices"][0];
    assert_eq!((&choice["index"], &choice["message"]["role"]), (&json!(0), &json!("assistant")));
    assert_eq!(choice["finish_reason"], "length");
    let usage = &first["usage"];
    assert_eq!(usage["completion_tokens"], 24);
    let sum = usage["prompt_tokens"].as_u64().expect("a number") + 24;
    assert_eq!(usage["total_tokens"], sum);
    assert_eq!(usage["prompt_tokens_details"]["cached_tokens"], 0);
    // Parts say what one text says; the same request has the same answer.
    let parts = json!([{"type": "text", "text": "amount "}, {"type": "text", "text": "37?"}]);
    let second = answer(&running, CHAT, &chat(&json!({"messages": [{"role": "user", "content": parts}]})));
    assert_eq!(second["choices"], first["choices"]);
    assert_ne!(second["id"], first["id"]);
    // A long prompt is read once.
    let long = json!({"prompt": "amount ".repeat(40), "max_tokens": 1});
    let cached = |answer: &Value| answer["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64();
    assert_eq!(cached(&answer(&running, TEXT, &long)), Some(0));
    assert!(cached(&answer(&running, TEXT, &long)) > Some(0));
}

#[test]
fn a_stream_says_what_the_whole_answer_says() {
    let running = Running::start(&settings("openai-stream"));
    let fields = json!({"n": 3, "logprobs": true, "top_logprobs": 2, "stop": ["e", "a"]});
    let whole = answer(&running, CHAT, &chat(&fields));
    let mut body = chat(&fields);
    merge(&mut body, &json!({"stream": true, "stream_options": {"include_usage": true}}));
    let events = events(&ask(&running, CHAT, &body));
    let usage = events.last().expect("an event");
    assert_eq!((&usage["choices"], &usage["usage"]), (&json!([]), &whole["usage"]));
    for index in 0..3 {
        let of_choice = |event: &&Value| event["choices"][0]["index"] == index;
        let pieces: Vec<&Value> = events.iter().filter(of_choice).map(|event| &event["choices"][0]).collect();
        assert_eq!(pieces[0]["delta"], json!({"role": "assistant", "content": ""}));
        let content: String = pieces.iter().filter_map(|piece| piece["delta"]["content"].as_str()).collect();
        let tokens: Vec<&Value> =
            pieces.iter().filter_map(|piece| piece["logprobs"]["content"].as_array()).flatten().collect();
        let choice = &whole["choices"][index];
        assert_eq!(choice["message"]["content"], content);
        assert_eq!(choice["logprobs"]["content"].as_array().expect("tokens").iter().collect::<Vec<_>>(), tokens);
        let last = pieces.last().expect("a piece");
        assert_eq!((&last["finish_reason"], &last["delta"]), (&choice["finish_reason"], &json!({})));
    }
    assert!(events.iter().all(|event| event["object"] == "chat.completion.chunk" && event["id"] == events[0]["id"]));
}

#[test]
fn streamed_completions_of_several_prompts_are_whole() {
    let running = Running::start(&settings("openai-prompts"));
    let fields = json!({"prompt": ["{\"amount\":", "why"], "n": 2, "logprobs": 1});
    let whole = answer(&running, TEXT, &text(&fields));
    assert_eq!(whole["choices"].as_array().map(Vec::len), Some(4));
    let mut body = text(&fields);
    body["stream"] = json!(true);
    let events = events(&ask(&running, TEXT, &body));
    for index in 0..4 {
        let pieces = events.iter().map(|event| &event["choices"][0]).filter(|piece| piece["index"] == index);
        let said: String = pieces.filter_map(|piece| piece["text"].as_str()).collect();
        assert_eq!(whole["choices"][index]["text"], said);
    }
    // A prompt's answers do not depend on the prompts beside it, nor on being sent as tokens.
    let tokens = answer(&running, "/tokenize", &json!({"prompt": "why"}))["tokens"].clone();
    let alone = answer(&running, TEXT, &text(&json!({"prompt": tokens, "n": 2, "logprobs": 1})));
    for index in 0..2 {
        assert_eq!(alone["choices"][index]["logprobs"], whole["choices"][2 + index]["logprobs"]);
    }
}

#[test]
fn answers_keep_the_form_that_is_asked_for() {
    let running = Running::start(&settings("openai-forms"));
    let schema = json!({
        "type": "object", "additionalProperties": false, "required": ["outcome", "level", "reasons"],
        "properties": {
            "outcome": {"enum": ["NONE", "REVIEW", "BLOCK"]},
            "level": {"type": "integer", "minimum": 0, "maximum": 3},
            "reasons": {"type": "array", "maxItems": 2, "items": {"type": "string", "maxLength": 6}},
        },
    });
    let format = json!({"type": "json_schema", "json_schema": {"name": "d", "strict": true, "schema": schema}});
    // No allowance: the schema's longest answer has room.
    let body = chat(&json!({"response_format": format, "n": 8, "max_tokens": null, "seed": 5}));
    for choice in answer(&running, CHAT, &body)["choices"].as_array().expect("choices") {
        assert_eq!(choice["finish_reason"], "stop");
        let said = choice["message"]["content"].as_str().expect("text");
        let decision: Value = serde_json::from_str(said).expect("JSON");
        let keys: Vec<&str> = decision.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(keys, ["outcome", "level", "reasons"], "{said}");
        assert!((0..=3).contains(&decision["level"].as_i64().expect("an integer")), "{said}");
    }
    let choices = json!(["yes", "no", "perhaps"]);
    for fields in [json!({"structured_outputs": {"choice": choices}}), json!({"guided_choice": choices})] {
        let said = answer(&running, CHAT, &chat(&fields))["choices"][0]["message"]["content"].clone();
        assert!(choices.as_array().expect("a list").contains(&said), "{said}");
    }
    let said = answer(&running, TEXT, &text(&json!({"structured_outputs": {"regex": "[ab]{3}-[0-9]{2}"}})));
    let said = said["choices"][0]["text"].as_str().expect("text");
    assert!(said.len() == 6 && said[3..].starts_with('-') && said[4..].parse::<u8>().is_ok(), "{said}");
    let cut = answer(&running, CHAT, &chat(&json!({"response_format": {"type": "json_object"}, "max_tokens": 2})));
    assert_eq!(cut["choices"][0]["finish_reason"], "length");
}

#[test]
fn an_answer_ends_before_a_stop_and_tells_no_token_of_it() {
    let running = Running::start(&settings("openai-stop"));
    let free = answer(&running, TEXT, &text(&json!({"logprobs": 0, "max_tokens": 60})));
    let said = free["choices"][0]["text"].as_str().expect("text").to_owned();
    let places: Vec<usize> = said.char_indices().map(|(place, _)| place).collect();
    let (start, end) = (places[places.len() / 2], places[places.len() / 2 + 3]);
    let stop = &said[start..end];
    let expected = &said[..said.find(stop).expect("it is there")];
    let body = text(&json!({"logprobs": 0, "max_tokens": 60, "stop": stop}));
    let stopped = &answer(&running, TEXT, &body)["choices"][0];
    assert_eq!((&stopped["text"], &stopped["finish_reason"]), (&json!(expected), &json!("stop")));
    let offsets = stopped["logprobs"]["text_offset"].as_array().expect("offsets");
    let length = expected.chars().count() as u64;
    assert!(offsets.iter().all(|offset| offset.as_u64() < Some(length)), "{offsets:?} {length}");
    let tokens = |choice: &Value| choice["logprobs"]["tokens"].as_array().expect("tokens").clone();
    assert!(tokens(&free["choices"][0]).starts_with(&tokens(stopped)));
}

#[test]
fn seeds_are_honoured_and_more_answers_change_none() {
    let running = Running::start(&settings("openai-seeds"));
    let said = |fields: &Value| answer(&running, CHAT, &chat(fields))["choices"].clone();
    let unseeded = said(&json!({}));
    assert_eq!(unseeded, said(&json!({"seed": 0})));
    assert_ne!(unseeded, said(&json!({"seed": 1})));
    let three = said(&json!({"n": 3}));
    assert_eq!(three[0], unseeded[0]);
    assert_ne!(three[1]["message"], three[2]["message"]);
    assert_eq!(three, said(&json!({"n": 3})));
    let greedy = said(&json!({"temperature": 0, "n": 2}));
    assert_eq!(greedy[0]["message"], greedy[1]["message"]);
}

#[test]
fn log_probabilities_are_told_in_both_forms() {
    let running = Running::start(&settings("openai-logprobs"));
    let chat = answer(&running, CHAT, &chat(&json!({"logprobs": true, "top_logprobs": 3})));
    let tokens = chat["choices"][0]["logprobs"]["content"].as_array().expect("tokens");
    assert_eq!(tokens.len(), 24);
    let mut bytes = Vec::new();
    for token in tokens {
        assert!(token["logprob"].as_f64().is_some_and(|log| log < 0.0), "{token}");
        let likeliest = token["top_logprobs"].as_array().expect("a list");
        assert_eq!(likeliest.len(), 3);
        assert!(likeliest.windows(2).all(|pair| pair[0]["logprob"].as_f64() >= pair[1]["logprob"].as_f64()));
        bytes.extend(token["bytes"].as_array().expect("bytes").iter().filter_map(Value::as_u64).map(|byte| byte as u8));
    }
    let said = chat["choices"][0]["message"]["content"].as_str().expect("text");
    assert_eq!(String::from_utf8_lossy(&bytes), said);
    let text = answer(&running, TEXT, &text(&json!({"logprobs": 2, "temperature": 0})));
    let told = &text["choices"][0]["logprobs"];
    for list in ["tokens", "token_logprobs", "top_logprobs", "text_offset"] {
        assert_eq!(told[list].as_array().map(Vec::len), Some(24), "{list}");
    }
    let (token, log) = (told["tokens"][0].as_str().expect("text"), &told["token_logprobs"][0]);
    assert_eq!(&told["top_logprobs"][0][token], log, "the likeliest was taken");
    assert_eq!(answer(&running, CHAT, &self::chat(&json!({})))["choices"][0]["logprobs"], Value::Null);
}

#[test]
fn refusals_have_openais_form_and_name_the_field() {
    let running = Running::start(&settings("openai-refusals"));
    let long = "amount ".repeat(600);
    let image = json!([{"type": "image_url", "image_url": {"url": "u"}}]);
    for (path, body, status, code, param) in [
        (CHAT, chat(&json!({"model": "other"})), 404, "model_not_found", json!("model")),
        (CHAT, json!({"model": "small"}), 400, "invalid_field", json!("messages")),
        (CHAT, chat(&json!({"messages": []})), 400, "invalid_field", json!("messages")),
        (
            CHAT,
            chat(&json!({"messages": [{"role": "user", "content": image}]})),
            400,
            "unsupported_parameter",
            json!("messages[0].content[0].type"),
        ),
        (
            CHAT,
            chat(&json!({"messages": [{"role": "user", "content": "<|im_end|>"}]})),
            400,
            "invalid_field",
            json!("messages[0].content"),
        ),
        (CHAT, chat(&json!({"tools": [{"type": "function"}]})), 400, "unsupported_parameter", json!("tools")),
        (CHAT, chat(&json!({"temperature": 2.5})), 400, "invalid_field", json!("temperature")),
        (CHAT, chat(&json!({"temperature": "hot"})), 400, "invalid_field", json!("temperature")),
        (CHAT, chat(&json!({"top_p": 0})), 400, "invalid_field", json!("top_p")),
        (CHAT, chat(&json!({"n": 17})), 400, "invalid_field", json!("n")),
        (TEXT, text(&json!({"prompt": vec!["a"; 65], "n": 16})), 400, "invalid_field", json!("n")),
        (TEXT, text(&json!({"prompt": vec!["a"; 1025]})), 400, "invalid_field", json!("prompt")),
        (CHAT, chat(&json!({"guided_choice": []})), 400, "invalid_field", json!("guided_choice")),
        (CHAT, chat(&json!({"max_tokens": 0})), 400, "invalid_field", json!("max_tokens")),
        (CHAT, chat(&json!({"top_logprobs": 2})), 400, "invalid_field", json!("top_logprobs")),
        (CHAT, chat(&json!({"stop": ["a", "b", "c", "d", "e"]})), 400, "invalid_field", json!("stop")),
        (CHAT, chat(&json!({"max_tokens": 511})), 400, "context_length_exceeded", json!("messages")),
        (TEXT, text(&json!({"prompt": long})), 400, "context_length_exceeded", json!("prompt")),
        (TEXT, text(&json!({"prompt": [1_000_000]})), 400, "invalid_field", json!("prompt")),
        (TEXT, text(&json!({"prompt": []})), 400, "invalid_field", json!("prompt")),
        (TEXT, text(&json!({"echo": true})), 400, "unsupported_parameter", json!("echo")),
        (CHAT, chat(&json!({"guided_regex": "("})), 400, "invalid_field", json!("guided_regex")),
    ] {
        let answer = ask(&running, path, &body);
        let error = answer.refuses(status, code);
        assert_eq!(error["param"], param, "{error}");
        assert!(error["type"].is_string(), "{error}");
    }
    let error = running.post(CHAT, "{").refuses(400, "not_json");
    assert_eq!(error["type"], "invalid_request_error");
    running.post(CHAT, "[]").refuses(400, "not_json");
    assert_eq!(running.get(CHAT).refuses(405, "method_not_allowed")["type"], "invalid_request_error");
    running.post("/v1/load_lora_adapter", "{}").refuses(404, "not_found");
    // A stream that cannot begin has a status of its own.
    let body = text(&json!({"prompt": [1_000_000], "stream": true}));
    ask(&running, TEXT, &body).refuses(400, "invalid_field");
}

#[test]
fn adapters_are_models_that_come_and_go() {
    let place = folder("openai-adapters");
    let model = checkpoint::write(&place.join("small"), POSITIONS);
    let root = place.join("adapters");
    let named = checkpoint::write_adapter(&root.join("first"), POSITIONS);
    checkpoint::write_adapter(&place.join("elsewhere"), POSITIONS);
    let settings = Settings {
        model: vec![model],
        adapter: vec![NamedFolder { name: "tuned".to_owned(), folder: named }],
        allow_adapter_loading: true,
        adapter_root: Some(root),
        vllm_metrics: true,
        ..settings("openai-adapters-unused")
    };
    let taken = vec![NamedFolder { name: "small".to_owned(), folder: settings.model[0].clone() }];
    let refused = State::new(&Settings { adapter: taken, ..settings.clone() }).err().expect("a model has the name");
    assert!(refused.to_string().contains("small"), "{refused}");
    let running = Running::start(&settings);
    let names = || -> Vec<String> {
        let list = running.get("/v1/models").json();
        list["data"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|one| one["id"].as_str().map(str::to_owned))
            .collect()
    };
    assert_eq!(names(), ["small", "tuned"]);
    let card = running.get("/v1/models/tuned").json();
    assert_eq!((&card["parent"], &card["max_model_len"]), (&json!("small"), &json!(POSITIONS)));
    running.get("/v1/models/none").refuses(404, "model_not_found");
    let said = |model: &str| answer(&running, CHAT, &chat(&json!({"model": model})))["choices"].clone();
    assert_ne!(said("small"), said("tuned"));
    let load =
        |name: &str, path: &str| ask(&running, "/v1/load_lora_adapter", &json!({"lora_name": name, "lora_path": path}));
    load("x", "../elsewhere").refuses(403, "forbidden");
    load("x", "/etc").refuses(403, "forbidden");
    load("x", "none").refuses(403, "forbidden");
    load("small", "first").refuses(400, "invalid_field");
    let loaded = load("second", "first");
    assert_eq!(loaded.status, 200, "{loaded:?}");
    assert_eq!(said("second"), said("tuned"));
    assert_eq!(names(), ["small", "second", "tuned"]);
    let unload = || ask(&running, "/v1/unload_lora_adapter", &json!({"lora_name": "second"}));
    assert_eq!(unload().status, 200);
    unload().refuses(404, "model_not_found");
    ask(&running, CHAT, &chat(&json!({"model": "second"}))).refuses(404, "model_not_found");
    let metrics = running.get("/metrics").body;
    for line in [
        "probity_lm_answers_total{model=\"small\",reason=\"length\"}",
        "vllm:request_success_total{model_name=\"small\",finished_reason=\"length\"}",
        "vllm:time_to_first_token_seconds_count{model_name=\"small\"} 4",
        "vllm:num_requests_running{model_name=\"small\"} 0",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}

#[test]
fn what_is_loaded_is_listed_while_another_model_loads() {
    let mut settings = settings("openai-loading");
    settings.model.push(folder("openai-loading-other").join("other"));
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let opener: Opener = Arc::new(move |folder: &Path, options: &_| {
        if folder.ends_with("other") {
            let _ = wait.lock().expect("no panic").recv();
            return Err("enough was seen".into());
        }
        Opened::checkpoint(folder, options)
    });
    let running = Running::start_with(&settings, State::with_opener(&settings, opener, Vec::new()).expect("a state"));
    let end = Instant::now() + Duration::from_secs(20);
    while running.get("/v1/models").status != 200 {
        assert!(Instant::now() < end, "the first model is not loaded");
        std::thread::sleep(Duration::from_millis(5));
    }
    let listed = running.get("/v1/models").json();
    assert_eq!((&listed["data"][0]["id"], listed["data"].as_array().map(Vec::len)), (&json!("small"), Some(1)));
    assert_eq!(running.get("/v1/models/small").status, 200);
    running.get("/v1/models/other").refuses(503, "loading");
    drop(go);
}

#[test]
fn a_caller_that_goes_away_is_answered_no_further() {
    let model = checkpoint::write(&folder("openai-gone").join("small"), 100_000);
    let settings = Settings { model: vec![model], ..settings("openai-gone-unused") };
    let running = Running::start(&settings);
    let long = |stream: bool| {
        // A model without sense ends its answer any time, unless the form does not let it.
        let form = json!({"regex": "[a-z]{9000}"});
        let body = text(&json!({"max_tokens": 99_000, "stream": stream, "structured_outputs": form})).to_string();
        format!("POST {TEXT} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    };
    let statistics = || {
        let opened = running.state.learned().next().expect("a model");
        opened.host.as_ref().expect("it writes").service().statistics()
    };
    for (gone, stream) in [(1, true), (2, false)] {
        let mut client = running.connect();
        client.send(long(stream).as_bytes());
        if stream {
            assert!(client.line().contains("200"), "it has begun");
        }
        let end = Instant::now() + Duration::from_secs(20);
        while statistics().running == 0 {
            assert!(Instant::now() < end, "never begun");
            std::thread::sleep(Duration::from_millis(2));
        }
        // Whoever does not read keeps nobody waiting.
        assert_eq!(ask(&running, CHAT, &chat(&json!({}))).status, 200);
        assert_eq!(statistics().cancelled, gone - 1);
        drop(client);
        while statistics().running > 0 || statistics().cancelled < gone {
            assert!(Instant::now() < end, "never given up: {:?}", statistics());
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    let metrics = running.get("/metrics").body;
    assert!(metrics.contains("probity_lm_answers_total{model=\"small\",reason=\"abort\"} 2"), "{metrics}");
}

#[test]
fn text_becomes_tokens_and_back() {
    let running = Running::start(&settings("openai-tokens"));
    let told = answer(&running, "/tokenize", &json!({"prompt": "amount é", "return_token_strs": true}));
    let tokens = told["tokens"].as_array().expect("tokens");
    assert_eq!((&told["count"], &told["max_model_len"]), (&json!(tokens.len()), &json!(POSITIONS)));
    assert_eq!(told["token_strs"].as_array().map(Vec::len), Some(tokens.len()));
    assert_eq!(answer(&running, "/detokenize", &json!({"tokens": tokens}))["prompt"], "amount é");
    let messages = json!([{"role": "user", "content": "amount"}]);
    let told = answer(&running, "/tokenize", &json!({"messages": messages}));
    let spelled = answer(&running, "/detokenize", &json!({"tokens": told["tokens"]}))["prompt"].clone();
    assert_eq!(spelled, "<|im_start|>user\namount<|im_end|>\n<|im_start|>assistant\n");
    let error = ask(&running, "/detokenize", &json!({"tokens": [99_999]})).refuses(400, "invalid_field");
    assert_eq!(error["param"], "tokens");
    ask(&running, "/tokenize", &json!({})).refuses(400, "invalid_field");
}

#[test]
fn bodies_from_elsewhere_are_answered_alike() {
    let running = Running::start(&settings("openai-respond"));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let respond = |url: &str, body: Value| runtime.block_on(server::respond(&running.state, url, body));
    for (path, body) in [(CHAT, chat(&json!({"n": 2}))), (TEXT, text(&json!({"logprobs": 1})))] {
        let (status, value) = respond(path, body.clone());
        assert_eq!((status, &value["choices"]), (200, &answer(&running, path, &body)["choices"]));
    }
    let (status, value) = respond(CHAT, chat(&json!({"model": "other"})));
    assert_eq!((status, &value["error"]["code"]), (404, &json!("model_not_found")));
    let (status, value) = respond(CHAT, chat(&json!({"stream": true})));
    assert_eq!((status, &value["error"]["param"]), (400, &json!("stream")));
    assert_eq!(respond("/v1/embeddings", json!({})).0, 400);
}

#[test]
fn without_a_language_model_nothing_is_written_and_the_key_is_asked_for() {
    let key = Some("sesame".parse().expect("a key"));
    let running = Running::start(&Settings { api_key: key, ..support::settings("openai-none") });
    let error = running.post(CHAT, "{}").refuses(401, "unauthorized");
    assert_eq!(error["type"], "authentication_error");
    let headers = [("Authorization", "Bearer sesame")];
    let body = chat(&json!({})).to_string();
    running.connect().ask("POST", CHAT, &headers, &body).refuses(404, "not_served");
    let models = running.connect().ask("GET", "/v1/models", &headers, "").json();
    assert_eq!(models, json!({"object": "list", "data": []}));
}
