"""settimes.py IMAGE EPOCH: no inode of an ext4 image is younger than EPOCH.

mke2fs -d copies each file's times, and access and change times differ from
build to build. Only for images without metadata_csum: nothing to recompute.
Layout: Documentation/filesystems/ext4 in the Linux source.
"""

from __future__ import annotations

import struct
import sys


def settimes(image: str, epoch: int) -> None:
    with open(image, "r+b") as disk:
        disk.seek(1024)
        superblock = disk.read(1024)
        _, blocks, _, _, _, first_block, log_size = struct.unpack_from("<7I", superblock)
        blocks_per_group, _, inodes_per_group = struct.unpack_from("<3I", superblock, 32)
        (inode_size,) = struct.unpack_from("<H", superblock, 88)
        block_size = 1024 << log_size
        groups = -(-(blocks - first_block) // blocks_per_group)
        disk.seek((first_block + 1) * block_size)
        descriptors = disk.read(groups * 32)
        for group in range(groups):
            (table,) = struct.unpack_from("<I", descriptors, group * 32 + 8)
            disk.seek(table * block_size)
            raw = bytearray(disk.read(inodes_per_group * inode_size))
            used = False
            for start in range(0, len(raw), inode_size):
                mode, _, _, _, _, mtime, deleted = struct.unpack_from("<HHIIIII", raw, start)
                if not mode or deleted:
                    continue
                used = True
                struct.pack_into("<III", raw, start + 8, epoch, epoch, min(mtime, epoch))
                extra = struct.unpack_from("<H", raw, start + 128)[0] if inode_size > 128 else 0
                if extra >= 24:  # nanoseconds of change, modification, access; creation
                    struct.pack_into("<5I", raw, start + 132, 0, 0, 0, epoch, 0)
            if used:
                disk.seek(table * block_size)
                disk.write(raw)


if __name__ == "__main__":
    settimes(sys.argv[1], int(sys.argv[2]))
