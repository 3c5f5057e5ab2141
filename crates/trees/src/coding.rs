//! Rows as small codes: what a value is worth to a model is between which of its thresholds it lies.
//!
//! A model trained with up to 255 bins asks at most 254 different thresholds of a feature, so the number of
//! thresholds below a value fits a byte, exactly, and 64 rows fit one vector register. Features that need
//! more keep their values and are compared as they are.

use std::collections::HashMap;

use crate::kernel::Simd;
use crate::model::{Missing, Model, Test, ZERO, category};

/// Rows that are worked on together.
pub(crate) const ROWS: usize = 64;

/// One byte for each row of a block.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(crate) struct Plane(pub(crate) [u8; ROWS]);

/// The code of missing values, and of categories that no node asks for.
const ABSENT: u8 = 255;

/// What a node asks of a block. Small, since scoring is bound by how fast nodes are fetched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question {
    pub(crate) kind: QuestionKind,
    /// The highest code that passes, for ranks.
    pub(crate) code: u8,
    /// The plane of codes, or the block of values.
    pub(crate) column: u32,
    /// Which of the coding's sets or thresholds, for the other kinds.
    pub(crate) detail: u32,
}

/// The kinds of question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QuestionKind {
    /// The plane's code is at most this.
    Rank,
    /// The plane's code is in a set.
    Set,
    /// The value is at most a threshold.
    Value,
    /// The category is in a set of the tree.
    Category,
}

/// How rows are coded for one model.
#[derive(Clone, Debug, Default)]
pub(crate) struct Coding {
    columns: Vec<Column>,
    pub(crate) planes: usize,
    pub(crate) blocks: usize,
    /// Sets of codes, a bit each.
    pub(crate) sets: Vec<[u8; 32]>,
    /// Sets of categories as the model has them, for features with too many categories for a byte.
    pub(crate) wide_sets: Vec<Vec<u32>>,
    /// Thresholds of values, and whether missing ones (not a number) pass.
    pub(crate) thresholds: Vec<(f64, bool)>,
    by_key: HashMap<Key, usize>,
}

/// Nodes with the same key are asked of the same column of codes.
type Key = (usize, Option<Missing>);

#[derive(Clone, Debug)]
struct Column {
    feature: usize,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Ranks {
        table: Box<RankTable>,
        thresholds: Vec<f64>,
        missing: Missing,
        plane: u32,
        shifted: Option<u32>,
    },
    /// The categories that nodes ask for, ascending; a category's code is its place.
    Codes {
        codes: Vec<u32>,
        plane: u32,
    },
    Values {
        missing: Missing,
        block: u32,
    },
    Categories {
        block: u32,
    },
}

/// Up to 255 ascending thresholds in 16 rows of 16, padded with infinity, and the last of each row.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub(crate) struct RankTable {
    pub(crate) rows: [[f64; 16]; 16],
    pub(crate) ends: [f64; 16],
}

impl Coding {
    /// Plans the columns that the nodes of a model need.
    pub(crate) fn new(model: &Model) -> Self {
        let mut thresholds: HashMap<Key, (Vec<f64>, bool)> = HashMap::new();
        let mut categories: HashMap<usize, Vec<u32>> = HashMap::new();
        let mut order = Vec::new();
        for (tree, node) in model.trees.iter().flat_map(|tree| tree.nodes.iter().map(move |node| (tree, node))) {
            match node.test {
                Test::Numeric { threshold, missing, default_left } => {
                    let key = (node.feature, Some(missing));
                    let entry = thresholds.entry(key).or_insert_with(|| {
                        order.push(key);
                        (Vec::new(), false)
                    });
                    entry.0.push(threshold);
                    entry.1 |= default_left && missing != Missing::Never;
                }
                Test::Category { set, .. } => {
                    let list = categories.entry(node.feature).or_insert_with(|| {
                        order.push((node.feature, None));
                        Vec::new()
                    });
                    list.extend(members(&tree.category_sets[set]));
                }
            }
        }
        let mut coding = Self::default();
        order.sort_unstable();
        for key in order {
            let kind = match key.1 {
                Some(missing) => {
                    let (list, shifted) = thresholds.remove(&key).expect("counted above");
                    coding.numeric(list, missing, shifted)
                }
                None => coding.categorical(categories.remove(&key.0).expect("counted above")),
            };
            coding.by_key.insert(key, coding.columns.len());
            coding.columns.push(Column { feature: key.0, kind });
        }
        coding
    }

