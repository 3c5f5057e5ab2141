//! Walks over syntax that answer simple questions: which names occur, what is assigned, how large a body is.

use std::collections::HashMap;

use crate::syntax::ast::{Expression, ExpressionKind as E, LambdaBody, Statement, StatementKind as S};

/// Calls `visit` on an expression and all expressions in it.
pub(crate) fn walk_expression<'a>(expression: &'a Expression, visit: &mut dyn FnMut(&'a Expression)) {
    visit(expression);
    let mut each = |list: &'a [Expression]| {
        for item in list {
            walk_expression(item, visit);
        }
    };
    match &expression.kind {
        E::Literal(_) | E::Name(_) | E::This | E::ClassLiteral(_) => {}
        E::Field { target, .. } | E::MethodReference(target, _) | E::Step { target, .. } => {
            walk_expression(target, visit)
        }
        E::Unary(_, inner) | E::Cast(_, inner) | E::InstanceOf(inner, _, _) | E::Bind(_, inner) => {
            walk_expression(inner, visit);
        }
        E::Index(a, b) | E::Binary(_, a, b) => {
            walk_expression(a, visit);
            walk_expression(b, visit);
        }
        E::Assign { target, value, .. } => {
            walk_expression(target, visit);
            walk_expression(value, visit);
        }
        E::Conditional(a, b, c) => {
            walk_expression(a, visit);
            walk_expression(b, visit);
            walk_expression(c, visit);
        }
        E::Call { target, arguments, .. } => {
            each(arguments);
            if let Some(target) = target {
                walk_expression(target, visit);
            }
        }
        E::New { arguments, .. } | E::Items(arguments) => each(arguments),
        E::NewArray { sizes, items, .. } => {
            each(sizes);
            if let Some(items) = items {
                each(items);
            }
        }
        E::Relation { left, right, .. } => {
            each(right);
            walk_expression(left, visit);
        }
        E::Lambda { body, .. } => match &**body {
            LambdaBody::Expression(inner) => walk_expression(inner, visit),
            LambdaBody::Block(statements) => walk_statements(statements, visit),
        },
    }
}

/// Calls `visit` on every expression in the statements.
pub(super) fn walk_statements<'a>(statements: &'a [Statement], visit: &mut dyn FnMut(&'a Expression)) {
    for statement in statements {
        walk_statement(statement, visit);
    }
}

fn walk_statement<'a>(statement: &'a Statement, visit: &mut dyn FnMut(&'a Expression)) {
    match &statement.kind {
        S::Local { declarators, .. } => {
            for (_, _, value) in declarators {
                if let Some(value) = value {
                    walk_expression(value, visit);
                }
            }
        }
        S::Expression(expression) | S::Throw(expression) => walk_expression(expression, visit),
        S::If(test, yes, no) => {
            walk_expression(test, visit);
            walk_statement(yes, visit);
            if let Some(no) = no {
                walk_statement(no, visit);
            }
        }
        S::While(test, body) | S::DoWhile(body, test) => {
            walk_expression(test, visit);
            walk_statement(body, visit);
        }
        S::For { init, test, update, body } => {
            walk_statements(init, visit);
            for expression in test.iter().chain(update) {
                walk_expression(expression, visit);
            }
            walk_statement(body, visit);
        }
        S::ForEach { items, body, .. } => {
            walk_expression(items, visit);
            walk_statement(body, visit);
        }
        S::Return(value) => {
            if let Some(value) = value {
                walk_expression(value, visit);
            }
        }
        S::Labelled(_, body) => walk_statement(body, visit),
        S::Try { body, catches, finally } => {
            walk_statements(body, visit);
            for catch in catches {
                walk_statements(&catch.body, visit);
            }
            if let Some(finally) = finally {
                walk_statements(finally, visit);
            }
        }
        S::Switch { on, groups, .. } => {
            walk_expression(on, visit);
            for group in groups {
                for label in &group.labels {
                    walk_expression(label, visit);
                }
                walk_statements(&group.body, visit);
            }
        }
        S::Block(body) => walk_statements(body, visit),
        S::Modify { target, calls } => {
            walk_expression(target, visit);
            for call in calls {
                walk_expression(call, visit);
            }
        }
        S::Break(_) | S::Continue(_) | S::Empty => {}
    }
}

