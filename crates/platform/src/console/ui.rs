//! Leaf components: functions that answer HTML. In templates: `{{ ui::badge("new", "info") }}`.
//!
//! Texts are anything that can be displayed, and are escaped. Times are a `Timestamp` or an `Option` of one,
//! numbers any integer or float, by value or by reference.

use std::fmt::{self, Display, Write as _};

use aim_core::Timestamp;
use askama::filters::HtmlSafe;
use chrono::TimeDelta;

use super::{Fragment, Frame, assets};

/// A text as HTML, fit for content and for attributes in double quotes.
#[derive(Debug, Clone, Copy)]
pub struct Escaped<T>(pub T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

struct Escaping<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            match character {
                '&' => self.0.write_str("&amp;"),
                '<' => self.0.write_str("&lt;"),
                '>' => self.0.write_str("&gt;"),
                '"' => self.0.write_str("&quot;"),
                '\'' => self.0.write_str("&#39;"),
                other => self.0.write_char(other),
            }?;
        }
        Ok(())
    }
}

fn made(html: String) -> Fragment {
    Fragment::trusted(html)
}

/// A moment, or none.
pub trait Moment {
    /// The moment.
    fn moment(&self) -> Option<Timestamp>;
}
impl Moment for Timestamp {
    fn moment(&self) -> Option<Timestamp> {
        Some(*self)
    }
}
impl Moment for Option<Timestamp> {
    fn moment(&self) -> Option<Timestamp> {
        *self
    }
}
impl<T: Moment + ?Sized> Moment for &T {
    fn moment(&self) -> Option<Timestamp> {
        (**self).moment()
    }
}

/// A number, or none.
pub trait Number {
    /// The number; whole numbers beyond 2⁵³ lose their last digits.
    fn number(&self) -> Option<f64>;
}
macro_rules! numbers {
    ($($kind:ty)*) => {$(
        impl Number for $kind {
            fn number(&self) -> Option<f64> {
                Some(*self as f64)
            }
        }
    )*};
}
numbers!(i16 i32 i64 u8 u16 u32 u64 usize f32 f64);
impl<T: Number> Number for Option<T> {
    fn number(&self) -> Option<f64> {
        self.as_ref().and_then(Number::number)
    }
}
impl<T: Number + ?Sized> Number for &T {
    fn number(&self) -> Option<f64> {
        (**self).number()
    }
}

/// Where the next page of a list starts, if there is one: an `Option` of a text.
pub trait Cursor {
    /// The cursor.
    fn cursor(&self) -> Option<&str>;
}
impl Cursor for Option<String> {
    fn cursor(&self) -> Option<&str> {
        self.as_deref()
    }
}
impl Cursor for Option<&str> {
    fn cursor(&self) -> Option<&str> {
        *self
    }
}
impl<T: Cursor + ?Sized> Cursor for &T {
    fn cursor(&self) -> Option<&str> {
        (**self).cursor()
    }
}

/// An icon of `assets/icons.svg`; hidden from screen readers, so words must stand beside it.
#[must_use]
pub fn icon(name: impl Display) -> Fragment {
    made(format!(
        "<svg class=\"icon\" aria-hidden=\"true\" focusable=\"false\"><use href=\"{}#{}\"></use></svg>",
        assets::url("icons.svg"),
        Escaped(name)
    ))
}

/// A small label; `tone` is `good`, `warn`, `bad`, `info`, `accent` or `neutral`.
#[must_use]
pub fn badge(label: impl Display, tone: impl Display) -> Fragment {
    made(format!(
        "<span class=\"badge tone-{}\">{}</span>",
        Escaped(tone),
        Escaped(label)
    ))
}

/// A severity: `critical`, `high`, `medium`, `low` or `info`.
#[must_use]
pub fn severity(level: impl Display) -> Fragment {
    let level = level.to_string().to_lowercase();
    let known = ["critical", "high", "medium", "low"].contains(&level.as_str());
    let class = if known { level.as_str() } else { "info" };
    made(format!(
        "<span class=\"badge severity severity-{class}\">{}</span>",
        Escaped(in_words(&level))
    ))
}

/// A state as a dot and a word; the tone follows from the word.
#[must_use]
pub fn status(name: impl Display) -> Fragment {
    let name = name.to_string();
    made(format!(
        "<span class=\"status tone-{}\">{}</span>",
        tone_of(&name),
        Escaped(in_words(&name))
    ))
}

