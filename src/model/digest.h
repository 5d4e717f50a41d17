#pragma once

#include <string>

#include "gguf/gguf.h"

namespace assay {

// What a file is known by, whatever it is called.

// 128 bits (32 hex digits) of all metadata, of all tensors' names, shapes and formats, and of every byte of their data.
// It tells files apart by accident or mistake; it keeps nobody out who forges one on purpose.
std::string FileDigest(const GgufFile& file);

// Of which formats the tensors are, by their shares of the bytes: "Q4_K 71%, Q6_K 22%, Q8_0 6%, F32 1%".
std::string TensorMix(const GgufFile& file);

// The name of what was made of the model: the rung that general.file_type says, if the layers' weights are mostly of
// that rung's base format (or cannot be, for the length of their rows), else the format that they mostly are of.
std::string QuantName(const GgufFile& file);

}  // namespace assay
