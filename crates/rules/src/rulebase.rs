//! A rule file, compiled.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use crate::compile::{Emitter, Environment, Purpose, Signature, dynamic, purity};
use crate::network::{Network, build};
use crate::program::Program;
use crate::source::{Diagnostic, LoadError};
use crate::syntax::ast::{Declaration, File, Function};
use crate::types::{Declared, FieldInfo, Type, class};

/// A compiled rule file, shared by any number of sessions and threads.
#[derive(Debug)]
pub struct RuleBase {
    pub(crate) program: Program,
    pub(crate) network: Network,
    globals: Vec<GlobalInfo>,
}

/// A global of a rule file.
#[derive(Clone, Debug)]
pub struct GlobalInfo {
    /// Its name.
    pub name: String,
    /// What a session fills it with.
    pub kind: GlobalKind,
}

/// The Java types that globals have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GlobalKind {
    /// `List`, `ArrayList`, `Collection`.
    List,
    /// `Map`, `HashMap`, `LinkedHashMap`.
    Map,
    /// `Set` and its kinds.
    Set,
    /// Any other type, which starts as null.
    Other,
}

impl RuleBase {
    /// Compiles the text of a rule file; `file` is its name in messages.
    ///
    /// # Errors
    /// All errors of the file, each with its position.
    pub fn compile(file: &str, source: &str) -> Result<Self, LoadError> {
        Self::compile_in(Environment::new(), file, source)
    }

    /// The same without the optimizer.
    #[cfg(test)]
    pub(crate) fn compile_plainly(file: &str, source: &str) -> Result<Self, LoadError> {
        let mut env = Environment::new();
        env.is_plain = true;
        Self::compile_in(env, file, source)
    }

    fn compile_in(mut env: Environment, file: &str, source: &str) -> Result<Self, LoadError> {
        let (tree, errors) = crate::syntax::parse(source);
        env.diagnostics = errors;
        env.package.clone_from(&tree.package);
        import(&mut env, &tree);
        declare(&mut env, &tree);
        let globals = globals(&mut env, &tree);
        functions(&mut env, tree.functions.iter().map(|function| Rc::new(copy(function))).collect(), source);
        let network = build(&mut env, &tree, source);
        if !env.diagnostics.is_empty() {
            return Err(LoadError::new(file, source, env.diagnostics));
        }
        let classes = env.classes.list().to_vec();
        let count = classes.len();
        let subclass =
            (0..count * count).map(|at| env.classes.is_subclass((at / count) as u16, (at % count) as u16)).collect();
        let lines = std::iter::once(0).chain(source.match_indices('\n').map(|(at, _)| at as u32 + 1)).collect();
        let program = Program {
            codes: env.codes,
            encoded: env.constants.iter().map(|value| value.encode()).collect(),
            constants: env.constants,
            text: Arc::new(env.text),
            methods: env.library.methods(),
            classes: Arc::new(classes),
            subclass,
            global_names: tree.globals.iter().map(|global| global.name.clone()).collect(),
            masks: env.masks,
            file: file.to_owned(),
            lines,
        };
        Ok(Self { program, network, globals })
    }

    /// The globals, in the order of their declaration.
    pub fn globals(&self) -> &[GlobalInfo] {
        &self.globals
    }

    /// The rules' names, in the order of the file.
    pub fn rule_names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.network.rules.iter().map(|rule| rule.name.as_str())
    }

    /// The compiled code as text, for those who tune the compiler.
    pub fn listing(&self) -> String {
        use std::fmt::Write;
        let mut text = String::new();
        for (index, code) in self.program.codes.iter().enumerate() {
            let _ = writeln!(text, "{index} {} ({} registers)", code.name, code.registers);
            for (at, op) in code.ops.iter().enumerate() {
                let _ = writeln!(text, "  {at:>4} {op:?}");
            }
            if let Some(checks) = &code.checks {
                let _ = writeln!(text, "  as questions: {checks:?}");
            }
        }
        text
    }

    /// The one-based line on which a rule begins, by its index.
    pub fn rule_line(&self, rule: usize) -> usize {
        self.network.rules[rule].line
    }
}

fn import(env: &mut Environment, tree: &File) {
    for import in &tree.imports {
        if import.is_static {
            env.report(Diagnostic::new(import.span, "static imports are not supported"));
        } else if !env.classes.import(&import.path) {
            let message = format!("unknown import `{}`", import.path);
            env.report(Diagnostic::new(import.span, message).with_hint(
                "rule files may use java.lang, java.util, java.math and java.time; declare other types in the file",
            ));
        }
    }
}

/// Names first, so that declared types may refer to each other; then fields, parents before children.
fn declare(env: &mut Environment, tree: &File) {
    let mut pending: Vec<&Declaration> = tree.declarations.iter().collect();
    let mut done: Vec<(u16, &Declaration)> = Vec::new();
    while !pending.is_empty() {
        let before = pending.len();
        pending.retain(|declaration| {
            let parent = match &declaration.extends {
                None => None,
                Some(name) => match env.classes.find(&name.name) {
                    Some(parent) => Some(parent),
                    None => return true,
                },
            };
            let declared = Declared {
                constants: declaration.constants.iter().map(|name| name.as_str().into()).collect(),
                is_enum: declaration.is_enum,
                class_reactive: declaration.class_reactive,
            };
            let package = env.package.clone();
            match env.classes.declare(&declaration.name, &package, parent, declared) {
                Some(class) => done.push((class, declaration)),
                None => {
                    let message = format!("the type `{}` is declared twice", declaration.name);
                    env.report(Diagnostic::new(declaration.span, message));
                }
            }
            false
        });
        if pending.len() == before {
            for declaration in pending {
                if let Some(parent) = &declaration.extends {
                    env.report(Diagnostic::new(parent.span, format!("unknown type `{}`", parent.name)));
                }
            }
            break;
        }
    }
    for (class, declaration) in done {
        fields(env, class, declaration);
    }
}