/// The tone of a state.
#[must_use]
pub fn tone_of(state: &str) -> &'static str {
    match state {
        "active" | "approved" | "verified" | "pass" | "passed" | "ok" | "resolved" | "delivered"
        | "attested" | "live" | "healthy" | "granted" | "fresh" | "completed" | "succeeded" => "good",
        "pending" | "in_grace" | "grace" | "expiring" | "acknowledged" | "retrying" | "stale" | "draft"
        | "unverified" | "rotating" | "restricted" | "requires_approval" | "not_evidenced" => "warn",
        "suspended" | "denied" | "revoked" | "failed" | "fail" | "expired" | "open" | "rejected"
        | "compromised" | "failing" | "drifted" | "dead" | "blocked" | "critical" => "bad",
        _ => "neutral",
    }
}

/// A name for machines as words: `in_grace` becomes `In grace`.
#[must_use]
pub fn in_words(name: &str) -> String {
    let mut words = String::with_capacity(name.len());
    for (index, character) in name.chars().enumerate() {
        match character {
            '_' | '-' => words.push(' '),
            first if index == 0 => words.extend(first.to_uppercase()),
            other => words.push(other),
        }
    }
    for (plain, known) in [("Ai", "AI"), ("Mcp", "MCP"), ("Api", "API")] {
        if words == plain
            || words
                .strip_prefix(plain)
                .is_some_and(|rest| rest.starts_with(' '))
        {
            words.replace_range(..plain.len(), known);
        }
    }
    words
}

/// A moment: how long ago or from now, with the exact time as its title. None is a dash.
#[must_use]
pub fn time(frame: &Frame, moment: impl Moment) -> Fragment {
    time_in(frame, moment, "ago")
}

/// A moment, exact to the second, with how long ago as its title.
#[must_use]
pub fn exact_time(frame: &Frame, moment: impl Moment) -> Fragment {
    time_in(frame, moment, "exact")
}

fn time_in(frame: &Frame, moment: impl Moment, form: &str) -> Fragment {
    let Some(moment) = moment.moment() else {
        return made("<span class=\"none\" aria-label=\"never\">–</span>".to_owned());
    };
    let exact = moment.format("%Y-%m-%d %H:%M:%S UTC").to_string();
    let ago = relative(frame.now, moment);
    let (shown, title) = if form == "exact" {
        (exact, ago)
    } else {
        (ago, exact)
    };
    made(format!(
        "<time datetime=\"{}\" title=\"{title}\" data-form=\"{form}\">{shown}</time>",
        moment.to_text()
    ))
}

/// How long ago, or from now on, in words.
#[must_use]
pub fn relative(now: Timestamp, moment: Timestamp) -> String {
    let distance = now - moment;
    let words = duration(distance.abs());
    if distance.abs() < TimeDelta::seconds(10) {
        "just now".to_owned()
    } else if distance < TimeDelta::zero() {
        format!("in {words}")
    } else {
        format!("{words} ago")
    }
}

/// A length of time in its largest unit.
#[must_use]
pub fn duration(length: TimeDelta) -> String {
    let seconds = length.num_seconds();
    let (count, unit) = match seconds {
        ..60 => (seconds, "second"),
        60..3_600 => (seconds / 60, "minute"),
        3_600..86_400 => (seconds / 3_600, "hour"),
        86_400..2_592_000 => (seconds / 86_400, "day"),
        2_592_000..31_536_000 => (seconds / 2_592_000, "month"),
        _ => (seconds / 31_536_000, "year"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// The time left until a moment, which ticks.
#[must_use]
pub fn countdown(frame: &Frame, until: impl Moment) -> Fragment {
    let Some(until) = until.moment() else {
        return made("<span class=\"none\">–</span>".to_owned());
    };
    let left = until - frame.now;
    let shown = if left <= TimeDelta::zero() {
        "over".to_owned()
    } else {
        let (days, hours) = (left.num_days(), left.num_hours() % 24);
        let (minutes, seconds) = (left.num_minutes() % 60, left.num_seconds() % 60);
        format!("{days} d {hours:02}:{minutes:02}:{seconds:02}")
    };
    made(format!(
        "<time class=\"countdown\" role=\"timer\" datetime=\"{}\" title=\"{}\" data-countdown>{shown}</time>",
        until.to_text(),
        until.format("%Y-%m-%d %H:%M:%S UTC")
    ))
}

/// A number with its thousands apart. None is a dash.
#[must_use]
pub fn number(value: impl Number) -> Fragment {
    match value.number() {
        Some(value) => made(grouped(value)),
        None => made("<span class=\"none\">–</span>".to_owned()),
    }
}

/// A number with its thousands apart; one decimal if it is no whole number.
#[must_use]
pub fn grouped(value: f64) -> String {
    let text = if value.fract() == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.1}")
    };
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.as_str()),
    };
    let (whole, decimals) = match digits.split_once('.') {
        Some((whole, decimals)) => (whole, format!(".{decimals}")),
        None => (digits, String::new()),
    };
    let mut groups = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            groups.push(',');
        }
        groups.push(digit);
    }
    format!("{sign}{groups}{decimals}")
}

