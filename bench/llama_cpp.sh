#!/usr/bin/env bash
# llama_cpp.sh SOURCES OUTPUT: build the filter that bench/parsing.py --llama-cpp runs, from an unpacked llama.cpp.
#
#   pip download --no-deps --no-binary llama-cpp-python llama-cpp-python==0.3.36 && tar xzf llama_cpp_python-0.3.36.tar.gz
#   bench/llama_cpp.sh llama_cpp_python-0.3.36/vendor/llama.cpp ./llama-cpp
#
# Only what reads completions and grammars is compiled (about 40 files, ten minutes on two cores); functions that load
# models are left unresolved, since none of them is called.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd) output=$(realpath "$2") objects=$(mktemp -d)
trap 'rm -r "$objects"' EXIT
cd "$1"
export CXXFLAGS="-O1 -std=c++17 -w -fno-pie -ffunction-sections -fdata-sections -DNDEBUG -I. -Iinclude -Iggml/include -Icommon -Isrc -Ivendor"
printf '%s\0' "$here/llama_cpp.cpp" common/parsers/*.cpp common/jinja/*.cpp common/chat*.cpp common/json*.cpp \
    common/{common,log,peg-parser,reasoning-budget,trie,unicode}.cpp src/{llama-grammar,unicode,unicode-data}.cpp |
    xargs -0 -P "$(nproc)" -I{} sh -c 'g++ $CXXFLAGS -c "$1" -o "$2/$(echo "$1" | tr / _).o"' _ {} "$objects"
g++ -no-pie -Wl,--gc-sections -Wl,--unresolved-symbols=ignore-all "$objects"/*.o -o "$output" -lpthread
