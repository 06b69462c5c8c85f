//! The table of results.

use std::fmt;

/// A megabyte.
pub const MB: f64 = 1e6;

/// Rows in the order they were measured.
#[derive(Debug, Default)]
pub struct Table(Vec<Row>);

#[derive(Debug)]
struct Row {
    what: String,
    measured: String,
    aim: String,
    met: &'static str,
}

impl Table {
    /// A figure that should be at most `aim`.
    pub fn at_most(&mut self, what: impl Into<String>, measured: f64, aim: f64, unit: &str) {
        self.row(what, format!("{} {unit}", short(measured)), format!("≤ {} {unit}", short(aim)), measured <= aim);
    }

    /// A figure that should be at least `aim`.
    pub fn at_least(&mut self, what: impl Into<String>, measured: f64, aim: f64, unit: &str) {
        self.row(what, format!("{}{unit}", short(measured)), format!("≥ {}{unit}", short(aim)), measured >= aim);
    }

    /// A figure without an aim.
    pub fn plain(&mut self, what: impl Into<String>, measured: impl Into<String>) {
        self.0.push(Row { what: what.into(), measured: measured.into(), aim: String::new(), met: "" });
    }

    fn row(&mut self, what: impl Into<String>, measured: String, aim: String, met: bool) {
        self.0.push(Row { what: what.into(), measured, aim, met: if met { "yes" } else { "**no**" } });
    }
}

/// Three digits or so.
pub fn short(figure: f64) -> String {
    match figure.abs() {
        100.0.. => format!("{figure:.0}"),
        10.0.. if figure.fract() == 0.0 => format!("{figure:.0}"),
        10.0.. => format!("{figure:.1}"),
        1.0.. if figure.fract() == 0.0 => format!("{figure:.0}"),
        1.0.. => format!("{figure:.2}"),
        _ => format!("{figure:.3}"),
    }
}

impl fmt::Display for Table {
    /// Markdown that reads well unrendered.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = Row { what: "what".into(), measured: "measured".into(), aim: "aim".into(), met: "met" };
        let rows = || std::iter::once(&head).chain(&self.0);
        let width = |column: fn(&Row) -> &str| rows().map(|row| column(row).chars().count()).max().unwrap_or(0);
        let columns: [fn(&Row) -> &str; 4] = [|row| &row.what, |row| &row.measured, |row| &row.aim, |row| row.met];
        let widths = columns.map(width);
        for (number, row) in rows().enumerate() {
            for (column, width) in columns.iter().zip(widths) {
                write!(f, "| {:width$} ", column(row))?;
            }
            writeln!(f, "|")?;
            if number == 0 {
                writeln!(f, "|{}|", widths.map(|width| "-".repeat(width + 2)).join("|"))?;
            }
        }
        Ok(())
    }
}
