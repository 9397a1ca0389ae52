//! Each API is described, and tested on its own.

use protocol::ApiKey;

use crate::sources::{root, texts};

#[test]
fn every_api_has_a_section_of_its_own() {
    let document =
        std::fs::read_to_string(root().join("protocol/SUPPORTED.md")).expect("the document");
    for key in ApiKey::ALL {
        let heading = format!("\n## {} ({}): ", key.name(), key.code());
        assert!(
            document.contains(&heading),
            "{} is not described",
            key.name()
        );
    }
}

#[test]
fn every_api_has_tests_of_its_own() {
    let named = texts(&["rs"]);
    for key in ApiKey::ALL {
        let snake = key.name().chars().fold(String::new(), |mut snake, letter| {
            if letter.is_uppercase() && !snake.is_empty() {
                snake.push('_');
            }
            snake.extend(letter.to_lowercase());
            snake
        });
        let file = match snake.as_str() {
            // Together with what its ids are for.
            "init_producer_id" => "idempotence",
            other => other,
        };
        // A file, or a folder of them.
        let path = format!("agent/tests/api/{file}");
        let places = [format!("{path}.rs"), format!("{path}/mod.rs")];
        assert!(
            named.iter().any(|(name, _)| places.contains(name)),
            "{path}.rs is missing"
        );
    }
}
