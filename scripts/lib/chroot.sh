# shellcheck shell=bash
# Chroots of Debian releases. To be sourced after needs.sh and mirror.sh.

# unpack_debian SUITE FOLDER PACKAGE...: the smallest Debian, with these packages.
unpack_debian() {
    local suite=$1 to=$2 packages valid
    packages=$(IFS=, && echo "${*:3}")
    # A mirror that stands still is taken where apt here takes it.
    valid=$(apt-config dump Acquire::Check-Valid-Until)
    # In a mount namespace of its own: nothing stays mounted, whatever happens.
    unshare --mount mmdebstrap --quiet --mode=root --variant=minbase --include="$packages" \
        ${valid:+--aptopt="$valid"} --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt=force-unsafe-io \
        "$suite" "$to" "deb $(mirror) $suite main"
}

# in_chroot CHROOT [FOLDER...] -- COMMAND...: runs env(1) with these arguments there, with the folders where they are here.
# In a mount namespace of its own, too. Uses nothing of this file, so that it can be exported.
in_chroot() {
    # shellcheck disable=SC2016 # For the shell that is started.
    unshare --mount bash -ec '
        to=$1
        shift
        mount --rbind "$to" "$to"
        mount -t proc proc "$to/proc"
        mount --rbind /sys "$to/sys"
        mount --rbind /dev "$to/dev"
        # A device node of its own, since packages give /dev/kvm to a group that has another number there than here.
        if [[ -e /dev/kvm ]]; then
            [[ -e $to/var/lib/kvm ]] || cp -a /dev/kvm "$to/var/lib/kvm"
            mount --bind "$to/var/lib/kvm" "$to/dev/kvm"
        fi
        mount -t tmpfs tmpfs "$to/run"
        while [[ $1 != -- ]]; do
            mkdir -p "$to$1"
            mount --bind "$1" "$to$1"
            shift
        done
        shift
        # The root folder of the namespace, not only of the program: libvirt gives its QEMUs namespaces of their own.
        cd "$to"
        pivot_root . .
        umount --lazy .
        exec env "$@"
    ' - "$@"
}
