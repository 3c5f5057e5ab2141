//! The part of Java's library that rule files may call.
//!
//! Each file registers the methods of a few classes by their Java signature. `T0` and `T1` stand for the
//! receiver's type arguments, `A0` for the type of the first argument, `R` for what a lambda returns.

mod big;
mod collection;
mod format;
mod map;
mod number;
mod object;
mod regex;
mod stream;
mod string;
mod time;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

pub(crate) use number::{few_digits, number_to_double, number_to_long};
pub(crate) use object::{has_next, iterate, next};
pub(crate) use string::equals_ignore_case;

use crate::compile::{Environment, dynamic, is_dynamic};
use crate::heap::Value;
use crate::machine::{Machine, Outcome};
use crate::program::Brief;
use crate::types::{Classes, Type, class};

/// A method's implementation: the receiver, if it has one, is the first argument.
pub(crate) type Native = for<'p> fn(&mut Machine<'p>, &[Value]) -> Outcome<Value>;

/// A type in a signature.
#[derive(Clone, Debug, PartialEq)]
enum Shape {
    Exact(Type),
    Class(u16, Vec<Shape>),
    Array(Box<Shape>),
    /// The receiver's type argument.
    Argument(usize),
    /// The boxed type of the first argument; of its elements if that is an array.
    First,
    /// What the lambda argument returns.
    Result,
    /// The receiver's own type.
    Receiver,
}

/// A method of the library.
#[derive(Debug)]
pub(crate) struct Method {
    name: &'static str,
    is_static: bool,
    variadic: bool,
    parameters: Vec<Shape>,
    returns: Shape,
    /// Registers taken: the parameters and the receiver.
    pub(crate) arguments: u8,
    pub(crate) run: Native,
    pub(crate) brief: Option<Brief>,
}

/// All methods, by class and name.
#[derive(Debug)]
struct Table {
    classes: Classes,
    methods: Vec<Method>,
    index: HashMap<(u16, &'static str), Vec<u16>>,
}

impl Table {
    /// Registers a method by its signature, for example `static int parseInt(String)`.
    fn add(&mut self, of: u16, signature: &'static str, run: Native) {
        let (is_static, rest) = match signature.strip_prefix("static ") {
            Some(rest) => (true, rest),
            None => (false, signature),
        };
        let open = rest.find('(').unwrap_or(rest.len());
        let head = &rest[..open];
        let (returns, name) = head.rsplit_once(' ').unwrap_or(("void", head));
        let list = rest[open..].trim_start_matches('(').trim_end_matches(')');
        let mut parameters: Vec<Shape> = Vec::new();
        let mut variadic = false;
        for part in split(list) {
            variadic = part.ends_with("...");
            parameters.push(self.shape(part.trim_end_matches("...")));
        }
        let arguments = (parameters.len() + usize::from(!is_static)) as u8;
        let returns = self.shape(returns);
        let at = self.methods.len() as u16;
        self.methods.push(Method { name, is_static, variadic, parameters, returns, arguments, run, brief: None });
        self.index.entry((of, name)).or_default().push(at);
    }

    /// Says that the method that was added last is often done in place.
    fn often(&mut self, brief: Brief) {
        if let Some(method) = self.methods.last_mut() {
            method.brief = Some(brief);
        }
    }

