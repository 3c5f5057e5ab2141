//! Optimized code beside the code that it was made from: both must do the same, on the recorded rule files and on
//! random functions.
//!
//! `ROBUSTNESS_SECONDS` lets the random functions run longer, and `ROBUSTNESS_SEED` has other ones.

use std::time::{Duration, Instant};

use crate::{RuleBase, Session};

/// What came of firing: the rules, the globals, and the error if there was one.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Result {
    fired: Vec<String>,
    pub(super) globals: Vec<String>,
    pub(super) error: Option<String>,
}

/// As many globals as there are.
const ALL: usize = usize::MAX;

/// Fires on a list of facts. So many globals, from the first on, are empty at first; the others are null.
pub(super) fn fire(base: &RuleBase, facts: &[u8], globals: usize) -> Result {
    let mut session = Session::new(base);
    session.set_step_limit(100_000);
    session.set_memory_limit(64 << 20);
    for (index, global) in base.globals().iter().enumerate().take(globals) {
        let empty = session.memory().empty(global.kind);
        session.memory().set_global(index, empty);
    }
    let facts = session.memory().read_json(facts).expect("the facts are JSON");
    for index in 0..session.memory().list_len(facts).unwrap_or(0) {
        if let Some(fact) = session.memory().list_item(facts, index).filter(|fact| !fact.is_null()) {
            session.insert(fact);
        }
    }
    let error = session.fire_up_to(200).err().map(|error| error.to_string());
    let globals = (0..base.globals().len()).map(|index| {
        let mut text = Vec::new();
        let memory = session.memory();
        memory.write_json(memory.global(index), &mut text);
        String::from_utf8_lossy(&text).into_owned()
    });
    let globals = globals.collect();
    let fired = session.fired_names().map(str::to_owned).collect();
    Result { fired, globals, error }
}

/// Both results, optimized and plain; nothing if the file does not load.
fn both(source: &str, facts: &[u8]) -> Option<(Result, Result)> {
    let optimized = RuleBase::compile("file.drl", source);
    let plain = RuleBase::compile_plainly("file.drl", source);
    match (optimized, plain) {
        (Ok(optimized), Ok(plain)) => Some((fire(&optimized, facts, ALL), fire(&plain, facts, ALL))),
        (Err(optimized), Err(plain)) => {
            assert_eq!(optimized.to_string(), plain.to_string());
            None
        }
        _ => panic!("the file loads in one way alone:\n{source}"),
    }
}

#[test]
fn recorded_files_do_the_same_without_the_optimizer() {
    let folder = std::env::var("RECORDED").unwrap_or(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recorded").to_owned());
    let mut compared = 0;
    for entry in std::fs::read_dir(folder).expect("the recorded rule files") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "drl") {
            let source = std::fs::read_to_string(&path).expect("a rule file");
            let facts = std::fs::read(path.with_extension("facts.json")).expect("its facts");
            if let Some((optimized, plain)) = both(&source, &facts) {
                // Times of day and identities are not the same twice.
                if plain == fire(&RuleBase::compile_plainly("file.drl", &source).expect("it loaded"), &facts, ALL) {
                    assert_eq!(optimized, plain, "{}", path.display());
                    compared += 1;
                }
            }
        }
    }
    assert!(compared > 40, "{compared} files");
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ z >> 31) % limit.max(1) as u64) as usize
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

/// Types of the variables in random functions.
const TYPES: [&str; 12] =
    ["int", "long", "double", "boolean", "String", "Object", "Map", "List", "Double", "Integer", "Box", "char"];

const KEYS: [&str; 6] = ["a", "b", "c", "list", "map", "none"];

/// Functions that the random ones call: the usual ways to read maps, and some that change what they are given.
const HELPERS: &str = r#"import java.util.*;
global java.util.List log;
global java.util.Map state;
declare Box
    n : int
    o : Object
