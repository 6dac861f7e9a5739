//! Messages to the broker. Their type is visible to the broker's own files only, so it is included here.

#[allow(dead_code, unreachable_pub, reason = "the target needs a part of it")]
#[path = "../../src/inside/broker/message.rs"]
mod message;

use message::Message;

/// What is taken for a message is written as the bytes that were read.
pub(crate) fn target(data: &[u8]) {
    if let Some(message) = Message::from_bytes(data) {
        assert_eq!(message.to_bytes(), data);
    }
}
