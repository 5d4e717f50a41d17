#pragma once

#include "model/arch/hyperparameters.h"
#include "model/model_spec.h"

namespace assay {

struct RopeChoice {
  int dimensions = 0;
  bool neox = true;
  std::string_view base_key = "rope.freq_base";
  float base = 10000.0F;  // where the file says nothing
  bool scaled = true;     // as the file's rope.scaling says; else plain
  // F32 [dimensions / 2], divisors of the frequencies, or null: everywhere; in longer contexts than the original one,
  // and in the others.
  const GgufTensor *divisors = nullptr, *long_divisors = nullptr, *short_divisors = nullptr;
};

// The angles and the magnitude that a file's rope.scaling hyperparameters come down to:
//   none; linear (the default where a factor is given): every angle divided by the factor;
//   yarn (Peng et al. 2023): the slow frequencies divided, the fast ones not, a ramp between, and the magnitude
//   1 + 0.1 log(factor), or with a log multiplier m that over 1 + 0.1 m log(factor), unless the file gives it;
//   longrope (Ding et al. 2024): divisors for long contexts and others for short ones.
// Throws kUnsupported, with the key, for other kinds, kBadFile for numbers that no model can mean.
RopeSpec MakeRope(const Hyperparameters& keys, const std::string& file, int context_length, const RopeChoice& choice);

}  // namespace assay
