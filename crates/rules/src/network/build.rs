//! Rules and queries to network nodes.

use std::collections::HashMap;

use super::declarations::{Access, Context, Declaration, Declarations, consequence, test, value};
use super::expand::{branches, is_single_pattern};
use super::pattern::{Analysed, analyse};
use super::{
    AccumulateNode, AlphaTest, BranchArm, Call, Call3, Conditions, FromNode, Function, FunctionKind, LeftInput, Mask,
    Network, Node, NodeId, NodeKind, Path, QueryArgument, QueryNode, QueryPlan, QueryStep, Right, RuleInfo, Salience,
    Segment, Sink, Step, Terminal, Total,
};
use crate::compile::{Compiled, Emitter, Environment, Purpose, names_in_expression, names_in_statements};
use crate::heap::Value;
use crate::program::Op;
use crate::source::{Diagnostic, Span};
use crate::syntax::ast::{
    self, Accumulate, AccumulateKind, BinaryOperator, Branch, Condition, Expression, ExpressionKind as E, File,
    InlineAccumulate, Literal, Pattern, PatternSource, Rule,
};
use crate::types::{Type, class};

/// Builds the network of a file whose types, functions and globals are already known.
pub(crate) fn build(env: &mut Environment, file: &File, source: &str) -> Network {
    let mut network = Network { groups: vec!["MAIN".to_owned()], ..Network::default() };
    for query in &file.queries {
        let (name, parameters) = (query.name.clone(), query.parameters.len());
        network.queries.push(QueryPlan { name, parameters, variables: parameters, branches: Vec::new() });
    }
    let mut builder = Builder {
        env,
        network,
        source,
        file,
        alphas: Vec::new(),
        alpha_keys: HashMap::new(),
        types: Vec::new(),
        roots: Vec::new(),
    };
    for index in 0..file.queries.len() {
        if let Err(error) = builder.query(index) {
            builder.env.report(error);
        }
    }
    for (index, rule) in file.rules.iter().enumerate() {
        builder.rule(index as u32, rule);
    }
    builder.list_steps();
    builder.cut();
    builder.network
}

/// A test with what follows it.
#[derive(Clone, Debug)]
struct Alpha {
    test: AlphaTest,
    /// In the order in which a fact visits them, which decides ties on the agenda: tests of equality
    /// with a literal, then of order with a literal, then all else as it was built.
    next: Vec<Next>,
    /// What kind of test it is, for that order.
    rank: u8,
}

/// What follows a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Alpha(u32),
    Sink(Sink),
}

struct Builder<'b> {
    env: &'b mut Environment,
    network: Network,
    source: &'b str,
    file: &'b File,
    alphas: Vec<Alpha>,
    alpha_keys: HashMap<(u32, String), u32>,
    /// Tests of types, in the order in which rules first used them.
    types: Vec<u32>,
    roots: Vec<NodeId>,
}

/// A path under construction.
#[derive(Clone)]
struct Tip<'r> {
    rule: u32,
    name: &'r str,
    node: Option<NodeId>,
    slots: u16,
    declarations: Declarations,
    /// Properties of bound facts that constraints of other patterns read.
    used: Vec<(String, String)>,
    /// The last pattern, whose properties the tests of a branch see.
    last: Option<(Type, u16)>,
}

/// What `rule extends` brings along.
fn inherited<'f>(file: &'f File, rule: &'f Rule, depth: usize) -> Compiled<Vec<&'f Condition>> {
    let mut conditions = Vec::new();
    if let Some((name, span)) = &rule.extends {
        let Some(parent) = file.rules.iter().find(|other| other.name == *name) else {
            return Err(Diagnostic::new(*span, format!("there is no rule \"{name}\" to extend")));
        };
        if depth > 64 {
            return Err(Diagnostic::new(*span, "rules extend each other in a circle"));
        }
        conditions = inherited(file, parent, depth + 1)?;
    }
    conditions.extend(&rule.condition);
    Ok(conditions)
}

impl<'b> Builder<'b> {
    fn rule(&mut self, index: u32, rule: &'b Rule) {
        let info = self.attributes(rule).unwrap_or_else(|error| {
            self.env.report(error);
            RuleInfo::default()
        });
        if self.file.rules[..index as usize].iter().any(|other| other.name == rule.name) {
            self.env.report(Diagnostic::new(rule.span, format!("a rule \"{}\" exists already", rule.name)));
        }
        self.network.rules.push(info);
        let result = inherited(self.file, rule, 0).and_then(|conditions| {
            let conditions: Vec<Condition> = conditions.into_iter().cloned().collect();
            for branch in branches(&conditions)? {
                self.branch(index, rule, &branch)?;
            }
            Ok(())
        });
        if let Err(error) = result {
            self.env.report(error);
        }
    }

    fn attributes(&mut self, rule: &Rule) -> Compiled<RuleInfo> {
        let line = self.source[..rule.span.start as usize].matches('\n').count() + 1;
        let mut info = RuleInfo { name: rule.name.clone(), enabled: true, line, ..RuleInfo::default() };
        let flag = |value: &Option<Expression>| match value.as_ref().map(|v| &v.kind) {
            Some(E::Literal(Literal::Boolean(value))) => Some(*value),
            None => Some(true),
            _ => None,
        };
        for attribute in &rule.attributes {
            let text = match attribute.value.as_ref().map(|v| &v.kind) {
                Some(E::Literal(Literal::String(text))) => String::from_utf8_lossy(text).into_owned(),
                _ => String::new(),
            };
            let need = |value: Option<bool>| {
                value
                    .ok_or_else(|| Diagnostic::new(attribute.span, format!("{} must be true or false", attribute.name)))
            };
            match attribute.name.as_str() {
                "no-loop" => info.no_loop = need(flag(&attribute.value))?,
                "lock-on-active" => info.lock_on_active = need(flag(&attribute.value))?,
                "auto-focus" => info.auto_focus = need(flag(&attribute.value))?,
                "enabled" => info.enabled = need(flag(&attribute.value))?,
                "agenda-group" if info.group != 0 => {}
                "agenda-group" | "ruleflow-group" => {
                    let groups = &mut self.network.groups;
                    info.group = position(groups, &text) as u16;
                }
                "activation-group" => {
                    info.activation_group = Some(position(&mut self.network.activation_groups, &text) as u16);
                }
                "date-effective" => info.effective = Some(rule_date(&text, attribute.span)?),
                "date-expires" => info.expires = Some(rule_date(&text, attribute.span)?),
                "dialect" if text != "java" => {
                    return Err(Diagnostic::new(attribute.span, format!("the dialect \"{text}\" is not supported"))
                        .with_hint("write consequences in Java; \"java\" is the default"));
                }
                _ => {}
            }
        }
        Ok(info)
    }