end
function Object get(Map m, String k) { return m == null ? null : m.get(k); }
function String text(Map m, String k) { Object v = get(m, k); return v == null ? null : v.toString(); }
function Double number(Map m, String k) {
    Object v = get(m, k);
    return v instanceof Number ? Double.valueOf(((Number) v).doubleValue()) : null;
}
function double real(Map m, String k) { Double v = number(m, k); return v == null ? 0.0 : v; }
function Map inner(Map m, String k) { Object v = get(m, k); return v instanceof Map ? (Map) v : null; }
function List many(Map m, String k) {
    Object v = m.get(k);
    if (v instanceof List) { return (List) v; }
    return new ArrayList();
}
function Map some(Map m, String k) { Map held = inner(m, k); return held == null ? new HashMap() : held; }
function int whole(Object v) { return v instanceof Integer ? (Integer) v : 3; }
function String word(Object v) { if (v instanceof String) { return (String) v; } return "word"; }
function Object at(List l, int i) { if (l.size() == 0) { return null; } return l.get((i & 7) % l.size()); }
function boolean is(Object a, String b) { return b.equals(a); }
function boolean same(Object a, Object b) { return a == null ? b == null : a.equals(b); }
function Object set(Map m, String k, Object v) { return m.put(k, v); }
function int push(List l, Object v) { if (l.size() < 9) { l.add(v); } return l.size(); }
function int deep(Map m, int n) {
    if (n <= 0) { m.put("a", m.size()); return m.size(); }
    int before = m.size();
    m.put("a", n);
    return deep(m, n - 1) + before + m.size();
}
function Object fail(Object v, boolean b) { if (b) { throw new IllegalStateException("failed " + v); } return v; }
"#;

/// Writes random functions, which load: only names in scope, and every expression of its type.
struct Writer {
    random: Random,
    out: String,
    /// Variables in scope: type, name, and whether they may be assigned.
    scope: Vec<(&'static str, String, bool)>,
    /// Functions so far: result and parameters.
    functions: Vec<(&'static str, Vec<&'static str>)>,
    names: usize,
    loops: usize,
    returns: Option<&'static str>,
}

impl Writer {
    fn key(&mut self) -> &'static str {
        self.random.pick(&KEYS)
    }

    fn variable(&mut self, ty: &str, assigned: bool) -> Option<String> {
        let fitting: Vec<&String> = self
            .scope
            .iter()
            .filter(|(t, _, free)| *t == ty && (*free || !assigned))
            .map(|(_, name, _)| name)
            .collect();
        (!fitting.is_empty()).then(|| fitting[self.random.below(fitting.len())].clone())
    }

    fn name(&mut self) -> String {
        self.names += 1;
        format!("v{}", self.names)
    }

    fn call(&mut self, ty: &str, depth: usize) -> Option<String> {
        let fitting: Vec<usize> = (0..self.functions.len()).filter(|at| self.functions[*at].0 == ty).collect();
        if fitting.is_empty() {
            return None;
        }
        let at = fitting[self.random.below(fitting.len())];
        let parameters = self.functions[at].1.clone();
        let arguments: Vec<String> = parameters.iter().map(|ty| self.value(ty, depth)).collect();
        Some(format!("f{at}({})", arguments.join(", ")))
    }

    /// An expression of a type: a name or in parentheses, and typed so that methods may be called on it.
    fn value(&mut self, ty: &str, depth: usize) -> String {
        let text = self.expression(ty, depth);
        match ty {
            "Object" => format!("((Object) ({text}))"),
            _ if text.bytes().all(|byte| byte.is_ascii_alphanumeric()) => text,
            _ => format!("({text})"),
        }
    }

