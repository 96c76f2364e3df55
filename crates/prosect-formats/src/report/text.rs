//! Text for HTML, and figures for people.

/// Appends formatted text to a page. Writing to a `String` cannot fail, so the result is dropped.
macro_rules! push {
    ($page:expr, $($text:tt)*) => {{
        use std::fmt::Write as _;
        let _ = write!($page, $($text)*);
    }};
}

pub(super) use push;

/// The text with the characters that mean something in HTML replaced.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A size for people: `15.6 MB`.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..1000 => format!("{bytes} B"),
        1000..1_000_000 => format!("{:.0} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

/// Three numbers joined by a multiplication sign.
pub(super) fn times(values: [f64; 3], decimals: usize) -> String {
    values.map(|v| format!("{v:.decimals$}")).join(" × ")
}

#[cfg(test)]
mod tests {
    use super::{escape, size};

    #[test]
    fn nothing_in_a_text_becomes_markup() {
        assert_eq!(
            escape("<b a='1'>&\"</b>"),
            "&lt;b a=&#39;1&#39;&gt;&amp;&quot;&lt;/b&gt;"
        );
    }

    #[test]
    fn sizes_read_well() {
        assert_eq!(
            [size(12), size(15_600), size(15_600_000)],
            ["12 B", "16 kB", "15.6 MB"]
        );
    }
}