    fn shape(&self, text: &'static str) -> Shape {
        let text = text.trim();
        if let Some(element) = text.strip_suffix("[]") {
            return Shape::Array(Box::new(self.shape(element)));
        }
        match text {
            "T0" => Shape::Argument(0),
            "T1" => Shape::Argument(1),
            "A0" => Shape::First,
            "R" => Shape::Result,
            "this" => Shape::Receiver,
            "?" => Shape::Exact(dynamic()),
            "void" => Shape::Exact(Type::Void),
            "boolean" => Shape::Exact(Type::Boolean),
            "char" => Shape::Exact(Type::Char),
            "byte" => Shape::Exact(Type::Byte),
            "short" => Shape::Exact(Type::Short),
            "int" => Shape::Exact(Type::Int),
            "long" => Shape::Exact(Type::Long),
            "float" => Shape::Exact(Type::Float),
            "double" => Shape::Exact(Type::Double),
            _ => {
                let (name, list) = text.split_once('<').unwrap_or((text, ""));
                let arguments = split(list.trim_end_matches('>')).into_iter().map(|part| self.shape(part)).collect();
                Shape::Class(self.classes.find(name).unwrap_or(class::OBJECT), arguments)
            }
        }
    }
}

/// Splits at commas outside of angle brackets.
fn split(list: &'static str) -> Vec<&'static str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (at, character) in list.char_indices() {
        match character {
            '<' => depth += 1,
            '>' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(list[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    if !list[start..].trim().is_empty() {
        parts.push(list[start..].trim());
    }
    parts
}

fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut classes = Classes::new();
        for package in [
            "java.util.*",
            "java.util.stream.*",
            "java.util.regex.*",
            "java.math.*",
            "java.time.*",
            "java.time.temporal.*",
            "java.time.format.*",
            "java.util.concurrent.atomic.*",
            "java.util.concurrent.*",
            "java.util.function.*",
        ] {
            classes.import(package);
        }
        classes.import("java.util.Map.Entry");
        let mut table = Table { classes, methods: Vec::new(), index: HashMap::new() };
        object::register(&mut table);
        string::register(&mut table);
        format::register(&mut table);
        number::register(&mut table);
        big::register(&mut table);
        collection::register(&mut table);
        map::register(&mut table);
        stream::register(&mut table);
        regex::register(&mut table);
        time::register(&mut table);
        table
    })
}

/// The handle through which the compiler asks for methods.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Library;

/// What the compiler looks for.
pub(crate) struct Query<'a> {
    pub(crate) of: Type,
    pub(crate) name: &'a str,
    pub(crate) arguments: &'a [Type],
    /// Static methods and constructors, which are called `new`.
    pub(crate) is_static: bool,
}

/// A method that fits a query.
pub(crate) struct Found {
    /// Into [`Program::methods`](crate::program::Program).
    pub(crate) index: u16,
    method: &'static Method,
    of: Type,
    first: Type,
    result: Type,
}

impl Library {
    pub(crate) fn new() -> Self {
        Self
    }

    /// All methods, in the order of their indices.
    pub(crate) fn methods(self) -> Vec<&'static Method> {
        table().methods.iter().collect()
    }

    /// Whether a class or one of its ancestors has an instance method of this name.
    pub(crate) fn has_method(self, classes: &Classes, of: u16, name: &str) -> bool {
        lineage(classes, of).into_iter().any(|class| candidates(class, name).any(|(_, method)| !method.is_static))
    }

    pub(crate) fn has_static(self, of: u16, name: &str) -> bool {
        candidates(of, name).any(|(_, method)| method.is_static)
    }

    /// Picks a method as Java does: without boxing if possible, then with, then with variable arguments.
    pub(crate) fn find(self, env: &Environment, query: &Query<'_>) -> Option<Found> {
        let Type::Class(of, _) = &query.of else {
            return None;
        };
        let classes = if query.is_static && query.name == "new" { vec![*of] } else { lineage(&env.classes, *of) };
        for phase in [Phase::Exact, Phase::Widening, Phase::Boxing, Phase::Variadic] {
            for class in &classes {
                for (index, method) in candidates(*class, query.name) {
                    if method.is_static != query.is_static || !method.accepts(env, query, phase) {
                        continue;
                    }
                    let first = query.arguments.first().cloned().unwrap_or(Type::Null);
                    return Some(Found { index, method, of: query.of.clone(), first, result: dynamic() });
                }
            }
        }
        None
    }
}

/// The class and its ancestors, nearest first.
fn lineage(classes: &Classes, of: u16) -> Vec<u16> {
    let mut all = vec![of];
    all.extend(&classes.get(of).ancestors);
    all
}

fn candidates(class: u16, name: &str) -> impl Iterator<Item = (u16, &'static Method)> {
    let table = table();
    // The key's lifetime is that of the table; a lookup by a shorter one goes through the stored names.
    let found = table.index.get(&(class, static_name(name)));
    found.into_iter().flatten().map(move |index| (*index, &table.methods[usize::from(*index)]))
}

/// The registered spelling of a name, or the empty string.
fn static_name(name: &str) -> &'static str {
    static NAMES: OnceLock<std::collections::HashSet<&'static str>> = OnceLock::new();
    NAMES.get_or_init(|| table().methods.iter().map(|method| method.name).collect()).get(name).copied().unwrap_or("")
}

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Exact,
    Widening,
    Boxing,
    Variadic,
}

