//! Rule file text to syntax tree. No names are resolved here.

pub(crate) mod ast;
mod condition;
mod drl;
mod expression;
mod lexer;
mod parser;
mod statement;

pub(crate) use drl::parse;
pub(crate) use expression::dotted;
