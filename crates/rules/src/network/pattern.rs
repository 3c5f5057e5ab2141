//! A pattern's constraints sorted into bindings, tests on the fact alone and tests on other facts.

use std::rc::Rc;

use super::Mask;
use super::declarations::{Access, Declaration, Declarations};
use crate::compile::{Compiled, Emitter, Environment, Purpose, names_in_expression};
use crate::source::Diagnostic;
use crate::syntax::ast::{Binding, Expression, ExpressionKind as E, Pattern};
use crate::types::Type;

/// What a pattern says, resolved.
pub(super) struct Analysed {
    pub(super) ty: Type,
    pub(super) class: u16,
    /// Tests that need no other fact.
    pub(super) alpha: Vec<Expression>,
    /// Tests that do.
    pub(super) beta: Vec<Expression>,
    pub(super) mask: Mask,
}

/// Resolves a pattern and adds what it binds to `declarations`.
pub(super) fn analyse(
    env: &mut Environment,
    declarations: &mut Declarations,
    pattern: &Pattern,
    slot: u16,
    used_elsewhere: &[(String, String)],
) -> Compiled<Analysed> {
    let ty = env.resolve(&pattern.ty)?;
    let Type::Class(class, _) = ty else {
        return Err(Diagnostic::new(pattern.ty.span, format!("{} is not a type of facts", env.show(&ty))));
    };
    let mut analysed = Analysed { ty: ty.clone(), class, alpha: Vec::new(), beta: Vec::new(), mask: Mask::NONE };
    if let Some(binding) = &pattern.binding {
        bind(declarations, binding, Declaration { slot, ty: ty.clone(), access: Access::Fact })?;
        for (name, property) in used_elsewhere.iter().filter(|(name, _)| *name == binding.name) {
            let _ = name;
            listen(env, class, property, &mut analysed.mask);
        }
    }
    let positional = positional_tests(env, declarations, pattern, slot, class)?;
    let mut tests: Vec<Expression> = Vec::new();
    for (binding, expression) in
        pattern.constraints.iter().map(|c| (c.binding.clone(), c.expression.clone())).chain(positional)
    {
        listened(env, class, &expression, &mut analysed.mask);
        match binding {
            Some(binding) => declare(env, declarations, &binding, &expression, &ty, slot, &mut tests)?,
            None => {
                let stripped = strip(env, declarations, &expression, &ty, slot, &mut tests)?;
                tests.push(stripped);
            }
        }
    }
    for (included, property) in &pattern.watch {
        match (property.as_str(), included) {
            ("*", true) => analysed.mask = Mask::ALL,
            ("*", false) => analysed.mask = Mask::NONE,
            (name, _) => match env.field(class, name) {
                Some((field, _)) if *included => analysed.mask.set(field),
                Some((field, _)) => analysed.mask.clear(field),
                None => {
                    return Err(Diagnostic::new(pattern.span, format!("unknown property `{name}` in @watch")));
                }
            },
        }
    }
    if env.classes.get(class).class_reactive {
        analysed.mask = Mask::ALL;
    }
    for test in tests {
        let other = names_in_expression(&test).iter().any(|name| {
            let hidden = env.field(class, name).is_some();
            !hidden && declarations.get(name).is_some_and(|declaration| declaration.slot != slot)
        });
        if other { analysed.beta.push(test) } else { analysed.alpha.push(test) }
    }
    Ok(analysed)
}

fn bind(declarations: &mut Declarations, binding: &Binding, declaration: Declaration) -> Compiled<()> {
    if declarations.get(&binding.name).is_some() {
        return Err(Diagnostic::new(binding.span, format!("`{}` is already bound", binding.name)));
    }
    declarations.insert(binding.name.clone(), declaration);
    Ok(())
}

/// `$x : expression`, or a test against what `$x` already is when it unifies.
fn declare(
    env: &mut Environment,
    declarations: &mut Declarations,
    binding: &Binding,
    expression: &Expression,
    ty: &Type,
    slot: u16,
    tests: &mut Vec<Expression>,
) -> Compiled<()> {
    if binding.unify && declarations.get(&binding.name).is_some() {
        let name = Expression { kind: E::Name(binding.name.clone()), span: binding.span };
        tests.push(Emitter::equal_test(expression.clone(), name));
        return Ok(());
    }
    let value = property_type(env, declarations, expression, ty, slot)?;
    let access = Access::Expression(Rc::new(expression.clone()), ty.clone());
    bind(declarations, binding, Declaration { slot, ty: value, access })
}

