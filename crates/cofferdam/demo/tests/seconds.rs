//! What `seconds` promises.

use tide_clock::seconds;

#[test]
fn adds_the_parts_up() {
    assert_eq!(seconds("6h 12m"), Ok(22_320));
    assert_eq!(seconds("90s"), Ok(90));
}

#[test]
fn names_an_unknown_unit() {
    assert_eq!(seconds("3d"), Err("unknown unit 'd'".to_string()));
}

#[test]
fn a_number_without_a_unit_is_an_error() {
    assert_eq!(seconds("45"), Err("no unit after 45".to_string()));
    assert_eq!(seconds("6h 12"), Err("no unit after 12".to_string()));
}
