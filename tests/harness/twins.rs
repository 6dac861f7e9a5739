//! Tests that come in pairs: the same of a guest under KVM, and of one under TCG.

/// Makes two tests of one function that takes an [`Accel`](crate::Accel): the first runs it under KVM, the
/// second under TCG. Where KVM is missing the first says that it is skipped and the second tests all the same.
///
/// ```ignore
/// kvm_and_tcg!(a_kvm_guest_boots, a_tcg_guest_boots, boots);
/// ```
#[macro_export]
macro_rules! kvm_and_tcg {
    ($kvm:ident, $tcg:ident, $test:expr) => {
        #[test]
        fn $kvm() {
            ($test)($crate::Accel::Kvm);
        }

        #[test]
        fn $tcg() {
            ($test)($crate::Accel::Tcg);
        }
    };
}