/// The type of an expression on the pattern's fact.
fn property_type(
    env: &mut Environment,
    declarations: &Declarations,
    expression: &Expression,
    ty: &Type,
    slot: u16,
) -> Compiled<Type> {
    let context = super::declarations::Context {
        declarations,
        this: Some((ty.clone(), slot)),
        purpose: Purpose::Constraint,
        rule: "",
    };
    let codes = env.codes.len();
    let result = super::declarations::value(env, &context, expression);
    env.codes.truncate(codes);
    result.map(|(_, ty)| ty)
}

/// Bindings inside a test become declarations; the test stays.
fn strip(
    env: &mut Environment,
    declarations: &mut Declarations,
    expression: &Expression,
    ty: &Type,
    slot: u16,
    tests: &mut Vec<Expression>,
) -> Compiled<Expression> {
    let span = expression.span;
    let mut again = |env: &mut Environment, inner: &Expression| strip(env, declarations, inner, ty, slot, tests);
    let kind = match &expression.kind {
        E::Bind(binding, inner) => {
            let inner = again(env, inner)?;
            declare(env, declarations, binding, &inner, ty, slot, tests)?;
            return Ok(inner);
        }
        E::Binary(operator, left, right) => {
            E::Binary(*operator, Box::new(again(env, left)?), Box::new(again(env, right)?))
        }
        E::Unary(operator, inner) => E::Unary(*operator, Box::new(again(env, inner)?)),
        E::Relation { relation, negated, left, right } => {
            let left = Box::new(again(env, left)?);
            E::Relation { relation: *relation, negated: *negated, left, right: right.clone() }
        }
        _ => return Ok(expression.clone()),
    };
    Ok(Expression { kind, span })
}

/// `Owns("A", $c;)`: arguments by the position of fields.
fn positional_tests(
    env: &Environment,
    declarations: &Declarations,
    pattern: &Pattern,
    _slot: u16,
    class: u16,
) -> Compiled<Vec<(Option<Binding>, Expression)>> {
    let mut all = Vec::new();
    let fields = &env.classes.get(class).fields;
    for (index, argument) in pattern.positional.iter().enumerate() {
        let span = argument.expression.span;
        let Some(field) = fields.get(index) else {
            return Err(Diagnostic::new(span, format!("{} has only {} fields", pattern.ty.name, fields.len())));
        };
        let property = Expression { kind: E::Name(field.name.to_string()), span };
        match &argument.expression.kind {
            E::Name(name) if declarations.get(name).is_none() && !env.globals.contains_key(name) => {
                all.push((Some(Binding { name: name.clone(), unify: true, span }), property));
            }
            _ => all.push((None, Emitter::equal_test(property, argument.expression.clone()))),
        }
    }
    Ok(all)
}

fn listen(env: &Environment, of: u16, property: &str, mask: &mut Mask) {
    if let Some((field, _)) = env.field(of, property) {
        mask.set(field);
    }
}

/// The properties that a constraint looks at; all of them where it calls a method or uses the whole fact.
fn listened(env: &Environment, of: u16, expression: &Expression, mask: &mut Mask) {
    match &expression.kind {
        E::Name(name) => listen(env, of, name, mask),
        E::This => *mask = Mask::ALL,
        E::Field { target, name, .. } => match target.kind {
            E::This => listen(env, of, name, mask),
            _ => listened(env, of, target, mask),
        },
        E::Call { target, name, arguments, .. } => {
            match target {
                None if !env.functions.contains_key(name) => match name.strip_prefix("get") {
                    Some(rest) if arguments.is_empty() => listen(env, of, &lower_first(rest), mask),
                    _ => *mask = Mask::ALL,
                },
                Some(target) => listened(env, of, target, mask),
                None => {}
            }
            arguments.iter().for_each(|argument| listened(env, of, argument, mask));
        }
        E::Binary(_, left, right) | E::Index(left, right) => {
            listened(env, of, left, mask);
            listened(env, of, right, mask);
        }
        E::Unary(_, inner) | E::Cast(_, inner) | E::InstanceOf(inner, ..) | E::Bind(_, inner) => {
            listened(env, of, inner, mask);
        }
        E::Relation { left, right, .. } => {
            listened(env, of, left, mask);
            right.iter().for_each(|inner| listened(env, of, inner, mask));
        }
        E::Items(items) | E::New { arguments: items, .. } => {
            items.iter().for_each(|inner| listened(env, of, inner, mask));
        }
        _ => {}
    }
}

fn lower_first(name: &str) -> String {
    let mut characters = name.chars();
    characters.next().map_or_else(String::new, |c| c.to_lowercase().collect::<String>() + characters.as_str())
}
