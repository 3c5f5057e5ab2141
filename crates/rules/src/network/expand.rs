//! `or` and `forall` rewritten, so that only patterns, `not`, `exists` and groups remain.

use crate::source::Diagnostic;
use crate::syntax::ast::{BinaryOperator, Condition, Expression, ExpressionKind, Pattern, UnaryOperator};

/// More alternatives than this come from a mistake.
const MAXIMUM_BRANCHES: usize = 256;

/// The alternatives of a left-hand side, the last `or` varying fastest.
pub(super) fn branches(conditions: &[Condition]) -> Result<Vec<Vec<Condition>>, Diagnostic> {
    let mut all: Vec<Vec<Condition>> = vec![Vec::new()];
    for condition in conditions {
        let alternatives = alternatives(condition)?;
        let mut next = Vec::with_capacity(all.len() * alternatives.len());
        for branch in &all {
            for alternative in &alternatives {
                let mut longer = branch.clone();
                longer.extend(alternative.iter().cloned());
                next.push(longer);
            }
        }
        if next.len() > MAXIMUM_BRANCHES {
            let span = span_of(condition);
            return Err(Diagnostic::new(span, format!("more than {MAXIMUM_BRANCHES} alternatives")));
        }
        all = next;
    }
    Ok(all)
}

fn span_of(condition: &Condition) -> crate::source::Span {
    match condition {
        Condition::Pattern(pattern) => pattern.span,
        Condition::And(parts) | Condition::Or(parts) => parts.first().map(span_of).unwrap_or_default(),
        Condition::Not(inner) | Condition::Exists(inner) => span_of(inner),
        Condition::Forall(_, span) => *span,
        Condition::Eval(expression) => expression.span,
        Condition::Accumulate(accumulate) => accumulate.span,
        Condition::Branch(branch) => branch.span,
    }
}

fn alternatives(condition: &Condition) -> Result<Vec<Vec<Condition>>, Diagnostic> {
    Ok(match condition {
        Condition::And(parts) => branches(parts)?,
        Condition::Or(parts) => {
            let mut all = Vec::new();
            for part in parts {
                all.extend(alternatives(part)?);
            }
            all
        }
        Condition::Not(inner) => vec![negation(alternatives(inner)?)],
        Condition::Exists(inner) => {
            let inner = alternatives(inner)?;
            if let [only] = &inner[..] {
                vec![vec![Condition::Exists(Box::new(group(only)))]]
            } else {
                // exists (P or Q) is not (not P and not Q).
                let none = negation(inner);
                vec![vec![Condition::Not(Box::new(group(&none)))]]
            }
        }
        Condition::Forall(patterns, span) => vec![vec![forall(patterns, *span)?]],
        other => vec![vec![other.clone()]],
    })
}

/// `not (P or Q)` is `not P` and `not Q`.
fn negation(alternatives: Vec<Vec<Condition>>) -> Vec<Condition> {
    alternatives.iter().map(|parts| Condition::Not(Box::new(group(parts)))).collect()
}

fn group(parts: &[Condition]) -> Condition {
    match parts {
        [only] => only.clone(),
        _ => Condition::And(parts.to_vec()),
    }
}

/// `forall (P Q)` is `not (P and not Q)`; with one pattern its constraints are negated instead.
fn forall(patterns: &[Condition], span: crate::source::Span) -> Result<Condition, Diagnostic> {
    match patterns {
        [Condition::Pattern(only)] => {
            let mut negated = (**only).clone();
            let tests: Vec<Expression> = negated.constraints.iter().map(|c| c.expression.clone()).collect();
            let Some(all) = tests.into_iter().reduce(|left, right| {
                let span = left.span;
                let kind = ExpressionKind::Binary(BinaryOperator::And, Box::new(left), Box::new(right));
                Expression { kind, span }
            }) else {
                return Err(Diagnostic::new(span, "`forall` over one pattern needs a constraint"));
            };
            let span = all.span;
            let kind = ExpressionKind::Unary(UnaryOperator::Not, Box::new(all));
            negated.constraints.truncate(1);
            negated.constraints[0].expression = Expression { kind, span };
            negated.constraints[0].binding = None;
            Ok(Condition::Not(Box::new(Condition::Pattern(Box::new(negated)))))
        }
        [first, rest @ ..] if !rest.is_empty() => {
            let none = Condition::Not(Box::new(group(rest)));
            Ok(Condition::Not(Box::new(Condition::And(vec![first.clone(), none]))))
        }
        _ => Err(Diagnostic::new(span, "`forall` needs a pattern")),
    }
}

/// Whether a branch is one plain pattern, which is matched without a network.
pub(super) fn is_single_pattern(branch: &[Condition]) -> Option<&Pattern> {
    match branch {
        [Condition::Pattern(pattern)] if pattern.source.is_none() => Some(pattern),
        _ => None,
    }
}