    fn expression(&mut self, ty: &str, depth: usize) -> String {
        if depth == 0 || self.random.below(4) == 0 {
            if self.random.below(5) > 0 {
                if let Some(name) = self.variable(ty, false) {
                    return name;
                }
            }
            return self.leaf(ty);
        }
        let depth = depth - 1;
        match self.random.below(12) {
            0 => {
                let (test, yes, no) = (self.value("boolean", depth), self.value(ty, depth), self.value(ty, depth));
                return format!("({test} ? {yes} : {no})");
            }
            1 | 2 => {
                if let Some(call) = self.call(ty, depth) {
                    return call;
                }
            }
            3 => {
                if let Some(name) = self.variable(ty, true) {
                    return format!("({name} = {})", self.value(ty, depth));
                }
            }
            _ => {}
        }
        let key = self.key();
        let (choice, sum) = (self.random.below(9), self.random.pick(&["+", "-", "*", "/", "%", "+", "-"]));
        macro_rules! value {
            ($ty:expr) => {
                self.value($ty, depth)
            };
        }
        match ty {
            "int" => match choice {
                0 => format!("({} {sum} {})", value!("int"), value!("int")),
                1 => format!("{}.size()", value!("List")),
                2 => format!("{}.length()", value!("String")),
                3 => match self.variable("int", true) {
                    Some(name) => format!("({}{name})", self.random.pick(&["++", "--"])),
                    None => format!("{}.size()", value!("Map")),
                },
                4 => match self.variable("int", true) {
                    Some(name) => format!("({name}{})", self.random.pick(&["++", "--"])),
                    None => format!("deep({}, {})", value!("Map"), self.random.below(4)),
                },
                5 if self.random.below(3) == 0 => {
                    format!("Integer.parseInt({} + \"{}\")", value!("int"), self.random.pick(&["", "7", " "]))
                }
                5 => format!("(int) {}", value!("double")),
                6 => match self.random.below(4) {
                    0 => format!("((Number) {}).intValue()", value!("Object")),
                    _ => format!("whole({})", value!("Object")),
                },
                7 => format!("{}.getN()", value!("Box")),
                _ => format!(
                    "({} {} {})",
                    value!("int"),
                    self.random.pick(&["&", "|", "^", "<<", ">>", ">>>"]),
                    value!("int")
                ),
            },
            "long" => match choice {
                0..=2 => format!("({} {sum} {})", value!("long"), value!("long")),
                3 | 4 => format!("({} {sum} {})", value!("int"), value!("long")),
                5 => format!("(long) {}", value!("double")),
                6 => format!("((Number) {}).longValue()", value!("Object")),
                7 => format!("Long.parseLong(\"\" + {})", value!("long")),
                _ => format!("(long) {}", value!("int")),
            },
            "double" => match choice {
                0 | 1 => format!("({} {sum} {})", value!("double"), value!("double")),
                2 => format!("({} {sum} {})", value!("int"), value!("double")),
                3 => format!("({} {sum} {})", value!("double"), value!("long")),
                4 => format!("real({}, \"{key}\")", value!("Map")),
                5 => format!("((Number) {}).doubleValue()", value!("Object")),
                6 => format!("Math.max({}, {})", value!("double"), value!("double")),
                7 => format!("Math.abs({})", value!("double")),
                _ => value!("Double"),
            },
            "boolean" => self.test(depth),
            "char" => match choice {
                0 => format!("{}.charAt({})", value!("String"), value!("int")),
                _ => format!("(char) ({} + 1)", value!("char")),
            },
            "String" => match choice {
                0 => format!("({} + {})", value!("String"), value!("int")),
                1 => format!("({} + {})", value!("String"), value!("Object")),
                2 | 3 => format!("text({}, \"{key}\")", value!("Map")),
                4 => format!("String.valueOf({})", value!("double")),
                5 if self.random.below(4) == 0 => format!("(String) {}", value!("Object")),
                5 => format!("word({})", value!("Object")),
                6 => format!("(\"{key}\" + {})", value!("char")),
                7 if self.random.below(2) == 0 => {
                    format!("(\"x\" + {}).substring({}, {})", value!("String"), value!("int"), self.random.below(3))
                }
                7 => format!("(\"x\" + {}).substring({})", value!("String"), self.random.below(2)),
                _ if self.random.below(4) == 0 => format!("{}.toString()", value!("Object")),
                _ => format!("String.valueOf({})", value!("Object")),
            },
            "Double" => match choice {
                0..=3 => format!("number({}, \"{key}\")", value!("Map")),
                4 if self.random.below(4) == 0 => format!("(Double) {}", value!("Object")),
                _ => format!("Double.valueOf({})", value!("double")),
            },
            "Integer" => match choice {
                0 => format!("(Integer) {}", value!("Object")),
                1..=3 => format!("whole({})", value!("Object")),
                _ => format!("Integer.valueOf({})", value!("int")),
            },
            "Box" => match choice {
                0 => format!("(Box) {}", value!("Object")),
                _ => format!("new Box({}, {})", value!("int"), value!("Object")),
            },
            "Map" => match choice {
                0 => format!("inner({}, \"{key}\")", value!("Map")),
                1..=4 => format!("some({}, \"{key}\")", value!("Map")),
                5 if self.random.below(4) == 0 => format!("(Map) {}", value!("Object")),
                6 => format!("new {}({})", self.random.pick(&["HashMap", "LinkedHashMap"]), value!("Map")),
                _ => self.leaf("Map"),
            },
            "List" => match choice {
                0..=4 => format!("many({}, \"{key}\")", value!("Map")),
                5 if self.random.below(4) == 0 => format!("(List) {}", value!("Object")),
                _ => format!("new ArrayList({})", value!("List")),
            },
            _ => match choice {
                0 => format!("{}.get(\"{key}\")", value!("Map")),
                1 => format!("get({}, \"{key}\")", value!("Map")),
                2 if self.random.below(4) == 0 => format!("{}.get({})", value!("List"), value!("int")),
                2 => format!("at({}, {})", value!("List"), value!("int")),
                3 => format!("{}.put(\"{key}\", {})", value!("Map"), self.element(depth)),
                4 => format!("{}.getO()", value!("Box")),
                5 => format!("set({}, \"{key}\", {})", value!("Map"), self.element(depth)),
                6 => format!("fail({}, {})", value!("Object"), value!("boolean")),
                7 => format!("{}.get({})", value!("Map"), value!("String")),
                _ => {
                    let ty = self.random.pick(&["String", "Map", "List", "Double", "Integer"]);
                    value!(ty)
                }
            },
        }
    }

