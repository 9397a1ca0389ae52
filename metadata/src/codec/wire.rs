//! Values as bytes, each declared once: `wire_enum!` and `wire_struct!` write both directions from one list, so that they
//! cannot come apart. Tags never change their meaning; one that is not known is `Unreadable`.

use std::collections::BTreeMap;

use super::{Decoder, Encoder, Unreadable};

/// Something with bytes.
pub(crate) trait Wire: Sized {
    /// Appends it.
    fn put(&self, row: &mut Encoder);

    /// Reads what [`Wire::put`] wrote.
    fn take(row: &mut Decoder) -> Result<Self, Unreadable>;
}

/// An enum with its tags: `1 => Unit`, `2 => Tuple(name: Type)` or `3 => Struct { field: Type }`; `if cfg(..) && condition`
/// behind one has it only in builds of that kind, and reads it only then.
macro_rules! wire_enum {
    (
        $(#[$meta:meta])*
        $vis:vis enum $name:ident {
            $(
                $(#[$variant_meta:meta])*
                $tag:literal => $variant:ident
                    $( ( $bind:ident : $inner:ty ) )?
                    $( { $( $(#[$field_meta:meta])* $field:ident : $kind:ty ),+ $(,)? } )?
                    $( if cfg($($built:tt)+) && $guard:expr )?
            ),+ $(,)?
        }
    ) => {
        $(#[$meta])*
        $vis enum $name {
            $(
                $(#[$variant_meta])*
                $( #[cfg($($built)+)] )?
                $variant $( ( $inner ) )? $( { $( $(#[$field_meta])* $field : $kind ),+ } )?
            ),+
        }

        impl $crate::codec::Wire for $name {
            fn put(&self, row: &mut $crate::codec::Encoder) {
                match self {
                    $(
                        $( #[cfg($($built)+)] )?
                        Self::$variant $( ( $bind ) )? $( { $( $field ),+ } )? => {
                            row.u8($tag);
                            $( $crate::codec::Wire::put($bind, row); )?
                            $( $( $crate::codec::Wire::put($field, row); )+ )?
                        }
                    )+
                }
            }

            fn take(
                row: &mut $crate::codec::Decoder,
            ) -> Result<Self, $crate::codec::Unreadable> {
                Ok(match row.u8()? {
                    $(
                        $( #[cfg($($built)+)] )?
                        $tag $( if $guard )? => Self::$variant
                            $( ( <$inner as $crate::codec::Wire>::take(row)? ) )?
                            $( { $( $field: $crate::codec::Wire::take(row)? ),+ } )?,
                    )+
                    _ => return Err($crate::codec::Unreadable),
                })
            }
        }
    };
}

/// A struct that is its fields, one after the other.
macro_rules! wire_struct {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident {
            $( $(#[$field_meta:meta])* $field_vis:vis $field:ident : $kind:ty ),+ $(,)?
        }
    ) => {
        $(#[$meta])*
        $vis struct $name {
            $( $(#[$field_meta])* $field_vis $field : $kind ),+
        }

        wire_fields!($name { $( $field ),+ });
    };
}

/// The same for a struct or newtype that is declared elsewhere.
macro_rules! wire_fields {
    ($name:ident { $( $field:tt ),+ $(,)? }) => {
        impl $crate::codec::Wire for $name {
            fn put(&self, row: &mut $crate::codec::Encoder) {
                $( $crate::codec::Wire::put(&self.$field, row); )+
            }

            fn take(
                row: &mut $crate::codec::Decoder,
            ) -> Result<Self, $crate::codec::Unreadable> {
                Ok(Self { $( $field: $crate::codec::Wire::take(row)? ),+ })
            }
        }
    };
}

/// Numbers as [`Encoder`] and [`Decoder`] have them under the same name.
macro_rules! wire_numbers {
    ($($number:ident),+) => {
        $(
            impl Wire for $number {
                fn put(&self, row: &mut Encoder) {
                    row.$number(*self);
                }

                fn take(row: &mut Decoder) -> Result<Self, Unreadable> {
                    row.$number()
                }
            }
        )+
    };
}

wire_numbers!(u8, u16, u32, u64, u128, i16, i32, i64);

impl Wire for bool {
    fn put(&self, row: &mut Encoder) {
        row.u8(u8::from(*self));
    }

    fn take(row: &mut Decoder) -> Result<Self, Unreadable> {
        match row.u8()? {
            flag @ (0 | 1) => Ok(flag == 1),
            _ => Err(Unreadable),
        }
    }
}

impl Wire for String {
    fn put(&self, row: &mut Encoder) {
        row.text(self);
    }

    fn take(row: &mut Decoder) -> Result<Self, Unreadable> {
        row.text()
    }
}

impl<T: Wire> Wire for Option<T> {
    fn put(&self, row: &mut Encoder) {
        self.is_some().put(row);
        if let Some(value) = self {
            value.put(row);
        }
    }

    fn take(row: &mut Decoder) -> Result<Self, Unreadable> {
        Ok(match bool::take(row)? {
            true => Some(T::take(row)?),
            false => None,
        })
    }
}

impl<T: Wire> Wire for Box<T> {
    fn put(&self, row: &mut Encoder) {
        T::put(self, row);
    }

    fn take(row: &mut Decoder) -> Result<Self, Unreadable> {
        T::take(row).map(Self::new)
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn put(&self, row: &mut Encoder) {
        row.u64(self.len() as u64);
        self.iter().for_each(|each| each.put(row));
    }

    fn take(row: &mut Decoder) -> Result<Self, Unreadable> {
        row.list(T::take)
    }
}

impl Wire for BTreeMap<String, String> {
    fn put(&self, row: &mut Encoder) {
        row.texts(self);
    }

    fn take(row: &mut Decoder) -> Result<Self, Unreadable> {
        row.texts()
    }
}

impl<A: Wire, B: Wire> Wire for (A, B) {
    fn put(&self, row: &mut Encoder) {
        self.0.put(row);
        self.1.put(row);
    }

    fn take(row: &mut Decoder) -> Result<Self, Unreadable> {
        Ok((A::take(row)?, B::take(row)?))
    }
}

impl<T: Wire, E: Wire> Wire for Result<T, E> {
    fn put(&self, row: &mut Encoder) {
        self.is_err().put(row);
        match self {
            Ok(value) => value.put(row),
            Err(error) => error.put(row),
        }
    }

    fn take(row: &mut Decoder) -> Result<Self, Unreadable> {
        Ok(match bool::take(row)? {
            true => Err(E::take(row)?),
            false => Ok(T::take(row)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    wire_struct! {
        #[derive(Clone, Debug, PartialEq)]
        struct Inner {
            number: i64,
            text: String,
        }
    }

    wire_enum! {
        #[derive(Clone, Debug, PartialEq)]
        enum Outer {
            1 => Nothing,
            3 => One(inner: Inner),
            7 => Two { a: Option<u32>, b: Vec<bool> },
        }
    }

    fn any_outer() -> impl Strategy<Value = Outer> {
        prop_oneof![
            Just(Outer::Nothing),
            (any::<i64>(), ".*").prop_map(|(number, text)| Outer::One(Inner { number, text })),
            (any::<Option<u32>>(), any::<Vec<bool>>()).prop_map(|(a, b)| Outer::Two { a, b }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_declared_comes_back_as_it_went(value in any_outer()) {
            let mut row = Encoder::default();
            value.put(&mut row);
            let mut row = Decoder::new(row.into_bytes());
            prop_assert_eq!(Outer::take(&mut row), Ok(value));
            prop_assert_eq!(row.end(), Ok(()));
        }

        #[test]
        fn no_bytes_upset_it(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = Outer::take(&mut Decoder::new(Bytes::from(bytes)));
        }
    }

    #[test]
    fn a_tag_that_is_not_known_is_unreadable() {
        for tag in (0..=u8::MAX).filter(|tag| ![1, 3, 7].contains(tag)) {
            let bytes = Bytes::from(vec![tag, 0, 0, 0]);
            let found = Outer::take(&mut Decoder::new(bytes));
            assert_eq!(found, Err(Unreadable), "{tag}");
        }
    }
}
