//! The address of a model server: `proxy` of a model or a peer.

use super::marks;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub is_tls: bool,
    pub host: String,
    pub port: Port,
    /// Begins with `/` where it is not empty, and does not end with it.
    pub path: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Port {
    Fixed(u16),
    /// `${PORT}`
    Free,
}

impl Address {
    /// Reads `http://HOST:PORT/path`.
    ///
    /// # Errors
    /// The mistake in words.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let shown = || majordomo::quoted(&marks::shown(text)).to_string();
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| format!("{} is no URL; write http://HOST:PORT", shown()))?;
        let is_tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(format!("{} is not an http:// URL", shown())),
        };
        let (authority, path) = match rest.find(['/', '?', '#']) {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port),
            _ => (authority, ""),
        };
        let port = match port {
            "" if is_tls => Port::Fixed(443),
            "" => Port::Fixed(80),
            port if port.chars().eq([marks::PORT]) => Port::Free,
            port => match port.parse() {
                Ok(port) if port > 0 => Port::Fixed(port),
                _ => return Err(format!("{} has no port within 1 and 65535", shown())),
            },
        };
        let path = path.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
        if host.is_empty() || host.contains(char::is_whitespace) {
            return Err(format!("{} has no host", shown()));
        }
        Ok(Self { is_tls, host: host.to_owned(), port, path: path.to_owned() })
    }

    /// Whether a program of this machine listens there.
    pub(super) fn is_local(&self) -> bool {
        let host = self.host.trim_matches(['[', ']']).to_ascii_lowercase();
        let ip = host.parse::<std::net::IpAddr>();
        host == "localhost"
            || host.ends_with(".localhost")
            || ip.is_ok_and(|ip| ip.is_loopback() || ip.is_unspecified())
    }

    /// Whether the manager reaches a program there, too: it connects to 127.0.0.1 and ::1.
    pub(super) fn is_reached(&self) -> bool {
        let host = self.host.trim_matches(['[', ']']).to_ascii_lowercase();
        host.ends_with("localhost")
            || ["127.0.0.1", "::1", "0.0.0.0", "::"].contains(&host.as_str())
    }

    /// The path of a request to the server.
    pub(super) fn request(&self, path: &str) -> String {
        format!("{}/{}", self.path, path.trim_start_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let read = |text: &str| Address::parse(&text.replace("${PORT}", &marks::PORT.to_string()));
        let local = read("http://localhost:${PORT}").unwrap();
        assert_eq!((local.port, local.is_local(), local.path.as_str()), (Port::Free, true, ""));
        let far = read("https://user@example.org/api/").unwrap();
        assert_eq!(
            (far.port, far.is_local(), far.path.as_str()),
            (Port::Fixed(443), false, "/api")
        );
        assert_eq!(far.request("health"), "/api/health");
        assert!(read("http://[::1]:80").unwrap().is_local());
        assert!(read("http://0.0.0.0:8080/").unwrap().is_local());
        assert!(read("http://127.0.0.2:1").unwrap().is_local());
        assert!(!read("http://127.0.0.2:1").unwrap().is_reached());
        assert!(read("http://[::1]:80").unwrap().is_reached());
        assert!(!read("http://192.168.0.3:8080").unwrap().is_local());
        for bad in [
            "",
            "localhost:80",
            "ftp://a:1",
            "http://a:0",
            "http://:80",
            "http://a:99999",
            "http://a:${PORT}1",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
