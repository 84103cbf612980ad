//! Charts as SVG, made on the server: words and a table for whoever does not see them, colours by class only.
//!
//! A plot fills its box whatever its shape; the words of its axes stand around it as HTML, so that they keep
//! their size from a telephone to a wall.

use std::fmt::{Display, Write as _};

use aim_core::Timestamp;

use super::{
    Fragment,
    ui::{Escaped, Moment, Number, compact, grouped, relative},
};

/// The plot's own units; it is stretched to its box.
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 200.0;

/// Values of one kind over the same steps as its neighbours.
#[derive(Debug, Clone)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// `good`, `warn`, `bad`, `info`, `accent`, `neutral`, or a severity.
    pub tone: &'static str,
    /// A value for each step.
    pub values: Vec<f64>,
}

impl Series {
    /// A series.
    pub fn new(name: impl Display, tone: &'static str, values: Vec<f64>) -> Self {
        Self {
            name: name.to_string(),
            tone,
            values,
        }
    }
}

/// Something that happened, drawn across a line chart.
#[derive(Debug, Clone)]
pub struct Marker {
    /// When.
    pub at: Timestamp,
    /// What, in few words.
    pub label: String,
    /// As of [`Series::tone`].
    pub tone: &'static str,
}

/// The end of an axis: a round number that nothing exceeds.
fn nice_top(most: f64) -> f64 {
    if most <= 0.0 {
        return 4.0;
    }
    // A quarter of a small count is a whole number, so that no axis says 2.5.
    let small = [4.0, 8.0, 12.0, 16.0, 20.0, 24.0, 32.0, 40.0, 60.0, 80.0, 100.0];
    if let Some(top) = small.into_iter().find(|top| *top >= most) {
        return top;
    }
    let magnitude = 10_f64.powf(most.log10().floor());
    let steps = [1.0, 1.2, 1.6, 2.0, 2.4, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    let step = steps.into_iter().find(|step| step * magnitude >= most);
    (step.unwrap_or(10.0) * magnitude).max(4.0)
}

fn axis(html: &mut String, bottom: f64, top: f64) {
    html.push_str("<div class=\"chart-y\" aria-hidden=\"true\">");
    for part in [1.0, 0.75, 0.5, 0.25, 0.0] {
        let _ = write!(html, "<span>{}</span>", compact(bottom + (top - bottom) * part));
    }
    html.push_str("</div>");
}

fn grid_lines(html: &mut String) {
    for part in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let y = HEIGHT * part;
        let _ = write!(
            html,
            "<line class=\"chart-grid\" x1=\"0\" x2=\"{WIDTH}\" y1=\"{y}\" y2=\"{y}\"></line>"
        );
    }
}

/// At most `most` of the labels, evenly picked, the first and the last among them.
fn x_axis(html: &mut String, labels: &[String], most: usize) {
    html.push_str("<div class=\"chart-x\" aria-hidden=\"true\">");
    let last = labels.len().saturating_sub(1);
    let shown = labels.len().min(most);
    for index in 0..shown {
        let at = if shown > 1 { index * last / (shown - 1) } else { 0 };
        if let Some(label) = labels.get(at) {
            let _ = write!(html, "<span>{}</span>", Escaped(label));
        }
    }
    html.push_str("</div>");
}

fn open_figure(html: &mut String, class: &str) {
    let _ = write!(html, "<figure class=\"chart {class}\">");
}

fn open_svg(html: &mut String, title: &str, words: &str) {
    let _ = write!(
        html,
        "<svg class=\"chart-plot\" role=\"img\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" aria-label=\"{}. {}\"><desc>{}</desc>",
        Escaped(title),
        Escaped(words),
        Escaped(words)
    );
}

/// What a series comes to in words: its sum, or where it stands at the end.
#[derive(Clone, Copy)]
enum Sum {
    All,
    Last,
}

impl Sum {
    fn of(self, one: &Series) -> f64 {
        match self {
            Self::All => one.values.iter().sum(),
            Self::Last => one.values.last().copied().unwrap_or_default(),
        }
    }
}

