#!/usr/bin/env bash
# Kernel tests on lavapipe 25 (Mesa's Vulkan on the CPU): subgroups of 8 and f16, where SwiftShader has subgroups of 4 and no f16.
# Debian 12's own Mesa is too old for Dawn. This takes the one from bookworm-backports, with what it needs and the system lacks, into a
# cache folder: no root, nothing installed. Arguments go to vitest: `lavapipe.sh kernels/src/matmul`. Default: all of kernels/.
set -euo pipefail
cd "$(dirname "$0")/../.."
fail() { echo "lavapipe: $*" >&2; exit 1; }

folder=${XDG_CACHE_HOME:-$HOME/.cache}/eagrl/lavapipe-25
if [ ! -f "$folder/icd.json" ]; then
  codename=$(. /etc/os-release 2>/dev/null && echo "${VERSION_CODENAME:-}")
  [ "$codename" = bookworm ] && command -v apt-get dpkg-deb >/dev/null ||
    fail "installs itself on Debian 12 (bookworm) only, this is '${codename:-unknown}'. Elsewhere install Mesa 24 or newer and run" \
      "EAGRL_TEST_ADAPTER=system VK_DRIVER_FILES=<its lvp_icd json> npx vitest run kernels -t webgpu"
  fresh=$folder.$$
  trap 'rm -rf "$fresh"' EXIT
  mkdir -p "$fresh"/lists/partial "$fresh"/cache/archives/partial "$fresh"/root
  # The mirror that this machine uses, else Debian's own.
  mirror=$(grep -rhoE 'https?://[^] ]*/debian/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d/ 2>/dev/null | head -1 | tr -d ' ' || true)
  mirror=${mirror:-http://deb.debian.org/debian}
  for suite in bookworm bookworm-backports; do
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main"
  done >"$fresh/sources.list"
  options=(-qq -o Debug::NoLocking=1 -o Dir::Etc::sourcelist="$fresh/sources.list" -o Dir::Etc::sourceparts=-
    -o Dir::State::lists="$fresh/lists" -o Dir::Cache="$fresh/cache" -o APT::Sandbox::User= -o APT::Install-Recommends=0)
  apt-get "${options[@]}" update || fail "apt-get update from $mirror failed; this needs the network"
  apt-get "${options[@]}" install --download-only --reinstall -y -t bookworm-backports mesa-vulkan-drivers libvulkan1 ||
    fail "mesa-vulkan-drivers of bookworm-backports could not be downloaded from $mirror"
  for package in "$fresh"/cache/archives/*.deb; do dpkg-deb -x "$package" "$fresh/root"; done
  driver=$(cd "$fresh" && find root -name libvulkan_lvp.so)
  [ -n "$driver" ] || fail 'the package holds no libvulkan_lvp.so'
  rm -rf "$fresh/lists" "$fresh/cache"
  printf '{"ICD":{"api_version":"1.4.305","library_path":"%s"},"file_format_version":"1.0.0"}\n' "$folder/$driver" >"$fresh/icd.json"
  dirname "$driver" >"$fresh/libraries"
  rm -rf "$folder" && mv "$fresh" "$folder"
fi

export LD_LIBRARY_PATH=$folder/$(cat "$folder/libraries")${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export VK_DRIVER_FILES=$folder/icd.json MESA_SHADER_CACHE_DIR=$folder/shaders EAGRL_TEST_ADAPTER=system
XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-$(mktemp -d)}
export XDG_RUNTIME_DIR
missing=$(ldd "$(find "$folder/root" -name libvulkan_lvp.so)" | grep 'not found' || true)
[ -z "$missing" ] || fail "its driver lacks libraries: $missing; delete $folder and run this again"
node test/adapters/check.mjs
exec npx vitest run "${@:-kernels}" -t ' webgpu '
