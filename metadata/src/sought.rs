//! Where a sequencer is sought in other processes, and what was met there: why there is none, for an operator.

use parking_lot::Mutex;

/// What was met at an address last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Met {
    /// A process that knows of nobody who takes commands.
    Idle,
    /// Nobody, for that reason.
    Nobody(String),
}

/// The addresses that were given, and no others: redirects lead wherever they like.
#[derive(Debug, Default)]
pub(crate) struct Sought(Mutex<Vec<(String, Option<Met>)>>);

impl Sought {
    pub(crate) fn at(addresses: &[String]) -> Self {
        let addresses = addresses.iter().map(|address| (address.clone(), None));
        Self(Mutex::new(addresses.collect()))
    }

    pub(crate) fn met(&self, address: &str, met: &Met) {
        let mut all = self.0.lock();
        let known = all.iter_mut().filter(|(known, _)| known == address);
        known.for_each(|(_, last)| *last = Some(met.clone()));
    }

    /// Nothing is known of what is met there next.
    pub(crate) fn forget(&self) {
        let mut all = self.0.lock();
        all.iter_mut().for_each(|(_, last)| *last = None);
    }

    /// As a sentence, of a time when no sequencer is reached. None where none is sought elsewhere.
    pub(crate) fn said(&self) -> Option<String> {
        let all = self.0.lock();
        if all.is_empty() {
            return None;
        }
        let idle = all.iter().filter(|(_, met)| *met == Some(Met::Idle));
        let idle: Vec<&str> = idle.map(|(address, _)| address.as_str()).collect();
        if !idle.is_empty() {
            let idle = idle.join(", ");
            return Some(format!(
                "no process of `penstock metadata` that holds the order and can write its store is reached; one answers at \
                 {idle}: see its /health/ready"
            ));
        }
        let each = all.iter().map(|(address, met)| match met {
            Some(Met::Nobody(reason)) => format!("{address} ({reason})"),
            Some(Met::Idle) | None => address.clone(),
        });
        let each: Vec<String> = each.collect();
        let yet = match all.iter().any(|(_, met)| met.is_none()) {
            true => " yet",
            false => "",
        };
        Some(format!(
            "no process of `penstock metadata` answers{yet} at {}",
            each.join(", ")
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_met_is_said_of_the_addresses_that_were_given() {
        assert_eq!(Sought::default().said(), None);
        let sought = Sought::at(&["one:1".to_owned(), "two:2".to_owned()]);
        let said = || sought.said().expect("one is sought");
        let nobody = "no process of `penstock metadata` answers";
        assert_eq!(said(), format!("{nobody} yet at one:1, two:2"));
        sought.met("one:1", &Met::Nobody("refused".to_owned()));
        sought.met("elsewhere:3", &Met::Idle);
        assert_eq!(said(), format!("{nobody} yet at one:1 (refused), two:2"));
        sought.met("two:2", &Met::Idle);
        assert!(said().contains("one answers at two:2"), "{}", said());
        sought.met("two:2", &Met::Nobody("no answer".to_owned()));
        let both = "one:1 (refused), two:2 (no answer)";
        assert_eq!(said(), format!("{nobody} at {both}"));
        sought.forget();
        assert_eq!(said(), format!("{nobody} yet at one:1, two:2"));
    }
}
