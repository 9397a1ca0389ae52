//! Futures: pending until the network thread completes them, once; then whoever waits is called back.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::errors;
use crate::store::Row;

type Callback = unsafe extern "C" fn(*mut Future, *mut c_void);

/// What `FDBFuture*` points to; each such pointer owns one count of an `Arc`.
pub(crate) struct Future(Mutex<State>);

enum State {
    Pending(Option<Waiter>),
    /// Never changes any more, so pointers into it are good until the future is destroyed.
    Ready(Result<Value, i32>),
}

/// Called once, when the future becomes ready.
struct Waiter {
    callback: Callback,
    parameter: *mut c_void,
}

// SAFETY: the C interface says that the callback may be called, with its parameter, on any thread.
unsafe impl Send for Waiter {}

/// What an operation yields.
pub(crate) enum Value {
    Nothing,
    Version(i64),
    /// Of a key; `None` if it has none.
    Found(Option<Vec<u8>>),
    Rows(Rows),
}

/// A page of a range, and the same as C sees it.
pub(crate) struct Rows {
    raw: Vec<KeyValue>,
    more: bool,
    /// What `raw` points to.
    _rows: Vec<Row>,
}

/// `FDBKeyValue`, with its odd packing.
#[repr(C, packed(4))]
struct KeyValue {
    key: *const u8,
    key_length: c_int,
    value: *const u8,
    value_length: c_int,
}

// SAFETY: the pointers lead into `Rows::_rows`, which nothing changes and which goes wherever they go.
unsafe impl Send for KeyValue {}

/// Lengths are bounded by the limits of keys and values.
pub(crate) fn length(bytes: &[u8]) -> c_int {
    c_int::try_from(bytes.len()).unwrap_or(c_int::MAX)
}

impl Rows {
    pub(crate) fn new(rows: Vec<Row>, more: bool) -> Self {
        let raw = rows.iter().map(|(key, value)| KeyValue {
            key: key.as_ptr(),
            key_length: length(key),
            value: value.as_ptr(),
            value_length: length(value),
        });
        Self {
            raw: raw.collect(),
            more,
            _rows: rows,
        }
    }
}

impl Future {
    pub(crate) fn pending() -> Arc<Self> {
        Arc::new(Self(Mutex::new(State::Pending(None))))
    }

    /// The pointer that C gets, with a count of its own.
    pub(crate) fn pointer(this: &Arc<Self>) -> *mut Self {
        Arc::into_raw(Arc::clone(this)).cast_mut()
    }

    /// The first result counts: a future that was destroyed has one already.
    pub(crate) fn complete(self: &Arc<Self>, result: Result<Value, i32>) {
        let waiter = {
            let mut state = self.0.lock();
            let State::Pending(waiter) = &mut *state else {
                return;
            };
            let waiter = waiter.take();
            *state = State::Ready(result);
            waiter
        };
        if let Some(waiter) = waiter {
            self.call(&waiter);
        }
    }

    pub(crate) fn fail(self: &Arc<Self>, code: i32) {
        self.complete(Err(code));
    }

    fn call(self: &Arc<Self>, waiter: &Waiter) {
        let this = Arc::as_ptr(self).cast_mut();
        // SAFETY: whoever set the callback promised that it takes this parameter, once; the future outlives the call.
        unsafe { (waiter.callback)(this, waiter.parameter) }
    }

    fn read(&self, read: impl FnOnce(&Value) -> c_int) -> c_int {
        match &*self.0.lock() {
            State::Pending(_) => errors::FUTURE_NOT_SET,
            State::Ready(Err(code)) => *code,
            State::Ready(Ok(value)) => read(value),
        }
    }
}

/// # Safety
/// `future` came from [`Future::pointer`] and was not destroyed.
unsafe fn borrow<'a>(future: *mut Future) -> &'a Future {
    // SAFETY: it owns a count, see above.
    unsafe { &*future }
}

/// Its operation may go on; whoever waits hears that it was cancelled.
#[unsafe(no_mangle)]
unsafe extern "C" fn fdb_future_destroy(future: *mut Future) {
    // SAFETY: the count that the pointer owned ends here.
    let future = unsafe { Arc::from_raw(future.cast_const()) };
    future.fail(errors::OPERATION_CANCELLED);
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fdb_future_is_ready(future: *mut Future) -> c_int {
    // SAFETY: C passes a future that lives.
    let future = unsafe { borrow(future) };
    c_int::from(matches!(&*future.0.lock(), State::Ready(_)))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fdb_future_set_callback(
    future: *mut Future,
    callback: Option<Callback>,
    parameter: *mut c_void,
) -> c_int {
    let Some(callback) = callback else {
        return errors::CLIENT_INVALID_OPERATION;
    };
    let waiter = Waiter {
        callback,
        parameter,
    };
    // SAFETY: C passes a future that lives; a second count keeps it so during the call.
    let future = unsafe {
        Arc::increment_strong_count(future.cast_const());
        Arc::from_raw(future.cast_const())
    };
    {
        let mut state = future.0.lock();
        if let State::Pending(waiting) = &mut *state {
            if waiting.is_some() {
                return errors::CLIENT_INVALID_OPERATION;
            }
            *waiting = Some(waiter);
            return 0;
        }
    }
    future.call(&waiter);
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fdb_future_get_error(future: *mut Future) -> c_int {
    // SAFETY: C passes a future that lives.
    unsafe { borrow(future) }.read(|_| 0)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fdb_future_get_int64(future: *mut Future, out: *mut i64) -> c_int {
    // SAFETY: C passes a future that lives, and room for a number.
    unsafe {
        borrow(future).read(|value| match value {
            Value::Version(version) => {
                *out = *version;
                0
            }
            _ => errors::CLIENT_INVALID_OPERATION,
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fdb_future_get_value(
    future: *mut Future,
    present: *mut c_int,
    out: *mut *const u8,
    out_length: *mut c_int,
) -> c_int {
    // SAFETY: C passes a future that lives, and room for what it asks for; the bytes live as long as the future.
    unsafe {
        borrow(future).read(|value| {
            let Value::Found(value) = value else {
                return errors::CLIENT_INVALID_OPERATION;
            };
            *present = c_int::from(value.is_some());
            *out = value.as_ref().map_or(ptr::null(), |bytes| bytes.as_ptr());
            *out_length = value.as_deref().map_or(0, length);
            0
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fdb_future_get_keyvalue_array(
    future: *mut Future,
    out: *mut *const c_void,
    out_count: *mut c_int,
    out_more: *mut c_int,
) -> c_int {
    // SAFETY: C passes a future that lives, and room for what it asks for; the array lives as long as the future.
    unsafe {
        borrow(future).read(|value| {
            let Value::Rows(rows) = value else {
                return errors::CLIENT_INVALID_OPERATION;
            };
            *out = rows.raw.as_ptr().cast();
            *out_count = c_int::try_from(rows.raw.len()).unwrap_or(c_int::MAX);
            *out_more = c_int::from(rows.more);
            0
        })
    }
}
