//! Gradient-boosted trees: LightGBM's text format in and out, scores bit-equal to LightGBM's, exact
//! path-dependent SHAP values, and training that gives the same model on any number of threads.
//!
//! [`Model`] is a model as the file states it. [`Compiled`] is the form that scores and explains fast, a
//! [`Predictor`] its working memory for one thread. [`train`] makes a model from a [`Table`].
//!
//! Invariant: a row's bytes never depend on the rows beside it, on the processor or on the threads.
//!
//! ```
//! # let text = "tree\nnum_tree_per_iteration=1\nmax_feature_idx=0\nobjective=binary sigmoid:1\nfeature_names=amount\n\nTree=0\nnum_leaves=2\nnum_cat=0\nsplit_feature=0\nthreshold=10\ndecision_type=2\nleft_child=-1\nright_child=-2\nleaf_value=-1 1\nleaf_count=3 1\ninternal_count=4\n\nend of trees\n";
//! let model = trees::Model::parse(text)?;
//! let compiled = trees::Compiled::new(&model);
//! let rows = [5.0, 50.0];
//! assert_eq!(compiled.raw(&rows), [-1.0, 1.0]);
//! let contributions = compiled.contributions(&rows);
//! assert_eq!(contributions[..2].iter().sum::<f64>(), -1.0);
//! # Ok::<(), trees::ModelError>(())
//! ```

mod coding;
mod compiled;
mod kernel;
mod model;
mod objective;
mod predict;
mod quadrature;
mod text;
mod train;

pub use compiled::Compiled;
pub use kernel::Level;
pub use model::{Leaf, Missing, Model, Node, Test, Tree, ZERO};
pub use objective::Objective;
pub use predict::Predictor;
pub use text::{ModelError, Problem};
pub use train::{Loss, Metric, ParameterError, Parameters, Table, TrainError, Trained, train};