/// Plain names that occur in an expression, each once, in order.
pub(crate) fn names_in_expression(expression: &Expression) -> Vec<String> {
    let mut names = Vec::new();
    walk_expression(expression, &mut |inner| collect(inner, &mut names));
    names
}

/// Plain names that occur in statements, each once, in order.
pub(crate) fn names_in_statements(statements: &[Statement]) -> Vec<String> {
    let mut names = Vec::new();
    walk_statements(statements, &mut |inner| collect(inner, &mut names));
    names
}

fn collect(expression: &Expression, names: &mut Vec<String>) {
    if let E::Name(name) = &expression.kind {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
}

/// Whether evaluating the expression may change a variable.
pub(super) fn assigns(expression: &Expression) -> bool {
    let mut found = false;
    walk_expression(expression, &mut |inner| found |= matches!(inner.kind, E::Assign { .. } | E::Step { .. }));
    found
}

/// Whether an expression calls something, which may change objects.
pub(super) fn calls(expression: &Expression) -> bool {
    let mut found = false;
    walk_expression(expression, &mut |inner| found |= matches!(inner.kind, E::Call { .. }));
    found
}

/// Names that are assigned somewhere in the statements.
pub(super) fn assigned_names(statements: &[Statement]) -> Vec<String> {
    let mut names = Vec::new();
    walk_statements(statements, &mut |inner| {
        if let E::Assign { target, .. } | E::Step { target, .. } = &inner.kind {
            collect(target, &mut names);
        }
    });
    names
}

/// The number of expressions in a body, as a measure of its size.
pub(super) fn size(statements: &[Statement]) -> usize {
    let mut count = 0;
    walk_statements(statements, &mut |_| count += 1);
    count
}

/// Functions called by plain name.
pub(super) fn functions_called(statements: &[Statement]) -> Vec<String> {
    let mut names = Vec::new();
    walk_statements(statements, &mut |inner| {
        if let E::Call { target: None, name, .. } = &inner.kind {
            names.push(name.clone());
        }
    });
    names
}

/// The properties that a consequence sets on each name: `$a.setX(…)`, `$a.x = …` and the calls of `modify`.
/// Any other method that is not a getter stands as `*`.
pub(crate) fn setters_called(statements: &[Statement]) -> HashMap<String, Vec<String>> {
    let mut setters = HashMap::<String, Vec<String>>::new();
    walk_statements(statements, &mut |inner| match &inner.kind {
        E::Call { target: Some(target), name, .. } => {
            if let (E::Name(fact), Some(property)) = (&target.kind, property_of_setter(name)) {
                setters.entry(fact.clone()).or_default().push(property);
            }
        }
        E::Assign { target, .. } => {
            if let E::Field { target: fact, name, .. } = &target.kind {
                if let E::Name(fact) = &fact.kind {
                    setters.entry(fact.clone()).or_default().push(name.clone());
                }
            }
        }
        _ => {}
    });
    setters
}

/// `setName` names the property `name`.
pub(super) fn property_of_setter(method: &str) -> Option<String> {
    let rest = method.strip_prefix("set")?;
    rest.chars().next().filter(|c| c.is_uppercase()).map(|_| decapitalise(rest))
}

/// JavaBeans' rule: `Name` is `name`, but `URL` stays `URL`.
pub(super) fn decapitalise(name: &str) -> String {
    let mut characters = name.chars();
    match (characters.next(), characters.next()) {
        (Some(first), Some(second)) if first.is_uppercase() && second.is_uppercase() => name.to_owned(),
        (Some(first), _) => first.to_lowercase().collect::<String>() + &name[first.len_utf8()..],
        _ => String::new(),
    }
}

/// Where calls of a function are replaced by its body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Inlining {
    #[default]
    Nowhere,
    /// It is called in one place. Not within what is itself inlined, which may stand in many.
    Once,
    /// It is small.
    Everywhere,
}

