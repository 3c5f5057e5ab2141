//! The training table in bins.

use rayon::prelude::*;

use super::bins::{FeatureBins, Limits};
use super::parameters::{ParameterError, Parameters};
use super::{Table, TrainError};

/// Features whose bins lie side by side for a row, so that one pass over the rows serves them all and
/// their histograms stay in the nearest cache.
pub(super) const SIDE_BY_SIDE: usize = 8;

/// Categories are numbers up to this: a split holds a bit for each.
pub(super) const CATEGORIES: u32 = 1_000_000;

/// The table in bins, ready for histograms.
pub(super) struct Dataset {
    pub(super) rows: usize,
    pub(super) bins: Vec<FeatureBins>,
    /// Features that can be split at all; the position in this list is a feature's slot.
    pub(super) used: Vec<usize>,
    /// Slots in groups of eight: for each group, eight bins per row.
    pub(super) groups: Vec<Vec<[u8; SIDE_BY_SIDE]>>,
}

impl Dataset {
    pub(super) fn new(table: &Table<'_>, parameters: &Parameters) -> Result<Self, TrainError> {
        let features = table.names.len();
        let rows = table.labels.len();
        let categorical = categorical(table, parameters)?;
        for (feature, _) in categorical.iter().enumerate().filter(|(_, is)| **is) {
            let values = table.rows.iter().skip(feature).step_by(features);
            if let Some(category) =
                values.filter_map(|value| crate::model::category(*value)).find(|it| *it > CATEGORIES)
            {
                return Err(TrainError::Category { column: table.names[feature].clone(), category });
            }
        }
        for (feature, sign) in parameters.monotone_constraints.iter().enumerate() {
            if *sign != 0 && categorical[feature] {
                let expected = "0 for features with categories";
                let name = "monotone_constraints".to_owned();
                return Err(ParameterError::Value { name, value: sign.to_string(), expected }.into());
            }
        }
        let limits = Limits {
            max_bin: parameters.max_bin,
            min_data_in_bin: parameters.min_data_in_bin,
            use_missing: parameters.use_missing,
        };
        // Evenly spaced rows: the same sample whatever the seed.
        let sampled = rows.min(parameters.bin_construct_sample_cnt);
        let bins: Vec<FeatureBins> = (0..features)
            .into_par_iter()
            .map(|feature| {
                let value = |index: usize| table.rows[(index * rows / sampled) * features + feature];
                let sample: Vec<f64> = (0..sampled).map(value).collect();
                if categorical[feature] {
                    FeatureBins::categorical(&sample, limits)
                } else {
                    FeatureBins::numeric(sample, limits)
                }
            })
            .collect();
        let used: Vec<usize> = (0..features).filter(|feature| bins[*feature].count > 1).collect();
        let groups = used
            .par_chunks(SIDE_BY_SIDE)
            .map(|slots| {
                let row = |row: usize| {
                    let mut line = [0; SIDE_BY_SIDE];
                    for (bin, feature) in line.iter_mut().zip(slots) {
                        *bin = bins[*feature].bin(table.rows[row * features + feature]);
                    }
                    line
                };
                (0..rows).map(row).collect()
            })
            .collect();
        Ok(Self { rows, bins, used, groups })
    }

    /// The bin of a row in a slot.
    pub(super) fn bin(&self, slot: usize, row: usize) -> u8 {
        self.groups[slot / SIDE_BY_SIDE][row][slot % SIDE_BY_SIDE]
    }
}

fn categorical(table: &Table<'_>, parameters: &Parameters) -> Result<Vec<bool>, TrainError> {
    let mut marks = vec![false; table.names.len()];
    for item in &parameters.categorical_feature {
        let place = match item.strip_prefix("name:") {
            Some(name) => table.names.iter().position(|known| known == name),
            None => item.parse().ok().filter(|place| *place < marks.len()),
        };
        let place = place.ok_or_else(|| ParameterError::Value {
            name: "categorical_feature".to_owned(),
            value: item.clone(),
            expected: "column numbers from 0 on, or name: and the columns' names",
        })?;
        marks[place] = true;
    }
    Ok(marks)
}
