#!/usr/bin/env bash
# Kernel tests on lavapipe (Mesa's Vulkan on the CPU), into a cache folder: no root, nothing installed.
#   lavapipe.sh 25 [vitest's arguments]   subgroups of 8 and f16, where SwiftShader has subgroups of 4 and no f16. Default: all of kernels/.
#   lavapipe.sh 26 [vitest's arguments]   and subgroup matrices (8 x 8 x 8, f16 with sums in f32). Default: the variants that use them.
# Debian 12's own Mesa is too old for Dawn. 25 comes from bookworm-backports, with what it needs and the system lacks. 26 comes from
# trixie-backports with trixie's C library, under which this runs Node itself: any Linux on x86-64 with apt-get and Debian's keys will do.
set -euo pipefail
cd "$(dirname "$0")/../.."
fail() { echo "lavapipe: $*" >&2; exit 1; }

version=${1:-25}
shift || true
case $version in
  25) suites='bookworm bookworm-backports' packages='mesa-vulkan-drivers libvulkan1' ;;
  26) suites='trixie trixie-backports' packages='mesa-vulkan-drivers libvulkan1 libc6 libstdc++6' ;;
  *) fail "first argument '$version'; expected 25 or 26" ;;
esac
from=${suites##* }

folder=${XDG_CACHE_HOME:-$HOME/.cache}/eagrl/lavapipe-$version
if [ ! -f "$folder/icd.json" ]; then
  codename=$(. /etc/os-release 2>/dev/null && echo "${VERSION_CODENAME:-}")
  elsewhere='Elsewhere install Mesa 24 or newer and run EAGRL_TEST_ADAPTER=system VK_DRIVER_FILES=<its lvp_icd json> npx vitest run kernels -t webgpu'
  [ "$version" = 25 ] ||
    elsewhere='Elsewhere, on a driver with subgroup matrices: EAGRL_TEST_ADAPTER=system EAGRL_SUBGROUP_MATRIX=1 npx vitest run kernels -t subgroup_matrix'
  { command -v apt-get && command -v dpkg-deb; } >/dev/null || fail "$version installs itself with apt-get and dpkg-deb, which are not here. $elsewhere"
  [ "$version" = 26 ] || [ "$codename" = bookworm ] || fail "25 installs itself on Debian 12 (bookworm) only, this is '${codename:-unknown}'. $elsewhere"
  fresh=$folder.$$
  trap 'rm -rf "$fresh"' EXIT
  mkdir -p "$fresh"/lists/partial "$fresh"/cache/archives/partial "$fresh"/root
  # The mirror that this machine uses, else Debian's own.
  mirror=$(grep -rhoE 'https?://[^] ]*/debian/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d/ 2>/dev/null | head -1 | tr -d ' ' || true)
  mirror=${mirror:-http://deb.debian.org/debian}
  for suite in $suites; do
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main"
  done >"$fresh/sources.list"
  options=(-qq -o Debug::NoLocking=1 -o Dir::Etc::sourcelist="$fresh/sources.list" -o Dir::Etc::sourceparts=-
    -o Dir::State::lists="$fresh/lists" -o Dir::Cache="$fresh/cache" -o APT::Sandbox::User= -o APT::Install-Recommends=0)
  if [ "$version" = 26 ]; then # nothing of this system counts as installed: all of it comes from trixie
    touch "$fresh/status"
    options+=(-o Dir::State::status="$fresh/status")
  fi
  apt-get "${options[@]}" update || fail "apt-get update from $mirror failed; this needs the network"
  # shellcheck disable=SC2086 # a list
  apt-get "${options[@]}" install --download-only --reinstall -y -t "$from" $packages ||
    fail "mesa-vulkan-drivers of $from could not be downloaded from $mirror"
  for package in "$fresh"/cache/archives/*.deb; do dpkg-deb -x "$package" "$fresh/root"; done
  driver=$(cd "$fresh" && find root -name libvulkan_lvp.so)
  [ -n "$driver" ] || fail 'the package holds no libvulkan_lvp.so'
  rm -rf "$fresh/lists" "$fresh/cache"
  printf '{"ICD":{"api_version":"1.4.305","library_path":"%s"},"file_format_version":"1.0.0"}\n' "$folder/$driver" >"$fresh/icd.json"
  dirname "$driver" >"$fresh/libraries"
  rm -rf "$folder" && mv "$fresh" "$folder"
fi

libraries=$folder/$(cat "$folder/libraries")
export VK_DRIVER_FILES=$folder/icd.json MESA_SHADER_CACHE_DIR=$folder/shaders EAGRL_TEST_ADAPTER=system
XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-$(mktemp -d)}
export XDG_RUNTIME_DIR
if [ "$version" = 25 ]; then
  export LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  missing=$(ldd "$libraries/libvulkan_lvp.so" | grep 'not found' || true)
  [ -z "$missing" ] || fail "its driver lacks libraries: $missing; delete $folder and run this again"
  node test/adapters/check.mjs
  # Two workers: LLVM compiles on the thread that asks. What it takes longest over uses neither subgroups nor f16, and differs in constants from what
  # stays: split-K and ragged tiles, qmatmul's tiles, attention's of wide heads and in parts. SwiftShader has them all.
  left_out='matmul_(nn|tn) webgpu (ragged|sliced)|qmatmul_\S+ webgpu tile|attention_\S+ webgpu tiled_(128|64_)'
  exec npx vitest run "${@:-kernels}" --maxWorkers=2 -t "^(?!$left_out).* webgpu "
fi
# Node under trixie's C library; process.execPath is what vitest starts its workers with.
printf '#!/bin/sh\nexec %q --library-path %q %q "$@"\n' "$libraries/ld-linux-x86-64.so.2" "$libraries" "$(command -v node)" >"$folder/node"
chmod +x "$folder/node"
printf "process.execPath = '%s';\n" "$folder/node" >"$folder/exec_path.mjs"
export EAGRL_SUBGROUP_MATRIX=1 NODE_OPTIONS="--import $folder/exec_path.mjs"
"$folder/node" test/adapters/check.mjs
[ $# -gt 0 ] || set -- kernels/src/matmul kernels/src/qmatmul -t ' webgpu subgroup_matrix'
"$folder/node" node_modules/vitest/vitest.mjs run "$@" --reporter=default --reporter=./test/lib/src/coverage_reporter.ts --reporter=json --outputFile="$folder/last.json"
# vitest takes a title that no test has for success.
node -e 'process.exit(JSON.parse(fs.readFileSync(process.argv[1])).numPassedTests > 0 ? 0 : 1)' "$folder/last.json" || fail 'no test ran'
