//! The compiled network of a rule base: what does not change between sessions.
//!
//! Facts enter through tests, which rules share. From there a rule is a path of [`Node`]s that
//! ends in a [`Terminal`]. Paths with an equal beginning share their nodes, and sharing is visible in the
//! firing order, so it follows Drools': a path is cut into [`Segment`]s wherever a node has more than one
//! successor.

mod build;
mod declarations;
mod expand;
mod pattern;

pub(crate) use build::build;

/// A set of properties, for deciding which patterns a change concerns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Mask(u64);

impl Mask {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const ALL: Self = Self(u64::MAX);

    /// Adds the property of a field; fields beyond the 63rd share the last bit.
    pub(crate) fn set(&mut self, field: usize) {
        self.0 |= 1 << field.min(62);
    }

    pub(crate) fn clear(&mut self, field: usize) {
        self.0 &= !(1 << field.min(62));
    }

    /// Whether a change concerns a pattern. A change of everything concerns even a pattern that looks at nothing.
    pub(crate) fn concerns(self, listened: Mask) -> bool {
        self == Self::ALL || self.0 & listened.0 != 0
    }
}

/// Index of a node.
pub(crate) type NodeId = u32;

/// A test on one fact.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum AlphaTest {
    /// An instance of the class.
    Class(u16),
    /// The fact that every session holds, for rules that begin with no pattern.
    Initial,
    /// `this["key"] == null` or, negated, `!= null`.
    KeyNull { key: u16, negated: bool },
    /// `this["key"] == literal`.
    KeyEquals { key: u16, constant: u16 },
    /// Any other constraint; the fact is the only argument.
    Code(u32),
}

/// What a fact comes to on its way through the network: tests, each with what follows where it holds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// A fact that fails goes on elsewhere.
    Test {
        test: AlphaTest,
        otherwise: u32,
    },
    Sink(Sink),
}

/// Where a fact goes that passed the tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sink {
    /// The left input of a path.
    Left(NodeId),
    /// The right input of a node.
    Right(NodeId),
    /// A rule of a single pattern: no network is evaluated for it.
    Terminal(u32, Mask),
    /// A query that is evaluated again when such facts change.
    Query(NodeId),
}

/// A code unit with the facts it takes: first `this`, where it has one, then these slots.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) code: u32,
    pub(crate) slots: Vec<u16>,
}

/// What a node's right side is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    Facts,
    /// Tuples of a subnetwork, whose last segment ends in this node's input.
    Subnetwork,
}

/// What a node does.
#[derive(Clone, Debug)]
pub(crate) enum NodeKind {
    Left,
    Join {
        test: Option<Call>,
    },
    Not {
        test: Option<Call>,
        right: Right,
    },
    Exists {
        test: Option<Call>,
        right: Right,
    },
    Accumulate(Box<AccumulateNode>),
    From(Box<FromNode>),
    Eval {
        test: Call,
    },
    Branch(Vec<BranchArm>),
    Query(Box<QueryNode>),
    /// The end of a subnetwork: hands its tuples to a node's right side.
    RightInput {
        target: NodeId,
    },
    Terminal {
        terminal: u32,
    },
}

/// A node of the network.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) kind: NodeKind,
    pub(crate) parent: Option<NodeId>,
    /// In the order in which rules added them.
    pub(crate) children: Vec<NodeId>,
    /// The slot that this node's facts take in the match.
    pub(crate) slot: Option<u16>,
    /// Properties whose change wakes the node, on its fact side.
    pub(crate) mask: Mask,
    /// What makes two nodes equal, for sharing.
    key: String,
    /// Where it is in the segments.
    pub(crate) segment: u32,
    /// All paths that run through it.
    pub(crate) paths: Vec<u32>,
    /// Index among the nodes that gate their paths.
    pub(crate) gates: bool,
    /// For left inputs: where facts go.
    pub(crate) left: LeftInput,
}

