//! The arithmetic of the models. Everything here works on plain slices and knows no model.

mod activation;
mod attention;
mod blocks;
mod cached;
mod cross_entropy;
mod element;
mod head_norm;
mod level;
mod math;
mod norm;
mod peak;
mod product;
mod rotary;

pub use activation::Activation;
pub(crate) use attention::{Attention, Sight};
pub(crate) use cached::{Kept, PAGE, Part};
pub(crate) use cross_entropy::{cross_entropy, log_sum, losses, softmax};
pub use element::Precision;
pub(crate) use element::{Bf16, Element};
pub(crate) use head_norm::{head_norm, head_norm_backward};
pub use level::Level;
pub(crate) use level::dispatched;
pub(crate) use math::{largest, sigmoid};
pub(crate) use norm::{Normed, normalise, rms_norm, rms_norm_backward};
pub use peak::product_speed;
pub(crate) use product::{Held, Lines, Output, Right, TASK_ROWS, View, product, product_serial};
pub(crate) use rotary::Turns;
