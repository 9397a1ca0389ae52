//! `SUPPORTED.md` says what the table of APIs says, no more and no less.

use protocol::ApiKey;

fn heading(key: ApiKey) -> String {
    let (versions, advertised) = (key.versions(), key.advertised());
    let mut heading = format!(
        "## {} ({}): {} to {}",
        key.name(),
        key.code(),
        versions.start(),
        versions.end()
    );
    if advertised != versions {
        heading += &format!(
            ", advertised {} to {}",
            advertised.start(),
            advertised.end()
        );
    }
    heading
}

#[test]
fn the_document_names_every_api_and_its_versions() {
    let document = include_str!("../SUPPORTED.md");
    let headings: Vec<_> = document
        .lines()
        .filter(|line| line.starts_with("## ") && line.contains('('))
        .collect();
    let expected: Vec<_> = ApiKey::ALL.iter().copied().map(heading).collect();
    assert_eq!(headings, expected);
    for heading in headings {
        let below = document.split(heading).nth(1).unwrap();
        let paragraph = below.split("\n## ").next().unwrap().trim();
        assert!(paragraph.len() > 80, "{heading} says nothing");
    }
    for key in ApiKey::ALL {
        let below = document.split(&heading(*key)).nth(1).unwrap();
        let section = below.split("\n## ").next().unwrap();
        let said = section.lines().find(|line| line.starts_with("Rights: "));
        let rights = key.rights().iter();
        let rights: Vec<_> = rights
            .map(|(do_it, to)| format!("{do_it} on {to}"))
            .collect();
        let expected = format!("Rights: {}.", rights.join(", "));
        match rights.as_slice() {
            [] => assert_eq!(said, None),
            _ => assert_eq!(said, Some(expected.as_str()), "{}", key.name()),
        }
    }
}

#[test]
fn what_is_advertised_is_spoken_but_for_produce() {
    for key in ApiKey::ALL {
        let (versions, advertised) = (key.versions(), key.advertised());
        assert_eq!(versions.end(), advertised.end());
        assert!(versions.start() == advertised.start() || *key == ApiKey::Produce);
        assert_eq!(ApiKey::from_code(key.code()), Some(*key));
    }
}
