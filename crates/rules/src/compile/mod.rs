//! Syntax tree to typed register code.
//!
//! [`Environment`] holds what the whole file shares: classes, functions, globals, constants.
//! [`Emitter`] compiles one function, constraint or consequence.

mod branch;
mod call;
mod check;
mod constraint;
#[cfg(test)]
mod differential;
mod emitter;
mod expression;
mod flow;
mod fuse;
mod names;
mod operators;
mod optimize;
mod statement;

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

pub(crate) use emitter::{Emitter, Purpose};
pub(crate) use names::{
    FunctionFacts, Inlining, names_in_expression, names_in_statements, purity, setters_called, walk_expression as walk,
};

use crate::heap::{Constants, Value};
use crate::library::Library;
use crate::network::Mask;
use crate::program::Code;
use crate::source::{Diagnostic, Span};
use crate::syntax::ast::{Expression, Function, TypeName};
use crate::types::{Classes, Type, class};

/// The result of compiling a part; the error has been located, not yet reported.
pub(crate) type Compiled<T> = Result<T, Diagnostic>;

/// A function of the rule file.
#[derive(Clone)]
pub(crate) struct Signature {
    pub(crate) code: u32,
    pub(crate) parameters: Vec<(String, Type)>,
    pub(crate) returns: Type,
    pub(crate) body: Rc<Function>,
    pub(crate) inlined: Inlining,
    /// Calls with the same arguments give the same result while conditions are evaluated.
    pub(crate) pure: bool,
}

/// What a whole rule file shares while it is compiled.
pub(crate) struct Environment {
    pub(crate) classes: Classes,
    pub(crate) functions: HashMap<String, Vec<Signature>>,
    pub(crate) globals: HashMap<String, (u16, Type)>,
    pub(crate) package: String,
    /// Initial values of fields of declared types, by class and field.
    pub(crate) initials: HashMap<(u16, usize), Rc<Expression>>,
    pub(crate) text: Constants,
    pub(crate) constants: Vec<Value>,
    constant_index: HashMap<(u8, u64), u16>,
    pub(crate) codes: Vec<Code>,
    pub(crate) library: Library,
    pub(crate) masks: Vec<Mask>,
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// Leaves code as it was emitted: what the optimizer makes of it must do the same.
    pub(crate) is_plain: bool,
}

impl Environment {
    pub(crate) fn new() -> Self {
        Self {
            classes: Classes::new(),
            functions: HashMap::new(),
            globals: HashMap::new(),
            package: String::new(),
            initials: HashMap::new(),
            text: Constants::default(),
            constants: Vec::new(),
            constant_index: HashMap::new(),
            codes: Vec::new(),
            library: Library::new(),
            masks: Vec::new(),
            diagnostics: Vec::new(),
            is_plain: false,
        }
    }

    /// Reports an error and goes on.
    pub(crate) fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// Resolves a type as written.
    pub(crate) fn resolve(&self, name: &TypeName) -> Compiled<Type> {
        let mut ty = match name.name.as_str() {
            "void" => Type::Void,
            "boolean" => Type::Boolean,
            "char" => Type::Char,
            "byte" => Type::Byte,
            "short" => Type::Short,
            "int" => Type::Int,
            "long" => Type::Long,
            "float" => Type::Float,
            "double" => Type::Double,
            other => match self.classes.find(other) {
                Some(class) => {
                    let arguments: Compiled<Vec<Type>> = name.arguments.iter().map(|a| self.resolve(a)).collect();
                    Type::with(class, arguments?)
                }
                None => return Err(self.unknown_type(name)),
            },
        };
        for _ in 0..name.dimensions {
            ty = Type::Array(Arc::new(ty));
        }
        Ok(ty)
    }

    fn unknown_type(&self, name: &TypeName) -> Diagnostic {
        let error = Diagnostic::new(name.span, format!("unknown type `{}`", name.name));
        let suffix = format!(".{}", name.name);
        match self.classes.list().iter().find(|info| info.name.ends_with(&suffix)) {
            Some(info) => error.with_hint(format!("add `import {};`", info.name.replace('$', "."))),
            None => error.with_hint("declare it in this file, or use one of the Java types that rule files may use"),
        }
    }

    /// The index of a constant, each distinct one once.
    pub(crate) fn constant(&mut self, value: Value, span: Span) -> Compiled<u16> {
        let in_place = !matches!(
            value,
            Value::List(_) | Value::Array(_) | Value::Map(_) | Value::Set(_) | Value::Instance(_) | Value::Other(_)
        );
        if !in_place {
            return Err(Diagnostic::new(span, "this value cannot be a constant"));
        }
        self.known_constant(value)
            .ok_or_else(|| Diagnostic::new(span, "the file has more than 65,536 distinct constants"))
    }

    /// The index of a constant that is held in place; nothing if there is no room for it.
    fn known_constant(&mut self, value: Value) -> Option<u16> {
        let key = value.encode();
        if let Some(index) = self.constant_index.get(&key) {
            return Some(*index);
        }
        let index = u16::try_from(self.constants.len()).ok()?;
        self.constants.push(value);
        self.constant_index.insert(key, index);
        Some(index)
    }

    pub(crate) fn text_constant(&mut self, text: &[u8], span: Span) -> Compiled<u16> {
        let place = self.text.intern(text);
        self.constant(Value::String(place), span)
    }

    pub(crate) fn add_code(&mut self, code: Code) -> u32 {
        self.codes.push(code);
        (self.codes.len() - 1) as u32
    }

    pub(crate) fn mask_index(&mut self, mask: Mask) -> u16 {
        let at = self.masks.iter().position(|known| *known == mask).unwrap_or_else(|| {
            self.masks.push(mask);
            self.masks.len() - 1
        });
        at as u16
    }

    /// The field of a declared type by name.
    pub(crate) fn field(&self, class: u16, name: &str) -> Option<(usize, Type)> {
        let info = self.classes.get(class);
        if info.is_enum || !info.is_declared {
            return None;
        }
        let at = info.fields.iter().position(|field| &*field.name == name)?;
        Some((at, info.fields[at].ty.clone()))
    }

    /// Whether a value of one reference type may be assigned to another without a cast.
    pub(crate) fn is_assignable(&self, from: &Type, to: &Type) -> bool {
        match (from, to) {
            (Type::Null, to) => to.is_reference(),
            (Type::Class(a, _), Type::Class(b, _)) => {
                self.classes.is_subclass(*a, *b) || *b == class::FUNCTION && *a == class::FUNCTION
            }
            (Type::Array(_), Type::Class(class::OBJECT, _)) => true,
            (Type::Array(a), Type::Array(b)) => {
                a == b || a.is_reference() && b.is_reference() && self.is_assignable(a, b)
            }
            _ => false,
        }
    }

    pub(crate) fn show(&self, ty: &Type) -> String {
        self.classes.show(ty)
    }
}

/// A type of which only running code knows more: what a generic call returned. Assignable to anything,
/// with a check.
pub(crate) fn dynamic() -> Type {
    Type::with(class::OBJECT, [Type::Null])
}

pub(crate) fn is_dynamic(ty: &Type) -> bool {
    matches!(ty, Type::Class(class::OBJECT, arguments) if !arguments.is_empty())
}

/// A variable that already has a register.
pub(crate) fn local(register: crate::program::Register, ty: Type, is_fact: bool) -> emitter::Local {
    emitter::Local { register, ty, literal: None, is_fact }
}
