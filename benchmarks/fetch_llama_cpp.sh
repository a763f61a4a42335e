#!/usr/bin/env bash
# Fetches llama.cpp into a folder, for benchmarks/llama_cpp.py: prebuilt libraries of a package for
# node (MIT), and the declarations of a package for Python (MIT) that fit them.
#
#     benchmarks/fetch_llama_cpp.sh llama-cpp
set -euo pipefail
folder=${1:?name a folder}
mkdir -p "$folder"
cd "$folder"
npm pack --silent @node-llama-cpp/linux-x64@3.22.1 >/dev/null
tar xzf node-llama-cpp-linux-x64-3.22.1.tgz
"${PYTHON:-python3}" -m venv env
env/bin/pip install -q llama-cpp-py-sync==0.11739 numpy gguf
# Its own libraries need a newer C library than many systems have.
place=$(env/bin/python -c "import importlib.util as u
print(*u.find_spec('llama_cpp_py_sync').submodule_search_locations)")
rm -f "$place"/lib*.so*
cp package/bins/linux-x64/*.so "$place"
ln -sf "$place/libllama.v0.5.0.so" "$place/libllama.so"
touch fetched
