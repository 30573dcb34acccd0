//! The queue of parked events, and its dead-letter queue.

use std::collections::VecDeque;

use crate::{Time, work::Kind};

/// The most messages of a batch; template.yaml, EventQueueMapping.
pub const BATCH: usize = 10;
/// How often a message is received before it is a dead letter; template.yaml, EventQueue.
pub const MOST_RECEIVES: u8 = 50;

/// An event that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Whose event it is.
    pub customer: u32,
    /// When it was first delivered, in milliseconds.
    pub first: u32,
    /// What it is.
    pub kind: Kind,
    /// How often it was received.
    pub receives: u8,
}

/// The queue.
#[derive(Debug, Default)]
pub struct Queue {
    visible: VecDeque<Message>,
    /// Received and not deleted, the first to come again first.
    hidden: VecDeque<(Time, Message)>,
    /// Messages in the dead-letter queue.
    pub dead: u64,
    /// The most that waited at once.
    pub most: usize,
}

impl Queue {
    /// Parks an event.
    pub fn park(&mut self, message: Message) {
        self.visible.push_back(message);
        self.most = self.most.max(self.len());
    }

    /// How many wait, those that were received and failed included.
    pub fn len(&self) -> usize {
        self.visible.len() + self.hidden.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// When the next message comes again, if none is visible now.
    pub fn next(&self) -> Option<Time> {
        self.hidden.front().map(|(at, _)| *at)
    }

    /// Receives a batch. Empty if none is visible.
    pub fn receive(&mut self, now: Time) -> Vec<Message> {
        while self.hidden.front().is_some_and(|(at, _)| *at <= now) {
            self.visible.extend(self.hidden.pop_front().map(|(_, message)| message));
        }
        let mut batch = Vec::new();
        while batch.len() < BATCH {
            let Some(mut message) = self.visible.pop_front() else { break };
            if message.receives >= MOST_RECEIVES {
                self.dead += 1;
                continue;
            }
            message.receives += 1;
            batch.push(message);
        }
        batch
    }

    /// Gives back what a batch did not apply. It is visible again at this moment.
    pub fn give_back(&mut self, at: Time, messages: impl IntoIterator<Item = Message>) {
        // Batches end out of order by seconds at most.
        let place = self.hidden.partition_point(|(other, _)| *other <= at);
        for (offset, message) in messages.into_iter().enumerate() {
            self.hidden.insert(place + offset, (at, message));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SECOND;

    fn message(customer: u32) -> Message {
        Message { customer, first: 0, kind: Kind::List, receives: 0 }
    }

    #[test]
    fn a_batch_holds_ten_messages_and_the_rest_waits() {
        let mut queue = Queue::default();
        (0..12).for_each(|n| queue.park(message(n)));
        assert_eq!((queue.receive(0).len(), queue.receive(0).len(), queue.receive(0).len()), (10, 2, 0));
        assert_eq!(queue.most, 12);
    }

    #[test]
    fn a_message_that_fails_comes_again_when_it_is_visible() {
        let mut queue = Queue::default();
        queue.park(message(1));
        let batch = queue.receive(0);
        queue.give_back(180 * SECOND, batch);
        assert_eq!(queue.next(), Some(180 * SECOND));
        assert!(queue.receive(179 * SECOND).is_empty());
        assert_eq!(queue.receive(180 * SECOND).len(), 1);
        assert!(queue.is_empty());
    }

    #[test]
    fn a_message_is_a_dead_letter_after_fifty_receives() {
        let mut queue = Queue::default();
        queue.park(message(1));
        let mut receives = 0;
        for n in 0..100 {
            let now = n * 180 * SECOND;
            let batch = queue.receive(now);
            receives += batch.len();
            queue.give_back(now + 180 * SECOND, batch);
        }
        assert_eq!((receives, queue.dead, queue.len()), (50, 1, 0));
    }

    #[test]
    fn messages_come_again_in_the_order_of_their_time() {
        let mut queue = Queue::default();
        queue.give_back(2 * SECOND, [message(2)]);
        queue.give_back(SECOND, [message(1)]);
        assert_eq!(queue.receive(1_000 * SECOND).iter().map(|message| message.customer).collect::<Vec<_>>(), [1, 2]);
    }
}
