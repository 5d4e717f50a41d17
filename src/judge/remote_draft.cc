#include "judge/remote_draft.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace assay {
namespace {

// Why the burst is not that of the claimed drafter; empty when it is.
std::string Missing(const RemoteClaim& claim, const ShownBurst& shown) {
  const BurstRecord& burst = shown.burst;
  if (shown.who == nullptr) return "nobody says to have made them";
  const DrafterRecord& who = *shown.who;
  if (who.address.empty() || who.process == claim.home_process) {
    return fmt::format("they were drafted at home, by {}, in the target's own process", who.backend);
  }
  if (who.address != claim.drafter.address) return fmt::format("they came from {}", who.address);
  if (who.device.empty() || who.machine.empty() || who.process.empty()) return "no device is shown";
  if (who.model_digest.empty()) return "no digest of the model is shown";
  if (who.model_digest != claim.drafter.model_digest) {
    return fmt::format("a model of digest {} drafted, not {}", who.model_digest, claim.drafter.model_digest);
  }
  if (!(burst.compute_seconds > 0.0)) return "they took the drafter no time";
  if (burst.received_bytes <= 0) return "no bytes came from elsewhere";
  return "";
}

}  // namespace

GuardResult CheckRemote(const RemoteClaim& claim, std::span<const ShownBurst> bursts) {
  int64_t accepted = 0;
  int64_t unshown = 0;
  size_t asked = 0;
  size_t failed = 0;
  bool answered = false;
  double seconds = 0.0;
  std::string missing;
  for (const ShownBurst& shown : bursts) {
    if (shown.burst.asked()) ++asked;
    if (shown.burst.failed) ++failed;
    answered = answered || shown.who != nullptr;
    accepted += shown.accepted;
    seconds += shown.burst.compute_seconds;
    if (shown.accepted == 0) continue;
    const std::string why = Missing(claim, shown);
    if (why.empty()) continue;
    unshown += shown.accepted;
    if (missing.empty()) missing = why;
  }
  const DrafterRecord& drafter = claim.drafter;
  if (unshown > 0) {
    return {.name = "remote",
            .tripped = true,
            .evidence = fmt::format("says {}, but of {} guesses that were taken {} do not show it: {}", claim.name,
                                    accepted, unshown, missing)};
  }
  if (!answered) {
    return {.name = "remote",
            .tripped = true,
            .evidence = fmt::format("says {}, which answered none of {} bursts, {} of which failed", claim.name, asked,
                                    failed)};
  }
  const bool same_machine = drafter.machine == claim.home_machine;
  std::string evidence =
      fmt::format("{} guesses that were taken show {}, {}, machine {}, model {}, {:.2f} s of its own", accepted,
                  drafter.address, drafter.device, drafter.machine, drafter.model_digest, seconds);
  if (same_machine) evidence += "; that is the target's own machine, whose processors the two share";
  if (failed > 0) {
    evidence += fmt::format("; {} of {} bursts failed, and the text went on without a draft", failed, asked);
  }
  return {.name = "remote", .evidence = std::move(evidence), .warning = same_machine || failed > 0};
}

double RemoteRound::Seconds() const {
  return (1.0 - in_time) * (draft + wire + verify) + in_time * std::max(draft, verify);
}

std::optional<double> RemoteRound::LongestWire(double seconds) const {
  RemoteRound near = *this;
  near.wire = 0.0;
  const double left = seconds - near.Seconds();
  if (left < 0.0) return std::nullopt;
  if (in_time >= 1.0) return std::numeric_limits<double>::infinity();
  return left / (1.0 - in_time);
}

}  // namespace assay