/// A number in few characters: 1.2k, 3.4M.
#[must_use]
pub fn compact(value: f64) -> String {
    let (scaled, unit) = match value.abs() {
        size if size >= 1e9 => (value / 1e9, "G"),
        size if size >= 1e6 => (value / 1e6, "M"),
        size if size >= 1e4 => (value / 1e3, "k"),
        _ => return grouped(value),
    };
    if scaled.abs() >= 100.0 {
        format!("{scaled:.0}{unit}")
    } else {
        format!("{scaled:.1}{unit}")
    }
}

/// A button that copies the text.
#[must_use]
pub fn copy(text: impl Display) -> Fragment {
    made(format!(
        "<button type=\"button\" class=\"icon-button copy\" data-copy=\"{}\" aria-label=\"Copy\" title=\"Copy\">{}</button>",
        Escaped(text),
        icon("copy")
    ))
}

/// A short text for machines, with a button that copies it.
#[must_use]
pub fn code(text: impl Display) -> Fragment {
    let text = text.to_string();
    made(format!(
        "<span class=\"copyable\"><code>{}</code>{}</span>",
        Escaped(&text),
        copy(&text)
    ))
}

/// An id: its last eight characters, the whole as title, and a button that copies it.
#[must_use]
pub fn id(id: impl Display) -> Fragment {
    let id = id.to_string();
    let skipped = id.chars().count().saturating_sub(8);
    let short: String = id.chars().skip(skipped).collect();
    made(format!(
        "<span class=\"copyable\"><code title=\"{}\">…{}</code>{}</span>",
        Escaped(&id),
        Escaped(&short),
        copy(&id)
    ))
}

/// A block of code or a command, with a button that copies it.
#[must_use]
pub fn code_block(text: impl Display) -> Fragment {
    let text = text.to_string();
    made(format!(
        "<div class=\"code-block\"><pre tabindex=\"0\"><code>{}</code></pre>{}</div>",
        Escaped(&text),
        copy(&text)
    ))
}

/// Labels.
#[must_use]
pub fn tags<T: Display>(tags: &[T]) -> Fragment {
    let mut html = String::from("<ul class=\"tags\">");
    for tag in tags {
        let _ = write!(html, "<li>{}</li>", Escaped(tag));
    }
    html.push_str("</ul>");
    made(html)
}

/// A bar from 0 to `most`; `tone` as of [`badge`].
#[must_use]
pub fn progress(label: impl Display, value: impl Number, most: impl Number, tone: impl Display) -> Fragment {
    let most = most.number().filter(|most| *most > 0.0).unwrap_or(1.0);
    let share = (value.number().unwrap_or(0.0) / most).clamp(0.0, 1.0) * 100.0;
    made(format!(
        "<svg class=\"bar tone-{}\" role=\"img\" aria-label=\"{}: {share:.0} %\" viewBox=\"0 0 100 6\" preserveAspectRatio=\"none\">\
         <rect class=\"bar-track\" width=\"100\" height=\"6\"></rect><rect class=\"bar-fill\" width=\"{share:.1}\" height=\"6\"></rect></svg>",
        Escaped(tone),
        Escaped(label)
    ))
}

/// What stands where a list is empty: what would be here, and how to get it here.
#[must_use]
pub fn empty(title: impl Display, words: impl Display) -> Fragment {
    made(format!(
        "<div class=\"empty\">{}<p class=\"empty-title\">{}</p><p>{}</p></div>",
        icon("inbox"),
        Escaped(title),
        Escaped(words)
    ))
}

/// The same, with a link.
#[must_use]
pub fn empty_with(
    title: impl Display,
    words: impl Display,
    action: impl Display,
    href: impl Display,
) -> Fragment {
    made(format!(
        "<div class=\"empty\">{}<p class=\"empty-title\">{}</p><p>{}</p><p><a class=\"button\" href=\"{}\">{}</a></p></div>",
        icon("inbox"),
        Escaped(title),
        Escaped(words),
        Escaped(href),
        Escaped(action)
    ))
}

