//! The verbs, one file each.

pub(crate) mod alerts;
pub(crate) mod batches;
pub(crate) mod bench;
mod bench_endpoint;
mod bench_generate;
mod bench_http;
mod bench_serve;
mod bench_train;
pub(crate) mod calibrate;
pub(crate) mod cascade;
pub(crate) mod compare;
pub(crate) mod config;
pub(crate) mod decide;
pub(crate) mod demo;
pub(crate) mod evaluate;
pub(crate) mod generate;
pub(crate) mod health;
pub(crate) mod inspect;
pub(crate) mod lm;
pub(crate) mod rules;
mod rules_explain;
mod rules_test;
pub(crate) mod serve;
pub(crate) mod split;
pub(crate) mod train;
pub(crate) mod trees;
pub(crate) mod validate;