    /// A value for collections: never one itself, since the text of those that hold themselves many times over
    /// would be endless.
    fn element(&mut self, depth: usize) -> String {
        match self.random.below(5) {
            0 => "null".to_owned(),
            1 => format!("fail({}, {})", self.value("String", depth), self.value("boolean", depth)),
            2 => self.value("String", depth),
            3 => self.value("Double", depth),
            _ => self.value("Integer", depth),
        }
    }

    fn test(&mut self, depth: usize) -> String {
        let key = self.key();
        let order = self.random.pick(&["<", "<=", ">", ">=", "==", "!="]);
        macro_rules! value {
            ($ty:expr) => {
                self.value($ty, depth)
            };
        }
        match self.random.below(17) {
            0 => format!("({} {order} {})", value!("int"), value!("int")),
            1 => format!("({} {order} {})", value!("long"), value!("int")),
            2 => format!("({} {order} {})", value!("double"), value!("int")),
            3 => format!("({} {order} {})", value!("double"), value!("double")),
            4 => format!("({} {} null)", value!("Object"), self.random.pick(&["==", "!="])),
            5 => format!("({} {} null)", value!("String"), self.random.pick(&["==", "!="])),
            6 => {
                format!("({} instanceof {})", value!("Object"), self.random.pick(&["Number", "String", "Map", "List"]))
            }
            7 => format!("\"{key}\".equals({})", value!("Object")),
            8 => format!("{}.equals({})", value!("String"), value!("String")),
            9 => format!("is({}, \"{key}\")", value!("Object")),
            10 => format!("same({}, {})", value!("Object"), value!("Object")),
            11 => format!("{}.containsKey(\"{key}\")", value!("Map")),
            12 | 13 => format!("({} && {})", value!("boolean"), value!("boolean")),
            14 => format!("({} || {})", value!("boolean"), value!("boolean")),
            15 => format!("!{}", value!("boolean")),
            _ => match self.variable("Object", false) {
                Some(name) => format!(
                    "({name} instanceof Number && ((Number) {name}).doubleValue() {order} {})",
                    value!("double")
                ),
                None => format!("({} {order} {})", value!("char"), value!("char")),
            },
        }
    }

