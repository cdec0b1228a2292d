//! The tests are tested: every planted defect is noticed.
