#include "record/record.h"

#include <algorithm>
#include <array>

namespace assay {

bool HoldsFloatsAlone(const ModelIdentity& model) {
  constexpr std::array<std::string_view, 4> kFloats = {"F16", "F32", "BF16", "F64"};
  std::string_view rest = model.mix;
  while (!rest.empty()) {  // "F16 100%, F32 <1%"
    if (std::find(kFloats.begin(), kFloats.end(), rest.substr(0, rest.find(' '))) == kFloats.end()) return false;
    const size_t comma = rest.find(", ");
    rest.remove_prefix(comma == std::string_view::npos ? rest.size() : comma + 2);
  }
  return !model.mix.empty();
}

}  // namespace assay