fn legend(html: &mut String, series: &[Series], sum: Sum) {
    html.push_str("<ul class=\"chart-legend\">");
    for one in series {
        let total = sum.of(one);
        let _ = write!(
            html,
            "<li><span class=\"swatch tone-{}\"></span>{} <strong>{}</strong></li>",
            Escaped(one.tone),
            Escaped(&one.name),
            grouped(total)
        );
    }
    html.push_str("</ul>");
}

/// The same numbers as a table, for screen readers.
fn hidden_table(html: &mut String, title: &str, labels: &[String], series: &[Series]) {
    let _ = write!(
        html,
        "<div class=\"visually-hidden\"><table><caption>{}</caption><thead><tr><th>Time</th>",
        Escaped(title)
    );
    for one in series {
        let _ = write!(html, "<th>{}</th>", Escaped(&one.name));
    }
    html.push_str("</tr></thead><tbody>");
    for (index, label) in labels.iter().enumerate() {
        let _ = write!(html, "<tr><th scope=\"row\">{}</th>", Escaped(label));
        for one in series {
            let value = one.values.get(index).copied().unwrap_or_default();
            let _ = write!(html, "<td>{}</td>", grouped(value));
        }
        html.push_str("</tr>");
    }
    html.push_str("</tbody></table></div>");
}

/// Stacked bars over time; `labels` name the steps ("10:00"), each series has a value for each.
#[must_use]
pub fn stacked_bars(title: &str, labels: &[String], series: &[Series]) -> Fragment {
    stacked(title, labels, series, Sum::All)
}

/// The same for levels, such as how many there are of a kind: a sum over time would mean nothing, so the legend
/// says where each stands at the end.
#[must_use]
pub fn stacked_levels(title: &str, labels: &[String], series: &[Series]) -> Fragment {
    stacked(title, labels, series, Sum::Last)
}

fn stacked(title: &str, labels: &[String], series: &[Series], sum: Sum) -> Fragment {
    let sum_at = |index: usize| -> f64 { series.iter().filter_map(|one| one.values.get(index)).sum() };
    let top = nice_top((0..labels.len()).map(sum_at).fold(0.0, f64::max));
    let totals: Vec<String> = series
        .iter()
        .map(|one| format!("{} {}", one.name, grouped(sum.of(one))))
        .collect();
    let words = format!("{} steps; {}", labels.len(), totals.join(", "));
    let mut html = String::new();
    open_figure(&mut html, "chart-bars");
    html.push_str("<div class=\"chart-area\">");
    axis(&mut html, 0.0, top);
    open_svg(&mut html, title, &words);
    grid_lines(&mut html);
    let step = WIDTH / (labels.len().max(1) as f64);
    let gap = (step * 0.18).min(6.0);
    for (index, label) in labels.iter().enumerate() {
        let x = index as f64 * step + gap / 2.0;
        let mut from = HEIGHT;
        let parts: Vec<String> = series
            .iter()
            .map(|one| {
                let value = one.values.get(index).copied().unwrap_or_default();
                format!("{} {}", one.name, grouped(value))
            })
            .collect();
        let _ = write!(
            html,
            "<g><title>{}: {}</title>",
            Escaped(label),
            Escaped(parts.join(", "))
        );
        for one in series {
            let value = one.values.get(index).copied().unwrap_or_default();
            let height = value / top * HEIGHT;
            if height <= 0.0 {
                continue;
            }
            from -= height;
            let _ = write!(
                html,
                "<rect class=\"fill tone-{}\" x=\"{x:.2}\" y=\"{from:.2}\" width=\"{:.2}\" height=\"{height:.2}\"></rect>",
                Escaped(one.tone),
                step - gap
            );
        }
        // So that the whole column answers the pointer.
        let _ = write!(
            html,
            "<rect class=\"chart-hit\" x=\"{:.2}\" y=\"0\" width=\"{step:.2}\" height=\"{HEIGHT}\"></rect></g>",
            index as f64 * step
        );
    }
    html.push_str("</svg>");
    x_axis(&mut html, labels, 6);
    html.push_str("</div><figcaption>");
    legend(&mut html, series, sum);
    html.push_str("</figcaption>");
    hidden_table(&mut html, title, labels, series);
    html.push_str("</figure>");
    Fragment::trusted(html)
}

