//! Words for enumerated values, from RFCs and IANA's registry. Those of Acct-Status-Type and Acct-Terminate-Cause are with
//! their types, [`StatusType`] and [`TerminateCause`].

use crate::{StatusType, TerminateCause};

pub(super) fn status_type(value: u32) -> Option<&'static str> {
    StatusType(value).name()
}

pub(super) fn terminate_cause(value: u32) -> Option<&'static str> {
    TerminateCause(value).name()
}

/// Acct-Authentic (RFC 2866 5.6).
pub(super) fn acct_authentic(value: u32) -> Option<&'static str> {
    Some(match value {
        1 => "RADIUS",
        2 => "Local",
        3 => "Remote",
        4 => "Diameter",
        _ => return None,
    })
}

/// Service-Type (RFC 2865 5.6, RFC 5607).
pub(super) fn service_type(value: u32) -> Option<&'static str> {
    Some(match value {
        1 => "Login-User",
        2 => "Framed-User",
        3 => "Callback-Login-User",
        4 => "Callback-Framed-User",
        5 => "Outbound-User",
        6 => "Administrative-User",
        7 => "NAS-Prompt-User",
        8 => "Authenticate-Only",
        9 => "Callback-NAS-Prompt",
        10 => "Call-Check",
        11 => "Callback-Administrative",
        12 => "Voice",
        13 => "Fax",
        14 => "Modem-Relay",
        15 => "IAPP-Register",
        16 => "IAPP-AP-Check",
        17 => "Authorize-Only",
        18 => "Framed-Management",
        _ => return None,
    })
}

/// Framed-Protocol (RFC 2865 5.7).
pub(super) fn framed_protocol(value: u32) -> Option<&'static str> {
    Some(match value {
        1 => "PPP",
        2 => "SLIP",
        3 => "ARAP",
        4 => "Gandalf-SLML",
        5 => "Xylogics-IPX-SLIP",
        6 => "X.75-Synchronous",
        7 => "GPRS-PDP-Context",
        9 => "PPTP",
        _ => return None,
    })
}

/// Termination-Action (RFC 2865 5.29).
pub(super) fn termination_action(value: u32) -> Option<&'static str> {
    Some(match value {
        0 => "Default",
        1 => "RADIUS-Request",
        _ => return None,
    })
}

/// NAS-Port-Type (RFC 2865 5.41, RFC 4603).
pub(super) fn nas_port_type(value: u32) -> Option<&'static str> {
    Some(match value {
        0 => "Async",
        1 => "Sync",
        2 => "ISDN",
        3 => "ISDN-V120",
        4 => "ISDN-V110",
        5 => "Virtual",
        6 => "PIAFS",
        7 => "HDLC-Clear-Channel",
        8 => "X.25",
        9 => "X.75",
        10 => "G.3-Fax",
        11 => "SDSL",
        12 => "ADSL-CAP",
        13 => "ADSL-DMT",
        14 => "IDSL",
        15 => "Ethernet",
        16 => "xDSL",
        17 => "Cable",
        18 => "Wireless-Other",
        19 => "Wireless-802.11",
        20 => "Token-Ring",
        21 => "FDDI",
        22 => "Wireless-CDMA2000",
        23 => "Wireless-UMTS",
        24 => "Wireless-1X-EV",
        25 => "IAPP",
        26 => "FTTP",
        27 => "Wireless-802.16",
        28 => "Wireless-802.20",
        29 => "Wireless-802.22",
        30 => "PPPoA",
        31 => "PPPoEoA",
        32 => "PPPoEoE",
        33 => "PPPoEoVLAN",
        34 => "PPPoEoQinQ",
        35 => "xPON",
        36 => "Wireless-XGP",
        _ => return None,
    })
}

/// Tunnel-Type (RFC 2868 3.1, RFC 3580 3.31).
pub(super) fn tunnel_type(value: u32) -> Option<&'static str> {
    Some(match value {
        1 => "PPTP",
        2 => "L2F",
        3 => "L2TP",
        4 => "ATMP",
        5 => "VTP",
        6 => "AH",
        7 => "IP",
        8 => "MIN-IP",
        9 => "ESP",
        10 => "GRE",
        11 => "DVS",
        12 => "IP-in-IP",
        13 => "VLAN",
        _ => return None,
    })
}

/// Tunnel-Medium-Type (RFC 2868 3.2).
pub(super) fn tunnel_medium_type(value: u32) -> Option<&'static str> {
    Some(match value {
        1 => "IPv4",
        2 => "IPv6",
        3 => "NSAP",
        4 => "HDLC",
        5 => "BBN-1822",
        6 => "IEEE-802",
        7 => "E.163",
        8 => "E.164",
        9 => "F.69",
        10 => "X.121",
        11 => "IPX",
        12 => "Appletalk",
        13 => "DecNet-IV",
        14 => "Banyan-Vines",
        15 => "E.164-NSAP",
        _ => return None,
    })
}

/// Error-Cause (RFC 5176 3.5).
pub(super) fn error_cause(value: u32) -> Option<&'static str> {
    Some(match value {
        201 => "Residual-Context-Removed",
        202 => "Invalid-EAP-Packet",
        401 => "Unsupported-Attribute",
        402 => "Missing-Attribute",
        403 => "NAS-Identification-Mismatch",
        404 => "Invalid-Request",
        405 => "Unsupported-Service",
        406 => "Unsupported-Extension",
        407 => "Invalid-Attribute-Value",
        501 => "Administratively-Prohibited",
        502 => "Proxy-Request-Not-Routable",
        503 => "Session-Context-Not-Found",
        504 => "Session-Context-Not-Removable",
        505 => "Proxy-Processing-Error",
        506 => "Resources-Unavailable",
        507 => "Request-Initiated",
        508 => "Multiple-Session-Selection-Unsupported",
        _ => return None,
    })
}