/// What is known of a function from its text alone.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FunctionFacts {
    pub(crate) inlined: Inlining,
    /// Reads its arguments and nothing else, and changes nothing.
    pub(crate) pure: bool,
}

/// Methods that only look.
const READING: [&str; 48] = [
    "get",
    "containsKey",
    "containsValue",
    "contains",
    "size",
    "isEmpty",
    "length",
    "charAt",
    "substring",
    "equals",
    "equalsIgnoreCase",
    "toString",
    "hashCode",
    "compareTo",
    "indexOf",
    "lastIndexOf",
    "startsWith",
    "endsWith",
    "matches",
    "trim",
    "strip",
    "toUpperCase",
    "toLowerCase",
    "parseInt",
    "parseLong",
    "parseDouble",
    "valueOf",
    "intValue",
    "longValue",
    "doubleValue",
    "booleanValue",
    "floatValue",
    "abs",
    "max",
    "min",
    "floor",
    "ceil",
    "round",
    "sqrt",
    "pow",
    "isNaN",
    "compare",
    "getOrDefault",
    "isDigit",
    "isLetter",
    "isBlank",
    "getClass",
    "getName",
];

/// Which functions may be inlined, and whose results may be kept while conditions are evaluated.
pub(crate) fn purity(
    functions: &[std::rc::Rc<crate::syntax::ast::Function>],
    globals: &[String],
    source: &str,
) -> HashMap<String, FunctionFacts> {
    const SMALL: usize = 40;
    const LARGE: usize = 200;
    let mut mentions = HashMap::<&str, usize>::new();
    for word in source.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '$') {
        *mentions.entry(word).or_default() += 1;
    }
    let mut facts = HashMap::<String, FunctionFacts>::new();
    let calls: HashMap<&str, Vec<String>> =
        functions.iter().map(|f| (f.name.as_str(), functions_called(&f.body))).collect();
    for function in functions {
        let (mut pure, mut lambdas) = (true, false);
        walk_statements(&function.body, &mut |inner| match &inner.kind {
            E::Call { target: Some(_), name, .. } => pure &= READING.contains(&name.as_str()),
            E::New { .. } | E::Assign { .. } if !assigns_local(inner) => pure = false,
            E::Name(name) => pure &= !globals.contains(name),
            E::Lambda { .. } | E::MethodReference(..) => {
                lambdas = true;
                pure = false;
            }
            _ => {}
        });
        let unique = functions.iter().filter(|other| other.name == function.name).count() == 1;
        let inlined = match size(&function.body) {
            _ if !unique || lambdas || reaches(&calls, &function.name) => Inlining::Nowhere,
            ..=SMALL => Inlining::Everywhere,
            // Its own head, and the call.
            ..=LARGE if mentions.get(function.name.as_str()).is_none_or(|count| *count <= 2) => Inlining::Once,
            _ => Inlining::Nowhere,
        };
        facts.insert(function.name.clone(), FunctionFacts { inlined, pure: pure && unique });
    }
    // A function is only as pure as those it calls.
    loop {
        let impure: Vec<String> = functions
            .iter()
            .filter(|f| facts[&f.name].pure)
            .filter(|f| calls[f.name.as_str()].iter().any(|name| facts.get(name).is_none_or(|known| !known.pure)))
            .map(|f| f.name.clone())
            .collect();
        if impure.is_empty() {
            return facts;
        }
        for name in impure {
            if let Some(known) = facts.get_mut(&name) {
                known.pure = false;
            }
        }
    }
}

fn assigns_local(expression: &Expression) -> bool {
    matches!(&expression.kind, E::Assign { target, .. } if matches!(target.kind, E::Name(_)))
}

/// Whether a function reaches itself through calls.
fn reaches(calls: &HashMap<&str, Vec<String>>, start: &str) -> bool {
    let mut seen: Vec<&str> = Vec::new();
    let mut pending: Vec<&str> = vec![start];
    while let Some(name) = pending.pop() {
        for called in calls.get(name).into_iter().flatten() {
            if called == start {
                return true;
            }
            if !seen.contains(&called.as_str()) {
                seen.push(called);
                pending.push(called);
            }
        }
    }
    false
}
