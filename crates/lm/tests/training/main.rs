//! The trainer with a small perceptron: what it learns, what it writes, and that stopping it changes nothing.

mod folder;
mod learning;
mod perceptron;
mod phases;
mod recorded;
mod resume;
mod watch;