fn fields(env: &mut Environment, of: u16, declaration: &Declaration) {
    let mut all = Vec::new();
    if let Some(parent) = declaration.extends.as_ref().and_then(|name| env.classes.find(&name.name)) {
        all.clone_from(&env.classes.get(parent).fields);
        for index in 0..all.len() {
            if let Some(initial) = env.initials.get(&(parent, index)).cloned() {
                env.initials.insert((of, index), initial);
            }
        }
    }
    if declaration.is_enum {
        let field = |name: &str, ty| FieldInfo { name: name.into(), ty, key: false };
        all = vec![field("name", Type::string()), field("ordinal", Type::Int)];
    }
    let inherited = all.len();
    let mut own: Vec<_> = declaration.fields.iter().collect();
    own.sort_by_key(|field| field.position.unwrap_or(i32::MAX));
    for field in own {
        if all.len() == 250 {
            env.report(Diagnostic::new(field.span, "a type has at most 250 fields"));
            break;
        }
        match env.resolve(&field.ty) {
            Ok(ty) => {
                if let Some(initial) = &field.initial {
                    env.initials.insert((of, all.len()), Rc::new(initial.clone()));
                }
                all.push(FieldInfo { name: field.name.as_str().into(), ty, key: field.key });
            }
            Err(error) => env.report(error),
        }
    }
    let info = env.classes.get_mut(of);
    info.fields = all;
    info.inherited = if declaration.is_enum { 0 } else { inherited };
}

fn globals(env: &mut Environment, tree: &File) -> Vec<GlobalInfo> {
    let mut all = Vec::new();
    for (index, global) in tree.globals.iter().enumerate() {
        let ty = env.resolve(&global.ty).unwrap_or_else(|error| {
            env.report(error);
            dynamic()
        });
        let is = |of: u16| ty.class().is_some_and(|class| env.classes.is_subclass(class, of));
        let kind = if is(class::LIST) || ty.is_class(class::COLLECTION) {
            GlobalKind::List
        } else if is(class::MAP) {
            GlobalKind::Map
        } else if is(class::SET) {
            GlobalKind::Set
        } else {
            GlobalKind::Other
        };
        all.push(GlobalInfo { name: global.name.clone(), kind });
        env.globals.insert(global.name.clone(), (index as u16, ty));
    }
    all
}

fn copy(function: &Function) -> Function {
    Function {
        returns: function.returns.clone(),
        name: function.name.clone(),
        parameters: function.parameters.clone(),
        body: function.body.clone(),
        span: function.span,
    }
}

/// Signatures first, so that functions may call each other; then bodies.
fn functions(env: &mut Environment, list: Vec<Rc<Function>>, source: &str) {
    let facts = purity(&list, &env.globals.keys().cloned().collect::<Vec<_>>(), source);
    let mut signatures = HashMap::<String, Vec<Signature>>::new();
    let first = env.codes.len() as u32;
    let mut index = first;
    let mut known = Vec::new();
    for function in &list {
        let signature = signature(env, function, index, facts.get(&function.name).copied().unwrap_or_default());
        match signature {
            Ok(signature) => {
                signatures.entry(function.name.clone()).or_default().push(signature.clone());
                known.push(signature);
                env.codes.push(crate::program::Code::default());
                index += 1;
            }
            Err(error) => env.report(error),
        }
    }
    env.functions = signatures;
    for signature in known {
        let span = signature.body.span;
        let mut emitter = Emitter::new(env, Purpose::Function);
        emitter.returns = signature.returns.clone();
        let mut failed = false;
        for (name, ty) in &signature.parameters {
            if let Err(error) = emitter.declare(name, ty.clone(), span) {
                emitter.env.report(error);
                failed = true;
            }
        }
        if failed {
            continue;
        }
        emitter.push_scope();
        emitter.block(&signature.body.body);
        match emitter.finish(&signature.body.name, span) {
            Ok(mut code) => {
                code.parameters = signature.parameters.len() as u8;
                env.codes[signature.code as usize] = code;
            }
            Err(error) => env.report(error),
        }
    }
}

fn signature(
    env: &Environment,
    function: &Rc<Function>,
    code: u32,
    facts: crate::compile::FunctionFacts,
) -> Result<Signature, Diagnostic> {
    let mut parameters = Vec::new();
    for parameter in &function.parameters {
        parameters.push((parameter.name.clone(), env.resolve(&parameter.ty)?));
    }
    let returns = if function.returns.name == function.name { Type::Void } else { env.resolve(&function.returns)? };
    Ok(Signature { code, parameters, returns, body: function.clone(), inlined: facts.inlined, pure: facts.pure })
}
