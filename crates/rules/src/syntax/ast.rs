//! The syntax tree of a rule file: DRL declarations and conditions, Java statements and expressions.

use crate::source::Span;

/// A whole rule file.
#[derive(Debug, Default)]
pub(crate) struct File {
    pub(crate) package: String,
    pub(crate) imports: Vec<Import>,
    pub(crate) globals: Vec<Global>,
    pub(crate) functions: Vec<Function>,
    pub(crate) declarations: Vec<Declaration>,
    pub(crate) queries: Vec<Query>,
    pub(crate) rules: Vec<Rule>,
}

#[derive(Debug)]
pub(crate) struct Import {
    pub(crate) path: String,
    pub(crate) is_static: bool,
    pub(crate) span: Span,
}

#[derive(Debug)]
pub(crate) struct Global {
    pub(crate) ty: TypeName,
    pub(crate) name: String,
}

/// A type as written: `java.util.Map<String, Object>[]`.
#[derive(Clone, Debug)]
pub(crate) struct TypeName {
    pub(crate) name: String,
    pub(crate) arguments: Vec<TypeName>,
    pub(crate) dimensions: u8,
    pub(crate) span: Span,
}

#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) returns: TypeName,
    pub(crate) name: String,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) body: Vec<Statement>,
    pub(crate) span: Span,
}

#[derive(Clone, Debug)]
pub(crate) struct Parameter {
    pub(crate) ty: TypeName,
    pub(crate) name: String,
}

/// `declare Name [extends Super] fields end`.
#[derive(Debug)]
pub(crate) struct Declaration {
    pub(crate) name: String,
    pub(crate) extends: Option<TypeName>,
    /// `declare enum`: the constants' names.
    pub(crate) constants: Vec<String>,
    pub(crate) is_enum: bool,
    /// `@classReactive`: every change wakes every pattern.
    pub(crate) class_reactive: bool,
    pub(crate) fields: Vec<Field>,
    pub(crate) span: Span,
}

#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) ty: TypeName,
    pub(crate) initial: Option<Expression>,
    pub(crate) key: bool,
    /// `@position(n)`.
    pub(crate) position: Option<i32>,
    pub(crate) span: Span,
}

#[derive(Debug)]
pub(crate) struct Query {
    pub(crate) name: String,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) condition: Vec<Condition>,
    pub(crate) span: Span,
}

#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: String,
    pub(crate) extends: Option<(String, Span)>,
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) condition: Vec<Condition>,
    pub(crate) consequence: Vec<Statement>,
    pub(crate) named: Vec<(String, Vec<Statement>)>,
    pub(crate) span: Span,
}

#[derive(Debug)]
pub(crate) struct Attribute {
    pub(crate) name: String,
    pub(crate) value: Option<Expression>,
    pub(crate) span: Span,
}

/// One conditional element of a left-hand side.
#[derive(Clone, Debug)]
pub(crate) enum Condition {
    Pattern(Box<Pattern>),
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Not(Box<Condition>),
    Exists(Box<Condition>),
    Forall(Vec<Condition>, Span),
    Eval(Expression),
    Accumulate(Box<Accumulate>),
    /// `do[name]`, `break[name]` and `if (…) … else …`.
    Branch(Box<Branch>),
}

/// A conditional or plain named consequence.
#[derive(Clone, Debug)]
pub(crate) struct Branch {
    pub(crate) test: Option<Expression>,
    pub(crate) target: String,
    pub(crate) breaks: bool,
    pub(crate) otherwise: Option<Box<Branch>>,
    pub(crate) span: Span,
}

#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    pub(crate) binding: Option<Binding>,
    pub(crate) ty: TypeName,
    /// `?name(…)`: a query that is pulled once.
    pub(crate) pull: bool,
    /// Arguments before a `;`.
    pub(crate) positional: Vec<Constraint>,
    pub(crate) has_positional: bool,
    pub(crate) constraints: Vec<Constraint>,
    pub(crate) source: Option<PatternSource>,
    /// `@watch(a, !b, *, !*)`.
    pub(crate) watch: Vec<(bool, String)>,
    pub(crate) span: Span,
}

#[derive(Clone, Debug)]
pub(crate) struct Binding {
    pub(crate) name: String,
    pub(crate) unify: bool,
    pub(crate) span: Span,
}

#[derive(Clone, Debug)]
pub(crate) struct Constraint {
    pub(crate) binding: Option<Binding>,
    pub(crate) expression: Expression,
}

#[derive(Clone, Debug)]
pub(crate) enum PatternSource {
    From(Expression),
    Collect(Box<Pattern>),
    Accumulate(Box<Accumulate>),
}

#[derive(Clone, Debug)]
pub(crate) struct Accumulate {
    pub(crate) source: Condition,
    pub(crate) kind: AccumulateKind,
    pub(crate) constraints: Vec<Constraint>,
    pub(crate) span: Span,
}

#[derive(Clone, Debug)]
pub(crate) enum AccumulateKind {
    Functions(Vec<AccumulateFunction>),
    Inline(Box<InlineAccumulate>),
}

