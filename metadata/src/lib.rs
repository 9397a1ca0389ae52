//! The truth about topics, offsets and objects.