    fn branch(&mut self, index: u32, rule: &'b Rule, branch: &[Condition]) -> Compiled<()> {
        let mut tip = Tip {
            rule: index,
            name: &rule.name,
            node: None,
            slots: 0,
            declarations: Declarations::default(),
            used: properties_used(branch),
            last: None,
        };
        if let Some(pattern) = is_single_pattern(branch).filter(|p| self.query_of(p).is_none()) {
            let analysed = analyse(self.env, &mut tip.declarations, pattern, 0, &tip.used)?;
            let alpha = self.alpha(&analysed, &tip)?;
            let terminal = self.terminal(&tip, rule, &rule.consequence, None)?;
            self.alphas[alpha as usize].next.push(Next::Sink(Sink::Terminal(terminal, analysed.mask)));
            return Ok(());
        }
        // The main consequence is compiled last; named ones of branches then take its executor.
        let mut arms = Vec::new();
        for condition in branch {
            self.condition(&mut tip, condition, rule, &mut arms)?;
        }
        if tip.node.is_none() {
            self.initial(&mut tip);
        }
        let terminal = self.terminal(&tip, rule, &rule.consequence, None)?;
        for arm in arms {
            self.network.terminals[arm as usize].executor = terminal;
        }
        self.end(&mut tip, terminal);
        Ok(())
    }

    /// Closes a path with its terminal node.
    fn end(&mut self, tip: &mut Tip<'_>, terminal: u32) {
        let key = format!("terminal {terminal}");
        self.add(tip, NodeKind::Terminal { terminal }, key, None, Mask::NONE);
        self.network.terminals[terminal as usize].path = Some(0);
    }

    fn terminal(
        &mut self,
        tip: &Tip<'_>,
        rule: &Rule,
        statements: &[ast::Statement],
        executor: Option<u32>,
    ) -> Compiled<u32> {
        let salience = self.salience(tip, rule)?;
        let consequence = consequence(self.env, &tip.declarations, tip.name, statements, rule.span)?;
        let terminal = self.network.terminals.len() as u32;
        let executor = executor.unwrap_or(terminal);
        let rule = tip.rule;
        self.network.terminals.push(Terminal { rule, path: None, executor, consequence, salience });
        Ok(terminal)
    }

    fn salience(&mut self, tip: &Tip<'_>, rule: &Rule) -> Compiled<Salience> {
        let Some(attribute) = rule.attributes.iter().find(|a| a.name == "salience") else {
            return Ok(Salience::Fixed(0));
        };
        let Some(expression) = &attribute.value else {
            return Ok(Salience::Fixed(0));
        };
        if let Some(constant) = constant_salience(expression) {
            return Ok(Salience::Fixed(constant));
        }
        let context =
            Context { declarations: &tip.declarations, this: None, purpose: Purpose::Consequence, rule: tip.name };
        let (call, ty) = value(self.env, &context, expression)?;
        if !ty.is_numeric() {
            return Err(Diagnostic::new(expression.span, "the salience must be a number"));
        }
        Ok(Salience::Dynamic(call))
    }

    fn condition(
        &mut self,
        tip: &mut Tip<'b>,
        condition: &Condition,
        rule: &'b Rule,
        arms: &mut Vec<u32>,
    ) -> Compiled<()> {
        match condition {
            Condition::Pattern(pattern) => self.pattern(tip, pattern),
            Condition::And(parts) => {
                for part in parts {
                    self.condition(tip, part, rule, arms)?;
                }
                Ok(())
            }
            Condition::Not(inner) => self.existential(tip, inner, rule, true),
            Condition::Exists(inner) => self.existential(tip, inner, rule, false),
            Condition::Eval(expression) => self.eval(tip, expression),
            Condition::Accumulate(accumulate) => self.accumulate(tip, accumulate, None, rule),
            Condition::Branch(branch) => self.named(tip, branch, rule, arms),
            Condition::Or(_) | Condition::Forall(..) => {
                Err(Diagnostic::new(rule.span, "this use of `or` is not supported"))
            }
        }
    }

    fn initial(&mut self, tip: &mut Tip<'_>) {
        let alpha = self.type_alpha(AlphaTest::Initial);
        self.left(tip, alpha, Mask::ALL, None);
    }

    fn left(&mut self, tip: &mut Tip<'_>, alpha: u32, mask: Mask, slot: Option<u16>) {
        let key = format!("left {alpha} {mask:?} {slot:?}");
        let known = self.roots.iter().find(|node| self.network.nodes[**node as usize].key == key);
        let node = match known {
            Some(node) => *node,
            None => {
                let node = self.node(NodeKind::Left, None, key, slot, mask);
                self.roots.push(node);
                self.alphas[alpha as usize].next.push(Next::Sink(Sink::Left(node)));
                node
            }
        };
        tip.node = Some(node);
    }

    fn node(&mut self, kind: NodeKind, parent: Option<NodeId>, key: String, slot: Option<u16>, mask: Mask) -> NodeId {
        let id = self.network.nodes.len() as NodeId;
        let gates = match &kind {
            NodeKind::Left | NodeKind::Join { .. } => true,
            NodeKind::Exists { right, .. } => *right == Right::Facts,
            NodeKind::Not { test, right } => *right == Right::Facts && test.is_none(),
            _ => false,
        };
        let node = Node {
            kind,
            parent,
            children: Vec::new(),
            slot,
            mask,
            key,
            segment: 0,
            paths: Vec::new(),
            gates,
            left: LeftInput::default(),
        };
        self.network.nodes.push(node);
        if let Some(parent) = parent {
            self.network.nodes[parent as usize].children.push(id);
        }
        id
    }

    /// Appends a node to the path, or takes an equal one that is there already. True if it is new.
    fn add(&mut self, tip: &mut Tip<'_>, kind: NodeKind, key: String, slot: Option<u16>, mask: Mask) -> bool {
        let parent = tip.node;
        if let Some(parent) = parent {
            let children = &self.network.nodes[parent as usize].children;
            if let Some(known) = children.iter().find(|child| self.network.nodes[**child as usize].key == key) {
                tip.node = Some(*known);
                return false;
            }
        }
        tip.node = Some(self.node(kind, parent, key, slot, mask));
        true
    }

    /// An expression's structure as text, without positions: equal texts are equal constraints.
    fn text(&self, expression: &Expression) -> String {
        let whole = format!("{:?}", expression.kind);
        let mut text = String::with_capacity(whole.len() / 2);
        let mut rest = whole.as_str();
        while let Some(at) = rest.find("Span {") {
            text += &rest[..at];
            rest = rest[at..].find('}').map_or("", |end| &rest[at + end + 1..]);
        }
        text + rest
    }

    fn texts(&self, tip: &Tip<'_>, expressions: &[Expression]) -> String {
        let mut key = String::new();
        for expression in expressions {
            key += &self.text(expression);
            for name in names_in_expression(expression) {
                if let Some(declaration) = tip.declarations.get(&name) {
                    key += &format!("@{}", declaration.slot);
                }
            }
            key.push(';');
        }
        key
    }

    fn query_of(&self, pattern: &Pattern) -> Option<u32> {
        let found = self.network.queries.iter().position(|query| query.name == pattern.ty.name)?;
        Some(found as u32)
    }

