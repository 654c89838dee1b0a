#!/bin/bash
# Turns the freshly installed root at $1 into the lab machine. Run by mmdebstrap
# while the root still has Debian's package lists. Environment:
#   BOX         this folder
#   VAGRANT_KEY Vagrant's public insecure key
#   DEBS        folder of the MySQL Cluster packages, or empty
set -euo pipefail
root=$1
here() { chroot "$root" "$@"; }

echo "== local package repository"
repo=$root/srv/packages
mkdir -p "$repo"
if [ -n "$DEBS" ]; then
    cp "$DEBS"/*.deb "$repo/"
    # What puts MariaDB back after mysql-cluster-community-server displaced it.
    here dpkg-query -W -f '${source:Package} ${Package}=${Version}\n' |
        awk '$1 == "mariadb" { print $2 }' >"$root/tmp/mariadb"
    here sh -c 'cd /srv/packages && apt-get -q download $(cat /tmp/mariadb) && rm /tmp/mariadb'
fi

echo "== boot sector"
# GRUB's image holds its modules and its two commands, and lives between the
# partition table and the partition: no loop device, no mount, no /boot/grub.
here sh -ec 'mkdir /tmp/grub && cd /tmp/grub
    apt-get -q download grub-common grub-pc-bin
    for deb in *.deb; do dpkg -x $deb .; done'
cat >"$root/tmp/grub/early.cfg" <<CFG
linux (hd0,msdos1)/boot/vmlinuz $(cat "$BOX/cmdline")
initrd (hd0,msdos1)/boot/initrd.img
boot
CFG
modules=/tmp/grub/usr/lib/grub/i386-pc
here /tmp/grub/usr/bin/grub-mkimage -O i386-pc -d $modules -p '(hd0,msdos1)/boot' \
    -c /tmp/grub/early.cfg -o /boot/core.img biosdisk part_msdos ext2 linux boot
cp "$root$modules/boot.img" "$root/boot/boot.img"
rm -r "$root/tmp/grub"

echo "== initrd"
cd "$root/boot"
release=$(basename "$root"/lib/modules/*)
mv "vmlinuz-$release" vmlinuz
ln -s vmlinuz "vmlinuz-$release"
initrd=$root/tmp/initrd
mkdir -p "$initrd"/{bin,dev,root,modules}
cp "$root/bin/busybox" "$initrd/bin/"
install -m 755 "$BOX/init" "$initrd/init"
module_list() { # in loading order, copied into the initrd
    for module; do here modprobe -a -S "$release" --show-depends "$module"; done |
        awk '$1 == "insmod" && !seen[$2]++ { print $2 }' |
        while read -r path; do
            cp "$root$path" "$initrd/modules/"
            basename "$path"
        done
}
module_list virtio_pci virtio_blk virtio_net button >"$initrd/modules/always"
module_list ata_piix sd_mod | grep -vxFf "$initrd/modules/always" >"$initrd/modules/ide"
find "$initrd" -exec touch -hd "@$SOURCE_DATE_EPOCH" {} +
here sh -c 'cd /tmp/initrd && find . | LC_ALL=C sort | cpio -o -H newc --reproducible --owner=0:0 --quiet' >initrd.img
rm -r "$initrd"
rm -f initrd.img-* "$root"/initrd.img* "$root"/vmlinuz*

echo "== accounts and configuration"
# The checkout's umask must not show in the image.
tar -C "$BOX/files" --mode=u=rwX,go=rX --owner=0 --group=0 -c . | tar -C "$root" --no-overwrite-dir -x
chmod 440 "$root"/etc/sudoers.d/*
here useradd -m -s /bin/bash -p '*' vagrant
install -d -m 700 "$root/home/vagrant/.ssh"
install -m 600 "$VAGRANT_KEY" "$root/home/vagrant/.ssh/authorized_keys"
here chown -R vagrant:vagrant /home/vagrant
mkdir -p "$root/etc/tmpfiles.d"
ln -sf /dev/null "$root/etc/tmpfiles.d/systemd-nologin.conf"

echo "== services"
rm -f "$root"/etc/rc?.d/[SK]* "$root"/etc/modules-load.d/*
find "$root/etc/systemd/system" -name '*.wants' -prune -exec rm -r {} +
here systemctl preset-all 2>/dev/null
sed 's/#.*//' "$BOX/masked-units" | while read -r unit; do
    [ -z "$unit" ] || ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
# rsyslog's own start wants its alias, which "disable" removed.
ln -s /lib/systemd/system/rsyslog.service "$root/etc/systemd/system/syslog.service"
# Of systemd's generators a lab VM needs the ones for fstab and init scripts.
mkdir -p "$root/etc/systemd/system-generators"
for generator in "$root"/lib/systemd/system-generators/*; do
    case $generator in
    *-fstab-generator | *-sysv-generator) ;;
    *) ln -s /dev/null "$root/etc/systemd/system-generators/${generator##*/}" ;;
    esac
done

echo "== secrets and state that every machine makes for itself"
rm -rf "$root"/etc/ssh/ssh_host_* "$root"/etc/ssl/private/*snakeoil* "$root"/etc/ssl/certs/*snakeoil* \
    "$root"/var/lib/systemd/random-seed "$root"/var/lib/dbus/machine-id "$root"/etc/drbd.d/.drbd-* \
    "$root"/var/lib/mysql/* "$root"/etc/corosync/authkey "$root"/etc/pacemaker/authkey
: >"$root/etc/machine-id"
echo "GenerateName=yes" >"$root/etc/iscsi/initiatorname.iscsi"

echo "== package lists"
dpkg-query --admindir="$root/var/lib/dpkg" -W -f '${Package} ${Version}\n' | LC_ALL=C sort >"$root/boot/package-versions"
(cd "$repo" && apt-ftparchive packages . >Packages && gzip -9nk Packages)
rm -f "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d/* "$root"/etc/apt/apt.conf.d/99mmdebstrap \
    "$root"/etc/dpkg/dpkg.cfg.d/99mmdebstrap
echo 'deb [trusted=yes] file:/srv/packages ./' >"$root/etc/apt/sources.list"
rm -rf "$root"/var/lib/apt/lists/*
here env APT_CONFIG=/dev/null apt-get -q clean
here env APT_CONFIG=/dev/null apt-get -q update
if [ -n "$DEBS" ]; then
    here env APT_CONFIG=/dev/null apt-get -qq -s install mysql-cluster-community-server >/dev/null
fi

echo "== logs and caches"
find "$root/var/log" -type f -delete
find "$root/usr" -name __pycache__ -prune -exec rm -r {} +
rm -rf "$root"/var/cache/{apt/*.bin,debconf/*-old,ldconfig/aux-cache,man/*} "$root"/var/lib/dpkg/*-old \
    "$root"/etc/*- "$root"/etc/resolv.conf "$root"/var/lib/apt/extended_states "$root"/root/.bash_history
