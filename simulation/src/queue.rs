//! The queue of parked events, and its dead-letter queue.

use std::collections::VecDeque;

use crate::{Time, work::Kind};

/// Maximum number of messages in a batch; template.yaml, EventQueueMapping.
pub const BATCH: usize = 10;
/// Receives of a message until it is moved to the dead-letter queue; template.yaml, EventQueue.
pub const MOST_RECEIVES: u8 = 50;

/// A parked event. Kept small, since there can be millions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Number of the customer.
    pub customer: u32,
    /// Time of the first delivery, in milliseconds.
    pub arrived_ms: u32,
    /// The kind of event.
    pub kind: Kind,
    /// How often it was received.
    pub receives: u8,
}

impl Message {
    /// Time of the first delivery.
    pub fn arrived(&self) -> Time {
        u64::from(self.arrived_ms) * 1_000
    }
}

/// The queue.
#[derive(Debug, Default)]
pub struct Queue {
    visible: VecDeque<Message>,
    /// Received and not deleted, with the time at which they are visible again, in this order.
    hidden: VecDeque<(Time, Message)>,
    /// Number of messages in the dead-letter queue.
    pub dead_letters: u64,
    /// Maximum length so far.
    pub peak: usize,
}

impl Queue {
    /// Parks an event.
    pub fn park(&mut self, message: Message) {
        self.visible.push_back(message);
        self.peak = self.peak.max(self.len());
    }

    /// Number of visible and hidden messages.
    pub fn len(&self) -> usize {
        self.visible.len() + self.hidden.len()
    }

    /// Whether there are no visible or hidden messages.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The time at which the next hidden message is visible again.
    pub fn next_visible_at(&self) -> Option<Time> {
        self.hidden.front().map(|(at, _)| *at)
    }

    /// Receives a batch. Returns an empty one if no message is visible.
    pub fn receive(&mut self, now: Time) -> Vec<Message> {
        while self.hidden.front().is_some_and(|(at, _)| *at <= now) {
            self.visible.extend(self.hidden.pop_front().map(|(_, message)| message));
        }
        let mut batch = Vec::new();
        while batch.len() < BATCH {
            let Some(mut message) = self.visible.pop_front() else { break };
            if message.receives >= MOST_RECEIVES {
                self.dead_letters += 1;
                continue;
            }
            message.receives += 1;
            batch.push(message);
        }
        batch
    }

    /// Returns the failed messages of a batch to the queue. They are visible again at this time.
    pub fn give_back(&mut self, at: Time, messages: impl IntoIterator<Item = Message>) {
        // Batches end almost in order, so the position is near the end.
        let position = self.hidden.partition_point(|(other, _)| *other <= at);
        for (offset, message) in messages.into_iter().enumerate() {
            self.hidden.insert(position + offset, (at, message));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SECOND;

    fn message(customer: u32) -> Message {
        Message { customer, arrived_ms: 0, kind: Kind::List, receives: 0 }
    }

    #[test]
    fn a_batch_has_at_most_ten_messages() {
        let mut queue = Queue::default();
        (0..12).for_each(|n| queue.park(message(n)));
        assert_eq!((queue.receive(0).len(), queue.receive(0).len(), queue.receive(0).len()), (10, 2, 0));
        assert_eq!(queue.peak, 12);
    }

    #[test]
    fn a_failed_message_is_received_again_once_it_is_visible() {
        let mut queue = Queue::default();
        queue.park(message(1));
        let batch = queue.receive(0);
        queue.give_back(180 * SECOND, batch);
        assert_eq!(queue.next_visible_at(), Some(180 * SECOND));
        assert!(queue.receive(179 * SECOND).is_empty());
        assert_eq!(queue.receive(180 * SECOND).len(), 1);
        assert!(queue.is_empty());
    }

    #[test]
    fn a_message_is_dead_lettered_after_fifty_receives() {
        let mut queue = Queue::default();
        queue.park(message(1));
        let mut receives = 0;
        for n in 0..100 {
            let now = n * 180 * SECOND;
            let batch = queue.receive(now);
            receives += batch.len();
            queue.give_back(now + 180 * SECOND, batch);
        }
        assert_eq!((receives, queue.dead_letters, queue.len()), (50, 1, 0));
    }

    #[test]
    fn messages_become_visible_in_order_of_time() {
        let mut queue = Queue::default();
        queue.give_back(2 * SECOND, [message(2)]);
        queue.give_back(SECOND, [message(1)]);
        assert_eq!(queue.receive(1_000 * SECOND).iter().map(|message| message.customer).collect::<Vec<_>>(), [1, 2]);
    }
}