/// A line over time from `bottom` to `top`, with what happened drawn across it.
#[must_use]
pub fn line(
    title: &str,
    now: impl Moment,
    points: &[(Timestamp, f64)],
    markers: &[Marker],
    bottom: impl Number,
    top: impl Number,
) -> Fragment {
    let (bottom, top) = (bottom.number().unwrap_or(0.0), top.number().unwrap_or(100.0));
    let (Some((first, start)), Some((last, end))) = (points.first(), points.last()) else {
        return Fragment::trusted(format!("<p class=\"quiet\">{}: no data yet.</p>", Escaped(title)));
    };
    let now = now.moment().unwrap_or(*last);
    let length = ((*last - *first).num_milliseconds().max(1)) as f64;
    let x_of = |at: Timestamp| ((at - *first).num_milliseconds() as f64 / length * WIDTH).clamp(0.0, WIDTH);
    let y_of = |value: f64| HEIGHT - (value - bottom) / (top - bottom).max(f64::EPSILON) * HEIGHT;
    let words = format!(
        "From {} to {}, {} points",
        grouped((*start * 10.0).round() / 10.0),
        grouped((*end * 10.0).round() / 10.0),
        points.len()
    );
    let mut html = String::new();
    open_figure(&mut html, "chart-line");
    html.push_str("<div class=\"chart-area\">");
    axis(&mut html, bottom, top);
    open_svg(&mut html, title, &words);
    grid_lines(&mut html);
    let mut path = String::new();
    for (index, (at, value)) in points.iter().enumerate() {
        let command = if index == 0 { 'M' } else { 'L' };
        let _ = write!(path, "{command}{:.1} {:.1}", x_of(*at), y_of(*value));
    }
    let _ = write!(
        html,
        "<path class=\"chart-under\" d=\"{path}L{:.1} {HEIGHT}L0 {HEIGHT}Z\"></path><path class=\"chart-stroke\" d=\"{path}\"></path>",
        x_of(*last)
    );
    for marker in markers {
        let x = x_of(marker.at);
        let _ = write!(
            html,
            "<g><title>{}, {}</title><line class=\"chart-marker tone-{}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"0\" y2=\"{HEIGHT}\"></line>\
             <line class=\"chart-marker-hit\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"0\" y2=\"{HEIGHT}\"></line></g>",
            Escaped(&marker.label),
            Escaped(relative(now, marker.at)),
            Escaped(marker.tone)
        );
    }
    for (at, value) in points {
        // A stroke of no length with a round end is a dot that is not stretched.
        let _ = write!(
            html,
            "<path class=\"chart-dot\" d=\"M{:.1} {:.1}h0\"><title>{}: {}</title></path>",
            x_of(*at),
            y_of(*value),
            at.format("%Y-%m-%d %H:%M UTC"),
            grouped((*value * 10.0).round() / 10.0)
        );
    }
    html.push_str("</svg>");
    let labels: Vec<String> = points
        .iter()
        .map(|(at, _)| at.format("%b %-d").to_string())
        .collect();
    x_axis(&mut html, &labels, 5);
    html.push_str("</div>");
    if !markers.is_empty() {
        html.push_str("<figcaption><ul class=\"chart-legend\">");
        for marker in markers {
            let _ = write!(
                html,
                "<li><span class=\"swatch tone-{}\"></span>{} <span class=\"quiet\">{}</span></li>",
                Escaped(marker.tone),
                Escaped(&marker.label),
                Escaped(relative(now, marker.at))
            );
        }
        html.push_str("</ul></figcaption>");
    }
    let exact: Vec<String> = points
        .iter()
        .map(|(at, _)| at.format("%Y-%m-%d %H:%M").to_string())
        .collect();
    let values = points.iter().map(|(_, value)| *value).collect();
    hidden_table(
        &mut html,
        title,
        &exact,
        &[Series::new("Value", "accent", values)],
    );
    html.push_str("</figure>");
    Fragment::trusted(html)
}

