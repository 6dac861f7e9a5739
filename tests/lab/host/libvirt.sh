# shellcheck shell=bash
# What the cases of libvirt use, with all of lib.sh.
# shellcheck source=tests/lab/host/lib.sh
source "${BASH_SOURCE%/*}/lib.sh"

# What an administrator does as docs/libvirt.md says, but for AppArmor and SELinux.
set_up_libvirt() {
    "$product/scripts/install"
    systemctl start virtlogd.socket
    systemctl restart libvirtd
    until_true 60 virsh version >version.log
}

# Does what a file of scripts/libvirt says in its comment is to be done: the lines behind `#   `.
follow() { # FILE
    # As somebody with the sources at home; SELinux lets its tools read there, and write to a pipe.
    rm -rf ~/scripts
    cp -r "$product/scripts" ~
    (cd && sed -n 's/^#   //p' "$1" | bash -e 2>&1) | cat
}

# Writes a domain `web` of one vCPU, for a second to come later, with the wrapper as emulator, a placement and what is
# in $tuning, to web.xml.
tuning=
write_domain() { # kvm|qemu PLACEMENT-ATTRIBUTE...
    local type=$1 disk
    shift
    for disk in one two; do
        cp "$product/boot.bin" "/var/lib/libvirt/images/$disk.img"
        truncate --size=4M "/var/lib/libvirt/images/$disk.img"
    done
    cat >web.xml <<END
<domain type='$type'>
  <name>web</name>
  <uuid>4f3a8f9e-6a52-4a3e-9d53-0d0f3a0c2f11</uuid>
  <metadata>
    <pin:placement xmlns:pin="urn:pinshim:domain:1" $*/>
  </metadata>
  <memory unit='MiB'>64</memory>
  <vcpu current='1'>2</vcpu>
  <iothreads>1</iothreads>
  $tuning
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <features><acpi/></features>
  <devices>
    <emulator>/usr/local/bin/qemu-pinned</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw' iothread='1'/>
      <source file='/var/lib/libvirt/images/one.img'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/>
      <source file='/var/lib/libvirt/images/two.img'/>
      <target dev='vdb' bus='virtio'/>
    </disk>
    <serial type='file'><source path='/var/log/libvirt/qemu/web-serial.log'/><target port='0'/></serial>
    <memballoon model='none'/>
  </devices>
</domain>
END
}

# Starts the domain. Its process is $vm.
start_domain() {
    virsh --quiet start web
    # shellcheck disable=SC2034 # lib.sh uses it
    vm=$(cat /run/libvirt/qemu/web.pid)
}

# Waits until `pinshim check` has nothing to say about the domain: libvirt moves threads after their birth, and the
# library puts them back within five seconds.
wait_for_check() {
    until_true 30 pinshim check web >check.log 2>&1 || fail "$(pinshim check web 2>&1)"
}

# What pinned domains are promised: all threads on their sets at the start, after a second vCPU and IOThread have come,
# when libvirt's daemon starts anew, and, with `saved`, after a managed save.
expect_pinned_life() { # kvm|qemu [saved]
    write_domain "$1" 'vcpus="4,5" iothreads="iothread1@6,*@8" emulator="1" workers="7"'
    virsh --quiet define web.xml
    start_domain
    wait_for_check
    expect_threads 'CPU 0/*=4' 'IO iothread1=6' 'worker=7' '*=1'
    virsh --quiet setvcpus web 2 --live
    virsh --quiet iothreadadd web 2
    wait_for_check
    expect_threads 'CPU 0/*=4' 'CPU 1/*=5' 'IO iothread1=6' 'IO iothread2=8' 'worker=7' '*=1'
    systemctl restart libvirtd
    until_true 60 virsh version >version.log
    wait_for_check
    if [ "${2-}" = saved ]; then
        virsh --quiet managedsave web
        start_domain
        wait_for_check
    fi
    expect_threads 'CPU 0/*=4' 'CPU 1/*=5' 'IO iothread1=6' 'IO iothread2=8' 'worker=7' '*=1'
    virsh --quiet destroy web
    virsh --quiet undefine web
}

# What exclusive="yes" promises: QEMU has the leases of its vCPUs' and IOThreads' CPUs, and nobody has them after it.
expect_exclusive() { # kvm|qemu
    local held
    write_domain "$1" 'vcpus="4,5" iothreads="iothread1@6" emulator="1" exclusive="yes"'
    virsh --quiet define web.xml
    start_domain
    wait_for_check
    held=$(readlink /proc/"$vm"/fd/* | grep -c '^/run/pinshim/leases/cpu[456]$' || true)
    [ "$held" = 3 ] || fail "$held leases: $(ls -l /proc/"$vm"/fd)"
    ! flock --nonblock /run/pinshim/leases/cpu4 true || fail "the lease of CPU 4 is free"
    virsh --quiet destroy web
    until_true 30 flock --nonblock /run/pinshim/leases/cpu4 true
    virsh --quiet undefine web
}

# The hook has verified each start, from outside, and nothing kept it from that.
expect_hooks_word() {
    journalctl --identifier pinshim --output cat >hook.log
    grep -q "threads where they belong" hook.log || fail "the hook has not verified the domain: $(cat hook.log)"
    ! grep -E "no thread was moved or checked|does not run under" hook.log || fail "the hook could not do its work"
}
