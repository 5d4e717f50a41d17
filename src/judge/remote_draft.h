#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "record/record.h"

namespace assay {

// Drafts from another machine: what a run must show to be called one, and when it can pay at all. Pure functions;
// docs/speculation.md has the rules.

// Who made a burst of guesses, as decode/drafter.h says it: DrafterIdentity.
struct DrafterRecord {
  std::string backend, device, machine, process, model_digest;
  std::string address;  // empty at home

  bool operator==(const DrafterRecord&) const = default;
};

// What the burst of one round took, likewise: DraftEvidence.
struct BurstRecord {
  int who = -1;  // place in the text's list of drafters; -1: nobody answered
  uint64_t logit_hash = 0;
  double compute_seconds = 0.0, queue_seconds = 0.0, wire_seconds = 0.0;
  int64_t sent_bytes = 0, received_bytes = 0;
  bool in_time = false;
  bool failed = false;

  bool asked() const { return who >= 0 || failed; }
};

// What a run says of its draft.
struct RemoteClaim {
  std::string name;          // what the run calls it
  DrafterRecord drafter;     // as it introduced itself when the run began
  std::string home_machine;  // of the target
  std::string home_process;
};
// A round's burst and what became of it.
struct ShownBurst {
  BurstRecord burst;
  const DrafterRecord* who = nullptr;  // null: nobody
  int accepted = 0;
};
// "remote": each guess that was taken shows who made it: the drafter of the claim, in another process, with a device,
// its model's digest, seconds of its own and bytes that went to and fro. One that does not was made at home, or by
// nobody knows whom, and the run is no remote one; neither is one of which no burst was answered. A warning when the
// drafter runs on the target's own machine, or when bursts failed: then part of the text was decoded without a draft.
GuardResult CheckRemote(const RemoteClaim& claim, std::span<const ShownBurst> bursts);

// The mean round of a draft from elsewhere; all times in one unit.
struct RemoteRound {
  double plain = 0.0;    // s: a step of the target alone
  double tokens = 0.0;   // E: that a round gives
  double draft = 0.0;    // D: the drafter's own time for a burst
  double verify = 0.0;   // V: all else of a round at home: the target's side, telling the caller
  double wire = 0.0;     // R: the round trip, waiting at the server included
  double in_time = 0.0;  // a: share of bursts that were there before they were asked for

  // What it should take: (1 - a) (D + R + V) + a max(D, V). A burst that is there in time was drafted while the target
  // verified, and sent without being asked: the longer of the two is the round.
  double Seconds() const;
  double Speedup() const { return tokens * plain / Seconds(); }
  // The longest round trip with which the draft is still no slower than `seconds` a round: nothing when even none would
  // be, infinity when any is.
  std::optional<double> LongestWire(double seconds) const;
  // The same against plain decoding, and against the same draft at home at `draft` a burst, which takes draft + V.
  std::optional<double> WindowAlone() const { return LongestWire(tokens * plain); }
  std::optional<double> WindowAtHome(double home_draft) const { return LongestWire(home_draft + verify); }
};

}  // namespace assay
