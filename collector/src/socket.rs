//! UDP sockets with batched system calls: many datagrams per `recvmmsg`, many replies per `sendmmsg`.
//!
//! Each datagram comes with the local address it was sent to (`IP_PKTINFO`), and its reply leaves from there: a NAS
//! ignores an answer from another address. The kernel's count of datagrams it dropped before we saw them
//! (`SO_RXQ_OVFL`) comes along. This is the one file of the collector with `unsafe` code: the kernel's structures are
//! filled by hand, because `nix` cannot give each message of a batch its own control data.

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::libc;
use socket2::{Domain, Protocol, Socket, Type};

use crate::packet::MAX_PACKET;

/// Most datagrams per system call.
pub const BATCH: usize = 64;
/// How long a receive waits before it returns empty-handed, so that its thread notices a shutdown.
const PATIENCE: Duration = Duration::from_millis(100);
/// Room for one packet-information and one drop-counter message.
const CONTROL: usize = 96;

/// Binds `address` with a receive buffer of `receive_buffer` octets, as far as the kernel allows.
///
/// # Errors
/// What the system says.
pub fn bind(address: SocketAddr, receive_buffer: usize) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    prepare(&socket, receive_buffer)?;
    Ok(socket.into())
}

/// Sets the options that [`Receiver`] relies on.
fn prepare(socket: &Socket, receive_buffer: usize) -> io::Result<()> {
    socket.set_read_timeout(Some(PATIENCE))?;
    // SO_RCVBUFFORCE needs CAP_NET_ADMIN and ignores the limit in net.core.rmem_max; without it, up to that limit.
    let wanted = libc::c_int::try_from(receive_buffer).unwrap_or(libc::c_int::MAX);
    if set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, wanted).is_err() {
        socket.set_recv_buffer_size(receive_buffer)?;
    }
    set_option(socket, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1)?;
    if socket.local_addr()?.is_ipv6() {
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)
    } else {
        set_option(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)
    }
}

fn set_option(socket: &Socket, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the pointer and length describe `value`, which outlives the call.
    let result =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// One datagram of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// Its octets, at most 4,096.
    pub bytes: &'a [u8],
    /// Who sent it.
    pub peer: SocketAddr,
    /// The address it was sent to.
    pub local: Option<IpAddr>,
    /// Whether it was longer than the buffer.
    pub cut: bool,
}

/// Buffers for one batch of incoming datagrams.
pub struct Receiver {
    buffers: Vec<[u8; MAX_PACKET]>,
    controls: Vec<Control>,
    peers: Vec<libc::sockaddr_storage>,
    lengths: Vec<(usize, bool, usize)>,
    kernel_drops: u32,
}

#[repr(align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL]);

impl Default for Receiver {
    fn default() -> Self {
        Self {
            buffers: vec![[0; MAX_PACKET]; BATCH],
            controls: vec![Control([0; CONTROL]); BATCH],
            // SAFETY: all zeros is a valid sockaddr_storage (AF_UNSPEC).
            peers: vec![unsafe { zeroed() }; BATCH],
            lengths: Vec::with_capacity(BATCH),
            kernel_drops: 0,
        }
    }
}

impl Receiver {
    /// Takes what has arrived, waiting a moment where nothing has; gives the number of datagrams.
    ///
    /// # Errors
    /// What the system says; running into the time-out is no error but zero datagrams.
    pub fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        let mut slices: [libc::iovec; BATCH] =
            std::array::from_fn(|_| libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 });
        // SAFETY: all zeros is a valid mmsghdr.
        let mut messages: [libc::mmsghdr; BATCH] = unsafe { zeroed() };
        let buffers = self.buffers.iter_mut().zip(&mut self.controls).zip(&mut self.peers);
        for (((buffer, control), peer), (slice, message)) in buffers.zip(slices.iter_mut().zip(&mut messages))
        {
            slice.iov_base = buffer.as_mut_ptr().cast();
            slice.iov_len = buffer.len();
            let header = &mut message.msg_hdr;
            header.msg_name = (&raw mut *peer).cast();
            header.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_iov = slice;
            header.msg_iovlen = 1;
            header.msg_control = control.0.as_mut_ptr().cast();
            header.msg_controllen = CONTROL;
        }
        self.lengths.clear();
        let flags = libc::MSG_WAITFORONE;
        // SAFETY: every pointer in `messages` leads to a buffer of the stated length that outlives the call.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                messages.as_mut_ptr(),
                BATCH as libc::c_uint,
                flags,
                std::ptr::null_mut(),
            )
        };
        if count < 0 {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::TimedOut => Ok(0),
                _ => Err(error),
            };
        }
        let count = usize::try_from(count).unwrap_or(0);
        self.lengths.extend(messages.iter().take(count).map(|message| {
            let cut = message.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
            (message.msg_len as usize, cut, message.msg_hdr.msg_controllen)
        }));
        Ok(count)
    }

    /// The datagrams of the last batch. Also notes the kernel's drop counter.
    pub fn datagrams(&mut self) -> impl Iterator<Item = Received<'_>> {
        let drops = &mut self.kernel_drops;
        let parts = self.buffers.iter().zip(&self.controls).zip(&self.peers).zip(&self.lengths);
        parts.filter_map(move |(((buffer, control), peer), &(length, cut, control_length))| {
            let (local, dropped) = read_control(control, control_length);
            *drops = dropped.unwrap_or(*drops);
            Some(Received { bytes: buffer.get(..length)?, peer: to_socket_addr(peer)?, local, cut })
        })
    }

    /// Datagrams the kernel has dropped on this socket since it was bound, modulo 2³².
    #[must_use]
    pub const fn kernel_drops(&self) -> u32 {
        self.kernel_drops
    }
}