    fn plane(&mut self) -> u32 {
        self.planes += 1;
        self.planes as u32 - 1
    }

    fn block(&mut self) -> u32 {
        self.blocks += 1;
        self.blocks as u32 - 1
    }

    fn numeric(&mut self, mut thresholds: Vec<f64>, missing: Missing, shifted: bool) -> Kind {
        // Minus zero and zero are one threshold; a threshold that is no number lets nothing pass.
        thresholds.iter_mut().for_each(|threshold| *threshold += 0.0);
        thresholds.sort_by(f64::total_cmp);
        thresholds.dedup();
        if thresholds.len() > 254 || thresholds.iter().any(|threshold| threshold.is_nan()) {
            return Kind::Values { missing, block: self.block() };
        }
        let table = Box::new(RankTable::new(&thresholds));
        let plane = self.plane();
        let shifted = shifted.then(|| self.plane());
        Kind::Ranks { table, thresholds, missing, plane, shifted }
    }

    fn categorical(&mut self, mut list: Vec<u32>) -> Kind {
        list.sort_unstable();
        list.dedup();
        if list.len() > usize::from(ABSENT) {
            return Kind::Categories { block: self.block() };
        }
        Kind::Codes { codes: list, plane: self.plane() }
    }

    /// The question that a node of the model puts to coded rows.
    pub(crate) fn question(&mut self, feature: usize, test: &Test, sets: &[Vec<u32>]) -> Question {
        match *test {
            Test::Numeric { threshold, missing, default_left } => {
                match &self.columns[self.by_key[&(feature, Some(missing))]].kind {
                    Kind::Ranks { thresholds, plane, shifted, .. } => {
                        let code = thresholds.partition_point(|known| *known < threshold) as u8;
                        match shifted {
                            // Codes one higher, and missing at 0: below every threshold.
                            Some(shifted) if default_left && missing != Missing::Never => {
                                Question { kind: QuestionKind::Rank, code: code + 1, column: *shifted, detail: 0 }
                            }
                            _ => Question { kind: QuestionKind::Rank, code, column: *plane, detail: 0 },
                        }
                    }
                    Kind::Values { block, .. } => {
                        let column = *block;
                        self.thresholds.push((threshold, default_left));
                        let detail = self.thresholds.len() as u32 - 1;
                        Question { kind: QuestionKind::Value, code: 0, column, detail }
                    }
                    Kind::Codes { .. } | Kind::Categories { .. } => unreachable!("the key says numeric"),
                }
            }
            Test::Category { set, .. } => match &self.columns[self.by_key[&(feature, None)]].kind {
                Kind::Codes { codes, plane } => {
                    let mut bits = [0u8; 32];
                    for category in members(&sets[set]) {
                        let code = codes.partition_point(|known| *known < category) as u8;
                        bits[usize::from(code >> 3)] |= 1 << (code & 7);
                    }
                    let column = *plane;
                    self.sets.push(bits);
                    Question { kind: QuestionKind::Set, code: 0, column, detail: self.sets.len() as u32 - 1 }
                }
                Kind::Categories { block } => {
                    let column = *block;
                    self.wide_sets.push(sets[set].clone());
                    Question { kind: QuestionKind::Category, code: 0, column, detail: self.wide_sets.len() as u32 - 1 }
                }
                Kind::Ranks { .. } | Kind::Values { .. } => unreachable!("the key says categorical"),
            },
        }
    }

