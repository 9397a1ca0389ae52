//! What was logged lately, of what peers may make happen at any rate; the metadata's lines are held back in the same way.

pub(crate) use metadata::Said;

/// A warning that clients may bring about at any rate: some lines a minute for each place that says one, with how many there
/// were without one.
macro_rules! warn_seldom {
    ($($said:tt)+) => {{
        static SAID: $crate::said::Said<()> = $crate::said::Said::new(std::time::Duration::ZERO, 16);
        if let Some(unsaid) = SAID.admit(()) {
            tracing::warn!(unsaid, $($said)+);
        }
    }};
}

pub(crate) use warn_seldom;