fn read_control(control: &Control, length: usize) -> (Option<IpAddr>, Option<u32>) {
    // SAFETY: all zeros is a valid msghdr.
    let mut header: libc::msghdr = unsafe { zeroed() };
    header.msg_control = control.0.as_ptr().cast_mut().cast();
    header.msg_controllen = length.min(CONTROL);
    let (mut local, mut drops) = (None, None);
    // SAFETY: the kernel wrote `length` octets of control messages; the macros stay within them, and each payload is read
    // unaligned and only in its own type.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(&raw const header);
        while !message.is_null() {
            let data = libc::CMSG_DATA(message);
            match ((*message).cmsg_level, (*message).cmsg_type) {
                (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => drops = Some(data.cast::<u32>().read_unaligned()),
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    let info = data.cast::<libc::in_pktinfo>().read_unaligned();
                    local = Some(IpAddr::V4(Ipv4Addr::from(u32::from_be(info.ipi_spec_dst.s_addr))));
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    let info = data.cast::<libc::in6_pktinfo>().read_unaligned();
                    local = Some(IpAddr::V6(Ipv6Addr::from(info.ipi6_addr.s6_addr)));
                }
                _ => {}
            }
            message = libc::CMSG_NXTHDR(&raw const header, message);
        }
    }
    (local, drops)
}

/// A datagram to send.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// Its octets.
    pub bytes: &'a [u8],
    /// Where to.
    pub peer: SocketAddr,
    /// From which of our addresses; the kernel's choice where `None`.
    pub local: Option<IpAddr>,
}

/// Sends `datagrams`, up to [`BATCH`] per system call. Gives how many the kernel refused: UDP may lose replies, and a
/// NAS that misses one sends again.
pub fn send_all(socket: &UdpSocket, datagrams: &[Outgoing<'_>]) -> usize {
    datagrams.chunks(BATCH).map(|batch| send_batch(socket, batch)).sum()
}

fn send_batch(socket: &UdpSocket, batch: &[Outgoing<'_>]) -> usize {
    let mut controls = [Control([0; CONTROL]); BATCH];
    // SAFETY: all zeros is valid for these plain C structures.
    let (mut peers, mut messages): ([libc::sockaddr_storage; BATCH], [libc::mmsghdr; BATCH]) =
        unsafe { (zeroed(), zeroed()) };
    let mut slices: [libc::iovec; BATCH] =
        std::array::from_fn(|_| libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 });
    let slots = messages.iter_mut().zip(&mut peers).zip(&mut controls).zip(&mut slices);
    for (outgoing, (((message, peer), control), slice)) in batch.iter().zip(slots) {
        slice.iov_base = outgoing.bytes.as_ptr().cast_mut().cast();
        slice.iov_len = outgoing.bytes.len();
        let header = &mut message.msg_hdr;
        header.msg_namelen = write_socket_addr(outgoing.peer, peer);
        header.msg_name = (&raw mut *peer).cast();
        header.msg_iov = slice;
        header.msg_iovlen = 1;
        if let Some(local) = outgoing.local {
            header.msg_control = control.0.as_mut_ptr().cast();
            header.msg_controllen = CONTROL;
            header.msg_controllen = write_source(header, local);
        }
    }
    let mut refused = 0;
    let mut next = 0;
    while let Some(rest) = messages.get_mut(next..batch.len()).filter(|rest| !rest.is_empty()) {
        // SAFETY: every pointer in `rest` leads to memory of the stated length that outlives the call.
        let sent =
            unsafe { libc::sendmmsg(socket.as_raw_fd(), rest.as_mut_ptr(), rest.len() as libc::c_uint, 0) };
        if sent > 0 {
            next += usize::try_from(sent).unwrap_or(0);
        } else if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            // The first one was refused (for example: its peer is unreachable); the others may go.
            refused += 1;
            next += 1;
        }
    }
    refused
}

