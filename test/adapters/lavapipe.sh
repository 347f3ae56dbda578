#!/usr/bin/env bash
# Kernel tests on lavapipe (Mesa's Vulkan on the CPU), into a cache folder: no root, nothing installed.
#   lavapipe.sh [vitest's arguments]   subgroups of 8, f16 and subgroup matrices (8 x 8 x 8, f16 with sums in f32), where SwiftShader has subgroups of
#                                      4 and neither of the others. Default: kernels/, but for what crashes Mesa.
# Mesa 26 from Debian 13's backports, with that Debian's C library, under which this runs Node itself: any Linux on x86-64 with apt-get and Debian's
# keys will do. bookworm-backports has Mesa 25 on LLVM 15: over attention's tiles that takes 111 s, this one 2.5.
set -euo pipefail
cd "$(dirname "$0")/../.."
fail() { echo "lavapipe: $*" >&2; exit 1; }

folder=${XDG_CACHE_HOME:-$HOME/.cache}/eagrl/lavapipe-26
if [ ! -f "$folder/icd.json" ]; then
  { command -v apt-get && command -v dpkg-deb; } >/dev/null ||
    fail "it installs itself with apt-get and dpkg-deb, which are not here. Elsewhere install Mesa 26 or newer and run EAGRL_TEST_ADAPTER=system \
EAGRL_SUBGROUP_MATRIX=1 VK_DRIVER_FILES=<its lvp_icd json> npx vitest run kernels -t ' webgpu '"
  fresh=$folder.$$
  trap 'rm -rf "$fresh"' EXIT
  mkdir -p "$fresh"/lists/partial "$fresh"/cache/archives/partial "$fresh"/root
  # The mirror that this machine uses, else Debian's own.
  mirror=$(grep -rhoE 'https?://[^] ]*/debian/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d/ 2>/dev/null | head -1 | tr -d ' ' || true)
  mirror=${mirror:-http://deb.debian.org/debian}
  for suite in trixie trixie-backports; do
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main"
  done >"$fresh/sources.list"
  touch "$fresh/status" # nothing of this system counts as installed: all of it comes from trixie
  options=(-qq -o Debug::NoLocking=1 -o Dir::Etc::sourcelist="$fresh/sources.list" -o Dir::Etc::sourceparts=-
    -o Dir::State::lists="$fresh/lists" -o Dir::State::status="$fresh/status" -o Dir::Cache="$fresh/cache" -o APT::Sandbox::User= -o APT::Install-Recommends=0)
  apt-get "${options[@]}" update || fail "apt-get update from $mirror failed; this needs the network"
  apt-get "${options[@]}" install --download-only --reinstall -y -t trixie-backports mesa-vulkan-drivers libvulkan1 libc6 libstdc++6 ||
    fail "mesa-vulkan-drivers of trixie-backports could not be downloaded from $mirror"
  for package in "$fresh"/cache/archives/*.deb; do dpkg-deb -x "$package" "$fresh/root"; done
  driver=$(cd "$fresh" && find root -name libvulkan_lvp.so)
  [ -n "$driver" ] || fail 'the package holds no libvulkan_lvp.so'
  rm -rf "$fresh/lists" "$fresh/cache"
  printf '{"ICD":{"api_version":"1.4.305","library_path":"%s"},"file_format_version":"1.0.0"}\n' "$folder/$driver" >"$fresh/icd.json"
  dirname "$driver" >"$fresh/libraries"
  rm -rf "$folder" && mv "$fresh" "$folder"
fi

libraries=$folder/$(cat "$folder/libraries")
export EAGRL_SUBGROUP_MATRIX=1 VK_DRIVER_FILES=$folder/icd.json MESA_SHADER_CACHE_DIR=$folder/shaders EAGRL_TEST_ADAPTER=system
XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-$(mktemp -d)}
export XDG_RUNTIME_DIR
# Node under trixie's C library; process.execPath is what vitest starts its workers with.
printf '#!/bin/sh\nexec %q --library-path %q %q "$@"\n' "$libraries/ld-linux-x86-64.so.2" "$libraries" "$(command -v node)" >"$folder/node"
chmod +x "$folder/node"
printf "process.execPath = '%s';\n" "$folder/node" >"$folder/exec_path.mjs"
export NODE_OPTIONS="--import $folder/exec_path.mjs"
"$folder/node" test/adapters/check.mjs
# Left out: what Mesa 26.1.6 compiles of attention's backward tiles of 128 in four parts reads a binding through null (SwiftShader runs them).
[ $# -gt 0 ] || set -- kernels -t '^(?!attention_bwd_\S+ webgpu tiled_128_parts_4).* webgpu '
# Two workers: LLVM compiles on the thread that asks.
"$folder/node" node_modules/vitest/vitest.mjs run "$@" --maxWorkers=2 --reporter=default --reporter=./test/lib/src/coverage_reporter.ts --reporter=json \
  --outputFile="$folder/last.json"
# vitest takes a title that no test has for success.
node -e 'process.exit(JSON.parse(fs.readFileSync(process.argv[1])).numPassedTests > 0 ? 0 : 1)' "$folder/last.json" || fail 'no test ran'
