//! What a model was trained for, and how its raw sums become scores.

use std::fmt;

/// The objective line of a model file: a name and its settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Objective {
    text: String,
    link: Link,
}

/// From raw sums to scores.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Link {
    Identity,
    /// `sign(x) x²`, for targets trained as square roots.
    Square,
    Exponential,
    /// `1 / (1 + exp(-slope x))`, per class.
    Logistic {
        slope: f64,
    },
    /// `ln(1 + exp(x))`.
    Softplus,
    Softmax,
}

impl Objective {
    /// Reads the value of an `objective=` line; nothing (a custom objective) leaves raw sums as they are.
    /// `None` when the objective is not one of LightGBM's.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let setting = |name: &str| {
            text.split_ascii_whitespace()
                .find_map(|word| word.strip_prefix(name)?.strip_prefix(':')?.parse::<f64>().ok())
        };
        let link = match words.next() {
            None | Some("custom") => Link::Identity,
            Some("regression") if text.split_ascii_whitespace().any(|word| word == "sqrt") => Link::Square,
            Some(
                "regression" | "regression_l1" | "huber" | "fair" | "quantile" | "mape" | "lambdarank" | "rank_xendcg",
            ) => Link::Identity,
            Some("poisson" | "gamma" | "tweedie") => Link::Exponential,
            Some("binary" | "multiclassova") => Link::Logistic { slope: setting("sigmoid").unwrap_or(1.0) },
            Some("cross_entropy") => Link::Logistic { slope: 1.0 },
            Some("cross_entropy_lambda") => Link::Softplus,
            Some("multiclass") => Link::Softmax,
            Some(_) => return None,
        };
        Some(Self { text: text.trim().to_owned(), link })
    }

    /// The name alone, for example `lambdarank`.
    pub fn name(&self) -> &str {
        self.text.split(' ').next().unwrap_or_default()
    }

    /// Whether scores are probabilities, so that they can be calibrated and compared with a threshold.
    pub fn is_probability(&self) -> bool {
        matches!(self.link, Link::Logistic { .. } | Link::Softmax)
    }

    /// Turns the raw sums of one row, one per class, into its scores, in LightGBM's order of operations.
    pub fn transform(&self, row: &mut [f64]) {
        match self.link {
            Link::Identity => {}
            Link::Square => row.iter_mut().for_each(|x| *x = if *x > 0.0 { *x * *x } else { -(*x * *x) }),
            Link::Exponential => row.iter_mut().for_each(|x| *x = x.exp()),
            Link::Logistic { slope } => row.iter_mut().for_each(|x| *x = 1.0 / (1.0 + (-slope * *x).exp())),
            Link::Softplus => row.iter_mut().for_each(|x| *x = x.exp().ln_1p()),
            Link::Softmax => {
                let largest = row.iter().copied().fold(row[0], f64::max);
                let mut sum = 0.0;
                for x in row.iter_mut() {
                    *x = (*x - largest).exp();
                    sum += *x;
                }
                row.iter_mut().for_each(|x| *x /= sum);
            }
        }
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
