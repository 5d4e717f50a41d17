#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace assay {

// What a file that does not begin as GGUF files do seems to be, and what to do: "a safetensors file; convert ...".
std::string DescribeForeign(std::span<const uint8_t> bytes);

// Throws kBadFile for what is given in the place of a model's file: a folder of a checkpoint, a web address.
void RequireFilePath(const std::filesystem::path& path);

}  // namespace assay
