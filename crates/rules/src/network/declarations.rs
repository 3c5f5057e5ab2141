//! What names mean in the conditions and the consequence of a rule, and code units that use them.

use std::collections::HashMap;
use std::rc::Rc;

use super::Call;
use crate::compile::{Compiled, Emitter, Environment, Purpose, names_in_expression, names_in_statements};
use crate::program::{Op, Register};
use crate::source::{Diagnostic, Span};
use crate::syntax::ast::{Expression, Statement};
use crate::types::Type;

/// A name bound in a left-hand side.
#[derive(Clone, Debug)]
pub(super) struct Declaration {
    /// The pattern it belongs to.
    pub(super) slot: u16,
    pub(super) ty: Type,
    pub(super) access: Access,
}

/// How the value is taken from the pattern's fact.
#[derive(Clone, Debug)]
pub(super) enum Access {
    Fact,
    /// An expression on the fact, evaluated whenever the name is used.
    Expression(Rc<Expression>, Type),
    /// An element of an accumulate's results.
    Element(u16),
}

/// The names in scope.
#[derive(Clone, Debug, Default)]
pub(super) struct Declarations {
    names: HashMap<String, Declaration>,
}

impl Declarations {
    pub(super) fn get(&self, name: &str) -> Option<&Declaration> {
        self.names.get(name)
    }

    pub(super) fn insert(&mut self, name: String, declaration: Declaration) {
        self.names.insert(name, declaration);
    }
}

/// What a code unit is compiled for.
pub(super) struct Context<'c> {
    pub(super) declarations: &'c Declarations,
    /// The fact that is `this`, with its type and slot.
    pub(super) this: Option<(Type, u16)>,
    pub(super) purpose: Purpose,
    pub(super) rule: &'c str,
}

/// A code unit being compiled, with its facts and names in place.
pub(super) struct Prepared<'e> {
    pub(super) emitter: Emitter<'e>,
    pub(super) slots: Vec<u16>,
    /// One more argument behind the facts.
    pub(super) extra: Register,
}

/// Starts a code unit: reserves registers for the facts it needs and loads the names it uses.
pub(super) fn prepare<'e>(
    env: &'e mut Environment,
    context: &Context<'_>,
    used: &[String],
    span: Span,
) -> Compiled<Prepared<'e>> {
    let mut emitter = Emitter::new(env, context.purpose);
    emitter.rule_name = context.rule.to_owned();
    let mut slots: Vec<u16> = Vec::new();
    let mut places = HashMap::<u16, Register>::new();
    if let Some((ty, slot)) = &context.this {
        let register = emitter.register(span)?;
        places.insert(*slot, register);
        emitter.this = Some((register, ty.clone()));
    }
    let mut wanted: Vec<(&String, &Declaration)> = Vec::new();
    for name in used {
        if let Some(declaration) = context.declarations.get(name) {
            wanted.push((name, declaration));
            if let std::collections::hash_map::Entry::Vacant(place) = places.entry(declaration.slot) {
                place.insert(emitter.register(span)?);
                slots.push(declaration.slot);
            }
        }
    }
    let extra = emitter.register(span)?;
    for (name, declaration) in wanted {
        let fact = places[&declaration.slot];
        load(&mut emitter, name, declaration, fact, span)?;
    }
    Ok(Prepared { emitter, slots, extra })
}

fn load(emitter: &mut Emitter<'_>, name: &str, declaration: &Declaration, fact: Register, span: Span) -> Compiled<()> {
    let local = |register, ty: &Type, is_fact| crate::compile::local(register, ty.clone(), is_fact);
    match &declaration.access {
        Access::Fact => emitter.bind(name, local(fact, &declaration.ty, true)),
        Access::Expression(expression, of) => {
            let register = emitter.register(span)?;
            let outer = emitter.this.replace((fact, of.clone()));
            let purpose = std::mem::replace(&mut emitter.purpose, Purpose::Constraint);
            let ty = emitter.value(expression, register)?;
            emitter.purpose = purpose;
            emitter.this = outer;
            emitter.bind(name, local(register, &ty, true));
        }
        Access::Element(index) => {
            let at = emitter.register(span)?;
            emitter.load_constant(crate::heap::Value::Integer((*index).into()), at, span)?;
            let register = emitter.register(span)?;
            emitter.emit(Op::ArrayGet { to: register, of: fact, at }, span);
            emitter.bind(name, local(register, &declaration.ty, true));
        }
    }
    Ok(())
}

/// Compiles tests that must all hold into one code unit that returns a boolean.
pub(super) fn test(env: &mut Environment, context: &Context<'_>, tests: &[&Expression]) -> Compiled<Option<Call>> {
    let Some(first) = tests.first() else {
        return Ok(None);
    };
    let span = first.span;
    let mut used = Vec::new();
    for test in tests {
        for name in names_in_expression(test) {
            if !used.contains(&name) {
                used.push(name);
            }
        }
    }
    let Prepared { mut emitter, slots, .. } = prepare(env, context, &used, span)?;
    let fails = emitter.label();
    for test in tests {
        emitter.branch(test, false, fails)?;
    }
    let result = emitter.register(span)?;
    emitter.load_constant(crate::heap::Value::Boolean(true), result, span)?;
    emitter.emit(Op::Return { from: result }, span);
    emitter.place(fails);
    emitter.load_constant(crate::heap::Value::Boolean(false), result, span)?;
    emitter.emit(Op::Return { from: result }, span);
    let name = format!("condition of {}", context.rule);
    let code = emitter.finish(&name, span)?;
    Ok(Some(Call { code: env.add_code(code), slots }))
}

/// Compiles an expression into a code unit that returns its value.
pub(super) fn value(env: &mut Environment, context: &Context<'_>, expression: &Expression) -> Compiled<(Call, Type)> {
    let span = expression.span;
    let used = names_in_expression(expression);
    let Prepared { mut emitter, slots, .. } = prepare(env, context, &used, span)?;
    let result = emitter.register(span)?;
    let ty = emitter.value(expression, result)?;
    if ty == Type::Void {
        return Err(Diagnostic::new(span, "this call returns nothing"));
    }
    emitter.emit(Op::Return { from: result }, span);
    let name = format!("condition of {}", context.rule);
    let code = emitter.finish(&name, span)?;
    Ok((Call { code: env.add_code(code), slots }, ty))
}

/// Compiles a consequence.
pub(super) fn consequence(
    env: &mut Environment,
    declarations: &Declarations,
    rule: &str,
    statements: &[Statement],
    span: Span,
) -> Compiled<Call> {
    let context = Context { declarations, this: None, purpose: Purpose::Consequence, rule };
    let used = names_in_statements(statements);
    let Prepared { mut emitter, slots, .. } = prepare(env, &context, &used, span)?;
    emitter.setters = crate::compile::setters_called(statements);
    emitter.push_scope();
    emitter.block(statements);
    let code = emitter.finish(rule, span)?;
    Ok(Call { code: env.add_code(code), slots })
}
