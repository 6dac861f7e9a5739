//! A placement names a vCPU or an IOThread that the VM does not have: the library, `show` and `check` say so, until there
//! is one.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use harness::{Accel, TimeLimit, VmBuilder, kvm_and_tcg, pinshim, two_cpus, until};
use serde_json::json;

fn names_that_nobody_has_are_said(accel: Accel) {
    let _limit = TimeLimit::seconds(200);
    let Some(cpus) = two_cpus() else { return };
    let vm = VmBuilder::usual(accel)
        .smp("2")
        .env("PIN_CPUS", &cpus.both())
        .env("PIN_VCPUS", &cpus.put_into("0@A,7@B"))
        .env("PIN_IOTHREADS", &cpus.put_into("io1@A,fre@B"))
        .env("PIN_VHOST", &cpus.put_into("0@A"));
    let Some(mut vm) = vm.start() else { return };
    vm.wait_visits(1);
    let vcpu = "PIN_VCPUS places vCPU 7, and there is no such vCPU";
    let iothread = "PIN_IOTHREADS places fre, and there is no such IOThread";
    let worker = "PIN_VHOST places vhost worker 0, and there is no such worker";
    until(30, "all warnings", || {
        let said = vm.stderr();
        let has = |what: &str| said.matches(&format!("{what} so far")).count() == 1;
        (has(vcpu) && has(iothread) && has(worker)).then_some(())
    });
    assert_eq!(vm.stderr().matches("pinshim: ").count(), 3, "{}", vm.stderr());
    let pid = vm.pid().to_string();
    let shown = pinshim(&["show", &pid]);
    assert!([vcpu, iothread, worker].iter().all(|what| shown.stdout.contains(what)), "{shown:?}");
    let checked = pinshim(&["check", &pid]);
    assert_eq!(checked.code(), 1, "{checked:?}");
    assert!(checked.stdout.contains(vcpu) && checked.stdout.contains(iothread), "{checked:?}");
    // Plugged in, it is there.
    vm.qmp.execute("object-add", json!({"qom-type": "iothread", "id": "fre"}));
    let checked = pinshim(&["check", &pid]);
    assert_eq!(checked.code(), 1, "{checked:?}");
    assert!(checked.stdout.contains(vcpu) && !checked.stdout.contains(iothread), "{checked:?}");
    assert_eq!(vm.stderr().matches("pinshim: ").count(), 3, "{}", vm.stderr());
    assert!(vm.quit().status.success());
}

kvm_and_tcg!(
    kvm_names_that_nobody_has_are_said,
    tcg_names_that_nobody_has_are_said,
    names_that_nobody_has_are_said
);