/// The way to the next page of a list, and back to the first.
#[must_use]
pub fn pager(frame: &Frame, next_cursor: impl Cursor) -> Fragment {
    let first = frame.parameter("cursor").map(|_| frame.without("cursor"));
    let next = next_cursor.cursor().map(|cursor| frame.with("cursor", cursor));
    if first.is_none() && next.is_none() {
        return Fragment::default();
    }
    let mut html = String::from("<nav class=\"pager\" aria-label=\"Pages\">");
    if let Some(first) = first {
        let _ = write!(
            html,
            "<a class=\"button\" href=\"{}\">First page</a>",
            Escaped(first)
        );
    }
    if let Some(next) = next {
        let _ = write!(
            html,
            "<a class=\"button\" rel=\"next\" href=\"{}\">Next page{}</a>",
            Escaped(next),
            icon("chevron-right")
        );
    }
    html.push_str("</nav>");
    made(html)
}

/// The heading of a column that the list can be sorted by; the parameter is `sort`, with `-` for descending.
#[must_use]
pub fn sort(frame: &Frame, key: &str, label: impl Display) -> Fragment {
    let present = frame.parameter("sort").unwrap_or_default();
    let (next, mark) = if present == key {
        (format!("-{key}"), "sort-up")
    } else if present.strip_prefix('-') == Some(key) {
        (key.to_owned(), "sort-down")
    } else {
        (key.to_owned(), "sort")
    };
    made(format!(
        "<a class=\"sort\" href=\"{}\">{}{}</a>",
        Escaped(frame.with("sort", next)),
        Escaped(label),
        icon(mark)
    ))
}

/// A button that sends its form.
#[must_use]
pub fn submit(label: impl Display) -> Fragment {
    made(format!(
        "<div class=\"form-actions\"><button type=\"button\" class=\"button\" data-close>Cancel</button>\
         <button type=\"submit\" class=\"button primary\">{}</button></div>",
        Escaped(label)
    ))
}

/// A number with a name, a change and a small chart.
#[derive(Debug, Clone, Default)]
pub struct Tile {
    label: String,
    value: String,
    note: String,
    change: Option<(f64, bool)>,
    chart: Fragment,
    href: Option<String>,
}

/// A tile: `{{ ui::tile("Denials", n).change(12.5, false).chart(spark).link("/violations") }}`.
#[must_use]
pub fn tile(label: impl Display, value: impl Number) -> Tile {
    Tile {
        label: label.to_string(),
        value: value.number().map_or_else(|| "–".to_owned(), grouped),
        ..Tile::default()
    }
}

impl Tile {
    /// The change in percent, and whether more is better.
    #[must_use]
    pub fn change(mut self, percent: impl Number, more_is_better: bool) -> Self {
        self.change = percent.number().map(|percent| (percent, more_is_better));
        self
    }

    /// Words below the number.
    #[must_use]
    pub fn note(mut self, words: impl Display) -> Self {
        self.note = words.to_string();
        self
    }

    /// A small chart.
    #[must_use]
    pub fn chart(mut self, chart: impl Display) -> Self {
        self.chart = made(chart.to_string());
        self
    }

    /// Where it leads.
    #[must_use]
    pub fn link(mut self, href: impl Display) -> Self {
        self.href = Some(href.to_string());
        self
    }
}

impl Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<article class=\"tile\"><h2 class=\"tile-label\">")?;
        match &self.href {
            Some(href) => write!(f, "<a href=\"{}\">{}</a>", Escaped(href), Escaped(&self.label))?,
            None => write!(f, "{}", Escaped(&self.label))?,
        }
        write!(f, "</h2><p class=\"tile-value\">{}", Escaped(&self.value))?;
        if let Some((percent, more_is_better)) = self.change {
            let (tone, word) = match percent {
                none if none.abs() < 0.05 => ("neutral", "no change"),
                more if (more > 0.0) == more_is_better => ("good", "better"),
                _ => ("bad", "worse"),
            };
            write!(
                f,
                " <span class=\"change tone-{tone}\" title=\"{word}\">{percent:+.1} %</span>"
            )?;
        }
        write!(f, "</p>")?;
        if !self.note.is_empty() {
            write!(f, "<p class=\"tile-note\">{}</p>", Escaped(&self.note))?;
        }
        write!(f, "{}</article>", self.chart)
    }
}

impl HtmlSafe for Tile {}

/// A field of a form with its label, hint and room for what is wrong with it.
#[derive(Debug, Clone)]
pub struct Field {
    kind: &'static str,
    form: String,
    name: String,
    label: String,
    value: String,
    hint: String,
    attributes: String,
    options: Vec<(String, String)>,
    checked: bool,
}

fn field(kind: &'static str, name: impl Display, label: impl Display) -> Field {
    Field {
        kind,
        form: String::new(),
        name: name.to_string(),
        label: label.to_string(),
        value: String::new(),
        hint: String::new(),
        attributes: String::new(),
        options: Vec::new(),
        checked: false,
    }
}

