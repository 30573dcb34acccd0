//! The layout of all pages, and their shared components.

use domain::{time::to_fixed_width, version::Version};
use jiff::Timestamp;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::Value;

use crate::{
    report::StoredRegister,
    text::{distance, number, number_of, plain, shortened},
    url::{ICON_PATH, STYLE_PATH, link},
};

/// The links in every page's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tab {
    Customers,
    Check,
    History,
    Health,
}

impl Tab {
    const ALL: [(Self, &'static str, &'static str); 4] = [
        (Self::Customers, "", "Customers"),
        (Self::Check, "check", "Check access"),
        (Self::History, "history", "History"),
        (Self::Health, "health", "Health"),
    ];
}

/// The colour of a badge or a bar. Texts give the same information.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Warn,
    Bad,
    Neutral,
}

impl Tone {
    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Warn => "warn",
            Self::Bad => "bad",
            Self::Neutral => "neutral",
        }
    }
}

/// Maximum characters of a name.
const MAX_NAME_LENGTH: usize = 160;

/// Maximum characters of an id. Ids have at most 500 bytes.
const MAX_ID_LENGTH: usize = 500;

/// A complete page.
pub(crate) fn shell(deployment: &str, tab: Option<Tab>, title: &str, main: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (plain(title)) " · byos console" }
                link rel="icon" type="image/svg+xml" href=(ICON_PATH);
                link rel="stylesheet" href=(STYLE_PATH);
            }
            body {
                a.skip href="#main" { "Skip to content" }
                header.top {
                    div.bar {
                        a.brand href=(link("", &[])) {
                            img src=(ICON_PATH) alt="" width="26" height="26";
                            span { "byos " b { "console" } }
                        }
                        nav aria-label="Views" {
                            ul {
                                @for (each, page, name) in Tab::ALL {
                                    li { a href=(link(page, &[])) aria-current=[(tab == Some(each)).then_some("page")] { (name) } }
                                }
                            }
                        }
                        p.place { bdi { (plain(deployment)) } span.mode { "read-only" } }
                    }
                }
                main #main tabindex="-1" { (main) }
                footer.foot { p { "Times are UTC. Read-only: these pages don't change the replica." } }
            }
        }
    }
}

/// The content of an error page.
pub(crate) fn notice(title: &str, problem: &str, advice: Option<&str>) -> Markup {
    html! {
        section.notice {
            h1 { (title) }
            p.lead { (plain(problem)) }
            @if let Some(advice) = advice { p { (advice) } }
        }
    }
}

pub(crate) fn badge(tone: Tone, text: &str) -> Markup {
    html! { span class={ "badge " (tone.class()) } { (plain(text)) } }
}

pub(crate) fn id(text: &str) -> Markup {
    html! { code.id { bdi { (shortened(text, MAX_ID_LENGTH).0) } } }
}

/// A name or another untrusted text, truncated if it is long.
pub(crate) fn name(text: &str) -> Markup {
    let (start, is_cut) = shortened(text, MAX_NAME_LENGTH);
    html! {
        // Screen readers need a text for each link and row header.
        @if start.trim().is_empty() { span.far { "empty" } } @else { bdi { (start) } }
        @if is_cut { span.cut { "… (" (number_of(text.chars().count())) " characters)" } }
    }
}

/// A time, and its distance from now.
pub(crate) fn moment(time: Timestamp, now: Timestamp) -> Markup {
    html! {
        span.moment {
            time datetime=(to_fixed_width(time)) { (time.strftime("%Y-%m-%d %H:%M:%S")) }
            " " span.far { (distance(time, now)) }
        }
    }
}

/// The same for a time in RFC 3339; another text is shown unchanged.
pub(crate) fn moment_of(text: &str, now: Timestamp) -> Markup {
    match text.parse::<Timestamp>() {
        Ok(time) => moment(time, now),
        Err(_) => html! { (plain(text)) },
    }
}

/// Time and messageId of the event that wrote a register.
pub(crate) fn event<T>(register: &StoredRegister<T>, now: Timestamp) -> Markup {
    html! {
        div.event { (moment_of(&register.time, now)) (message_id(&register.message_id)) }
    }
}

/// The id of a version: `<messageId>`, or `<messageId>|<digest>` for an event without a time.
pub(crate) fn message_id(text: &str) -> Markup {
    match text.split_once('|') {
        None => id(text),
        Some((message, _)) => html! { (id(message)) " " span.far { "event without a time, dated by its first receipt" } },
    }
}

/// The part of a version after its time.
pub(crate) fn id_of(version: &Version) -> &str {
    version.as_str().get(version.time_text().len() + 1..).unwrap_or_default()
}

/// A bar for a share from 0 to 1. Hidden from screen readers, since a text beside it has the same information.
pub(crate) fn bar(share: f64, tone: Tone) -> Markup {
    let percent = (share.clamp(0.0, 1.0) * 1_000.0).round() / 10.0;
    html! {
        svg.bar viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true" focusable="false" {
            rect.track width="100" height="6" {}
            rect class={ "fill " (tone.class()) } width=(percent) height="6" {}
        }
    }
}