/// A small line without axes, for tiles and tables.
#[must_use]
pub fn sparkline(label: impl Display, values: &[f64]) -> Fragment {
    let most = values.iter().copied().fold(0.0, f64::max).max(1.0);
    let last = values.len().saturating_sub(1).max(1) as f64;
    let mut path = String::new();
    for (index, value) in values.iter().enumerate() {
        let command = if index == 0 { 'M' } else { 'L' };
        let _ = write!(
            path,
            "{command}{:.1} {:.1}",
            index as f64 / last * 100.0,
            27.0 - value / most * 24.0
        );
    }
    let start = values.first().copied().unwrap_or_default();
    let end = values.last().copied().unwrap_or_default();
    Fragment::trusted(format!(
        "<svg class=\"sparkline\" role=\"img\" aria-label=\"{}: from {} to {}, at most {}\" viewBox=\"0 0 100 30\" preserveAspectRatio=\"none\">\
         <path class=\"chart-under\" d=\"{path}L100 30L0 30Z\"></path><path class=\"chart-stroke\" d=\"{path}\"></path></svg>",
        Escaped(label),
        compact(start),
        compact(end),
        compact(if values.is_empty() { 0.0 } else { most })
    ))
}

/// A row of [`bars`].
#[derive(Debug, Clone)]
pub struct BarRow {
    label: String,
    value: f64,
    note: String,
    tone: &'static str,
    href: Option<String>,
}

impl BarRow {
    /// A row.
    pub fn new(label: impl Display, value: f64) -> Self {
        Self {
            label: label.to_string(),
            value,
            note: grouped(value),
            tone: "accent",
            href: None,
        }
    }

    /// Other words than the value at its end.
    #[must_use]
    pub fn note(mut self, words: impl Display) -> Self {
        self.note = words.to_string();
        self
    }

    /// As of [`Series::tone`].
    #[must_use]
    pub fn tone(mut self, tone: &'static str) -> Self {
        self.tone = tone;
        self
    }

    /// Where its label leads.
    #[must_use]
    pub fn link(mut self, href: impl Display) -> Self {
        self.href = Some(href.to_string());
        self
    }
}

/// Horizontal bars, for rankings and shares; `most` is the full length, or the largest value.
#[must_use]
pub fn bars(title: &str, rows: &[BarRow], most: impl Number) -> Fragment {
    let largest = rows.iter().map(|row| row.value).fold(0.0, f64::max);
    let most = most.number().unwrap_or(largest).max(f64::EPSILON);
    let mut html = format!("<ol class=\"chart-rows\" aria-label=\"{}\">", Escaped(title));
    for row in rows {
        let share = (row.value / most).clamp(0.0, 1.0) * 100.0;
        html.push_str("<li><span class=\"chart-row-label\">");
        let _ = match &row.href {
            Some(href) => write!(html, "<a href=\"{}\">{}</a>", Escaped(href), Escaped(&row.label)),
            None => write!(html, "{}", Escaped(&row.label)),
        };
        let _ = write!(
            html,
            "</span><span class=\"chart-row-value\">{}</span><svg class=\"bar tone-{}\" aria-hidden=\"true\" viewBox=\"0 0 100 6\" preserveAspectRatio=\"none\">\
             <rect class=\"bar-track\" width=\"100\" height=\"6\"></rect><rect class=\"bar-fill\" width=\"{share:.1}\" height=\"6\"></rect></svg></li>",
            Escaped(&row.note),
            Escaped(row.tone)
        );
    }
    html.push_str("</ol>");
    Fragment::trusted(html)
}

/// A value from 0 to 100 as an arc; none says so.
#[must_use]
pub fn gauge(label: impl Display, value: impl Number) -> Fragment {
    const RADIUS: f64 = 80.0;
    let value = value.number();
    let length = std::f64::consts::PI * RADIUS;
    let (shown, tone, filled, words) = match value {
        None => (
            "–".to_owned(),
            "neutral",
            0.0,
            "no score: too little data".to_owned(),
        ),
        Some(value) => {
            let tone = match value {
                low if low < 40.0 => "bad",
                medium if medium < 70.0 => "warn",
                _ => "good",
            };
            let rounded = value.round();
            (
                format!("{rounded:.0}"),
                tone,
                value.clamp(0.0, 100.0) / 100.0 * length,
                format!("{rounded:.0} of 100"),
            )
        }
    };
    let arc = "M20 100A80 80 0 0 1 180 100";
    let fill = if filled > 0.0 {
        format!(
            "<path class=\"gauge-fill\" d=\"{arc}\" stroke-dasharray=\"{filled:.1} {:.1}\"></path>",
            length * 2.0
        )
    } else {
        String::new()
    };
    let note = if value.is_some() { "of 100" } else { "unscored" };
    Fragment::trusted(format!(
        "<svg class=\"gauge tone-{tone}\" role=\"img\" aria-label=\"{}: {words}\" viewBox=\"0 0 200 116\">\
         <path class=\"gauge-track\" d=\"{arc}\"></path>{fill}\
         <text class=\"gauge-value\" x=\"100\" y=\"88\" text-anchor=\"middle\">{shown}</text>\
         <text class=\"gauge-note\" x=\"100\" y=\"108\" text-anchor=\"middle\">{note}</text></svg>",
        Escaped(label)
    ))
}

