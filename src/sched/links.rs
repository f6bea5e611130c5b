//! Intrusive FIFO queues: the link to the next packet lies in the packet itself, so that a queue
//! of any length costs two words and no allocation.
//!
//! One of the two rooms with `unsafe`: a link is a handle that the type system no longer sees.
//! [`Queue`] keeps the invariant: every link in it stands for exactly one owned packet.

#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::NonNull;

/// A packet given up by its handle: an address that only its queue may turn back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Link(NonNull<()>);

impl Link {
    /// A link to what lies at `address`.
    pub fn new<T>(address: NonNull<T>) -> Self {
        Self(address.cast())
    }

    /// The address it was made from.
    pub fn address<T>(self) -> NonNull<T> {
        self.0.cast()
    }
}

/// A handle that can be turned into a [`Link`] and back.
///
/// # Safety
/// `into_link` gives up ownership without freeing; `from_link` of that link gives it back, once.
/// `next` points into the packet, is valid as long as the packet lives, and nothing but the queue
/// that holds the link writes there.
pub unsafe trait Linked: Sized {
    /// Gives up the handle.
    fn into_link(self) -> Link;

    /// Takes the packet back.
    ///
    /// # Safety
    /// `link` came from `into_link` of this type and has not been taken back since.
    unsafe fn from_link(link: Link) -> Self;

    /// Where the packet keeps the link to the one behind it.
    ///
    /// # Safety
    /// As for `from_link`.
    unsafe fn next(link: Link) -> NonNull<Option<Link>>;
}

/// Something on the heap that keeps a link in itself, so that its box is [`Linked`].
pub trait Node {
    /// The link to the one behind it.
    fn link_mut(&mut self) -> &mut Option<Link>;
}

// SAFETY: `Box::into_raw` and `from_raw` are each other's inverse, and `Node` hands out a place in
// the heap value, which does not move while the box is given up.
unsafe impl<T: Node> Linked for Box<T> {
    fn into_link(self) -> Link {
        // SAFETY: a box is never null.
        Link::new(unsafe { NonNull::new_unchecked(Box::into_raw(self)) })
    }

    unsafe fn from_link(link: Link) -> Self {
        // SAFETY: the caller says that the link came from `into_link` and is taken back once.
        unsafe { Box::from_raw(link.address().as_ptr()) }
    }

    unsafe fn next(link: Link) -> NonNull<Option<Link>> {
        // SAFETY: the link stands for a live value that only the caller's queue reaches.
        let node = unsafe { link.address::<T>().as_mut() };
        NonNull::from(node.link_mut())
    }
}

/// A FIFO of packets, two words long. Unbounded by itself: its user holds the bound.
#[derive(Debug)]
pub struct Queue<P: Linked> {
    head: Option<Link>,
    tail: Option<Link>,
    owns: PhantomData<P>,
}

// SAFETY: a queue owns its packets, so it may go where they may go.
unsafe impl<P: Linked + Send> Send for Queue<P> {}

impl<P: Linked> Default for Queue<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: Linked> Queue<P> {
    /// An empty queue.
    pub const fn new() -> Self {
        Self { head: None, tail: None, owns: PhantomData }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.head.is_none()
    }

    /// Puts `packet` behind the last one.
    pub fn push_back(&mut self, packet: P) {
        let link = packet.into_link();
        // SAFETY: the queue owns `link` from here on.
        unsafe { P::next(link).write(None) };
        match self.tail {
            // SAFETY: the tail is owned by this queue.
            Some(tail) => unsafe { P::next(tail).write(Some(link)) },
            None => self.head = Some(link),
        }
        self.tail = Some(link);
    }

    /// Takes the first packet out.
    pub fn pop_front(&mut self) -> Option<P> {
        let link = self.head?;
        // SAFETY: the head is owned by this queue.
        self.head = unsafe { P::next(link).read() };
        if self.head.is_none() {
            self.tail = None;
        }
        // SAFETY: the link came from `push_back` and has just left the queue.
        Some(unsafe { P::from_link(link) })
    }

    /// Looks at the first packet.
    pub fn front(&self) -> Option<Front<'_, P>> {
        let link = self.head?;
        // SAFETY: the head is owned by this queue, which stays borrowed; `Front` never drops it.
        let packet = ManuallyDrop::new(unsafe { P::from_link(link) });
        Some(Front { packet, queue: PhantomData })
    }

    /// Moves all packets of `other` behind the last one, in order.
    pub fn append(&mut self, other: &mut Self) {
        let Some(head) = other.head.take() else {
            return;
        };
        match self.tail {
            // SAFETY: the tail is owned by this queue.
            Some(tail) => unsafe { P::next(tail).write(Some(head)) },
            None => self.head = Some(head),
        }
        self.tail = other.tail.take();
    }
}

impl<P: Linked> Drop for Queue<P> {
    fn drop(&mut self) {
        while self.pop_front().is_some() {}
    }
}

/// The first packet of a queue, borrowed.
#[derive(Debug)]
pub struct Front<'a, P: Linked> {
    packet: ManuallyDrop<P>,
    queue: PhantomData<&'a P>,
}

impl<P: Linked> Deref for Front<'_, P> {
    type Target = P;

    fn deref(&self) -> &P {
        &self.packet
    }
}

#[cfg(test)]
mod tests;