/// Writes one control message that names the source address; gives its length.
fn write_source(header: &mut libc::msghdr, local: IpAddr) -> usize {
    // SAFETY: the control buffer has room for either message (CONTROL octets), is aligned for cmsghdr, and payloads are
    // written unaligned in their own type.
    unsafe {
        let message = libc::CMSG_FIRSTHDR(header);
        if message.is_null() {
            return 0;
        }
        let write = |level, kind, size: usize| {
            (*message).cmsg_level = level;
            (*message).cmsg_type = kind;
            (*message).cmsg_len = libc::CMSG_LEN(size as libc::c_uint) as usize;
            libc::CMSG_SPACE(size as libc::c_uint) as usize
        };
        match local {
            IpAddr::V4(v4) => {
                let spec = libc::in_addr { s_addr: u32::from(v4).to_be() };
                let info = libc::in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: spec,
                    ipi_addr: libc::in_addr { s_addr: 0 },
                };
                let space = write(libc::IPPROTO_IP, libc::IP_PKTINFO, size_of::<libc::in_pktinfo>());
                libc::CMSG_DATA(message).cast::<libc::in_pktinfo>().write_unaligned(info);
                space
            }
            IpAddr::V6(v6) => {
                let info =
                    libc::in6_pktinfo { ipi6_addr: libc::in6_addr { s6_addr: v6.octets() }, ipi6_ifindex: 0 };
                let space = write(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, size_of::<libc::in6_pktinfo>());
                libc::CMSG_DATA(message).cast::<libc::in6_pktinfo>().write_unaligned(info);
                space
            }
        }
    }
}

fn to_socket_addr(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
    // SAFETY: the family says which structure the kernel wrote; sockaddr_storage is large enough and aligned for both.
    unsafe {
        match libc::c_int::from(storage.ss_family) {
            libc::AF_INET => {
                let v4 = &*(&raw const *storage).cast::<libc::sockaddr_in>();
                let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
                Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
            }
            libc::AF_INET6 => {
                let v6 = &*(&raw const *storage).cast::<libc::sockaddr_in6>();
                let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
                Some(
                    SocketAddrV6::new(ip, u16::from_be(v6.sin6_port), v6.sin6_flowinfo, v6.sin6_scope_id)
                        .into(),
                )
            }
            _ => None,
        }
    }
}

fn write_socket_addr(address: SocketAddr, storage: &mut libc::sockaddr_storage) -> libc::socklen_t {
    // SAFETY: sockaddr_storage is large enough and aligned for both structures, and all zeros is valid for them.
    unsafe {
        match address {
            SocketAddr::V4(v4) => {
                let out = &mut *(&raw mut *storage).cast::<libc::sockaddr_in>();
                out.sin_family = libc::AF_INET as libc::sa_family_t;
                out.sin_port = v4.port().to_be();
                out.sin_addr.s_addr = u32::from(*v4.ip()).to_be();
                size_of::<libc::sockaddr_in>() as libc::socklen_t
            }
            SocketAddr::V6(v6) => {
                let out = &mut *(&raw mut *storage).cast::<libc::sockaddr_in6>();
                out.sin6_family = libc::AF_INET6 as libc::sa_family_t;
                out.sin6_port = v6.port().to_be();
                out.sin6_addr.s6_addr = v6.ip().octets();
                out.sin6_flowinfo = v6.flowinfo();
                out.sin6_scope_id = v6.scope_id();
                size_of::<libc::sockaddr_in6>() as libc::socklen_t
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a socket bound to `wildcard` receives from a client that talks to `server_ip`, and where its reply comes from.
    fn exchange(wildcard: &str, server_ip: &str) {
        let server = bind(wildcard.parse().unwrap(), 1 << 20).unwrap();
        let server_ip: IpAddr = server_ip.parse().unwrap();
        let client = UdpSocket::bind((if server_ip.is_ipv4() { "127.0.0.1" } else { "::1" }, 0)).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let to = SocketAddr::new(server_ip, server.local_addr().unwrap().port());
        client.send_to(b"one", to).unwrap();
        client.send_to(&[7; 5000], to).unwrap();
        let mut receiver = Receiver::default();
        let mut seen = Vec::new();
        while seen.len() < 2 {
            receiver.receive(&server).unwrap();
            seen.extend(receiver.datagrams().map(|d| (d.bytes.to_vec(), d.peer, d.local, d.cut)));
        }
        let peer = client.local_addr().unwrap();
        assert_eq!(seen[0], (b"one".to_vec(), peer, Some(server_ip), false));
        assert_eq!((seen[1].0.len(), seen[1].3), (MAX_PACKET, true));
        assert_eq!(send_all(&server, &[Outgoing { bytes: b"two", peer, local: Some(server_ip) }]), 0);
        let mut answer = [0; 10];
        assert_eq!(client.recv_from(&mut answer).unwrap(), (3, to));
    }

    #[test]
    fn a_reply_leaves_from_the_address_the_request_came_to() {
        exchange("0.0.0.0:0", "127.0.0.2");
        exchange("[::]:0", "::1");
    }

    #[test]
    fn nothing_to_receive_is_no_error() {
        let server = bind("127.0.0.1:0".parse().unwrap(), 1 << 16).unwrap();
        assert_eq!(Receiver::default().receive(&server).unwrap(), 0);
    }
}
