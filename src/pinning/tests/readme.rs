//! README's table of the environment says what the code's table says.

use pinning::VARIABLES;

#[test]
fn the_readme_has_the_table_of_the_environment() {
    let readme = include_str!("../../../README.md");
    let rows: Vec<&str> = readme.lines().filter(|line| line.starts_with("| `PIN_")).collect();
    let expected: Vec<String> = VARIABLES
        .iter()
        .map(|v| {
            let value = v.value.replace('|', "\\|");
            format!("| `{}` | {value} | {} | {} |", v.name, v.meaning, v.when_unset)
        })
        .collect();
    assert_eq!(rows, expected);
}
