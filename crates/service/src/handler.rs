//! Handlers of every kind behind one face each: the place where their futures are boxed, once a call.

use std::future::Future;
use std::pin::Pin;

use headwater_event::Event;

use crate::failure::Failure;
use crate::timers::Timer;
use crate::tx::Tx;

/// What a call of a handler is. It needn't cross threads: it runs where its transaction is.
pub(crate) type Call<'a> = Pin<Box<dyn Future<Output = Result<(), Failure>> + 'a>>;

/// A function over events.
pub(crate) trait Handler: Send + Sync {
    fn call<'a, 'b: 'a>(&'a self, tx: &'a mut Tx<'b>, event: &'a Event) -> Call<'a>;
}

impl<H> Handler for H
where
    H: AsyncFn(&mut Tx<'_>, &Event) -> Result<(), Failure> + Send + Sync,
{
    fn call<'a, 'b: 'a>(&'a self, tx: &'a mut Tx<'b>, event: &'a Event) -> Call<'a> {
        Box::pin(self(tx, event))
    }
}

/// A function over timers.
pub(crate) trait TimerHandler: Send + Sync {
    fn call<'a, 'b: 'a>(&'a self, tx: &'a mut Tx<'b>, timer: &'a Timer) -> Call<'a>;
}

impl<H> TimerHandler for H
where
    H: AsyncFn(&mut Tx<'_>, &Timer) -> Result<(), Failure> + Send + Sync,
{
    fn call<'a, 'b: 'a>(&'a self, tx: &'a mut Tx<'b>, timer: &'a Timer) -> Call<'a> {
        Box::pin(self(tx, timer))
    }
}

/// A function that fills an empty store.
pub(crate) trait Seed: Send + Sync {
    fn call<'a, 'b: 'a>(&'a self, tx: &'a mut Tx<'b>) -> Call<'a>;
}

impl<H> Seed for H
where
    H: AsyncFn(&mut Tx<'_>) -> Result<(), Failure> + Send + Sync,
{
    fn call<'a, 'b: 'a>(&'a self, tx: &'a mut Tx<'b>) -> Call<'a> {
        Box::pin(self(tx))
    }
}
