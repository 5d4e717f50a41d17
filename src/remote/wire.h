#pragma once

#include "remote/burst.h"
#include "remote/draft.pb.h"

namespace assay {

inline constexpr uint32_t kDraftProtocol = 1;  // the version that this program speaks

// The messages of draft.proto to and from what the program works with. Reading throws kUsage for values that no honest
// peer sends; what is in range is left to those who use it.
namespace wire = draft::v1;

DraftHello Read(const wire::Hello& message);
DraftWelcome Read(const wire::Welcome& message);
BurstRequest Read(const wire::BurstRequest& message);
BurstAnswer Read(const wire::BurstAnswer& message);

wire::FromClient Write(const DraftHello& hello);
wire::FromServer Write(const DraftWelcome& welcome);
wire::FromClient Write(const BurstRequest& request);
wire::FromServer Write(const BurstAnswer& answer);

}  // namespace assay