    fn pattern(&mut self, tip: &mut Tip<'b>, pattern: &Pattern) -> Compiled<()> {
        if let Some(query) = self.query_of(pattern) {
            return self.query_call(tip, pattern, query);
        }
        match &pattern.source {
            Some(PatternSource::From(source)) => return self.from(tip, pattern, source),
            Some(PatternSource::Collect(inner)) => {
                let accumulate = collect(inner, pattern.span);
                return self.accumulate(tip, &accumulate, Some(pattern), &self.file.rules[tip.rule as usize]);
            }
            Some(PatternSource::Accumulate(accumulate)) => {
                return self.accumulate(tip, accumulate, Some(pattern), &self.file.rules[tip.rule as usize]);
            }
            None => {}
        }
        let slot = tip.slots;
        tip.slots += 1;
        let analysed = analyse(self.env, &mut tip.declarations, pattern, slot, &tip.used)?;
        let alpha = self.alpha(&analysed, tip)?;
        tip.last = Some((analysed.ty.clone(), slot));
        if tip.node.is_none() && analysed.beta.is_empty() {
            self.left(tip, alpha, analysed.mask, Some(slot));
            return Ok(());
        }
        if tip.node.is_none() {
            self.initial(tip);
        }
        let key = format!("join {alpha} {:?} {} {slot}", analysed.mask, self.texts(tip, &analysed.beta));
        let test = self.beta(tip, &analysed, slot)?;
        if self.add(tip, NodeKind::Join { test }, key, Some(slot), analysed.mask) {
            self.right_sink(alpha, tip);
        }
        Ok(())
    }

    fn right_sink(&mut self, alpha: u32, tip: &Tip<'_>) {
        if let Some(node) = tip.node {
            self.alphas[alpha as usize].next.push(Next::Sink(Sink::Right(node)));
        }
    }

    fn beta(&mut self, tip: &Tip<'_>, analysed: &Analysed, slot: u16) -> Compiled<Option<Call>> {
        let context = Context {
            declarations: &tip.declarations,
            this: Some((analysed.ty.clone(), slot)),
            purpose: Purpose::Constraint,
            rule: tip.name,
        };
        let tests: Vec<&Expression> = analysed.beta.iter().collect();
        test(self.env, &context, &tests)
    }

    fn type_alpha(&mut self, test: AlphaTest) -> u32 {
        if let Some(known) = self.types.iter().find(|t| self.alphas[**t as usize].test == test) {
            return *known;
        }
        let id = self.new_alpha(test);
        self.types.push(id);
        id
    }

    fn new_alpha(&mut self, test: AlphaTest) -> u32 {
        let id = self.alphas.len() as u32;
        self.alphas.push(Alpha { test, next: Vec::new(), rank: 2 });
        id
    }

    /// The end of the chain of tests for a pattern, shared with patterns that begin alike.
    fn alpha(&mut self, analysed: &Analysed, tip: &Tip<'_>) -> Compiled<u32> {
        let mut at = self.type_alpha(AlphaTest::Class(analysed.class));
        for expression in &analysed.alpha {
            let key = (at, self.text(expression) + &format!("#{}", self.names_of_bindings(expression, tip)));
            if let Some(known) = self.alpha_keys.get(&key) {
                at = *known;
                continue;
            }
            let test = self.alpha_test(analysed, expression, tip)?;
            let id = self.new_alpha(test);
            self.alphas[id as usize].rank = rank(expression);
            self.alphas[at as usize].next.push(Next::Alpha(id));
            self.alpha_keys.insert(key, id);
            at = id;
        }
        Ok(at)
    }

    /// Bindings of the pattern itself that a test uses, by what they stand for.
    fn names_of_bindings(&self, expression: &Expression, tip: &Tip<'_>) -> String {
        let mut key = String::new();
        for name in names_in_expression(expression) {
            if let Some(Declaration { access: Access::Expression(bound, _), .. }) = tip.declarations.get(&name) {
                key += &self.text(bound);
            }
        }
        key
    }

    fn alpha_test(&mut self, analysed: &Analysed, expression: &Expression, tip: &Tip<'_>) -> Compiled<AlphaTest> {
        if self.env.classes.is_subclass(analysed.class, class::MAP) {
            if let Some(test) = self.key_test(expression)? {
                return Ok(test);
            }
        }
        let context = Context {
            declarations: &tip.declarations,
            this: Some((analysed.ty.clone(), tip.slots.saturating_sub(1))),
            purpose: Purpose::Constraint,
            rule: tip.name,
        };
        match test(self.env, &context, &[expression])? {
            Some(call) => Ok(AlphaTest::Code(call.code)),
            None => Err(Diagnostic::new(expression.span, "expected a constraint")),
        }
    }

    /// `this["key"] == literal` and its like, which need no code.
    fn key_test(&mut self, expression: &Expression) -> Compiled<Option<AlphaTest>> {
        let E::Binary(operator, left, right) = &expression.kind else {
            return Ok(None);
        };
        let E::Index(target, key) = &left.kind else {
            return Ok(None);
        };
        let (E::This, E::Literal(Literal::String(key))) = (&target.kind, &key.kind) else {
            return Ok(None);
        };
        let E::Literal(literal) = &right.kind else {
            return Ok(None);
        };
        let negated = *operator == BinaryOperator::NotEqual;
        if !negated && *operator != BinaryOperator::Equal {
            return Ok(None);
        }
        let constant = match literal {
            Literal::Null => {
                let key = self.env.text_constant(key, expression.span)?;
                return Ok(Some(AlphaTest::KeyNull { key, negated }));
            }
            _ if negated => return Ok(None),
            Literal::String(text) => self.env.text_constant(text, expression.span)?,
            Literal::Boolean(value) => self.env.constant(Value::Boolean(*value), expression.span)?,
            Literal::Integer(value) => self.env.constant(Value::Integer(*value), expression.span)?,
            _ => return Ok(None),
        };
        let key = self.env.text_constant(key, expression.span)?;
        Ok(Some(AlphaTest::KeyEquals { key, constant }))
    }

    fn eval(&mut self, tip: &mut Tip<'_>, expression: &Expression) -> Compiled<()> {
        if tip.node.is_none() {
            self.initial(tip);
        }
        let context =
            Context { declarations: &tip.declarations, this: None, purpose: Purpose::Constraint, rule: tip.name };
        let key = format!("eval {}", self.texts(tip, std::slice::from_ref(expression)));
        if let Some(test) = test(self.env, &context, &[expression])? {
            self.add(tip, NodeKind::Eval { test }, key, None, Mask::NONE);
        }
        Ok(())
    }

