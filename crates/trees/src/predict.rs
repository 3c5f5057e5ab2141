//! Scores and explanations of many rows, on any number of threads.

use rayon::prelude::*;

use crate::coding::{Block, ROWS};
use crate::compiled::Compiled;
#[cfg(target_arch = "x86_64")]
use crate::kernel::{Avx2, Avx512};
use crate::kernel::{Lane, Level, One, Portable, Room, Simd, explain, explain_one, score, walk};

/// Blocks that are scored together, so that a node is fetched once for all of them.
const TOGETHER: usize = 4;

/// Up to this many rows go down the trees one by one.
const FEW: usize = 8;

/// Runs a compiled model on one thread. What it keeps between calls never shows in a result: the same row
/// gives the same bytes alone, in any batch, on any processor.
#[derive(Clone, Debug)]
pub struct Predictor<'m> {
    model: &'m Compiled,
    level: Level,
    blocks: [Block; TOGETHER],
    room: Room<Lane>,
    sums: Vec<Lane>,
    room_of_one: Room<f64>,
    sums_of_one: Vec<f64>,
}

impl<'m> Predictor<'m> {
    /// A predictor at the best level of this processor.
    pub fn new(model: &'m Compiled) -> Self {
        Self::at_level(model, Level::detect())
    }

    /// A predictor at a given level, or at the best one below that this processor has.
    pub fn at_level(model: &'m Compiled, level: Level) -> Self {
        let level = if level.available() { level } else { Level::detect().min(level) };
        let block = Block::new(&model.coding);
        Self {
            model,
            level,
            blocks: std::array::from_fn(|_| block.clone()),
            room: Room::default(),
            sums: Vec::new(),
            room_of_one: Room::default(),
            sums_of_one: Vec::new(),
        }
    }

    /// Raw sums of rows. `rows` holds rows of [`Compiled::features`] numbers one after another (not-a-number
    /// is missing), `out` takes [`Compiled::classes`] sums for each.
    ///
    /// # Panics
    /// When the lengths do not fit.
    pub fn raw(&mut self, rows: &[f64], out: &mut [f64]) {
        let (features, classes) = (self.model.features, self.model.classes());
        assert_eq!(out.len() * features, rows.len() * classes, "room for the sums");
        let step = ROWS * TOGETHER;
        for (index, out) in out.chunks_mut(step * classes).enumerate() {
            let start = index * step * features;
            let rows = &rows[start..(start + step * features).min(rows.len())];
            self.raw_chunk(rows, out);
        }
    }

    /// Contributions to the raw sums of rows: for each row and class one number per feature, then the mean
    /// raw sum over the training rows. They add up to the raw sum.
    ///
    /// # Panics
    /// When the lengths do not fit, or the model does not explain ([`Compiled::explains`]).
    pub fn contributions(&mut self, rows: &[f64], out: &mut [f64]) {
        let (features, classes) = (self.model.features, self.model.classes());
        assert!(self.model.explains, "the model lacks counts of training rows");
        assert_eq!(out.len() * features, rows.len() * classes * (features + 1), "room for the contributions");
        for (index, out) in out.chunks_mut(ROWS * classes * (features + 1)).enumerate() {
            let start = index * ROWS * features;
            let rows = &rows[start..(start + ROWS * features).min(rows.len())];
            self.explain_chunk(rows, out);
        }
    }

    fn raw_chunk(&mut self, rows: &[f64], out: &mut [f64]) {
        match self.level {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => raw_avx512(Avx512::detect().expect("detected before"), self, rows, out),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => raw_avx2(Avx2::detect().expect("detected before"), self, rows, out),
            _ => self.raw_with(Portable, rows, out),
        }
    }

    fn explain_chunk(&mut self, rows: &[f64], out: &mut [f64]) {
        match self.level {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => explain_avx512(Avx512::detect().expect("detected before"), self, rows, out),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => explain_avx2(Avx2::detect().expect("detected before"), self, rows, out),
            _ => self.explain_with(Portable, rows, out),
        }
    }

