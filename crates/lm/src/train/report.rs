//! The page that shows how a run goes: `loss.svg` and `report.html`.

use super::curve::{escape, svg};
use super::progress::{Step, Validation};
use super::run::Run;
use super::training::Phase;
use crate::Result;
use std::fmt::Write;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:900px;margin:2rem auto;padding:0 1rem;\
    background:#fff;color:#223}table{border-collapse:collapse}td,th{text-align:right;padding:.2rem .8rem;\
    border-bottom:1px solid #dde}td:first-child,th:first-child{text-align:left}svg{width:100%}\
    @media(prefers-color-scheme:dark){body{background:#16181d;color:#dde}}";

/// Draws what the logs hold.
pub(super) fn write(run: &Run, phases: &[Phase]) -> Result<()> {
    let steps: Vec<Step> = run.lines("log.jsonl")?;
    let validations: Vec<Validation> = run.lines("validation.jsonl")?;
    let curve = svg(&steps, &validations, phases);
    run.write("loss.svg", curve.as_bytes())?;
    run.write("report.html", page(&curve, &steps, &validations, phases).as_bytes())
}

fn page(curve: &str, steps: &[Step], validations: &[Validation], phases: &[Phase]) -> String {
    let mut rows = String::new();
    for (number, phase) in phases.iter().enumerate() {
        let own: Vec<&Step> = steps.iter().filter(|step| step.phase == number).collect();
        let Some((first, last)) = own.first().zip(own.last()) else { continue };
        let best = validations.iter().rfind(|validation| validation.phase == number && validation.best);
        let number = |value: Option<f64>| value.map_or("–".into(), |value| format!("{value:.4}"));
        let _ = writeln!(
            rows,
            "<tr><td>{}</td><td>{}</td><td>{:.4}</td><td>{:.4}</td><td>{}</td><td>{}</td></tr>",
            escape(&phase.name),
            own.len(),
            first.loss,
            last.loss,
            number(best.map(|best| best.loss)),
            number(best.and_then(|best| best.accuracy)),
        );
    }
    let (items, seconds) =
        (steps.iter().map(|step| step.items).sum::<u64>(), steps.last().map_or(0.0, |step| step.seconds));
    let speed = items as f64 / f64::max(seconds, 1e-9);
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>Training</title>\n\
         <style>{STYLE}</style></head>\n<body>\n<h1>Training</h1>\n\
         <p>{} steps, {items} items, {seconds:.0} s, {speed:.0} items a second</p>\n{curve}\n\
         <table><tr><th>phase</th><th>steps</th><th>first loss</th><th>last loss</th>\
         <th>best validation loss</th><th>accuracy</th></tr>\n{rows}</table>\n</body></html>\n",
        steps.len(),
    )
}
