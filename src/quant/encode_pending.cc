#include "base/error.h"
#include "quant/codecs.h"

namespace assay {

#define PENDING(name)                                                     \
  void Encode##name(const float*, uint8_t*, int64_t, const float*) {      \
    Fail(ErrorKind::kUnsupported, "encoding " #name " is not built yet"); \
  }
PENDING(Q8_0)
PENDING(Q4_0)
PENDING(Q4_1)
PENDING(Q5_0)
PENDING(Q5_1)
PENDING(IQ4_NL)
PENDING(Q2_K)
PENDING(Q3_K)
PENDING(Q4_K)
PENDING(Q5_K)
PENDING(Q6_K)

}  // namespace assay
