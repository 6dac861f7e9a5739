//! The XML that libvirt writes to the hook: read up to a bound, and known at once to name pinshim or not.

use std::io::{self, Read};

/// More of a domain's XML is not kept. libvirt takes at most 4 MiB over its socket
/// (VIR_NET_MESSAGE_STRING_MAX in its src/rpc/virnetprotocol.x), and indents what it writes.
pub(crate) const XML_BYTES: usize = 8 << 20;

/// How every namespace of pinshim's begins. libvirt writes a domain's metadata without character references.
const OURS: &[u8] = b"urn:pinshim";

/// The XML of a domain, as libvirt wrote it.
#[derive(Debug)]
pub(crate) struct XmlInput {
    /// Its beginning, of at most [`XML_BYTES`].
    pub(crate) bytes: Vec<u8>,
    /// Whether there was more.
    pub(crate) is_cut: bool,
    /// Whether a namespace of pinshim's stands anywhere in it: without one there is no placement.
    pub(crate) names_pinshim: bool,
}

impl XmlInput {
    /// Reads a stream to its end.
    pub(crate) fn read(stream: &mut dyn Read) -> io::Result<Self> {
        let mut input = Self { bytes: Vec::new(), is_cut: false, names_pinshim: false };
        let mut chunk = vec![0; 64 << 10];
        // The end of what was read before, since a name may lie across two chunks.
        let mut seam: Vec<u8> = Vec::new();
        loop {
            let read = match stream.read(&mut chunk) {
                Ok(0) => return Ok(input),
                Ok(read) => chunk.get(..read).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            seam.extend_from_slice(read);
            input.names_pinshim |= seam.windows(OURS.len()).any(|part| part.eq_ignore_ascii_case(OURS));
            seam.drain(..seam.len().saturating_sub(OURS.len() - 1));
            let room = XML_BYTES - input.bytes.len();
            input.is_cut |= read.len() > room;
            input.bytes.extend_from_slice(read.get(..room).unwrap_or(read));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream that gives so many bytes at a time.
    struct Slowly<'a>(&'a [u8], usize);

    impl Read for Slowly<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let bytes = self.1.min(self.0.len());
            into[..bytes].copy_from_slice(&self.0[..bytes]);
            self.0 = &self.0[bytes..];
            Ok(bytes)
        }
    }

    #[test]
    fn pinshims_namespace_is_found_wherever_a_chunk_ends() {
        let text = b"<domain xmlns:p='URN:pinshim:domain:1'/>";
        for bytes in 1..=text.len() {
            let input = XmlInput::read(&mut Slowly(text, bytes)).unwrap();
            assert!(input.names_pinshim && !input.is_cut && input.bytes == text, "{bytes}");
        }
        let input = XmlInput::read(&mut Slowly(b"<domain xmlns:p='urn:pinshin'/>", 5)).unwrap();
        assert!(!input.names_pinshim);
    }

    #[test]
    fn what_is_too_long_is_cut_and_searched_to_its_end() {
        let mut text = vec![b' '; XML_BYTES];
        let input = XmlInput::read(&mut text.as_slice()).unwrap();
        assert!(!input.is_cut && !input.names_pinshim && input.bytes.len() == XML_BYTES);
        text.extend_from_slice(OURS);
        let input = XmlInput::read(&mut text.as_slice()).unwrap();
        assert!(input.is_cut && input.names_pinshim && input.bytes.len() == XML_BYTES);
    }
}
