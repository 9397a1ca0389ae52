//! Derives bounded decoding and encoding for Kafka messages from one typed declaration. Used by
//! `protocol/src/messages/` alone.
//!
//! `#[derive(Message)]` on a struct with named fields writes `Decode`, `Encode`, `Default` and, for tests, `Fill`. A field's
//! attribute says where it is on the wire: `#[kafka(since = 4)]`, `until = 10` (both inclusive), `nullable_since = 1` for an
//! `Option` that may only be null from that version on, `tag = 0` for a tagged field of flexible versions, `default = -1`. A
//! field that a version does not carry keeps its default. A type parameter stands for a field that is written in more than
//! one way, and may not be a tagged one.

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;
use quote::quote;
use syn::{
    Data, DeriveInput, Expr, Field, Fields, GenericArgument, LitInt, PathArguments, Type,
    parse_quote,
};

/// See the crate's page.
#[proc_macro_derive(Message, attributes(kafka))]
pub fn message(input: TokenStream) -> TokenStream {
    expand(&syn::parse_macro_input!(input as DeriveInput))
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}

/// What a field's attribute says.
#[derive(Default)]
struct Wire {
    since: Option<i16>,
    until: Option<i16>,
    nullable_since: Option<i16>,
    tag: Option<u32>,
    default: Option<Expr>,
}

impl Wire {
    fn of(field: &Field) -> syn::Result<Self> {
        let mut wire = Self::default();
        for attribute in field.attrs.iter().filter(|a| a.path().is_ident("kafka")) {
            attribute.parse_nested_meta(|meta| {
                let value = meta.value()?;
                if meta.path.is_ident("since") {
                    wire.since = Some(value.parse::<LitInt>()?.base10_parse()?);
                } else if meta.path.is_ident("until") {
                    wire.until = Some(value.parse::<LitInt>()?.base10_parse()?);
                } else if meta.path.is_ident("nullable_since") {
                    wire.nullable_since = Some(value.parse::<LitInt>()?.base10_parse()?);
                } else if meta.path.is_ident("tag") {
                    wire.tag = Some(value.parse::<LitInt>()?.base10_parse()?);
                } else if meta.path.is_ident("default") {
                    wire.default = Some(value.parse()?);
                } else {
                    return Err(meta.error("one of since, until, nullable_since, tag, default"));
                }
                Ok(())
            })?;
        }
        Ok(wire)
    }