/// How many fall into each class: columns side by side.
#[must_use]
pub fn distribution(title: &str, classes: &[(String, f64)]) -> Fragment {
    let labels: Vec<String> = classes.iter().map(|(label, _)| label.clone()).collect();
    let values: Vec<f64> = classes.iter().map(|(_, value)| *value).collect();
    stacked_bars(title, &labels, &[Series::new(title, "accent", values)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn an_axis_ends_at_a_round_number_that_nothing_exceeds() {
        for (most, top) in [(0.0, 4.0), (3.0, 4.0), (7.0, 8.0), (11.0, 12.0), (950.0, 1000.0)] {
            assert!((nice_top(most) - top).abs() < 1e-9, "{most}");
        }
    }

    #[test]
    fn bars_are_as_high_as_their_values_and_say_them() {
        let labels = vec!["10:00".to_owned(), "11:00".to_owned()];
        let series = [
            Series::new("Approved", "good", vec![3.0, 0.0]),
            Series::new("Denied <by policy>", "bad", vec![1.0, 2.0]),
        ];
        let html = stacked_bars("Decisions", &labels, &series).to_string();
        assert!(html.contains("height=\"150.00\""), "3 of 4: {html}");
        assert!(html.contains("<title>11:00: Approved 0, Denied &lt;by policy&gt; 2</title>"));
        assert!(html.contains("<th scope=\"row\">10:00</th><td>3</td><td>1</td>"));
        assert!(!html.contains("style=") && !html.contains("<by policy>"));
    }

    #[test]
    fn a_line_runs_from_its_first_moment_to_its_last() {
        let points = [
            (at("2026-11-01T00:00:00Z"), 50.0),
            (at("2026-11-02T00:00:00Z"), 100.0),
        ];
        let marker = Marker {
            at: at("2026-11-01T12:00:00Z"),
            label: "Key rotated".to_owned(),
            tone: "info",
        };
        let html = line(
            "Trust",
            at("2026-11-03T00:00:00Z"),
            &points,
            &[marker],
            0.0,
            100.0,
        );
        assert!(html.as_str().contains("d=\"M0.0 100.0L1000.0 0.0\""), "{html}");
        assert!(html.as_str().contains("x1=\"500.0\""));
        assert!(html.as_str().contains("Key rotated"));
        assert!(
            line("Trust", at("2026-11-03T00:00:00Z"), &[], &[], 0.0, 1.0)
                .as_str()
                .contains("no data")
        );
    }

    #[test]
    fn a_gauge_without_a_value_flatters_nobody() {
        let html = gauge("Trust", None::<f64>).to_string();
        assert!(html.contains("too little data") && !html.contains("gauge-fill"));
        assert!(
            gauge("Trust", Some(39.6))
                .as_str()
                .contains("tone-bad\" role=\"img\" aria-label=\"Trust: 40 of 100")
        );
    }

    #[test]
    fn sparklines_and_bars_stand_empty_lists() {
        assert!(
            sparkline("Denials", &[])
                .as_str()
                .contains("from 0 to 0, at most 0")
        );
        assert!(
            bars(
                "Top",
                &[BarRow::new("a", 0.0), BarRow::new("b", 5.0).link("/b")],
                None::<f64>
            )
            .as_str()
            .contains("width=\"100.0\"")
        );
    }
}
