# shellcheck shell=bash
# What the cases use. Each reads it at its start, inside the host, and is then in an empty folder of its own.
#
# A check that fails says so and the case goes on; a command that fails ends it. Either way the case has failed.
set -euo pipefail

product=/lab
PATH=$product/target/release:$PATH
cd "$(mktemp -d)"
modprobe --all kvm_amd vhost_net tun

failures=0
# Where the case is, for one that is not over in time.
trap 'printf "%s:%s: %s\n" "${BASH_SOURCE##*/}" "$LINENO" "$BASH_COMMAND" >/run/lab-at' DEBUG
trap 'echo "${BASH_SOURCE##*/}:$LINENO: this failed: $BASH_COMMAND"' ERR
trap 'status=$?; [ "$failures" = 0 ] || status=1; exit $status' EXIT

# Notes a failure, with the line of the case.
fail() { # WHAT
    local call
    for ((call = 0; call < ${#FUNCNAME[@]} - 2; call++)); do
        [[ ${BASH_SOURCE[call + 1]} == */host/* ]] || break
    done
    echo "FAILED: ${BASH_SOURCE[call + 1]##*/}:${BASH_LINENO[call]}: $*"
    failures=$((failures + 1))
}

# Ends the case as one that this host cannot run.
skip() { # WHY
    echo "skipped: $*"
    exit 77
}

# What a command prints and its status, in $output and $status.
try() { # COMMAND...
    status=0
    output=$("$@" 2>&1) || status=$?
}

# A command's status, and what its output must hold. It has $patience seconds.
patience=30
expect() { # STATUS TEXT COMMAND...
    local status=0 output wanted=$1 text=$2 wrong=()
    shift 2
    output=$(timeout --kill-after=5 "$patience" "$@" 2>&1) || status=$?
    if [ "$status" = 124 ] || [ "$status" = 137 ]; then
        wrong+=("it was still running after $patience s")
    elif [ "$status" != "$wanted" ]; then
        wrong+=("status $status, not $wanted")
    fi
    [[ $output == *"$text"* ]] || wrong+=("it does not say '$text'")
    [ ${#wrong[@]} = 0 ] || fail "$*: $(printf '%s; ' "${wrong[@]}")it said: $output"
}

# Waits until a command succeeds.
until_true() { # SECONDS COMMAND...
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || { fail "not within the time: $*" && return 1; }
        sleep 0.2
    done
}

# What libvirt starts every QEMU with.
# shellcheck disable=SC2034 # the cases use it
sandbox=on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny

# The QEMU arguments of a VM that runs the boot sector: two disks with an IOThread, one of the main loop's, so that
# there are workers. The disks are in memory: nothing waits for the host's own emulated one.
guest=()
make_guest() {
    local disk
    for disk in one two three; do
        cp "$product/boot.bin" "$disk.img"
        truncate --size=4M "$disk.img"
    done
    guest=(
        -nodefaults -display none -m 32 -object "iothread,id=io1" -serial file:serial
        -drive "file=one.img,format=raw,if=none,id=d1" -device "virtio-blk-pci,drive=d1,iothread=io1"
        -drive "file=two.img,format=raw,if=none,id=d2" -device "virtio-blk-pci,drive=d2,iothread=io1"
        -drive "file=three.img,format=raw,if=none,id=d3" -device "virtio-blk-pci,drive=d3"
    )
}

# Starts a VM by a command that becomes QEMU, such as `pinshim run --cpus 1`; returns when its guest runs. Its process is
# $vm. stdin and stdout are QEMU's.
start_vm_by() { # COMMAND... -- QEMU-ARGUMENT...
    local by=()
    while [ "$1" != -- ]; do
        by+=("$1")
        shift
    done
    shift
    [ ${#guest[@]} -gt 0 ] || make_guest
    rm -f serial
    # Without a redirection of its own, what runs in the background would have no stdin.
    "${by[@]}" qemu-system-x86_64 "${guest[@]}" "$@" <&0 2>qemu.log &
    vm=$!
    until_true 120 runs_or_ended || true
    guest_runs || { echo "there is no VM: $(cat qemu.log)" && exit 1; }
}
guest_runs() {
    grep -q fib serial 2>/dev/null
}
runs_or_ended() {
    guest_runs || [ ! -d "/proc/$vm" ]
}

# Starts a VM under the library, as `start_vm_by` does.
start_vm() { # NAME=VALUE... -- QEMU-ARGUMENT...
    start_vm_by env LD_PRELOAD="$product/target/release/libpinshim.so" "$@"
}

# The CPUs of one thread in a placement as `pinshim plan` prints it: of `[0-1],3` entry 0 is 0-1, and entry 1 is 3.
entry() { # NUMBER PLACEMENT
    grep -oE '\[[^]]*\]|[0-9]+' <<<"$2" | sed -n "$(($1 + 1)){s/[][]//g;p}"
}

end_vm() {
    kill "$vm"
    wait "$vm" || true
}

# Where a thread may run, as a cpulist; empty if it has ended.
allowed() { # TID
    sed -n 's/^Cpus_allowed_list:\t//p' "/proc/$1/status" 2>/dev/null || true
}

# One look at every thread of $vm: what is wrong, a line each, on stdout; and which of the rules had a thread, in the file `met`.
look() { # RULE...
    local task comm rule
    for task in /proc/"$vm"/task/*; do
        comm=$(cat "$task/comm" 2>/dev/null) || continue
        for rule in "$@"; do
            # shellcheck disable=SC2053 # a pattern
            if [[ $comm == ${rule%=*} ]]; then
                echo "$rule" >>met
                [[ "|${rule##*=}|" == *"|$(allowed "${task##*/}")|"* ]] || [ ! -e "$task" ] ||
                    echo "thread ${task##*/} ($comm) may run on $(allowed "${task##*/}"), not ${rule##*=}"
                continue 2
            fi
        done
        echo "thread ${task##*/} ($comm) is named by no rule"
    done
}

# Each thread of $vm may run on exactly the CPUs of the first rule whose pattern fits its name, and each rule has a thread.
# `worker=1|2` allows either. A thread that was just made may show its creator's CPUs: only what two looks say is wrong.
expect_threads() { # PATTERN=CPULIST...
    local first second tries=0 rule
    : >met
    while :; do
        first=$(look "$@")
        sleep 0.3
        second=$(look "$@")
        first=$(comm -12 <(sort <<<"$first") <(sort <<<"$second"))
        [ -z "$first" ] || { fail "$first" && return; }
        # Workers come and go.
        if [ "$(sort -u met | wc -l)" -ge $# ] || [ $((tries += 1)) -ge 30 ]; then
            break
        fi
    done
    for rule in "$@"; do
        grep -qxF -- "$rule" met || fail "no thread was seen that is '${rule%=*}'"
    done
}