    fn from(&mut self, tip: &mut Tip<'_>, pattern: &Pattern, source: &Expression) -> Compiled<()> {
        if tip.node.is_none() {
            self.initial(tip);
        }
        let context =
            Context { declarations: &tip.declarations, this: None, purpose: Purpose::Constraint, rule: tip.name };
        let (call, _) = value(self.env, &context, source)?;
        let slot = tip.slots;
        tip.slots += 1;
        let mut plain = pattern.clone();
        plain.source = None;
        let key_names = self.texts(tip, std::slice::from_ref(source));
        let analysed = analyse(self.env, &mut tip.declarations, &plain, slot, &[])?;
        tip.last = Some((analysed.ty.clone(), slot));
        let test = self.all_tests(tip, &analysed, slot)?;
        let all: Vec<Expression> = analysed.alpha.iter().chain(&analysed.beta).cloned().collect();
        let key = format!("from {key_names} {} {}", analysed.class, self.texts(tip, &all));
        let node = FromNode { source: call, class: analysed.class, test };
        self.add(tip, NodeKind::From(Box::new(node)), key, Some(slot), Mask::ALL);
        Ok(())
    }

    fn all_tests(&mut self, tip: &Tip<'_>, analysed: &Analysed, slot: u16) -> Compiled<Option<Call>> {
        let context = Context {
            declarations: &tip.declarations,
            this: Some((analysed.ty.clone(), slot)),
            purpose: Purpose::Constraint,
            rule: tip.name,
        };
        let tests: Vec<&Expression> = analysed.alpha.iter().chain(&analysed.beta).collect();
        test(self.env, &context, &tests)
    }

    fn existential(&mut self, tip: &mut Tip<'b>, inner: &Condition, rule: &'b Rule, negated: bool) -> Compiled<()> {
        if tip.node.is_none() {
            self.initial(tip);
        }
        let make = |test, right| {
            if negated { NodeKind::Not { test, right } } else { NodeKind::Exists { test, right } }
        };
        let word = if negated { "not" } else { "exists" };
        if let Condition::Pattern(pattern) = inner {
            if pattern.source.is_none() && self.query_of(pattern).is_none() {
                let slot = tip.slots;
                tip.slots += 1;
                let mut local = tip.clone();
                let analysed = analyse(self.env, &mut local.declarations, pattern, slot, &tip.used)?;
                let alpha = self.alpha(&analysed, &local)?;
                let key = format!("{word} {alpha} {:?} {}", analysed.mask, self.texts(&local, &analysed.beta));
                let test = self.beta(&local, &analysed, slot)?;
                tip.slots = slot;
                if self.add(tip, make(test, Right::Facts), key, None, analysed.mask) {
                    self.right_sink(alpha, tip);
                }
                return Ok(());
            }
        }
        self.subnetwork(tip, inner, rule, |_| Ok(make(None, Right::Subnetwork)), None)
    }

