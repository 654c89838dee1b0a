#!/bin/bash
# Packages of MySQL NDB Cluster for Debian 12, from the source archive of Debian's MySQL.
#
#   build.sh unpack ARCHIVE WORK    the sources, without the test suite's data
#   build.sh configure WORK         only what a cluster needs: no router, no tests, no Java
#   build.sh compile WORK           about an hour on two cores; begun again, it goes on
#   build.sh package WORK OUT       four packages with the names of MySQL's own
#
# WORK holds src/, build/, and stage/. Debian builds MySQL without storage/ndb; the sources have it.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
client=(mysql mysqladmin mysqldump mysqlbinlog ndb_mgm ndb_waiter ndb_desc ndb_restore ndb_config
    ndb_select_all ndb_sign_keys)
data=(ndbd ndbmtd)
plugins=(auth_socket semisync_source semisync_replica component_reference_cache)

unpack() {
    local archive=$1 work=$2
    [ -e "$work/src/MYSQL_VERSION" ] && return
    rm -rf "$work/src.part"
    mkdir -p "$work/src.part"
    tar -xf "$archive" -C "$work/src.part" --strip-components=1 \
        --exclude='*/mysql-test/std_data*' --exclude='*/mysql-test/r'
    mv "$work/src.part" "$work/src"
}

configure() {
    local work=$1 plain='-O2 -DNDEBUG' off
    [ -e "$work/build/build.ninja" ] && return
    local options=(
        -DCMAKE_BUILD_TYPE=RelWithDebInfo "-DCMAKE_C_FLAGS_RELWITHDEBINFO=$plain"
        "-DCMAKE_CXX_FLAGS_RELWITHDEBINFO=$plain" -DINSTALL_LAYOUT=DEB
        -DMYSQL_UNIX_ADDR=/run/mysqld/mysqld.sock -DWITH_NDB=ON -DWITH_SSL=system -DWITH_ZLIB=bundled
        -DWITH_CURL=none -DWITH_FIDO=none
    )
    for off in NDB_JAVA NDB_TEST UNIT_TESTS ROUTER MYSQLX GROUP_REPLICATION BUILD_ID LTO \
        AUTHENTICATION_LDAP AUTHENTICATION_WEBAUTHN; do
        options+=("-DWITH_$off=OFF")
    done
    cmake -G Ninja -S "$work/src" -B "$work/build" "${options[@]}"
}

compile() {
    ninja -C "$1/build" mysqld my_print_defaults GenError ndb_mgmd "${client[@]}" "${data[@]}" "${plugins[@]}"
}

# programs PACKAGE FOLDER NAME...: stripped, and looking for MySQL's libraries where they will lie
programs() {
    local into=$stage/$1/usr/$2 name
    shift 2
    mkdir -p "$into"
    for name in "$@"; do
        install -m 755 "$work/build/runtime_output_directory/$name" "$into/"
        strip --strip-unneeded "$into/$name"
        patchelf --set-rpath "\$ORIGIN/../lib/mysql/private" "$into/$name"
    done
}

# libraries PACKAGE PROGRAM...: those of MySQL's shared libraries that the programs load
libraries() {
    local into=$stage/$1/usr/lib/mysql/private path
    local from=$work/build/library_output_directory
    shift
    mkdir -p "$into"
    (cd "$work/build/runtime_output_directory" && ldd "$@") | awk '{print $3}' | sort -u |
        while read -r path; do
            case $path in "$from"/*) ;; *) continue ;; esac
            install -m 644 "$path" "$into/"
            strip --strip-unneeded "$into/${path##*/}"
            patchelf --set-rpath "\$ORIGIN" "$into/${path##*/}"
        done
}

# finish PACKAGE SUMMARY FIELD...: its control file, its licence, and the package itself
finish() {
    local root=$stage/$1
    mkdir -p "$root/DEBIAN" "$root/usr/share/doc/$1"
    cp "$work/src/LICENSE" "$root/usr/share/doc/$1/copyright"
    {
        echo "Package: $1"
        echo "Version: $version"
        echo "Architecture: $(dpkg --print-architecture)"
        echo 'Section: database'
        echo 'Priority: optional'
        echo 'Maintainer: LAMP HA workshop <workshop@localhost>'
        printf '%s\n' "${@:3}"
        echo "Description: $2"
        echo ' Built from the sources of MySQL in Debian, with NDB.'
    } >"$root/DEBIAN/control"
    dpkg-deb --root-owner-group -Zxz --build "$root" "$out" >/dev/null
}

package() {
    work=$(readlink -f "$1")
    out=$(readlink -f "$2")
    stage=$work/stage
    rm -rf "$stage"
    version=$(awk -F= '/^MYSQL_VERSION_(MAJOR|MINOR|PATCH)=/ { v = v s $2; s = "." } END { print v }' \
        "$work/src/MYSQL_VERSION")-1workshop12
    local libc='libc6, libssl3, libstdc++6' name root others

    name=mysql-cluster-community-management-server
    programs $name sbin ndb_mgmd
    finish $name 'MySQL NDB Cluster: management server' "Depends: $libc"

    name=mysql-cluster-community-data-node
    programs $name sbin "${data[@]}"
    finish $name 'MySQL NDB Cluster: data nodes' "Depends: $libc, libnuma1"

    name=mysql-cluster-community-client
    programs $name bin "${client[@]}"
    others='mariadb-client, mariadb-client-core, virtual-mysql-client, virtual-mysql-client-core'
    finish $name 'MySQL and NDB Cluster: clients' \
        "Depends: $libc, libncurses6, libtinfo6, mysql-common" \
        'Provides: virtual-mysql-client, virtual-mysql-client-core' \
        "Conflicts: default-mysql-client, $others" "Replaces: $others"

    name=mysql-cluster-community-server root=$stage/$name
    programs $name sbin mysqld
    programs $name bin my_print_defaults
    libraries $name mysqld
    cp -r "$work"/src/extra/icu/icudt* "$root/usr/lib/mysql/private/"
    mkdir -p "$root/usr/lib/mysql/plugin" "$root/usr/share/mysql/english"
    local plugin
    for plugin in "${plugins[@]}"; do
        install -m 644 "$work/build/plugin_output_directory/$plugin.so" "$root/usr/lib/mysql/plugin/"
        strip --strip-unneeded "$root/usr/lib/mysql/plugin/$plugin.so"
    done
    cp -r "$work/src/share/charsets" "$root/usr/share/mysql/"
    install -m 644 "$(find "$work/build" -path '*english/errmsg.sys' | head -n 1)" "$root/usr/share/mysql/english/"
    install -D -m 644 "$here/mysql.cnf" "$root/etc/mysql/mysql.cnf"
    install -D -m 644 "$here/mysqld.cnf" "$root/etc/mysql/mysql.conf.d/mysqld.cnf"
    install -D -m 644 "$here/mysql.service" "$root/lib/systemd/system/mysql.service"
    install -D -m 755 -t "$root/DEBIAN" "$here"/{postinst,prerm,postrm}
    printf '/etc/mysql/mysql.cnf\n/etc/mysql/mysql.conf.d/mysqld.cnf\n' >"$root/DEBIAN/conffiles"
    others='mariadb-server, mariadb-server-core, virtual-mysql-server, virtual-mysql-server-core'
    finish $name 'MySQL NDB Cluster: SQL nodes' \
        "Depends: $libc, libaio1, libnuma1, libtirpc3, passwd, mysql-common, mysql-cluster-community-client (= $version)" \
        'Provides: virtual-mysql-server, virtual-mysql-server-core' \
        "Conflicts: default-mysql-server, $others" "Replaces: $others"
}

"$@"
