//! The verbs, one file each.

pub(crate) mod bench;
pub(crate) mod rules;
mod rules_explain;
mod rules_test;