#[derive(Clone, Debug)]
pub(crate) struct AccumulateFunction {
    pub(crate) binding: Option<Binding>,
    pub(crate) name: String,
    pub(crate) arguments: Vec<Expression>,
    pub(crate) span: Span,
}

/// `init(…) action(…) reverse(…) result(…)`.
#[derive(Clone, Debug)]
pub(crate) struct InlineAccumulate {
    pub(crate) init: Vec<Statement>,
    pub(crate) action: Vec<Statement>,
    pub(crate) reverse: Option<Vec<Statement>>,
    pub(crate) result: Expression,
}

#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub(crate) kind: StatementKind,
    pub(crate) span: Span,
}

#[derive(Clone, Debug)]
pub(crate) enum StatementKind {
    Local {
        ty: TypeName,
        declarators: Vec<(String, u8, Option<Expression>)>,
    },
    Expression(Expression),
    If(Expression, Box<Statement>, Option<Box<Statement>>),
    While(Expression, Box<Statement>),
    DoWhile(Box<Statement>, Expression),
    For {
        init: Vec<Statement>,
        test: Option<Expression>,
        update: Vec<Expression>,
        body: Box<Statement>,
    },
    ForEach {
        ty: TypeName,
        name: String,
        items: Expression,
        body: Box<Statement>,
    },
    Return(Option<Expression>),
    Break(Option<String>),
    Continue(Option<String>),
    Labelled(String, Box<Statement>),
    Throw(Expression),
    Try {
        body: Vec<Statement>,
        catches: Vec<Catch>,
        finally: Option<Vec<Statement>>,
    },
    Switch {
        on: Expression,
        groups: Vec<SwitchGroup>,
        arrows: bool,
    },
    Block(Vec<Statement>),
    /// `modify($x) { setA(1), setB(2) }`.
    Modify {
        target: Expression,
        calls: Vec<Expression>,
    },
    Empty,
}

#[derive(Clone, Debug)]
pub(crate) struct Catch {
    pub(crate) types: Vec<TypeName>,
    pub(crate) name: String,
    pub(crate) body: Vec<Statement>,
}

/// `case a, b:` with the statements up to the next label; no labels and `default` for the default group.
#[derive(Clone, Debug)]
pub(crate) struct SwitchGroup {
    pub(crate) labels: Vec<Expression>,
    pub(crate) default: bool,
    pub(crate) body: Vec<Statement>,
}

#[derive(Clone, Debug)]
pub(crate) struct Expression {
    pub(crate) kind: ExpressionKind,
    pub(crate) span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Literal {
    Null,
    Boolean(bool),
    Integer(i32),
    Long(i64),
    Float(f32),
    Double(f64),
    BigDecimal(String),
    BigInteger(String),
    /// WTF-8.
    String(Vec<u8>),
    /// Single-quoted with other than one UTF-16 unit is a string; one unit is a character.
    Character(u16),
}

#[derive(Clone, Debug)]
pub(crate) enum ExpressionKind {
    Literal(Literal),
    Name(String),
    This,
    Field {
        target: Box<Expression>,
        name: String,
        null_safe: bool,
    },
    Index(Box<Expression>, Box<Expression>),
    Call {
        target: Option<Box<Expression>>,
        name: String,
        arguments: Vec<Expression>,
        null_safe: bool,
    },
    New {
        ty: TypeName,
        arguments: Vec<Expression>,
    },
    NewArray {
        element: TypeName,
        sizes: Vec<Expression>,
        dimensions: u8,
        items: Option<Vec<Expression>>,
    },
    /// `{1, 2}` as an initialiser, `[1, 2]` in DRL.
    Items(Vec<Expression>),
    Unary(UnaryOperator, Box<Expression>),
    Step {
        target: Box<Expression>,
        by: i8,
        prefix: bool,
    },
    Binary(BinaryOperator, Box<Expression>, Box<Expression>),
    Assign {
        target: Box<Expression>,
        operator: Option<BinaryOperator>,
        value: Box<Expression>,
    },
    Conditional(Box<Expression>, Box<Expression>, Box<Expression>),
    Cast(TypeName, Box<Expression>),
    InstanceOf(Box<Expression>, TypeName, Option<String>),
    Lambda {
        parameters: Vec<String>,
        body: Box<LambdaBody>,
    },
    MethodReference(Box<Expression>, String),
    ClassLiteral(TypeName),
    /// DRL's own operators.
    Relation {
        relation: Relation,
        negated: bool,
        left: Box<Expression>,
        right: Vec<Expression>,
    },
    /// A binding inside a constraint: `$a : amount > 5`.
    Bind(Binding, Box<Expression>),
}

#[derive(Clone, Debug)]
pub(crate) enum LambdaBody {
    Expression(Expression),
    Block(Vec<Statement>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnaryOperator {
    Plus,
    Minus,
    Not,
    Complement,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BinaryOperator {
    Or,
    And,
    BitOr,
    BitXor,
    BitAnd,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    ShiftLeft,
    ShiftRight,
    ShiftRightUnsigned,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// The operators that DRL adds to Java's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    In,
    Contains,
    MemberOf,
    Matches,
    SoundsLike,
    StartsWith,
    EndsWith,
    Length,
}