/// A table in a scrollable box, labelled by the element of this id. A column without a title contains links.
pub(crate) fn table(labelled_by: &str, class: &str, columns: &[&str], rows: &Markup) -> Markup {
    html! {
        div.scroll tabindex="0" role="group" aria-labelledby=(labelled_by) {
            table class=[Some(class).filter(|class| !class.is_empty())] {
                thead {
                    tr {
                        @for column in columns {
                            th scope="col" { @if column.is_empty() { span.hidden { "More" } } @else { (column) } }
                        }
                    }
                }
                tbody { (rows) }
            }
        }
    }
}

/// An item of a description list.
pub(crate) fn fact(term: &str, description: &Markup) -> Markup {
    html! { div { dt { (term) } dd { (description) } } }
}

/// A number in large type, with its label and a note.
pub(crate) fn tile(value: &str, label: &str, note: &str, tone: Tone) -> Markup {
    html! {
        li class={ "tile " (tone.class()) } {
            span.value { (value) }
            span.label { (label) }
            @if !note.is_empty() { span.note { (shortened(note, MAX_NAME_LENGTH).0) } }
        }
    }
}

/// The placeholder for an empty section.
pub(crate) fn empty(text: &str) -> Markup {
    html! { p.empty { (text) } }
}

/// A JSON value of Stigg's.
pub(crate) fn value(value: &Value) -> Markup {
    match value {
        Value::Null => html! { span.far { "none" } },
        Value::String(text) => name(text),
        Value::Number(of) => html! { (of.as_f64().map_or_else(|| of.to_string(), number)) },
        other => name(&other.to_string()),
    }
}

/// The range of rows on one page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// From 1.
    pub(crate) page: usize,
    pub(crate) rows: usize,
}

impl Window {
    pub(crate) const ROWS: usize = 100;

    /// The requested page, or the nearest existing one.
    pub(crate) fn new(page: Option<&str>, rows: usize) -> Self {
        let page: usize = page.and_then(|page| page.parse().ok()).unwrap_or(1);
        Self { page: page.clamp(1, rows.div_ceil(Self::ROWS).max(1)), rows }
    }

    /// The first index, and the index after the last.
    pub(crate) fn bounds(self) -> (usize, usize) {
        let start = (self.page - 1) * Self::ROWS;
        (start, (start + Self::ROWS).min(self.rows))
    }

    /// Links to the previous and the next page.
    pub(crate) fn links(self, rows: &str, to: impl Fn(usize) -> String) -> Markup {
        let (start, end) = self.bounds();
        let pages = self.rows.div_ceil(Self::ROWS);
        html! {
            @if pages > 1 {
                nav.pages aria-label={ "Pages of " (rows) } {
                    p { (rows) " " (number_of(start + 1)) "–" (number_of(end)) " of " (number_of(self.rows)) }
                    ul {
                        @if self.page > 1 { li { a rel="prev" href=(to(self.page - 1)) { "Previous" } } }
                        @if self.page < pages { li { a rel="next" href=(to(self.page + 1)) { "Next" } } }
                    }
                }
            }
        }
    }
}

/// The icon before a step: a check or a cross if the step decides, else an empty circle. The text beside it has the same
/// information.
pub(crate) fn mark(decides: bool, is_granted: bool) -> Markup {
    let path = match (decides, is_granted) {
        (false, _) => "",
        (true, true) => "M4.5 8.2l2.4 2.4 4.6-5",
        (true, false) => "M5.2 5.2l5.6 5.6M10.8 5.2l-5.6 5.6",
    };
    PreEscaped(format!(
        r#"<svg class="mark" viewBox="0 0 16 16" aria-hidden="true" focusable="false"><circle cx="8" cy="8" r="7.25"/><path d="{path}"/></svg>"#
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn untrusted_text_is_escaped_and_isolated() {
        let markup = name("<script>alert(1)</script>\u{202e}").into_string();
        assert_eq!(markup, r"<bdi>&lt;script&gt;alert(1)&lt;/script&gt;\u{202e}</bdi>");
        let long = name(&"x".repeat(10_240)).into_string();
        assert!(long.len() < 300 && long.contains("10,240 characters"), "{long}");
    }

    #[test]
    fn the_nearest_existing_page_replaces_a_missing_one() {
        for (page, rows, bounds) in [
            (None, 0, (0, 0)),
            (Some("1"), 99, (0, 99)),
            (Some("2"), 10_000, (100, 200)),
            (Some("101"), 10_000, (9_900, 10_000)),
            (Some("0"), 250, (0, 100)),
            (Some("x"), 250, (0, 100)),
        ] {
            assert_eq!(Window::new(page, rows).bounds(), bounds, "{page:?} of {rows}");
        }
    }
}
