//! Placeholder: the derive macro is on its way.
