//! What the drills found against what was promised, printed as it comes and as tables at the end.

use std::fmt::Write as _;
use std::io::Write;
use std::time::Instant;

/// How a bar came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// It holds.
    Held,
    /// It does not.
    Failed,
    /// It is told, not judged.
    Told,
}

impl Word {
    const fn text(self) -> &'static str {
        match self {
            Self::Held => "ok",
            Self::Failed => "FAILED",
            Self::Told => "",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug)]
struct Row {
    drill: String,
    what: String,
    found: String,
    bar: String,
    word: Word,
}

/// A table of a drill.
#[derive(Clone, Debug)]
pub struct Table {
    /// What it shows.
    pub title: String,
    /// Names of its columns.
    pub head: Vec<String>,
    /// Its cells.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub fn new(title: &str, head: &[&str]) -> Self {
        Self {
            title: title.to_owned(),
            head: head.iter().map(|name| (*name).to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    /// As text, the columns aligned.
    pub fn text(&self) -> String {
        let mut text = format!("{}\n", self.title);
        let all = || std::iter::once(&self.head).chain(&self.rows);
        let widths: Vec<usize> = (0..self.head.len())
            .map(|column| {
                all()
                    .filter_map(|row| row.get(column))
                    .map(|cell| cell.chars().count())
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        for row in all() {
            let mut line = String::from(" ");
            for (cell, width) in row.iter().zip(&widths) {
                // Writing into a String cannot fail.
                let _ = write!(line, " {cell:<width$} ");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Everything that was found.
pub struct Verdicts {
    out: Box<dyn Write + Send>,
    begun: Instant,
    drill: String,
    rows: Vec<Row>,
    tables: Vec<Table>,
}

impl Verdicts {
    /// Nothing yet; what comes is written to `out`.
    pub fn new(out: Box<dyn Write + Send>) -> Self {
        Self {
            out,
            begun: Instant::now(),
            drill: String::new(),
            rows: Vec::new(),
            tables: Vec::new(),
        }
    }

    /// A drill begins.
    pub fn begin(&mut self, drill: &str, about: &str) {
        drill.clone_into(&mut self.drill);
        self.say(&format!("\n== {drill}: {about}"));
    }

    /// A step begins.
    pub fn step(&mut self, text: &str) {
        self.say(&format!(
            "  {:>5.0} s  {text}",
            self.begun.elapsed().as_secs_f64()
        ));
    }

    /// A bar and what was found.
    pub fn bar(&mut self, what: &str, found: impl Into<String>, bar: &str, holds: bool) {
        let word = if holds { Word::Held } else { Word::Failed };
        self.add(what, found.into(), bar, word);
    }

    /// Something that is told and not judged.
    pub fn tell(&mut self, what: &str, found: impl Into<String>) {
        self.add(what, found.into(), "", Word::Told);
    }

    /// A drill could not go on.
    pub fn broke(&mut self, error: &anyhow::Error) {
        self.add("the drill", format!("{error:#}"), "gets through", Word::Failed);
    }

    /// A table for the end.
    pub fn table(&mut self, table: Table) {
        self.say(&indented(&table.text()));
        self.tables.push(table);
    }

    /// Whether every bar of the present drill holds.
    pub fn drill_holds(&self) -> bool {
        let own = |row: &&Row| row.drill == self.drill;
        self.rows.iter().filter(own).all(|row| row.word != Word::Failed)
    }

    /// Whether every bar holds, and there is one.
    pub fn hold(&self) -> bool {
        self.rows.iter().any(|row| row.word == Word::Held)
            && self.rows.iter().all(|row| row.word != Word::Failed)
    }

    /// All tables, then every failure once more.
    pub fn summary(&self) -> String {
        let mut all = Table::new("\nBARS", &["drill", "what", "found", "bar", ""]);
        all.rows = self
            .rows
            .iter()
            .filter(|row| row.word != Word::Told)
            .map(|row| {
                let found = first_line(&row.found);
                [&row.drill, &row.what, &found, &row.bar, row.word.text()]
                    .map(str::to_owned)
                    .to_vec()
            })
            .collect();
        let mut text = all.text();
        for table in &self.tables {
            text.push('\n');
            text.push_str(&table.text());
        }
        let failed: Vec<&Row> = self.rows.iter().filter(|row| row.word == Word::Failed).collect();
        let seconds = self.begun.elapsed().as_secs();
        let held = self.rows.iter().filter(|row| row.word == Word::Held).count();
        let _ = writeln!(
            text,
            "\n{held} bars hold, {} do not, after {seconds} s",
            failed.len()
        );
        for row in failed {
            let _ = writeln!(
                text,
                "FAILED {}: {}: {} (bar: {})",
                row.drill, row.what, row.found, row.bar
            );
        }
        text
    }

    /// Writes a line for the person who waits. A closed terminal is no reason to stop.
    pub fn say(&mut self, text: &str) {
        let _ = writeln!(self.out, "{text}");
        let _ = self.out.flush();
    }

    fn add(&mut self, what: &str, found: String, bar: &str, word: Word) {
        let aside = if bar.is_empty() {
            String::new()
        } else {
            format!(" (bar: {bar})")
        };
        let mark = match word {
            Word::Held => "ok    ",
            Word::Failed => "FAILED",
            Word::Told => "      ",
        };
        self.say(&format!("           {mark}  {what}: {found}{aside}"));
        self.rows.push(Row {
            drill: self.drill.clone(),
            what: what.to_owned(),
            found,
            bar: bar.to_owned(),
            word,
        });
    }
}

fn first_line(text: &str) -> String {
    const LONGEST: usize = 70;
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= LONGEST {
        return line.to_owned();
    }
    let cut: String = line.chars().take(LONGEST - 3).collect();
    format!("{cut}...")
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("           {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn one_failed_bar_is_a_failed_run_and_stands_at_the_end() {
        let mut verdicts = Verdicts::new(Box::new(std::io::sink()));
        verdicts.begin("first", "about");
        verdicts.bar("gap", "0 ms", "<= 200 ms", true);
        assert!(verdicts.hold() && verdicts.drill_holds());
        verdicts.begin("second", "about");
        verdicts.bar("gap", "900 ms", "<= 200 ms", false);
        assert!(!verdicts.hold() && !verdicts.drill_holds());
        let summary = verdicts.summary();
        assert!(
            summary.ends_with("FAILED second: gap: 900 ms (bar: <= 200 ms)\n"),
            "{summary}"
        );
        verdicts.begin("third", "about");
        assert!(verdicts.drill_holds() && !verdicts.hold());
    }

    #[test]
    fn a_run_that_judged_nothing_has_not_passed() {
        let mut verdicts = Verdicts::new(Box::new(std::io::sink()));
        verdicts.begin("none", "about");
        verdicts.tell("skipped", "no image");
        assert!(!verdicts.hold());
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new("T", &["a", "b"]);
        table.rows.push(vec!["long".into(), "x".into()]);
        assert_eq!(table.text(), "T\n  a     b\n  long  x\n");
    }
}