    #[inline(always)]
    fn raw_with<S: Simd>(&mut self, simd: S, rows: &[f64], out: &mut [f64]) {
        let (model, features, classes) = (self.model, self.model.features, self.model.classes());
        let part = |block: usize| {
            let length = rows.len();
            &rows[(block * ROWS * features).min(length)..((block + 1) * ROWS * features).min(length)]
        };
        let parts: [&[f64]; TOGETHER] = std::array::from_fn(part);
        let blocks = rows.len().div_ceil(ROWS * features.max(1));
        for (part, block) in parts.iter().zip(&mut self.blocks).take(blocks) {
            model.coding.code(simd, part, features, block);
        }
        for (class, forest) in model.forests.iter().enumerate() {
            let mut sums = [[Lane::default(); 8]; TOGETHER];
            if rows.len() <= FEW * features {
                walk(&model.coding, forest, &self.blocks[0], rows, features, &mut sums[0]);
            } else if blocks == 1 {
                let (first, _) = self.blocks.split_first_chunk::<1>().expect("four blocks");
                let (sums, _) = sums.split_first_chunk_mut::<1>().expect("four blocks");
                score::<S, 1>(simd, &model.coding, forest, first, [parts[0]], features, sums);
            } else {
                score::<S, TOGETHER>(simd, &model.coding, forest, &self.blocks, parts, features, &mut sums);
            }
            let sums = sums.as_flattened().iter().flat_map(|lane| &lane.0);
            for (sum, out) in sums.zip(out.iter_mut().skip(class).step_by(classes)) {
                *out = *sum;
            }
        }
    }

    #[inline(always)]
    fn explain_with<S: Simd>(&mut self, simd: S, rows: &[f64], out: &mut [f64]) {
        let (model, features, classes) = (self.model, self.model.features, self.model.classes());
        let count = rows.len() / features.max(1);
        let (block, _) = self.blocks.split_first_chunk_mut::<1>().expect("four blocks");
        model.coding.code(simd, rows, features, &mut block[0]);
        let width = features + 1;
        if count == 1 {
            for (forest, out) in model.forests.iter().zip(out.chunks_exact_mut(width)) {
                self.sums_of_one.clear();
                self.sums_of_one.resize(features, 0.0);
                let sums = &mut self.sums_of_one;
                explain_one(One, &model.coding, forest, &block[0], &mut self.room_of_one, sums);
                out[..features].copy_from_slice(sums);
                out[features] = forest.expected;
            }
            return;
        }
        for (class, forest) in model.forests.iter().enumerate() {
            self.sums.clear();
            self.sums.resize(count.div_ceil(8) * features, Lane::default());
            explain(simd, &model.coding, forest, block, count, &mut self.room, &mut self.sums);
            for (row, out) in out.chunks_exact_mut(classes * width).enumerate() {
                let out = &mut out[class * width..(class + 1) * width];
                let sums = &self.sums[row / 8 * features..];
                for (sum, out) in sums.iter().zip(&mut out[..features]) {
                    *out = sum.0[row % 8];
                }
                out[features] = forest.expected;
            }
        }
    }
}

/// Enters the loops with the processor's instructions switched on. The token is proof that it has them.
macro_rules! enter {
    ($name:ident, $token:ty, $features:literal, $method:ident) => {
        #[cfg(target_arch = "x86_64")]
        #[expect(unsafe_code, reason = "calls a function compiled for the instructions that the token proves")]
        fn $name(simd: $token, predictor: &mut Predictor<'_>, rows: &[f64], out: &mut [f64]) {
            #[target_feature(enable = $features)]
            fn inside(simd: $token, predictor: &mut Predictor<'_>, rows: &[f64], out: &mut [f64]) {
                predictor.$method(simd, rows, out);
            }
            // SAFETY: the token exists only where these instructions were detected.
            unsafe { inside(simd, predictor, rows, out) }
        }
    };
}

enter!(raw_avx512, Avx512, "avx512f,avx512bw,avx512dq,avx512vbmi,avx2,fma,popcnt", raw_with);
enter!(explain_avx512, Avx512, "avx512f,avx512bw,avx512dq,avx512vbmi,avx2,fma,popcnt", explain_with);
enter!(raw_avx2, Avx2, "avx2,fma,popcnt", raw_with);
enter!(explain_avx2, Avx2, "avx2,fma,popcnt", explain_with);

impl Compiled {
    /// Raw sums of rows, as [`Predictor::raw`], on the threads of the current rayon pool.
    pub fn raw(&self, rows: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; rows.len() / self.features.max(1) * self.classes()];
        let step = ROWS * TOGETHER;
        out.par_chunks_mut(step * self.classes())
            .zip(rows.par_chunks(step * self.features))
            .for_each_init(|| Predictor::new(self), |predictor, (out, rows)| predictor.raw(rows, out));
        out
    }

    /// Contributions, as [`Predictor::contributions`], on the threads of the current rayon pool.
    ///
    /// # Panics
    /// When the model does not explain ([`Compiled::explains`]).
    pub fn contributions(&self, rows: &[f64]) -> Vec<f64> {
        let width = self.classes() * (self.features + 1);
        let mut out = vec![0.0; rows.len() / self.features.max(1) * width];
        out.par_chunks_mut(ROWS * width)
            .zip(rows.par_chunks(ROWS * self.features))
            .for_each_init(|| Predictor::new(self), |predictor, (out, rows)| predictor.contributions(rows, out));
        out
    }
}
