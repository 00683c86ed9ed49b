//! One table at the end of a drill: a row a case, its figures, and what does not hold in words.

use std::fmt::Write as _;

/// One row.
#[derive(Clone, Debug)]
pub struct Row {
    /// What stands in its columns.
    pub cells: Vec<String>,
    /// What does not hold; nothing when all does.
    pub problems: Vec<String>,
}

impl Row {
    /// Of a case that did not get through.
    pub fn broken(name: &str, why: &anyhow::Error) -> Self {
        Self {
            cells: vec![name.to_owned()],
            problems: vec![format!("{why:#}")],
        }
    }

    /// Whether every bar holds.
    pub fn holds(&self) -> bool {
        self.problems.is_empty()
    }
}

/// The table as text.
pub fn render(head: &[&str], rows: &[Row]) -> String {
    let widths: Vec<usize> = head
        .iter()
        .enumerate()
        .map(|(column, title)| {
            let of = |row: &Row| row.cells.get(column).map_or(0, |cell| cell.chars().count());
            rows.iter().map(of).max().unwrap_or(0).max(title.chars().count())
        })
        .collect();
    let line = |cells: &[String], verdict: &str| {
        let mut text = String::new();
        for (column, width) in widths.iter().enumerate() {
            let cell = cells.get(column).map_or("", String::as_str);
            // Writing into a String cannot fail.
            let _ = write!(text, "{cell:<width$}  ");
        }
        text.push_str(verdict);
        format!("{}\n", text.trim_end())
    };
    let titles: Vec<String> = head.iter().map(|title| (*title).to_owned()).collect();
    let mut text = line(&titles, "verdict");
    for row in rows {
        let verdict = if row.holds() {
            "ok".to_owned()
        } else {
            format!("FAILED: {}", row.problems.join("; "))
        };
        text.push_str(&line(&row.cells, &verdict));
    }
    let failed = rows.iter().filter(|row| !row.holds()).count();
    let _ = write!(text, "\n{} of {} hold", rows.len() - failed, rows.len());
    text
}

/// Seconds with one place, or a dash.
pub fn seconds(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"))
}

/// The first few numbers of a list, and how many there are.
pub fn few(numbers: &[u16]) -> String {
    let shown: Vec<String> = numbers.iter().take(6).map(u16::to_string).collect();
    let more = if numbers.len() > shown.len() { ", …" } else { "" };
    format!("{} ({}{more})", numbers.len(), shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_does_not_hold_says_why_and_is_counted() {
        let rows = [
            Row {
                cells: vec!["one".to_owned(), "1".to_owned()],
                problems: Vec::new(),
            },
            Row::broken("two", &anyhow::anyhow!("no stack")),
        ];
        let text = render(&["case", "figure"], &rows);
        assert_eq!(
            text,
            "case  figure  verdict\none   1       ok\ntwo           FAILED: no stack\n\n1 of 2 hold"
        );
    }
}
