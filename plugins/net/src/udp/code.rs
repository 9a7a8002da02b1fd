//! Node's names for the system's errors, and what to do about those that a person can do something about.

use dunlin_engine::CallError;
use rustix::io::Errno;
use std::io;
use std::net::SocketAddr;

/// The name that Node gives this error, and so web developers know: `EADDRINUSE`. `EIO` for what has none.
pub(crate) fn code(error: &io::Error) -> &'static str {
    const NAMES: [(Errno, &str); 27] = [
        (Errno::ACCESS, "EACCES"),
        (Errno::ADDRINUSE, "EADDRINUSE"),
        (Errno::ADDRNOTAVAIL, "EADDRNOTAVAIL"),
        (Errno::AFNOSUPPORT, "EAFNOSUPPORT"),
        (Errno::AGAIN, "EAGAIN"),
        (Errno::BADF, "EBADF"),
        (Errno::CONNREFUSED, "ECONNREFUSED"),
        (Errno::CONNRESET, "ECONNRESET"),
        (Errno::DESTADDRREQ, "EDESTADDRREQ"),
        (Errno::HOSTUNREACH, "EHOSTUNREACH"),
        (Errno::INVAL, "EINVAL"),
        (Errno::ISCONN, "EISCONN"),
        (Errno::MFILE, "EMFILE"),
        (Errno::MSGSIZE, "EMSGSIZE"),
        (Errno::NETDOWN, "ENETDOWN"),
        (Errno::NETUNREACH, "ENETUNREACH"),
        (Errno::NFILE, "ENFILE"),
        (Errno::NOBUFS, "ENOBUFS"),
        (Errno::NODEV, "ENODEV"),
        (Errno::NOMEM, "ENOMEM"),
        (Errno::NOPROTOOPT, "ENOPROTOOPT"),
        (Errno::NOTCONN, "ENOTCONN"),
        (Errno::NXIO, "ENXIO"),
        (Errno::OPNOTSUPP, "ENOTSUP"),
        (Errno::PERM, "EPERM"),
        (Errno::PROTONOSUPPORT, "EPROTONOSUPPORT"),
        (Errno::TIMEDOUT, "ETIMEDOUT"),
    ];
    let number = error.raw_os_error();
    NAMES
        .iter()
        .find(|(errno, _)| Some(errno.raw_os_error()) == number)
        .map_or("EIO", |(_, name)| name)
}

/// The error of a call that did `what`: Node's code, and a sentence that ends with the code.
pub(crate) fn call_error(what: &str, error: &io::Error) -> CallError {
    let code = code(error);
    CallError::new(code, format!("{what}: {} ({code})", said(error)))
}

/// Why `address` could not be bound, and what to do about it.
pub(crate) fn bind_advice(address: SocketAddr, error: &io::Error) -> String {
    let port = address.port();
    let advice = match code(error) {
        "EADDRINUSE" => format!(
            "another program, or another copy of this one, has UDP port {port} there: end it (ss -lunp shows which), or choose another \
             port (0 lets the system choose)"
        ),
        "EACCES" | "EPERM" if port != 0 && port < 1024 => format!(
            "ports under 1024 are the system's own: choose one above 1023, or grant the program CAP_NET_BIND_SERVICE to use {port}"
        ),
        "EACCES" | "EPERM" => {
            "this system's rules forbid it: look at its sandbox or security module".to_owned()
        }
        "EADDRNOTAVAIL" => {
            let any = if address.is_ipv4() { "0.0.0.0" } else { "::" };
            format!(
                "no interface of this machine has that address: choose one that `ip address` shows, or {any} for all of them"
            )
        }
        "EAFNOSUPPORT" => "this machine has no IPv6: choose an IPv4 address".to_owned(),
        "EINVAL" if address.is_ipv6() => {
            "a link-local address needs its interface, as in fe80::1%eth0".to_owned()
        }
        "EMFILE" | "ENFILE" => {
            "too many files are open: close some, or raise the limit (ulimit -n)".to_owned()
        }
        _ => "choose another address".to_owned(),
    };
    format!(
        "cannot listen on UDP {address}: {} ({}); {advice}",
        said(error),
        code(error)
    )
}

/// The system's sentence without Rust's " (os error 98)": the code says that better.
fn said(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_names_that_node_gives_them() {
        let in_use = io::Error::from(Errno::ADDRINUSE);
        assert_eq!(code(&in_use), "EADDRINUSE");
        assert_eq!(code(&io::Error::other("odd")), "EIO");
        assert_eq!(
            call_error("udp.bind 127.0.0.1:53", &in_use).message,
            "udp.bind 127.0.0.1:53: Address already in use (EADDRINUSE)"
        );
    }

    #[test]
    fn what_cannot_be_bound_is_named_with_what_to_do() {
        let advice = |address: &str, errno: Errno| {
            bind_advice(
                address.parse().expect("an address"),
                &io::Error::from(errno),
            )
        };
        assert!(advice("127.0.0.1:4077", Errno::ADDRINUSE).contains("127.0.0.1:4077"));
        assert!(advice("127.0.0.1:4077", Errno::ADDRINUSE).contains("choose another port"));
        assert!(advice("127.0.0.1:53", Errno::ACCESS).contains("CAP_NET_BIND_SERVICE"));
        assert!(advice("[2001:db8::1]:9", Errno::ADDRNOTAVAIL).contains(":: for all of them"));
        assert!(advice("[fe80::1]:9", Errno::INVAL).contains("fe80::1%eth0"));
    }
}
