#pragma once

#include <cstdint>
#include <cstring>
#include <span>

#include "backend/backend.h"
#include "base/hash.h"

namespace assay {

// Adds the likeliest token of a row of logits and the bits of its logit: that tells apart who computed, since correct
// kernels of different arithmetic differ in the last bits.
inline void AddTop(Hash& hash, const RowTop& top, std::span<const float> logits) {
  const float logit = logits[static_cast<size_t>(top.token)];
  uint8_t bytes[sizeof(top.token) + sizeof(logit)];
  std::memcpy(bytes, &top.token, sizeof(top.token));
  std::memcpy(bytes + sizeof(top.token), &logit, sizeof(logit));
  hash.Add(bytes);
}

}  // namespace assay
