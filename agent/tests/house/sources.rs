//! The files of the workspace, and what of them is code that ships.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

pub(crate) fn root() -> PathBuf {
    let agent = Path::new(env!("CARGO_MANIFEST_DIR"));
    agent
        .parent()
        .expect("the agent is a member of a workspace")
        .to_owned()
}

/// All files below, but for what is built or downloaded.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    let skipped = [
        "target",
        ".git",
        "node_modules",
        "__pycache__",
        "penstock-data",
    ];
    let entries = std::fs::read_dir(folder).expect("a folder of the workspace");
    for entry in entries {
        let path = entry.expect("an entry").path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() && !skipped.contains(&name.as_str()) {
            files(&path, found);
        } else if path.is_file() {
            found.push(path);
        }
    }
}

/// Path below the root and contents of every file whose name ends so.
pub(crate) fn texts(endings: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    files(&root(), &mut found);
    let wanted = found.into_iter().filter(|path| {
        let extension = path
            .extension()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        endings.contains(&extension.as_str())
    });
    let mut texts: Vec<_> = wanted
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("text in UTF-8");
            let path = path
                .strip_prefix(root())
                .expect("below the root")
                .display()
                .to_string();
            (path, text)
        })
        .collect();
    texts.sort();
    assert!(texts.len() > 3, "the workspace was not found");
    texts
}

/// Rust files below a source folder, without those that exist for tests alone.
pub(crate) fn sources(folder: &str) -> Vec<(String, String)> {
    let all = texts(&["rs"]).into_iter();
    let below: Vec<(String, String)> = all
        .filter_map(|(path, text)| Some((path.strip_prefix(folder)?.to_owned(), text)))
        .collect();
    let for_tests: BTreeSet<String> = below
        .iter()
        .flat_map(|(path, text)| test_modules(path, text))
        .collect();
    let is_for_tests = |path: &str| {
        let stem = path.trim_end_matches(".rs").trim_end_matches("/mod");
        for_tests
            .iter()
            .any(|module| stem == module || stem.starts_with(&format!("{module}/")))
    };
    below
        .into_iter()
        .filter(|(path, _)| !is_for_tests(path))
        .collect()
}

/// The paths of modules that a file declares under `cfg(test)`.
pub(crate) fn test_modules(path: &str, text: &str) -> Vec<String> {
    let stem = path.trim_end_matches(".rs");
    let folder = match stem.rsplit_once('/') {
        Some((folder, "mod")) => format!("{folder}/"),
        None if ["mod", "lib", "main"].contains(&stem) => String::new(),
        _ => format!("{stem}/"),
    };
    let declared = text.split("#[cfg(test)]\n").skip(1);
    declared
        .filter_map(|after| {
            let (_, name) = after.lines().next()?.split_once("mod ")?;
            Some(format!("{folder}{}", name.strip_suffix(';')?))
        })
        .collect()
}

/// A source without comments and without its tests at the end.
pub(crate) fn code(text: &str) -> String {
    let without_tests = text
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or_default();
    let lines = without_tests
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The part of its crate that a file belongs to: its folder, or the file itself.
pub(crate) fn part(path: &str) -> &str {
    path.split('/')
        .next()
        .unwrap_or_default()
        .trim_end_matches(".rs")
}
