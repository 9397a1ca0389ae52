//! What a file imports, and whether a table allows it.

use std::collections::{BTreeMap, BTreeSet};

use crate::sources::{code, part, test_modules};
use crate::tables::AGENT;

/// What a file takes from the root of its crate: by `crate::a`, `crate::{a, b::c}`, or `super::` out of its part.
pub(crate) fn imports(path: &str, text: &str) -> BTreeSet<String> {
    let depth = path.split('/').filter(|step| *step != "mod.rs").count();
    let code = code(text);
    let mut found = BTreeSet::new();
    for (place, _) in code.match_indices("crate::") {
        let begins =
            !code[..place].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$');
        if begins {
            found.extend(names(&code[place + "crate::".len()..]));
        }
    }
    for (place, _) in code.match_indices("super::") {
        if code[..place].ends_with("super::") {
            continue;
        }
        let mut rest = &code[place..];
        let mut steps = 0;
        while let Some(after) = rest.strip_prefix("super::") {
            (rest, steps) = (after, steps + 1);
        }
        if steps >= depth {
            found.extend(names(rest));
        }
    }
    found
}

/// The first names of a path, or of each path in braces.
fn names(path: &str) -> Vec<String> {
    let name = |text: &str| {
        text.trim()
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect::<String>()
    };
    let Some(group) = path.strip_prefix('{') else {
        return vec![name(path)];
    };
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (place, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                found.push(name(&group[start..place]));
                start = place + 1;
                if letter == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

/// Imports that the table does not allow, as sentences.
pub(crate) fn forbidden(table: &[(&str, &[&str])], files: &[(String, String)]) -> Vec<String> {
    let table: BTreeMap<&str, &[&str]> = table.iter().copied().collect();
    let mut wrong = Vec::new();
    for (path, text) in files {
        let Some(allowed) = table.get(part(path)) else {
            continue;
        };
        for import in imports(path, text) {
            if import != part(path) && !allowed.contains(&import.as_str()) {
                wrong.push(format!("{path} imports {import}"));
            }
        }
    }
    wrong
}

#[test]
fn wrong_imports_are_noticed() {
    let file = |path: &str, text: &str| vec![(path.to_owned(), text.to_owned())];
    for (path, text) in [
        ("fetch/plan.rs", "use crate::produce::Produce;"),
        ("fetch/plan.rs", "use crate::{context, produce::Produce};"),
        (
            "fetch/plan.rs",
            "use crate::{context::{Node, Context}, admin};",
        ),
        ("fetch/plan.rs", "fn f() { super::super::produce::g() }"),
        ("fetch/mod.rs", "use super::produce;"),
        ("fetch/deep/mod.rs", "use super::super::produce;"),
        ("context.rs", "use super::produce;"),
        (
            "storage/cache.rs",
            "fn f() -> crate::connection::Reply { todo() }",
        ),
    ] {
        assert_eq!(
            forbidden(AGENT, &file(path, text)).len(),
            1,
            "{path}: {text}"
        );
    }
    for (path, text) in [
        (
            "fetch/plan.rs",
            "use crate::context::Context;\nuse crate::fetch::read;",
        ),
        ("fetch/plan.rs", "use super::read;"),
        (
            "fetch/plan.rs",
            "// not crate::produce\n#[cfg(test)]\nmod tests {\n use crate::produce;\n}",
        ),
        ("fetch/deep/mod.rs", "use super::plan;"),
        ("fetch/deep/file.rs", "use super::super::plan;"),
    ] {
        assert_eq!(
            forbidden(AGENT, &file(path, text)),
            [""; 0],
            "{path}: {text}"
        );
    }
    assert_eq!(
        test_modules("admin/mod.rs", "#[cfg(test)]\nmod tests;\nmod x;"),
        ["admin/tests"]
    );
    assert_eq!(
        test_modules("lib.rs", "#[cfg(test)]\npub(crate) mod golden;"),
        ["golden"]
    );
    assert_eq!(
        test_modules("view.rs", "#[cfg(test)]\nmod tests;"),
        ["view/tests"]
    );
}
