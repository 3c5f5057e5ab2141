//! Runs classic DRL rule files without a JVM.
//!
//! # Key types
//! - [`RuleBase`]: a rule file, compiled. Shared by all threads.
//! - [`Session`]: a working memory that fires the rules of one rule base; reused case after case.
//! - [`Memory`]: the session's objects, for making facts from JSON and reading globals.
//! - [`LoadError`]: everything that is wrong with a rule file, each with line, column and caret.
//!
//! # Use
//! ```
//! let source = r#"
//!     global java.util.List log;
//!     rule "large" when $m : java.util.Map(this["amount"] > 100) then log.add($m.get("id")); end
//! "#;
//! let base = rules::RuleBase::compile("example.drl", source)?;
//! let mut session = rules::Session::new(&base);
//! let log = session.memory().empty(rules::GlobalKind::List);
//! session.memory().set_global(0, log);
//! let fact = session.memory().read_json(br#"{"id": "a", "amount": 250}"#)?;
//! session.insert(fact);
//! session.fire()?;
//! assert_eq!(session.memory().display(log), "[a]");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What a rule file may contain is what Drools 8 takes in a `.drl` file, less what `refused` errors name;
//! nothing is ignored. Values follow Java: overflow, text of floats, iteration order of hash maps, null.
//!
//! Invariant: the same facts in the same order give the same firings, whatever ran in the session before.

#![forbid(unsafe_code)]

mod check;
mod compile;
mod decimal;
mod heap;
mod json;
mod library;
mod machine;
mod memory;
mod network;
mod program;
mod rulebase;
mod session;
mod source;
mod syntax;
mod text;
mod types;

pub use heap::Value;
pub use json::JsonError;
pub use memory::{Memory, Name};
pub use rulebase::{GlobalInfo, GlobalKind, RuleBase};
pub use session::{DEFAULT_FIRINGS, FireError, Session, TraceEntry};
pub use source::{LoadError, Located};
