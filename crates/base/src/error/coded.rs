//! How an error of a store says what it is to every surface.

use std::io;

use rustix::io::Errno;

use super::{Category, Code};

/// An error with a frozen code. Every error type of a store implements it.
pub trait Coded: std::error::Error {
    /// The frozen code: part of the contract, unlike the text.
    fn code(&self) -> Code;

    /// The category: that of the code, unless the cause is known to be of another.
    fn category(&self) -> Category {
        self.code().category()
    }

    /// Whether the same call may succeed when it is simply made again.
    fn retryable(&self) -> bool {
        self.category().retryable() && !self.code().is_about_the_request()
    }
}

impl Code {
    /// Whether failures with this code may go away by themselves, unless the cause says otherwise.
    #[must_use]
    pub const fn retryable(self) -> bool {
        self.category().retryable() && !self.is_about_the_request()
    }

    /// These belong to the network, but what is wrong is the request or its credentials, which
    /// are the same the next time.
    const fn is_about_the_request(self) -> bool {
        matches!(
            self,
            Self::InvalidRequestId | Self::FrameTooLarge | Self::Unauthenticated | Self::Forbidden
        )
    }
}

impl Category {
    /// Whether failures of this category may go away by themselves.
    #[must_use]
    pub const fn retryable(self) -> bool {
        matches!(self, Self::Transient | Self::Network)
    }

    /// The category of a failed system call. What is not known to pass or to be failing hardware
    /// is [`Category::Permanent`]: trying again would change nothing.
    ///
    /// A failed sync must not be retried whatever this says; see [`crate::io`].
    #[must_use]
    pub fn of_io(error: &io::Error) -> Category {
        match error.raw_os_error() {
            Some(raw) => Self::of_errno(Errno::from_raw_os_error(raw)),
            None => Self::of_kind(error.kind()),
        }
    }

    fn of_errno(errno: Errno) -> Category {
        match errno {
            Errno::AGAIN
            | Errno::NOMEM
            | Errno::TIMEDOUT
            | Errno::INTR
            | Errno::BUSY
            | Errno::MFILE
            | Errno::NFILE => Self::Transient,
            Errno::IO
            | Errno::NOSPC
            | Errno::DQUOT
            | Errno::FBIG
            | Errno::ROFS
            | Errno::NODEV
            | Errno::NXIO
            | Errno::UCLEAN => Self::Critical,
            Errno::CONNREFUSED
            | Errno::CONNRESET
            | Errno::CONNABORTED
            | Errno::NOTCONN
            | Errno::PIPE
            | Errno::HOSTUNREACH
            | Errno::NETUNREACH
            | Errno::NETDOWN => Self::Network,
            _ => Self::Permanent,
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the list of kinds is open by design")]
    fn of_kind(kind: io::ErrorKind) -> Category {
        use io::ErrorKind as Kind;
        match kind {
            Kind::WouldBlock
            | Kind::OutOfMemory
            | Kind::TimedOut
            | Kind::Interrupted
            | Kind::ResourceBusy => Self::Transient,
            Kind::StorageFull
            | Kind::QuotaExceeded
            | Kind::FileTooLarge
            | Kind::ReadOnlyFilesystem => Self::Critical,
            Kind::ConnectionRefused
            | Kind::ConnectionReset
            | Kind::ConnectionAborted
            | Kind::NotConnected
            | Kind::BrokenPipe
            | Kind::HostUnreachable
            | Kind::NetworkUnreachable
            | Kind::NetworkDown => Self::Network,
            _ => Self::Permanent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_errors_fall_into_the_category_that_says_what_to_do() {
        use Category::{Critical, Network, Permanent, Transient};
        for (errno, category) in [
            (Errno::AGAIN, Transient),
            (Errno::NOMEM, Transient),
            (Errno::TIMEDOUT, Transient),
            (Errno::INTR, Transient),
            (Errno::NOENT, Permanent),
            (Errno::INVAL, Permanent),
            (Errno::EXIST, Permanent),
            (Errno::ACCESS, Permanent),
            (Errno::IO, Critical),
            (Errno::NOSPC, Critical),
            (Errno::DQUOT, Critical),
            (Errno::FBIG, Critical),
            (Errno::CONNRESET, Network),
        ] {
            let error = io::Error::from_raw_os_error(errno.raw_os_error());
            assert_eq!(Category::of_io(&error), category, "{error}");
            // An error that was made from a kind alone falls into the same category, as far as
            // the standard library has a kind for it.
            let by_kind = Category::of_io(&error.kind().into());
            assert!(by_kind == category || errno == Errno::IO, "{error}: {by_kind:?}");
        }
    }

    #[test]
    fn only_transient_and_network_failures_are_worth_a_retry() {
        let worth: Vec<_> = Category::ALL.into_iter().filter(|c| c.retryable()).collect();
        assert_eq!(worth, [Category::Transient, Category::Network]);
        let worth: Vec<_> = Code::ALL.iter().copied().filter(|c| c.retryable()).collect();
        let expected = [
            Code::TxnConflict,
            Code::MemoryLimit,
            Code::IndexUpdating,
            Code::QueueFull,
            Code::Timeout,
        ];
        assert_eq!(worth, expected);
    }
}