    fn leaf(&mut self, ty: &str) -> String {
        let small = self.random.below(7);
        match ty {
            "int" => self.random.pick(&["0", "1", "2", "3", "-1", "1000", "2147483647"]).to_owned(),
            "long" => self.random.pick(&["0L", "1L", "-3L", "5000000000L"]).to_owned(),
            "double" => self.random.pick(&["0.0", "1.5", "-0.0", "2.0", "1e300"]).to_owned(),
            "boolean" => self.random.pick(&["true", "false"]).to_owned(),
            "char" => self.random.pick(&["'a'", "'b'", "'z'"]).to_owned(),
            "String" if small == 0 => "(String) null".to_owned(),
            "String" => format!("\"{}\"", self.key()),
            "Double" => self.random.pick(&["(Double) null", "Double.valueOf(1.5)", "Double.valueOf(2.5)"]).to_owned(),
            "Integer" => self.random.pick(&["Integer.valueOf(2)", "Integer.valueOf(1000)"]).to_owned(),
            "Box" => format!("new Box({small}, null)"),
            "Map" if small == 0 => "(Map) null".to_owned(),
            "Map" => self.random.pick(&["state", "new HashMap()"]).to_owned(),
            "List" => "new ArrayList()".to_owned(),
            _ => self
                .random
                .pick(&["null", "\"a\"", "Integer.valueOf(1)", "Double.valueOf(2.5)", "\"x\"", "Long.valueOf(7L)"])
                .to_owned(),
        }
    }

    fn line(&mut self, text: &str) {
        self.out += text;
        self.out.push('\n');
    }

    fn block(&mut self, statements: usize, depth: usize) {
        let outer = self.scope.len();
        for _ in 0..statements {
            self.statement(depth);
        }
        self.scope.truncate(outer);
    }

    fn declare(&mut self, ty: &'static str, free: bool) -> String {
        let name = self.name();
        self.scope.push((ty, name.clone(), free));
        name
    }

