//! What every file is held to.

use crate::sources::texts;

#[test]
fn every_source_says_first_what_lives_there() {
    for (path, text) in texts(&["rs"]) {
        assert!(
            text.starts_with("//! "),
            "{path} begins with something else"
        );
    }
}

#[test]
fn sources_are_ascii_and_finished() {
    // Not written out, or this file would be the only one with them.
    let unfinished = [
        ["FIX", "ME"].concat(),
        ["TO", "DO"].concat(),
        ["XX", "X"].concat(),
    ];
    for (path, text) in texts(&[
        "rs", "toml", "md", "py", "go", "js", "json", "xml", "service",
    ]) {
        for (number, line) in (1..).zip(text.lines()) {
            let prose = path.ends_with(".md");
            assert!(prose || line.is_ascii(), "{path}:{number} is not ASCII");
            let found = unfinished.iter().find(|word| line.contains(word.as_str()));
            assert_eq!(found, None, "{path}:{number}");
        }
    }
}
