//! A scorecard as one self-contained HTML file.

use std::fmt::Write;

use crate::compare::{self, Row};
use crate::curves::Curve;
use crate::explanations::{self, Explanations};
use crate::scorecard::{Interval, Scorecard};
use crate::svg::{self, escape};

const STYLE: &str = "
:root{color-scheme:light dark;--ink:#1c2430;--dim:#5c6675;--paper:#fff;--rule:#d9dee5;--good:#1f6f8b;--bad:#b5402a}
@media (prefers-color-scheme:dark){:root{--ink:#e6e9ee;--dim:#9aa4b2;--paper:#14181e;--rule:#303844;--good:#58b4d1;--bad:#e07a5f}}
@media print{:root{--ink:#000;--dim:#444;--paper:#fff;--rule:#bbb;--good:#1f6f8b;--bad:#b5402a}}
body{font:16px/1.45 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:62rem;margin:0 auto;padding:1rem}
h1{font-size:1.5rem;margin:.2em 0}h2{font-size:1.1rem;margin:1.6em 0 .4em}
.dim{color:var(--dim);fill:var(--dim)}.figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(10.5rem,1fr));gap:.6rem}
.figure{border:1px solid var(--rule);border-radius:.5rem;padding:.5rem .7rem}.figure b{display:block;font-size:1.35rem;font-variant-numeric:tabular-nums}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,22rem),1fr));gap:1.2rem}
figure{margin:0;break-inside:avoid}svg{width:100%;height:auto;font:13px system-ui,sans-serif}
svg text{fill:var(--ink)}svg .small{font-size:10px}svg .light{fill:#fff}svg .dim{fill:var(--dim)}
.right{fill:var(--good)}.wrong{fill:var(--bad)}.frame{fill:none;stroke:var(--rule)}.line{fill:none;stroke:var(--good);stroke-width:2}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}th,td{text-align:right;padding:.25rem .5rem;border-bottom:1px solid var(--rule)}
th:first-child,td:first-child{text-align:left}.scroll{overflow-x:auto}code{overflow-wrap:anywhere}
";

fn page(title: &str, body: &str, data: &impl serde::Serialize) -> String {
    // The figures travel with the page; `<` is escaped so that no text can end the script element.
    let json = serde_json::to_string(data).unwrap_or_default().replace('<', "\\u003c");
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>{}</title>\n<style>{STYLE}</style>\n</head>\n\
         <body>\n{body}\n<script type=\"application/json\" id=\"scorecard\">{json}</script>\n</body>\n</html>\n",
        escape(title)
    )
}

/// One scorecard.
pub fn html(card: &Scorecard) -> String {
    html_with(card, None)
}

/// One scorecard, with what the model looked at.
pub fn html_with(card: &Scorecard, explanations: Option<&Explanations>) -> String {
    let who = card.decided_by.as_ref().map_or("unknown decider".to_owned(), |id| format!("{} {}", id.name, id.version));
    let mut body = format!("<h1>{}: {} cases of {}</h1>\n", escape(&who), card.cases, escape(&card.set));
    if let Some(identity) = &card.decided_by {
        let _ = writeln!(body, "<p class=\"dim\">decided with <code>{}</code></p>", escape(&identity.hash));
    }
    body += "<div class=\"figures\">\n";
    for (name, value, note) in figures(card) {
        let _ = writeln!(body, "<div class=\"figure\">{name}<b>{value}</b><span class=\"dim\">{note}</span></div>");
    }
    body += "</div>\n<div class=\"plots\">\n";
    let mut plot = |title: &str, drawing: String| {
        let _ = writeln!(body, "<figure><h2>{title}</h2>{drawing}</figure>");
    };
    plot("Confusion matrix", svg::confusion(card));
    plot("Each outcome", svg::classes(card));
    if let Some(ranking) = &card.ranking {
        plot("ROC", svg::curve(&ranking.roc, "ROC", "false-positive rate", "recall"));
        plot(
            "Precision and recall",
            svg::curve(&ranking.precision_recall, "precision and recall", "recall", "precision"),
        );
        let bins = ranking.reliability.iter().map(|(score, share, _)| (*score, *share));
        let bins = Curve { points: bins.collect() };
        plot("Reliability", svg::curve(&bins, "reliability", "mean score", "share of positives"));
    }
    if !card.latency_histogram.is_empty() {
        plot("Time per decision", svg::latency(card));
    }
    if let Some(explanations) = explanations {
        plot("What the model looks at", explanations::summary(explanations));
        for case in &explanations.cases {
            let truth = if case.truth { "positive" } else { "negative" };
            let title = format!("{} (truly {truth}): score {:.3}", escape(&case.case_id), case.score);
            plot(&title, explanations::waterfall(case));
        }
    }
    body += "</div>\n";
    page(&format!("{who} on {}", card.set), &body, card)
}