    fn statement(&mut self, depth: usize) {
        let (choice, key) = (self.random.below(if depth == 0 { 14 } else { 24 }), self.key());
        match choice {
            0 | 1 => {
                let ty = TYPES[self.random.below(TYPES.len())];
                let value = self.value(ty, 3);
                let name = self.declare(ty, true);
                self.line(&format!("{ty} {name} = {value};"));
            }
            2..=4 => {
                let ty = TYPES[self.random.below(TYPES.len())];
                if let Some(name) = self.variable(ty, true) {
                    let value = self.value(ty, 3);
                    match (ty, self.random.below(3)) {
                        ("int" | "long" | "double", 0) => self.line(&format!("{name} += {value};")),
                        ("int" | "long" | "char", 1) => self.line(&format!("{name}++;")),
                        ("int", 2) => {
                            let value = self.value("double", 2);
                            self.line(&format!("{name} -= {value};"));
                        }
                        _ => self.line(&format!("{name} = {value};")),
                    }
                }
            }
            5 | 6 => {
                let (map, value) = (self.value("Map", 1), self.element(2));
                match self.variable("Map", false) {
                    // What is read before a change to what may be the same map, and after it.
                    Some(other) => {
                        let (before, after) = (self.declare("Object", true), self.declare("Object", true));
                        self.line(&format!("Object {before} = {other}.get(\"{key}\");"));
                        self.line(&format!("{map}.put(\"{key}\", {value});"));
                        self.line(&format!("Object {after} = {other}.get(\"{key}\");"));
                        self.line(&format!("if (!same({before}, {after})) {{ state.put(\"a\", {after} + \"\"); }}"));
                    }
                    None => self.line(&format!("{map}.put(\"{key}\", {value});")),
                }
            }
            7 => {
                let map = self.value("Map", 1);
                self.line(&format!("{map}.remove(\"{key}\");"));
            }
            8 => {
                let (list, value) = (self.value("List", 1), self.element(2));
                self.line(&format!("push({list}, {value});"));
            }
            9 => {
                if let Some(list) = self.variable("List", false) {
                    let value = self.element(2);
                    let (before, after) = (self.declare("int", true), self.declare("int", true));
                    self.line(&format!("int {before} = {list}.size();"));
                    self.line(&format!("{list}.add({value});"));
                    self.line(&format!("int {after} = {list}.size() - {before};"));
                    self.line(&format!("if ({after} != 1 || {before} > 8) {{ {list}.clear(); }}"));
                }
            }
            10 => {
                let (list, at, value) = (self.value("List", 1), self.random.below(2), self.element(2));
                match self.random.below(2) {
                    0 => self.line(&format!("if ({list}.size() > {at}) {{ {list}.set({at}, {value}); }}")),
                    _ => self.line(&format!("if ({list}.size() > {at}) {{ {list}.remove({at}); }}")),
                }
            }
            11 => {
                if let Some(name) = self.variable("Box", false) {
                    let (number, object) = (self.value("int", 2), self.value("Object", 2));
                    self.line(&format!("{name}.setN({number});"));
                    self.line(&format!("{name}.setO({object});"));
                }
            }
            12 => {
                let ty = TYPES[self.random.below(TYPES.len() - 1)];
                let value = self.value(ty, 2);
                self.line(&format!("state.put(\"{key}\", \"\" + {value});"));
            }
            13 => {
                let test = self.value("boolean", 2);
                match (self.random.below(4), self.loops, self.returns) {
                    (0, 1.., _) => self.line(&format!("if ({test}) {{ break; }}")),
                    (1, 1.., _) => self.line(&format!("if ({test}) {{ continue; }}")),
                    (2, _, Some(ty)) => {
                        let value = self.value(ty, 2);
                        self.line(&format!("if ({test}) {{ return {value}; }}"));
                    }
                    _ => self.line(&format!("if ({test}) {{ throw new RuntimeException(\"{key}\"); }}")),
                }
            }
            14..=16 => {
                let test = self.value("boolean", 3);
                self.line(&format!("if ({test}) {{"));
                self.block(2, depth - 1);
                if self.random.below(2) == 0 {
                    self.line("} else {");
                    self.block(2, depth - 1);
                }
                self.line("}");
            }
            17 => {
                let outer = self.scope.len();
                let name = self.declare("int", false);
                let end = self.random.below(5);
                self.line(&format!("for (int {name} = 0; {name} < {end}; {name}++) {{"));
                self.turns(depth);
                self.scope.truncate(outer);
            }
            18 | 19 => {
                let list = self.value("List", 1);
                let outer = self.scope.len();
                let name = self.declare("Object", true);
                self.line(&format!("for (Object {name} : {list}) {{"));
                self.turns(depth);
                self.scope.truncate(outer);
            }
            20 => {
                // The condition is tested on changing values; the count ends it.
                let count = self.name();
                let test = self.value("boolean", 2);
                self.line(&format!("int {count} = 0;"));
                self.line(&format!("while ({count}++ < 4 && {test}) {{"));
                self.turns(depth);
            }
            21 | 22 => {
                self.line("try {");
                self.block(3, depth - 1);
                let caught = self.random.pick(&["Exception", "RuntimeException", "NullPointerException"]);
                let name = self.name();
                let finally = self.random.below(3) == 0;
                self.line(&format!("}} catch ({caught} {name}) {{"));
                self.line(&format!("state.put(\"{key}\", \"\" + {name}.getMessage());"));
                self.block(1, depth - 1);
                if finally {
                    // Without ways out of it, which Java frowns upon too.
                    let (loops, returns) = (std::mem::take(&mut self.loops), self.returns.take());
                    self.line("} finally {");
                    self.block(1, depth - 1);
                    (self.loops, self.returns) = (loops, returns);
                }
                self.line("}");
            }
            _ => {
                let ty = self.random.pick(&["int", "String"]);
                let value = self.value(ty, 2);
                self.line(&format!("switch ({value}) {{"));
                for (at, key) in KEYS.iter().enumerate().take(3) {
                    match ty {
                        "int" => self.line(&format!("case {at}:")),
                        _ => self.line(&format!("case \"{key}\":")),
                    }
                    let loops = std::mem::take(&mut self.loops);
                    self.line("{");
                    self.block(1, depth - 1);
                    self.line("}");
                    self.loops = loops;
                    if self.random.below(2) == 0 {
                        self.line("break;");
                    }
                }
                self.line("default:");
                let loops = std::mem::take(&mut self.loops);
                self.line("{");
                self.block(1, depth - 1);
                self.line("}");
                self.loops = loops;
                self.line("}");
            }
        }
    }

