//! Drawings as inline SVG: no script, no outside file, readable in print and on a phone.

use std::fmt::Write;

use crate::curves::Curve;
use crate::scorecard::Scorecard;

/// Text safe for HTML and SVG.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

pub(crate) fn open(width: f64, height: f64, title: &str) -> String {
    format!("<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{0}\"><title>{0}</title>\n", escape(title))
}

/// Rows are truths, columns decisions; the shade is the share of the row.
pub(crate) fn confusion(card: &Scorecard) -> String {
    const CELL: f64 = 74.0;
    const SIDE: f64 = 80.0;
    let names: Vec<&str> = card.classes.iter().map(|c| c.outcome.as_str()).chain(["invalid"]).collect();
    let width = SIDE + CELL * names.len() as f64 + 4.0;
    let height = SIDE * 0.6 + CELL * 0.62 * card.classes.len() as f64 + 4.0;
    let mut out = open(width, height, "confusion matrix");
    for (column, name) in names.iter().enumerate() {
        let x = SIDE + CELL * (column as f64 + 0.5);
        let _ = writeln!(out, "<text x=\"{x}\" y=\"34\" text-anchor=\"middle\">{}</text>", escape(name));
    }
    let _ =
        writeln!(out, "<text x=\"{}\" y=\"14\" text-anchor=\"middle\" class=\"dim\">decided</text>", SIDE + CELL * 2.0);
    for (row, (class, counts)) in card.classes.iter().zip(&card.confusion).enumerate() {
        let y = SIDE * 0.6 + CELL * 0.62 * row as f64;
        let middle = y + CELL * 0.36;
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\">{}</text>",
            SIDE - 8.0,
            escape(&class.outcome)
        );
        let total: usize = counts.iter().sum();
        for (column, count) in counts.iter().enumerate() {
            let share = if total == 0 { 0.0 } else { *count as f64 / total as f64 };
            let hue = if column == row { "right" } else { "wrong" };
            let x = SIDE + CELL * column as f64;
            let ink = if share > 0.55 { " class=\"light\"" } else { "" };
            let _ = writeln!(
                out,
                "<rect x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{}\" class=\"{hue}\" fill-opacity=\"{:.3}\"/>\
                 <text x=\"{}\" y=\"{middle}\" text-anchor=\"middle\"{ink}>{count}</text>",
                CELL - 3.0,
                CELL * 0.62 - 3.0,
                0.04 + 0.9 * share,
                x + CELL / 2.0 - 1.5,
            );
        }
    }
    out + "</svg>"
}

/// Precision, recall and F1 of each outcome as bars.
pub(crate) fn classes(card: &Scorecard) -> String {
    const LEFT: f64 = 80.0;
    const BAR: f64 = 260.0;
    let height = 26.0 + card.classes.len() as f64 * 52.0;
    let mut out = open(LEFT + BAR + 70.0, height, "precision, recall and F1 of each outcome");
    for (index, class) in card.classes.iter().enumerate() {
        let top = 20.0 + index as f64 * 52.0;
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            LEFT - 8.0,
            top + 24.0,
            escape(&class.outcome)
        );
        let score = class.score;
        for (line, (name, value, shade)) in
            [("P", score.precision, 0.45), ("R", score.recall, 0.7), ("F1", score.f1, 1.0)].into_iter().enumerate()
        {
            let y = top + line as f64 * 14.0;
            let _ = writeln!(
                out,
                "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{:.1}\" height=\"11\" class=\"right\" fill-opacity=\"{shade}\"/>\
                 <text x=\"{:.1}\" y=\"{}\" class=\"small\">{name} {value:.3}</text>",
                (BAR * value).max(1.0),
                LEFT + BAR * value + 5.0,
                y + 9.5,
            );
        }
    }
    out + "</svg>"
}

/// Times per decision on a logarithmic scale.
pub(crate) fn latency(card: &Scorecard) -> String {
    const HEIGHT: f64 = 120.0;
    let bars = &card.latency_histogram;
    let most = bars.iter().map(|(_, count)| *count).max().unwrap_or(1).max(1) as f64;
    let step = 420.0 / bars.len().max(1) as f64;
    let mut out = open(440.0, HEIGHT + 40.0, "time per decision");
    for (index, (bound, count)) in bars.iter().enumerate() {
        let height = HEIGHT * *count as f64 / most;
        let x = 10.0 + step * index as f64;
        let _ = writeln!(
            out,
            "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\" class=\"right\"><title>up to {bound:.1} µs: {count}</title></rect>",
            HEIGHT - height + 6.0,
            (step - 1.0).max(1.0),
        );
        if index % (bars.len() / 8).max(1) == 0 {
            let _ =
                writeln!(out, "<text x=\"{x:.1}\" y=\"{}\" class=\"small\">{}</text>", HEIGHT + 22.0, short(*bound));
        }
    }
    let _ = writeln!(
        out,
        "<text x=\"430\" y=\"{}\" text-anchor=\"end\" class=\"small dim\">µs per decision, logarithmic</text>",
        HEIGHT + 36.0
    );
    out + "</svg>"
}

fn short(microseconds: f64) -> String {
    if microseconds >= 1000.0 { format!("{:.0}k", microseconds / 1000.0) } else { format!("{microseconds:.0}") }
}

/// A curve in the unit square.
pub(crate) fn curve(curve: &Curve, title: &str, x_name: &str, y_name: &str) -> String {
    const SIZE: f64 = 220.0;
    let mut out = open(SIZE + 60.0, SIZE + 50.0, title);
    let _ = writeln!(out, "<rect x=\"40\" y=\"8\" width=\"{SIZE}\" height=\"{SIZE}\" class=\"frame\"/>");
    let points: Vec<String> =
        curve.points.iter().map(|(x, y)| format!("{:.1},{:.1}", 40.0 + SIZE * x, 8.0 + SIZE * (1.0 - y))).collect();
    let _ = writeln!(out, "<polyline points=\"{}\" class=\"line\"/>", points.join(" "));
    for (at, text) in [(0.0, "0"), (0.5, "0.5"), (1.0, "1")] {
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\" class=\"small\">{text}</text>\
             <text x=\"34\" y=\"{}\" text-anchor=\"end\" class=\"small\">{text}</text>",
            40.0 + SIZE * at,
            SIZE + 22.0,
            12.0 + SIZE * (1.0 - at),
        );
    }
    let _ = writeln!(
        out,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\" class=\"dim\">{} against {}</text>",
        40.0 + SIZE / 2.0,
        SIZE + 42.0,
        escape(y_name),
        escape(x_name),
    );
    out + "</svg>"
}
