#include "quant/codecs.h"
#include "quant/level_search.h"
#include "quant/q_layouts.h"

// Encoder of IQ4_NL: sixteen levels at unequal distances.

namespace assay {

void EncodeIQ4_NL(const float* src, uint8_t* dst, int64_t count, const float* importance) {
  Problem problem;
  for (int64_t i = 0; i < count; i += kBlock, dst += Iq4NlLayout::kBytes) {
    MakeProblem(src + i, importance == nullptr ? nullptr : importance + i, kBlock, kLevelRule, problem);
    BlockFields fields{};
    if (!problem.zero) {
      fields.d = problem.ToHalf(FindLevelScale(problem.x, problem.w, kBlock));
      RoundLevels(problem.x, kBlock, problem.FromHalf(fields.d), fields.code);
    }
    Iq4NlLayout::Pack(fields, dst);
  }
}

}  // namespace assay