/// A line of text: `{{ ui::input("name", "Name").required().hint("Lower case") }}`.
#[must_use]
pub fn input(name: impl Display, label: impl Display) -> Field {
    field("text", name, label)
}

/// Several lines of text.
#[must_use]
pub fn textarea(name: impl Display, label: impl Display) -> Field {
    field("textarea", name, label)
}

/// A choice; add [`Field::option`]s.
#[must_use]
pub fn select(name: impl Display, label: impl Display) -> Field {
    field("select", name, label)
}

/// Yes or no.
#[must_use]
pub fn checkbox(name: impl Display, label: impl Display) -> Field {
    field("checkbox", name, label).attribute("data-type", "bool")
}

impl Field {
    /// The input's type: `email`, `password`, `number`, `datetime-local`, `date`, `url`, `search`.
    #[must_use]
    pub fn kind(mut self, kind: &'static str) -> Self {
        self.kind = kind;
        self
    }

    /// What stands in it; of a choice, which option is chosen; of a checkbox, `true` for checked.
    #[must_use]
    pub fn value(mut self, value: impl Display) -> Self {
        self.value = value.to_string();
        self.checked = self.value == "true";
        self
    }

    /// How it is converted: see `data-type` in [`crate::console`].
    #[must_use]
    pub fn data_type(self, words: impl Display) -> Self {
        self.attribute("data-type", words)
    }

    /// An option of a choice.
    #[must_use]
    pub fn option(mut self, value: impl Display, label: impl Display) -> Self {
        self.options.push((value.to_string(), label.to_string()));
        self
    }

    /// It must be filled in.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.attributes.push_str(" required");
        self
    }

    /// Words below it.
    #[must_use]
    pub fn hint(mut self, words: impl Display) -> Self {
        self.hint = words.to_string();
        self
    }

    /// An example inside it.
    #[must_use]
    pub fn placeholder(self, words: impl Display) -> Self {
        self.attribute("placeholder", words)
    }

    /// What a browser may fill in (`email`, `current-password`, `new-password`, `off`).
    #[must_use]
    pub fn autocomplete(self, word: impl Display) -> Self {
        self.attribute("autocomplete", word)
    }

    /// Any other attribute (`min`, `max`, `minlength`, `pattern`, `rows`).
    #[must_use]
    pub fn attribute(mut self, name: &str, value: impl Display) -> Self {
        let _ = write!(self.attributes, " {name}=\"{}\"", Escaped(value));
        self
    }

    /// Which form it belongs to, where a page has several with fields of the same name: ids must differ.
    #[must_use]
    pub fn within(mut self, form: impl Display) -> Self {
        self.form = format!("{form}-");
        self
    }

    fn id(&self) -> String {
        format!("field-{}{}", self.form, self.name.replace('.', "-"))
    }
}

impl Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, name, attributes) = (self.id(), Escaped(&self.name), &self.attributes);
        let (id, label) = (Escaped(&id), Escaped(&self.label));
        let described = if self.hint.is_empty() {
            format!("{id}-error")
        } else {
            format!("{id}-hint {id}-error")
        };
        let common = format!("id=\"{id}\" name=\"{name}\" aria-describedby=\"{described}\"{attributes}");
        write!(f, "<div class=\"field\">")?;
        if self.kind == "checkbox" {
            let checked = if self.checked { " checked" } else { "" };
            write!(
                f,
                "<label class=\"check\"><input type=\"checkbox\" {common}{checked}> {label}</label>"
            )?;
        } else {
            write!(f, "<label for=\"{id}\">{label}</label>")?;
        }
        match self.kind {
            "checkbox" => {}
            "textarea" => write!(f, "<textarea {common}>{}</textarea>", Escaped(&self.value))?,
            "select" => {
                write!(f, "<select {common}>")?;
                for (value, label) in &self.options {
                    let selected = if *value == self.value { " selected" } else { "" };
                    write!(
                        f,
                        "<option value=\"{}\"{selected}>{}</option>",
                        Escaped(value),
                        Escaped(label)
                    )?;
                }
                write!(f, "</select>")?;
            }
            kind => write!(
                f,
                "<input type=\"{kind}\" {common} value=\"{}\">",
                Escaped(&self.value)
            )?,
        }
        if !self.hint.is_empty() {
            write!(
                f,
                "<p class=\"hint\" id=\"{id}-hint\">{}</p>",
                Escaped(&self.hint)
            )?;
        }
        write!(f, "<p class=\"field-error\" id=\"{id}-error\" hidden></p></div>")
    }
}

impl HtmlSafe for Field {}
