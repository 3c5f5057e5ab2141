//! Foreign bytes: whatever a rule file or a case holds, the answer is a value or an error, never a panic.
//!
//! A seeded mutator stands in for a fuzzer here, so that the tests stay short and the same everywhere;
//! `ROBUSTNESS_SECONDS` lets it run longer.

use std::time::{Duration, Instant};

use rules::{RuleBase, Session};

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

fn mutated(random: &mut Random, seed: &[u8], pieces: &[&str]) -> Vec<u8> {
    let mut text = seed.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(text.len() + 1);
        match random.below(6) {
            0 => text.truncate(at),
            1 if at < text.len() => text[at] = random.next() as u8,
            2 => drop(text.splice(at..at, pieces[random.below(pieces.len())].bytes())),
            3 => {
                let end = (at + random.below(40)).min(text.len());
                text.drain(at..end);
            }
            4 => {
                let end = (at + random.below(60)).min(text.len());
                let copy = text[at..end].to_vec();
                let to = random.below(text.len() + 1);
                drop(text.splice(to..to, copy));
            }
            _ => {
                let deep = ["(", "[", "{", "not ", "-", "\"a\" + "][random.below(6)].repeat(random.below(300));
                drop(text.splice(at..at, deep.bytes()));
            }
        }
    }
    text
}

fn rounds(mut one: impl FnMut(), count: usize) {
    match std::env::var("ROBUSTNESS_SECONDS").ok().and_then(|seconds| seconds.parse().ok()) {
        Some(seconds) => {
            let start = Instant::now();
            while start.elapsed() < Duration::from_secs(seconds) {
                one();
            }
        }
        None => (0..count).for_each(|_| one()),
    }
}

fn seeds() -> Vec<String> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the recorded rule files")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "drl"))
        .collect();
    files.sort();
    files.iter().map(|path| std::fs::read_to_string(path).expect("a rule file")).collect()
}

#[test]
fn mutated_rule_files_load_or_are_refused_and_what_loads_fires_or_stops() {
    let seeds = seeds();
    let pieces = [
        "rule",
        "when",
        "then",
        "end",
        "$x :",
        "accumulate(",
        "from",
        "collect(",
        "eval(",
        "forall(",
        "exists",
        "or",
        "\"",
        "'",
        "/*",
        "//",
        "\\u12",
        "0x",
        "1e",
        "99999999999",
        "null",
        "this",
        "?q(",
        ":=",
        "modify($a){",
        "->",
        "\u{1f600}",
        "é",
        "declare",
        "query",
        "function int f(int a){ return f(a); }",
        "salience (",
        "do[x]",
        "<<",
        ">>>",
    ];
    let mut random = Random(7);
    let one = || {
        let seed = &seeds[random.below(seeds.len())];
        let text = mutated(&mut random, seed.as_bytes(), &pieces);
        let Ok(base) = RuleBase::compile("mutated.drl", &String::from_utf8_lossy(&text)) else { return };
        let mut session = Session::new(&base);
        session.set_step_limit(20_000);
        session.set_memory_limit(64 << 20);
        for (index, global) in base.globals().iter().enumerate() {
            let empty = session.memory().empty(global.kind);
            session.memory().set_global(index, empty);
        }
        let facts = session.memory().read_json(br#"["a", 1, 2.5, {"id": "x", "amount": 7}, [1, "b"], true, "a-b"]"#);
        let facts = facts.expect("JSON");
        for index in 0..7 {
            if let Some(fact) = session.memory().list_item(facts, index) {
                session.insert(fact);
            }
        }
        let _ = session.fire_up_to(200);
    };
    rounds(one, 1500);
}

#[test]
fn mutated_cases_are_read_or_refused_and_what_is_read_comes_back() {
    let base = RuleBase::compile("empty.drl", "rule \"r\" when Map() then end\nimport java.util.*;").expect("rules");
    let seed = br#"{"person":{"pep":true,"name":"J\u00fcrgen \ud83d\ude00"},"recent_tx":[{"amount":-12.5e3,"id":12345678901},{"a":[]}],"n":null}"#;
    let pieces =
        ["\\ud800", "\\", "\"", "1e999", "-0", "00", "{\"a\":", "]", "\u{0}", "123456789012345678901234567890", "é"];
    let mut random = Random(11);
    let mut session = Session::new(&base);
    let one = || {
        let text = mutated(&mut random, seed, &pieces);
        session.reset();
        let Ok(value) = session.memory().read_json(&text) else { return };
        let mut out = Vec::new();
        session.memory().write_json(value, &mut out);
        let again = session.memory().read_json(&out);
        // Numbers too large for a double are written as text; everything else is the same value again.
        let again = again.unwrap_or_else(|error| panic!("{error} in {}", String::from_utf8_lossy(&out)));
        let mut twice = Vec::new();
        session.memory().write_json(again, &mut twice);
        assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(&twice));
    };
    rounds(one, 20_000);
}
