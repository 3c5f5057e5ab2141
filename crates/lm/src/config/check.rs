//! Which configurations make sense.

use super::{Architecture, Config, Rotary, Scaling};

/// Larger numbers are damage or mistakes. The limits also keep every product of sizes far from overflowing.
const LARGEST: [(&str, usize); 7] = [
    ("vocabulary", 1 << 22),
    ("hidden size", 1 << 17),
    ("number of layers", 1 << 10),
    ("number of heads", 1 << 12),
    ("head size", 1 << 12),
    ("intermediate size", 1 << 20),
    ("number of positions", 1 << 28),
];

impl Config {
    /// Whether the numbers fit each other and the architecture, so that code that follows them neither divides by
    /// zero nor overflows, and so that `transformers` can express them.
    ///
    /// # Errors
    /// Words that say which number is wrong.
    pub fn check(&self) -> Result<(), String> {
        self.check_sizes()?;
        if self.key_value_heads == 0 || !self.heads.is_multiple_of(self.key_value_heads) {
            return Err(format!(
                "{} heads cannot share {} key and value heads; the second must divide the first",
                self.heads, self.key_value_heads
            ));
        }
        if !(0.0..1.0).contains(&self.norm_epsilon) {
            return Err(format!("the epsilon of the norms is {}, not between 0 and 1", self.norm_epsilon));
        }
        if self.sliding_window == Some(0) {
            return Err("the sliding window has no positions; use none for full attention".into());
        }
        self.check_architecture()?;
        self.rotary.check(self.head_size)
    }

    fn check_sizes(&self) -> Result<(), String> {
        let sizes =
            [self.vocabulary, self.hidden, self.layers, self.heads, self.head_size, self.intermediate, self.positions];
        for (size, (name, largest)) in sizes.into_iter().zip(LARGEST) {
            if size == 0 || size > largest {
                return Err(format!("the {name} is {size}, not between 1 and {largest}"));
            }
        }
        Ok(())
    }

    /// What an architecture cannot express would be lost in its `config.json`.
    fn check_architecture(&self) -> Result<(), String> {
        let architecture = self.architecture;
        if self.query_key_norm != (architecture == Architecture::Qwen3) {
            return Err(format!("norms of queries and keys are part of qwen3 and of nothing else: {architecture:?}"));
        }
        if self.sliding_window.is_some() && architecture == Architecture::Llama {
            return Err("llama has no sliding window; use the architecture mistral".into());
        }
        if self.rotary.dimensions != self.head_size && architecture != Architecture::Phi3 {
            return Err(format!(
                "{} of {} dimensions of a head are turned; only phi3 turns a part",
                self.rotary.dimensions, self.head_size
            ));
        }
        if architecture == Architecture::Phi3
            && !matches!(self.rotary.scaling, Scaling::None | Scaling::LongRope { .. })
        {
            return Err("phi3 scales its rotary embedding by `longrope` or not at all".into());
        }
        Ok(())
    }
}

impl Rotary {
    fn check(&self, head_size: usize) -> Result<(), String> {
        let dimensions = self.dimensions;
        if dimensions == 0 || dimensions % 2 == 1 || dimensions > head_size {
            return Err(format!(
                "the rotary embedding turns {dimensions} of {head_size} dimensions of a head; an even number is needed"
            ));
        }
        positive("rope_theta", self.base)?;
        match &self.scaling {
            Scaling::None => Ok(()),
            Scaling::Linear { factor } => positive("factor", *factor),
            Scaling::Llama3 { factor, low, high, original } => {
                positive("factor", *factor)?;
                positive("low_freq_factor", *low)?;
                positive("high_freq_factor", *high)?;
                if high <= low {
                    return Err(format!("`high_freq_factor` is {high}, not more than `low_freq_factor`, {low}"));
                }
                original_positions(*original)
            }
            Scaling::LongRope { short, long, original, attention_factor } => {
                positive("attention_factor", *attention_factor)?;
                original_positions(*original)?;
                divisors("short_factor", short, dimensions)?;
                divisors("long_factor", long, dimensions)
            }
        }
    }
}

fn divisors(name: &str, factors: &[f64], dimensions: usize) -> Result<(), String> {
    if factors.len() != dimensions / 2 {
        return Err(format!(
            "`{name}` has {} numbers, not {}, one for each pair of dimensions",
            factors.len(),
            dimensions / 2
        ));
    }
    factors.iter().try_for_each(|factor| positive(name, *factor))
}

fn positive(name: &str, number: f64) -> Result<(), String> {
    if number.is_finite() && number > 0.0 {
        return Ok(());
    }
    Err(format!("`{name}` has {number}, which is not a positive number"))
}

fn original_positions(original: usize) -> Result<(), String> {
    if (1..=1 << 28).contains(&original) {
        return Ok(());
    }
    Err(format!("`original_max_position_embeddings` is {original}, which is no length of a text"))
}