    /// Builds the conditions of a group as a path of their own that feeds the right side of a node.
    fn subnetwork(
        &mut self,
        tip: &mut Tip<'b>,
        inner: &Condition,
        rule: &'b Rule,
        kind: impl FnOnce((&mut Self, &Tip<'b>)) -> Compiled<NodeKind>,
        slot: Option<u16>,
    ) -> Compiled<()> {
        let mut inside = tip.clone();
        self.condition(&mut inside, inner, rule, &mut Vec::new())?;
        let unique = self.network.nodes.len();
        let kind = kind((self, &inside))?;
        self.add(&mut inside, NodeKind::RightInput { target: 0 }, format!("input {unique}"), None, Mask::NONE);
        self.add(tip, kind, format!("group {unique}"), slot, Mask::ALL);
        if let (Some(input), Some(target)) = (inside.node, tip.node) {
            self.network.nodes[input as usize].kind = NodeKind::RightInput { target };
        }
        Ok(())
    }

    fn accumulate(
        &mut self,
        tip: &mut Tip<'b>,
        accumulate: &Accumulate,
        result: Option<&Pattern>,
        rule: &'b Rule,
    ) -> Compiled<()> {
        if tip.node.is_none() {
            self.initial(tip);
        }
        let plain = match &accumulate.source {
            Condition::Pattern(pattern) if pattern.source.is_none() && self.query_of(pattern).is_none() => {
                Some(pattern)
            }
            _ => None,
        };
        // The result's slot comes after those of the source, which are gone behind the node.
        if let Some(pattern) = plain {
            let slot = tip.slots;
            let mut local = tip.clone();
            local.slots += 1;
            let analysed = analyse(self.env, &mut local.declarations, pattern, slot, &tip.used)?;
            let alpha = self.alpha(&analysed, &local)?;
            let test = self.beta(&local, &analysed, slot)?;
            let this = Some((analysed.ty.clone(), slot));
            let (functions, types) = self.functions(&local, accumulate, this)?;
            tip.slots = slot + 1;
            let mut node =
                self.accumulate_result(tip, accumulate, result, functions, &types, Right::Facts, test, slot)?;
            node.indexed = analysed.beta.iter().any(|test| matches!(test.kind, E::Binary(BinaryOperator::Equal, ..)));
            let unique = self.network.nodes.len();
            let kind = NodeKind::Accumulate(Box::new(node));
            if self.add(tip, kind, format!("accumulate {unique}"), Some(slot), analysed.mask) {
                self.right_sink(alpha, tip);
            }
            return Ok(());
        }
        let slot = tip.slots;
        let mut outer = tip.clone();
        let mut declared = None;
        self.subnetwork(
            tip,
            &accumulate.source,
            rule,
            |(builder, inside)| {
                let (functions, types) = builder.functions(inside, accumulate, None)?;
                outer.slots = slot + 1;
                let right = Right::Subnetwork;
                let node =
                    builder.accumulate_result(&mut outer, accumulate, result, functions, &types, right, None, slot)?;
                declared = Some(outer.declarations.clone());
                Ok(NodeKind::Accumulate(Box::new(node)))
            },
            Some(slot),
        )?;
        tip.slots = slot + 1;
        if let Some(declarations) = declared {
            tip.declarations = declarations;
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one accumulate")]
    fn accumulate_result(
        &mut self,
        tip: &mut Tip<'_>,
        accumulate: &Accumulate,
        result: Option<&Pattern>,
        functions: Vec<Function>,
        types: &[Type],
        right: Right,
        test_call: Option<Call>,
        slot: u16,
    ) -> Compiled<AccumulateNode> {
        let single = functions.len() == 1;
        let uses_left = functions.iter().any(|f| f.argument.as_ref().is_some_and(|call| !call.slots.is_empty()));
        let mut class = class::OBJECT;
        let this = if single { types[0].clone() } else { Type::Array(Type::object().into()) };
        let result_test = match result {
            Some(pattern) => {
                let mut plain = pattern.clone();
                plain.source = None;
                let analysed = analyse(self.env, &mut tip.declarations, &plain, slot, &[])?;
                class = analysed.class;
                self.all_tests(tip, &analysed, slot)?
            }
            None => {
                self.declare_results(tip, accumulate, types, slot, single)?;
                let tests: Vec<&Expression> = accumulate.constraints.iter().map(|c| &c.expression).collect();
                let context = Context {
                    declarations: &tip.declarations,
                    this: Some((this, slot)),
                    purpose: Purpose::Constraint,
                    rule: tip.name,
                };
                test(self.env, &context, &tests)?
            }
        };
        Ok(AccumulateNode { right, test: test_call, indexed: false, functions, single, class, result_test, uses_left })
    }

    fn declare_results(
        &mut self,
        tip: &mut Tip<'_>,
        accumulate: &Accumulate,
        types: &[Type],
        slot: u16,
        single: bool,
    ) -> Compiled<()> {
        let AccumulateKind::Functions(functions) = &accumulate.kind else {
            return Ok(());
        };
        for (index, (function, ty)) in functions.iter().zip(types).enumerate() {
            let Some(binding) = &function.binding else {
                continue;
            };
            if tip.declarations.get(&binding.name).is_some() {
                return Err(Diagnostic::new(binding.span, format!("`{}` is already bound", binding.name)));
            }
            let access = if single { Access::Fact } else { Access::Element(index as u16) };
            tip.declarations.insert(binding.name.clone(), Declaration { slot, ty: ty.clone(), access });
        }
        Ok(())
    }

    fn functions(
        &mut self,
        tip: &Tip<'_>,
        accumulate: &Accumulate,
        this: Option<(Type, u16)>,
    ) -> Compiled<(Vec<Function>, Vec<Type>)> {
        let list = match &accumulate.kind {
            AccumulateKind::Inline(inline) => {
                let (function, ty) = self.inline(tip, inline, this, accumulate.span)?;
                return Ok((vec![function], vec![ty]));
            }
            AccumulateKind::Functions(list) => list,
        };
        if list.is_empty() {
            return Err(Diagnostic::new(accumulate.span, "an accumulate needs a function"));
        }
        let (mut functions, mut types) = (Vec::new(), Vec::new());
        for function in list {
            let context = Context {
                declarations: &tip.declarations,
                this: this.clone(),
                purpose: Purpose::Constraint,
                rule: tip.name,
            };
            let (argument, ty) = match &function.arguments[..] {
                [] if function.name == "count" => (None, Type::object()),
                [one] => {
                    let (call, ty) = value(self.env, &context, one)?;
                    (Some(call), ty)
                }
                _ => {
                    return Err(Diagnostic::new(function.span, format!("`{}` takes one argument", function.name)));
                }
            };
            let decimal = ty.is_class(class::BIG_DECIMAL);
            let (kind, result) = match function.name.as_str() {
                "count" => (FunctionKind::Count, Type::of(class::LONG)),
                "sum" => {
                    let total = match ty.unboxed() {
                        Some(Type::Int | Type::Short | Type::Byte) => Total::Integer,
                        Some(Type::Long) => Total::Long,
                        _ if decimal => Total::Decimal,
                        _ if ty.is_class(class::BIG_INTEGER) => Total::BigInteger,
                        _ => Total::Double,
                    };
                    let result = match total {
                        Total::Integer => class::INTEGER,
                        Total::Long => class::LONG,
                        Total::Double => class::DOUBLE,
                        Total::Decimal => class::BIG_DECIMAL,
                        Total::BigInteger => class::BIG_INTEGER,
                    };
                    (FunctionKind::Sum(total), Type::of(result))
                }
                "min" => (FunctionKind::Minimum, ty.boxed()),
                "max" => (FunctionKind::Maximum, ty.boxed()),
                "average" | "avg" => {
                    (FunctionKind::Average, Type::of(if decimal { class::BIG_DECIMAL } else { class::DOUBLE }))
                }
                "variance" => (FunctionKind::Variance, Type::of(class::DOUBLE)),
                "standardDeviation" => (FunctionKind::Deviation, Type::of(class::DOUBLE)),
                "collectList" => (FunctionKind::CollectList, Type::with(class::LIST, [ty.boxed()])),
                "collectSet" => (FunctionKind::CollectSet, Type::with(class::SET, [ty.boxed()])),
                other => {
                    return Err(Diagnostic::new(function.span, format!("unknown accumulate function `{other}`"))
                        .with_hint("known: count, sum, min, max, average, variance, standardDeviation, collectList, collectSet"));
                }
            };
            functions.push(Function { kind, argument });
            types.push(result);
        }
        Ok((functions, types))
    }

    /// `init`, `action`, `reverse` and `result` as four code units over one array of variables.
    fn inline(
        &mut self,
        tip: &Tip<'_>,
        inline: &InlineAccumulate,
        this: Option<(Type, u16)>,
        span: Span,
    ) -> Compiled<(Function, Type)> {
        let mut variables: Vec<(String, Type)> = Vec::new();
        for statement in &inline.init {
            if let ast::StatementKind::Local { ty, declarators } = &statement.kind {
                for (name, _, _) in declarators {
                    variables.push((name.clone(), self.env.resolve(ty)?));
                }
            }
        }
        let init = {
            let mut emitter = Emitter::new(self.env, Purpose::Function);
            for statement in &inline.init {
                emitter.statement(statement)?;
            }
            save_state(&mut emitter, &variables, None, span)?;
            let code = emitter.finish("init", span)?;
            self.env.add_code(code)
        };
        let step = |builder: &mut Self, statements: &[ast::Statement]| -> Compiled<Call3> {
            let used = names_in_statements(statements);
            let context = Context {
                declarations: &tip.declarations,
                this: this.clone(),
                purpose: Purpose::Function,
                rule: tip.name,
            };
            // The state comes last among the arguments.
            let mut prepared = super::declarations::prepare(builder.env, &context, &used, span)?;
            let state = prepared.extra;
            load_state(&mut prepared.emitter, &variables, state, span)?;
            for statement in statements {
                prepared.emitter.statement(statement)?;
            }
            save_state(&mut prepared.emitter, &variables, Some(state), span)?;
            let slots = prepared.slots;
            let code = prepared.emitter.finish("action", span)?;
            Ok(Call3 { code: builder.env.add_code(code), slots })
        };
        let action = Box::new(step(self, &inline.action)?);
        let reverse = match &inline.reverse {
            Some(statements) => Some(Box::new(step(self, statements)?)),
            None => None,
        };
        let mut emitter = Emitter::new(self.env, Purpose::Function);
        let state = emitter.register(span)?;
        load_state(&mut emitter, &variables, state, span)?;
        let to = emitter.register(span)?;
        let ty = emitter.value(&inline.result, to)?;
        emitter.emit(Op::Return { from: to }, span);
        let code = emitter.finish("result", span)?;
        let result = self.env.add_code(code);
        let kind = FunctionKind::Inline { init, action, reverse, result, variables: variables.len() as u8 };
        Ok((Function { kind, argument: None }, ty.boxed()))
    }

    fn named(&mut self, tip: &mut Tip<'b>, branch: &Branch, rule: &'b Rule, arms: &mut Vec<u32>) -> Compiled<()> {
        let body = |target: &str| rule.named.iter().find(|(name, _)| name == target).map(|(_, body)| body);
        if branch.test.is_none() {
            let Some(statements) = body(&branch.target) else {
                return Err(missing(branch));
            };
            let terminal = self.terminal(tip, rule, statements, None)?;
            let mut side = tip.clone();
            self.end(&mut side, terminal);
            return Ok(());
        }
        let mut list = Vec::new();
        let mut at = Some(branch);
        while let Some(arm) = at {
            let Some(statements) = body(&arm.target) else {
                return Err(missing(arm));
            };
            let test = match &arm.test {
                Some(expression) => {
                    let context = Context {
                        declarations: &tip.declarations,
                        this: tip.last.clone(),
                        purpose: Purpose::Constraint,
                        rule: tip.name,
                    };
                    test(self.env, &context, &[expression])?
                }
                None => None,
            };
            let terminal = self.terminal(tip, rule, statements, None)?;
            arms.push(terminal);
            list.push(BranchArm { test, terminal, breaks: arm.breaks });
            at = arm.otherwise.as_deref();
        }
        let slot = tip.last.as_ref().map(|(_, slot)| *slot);
        let unique = self.network.nodes.len();
        self.add(tip, NodeKind::Branch(list), format!("branch {unique} {slot:?}"), None, Mask::NONE);
        Ok(())
    }

    fn query_call(&mut self, tip: &mut Tip<'_>, pattern: &Pattern, query: u32) -> Compiled<()> {
        if tip.node.is_none() {
            self.initial(tip);
        }
        let parameters = self.file.queries[query as usize].parameters.clone();
        let given = if pattern.has_positional { &pattern.positional } else { &pattern.constraints };
        if given.len() != parameters.len() {
            let message = format!("the query takes {} arguments, {} given", parameters.len(), given.len());
            return Err(Diagnostic::new(pattern.span, message));
        }
        let slot = tip.slots;
        tip.slots += 1;
        let mut arguments = Vec::new();
        for (index, (argument, parameter)) in given.iter().zip(&parameters).enumerate() {
            let expression = &argument.expression;
            if let E::Name(name) = &expression.kind {
                if tip.declarations.get(name).is_none() && !self.env.globals.contains_key(name) {
                    let ty = self.env.resolve(&parameter.ty)?.boxed();
                    let access = Access::Element(index as u16);
                    tip.declarations.insert(name.clone(), Declaration { slot, ty, access });
                    arguments.push(None);
                    continue;
                }
            }
            let context =
                Context { declarations: &tip.declarations, this: None, purpose: Purpose::Constraint, rule: tip.name };
            arguments.push(Some(value(self.env, &context, expression)?.0));
        }
        let unique = self.network.nodes.len();
        let kind = NodeKind::Query(Box::new(QueryNode { query, arguments }));
        self.add(tip, kind, format!("query {unique}"), Some(slot), Mask::ALL);
        if !pattern.pull {
            let mut classes = Vec::new();
            query_classes(&self.network.queries, query, &mut classes, &mut Vec::new());
            for class in classes {
                let alpha = self.type_alpha(AlphaTest::Class(class));
                if let Some(node) = tip.node {
                    self.alphas[alpha as usize].next.push(Next::Sink(Sink::Query(node)));
                }
            }
        }
        Ok(())
    }

    fn query(&mut self, index: usize) -> Compiled<()> {
        let query = &self.file.queries[index];
        let mut variables: Vec<(String, Type)> = Vec::new();
        for parameter in &query.parameters {
            variables.push((parameter.name.clone(), self.env.resolve(&parameter.ty)?.boxed()));
        }
        let mut all = Vec::new();
        for branch in branches(&query.condition)? {
            let mut steps = Vec::new();
            for condition in &branch {
                self.query_step(condition, &mut variables, &mut steps)?;
            }
            all.push(steps);
        }
        let plan = &mut self.network.queries[index];
        plan.variables = variables.len();
        plan.branches = all;
        Ok(())
    }

    fn query_step(
        &mut self,
        condition: &Condition,
        variables: &mut Vec<(String, Type)>,
        steps: &mut Vec<QueryStep>,
    ) -> Compiled<()> {
        match condition {
            Condition::And(parts) => {
                for part in parts {
                    self.query_step(part, variables, steps)?;
                }
            }
            Condition::Pattern(pattern) => {
                if let Some(query) = self.query_of(pattern) {
                    let given = if pattern.has_positional { &pattern.positional } else { &pattern.constraints };
                    let mut arguments = Vec::new();
                    for argument in given {
                        arguments.push(match &argument.expression.kind {
                            E::Name(name) => QueryArgument::Variable(variable(variables, name, Type::object())),
                            _ => QueryArgument::Value(self.query_code(&argument.expression, variables, None, false)?.0),
                        });
                    }
                    steps.push(QueryStep::Call { query, arguments });
                    return Ok(());
                }
                if pattern.source.is_some() {
                    return Err(Diagnostic::new(pattern.span, "`from` is not supported in queries"));
                }
                self.query_pattern(pattern, variables, steps)?;
            }
            Condition::Eval(expression) => {
                let (code, _) = self.query_code(expression, variables, None, true)?;
                steps.push(QueryStep::Eval { code });
            }
            Condition::Not(inner) | Condition::Exists(inner) => {
                let mut nested = Vec::new();
                self.query_step(inner, variables, &mut nested)?;
                let not = matches!(condition, Condition::Not(_));
                steps.push(if not { QueryStep::Not(nested) } else { QueryStep::Exists(nested) });
            }
            Condition::Accumulate(accumulate) => {
                return Err(Diagnostic::new(accumulate.span, "accumulate is not supported in queries"));
            }
            _ => {
                let span = self.file.queries.first().map(|query| query.span).unwrap_or_default();
                return Err(Diagnostic::new(span, "this condition is not supported in queries"));
            }
        }
        Ok(())
    }

    fn query_pattern(
        &mut self,
        pattern: &Pattern,
        variables: &mut Vec<(String, Type)>,
        steps: &mut Vec<QueryStep>,
    ) -> Compiled<()> {
        let ty = self.env.resolve(&pattern.ty)?;
        let Some(class) = ty.class() else {
            return Err(Diagnostic::new(pattern.span, "expected a type of facts"));
        };
        let fact = pattern.binding.as_ref().map(|binding| variable(variables, &binding.name, ty.clone()));
        let (mut tests, mut binds) = (Vec::new(), Vec::new());
        let fields = self.env.classes.get(class).fields.clone();
        for (index, argument) in pattern.positional.iter().enumerate() {
            let span = argument.expression.span;
            let Some(field) = fields.get(index) else {
                return Err(Diagnostic::new(span, "too many arguments"));
            };
            let property = Expression { kind: E::Name(field.name.to_string()), span };
            if let E::Name(name) = &argument.expression.kind {
                let (code, bound) = self.query_code(&property, variables, Some(&ty), false)?;
                binds.push((variable(variables, name, bound), code));
            } else {
                let equal = Emitter::equal_test(property, argument.expression.clone());
                tests.push(self.query_code(&equal, variables, Some(&ty), true)?.0);
            }
        }
        for constraint in &pattern.constraints {
            match &constraint.binding {
                Some(binding) => {
                    let (code, bound) = self.query_code(&constraint.expression, variables, Some(&ty), false)?;
                    binds.push((variable(variables, &binding.name, bound), code));
                }
                None => tests.push(self.query_code(&constraint.expression, variables, Some(&ty), true)?.0),
            }
        }
        steps.push(QueryStep::Pattern { class, tests, binds, fact });
        Ok(())
    }

    /// Code that takes `this` and all variables known so far.
    fn query_code(
        &mut self,
        expression: &Expression,
        variables: &[(String, Type)],
        this: Option<&Type>,
        is_test: bool,
    ) -> Compiled<(u32, Type)> {
        let span = expression.span;
        let mut emitter = Emitter::new(self.env, Purpose::Constraint);
        let first = emitter.register(span)?;
        emitter.this = this.map(|ty| (first, ty.clone()));
        for (name, ty) in variables {
            emitter.declare(name, ty.clone(), span)?;
        }
        let to = emitter.register(span)?;
        let mut ty = Type::Boolean;
        if is_test {
            let fails = emitter.label();
            emitter.branch(expression, false, fails)?;
            emitter.load_constant(Value::Boolean(true), to, span)?;
            emitter.emit(Op::Return { from: to }, span);
            emitter.place(fails);
            emitter.load_constant(Value::Boolean(false), to, span)?;
        } else {
            ty = emitter.value(expression, to)?.boxed();
        }
        emitter.emit(Op::Return { from: to }, span);
        let code = emitter.finish("query", span)?;
        Ok((self.env.add_code(code), ty))
    }

    /// Lists what a fact comes to, with what follows each test in the order of visits.
    fn list_steps(&mut self) {
        let ranks: Vec<u8> = self.alphas.iter().map(|alpha| alpha.rank).collect();
        for alpha in &mut self.alphas {
            alpha.next.sort_by_key(|next| match next {
                Next::Alpha(id) => ranks[*id as usize],
                Next::Sink(_) => 2,
            });
        }
        for test in 0..self.types.len() {
            self.add_steps(self.types[test]);
        }
    }

    /// A test as a step, and what follows it.
    fn add_steps(&mut self, alpha: u32) {
        let at = self.network.steps.len();
        let test = self.alphas[alpha as usize].test;
        self.network.steps.push(Step::Test { test, otherwise: 0 });
        for next in std::mem::take(&mut self.alphas[alpha as usize].next) {
            match next {
                Next::Alpha(child) => self.add_steps(child),
                Next::Sink(sink) => self.network.steps.push(Step::Sink(sink)),
            }
        }
        let otherwise = self.network.steps.len() as u32;
        self.network.steps[at] = Step::Test { test, otherwise };
    }

    /// Cuts the network into segments and lists the paths.
    fn cut(&mut self) {
        let mut pending: Vec<(NodeId, Option<u32>)> = self.roots.iter().rev().map(|root| (*root, None)).collect();
        while let Some((start, parent)) = pending.pop() {
            let segment = self.network.segments.len() as u32;
            let mut nodes = vec![start];
            let mut at = start;
            while let [only] = self.network.nodes[at as usize].children[..] {
                nodes.push(only);
                at = only;
            }
            for node in &nodes {
                self.network.nodes[*node as usize].segment = segment;
            }
            let children = self.network.nodes[at as usize].children.clone();
            pending.extend(children.iter().rev().map(|child| (*child, Some(segment))));
            self.network.segments.push(Segment { nodes, children: Vec::new() });
            if let Some(parent) = parent {
                self.network.segments[parent as usize].children.push(segment);
            }
        }
        for id in 0..self.network.nodes.len() as NodeId {
            match self.network.nodes[id as usize].kind {
                NodeKind::Terminal { terminal } => self.path(id, Some(terminal), None),
                NodeKind::RightInput { target } => {
                    self.path(id, None, Some(target));
                    self.group(id, target);
                }
                _ => {}
            }
        }
        self.list_left_inputs();
        self.list_conditions();
    }

    fn list_conditions(&mut self) {
        let network = &mut self.network;
        for path in &mut network.paths {
            let segment = &network.segments[path.segments[0] as usize];
            path.first = if segment.nodes.len() == 1 { (1, 0) } else { (0, 1) };
            let [last] = path.segments[path.first.0..] else { continue };
            let nodes = &network.segments[last as usize].nodes[path.first.1..];
            let Some((_, evals)) = nodes.split_last().filter(|_| path.terminal.is_some()) else { continue };
            let tests = evals.iter().map(|node| match &network.nodes[*node as usize].kind {
                NodeKind::Eval { test } => Some(test.clone()),
                _ => None,
            });
            path.conditions = tests.collect::<Option<_>>().map(|tests| Conditions { segment: last, tests });
        }
    }

    fn list_left_inputs(&mut self) {
        let network = &mut self.network;
        for id in 0..network.nodes.len() {
            let node = &network.nodes[id];
            if !matches!(node.kind, NodeKind::Left) {
                continue;
            }
            let segment = &network.segments[node.segment as usize];
            let segments = if segment.nodes.len() == 1 { segment.children.clone() } else { vec![node.segment] };
            let paths = node.paths.iter().map(|path| &network.paths[*path as usize]);
            let terminals = paths.map(|path| path.terminal.filter(|_| path.gates == [id as NodeId])).collect();
            network.nodes[id].left = LeftInput { segments, terminals };
        }
    }

    /// How the node `target` finds the matches that its subnetwork, which ends in `input`, extends.
    fn group(&mut self, input: NodeId, target: NodeId) {
        let nodes = &self.network.nodes;
        let parent = nodes[target as usize].parent;
        let mut depth = 0;
        let mut first = input;
        while nodes[first as usize].parent != parent {
            depth += 1;
            match nodes[first as usize].parent {
                Some(above) => first = above,
                None => break,
            }
        }
        let child = parent
            .and_then(|parent| nodes[parent as usize].children.iter().position(|child| *child == target))
            .unwrap_or(0);
        let path = (self.network.paths.len() - 1) as u32;
        let start = nodes[first as usize].segment;
        let segment = self.network.paths[path as usize].segments.iter().position(|s| *s == start).unwrap_or(0);
        self.network.groups_of.insert(target, super::Group { path, segment, depth, child });
    }

    fn path(&mut self, end: NodeId, terminal: Option<u32>, target: Option<NodeId>) {
        let index = self.network.paths.len() as u32;
        let mut path = Path { terminal, target, ..Path::default() };
        let mut at = Some(end);
        while let Some(node) = at {
            let data = &mut self.network.nodes[node as usize];
            data.paths.push(index);
            if data.gates {
                path.gates.push(node);
            }
            if path.segments.last() != Some(&data.segment) {
                path.segments.push(data.segment);
            }
            at = data.parent;
        }
        path.segments.reverse();
        self.network.paths.push(path);
        if let Some(terminal) = terminal {
            self.network.terminals[terminal as usize].path = Some(index);
        }
    }
}

/// The place of a test among those that follow the same one: equality with a literal, order, others.
fn rank(expression: &Expression) -> u8 {
    use BinaryOperator as B;
    match &expression.kind {
        E::Binary(operator, left, right) => {
            let property = matches!(left.kind, E::Name(_) | E::Field { .. } | E::This);
            let literal = matches!(right.kind, E::Literal(_) | E::Unary(..));
            match operator {
                _ if !property || !literal => 2,
                B::Equal => 0,
                B::Less | B::LessEqual | B::Greater | B::GreaterEqual => 1,
                _ => 2,
            }
        }
        _ => 2,
    }
}

fn missing(branch: &Branch) -> Diagnostic {
    Diagnostic::new(branch.span, format!("there is no consequence `then[{}]`", branch.target))
}

fn position(list: &mut Vec<String>, name: &str) -> usize {
    list.iter().position(|known| known == name).unwrap_or_else(|| {
        list.push(name.to_owned());
        list.len() - 1
    })
}

fn variable(variables: &mut Vec<(String, Type)>, name: &str, ty: Type) -> u16 {
    match variables.iter().position(|(known, _)| known == name) {
        Some(at) => at as u16,
        None => {
            variables.push((name.to_owned(), ty));
            (variables.len() - 1) as u16
        }
    }
}

fn constant_salience(expression: &Expression) -> Option<i32> {
    match &expression.kind {
        E::Literal(Literal::Integer(value)) => Some(*value),
        E::Unary(ast::UnaryOperator::Minus, inner) => constant_salience(inner).map(i32::wrapping_neg),
        _ => None,
    }
}

/// `dd-MMM-yyyy`, Drools' default, optionally with `HH:mm`.
fn rule_date(text: &str, span: Span) -> Compiled<i64> {
    let parsed = jiff::civil::DateTime::strptime("%d-%b-%Y %H:%M", text)
        .or_else(|_| jiff::civil::Date::strptime("%d-%b-%Y", text).map(|date| date.at(0, 0, 0, 0)));
    match parsed.map(|at| at.to_zoned(jiff::tz::TimeZone::UTC)) {
        Ok(Ok(zoned)) => Ok(zoned.timestamp().as_millisecond()),
        _ => Err(Diagnostic::new(span, format!("`{text}` is not a date")).with_hint("write it as 31-Dec-2026")),
    }
}

/// The accumulate that a `collect` is.
fn collect(pattern: &Pattern, span: Span) -> Accumulate {
    // A name that no rule file can spell, for patterns without one.
    let mut pattern = pattern.clone();
    let binding =
        pattern.binding.get_or_insert_with(|| ast::Binding { name: "collected fact".to_owned(), unify: false, span });
    let this = Expression { kind: E::Name(binding.name.clone()), span };
    let function =
        ast::AccumulateFunction { binding: None, name: "collectList".to_owned(), arguments: vec![this], span };
    Accumulate {
        source: Condition::Pattern(Box::new(pattern)),
        kind: AccumulateKind::Functions(vec![function]),
        constraints: Vec::new(),
        span,
    }
}

/// Which properties of bound facts the constraints of patterns read.
fn properties_used(branch: &[Condition]) -> Vec<(String, String)> {
    let mut used = Vec::new();
    branch.iter().for_each(|condition| collect_used(condition, &mut used));
    used
}

fn collect_used(condition: &Condition, used: &mut Vec<(String, String)>) {
    match condition {
        Condition::Pattern(pattern) => {
            for constraint in pattern.constraints.iter().chain(&pattern.positional) {
                crate::compile::walk(&constraint.expression, &mut |inner| {
                    if let E::Field { target, name, .. } = &inner.kind {
                        if let E::Name(fact) = &target.kind {
                            used.push((fact.clone(), name.clone()));
                        }
                    }
                });
            }
            match &pattern.source {
                Some(PatternSource::Collect(inner)) => collect_used(&Condition::Pattern(inner.clone()), used),
                Some(PatternSource::Accumulate(accumulate)) => collect_used(&accumulate.source, used),
                _ => {}
            }
        }
        Condition::And(parts) | Condition::Or(parts) | Condition::Forall(parts, _) => {
            parts.iter().for_each(|part| collect_used(part, used));
        }
        Condition::Not(inner) | Condition::Exists(inner) => collect_used(inner, used),
        Condition::Accumulate(accumulate) => collect_used(&accumulate.source, used),
        Condition::Eval(_) | Condition::Branch(_) => {}
    }
}

/// The types of facts that a query looks at, through the queries it calls.
fn query_classes(queries: &[QueryPlan], query: u32, classes: &mut Vec<u16>, seen: &mut Vec<u32>) {
    if seen.contains(&query) {
        return;
    }
    seen.push(query);
    let mut pending: Vec<&QueryStep> = queries[query as usize].branches.iter().flatten().collect();
    while let Some(step) = pending.pop() {
        match step {
            QueryStep::Pattern { class, .. } if !classes.contains(class) => classes.push(*class),
            QueryStep::Call { query, .. } => query_classes(queries, *query, classes, seen),
            QueryStep::Not(steps) | QueryStep::Exists(steps) => pending.extend(steps),
            _ => {}
        }
    }
}

/// Loads the variables of an inline accumulate from the state array.
fn load_state(emitter: &mut Emitter<'_>, variables: &[(String, Type)], state: u8, span: Span) -> Compiled<()> {
    for (index, (name, ty)) in variables.iter().enumerate() {
        let register = emitter.declare(name, ty.clone(), span)?;
        let place = emitter.register(span)?;
        emitter.load_constant(Value::Integer(index as i32), place, span)?;
        emitter.emit(Op::ArrayGet { to: register, of: state, at: place }, span);
    }
    Ok(())
}

/// Stores the variables into the state array, or into a new one that is returned.
fn save_state(emitter: &mut Emitter<'_>, variables: &[(String, Type)], state: Option<u8>, span: Span) -> Compiled<()> {
    let first = emitter.mark() as u8;
    for (name, _) in variables {
        let to = emitter.register(span)?;
        if let Some(local) = emitter.lookup(name) {
            let from = local.register;
            emitter.emit(Op::Move { to, from }, span);
        }
    }
    match state {
        None => {
            let to = emitter.register(span)?;
            emitter.emit(Op::NewArray { to, first, count: variables.len() as u8, kind: 9 }, span);
            emitter.emit(Op::Return { from: to }, span);
        }
        Some(state) => {
            for index in 0..variables.len() {
                let at = emitter.register(span)?;
                emitter.load_constant(Value::Integer(index as i32), at, span)?;
                emitter.emit(Op::ArraySet { of: state, at, from: first + index as u8 }, span);
            }
        }
    }
    Ok(())
}
