//! The loss curve as SVG: no script, no outside file, readable in print.

use super::progress::{Step, Validation};
use super::training::Phase;
use std::fmt::Write;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 64.0;
const TOP: f64 = 26.0;
/// Points that a line has at most; more could not be told apart.
const POINTS: usize = 600;

/// Looks of the drawing, in light and dark.
const STYLE: &str = "text{font:11px system-ui,sans-serif;fill:#667}.frame{fill:none;stroke:#99a;stroke-width:.6}\
    .grid{stroke:#99a;stroke-width:.3;stroke-dasharray:2 4}.raw{fill:none;stroke:#4477aa;stroke-width:.6;opacity:.35}\
    .line{fill:none;stroke:#4477aa;stroke-width:1.8}.validation{fill:none;stroke:#cc6633;stroke-width:1.8}\
    circle{fill:#cc6633}circle.best{fill:#fff;stroke:#cc6633;stroke-width:2}";

/// Text safe for HTML and SVG.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Where numbers of steps and losses lie on the drawing.
struct Scale {
    steps: f64,
    low: f64,
    high: f64,
}

impl Scale {
    /// Holds all losses from zero up; a few outliers at the very top are cut off, or they would flatten the rest.
    fn new(steps: &[Step], validations: &[Validation]) -> Self {
        let last = steps.last().map_or(1, |step| step.step).max(1);
        let mut losses: Vec<f64> = steps.iter().map(|step| step.loss).collect();
        losses.sort_by(f64::total_cmp);
        let most = losses.get(losses.len().saturating_sub(1 + losses.len() / 200)).copied().unwrap_or(1.0);
        let most = validations.iter().map(|validation| validation.loss).fold(most, f64::max);
        let low = losses.first().copied().unwrap_or(0.0).min(0.0);
        let high = if most > low { most } else { low + 1.0 };
        Self { steps: last as f64, low, high }
    }

    fn x(&self, step: u64) -> f64 {
        LEFT + WIDTH * step as f64 / self.steps
    }

    fn y(&self, loss: f64) -> f64 {
        TOP + HEIGHT * (1.0 - ((loss - self.low) / (self.high - self.low)).min(1.0))
    }

    fn line(&self, class: &str, points: impl Iterator<Item = (u64, f64)>) -> String {
        let points: Vec<String> =
            points.map(|(step, loss)| format!("{:.1},{:.1}", self.x(step), self.y(loss))).collect();
        format!("<polyline points=\"{}\" class=\"{class}\"/>\n", points.join(" "))
    }
}

/// Training loss, as it was and smoothed, and validation loss over all steps, phase by phase.
pub(super) fn svg(steps: &[Step], validations: &[Validation], phases: &[Phase]) -> String {
    let scale = Scale::new(steps, validations);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"loss\">\
         <title>loss</title><style>{STYLE}</style>\n\
         <rect x=\"{LEFT}\" y=\"{TOP}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" class=\"frame\"/>\n",
        WIDTH + LEFT + 12.0,
        HEIGHT + TOP + 46.0,
    );
    axes(&mut out, &scale);
    for (number, phase) in phases.iter().enumerate() {
        let first = steps.partition_point(|step| step.phase < number);
        let own = &steps[first..steps.partition_point(|step| step.phase <= number)];
        let Some(start) = own.first() else { continue };
        if phases.len() > 1 {
            let x = scale.x(start.step - 1);
            let _ = writeln!(
                out,
                "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{}\" class=\"grid\"/>\
                 <text x=\"{:.1}\" y=\"16\">{}</text>",
                TOP + HEIGHT,
                x + 3.0,
                escape(&phase.name),
            );
        }
        out += &scale.line("raw", thinned(own).map(|step| (step.step, step.loss)));
        out += &scale.line("line", smoothed(own).into_iter());
        let own: Vec<&Validation> = validations.iter().filter(|validation| validation.phase == number).collect();
        out += &scale.line("validation", own.iter().map(|validation| (validation.step, validation.loss)));
        points(&mut out, &scale, &own);
    }
    out + "</svg>\n"
}

fn axes(out: &mut String, scale: &Scale) {
    for part in 0..=4 {
        let share = f64::from(part) / 4.0;
        let loss = scale.low + share * (scale.high - scale.low);
        let (y, bottom) = (scale.y(loss), TOP + HEIGHT);
        let _ = writeln!(
            out,
            "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\" class=\"grid\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{loss:.3}</text>\
             <text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{:.0}</text>",
            LEFT + WIDTH,
            LEFT - 6.0,
            y + 4.0,
            LEFT + WIDTH * share,
            bottom + 16.0,
            scale.steps * share,
        );
    }
    let _ = writeln!(
        out,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">steps: training loss (blue, smoothed) and validation loss \
         (orange, best open)</text>",
        LEFT + WIDTH / 2.0,
        TOP + HEIGHT + 36.0,
    );
}

fn points(out: &mut String, scale: &Scale, validations: &[&Validation]) {
    let best = validations.iter().rposition(|validation| validation.best);
    for (index, validation) in validations.iter().enumerate() {
        let class = if Some(index) == best { " class=\"best\"" } else { "" };
        let _ = writeln!(
            out,
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\"{class}><title>step {}: {:.4}</title></circle>",
            scale.x(validation.step),
            scale.y(validation.loss),
            validation.step,
            validation.loss,
        );
    }
}

fn thinned(steps: &[Step]) -> impl Iterator<Item = &Step> {
    steps.iter().step_by(steps.len().div_ceil(POINTS).max(1))
}

/// Means over windows of a fiftieth of the phase that end at each point.
fn smoothed(steps: &[Step]) -> Vec<(u64, f64)> {
    let mut sums = Vec::with_capacity(steps.len() + 1);
    sums.push(0.0);
    for step in steps {
        sums.push(sums[sums.len() - 1] + step.loss);
    }
    let window = steps.len().div_ceil(50).max(1);
    let mean = |end: usize| {
        let start = end.saturating_sub(window);
        (sums[end] - sums[start]) / (end - start) as f64
    };
    let stride = steps.len().div_ceil(POINTS).max(1);
    (1..=steps.len()).step_by(stride).map(|end| (steps[end - 1].step, mean(end))).collect()
}