fn figures(card: &Scorecard) -> Vec<(&'static str, String, String)> {
    let interval = |i: &Interval| (format!("{:.4}", i.value), format!("95 %: {:.4} to {:.4}", i.low, i.high));
    let mut list = Vec::new();
    for (name, value) in [("Accuracy", &card.accuracy), ("Macro F1", &card.macro_f1), ("Reasons F1", &card.reasons_f1)]
    {
        let (value, note) = interval(value);
        list.push((name, value, note));
    }
    list.push(("Exact match", format!("{:.4}", card.exact_match), "outcome, level and reasons".to_owned()));
    if let Some(accuracy) = card.escalation_accuracy {
        list.push(("Escalation", format!("{accuracy:.4}"), "share of right levels".to_owned()));
    }
    list.push(("Invalid", card.invalid.to_string(), "counted as wrong".to_owned()));
    if let Some(ranking) = &card.ranking {
        list.push((
            "ROC AUC",
            format!("{:.4}", ranking.auc),
            format!("positive: {}", escape(&ranking.positive.join(", "))),
        ));
        if let Some((threshold, recall, rate)) = ranking.at_threshold {
            let note = format!("from score {threshold:.4} on: false positives {rate:.4}");
            list.push(("Recall", format!("{recall:.4}"), note));
        }
        for (recall, _, rate) in &ranking.at_recall {
            list.push(("False positives", format!("{rate:.4}"), format!("at recall {recall}")));
        }
        list.push((
            "Calibration error",
            format!("{:.4}", ranking.calibration_error),
            format!("Brier {:.4}", ranking.brier),
        ));
    }
    if let Some(latency) = card.latency_us {
        let note = format!("p95 {:.1}, p99 {:.1}", latency.p95, latency.p99);
        list.push(("Median latency", format!("{:.1} µs", latency.p50), note));
    }
    if let Some(throughput) = card.throughput {
        list.push(("Throughput", format!("{throughput:.0}/s"), "cases".to_owned()));
    }
    if let Some(cost) = card.cost_per_1000 {
        list.push(("Cost", format!("${cost:.6}"), "per 1,000 cases".to_owned()));
    }
    list
}

/// Several scorecards side by side.
pub fn comparison_html(names: &[String], rows: &[Row], regressions: &[String]) -> String {
    let mut body = "<h1>Comparison</h1>\n<div class=\"scroll\"><table>\n<tr><th></th>".to_owned();
    for name in names {
        let _ = write!(body, "<th>{}</th>", escape(name));
    }
    body += "</tr>\n";
    for line in compare::render(&names.iter().map(|_| String::new()).collect::<Vec<_>>(), rows).lines().skip(1) {
        let (figure, values) = line.split_at(line.char_indices().nth(22).map_or(line.len(), |(at, _)| at));
        let _ = write!(body, "<tr><td>{}</td>", escape(figure.trim()));
        for value in values.split_whitespace() {
            let _ = write!(body, "<td>{value}</td>");
        }
        body += "</tr>\n";
    }
    body += "</table></div>\n";
    for regression in regressions {
        let _ = writeln!(body, "<p>Worse: {}</p>", escape(regression));
    }
    page("Comparison", &body, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Observations, Settings};

    #[test]
    fn nothing_of_a_name_reaches_the_page_as_markup() {
        let settings = Settings { set: "<script>alert(1)</script>".to_owned(), ..Settings::default() };
        let page = html(&Scorecard::new(&Observations::default(), &settings));
        assert!(!page.contains("<script>alert"));
        assert_eq!(page.matches("</script>").count(), 1);
    }

    #[test]
    fn the_page_needs_nothing_from_outside() {
        let page = html(&Scorecard::new(&Observations::default(), &Settings::default()));
        assert!(!page.contains("http") && !page.contains("src=") && !page.contains("@import"));
    }
}
