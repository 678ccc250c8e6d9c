//! Text that becomes part of a page. Everything passes through [`escape`]: names, numbers' names, configurations and
//! warnings come from files that anybody may have written.
//!
//! What is written here is HTML5 and well-formed XML at the same time, so that a test can check it with an XML parser.

use std::fmt::Write;

/// Text as it stands between tags or in a quoted attribute. Characters that neither HTML nor XML can hold become a
/// replacement sign.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            '\u{FFFE}' | '\u{FFFF}' => out.push('\u{FFFD}'),
            c if c.is_control() => out.push('\u{FFFD}'),
            c => out.push(c),
        }
    }
    out
}

/// A file inside a link: everything but letters, digits and a few signs is percent-encoded.
pub(super) fn data_uri(text: &str) -> String {
    let mut uri = String::from("data:text/plain;charset=utf-8,");
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                uri.push(byte.into());
            }
            // Writing to a String cannot fail.
            byte => drop(write!(uri, "%{byte:02X}")),
        }
    }
    uri
}

/// A table of which the first column names the row. Columns of words stand at the left, of numbers at the right. Scrolls by
/// itself where it is wider than the page; `label` says to a screen reader what scrolls. Texts are escaped here.
pub(super) fn table(label: &str, head: &[&str], rows: &[Vec<String>]) -> String {
    let word = |row: &Vec<String>, column: usize| row[column].starts_with(char::is_alphabetic);
    let classes: Vec<&str> = (0..head.len())
        .map(|column| match rows.iter().all(|row| word(row, column)) {
            true => " class=\"word\"",
            false => "",
        })
        .collect();
    let heads: String = head
        .iter()
        .zip(&classes)
        .map(|(text, class)| format!("<th scope=\"col\"{class}>{}</th>", escape(text)))
        .collect();
    let head = format!("<thead><tr>{heads}</tr></thead>\n");
    wrapped(label, "numbers", &format!("{head}{}", body(rows, &classes)))
}

/// A table of facts: names at the left, what they are at the right.
pub(super) fn facts(label: &str, rows: &[(&str, String)]) -> String {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|(name, value)| vec![(*name).to_owned(), value.clone()])
        .collect();
    wrapped(label, "facts", &body(&rows, &["", ""]))
}

fn body(rows: &[Vec<String>], classes: &[&str]) -> String {
    let mut text = String::from("<tbody>\n");
    for row in rows {
        text += "<tr>";
        for (column, (cell, class)) in row.iter().zip(classes).enumerate() {
            let cell = escape(cell);
            text += &match column {
                0 => format!("<th scope=\"row\">{cell}</th>"),
                _ => format!("<td{class}>{cell}</td>"),
            };
        }
        text += "</tr>\n";
    }
    text + "</tbody>\n"
}

fn wrapped(label: &str, class: &str, inner: &str) -> String {
    format!(
        "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"{}\">\n<table class=\"{class}\">\n{inner}</table>\n</div>\n",
        escape(label)
    )
}

/// A list of sentences; nothing for none.
pub(super) fn list(class: &str, items: &[String]) -> String {
    if items.is_empty() {
        return String::new();
    }
    let items: String = items
        .iter()
        .map(|item| format!("<li>{}</li>\n", escape(item)))
        .collect();
    format!("<ul class=\"{class}\">\n{items}</ul>\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_sign_of_markup_survives_and_nothing_else_changes() {
        assert_eq!(
            escape("<script>alert(\"1\" & '2')</script>"),
            "&lt;script&gt;alert(&quot;1&quot; &amp; &#39;2&#39;)&lt;/script&gt;"
        );
        assert_eq!(
            escape("a\u{0}b\u{1b}[31m\r"),
            "a\u{FFFD}b\u{FFFD}[31m\u{FFFD}"
        );
        assert_eq!(escape("日本 ε\tx\n"), "日本 ε\tx\n");
    }

    #[test]
    fn a_file_in_a_link_holds_no_quote_and_every_byte() {
        let uri = data_uri("a = \"ε\"\n#");
        assert_eq!(
            uri,
            "data:text/plain;charset=utf-8,a%20%3D%20%22%CE%B5%22%0A%23"
        );
    }

    #[test]
    fn cells_are_escaped_and_words_stand_apart_from_numbers() {
        let row = ["b&", "c>", "1"].map(str::to_owned).to_vec();
        let text = table("t", &["a<", "word", "number"], &[row]);
        for part in [
            "<th scope=\"col\" class=\"word\">a&lt;</th><th scope=\"col\" class=\"word\">word</th><th scope=\"col\">number",
            "<th scope=\"row\">b&amp;</th><td class=\"word\">c&gt;</td><td>1</td>",
        ] {
            assert!(text.contains(part), "no {part} in {text}");
        }
        assert_eq!(list("x", &[]), "");
    }
}
