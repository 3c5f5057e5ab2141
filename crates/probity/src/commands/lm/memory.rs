//! Whether a run fits into the machine, before it begins.

use lm::Config;
use lm::train::{Counts, DecoderRecipe, Memory, estimate};
use serde::Serialize;

use crate::exit::UsageError;
use crate::streams;

/// Bytes of memory.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Machine {
    /// All of it, or what the control group may use.
    pub(super) total: u64,
    /// What is free or can be freed.
    pub(super) available: u64,
}

impl Machine {
    /// As Linux tells it; none elsewhere.
    pub(super) fn read() -> Option<Self> {
        let text = std::fs::read_to_string("/proc/meminfo").ok()?;
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
        };
        let mut machine = Self { total: field("MemTotal:")?, available: field("MemAvailable:")? };
        let group = |name: &str| std::fs::read_to_string(format!("/sys/fs/cgroup/{name}")).ok()?.trim().parse().ok();
        if let Some(limit) = group("memory.max") {
            let used: u64 = group("memory.current").unwrap_or(0);
            machine.total = machine.total.min(limit);
            machine.available = machine.available.min(limit.saturating_sub(used));
        }
        Some(machine)
    }
}

/// What a run takes, and what there is.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Need {
    #[serde(flatten)]
    pub(super) counts: Counts,
    pub(super) bytes: Memory,
    pub(super) total_bytes: u64,
    pub(super) machine: Option<Machine>,
}

impl Need {
    /// With micro-batches of so many tokens.
    pub(super) fn of(config: &Config, recipe: &DecoderRecipe, tokens: usize) -> Self {
        let mut training = recipe.training.clone();
        training.batch.tokens = tokens;
        let method = &recipe.details.method;
        let bytes = estimate(config, method, recipe.details.dtype, &training);
        let counts = Counts::of(config, method);
        Self { counts, bytes, total_bytes: bytes.total(), machine: Machine::read() }
    }

    /// A line for people.
    pub(super) fn line(&self) -> String {
        let Memory { weights, gradients, optimizer, activations, working, logits } = self.bytes;
        let parts = [
            ("weights", weights),
            ("gradients", gradients),
            ("optimizer", optimizer),
            ("activations", activations),
            ("buffers", working.saturating_add(logits)),
        ];
        let parts: Vec<String> = parts.iter().map(|(name, bytes)| format!("{name} {}", readable(*bytes))).collect();
        let machine = self.machine.map_or_else(String::new, |machine| {
            format!("; {} of {} are available", readable(machine.available), readable(machine.total))
        });
        format!("memory: about {} ({}){machine}", readable(self.total_bytes), parts.join(", "))
    }

    /// Warns if the run does not fit into what is free, and refuses it if it never could.
    pub(super) fn check(&self) -> Result<(), UsageError> {
        let Some(machine) = self.machine else { return Ok(()) };
        if self.total_bytes > machine.total {
            return Err(UsageError(format!(
                "the run needs about {}, and there are {}: {REMEDIES}",
                readable(self.total_bytes),
                readable(machine.total)
            )));
        }
        if self.total_bytes > machine.available {
            streams::note(&format!("warning: that is more than is available; if it fails, {REMEDIES}"));
        }
        Ok(())
    }
}

const REMEDIES: &str =
    "lower batch.tokens (and raise batch.accumulate), set checkpointing = true, or choose method.kind lora or qlora";

pub(super) fn readable(bytes: u64) -> String {
    match bytes {
        0..0x4000_0000 => format!("{:.0} MiB", bytes as f64 / f64::from(1u32 << 20)),
        _ => format!("{:.2} GiB", bytes as f64 / f64::from(1u32 << 30)),
    }
}
