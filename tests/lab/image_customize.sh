#!/bin/sh
# Called by mmdebstrap when all packages are in; $1 is the root of the new system. What a host is, it becomes later
# (tests/lab/configure.py): here nothing starts by itself.
set -eu
root=$1
version=$(ls "$root/etc/postgresql")

# In UTF-8 whatever the machine that built it speaks, and quick: a lab may lose its data.
chroot "$root" pg_dropcluster "$version" main
chroot "$root" pg_createcluster --locale=C.UTF-8 "$version" main >/dev/null
cat >"$root/etc/postgresql/$version/main/conf.d/lab.conf" <<'EOF'
listen_addresses = '*'
fsync = off
full_page_writes = off
max_connections = 60
max_prepared_transactions = 10
wal_level = logical
# WAL goes nowhere, until a scenario says where to: that can be changed without a restart.
archive_mode = on
archive_command = '/bin/true'
timezone = 'UTC'
log_timezone = 'UTC'
EOF
cat >>"$root/etc/postgresql/$version/main/pg_hba.conf" <<'EOF'
# The lab's network, and whoever reaches it from the machine.
host    all             all             0.0.0.0/0               scram-sha-256
host    replication     all             0.0.0.0/0               scram-sha-256
EOF

for unit in postgresql.service pgbouncer.service prometheus.service prometheus-node-exporter.service ssh.service ssh.socket; do
  chroot "$root" systemctl disable --quiet "$unit" 2>/dev/null || true
done
# What runs at its own time would change files while a test compares them.
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer logrotate.timer \
  man-db.timer systemd-tmpfiles-clean.timer; do
  chroot "$root" systemctl mask --quiet "$unit"
done
# Every host makes its own.
rm -f "$root"/etc/ssh/ssh_host_*
: >"$root/etc/machine-id"