    /// The body of a loop and its end.
    fn turns(&mut self, depth: usize) {
        self.loops += 1;
        self.block(3, depth - 1);
        self.loops -= 1;
        self.line("}");
    }

    fn function(&mut self) {
        let at = self.functions.len();
        let returns = TYPES[self.random.below(TYPES.len())];
        let count = self.random.below(4);
        let parameters: Vec<&'static str> = (0..count).map(|_| TYPES[self.random.below(TYPES.len())]).collect();
        let listed: Vec<String> = parameters.iter().map(|ty| format!("{ty} {}", self.declare(ty, true))).collect();
        self.line(&format!("function {returns} f{at}({}) {{", listed.join(", ")));
        self.returns = Some(returns);
        let statements = self.random.below(9);
        for _ in 0..statements {
            self.statement(2);
        }
        self.returns = None;
        let value = self.value(returns, 3);
        self.line(&format!("return {value};\n}}"));
        self.scope.clear();
        self.functions.push((returns, parameters));
    }

    fn rule(&mut self, at: usize) {
        let condition = match self.functions.iter().position(|(ty, takes)| *ty == "boolean" && takes == &["Map"]) {
            Some(at) => format!("f{at}(this)"),
            None => format!("this[\"{}\"] != null", self.key()),
        };
        let key = self.key();
        self.line(&format!("rule \"r{at}\" when $m : Map(real(this, \"{key}\") >= 0 || {condition}) then"));
        self.scope.push(("Map", "$m".to_owned(), false));
        self.line("try {");
        for _ in 0..4 {
            self.statement(2);
        }
        let ty = TYPES[self.random.below(TYPES.len() - 1)];
        let value = self.value(ty, 3);
        self.line(&format!("log.add(\"\" + {value});"));
        self.line("} catch (Exception e) { log.add(e.getClass().getName() + e.getMessage()); }");
        self.line("log.add(\"\" + $m);\nlog.add(\"\" + state);\nend");
        self.scope.clear();
    }
}

fn random_file(seed: u64) -> String {
    let mut writer = Writer {
        random: Random(seed),
        out: HELPERS.to_owned(),
        scope: Vec::new(),
        functions: Vec::new(),
        names: 0,
        loops: 0,
        returns: None,
    };
    for _ in 0..4 {
        writer.function();
    }
    for at in 0..3 {
        writer.rule(at);
    }
    writer.out
}

const FACTS: &[u8] = br#"[
    {"a": 1, "b": "a", "c": 2.5, "list": [1, "b", null, {"a": "x"}, 2.5], "map": {"a": 7, "list": [3, 4], "b": null}},
    {"b": 5000000000, "a": null, "list": [], "map": {"map": {"c": "c"}}},
    {"map": null, "none": true, "list": ["list", 1000, 1000], "c": "2", "a": "a"}
]"#;

#[test]
fn random_functions_do_the_same_without_the_optimizer() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let (seconds, first) = (number("ROBUSTNESS_SECONDS"), number("ROBUSTNESS_SEED").unwrap_or(1));
    let start = Instant::now();
    let (mut loaded, mut refused) = (0u64, 0u64);
    for seed in first.. {
        let done = loaded + refused;
        match seconds {
            Some(seconds) if start.elapsed() >= Duration::from_secs(seconds) => break,
            None if done >= 400 => break,
            _ => {}
        }
        let source = random_file(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
        let Some((optimized, plain)) = both(&source, FACTS) else {
            refused += 1;
            continue;
        };
        loaded += 1;
        // The optimizer leaves turns of loops as they are, but not what an empty way round counts for.
        let is_limit = |result: &Result| result.error.as_ref().is_some_and(|error| error.contains("loop turns"));
        if is_limit(&optimized) && is_limit(&plain) {
            continue;
        }
        assert_eq!(optimized, plain, "seed {seed}:\n{source}");
    }
    assert!(refused * 10 <= loaded, "{refused} files were refused, {loaded} loaded");
}
