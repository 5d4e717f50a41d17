#!/bin/sh
# aarch64.sh [ctest arguments]: builds the program for AArch64 Linux in build-aarch64/ and runs there, in qemu-user, the
# portable backend's conformance tests and all architectures' known answers, which take some minutes. Needs apt-get's
# g++-aarch64-linux-gnu and qemu-user, not root: the libraries' packages are unpacked into build-aarch64/root.
set -eu
cd "$(dirname "$0")/.."
for tool in aarch64-linux-gnu-g++ qemu-aarch64 apt-get dpkg-deb cmake ninja protoc grpc_cpp_plugin; do
  command -v "$tool" >/dev/null || { echo "aarch64.sh: needs $tool (apt-get install g++-aarch64-linux-gnu qemu-user, and what ./run build installs)" >&2; exit 1; }
done

apt_dir=$PWD/build-aarch64/apt
# The machine's sources, for another machine: lists and packages of their own.
apt() {
  program=$1
  shift
  "$program" -q -o Dir::State::Lists="$apt_dir/lists" -o Dir::Cache="$apt_dir/cache" -o APT::Sandbox::User= \
    -o APT::Architecture=arm64 -o APT::Architectures=arm64 "$@"
}

if [ ! -e build-aarch64/root/complete ]; then
  mkdir -p "$apt_dir/lists/partial" "$apt_dir/cache/archives/partial" "$apt_dir/packages" build-aarch64/root
  apt apt-get update
  # With all that they need, but for the C library's headers, which the compiler brings.
  packages=$(apt apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces \
    --no-enhances libfmt-dev libspdlog-dev libsqlite3-dev libpcre2-dev libgrpc++-dev libprotobuf-dev libgtest-dev \
    libgmock-dev nlohmann-json3-dev libcli11-dev | grep -E '^(lib|zlib|nlohmann)' | grep -Ev '^(libc6|libcrypt|libnsl|libtirpc)-dev$')
  # shellcheck disable=SC2086  # a list of words
  (cd "$apt_dir/packages" && apt apt-get download $packages)
  for package in "$apt_dir"/packages/*.deb; do dpkg-deb -x "$package" build-aarch64/root; done
  # What generates code runs here.
  for plugin in cpp csharp node objective_c php python ruby; do
    ln -sf "$(command -v grpc_cpp_plugin)" "build-aarch64/root/usr/bin/grpc_${plugin}_plugin"
  done
  touch build-aarch64/root/complete
fi

launcher=
command -v ccache >/dev/null && launcher=-DCMAKE_CXX_COMPILER_LAUNCHER=ccache
# shellcheck disable=SC2086
cmake -S . -B build-aarch64 -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_TOOLCHAIN_FILE=cmake/aarch64.cmake $launcher
cmake --build build-aarch64 --parallel "$(nproc)" --target assay conformance_test known_answers_test
ctest --test-dir build-aarch64 --output-on-failure --tests-regex '^(conformance|known_answers)_test$' "$@"
