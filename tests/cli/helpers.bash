# SPDX-FileCopyrightText: The cgctl authors
# SPDX-License-Identifier: MIT
# Helpers for the cmd of a case, which begins with: source "${BASH_SOURCE%/*}/../../helpers.bash"
# shellcheck shell=bash disable=SC2034  # the sourcing scripts use the variables
set -o pipefail

# at TREE ARGUMENT...: runs cgctl on a captured tree: $CAPTURES/TREE, or an absolute path.
at() {
  local tree=$1
  shift
  case $tree in /*) ;; *) tree=$CAPTURES/$tree ;; esac
  # Reads all files first: with a cold cache a read may be so slow that cgctl stops measuring.
  find "$tree" -type f -exec cat {} + >/dev/null
  (cd "$tree" && "$CGCTL" --cgroup-root sys/fs/cgroup --proc-root proc --sys-root sys "$@")
}

# show ARGUMENT...: runs cgctl; prints the command line, output and errors together, and the exit
# status.
show() {
  local status=0
  echo "\$ cgctl $*"
  "$CGCTL" "$@" 2>&1 || status=$?
  echo "= $status"
}

# show_at TREE ARGUMENT...: does the same on a captured tree.
show_at() {
  local status=0
  echo "\$ cgctl ${*:2}"
  at "$@" 2>&1 || status=$?
  echo "= $status"
}

# Replaces measured values by names.
steady() {
  sed -E 's/(numa_stat takes|take up to|took|killed after) [0-9.]+ [num]?s/\1 TIME/
    s/"(read_cost|predicted)_ns":[0-9]+/"\1_ns":N/
    s/--budget [0-9]+ms/--budget TIME/'
}

# copy_of TREE NAME: copies a captured tree into the case's directory, so that the case can change
# it.
copy_of() {
  cp -r "$CAPTURES/$1" "$2"
  chmod -R u+w "$2"
}

skip() {
  echo "$1" >&2
  exit 77
}

needs_root() { [ "$(id -u)" = 0 ] || skip "needs root"; }

# In a plain chroot the root directory is not a mount point, and cannot be made private.
needs_mounts() {
  needs_root
  unshare --mount true 2>unshare.said || skip "mounts cannot be made private here: $(cat unshare.said)"
  rm unshare.said
}

# Zombies are created below the cgroup $lab, and their files in the directories of $files; clean_up
# removes both.
memory=/sys/fs/cgroup/memory
lab=$memory/cgctl-cli-$$

needs_v1_memory() {
  needs_root
  [ -e "$memory/memory.use_hierarchy" ] || skip "needs the v1 memory controller at $memory"
  own=$memory$(sed -n 's/^[0-9]*:memory://p' /proc/self/cgroup)
  files=()
  trap clean_up EXIT
}

clean_up() {
  [ ${#files[@]} -eq 0 ] || rm -rf "${files[@]}"
  [ ! -d "$lab" ] || rmdir "$lab"
}

# prepare_zombies COUNT DIRECTORY: creates cgroups that become zombies when remove_cgroups removes
# them. Each is kept alive by a file of 16 pages in a new directory below DIRECTORY; fewer pages
# would be lost in the drift of the kernel's counters.
prepare_zombies() {
  local i directory
  directory=$(mktemp -d -p "$2" cgctl-cli-XXXXXX)
  files+=("$directory")
  mkdir -p "$lab"
  seq -f "$lab/%.0f" "$1" | xargs mkdir
  for ((i = 1; i <= $1; i++)); do
    echo $$ >"$lab/$i/cgroup.procs"
    printf '%65536d' "$i" >"$directory/$i"
  done
  echo $$ >"$own/cgroup.procs"
}

remove_cgroups() { find "$lab" -mindepth 1 -type d -print0 | xargs -0 rmdir; }

make_zombies() { # COUNT DIRECTORY
  prepare_zombies "$@"
  remove_cgroups
}

# start_daemon INTERVAL [TRIGGER [ACTION]]: starts cgctl mitigate --daemon and waits for its first decision.
# Its output goes to `lines`. The rungs that reclaim from cgroups with zombies below are left out: they
# would reclaim from cgroups of others.
start_daemon() {
  local ladder='ladder = ["evict", "drop_caches=1", "drop_caches=2"]'
  cat >daemon.toml <<END
[trigger]
min_gain = 0
${2-}
[action]
${3:-$ladder}
refaults_after = "1s"
[guard]
io_pressure = 100
memory_pressure = 100
disk_busy = 100
[daemon]
interval = "$1"
jitter = "0s"
state_dir = "state"
metrics_file = "cgctl.prom"
END
  "$CGCTL" mitigate --daemon --config daemon.toml >lines 2>&1 &
  daemon=$!
  said decision 10
}

# said PATTERN SECONDS: waits until the daemon has printed a line that matches PATTERN.
said() {
  local i
  for ((i = 0; i < $2 * 10; i++)); do
    ! grep -qs "$1" lines || return 0
    sleep 0.1
  done
  cat lines
  return 1
}

stop_daemon() {
  kill -TERM "$daemon"
  wait "$daemon"
  echo "ended with $?"
}