/// Where the facts of a left input go.
#[derive(Clone, Debug, Default)]
pub(crate) struct LeftInput {
    /// The segments that it feeds: its own, or those of its successors if it stands alone.
    pub(crate) segments: Vec<u32>,
    /// The terminals of its paths, if each path wants nothing but facts here.
    pub(crate) terminals: Option<Vec<u32>>,
}

/// An arm of `if (…) do[x] else break[y]`.
#[derive(Clone, Debug)]
pub(crate) struct BranchArm {
    pub(crate) test: Option<Call>,
    pub(crate) terminal: u32,
    pub(crate) breaks: bool,
}

/// `from expression`.
#[derive(Clone, Debug)]
pub(crate) struct FromNode {
    pub(crate) source: Call,
    pub(crate) class: u16,
    pub(crate) test: Option<Call>,
}

/// `accumulate` and `collect`.
#[derive(Clone, Debug)]
pub(crate) struct AccumulateNode {
    pub(crate) right: Right,
    /// Beta constraints of the source pattern.
    pub(crate) test: Option<Call>,
    /// The constraints hold an equality: Drools keeps the left side in hash buckets.
    pub(crate) indexed: bool,
    pub(crate) functions: Vec<Function>,
    /// Whether the match holds the function's result itself, or an array of several.
    pub(crate) single: bool,
    /// The class that a single result must have.
    pub(crate) class: u16,
    /// Constraints on the result; the result is `this`.
    pub(crate) result_test: Option<Call>,
    /// The arguments depend on facts left of the node.
    pub(crate) uses_left: bool,
}

/// One function of an accumulate.
#[derive(Clone, Debug)]
pub(crate) struct Function {
    pub(crate) kind: FunctionKind,
    /// Computes the value that is accumulated; takes the source's facts.
    pub(crate) argument: Option<Call>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FunctionKind {
    Count,
    /// `sum` keeps whole numbers exact: int and smaller give Integer, long gives Long, others Double.
    Sum(Total),
    Minimum,
    Maximum,
    Average,
    /// Of the population, as a running computation (Welford, 1962) gives it.
    Variance,
    Deviation,
    CollectList,
    CollectSet,
    /// Codes of init, action, reverse and result; the state is an array of `variables` values.
    Inline {
        init: u32,
        action: Box<Call3>,
        reverse: Option<Box<Call3>>,
        result: u32,
        variables: u8,
    },
}

/// A call by code and slots that can be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call3 {
    pub(crate) code: u32,
    pub(crate) slots: Vec<u16>,
}

/// The type that a sum adds up in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Total {
    Integer,
    Long,
    Double,
    Decimal,
    BigInteger,
}

/// A call of a query from a left-hand side.
#[derive(Clone, Debug)]
pub(crate) struct QueryNode {
    pub(crate) query: u32,
    /// For each parameter: what is given, or nothing where it is asked for.
    pub(crate) arguments: Vec<Option<Call>>,
}

/// A query: its branches are alternatives.
#[derive(Clone, Debug, Default)]
pub(crate) struct QueryPlan {
    pub(crate) name: String,
    pub(crate) parameters: usize,
    /// Parameters and other variables.
    pub(crate) variables: usize,
    pub(crate) branches: Vec<Vec<QueryStep>>,
}

/// A step of a query's branch; codes take `this` and then all variables.
#[derive(Clone, Debug)]
pub(crate) enum QueryStep {
    Pattern { class: u16, tests: Vec<u32>, binds: Vec<(u16, u32)>, fact: Option<u16> },
    Eval { code: u32 },
    Call { query: u32, arguments: Vec<QueryArgument> },
    Not(Vec<QueryStep>),
    Exists(Vec<QueryStep>),
}

/// An argument of a query called from a query.
#[derive(Clone, Copy, Debug)]
pub(crate) enum QueryArgument {
    Variable(u16),
    Value(u32),
}

