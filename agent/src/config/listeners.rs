//! Where clients connect, and what they are told for it: listeners have names once there are several.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use metadata::Listener;

use super::HostPort;
use super::address::address;

/// A listener, with nothing left to default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    pub name: String,
    pub address: SocketAddr,
    /// What clients are told, if not the address listened on.
    pub advertise: Option<HostPort>,
}

/// Something of a listener's, `NAME://SOMETHING`, or of the only one's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named<T> {
    pub name: Option<String>,
    pub value: T,
}

impl Named<SocketAddr> {
    /// Reads where one listens.
    pub(super) fn address(text: &str) -> Result<Self, String> {
        Self::read(text, address)
    }
}

impl FromStr for Named<HostPort> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::read(text, |value| value.parse())
    }
}

impl<T> Named<T> {
    fn read(text: &str, read: impl FnOnce(&str) -> Result<T, String>) -> Result<Self, String> {
        let (name, value) = match text.split_once("://") {
            Some((name, value)) => (Some(name), value),
            None => (None, text),
        };
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_some_and(|name| name.is_empty() || !name.chars().all(allowed)) {
            return Err("a listener's name is of letters, digits, '-', '_' and '.'".to_owned());
        }
        Ok(Self {
            name: name.map(str::to_owned),
            value: read(value)?,
        })
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name.as_str() {
            Listener::UNNAMED => write!(f, "{}", self.address),
            name => write!(f, "{name}://{}", self.address),
        }
    }
}

/// Puts addresses and what clients are told for them together.
///
/// # Errors
/// With a sentence for the operator.
pub fn listeners(
    listen: Vec<Named<SocketAddr>>,
    advertise: Vec<Named<HostPort>>,
) -> Result<Vec<Listen>, String> {
    let alone = listen.len() == 1;
    let mut all: Vec<Listen> = Vec::new();
    for Named { name, value } in listen {
        if name.is_none() && !alone {
            return Err(format!(
                "--listen {value}: of several listeners each needs a name, as in internal://{value}"
            ));
        }
        let name = name.unwrap_or_else(|| Listener::UNNAMED.to_owned());
        if all.iter().any(|each| each.name == name) {
            return Err(format!("--listen names two listeners {name}"));
        }
        all.push(Listen {
            name,
            address: value,
            advertise: None,
        });
    }
    for Named { name, value } in advertise {
        let listener = match &name {
            Some(name) => all.iter_mut().find(|each| each.name == *name),
            None if alone => all.first_mut(),
            None => {
                return Err(format!(
                    "--advertise {value} does not say for which listener: write NAME://{value}"
                ));
            }
        };
        let Some(listener) = listener else {
            let known: Vec<_> = all.iter().map(|each| each.name.as_str()).collect();
            return Err(format!(
                "--advertise {}://{value} is for no listener; those of --listen are {}",
                name.unwrap_or_default(),
                known.join(", ")
            ));
        };
        if listener.advertise.replace(value).is_some() {
            return Err(format!("--advertise names {} twice", listener.name));
        }
    }
    for listener in &all {
        let named = match listener.name.as_str() {
            Listener::UNNAMED => String::new(),
            name => format!("{name}://"),
        };
        let flags = ["listen", "advertise"].map(|flag| format!("--{flag} {named}"));
        can_be_told(listener.address, listener.advertise.as_ref(), &flags)
            .map_err(|nowhere| format!("{nowhere}, where clients reach this agent"))?;
    }
    Ok(all)
}

/// All addresses of a machine are none that others could connect to, so where those are listened on, another one has to be
/// given for others to be told. `flags`: the two of them, with what precedes their addresses.
///
/// # Errors
/// With the begin of a sentence that says what to give.
pub fn can_be_told(
    listen: SocketAddr,
    told: Option<&HostPort>,
    flags: &[String; 2],
) -> Result<(), String> {
    let [of_listen, of_told] = flags;
    let nowhere = match told {
        None if listen.ip().is_unspecified() => format!("{of_listen}{listen}"),
        Some(told) if told.is_unspecified() => format!("{of_told}{told}"),
        _ => return Ok(()),
    };
    Err(format!(
        "{nowhere} stands for all addresses of a machine, and is none that others could connect to: give {of_told}HOST:PORT"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(listen: &[&str], advertise: &[&str]) -> Result<Vec<Listen>, String> {
        let listen = listen.iter().map(|text| Named::address(text));
        let advertise = advertise.iter().map(|text| text.parse());
        listeners(
            listen.collect::<Result<_, _>>()?,
            advertise.collect::<Result<_, _>>()?,
        )
    }

    #[test]
    fn one_needs_no_name_and_several_do() {
        let one = read(&["127.0.0.1:1"], &["a.test:2"]).unwrap();
        assert_eq!(one[0].name, Listener::UNNAMED);
        assert_eq!(one[0].advertise, "a.test:2".parse().ok());
        let two = read(&["in://127.0.0.1:1", "out://[::1]:2"], &["out://a.test:3"]).unwrap();
        let shown: Vec<_> = two.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["in://127.0.0.1:1", "out://[::1]:2"]);
        assert_eq!(two[0].advertise, None);
        assert_eq!(two[1].advertise, "a.test:3".parse().ok());
    }

    #[test]
    fn all_addresses_may_be_listened_on_where_another_is_told() {
        let told = read(&["0.0.0.0:1"], &["a.test:2"]).unwrap();
        assert_eq!(told[0].advertise, "a.test:2".parse().ok());
        let two = ["in://127.0.0.1:1", "out://[::]:2"];
        assert!(read(&two, &["out://10.0.0.1:2"]).is_ok());
    }

    #[test]
    fn what_is_wrong_is_said_in_a_sentence() {
        let two = ["in://127.0.0.1:1", "out://127.0.0.1:2"];
        for (listen, advertise, part) in [
            (
                &["127.0.0.1:1", "out://127.0.0.1:2"][..],
                &[][..],
                "as in internal://127.0.0.1:1",
            ),
            (
                &["x://127.0.0.1:1", "x://127.0.0.1:2"],
                &[],
                "two listeners x",
            ),
            (&["x y://127.0.0.1:1"], &[], "letters, digits"),
            (&two, &["a.test:1"], "write NAME://a.test:1"),
            (&two, &["up://a.test:1"], "are in, out"),
            (&two, &["in://a.test:1", "in://a.test:2"], "in twice"),
            (&two, &["in://a.test"], "not a host and port"),
            (&["127.0.0.1:1"], &["a.test:0"], "from 1 to 65535"),
            (&["127.0.0.1:1"], &["a.test:65536"], "from 1 to 65535"),
            (&["127.0.0.1:1"], &["a.test/b:1"], "not a host and port"),
            (&["127.0.0.1:1"], &["[]:1"], "not a host and port"),
            (&["127.0.0.1:1"], &["a:b:1"], "not a host and port"),
            (&["0.0.0.0:1"], &[], "give --advertise HOST:PORT"),
            (&["[::]:1"], &[], "--listen [::]:1 stands for all"),
            (&["127.0.0.1:1"], &["0.0.0.0:1"], "--advertise 0.0.0.0:1 "),
            (&["127.0.0.1:1"], &["[::]:1"], "--advertise [::]:1 stands"),
            (
                &["in://127.0.0.1:1", "out://0.0.0.0:2"],
                &["in://a.test:1"],
                "--listen out://0.0.0.0:2 stands for all addresses of a machine, and is none that others could connect to: \
                 give --advertise out://HOST:PORT, where clients reach this agent",
            ),
        ] {
            let said = read(listen, advertise).unwrap_err();
            assert!(said.contains(part), "{said}");
        }
    }
}
