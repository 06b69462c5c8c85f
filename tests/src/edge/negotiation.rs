//! Which versions of QUIC the edge offers to who asks for another one.

/// What is no QUIC.
pub(super) const GARBAGE: &[u8] = b"no such service\n";
/// A server answers nothing shorter (RFC 9000 §6.1, §14.1).
const SHORTEST: usize = 1200;
/// The longest connection id that a version of QUIC may have in a long header that is read without knowing the version
/// is 255 (RFC 8999 §5.1); here that of versions 1 and 2.
const LONGEST_ID: usize = 20;
/// What is offered: 1 (RFC 9000) and 2 (RFC 9369).
const VERSIONS: [u32; 2] = [1, 0x6b33_43cf];

/// The Version Negotiation packet that answers a datagram (RFC 9000 §17.2.1); `None` if the datagram does not call for
/// one.
pub(super) fn negotiate(datagram: &[u8]) -> Option<Vec<u8>> {
    let (form, rest) = datagram.split_first()?;
    let (version, rest) = rest.split_first_chunk::<4>()?;
    let (destination, rest) = id(rest)?;
    let (source, _) = id(rest)?;
    let version = u32::from_be_bytes(*version);
    if form & 0x80 == 0 || version == 0 || VERSIONS.contains(&version) || datagram.len() < SHORTEST {
        return None;
    }
    // All bits of the first byte but the form are arbitrary.
    let mut packet = vec![0x80 | form & 0x2a];
    packet.extend(0u32.to_be_bytes());
    for id in [source, destination] {
        packet.push(id.len() as u8);
        packet.extend(id);
    }
    packet.extend(VERSIONS.iter().flat_map(|version| version.to_be_bytes()));
    Some(packet)
}

fn id(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    let length = usize::from(*length);
    (length <= LONGEST_ID).then(|| rest.split_at_checked(length))?
}