/// A stretch of nodes without a fork.
#[derive(Clone, Debug, Default)]
pub(crate) struct Segment {
    pub(crate) nodes: Vec<NodeId>,
    pub(crate) children: Vec<u32>,
}

/// A path: the segments from the first pattern to a terminal or to a right input.
#[derive(Clone, Debug, Default)]
pub(crate) struct Path {
    pub(crate) segments: Vec<u32>,
    /// The terminal at its end; subnetworks have none.
    pub(crate) terminal: Option<u32>,
    /// The node that a subnetwork feeds.
    pub(crate) target: Option<NodeId>,
    /// Nodes that must hold facts before the path is worth evaluating.
    pub(crate) gates: Vec<NodeId>,
    /// What evaluation of the path begins with: a left input that feeds several segments stages its facts there
    /// itself, and nothing is left of its own.
    pub(crate) first: (usize, usize),
    /// The whole path, where it is a pattern with conditions.
    pub(crate) conditions: Option<Conditions>,
}

/// Conditions on the matches that wait before a segment, up to the terminal.
#[derive(Clone, Debug)]
pub(crate) struct Conditions {
    pub(crate) segment: u32,
    pub(crate) tests: Vec<Call>,
}

/// A consequence with the attributes of its rule.
#[derive(Clone, Debug)]
pub(crate) struct Terminal {
    pub(crate) rule: u32,
    /// The path that ends here; single patterns and arms of branches have none.
    pub(crate) path: Option<u32>,
    /// Named consequences of a branch share the executor of the main one.
    pub(crate) executor: u32,
    pub(crate) consequence: Call,
    pub(crate) salience: Salience,
}

/// A rule's salience.
#[derive(Clone, Debug)]
pub(crate) enum Salience {
    Fixed(i32),
    Dynamic(Call),
}

/// What the attributes say.
#[derive(Clone, Debug, Default)]
pub(crate) struct RuleInfo {
    pub(crate) name: String,
    pub(crate) no_loop: bool,
    pub(crate) lock_on_active: bool,
    pub(crate) auto_focus: bool,
    /// Index into the groups; MAIN is the first.
    pub(crate) group: u16,
    pub(crate) activation_group: Option<u16>,
    pub(crate) enabled: bool,
    /// Milliseconds since 1970.
    pub(crate) effective: Option<i64>,
    pub(crate) expires: Option<i64>,
    /// One-based line of the rule's name.
    pub(crate) line: usize,
}

impl RuleInfo {
    /// Whether no attribute decides if and when the rule fires, but for its salience.
    pub(crate) fn is_plain(&self) -> bool {
        let at_any_time = self.enabled && self.effective.is_none() && self.expires.is_none();
        let always = !self.no_loop && !self.lock_on_active && self.activation_group.is_none();
        at_any_time && always && !self.auto_focus
    }
}

/// The whole network.
#[derive(Clone, Debug, Default)]
pub(crate) struct Network {
    /// In the order in which a fact takes them; each test of a type is followed by all that asks for it.
    pub(crate) steps: Vec<Step>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) segments: Vec<Segment>,
    pub(crate) paths: Vec<Path>,
    pub(crate) terminals: Vec<Terminal>,
    pub(crate) rules: Vec<RuleInfo>,
    pub(crate) groups: Vec<String>,
    pub(crate) activation_groups: Vec<String>,
    pub(crate) queries: Vec<QueryPlan>,
    /// Nodes whose right side is a subnetwork.
    pub(crate) groups_of: std::collections::HashMap<NodeId, Group>,
}

/// A subnetwork as the node that it feeds sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    pub(crate) path: u32,
    /// The first segment of the path that is its own.
    pub(crate) segment: usize,
    /// How many tuples a match of the subnetwork lies above the match that it extends.
    pub(crate) depth: usize,
    /// The place of the node among the successors of its parent.
    pub(crate) child: usize,
}