    /// The condition under which a version carries the field.
    fn present(&self) -> Tokens {
        match (self.since, self.until) {
            (None, None) => quote!(true),
            (Some(since), None) => quote!(version >= #since),
            (None, Some(until)) => quote!(version <= #until),
            (Some(since), Some(until)) => quote!((#since..=#until).contains(&version)),
        }
    }
}

fn expand(input: &DeriveInput) -> syn::Result<Tokens> {
    let Data::Struct(data) = &input.data else {
        return Err(syn::Error::new_spanned(input, "a message is a struct"));
    };
    let Fields::Named(fields) = &data.fields else {
        return Err(syn::Error::new_spanned(input, "a message has named fields"));
    };
    let fields = fields
        .named
        .iter()
        .map(|field| Ok((field, Wire::of(field)?)));
    let fields = fields.collect::<syn::Result<Vec<_>>>()?;
    let name = &input.ident;
    let names: Vec<_> = fields.iter().map(|(field, _)| &field.ident).collect();
    let throttle = throttle(&fields);
    let default = defaults(&fields);
    let (decode, decode_tagged) = decoding(&fields);
    let (encode, encode_tagged) = encoding(&fields);
    let parameters = input.generics.split_for_impl().1;
    let (of_default, is_default) = bounded(input, &[quote!(Default)]);
    let (of_fill, is_fill) = bounded(input, &[quote!(crate::sample::Fill)]);
    let (of_decode, is_decode) = bounded(input, &[quote!(crate::wire::Decode), quote!(Default)]);
    let (of_encode, is_encode) = bounded(input, &[quote!(crate::wire::Encode)]);
    Ok(quote! {
        impl #of_default Default for #name #parameters #is_default {
            fn default() -> Self {
                Self { #default }
            }
        }
        #[cfg(feature = "samples")]
        impl #of_fill crate::sample::Fill for #name #parameters #is_fill {
            fn fill(filler: &mut crate::sample::Filler) -> Self {
                Self { #(#names: crate::sample::Fill::fill(filler)),* }
            }
        }
        impl #of_decode crate::wire::Decode for #name #parameters #is_decode {
            #[allow(unused_variables, reason = "a struct all of whose fields are in every version")]
            fn decode(
                reader: &mut crate::wire::Reader,
                version: i16,
            ) -> Result<Self, crate::DecodeError> {
                let mut message = Self::default();
                #decode
                reader.tagged_fields(|tag, reader| {
                    match tag {
                        #decode_tagged
                        _ => return Ok(false),
                    }
                    #[allow(unreachable_code, reason = "a struct without tagged fields")]
                    Ok(true)
                })?;
                Ok(message)
            }
        }
        impl #of_encode crate::wire::Encode for #name #parameters #is_encode {
            #[allow(unused_variables, reason = "a struct all of whose fields are in every version")]
            fn encode(&self, writer: &mut crate::wire::Writer, version: i16) {
                #encode
                if writer.is_flexible() {
                    #[allow(unused_mut, reason = "a struct without tagged fields")]
                    let mut tagged: Vec<(u32, crate::wire::Writer)> = Vec::new();
                    #encode_tagged
                    writer.tagged_fields(&tagged);
                }
            }

            fn first_error(&self) -> crate::ErrorCode {
                #(
                    let error = crate::wire::Encode::first_error(&self.#names);
                    if error != crate::ErrorCode::NONE {
                        return error;
                    }
                )*
                crate::ErrorCode::NONE
            }

            #throttle
        }
    })
}

/// What stands behind `impl` and in its `where`, if every type parameter is bound by those.
fn bounded(input: &DeriveInput, bounds: &[Tokens]) -> (Tokens, Tokens) {
    let mut generics = input.generics.clone();
    for parameter in input.generics.type_params() {
        let name = &parameter.ident;
        let clause = generics.make_where_clause();
        clause.predicates.push(parse_quote!(#name: #(#bounds)+*));
    }
    let (behind_impl, _, clause) = generics.split_for_impl();
    (quote!(#behind_impl), quote!(#clause))
}

fn throttle(fields: &[(&Field, Wire)]) -> Tokens {
    let name = |(field, _): &&(&Field, Wire)| {
        let name = field.ident.as_ref();
        name.is_some_and(|name| name == "throttle_time_ms")
    };
    let of_response = fields.iter().find(name).map(|_| {
        quote! {
            fn set_throttle_time(&mut self, ms: i32) {
                self.throttle_time_ms = ms;
            }
        }
    });
    of_response.unwrap_or_default()
}

fn defaults(fields: &[(&Field, Wire)]) -> Tokens {
    let each = fields.iter().map(|(field, wire)| {
        let name = &field.ident;
        match &wire.default {
            Some(value) => quote!(#name: #value,),
            None => quote!(#name: Default::default(),),
        }
    });
    each.collect()
}

fn decoding(fields: &[(&Field, Wire)]) -> (Tokens, Tokens) {
    let (mut plain, mut tagged) = (Tokens::new(), Tokens::new());
    for (field, wire) in fields {
        let (name, present) = (&field.ident, wire.present());
        if let Some(tag) = wire.tag {
            tagged.extend(quote! {
                #tag if #present => message.#name = crate::wire::Decode::decode(reader, version)?,
            });
            continue;
        }
        let not_null = wire.nullable_since.map(|since| {
            quote! {
                if version < #since && message.#name.is_none() {
                    return Err(crate::DecodeError::Null);
                }
            }
        });
        plain.extend(quote! {
            if #present {
                message.#name = crate::wire::Decode::decode(reader, version)?;
                #not_null
            }
        });
    }
    (plain, tagged)
}

fn encoding(fields: &[(&Field, Wire)]) -> (Tokens, Tokens) {
    let (mut plain, mut tagged) = (Tokens::new(), Tokens::new());
    for (field, wire) in fields {
        let (name, present) = (&field.ident, wire.present());
        if let Some(tag) = wire.tag {
            tagged.extend(quote! {
                if #present && self.#name != Self::default().#name {
                    let mut value = writer.for_tag();
                    crate::wire::Encode::encode(&self.#name, &mut value, version);
                    tagged.push((#tag, value));
                }
            });
            continue;
        }
        let write = match (wire.nullable_since, inside_option(&field.ty)) {
            // An older version has no null: what it means there is "empty".
            (Some(since), Some(inner)) => quote! {
                match &self.#name {
                    None if version < #since => {
                        crate::wire::Encode::encode(&<#inner>::default(), writer, version);
                    }
                    value => crate::wire::Encode::encode(value, writer, version),
                }
            },
            _ => quote!(crate::wire::Encode::encode(&self.#name, writer, version);),
        };
        plain.extend(quote!(if #present { #write }));
    }
    (plain, tagged)
}

/// The `T` of an `Option<T>`.
fn inside_option(ty: &Type) -> Option<&Type> {
    let Type::Path(path) = ty else { return None };
    let last = path
        .path
        .segments
        .last()
        .filter(|segment| segment.ident == "Option")?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else {
        return None;
    };
    arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::Type(inner) => Some(inner),
        _ => None,
    })
}
