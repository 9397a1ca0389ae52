//! Bugs on purpose, each a line at its place, for simulation to find: a checker that finds none of them would find none of
//! ours. With the feature `planted-bugs` one may be chosen at run time; without it `planted!` is nothing at all.

/// `planted!("name", what goes wrong)`, or `planted!(let value = "name" => a wrong value)`.
#[macro_export]
macro_rules! planted {
    (let $value:ident = $name:literal => $wrong:expr) => {
        #[cfg(feature = "planted-bugs")]
        let $value = if $crate::planted::is($name) {
            $wrong
        } else {
            $value
        };
    };
    ($name:literal, $wrong:expr) => {
        #[cfg(feature = "planted-bugs")]
        if $crate::planted::is($name) {
            $wrong;
        }
    };
}

#[cfg(feature = "planted-bugs")]
std::thread_local! {
    static CHOSEN: std::cell::RefCell<Option<String>> = const { std::cell::RefCell::new(None) };
}

/// Chooses a bug for this thread, or none.
#[cfg(feature = "planted-bugs")]
pub fn plant(name: Option<&str>) {
    CHOSEN.set(name.map(str::to_owned));
}

/// Whether it is that one.
#[cfg(feature = "planted-bugs")]
#[must_use]
pub fn is(name: &str) -> bool {
    CHOSEN.with_borrow(|chosen| chosen.as_deref() == Some(name))
}
