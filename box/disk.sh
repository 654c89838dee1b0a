#!/bin/bash
# disk.sh ROOT RAW OUT: an MBR disk image of the root, one ext4 partition; the
# kernel, the initrd and the list of packages go to the folder OUT.
# The same root gives the same bytes: identifiers and times are fixed.
set -euo pipefail
root=$1 raw=$2 out=$3
uuid=6c616d70-6861-4000-8000-000000000001
size=$((6 * 1024)) # MiB
export E2FSPROGS_FAKE_TIME=$SOURCE_DATE_EPOCH
cp "$root/boot/vmlinuz" "$root/boot/initrd.img" "$out/"
mv "$root/boot/package-versions" "$out/"
truncate -s $((size - 1))M "$raw.ext4"
mke2fs -q -F -t ext4 -O ^metadata_csum,^64bit,^resize_inode -m 1 -N 262144 -U $uuid -L root \
    -E hash_seed=$uuid,lazy_itable_init=0,lazy_journal_init=0,nodiscard -J size=32 -d "$root" "$raw.ext4"
python3 "$BOX/settimes.py" "$raw.ext4" "$SOURCE_DATE_EPOCH"
truncate -s ${size}M "$raw"
printf 'label: dos\nlabel-id: 0x6c616d70\n2048,,83,*\n' | sfdisk -q "$raw"
dd if="$root/boot/boot.img" of="$raw" bs=440 count=1 conv=notrunc status=none
dd if="$root/boot/core.img" of="$raw" bs=512 seek=1 conv=notrunc status=none
dd if="$raw.ext4" of="$raw" bs=1M seek=1 conv=notrunc,sparse status=none
rm "$raw.ext4"
