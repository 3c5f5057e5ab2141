//! What kinds of case mean: their facts, outcomes and ground truth. A desk knows no decider.
//!
//! One folder per desk, with the same file names in each.

#![forbid(unsafe_code)]

pub mod alerts;
pub mod transactions;

/// Every desk, by the name the command line gives it.
pub fn all() -> Vec<Box<dyn decision::Desk>> {
    vec![Box::new(transactions::Transactions)]
}

/// The desk of a name.
pub fn find(name: &str) -> Option<Box<dyn decision::Desk>> {
    all().into_iter().find(|desk| desk.name() == name)
}