    /// Codes up to 64 rows of `features` columns each.
    #[inline(always)]
    pub(crate) fn code<S: Simd>(&self, simd: S, rows: &[f64], features: usize, block: &mut Block) {
        for column in &self.columns {
            let values = rows.iter().skip(column.feature).step_by(features);
            match &column.kind {
                Kind::Ranks { table, missing, plane, shifted, .. } => {
                    let codes = &mut block.planes[*plane as usize];
                    for (value, code) in values.zip(&mut codes.0) {
                        *code = rank(simd, table, *missing, *value);
                    }
                    if let Some(shifted) = shifted {
                        let codes = *codes;
                        let higher = &mut block.planes[*shifted as usize];
                        for (higher, code) in higher.0.iter_mut().zip(codes.0) {
                            *higher = code.wrapping_add(1);
                        }
                    }
                }
                Kind::Codes { codes, plane } => {
                    for (value, code) in values.zip(&mut block.planes[*plane as usize].0) {
                        let place = category(*value).and_then(|category| codes.binary_search(&category).ok());
                        *code = place.map_or(ABSENT, |place| place as u8);
                    }
                }
                Kind::Values { missing, block: place } => {
                    for (value, kept) in values.zip(&mut block.values[*place as usize]) {
                        *kept = missing.read(*value).unwrap_or(f64::NAN);
                    }
                }
                Kind::Categories { block: place } => {
                    for (value, kept) in values.zip(&mut block.values[*place as usize]) {
                        *kept = category(*value).map_or(f64::NAN, f64::from);
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn rank<S: Simd>(simd: S, table: &RankTable, missing: Missing, value: f64) -> u8 {
    let zero = value.abs() <= ZERO;
    if value.is_nan() {
        if missing == Missing::Never { simd.rank(table, 0.0) } else { ABSENT }
    } else if zero {
        if missing == Missing::Zero { ABSENT } else { simd.rank(table, 0.0) }
    } else {
        simd.rank(table, value)
    }
}

/// The coded rows that a kernel works on.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) planes: Vec<Plane>,
    pub(crate) values: Vec<[f64; ROWS]>,
}

impl Block {
    pub(crate) fn new(coding: &Coding) -> Self {
        Self { planes: vec![Plane([0; ROWS]); coding.planes], values: vec![[0.0; ROWS]; coding.blocks] }
    }
}

impl RankTable {
    fn new(thresholds: &[f64]) -> Self {
        let mut table = Self { rows: [[f64::INFINITY; 16]; 16], ends: [f64::INFINITY; 16] };
        for (index, threshold) in thresholds.iter().enumerate() {
            table.rows[index / 16][index % 16] = *threshold;
        }
        for (end, row) in table.ends.iter_mut().zip(&table.rows) {
            *end = row[15];
        }
        table
    }
}

/// The categories of a bit set.
fn members(set: &[u32]) -> impl Iterator<Item = u32> {
    set.iter().enumerate().flat_map(|(place, word)| {
        (0..32).filter(move |bit| word >> bit & 1 == 1).map(move |bit| place as u32 * 32 + bit)
    })
}

impl Coding {
    /// Whether one row of a block passes.
    #[inline(always)]
    pub(crate) fn passes(&self, question: &Question, block: &Block, row: usize) -> bool {
        let (column, detail) = (question.column as usize, question.detail as usize);
        match question.kind {
            QuestionKind::Rank => block.planes[column].0[row] <= question.code,
            QuestionKind::Set => {
                let code = block.planes[column].0[row];
                self.sets[detail][usize::from(code >> 3)] >> (code & 7) & 1 == 1
            }
            QuestionKind::Value => {
                let (threshold, missing_passes) = self.thresholds[detail];
                let value = block.values[column][row];
                value <= threshold || (missing_passes && value.is_nan())
            }
            QuestionKind::Category => {
                let value = block.values[column][row];
                !value.is_nan() && crate::model::contains(&self.wide_sets[detail], value as u32)
            }
        }
    }
}
