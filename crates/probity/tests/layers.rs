//! Who may know whom: the layers of `docs/architecture.md`.

use std::path::Path;

fn dependencies(name: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name).join("Cargo.toml");
    let manifest = std::fs::read_to_string(path).expect("a manifest");
    let section = manifest.split("[dependencies]").nth(1).expect("dependencies");
    let section = section.split("\n[").next().unwrap_or_default();
    section.lines().filter_map(|line| line.split(['.', ' ', '=']).next()).map(str::to_owned).collect()
}

const OURS: [&str; 9] = ["rules", "trees", "lm", "decision", "desks", "deciders", "evaluate", "server", "probity"];

fn ours(name: &str) -> Vec<String> {
    let mut list: Vec<String> = dependencies(name).into_iter().filter(|d| OURS.contains(&d.as_str())).collect();
    list.sort();
    list
}

#[test]
fn engines_depend_on_nothing_of_ours() {
    assert!(ours("rules").is_empty());
    assert!(ours("trees").is_empty());
    assert!(ours("lm").is_empty());
}

#[test]
fn desks_and_deciders_do_not_know_each_other() {
    assert_eq!(ours("decision"), [""; 0]);
    assert_eq!(ours("desks"), ["decision"]);
    assert_eq!(ours("deciders"), ["decision", "lm", "rules", "trees"]);
    assert_eq!(ours("evaluate"), ["decision"]);
}

#[test]
fn the_server_knows_desks_deciders_and_language_models_but_no_command() {
    assert_eq!(ours("server"), ["deciders", "decision", "desks", "lm"]);
}