impl Method {
    fn accepts(&self, env: &Environment, query: &Query<'_>, phase: Phase) -> bool {
        if (phase == Phase::Variadic) != self.variadic {
            // A variadic method also takes its array as it is.
            let direct = self.variadic
                && phase == Phase::Widening
                && self.parameters.len() == query.arguments.len()
                && matches!(query.arguments.last(), Some(Type::Array(element)) if element.is_reference());
            if !direct {
                return false;
            }
        }
        let fixed = self.parameters.len() - usize::from(self.variadic && phase == Phase::Variadic);
        let count = query.arguments.len();
        if count < fixed || count > fixed && phase != Phase::Variadic {
            return false;
        }
        query.arguments.iter().enumerate().all(|(index, argument)| {
            let shape = match self.parameters.get(index) {
                Some(shape) if index < fixed => shape,
                _ => match self.parameters.last() {
                    Some(shape) => shape,
                    None => return false,
                },
            };
            let wanted = resolve(shape, &query.of, argument, &Type::object());
            fits(env, argument, &wanted, phase)
        })
    }
}

fn fits(env: &Environment, argument: &Type, wanted: &Type, phase: Phase) -> bool {
    if argument == wanted || is_dynamic(argument) && phase != Phase::Exact {
        return true;
    }
    if phase == Phase::Exact {
        return matches!((argument, wanted), (Type::Class(a, _), Type::Class(b, _)) if a == b)
            || matches!((argument, wanted), (Type::Array(_), Type::Array(_)));
    }
    match (argument.is_primitive(), wanted.is_primitive()) {
        (true, true) => match (argument.rank(), wanted.rank()) {
            (Some(a), Some(b)) => a <= b && *wanted != Type::Char,
            _ => false,
        },
        (false, false) => {
            wanted.is_class(class::FUNCTION) && argument.is_class(class::COMPARATOR)
                || wanted.is_class(class::COMPARATOR) && argument.is_class(class::FUNCTION)
                || env.is_assignable(argument, wanted)
        }
        _ if phase == Phase::Widening => false,
        (true, false) => env.is_assignable(&argument.boxed(), wanted),
        (false, true) => argument.unboxed().is_some_and(|unboxed| fits(env, &unboxed, wanted, Phase::Widening)),
    }
}

fn resolve(shape: &Shape, of: &Type, first: &Type, result: &Type) -> Type {
    match shape {
        Shape::Exact(ty) => ty.clone(),
        Shape::Class(class, arguments) => {
            Type::Class(*class, arguments.iter().map(|argument| resolve(argument, of, first, result)).collect())
        }
        Shape::Array(element) => Type::Array(Arc::new(resolve(element, of, first, result))),
        Shape::Argument(index) => of.argument(*index),
        Shape::First => match first {
            Type::Array(element) => element.boxed(),
            Type::Null => Type::object(),
            other => other.boxed(),
        },
        Shape::Result => result.clone(),
        Shape::Receiver => of.clone(),
    }
}

impl Found {
    fn show(&self, shape: &Shape) -> Type {
        resolve(shape, &self.of, &self.first, &self.result)
    }

    /// The type of the parameter that takes an argument.
    pub(crate) fn parameter(&self, index: usize) -> Option<Type> {
        let last = self.method.parameters.len().checked_sub(1)?;
        let shape = &self.method.parameters[index.min(last)];
        if *shape == Shape::First || matches!(shape, Shape::Array(_)) {
            return None;
        }
        Some(self.show(shape))
    }

    /// Where arguments begin that are packed into an array.
    pub(crate) fn packed_from(&self) -> Option<usize> {
        let direct = matches!(&self.first, Type::Array(element) if element.is_reference());
        let fixed = self.method.parameters.len().saturating_sub(1);
        (self.method.variadic && !(direct && fixed == 0)).then_some(fixed)
    }

    /// What the lambda in this place is given.
    pub(crate) fn lambda_parameters(&self, index: usize) -> Vec<Type> {
        match self.method.parameters.get(index) {
            Some(Shape::Class(_, arguments)) => arguments.iter().map(|shape| self.show(shape)).collect(),
            _ => Vec::new(),
        }
    }

    /// What the lambda turned out to return.
    pub(crate) fn lambda_result(&mut self, ty: &Type) {
        self.result = ty.clone();
    }

    pub(crate) fn returns(&self) -> Type {
        self.show(&self.method.returns)
    }
}
