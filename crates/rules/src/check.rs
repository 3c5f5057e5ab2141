//! Conditions that only look at keys of one map, in a form that needs no registers.
//!
//! Most constraints of rule files compare what stands under a key with a constant. What such code does is followed
//! when it is compiled, and what is left is a tree of questions about the fact. It answers the usual cases alone:
//! where a value is of another kind than the question expects, or an exception would be thrown, there is no answer,
//! and the code itself runs.

use crate::heap::Text;
use crate::program::{Switch, Test};

/// Where a value stands: the numbers are constants that are keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Under a key of the fact.
    Key(u16),
    /// Under the second key of the map under the first.
    Inner(u16, u16),
}

/// What is asked of a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Question {
    /// Is it a map? Answered yes or not at all.
    Map,
    /// Is it text in ASCII? Answered yes or not at all.
    Text,
    /// Are these characters of the text a small number? Answered yes or not at all.
    Digits { start: u8, end: u8 },
    /// Is it null?
    Null,
    /// Is it null rather than text?
    NullText,
    /// Is it null rather than a number?
    NullNumber,
    /// Is it the boolean?
    Boolean(bool),
    /// Is it the text? What is neither text nor null has another text that would have to be made.
    Equals(Text),
    /// Is it the text, whatever the case of its letters?
    EqualsIgnoreCase(Text),
    /// Does the number hold against this one? Null has no answer.
    Number { test: Test, other: f64 },
    /// The same, as a constraint orders values: null holds against nothing.
    Ordered { test: Test, other: f64 },
    /// Does the length of the text hold against this one?
    Length { test: Test, other: i32 },
    /// Does the number of the last digits asked about hold against this one?
    Whole { test: Test, other: i64 },
}

/// What follows an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Check(u16),
    Switch(u16),
    Answer(bool),
}

/// A question with what follows it.
#[derive(Clone, Debug)]
pub(crate) struct Check {
    /// Where the value stands, unless it is that of the question before.
    pub(crate) place: Option<Place>,
    pub(crate) question: Question,
    pub(crate) yes: Next,
    pub(crate) no: Next,
}

/// A text among several with what follows each.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    /// As in [`Check`].
    pub(crate) place: Option<Place>,
    /// The targets are places in `cases`.
    pub(crate) switch: Switch,
    pub(crate) cases: Vec<Next>,
    pub(crate) otherwise: Next,
}

/// All questions of a condition.
#[derive(Clone, Debug)]
pub(crate) struct Checks {
    pub(crate) first: Next,
    pub(crate) checks: Vec<Check>,
    pub(crate) choices: Vec<Choice>,
}
