//! Tables of docs/simulation.md that a run writes.

/// Puts `table` in its place, between the two marks of that name.
pub fn write(name: &str, table: &str) {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/simulation.md");
    let text = std::fs::read_to_string(page).unwrap();
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->\n"));
    let (before, rest) = text.split_once(&begin).unwrap();
    let (_, after) = rest.split_once(&end).unwrap();
    std::fs::write(page, format!("{before}{begin}{table}{end}{after}")).unwrap();
}

/// Whether the environment asks for that.
pub fn wanted(variable: &str) -> bool {
    std::env::var(variable).is_ok_and(|value| value == "write")
}
