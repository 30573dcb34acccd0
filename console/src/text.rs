//! Formats untrusted text, numbers and times for people.

use domain::entitlement::to_number;
use jiff::{SignedDuration, Timestamp};

/// Escapes control characters, characters that set the direction of text, and characters without a width. The result
/// can't control a terminal, and can't reorder or hide other text.
pub fn plain(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut plain, character| {
        if character.is_control() || is_invisible(character) {
            plain.extend(character.escape_default());
        } else {
            plain.push(character);
        }
        plain
    })
}

/// Source: Unicode Standard Annex #9, explicit directional formatting characters; zero-width characters; tags.
fn is_invisible(character: char) -> bool {
    matches!(character,
        '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
        | '\u{e0000}'..='\u{e007f}')
}

/// The first `max` characters, escaped by [`plain`], and whether the text has more.
pub(crate) fn shortened(text: &str, max: usize) -> (String, bool) {
    let mut characters = text.chars();
    let start: String = characters.by_ref().take(max).collect();
    (plain(&start), characters.next().is_some())
}

/// A number with thousands separators and at most two decimals.
pub(crate) fn number(number: f64) -> String {
    let rounded = (number * 100.0).round() / 100.0;
    let text = to_number(if rounded.is_finite() { rounded } else { number }).to_string();
    let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |digits| ("-", digits));
    let (whole, rest) = digits.find(['.', 'e']).map_or((digits, ""), |at| digits.split_at(at));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{sign}{grouped}{rest}")
}

/// A count with thousands separators.
pub(crate) fn number_of(count: impl TryInto<u64>) -> String {
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let count = count.try_into().unwrap_or(u64::MAX) as f64;
    number(count)
}

/// A count with its noun: `1 event`, `2 events`.
pub(crate) fn count(count: impl TryInto<u64>, noun: &str) -> String {
    let count = count.try_into().unwrap_or(u64::MAX);
    format!("{} {noun}{}", number_of(count), if count == 1 { "" } else { "s" })
}

/// A duration in its largest unit: `3 days`.
pub(crate) fn duration(duration: SignedDuration) -> String {
    let seconds = duration.abs().as_secs();
    let (amount, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3_600 => (seconds / 60, "minute"),
        3_600..86_400 => (seconds / 3_600, "hour"),
        86_400..5_184_000 => (seconds / 86_400, "day"),
        5_184_000..63_072_000 => (seconds / 2_592_000, "month"),
        _ => (seconds / 31_536_000, "year"),
    };
    count(amount, unit)
}

/// The distance of a time from now: `3 days ago`, `in 3 days`.
pub(crate) fn distance(time: Timestamp, now: Timestamp) -> String {
    let apart = now.duration_since(time);
    match apart.as_secs() {
        0 => "now".to_owned(),
        1.. => format!("{} ago", duration(apart)),
        _ => format!("in {}", duration(apart)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn untrusted_text_can_neither_control_a_terminal_nor_reorder_other_text() {
        assert_eq!(plain("a\u{1b}[31m\nb é"), "a\\u{1b}[31m\\nb é");
        assert_eq!(plain("\u{202e}gnp.exe\u{200b}"), "\\u{202e}gnp.exe\\u{200b}");
        assert_eq!(plain("\u{2066}x\u{2069}\u{feff}"), "\\u{2066}x\\u{2069}\\u{feff}");
    }

    #[test]
    fn long_text_is_truncated_between_characters() {
        assert_eq!(shortened("éé", 2), ("éé".to_owned(), false));
        assert_eq!(shortened("éé\u{202e}", 2), ("éé".to_owned(), true));
    }

    #[test]
    fn numbers_are_grouped_and_rounded() {
        for (value, expected) in [
            (0.0, "0"),
            (999.0, "999"),
            (1_000.0, "1,000"),
            (-1_234_567.891, "-1,234,567.89"),
            (12_345.5, "12,345.5"),
            (1e300, "1e+300"),
        ] {
            assert_eq!(number(value), expected);
        }
    }

    #[test]
    fn distances_have_the_largest_unit() {
        let now: Timestamp = "2026-11-25T12:00:00Z".parse().unwrap();
        for (time, expected) in [
            ("2026-11-25T12:00:00Z", "now"),
            ("2026-11-25T11:59:59Z", "1 second ago"),
            ("2026-11-25T10:00:00Z", "2 hours ago"),
            ("2026-11-24T11:00:00Z", "1 day ago"),
            ("2026-08-25T12:00:00Z", "3 months ago"),
            ("2023-11-25T12:00:00Z", "3 years ago"),
            ("2026-12-05T12:00:00Z", "in 10 days"),
        ] {
            assert_eq!(distance(time.parse().unwrap(), now), expected);
        }
    }
}
